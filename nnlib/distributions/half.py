"""The magnitudes of variables whose distribution is symmetric about 0."""

from __future__ import annotations

import math

from nnlib import _C

from . import constraints
from .continuous import Cauchy
from .normal import Normal
from .transformed_distribution import TransformedDistribution
from .transforms import AbsTransform

__all__ = ["HalfCauchy", "HalfNormal"]


class _Half(TransformedDistribution):
    """|x| of a symmetric x: twice its density from 0 on."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    _of: type

    def __init__(self, scale, validate_args=None):
        super().__init__(self._of(0, scale, validate_args=False), AbsTransform(), validate_args)
        if self._validate_args and not constraints.positive.check(self.scale).all():
            raise ValueError(f"Expected parameter scale of {self!r} to be positive, but found {self.scale}")

    @property
    def scale(self):
        """The width."""
        return self.base_dist.scale

    @property
    def mode(self):
        return _C.zeros_like(self.scale)

    def log_prob(self, value):
        value = _C.as_tensor(value, dtype=self.scale.dtype)
        self._validate_sample(value)
        return _C.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value):
        self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value):
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self):
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """|x| where x is normal with the mean 0 and the standard deviation ``scale``.

    >>> nnlib.distributions.HalfNormal(1.0).mean
    tensor(0.7979)
    """

    _of = Normal

    @property
    def mean(self):
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self):
        return self.scale.pow(2) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """|x| where x has a Cauchy distribution about 0.

    >>> nnlib.distributions.HalfCauchy(1.0).log_prob(nnlib.tensor(0.0))
    tensor(-0.4516)
    """

    _of = Cauchy

    @property
    def mean(self):
        return _C.full(self._batch_shape, math.inf, dtype=self.scale.dtype)

    @property
    def variance(self):
        return self.base_dist.variance
