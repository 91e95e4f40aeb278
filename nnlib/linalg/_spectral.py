"""What the singular values and eigenvalues tell: ranks, conditions, pseudo-inverses, least squares."""

from __future__ import annotations

import math

from .. import _C
from .._functions import finfo
from .._out import named, takes_out
from ..autograd.function import Function
from ._errors import matrices
from ._norms import matrix_norm

Tensor = _C.Tensor

_lstsq = named("linalg_lstsq", "solution residuals rank singular_values")


@takes_out
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices in ascending order; ``UPLO`` says which triangle is read."""
    return _C.linalg_eigh(A, UPLO)[0]


@takes_out
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None):
    """A named tuple (U, S, Vh) with ``U diag(S) Vh = A`` and S falling, by Jacobi's rotations.

    Args:
        A: (..., m, n).
        full_matrices: U (..., m, m) and Vh (..., n, n); otherwise as many columns and rows as S has values.
        driver: must be None: it chooses among the routines of a GPU library (RuntimeError).

    >>> nnlib.linalg.svd(nnlib.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs")
    return _C.linalg_svd(A, full_matrices)


def _values(A, hermitian: bool):
    """The singular values, of symmetric matrices from their eigenvalues."""
    return _C.linalg_eigh(A)[0].abs() if hermitian else _C.linalg_svdvals(A)


def _tolerances(A, atol, rtol):
    """Both tolerances as PyTorch chooses them: relative eps max(m, n), unless an absolute one above zero is given."""
    default = finfo(A.dtype).eps * max(A.shape[-2:])
    if rtol is None:
        given = atol is not None and (bool((atol > 0).any()) if isinstance(atol, _C.TensorBase) else atol > 0)
        rtol = 0.0 if given else default
    return 0.0 if atol is None else atol, rtol


def _threshold(values, atol, rtol):
    top = values.amax(-1, keepdim=True) if values.shape[-1] else values.sum(-1, keepdim=True)
    atol, rtol = (t.unsqueeze(-1) if isinstance(t, _C.TensorBase) else t for t in (atol, rtol))
    a, b = _C.as_tensor(atol, dtype=values.dtype), top * rtol
    return _C.maximum(*_C.broadcast_tensors([a, b]))


@takes_out
def matrix_rank(A: Tensor, tol=None, hermitian: bool = False, *, atol=None, rtol=None):
    """How many singular values lie above ``max(atol, rtol * largest)``.

    Args:
        A: (..., m, n).
        tol: the old name of ``atol``, with ``rtol`` 0.
        hermitian: A is symmetric; its eigenvalues are taken.
        atol, rtol: numbers or tensors. Default: 0 and eps max(m, n); rtol is 0 where only atol is given.

    >>> nnlib.linalg.matrix_rank(nnlib.ones(3, 3))
    tensor(1)
    """
    matrices("linalg.matrix_rank", A, square=hermitian)
    atol, rtol = (tol, 0.0) if tol is not None else _tolerances(A, atol, rtol)
    values = _values(A.detach(), hermitian)
    return (values > _threshold(values, atol, rtol)).sum(-1)


class _Pinv(Function):
    """The pseudo-inverse; its gradient where the rank stays as it is.

    Source: Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
    variables separate" (1973).
    """

    @staticmethod
    def forward(ctx, a, atol, rtol, hermitian):
        ctx.options = atol, rtol, hermitian
        ctx.save_for_backward(a)
        if hermitian:
            values, vectors = _C.linalg_eigh(a)
            u, s, vh = vectors * _C.where(values < 0, -1.0, 1.0).unsqueeze(-2), values.abs(), vectors.mT
        else:
            u, s, vh = _C.linalg_svd(a, False)
        keep = s > _threshold(s, atol, rtol)
        inverse = _C.where(keep, 1 / _C.where(keep, s, 1.0), 0.0)
        return (vh.mT * inverse.unsqueeze(-2)) @ u.mT

    @staticmethod
    def backward(ctx, grad):
        (a,) = ctx.saved_tensors
        p = _Pinv.apply(a, *ctx.options)
        g, pt = grad.mT, p.mT
        inner = pt @ (p @ (g - g @ p @ a)) if a.shape[-2] <= a.shape[-1] else (g - a @ (p @ g)) @ p @ pt
        outer = g @ p @ pt if a.shape[-2] <= a.shape[-1] else pt @ p @ g
        rest = outer - (a @ (p @ outer) if a.shape[-2] <= a.shape[-1] else outer @ p @ a)
        return inner + rest - (p @ g @ p).mT, None, None, None


@takes_out
def pinv(A: Tensor, rcond=None, hermitian: bool = False, *, atol=None, rtol=None):
    """The pseudo-inverse of Moore and Penrose: (..., m, n) gives (..., n, m).

    Args:
        A: (..., m, n).
        rcond: the old name of ``rtol``.
        hermitian: A is symmetric.
        atol, rtol: singular values up to ``max(atol, rtol * largest)`` count as zeros. Defaults as of
            :func:`matrix_rank`.

    Gradients hold while the rank stays as it is.

    >>> nnlib.linalg.pinv(nnlib.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    matrices("linalg.pinv", A, square=hermitian)
    atol, rtol = _tolerances(A, atol, rcond if rtol is None else rtol)
    return _Pinv.apply(A, atol, rtol, hermitian)


@takes_out
def cond(A: Tensor, p=None):
    """How much relative errors may grow where A is inverted: the product of the norms of A and of its inverse.

    Args:
        A: (..., m, n); square unless ``p`` is None, 2 or -2.
        p: an order of :func:`matrix_norm`. Default: 2, the largest singular value over the smallest; -2: upside down.

    Infinite for singular matrices.

    >>> nnlib.linalg.cond(nnlib.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    if p is None or p in (2, -2):
        matrices("linalg.cond", A)
        values = _C.linalg_svdvals(A)
        if not values.shape[-1]:
            return values.sum(-1)
        high, low = values[..., 0], values[..., -1]
        return low / high if p == -2 else high / low
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    matrices(f"linalg.cond({p})", A, square=True)
    from ._lu import inv_ex

    inverse, info = inv_ex(A)
    result = matrix_norm(A, p) * matrix_norm(inverse, p)
    return _C.where(info != 0, math.inf, result)


@takes_out
def lstsq(A: Tensor, B: Tensor, rcond=None, *, driver: str | None = None):
    """X that makes ``A X - B`` smallest; of several such X the smallest one.

    Args:
        A: (..., m, n).
        B: (..., m, k) or (..., m); batches broadcast.
        rcond: singular values below this part of the largest count as zeros. Default: eps max(m, n).
        driver: "gelsy" (default), "gels" (A has full rank: nothing counts as zero), "gelsd" or "gelss" (the singular
            values are returned). All compute the singular value decomposition.

    Returns:
        a named tuple of the ``solution``; ``residuals``, the sums of squares of what is left, for m > n, full rank and
        another driver than "gelsy" (otherwise without elements); ``rank``, except for "gels"; ``singular_values``,
        for "gelsd" and "gelss".

    RuntimeError for shapes that do not fit or another driver.

    >>> A, B = nnlib.tensor([[1.0], [1.0]]), nnlib.tensor([[1.0], [3.0]])
    >>> nnlib.linalg.lstsq(A, B).solution.round(decimals=3)
    tensor([[2.]])
    """
    matrices("torch.linalg.lstsq", A)
    driver = "gelsy" if driver is None else driver
    if driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got "
            + str(driver)
        )
    if A.dtype != B.dtype:
        raise RuntimeError(
            f"torch.linalg.lstsq: Expected input and other to have the same dtype, but got {A.dtype} and {B.dtype}"
        )
    vector = B.dim() == A.dim() - 1 and B.shape == A.shape[:-1]
    b = B.unsqueeze(-1) if vector else B
    m, n = A.shape[-2:]
    if b.dim() < 2 or b.shape[-2] != m:
        raise RuntimeError("torch.linalg.lstsq: input.size(-2) should match other.size(-2)")
    eps = finfo(A.dtype).eps * max(m, n)
    rtol = 0.0 if driver == "gels" else eps if rcond is None else rcond
    x = pinv(A, rtol=rtol) @ b
    values = _C.linalg_svdvals(A.detach())
    rank = (values > _threshold(values, 0.0, rtol)).sum(-1)
    residuals = x.reshape(-1)[:0]
    if driver != "gelsy" and m > n and bool((rank == n).all()):
        residuals = (A @ x - b).square().sum(-2)
    none = _C.empty((0,), dtype=A.dtype)
    return _lstsq(
        x.squeeze(-1) if vector else x,
        residuals,
        none.to(_C.int64) if driver == "gels" else rank,
        values if driver in ("gelsd", "gelss") else none,
    )
