"""Powers and exponentials of exponential and gamma variables."""

from __future__ import annotations

import math

from nnlib import _C

from . import constraints
from .continuous import Exponential
from .gamma import Gamma
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, ExpTransform, PowerTransform
from .utils import broadcast_all

__all__ = ["InverseGamma", "Pareto", "Weibull"]

_EULER = 0.57721566490153286060


class InverseGamma(TransformedDistribution):
    """1 / x where x has a gamma distribution.

    Args:
        concentration, rate (Tensor or float): of the gamma distribution.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.InverseGamma(3.0, 1.0).mean
    tensor(0.5000)
    """

    arg_constraints = Gamma.arg_constraints
    support = constraints.positive

    def __init__(self, concentration, rate, validate_args=None):
        base = Gamma(concentration, rate, validate_args)
        super().__init__(base, PowerTransform(-_C.ones((), dtype=base.rate.dtype)), validate_args)

    @property
    def concentration(self):
        """The shape."""
        return self.base_dist.concentration

    @property
    def rate(self):
        """The scale."""
        return self.base_dist.rate

    @property
    def mean(self):
        return _C.where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self):
        return self.rate / (self.concentration + 1)

    @property
    def variance(self):
        a = self.concentration
        return _C.where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)

    def entropy(self):
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()


class _OfExponential(TransformedDistribution):
    """What transforms with own parameters make of an exponential variable."""

    def expand(self, batch_shape, _instance=None):
        names = self.arg_constraints
        return type(self)(*(getattr(self, n).expand(batch_shape) for n in names), validate_args=False)


class Weibull(_OfExponential):
    """The distribution of times to failure: scale x^(1 / concentration) of an exponential x.

    Args:
        scale, concentration (Tensor or float): its width, and how fast failures grow more frequent with time.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.Weibull(1.0, 1.0).log_prob(nnlib.tensor(2.0))
    tensor(-2.)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale, concentration, validate_args=None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        transforms = [PowerTransform(self.concentration_reciprocal), AffineTransform(0, self.scale)]
        super().__init__(Exponential(_C.ones_like(self.scale), validate_args), transforms, validate_args)

    @property
    def mean(self):
        return self.scale * (1 + self.concentration_reciprocal).lgamma().exp()

    @property
    def mode(self):
        inner = (self.concentration - 1) / self.concentration
        return self.scale * inner**self.concentration_reciprocal

    @property
    def variance(self):
        r = self.concentration_reciprocal
        return self.scale.pow(2) * ((1 + 2 * r).lgamma().exp() - (2 * (1 + r).lgamma()).exp())

    def entropy(self):
        r = self.concentration_reciprocal
        return _EULER * (1 - r) + (self.scale * r).log() + 1


class Pareto(_OfExponential):
    """A power law: alpha scale^alpha / x^(alpha + 1) from ``scale`` on.

    Args:
        scale, alpha (Tensor or float): the least value, and how fast the density falls.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.Pareto(1.0, 2.0).mean
    tensor(2.)
    """

    arg_constraints = {"scale": constraints.positive, "alpha": constraints.positive}

    def __init__(self, scale, alpha, validate_args=None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        transforms = [ExpTransform(), AffineTransform(0, self.scale)]
        super().__init__(Exponential(self.alpha, validate_args), transforms, validate_args)

    @property
    def support(self):
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self):
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self):
        return self.scale

    @property
    def variance(self):
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def entropy(self):
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())
