// Factorisations of small dense matrices and batches of them. Everything is computed in double and rounded
// once.
#pragma once
#include <optional>
#include <string>
#include <tuple>

#include "autograd/function.h"

namespace nnlib::ops {

// Q and R by Householder reflections, with LAPACK's choice of signs. mode: "reduced", "complete" or "r".
std::pair<Tensor, Tensor> linalg_qr(const Tensor& a, const std::string& mode);
// The inverse, the solution of A X = B, and determinants, by LU with partial pivoting.
Tensor linalg_inv(const Tensor& a);
Tensor linalg_solve(const Tensor& a, const Tensor& b, bool left);
Tensor linalg_det(const Tensor& a);
std::pair<Tensor, Tensor> linalg_slogdet(const Tensor& a);
// NaN where the determinant is negative.
Tensor logdet(const Tensor& a);
// The lower triangular L with A = L L^T, or its transpose; only one triangle of A is read.
Tensor linalg_cholesky(const Tensor& a, bool upper);
Tensor linalg_matrix_power(const Tensor& a, int64_t n);

Tensor linalg_cross(const Tensor& a, const Tensor& b, int64_t dim);
// Along the first dimension of size three where none is given.
Tensor cross(const Tensor& a, const Tensor& b, std::optional<int64_t> dim);

// ---- linalg_spectral.cpp
// Eigenvalues in ascending order and eigenvectors (columns) of a symmetric matrix, of which one triangle is
// read.
std::pair<Tensor, Tensor> linalg_eigh(const Tensor& a, const std::string& uplo);
std::tuple<Tensor, Tensor, Tensor> linalg_svd(const Tensor& a, bool full_matrices);
Tensor linalg_svdvals(const Tensor& a);

}  // namespace nnlib::ops
