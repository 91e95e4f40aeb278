"""The base of all distributions."""

from __future__ import annotations

from functools import cached_property

from nnlib import _C
from nnlib._size import Size
from nnlib.autograd.grad_mode import no_grad

Tensor = _C.Tensor

__all__ = ["Distribution"]


class Distribution:
    """A distribution, or many of one kind side by side.

    ``batch_shape`` counts independent distributions whose parameters differ, ``event_shape`` is the shape of
    one sample of one of them: samples have the shape ``sample_shape + batch_shape + event_shape``.

    Args:
        batch_shape (Size): how many distributions.
        event_shape (Size): the shape of a sample.
        validate_args (bool, optional): whether parameters and values are compared with the sets in which they
            have to lie. Default: as :meth:`set_default_validate_args` says, True at first.

    Raises:
        ValueError: a parameter, or a value whose probability is asked for, lies outside of its set.

    >>> normal = nnlib.distributions.Normal(nnlib.zeros(3), nnlib.ones(3))
    >>> normal.sample((2,)).shape, normal.log_prob(nnlib.zeros(3))
    (torch.Size([2, 3]), tensor([-0.9189, -0.9189, -0.9189]))
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: dict = {}
    support = None
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their parameters and values where nothing else was said."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args takes True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape=(), event_shape=(), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self._own_parameters().items():
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                    f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid "
                    f"values:\n{value}"
                )

    def _own_parameters(self) -> dict:
        """The sets of those parameters that are there, given or computed."""
        return {name: c for name, c in self.arg_constraints.items() if name in self.__dict__}

    @property
    def batch_shape(self) -> Size:
        """How many distributions there are, as a shape."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one sample of one distribution."""
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape=()) -> Tensor:
        """Random values, without gradients to the parameters."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=()) -> Tensor:
        """Random values as a differentiable function of the parameters; NotImplementedError where there is none."""
        raise NotImplementedError(f"{type(self).__name__} has no reparametrised samples")

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at ``value``."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to ``value``."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The value up to which lies the probability ``value``."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a new first dimension."""
        raise NotImplementedError(f"{type(self).__name__} cannot enumerate its values")

    def entropy(self) -> Tensor:
        """The entropy, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return self.entropy().exp()

    def expand(self, batch_shape, _instance=None) -> Distribution:
        """The same with parameters expanded to ``batch_shape``, without new memory."""
        new = type(self).__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new._batch_shape = Size(batch_shape)
        for name, constraint in self._own_parameters().items():
            value = self.__dict__[name]
            own = value.shape[value.dim() - constraint.event_dim :]
            new.__dict__[name] = value.expand((*batch_shape, *own))
        return new

    def _extended_shape(self, sample_shape=()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Tensor) -> None:
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError(f"The value argument to log_prob must be a Tensor, got {type(value).__name__}")
        shape, expected = tuple(value.shape), (*self._batch_shape, *self._event_shape)
        events = len(self._event_shape)
        if shape[len(shape) - events :] != tuple(self._event_shape):
            raise ValueError(
                f"The right-most size of value must match event_shape: {shape} vs {tuple(self._event_shape)}."
            )
        for got, want in zip(reversed(shape), reversed(expected), strict=False):
            if got != want and 1 not in (got, want):
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {expected}."
                )
        if not self.support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {shape}) to be within the support "
                f"({self.support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        values = {name: self.__dict__[name] for name in self._own_parameters()}
        shown = [f"{name}: {v if v.numel() == 1 else v.shape}" for name, v in values.items()]
        return f"{type(self).__name__}({', '.join(shown)})"


class LogitsOrProbs(Distribution):
    """A distribution whose parameter is ``probs`` or ``logits``; the other is computed when asked for."""

    _is_binary = False

    @cached_property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities, or of the odds."""
        from .utils import probs_to_logits

        return probs_to_logits(self.probs, self._is_binary)

    @cached_property
    def probs(self) -> Tensor:
        """The probabilities."""
        from .utils import logits_to_probs

        return logits_to_probs(self.logits, self._is_binary)

    @property
    def _param(self) -> Tensor:
        return self.__dict__.get("probs", self.__dict__.get("logits"))

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._param.shape
