"""Triangular systems, by substitution."""

from __future__ import annotations

from .. import _C
from .._functions import broadcast_shapes
from .._out import takes_out
from ..autograd.function import Function
from ._errors import matrices

Tensor = _C.Tensor


def _substitute(a, b, upper: bool, unit: bool):
    """X of A X = B in float64, row after row."""
    n = a.shape[-1]
    x = b.clone(memory_format=_C.contiguous_format)
    for i in range(n - 1, -1, -1) if upper else range(n):
        done = slice(i + 1, n) if upper else slice(0, i)
        row = x[..., i, :]
        if done.start < done.stop:
            row = row - (a[..., i, done].unsqueeze(-2) @ x[..., done, :]).squeeze(-2)
        x[..., i, :] = row if unit else row / a[..., i, i].unsqueeze(-1)
    return x


def _triangle(a, upper: bool, unit: bool):
    return a.triu(int(unit)) if upper else a.tril(-int(unit))


class _Solve(Function):
    @staticmethod
    def forward(ctx, a, b, upper, unit):
        ctx.options = upper, unit
        wide_a, wide_b = a.to(_C.float64), b.to(_C.float64)
        x = _substitute(wide_a, wide_b, upper, unit).to(b.dtype)
        ctx.save_for_backward(a, b)
        return x

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        upper, unit = ctx.options
        grad_b = _Solve.apply(a.mT, grad, not upper, unit)
        if not ctx.needs_input_grad[0]:
            return None, grad_b, None, None
        x = _Solve.apply(a, b, upper, unit)
        return _triangle(-grad_b @ x.mT, upper, unit), grad_b, None, None


@takes_out
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False):
    """X with ``A X = B`` of triangular A, by substitution; X A = B for ``left=False``.

    Args:
        A: (..., n, n), of which one triangle is read.
        B: (..., n, k), or (..., k, n) for ``left=False``; batches broadcast.
        upper: A is upper triangular.
        left: whether A stands on the left.
        unitriangular: take the diagonal as ones, without reading it.

    RuntimeError for shapes that do not fit. A zero on the diagonal gives infinities and NaN, no error.

    >>> A = nnlib.tensor([[1.0, 2.0], [0.0, 4.0]])
    >>> nnlib.linalg.solve_triangular(A, nnlib.tensor([[5.0], [8.0]]), upper=True)
    tensor([[1.],
            [2.]])
    """
    matrices("linalg.solve_triangular", A, B, square=True)
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    if A.shape[-1] != B.shape[-2]:
        raise RuntimeError(
            f"linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = B "
            f"({tuple(A.shape[-2:])} and {tuple(B.shape[-2:])})"
        )
    batch = broadcast_shapes(A.shape[:-2], B.shape[:-2])
    a, b = A.expand(*batch, *A.shape[-2:]), B.expand(*batch, *B.shape[-2:])
    return _Solve.apply(a, b, upper, unitriangular)
