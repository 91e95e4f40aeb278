"""Pooling: maxima, means and powers over windows of fixed, adaptive or random size, and the way back from
maxima.
"""

from __future__ import annotations

import math

from nnlib import _C

from .._tuples import to_ntuple

Tensor = _C.Tensor

avg_pool1d = _C.avg_pool1d
avg_pool2d = _C.avg_pool2d
avg_pool3d = _C.avg_pool3d
adaptive_avg_pool1d = _C.adaptive_avg_pool1d


def _named(function, name, doc):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _max_pool(n):
    plain, with_indices = getattr(_C, f"max_pool{n}d"), getattr(_C, f"max_pool{n}d_with_indices")

    def max_pool(
        input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
    ):
        if return_indices:
            return with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
        return plain(input, kernel_size, stride, padding, dilation, ceil_mode)

    def max_pool_with_indices(
        input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
    ):
        return with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)

    doc = f"Maxima over windows; with `return_indices` also where they stood. See `nnlib.nn.MaxPool{n}d`."
    return (
        _named(max_pool, f"max_pool{n}d", doc),
        _named(max_pool_with_indices, f"max_pool{n}d_with_indices", f"`max_pool{n}d` with the indices."),
    )


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)


def _resolve_none(output_size, input, n, name):
    """The output size of an adaptive pooling: None stands for the size of the input."""
    if isinstance(output_size, int):
        return output_size
    if output_size is None:
        return tuple(input.shape[-n:])
    output_size = tuple(output_size)
    if n > 1 and len(output_size) >= input.dim():
        raise ValueError(
            f"Input dimension should be at least {len(output_size) + 1}, but the input of {name} has the "
            f"sizes {list(input.shape)}"
        )
    if len(output_size) != n:
        raise RuntimeError(f"{name}: output_size must be {n} numbers or one, but got {list(output_size)}")
    return tuple(
        size if out is None else out for size, out in zip(input.shape[-n:], output_size, strict=False)
    )


def _adaptive_avg_pool(n):
    name = f"adaptive_avg_pool{n}d"
    native = getattr(_C, name)

    def pool(input, output_size):
        return native(input, _resolve_none(output_size, input, n, name))

    doc = (
        f"Means over windows chosen so that the output has `output_size`. See `nnlib.nn.AdaptiveAvgPool{n}d`."
    )
    return _named(pool, name, doc)


adaptive_avg_pool2d, adaptive_avg_pool3d = _adaptive_avg_pool(2), _adaptive_avg_pool(3)


def _adaptive_max_pool(n):
    name = f"adaptive_max_pool{n}d"
    native = getattr(_C, name)

    def pool(input: Tensor, output_size, return_indices=False):
        result = native(input, _resolve_none(output_size, input, n, name))
        return result if return_indices else result[0]

    def pool_with_indices(input: Tensor, output_size, return_indices=False):
        return native(input, _resolve_none(output_size, input, n, name))

    doc = f"Maxima over windows that give the output `output_size`. See `nnlib.nn.AdaptiveMaxPool{n}d`."
    return _named(pool, name, doc), _named(
        pool_with_indices, name + "_with_indices", f"`{name}` with the indices."
    )


adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive_max_pool(1)
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive_max_pool(2)
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive_max_pool(3)


def _lp_pool(n):
    avg_pool = getattr(_C, f"avg_pool{n}d")
    max_pool = getattr(_C, f"max_pool{n}d")

    def lp_pool(input: Tensor, norm_type, kernel_size, stride=None, ceil_mode=False):
        if norm_type == math.inf:
            return max_pool(input.abs(), kernel_size, stride, 0, 1, ceil_mode)
        if norm_type == -math.inf:
            return -max_pool(-input.abs(), kernel_size, stride, 0, 1, ceil_mode)
        mean = avg_pool(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        # Odd powers of negative numbers may sum to a negative one, whose root does not exist: 0 then.
        return (
            (mean.sign() * mean.abs().relu()).mul(math.prod(to_ntuple(kernel_size, n))).pow(1.0 / norm_type)
        )

    return _named(lp_pool, f"lp_pool{n}d", f"p-norms over windows. See `nnlib.nn.LPPool{n}d`.")


lp_pool1d, lp_pool2d, lp_pool3d = _lp_pool(1), _lp_pool(2), _lp_pool(3)


def _fractional_max_pool(n):
    native = getattr(_C, f"fractional_max_pool{n}d")
    name = f"fractional_max_pool{n}d"

    def with_indices(
        input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        if output_size is None:
            ratio = to_ntuple(output_ratio, n)
            if len(ratio) > n:
                raise ValueError(
                    f"{name} requires output_ratio to either be a single number or a tuple of {n} numbers."
                )
            output_size = tuple(int(size * r) for size, r in zip(input.shape[-n:], ratio, strict=True))
        if _random_samples is None:
            batch = 1 if input.dim() == n + 1 else input.size(0)
            _random_samples = _C.rand((batch, input.size(-n - 1), n), dtype=input.dtype)
        return native(input, to_ntuple(kernel_size, n), to_ntuple(output_size, n), _random_samples)

    def pool(
        input: Tensor,
        kernel_size,
        output_size=None,
        output_ratio=None,
        return_indices=False,
        _random_samples=None,
    ):
        result = with_indices(input, kernel_size, output_size, output_ratio, return_indices, _random_samples)
        return result if return_indices else result[0]

    doc = f"Maxima over windows of random places. See `nnlib.nn.FractionalMaxPool{n}d`."
    return _named(pool, name, doc), _named(
        with_indices, name + "_with_indices", f"`{name}` with the indices."
    )


fractional_max_pool2d, fractional_max_pool2d_with_indices = _fractional_max_pool(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _fractional_max_pool(3)


def _unpool_output_size(input, kernel_size, stride, padding, output_size):
    n = len(kernel_size)
    default = [
        (size - 1) * s + k - 2 * p
        for size, k, s, p in zip(input.shape[-n:], kernel_size, stride, padding, strict=True)
    ]
    if output_size is None:
        result = default
    else:
        result = list(output_size)[2:] if len(output_size) == n + 2 else list(output_size)
        if len(result) != n:
            raise ValueError(
                f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a length "
                f"of '{len(output_size)}'"
            )
        for d, (size, middle, s) in enumerate(zip(result, default, stride, strict=True)):
            if not middle - s < size < middle + s:
                raise ValueError(
                    f'invalid output_size "{tuple(result)}" '
                    f"(dim {d} must be between {middle - s} and {middle + s})"
                )
    for d, size in enumerate(result):
        if size < 0:
            raise ValueError(
                "max_unpooling: output_size must contain non-negative spatial dimensions, but got "
                f"output_size[{d}]={size}"
            )
    return tuple(result)


def _max_unpool(n):
    def max_unpool(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0, output_size=None):
        kernel = to_ntuple(kernel_size, n)
        stride = kernel if stride is None else to_ntuple(stride, n)
        size = _unpool_output_size(input, kernel, stride, to_ntuple(padding, n), output_size)
        if n == 1:
            return _C.max_unpool2d(input.unsqueeze(-1), indices.unsqueeze(-1), (*size, 1)).squeeze(-1)
        return getattr(_C, f"max_unpool{n}d")(input, indices, size)

    doc = f"Puts maxima back where they stood, zeros elsewhere. See `nnlib.nn.MaxUnpool{n}d`."
    return _named(max_unpool, f"max_unpool{n}d", doc)


max_unpool1d, max_unpool2d, max_unpool3d = _max_unpool(1), _max_unpool(2), _max_unpool(3)
