"""Linear algebra under the names of ``torch.linalg``: norms, products, and factorisations of small matrices.

Factorisations work in float64 inside.
"""

from __future__ import annotations

from .. import _C
from .._arguments import check_arguments
from ._errors import LinAlgError, raises_linalg_error
from ._functions import householder_product, matrix_exp, tensorinv, tensorsolve, vander
from ._lu import (
    cholesky_ex,
    inv_ex,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    solve_ex,
)
from ._norms import diagonal, matrix_norm, norm, vecdot
from ._spectral import cond, eigvalsh, lstsq, matrix_rank, pinv, svd
from ._triangular import solve_triangular

cholesky = raises_linalg_error(_C.linalg_cholesky)
cross = _C.linalg_cross
det = _C.linalg_det
eigh = _C.linalg_eigh
inv = raises_linalg_error(_C.linalg_inv)
matmul = _C.matmul
matrix_power = raises_linalg_error(_C.linalg_matrix_power)
multi_dot = _C.linalg_multi_dot
qr = _C.linalg_qr
slogdet = _C.linalg_slogdet
solve = raises_linalg_error(_C.linalg_solve)
svdvals = _C.linalg_svdvals
vector_norm = _C.linalg_vector_norm

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
check_arguments(globals(), __all__)
del check_arguments
