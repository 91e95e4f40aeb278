"""Calls to other workers."""

import dataclasses

from . import _state
from ._agent import UNSET_TIMEOUT
from ._rref import owner_rref, user_rref
from .options import seconds_of

__all__ = ["WorkerInfo", "get_rpc_timeout", "get_worker_info", "remote", "rpc_async", "rpc_sync"]


@dataclasses.dataclass(frozen=True)
class WorkerInfo:
    """A worker: its name and its id, which is its rank."""

    name: str
    id: int

    def __str__(self):
        return f"WorkerInfo(id={self.id}, name={self.name})"

    __repr__ = __str__


def get_worker_info(worker_name=None):
    """The WorkerInfo of the worker with that name, or of this one.

    Args:
        worker_name (str): None for this worker.

    Raises:
        RuntimeError: there is no worker of that name, or RPC is not initialized.

    Example::

        >>> rpc.get_worker_info("worker1").id  # doctest: +SKIP
        1
    """
    agent = _state.agent()
    return agent.me if worker_name is None else _worker(agent, worker_name)


def _worker(agent, to):
    for worker in agent.workers:
        if to in (worker, worker.name) or (to == worker.id and not isinstance(to, bool)):
            return worker
    if not isinstance(to, (str, int, WorkerInfo)):
        raise TypeError(f"expected the name, rank or WorkerInfo of a worker, but got {type(to).__name__}")
    names = ", ".join(worker.name for worker in agent.workers)
    raise RuntimeError(f"Unknown destination worker {to}: the workers are {names}")


def _call(to, func, args, kwargs):
    if not callable(func):
        raise TypeError(f"function should be callable, but got {type(func).__name__}")
    return _worker(_state.agent(), to), (func, tuple(args or ()), dict(kwargs or {}))


def _timeout(timeout):
    return timeout if timeout == UNSET_TIMEOUT else seconds_of(timeout)


def rpc_async(to, func, args=None, kwargs=None, timeout=UNSET_TIMEOUT):
    """Runs ``func(*args, **kwargs)`` on a worker; returns a Future of the result at once.

    Tensors among the arguments must be left alone until the Future is done: large ones are read when they go.

    Args:
        to (str, int or WorkerInfo): the worker's name, rank or WorkerInfo.
        func (callable): a function, class or method that the worker can import by its name: operators, what
            stands at the top of a module, and what the program itself defines when all workers run the same.
        args (tuple), kwargs (dict): tensors, RRefs, and what can be pickled by names alone.
        timeout (float): seconds after which the Future has an error; 0 for never, -1 for the default.

    Errors of the function are raised by the Future's ``wait``, as the same type where that takes a text, with
    the traceback of the worker. See :func:`rpc_sync`.

    Example::

        >>> import nnlib as torch
        >>> import nnlib.distributed.rpc as rpc
        >>> rpc.init_rpc("worker0", rank=0, world_size=2)  # doctest: +SKIP
        >>> future = rpc.rpc_async("worker1", torch.add, args=(torch.ones(2), 3))  # doctest: +SKIP
        >>> future.wait()  # doctest: +SKIP
        tensor([4., 4.])
    """
    to, call = _call(to, func, args, kwargs)
    return _state.agent().request(to, "call", value=call, timeout=_timeout(timeout))


def rpc_sync(to, func, args=None, kwargs=None, timeout=UNSET_TIMEOUT):
    """Runs ``func(*args, **kwargs)`` on a worker and returns the result.

    The arguments are those of :func:`rpc_async`.

    Raises:
        DistTimeoutError: no answer came in time (a RuntimeError and a TimeoutError).
        DistBackendError: the worker has left the job (a RuntimeError); the error says why.
        PicklingError: something cannot be sent: lambdas, functions inside functions, open files.
    """
    return rpc_async(to, func, args, kwargs, timeout).wait()


def remote(to, func, args=None, kwargs=None, timeout=UNSET_TIMEOUT):
    """Runs ``func(*args, **kwargs)`` on a worker, where the result stays; returns an :class:`RRef` to it.

    The arguments are those of :func:`rpc_async`; a timeout or an error is raised when the RRef is used.

    Example::

        >>> import nnlib.distributed.rpc as rpc
        >>> rref = rpc.remote("worker1", torch.add, args=(torch.ones(2), 3))  # doctest: +SKIP
        >>> rref.to_here()  # doctest: +SKIP
        tensor([4., 4.])
    """
    to, call = _call(to, func, args, kwargs)
    agent = _state.agent()
    key, fork = agent.new_key(), agent.new_key()
    if to == agent.me:
        rref = owner_rref(agent, agent.values.entry(key))
    else:
        rref = user_rref(agent, to, key, fork, confirmed=False)
    rref._made = agent.request(to, "make", (key, fork), call, _timeout(timeout))
    return rref


def get_rpc_timeout():
    """The default timeout of calls, in seconds.

    Example::

        >>> rpc.get_rpc_timeout()  # doctest: +SKIP
        60.0
    """
    return _state.agent().timeout


def _set_rpc_timeout(rpc_timeout):
    """Changes the default timeout of this worker's calls."""
    _state.agent().timeout = seconds_of(rpc_timeout)
