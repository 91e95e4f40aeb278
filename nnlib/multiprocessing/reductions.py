"""How tensors are taken apart for another process, and put together there."""

from __future__ import annotations

import os
from multiprocessing import reduction

from .. import _C, _shared
from .._sparse import sparse_coo_tensor
from .._tensor import Tensor
from ..nn.parameter import Buffer, Parameter

__all__ = ["init_reductions", "rebuild_tensor", "reduce_tensor"]


def rebuild_tensor(kind, handle, nbytes, dtype, size, stride, offset, requires_grad):
    """The tensor of another process, in the same memory."""
    fd = handle.detach()
    try:
        memory = _shared.SharedMemory(fd, max(nbytes, 1))
    except BaseException:
        os.close(fd)
        raise
    t = memory.tensor()[: nbytes - nbytes % dtype.itemsize].view(dtype).as_strided(size, stride, offset)
    return _as_kind(kind, t, requires_grad)


def _as_kind(kind, t, requires_grad):
    if kind is not Tensor:
        t = Tensor._make_subclass(kind, t, False)
    return t.requires_grad_(requires_grad)


def _rebuild_sparse(kind, indices, values, size, coalesced, requires_grad):
    return _as_kind(kind, sparse_coo_tensor(indices, values, size, is_coalesced=coalesced), requires_grad)


def reduce_tensor(tensor):
    """Move a tensor into shared memory, and say how another process gets at it.

    RuntimeError for a tensor with a history: gradients do not cross processes.
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
            "crossing process boundaries.  If you just want to transfer the data, call detach() on the tensor "
            "before serializing (e.g., putting it on the queue)."
        )
    kind = type(tensor)
    if tensor.is_sparse:
        parts = tensor._indices(), tensor._values(), tuple(tensor.shape), tensor.is_coalesced()
        return _rebuild_sparse, (kind, *parts, tensor.requires_grad)
    tensor.share_memory_()
    place = tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.requires_grad
    handle = reduction.DupFd(_shared.memory_of(tensor).fd)
    return rebuild_tensor, (kind, handle, tensor.untyped_storage().nbytes(), tensor.dtype, *place)


def init_reductions() -> None:
    """Make queues, pipes and new processes use :func:`reduce_tensor`."""
    for kind in (Tensor, Parameter, Buffer, _C.TensorBase):
        reduction.ForkingPickler.register(kind, reduce_tensor)
