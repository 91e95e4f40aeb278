"""The version, and those of what programs ask for: without CUDA and HIP these are None."""

from . import __version__

__all__ = ["__version__", "cuda", "hip"]

cuda: str | None = None
hip: str | None = None
