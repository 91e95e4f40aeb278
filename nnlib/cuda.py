"""What programs ask of CUDA before they choose a device: there is none."""

from __future__ import annotations

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "set_device",
]


def is_available() -> bool:
    """Always False: nnlib runs on CPUs.

    >>> nnlib.cuda.is_available()
    False
    """
    return False


def device_count() -> int:
    """Always 0."""
    return 0


def _refuse():
    raise RuntimeError("nnlib runs on CPUs only: it has no CUDA devices")


def current_device() -> int:
    """RuntimeError: there is no CUDA device."""
    _refuse()


def set_device(device) -> None:
    """RuntimeError: there is no CUDA device."""
    _refuse()


def manual_seed(seed: int) -> None:
    """Nothing to seed, as in PyTorch without CUDA; ``nnlib.manual_seed`` seeds the CPU."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing to give back, as in PyTorch without CUDA; ``nnlib.empty_cache`` is the CPU's."""
