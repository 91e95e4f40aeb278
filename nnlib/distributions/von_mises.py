"""The normal distribution's kin on a circle."""

from __future__ import annotations

import math

from nnlib import _C, special
from nnlib.autograd.grad_mode import no_grad

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles about ``loc``: exp(concentration cos(x - loc)), within [-pi, pi).

    Args:
        loc (Tensor or float): the mean angle.
        concentration (Tensor or float): how near to it the angles lie.
        validate_args (bool, optional): see :class:`Distribution`.

    Source of the samples: Best and Fisher, "Efficient simulation of the von Mises distribution" (1979).

    >>> nnlib.distributions.VonMises(0.0, 1.0).log_prob(nnlib.tensor(0.0))
    tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self):
        """The mean of the circle."""
        return self.loc

    mode = mean

    @property
    def variance(self):
        """The variance of the circle: 1 less the length of the mean of the points."""
        return 1 - special.i1e(self.concentration) / special.i0e(self.concentration)

    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        with no_grad():
            loc, k = self.loc.to(_C.float64), self.concentration.to(_C.float64)
            tau = 1 + (1 + 4 * k**2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            r = _C.where(k < 1e-5, 1 / k + k, (1 + rho**2) / (2 * rho))
            x, done = _C.zeros(shape, dtype=_C.float64), _C.zeros(shape, dtype=_C.bool)
            while not bool(done.all()):
                u1, u2, u3 = _C.rand((3, *shape), dtype=_C.float64).unbind()
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accept = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
                x = _C.where(accept, (u3 - 0.5).sign() * f.acos(), x)
                done = done | accept
            return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    def log_prob(self, value):
        self._validate_sample(value)
        k = self.concentration
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - special.i0e(k).log()
