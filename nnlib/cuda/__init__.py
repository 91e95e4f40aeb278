"""What programs ask of CUDA before they choose a device: there is none."""

from __future__ import annotations

import importlib as _importlib

__all__ = [
    "amp",
    "current_device",
    "device_count",
    "empty_cache",
    "get_arch_list",
    "get_device_name",
    "get_rng_state_all",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "set_device",
    "synchronize",
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


def is_initialized() -> bool:
    """Always False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Always False: no CUDA device has bfloat16. On the CPU it works."""
    return False


def get_arch_list() -> list[str]:
    """An empty list."""
    return []


def get_rng_state_all() -> list:
    """An empty list: no device has random numbers."""
    return []


def memory_allocated(device=None) -> int:
    """Always 0, as in PyTorch without CUDA.

    >>> nnlib.cuda.memory_allocated()
    0
    """
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def get_device_name(device=None) -> str:
    """RuntimeError: there is no CUDA device."""
    _refuse()


def synchronize(device=None) -> None:
    """RuntimeError: there is no CUDA device."""
    _refuse()


def __getattr__(name: str):
    if name == "amp":
        return _importlib.import_module(".amp", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
