"""Greatest common divisors and least common multiples."""

from __future__ import annotations

from . import _C
from ._dtypes import result_type
from ._out import in_place, takes_out

Tensor = _C.Tensor


def _integers(name: str, input: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The operands in one type and shape; errors for what is no integer."""
    for position, t in (("input", input), ("other", other)):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): argument '{position}' must be Tensor, not {type(t).__name__}")
    dtype = result_type(input, other)
    if dtype.is_floating_point or dtype == _C.bool:
        kind = {_C.float64: "Double", _C.float32: "Float", _C.float16: "Half", _C.bool: "Bool"}
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{kind.get(dtype, 'BFloat16')}'")
    return tuple(_C.broadcast_tensors([input.to(dtype).abs(), other.to(dtype).abs()]))


@takes_out
def gcd(input: Tensor, other: Tensor) -> Tensor:
    """The greatest common divisor of integers, by Euclid's algorithm; that of 0 and 0 is 0.

    The operands broadcast. NotImplementedError for floating-point numbers and bool.

    >>> nnlib.gcd(nnlib.tensor([12, -18, 0]), nnlib.tensor(8))
    tensor([4, 2, 8])
    """
    a, b = _integers("gcd", input, other)
    while True:
        going = b != 0
        if not bool(going.any()):
            return a.clone()
        a, b = _C.where(going, b, a), _C.where(going, a % _C.where(going, b, 1), 0)


@takes_out
def lcm(input: Tensor, other: Tensor) -> Tensor:
    """The least common multiple of integers, 0 where one is 0.

    The operands broadcast. NotImplementedError for floating-point numbers and bool.

    >>> nnlib.lcm(nnlib.tensor([4, -6, 0]), nnlib.tensor(10))
    tensor([20, 30,  0])
    """
    a, b = _integers("lcm", input, other)
    divisor = gcd(a, b)
    return (_C.where(divisor == 0, 0, a // _C.where(divisor == 0, 1, divisor)) * b).abs()


gcd_, lcm_ = in_place(gcd, "gcd_"), in_place(lcm, "lcm_")
