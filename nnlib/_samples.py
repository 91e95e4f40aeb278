"""Numbers taken apart, counts of samples, reductions of stretches, powers of samples."""

from __future__ import annotations

import math

from . import _C
from ._out import named, takes_out
from .autograd.function import Function

Tensor = _C.Tensor

_frexp = named("frexp", "mantissa exponent")
_histogram = named("histogram", "hist bin_edges")
_histogramdd = named("histogramdd", "hist bin_edges")


class _Frexp(Function):
    @staticmethod
    def forward(ctx, x):
        wide = x if x.dtype == _C.float64 else x.to(_C.float64)
        # Float64 holds every number of the smaller types without a denormal one; its own are scaled first.
        tiny = wide.abs() < 2.0**-1022
        bits = _C.where(tiny, wide * 2.0**64, wide).contiguous().view(_C.int64)
        biased = (bits >> 52) & 0x7FF
        plain = (wide != 0) & wide.isfinite()
        exponent = _C.where(plain, biased - 1022 - 64 * tiny.to(_C.int64), 0).to(_C.int32)
        scaled = ((bits & ~(0x7FF << 52)) | (1022 << 52)).view(_C.float64)
        mantissa = _C.where(plain, scaled, wide).to(x.dtype)
        ctx.save_for_backward(exponent)
        ctx.mark_non_differentiable(exponent)
        return mantissa, exponent

    @staticmethod
    def backward(ctx, grad, _):
        (exponent,) = ctx.saved_tensors
        return grad / _C.exp2(exponent.to(grad.dtype))


@takes_out
def frexp(input: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers as ``mantissa * 2**exponent`` with the mantissa's magnitude within 0.5 and 1; 0, infinity and NaN stay.

    RuntimeError for integers.

    >>> nnlib.frexp(nnlib.tensor([8.0, -0.75])).exponent
    tensor([4, 0], dtype=torch.int32)
    """
    if not input.is_floating_point():
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return _frexp(*_Frexp.apply(input))


@takes_out
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of powers of samples: row i has ``x[i]`` to the powers N - 1, ..., 1, 0.

    Args:
        x: (n,).
        N: the number of columns. Default: n.
        increasing: powers from 0 on.

    RuntimeError for another shape or a negative N.

    >>> nnlib.vander(nnlib.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [4, 2, 1],
            [9, 3, 1]])
    """
    if x.dim() != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise RuntimeError("N must be non-negative.")
    dtype = x.dtype if x.is_floating_point() else _C.int64
    powers = _C.ones(x.shape[0], columns, dtype=dtype)
    if columns > 1:
        later = x.to(dtype).unsqueeze(1).expand(x.shape[0], columns - 1).cumprod(1)
        powers = _C.cat([powers[:, :1], later], 1)
    return powers if increasing else powers.flip(1)


# ---- histograms


def _outer(x: Tensor, range) -> tuple[list[float], list[float]]:
    """The ends of each dimension's bins."""
    dims = x.shape[1]
    if range is not None:
        if len(range) != 2 * dims:
            raise RuntimeError(
                f"torch.histogramdd: for a {dims}-dimensional histogram range should have {2 * dims} elements, but got "
                f"{len(range)}"
            )
        low, high = list(range[::2]), list(range[1::2])
    elif x.shape[0]:
        low, high = x.amin(0).tolist(), x.amax(0).tolist()
    else:
        low, high = [0.0] * dims, [1.0] * dims
    for d, (a, b) in enumerate(zip(low, high, strict=True)):
        if not (math.isfinite(a) and math.isfinite(b)):
            raise RuntimeError(f"torch.histogramdd: dimension {d}'s range [{a}, {b}] is not finite")
        if a > b:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {a} max {b} for dimension {d}"
            )
        if a == b:
            low[d], high[d] = a - 0.5, b + 0.5
    return low, high


def _edges(x: Tensor, bins, range) -> list[Tensor]:
    if all(isinstance(b, Tensor) for b in bins):
        for b in bins:
            if b.dtype != x.dtype:
                raise RuntimeError(
                    f"torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with "
                    f"dtype {x.dtype} and bins with dtype {b.dtype}"
                )
            if b.dim() != 1 or b.numel() == 0:
                raise RuntimeError(
                    "torch.histogramdd: bins tensor should have one dimension and at least one edge"
                )
        return list(bins)
    if any(b <= 0 for b in bins):
        raise RuntimeError("torch.histogramdd: bins must be > 0, but got " + ", ".join(str(b) for b in bins))
    low, high = _outer(x, range)
    return [_C.linspace(a, b, n + 1, dtype=x.dtype) for a, b, n in zip(low, high, bins, strict=True)]


def _count(x: Tensor, edges: list[Tensor], weight: Tensor | None, density: bool) -> Tensor:
    sizes = [e.shape[0] - 1 for e in edges]
    place = _C.zeros(x.shape[0], dtype=_C.int64)
    inside = _C.ones(x.shape[0], dtype=_C.bool)
    for d, (e, n) in enumerate(zip(edges, sizes, strict=True)):
        column = x[:, d].contiguous()
        at = _C.searchsorted(e.contiguous(), column, right=True) - 1
        at = _C.where(column == e[-1], n - 1, at)  # the last bin has both its ends
        inside = inside & (at >= 0) & (at < n) & ~column.isnan()
        place = place * n + at
    ones = _C.ones(x.shape[0], dtype=x.dtype) if weight is None else weight
    kept = _C.where(inside, ones, 0)
    total = _C.zeros(math.prod(sizes), dtype=x.dtype)
    if total.numel():
        total = total.index_add(0, _C.where(inside, place, 0), kept)
    result = total.reshape(sizes)
    if density:
        result = result / result.sum()
        for d, e in enumerate(edges):
            result = result / e.diff().reshape([-1 if i == d else 1 for i in range(len(edges))])
    return result


def _checked(name: str, input: Tensor, weight: Tensor | None, shape) -> None:
    if not input.is_floating_point():
        raise NotImplementedError(f"{name}: expected floating-point numbers, but got {input.dtype}")
    if weight is not None:
        if weight.dtype != input.dtype:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the same "
                f"dtype, but got input(dtype={input.dtype}), and weight(dtype={weight.dtype})"
            )
        if tuple(weight.shape) != tuple(shape):
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor "
                f"excluding its innermost dimension, but got input with shape {tuple(input.shape)} and "
                f"weight with shape {tuple(weight.shape)}"
            )


@takes_out
def histogram(input: Tensor, bins=100, *, range=None, weight: Tensor | None = None, density: bool = False):
    """How many values lie in each bin: a named tuple (hist, bin_edges).

    A bin holds its left end, the last one its right end too; values outside are not counted.

    Args:
        input: floating point.
        bins: a number of bins of one width, or a tensor of their edges, rising.
        range: the ends of the bins where ``bins`` is a number. Default: the least and the largest value.
        weight: how much each value counts, of the input's shape and type.
        density: divide by the total and by the bins' widths, so that the integral is 1.

    NotImplementedError for integers; RuntimeError for no bins, a range that is not finite or falls, and a weight
    that does not fit.

    >>> nnlib.histogram(nnlib.tensor([1.0, 2.0, 1.0]), bins=4, range=(0.0, 3.0)).hist
    tensor([0., 2., 1., 0.])
    """
    _checked("histogram", input, weight, input.shape)
    x = input.reshape(-1, 1)
    (edges,) = _edges(x, [bins], range)
    flat = None if weight is None else weight.reshape(-1)
    return _histogram(_count(x, [edges], flat, density), edges)


def histogramdd(input: Tensor, bins, *, range=None, weight: Tensor | None = None, density: bool = False):
    """:func:`histogram` of points: a named tuple of the counts (one dimension a coordinate) and a tuple of edges.

    Args:
        input: (..., D), floating point.
        bins: D numbers of bins or D tensors of edges; one number for all.
        range: D pairs of ends, one after the other in one sequence.
        weight: of the input's shape without the last dimension.
        density: as in :func:`histogram`, by the bins' volumes.

    >>> nnlib.histogramdd(nnlib.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), bins=[2, 2]).hist
    tensor([[0., 1.],
            [1., 1.]])
    """
    _checked("histogramdd", input, weight, input.shape[:-1])
    if input.dim() < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    dims = input.shape[-1]
    bins = [bins] * dims if isinstance(bins, int) else list(bins)
    if len(bins) != dims:
        raise RuntimeError(
            f"torch.histogramdd: expected {dims} sequences of bin edges for a {dims}-dimensional histogram "
            f"but got {len(bins)}"
        )
    x = input.reshape(-1, dims)
    edges = _edges(x, bins, range)
    flat = None if weight is None else weight.reshape(-1)
    return _histogramdd(_count(x, edges, flat, density), tuple(edges))


# ---- reductions of stretches


def _empty_value(reduce: str, initial):
    if initial is not None:
        return initial
    return {"sum": 0.0, "mean": math.nan, "prod": 1.0, "max": -math.inf, "min": math.inf}[reduce]


def segment_reduce(
    data: Tensor, reduce: str, *, lengths: Tensor | None = None, indices=None, offsets: Tensor | None = None,
    axis: int = 0, unsafe: bool = False, initial=None,
) -> Tensor:  # fmt: skip
    """Reduce stretches of different lengths along one dimension.

    Args:
        data: floating point.
        reduce: "sum", "mean", "prod", "max" or "min".
        lengths: of the stretches, which lie one after the other; for ``axis`` k of k + 1 dimensions.
        indices: must be None (RuntimeError).
        offsets: where the stretches begin, and the end of the last, instead of lengths.
        axis: the dimension.
        unsafe: do not compare the lengths' sum with the data's size.
        initial: what a stretch starts from; without it an empty one gives 0, NaN, 1, -inf or inf.

    RuntimeError where the stretches do not fit the data.

    >>> nnlib.segment_reduce(nnlib.tensor([1.0, 2.0, 3.0]), "sum", lengths=nnlib.tensor([2, 1]))
    tensor([3., 3.])
    """
    if reduce not in ("sum", "mean", "prod", "max", "min"):
        raise RuntimeError(f"Unsupported reduction given: {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if (lengths is None) == (offsets is None):
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined, and not both")
    lengths = offsets.diff() if lengths is None else lengths
    axis %= data.dim()
    if lengths.dim() != axis + 1:
        raise RuntimeError(
            f"segment_reduce(): Expected axis to be the last dimension of lengths but got {axis}."
        )
    if not unsafe:
        if lengths.numel() and int(lengths.min()) < 0:
            raise RuntimeError("lengths contains negative value!")
        if bool((lengths.sum(-1) != data.shape[axis]).any()):
            raise RuntimeError(
                "segment_reduce(): Expected all rows of lengths along axis to sum to data.size(axis)"
            )
    outer, count = lengths.shape[:-1], lengths.shape[-1]
    # Along the dimension, batch after batch: one row for each element, and the stretch to which it belongs.
    rows = data.reshape(-1, *data.shape[axis + 1 :])
    index = _C.repeat_interleave(_C.arange(lengths.numel()), lengths.reshape(-1))
    start = _empty_value("sum" if reduce == "mean" else reduce, initial)
    base = _C.full((lengths.numel(), *rows.shape[1:]), start, dtype=data.dtype)
    if reduce in ("sum", "mean"):
        result = base.index_add(0, index, rows)
    else:
        kind = {"prod": "prod", "max": "amax", "min": "amin"}[reduce]
        place = index.reshape(-1, *[1] * (rows.dim() - 1)).expand(rows.shape)
        result = base.scatter_reduce(0, place, rows, kind, include_self=True)
    if reduce == "mean":
        size = lengths.reshape(-1, *[1] * (rows.dim() - 1)).to(data.dtype)
        result = _C.where(size > 0, result / size.clamp(min=1), _empty_value("mean", initial))
    return result.reshape(*outer, count, *data.shape[axis + 1 :])
