"""Bessel's and Airy's functions: Chebyshev series for small arguments and, of what is left after the leading
behaviour, for large ones.

Source: Abramowitz and Stegun, "Handbook of mathematical functions" (1964), chapters 9 and 10.
"""

from __future__ import annotations

import math

from .. import _C
from . import _tables as T
from ._series import chebyshev, unary

_NAN, _INF = math.nan, math.inf


def _scaled_i(x, order: int):
    """exp(-|x|) I(|x|)."""
    x = x.abs()
    low, high = x.clamp(max=8), x.clamp(min=8)
    small = chebyshev(getattr(T, f"I{order}_INNER"), low / 4 - 1)
    large = chebyshev(getattr(T, f"I{order}_OUTER"), 16 / high - 1) / high.sqrt()
    return _C.where(x <= 8, small * low if order else small, large)


def _i(x, order: int):
    e = (x.abs() / 2).exp()
    value = e * _scaled_i(x, order) * e  # in two steps: the product may be finite where exp is not
    return _C.where(x.isinf(), _INF, value)


@unary(lambda x: i1(x))
def i0(x):
    """The modified Bessel function of the first kind of order 0. Error: below 3e-15 of the value (4e-15 x for x > 8).

    >>> nnlib.i0(nnlib.tensor([0.0, 1.0]))
    tensor([1.0000, 1.2661])
    """
    return _i(x, 0)


@unary(lambda x: i1e(x) - x.sign() * i0e(x))
def i0e(x):
    """``exp(-|x|) i0(x)``. Error: below 2e-15 of the value."""
    return _scaled_i(x, 0)


@unary(lambda x: i0(x) - _C.where(x == 0, 0.5, i1(x) / _C.where(x == 0, 1.0, x)))
def i1(x):
    """The modified Bessel function of the first kind of order 1. Error: as of :func:`i0`."""
    return x.sign() * _i(x, 1)


@unary(lambda x: i0e(x) - _C.where(x == 0, 0.5, i1e(x) * (x.sign() + 1 / _C.where(x == 0, 1.0, x))))
def i1e(x):
    """``exp(-|x|) i1(x)``. Error: below 2e-15 of the value."""
    return x.sign() * _scaled_i(x, 1)


modified_bessel_i0, modified_bessel_i1 = i0, i1


def _scaled_k(x, order: int):
    """exp(x) K(x)."""
    low, high = x.clamp(1e-300, 2), x.clamp(min=2)
    regular = chebyshev(getattr(T, f"K{order}_INNER"), low * low / 2 - 1)
    log = (low / 2).log()
    small = regular - log * _i(low, 0) if order == 0 else regular / low + log * _i(low, 1)
    large = chebyshev(getattr(T, f"K{order}_OUTER"), 4 / high - 1) / high.sqrt()
    value = _C.where(x <= 2, small * low.exp(), large)
    return _C.where(x < 0, _NAN, _C.where(x == 0, _INF, value))


@unary(lambda x: -modified_bessel_k1(x))
def modified_bessel_k0(x):
    """The modified Bessel function of the second kind of order 0, NaN for x < 0. Error: below 4e-15 of the value.

    >>> nnlib.special.modified_bessel_k0(nnlib.tensor([1.0, 2.0]))
    tensor([0.4210, 0.1139])
    """
    return _scaled_k(x, 0) * (-x).exp()


@unary(lambda x: -modified_bessel_k0(x) - modified_bessel_k1(x) / x)
def modified_bessel_k1(x):
    """The modified Bessel function of the second kind of order 1, NaN for x < 0. Error: below 4e-15 of the value."""
    return _scaled_k(x, 1) * (-x).exp()


@unary(lambda x: scaled_modified_bessel_k0(x) - scaled_modified_bessel_k1(x))
def scaled_modified_bessel_k0(x):
    """``exp(x) modified_bessel_k0(x)``. Error: below 4e-15 of the value."""
    return _scaled_k(x, 0)


@unary(
    lambda x: scaled_modified_bessel_k1(x) - scaled_modified_bessel_k0(x) - scaled_modified_bessel_k1(x) / x
)
def scaled_modified_bessel_k1(x):
    """``exp(x) modified_bessel_k1(x)``. Error: below 4e-15 of the value."""
    return _scaled_k(x, 1)


def _wave(x, order: int):
    """J and Y for x >= 8, from the amplitude P, the phase Q and the sum of two angles."""
    x = x.clamp(min=8)
    t = 128 / (x * x) - 1
    p, q = chebyshev(getattr(T, f"P{order}_OUTER"), t), chebyshev(getattr(T, f"Q{order}_OUTER"), t) / x
    finite = _C.where(x.isinf(), 8.0, x)
    s, c = finite.sin(), finite.cos()
    cosine, sine = (c + s, s - c) if order == 0 else (s - c, -(s + c))
    root = 1 / (math.pi * x).sqrt()
    return (p * cosine - q * sine) * root, (p * sine + q * cosine) * root


def _j(x, order: int):
    low = x.clamp(max=8)
    small = chebyshev(getattr(T, f"J{order}_INNER"), low * low / 32 - 1)
    return _C.where(x <= 8, small * low if order else small, _wave(x, order)[0])


def _y(x, order: int):
    low = x.clamp(1e-300, 8)
    regular = chebyshev(getattr(T, f"Y{order}_INNER"), low * low / 32 - 1)
    if order:
        regular = regular * low - 2 / (math.pi * low)
    small = regular + 2 / math.pi * low.log() * _j(low, order)
    value = _C.where(x <= 8, small, _wave(x, order)[1])
    return _C.where(x < 0, _NAN, _C.where(x == 0, -_INF, value))


@unary(lambda x: -bessel_j1(x))
def bessel_j0(x):
    """The Bessel function of the first kind of order 0. Error: below 1e-15 (x > 8: 1e-16 x).

    >>> nnlib.special.bessel_j0(nnlib.tensor([0.0, 1.0, 10.0]))
    tensor([ 1.0000,  0.7652, -0.2459])
    """
    return _j(x.abs(), 0)


@unary(lambda x: bessel_j0(x) - _C.where(x == 0, 0.5, bessel_j1(x) / _C.where(x == 0, 1.0, x)))
def bessel_j1(x):
    """The Bessel function of the first kind of order 1. Error: as of :func:`bessel_j0`."""
    return x.sign() * _j(x.abs(), 1)


@unary(lambda x: -bessel_y1(x))
def bessel_y0(x):
    """The Bessel function of the second kind of order 0, NaN for x < 0. Error: below 2e-15 (x > 8: 1e-16 x)."""
    return _y(x, 0)


@unary(lambda x: bessel_y0(x) - bessel_y1(x) / x)
def bessel_y1(x):
    """The Bessel function of the second kind of order 1, NaN for x < 0. Error: below 2e-15 of the larger of 1 and the
    value (x > 8: 1e-16 x)."""
    return _y(x, 1)


@unary(lambda x: _C.where(x == 0, 0.0, (x.cos() - spherical_bessel_j0(x)) / _C.where(x == 0, 1.0, x)))
def spherical_bessel_j0(x):
    """``sin(x) / x``, 1 at 0 and 0 at infinity. Error: below 2 units in the last place of float64.

    >>> nnlib.special.spherical_bessel_j0(nnlib.tensor([0.0, 1.0]))
    tensor([1.0000, 0.8415])
    """
    value = x.sin() / _C.where(x == 0, 1.0, x)
    return _C.where(x == 0, 1.0, _C.where(x.isinf(), 0.0, value))


@unary()
def airy_ai(x):
    """Airy's function Ai. Error: below 1e-15 (x < -5: 1e-16 |x|^1.5), for x > 3.5 below 1e-15 |x|^1.5 of the value.

    >>> nnlib.special.airy_ai(nnlib.tensor([0.0, 1.0, -2.0]))
    tensor([0.3550, 0.1353, 0.2274])
    """
    middle = chebyshev(T.AIRY_INNER, x.clamp(-5, 5) / 5)
    up, down = x.clamp(min=3.5), (-x).clamp(min=5)
    zeta = 2 / 3 * up * up.sqrt()
    high = (
        chebyshev(T.AIRY_SCALED, 8 / zeta - 1) * (-zeta).exp() / (2 * math.sqrt(math.pi) * up.sqrt().sqrt())
    )
    zeta = 2 / 3 * down * down.sqrt()
    t = 98 / (zeta * zeta) - 1
    p, q = chebyshev(T.AIRY_P, t), chebyshev(T.AIRY_Q, t) / zeta
    s, c = zeta.sin(), zeta.cos()
    sine, cosine = (s + c) / math.sqrt(2), (c - s) / math.sqrt(2)
    low = (p * sine - q * cosine) / (math.sqrt(math.pi) * down.sqrt().sqrt())
    value = _C.where(x > 3.5, high, _C.where(x < -5, low, middle))
    return _C.where(x.isinf(), _NAN, value)
