"""Dimensions of a batch taken together as one event."""

from __future__ import annotations

from nnlib._size import Size

from . import constraints
from .distribution import Distribution

__all__ = ["Independent"]


def sum_rightmost(value, count: int):
    """The sum over the last ``count`` dimensions."""
    return value.flatten(value.dim() - count).sum(-1) if count else value


class Independent(Distribution):
    """Another distribution whose last batch dimensions count as one event, so that log_prob sums over them.

    Args:
        base_distribution (Distribution): the distribution.
        reinterpreted_batch_ndims (int): how many dimensions.
        validate_args (bool, optional): see :class:`Distribution`.

    Raises:
        ValueError: it has fewer batch dimensions.

    >>> normal = nnlib.distributions.Normal(nnlib.zeros(3), nnlib.ones(3))
    >>> nnlib.distributions.Independent(normal, 1).log_prob(nnlib.zeros(3))
    tensor(-2.7568)
    """

    def __init__(self, base_distribution, reinterpreted_batch_ndims, validate_args=None):
        batch = base_distribution.batch_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{reinterpreted_batch_ndims} vs {len(batch)}"
            )
        shape, kept = batch + base_distribution.event_shape, len(batch) - reinterpreted_batch_ndims
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        super().__init__(shape[:kept], shape[kept:], validate_args)

    def expand(self, batch_shape, _instance=None):
        own = self._event_shape[: self.reinterpreted_batch_ndims]
        return type(self)(
            self.base_dist.expand(Size((*batch_shape, *own))), self.reinterpreted_batch_ndims, False
        )

    @property
    def has_rsample(self):
        return self.base_dist.has_rsample

    @property
    def support(self):
        inner, count = self.base_dist.support, self.reinterpreted_batch_ndims
        return constraints.independent(inner, count) if count else inner

    @property
    def mean(self):
        return self.base_dist.mean

    @property
    def mode(self):
        return self.base_dist.mode

    @property
    def variance(self):
        return self.base_dist.variance

    def sample(self, sample_shape=()):
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value):
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self):
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist!r}, {self.reinterpreted_batch_ndims})"
