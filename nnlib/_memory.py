"""Tensors that look at other memory, or at the same in another way."""

from __future__ import annotations

import math

from . import _C

Tensor = _C.Tensor


def set_(self: Tensor, source=None, storage_offset: int = 0, size=None, stride=None) -> Tensor:
    """Make a tensor look at the memory of another, or at a storage; returns it.

    Args:
        source: a tensor of the same dtype, whose shape is taken where none is given; or a storage, whose elements are
            all taken then. Without it the tensor is left without elements.
        storage_offset: the first element.
        size: the new shape.
        stride: the new strides. Default: contiguous.

    RuntimeError for another dtype and for elements outside of the memory.

    >>> x, y = nnlib.arange(4), nnlib.zeros(2, dtype=nnlib.int64)
    >>> y.set_(x) is y, y
    (True, tensor([0, 1, 2, 3]))
    """
    if source is None:
        self.data = _C.empty((0,), dtype=self.dtype)
        return self
    if isinstance(source, Tensor):
        if source.dtype != self.dtype:
            raise RuntimeError(f"set_: expected a source of {self.dtype}, but got {source.dtype}")
        if size is None:
            self.data = source.detach()
            return self
        source = source.untyped_storage()
    elif not isinstance(source, _C.UntypedStorage):
        if getattr(source, "dtype", self.dtype) != self.dtype:
            raise RuntimeError(f"set_: expected a source of {self.dtype}, but got {source.dtype}")
        source = source.untyped()
    if size is None:
        size = (source.nbytes() // self.dtype.itemsize - storage_offset,)
    size = tuple(size)
    if stride is None:
        stride = tuple(math.prod(size[i + 1 :]) for i in range(len(size)))
    self.data = _C._from_storage(source, self.dtype, storage_offset, size, tuple(stride))
    return self


def dim_order(self: Tensor) -> tuple[int, ...]:
    """The dimensions from the outermost to the innermost in memory.

    >>> nnlib.empty(2, 3, 5, 7).to(memory_format=nnlib.channels_last).dim_order()
    (0, 2, 3, 1)
    """
    strides = self.stride()
    return tuple(sorted(range(self.dim()), key=lambda d: -strides[d]))


def to_sparse_coo(self: Tensor) -> Tensor:
    """``to_sparse()``.

    >>> nnlib.tensor([0, 3]).to_sparse_coo().indices()
    tensor([[1]])
    """
    return self.to_sparse()
