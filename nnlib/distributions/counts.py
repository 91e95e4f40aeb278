"""How many trials succeed, and how many do before others fail."""

from __future__ import annotations

from nnlib import _C
from nnlib.autograd.grad_mode import no_grad
from nnlib.nn import functional as F

from . import constraints
from .distribution import LogitsOrProbs
from .utils import broadcast_all, probs_or_logits

__all__ = ["Binomial", "NegativeBinomial"]


class _Counts(LogitsOrProbs):
    """A distribution of counts of trials of one probability."""

    _is_binary = True

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        name, given = ("probs", probs) if probs_or_logits(probs, logits) else ("logits", logits)
        count, param = broadcast_all(total_count, given)
        self.total_count = count.to(param.dtype)
        setattr(self, name, param)
        super().__init__(param.shape, validate_args=validate_args)


class Binomial(_Counts):
    """How many of ``total_count`` trials succeed, each with the probability ``probs``.

    Args:
        total_count (int or Tensor): the number of trials.
        probs, logits (Tensor or float): the probability, or log(probs / (1 - probs)): one of the two.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.Binomial(4, 0.5).log_prob(nnlib.tensor(2.0))
    tensor(-0.9808)
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        super().__init__(total_count, probs, logits, validate_args)

    @property
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        return self.total_count * self.probs

    @property
    def mode(self):
        most = ((self.total_count + 1) * self.probs).floor()
        return _C.minimum(most, self.total_count)

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return _C.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value):
        self._validate_sample(value)
        n, logits = self.total_count, self.logits
        rest = n * logits.clamp(min=0) + n * (-logits.abs()).exp().log1p() - (n + 1).lgamma()
        return value * logits - (value + 1).lgamma() - (n - value + 1).lgamma() - rest

    def _one_count(self, name: str) -> int:
        count = int(self.total_count.max())
        if not bool((self.total_count == count).all()):
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{name}`.")
        return count

    def entropy(self):
        self._one_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand=True):
        count = self._one_count("enumerate_support")
        values = _C.arange(1 + count, dtype=self._param.dtype).view(-1, *(1,) * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class NegativeBinomial(_Counts):
    """How many trials succeed, each with the probability ``probs``, before ``total_count`` fail.

    Args:
        total_count (float or Tensor): the number of failures, not necessarily whole.
        probs, logits (Tensor or float): the probability of success, or log(probs / (1 - probs)): one of the two.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.NegativeBinomial(2.0, 0.5).log_prob(nnlib.tensor(1.0))
    tensor(-1.3863)
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    @property
    def mean(self):
        return self.total_count * self.logits.exp()

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self):
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape=()):
        from .gamma import Gamma

        with no_grad():
            # A count of zero is none of a gamma's shapes, but its samples are zeros.
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return _C.poisson(rates.sample(sample_shape))

    def log_prob(self, value):
        self._validate_sample(value)
        n = self.total_count
        plain = n * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        ways = (n + value).lgamma() - (1 + value).lgamma() - n.lgamma()
        return plain + _C.where(n + value == 0, 0.0, ways)
