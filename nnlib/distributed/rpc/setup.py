"""The beginning and the end of RPC."""

import re
import time

from .._errors import DistBackendError, DistTimeoutError
from .._launcher import announced_size, check_launcher, divide_cores
from .._runtime import is_mpi4py_installed, library_name, runtime
from . import _state
from ._agent import PATIENCE, Agent
from ._link import LocalLink, MPILink
from .api import WorkerInfo
from .options import BackendType, RpcBackendOptions, seconds_of

__all__ = ["init_rpc", "shutdown"]

NAME_BYTES = 128
JOIN_SECONDS = 300.0  # until all workers must have called init_rpc
HELLO = 3  # a tag


def init_rpc(name, backend=None, rank=-1, world_size=None, rpc_backend_options=None):
    """Makes this process a worker that others can call, and lets it call them.

    All ranks of the job that mpirun or srun started call it, each with a name of its own; it returns when all
    have. Without a launcher it is a world of one. It does not need :func:`init_process_group`, and goes
    together with it.

    Args:
        name (str): this worker's name: letters, digits, ``-``, ``_`` and ``:``, at most 128.
        backend (BackendType): None or ``BackendType.MPI``. There is no other.
        rank (int): -1, or what MPI says.
        world_size (int): None, or what MPI says.
        rpc_backend_options (RpcBackendOptions): the number of threads and the timeout.

    Raises:
        RuntimeError: RPC is initialized already, mpi4py is missing, or a rank did not come.
        ValueError: another backend, a name that cannot be or that two workers have, or a rank or world size
            that is not MPI's.

    Workers of a job trust each other: each may call any function that the other can import. Messages come from
    the ranks of this MPI world alone.

    Example::

        >>> import nnlib as torch
        >>> import nnlib.distributed.rpc as rpc
        >>> rpc.init_rpc("worker0")  # doctest: +SKIP
        >>> rpc.rpc_sync("worker0", torch.add, args=(torch.ones(2), 1))  # doctest: +SKIP
        tensor([2., 2.])
        >>> rpc.shutdown()  # doctest: +SKIP
    """
    if _state.is_initialized():
        raise RuntimeError("RPC is already initialized: call shutdown() first")
    _check_backend(backend)
    options = RpcBackendOptions() if rpc_backend_options is None else rpc_backend_options
    if not isinstance(options, RpcBackendOptions):
        raise TypeError(
            f"expected rpc_backend_options to be RpcBackendOptions, but got {type(options).__name__}"
        )
    _check_name(name)
    announced = announced_size()
    if is_mpi4py_installed() or (announced is not None and announced[0] > 1):
        agent = _start_mpi(name, rank, world_size, options)
    else:
        _check_place(1, 0, world_size, rank)
        agent = Agent(LocalLink(), [WorkerInfo(name, 0)], options, None)
    _state.set_agent(agent)
    agent.thread.start()


def _check_backend(backend):
    if backend in (None, BackendType.MPI):
        return
    if not isinstance(backend, BackendType):
        raise TypeError(f"expected backend to be a BackendType, but got {type(backend).__name__}")
    raise ValueError(
        f"RPC has the backend MPI alone, but got {backend}: leave it out, or give BackendType.MPI"
    )


def _check_name(name):
    if not isinstance(name, str):
        raise TypeError(f"expected name to be a string, but got {type(name).__name__}")
    if not re.fullmatch(r"[A-Za-z0-9_:-]+", name) or len(name) > NAME_BYTES:
        raise ValueError(
            f"Worker name must match ^[A-Za-z0-9-_:]+$ and have at most {NAME_BYTES} letters, but got {name!r}"
        )


def _check_place(size, rank, world_size, given_rank):
    for what, given, real in (("world_size", world_size, size), ("rank", given_rank, rank)):
        if given is not None and not isinstance(given, int):
            raise TypeError(f"expected {what} to be an int, but got {type(given).__name__}")
        if given not in (None, -1, real):
            raise ValueError(
                f"init_rpc was called with {what}={given}, but MPI gives this process {what}={real}; start as "
                "many ranks as you want with mpirun, and leave the argument out"
            )


def _start_mpi(name, rank, world_size, options):
    run = runtime()
    check_launcher(run.size, library_name(run.MPI))
    _check_place(run.size, run.rank, world_size, rank)
    run.divide_cores_once(divide_cores)
    comm, names = _meet(run, name)
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        who = ", ".join(str(r) for r, n in enumerate(names) if n == twice[0])
        raise ValueError(f"the workers of ranks {who} have the same name {twice[0]!r}")
    workers = [WorkerInfo(n, r) for r, n in enumerate(names)]
    agent = Agent(MPILink(run.MPI, comm), workers, options, run)
    run.servers.append(("rpc", agent, agent.thread, agent))  # so that leaving the job ends it
    return agent


def _meet(run, name):
    """A communicator for RPC alone and the names of all workers; an error when a rank leaves or stays away."""
    comm, request = run.world.Idup()
    end = time.monotonic() + JOIN_SECONDS
    _poll(run, request.Test, end, lambda: "other ranks")
    sent = [comm.isend(name, r, HELLO) for r in range(run.size) if r != run.rank]
    names = {run.rank: name}

    def all_came():
        while (envelope := comm.improbe(tag=HELLO, status=(status := run.MPI.Status()))) is not None:
            names[status.Get_source()] = envelope.recv()
        return len(names) == run.size and run.MPI.Request.Testall(sent)

    _poll(run, all_came, end, lambda: f"ranks {[r for r in range(run.size) if r not in names]}")
    return comm, [names[r] for r in range(run.size)]


def _poll(run, is_over, end, whom):
    pause = 1e-4
    while not is_over():
        run.poll()
        for rank in range(run.size):
            gone = run.why_gone(rank)
            if gone is not None and gone[0] > PATIENCE:
                raise DistBackendError(f"init_rpc cannot go on: {gone[1]}")
        if time.monotonic() > end:
            raise DistTimeoutError(f"init_rpc waited {JOIN_SECONDS:g} s for {whom()}")
        time.sleep(pause)
        pause = min(2 * pause, 5e-3)


def shutdown(graceful=True, timeout=0):
    """Ends RPC in this process.

    Args:
        graceful (bool): wait until all workers have called it and no worker has anything left to do; until
            then calls of others are answered. False ends at once: calls that are under way fail, here and on
            the workers that made them.
        timeout (float): seconds after which waiting is an error, 0 for never.

    Raises RuntimeError when RPC is not initialized, a worker has left the job, or the time was up; RPC is
    ended then too.

    Example::

        >>> rpc.init_rpc("worker0")  # doctest: +SKIP
        >>> rpc.shutdown()  # doctest: +SKIP
    """
    agent = _state.agent()
    seconds = seconds_of(timeout)
    try:
        if graceful:
            agent.shutdown.wait(seconds)
        else:
            for worker in agent.workers:
                if worker != agent.me and worker.id not in agent.gone:
                    agent.tell(worker.id, "closing")
        drained = agent.drain(seconds or 5.0)
    finally:
        _state.set_agent(None)
        agent.close("RPC was shut down")
        if agent.runtime is not None:
            agent.runtime.servers = [entry for entry in agent.runtime.servers if entry[1] is not agent]
    if graceful and drained:
        agent.link.free()
