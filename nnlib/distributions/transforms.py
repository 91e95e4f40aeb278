"""Functions with an inverse and a known change of volume, by which densities are transformed."""

from __future__ import annotations

import math

from nnlib import _C
from nnlib._functions import finfo
from nnlib.nn import functional as F

from . import constraints
from .utils import broadcast_all

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "ComposeTransform",
    "ExpTransform",
    "PowerTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "TanhTransform",
    "Transform",
]


class Transform:
    """A function of ``domain`` onto ``codomain``. ``t(x)`` computes it and ``t.inv(y)`` its inverse.

    >>> t = nnlib.distributions.transforms.ExpTransform()
    >>> t.log_abs_det_jacobian(nnlib.tensor(2.0), t(nnlib.tensor(2.0)))
    tensor(2.)
    """

    domain = constraints.real
    codomain = constraints.real
    sign = 1  # -1 where it falls

    def __call__(self, x):
        raise NotImplementedError

    def inv(self, y):
        """The x of which y is the image."""
        raise NotImplementedError

    def log_abs_det_jacobian(self, x, y):
        """The logarithm of the slope's magnitude at x, whose image is y."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ExpTransform(Transform):
    """exp(x)."""

    codomain = constraints.positive

    def __call__(self, x):
        return x.exp()

    def inv(self, y):
        return y.log()

    def log_abs_det_jacobian(self, x, y):
        return x


class AbsTransform(Transform):
    """|x|; its inverse is taken to be not negative."""

    codomain = constraints.nonnegative

    def __call__(self, x):
        return x.abs()

    def inv(self, y):
        return y


class PowerTransform(Transform):
    """x ** exponent of positive numbers.

    Args:
        exponent (Tensor or float): the exponent.
    """

    domain = codomain = constraints.positive

    def __init__(self, exponent):
        (self.exponent,) = broadcast_all(exponent)

    @property
    def sign(self):
        """1 where it rises and -1 where it falls."""
        return self.exponent.sign()

    def __call__(self, x):
        return x.pow(self.exponent)

    def inv(self, y):
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x, y):
        return (self.exponent * y / x).abs().log()


class SoftmaxTransform(Transform):
    """exp(x) over its sum along the last dimension; the inverse is one of many. No density goes through it."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def __call__(self, x):
        return x.softmax(-1)

    def inv(self, y):
        return y.log()


class SoftplusTransform(Transform):
    """log(1 + exp(x))."""

    codomain = constraints.positive

    def __call__(self, x):
        return F.softplus(x)

    def inv(self, y):
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x, y):
        return -F.softplus(-x)


class TanhTransform(Transform):
    """tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def __call__(self, x):
        return x.tanh()

    def inv(self, y):
        return y.atanh()

    def log_abs_det_jacobian(self, x, y):
        return 2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x))


class SigmoidTransform(Transform):
    """1 / (1 + exp(-x)), not quite 0 or 1."""

    codomain = constraints.unit_interval

    def __call__(self, x):
        info = finfo(x.dtype)
        return x.sigmoid().clamp(info.tiny, 1.0 - info.eps)

    def inv(self, y):
        info = finfo(y.dtype)
        y = y.clamp(info.tiny, 1.0 - info.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x, y):
        return -F.softplus(-x) - F.softplus(x)


class AffineTransform(Transform):
    """loc + scale * x, each element by itself.

    Args:
        loc, scale (Tensor or float): what is added, what it is multiplied by.
    """

    def __init__(self, loc, scale):
        self.loc, self.scale = loc, scale

    @property
    def sign(self):
        """1 where it rises and -1 where it falls."""
        if isinstance(self.scale, _C.Tensor):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def __call__(self, x):
        return self.loc + self.scale * x

    def inv(self, y):
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x, y):
        if isinstance(self.scale, _C.Tensor):
            return self.scale.abs().log().expand(x.shape)
        return _C.full_like(x, math.log(abs(self.scale)))


class ComposeTransform(Transform):
    """Several transforms, the first one first.

    Args:
        parts (list of Transform): the transforms.
    """

    def __init__(self, parts):
        self.parts = list(parts)
        if self.parts:
            self.domain, self.codomain = self.parts[0].domain, self.parts[-1].codomain

    @property
    def sign(self):
        """1 where it rises and -1 where it falls."""
        result = 1
        for part in self.parts:
            result = result * part.sign
        return result

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x

    def inv(self, y):
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x, y):
        result = _C.zeros_like(x)
        for part in self.parts:
            image = part(x)
            result, x = result + part.log_abs_det_jacobian(x, image), image
        return result

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts!r})"
