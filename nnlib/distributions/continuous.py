"""Continuous distributions of one variable."""

from __future__ import annotations

import math

from nnlib import _C
from nnlib._functions import finfo

from . import constraints
from .distribution import Distribution
from .loc_scale import LocScale
from .utils import broadcast_all

__all__ = ["Cauchy", "Exponential", "Gumbel", "Laplace", "Uniform"]


class Laplace(LocScale):
    """The double exponential distribution: exp(-|x - loc| / scale) / (2 scale).

    >>> nnlib.distributions.Laplace(0.0, 1.0).log_prob(nnlib.tensor(1.0))
    tensor(-1.6931)
    """

    @property
    def mean(self):
        return self.loc

    mode = mean

    @property
    def variance(self):
        return 2 * self.scale.pow(2)

    @property
    def stddev(self):
        return math.sqrt(2) * self.scale

    def rsample(self, sample_shape=()):
        u = _C.empty(self._extended_shape(sample_shape), dtype=self.loc.dtype).uniform_(
            finfo(self.loc.dtype).eps - 1, 1
        )
        return self.loc - self.scale * u.sign() * _C.log1p(-u.abs())

    def log_prob(self, value):
        self._validate_sample(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value):
        self._validate_sample(value)
        apart = value - self.loc
        return 0.5 - 0.5 * apart.sign() * _C.expm1(-apart.abs() / self.scale)

    def icdf(self, value):
        term = value - 0.5
        return self.loc - self.scale * term.sign() * _C.log1p(-2 * term.abs())

    def entropy(self):
        return 1 + (2 * self.scale).log()


class Cauchy(LocScale):
    """The Cauchy distribution, of a median ``loc`` and a half width ``scale``; it has no mean.

    >>> nnlib.distributions.Cauchy(0.0, 1.0).log_prob(nnlib.tensor(0.0))
    tensor(-1.1447)
    """

    @property
    def mean(self):
        return _C.full(self._batch_shape, math.nan, dtype=self.loc.dtype)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return _C.full(self._batch_shape, math.inf, dtype=self.loc.dtype)

    def rsample(self, sample_shape=()):
        return (
            self.loc
            + _C.empty(self._extended_shape(sample_shape), dtype=self.loc.dtype).cauchy_() * self.scale
        )

    def log_prob(self, value):
        self._validate_sample(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value):
        self._validate_sample(value)
        return _C.atan((value - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value):
        return _C.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self):
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(LocScale):
    """The distribution of the greatest of many values: cdf exp(-exp(-(x - loc) / scale)).

    >>> nnlib.distributions.Gumbel(0.0, 1.0).log_prob(nnlib.tensor(0.0))
    tensor(-1.)
    """

    @property
    def mean(self):
        return self.loc + self.scale * 0.57721566490153286060

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return self.stddev.pow(2)

    @property
    def stddev(self):
        return (math.pi / math.sqrt(6)) * self.scale

    def rsample(self, sample_shape=()):
        info = finfo(self.loc.dtype)
        u = _C.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        u = info.tiny + u * (1 - info.eps - info.tiny)
        return self.loc - self.scale * (-u.log()).log()

    def log_prob(self, value):
        self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return (y - y.exp()) - self.scale.log()

    def cdf(self, value):
        self._validate_sample(value)
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value):
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self):
        return self.scale.log() + (1 + 0.57721566490153286060)


class Uniform(Distribution):
    """Values from ``low`` to ``high``, ``high`` itself excluded, all equally probable.

    >>> nnlib.distributions.Uniform(0.0, 4.0).log_prob(nnlib.tensor([1.0, 3.0]))
    tensor([-1.3863, -1.3863])
    """

    arg_constraints = {"low": constraints.real, "high": constraints.real}
    has_rsample = True

    def __init__(self, low, high, validate_args=None):
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and not (self.low < self.high).all():
            raise ValueError(f"Uniform is not defined when low >= high, got low={low} and high={high}")

    @property
    def support(self):
        return constraints.interval(self.low, self.high)

    @property
    def mean(self):
        return (self.high + self.low) / 2

    @property
    def mode(self):
        return math.nan * self.high

    @property
    def variance(self):
        return (self.high - self.low).pow(2) / 12

    @property
    def stddev(self):
        return (self.high - self.low) / math.sqrt(12)

    def rsample(self, sample_shape=()):
        draws = _C.rand(self._extended_shape(sample_shape), dtype=self.low.dtype)
        return self.low + draws * (self.high - self.low)

    def log_prob(self, value):
        self._validate_sample(value)
        inside = (self.low <= value) & (self.high > value)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value):
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value):
        return value * (self.high - self.low) + self.low

    def entropy(self):
        return (self.high - self.low).log()


class Exponential(Distribution):
    """Waiting times of events that come ``rate`` times a unit: rate * exp(-rate * x).

    >>> nnlib.distributions.Exponential(2.0).log_prob(nnlib.tensor(1.0))
    tensor(-1.3069)
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate, validate_args=None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.rate.reciprocal()

    stddev = mean

    @property
    def mode(self):
        return _C.zeros_like(self.rate)

    @property
    def variance(self):
        return self.rate.pow(-2)

    def rsample(self, sample_shape=()):
        draws = _C.empty(self._extended_shape(sample_shape), dtype=self.rate.dtype).exponential_()
        return draws / self.rate

    def log_prob(self, value):
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value):
        self._validate_sample(value)
        return 1 - (-self.rate * value).exp()

    def icdf(self, value):
        return -(-value).log1p() / self.rate

    def entropy(self):
        return 1 - self.rate.log()
