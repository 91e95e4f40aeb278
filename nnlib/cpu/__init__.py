"""What programs ask of the CPU as a device, and its devices: shares of this machine's cores."""

from __future__ import annotations

from contextlib import contextmanager

from .. import _C
from . import amp

__all__ = [
    "amp",
    "current_device",
    "device",
    "device_cores",
    "device_count",
    "device_threads",
    "get_rng_state",
    "is_available",
    "set_rng_state",
    "synchronize",
]


def is_available() -> bool:
    """Always True.

    >>> nnlib.cpu.is_available()
    True
    """
    return True


def device_count() -> int:
    """How many devices (``cpu:0``, ``cpu:1``, ...) the cores are divided into.

    One for each NUMA node, unless :func:`nnlib.set_device_partition` was called or a tensor was put on a device
    with a higher number.

    >>> nnlib.set_device_partition(2)
    >>> nnlib.cpu.device_count()
    2
    >>> nnlib.set_device_partition(0)
    """
    return _C._device_count()


def current_device() -> str:
    """``"cpu"``; inside of :class:`device`, that device's name."""
    team = _C._thread_team()
    return "cpu" if team < 0 else f"cpu:{team}"


def _index(device) -> int:
    """The number of a device given as a number, a string or a device; -1 for one without."""
    if isinstance(device, int) and not isinstance(device, bool):
        return device
    device = device if isinstance(device, _C.device) else _C.device(device)
    return -1 if device.index is None else device.index


def device_cores(device) -> list[int]:
    """The processors of a device, by the system's numbers."""
    return _C._device_cores(_checked(device))


def device_threads(device) -> int:
    """How many threads an operator uses on a device."""
    return _C._device_threads(_checked(device))


def _checked(device) -> int:
    index = _index(device)
    if index < 0:
        raise ValueError(f"expected a device with a number, such as 'cpu:0', got {device!r}")
    _C._require_device(index)
    return index


@contextmanager
def device(device):
    """A region in which the calling thread computes with a device's threads.

    Tensors of a device are computed by its threads anyway; this is for those of none (plain ``"cpu"``). Random
    numbers come from the device's own generator, which every new seed starts anew.

    Args:
        device: a number, a string or a device; -1 or ``"cpu"`` means all threads.

    >>> nnlib.set_device_partition(2)
    >>> with nnlib.cpu.device(1):
    ...     print(nnlib.cpu.current_device())
    cpu:1
    >>> nnlib.set_device_partition(0)
    """
    before = _C._set_thread_team(_index(device))
    try:
        yield
    finally:
        _C._set_thread_team(before)


def get_rng_state(device="cpu") -> _C.Tensor:
    """The state of a device's generator as a uint8 tensor; that of ``cpu:0`` is the process's."""
    with _region(device):
        return _C._default_generator().get_state()


def set_rng_state(new_state, device="cpu") -> None:
    """Goes on from a state that :func:`get_rng_state` gave."""
    with _region(device):
        _C._default_generator().set_state(new_state)


_region = device


def synchronize(device=None) -> None:
    """Nothing to wait for: operators have computed their results when they return."""
