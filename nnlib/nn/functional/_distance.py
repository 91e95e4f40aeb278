"""Distances and similarities between vectors."""

from nnlib import _C
from nnlib.autograd import no_grad


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
    if not (x1.is_floating_point() or x2.is_floating_point()):
        raise RuntimeError(f"expected common dtype to be floating point, got {x1.dtype} and {x2.dtype}")
    x1, x2 = _C.broadcast_tensors((x1, x2))
    return (_unit(x1, dim, eps) * _unit(x2, dim, eps)).sum(dim)


def _unit(x, dim, eps):
    norm = _C.norm(x, 2, dim, True).clone()
    with no_grad():  # the bound is no part of the gradient
        norm.clamp_min_(eps)
    return x / norm


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 - x2 + eps over the last dimension. See `nnlib.nn.PairwiseDistance`."""
    return _C.norm(x1 - x2 + eps, p, -1, keepdim)


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
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if p < 0:
        raise RuntimeError(f"pdist only supports non-negative p values, got {p}")
    numbers = _C.arange(input.size(0))
    first, second = (numbers.unsqueeze(1) < numbers.unsqueeze(0)).nonzero().unbind(1)
    return _C.norm(input[first] - input[second], p, 1)
