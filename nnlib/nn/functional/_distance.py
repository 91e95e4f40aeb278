"""Distances and similarities between vectors."""

from nnlib import _C


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along `dim`. See `nnlib.nn.CosineSimilarity`.

    Args:
        x1, x2 (Tensor): floating point; their shapes broadcast.
        dim (int): along which a vector lies. Default: 1.
        eps (float): least norm. Default: 1e-8.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.cosine_similarity(nnlib.tensor([[3.0, 4.0]]), nnlib.tensor([[0.0, 2.0]]))
        tensor([0.8000])
    """
    return _C.cosine_similarity(x1, x2, dim, eps)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 - x2 + eps over the last dimension. See `nnlib.nn.PairwiseDistance`."""
    return _C.pairwise_distance(x1, x2, p, eps, keepdim)


def pdist(input, p=2.0):
    """The p-norm distances between every two rows of a matrix, as one vector: (0, 1), (0, 2), ..., (1, 2).

    Args:
        input (Tensor): shape (N, D).
        p (float): of the norm, at least 0. Default: 2.

    Returns:
        Tensor: shape (N (N - 1) / 2).

    Raises:
        RuntimeError: not a matrix, or a negative `p`.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.pdist(nnlib.tensor([[0.0], [1.0], [3.0]]))
        tensor([1., 3., 2.])
    """
    return _C.pdist(input, p)
