"""Arithmetic with sparse gradients, on their indices and values."""

import nnlib


def rows(grad):
    """The index that picks a sparse gradient's entries out of a dense tensor, each once, and their values."""
    grad = grad.coalesce()
    return tuple(grad.indices().unbind(0)), grad.values()


def combined(*terms):
    """The sum of sparse tensors times factors, given as pairs, as a sparse tensor."""
    parts = [tensor.coalesce() for tensor, _ in terms]
    indices = nnlib.cat([part.indices() for part in parts], 1)
    values = nnlib.cat([part.values() * factor for part, (_, factor) in zip(parts, terms, strict=True)], 0)
    return nnlib.sparse_coo_tensor(indices, values, tuple(parts[0].shape)).coalesce()


def add_(dense, sparse, alpha):
    """Adds a sparse tensor times `alpha` to a dense one, in place."""
    index, values = rows(sparse)
    dense[index] = dense[index] + values * alpha
