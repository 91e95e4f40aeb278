"""What programs ask of an accelerator before they choose a device: there is none beside the CPU."""

from __future__ import annotations

__all__ = ["current_accelerator", "device_count", "is_available"]


def is_available() -> bool:
    """Always False.

    >>> nnlib.accelerator.is_available()
    False
    """
    return False


def device_count() -> int:
    """Always 0."""
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """Always None."""
