"""Distributions of functions of a random variable."""

from __future__ import annotations

from nnlib.autograd.grad_mode import no_grad

from . import constraints
from .distribution import Distribution
from .independent import sum_rightmost
from .normal import Normal
from .transforms import ComposeTransform, ExpTransform, Transform

__all__ = ["LogNormal", "TransformedDistribution"]


class TransformedDistribution(Distribution):
    """What transforms make of the samples of another distribution.

    Args:
        base_distribution (Distribution): of the variable.
        transforms (Transform or list of Transform): applied one after the other, element by element.
        validate_args (bool, optional): see :class:`Distribution`.

    Raises:
        ValueError: what is given is no transform.

    >>> from nnlib.distributions import Normal, TransformedDistribution
    >>> from nnlib.distributions.transforms import TanhTransform
    >>> squashed = TransformedDistribution(Normal(0.0, 1.0), [TanhTransform()])
    >>> squashed.log_prob(nnlib.tensor(0.5))
    tensor(-0.7821)
    """

    def __init__(self, base_distribution, transforms, validate_args=None):
        transforms = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(transforms, list) or not all(isinstance(t, Transform) for t in transforms):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        self.base_dist, self.transforms = base_distribution, transforms
        super().__init__(base_distribution.batch_shape, base_distribution.event_shape, validate_args)

    def expand(self, batch_shape, _instance=None):
        new = super().expand(batch_shape, _instance)
        new.base_dist = self.base_dist.expand(batch_shape)
        return new

    @property
    def has_rsample(self):
        return self.base_dist.has_rsample

    @property
    def support(self):
        if not self.transforms:
            return self.base_dist.support
        image, events = self.transforms[-1].codomain, len(self._event_shape)
        return constraints.independent(image, events) if events else image

    @property
    def _whole(self):
        return ComposeTransform(self.transforms)

    def sample(self, sample_shape=()):
        with no_grad():
            return self._whole(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape=()):
        return self._whole(self.base_dist.rsample(sample_shape))

    def log_prob(self, value):
        self._validate_sample(value)
        result, events = 0.0, len(self._event_shape)
        for transform in reversed(self.transforms):
            x = transform.inv(value)
            result = result - sum_rightmost(transform.log_abs_det_jacobian(x, value), events)
            value = x
        return result + self.base_dist.log_prob(value)

    def _upwards(self, probability):
        """The probability up to a value, of that up to its image and the other way round: from the other end
        where the transforms fall."""
        return self._whole.sign * (probability - 0.5) + 0.5

    def cdf(self, value):
        return self._upwards(self.base_dist.cdf(self._whole.inv(value)))

    def icdf(self, value):
        return self._whole(self.base_dist.icdf(self._upwards(value)))


class LogNormal(TransformedDistribution):
    """The distribution of exp(x) where x is normal.

    Args:
        loc, scale (Tensor or float): mean and standard deviation of x.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.LogNormal(0.0, 1.0).mean
    tensor(1.6487)
    """

    arg_constraints = Normal.arg_constraints

    def __init__(self, loc, scale, validate_args=None):
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    @property
    def loc(self):
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self):
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self):
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self):
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self):
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self):
        return self.base_dist.entropy() + self.loc
