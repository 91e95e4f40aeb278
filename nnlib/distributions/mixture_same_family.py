"""Mixtures of distributions of one kind."""

from __future__ import annotations

from nnlib.autograd.grad_mode import no_grad

from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """One of several distributions of a kind, chosen at random, and a sample of it.

    Args:
        mixture_distribution (Categorical): how probable each is.
        component_distribution (Distribution): the distributions, along the last dimension of its batch.
        validate_args (bool, optional): see :class:`Distribution`.

    Raises:
        ValueError: the first is no Categorical, or the two do not have the same batch.

    >>> from nnlib.distributions import Categorical, MixtureSameFamily, Normal
    >>> weights, parts = Categorical(nnlib.ones(2)), Normal(nnlib.tensor([-1.0, 1.0]), nnlib.ones(2))
    >>> MixtureSameFamily(weights, parts).log_prob(nnlib.tensor(0.0))
    tensor(-1.4189)
    """

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                "The Mixture distribution needs to be an instance of torch.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of torch.distributions.Distribution"
            )
        batch, count = component_distribution.batch_shape, mixture_distribution.probs.shape[-1]
        for ours, theirs in zip(
            reversed(mixture_distribution.batch_shape), reversed(batch[:-1]), strict=False
        ):
            if ours != theirs and 1 not in (ours, theirs):
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({tuple(mixture_distribution.batch_shape)}) is not "
                    f"compatible with `component_distribution.batch_shape`({tuple(batch)})"
                )
        if not batch or count != batch[-1]:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({batch[-1] if batch else None})"
            )
        self.mixture_distribution, self.component_distribution = mixture_distribution, component_distribution
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args)

    def expand(self, batch_shape, _instance=None):
        parts = self.component_distribution
        return type(self)(
            self.mixture_distribution.expand(batch_shape),
            parts.expand((*batch_shape, parts.batch_shape[-1])),
            False,
        )

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"

    @property
    def support(self):
        return self.component_distribution.support

    def _weights(self):
        probs = self.mixture_distribution.probs
        return probs.reshape(*probs.shape, *(1,) * len(self._event_shape))

    def _place(self):
        return -1 - len(self._event_shape)

    @property
    def mean(self):
        return (self._weights() * self.component_distribution.mean).sum(self._place())

    @property
    def variance(self):
        weights, means = self._weights(), self.component_distribution.mean
        within = (weights * self.component_distribution.variance).sum(self._place())
        apart = means - self.mean.unsqueeze(self._place())
        return within + (weights * apart.pow(2)).sum(self._place())

    def sample(self, sample_shape=()):
        with no_grad():
            chosen = self.mixture_distribution.sample(sample_shape)
            samples = self.component_distribution.sample(sample_shape)
            place = chosen.reshape(*chosen.shape, 1, *(1,) * len(self._event_shape))
            place = place.expand(*chosen.shape, 1, *self._event_shape)
            return samples.gather(self._place(), place).squeeze(self._place())

    def log_prob(self, value):
        self._validate_sample(value)
        of_parts = self.component_distribution.log_prob(value.unsqueeze(self._place()))
        return (of_parts + self.mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def cdf(self, value):
        of_parts = self.component_distribution.cdf(value.unsqueeze(self._place()))
        return (of_parts * self.mixture_distribution.probs).sum(-1)
