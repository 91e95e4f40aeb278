"""MKL is not used: the kernels are the library's own."""

__all__ = ["is_available"]


def is_available() -> bool:
    """Always False."""
    return False
