"""Sparse gradients by their indices and values."""


def rows(grad):
    """The index that picks a sparse gradient's entries out of a dense tensor, each once, and their values."""
    grad = grad.coalesce()
    return tuple(grad.indices().unbind(0)), grad.values()
