"""Apple's graphics processors are not used."""

__all__ = ["is_available", "is_built"]


def is_available() -> bool:
    """Always False."""
    return False


is_built = is_available
