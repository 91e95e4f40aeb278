// Eigenvalues of symmetric matrices by tridiagonal ones, singular values by Jacobi's rotations. G. Golub and
// C. Van Loan, "Matrix Computations", 4th edition, sections 8.3 and 8.6; gradients: M. Giles, "An extended
// collection of matrix derivative results", 2008.
#include <algorithm>
#include <cmath>
#include <limits>
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
double dot(int64_t n, const double* x, const double* y) {
  double part[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; k++) part[k] += x[i + k] * y[i + k];
  for (; i < n; i++) part[0] += x[i] * y[i];
  return (part[0] + part[1]) + (part[2] + part[3]);
}
// x -= s y
void subtract(int64_t n, double s, const double* y, double* x) {
  for (int64_t i = 0; i < n; i++) x[i] -= s * y[i];
}
// (x, y) = (c x - s y, s x + c y)
void rotate(int64_t n, double c, double s, double* x, double* y) {
  for (int64_t i = 0; i < n; i++) {
    const double u = x[i], v = y[i];
    x[i] = c * u - s * v;
    y[i] = s * u + c * v;
  }
}

// Q^T A Q = T by Householder's reflections: a is symmetric (n x n, overwritten), d and e get T's diagonal and
// what is below it (n - 1 values and a 0), q the rows of Q^T.
void tridiagonalise(int64_t n, std::vector<double>& a, std::vector<double>& d, std::vector<double>& e,
                    std::vector<double>& q) {
  std::vector<double> tau((size_t)n, 0), p((size_t)n);
  for (int64_t k = 0; k + 1 < n; k++) {
    const int64_t m = n - k - 1;
    double* const v = a.data() + k * n + k + 1;  // row k right of the diagonal: the column below it, too
    const double tail = dot(m - 1, v + 1, v + 1), alpha = v[0];
    e[k] = alpha;
    if (tail == 0) continue;
    const double beta = -std::copysign(std::sqrt(alpha * alpha + tail), alpha);
    e[k] = beta;
    tau[k] = (beta - alpha) / beta;
    for (int64_t i = 1; i < m; i++) v[i] /= alpha - beta;
    v[0] = 1;
    double* const rest = a.data() + (k + 1) * n + k + 1;
    for (int64_t i = 0; i < m; i++) p[i] = tau[k] * dot(m, rest + i * n, v);
    subtract(m, tau[k] / 2 * dot(m, p.data(), v), v, p.data());
    for (int64_t i = 0; i < m; i++) {
      subtract(m, v[i], p.data(), rest + i * n);
      subtract(m, p[i], v, rest + i * n);
    }
  }
  for (int64_t k = 0; k < n; k++) d[k] = a[k * n + k];
  q.assign((size_t)(n * n), 0);
  for (int64_t i = 0; i < n; i++) q[i * n + i] = 1;
  for (int64_t k = n - 2; k >= 0; k--) {
    const int64_t m = n - k - 1;
    const double* const v = a.data() + k * n + k + 1;
    for (int64_t i = k + 1; i < n && tau[k] != 0; i++)
      subtract(m, tau[k] * dot(m, q.data() + i * n + k + 1, v), v, q.data() + i * n + k + 1);
  }
}

// Eigenvalues of a tridiagonal matrix into d by implicit QL steps; q's rows are turned along, into
// eigenvectors.
void diagonalise(int64_t n, std::vector<double>& d, std::vector<double>& e, std::vector<double>& q) {
  constexpr int kSteps = 60;
  for (int64_t l = 0; l < n; l++) {
    for (int step = 0; step < kSteps; step++) {
      int64_t m = l;
      for (; m + 1 < n; m++)
        if (std::abs(e[m]) <= std::numeric_limits<double>::epsilon() * (std::abs(d[m]) + std::abs(d[m + 1])))
          break;
      if (m == l) break;
      double g = (d[l + 1] - d[l]) / (2 * e[l]);
      g = d[m] - d[l] + e[l] / (g + std::copysign(std::hypot(g, 1.0), g));
      if (g != g) break;  // what is not a number does not converge
      double s = 1, c = 1, p = 0;
      int64_t i = m - 1;
      for (; i >= l; i--) {
        const double f = s * e[i], b = c * e[i], r = std::hypot(f, g);
        e[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const double t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotate(n, c, s, q.data() + i * n, q.data() + (i + 1) * n);
      }
      if (i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
}

// The eigenvalues d of a symmetric matrix, and its eigenvectors as rows of q.
void symmetric_eigen(int64_t n, std::vector<double>& a, std::vector<double>& d, std::vector<double>& q) {
  std::vector<double> e((size_t)n, 0);
  d.resize((size_t)n);
  tridiagonalise(n, a, d, e, q);
  diagonalise(n, d, e, q);
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
    std::vector<double> s((size_t)(n * n)), d, v;
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++)
        s[i * n + j] = (double)((i >= j) == lower ? p[i * n + j] : p[j * n + i]);
    symmetric_eigen(n, s, d, v);
    std::vector<int64_t> order((size_t)n);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return d[i] < d[j]; });
    for (int64_t k = 0; k < n; k++) {
      ((T*)values.raw())[m * n + k] = (T)d[order[k]];
      for (int64_t i = 0; i < n; i++) ((T*)vectors.raw())[m * n * n + i * n + k] = (T)v[order[k] * n + i];
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

// One-sided Jacobi (Hestenes, 1958) on the columns of an m by n matrix, m >= n, each of which lies together:
// a's become U S, v the rotations.
void orthogonalise(std::vector<double>& a, std::vector<double>& v, int64_t m, int64_t n) {
  v.assign((size_t)(n * n), 0);
  for (int64_t i = 0; i < n; i++) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 60; sweep++) {
    bool done = true;
    for (int64_t p = 0; p < n; p++)
      for (int64_t q = p + 1; q < n; q++) {
        double *const left = a.data() + p * m, *const right = a.data() + q * m;
        const double x = dot(m, left, left), y = dot(m, right, right), z = dot(m, left, right);
        if (std::abs(z) <= 1e-15 * std::sqrt(x * y) || z == 0) continue;
        done = false;
        const double zeta = (y - x) / (2 * z),
                     t = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        rotate(m, c, s, left, right);
        rotate(n, c, s, v.data() + p * n, v.data() + q * n);
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

// U (m by m), S (k) and V (n by n) of an m by n matrix, m >= n, whose columns lie together; all in double.
void svd_tall(std::vector<double> a, int64_t m, int64_t n, std::vector<double>* u, std::vector<double>* s,
              std::vector<double>* v) {
  std::vector<double> w;
  orthogonalise(a, w, m, n);
  std::vector<double> length((size_t)n);
  for (int64_t j = 0; j < n; j++) {
    length[j] = std::sqrt(dot(m, a.data() + j * m, a.data() + j * m));
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
    for (int64_t i = 0; i < n; i++) (*v)[i * n + k] = w[j * n + i];
    for (int64_t i = 0; i < m && length[j] > 0; i++) q[i * m + k] = a[j * m + i] / length[j];
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
      for (int64_t j = 0; j < n; j++) x[wide ? i * rows + j : j * rows + i] = (double)p[i * n + j];
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
