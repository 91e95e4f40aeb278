"""What functions written in Python share: results written to ``out``, the same in place, tuples with names."""

from __future__ import annotations

import functools
from collections import namedtuple

from . import _C
from ._dtypes import can_cast


def write(out, result):
    """Put a result into the tensor given for it, which takes its shape; RuntimeError where the type does not fit."""
    if not can_cast(result.dtype, out.dtype):
        raise RuntimeError(
            f"result type {_name(result.dtype)} can't be cast to the desired output type {_name(out.dtype)}"
        )
    from .autograd.grad_mode import no_grad

    with no_grad():
        return out.resize_(result.shape).copy_(result)


def _name(dtype) -> str:
    from ._legacy import type_name

    return type_name(dtype).removeprefix("torch.").removesuffix("Tensor")


def takes_out(function):
    """Give a function the keyword ``out``: a tensor, or a tuple of them, that gets the result."""

    @functools.wraps(function)
    def wrapper(*args, out=None, **kwargs):
        result = function(*args, **kwargs)
        if out is None:
            return result
        if isinstance(result, tuple):
            parts = [write(o, r) for o, r in zip(out, result, strict=True)]
            return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
        return write(out, result)

    return wrapper


def in_place(function, name: str):
    """The method that puts a function's result into its first argument."""

    def method(self, *args, **kwargs):
        # A gradient may need what was there.
        recorded = any(isinstance(t, _C.TensorBase) and t.requires_grad for t in (self, *args))
        result = function(self.clone() if recorded else self, *args, **kwargs)
        if not can_cast(result.dtype, self.dtype):
            raise RuntimeError(
                f"result type {_name(result.dtype)} can't be cast to the desired output type {_name(self.dtype)}"
            )
        if result.shape != self.shape:
            raise RuntimeError(
                f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}"
            )
        return self.copy_(result)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f":func:`{function.__name__}` in place."
    return method


def named(name: str, fields: str) -> type:
    """A class of tuples whose parts have names, shown as PyTorch shows them."""
    kind = namedtuple(name, fields)

    def show(self) -> str:
        return (
            f"torch.return_types.{name}(\n"
            + ",\n".join(f"{f}={getattr(self, f)!r}" for f in self._fields)
            + ")"
        )

    kind.__repr__ = show
    return kind


def computed_in(t, *others):
    """The floating-point type of a function of the tensors, and them in float64."""
    dtype = t.dtype if t.is_floating_point() else _C.get_default_dtype()
    return dtype, [x.to(_C.float64) for x in (t, *others)]
