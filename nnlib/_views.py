"""Copies with a part replaced, tensors made like others, and elements one at a time in Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from . import _C
from ._dims import wrapped_dim
from ._out import takes_out

Tensor = _C.Tensor


def _put(input: Tensor, src: Tensor, part: Callable) -> Tensor:
    result = input.clone(memory_format=_C.preserve_format)
    place = part(result)
    if place.shape != src.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(place.shape)}"
        )
    place.copy_(src)
    return result


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` with ``src`` at one index of a dimension.

    RuntimeError where ``src`` does not have the shape of ``input.select(dim, index)``.

    >>> nnlib.select_scatter(nnlib.zeros(2, 2), nnlib.ones(2), 0, 0)
    tensor([[1., 1.],
            [0., 0.]])
    """
    return _put(input, src, lambda t: t.select(dim, index))


@takes_out
def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start=None, end=None, step: int = 1) -> Tensor:
    """A copy of ``input`` with ``src`` at ``start:end:step`` of a dimension.

    RuntimeError where ``src`` does not have the slice's shape.

    >>> nnlib.slice_scatter(nnlib.zeros(4), nnlib.ones(2), start=1, end=3)
    tensor([0., 1., 1., 0.])
    """
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    places = (slice(None),) * wrapped_dim(dim, input.dim()) + (slice(start, end, step),)
    return _put(input, src, lambda t: t[places])


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of ``input`` with ``src`` on a diagonal.

    RuntimeError where ``src`` does not have the shape of ``input.diagonal(offset, dim1, dim2)``.

    >>> nnlib.diagonal_scatter(nnlib.zeros(2, 2), nnlib.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _put(input, src, lambda t: t.diagonal(offset, dim1, dim2))


def as_strided_scatter(input: Tensor, src: Tensor, size, stride, storage_offset: int | None = None) -> Tensor:
    """A copy of a contiguous ``input`` with ``src`` where ``as_strided`` would look.

    RuntimeError where ``input`` is not contiguous or ``src`` does not have the shape ``size``.

    >>> nnlib.as_strided_scatter(nnlib.zeros(2, 2), nnlib.ones(2), (2,), (3,))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if not input.is_contiguous():
        raise RuntimeError(
            "as_strided_scatter: expected a contiguous input, since strides count its elements"
        )
    offset = input.storage_offset() if storage_offset is None else storage_offset
    return _put(input, src, lambda t: t.as_strided(size, stride, offset - input.storage_offset()))


def narrow_copy(input: Tensor, dim: int, start: int, length: int, *, out: Tensor | None = None) -> Tensor:
    """:func:`nnlib.narrow` as a copy."""
    result = input.narrow(dim, start, length).clone(memory_format=_C.contiguous_format)
    return result if out is None else out.resize_(result.shape).copy_(result)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """:func:`nnlib.chunk`; changes of the parts in place are counted as everywhere."""
    return input.chunk(chunks, dim)


def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """:func:`nnlib.split` with one size; changes of the parts in place are counted as everywhere."""
    return input.split(split_size, dim)


def unsafe_split_with_sizes(input: Tensor, split_sizes, dim: int = 0) -> tuple[Tensor, ...]:
    """:func:`nnlib.split` with a list of sizes; changes of the parts in place are counted as everywhere."""
    return input.split_with_sizes(split_sizes, dim)


def as_strided_(input: Tensor, size, stride, storage_offset: int | None = None) -> Tensor:
    """Make ``input`` look at its memory with other sizes and strides; returns it."""
    return input.as_strided_(size, stride, storage_offset)


def resize_as_(input: Tensor, the_template: Tensor) -> Tensor:
    """Give ``input`` the shape of ``the_template``; returns it. New elements are unset."""
    return input.resize_(the_template.shape)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first ``size`` rows of :func:`nnlib.nonzero`; ``fill_value`` where there are fewer.

    RuntimeError for a negative size.

    >>> nnlib.nonzero_static(nnlib.tensor([0, 3]), size=2)
    tensor([[ 1],
            [-1]])
    """
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    found = _C.nonzero(input)[:size]
    result = _C.full((size, input.dim()), fill_value, dtype=_C.int64)
    result[: found.shape[0]] = found
    return result


def empty_permuted(
    size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False
) -> Tensor:
    """An unset tensor whose dimensions lie in memory in another order.

    Args:
        size: the sizes.
        physical_layout: the dimensions, the outermost in memory first.
        dtype, layout, device, requires_grad: as of :func:`nnlib.empty`.

    RuntimeError where the order is none of all dimensions.

    >>> nnlib.empty_permuted((2, 3, 5), (0, 2, 1)).stride()
    (15, 1, 3)
    """
    order = tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout, or it is no order of "
            f"them: size {tuple(size)}, physical_layout {order}"
        )
    memory = _C.empty(
        [size[d] for d in order], dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )
    return memory.permute([order.index(d) for d in range(len(order))])


def asarray(obj, *, dtype=None, device=None, copy: bool | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of what ``obj`` holds, in the same memory where that can be.

    Args:
        obj: a tensor, a NumPy array, what speaks DLPack or has a buffer; or numbers and sequences, always copied.
        dtype: of the result; another than the object's makes a copy. A buffer is read as this type, the default
            dtype without it.
        device: of the result.
        copy: True: always; False: never (ValueError where it would be needed).
        requires_grad: of the result; a tensor that requires grad goes on doing so without it.

    >>> x = nnlib.ones(2)
    >>> nnlib.asarray(x) is x, nnlib.asarray(x, copy=True) is x
    (True, False)
    """
    t = _shared_with(obj, dtype)
    if t is None:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        return _C.tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    target = t.dtype if dtype is None else dtype
    device = t.device if device is None else _C.device(str(device))
    if copy is False and t.dtype != target:
        raise ValueError(f"can't alias tensor with dtype '{t.dtype}' into dtype '{target}'.")
    if copy is False and t.device != device:
        raise ValueError(f"can't alias tensor from device '{t.device}' to '{device}'.")
    result = t.clone() if copy and t.dtype == target and t.device == device else t.to(device, target)
    return result.requires_grad_() if requires_grad else result


def _shared_with(obj, dtype):
    """A tensor in the memory of ``obj``; None where there can be none."""
    if isinstance(obj, Tensor):
        return obj
    if hasattr(obj, "__array_interface__") and hasattr(obj, "dtype"):
        import numpy

        return _C.from_numpy(numpy.asarray(obj))
    if hasattr(obj, "__dlpack__"):
        return _C.from_dlpack(obj)
    if isinstance(obj, (bytes, bytearray, memoryview)) or hasattr(obj, "typecode"):
        return _C.frombuffer(obj, dtype=_C.get_default_dtype() if dtype is None else dtype)
    return None


def new_tensor(self: Tensor, data, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """A new tensor of ``data``, of this one's dtype and device unless others are given.

    >>> nnlib.ones(2, dtype=nnlib.int8).new_tensor([1, 2])
    tensor([1, 2], dtype=torch.int8)
    """
    dtype, device = self.dtype if dtype is None else dtype, self.device if device is None else device
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than tensor.new_tensor(sourceTensor).",
            stacklevel=2,
        )
        return data.detach().clone().to(device, dtype).requires_grad_(requires_grad)
    return _C.tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def new(self: Tensor, *args, device=None) -> Tensor:
    """The old constructor: sizes give unset values, a sequence or tensor its values, in this tensor's dtype.

    >>> nnlib.ones(2, dtype=nnlib.int8).new(2, 3).shape
    torch.Size([2, 3])
    """
    device = self.device if device is None else device
    if not args:
        return _C.empty((0,), dtype=self.dtype, device=device)
    first = args[0]
    if all(isinstance(a, int) and not isinstance(a, bool) for a in args):
        return _C.empty(args, dtype=self.dtype, device=device)
    if len(args) != 1:
        raise TypeError(f"new() takes sizes, one sequence or one tensor, got {len(args)} arguments")
    if type(first).__name__ == "Size":
        return _C.empty(first, dtype=self.dtype, device=device)
    if isinstance(first, Tensor):
        if first.dtype != self.dtype:
            raise TypeError(f"expected {self.type()} (got {first.type()})")
        return first.detach()
    return _C.tensor(first, dtype=self.dtype, device=device)


def fill_diagonal_(self: Tensor, fill_value, wrap: bool = False) -> Tensor:
    """Write one value to the main diagonal; returns the tensor.

    Args:
        fill_value: a number.
        wrap: in a matrix that is higher than wide, begin another diagonal after each, a row in between.

    RuntimeError for fewer than two dimensions, or for more than two that are not all of one size.

    >>> nnlib.zeros(2, 2).fill_diagonal_(5)
    tensor([[5., 0.],
            [0., 5.]])
    """
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    size, step = min(self.shape), sum(self.stride())
    if size == 0:
        return self
    self.as_strided((size,), (step,), self.storage_offset()).fill_(fill_value)
    height, width = self.shape[:2]
    if wrap and self.dim() == 2 and height > width + 1:
        for row in range(width + 1, height, width + 1):
            below = self.narrow(0, row, height - row).diagonal()
            below.fill_(fill_value)
    return self


def _refuse_gradient(self: Tensor, name: str) -> None:
    if self.requires_grad:
        raise RuntimeError(
            f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead."
        )


def _flat(t: Tensor) -> list:
    return t.detach().reshape(-1).tolist()


def apply_(self: Tensor, callable: Callable) -> Tensor:
    """Replace each element by what a Python function makes of it; returns the tensor. Slow.

    TypeError where the function returns no number; RuntimeError for a tensor that requires grad.

    >>> nnlib.arange(3).apply_(lambda x: x * x)
    tensor([0, 1, 4])
    """
    _refuse_gradient(self, "apply_")
    values = [callable(v) for v in _flat(self)]
    return self.copy_(_C.tensor(values, dtype=self.dtype).reshape(self.shape))


def map_(self: Tensor, tensor: Tensor, callable: Callable) -> Tensor:
    """Replace each element by what a Python function makes of it and of the other tensor's; returns the tensor. Slow.

    ``tensor`` broadcasts. TypeError where the types differ; RuntimeError for tensors that require grad.

    >>> nnlib.arange(3).map_(nnlib.tensor(10), lambda x, y: x * y)
    tensor([ 0, 10, 20])
    """
    return _mapped(self, "map_", (tensor,), callable)


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable) -> Tensor:
    """:func:`map_` with two other tensors."""
    return _mapped(self, "map2_", (x, y), callable)


def _mapped(self: Tensor, name: str, others: tuple, callable: Callable) -> Tensor:
    for t in (self, *others):
        _refuse_gradient(t, name)
        if t.dtype != self.dtype:
            raise TypeError(f"{name}: expected a tensor of {self.type()}, but got {t.type()}")
    columns = [_flat(self), *(_flat(t.expand(self.shape)) for t in others)]
    values = [callable(*row) for row in zip(*columns, strict=True)]
    return self.copy_(_C.tensor(values, dtype=self.dtype).reshape(self.shape))
