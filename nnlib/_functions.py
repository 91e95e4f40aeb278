"""Functions of the package that are no operators: facts about types, and settings."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from . import _C
from ._tensor import Tensor


def is_tensor(obj) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype of ``input`` is a floating-point type."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Always False: there are no complex types."""
    return input.is_complex()


def is_nonzero(input: Tensor) -> bool:
    """Whether a tensor of one element is not zero; RuntimeError for any other number of elements."""
    if input.numel() == 0:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
    return bool(input)


def numel(input: Tensor) -> int:
    """The number of elements of ``input``."""
    return input.numel()


def broadcast_shapes(*shapes):
    """The sizes that operands of the given sizes broadcast to; RuntimeError where they do not.

    >>> nnlib.broadcast_shapes((2, 1), (3,))
    torch.Size([2, 3])
    """
    from ._size import Size

    result: list[int] = []
    for shape in ((s,) if isinstance(s, int) else tuple(s) for s in shapes):
        missing = len(shape) - len(result)
        result = [1] * missing + result
        for i, size in enumerate(shape, len(result) - len(shape)):
            if size < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({size}): ({size})")
            if size not in (1, result[i]) and result[i] != 1:
                raise RuntimeError(
                    "Shape mismatch: objects cannot be broadcast to a single shape: "
                    f"{' and '.join(str(tuple(s) if not isinstance(s, int) else s) for s in shapes)}"
                )
            result[i] = size if result[i] == 1 else result[i]
    return Size(result)


@dataclass(frozen=True, repr=False)
class finfo:
    """Limits of a floating-point type: ``eps``, ``max``, ``min``, ``tiny``, ``bits``, ``resolution``.

    >>> nnlib.finfo(nnlib.float32).bits
    32
    """

    bits: int
    eps: float
    max: float
    tiny: float
    resolution: float
    dtype: str

    def __new__(cls, type=None):
        return object.__new__(cls)

    def __init__(self, type=None):
        dtype = _C.get_default_dtype() if type is None else type
        rows = {
            _C.float16: (16, 11, 15, 0.001),
            _C.bfloat16: (16, 8, 127, 0.01),
            _C.float32: (32, 24, 127, 1e-6),
            _C.float64: (64, 53, 1023, 1e-15),
        }
        if dtype not in rows:
            raise TypeError(f"finfo() requires a floating point input type. Use iinfo to handle '{dtype}'")
        bits, digits, exponent, resolution = rows[dtype]
        fields = {
            "bits": bits,
            "eps": 2.0 ** (1 - digits),
            "max": (2.0 - 2.0 ** (1 - digits)) * 2.0**exponent,
            "tiny": 2.0 ** (1 - exponent),
            "resolution": resolution,
            "dtype": str(dtype).rsplit(".", 1)[-1],
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def min(self) -> float:
        return -self.max

    @property
    def smallest_normal(self) -> float:
        return self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer type: ``min``, ``max``, ``bits``.

    >>> nnlib.iinfo(nnlib.int8).max
    127
    """

    def __init__(self, type):
        if not isinstance(type, _C.dtype) or type.is_floating_point or type == _C.bool:
            raise TypeError(f"iinfo() requires an integer input type, got '{type}'")
        self.bits = 8 * type.itemsize
        self.dtype = str(type).rsplit(".", 1)[-1]
        self.min = -(2 ** (self.bits - 1)) if type.is_signed else 0
        self.max = 2 ** (self.bits - 1) - 1 if type.is_signed else 2**self.bits - 1

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


_deterministic = False
_warn_only = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Record the wish; every operator here is deterministic anyway, so ``warn_only`` has nothing to warn of."""
    global _deterministic, _warn_only
    _deterministic, _warn_only = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was last called with."""
    return _deterministic


_PRECISIONS = ("highest", "high", "medium")


def set_float32_matmul_precision(precision: str) -> None:
    """Choose what products of float32 matrices have to keep: ``"highest"`` (default), ``"high"`` or ``"medium"``.

    With S the sum of the magnitudes |a b| over the length K of a dot product, its error is at most

    - ``"highest"``: K 2^-24 S, that of float32. Computed by multiply-adds, or on processors with AMX, where it is
      quicker, by six products of bfloat16 parts, for which the same bound is proven.
    - ``"high"``: 2^-14 S more. On AMX three products of bfloat16 parts.
    - ``"medium"``: 2^-6 S more. On AMX and with AVX512-BF16 one product of numbers rounded to bfloat16.

    Elsewhere every level is computed as ``"highest"``, and so are parts of matrices whose numbers the
    bfloat16 products cannot keep: below 2^-98, near the largest number, infinite or NaN. It concerns ``matmul``,
    ``linear``, ``bmm`` and their kin, and their gradients, in all threads.

    RuntimeError for what is no string; an unknown word warns and changes nothing.

    Source: Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision
    computations" (2019).

    >>> nnlib.set_float32_matmul_precision("high")
    >>> nnlib.get_float32_matmul_precision()
    'high'
    >>> nnlib.set_float32_matmul_precision("highest")
    """
    if not isinstance(precision, str):
        raise RuntimeError(f"set_float32_matmul_precision expects a str, but got {type(precision).__name__}")
    if precision not in _PRECISIONS:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current"
            "setFloat32MatmulPrecision call has no effect.",
            stacklevel=2,
        )
        return
    _C._set_float32_matmul_precision(_PRECISIONS.index(precision))


def get_float32_matmul_precision() -> str:
    """The level that ``set_float32_matmul_precision`` chose; ``"highest"`` at first."""
    return _PRECISIONS[_C._float32_matmul_precision()]
