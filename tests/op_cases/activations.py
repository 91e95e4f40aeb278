"""Activations, softmax and its relatives."""

import math

import numpy as np

from .case import Case, functional

_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softplus(x):
    return np.logaddexp(x, 0)


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_SELU = 1.6732632423543772, 1.0507009873554805
# name, options, reference
_ACTIVATIONS = [
    ("relu", {}, lambda x: np.maximum(x, 0)),
    ("relu6", {}, lambda x: np.clip(x, 0, 6)),
    ("leaky_relu", {"negative_slope": 0.2}, lambda x: np.where(x > 0, x, 0.2 * x)),
    ("elu", {"alpha": 1.5}, lambda x: _elu(x, 1.5)),
    ("selu", {}, lambda x: _SELU[1] * _elu(x, _SELU[0])),
    ("celu", {"alpha": 1.5}, lambda x: np.maximum(x, 0) + np.minimum(0, 1.5 * np.expm1(x / 1.5))),
    ("gelu", {}, lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2)))),
    ("gelu", {"approximate": "tanh"}, _gelu_tanh),
    ("silu", {}, lambda x: x * _sigmoid(x)),
    ("mish", {}, lambda x: x * np.tanh(_softplus(x))),
    ("hardtanh", {"min_val": -0.4, "max_val": 0.8}, lambda x: np.clip(x, -0.4, 0.8)),
    ("hardswish", {}, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("hardsigmoid", {}, lambda x: np.clip(x + 3, 0, 6) / 6),
    ("softplus", {"beta": 2.0, "threshold": 1.0}, lambda x: np.where(2 * x > 1, x, _softplus(2 * x) / 2)),
    ("logsigmoid", {}, lambda x: -_softplus(-x)),
    ("softsign", {}, lambda x: x / (1 + np.abs(x))),
    ("tanhshrink", {}, lambda x: x - np.tanh(x)),
    ("hardshrink", {"lambd": 0.4}, lambda x: np.where(np.abs(x) > 0.4, x, 0)),
    ("softshrink", {"lambd": 0.4}, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.4, 0)),
    ("threshold", {"threshold": 0.1, "value": -2.0}, lambda x: np.where(x > 0.1, x, -2.0)),
    ("rrelu", {"lower": 0.1, "upper": 0.3}, lambda x: np.where(x > 0, x, 0.2 * x)),
    ("glu", {"dim": 1}, lambda x: x[:, :3] * _sigmoid(x[:, 3:])),
]
_HALF = ("relu", "gelu", "silu", "elu", "glu")


def _activation_cases():
    for name, options, reference in _ACTIVATIONS:
        call = lambda lib, x, n=name, o=options: getattr(functional(lib), n)(x, **o)  # noqa: E731
        yield Case(f"{name} {options}", call, ((5, 6),), reference, half=name in _HALF)
        yield Case(f"{name} {options} of a view", lambda lib, x, f=call: f(lib, x.t()), ((6, 7),))


def _softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _softmax_cases():
    for shape, dim in (((4, 7), 1), ((4, 7), 0), ((2, 3, 5), 1), ((3, 70), -1), ((), 0), ((0, 3), 1)):
        for name, reference in (
            ("softmax", _softmax),
            ("log_softmax", lambda x, d: np.log(_softmax(x, d))),
            ("softmin", lambda x, d: _softmax(-x, d)),
        ):
            yield Case(
                f"{name} {shape} {dim}",
                lambda lib, x, n=name, d=dim: getattr(functional(lib), n)(x, dim=d),
                (shape,),
                None if shape in ((), (0, 3)) else lambda x, r=reference, d=dim: r(x, d),
                half=shape == (4, 7),
            )


ACTIVATIONS = [
    *_activation_cases(),
    *_softmax_cases(),
    *(
        Case(
            f"prelu {weights}",
            lambda lib, x, w: functional(lib).prelu(x, w),
            ((2, 4, 3), (weights,)),
            lambda x, w: np.where(x > 0, x, w.reshape(1, -1, 1) * x),
        )
        for weights in (1, 4)
    ),
]
