"""The normal distribution's function, its logarithm and inverse, and entropies."""

from __future__ import annotations

import math

from .. import _C
from .._out import takes_out
from ._series import floating, unary

_ROOT_2, _ROOT_PI = math.sqrt(2), math.sqrt(math.pi)


def _erfcx(x):
    """exp(x^2) erfc(x): by the product up to 8, by the asymptotic series above."""
    low = x.clamp(max=8)
    head = low.to(_C.float32).to(_C.float64)  # of 24 digits, so that its square is exact
    product = (head * head).exp() * ((low - head) * (low + head)).exp() * low.erfc()
    high = x.clamp(min=8)
    inverse = 1 / (2 * high * high)
    total = _C.zeros_like(high)
    for k in range(24, 0, -1):
        total = -(2 * k - 1) * inverse * (1 + total)
    series = (1 + total) / (high * _ROOT_PI)
    return _C.where(x <= 8, _C.where(x < -27, math.inf, product), series)


def _log_ndtr(x):
    left = (_erfcx(-x.clamp(max=-1) / _ROOT_2) / 2).log() - x * x / 2
    right = (-(x.clamp(min=-1) / _ROOT_2).erfc() / 2).log1p()
    value = _C.where(x < -1, left, right)
    return _C.where(x == -math.inf, -math.inf, value)


@unary(lambda x: 2 * x * erfcx(x) - 2 / _ROOT_PI)
def erfcx(x):
    """``exp(x^2) erfc(x)``, which does not vanish for large x. Error: below 2e-15 of the value.

    Source: the asymptotic series of Abramowitz and Stegun, 7.1.23, above 8.

    >>> nnlib.special.erfcx(nnlib.tensor([0.0, 10.0]))
    tensor([1.0000, 0.0561])
    """
    return _erfcx(x)


@takes_out
def ndtr(input):
    """The probability that a standard normal number is at most ``input``: ``erfc(-x / sqrt(2)) / 2``.

    >>> nnlib.special.ndtr(nnlib.tensor([-1.0, 0.0, 1.0]))
    tensor([0.1587, 0.5000, 0.8413])
    """
    return (floating(input) * -math.sqrt(0.5)).erfc() / 2


@unary(lambda x: (-x * x / 2 - log_ndtr(x)).exp() / math.sqrt(2 * math.pi))
def log_ndtr(x):
    """The logarithm of :func:`ndtr`, accurate where that vanishes. Error: below 4e-15 of the value.

    >>> nnlib.special.log_ndtr(nnlib.tensor([-20.0, 0.0]))
    tensor([-203.9172,   -0.6931])
    """
    return _log_ndtr(x)


@unary(lambda p: (ndtri(p) ** 2 / 2).exp() * math.sqrt(2 * math.pi))
def ndtri(p):
    """The inverse of :func:`ndtr`; NaN outside of [0, 1]. Error: below 1e-14 of the value (1e-16 near 0.5).

    By the inverse of erf in the middle, and Newton's steps on :func:`log_ndtr` in the tails.

    >>> nnlib.special.ndtri(nnlib.tensor([0.025, 0.5]))
    tensor([-1.9600,  0.0000])
    """
    side = _C.where(p > 0.5, -1.0, 1.0)
    tail = _C.where(p > 0.5, 1 - p, p)
    low = tail.clamp(5e-324, 0.02)
    log = low.log()
    x = -(-2 * log - (-2 * log).log() - math.log(2 * math.pi)).clamp(min=1).sqrt()
    for _ in range(6):
        value = _log_ndtr(x)
        x = x - (value - log) * (value + x * x / 2).exp() * math.sqrt(2 * math.pi)
    middle = _ROOT_2 * (2 * tail.clamp(min=0.02) - 1).erfinv()
    result = side * _C.where(tail < 0.02, x, middle)
    result = _C.where(tail == 0, side * -math.inf, result)
    return _C.where((p < 0) | (p > 1) | p.isnan(), math.nan, result)


@unary(lambda x: -(1 + x.log()))
def entr(x):
    """``-x log(x)``: 0 at 0, -inf below.

    >>> nnlib.special.entr(nnlib.tensor([-1.0, 0.0, 0.5]))
    tensor([  -inf, 0.0000, 0.3466])
    """
    return _C.where(x < 0, -math.inf, 0.0 - _C.xlogy(x, x))


@takes_out
def xlog1py(input, other):
    """``input log1p(other)``, 0 where ``input`` is 0 unless ``other`` is NaN. One of the two may be a number.

    >>> nnlib.special.xlog1py(nnlib.tensor([0.0, 2.0]), nnlib.tensor([-1.0, 1.0]))
    tensor([0.0000, 1.3863])
    """
    if not isinstance(input, _C.TensorBase):
        input = _C.tensor(input, dtype=floating(other).dtype)
    if not isinstance(other, _C.TensorBase):
        other = _C.tensor(other, dtype=floating(input).dtype)
    input, other = floating(input), floating(other)
    # Where the product would be 0 times infinity or NaN, the logarithm is taken of 1.
    return input * _C.where((input == 0) & ((other <= -1) | other.isinf()), 0.0, other).log1p()
