"""The gamma distribution and those that are made of gamma variables."""

from __future__ import annotations

import math

from nnlib import _C, special
from nnlib._functions import finfo
from nnlib.autograd.function import Function
from nnlib.nn import functional as F

from . import constraints
from .distribution import Distribution
from .normal import standard_normal
from .utils import broadcast_all

__all__ = ["Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma", "StudentT"]


class Gamma(Distribution):
    """The gamma distribution: x^(concentration - 1) exp(-rate x), the waiting time for ``concentration`` events.

    Args:
        concentration, rate (Tensor or float): its shape, and the inverse of its scale.
        validate_args (bool, optional): see :class:`Distribution`.

    Source of the gradients of samples: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (2018).

    >>> nnlib.distributions.Gamma(2.0, 1.0).log_prob(nnlib.tensor(1.0))
    tensor(-1.)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        value = _C._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        value.detach().clamp_(min=finfo(value.dtype).tiny)
        return value

    def log_prob(self, value):
        value = _C.as_tensor(value, dtype=self.rate.dtype)
        self._validate_sample(value)
        return (
            _C.xlogy(self.concentration, self.rate)
            + _C.xlogy(self.concentration - 1, value)
            - self.rate * value
            - self.concentration.lgamma()
        )

    def cdf(self, value):
        self._validate_sample(value)
        return special.gammainc(self.concentration, self.rate * value)

    def entropy(self):
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()


class Chi2(Gamma):
    """The sum of the squares of ``df`` standard normal variables: a gamma distribution.

    >>> nnlib.distributions.Chi2(2.0).log_prob(nnlib.tensor(2.0))
    tensor(-1.6931)
    """

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df, validate_args=None):
        super().__init__(0.5 * df, 0.5, validate_args)

    @property
    def df(self):
        """The degrees of freedom."""
        return self.concentration * 2

    def _own_parameters(self):
        return Gamma.arg_constraints


class StudentT(Distribution):
    """Student's t: a standard normal variable over the root of a Chi2 variable's share, moved and widened.

    Args:
        df (Tensor or float): the degrees of freedom.
        loc, scale (Tensor or float): place and width.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.StudentT(2.0).log_prob(nnlib.tensor(0.0))
    tensor(-1.0397)
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self):
        return _C.where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        wide = _C.where(self.df > 2, self.scale.pow(2) * self.df / (self.df - 2), math.inf)
        return _C.where(self.df <= 1, math.nan, wide)

    def rsample(self, sample_shape=()):
        normal = standard_normal(self._extended_shape(sample_shape), self.df.dtype)
        chi2 = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * (normal * (chi2 / self.df).rsqrt())

    def log_prob(self, value):
        self._validate_sample(value)
        y = (value - self.loc) / self.scale
        norm = (
            self.scale.log()
            + 0.5 * self.df.log()
            + 0.5 * math.log(math.pi)
            + (0.5 * self.df).lgamma()
            - (0.5 * (self.df + 1)).lgamma()
        )
        return -0.5 * (self.df + 1) * (y**2 / self.df).log1p() - norm

    def entropy(self):
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        return (
            self.scale.log()
            + more * (more.digamma() - half.digamma())
            + 0.5 * self.df.log()
            + half.lgamma()
            + math.lgamma(0.5)
            - more.lgamma()
        )


class FisherSnedecor(Distribution):
    """The F distribution: the quotient of two Chi2 variables, each over its degrees of freedom.

    Args:
        df1, df2 (Tensor or float): degrees of freedom above and below.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.FisherSnedecor(2.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1, df2, validate_args=None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def mean(self):
        return _C.where(self.df2 <= 2, math.nan, self.df2 / (self.df2 - 2))

    @property
    def mode(self):
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return _C.where(self.df1 <= 2, math.nan, mode)

    @property
    def variance(self):
        a, b = self.df1, self.df2
        value = 2 * b.pow(2) * (a + b - 2) / (a * (b - 2).pow(2) * (b - 4))
        return _C.where(b <= 4, math.nan, value)

    def rsample(self, sample_shape=()):
        tiny = finfo(self.df1.dtype).tiny
        above = Gamma(self.df1 * 0.5, self.df1).rsample(sample_shape).view(self._extended_shape(sample_shape))
        below = Gamma(self.df2 * 0.5, self.df2).rsample(sample_shape).view(self._extended_shape(sample_shape))
        below.detach().clamp_(min=tiny)
        value = above / below
        value.detach().clamp_(min=tiny)
        return value

    def log_prob(self, value):
        self._validate_sample(value)
        a, b = self.df1 * 0.5, self.df2 * 0.5
        ratio = self.df1 / self.df2
        return (
            (a + b).lgamma()
            - a.lgamma()
            - b.lgamma()
            + a * ratio.log()
            + (a - 1) * value.log()
            - (a + b) * (ratio * value).log1p()
        )


class _Simplex(Function):
    """Points of the simplex, whose coordinates move with the concentrations."""

    @staticmethod
    def forward(ctx, concentration):
        x = _C._sample_dirichlet(concentration)
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    def backward(ctx, grad):
        x, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        slope = _C._dirichlet_grad(x, concentration, total)
        return slope * (grad - (x * grad).sum(-1, True))


class Dirichlet(Distribution):
    """Probabilities of classes, which are as sure as the ``concentration`` is large.

    Args:
        concentration (Tensor): (..., classes).
        validate_args (bool, optional): see :class:`Distribution`.

    Raises:
        ValueError: a concentration without dimensions.

    Source of the gradients of samples: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (2018).

    >>> nnlib.distributions.Dirichlet(nnlib.tensor([1.0, 3.0])).mean
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        above = (self.concentration - 1).clamp(min=0)
        mode = above / above.sum(-1, True)
        corner = F.one_hot(mode.argmax(-1), above.shape[-1]).to(mode.dtype)
        return _C.where((self.concentration < 1).all(-1, keepdim=True), corner, mode)

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape=()):
        return _Simplex.apply(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._validate_sample(value)
        a = self.concentration
        return _C.xlogy(a - 1, value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self):
        a = self.concentration
        total = a.sum(-1)
        return (
            a.lgamma().sum(-1)
            - total.lgamma()
            - (a.shape[-1] - total) * total.digamma()
            - ((a - 1) * a.digamma()).sum(-1)
        )


class Beta(Distribution):
    """A probability: x^(concentration1 - 1) (1 - x)^(concentration0 - 1).

    Args:
        concentration1, concentration0 (Tensor or float): of the two ends 1 and 0.
        validate_args (bool, optional): see :class:`Distribution`.

    >>> nnlib.distributions.Beta(1.0, 3.0).mean
    tensor(0.2500)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def _dirichlet(self):
        return Dirichlet(_C.stack([self.concentration1, self.concentration0], -1), validate_args=False)

    @property
    def mean(self):
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self):
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self):
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape=()):
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value):
        self._validate_sample(value)
        return self._dirichlet.log_prob(_C.stack([value, 1 - value], -1))

    def entropy(self):
        return self._dirichlet.entropy()
