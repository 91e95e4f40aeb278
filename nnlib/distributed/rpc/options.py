"""How RPC is set up: backends and their options."""

import datetime
import enum

__all__ = ["BackendType", "MPIRpcBackendOptions", "RpcBackendOptions", "TensorPipeRpcBackendOptions"]

DEFAULT_RPC_TIMEOUT_SEC = 60.0
DEFAULT_NUM_WORKER_THREADS = 16


class BackendType(enum.Enum):
    """The backends of RPC: MPI, and the name of PyTorch's, which :func:`init_rpc` refuses.

    Example::

        >>> from nnlib.distributed import rpc
        >>> rpc.BackendType.MPI.value
        'MPI'
    """

    MPI = "MPI"
    TENSORPIPE = "TENSORPIPE"


def seconds_of(timeout):
    """A timeout of RPC in seconds: a number or a timedelta, 0 for none."""
    if isinstance(timeout, datetime.timedelta):
        timeout = timeout.total_seconds()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"expected a timeout in seconds, but got {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"expected a timeout of 0 (none) or more seconds, but got {timeout}")
    return float(timeout)


class RpcBackendOptions:
    """Options of :func:`init_rpc`.

    Args:
        num_worker_threads (int): how many requests of others a worker runs at once; those that wait for an RPC
            themselves do not count.
        rpc_timeout (float): seconds after which a call without an answer is an error; 0 for never.
        init_method (str): "env://" or None: MPI's launcher tells who is who.

    Example::

        >>> from nnlib.distributed import rpc
        >>> rpc.RpcBackendOptions(num_worker_threads=4, rpc_timeout=30).rpc_timeout
        30.0
    """

    def __init__(
        self,
        num_worker_threads=DEFAULT_NUM_WORKER_THREADS,
        rpc_timeout=DEFAULT_RPC_TIMEOUT_SEC,
        init_method="env://",
    ):
        if isinstance(num_worker_threads, bool) or not isinstance(num_worker_threads, int):
            raise TypeError(
                f"expected num_worker_threads to be an int, but got {type(num_worker_threads).__name__}"
            )
        if num_worker_threads < 1:
            raise ValueError(f"expected at least one worker thread, but got {num_worker_threads}")
        if init_method not in (None, "env://"):
            raise NotImplementedError(
                f"init_method={init_method!r} is not supported: MPI's launcher tells each process its rank and "
                'where the others are. Leave init_method out, or give "env://"'
            )
        self.num_worker_threads = num_worker_threads
        self.rpc_timeout = seconds_of(rpc_timeout)
        self.init_method = init_method


class MPIRpcBackendOptions(RpcBackendOptions):
    """Options of the backend "MPI"; see :class:`RpcBackendOptions`.

    Example::

        >>> from nnlib.distributed import rpc
        >>> options = rpc.MPIRpcBackendOptions(rpc_timeout=30)
        >>> rpc.init_rpc("worker0", rpc_backend_options=options)  # doctest: +SKIP
    """


class TensorPipeRpcBackendOptions(RpcBackendOptions):
    """The same under the name that programs for PyTorch use: the threads and the timeout count here too.

    Args:
        num_worker_threads, rpc_timeout, init_method: see :class:`RpcBackendOptions`.
        device_maps, devices: must be None or empty, or name the CPU: there is no other device.
        _transports, _channels: must be None: messages go through MPI.

    Example::

        >>> from nnlib.distributed import rpc
        >>> rpc.TensorPipeRpcBackendOptions(num_worker_threads=8).num_worker_threads
        8
    """

    def __init__(
        self,
        *,
        num_worker_threads=DEFAULT_NUM_WORKER_THREADS,
        rpc_timeout=DEFAULT_RPC_TIMEOUT_SEC,
        init_method="env://",
        device_maps=None,
        devices=None,
        _transports=None,
        _channels=None,
    ):
        super().__init__(num_worker_threads, rpc_timeout, init_method)
        if device_maps or any(not str(device).startswith("cpu") for device in devices or ()):
            raise ValueError("device_maps and devices are for GPUs: tensors are on the CPU here")
        if _transports is not None or _channels is not None:
            raise ValueError("_transports and _channels belong to TensorPipe: messages go through MPI here")
