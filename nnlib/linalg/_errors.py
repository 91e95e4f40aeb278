"""The error of matrices that cannot be factored or inverted."""

from __future__ import annotations

import functools

from .. import _C


class LinAlgError(RuntimeError):
    """A matrix is singular or not positive-definite, or a method did not converge.

    >>> try:
    ...     nnlib.linalg.inv(nnlib.zeros(2, 2))
    ... except nnlib.linalg.LinAlgError:
    ...     print("singular")
    singular
    """


_REASONS = ("singular", "not positive-definite", "failed to converge")


def raises_linalg_error(function):
    """Make a native operator raise :class:`LinAlgError` where the matrix is to blame."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:
            if type(error) is RuntimeError and any(reason in str(error) for reason in _REASONS):
                raise LinAlgError(str(error)) from None
            raise

    wrapper.__doc__ = (function.__doc__ or "").replace("RuntimeError", "LinAlgError (a RuntimeError)")
    return wrapper


def matrices(name: str, *tensors, square: bool = False) -> None:
    """Check that the tensors are batches of floating-point matrices."""
    for t in tensors:
        if not isinstance(t, _C.TensorBase):
            raise TypeError(f"{name}(): expected a Tensor, but got {type(t).__name__}")
        if t.dtype not in (_C.float32, _C.float64):
            raise RuntimeError(
                f"{name}: Expected a floating point tensor as input. Got {str(t.dtype).removeprefix('torch.')}"
            )
        if t.dim() < 2:
            raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    rows, columns = tensors[0].shape[-2:]
    if square and rows != columns:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {rows} by {columns} matrices"
        )
