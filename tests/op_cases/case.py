"""What a case of an operator is, and makers of inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call of one operator.

    name: the operator, then what is special about the call.
    call: ``call(lib, *tensors)`` with lib being nnlib or torch.
    inputs: a shape (standard normal values), a function of a NumPy generator, or an array of integers.
    reference: the same in NumPy on float64 arrays; None leaves the check to the parity with PyTorch.
    grad, grad2: whether gradients, and gradients of gradients, are compared with finite differences.
    half: whether the call is also tried in bfloat16 and float16.
    floating: whether the result has the operands' floating type; others give bools or integers.
    """

    name: str
    call: Callable
    inputs: tuple
    reference: Callable | None = None
    grad: bool = True
    grad2: bool = True
    half: bool = False
    floating: bool = True

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(sum(map(ord, self.name)))
        made = []
        for x in self.inputs:
            value = x if isinstance(x, np.ndarray) else x(rng) if callable(x) else rng.standard_normal(x)
            made.append(np.array(value))
        return made


def functional(lib):
    return lib.nn.functional


def positive(*shape):
    return lambda rng: rng.uniform(0.2, 2.0, shape)


def probabilities(*shape, axis=1):
    def make(rng):
        p = rng.uniform(0.1, 1.0, shape)
        return p / p.sum(axis, keepdims=True)

    return make


def uniform(low, high, *shape):
    return lambda rng: rng.uniform(low, high, shape)
