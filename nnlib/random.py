"""The default random number generator: its seed, its state, and a region that leaves it untouched."""

from __future__ import annotations

from collections.abc import Generator as _Iterator
from contextlib import contextmanager

from . import _C

__all__ = [
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

default_generator: _C.Generator = _C.default_generator


def manual_seed(seed: int) -> _C.Generator:
    """Start the default generator's stream of this seed and return the generator.

    The same seed gives the same ``rand``, ``randn``, ``randint``, ``randperm``, ``uniform_`` and ``normal_`` as
    PyTorch on a CPU.

    >>> _ = nnlib.manual_seed(0)
    >>> nnlib.rand(2)
    tensor([0.4963, 0.7682])
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start the default generator from a seed that the system gives, and return it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed with which the default generator was started."""
    return default_generator.initial_seed()


def get_rng_state() -> _C.Tensor:
    """The default generator's state as a uint8 tensor.

    In a replica of ``nn.DataParallel``, and in a region of ``nnlib.cpu.device``, it is the device's generator.
    """
    return _C._default_generator().get_state()


def set_rng_state(new_state: _C.Tensor) -> None:
    """Go on from a state that :func:`get_rng_state` gave."""
    _C._default_generator().set_state(new_state)


@contextmanager
def fork_rng(devices=None, enabled: bool = True, device_type: str = "cpu") -> _Iterator[None]:
    """A region after which the default generator is as it was before.

    Args:
        devices: devices (numbers or names) whose generators are kept too.
        enabled: False makes the region do nothing.
        device_type: only ``"cpu"`` is there.

    >>> with nnlib.random.fork_rng():
    ...     _ = nnlib.manual_seed(1)
    """
    if device_type != "cpu":
        raise RuntimeError(f"torch has no module of `{device_type}`: only 'cpu' is there")
    if not enabled:
        yield
        return
    from . import cpu

    state, states = get_rng_state(), [(device, cpu.get_rng_state(device)) for device in devices or ()]
    try:
        yield
    finally:
        for device, kept in states:
            cpu.set_rng_state(kept, device)
        set_rng_state(state)
