"""Normal distributions and what is made of them."""

from __future__ import annotations

import math

from nnlib import _C
from nnlib.autograd.grad_mode import no_grad

from .loc_scale import LocScale

__all__ = ["Normal"]


class Normal(LocScale):
    """The normal distribution of a mean ``loc`` and a standard deviation ``scale``.

    >>> nnlib.distributions.Normal(0.0, 2.0).log_prob(nnlib.tensor(2.0))
    tensor(-2.1121)
    """

    @property
    def mean(self):
        return self.loc

    mode = mean

    @property
    def stddev(self):
        return self.scale

    @property
    def variance(self):
        return self.scale.pow(2)

    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return _C.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape=()):
        return self.loc + standard_normal(self._extended_shape(sample_shape), self.loc.dtype) * self.scale

    def log_prob(self, value):
        self._validate_sample(value)
        variance = self.scale**2
        return -((value - self.loc) ** 2) / (2 * variance) - self.scale.log() - math.log(2 * math.pi) / 2

    def cdf(self, value):
        self._validate_sample(value)
        return 0.5 * (1 + _C.erf((value - self.loc) * self.scale.reciprocal() / math.sqrt(2)))

    def icdf(self, value):
        return self.loc + self.scale * _C.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self):
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()


def standard_normal(shape, dtype):
    """Draws of mean 0 and standard deviation 1, in the order in which PyTorch draws them."""
    return _C.normal(_C.zeros(shape, dtype=dtype), _C.ones(shape, dtype=dtype))
