"""Distances and similarities between vectors."""

from nnlib import _C


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along `dim`. See `nnlib.nn.CosineSimilarity`."""
    return _C.cosine_similarity(x1, x2, dim, eps)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 - x2 + eps over the last dimension. See `nnlib.nn.PairwiseDistance`."""
    return _C.pairwise_distance(x1, x2, p, eps, keepdim)


def pdist(input, p=2.0):
    """The p-norm distances between every two rows of a matrix, as one vector: (0, 1), (0, 2), ..., (1, 2), ...

    Args:
        input (Tensor): shape (N, D).
        p (float): of the norm. Default: 2.

    Returns:
        Tensor: shape (N (N - 1) / 2).
    """
    return _C.pdist(input, p)
