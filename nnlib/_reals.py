"""There are no complex numbers: a tensor is its own real part and conjugate."""

from __future__ import annotations

import math

from . import _C
from ._out import takes_out

Tensor = _C.Tensor


def real(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


resolve_conj = resolve_neg = conj = conj_physical = real


def imag(input: Tensor) -> Tensor:
    """RuntimeError: real tensors have no imaginary part in memory."""
    raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")


def isreal(input: Tensor) -> Tensor:
    """True everywhere.

    >>> nnlib.isreal(nnlib.tensor([1.0, float("nan")]))
    tensor([True, True])
    """
    return _C.ones_like(input, dtype=_C.bool)


def is_conj(input: Tensor) -> bool:
    """Always False."""
    return False


is_neg = is_conj


def conj_physical_(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


@takes_out
def angle(input: Tensor) -> Tensor:
    """Pi where a number is negative and 0 elsewhere; NaN stays.

    >>> nnlib.angle(nnlib.tensor([-2.0, 0.0, 3.0]))
    tensor([3.1416, 0.0000, 0.0000])
    """
    x = input if input.is_floating_point() else input.to(_C.get_default_dtype())
    zero = x * 0
    return _C.where(x < 0, math.pi, _C.where(x.isnan(), x, zero.nan_to_num(0.0)))
