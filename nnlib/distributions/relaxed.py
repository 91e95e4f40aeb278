"""Continuous stand-ins for classes, whose samples have gradients.

Source: Maddison, Mnih and Teh, "The concrete distribution" (2017); Jang, Gu and Poole, "Categorical
reparameterization with Gumbel-Softmax" (2017).
"""

from __future__ import annotations

from nnlib import _C

from . import constraints
from .categorical import Categorical, OfCategorical
from .distribution import LogitsOrProbs
from .transformed_distribution import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform
from .utils import broadcast_all, clamp_probs, probs_or_logits

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli", "RelaxedOneHotCategorical"]


class LogitRelaxedBernoulli(LogitsOrProbs):
    """The log-odds of a :class:`RelaxedBernoulli` variable.

    Args:
        temperature (Tensor): as there.
        probs, logits (Tensor or float): the probability of 1, or its log-odds: one of the two.
        validate_args (bool, optional): see :class:`Distribution`.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True
    _is_binary = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature = temperature
        if probs_or_logits(probs, logits):
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(_C.rand(shape, dtype=probs.dtype))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value):
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        apart = logits - value.mul(self.temperature)
        return self.temperature.log() + apart - 2 * apart.exp().log1p()


class _Relaxed(TransformedDistribution):
    """A transform of a distribution whose parameters it has."""

    has_rsample = True

    @property
    def temperature(self):
        """How far samples are from the corners: 0 gives the corners alone."""
        return self.base_dist.temperature

    @property
    def logits(self):
        """Logarithms of the odds or of the probabilities."""
        return self.base_dist.logits

    @property
    def probs(self):
        """The probabilities."""
        return self.base_dist.probs


class RelaxedBernoulli(_Relaxed):
    """A number within (0, 1), near 1 with about the probability ``probs`` and near 0 else.

    Args:
        temperature (Tensor): the lower, the nearer to 0 and 1.
        probs, logits (Tensor or float): the probability of 1, or its log-odds: one of the two.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> relaxed = nnlib.distributions.RelaxedBernoulli(nnlib.tensor(1.0), probs=nnlib.tensor([0.5]))
    >>> relaxed.log_prob(nnlib.tensor([0.5]))
    tensor([0.])
    """

    arg_constraints = LogitRelaxedBernoulli.arg_constraints
    support = constraints.unit_interval

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args)


class _LogRelaxedCategorical(OfCategorical):
    """The logarithms of a :class:`RelaxedOneHotCategorical` variable."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape=()):
        u = clamp_probs(_C.rand(self._extended_shape(sample_shape), dtype=self.logits.dtype))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value):
        self._validate_sample(value)
        k = self._categorical._num_events
        logits, value = broadcast_all(self.logits, value)
        log_scale = _C.full_like(self.temperature, float(k)).lgamma() + self.temperature.log() * (k - 1)
        score = logits - value.mul(self.temperature)
        return (score - score.logsumexp(-1, keepdim=True)).sum(-1) + log_scale


class RelaxedOneHotCategorical(_Relaxed):
    """Weights of classes that sum to 1, near a corner that is drawn by the probabilities.

    Args:
        temperature (Tensor): the lower, the nearer to the corners.
        probs, logits (Tensor): as of :class:`Categorical`: one of the two.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> relaxed = nnlib.distributions.RelaxedOneHotCategorical(nnlib.tensor(1.0), logits=nnlib.zeros(3))
    >>> relaxed.rsample().sum()
    tensor(1.)
    """

    arg_constraints = Categorical.arg_constraints
    support = constraints.simplex

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        base = _LogRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args)
