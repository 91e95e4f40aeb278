"""One of several classes, drawn once or often."""

from __future__ import annotations

import math

from nnlib import _C
from nnlib._functions import finfo
from nnlib._shape import broadcast_tensors
from nnlib._size import Size
from nnlib.autograd.grad_mode import no_grad
from nnlib.nn import functional as F

from . import constraints
from .distribution import Distribution, LogitsOrProbs
from .utils import probs_or_logits

__all__ = ["Categorical", "Multinomial", "OneHotCategorical", "OneHotCategoricalStraightThrough"]


class Categorical(LogitsOrProbs):
    """The number of a class, drawn by the probabilities in the last dimension.

    Args:
        probs (Tensor): probabilities, or weights of any sum, which is divided out.
        logits (Tensor): their logarithms, up to a constant.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> policy = nnlib.distributions.Categorical(logits=nnlib.tensor([0.0, 1.0, 0.0]))
    >>> policy.log_prob(nnlib.tensor([0, 1]))
    tensor([-1.5514, -0.5514])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        given, name = (probs, "probs") if probs_or_logits(probs, logits) else (logits, "logits")
        if given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @property
    def support(self):
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self):
        return _C.full(self._batch_shape, float("nan"), dtype=self.probs.dtype)

    variance = mean

    @property
    def mode(self):
        return self.probs.argmax(-1)

    def sample(self, sample_shape=()):
        sample_shape = Size(sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            draws = _C.multinomial(rows, sample_shape.numel(), True).t()
            return draws.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value):
        self._validate_sample(value)
        places, logits = broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, places[..., :1]).squeeze(-1)

    def entropy(self):
        logits = self.logits.clamp(min=finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand=True):
        values = _C.arange(self._num_events).view(-1, *(1,) * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class OfCategorical(Distribution):
    """A distribution that draws from a Categorical, and has its parameters."""

    arg_constraints = Categorical.arg_constraints

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._categorical = Categorical(probs, logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args)

    def expand(self, batch_shape, _instance=None):
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def probs(self):
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self):
        """Their logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self):
        """The shape of the parameter."""
        return self._categorical.param_shape


class OneHotCategorical(OfCategorical):
    """A class drawn as in :class:`Categorical`, written as zeros and a one.

    >>> nnlib.distributions.OneHotCategorical(nnlib.tensor([0.5, 0.5])).log_prob(nnlib.tensor([0.0, 1.0]))
    tensor(-0.6931)
    """

    support = constraints.one_hot
    has_enumerate_support = True

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        return F.one_hot(self._categorical.mode, self._event_shape[0]).to(self.probs.dtype)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        return F.one_hot(self._categorical.sample(sample_shape), self._event_shape[0]).to(self.probs.dtype)

    def log_prob(self, value):
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self):
        return self._categorical.entropy()

    def enumerate_support(self, expand=True):
        n = self._event_shape[0]
        values = _C.eye(n, dtype=self.probs.dtype).view(n, *(1,) * len(self._batch_shape), n)
        return values.expand(n, *self._batch_shape, n) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """The same, whose samples pass gradients on to the probabilities as if they were these.

    Source: Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons for
        conditional computation" (2013).

    >>> probs = nnlib.tensor([0.5, 0.5], requires_grad=True)
    >>> nnlib.distributions.OneHotCategoricalStraightThrough(probs).rsample().requires_grad
    True
    """

    has_rsample = True

    def rsample(self, sample_shape=()):
        probs = self.probs
        return self.sample(sample_shape) + (probs - probs.detach())


class Multinomial(OfCategorical):
    """How often each class was drawn in ``total_count`` draws.

    >>> nnlib.distributions.Multinomial(2, nnlib.tensor([0.5, 0.5])).log_prob(nnlib.tensor([1.0, 1.0]))
    tensor(-0.6931)
    """

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        super().__init__(probs, logits, validate_args)

    @property
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        draws = self._categorical.sample((self.total_count, *sample_shape)).movedim(0, -1)
        counts = _C.zeros(self._extended_shape(sample_shape), dtype=self.probs.dtype)
        return counts.scatter_add_(-1, draws, _C.ones(draws.shape, dtype=counts.dtype))

    def log_prob(self, value):
        self._validate_sample(value)
        logits, value = broadcast_tensors(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -float("inf")), 0)
        ways = _C.lgamma(value.sum(-1) + 1) - _C.lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)

    def entropy(self):
        n = self.total_count
        counts = _C.arange(1.0, n + 1, dtype=self.probs.dtype).view(-1, *(1,) * self.probs.dim())
        faculties = _C.lgamma(counts + 1)
        # Each class alone is drawn as often as a binomial distribution says.
        ways = math.lgamma(n + 1) - faculties - _C.lgamma(n - counts + 1)
        shares = (ways + counts.xlogy(self.probs) + (n - counts).xlogy(1 - self.probs)).exp()
        repeats = (shares * faculties).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + repeats
