"""Communication between the ranks of a job that mpirun or srun started, named as in torch.distributed.

``pip install "nnlib[mpi]"`` brings what it takes. Then, in the program, ``init_process_group("mpi")``, and
``mpirun -n 4 python program.py`` in the shell. Without mpirun the same program is a world of one rank.
"""

import importlib as _importlib

from .._C import _distributed as _native
from ._errors import DistBackendError, DistError, DistTimeoutError
from ._work import Work
from .collectives import ReduceOp, all_reduce, barrier, broadcast, monitored_barrier, reduce
from .exchanges import all_to_all, all_to_all_single, reduce_scatter, reduce_scatter_tensor
from .gathers import all_gather, all_gather_into_tensor, gather, scatter
from .initialize import destroy_process_group, init_process_group, new_group
from .objects import (
    all_gather_object,
    broadcast_object_list,
    gather_object,
    recv_object_list,
    scatter_object_list,
    send_object_list,
)
from .p2p import P2POp, batch_isend_irecv, irecv, isend, recv, send
from .process_group import (
    Backend,
    GroupMember,
    ProcessGroup,
    get_backend,
    get_global_rank,
    get_group_rank,
    get_process_group_ranks,
    get_rank,
    get_world_size,
    group,
    is_available,
    is_backend_available,
    is_gloo_available,
    is_initialized,
    is_mpi_available,
    is_nccl_available,
    is_torchelastic_launched,
    is_ucc_available,
    is_xccl_available,
)
from .subgroups import get_node_local_rank, new_subgroups, new_subgroups_by_enumeration, split_group

GradBucket = _native.GradBucket

# Loaded when they are asked for: they build on modules, optimizers and more, which ranks that only exchange
# tensors do without.
_SUBMODULES = ("algorithms", "autograd", "checkpoint", "device_mesh", "nn", "optim", "rpc")


def __getattr__(name):
    if name in _SUBMODULES:
        return _importlib.import_module(f".{name}", __name__)
    if name in ("DeviceMesh", "init_device_mesh"):
        return getattr(_importlib.import_module(".device_mesh", __name__), name)
    raise AttributeError(f"module 'nnlib.distributed' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES})


__all__ = [
    "Backend", "DeviceMesh", "DistBackendError", "DistError", "DistTimeoutError", "GradBucket", "GroupMember",
    "P2POp", "ProcessGroup", "ReduceOp", "Work", "all_gather", "all_gather_into_tensor",
    "all_gather_object", "all_reduce", "all_to_all", "all_to_all_single", "autograd", "barrier",
    "batch_isend_irecv", "broadcast", "broadcast_object_list", "destroy_process_group",
    "gather", "gather_object", "get_backend", "get_global_rank", "get_group_rank",
    "get_node_local_rank", "get_process_group_ranks", "get_rank", "get_world_size", "group", "init_device_mesh",
    "init_process_group", "irecv", "is_available", "is_backend_available", "is_gloo_available",
    "is_initialized", "is_mpi_available", "is_nccl_available", "is_torchelastic_launched", "is_ucc_available",
    "is_xccl_available", "isend", "monitored_barrier", "new_group", "new_subgroups",
    "new_subgroups_by_enumeration", "optim", "recv", "recv_object_list", "reduce", "reduce_scatter",
    "reduce_scatter_tensor", "rpc", "scatter", "scatter_object_list", "send", "send_object_list", "split_group",
]  # fmt: skip
