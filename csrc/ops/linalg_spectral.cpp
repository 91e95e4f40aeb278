// Eigenvalues of symmetric matrices and singular values, by Jacobi's rotations. G. Golub and C. Van Loan,
// "Matrix Computations", 4th edition, sections 8.5 and 8.6; gradients: M. Giles, "An extended collection of
// matrix derivative results", 2008.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/linalg.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

void check_matrix(const Tensor& a, const char* name) {
  NNLIB_CHECK(a.dim() >= 2, name, ": The input tensor A must have at least 2 dimensions.");
  NNLIB_CHECK(a.dtype() == Dtype::Float32 || a.dtype() == Dtype::Float64, name,
              ": Expected a floating point tensor of single or double precision as input. Got ",
              dtype_legacy_name(a.dtype()));
}
Dims batch_of(const Tensor& a) { return Dims(a.sizes().data(), a.sizes().size() - 2); }
Dims with(Dims batch, std::initializer_list<int64_t> rest) {
  for (int64_t n : rest) batch.push_back(n);
  return batch;
}
// A contiguous copy of its own, without history.
Tensor working_copy(const Tensor& a) {
  Tensor r = empty(a.sizes(), a.dtype());
  copy_values(r, a);
  return r;
}

// f(matrix number, TypeTag) for each matrix of a batch.
template <class F>
void for_matrices(const Tensor& a, F f) {
  const int64_t per = a.size(-1) * a.size(-2), n = count(batch_of(a));
  dispatch_floating(a.dtype(), "linalg", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>)
      parallel_for(0, n, std::max<int64_t>(1, 4096 / std::max<int64_t>(per, 1)), [&](int64_t b, int64_t e) {
        for (int64_t i = b; i < e; i++) f(i, tag);
      });
  });
}

Tensor mT(const Tensor& a) { return transpose(a, -2, -1); }
// Rotations until what is off the diagonal is gone: a is symmetric, v gets the eigenvectors as columns.
void jacobi(std::vector<double>& a, std::vector<double>& v, int64_t n) {
  v.assign((size_t)(n * n), 0);
  for (int64_t i = 0; i < n; i++) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 60; sweep++) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++) (i == j ? all : off) += a[i * n + j] * a[i * n + j];
    if (off <= 1e-32 * all || off == 0) break;
    for (int64_t p = 0; p < n; p++)
      for (int64_t q = p + 1; q < n; q++) {
        if (a[p * n + q] == 0) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (int64_t k = 0; k < n; k++) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (int64_t k = 0; k < n; k++) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
        for (int64_t k = 0; k < n; k++) {
          const double x = v[k * n + p], y = v[k * n + q];
          v[k * n + p] = c * x - s * y;
          v[k * n + q] = s * x + c * y;
        }
      }
  }
}
}  // namespace

std::pair<Tensor, Tensor> linalg_eigh(const Tensor& a, const std::string& uplo) {
  check_matrix(a, "linalg.eigh");
  NNLIB_CHECK(a.size(-1) == a.size(-2), "linalg.eigh: A must be batches of square matrices, but they are ",
              a.size(-2), " by ", a.size(-1), " matrices");
  NNLIB_CHECK(uplo == "L" || uplo == "U" || uplo == "l" || uplo == "u",
              "Expected UPLO argument to be 'L' or 'U', but got ", uplo);
  const bool lower = uplo == "L" || uplo == "l";
  const int64_t n = a.size(-1);
  Tensor in = working_copy(a), values = empty(with(batch_of(a), {n}), a.dtype()),
         vectors = empty(a.sizes(), a.dtype());
  for_matrices(in, [&](int64_t m, auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = (const T*)in.raw() + m * n * n;
    std::vector<double> s((size_t)(n * n)), v;
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++)
        s[i * n + j] = (double)((i >= j) == lower ? p[i * n + j] : p[j * n + i]);
    jacobi(s, v, n);
    std::vector<int64_t> order((size_t)n);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return s[i * n + i] < s[j * n + j]; });
    for (int64_t k = 0; k < n; k++) {
      ((T*)values.raw())[m * n + k] = (T)s[order[k] * n + order[k]];
      for (int64_t i = 0; i < n; i++) ((T*)vectors.raw())[m * n * n + i * n + k] = (T)v[i * n + order[k]];
    }
  });
  if (wants_grad(a))
    record_many({values, vectors}, "LinalgEighBackward0", {a},
                [l = save(values), v = save(vectors)](Backward& ctx, const TensorList& g) {
                  const Tensor L = l.get(ctx), V = v.get(ctx);
                  Tensor inner = g[0].defined() ? diag_embed(g[0]) : Tensor();
                  if (g[1].defined()) {
                    Tensor gap = unsqueeze(L, -2) - unsqueeze(L, -1);
                    gap = gap + diag_embed(ones_like(L));  // the diagonal takes no part
                    Tensor w = matmul(mT(V), g[1]) / gap;
                    w = w - diag_embed(diagonal(w, 0, -2, -1));
                    inner = inner.defined() ? inner + w : w;
                  }
                  return TensorList{matmul(matmul(V, inner), mT(V))};
                });
  return {values, vectors};
}

namespace {

// One-sided Jacobi (Hestenes, 1958) on the columns of an m by n matrix, m >= n: columns of a become U S, v
// the rotations.
void orthogonalise(std::vector<double>& a, std::vector<double>& v, int64_t m, int64_t n) {
  v.assign((size_t)(n * n), 0);
  for (int64_t i = 0; i < n; i++) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 60; sweep++) {
    bool done = true;
    for (int64_t p = 0; p < n; p++)
      for (int64_t q = p + 1; q < n; q++) {
        double x = 0, y = 0, z = 0;
        for (int64_t i = 0; i < m; i++) {
          x += a[i * n + p] * a[i * n + p];
          y += a[i * n + q] * a[i * n + q];
          z += a[i * n + p] * a[i * n + q];
        }
        if (std::abs(z) <= 1e-15 * std::sqrt(x * y) || z == 0) continue;
        done = false;
        const double zeta = (y - x) / (2 * z),
                     t = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        auto turn = [&](std::vector<double>& w, int64_t rows) {
          for (int64_t i = 0; i < rows; i++) {
            const double u = w[i * n + p], b = w[i * n + q];
            w[i * n + p] = c * u - s * b;
            w[i * n + q] = s * u + c * b;
          }
        };
        turn(a, m);
        turn(v, n);
      }
    if (done) break;
  }
}

// Column k of q becomes a unit vector orthogonal to the others: of the axes, what Gram and Schmidt leave of
// the one that lies least in them.
void complete_column(std::vector<double>& q, int64_t m, int64_t k) {
  int64_t axis = 0;
  double least = 2;
  for (int64_t i = 0; i < m; i++) {
    double inside = 0;
    for (int64_t j = 0; j < m; j++) inside += j == k ? 0 : q[i * m + j] * q[i * m + j];
    if (inside < least) {
      least = inside;
      axis = i;
    }
  }
  for (int64_t i = 0; i < m; i++) q[i * m + k] = i == axis;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t j = 0; j < m; j++) {
      if (j == k) continue;
      double dot = 0;
      for (int64_t i = 0; i < m; i++) dot += q[i * m + j] * q[i * m + k];
      for (int64_t i = 0; i < m; i++) q[i * m + k] -= dot * q[i * m + j];
    }
  double length = 0;
  for (int64_t i = 0; i < m; i++) length += q[i * m + k] * q[i * m + k];
  for (int64_t i = 0; i < m; i++) q[i * m + k] /= std::sqrt(length);
}

// U (m by m), S (k) and V (n by n) of an m by n matrix, m >= n, all in double.
void svd_tall(std::vector<double> a, int64_t m, int64_t n, std::vector<double>* u, std::vector<double>* s,
              std::vector<double>* v) {
  std::vector<double> w;
  orthogonalise(a, w, m, n);
  std::vector<double> length((size_t)n);
  for (int64_t j = 0; j < n; j++) {
    double x = 0;
    for (int64_t i = 0; i < m; i++) x += a[i * n + j] * a[i * n + j];
    length[j] = std::sqrt(x);
  }
  std::vector<int64_t> order((size_t)n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return length[i] > length[j]; });
  s->resize((size_t)n);
  v->resize((size_t)(n * n));
  std::vector<double> q((size_t)(m * m), 0);
  for (int64_t k = 0; k < n; k++) {
    const int64_t j = order[k];
    (*s)[k] = length[j];
    for (int64_t i = 0; i < n; i++) (*v)[i * n + k] = w[i * n + j];
    for (int64_t i = 0; i < m && length[j] > 0; i++) q[i * m + k] = a[i * n + j] / length[j];
  }
  for (int64_t k = 0; k < m; k++)
    if (k >= n || (*s)[k] == 0) complete_column(q, m, k);
  *u = std::move(q);
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> linalg_svd(const Tensor& a, bool full_matrices) {
  check_matrix(a, "linalg.svd");
  const int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  const int64_t uc = full_matrices ? m : k, vr = full_matrices ? n : k;
  Tensor in = working_copy(a), U = empty(with(batch_of(a), {m, uc}), a.dtype());
  Tensor S = empty(with(batch_of(a), {k}), a.dtype()), Vh = empty(with(batch_of(a), {vr, n}), a.dtype());
  for_matrices(in, [&](int64_t b, auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = (const T*)in.raw() + b * m * n;
    const bool wide = m < n;
    const int64_t rows = std::max(m, n), cols = k;
    std::vector<double> x((size_t)(rows * cols)), left, s, right;
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) x[wide ? j * cols + i : i * cols + j] = (double)p[i * n + j];
    svd_tall(x, rows, cols, &left, &s, &right);
    if (wide) std::swap(left, right);
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < uc; j++) ((T*)U.raw())[(b * m + i) * uc + j] = (T)left[i * m + j];
    for (int64_t j = 0; j < k; j++) ((T*)S.raw())[b * k + j] = (T)s[j];
    for (int64_t i = 0; i < vr; i++)
      for (int64_t j = 0; j < n; j++) ((T*)Vh.raw())[(b * vr + i) * n + j] = (T)right[j * n + i];
  });
  if (wants_grad(a))
    record_many({U, S, Vh}, "LinalgSvdBackward0", {a},
                [u = save(U), s = save(S), v = save(Vh), k](Backward& ctx, const TensorList& g) {
                  const Tensor Uk = narrow(u.get(ctx), -1, 0, k), Sk = s.get(ctx),
                               V = mT(narrow(v.get(ctx), -2, 0, k));
                  const Tensor s_row = unsqueeze(Sk, -2);
                  Tensor inner = g[1].defined() ? diag_embed(g[1]) : Tensor(), total;
                  auto plus = [](const Tensor& x, const Tensor& y) { return x.defined() ? x + y : y; };
                  if (g[0].defined() || g[2].defined()) {
                    Tensor square = Sk * Sk;
                    Tensor gap = unsqueeze(square, -2) - unsqueeze(square, -1) + diag_embed(ones_like(Sk));
                    if (g[0].defined()) {
                      const Tensor gu = narrow(g[0], -1, 0, k), w = matmul(mT(Uk), gu);
                      inner = plus(inner, ((w - mT(w)) / gap) * s_row);
                      total = matmul((gu - matmul(Uk, w)) / s_row, mT(V));
                    }
                    if (g[2].defined()) {
                      const Tensor gv = mT(narrow(g[2], -2, 0, k)), w = matmul(mT(V), gv);
                      inner = plus(inner, unsqueeze(Sk, -1) * ((w - mT(w)) / gap));
                      total = plus(total, matmul(Uk, mT((gv - matmul(V, w)) / s_row)));
                    }
                  }
                  return TensorList{plus(total, matmul(matmul(Uk, inner), mT(V)))};
                });
  return {U, S, Vh};
}

Tensor linalg_svdvals(const Tensor& a) { return std::get<1>(linalg_svd(a, false)); }

}  // namespace nnlib::ops
