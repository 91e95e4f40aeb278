"""Facts about types and tensors: which type a result has, what can be cast, what there is no need for."""

from __future__ import annotations

from . import _C

Tensor = _C.Tensor

_FLOATS = (_C.float16, _C.bfloat16, _C.float32, _C.float64)
_SIGNED = (_C.int8, _C.int16, _C.int32, _C.int64)


def promote_types(type1, type2):
    """The smallest type that holds the values of both.

    TypeError for what is no dtype.

    >>> nnlib.promote_types(nnlib.int32, nnlib.float16)
    torch.float16
    """
    for position, t in (("type1", type1), ("type2", type2)):
        if not isinstance(t, _C.dtype):
            raise TypeError(
                f"promote_types(): argument '{position}' must be torch.dtype, not {type(t).__name__}"
            )
    if type1 == type2:
        return type1
    first, second = sorted((type1, type2), key=_rank)
    if first in _FLOATS and second == _C.bfloat16:
        return _C.float32  # neither of float16 and bfloat16 holds the other
    if first == _C.uint8 and second == _C.int8:
        return _C.int16
    return second


def _rank(dtype) -> int:
    return (_C.bool, _C.uint8, *_SIGNED, *_FLOATS).index(dtype)


def _category(dtype) -> int:
    return 2 if dtype in _FLOATS else 0 if dtype == _C.bool else 1


def result_type(tensor1, tensor2):
    """The type of an arithmetic operation's result.

    Tensors with dimensions count more than those without, and these more than Python numbers: the lesser decide
    only where they are of a higher kind (bool, integer, floating point).

    Args:
        tensor1, tensor2: tensors or numbers.

    >>> nnlib.result_type(nnlib.tensor([1, 2], dtype=nnlib.int8), 2.5)
    torch.float32
    """
    types: list = [None, None, None]
    for value in (tensor1, tensor2):
        if isinstance(value, Tensor):
            level, dtype = (0 if value.dim() else 1), value.dtype
        elif isinstance(value, (bool, int, float)) or hasattr(value, "item"):
            value = value.item() if hasattr(value, "item") else value
            kinds = {bool: _C.bool, int: _C.int64}
            level, dtype = 2, kinds.get(type(value), _C.get_default_dtype())
        else:
            raise TypeError(f"result_type(): expected tensors or numbers, got {type(value).__name__}")
        types[level] = dtype if types[level] is None else promote_types(types[level], dtype)
    result = None
    for dtype in reversed(types):
        if dtype is not None and (result is None or _category(dtype) >= _category(result)):
            result = dtype
    return result


def can_cast(from_, to) -> bool:
    """Whether results of one type may go into a tensor of another: not from a higher kind to a lower one.

    >>> nnlib.can_cast(nnlib.double, nnlib.float), nnlib.can_cast(nnlib.float, nnlib.int)
    (True, False)
    """
    return _category(from_) <= _category(to)


def is_signed(input: Tensor) -> bool:
    """Whether the type of ``input`` has negative numbers."""
    return input.dtype.is_signed


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.shape == other.shape


def is_inference(input: Tensor) -> bool:
    """Whether ``input`` was made inside of :class:`nnlib.inference_mode`."""
    return input.is_inference()


def is_storage(obj) -> bool:
    """Whether ``obj`` is the memory of tensors, typed or not."""
    from ._utils import TypedStorage

    return isinstance(obj, (_C.UntypedStorage, TypedStorage))


def is_distributed(input: Tensor) -> bool:
    """Always False: a tensor lies on one machine."""
    return False


def get_device(input: Tensor) -> int:
    """The number of the device of ``input``; -1 where it is on no share of the cores in particular."""
    return input.get_device()


def typename(obj) -> str:
    """The name of an object's type: ``"torch.FloatTensor"`` for a tensor, else its class with its module."""
    if isinstance(obj, Tensor):
        return obj.type()
    module = getattr(obj, "__module__", "") or ""
    prefix = f"{module}." if module and module not in ("builtins", "__builtin__") else ""
    if hasattr(obj, "__qualname__"):
        return prefix + obj.__qualname__
    if hasattr(obj, "__name__"):
        return prefix + obj.__name__
    kind = type(obj)
    prefix = f"{kind.__module__}." if kind.__module__ not in ("builtins", "__builtin__", "", None) else ""
    return prefix + kind.__qualname__
