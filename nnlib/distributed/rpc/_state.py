"""The one agent of this process."""

import os

_agent = None


def agent():
    """The agent; raises before init_rpc and after shutdown."""
    if _agent is None:
        raise RuntimeError("RPC has not been initialized. Call nnlib.distributed.rpc.init_rpc first.")
    return _agent


def is_initialized():
    """Whether there is an agent."""
    return _agent is not None


def set_agent(new):
    """Makes `new` the agent, or None."""
    global _agent
    _agent = new


os.register_at_fork(after_in_child=lambda: set_agent(None))  # its threads and MPI are the parent's
