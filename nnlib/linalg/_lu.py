"""Triangular factors with row exchanges, and what is computed from them.

Source: Golub and Van Loan, "Matrix computations" (2013), chapter 3.
"""

from __future__ import annotations

import math

from .. import _C
from .._out import named, takes_out
from ..autograd.function import Function
from ._errors import LinAlgError, matrices
from ._triangular import solve_triangular

Tensor = _C.Tensor

_lu_factor = named("linalg_lu_factor", "LU pivots")
_lu_factor_ex = named("linalg_lu_factor_ex", "LU pivots info")
_lu = named("linalg_lu", "P L U")
_inv_ex = named("linalg_inv_ex", "inverse info")
_solve_ex = named("linalg_solve_ex", "result info")
_cholesky_ex = named("linalg_cholesky_ex", "L info")


def _eliminate(a, pivot: bool):
    """The packed factors of float64 matrices, the order of their rows, the exchanges and the first zero pivot."""
    m, n = a.shape[-2:]
    count, steps = math.prod(a.shape[:-2]), min(m, n)
    work = a.reshape(count, m, n).clone()
    batch = _C.arange(count)
    order = _C.arange(m).repeat(count, 1)
    pivots = _C.zeros(count, steps, dtype=_C.int32)
    info = _C.zeros(count, dtype=_C.int32)
    for k in range(steps):
        best = work[:, k:, k].abs().argmax(1) + k if pivot else _C.full_like(batch, k)
        pivots[:, k] = (best + 1).to(_C.int32)
        for rows in (work, order):
            upper, lower = rows[:, k].clone(), rows[batch, best].clone()
            rows[batch, best] = upper
            rows[:, k] = lower
        head = work[:, k, k]
        info = _C.where((info == 0) & (head == 0), k + 1, info)
        if k + 1 < m:
            below = work[:, k + 1 :, k] / _C.where(head == 0, 1.0, head).unsqueeze(1)
            work[:, k + 1 :, k] = below
            if k + 1 < n:
                work[:, k + 1 :, k + 1 :] -= below.unsqueeze(2) * work[:, k, k + 1 :].unsqueeze(1)
    lead = a.shape[:-2]
    return work.reshape(a.shape), order.reshape(*lead, m), pivots.reshape(*lead, steps), info.reshape(lead)


class _Packed(Function):
    """The factors of square matrices whose rows are in order already; their gradient by triangular systems."""

    @staticmethod
    def forward(ctx, rows, packed):
        ctx.save_for_backward(rows, packed)
        return packed.clone()

    @staticmethod
    def backward(ctx, grad):
        rows, packed = ctx.saved_tensors
        factors = _Packed.apply(rows, packed)
        lower, upper = factors.tril(-1), factors.triu()
        unit = lower + _C.eye(lower.shape[-1], dtype=lower.dtype)
        inner = (unit.mT @ grad.tril(-1)).tril(-1) + (grad.triu() @ upper.mT).triu()
        left = solve_triangular(lower.mT, inner, upper=True, unitriangular=True)
        return solve_triangular(upper.mT, left, upper=False, left=False), None


def _factor(a, pivot: bool):
    """Packed factors with a gradient, the order of the rows, the exchanges, and the first zero pivot."""
    packed, order, pivots, info = _eliminate(a.detach().to(_C.float64), pivot)
    packed = packed.to(a.dtype)
    if not (a.requires_grad and _C.is_grad_enabled()):
        return packed, order, pivots, info
    m, n = a.shape[-2:]
    k = min(m, n)
    rows = a.take_along_dim(order.unsqueeze(-1).expand(a.shape), -2)
    square = _Packed.apply(rows[..., :k, :k], packed[..., :k, :k])
    if n > k:
        right = solve_triangular(square, rows[..., k:], upper=False, unitriangular=True)
        square = _C.cat([square, right], -1)
    elif m > k:
        below = solve_triangular(square, rows[..., k:, :], upper=True, left=False)
        square = _C.cat([square, below], -2)
    return square, order, pivots, info


@takes_out
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False):
    """:func:`lu_factor` with ``info``: 0, or the number of the first pivot that is zero, for each matrix.

    LinAlgError for such a pivot where ``check_errors`` is True.
    """
    matrices("torch.linalg.lu_factor_ex", A)
    packed, _, pivots, info = _factor(A, pivot)
    if check_errors:
        _refuse("torch.linalg.lu_factor_ex", info)
    return _lu_factor_ex(packed, pivots, info)


def _refuse(name: str, info) -> None:
    if bool((info != 0).any()):
        i = int(info[info != 0].reshape(-1)[0])
        raise LinAlgError(
            f"{name}: U[{i},{i}] is zero and using it on lu_solve would result in a division by zero. If you still "
            "want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )


@takes_out
def lu_factor(A: Tensor, *, pivot: bool = True):
    """Triangular factors in one matrix: a named tuple (LU, pivots).

    Computed in float64, one column after the other, for all matrices of the batch at once.

    Args:
        A: (..., m, n).
        pivot: exchange rows so that each pivot is the largest of its column. Without it a small one spoils the result.

    Returns:
        ``LU`` (..., m, n): U in the upper triangle, L below it, without its diagonal of ones. ``pivots``
        (..., min(m, n)), int32: row i was exchanged with row ``pivots[i] - 1``.

    LinAlgError where a pivot is zero. Gradients flow through LU.

    >>> LU, pivots = nnlib.linalg.lu_factor(nnlib.tensor([[1.0, 2.0], [2.0, 2.0]]))
    >>> LU, pivots
    (tensor([[2.0000, 2.0000],
            [0.5000, 1.0000]]), tensor([2, 2], dtype=torch.int32))
    """
    matrices("torch.linalg.lu_factor", A)
    packed, _, pivots, info = _factor(A, pivot)
    _refuse("torch.linalg.lu_factor", info)
    return _lu_factor(packed, pivots)


def _parts(packed):
    """L and U of packed factors."""
    m, n = packed.shape[-2:]
    k = min(m, n)
    lower = packed[..., :k].tril(-1) + _C.eye(m, k, dtype=packed.dtype)
    return lower, packed[..., :k, :].triu()


def _permutation(order, dtype):
    """The matrix with ``P rows_in_order = A``."""
    m = order.shape[-1]
    return _C.zeros(*order.shape, m, dtype=dtype).scatter(-2, order.unsqueeze(-2), 1.0)


@takes_out
def lu(A: Tensor, *, pivot: bool = True):
    """A named tuple (P, L, U) with ``P L U = A``: a permutation, and a lower and an upper triangular matrix.

    Args as of :func:`lu_factor`; shapes (..., m, m), (..., m, k) and (..., k, n) with k = min(m, n). A zero pivot is
    no error. Without ``pivot`` P has no elements.

    >>> P, L, U = nnlib.linalg.lu(nnlib.tensor([[1.0, 2.0], [2.0, 2.0]]))
    >>> P @ L @ U
    tensor([[1., 2.],
            [2., 2.]])
    """
    matrices("torch.linalg.lu", A)
    packed, order, _, _ = _factor(A, pivot)
    p = _permutation(order, A.dtype) if pivot else _C.empty((0,), dtype=A.dtype)
    return _lu(p, *_parts(packed))


def _order_of(pivots, rows: int):
    """The order of the rows after the exchanges."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1]).to(_C.int64) - 1
    order = _C.arange(rows).repeat(flat.shape[0], 1)
    batch = _C.arange(flat.shape[0])
    for k in range(flat.shape[1]):
        at = flat[:, k]
        here, there = order[:, k].clone(), order[batch, at].clone()
        order[batch, at] = here
        order[:, k] = there
    return order.reshape(*pivots.shape[:-1], rows)


@takes_out
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True):
    """A named tuple (P, L, U) of what :func:`lu_factor` returned; parts not asked for have no elements.

    RuntimeError for pivots that are not int32 numbers of rows.
    """
    matrices("torch.lu_unpack", LU_data)
    none = _C.empty((0,), dtype=LU_data.dtype)
    rows = LU_data.shape[-2]
    _check_pivots("torch.lu_unpack", LU_data, LU_pivots)
    p = _permutation(_order_of(LU_pivots, rows), LU_data.dtype) if unpack_pivots else none
    return named("lu_unpack", "P L U")(p, *(_parts(LU_data) if unpack_data else (none, none)))


def _check_pivots(name: str, factors, pivots) -> None:
    if pivots.dtype != _C.int32:
        raise RuntimeError(f"{name}: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype")
    if pivots.numel() and not (1 <= int(pivots.min()) and int(pivots.max()) <= factors.shape[-2]):
        raise RuntimeError(f"{name}: pivots have to be numbers of rows, from 1 to {factors.shape[-2]}")


@takes_out
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False):
    """X with ``A X = B``, from the factors that :func:`lu_factor` returned.

    Args:
        LU, pivots: of square A.
        B: (..., n, k), or (..., k, n) for ``left=False``; batches broadcast.
        left: whether A stands on the left.
        adjoint: solve with the transpose of A.

    >>> A, B = nnlib.tensor([[1.0, 2.0], [2.0, 2.0]]), nnlib.tensor([[3.0], [4.0]])
    >>> nnlib.linalg.lu_solve(*nnlib.linalg.lu_factor(A), B)
    tensor([[1.],
            [1.]])
    """
    matrices("linalg.lu_solve", LU, B, square=True)
    _check_pivots("linalg.lu_solve", LU, pivots)
    if not left:
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    if LU.shape[-1] != B.shape[-2]:
        raise RuntimeError(
            f"linalg.lu_solve: Incompatible shapes of A and B for the equation AX = B "
            f"({tuple(LU.shape[-2:])} and {tuple(B.shape[-2:])})"
        )
    p = _permutation(_order_of(pivots, LU.shape[-2]), LU.dtype)
    if adjoint:
        inner = solve_triangular(LU.mT, B, upper=False)
        return p @ solve_triangular(LU.mT, inner, upper=True, unitriangular=True)
    inner = solve_triangular(LU, p.mT @ B, upper=False, unitriangular=True)
    return solve_triangular(LU, inner, upper=True)


def _instead(A, info):
    """A with unit matrices in place of those that cannot be inverted."""
    return _C.where((info != 0).reshape(*info.shape, 1, 1), _C.eye(A.shape[-1], dtype=A.dtype), A)


def _marked(result, info, dims: int):
    """NaN where there is no result."""
    return _C.where((info != 0).reshape(*info.shape, *[1] * dims), float("nan"), result)


@takes_out
def inv_ex(A: Tensor, *, check_errors: bool = False):
    """A named tuple (inverse, info): NaN and the number of a zero pivot for a singular matrix, rather than an error.

    >>> nnlib.linalg.inv_ex(nnlib.zeros(1, 1)).info
    tensor(1, dtype=torch.int32)
    """
    matrices("linalg.inv", A, square=True)
    info = _factor(A.detach(), True)[3]
    if check_errors and bool((info != 0).any()):
        raise LinAlgError("linalg.inv: The diagonal element of U is zero, the inversion could not be completed because "
                          "the input matrix is singular.")  # fmt: skip
    return _inv_ex(_marked(_C.linalg_inv(_instead(A, info)), info, 2), info)


@takes_out
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False):
    """A named tuple (result, info) of :func:`solve`: NaN and the number of a zero pivot for a singular matrix."""
    matrices("linalg.solve", A, square=True)
    info = _factor(A.detach(), True)[3]
    if check_errors and bool((info != 0).any()):
        raise LinAlgError("torch.linalg.solve: The solver failed because the input matrix is singular.")
    result = _C.linalg_solve(_instead(A, info), B, left=left)
    dims = result.dim() - info.dim()
    return _solve_ex(_marked(result, info, dims), info)


@takes_out
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False):
    """A named tuple (L, info): NaN and the order of the first leading minor that is not positive for a matrix that has
    no Cholesky factor, rather than an error.

    >>> nnlib.linalg.cholesky_ex(-nnlib.eye(2)).info
    tensor(1, dtype=torch.int32)
    """
    matrices("linalg.cholesky", A, square=True)
    info = _minors(A.detach().to(_C.float64), upper)
    if check_errors and bool((info != 0).any()):
        raise LinAlgError(
            "linalg.cholesky: The factorization could not be completed because the input is not positive-definite (the "
            f"leading minor of order {int(info[info != 0].reshape(-1)[0])} is not positive-definite)."
        )
    return _cholesky_ex(_marked(_C.linalg_cholesky(_instead(A, info), upper=upper), info, 2), info)


def _minors(a, upper: bool):
    """The order of the first leading minor that is not positive; 0 where there is none."""
    n = a.shape[-1]
    work = (a.mT if upper else a).tril().clone()
    info = _C.zeros(a.shape[:-2], dtype=_C.int32)
    for k in range(n):
        head = work[..., k, k]
        info = _C.where((info == 0) & ~(head > 0), k + 1, info).to(_C.int32)
        column = work[..., k + 1 :, k]
        if k + 1 < n:
            safe = _C.where(head > 0, head, 1.0).unsqueeze(-1)
            work[..., k + 1 :, k + 1 :] -= column.unsqueeze(-1) * (column / safe).unsqueeze(-2)
    return info
