"""What a benchmark case is, and what every family of cases needs to make one.

Nothing here imports nnlib: a case is built with the library that is handed in, nnlib or PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Work:
    """What a call must do at the least: floating-point operations, and bytes read and written."""

    flop: float = 0
    bytes: float = 0


@dataclass
class Ready:
    """A case built with one library.

    ways: what can be timed, by name ("forward", "train", "step", ...); each does one unit of the work.
    results: runs the case once and returns arrays (outputs, then gradients) for a comparison.
    work: the work of each way; a way without an entry has no limit to be set against.
    repeats: how many calls one unit stands for, for calls too short to be timed alone.
    """

    ways: dict[str, Callable[[], object]]
    results: Callable[[], list[np.ndarray]]
    work: dict[str, Work] = field(default_factory=dict)
    repeats: int = 1


@dataclass(frozen=True)
class Case:
    """A name, the group that it belongs to, and ``build(lib, dtype) -> Ready``."""

    name: str
    group: str
    build: Callable[..., Ready]
    random: bool = False  # its results are random: two libraries cannot be compared


def values(lib, shape, dtype="float32", grad=False, seed=0):
    """Standard normal values, the same for every library."""
    t = lib.from_numpy(np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype))
    return t.requires_grad_(grad)


def integers(lib, high, shape, seed=1):
    """Integers of [0, high), the same for every library."""
    return lib.from_numpy(np.random.default_rng((seed, *shape)).integers(0, high, shape))


def array(tensor):
    """A tensor's values as a NumPy array; sparse ones are made dense."""
    tensor = tensor.detach()
    return (tensor.to_dense() if tensor.is_sparse else tensor).numpy()


def same_weights(lib, module, dtype="float32"):
    """Give a module weights that do not depend on the library, of a size that keeps values near 1."""
    rng = np.random.default_rng(7)
    with lib.no_grad():
        for p in module.parameters():
            scale = (p.shape[0] / p.numel()) ** 0.5 if p.dim() > 1 else 0.1
            p.copy_(lib.from_numpy((rng.standard_normal(tuple(p.shape)) * scale).astype(dtype)))


def module_case(lib, module, inputs, work, dtype="float32", ways=("forward", "train")):
    """A module's forward without a graph, and forward and backward with a fixed output gradient."""
    module = module.to(getattr(lib, dtype))
    same_weights(lib, module, dtype)
    with lib.no_grad():
        grad = values(lib, tuple(module(*inputs).shape), dtype, seed=3)
    first = next(iter(module.parameters()), None)

    def forward():
        with lib.no_grad():
            return module(*inputs)

    def train():
        for t in (*module.parameters(), *inputs):
            t.grad = None
        if first is not None:  # as an optimizer would: what a library keeps for a weight has to be made again
            with lib.no_grad():
                first.view(-1)[:1].mul_(1)
        module(*inputs).backward(grad)

    def results():
        train()
        grads = [array(t.grad) for t in (*inputs, *module.parameters()) if t.grad is not None]
        return [array(forward()), *grads]

    every = {"forward": forward, "train": train}
    return Ready({way: every[way] for way in ways}, results, work)
