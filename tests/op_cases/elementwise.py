"""Functions of one, two and three operands, comparisons and choice."""

import math

import numpy as np

from .case import Case, positive, uniform

_erf = np.vectorize(math.erf, otypes=[float])
_lgamma = np.vectorize(math.lgamma, otypes=[float])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name, reference, input, second gradients too
_UNARY = [
    ("neg", np.negative, (3, 4), True),
    ("abs", np.abs, (3, 4), True),
    ("sign", np.sign, (3, 4), True),
    ("exp", np.exp, (3, 4), True),
    ("exp2", np.exp2, (3, 4), True),
    ("expm1", np.expm1, (3, 4), True),
    ("log", np.log, positive(3, 4), True),
    ("log2", np.log2, positive(3, 4), True),
    ("log10", np.log10, positive(3, 4), True),
    ("log1p", np.log1p, positive(3, 4), True),
    ("sqrt", np.sqrt, positive(3, 4), True),
    ("rsqrt", lambda x: 1 / np.sqrt(x), positive(3, 4), True),
    ("square", np.square, (3, 4), True),
    ("reciprocal", np.reciprocal, positive(3, 4), True),
    ("sin", np.sin, (3, 4), True),
    ("cos", np.cos, (3, 4), True),
    ("tan", np.tan, uniform(-1, 1, 3, 4), True),
    ("asin", np.arcsin, uniform(-0.9, 0.9, 3, 4), True),
    ("acos", np.arccos, uniform(-0.9, 0.9, 3, 4), True),
    ("atan", np.arctan, (3, 4), True),
    ("sinh", np.sinh, (3, 4), True),
    ("cosh", np.cosh, (3, 4), True),
    ("tanh", np.tanh, (3, 4), True),
    ("asinh", np.arcsinh, (3, 4), True),
    ("acosh", np.arccosh, uniform(1.2, 3, 3, 4), True),
    ("atanh", np.arctanh, uniform(-0.9, 0.9, 3, 4), True),
    ("erf", _erf, (3, 4), True),
    ("erfc", lambda x: 1 - _erf(x), (3, 4), True),
    ("erfinv", None, uniform(-0.9, 0.9, 3, 4), True),
    ("lgamma", _lgamma, positive(3, 4), True),
    ("digamma", None, positive(3, 4), True),
    ("sigmoid", _sigmoid, (3, 4), True),
    ("logit", lambda p: np.log(p / (1 - p)), uniform(0.1, 0.9, 3, 4), True),
    ("floor", np.floor, (3, 4), True),
    ("ceil", np.ceil, (3, 4), True),
    ("round", np.round, (3, 4), True),
    ("trunc", np.trunc, (3, 4), True),
    ("frac", lambda x: x - np.trunc(x), (3, 4), True),
    ("sinc", np.sinc, (3, 4), True),
    ("deg2rad", np.deg2rad, (3, 4), True),
    ("rad2deg", np.rad2deg, (3, 4), True),
    ("nan_to_num", np.nan_to_num, (3, 4), True),
]
_HALF = ("neg", "abs", "exp", "sqrt", "square", "tanh", "sigmoid", "floor")


def _unary_cases():
    for name, reference, made, grad2 in _UNARY:
        call = lambda lib, x, name=name: getattr(lib, name)(x)  # noqa: E731
        yield Case(name, call, (made,), reference, grad2=grad2, half=name in _HALF)


_SHAPES = ((3, 1, 4), (2, 1))
# name, reference, inputs
_BINARY = [
    ("add", np.add, _SHAPES),
    ("sub", np.subtract, _SHAPES),
    ("mul", np.multiply, _SHAPES),
    ("div", np.divide, ((3, 1, 4), positive(2, 1))),
    ("pow", np.power, (positive(3, 1, 4), (2, 1))),
    ("atan2", np.arctan2, _SHAPES),
    ("hypot", np.hypot, _SHAPES),
    ("copysign", np.copysign, _SHAPES),
    ("logaddexp", np.logaddexp, _SHAPES),
    ("logaddexp2", np.logaddexp2, _SHAPES),
    ("xlogy", lambda x, y: x * np.log(y), ((3, 1, 4), positive(2, 1))),
    ("remainder", np.mod, ((3, 1, 4), positive(2, 1))),
    ("fmod", np.fmod, ((3, 1, 4), positive(2, 1))),
    ("maximum", np.maximum, _SHAPES),
    ("minimum", np.minimum, _SHAPES),
    ("fmax", np.fmax, _SHAPES),
    ("fmin", np.fmin, _SHAPES),
]
_COMPARISONS = [("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal)]
_COMPARISONS += [("gt", np.greater), ("ge", np.greater_equal)]
_COMPARISONS += [(f"logical_{op}", getattr(np, f"logical_{op}")) for op in ("and", "or", "xor")]
_BITS = [(f"bitwise_{op}", getattr(np, f"bitwise_{op}")) for op in ("and", "or", "xor")]
_BITS += [("bitwise_left_shift", np.left_shift), ("bitwise_right_shift", np.right_shift)]
_ROUNDED = [("trunc", lambda a, b: np.trunc(a / b)), ("floor", lambda a, b: np.floor(a / b))]


def _binary_cases():
    for name, reference, inputs in _BINARY:
        call = lambda lib, x, y, name=name: getattr(lib, name)(x, y)  # noqa: E731
        yield Case(name, call, inputs, reference, half=name in ("add", "mul", "maximum"))
        yield Case(
            f"{name} of views", lambda lib, x, y, f=call: f(lib, x.transpose(0, 2), y), inputs, grad=False
        )
    for name, reference in _COMPARISONS:
        call = lambda lib, x, y, name=name: getattr(lib, name)(x, y)  # noqa: E731
        yield Case(name, call, (np.arange(-3.0, 3.0), np.zeros(1)), reference, grad=False, floating=False)
    integers = np.array([[5, -7, 12], [0, 3, -1]]), np.array([1, 2, 3])
    for name, reference in _BITS:
        call = lambda lib, x, y, name=name: getattr(lib, name)(x, y)  # noqa: E731
        yield Case(name, call, integers, reference, grad=False, floating=False)
    for mode, reference in _ROUNDED:
        call = lambda lib, x, y, mode=mode: lib.div(x, y, rounding_mode=mode)  # noqa: E731
        yield Case(f"div {mode}", call, ((4, 5), positive(5)), reference)
        yield Case(f"div {mode} of integers", call, integers, reference, grad=False, floating=False)


# What a Python number does, from either side.
_NUMBERS = [
    ("x + 2", lambda x: x + 2),
    ("2 - x", lambda x: 2 - x),
    ("x * 0.5", lambda x: x * 0.5),
    ("1 / x", lambda x: 1 / x),
    ("x ** 2", lambda x: x**2),
    ("x ** 0.5", lambda x: x**0.5),
    ("x ** -1", lambda x: x**-1),
    ("x ** 3", lambda x: x**3),
    ("2 ** x", lambda x: 2**x),
    ("x // 0.3", lambda x: x // 0.3),
    ("x % 0.3", lambda x: x % 0.3),
]

TERNARY = [
    Case(
        "add alpha", lambda lib, x, y: lib.add(x, y, alpha=0.5), _SHAPES, lambda x, y: x + 0.5 * y, half=True
    ),
    Case("sub alpha", lambda lib, x, y: lib.sub(x, y, alpha=3), _SHAPES, lambda x, y: x - 3 * y),
    Case(
        "clamp", lambda lib, x: lib.clamp(x, -0.5, 0.7), ((5, 6),), lambda x: np.clip(x, -0.5, 0.7), half=True
    ),
    Case("clamp min", lambda lib, x: lib.clamp(x, min=0.1), ((5, 6),), lambda x: np.maximum(x, 0.1)),
    Case("clamp max", lambda lib, x: x.clamp(max=0.1), ((5, 6),), lambda x: np.minimum(x, 0.1)),
    Case(
        "clamp to tensors",
        lambda lib, x, a, b: lib.clamp(x, a, b),
        ((5, 6), uniform(-1, -0.1, 6), uniform(0.1, 1, 5, 1)),
        np.clip,
    ),
    Case("clamp_min of a tensor", lambda lib, x, a: lib.clamp_min(x, a), ((5, 6), (6,)), np.maximum),
    Case("clamp_max of a tensor", lambda lib, x, a: lib.clamp_max(x, a), ((5, 6), (6,)), np.minimum),
    Case(
        "where", lambda lib, x, y: lib.where(x > 0, x, y), ((5, 6), (6,)), lambda x, y: np.where(x > 0, x, y)
    ),
    Case(
        "where of a number",
        lambda lib, x: lib.where(x > 0, x, 0.5),
        ((5, 6),),
        lambda x: np.where(x > 0, x, 0.5),
    ),
    Case("lerp", lambda lib, a, b: lib.lerp(a, b, 0.3), ((5, 6), (6,)), lambda a, b: a + 0.3 * (b - a)),
    Case(
        "lerp by a tensor",
        lambda lib, a, b, w: lib.lerp(a, b, w),
        ((5, 6), (6,), (5, 1)),
        lambda a, b, w: a + w * (b - a),
    ),
    Case(
        "addcmul",
        lambda lib, x, a, b: lib.addcmul(x, a, b, value=0.5),
        ((5, 6), (6,), (5, 1)),
        lambda x, a, b: x + 0.5 * a * b,
        half=True,
    ),
    Case(
        "addcdiv",
        lambda lib, x, a, b: lib.addcdiv(x, a, b, value=0.5),
        ((5, 6), (6,), positive(5, 1)),
        lambda x, a, b: x + 0.5 * a / b,
    ),
    Case(
        "masked_fill",
        lambda lib, x: x.masked_fill(x > 0.5, -1),
        ((5, 6),),
        lambda x: np.where(x > 0.5, -1, x),
    ),
    Case(
        "masked_fill with a tensor",
        lambda lib, x, v: x.masked_fill(x > 0.5, v),
        ((5, 6), ()),
        lambda x, v: np.where(x > 0.5, v, x),
    ),
    Case(
        "logit eps",
        lambda lib, x: lib.logit(x, eps=0.2),
        (uniform(0.25, 0.75, 9),),
        lambda x: np.log(x / (1 - x)),
    ),
    Case("round decimals", lambda lib, x: lib.round(x, decimals=2), ((9,),), lambda x: np.round(x, 2)),
    Case("polygamma", lambda lib, x: lib.polygamma(2, x), (uniform(0.2, 2, 12),)),
    Case("polygamma below zero", lambda lib, x: lib.polygamma(1, x), (uniform(-0.9, -0.1, 12),), grad2=False),
    Case(
        "long",
        lambda lib, x, y: lib.sin(x) * y,
        ((40, 1031), (1031,)),
        lambda x, y: np.sin(x) * y,
        grad=False,
    ),
    Case("no elements", lambda lib, x, y: x * y + 1, ((0, 3), (1, 3)), lambda x, y: x * y + 1),
    Case("no dimensions", lambda lib, x, y: x * y + 1, ((), ()), lambda x, y: x * y + 1),
]

ELEMENTWISE = [
    *_unary_cases(),
    *_binary_cases(),
    *(
        Case(name, lambda lib, x, f=f: f(x), (positive(3, 4),), f, grad="//" not in name)
        for name, f in _NUMBERS
    ),
    *TERNARY,
]
