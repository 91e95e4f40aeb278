"""Functions on any number of tensors, and those whose results depend on flags: thin wrappers of native operators."""

from __future__ import annotations

from collections.abc import Sequence

from . import _C

Tensor = _C.Tensor

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_tensors",
    "cartesian_prod",
    "meshgrid",
    "nonzero",
    "unique",
    "unique_consecutive",
]


def _tensors(args: tuple) -> list[Tensor]:
    """The tensors of ``f(a, b)`` or ``f([a, b])``."""
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        return list(args[0])
    return list(args)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of the tensors, all of the shape to which they broadcast together.

    >>> a, b = nnlib.broadcast_tensors(nnlib.zeros(2, 1), nnlib.zeros(3))
    >>> a.shape, b.shape
    (torch.Size([2, 3]), torch.Size([2, 3]))
    """
    return _C.broadcast_tensors(_tensors(tensors))


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: one tensor for each vector, constant along all dimensions but its own.

    Args:
        tensors: vectors or scalars of one dtype.
        indexing: ``"ij"``, or ``"xy"`` with the first two dimensions swapped.

    >>> nnlib.meshgrid(nnlib.tensor([1, 2]), nnlib.tensor([3, 4]))[0]
    tensor([[1, 1],
            [2, 2]])
    """
    return _C.meshgrid(_tensors(tensors), indexing=indexing)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given ones along its diagonal and zeros elsewhere; vectors count as rows."""
    return _C.block_diag(_tensors(tensors))


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the vectors' elements, one a row, the last vector running fastest.

    >>> nnlib.cartesian_prod(nnlib.tensor([1, 2]), nnlib.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    return _C.cartesian_prod(_tensors(tensors))


def _each(op, tensors):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return op(tensors[0])
    return tuple(op(t) for t in _tensors(tensors))


def atleast_1d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Tensors with at least one dimension; one tensor gives a tensor, several give a tuple."""
    return _each(_C.atleast_1d, tensors)


def atleast_2d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Tensors with at least two dimensions; new ones come in front."""
    return _each(_C.atleast_2d, tensors)


def atleast_3d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Tensors with at least three dimensions; a matrix gets its new one at the end."""
    return _each(_C.atleast_3d, tensors)


def nonzero(
    input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False
) -> Tensor | tuple[Tensor, ...]:
    """The indices of the elements that are not zero: one a row, or with ``as_tuple`` one tensor a dimension.

    >>> nnlib.nonzero(nnlib.tensor([0, 3, 4]))
    tensor([[1],
            [2]])
    """
    if out is not None:
        if as_tuple:
            raise TypeError("nonzero(): out= and as_tuple=True do not go together")
        from ._out import write

        return write(out, _C.nonzero(input))
    return _C.nonzero_tuple(input) if as_tuple else _C.nonzero(input)


def _flagged(values: Sequence[Tensor | None], inverse: bool, counts: bool):
    if not inverse and not counts:
        return values[0]
    return tuple(v for v, wanted in zip(values, (True, inverse, counts), strict=True) if wanted)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
):
    """The different elements in ascending order, or the different slices along ``dim``.

    Args:
        input: any tensor.
        sorted: the result is in ascending order either way.
        return_inverse: also where each element of the input is in the result.
        return_counts: also how often each occurs.
        dim: compare slices along this dimension; None: elements.

    >>> nnlib.unique(nnlib.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    if dim is None:
        values = _C._unique2(input, return_inverse, return_counts)
    else:
        values = _C.unique_dim(input, dim, return_inverse, return_counts)
    return _flagged(values, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
):
    """As :func:`unique`, but only equal neighbours are taken together and the order stays.

    >>> nnlib.unique_consecutive(nnlib.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    values = _C._unique_consecutive(input, return_inverse, return_counts, dim)
    return _flagged(values, return_inverse, return_counts)


Tensor.nonzero = nonzero
Tensor.unique = unique
Tensor.unique_consecutive = unique_consecutive
