"""Orthogonal polynomials by their recurrences of three terms.

Source: Abramowitz and Stegun, "Handbook of mathematical functions" (1964), chapter 22.
"""

from __future__ import annotations

import math

from .. import _C
from .._out import takes_out
from ._series import floating

_HERMITE = 512  # the highest degree of Hermite's polynomials, as in PyTorch
_HIGHEST = 100000  # beyond it the recurrences would run for very long


def _values(x, n, first, step, limit=math.inf):
    """p_n(x) with p_0 = 1, p_1 = first(x) and p_k = step(k, x, p_(k-1), p_(k-2)); 0 for n < 0, NaN above ``limit``.

    TypeError where neither is a tensor, RuntimeError for degrees above 100,000.
    """
    if not isinstance(x, _C.TensorBase) and not isinstance(n, _C.TensorBase):
        raise TypeError(f"one of input and n must be Tensor, not {type(x).__name__} and {type(n).__name__}")
    if not isinstance(x, _C.TensorBase):
        x = _C.tensor(x, dtype=n.dtype if n.is_floating_point() else _C.get_default_dtype())
    dtype = floating(x).dtype
    degrees = n if isinstance(n, _C.TensorBase) else _C.tensor(n)
    degrees, wide = _C.broadcast_tensors([degrees.detach().to(_C.int64), x.to(_C.float64)])
    before, now = _C.ones_like(wide), first(wide)
    result = _C.where(degrees < 0, 0.0, _C.where(degrees == 0, before, now))
    highest = int(degrees.amax()) if degrees.numel() else 0
    if limit < highest:
        result, highest = _C.where(degrees > limit, math.nan, result), limit
    if highest > _HIGHEST:
        raise RuntimeError(f"the degree has to be at most {_HIGHEST}, got {highest}")
    for k in range(2, highest + 1):
        before, now = now, step(k, wide, now, before)
        result = _C.where(degrees == k, now, result)
    return result.to(dtype)


def _shift(x):
    return 2 * x - 1


_CHEBYSHEV = {"t": lambda x: x, "u": lambda x: 2 * x, "v": lambda x: 2 * x - 1, "w": lambda x: 2 * x + 1}
_NUMBERS = {"t": "first", "u": "second", "v": "third", "w": "fourth"}


def _make_chebyshev(kind: str, shifted: bool):
    start = _CHEBYSHEV[kind]

    def function(input, n):
        at = _shift if shifted else lambda x: x
        return _values(input, n, lambda x: start(at(x)), lambda k, x, p, q: 2 * at(x) * p - q)

    prefix = "shifted_" if shifted else ""
    function.__name__ = function.__qualname__ = f"{prefix}chebyshev_polynomial_{kind}"
    place = "at 2 input - 1" if shifted else "at input"
    function.__doc__ = (
        f"Chebyshev's polynomial of the {_NUMBERS[kind]} kind and degree ``n`` {place}; 0 for n < 0.\n\n"
        "``n`` is a number or a tensor of degrees, which broadcasts; one of the two has to be a tensor."
    )
    return takes_out(function)


for _kind in _CHEBYSHEV:
    for _shifted in (False, True):
        _function = _make_chebyshev(_kind, _shifted)
        globals()[_function.__name__] = _function


@takes_out
def hermite_polynomial_h(input, n):
    """The physicist's Hermite polynomial of degree ``n``: weight exp(-x^2).

    NaN for n above 512. Arguments as of Chebyshev's.
    """
    return _values(input, n, lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - 2 * (k - 1) * q, _HERMITE)


@takes_out
def hermite_polynomial_he(input, n):
    """The probabilist's Hermite polynomial of degree ``n``: weight exp(-x^2 / 2).

    NaN for n above 512. Arguments as of Chebyshev's.

    >>> nnlib.special.hermite_polynomial_he(nnlib.tensor([2.0]), 2)
    tensor([3.])
    """
    return _values(input, n, lambda x: x, lambda k, x, p, q: x * p - (k - 1) * q, _HERMITE)


@takes_out
def laguerre_polynomial_l(input, n):
    """Laguerre's polynomial of degree ``n``. Arguments as of Chebyshev's."""
    return _values(input, n, lambda x: 1 - x, lambda k, x, p, q: ((2 * k - 1 - x) * p - (k - 1) * q) / k)


@takes_out
def legendre_polynomial_p(input, n):
    """Legendre's polynomial of degree ``n``. Arguments as of Chebyshev's.

    >>> nnlib.special.legendre_polynomial_p(nnlib.tensor([0.5]), nnlib.tensor([2]))
    tensor([-0.1250])
    """
    return _values(input, n, lambda x: x, lambda k, x, p, q: ((2 * k - 1) * x * p - (k - 1) * q) / k)
