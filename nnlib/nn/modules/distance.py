"""Distances and similarities between vectors."""

from .. import functional as F
from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class PairwiseDistance(Module):
    r"""The p-norm of :math:`x_1 - x_2 + eps` over the last dimension.

    Args:
        p (float): of the norm. Default: 2.
        eps (float): Default: 1e-6.
        keepdim (bool): keep the last dimension, with size 1. Default: ``False``.

    Shape:
        inputs (N, D) or (D), output (N) or ().
    """

    __constants__ = ["norm", "eps", "keepdim"]

    def __init__(self, p=2.0, eps=1e-6, keepdim=False):
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1, x2):
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    r"""The cosine of the angle between vectors: :math:`x_1 \cdot x_2 / (max(|x_1|, eps)\, max(|x_2|, eps))`.

    Args:
        dim (int): along which a vector lies. Default: 1.
        eps (float): least norm. Default: 1e-8.

    Example::

        >>> import nnlib
        >>> nnlib.nn.CosineSimilarity(dim=0)(nnlib.tensor([1.0, 0.0]), nnlib.tensor([2.0, 0.0]))
        tensor(1.)
    """

    __constants__ = ["dim", "eps"]

    def __init__(self, dim=1, eps=1e-8):
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1, x2):
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
