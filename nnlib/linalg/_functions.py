"""Exponentials, products of reflections, and inverses of tensors."""

from __future__ import annotations

import math

from .. import _C
from .._out import takes_out
from ._errors import matrices, raises_linalg_error

Tensor = _C.Tensor

_TAYLOR = 18  # 0.5^19 / 19! is far below float64's eps
_solve, _inv = raises_linalg_error(_C.linalg_solve), raises_linalg_error(_C.linalg_inv)


def matrix_exp(A: Tensor):
    """The exponential of each matrix, the sum of ``A^k / k!``.

    A is halved until its norm is at most 1/2, then Taylor's polynomial of degree 18 is squared as often, in float64.

    RuntimeError for matrices that are not square.

    Source: Moler and Van Loan, "Nineteen dubious ways to compute the exponential of a matrix" (2003), method 3.

    >>> nnlib.linalg.matrix_exp(nnlib.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    matrices("linalg.matrix_exp", A, square=True)
    n = A.shape[-1]
    wide = A.to(_C.float64)
    if not A.numel():
        return A.clone()
    norm = wide.detach().abs().sum(-2).amax(-1)
    halvings = _C.where(norm > 0.5, (norm * 2).log2().ceil(), 0.0).nan_to_num(0.0, posinf=0.0).clamp(max=1100)
    x = wide * _C.exp2(-halvings).reshape(*norm.shape, 1, 1)
    unit = _C.eye(n, dtype=_C.float64)
    result = unit + x / _TAYLOR
    for k in range(_TAYLOR - 1, 0, -1):
        result = unit + x @ result / k
    for step in range(int(halvings.amax())):
        result = _C.where((halvings > step).reshape(*norm.shape, 1, 1), result @ result, result)
    return result.to(A.dtype)


@takes_out
def householder_product(A: Tensor, tau: Tensor):
    """The first n columns of a product of reflections ``1 - tau_i v_i v_i^T``, as :func:`nnlib.geqrf` leaves them.

    Args:
        A: (..., m, n) with m >= n: v_i is column i below the diagonal, with 1 on it.
        tau: (..., k) with k <= n.

    RuntimeError for shapes that do not fit.
    """
    matrices("torch.linalg.householder_product", A)
    m, n = A.shape[-2:]
    if m < n:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            "input.shape[-1]"
        )
    if n < tau.shape[-1]:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]"
        )
    if tau.shape[:-1] != A.shape[:-2]:
        raise RuntimeError(
            f"torch.linalg.householder_product: Expected batch dimensions of tau to be equal to input.shape[:-2], "
            f"but got {tuple(tau.shape[:-1])}"
        )
    if tau.dtype != A.dtype:
        raise RuntimeError(
            f"torch.linalg.householder_product: tau dtype {tau.dtype} does not match input dtype {A.dtype}"
        )
    v = A.to(_C.float64).tril(-1) + _C.eye(m, n, dtype=_C.float64)
    t = tau.to(_C.float64)
    q = _C.eye(m, n, dtype=_C.float64).expand(*A.shape[:-2], m, n)
    for i in range(tau.shape[-1] - 1, -1, -1):
        column = v[..., i : i + 1]
        q = q - t[..., i : i + 1].unsqueeze(-1) * (column @ (column.mT @ q))
    return q.to(A.dtype)


@takes_out
def vander(x: Tensor, *, N: int | None = None):
    """Powers of samples: (..., n) gives (..., n, N) with ``x[..., i] ** j``.

    ``N``: the number of columns, n by default; RuntimeError for less than 2.

    >>> nnlib.linalg.vander(nnlib.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [1, 2, 4],
            [1, 3, 9]])
    """
    if x.dim() == 0:
        x = x.unsqueeze(0)
    columns = x.shape[-1] if N is None else N
    if columns <= 1:
        raise RuntimeError("N must be greater than 1.")
    x = x if x.is_floating_point() else x.to(_C.int64)
    later = x.unsqueeze(-1).expand(*x.shape, columns - 1).cumprod(-1)
    return _C.cat([_C.ones_like(later[..., :1]), later], -1)


@takes_out
def tensorinv(A: Tensor, ind: int = 2):
    """The inverse of what ``tensordot(A, X, A.dim() - ind)`` does: the first ``ind`` dimensions are the rows.

    RuntimeError where rows and columns are not equally many, LinAlgError for a singular tensor.

    >>> nnlib.linalg.tensorinv(nnlib.eye(6).reshape(2, 3, 6)).shape
    torch.Size([6, 2, 3])
    """
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    rows, columns = A.shape[:ind], A.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{math.prod(columns)} != {math.prod(rows)}"
        )
    return _inv(A.reshape(math.prod(rows), -1)).reshape(*columns, *rows)


@takes_out
def tensorsolve(A: Tensor, B: Tensor, dims=None):
    """X with ``tensordot(A, X, X.dim()) = B``.

    Args:
        A: of shape ``B.shape + X.shape``, with as many numbers in one as in the other.
        B: the right-hand side.
        dims: these dimensions of A are moved to the end first.

    RuntimeError where the shapes do not fit, LinAlgError for a singular A.

    >>> nnlib.linalg.tensorsolve(nnlib.eye(6).reshape(2, 3, 6), nnlib.ones(2, 3)).shape
    torch.Size([6])
    """
    if dims is not None:
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        A = A.movedim(dims, tuple(range(A.dim() - len(dims), A.dim())))
    shape = A.shape[B.dim() :]
    if math.prod(shape) != math.prod(A.shape[: B.dim()]):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {math.prod(shape)} != {math.prod(A.shape[: B.dim()])}"
        )
    return _solve(A.reshape(B.numel(), -1), B.reshape(-1)).reshape(shape)
