"""``permute_copy`` and its kin: what the view would show, in memory of its own."""

from __future__ import annotations

from . import _C
from ._lazy import FUNCTIONS

Tensor = _C.Tensor


def _slice(input: Tensor, dim: int = 0, start=None, end=None, step: int = 1):
    places: list = [slice(None)] * input.dim()
    places[dim] = slice(start, end, step)
    return input[tuple(places)]


def _view(input, *shape):
    return input.view(*shape) if isinstance(shape[0], _C.dtype) else input.reshape(*shape)


_VIEWS = {"alias": lambda input: input, "slice": _slice, "view": _view}


def _make(name: str):
    view = _VIEWS.get(name) or getattr(_C.TensorBase, name)

    def function(input: Tensor, *args, out=None, **kwargs):
        result = view(input, *args, **kwargs)
        if isinstance(result, (tuple, list)):
            copies = tuple(part.clone() for part in result)
            if out is None:
                return copies
            for o, part in zip(out, copies, strict=True):
                o.resize_(part.shape).copy_(part)
            return None
        copy = result.clone(memory_format=_C.contiguous_format)
        return copy if out is None else out.resize_(copy.shape).copy_(copy)

    function.__name__ = function.__qualname__ = f"{name}_copy"
    function.__doc__ = f"What ``{name}`` shows of a tensor, as a copy; ``out`` gets it where it is given."
    return function


__all__ = FUNCTIONS["_view_copies"].split()
globals().update({name: _make(name.removesuffix("_copy")) for name in __all__})
