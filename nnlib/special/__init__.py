"""Special functions under the names of ``torch.special``.

Those that are written here compute in float64 and round to the input's type; their errors, measured against 40
digits, are stated with each and tested. Integers are taken as the default dtype.
"""

from __future__ import annotations

from .. import _C
from .._arguments import check_arguments
from .._out import in_place
from ._bessel import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    i0,
    i0e,
    i1,
    i1e,
    modified_bessel_i0,
    modified_bessel_i1,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    spherical_bessel_j0,
)
from ._gamma import gammainc, gammaincc, igamma, igammac, multigammaln, mvlgamma, zeta
from ._normal import entr, erfcx, log_ndtr, ndtr, ndtri, xlog1py
from ._polynomials import (
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    hermite_polynomial_h,
    hermite_polynomial_he,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
)

Tensor = _C.Tensor

digamma = psi = _C.digamma
erf, erfc, erfinv = _C.erf, _C.erfc, _C.erfinv
exp2, expit, expm1 = _C.exp2, _C.sigmoid, _C.expm1
gammaln = _C.lgamma
log1p, logit, logsumexp = _C.log1p, _C.logit, _C.logsumexp
polygamma, round, sinc, xlogy = _C.polygamma, _C.round, _C.sinc, _C.xlogy


def softmax(input: Tensor, dim: int, *, dtype=None):
    """:func:`nnlib.softmax`."""
    return _C.softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int, *, dtype=None):
    """:func:`nnlib.log_softmax`."""
    return _C.log_softmax(input, dim, dtype=dtype)


i0_, igamma_, igammac_ = in_place(i0, "i0_"), in_place(igamma, "igamma_"), in_place(igammac, "igammac_")
mvlgamma_ = in_place(mvlgamma, "mvlgamma_")

__all__ = [
    "airy_ai",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "igamma",
    "igammac",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "multigammaln",
    "mvlgamma",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
    "sinc",
    "softmax",
    "spherical_bessel_j0",
    "xlog1py",
    "xlogy",
    "zeta",
]
check_arguments(globals(), __all__)
del check_arguments
