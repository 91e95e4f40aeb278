"""Resizing along one dimension at a time: which input elements make an output element, and with which
weights.

Every mode comes down to a table of taps: for each output position the positions of the input elements that it
is made of, and their weights. One dimension is resampled by looking up each column of the table and adding
up. Positions are
computed in float32, as PyTorch computes them: which neighbour is nearest may depend on the rounding.
"""

import math

from nnlib import _C

CUBIC, _CUBIC_ANTIALIAS = -0.75, -0.5  # the free parameter of the cubic convolution kernel


def _ratio(n, out, scale):
    """Input elements per output element; `scale` is the factor that the caller asked for, if it is to
    count.
    """
    return 1.0 / scale if scale else n / out


def _positions(n, out, scale, align_corners):
    """The place in the input of each output element, as a float."""
    index = _C.arange(out, dtype=_C.float32)
    if align_corners:
        return index * ((n - 1) / (out - 1) if out > 1 else 0.0)
    return (index + 0.5) * _ratio(n, out, scale) - 0.5


def _nearest(n, out, scale, exact):
    index = _C.arange(out, dtype=_C.float32)
    if exact:
        index = index + 0.5
    elif out == n:
        return _C.arange(out).unsqueeze(1)
    return (index * _ratio(n, out, scale)).floor().to(_C.int64).clamp(max=n - 1).unsqueeze(1)


def _linear(n, out, scale, align_corners):
    place = _positions(n, out, scale, align_corners).clamp_min(0.0)
    low = place.floor().to(_C.int64).clamp(max=n - 1)
    high = (low + 1).clamp(max=n - 1)
    weight = place - low.to(_C.float32)
    return _C.stack([low, high], 1), _C.stack([1 - weight, weight], 1)


def cubic_kernel(x, a):
    """The cubic convolution kernel at distance x (Keys, 1981)."""
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return _C.where(x <= 1, near, _C.where(x < 2, far, _C.zeros_like(x)))


def _cubic(n, out, scale, align_corners):
    place = _positions(n, out, scale, align_corners)
    low = place.floor()
    offsets = _C.arange(-1, 3, dtype=_C.float32)
    distance = (place - low).unsqueeze(1) - offsets.unsqueeze(0)
    index = (low.unsqueeze(1) + offsets.unsqueeze(0)).to(_C.int64).clamp(0, n - 1)
    return index, cubic_kernel(distance, CUBIC)


def _antialiased(n, out, scale, align_corners, cubic):
    """The kernel stretched over as many input elements as fall on one output element."""
    if align_corners:
        ratio = (n - 1) / (out - 1) if out > 1 else 0.0
    else:
        ratio = _ratio(n, out, scale)
    stretch = max(ratio, 1.0)
    support = (2.0 if cubic else 1.0) * stretch
    centre = (_C.arange(out, dtype=_C.float32) + 0.5) * ratio
    first = (centre - support + 0.5).trunc().to(_C.int64).clamp_min(0)
    last = (centre + support + 0.5).trunc().to(_C.int64).clamp(max=n)
    index = first.unsqueeze(1) + _C.arange(int(2 * math.ceil(support)) + 1).unsqueeze(0)
    distance = (index.to(_C.float32) - centre.unsqueeze(1) + 0.5) / stretch
    weight = cubic_kernel(distance, _CUBIC_ANTIALIAS) if cubic else (1 - distance.abs()).clamp_min(0.0)
    weight = weight.masked_fill(index >= last.unsqueeze(1), 0.0)
    return index.clamp(max=n - 1), weight / weight.sum(1, keepdim=True)


def _taps(n, out, scale, mode, align_corners, antialias):
    """(positions, weights) of shape (out, number of taps); weights None for a plain choice."""
    if mode.startswith("nearest"):
        return _nearest(n, out, scale, mode == "nearest-exact"), None
    cubic = mode == "bicubic"
    if antialias:
        return _antialiased(n, out, scale, align_corners, cubic)
    return (_cubic if cubic else _linear)(n, out, scale, align_corners)


def _along(input, dim, index, weight):
    if weight is None:
        return input.index_select(dim, index.squeeze(1))
    shape = [1] * input.dim()
    shape[dim] = -1
    columns = zip(index.unbind(1), weight.to(input.dtype).unbind(1), strict=True)
    return sum(input.index_select(dim, place) * w.reshape(shape) for place, w in columns)


def resample(input, sizes, scales, mode, align_corners, antialias):
    """Resize the spatial dimensions of (N, C, *) to `sizes`.

    Args:
        input (Tensor): floating point (any dtype for the nearest modes).
        sizes (list of int): of the output.
        scales (list of float or None): factors to compute positions with, instead of the ratio of sizes.
        mode (str): nearest, nearest-exact, linear, bilinear, trilinear or bicubic.
        align_corners, antialias (bool): as in `interpolate`.
    """
    if min(sizes) <= 0 or min(input.shape[2:]) <= 0:
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input of size {list(input.shape[2:])} "
            f"and output of size {sizes}"
        )
    dtype = input.dtype
    if dtype in (_C.float16, _C.bfloat16) and not mode.startswith("nearest"):
        input = input.to(_C.float32)  # sums of several taps: rounded once
    # Dimensions that shrink first, so that the others work on less.
    order = sorted(range(len(sizes)), key=lambda d: sizes[d] / input.size(d + 2))
    for d in order:
        n, out, scale = input.size(d + 2), sizes[d], scales[d] if scales else None
        if n != out or (scale not in (None, 1.0)):
            input = _along(input, d + 2, *_taps(n, out, scale, mode, align_corners, antialias))
    return input.to(dtype)
