"""Constructors and names of the types from before dtypes: ``LongTensor``, ``FloatTensor``, ..."""

from __future__ import annotations

from . import _C
from ._tensor import Tensor

_TYPE_NAMES = {
    "FloatTensor": _C.float32,
    "DoubleTensor": _C.float64,
    "HalfTensor": _C.float16,
    "BFloat16Tensor": _C.bfloat16,
    "LongTensor": _C.int64,
    "IntTensor": _C.int32,
    "ShortTensor": _C.int16,
    "CharTensor": _C.int8,
    "ByteTensor": _C.uint8,
    "BoolTensor": _C.bool,
}


class _TypedMeta(type):
    """``isinstance(x, LongTensor)`` asks for the dtype."""

    def __instancecheck__(cls, obj) -> bool:
        return isinstance(obj, Tensor) and obj.dtype == cls.dtype

    def __call__(cls, *args):
        if not args:
            return _C.empty((0,), dtype=cls.dtype)
        first = args[0]
        if isinstance(first, int) and not isinstance(first, bool):
            return _C.empty(args, dtype=cls.dtype)
        if len(args) != 1:
            raise TypeError(
                f"{cls.__name__}() takes sizes, one sequence or one tensor, got {len(args)} arguments"
            )
        if type(first).__name__ == "Size":
            return _C.empty(first, dtype=cls.dtype)
        if isinstance(first, Tensor):
            if first.dtype != cls.dtype:
                raise TypeError(f"expected {cls.dtype} (got {first.dtype})")
            return first.detach()
        return _C.tensor(first, dtype=cls.dtype)

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


def _make(name: str, dtype) -> _TypedMeta:
    doc = (
        f"{name}(*sizes) or {name}(sequence): a tensor of {dtype}, its values unset or taken from the sequence.\n\n"
        f"``isinstance(x, {name})`` is true for tensors of that dtype."
    )
    return _TypedMeta(name, (), {"dtype": dtype, "__doc__": doc, "__module__": "nnlib"})


TYPES = {name: _make(name, dtype) for name, dtype in _TYPE_NAMES.items()}


def type_name(dtype) -> str:
    """ "torch.FloatTensor" for float32, and so on."""
    return "torch." + next(name for name, d in _TYPE_NAMES.items() if d == dtype)


def dtype_of_type_name(value):
    """The dtype of a dtype, an old type or its name."""
    if isinstance(value, str):
        short = value.rsplit(".", 1)[-1]
        if short not in _TYPE_NAMES:
            raise ValueError(f"invalid type: '{value}'")
        return _TYPE_NAMES[short]
    if isinstance(value, _TypedMeta):
        return value.dtype
    return value
