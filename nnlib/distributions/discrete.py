"""Counts and yes-or-no."""

from __future__ import annotations

from nnlib import _C
from nnlib._functions import finfo
from nnlib.autograd.grad_mode import no_grad
from nnlib.nn import functional as F

from . import constraints
from .distribution import Distribution, LogitsOrProbs
from .utils import broadcast_all, probs_or_logits

__all__ = ["Bernoulli", "Geometric", "Poisson"]


class _Binary(LogitsOrProbs):
    """A distribution of one probability, given as itself or as the logarithm of the odds."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    _is_binary = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        if probs_or_logits(probs, logits):
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.shape, validate_args=validate_args)


class Bernoulli(_Binary):
    """1 with the probability ``probs``, else 0; ``logits`` are log(probs / (1 - probs)).

    >>> nnlib.distributions.Bernoulli(nnlib.tensor([0.25])).log_prob(nnlib.tensor([1.0]))
    tensor([-1.3863])
    """

    support = constraints.boolean
    has_enumerate_support = True

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        p = self.probs
        return _C.where(p == 0.5, float("nan"), (p >= 0.5).to(p.dtype))

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        with no_grad():
            return _C.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand=True):
        values = _C.arange(2, dtype=self._param.dtype).view(-1, *(1,) * len(self._batch_shape))
        return values.expand(2, *self._batch_shape) if expand else values


class Geometric(_Binary):
    """How often something of probability ``probs`` fails before it happens.

    >>> nnlib.distributions.Geometric(0.5).log_prob(nnlib.tensor(2.0))
    tensor(-2.0794)
    """

    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args=None):
        super().__init__(probs, logits, validate_args)
        if self._validate_args and probs is not None and not (self.probs > 0).all():
            raise ValueError(f"Geometric expects probabilities greater than 0, got {self.probs}")

    @property
    def mean(self):
        return 1 / self.probs - 1

    @property
    def mode(self):
        return _C.zeros_like(self.probs)

    @property
    def variance(self):
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape=()):
        with no_grad():
            u = _C.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype)
            return (u.clamp(min=finfo(u.dtype).tiny).log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        never = (probs == 1) & (value == 0)
        return value * (-_C.where(never, 0.0, probs)).log1p() + self.probs.log()

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class Poisson(Distribution):
    """The number of events in a unit of time where ``rate`` come on average.

    >>> nnlib.distributions.Poisson(3.0).log_prob(nnlib.tensor(2.0))
    tensor(-1.4959)
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate, validate_args=None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.rate

    variance = mean

    @property
    def mode(self):
        return self.rate.floor()

    def sample(self, sample_shape=()):
        with no_grad():
            return _C.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()
