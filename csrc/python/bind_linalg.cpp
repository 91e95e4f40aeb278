// Linear algebra on small matrices; nnlib.linalg gives them their public names.
#include "ops/linalg.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_linalg(Binder& b) {
  constexpr int kHidden = kFunction | kPrivate | kOut;
  b.def<ops::linalg_qr>(
      "linalg_qr(Tensor A, str mode=\"reduced\") -> (Q, R)", kHidden,
      "Q with orthonormal columns and the upper triangular R with A = Q R, for (..., m, n). By "
      "Householder reflections, with LAPACK's signs. Differentiable for m >= n, mode 'reduced'.");
  b.def<ops::linalg_inv>("linalg_inv(Tensor A)", kHidden,
                         "The inverse of each matrix of (..., n, n); RuntimeError where one is singular.");
  b.def<ops::linalg_solve>(
      "linalg_solve(Tensor A, Tensor B, *, bool left=True)", kHidden,
      "X with A X = B (or X A = B), for A (..., n, n) and B (..., n, k) or (..., n). By LU with "
      "partial pivoting.");
  b.def<ops::linalg_det>("linalg_det(Tensor A)", kHidden, "The determinant of each matrix of (..., n, n).");
  b.def<ops::linalg_slogdet>("linalg_slogdet(Tensor A) -> (sign, logabsdet)", kHidden,
                             "The sign and the logarithm of the absolute value of each determinant.");
  b.def<ops::linalg_cholesky>(
      "linalg_cholesky(Tensor input, *, bool upper=False)", kHidden,
      "The lower triangular L with input = L L^T, for positive-definite (..., n, n).");
  b.def<ops::linalg_matrix_power>(
      "linalg_matrix_power(Tensor input, int n)", kHidden,
      "The n-th power of each square matrix; of the inverse where n is negative.");
  b.def<ops::linalg_det>("det(Tensor input)", kFunction | kMethod,
                         "The determinant of each matrix of (..., n, n).");
  b.def<ops::logdet>("logdet(Tensor input)", kFunction | kMethod,
                     "The logarithm of each determinant; NaN where it is negative, -inf where it is 0.");
  b.def<ops::linalg_inv>("inverse(Tensor input)", kFunction | kMethod,
                         "The inverse of each matrix of (..., n, n).");
  b.def<ops::linalg_slogdet>("slogdet(Tensor input) -> (sign, logabsdet)", kFunction | kMethod,
                             "The sign and the logarithm of the absolute value of each determinant.");
  b.def<ops::linalg_matrix_power>("matrix_power(Tensor input, int n)", kFunction | kMethod,
                                  "The n-th power of each square matrix.");
  b.def<ops::linalg_cholesky>("cholesky(Tensor input, bool upper=False)", kFunction | kMethod | kOut,
                              "The triangular L with input = L L^T.");
  b.def<ops::linalg_cross>("linalg_cross(Tensor input, Tensor other, *, int dim=-1)", kHidden,
                           "The cross product of vectors of three elements along dim.");
  b.def<ops::cross>("cross(Tensor input, Tensor other, int? dim=None)", kFunction | kMethod | kOut,
                    "The cross product along dim; without it, along the first dimension of size three.");
  b.def<ops::linalg_eigh>("linalg_eigh(Tensor A, str UPLO=\"L\") -> (eigenvalues, eigenvectors)", kHidden,
                          "Eigenvalues in ascending order and eigenvectors of symmetric matrices.");
  b.def<ops::linalg_svd>("linalg_svd(Tensor A, bool full_matrices=True) -> (U, S, Vh)", kHidden,
                         "The singular value decomposition U diag(S) Vh.");
  b.def<ops::linalg_svdvals>("linalg_svdvals(Tensor A)", kHidden,
                             "The singular values of each matrix, falling.");
}

}  // namespace nnlib::python
