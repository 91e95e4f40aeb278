"""Normal distributions of several variables that depend on each other."""

from __future__ import annotations

import math
from functools import cached_property

from nnlib import _C, linalg
from nnlib._functions import broadcast_shapes

from . import constraints
from .distribution import Distribution
from .normal import standard_normal

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Distribution):
    """The normal distribution of vectors of the mean ``loc``.

    Args:
        loc (Tensor): the mean, of shape (..., n).
        covariance_matrix, precision_matrix, scale_tril (Tensor): one of them, of shape (..., n, n): the
            covariances, their inverse, or the lower Cholesky factor of the covariances.
        validate_args (bool, optional): see :class:`Distribution`.

    Raises:
        ValueError: not exactly one matrix, or one of too few dimensions.

    >>> nnlib.distributions.MultivariateNormal(nnlib.zeros(2), nnlib.eye(2)).log_prob(nnlib.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None
    ):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {
            name: matrix
            for name, matrix in (
                ("covariance_matrix", covariance_matrix),
                ("precision_matrix", precision_matrix),
                ("scale_tril", scale_tril),
            )
            if matrix is not None
        }
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand((*batch, loc.shape[-1]))
        self.__dict__[name] = matrix.expand((*batch, *matrix.shape[-2:]))
        super().__init__(batch, loc.shape[-1:], validate_args)

    @cached_property
    def scale_tril(self):
        """The lower Cholesky factor of the covariances."""
        if "covariance_matrix" in self.__dict__:
            return linalg.cholesky(self.covariance_matrix)
        # P = U U^T turned about both diagonals is a Cholesky factorisation, and inv(U)^T the factor of inv(P).
        turned = linalg.cholesky(self.precision_matrix.flip((-2, -1)))
        upper = turned.flip((-2, -1)).mT
        one = _C.eye(self._event_shape[0], dtype=self.loc.dtype)
        return linalg.solve_triangular(upper, one, upper=False)

    @cached_property
    def covariance_matrix(self):
        """The covariances."""
        return self.scale_tril @ self.scale_tril.mT

    @cached_property
    def precision_matrix(self):
        """The inverse of the covariances."""
        return linalg.inv(self.covariance_matrix)

    @property
    def mean(self):
        return self.loc

    mode = mean

    @property
    def variance(self):
        return self.scale_tril.pow(2).sum(-1).expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape=()):
        draws = standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + (self.scale_tril @ draws.unsqueeze(-1)).squeeze(-1)

    def _half_log_determinant(self):
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        self._validate_sample(value)
        apart = (value - self.loc).unsqueeze(-1)
        white = linalg.solve_triangular(self.scale_tril, apart, upper=False).squeeze(-1)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + white.pow(2).sum(-1)) - self._half_log_determinant()

    def entropy(self):
        half = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi)) + self._half_log_determinant()
        return half.expand(self._batch_shape)
