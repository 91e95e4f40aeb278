"""What the special functions share: sums of Chebyshev polynomials, and functions with their derivatives."""

from __future__ import annotations

import functools

from .. import _C
from .._out import takes_out
from ..autograd.function import Function


def chebyshev(table: tuple[float, ...], t):
    """The series with the coefficients of ``table``, highest first, at ``t`` within [-1, 1], by Clenshaw's sum."""
    twice, later, last = 2 * t, _C.zeros_like(t), _C.full_like(t, table[0])
    for c in table[1:-1]:
        last, later = twice * last - later + c, last
    return t * last - later + table[-1]


def floating(x):
    """``x`` in a floating-point type; TypeError for what is no tensor."""
    if not isinstance(x, _C.TensorBase):
        raise TypeError(f"expected a Tensor, but got {type(x).__name__}")
    return x if x.is_floating_point() else x.to(_C.get_default_dtype())


class _Recorded(Function):
    """A function of one tensor with a derivative that is made of differentiable functions."""

    @staticmethod
    def forward(ctx, x, formula, derivative):
        ctx.derivative = derivative
        ctx.save_for_backward(x)
        return formula(x.to(_C.float64)).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ctx.derivative(x), None, None


def unary(derivative=None):
    """Make a formula in float64 a function of tensors of any type, differentiable where a derivative is given."""

    def decorate(formula):
        @functools.wraps(formula)
        def function(input):
            x = floating(input)
            if x.requires_grad and _C.is_grad_enabled():
                return _Recorded.apply(x, formula, derivative or _none(formula.__name__))
            return formula(x.to(_C.float64)).to(x.dtype)

        return takes_out(function)

    return decorate


def _none(name: str):
    def refuse(x):
        raise NotImplementedError(f"the derivative for 'special_{name}' is not implemented")

    return refuse
