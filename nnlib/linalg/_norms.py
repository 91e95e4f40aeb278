"""Norms, products and diagonals."""

from __future__ import annotations

from .. import _C
from .._autocast import in_lower_precision
from .._out import takes_out

Tensor = _C.Tensor


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonal of each matrix, as a view: (..., m, n) gives (..., min(m, n)) for ``offset`` 0."""
    return A.diagonal(offset, dim1, dim2)


@takes_out
@in_lower_precision
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The dot products along ``dim``; the other dimensions broadcast.

    >>> nnlib.linalg.vecdot(nnlib.ones(2, 3), nnlib.ones(3))
    tensor([3., 3.])
    """
    return (x * y).sum(dim)


def _largest(values: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The largest of values that are not below 0; 0 of none."""
    return values.amax(dim, keepdim) if values.shape[dim] else values.sum(dim, keepdim)


@takes_out
def matrix_norm(A: Tensor, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None) -> Tensor:
    """A norm of each matrix.

    Args:
        A: (..., m, n).
        ord: 'fro' (root of the sum of squares), 'nuc' (sum of the singular values), 1 or inf (largest sum of
            absolute values of a column or row), 2 (largest singular value); -1, -inf and -2 give the smallest.
        dim: the two dimensions of a matrix.
        keepdim: keep them with size one.
        dtype: convert the input first.

    RuntimeError for another ``ord``.

    >>> nnlib.linalg.matrix_norm(nnlib.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor(5.)
    """
    if dtype is not None:
        A = A.to(dtype)
    if A.dim() < 2:
        raise RuntimeError(
            f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions, got {A.dim()}"
        )
    if isinstance(dim, int) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}")
    if ord == "fro":
        return _C.linalg_vector_norm(A, 2, tuple(dim), keepdim)
    if ord not in ("nuc", 1, -1, 2, -2, float("inf"), float("-inf")):
        raise RuntimeError(
            f"linalg.matrix_norm: Order {ord} not supported: 'fro', 'nuc', 1, 2, inf and their negatives are"
        )
    rows, columns = (d % A.dim() for d in dim)
    if ord in ("nuc", 2, -2):
        values = _C.linalg_svdvals(A.movedim((rows, columns), (-2, -1)))
        result = values.sum(-1) if ord == "nuc" else _largest(values, -1) if ord == 2 else values.amin(-1)
        low, high = sorted((rows, columns))
        return result.unsqueeze(low).unsqueeze(high) if keepdim else result
    summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = A.abs().sum(summed, keepdim=True)
    result = _largest(sums, kept, True) if ord > 0 else sums.amin(kept, keepdim=True)
    return result if keepdim else result.squeeze((rows, columns))


@takes_out
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
