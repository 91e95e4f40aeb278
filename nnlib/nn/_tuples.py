"""One number for every dimension, or a tuple of them: both forms become a tuple."""

from collections.abc import Iterable


def to_ntuple(value, n):
    """An iterable as a tuple, anything else repeated `n` times."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * n
