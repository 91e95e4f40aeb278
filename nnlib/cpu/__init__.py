"""What programs ask of the CPU as a device."""

from __future__ import annotations

from . import amp

__all__ = ["amp", "current_device", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Always True.

    >>> nnlib.cpu.is_available()
    True
    """
    return True


def device_count() -> int:
    """Always 1, as in PyTorch."""
    return 1


def current_device() -> str:
    """Always ``"cpu"``."""
    return "cpu"


def synchronize(device=None) -> None:
    """Nothing to wait for: operators have computed their results when they return."""
