"""How far one distribution is from another."""

from __future__ import annotations

import math
from collections.abc import Callable

from nnlib import _C, linalg

from .categorical import Categorical, OneHotCategorical
from .continuous import Exponential, Gumbel, Laplace, Uniform
from .counts import Binomial
from .discrete import Bernoulli, Geometric, Poisson
from .distribution import Distribution
from .gamma import Beta, Dirichlet, Gamma
from .half import HalfNormal
from .independent import Independent, sum_rightmost
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .powers import InverseGamma, Pareto
from .transformed_distribution import LogNormal

__all__ = ["kl_divergence", "register_kl"]

_EULER = 0.57721566490153286060
_FUNCTIONS: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """Make the decorated function the divergence of distributions of two classes and of theirs that inherit.

    TypeError where they are no classes of distributions.

    >>> from nnlib.distributions import Normal, kl
    >>> class Unit(Normal):
    ...     def __init__(self): super().__init__(0.0, 1.0)
    >>> kl.register_kl(Unit, Unit)(lambda p, q: nnlib.zeros(()))(Unit(), Unit())
    tensor(0.)
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def decorate(function):
        _FUNCTIONS[type_p, type_q] = function
        return function

    return decorate


def _function_of(type_p: type, type_q: type) -> Callable | None:
    """The function of the nearest classes, those of p first."""
    for p in type_p.__mro__:
        for q in type_q.__mro__:
            if (p, q) in _FUNCTIONS:
                return _FUNCTIONS[p, q]
    return None


def kl_divergence(p: Distribution, q: Distribution) -> _C.Tensor:
    """The mean of log p(x) - log q(x) over p, of the batch's shape.

    NotImplementedError where no formula is known for the two kinds.

    Source: Kullback and Leibler, "On information and sufficiency" (1951).

    >>> from nnlib.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    function = _function_of(type(p), type(q))
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        )
    return function(p, q)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    apart = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (ratio + apart - 1 - ratio.log())


@register_kl(LogNormal, LogNormal)
def _log_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    softplus = _C.softplus
    first = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    first = _C.where(q.probs == 0, math.inf, first)
    first = _C.where(p.probs == 0, 0.0, first)
    second = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    second = _C.where(q.probs == 1, math.inf, second)
    return first + _C.where(p.probs == 1, 0.0, second)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    terms = p.probs * (p.logits - q.logits)
    terms = _C.where((q.probs == 0).expand_as(terms), math.inf, terms)
    return _C.where((p.probs == 0).expand_as(terms), 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + apart / q.scale + ratio * (-apart / p.scale).exp() - 1


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return _C.where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    return (
        q.concentration * (p.rate / q.rate).log()
        + q.concentration.lgamma()
        - p.concentration.lgamma()
        + (p.concentration - q.concentration) * p.concentration.digamma()
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )


@register_kl(InverseGamma, InverseGamma)
def _inverse_gamma(p, q):
    return _gamma(p.base_dist, q.base_dist)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio = q.rate / p.rate
    return (
        -q.concentration * ratio.log()
        + ratio
        + q.concentration.lgamma()
        + q.concentration * _EULER
        - (1 + _EULER)
    )


@register_kl(Gamma, Exponential)
def _gamma_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Beta, Beta)
def _beta(p, q):
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    slopes = a.digamma() - total.digamma().unsqueeze(-1)
    return (
        total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1) + ((a - b) * slopes).sum(-1)
    )


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    terms = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return _C.where(p.total_count > q.total_count, math.inf, p.total_count * terms)


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, apart = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return -ratio.log() - apart + ratio * _EULER + (apart + (1 + ratio).lgamma()).exp() - (1 + _EULER)


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return _C.where(p.scale < q.scale, math.inf, result)


@register_kl(Uniform, Normal)
def _uniform_normal(p, q):
    width = p.high - p.low
    inner = width.pow(2) / 12 + ((p.high + p.low - 2 * q.loc) / 2).pow(2)
    return (math.sqrt(math.pi * 2) * q.scale / width).log() + 0.5 * inner / q.scale.pow(2)


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    apart = p.loc - q.loc
    ratio, unit = p.scale / q.scale, apart / p.scale
    mean = (
        math.sqrt(2 / math.pi) * p.scale * (-0.5 * unit.pow(2)).exp() + apart * (math.sqrt(0.5) * unit).erf()
    )
    return -ratio.log() + mean / q.scale - (0.5 + 0.5 * math.log(0.5 * math.pi))


@register_kl(Laplace, Normal)
def _laplace_normal(p, q):
    square = q.scale.pow(2)
    ratio = p.scale.pow(2) / square
    return (
        -0.5 * (2 * ratio / math.pi).log()
        + 0.5 * q.loc.pow(2) / square
        - p.loc * q.loc / square
        + 0.5 * p.loc.pow(2) / square
        + ratio
        - 1
    )


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"KL-divergence between two Multivariate Normals with different event shapes cannot be computed: "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}"
        )
    n = p.event_shape[0]
    half_log = q._half_log_determinant() - p._half_log_determinant()
    spread = linalg.solve_triangular(q.scale_tril, p.scale_tril, upper=False).pow(2).sum((-2, -1))
    apart = linalg.solve_triangular(q.scale_tril, (q.loc - p.loc).unsqueeze(-1), upper=False)
    return half_log + 0.5 * (spread + apart.squeeze(-1).pow(2).sum(-1) - n)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("the two take different numbers of dimensions together")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
