"""The incomplete gamma functions, the multivariate one's logarithm, and Hurwitz's zeta function."""

from __future__ import annotations

import math

from .. import _C
from .._dtypes import promote_types
from .._out import takes_out
from ..autograd.function import Function
from ._series import floating

Tensor = _C.Tensor

# Coefficients of Temme's uniform expansion in powers of eta, by powers of 1 / a.

_TEMME = (
    (-1 / 3, 1 / 12, -2 / 135, 1 / 864, 1 / 2835, -139 / 777600, 1 / 25515, -571 / 261273600),
    (-1 / 540, -1 / 288, 1 / 378, -77 / 77760, 1 / 4860),
    (25 / 6048, -139 / 51840, 1 / 1296),
)
_LARGE = 1e4
_HIGHEST_P = 100000
_STEPS = 4000


def _power_term(a, x):
    """x^a exp(-x) / gamma(a + 1)."""
    big = a.clamp(min=10)
    inverse = 1 / big
    square = inverse * inverse
    correction = inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    )
    u = (x - big) / big
    stirling = (big * (u.log1p() - u) - correction).exp() / (2 * math.pi * big).sqrt()
    plain = (a * x.log() - x - (a + 1).lgamma()).exp()
    return _C.where(a >= 10, stirling, plain)


def _series(a, x):
    """P by its power series: for x up to a + 1."""
    term, total, n = _C.ones_like(x), _C.ones_like(x), a
    for step in range(_STEPS):
        n = n + 1
        term = term * x / n
        total = total + term
        if step % 16 == 15 and not bool((term > total * 1e-17).any()):
            break
    return total * _power_term(a, x)


def _fraction(a, x):
    """Q by Lentz's continued fraction: for x above a + 1."""
    b = x + 1 - a
    c, d = _C.full_like(x, 1e300), 1 / b
    h = d
    for i in range(1, _STEPS):
        k = -i * (i - a)
        b = b + 2
        d, c = k * d + b, b + k / c
        d = 1 / _C.where(d == 0, 1e-300, d)
        c = _C.where(c == 0, 1e-300, c)
        h = h * d * c
        if i % 16 == 0 and not bool(((d * c - 1).abs() > 1e-16).any()):
            break
    return h * _power_term(a, x) * a


def _uniform(a, x):
    """Q by Temme's expansion: for large a."""
    u = (x - a) / a
    eta = u.sign() * (2 * (u - u.log1p()).clamp(min=0)).sqrt()
    total = _C.zeros_like(a)
    for row in reversed(_TEMME):
        inner = _C.zeros_like(a)
        for c in reversed(row):
            inner = inner * eta.clamp(-1, 1) + c
        total = total / a + inner
    return (eta * (a / 2).sqrt()).erfc() / 2 + total * (-a * eta * eta / 2).exp() / (2 * math.pi * a).sqrt()


def _incomplete(a, x, upper: bool):
    """P, or Q for ``upper``, of float64 tensors of one shape."""
    ok = (a > 0) & (x > 0) & a.isfinite() & x.isfinite()
    result = _C.full_like(a, math.nan)
    at_zero = (x == 0) & (a > 0)
    full = ((a == 0) & (x > 0)) | ((x == math.inf) & (a >= 0) & a.isfinite())
    result = _C.where(at_zero | ((a == math.inf) & (x >= 0) & x.isfinite()), float(upper), result)
    result = _C.where(full, float(not upper), result).reshape(-1)
    for where, method, gives_upper in (
        (ok & (a <= _LARGE) & (x <= a + 1), _series, False),
        (ok & (a <= _LARGE) & (x > a + 1), _fraction, True),
        (ok & (a > _LARGE), _uniform, True),
    ):
        place = _C.nonzero(where.reshape(-1)).reshape(-1)
        if place.numel():
            value = method(a.reshape(-1)[place], x.reshape(-1)[place])
            result = result.index_copy(0, place, value if gives_upper == upper else 1 - value)
    return result.reshape(a.shape)


class _Incomplete(Function):
    @staticmethod
    def forward(ctx, a, x, upper):
        ctx.upper = upper
        ctx.save_for_backward(a, x)
        wide = _C.broadcast_tensors([a.to(_C.float64), x.to(_C.float64)])
        return _incomplete(*wide, upper).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        a, x = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            name = "igammac" if ctx.upper else "igamma"
            raise NotImplementedError(f"the derivative for '{name}: input' is not implemented.")
        density = ((a - 1) * x.log() - x - a.lgamma()).exp()
        return None, (grad * (-density if ctx.upper else density)).sum_to_size(x.shape), None


def _both(name: str, input, other):
    for position, t in (("input", input), ("other", other)):
        if not isinstance(t, _C.TensorBase):
            raise TypeError(f"{name}(): argument '{position}' must be Tensor, not {type(t).__name__}")
    input, other = floating(input), floating(other)
    dtype = promote_types(input.dtype, other.dtype)
    return input.to(dtype), other.to(dtype)


@takes_out
def igamma(input: Tensor, other: Tensor):
    """The lower incomplete gamma function P(input, other), divided by the complete one.

    The power series up to ``other = input + 1``, a continued fraction above it, Temme's uniform expansion for
    ``input`` above 10,000. Error: below 2e-13, and 1e-12 above 10,000. NaN for negative arguments. The gradient goes
    to ``other`` alone.

    Source: Gil, Segura and Temme, "Efficient and accurate algorithms for the computation and inversion of the
    incomplete gamma function ratios" (2012).

    >>> nnlib.igamma(nnlib.tensor([4.0]), nnlib.tensor([3.0]))
    tensor([0.3528])
    """
    return _Incomplete.apply(*_both("igamma", input, other), False)


@takes_out
def igammac(input: Tensor, other: Tensor):
    """The upper incomplete gamma function Q, divided by the complete one: 1 - :func:`igamma`, without its rounding.

    >>> nnlib.igammac(nnlib.tensor([4.0]), nnlib.tensor([3.0]))
    tensor([0.6472])
    """
    return _Incomplete.apply(*_both("igammac", input, other), True)


gammainc, gammaincc = igamma, igammac


@takes_out
def mvlgamma(input: Tensor, p: int):
    """The logarithm of the multivariate gamma function of dimension ``p``, for numbers above (p - 1) / 2.

    RuntimeError for ``p`` below 1 or above 100,000.

    >>> nnlib.mvlgamma(nnlib.tensor([2.0]), 2)
    tensor([0.4516])
    """
    if not 1 <= p <= _HIGHEST_P:
        raise RuntimeError(f"p has to be greater than or equal to 1, and at most {_HIGHEST_P}, but got {p}")
    x = floating(input)
    steps = _C.arange(p, dtype=x.dtype) * 0.5
    return (x.unsqueeze(-1) - steps).lgamma().sum(-1) + p * (p - 1) / 4 * math.log(math.pi)


multigammaln = mvlgamma

# B_2k / (2k)!, of the sum by Euler and Maclaurin.
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000,
)  # fmt: skip


def _zeta(s, q):
    """Terms until q is above 9, then Euler's and Maclaurin's formula for the rest."""
    whole = q.floor() == q
    wrong = (s < 1) | ((q <= 0) & ~whole & (s.floor() != s))
    infinite = (s == 1) | ((q <= 0) & whole)
    a = _C.where(wrong | infinite | q.isnan(), 1.0, q)
    order = _C.where(wrong | infinite | s.isnan(), 2.0, s)
    count = max(10, int((10 - a).amax().ceil())) if a.numel() else 0
    total = _C.zeros_like(a)
    for k in range(count):
        total = total + (a + k).pow(-order)
    a = a + count
    power = a.pow(-order)
    total = total + power * a / (order - 1) + power / 2
    factor, divisor = order * power / a, a * a
    for k, b in enumerate(_BERNOULLI):
        total = total + b * factor
        factor = factor * (order + 2 * k + 1) * (order + 2 * k + 2) / divisor
    total = _C.where(infinite, math.inf, total)
    return _C.where(wrong | s.isnan() | q.isnan(), math.nan, total)


class _Zeta(Function):
    @staticmethod
    def forward(ctx, s, q):
        ctx.save_for_backward(s, q)
        return _zeta(*_C.broadcast_tensors([s.to(_C.float64), q.to(_C.float64)])).to(q.dtype)

    @staticmethod
    def backward(ctx, grad):
        s, q = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            raise NotImplementedError("the derivative for 'special_zeta: self' is not implemented.")
        return None, (grad * -s * zeta(s + 1, q)).sum_to_size(q.shape)


@takes_out
def zeta(input, other):
    """Hurwitz's zeta function: the sum of ``(k + other) ** -input`` over k from 0 on.

    Error: below 1e-14 of the value. NaN for ``input`` below 1. One of the two may be a number. The gradient goes to
    ``other`` alone.

    >>> nnlib.special.zeta(nnlib.tensor([2.0, 4.0]), 1)
    tensor([1.6449, 1.0823])
    """
    if not isinstance(input, _C.TensorBase):
        input = _C.tensor(input, dtype=floating(other).dtype)
    if not isinstance(other, _C.TensorBase):
        other = _C.tensor(other, dtype=floating(input).dtype)
    return _Zeta.apply(*_both("zeta", input, other))
