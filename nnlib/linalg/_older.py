"""Linear algebra under the names that the package itself has for it."""

from __future__ import annotations

from .. import _C
from .._out import named, takes_out
from ._errors import matrices
from ._functions import householder_product, matrix_exp  # noqa: F401
from ._lu import lu_factor_ex, lu_unpack  # noqa: F401
from ._lu import lu_solve as _lu_solve
from ._spectral import pinv
from ._triangular import solve_triangular

Tensor = _C.Tensor

_svd, _qr, _geqrf = named("svd", "U S V"), named("qr", "Q R"), named("geqrf", "a tau")
_triangular = named("triangular_solve", "solution cloned_coefficient")

orgqr = householder_product


@takes_out
def svd(input: Tensor, some: bool = True, compute_uv: bool = True):
    """A named tuple (U, S, V) with ``U diag(S) V^T = input``: V here, not its transpose as in ``linalg.svd``.

    Args:
        input: (..., m, n).
        some: as many columns as S has values; False: square U and V.
        compute_uv: False: zeros in place of U and V.

    >>> nnlib.svd(nnlib.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    matrices("linalg.svd", input)
    m, n = input.shape[-2:]
    if not compute_uv:
        lead = input.shape[:-2]
        u, v = (_C.zeros(*lead, k, k, dtype=input.dtype) for k in (m, n))
        return _svd(u, _C.linalg_svdvals(input), v)
    u, s, vh = _C.linalg_svd(input, not some)
    return _svd(u, s, vh.mT)


@takes_out
def qr(input: Tensor, some: bool = True):
    """A named tuple (Q, R) with ``Q R = input``: ``linalg.qr`` with mode "reduced", or "complete" for
    ``some=False``."""
    return _qr(*_C.linalg_qr(input, "reduced" if some else "complete"))


def pinverse(input: Tensor, rcond: float = 1e-15):
    """``linalg.pinv`` whose singular values below ``rcond`` of the largest count as zeros."""
    return pinv(input, rtol=rcond)


@takes_out
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False):
    """X with ``A X = B``, from the Cholesky factor of A.

    Args:
        B: (..., n, k).
        L: (..., n, n), lower triangular; batches broadcast.
        upper: L is upper triangular instead.

    >>> A, B = nnlib.tensor([[4.0, 2.0], [2.0, 3.0]]), nnlib.tensor([[6.0], [5.0]])
    >>> nnlib.cholesky_solve(B, nnlib.linalg.cholesky(A))
    tensor([[1.],
            [1.]])
    """
    lower = L.mT if upper else L
    return solve_triangular(lower.mT, solve_triangular(lower, B, upper=False), upper=True)


@takes_out
def cholesky_inverse(L: Tensor, upper: bool = False):
    """The inverse of A, from its Cholesky factor. Arguments as of :func:`cholesky_solve`."""
    matrices("cholesky_inverse", L, square=True)
    return cholesky_solve(_C.eye(L.shape[-1], dtype=L.dtype), L, upper)


@takes_out
def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
):
    """A named tuple of X with ``A X = b`` of triangular A, and A: ``linalg.solve_triangular`` under its older name.

    ``transpose``: solve with the transpose of A.
    """
    a = A.mT if transpose else A
    x = solve_triangular(a, b, upper=upper != transpose, unitriangular=unitriangular)
    return _triangular(x, A.expand(*x.shape[:-2], *A.shape[-2:]).clone())


@takes_out
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False):
    """The packed factors and the pivots of ``linalg.lu_factor``, and with ``get_infos`` the numbers of zero pivots.

    A zero pivot is no error.
    """
    packed, pivots, info = lu_factor_ex(A, pivot=pivot)
    return (packed, pivots, info) if get_infos else (packed, pivots)


@takes_out
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor):
    """X with ``A X = b``: ``linalg.lu_solve`` with its arguments in another order."""
    return _lu_solve(LU_data, LU_pivots, b)


@takes_out
def geqrf(input: Tensor):
    """A named tuple (a, tau): R in the upper triangle, and the reflections whose product is Q below it.

    Source: Golub and Van Loan, "Matrix computations" (2013), section 5.2, with LAPACK's signs. No gradient.

    >>> a, tau = nnlib.geqrf(nnlib.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> nnlib.orgqr(a, tau) @ a.triu()
    tensor([[3.0000, 1.0000],
            [4.0000, 2.0000]])
    """
    matrices("torch.geqrf", input)
    m, n = input.shape[-2:]
    work = input.detach().to(_C.float64).clone()
    tau = _C.zeros(*input.shape[:-2], min(m, n), dtype=_C.float64)
    for k in range(min(m, n)):
        column = work[..., k:, k]
        head, tail = column[..., 0].clone(), column[..., 1:].clone()
        rest = tail.square().sum(-1)
        beta = -_C.where(head < 0, -1.0, 1.0) * (head.square() + rest).sqrt()
        flat = rest == 0  # nothing to reflect
        factor = _C.where(flat, 0.0, (beta - head) / _C.where(flat, 1.0, beta))
        v = tail / _C.where(flat, 1.0, head - beta).unsqueeze(-1)
        tau[..., k] = factor
        work[..., k, k] = _C.where(flat, head, beta)
        work[..., k + 1 :, k] = v
        if k + 1 < n:
            full = _C.cat([_C.ones_like(head).unsqueeze(-1), v], -1).unsqueeze(-1)
            right = work[..., k:, k + 1 :]
            work[..., k:, k + 1 :] = right - factor.reshape(*factor.shape, 1, 1) * (full @ (full.mT @ right))
    return _geqrf(work.to(input.dtype), tau.to(input.dtype))


@takes_out
def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False):
    """The product of Q (..., m, m), given by its reflections, and ``other``; Q^T for ``transpose``.

    ``left=False`` gives ``other Q``. Arguments as of :func:`nnlib.linalg.householder_product`.
    """
    matrices("torch.ormqr", input, other)
    m, k = input.shape[-2:]
    wide = _C.cat([input, _C.zeros(*input.shape[:-1], m - k, dtype=input.dtype)], -1) if k < m else input
    q = householder_product(wide[..., :m], tau)
    q = q.mT if transpose else q
    return q @ other if left else other @ q
