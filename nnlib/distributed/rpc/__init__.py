"""Calls of functions on other workers of a job, and references to what is there, as in torch.distributed.rpc.

Workers are the ranks that mpirun or srun started; messages go through MPI. ``init_rpc(name)`` on all of them,
then calls in any direction, then ``shutdown()`` on all of them.

Example::

    >>> import nnlib as torch
    >>> import nnlib.distributed.rpc as rpc
    >>> rpc.init_rpc("worker0")  # doctest: +SKIP
    >>> rpc.rpc_sync("worker0", torch.add, args=(torch.ones(2), 1))  # doctest: +SKIP
    tensor([2., 2.])
    >>> rpc.shutdown()  # doctest: +SKIP
"""

from . import _calls as _calls
from . import functions
from ._rref import RRef
from .api import WorkerInfo, get_rpc_timeout, get_worker_info, remote, rpc_async, rpc_sync
from .api import _set_rpc_timeout as _set_rpc_timeout
from .options import BackendType, MPIRpcBackendOptions, RpcBackendOptions, TensorPipeRpcBackendOptions
from .setup import init_rpc, shutdown

__all__ = [
    "BackendType",
    "MPIRpcBackendOptions",
    "RRef",
    "RpcBackendOptions",
    "TensorPipeRpcBackendOptions",
    "WorkerInfo",
    "functions",
    "get_rpc_timeout",
    "get_worker_info",
    "init_rpc",
    "is_available",
    "remote",
    "rpc_async",
    "rpc_sync",
    "shutdown",
]


def is_available():
    """True: the package is part of every nnlib.

    Example::

        >>> from nnlib.distributed import rpc
        >>> rpc.is_available()
        True
    """
    return True
