"""Autocast for functions that are written in Python: their tensors are cast once, at the entry."""

from __future__ import annotations

import functools

from . import _C


def _cast(value, dtype):
    if not isinstance(value, _C.TensorBase) or not value.is_floating_point() or value.dtype == _C.float64:
        return value
    return value.to(dtype)


def _casting(function, target):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if not _C.is_autocast_enabled("cpu"):
            return function(*args, **kwargs)
        dtype = target()
        args = [_cast(a, dtype) for a in args]
        kwargs = {name: _cast(a, dtype) for name, a in kwargs.items()}
        _C.set_autocast_enabled("cpu", False)
        try:
            return function(*args, **kwargs)
        finally:
            _C.set_autocast_enabled("cpu", True)

    return wrapper


def in_float32(function):
    """Under autocast `function` gets its tensors in float32, as PyTorch's losses do."""
    return _casting(function, lambda: _C.float32)


def in_lower_precision(function):
    """Under autocast `function` gets its tensors in the region's type."""
    return _casting(function, lambda: _C.get_autocast_dtype("cpu"))
