"""Functions of sparse tensors in coordinate format: products with dense ones, sums, softmax.

Gradients of sparse tensors are sparse, with the indices of the tensors themselves.
"""

from __future__ import annotations

from .. import _C
from .._dims import wrapped_dim
from .._shape import unique
from .._sparse import sparse_coo_tensor
from ._values import Sparse, on_values

__all__ = ["addmm", "log_softmax", "mm", "softmax", "sum"]

Tensor = _C.Tensor


def _sparse(name: str, t: Tensor) -> None:
    if not isinstance(t, Tensor) or not t.is_sparse:
        kind = t.layout if isinstance(t, Tensor) else type(t).__name__
        raise RuntimeError(f"{name}: expected a sparse tensor in coordinate format, but got {kind}")


def _matrices(name: str, a: Tensor, b: Tensor) -> None:
    _sparse(name, a)
    if a.dim() != 2 or a.sparse_dim() != 2 or b.dim() != 2 or (b.is_sparse and b.sparse_dim() != 2):
        raise RuntimeError(
            f"{name}: expected matrices, the sparse ones without dense dimensions, got {a.dim()}D and {b.dim()}D"
        )
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]})"
        )
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"{name}: expected both matrices to have the same dtype, but got {a.dtype} and {b.dtype}"
        )


def mm(mat1: Tensor, mat2: Tensor) -> Tensor:
    """The product of a sparse matrix and a dense one (the result is dense) or another sparse one (it is sparse).

    RuntimeError for shapes or types that do not fit. Products of two sparse matrices have no gradient
    (NotImplementedError where one requires grad).

    >>> s = nnlib.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3))
    >>> nnlib.sparse.mm(s, nnlib.ones(3, 2))
    tensor([[3., 3.],
            [4., 4.]])
    """
    _matrices("sparse.mm", mat1, mat2)
    if mat2.is_sparse:
        return _sparse_product(mat1, mat2)
    rows, columns = mat1._indices()

    def product(values, dense):
        out = _C.zeros(mat1.shape[0], dense.shape[1], dtype=dense.dtype)
        return out.index_add(0, rows, values.unsqueeze(1) * dense[columns])

    return on_values(product, mat1, mat2)


def _sparse_product(a: Tensor, b: Tensor) -> Tensor:
    """Each entry of A with all entries of the row of B that it meets; equal places are added at the end."""
    if _C.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        raise NotImplementedError("sparse.mm: the product of two sparse matrices has no gradient")
    b = b.coalesce()  # so that its rows lie one after the other
    (rows, inner), (b_rows, columns) = a._indices(), b._indices()
    ends = _C.bincount(b_rows, minlength=b.shape[0]).cumsum(0)
    counts = ends.diff(prepend=_C.zeros(1, dtype=_C.int64))
    met = counts[inner]
    left = _C.repeat_interleave(_C.arange(rows.shape[0]), met)
    within = _C.arange(left.shape[0]) - (met.cumsum(0) - met)[left]
    right = (ends - counts)[inner][left] + within
    values = a._values()[left] * b._values()[right]
    indices = _C.stack([rows[left], columns[right]])
    return sparse_coo_tensor(indices, values, (a.shape[0], b.shape[1])).coalesce()


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1.0, alpha=1.0) -> Tensor:
    """``beta mat + alpha mat1 mat2`` with sparse ``mat1`` and the others dense.

    >>> s = nnlib.sparse_coo_tensor([[0], [1]], [2.0], (1, 2))
    >>> nnlib.sparse.addmm(nnlib.ones(1, 1), s, nnlib.ones(2, 1), alpha=10)
    tensor([[21.]])
    """
    if mat.is_sparse or mat2.is_sparse:
        raise RuntimeError("sparse.addmm: expected dense mat and mat2")
    return beta * mat + alpha * mm(mat1, mat2)


def sum(input: Tensor, dim=None, dtype=None) -> Tensor:
    """The sum of a sparse tensor's elements, of all or along dimensions.

    Args:
        input: a sparse tensor.
        dim: a dimension or several. Default: all.
        dtype: of the result.

    Returns:
        a dense tensor where no sparse dimension is left, else a coalesced sparse one.

    >>> s = nnlib.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3))
    >>> nnlib.sparse.sum(s, 1).to_dense()
    tensor([3., 4.])
    """
    _sparse("sparse.sum", input)
    count, ndim = input.sparse_dim(), input.dim()
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    gone = {wrapped_dim(d, ndim) for d in dims}
    kept = [d for d in range(count) if d not in gone]
    inner = [d - count + 1 for d in sorted(gone) if d >= count]
    shape = [input.shape[d] for d in range(ndim) if d not in gone]

    def reduced(values):
        values = values if dtype is None else values.to(dtype)
        values = values.sum(inner) if inner else values
        return values if kept else values.sum(0)

    if not kept:
        return on_values(reduced, input)
    result = on_values(lambda v: Sparse(input._indices()[kept], reduced(v), shape), input)
    return result.coalesce()


def _softmax(name: str, input: Tensor, dim: int, dtype, logarithm: bool) -> Tensor:
    _sparse(name, input)
    dim = wrapped_dim(dim, input.dim())
    input = input.coalesce()
    count, indices = input.sparse_dim(), input.indices()
    dense = _C.log_softmax if logarithm else _C.softmax

    def by_groups(values):
        """Entries that agree in all other indices belong together."""
        key = _C.zeros(indices.shape[1], dtype=_C.int64)
        for d in range(count):
            if d != dim:
                key = key * input.shape[d] + indices[d]
        group = unique(key, return_inverse=True)[1]
        groups = int(group.max()) + 1 if group.numel() else 0
        place = group.reshape(-1, *[1] * (values.dim() - 1)).expand(values.shape)
        lowest = _C.full((groups, *values.shape[1:]), float("-inf"), dtype=values.dtype)
        shifted = values - lowest.scatter_reduce(0, place, values.detach(), "amax").index_select(0, group)
        total = _C.zeros_like(lowest).index_add(0, group, shifted.exp()).index_select(0, group)
        return shifted - total.log() if logarithm else shifted.exp() / total

    def result(values):
        values = values if dtype is None else values.to(dtype)
        values = by_groups(values) if dim < count else dense(values, dim - count + 1)
        return Sparse(indices, values, input.shape)

    return on_values(result, input).coalesce()


def softmax(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """Softmax along a dimension of the elements that a sparse tensor holds; the others count as minus infinity.

    Args:
        input: a sparse tensor.
        dim: a sparse or a dense dimension.
        dtype: convert the input first.

    >>> s = nnlib.sparse_coo_tensor([[0, 0, 1], [0, 2, 1]], [1.0, 1.0, 5.0], (2, 3))
    >>> nnlib.sparse.softmax(s, 1).to_dense()
    tensor([[0.5000, 0.0000, 0.5000],
            [0.0000, 1.0000, 0.0000]])
    """
    return _softmax("sparse.softmax", input, dim, dtype, False)


def log_softmax(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """The logarithm of :func:`softmax`, at the elements that a sparse tensor holds."""
    return _softmax("sparse.log_softmax", input, dim, dtype, True)
