"""Linear algebra under the names of ``torch.linalg``: norms, products, and factorisations of small matrices.

Factorisations work in float64 inside, one matrix of the batch after the other.
"""

from __future__ import annotations

from . import _C

Tensor = _C.Tensor

__all__ = [
    "cholesky",
    "det",
    "diagonal",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "multi_dot",
    "norm",
    "qr",
    "slogdet",
    "solve",
    "vecdot",
    "vector_norm",
]

cholesky = _C.linalg_cholesky
det = _C.linalg_det
inv = _C.linalg_inv
matmul = _C.matmul
matrix_power = _C.linalg_matrix_power
multi_dot = _C.linalg_multi_dot
qr = _C.linalg_qr
slogdet = _C.linalg_slogdet
solve = _C.linalg_solve
vector_norm = _C.linalg_vector_norm


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonal of each matrix, as a view: (..., m, n) gives (..., min(m, n)) for ``offset`` 0."""
    return A.diagonal(offset, dim1, dim2)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The dot products along ``dim``; the other dimensions broadcast.

    >>> nnlib.linalg.vecdot(nnlib.ones(2, 3), nnlib.ones(3))
    tensor([3., 3.])
    """
    return (x * y).sum(dim)


def matrix_norm(A: Tensor, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None) -> Tensor:
    """A norm of each matrix: 'fro', or the largest absolute sum of a column (1) or row (inf).

    -1 and -inf give the smallest such sum.

    ValueError for another ``ord``: norms by singular values are not there.

    >>> nnlib.linalg.matrix_norm(nnlib.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor(5.)
    """
    if dtype is not None:
        A = A.to(dtype)
    if A.dim() < 2:
        raise RuntimeError(
            f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions, got {A.dim()}"
        )
    if ord == "fro":
        return _C.linalg_vector_norm(A, 2, tuple(dim), keepdim)
    if ord not in (1, -1, float("inf"), float("-inf")):
        raise ValueError(f"linalg.matrix_norm: expected ord to be 'fro', 1, -1, inf or -inf, got {ord!r}")
    rows, columns = (d % A.dim() for d in dim)
    summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = A.abs().sum(summed, keepdim=True)
    result = sums.amax(kept, keepdim=True) if ord > 0 else sums.amin(kept, keepdim=True)
    return result if keepdim else result.squeeze((rows, columns))


def norm(A: Tensor, ord=None, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """A vector norm; a matrix norm where ``dim`` names two dimensions or ``A`` has two and ``ord`` is given.

    >>> nnlib.linalg.norm(nnlib.tensor([3.0, 4.0]))
    tensor(5.)
    """
    if dim is not None and not isinstance(dim, int):
        dim = tuple(dim)
        if len(dim) == 1:
            dim = dim[0]
    if ord is None:
        return _C.linalg_vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if isinstance(dim, int) or (dim is None and A.dim() == 1):
        return _C.linalg_vector_norm(A, ord, dim, keepdim, dtype=dtype)
    if dim is None and A.dim() != 2:
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. "
                           f"Got {A.dim()}D.")  # fmt: skip
    return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
