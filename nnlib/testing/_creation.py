"""Random inputs for tests."""

from __future__ import annotations

import math
import warnings

from .. import _C
from .._functions import finfo, iinfo
from .._tensor import Tensor


def make_tensor(
    *shape,
    dtype,
    device,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format=None,
) -> Tensor:
    """A tensor of values drawn uniformly from [low, high).

    Args:
        shape: sizes, or one sequence of them.
        dtype, device: of the tensor.
        low, high: cut to what the dtype holds. Defaults: -9 and 9 for floating-point types, -9 (0 where there is no
            sign) and 10 for integers, 0 and 2 for bool.
        requires_grad: of floating-point tensors.
        noncontiguous: every other element of a tensor twice as wide; not with ``memory_format``.
        exclude_zero: put the least positive normal number, or 1, in place of zeros.
        memory_format: the layout in memory.

    ValueError for limits that are NaN, empty or outside the dtype, for a gradient of integers, and for both
    layouts at once.

    >>> nnlib.testing.make_tensor(2, 3, dtype=nnlib.int8, device="cpu", low=0, high=1)
    tensor([[0, 0, 0],
            [0, 0, 0]], dtype=torch.int8)
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    floating = dtype.is_floating_point
    if noncontiguous and memory_format is not None:
        raise ValueError(
            f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got {noncontiguous=} and "
            f"{memory_format=}"
        )
    if requires_grad and not floating:
        raise ValueError(
            f"`requires_grad=True` is not supported for boolean and integral dtypes, but got {dtype=}"
        )
    low, high = _limits(dtype, low, high)
    noncontiguous = noncontiguous and math.prod(sizes) > 1
    drawn = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous else sizes
    if floating:
        wide = dtype if dtype in (_C.float32, _C.float64) else _C.float32
        values = (
            _C.rand(drawn, dtype=wide, device=device).mul_(high - low).add_(low).clamp_(low, high).to(dtype)
        )
    else:
        values = _C.randint(math.ceil(low), math.ceil(high), drawn, dtype=dtype, device=device)
    if noncontiguous:
        values = values[..., 1::2]
    elif memory_format is not None:
        values = values.clone(memory_format=memory_format)
    if exclude_zero:
        values[values == 0] = finfo(dtype).tiny if floating else 1
    return values.requires_grad_(requires_grad) if floating else values


def _limits(dtype, low, high) -> tuple:
    """The range to draw from, cut to that of the dtype."""
    if dtype.is_floating_point:
        least, most, usual = finfo(dtype).min, finfo(dtype).max, (-9, 9)
    elif dtype == _C.bool:
        least, most, usual = 0, 2, (0, 2)
    else:
        # randint takes its bounds as 64-bit integers.
        least, most, usual = iinfo(dtype).min, iinfo(dtype).max + (dtype != _C.int64), (-9, 10)
    low, high = usual[0] if low is None else low, usual[1] if high is None else high
    if any(isinstance(v, float) and math.isnan(v) for v in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low == high and dtype.is_floating_point:
        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated: use "
            "`torch.full(...)` instead.",
            FutureWarning,
            stacklevel=3,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < least or low >= most:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports "
            f"[{least}, {most})"
        )
    return min(max(low, least), most), min(max(high, least), most)
