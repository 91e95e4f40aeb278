"""Checked indices and key-value pairs of the containers."""

import operator
from collections.abc import Iterable, Mapping


def position_of(index, size, where):
    """`index` as a position counted from the front; IndexError when out of range."""
    index = operator.index(index)
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of range for {where} of length {size}")
    return index % size if size else 0


def pairs_of(values, owner, kind):
    """(key, value) pairs of a mapping or of an iterable of pairs, checked."""
    if not isinstance(values, Iterable):
        raise TypeError(
            f"{owner}.update should be called with an iterable of key/value pairs, but got "
            f"{type(values).__name__}"
        )
    if isinstance(values, Mapping) or hasattr(values, "items"):
        return values.items()
    pairs = list(values)
    for i, pair in enumerate(pairs):
        if not isinstance(pair, Iterable):
            raise TypeError(
                f"{owner} update sequence element #{i} should be Iterable; is {type(pair).__name__}"
            )
        if len(pair) != 2:
            raise ValueError(f"{owner} update sequence element #{i} has length {len(pair)}; 2 is required")
    return pairs
