#include "ops/linalg.h"

#include <cmath>
#include <functional>
#include <vector>

#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/iterator.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// A matrix in double, row after row.
struct Matrix {
  int64_t rows, cols;
  std::vector<double> at;
  Matrix(int64_t r, int64_t c) : rows(r), cols(c), at(size_t(r * c), 0.0) {}
  double& operator()(int64_t i, int64_t j) { return at[size_t(i * cols + j)]; }
  double operator()(int64_t i, int64_t j) const { return at[size_t(i * cols + j)]; }
};

// ---- factorisations of one matrix

// Householder QR after LAPACK's geqrf: q is rows x rows, r has the size of a.
void householder(const Matrix& a, Matrix& q, Matrix& r) {
  r = a;
  for (int64_t i = 0; i < q.rows; ++i) q(i, i) = 1;
  std::vector<double> v(size_t(a.rows)), dots(size_t(a.cols));
  for (int64_t k = 0; k < std::min(a.rows - 1, a.cols); ++k) {
    double tail = 0;
    for (int64_t i = k + 1; i < a.rows; ++i) tail += r(i, k) * r(i, k);
    if (tail == 0) continue;
    const double alpha = r(k, k), beta = -std::copysign(std::sqrt(alpha * alpha + tail), alpha);
    const double tau = (beta - alpha) / beta;
    v[size_t(k)] = 1;
    for (int64_t i = k + 1; i < a.rows; ++i) v[size_t(i)] = r(i, k) / (alpha - beta);
    // R = H R, row after row
    std::fill(dots.begin(), dots.end(), 0.0);
    for (int64_t i = k; i < a.rows; ++i)
      for (int64_t j = k; j < a.cols; ++j) dots[size_t(j)] += v[size_t(i)] * r(i, j);
    for (int64_t i = k; i < a.rows; ++i)
      for (int64_t j = k; j < a.cols; ++j) r(i, j) -= tau * dots[size_t(j)] * v[size_t(i)];
    for (int64_t i = k + 1; i < a.rows; ++i) r(i, k) = 0;
    for (int64_t i = 0; i < a.rows; ++i) {  // Q = Q H
      double dot = 0;
      for (int64_t j = k; j < a.rows; ++j) dot += q(i, j) * v[size_t(j)];
      for (int64_t j = k; j < a.rows; ++j) q(i, j) -= tau * dot * v[size_t(j)];
    }
  }
}

// LU in place with partial pivoting; the row that each step took. Returns the sign of the permutation.
double factor_lu(Matrix& a, std::vector<int64_t>& pivots) {
  double sign = 1;
  for (int64_t k = 0; k < a.rows; ++k) {
    int64_t best = k;
    for (int64_t i = k + 1; i < a.rows; ++i) {
      if (std::fabs(a(i, k)) > std::fabs(a(best, k))) best = i;
    }
    pivots.push_back(best);
    if (best != k) {
      sign = -sign;
      for (int64_t j = 0; j < a.cols; ++j) std::swap(a(k, j), a(best, j));
    }
    if (a(k, k) == 0) continue;
    for (int64_t i = k + 1; i < a.rows; ++i) {
      const double f = a(i, k) /= a(k, k);
      for (int64_t j = k + 1; j < a.cols; ++j) a(i, j) -= f * a(k, j);
    }
  }
  return sign;
}

Matrix solve_one(Matrix a, Matrix b, const char* name) {
  std::vector<int64_t> pivots;
  factor_lu(a, pivots);
  for (int64_t k = 0; k < a.rows; ++k) {
    NNLIB_CHECK(a(k, k) != 0, name, ": The solver failed because the input matrix is singular: U(", k + 1,
                ", ", k + 1, ") is zero.");
    for (int64_t j = 0; j < b.cols; ++j) std::swap(b(k, j), b(pivots[size_t(k)], j));
  }
  // All columns of b at once, whose values lie together.
  const auto subtract = [&](int64_t i, int64_t k) {
    for (int64_t j = 0; j < b.cols; ++j) b(i, j) -= a(i, k) * b(k, j);
  };
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t k = 0; k < i; ++k) subtract(i, k);
  }
  for (int64_t i = a.rows - 1; i >= 0; --i) {
    for (int64_t k = i + 1; k < a.rows; ++k) subtract(i, k);
    for (int64_t j = 0; j < b.cols; ++j) b(i, j) /= a(i, i);
  }
  return b;
}

// ---- batches

void check_matrix(const Tensor& a, const char* name, bool square) {
  NNLIB_CHECK(a.dim() >= 2, name, ": The input tensor A must have at least 2 dimensions.");
  NNLIB_CHECK(!square || a.size(-1) == a.size(-2), name,
              ": A must be batches of square matrices, but they are ", a.size(-2), " by ", a.size(-1),
              " matrices");
  NNLIB_CHECK(is_floating(a.dtype()) && !is_reduced_float(a.dtype()), name,
              ": Expected a floating point tensor as input. Got ", dtype_legacy_name(a.dtype()));
}

int64_t batch_count(const Tensor& a) {
  int64_t n = 1;
  for (int64_t d = 0; d + 2 < a.dim(); ++d) n *= a.size(d);
  return n;
}
Dims batch_dims(const Tensor& a) { return Dims(a.sizes().data(), a.sizes().size() - 2); }
Dims with_matrix(Dims batch, int64_t rows, int64_t cols) {
  batch.push_back(rows);
  batch.push_back(cols);
  return batch;
}

Tensor in_double(const Tensor& a) { return contiguous_values(cast_values(detach(a), Dtype::Float64)); }
Matrix read_matrix(const Tensor& doubles, int64_t index) {
  Matrix m(doubles.size(-2), doubles.size(-1));
  const double* p = doubles.data<double>() + index * m.rows * m.cols;
  std::copy(p, p + m.rows * m.cols, m.at.begin());
  return m;
}
void write_matrix(const Matrix& m, const Tensor& doubles, int64_t index) {
  std::copy(m.at.begin(), m.at.end(), doubles.data<double>() + index * m.rows * m.cols);
}

Tensor mt(const Tensor& a) { return transpose(a, -2, -1); }

}  // namespace

std::pair<Tensor, Tensor> linalg_qr(const Tensor& a, const std::string& mode) {
  check_matrix(a, "linalg.qr", false);
  NNLIB_CHECK(mode == "reduced" || mode == "complete" || mode == "r", "qr received unrecognized mode '", mode,
              "' but expected one of 'reduced' (default), 'r', or 'complete'");
  const int64_t m = a.size(-2), n = a.size(-1), k = mode == "complete" ? m : std::min(m, n);
  if (wants_grad(a) && m < n && mode != "r") {
    // The first columns alone say what Q is, and Q what becomes of the others.
    const auto [q, r] = linalg_qr(narrow(a, -1, 0, m), mode);
    return {q, cat({r, matmul(mt(q), narrow(a, -1, m, n - m))}, -1)};
  }
  const Tensor in = in_double(a);
  Tensor q = empty(with_matrix(batch_dims(a), m, k), Dtype::Float64),
         r = empty(with_matrix(batch_dims(a), k, n), Dtype::Float64);
  for (int64_t p = 0; p < batch_count(a); ++p) {
    Matrix whole_q(m, m), whole_r(m, n), part_q(m, k), part_r(k, n);
    householder(read_matrix(in, p), whole_q, whole_r);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < k; ++j) part_q(i, j) = whole_q(i, j);
    }
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < n; ++j) part_r(i, j) = whole_r(i, j);
    }
    write_matrix(part_q, q, p);
    write_matrix(part_r, r, p);
  }
  q = cast_values(q, a.dtype()), r = cast_values(r, a.dtype());
  if (wants_grad(a)) {
    // M = R gR^T - gQ^T Q; gA = (gQ + Q (tril M + tril(M, -1)^T)) R^-T.
    record_many(
        {q, r}, "LinalgQrBackward0", {a},
        [q = save_output(q), r = Saved(r, true, 1), m, n, mode](Backward& ctx, const TensorList& g) {
          NNLIB_CHECK(mode != "r",
                      "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. ",
                      "Please use linalg.qr(A, mode='reduced') if you are going to require gradients.");
          NNLIB_CHECK(
              mode == "reduced" || m == n,
              "The QR decomposition is not differentiable when mode='complete' and nrows > ncols; got ", m,
              " x ", n);
          const Tensor Q = q.get(ctx), R = r.get(ctx);
          const Tensor gq = g[0].defined() ? g[0] : zeros_like(Q), gr = g[1].defined() ? g[1] : zeros_like(R);
          const Tensor M = sub(matmul(R, mt(gr)), matmul(mt(gq), Q));
          const Tensor symmetric = add(tril(M), mt(tril(M, -1)));
          return TensorList{linalg_solve(mt(R), add(gq, matmul(Q, symmetric)), false)};
        });
  }
  if (mode == "r") q = empty({0}, a.dtype());
  return {q, r};
}

Tensor linalg_solve(const Tensor& a, const Tensor& b, bool left) {
  check_matrix(a, "linalg.solve", true);
  if (!left) return mt(linalg_solve(mt(a), mt(b), true));
  // B is a batch of vectors where it has A's sizes but for the last.
  const bool vectors =
      b.dim() == 1 || (b.dim() == a.dim() - 1 && b.sizes() == Dims(a.sizes().data(), a.sizes().size() - 1));
  if (vectors) return squeeze(linalg_solve(a, unsqueeze(b, -1), true), -1);
  NNLIB_CHECK(a.size(-1) == b.size(-2),
              "linalg.solve: Incompatible shapes of A and B for the equation AX = B (", a.size(-2), "x",
              a.size(-1), " and ", b.size(-2), "x", b.size(-1), ")");
  NNLIB_CHECK(a.dtype() == b.dtype(),
              "linalg.solve: Expected A and B to have the same dtype, but found A of type ",
              dtype_legacy_name(a.dtype()), " and B of type ", dtype_legacy_name(b.dtype()), " instead");
  const auto batch_view = [](const Tensor& t) {
    return alias(t, batch_dims(t), Dims(t.strides().data(), t.strides().size() - 2), t.storage_offset());
  };
  const Dims batch = broadcast_sizes({batch_view(a), batch_view(b)});
  const Tensor wide_a = expand(a, with_matrix(batch, a.size(-2), a.size(-1)));
  const Tensor wide_b = expand(b, with_matrix(batch, b.size(-2), b.size(-1)));
  const Tensor in_a = in_double(wide_a), in_b = in_double(wide_b);
  Tensor out = empty(wide_b.sizes(), Dtype::Float64);
  for (int64_t p = 0; p < batch_count(wide_a); ++p) {
    write_matrix(solve_one(read_matrix(in_a, p), read_matrix(in_b, p), "linalg.solve"), out, p);
  }
  out = cast_values(out, a.dtype());
  if (wants_grad(wide_a, wide_b)) {
    record(out, "LinalgSolveExBackward0", {wide_a, wide_b},
           [a = save(wide_a), x = save_output(out)](Backward& ctx, const TensorList& g) {
             const Tensor gb = linalg_solve(mt(a.get(ctx)), g[0], true);
             return TensorList{ctx.needs(0) ? neg(matmul(gb, mt(x.get(ctx)))) : Tensor(), gb};
           });
  }
  return out;
}

Tensor linalg_inv(const Tensor& a) {
  check_matrix(a, "linalg.inv", true);
  const Tensor in = in_double(a);
  Tensor out = empty(a.sizes(), Dtype::Float64);
  for (int64_t p = 0; p < batch_count(a); ++p) {
    Matrix one(a.size(-1), a.size(-1));
    for (int64_t i = 0; i < one.rows; ++i) one(i, i) = 1;
    write_matrix(solve_one(read_matrix(in, p), one, "linalg.inv"), out, p);
  }
  out = cast_values(out, a.dtype());
  if (wants_grad(a)) {
    record(out, "LinalgInvExBackward0", {a}, [y = save_output(out)](Backward& ctx, const TensorList& g) {
      const Tensor t = mt(y.get(ctx));
      return TensorList{neg(matmul(matmul(t, g[0]), t))};
    });
  }
  return out;
}

namespace {

struct Determinants {
  Tensor sign, log_abs, det;
};
Determinants determinants(const Tensor& a) {
  const Tensor in = in_double(a);
  Determinants d{empty(batch_dims(a), Dtype::Float64), empty(batch_dims(a), Dtype::Float64),
                 empty(batch_dims(a), Dtype::Float64)};
  for (int64_t p = 0; p < batch_count(a); ++p) {
    Matrix lu = read_matrix(in, p);
    std::vector<int64_t> pivots;
    double sign = factor_lu(lu, pivots), log_abs = 0, det = sign;
    for (int64_t i = 0; i < lu.rows; ++i) {
      const double u = lu(i, i);
      sign *= u > 0 ? 1 : u < 0 ? -1 : 0;
      log_abs += std::log(std::fabs(u));
      det *= u;
    }
    d.sign.data<double>()[p] = sign, d.log_abs.data<double>()[p] = log_abs, d.det.data<double>()[p] = det;
  }
  return {cast_values(d.sign, a.dtype()), cast_values(d.log_abs, a.dtype()), cast_values(d.det, a.dtype())};
}
Tensor as_matrix(const Tensor& t) { return unsqueeze(unsqueeze(t, -1), -1); }

}  // namespace

Tensor linalg_det(const Tensor& a) {
  check_matrix(a, "linalg.det", true);
  const Tensor out = determinants(a).det;
  if (wants_grad(a)) {
    record(out, "LinalgDetBackward0", {a},
           [a = save(a), det = save_output(out)](Backward& ctx, const TensorList& g) {
             return TensorList{mul(as_matrix(mul(g[0], det.get(ctx))), mt(linalg_inv(a.get(ctx))))};
           });
  }
  return out;
}

std::pair<Tensor, Tensor> linalg_slogdet(const Tensor& a) {
  check_matrix(a, "linalg.slogdet", true);
  const Determinants d = determinants(a);
  if (wants_grad(a)) {
    record_many({d.sign, d.log_abs}, "LinalgSlogdetBackward0", {a},
                [a = save(a)](Backward& ctx, const TensorList& g) {
                  const Tensor x = a.get(ctx);  // the sign's gradient is zero
                  return TensorList{g[1].defined() ? mul(as_matrix(g[1]), mt(linalg_inv(x))) : zeros_like(x)};
                });
  }
  return {d.sign, d.log_abs};
}

Tensor logdet(const Tensor& a) {
  const auto [sign, log_abs] = linalg_slogdet(a);
  return where(lt(sign, wrapped_number(0)), wrapped_number(NAN), log_abs);
}

Tensor linalg_cholesky(const Tensor& a, bool upper) {
  check_matrix(a, "linalg.cholesky", true);
  if (upper) return mt(linalg_cholesky(mt(a), false));
  const Tensor in = in_double(a);
  Tensor out = empty(a.sizes(), Dtype::Float64);
  for (int64_t p = 0; p < batch_count(a); ++p) {
    const Matrix m = read_matrix(in, p);
    Matrix l(m.rows, m.cols);
    for (int64_t j = 0; j < m.rows; ++j) {
      for (int64_t i = j; i < m.rows; ++i) {
        double sum = m(i, j);
        for (int64_t k = 0; k < j; ++k) sum -= l(i, k) * l(j, k);
        NNLIB_CHECK(i != j || sum > 0,
                    "linalg.cholesky: ", batch_count(a) > 1 ? concat("(Batch element ", p, "): ") : "",
                    "The factorization could not be completed because the input is not positive-definite "
                    "(the leading ",
                    "minor of order ", j + 1, " is not positive-definite).");
        l(i, j) = i == j ? std::sqrt(sum) : sum / l(j, j);
      }
    }
    write_matrix(l, out, p);
  }
  out = cast_values(out, a.dtype());
  if (wants_grad(a)) {
    // S = L^-T (tril of L^T g with half its diagonal) L^-1; gA = (S + S^T) / 2.
    record(out, "LinalgCholeskyExBackward0", {a}, [l = save_output(out)](Backward& ctx, const TensorList& g) {
      const Tensor L = l.get(ctx), product = matmul(mt(L), g[0]);
      const Tensor half = sub(tril(product), diag_embed(diagonal(product, 0, -2, -1)) * Scalar(0.5));
      const Tensor inverse = linalg_inv(L), s = matmul(matmul(mt(inverse), half), inverse);
      return TensorList{add(s, mt(s)) * Scalar(0.5)};
    });
  }
  return out;
}

Tensor linalg_matrix_power(const Tensor& a, int64_t n) {
  NNLIB_CHECK(a.dim() >= 2 && a.size(-1) == a.size(-2),
              "linalg.matrix_power: A must be batches of square matrices, got sizes ", a.sizes());
  if (n == 0) {
    const Tensor identity = clone(expand(eye(a.size(-1), a.size(-1), a.dtype()), a.sizes()));
    if (wants_grad(a)) {
      record(identity, "LinalgMatrixPowerBackward0", {a},
             [](Backward&, const TensorList& g) { return TensorList{zeros_like(g[0])}; });
    }
    return identity;
  }
  Tensor power = n < 0 ? linalg_inv(a) : a, result;
  for (uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n; left > 0; left /= 2) {  // binary powers
    if (left % 2) result = result.defined() ? matmul(result, power) : power;
    if (left > 1) power = matmul(power, power);
  }
  return result;
}

}  // namespace nnlib::ops
