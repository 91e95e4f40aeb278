#include "ops/distance.h"

#include <cmath>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/composite.h"
#include "ops/creation.h"
#include "ops/drivers/scratch.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/iterator.h"
#include "ops/linear.h"
#include "ops/pick.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

Tensor row_norm(const Tensor& x, double p, int64_t dim, bool keepdim) {
  return vector_norm(x, Scalar(p), Dims{dim}, keepdim, std::nullopt);
}

// Held above eps by a step that has no gradient of its own.
Tensor held_above(const Tensor& norm, double eps) {
  Tensor lift;
  {
    NoGradGuard guard;
    lift = clamp(norm, Scalar(eps), std::nullopt) - norm;
  }
  return norm + lift;
}

template <class C>
C distance_of(const C* a, const C* b, int64_t m, double p) {
  C s = 0;
  if (p == 2) {
    for (int64_t i = 0; i < m; i++) s += (a[i] - b[i]) * (a[i] - b[i]);
    return std::sqrt(s);
  }
  for (int64_t i = 0; i < m; i++) {
    const C d = std::abs(a[i] - b[i]);
    if (p == 0)
      s += d != 0;
    else if (p == 1)
      s += d;
    else if (std::isinf(p))
      s = d > s || d != d ? d : s;
    else
      s += std::pow(d, (C)p);
  }
  return p == 0 || p == 1 || std::isinf(p) ? s : std::pow(s, (C)(1 / p));
}

// to += g times the derivative of |a - b|_p (= dist) by a; where it has none, 0 is taken.
template <class C>
void add_gradient(const C* a, const C* b, int64_t m, double p, C dist, C g, C* to) {
  if (p == 0 || dist == 0) return;
  const auto each = [&](auto slope) {
    for (int64_t i = 0; i < m; i++) {
      const C d = a[i] - b[i];
      to[i] += slope(d, C((d > 0) - (d < 0)));
    }
  };
  if (p == 1)
    each([=](C, C sign) { return g * sign; });
  else if (p == 2)
    each([=](C d, C) { return g * d / dist; });
  else if (std::isinf(p))
    each([=](C d, C sign) { return std::abs(d) == dist ? g * sign : C(0); });
  else
    each([=](C d, C sign) { return d == 0 ? C(0) : g * sign * std::pow(std::abs(d) / dist, (C)(p - 1)); });
}

void check_p(const char* name, double p) {
  NNLIB_CHECK(p >= 0, name, " only supports non-negative p values, got ", p);
}
// 16-bit floats are computed in float32.
Dtype distance_dtype(Dtype d, const char* name) {
  NNLIB_CHECK(is_floating(d), name, " only supports floating-point dtypes, got: ", dtype_name(d));
  return d == Dtype::Float64 ? d : Dtype::Float32;
}
Tensor prepared(const Tensor& t, Dtype d) { return contiguous_values(cast_values(t, d)); }
template <class F>
void dispatch_distance(Dtype d, F f) {
  d == Dtype::Float64 ? f(TypeTag<double>{}) : f(TypeTag<float>{});
}
constexpr int64_t kPairs = 16384;  // values of pairs in a chunk

// out[j] = |a - column j of b|_p for p = 0, 1, 2 or infinity, a having m values and b's rows lying r apart.
template <class C>
void distances_of_columns(const C* a, const C* b, int64_t m, int64_t r, int64_t columns, double p, C* out) {
  const auto& k = kernels::table();
  pick<C>(k.distances_f32, k.distances_f64)(std::isinf(p) ? 3 : (int64_t)p, columns, m, a, b, r, out);
  if (p == 2) pick<C>(k.sqrt_f32, k.sqrt_f64)(columns, out, out);
}

bool has_columns(double p) { return p == 0 || p == 1 || p == 2 || std::isinf(p); }

// The square of a distance that is this small a part of the squares of both points lost too many digits in
// their difference.
constexpr double kLostPart = 0.125;

// Whether |a|^2 + |b|^2 - 2 a b will do for most pairs: for most of some, spread over all.
template <class C>
bool products_serve(const Tensor& a, const Tensor& b) {
  constexpr int64_t kTried = 16;
  const int64_t rows = a.size(0) * a.size(1), others = b.size(0) * b.size(1), m = a.size(2);
  int64_t lost = 0;
  for (int64_t k = 0; k < kTried; k++) {
    const int64_t i = k * (rows - 1) / (kTried - 1), j = (k * 7 + 3) % kTried * (others - 1) / (kTried - 1);
    const C *x = a.data<C>() + i * m, *y = b.data<C>() + j * m;
    double apart = 0, squares = 0;
    for (int64_t c = 0; c < m; c++) {
      apart += double(x[c] - y[c]) * double(x[c] - y[c]);
      squares += double(x[c]) * x[c] + double(y[c]) * y[c];
    }
    lost += !(apart > 2 * kLostPart * squares);
  }
  return lost <= kTried / 4;
}

// Euclidean distances by a product of matrices; pairs that are too close for it, and what is not finite, one
// by one.
template <class C>
Tensor distances_by_products(const Tensor& a, const Tensor& b) {
  const int64_t P = a.size(1), R = b.size(1), M = a.size(2);
  NoGradGuard guard;
  const Tensor out = bmm(a, transpose(b, 1, 2));
  const Tensor of_a = sum(square(a), Dims{-1}, false), of_b = sum(square(b), Dims{-1}, false);
  parallel_for(0, a.size(0) * P, std::max<int64_t>(1, kPairs / R), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      const C own = of_a.data<C>()[i], *other = of_b.data<C>() + i / P * R;
      C* const to = out.data<C>() + i * R;
      int lost = 0;
      for (int64_t j = 0; j < R; j++) {
        const C squares = own + other[j], apart = squares - 2 * to[j];
        lost |= !(apart > C(kLostPart) * squares);
        to[j] = apart;
      }
      for (int64_t j = 0; lost && j < R; j++) {
        if (to[j] > C(kLostPart) * (own + other[j])) continue;
        const C *x = a.data<C>() + i * M, *y = b.data<C>() + (i / P * R + j) * M;
        C sum = 0;
        for (int64_t c = 0; c < M; c++) sum += (x[c] - y[c]) * (x[c] - y[c]);
        to[j] = sum;
      }
      pick<C>(kernels::table().sqrt_f32, kernels::table().sqrt_f64)(R, to, to);
    }
  });
  return out;
}

// Squares of float32 distances of some points to columns: to[i][j - first] for first <= j < last.
void squares_to_columns(int64_t rows, const float* from, int64_t m, const float* turned, int64_t r,
                        int64_t first, int64_t last, float* to, int64_t ld) {
  // Columns whose values stay in the second-level cache.
  const int64_t columns = std::max<int64_t>(64, 32768 / std::max<int64_t>(1, m) / 16 * 16);
  for (int64_t j = first; j < last; j += columns)
    kernels::table().square_distances_f32(rows, std::min(columns, last - j), m, from, turned + j, r,
                                          to + j - first, ld);
}
constexpr int64_t kStrip = 32;  // points that meet the columns together

// a (B, P, M), b (B, R, M). `products`: they may be used.
Tensor cdist_values(const Tensor& a, const Tensor& b, double p, bool products) {
  const int64_t P = a.size(1), R = b.size(1), M = a.size(2);
  if (p == 2 && products && P >= 16 && R >= 16 && a.size(0) > 0) {
    if (a.dtype() == Dtype::Float64 ? M >= 4 && products_serve<double>(a, b)
                                    : M >= 32 && products_serve<float>(a, b))
      return a.dtype() == Dtype::Float64 ? distances_by_products<double>(a, b)
                                         : distances_by_products<float>(a, b);
  }
  Tensor out = empty({a.size(0), P, R}, a.dtype());
  const bool by_columns = R >= 8 && has_columns(p);
  Tensor turned;
  if (by_columns) {
    turned = empty({b.size(0), M, R}, b.dtype());
    copy_values(turned, nnlib::alias(b, {b.size(0), M, R}, {R * M, 1, M}, b.storage_offset()));
  }
  if (by_columns && p == 2 && a.dtype() == Dtype::Float32) {
    const int64_t strips = (P + kStrip - 1) / kStrip;
    parallel_for(0, a.size(0) * strips, 1, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        const int64_t batch = t / strips, i0 = t % strips * kStrip, rows = std::min(kStrip, P - i0);
        float* to = out.data<float>() + (batch * P + i0) * R;
        squares_to_columns(rows, a.data<float>() + (batch * P + i0) * M, M,
                           turned.data<float>() + batch * R * M, R, 0, R, to, R);
        kernels::table().sqrt_f32(rows * R, to, to);
      }
    });
    return out;
  }
  dispatch_distance(a.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    parallel_for(0, a.size(0) * P, std::max<int64_t>(1, kPairs / std::max<int64_t>(1, R * M)),
                 [&](int64_t first, int64_t end) {
                   constexpr int64_t kColumns = 256;  // sums that stay in the first-level cache
                   for (int64_t i = first; i < end; i++) {
                     const C* row = a.data<C>() + i * M;
                     C* to = out.data<C>() + i * R;
                     if (by_columns) {
                       for (int64_t j = 0; j < R; j += kColumns)
                         distances_of_columns(row, turned.data<C>() + i / P * R * M + j, M, R,
                                              std::min(kColumns, R - j), p, to + j);
                       continue;
                     }
                     for (int64_t j = 0; j < R; j++)
                       to[j] = distance_of(row, b.data<C>() + (i / P * R + j) * M, M, p);
                   }
                 });
  });
  return out;
}

// For p = 2, weights w (B, P, R) = g / dist, 0 where the distance is: the
// gradient of a (B, P, M) is the sum over j of w_ij (a_i - b_j), a matrix
// product.
Tensor euclidean_weights(const Tensor& dist, const Tensor& grad) {
  return masked_fill(grad / dist, eq(dist, wrapped_number(0)), wrapped_number(0));
}
Tensor euclidean_gradient(const Tensor& w, const Tensor& a, const Tensor& b) {
  return a * sum(w, Dims{-1}, true) - bmm(w, b);
}

// The gradient of a.
Tensor cdist_gradient(const Tensor& a, const Tensor& b, const Tensor& dist, const Tensor& grad, double p,
                      bool transposed) {
  const int64_t P = a.size(1), R = b.size(1), M = a.size(2);
  Tensor out = empty(a.sizes(), a.dtype());
  if (p == 1 || std::isinf(p)) {
    // All pairs of a value of a side by side.
    const Tensor turned = contiguous_values(transpose(b, 1, 2));
    const Tensor far = transposed ? contiguous_values(transpose(dist, 1, 2)) : dist;
    const Tensor slopes = transposed ? contiguous_values(transpose(grad, 1, 2)) : grad;
    dispatch_distance(a.dtype(), [&](auto tag) {
      using C = typename decltype(tag)::type;
      const auto sum = pick<C>(kernels::table().distance_slopes_f32, kernels::table().distance_slopes_f64);
      parallel_for(0, a.size(0) * P, std::max<int64_t>(1, kPairs / std::max<int64_t>(1, R * M)),
                   [&](int64_t first, int64_t end) {
                     for (int64_t i = first; i < end; i++)
                       for (int64_t c = 0; c < M; c++)
                         out.data<C>()[i * M + c] =
                             sum(p != 1, R, a.data<C>()[i * M + c], turned.data<C>() + (i / P * M + c) * R,
                                 far.data<C>() + i * R, slopes.data<C>() + i * R);
                   });
    });
    return out;
  }
  fill_values(out, 0);
  dispatch_distance(a.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    parallel_for(0, a.size(0) * P, std::max<int64_t>(1, kPairs / std::max<int64_t>(1, R * M)),
                 [&](int64_t first, int64_t end) {
                   for (int64_t i = first; i < end; i++) {
                     for (int64_t j = 0; j < R; j++) {
                       const int64_t at = transposed ? (i / P * R + j) * P + i % P : i * R + j;
                       add_gradient(a.data<C>() + i * M, b.data<C>() + (i / P * R + j) * M, M, p,
                                    dist.data<C>()[at], grad.data<C>()[at], out.data<C>() + i * M);
                     }
                   }
                 });
  });
  return out;
}

Tensor cdist_batch(const Tensor& x1, const Tensor& x2, double p, bool products) {
  const Dtype d = distance_dtype(x1.dtype(), "cdist");
  const Tensor a = prepared(x1, d), b = prepared(x2, d), dist = cdist_values(a, b, p, products);
  Tensor out = cast_values(dist, x1.dtype());
  if (wants_grad(x1, x2)) {
    record(
        out, "CdistBackward0", {x1, x2},
        [x1 = save(x1), x2 = save(x2), result = save_output(out), p, d](Backward& ctx, const TensorList& g) {
          const Tensor v1 = x1.get(ctx), v2 = x2.get(ctx);
          if (GradMode::enabled()) {
            return composite_gradients(ctx, {v1, v2}, g, [p](const TensorList& in) {
              return TensorList{row_norm(unsqueeze(in[0], 2) - unsqueeze(in[1], 1), p, -1, false)};
            });
          }
          const Tensor a = prepared(v1, d), b = prepared(v2, d), gv = prepared(g[0], d);
          const Tensor dist = prepared(result.get(ctx), d);
          if (p == 2) {
            const Tensor w = euclidean_weights(dist, gv);
            return TensorList{ctx.needs(0) ? euclidean_gradient(w, a, b) : Tensor(),
                              ctx.needs(1) ? euclidean_gradient(transpose(w, 1, 2), b, a) : Tensor()};
          }
          return TensorList{ctx.needs(0) ? cdist_gradient(a, b, dist, gv, p, false) : Tensor(),
                            ctx.needs(1) ? cdist_gradient(b, a, dist, gv, p, true) : Tensor()};
        });
  }
  return out;
}

int64_t pair_index(int64_t i, int64_t j, int64_t n) { return i * n - i * (i + 1) / 2 + j - i - 1; }

Tensor pdist_formula(const Tensor& x, double p) {
  const Tensor pairs = triu_indices(x.size(0), x.size(0), 1, Dtype::Int64);
  return row_norm(index_select(x, 0, select(pairs, 0, 0)) - index_select(x, 0, select(pairs, 0, 1)), p, -1,
                  false);
}

}  // namespace

Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, int64_t dim, double eps) {
  const Dtype d = result_type(x1, x2);
  NNLIB_CHECK(is_floating(d), "expected common dtype to be floating point, yet common dtype is ",
              dtype_legacy_name(d));
  const Dims sizes = broadcast_shapes(x1.sizes(), x2.sizes());
  const Tensor a = expand(cast(x1, d), sizes), b = expand(cast(x2, d), sizes);
  const Tensor na = held_above(row_norm(a, 2, dim, true), eps),
               nb = held_above(row_norm(b, 2, dim, true), eps);
  return sum((a / na) * (b / nb), Dims{dim}, false);
}

Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p, double eps, bool keepdim) {
  return row_norm(x1 - x2 + Scalar(eps), p, -1, keepdim);
}

Tensor cdist(const Tensor& x1, const Tensor& x2, double p, const std::optional<std::string>& compute_mode) {
  NNLIB_CHECK_VALUE(!compute_mode || *compute_mode == "use_mm_for_euclid_dist_if_necessary" ||
                        *compute_mode == "use_mm_for_euclid_dist" ||
                        *compute_mode == "donot_use_mm_for_euclid_dist",
                    compute_mode.value_or(""), " is not a valid value for compute_mode");
  check_p("cdist", p);
  NNLIB_CHECK(x1.dim() >= 2, "cdist only supports at least 2D tensors, X1 got: ", x1.dim(), "D");
  NNLIB_CHECK(x2.dim() >= 2, "cdist only supports at least 2D tensors, X2 got: ", x2.dim(), "D");
  NNLIB_CHECK(x1.size(-1) == x2.size(-1), "X1 and X2 must have the same number of columns. X1: ", x1.size(-1),
              " X2: ", x2.size(-1));
  const Dtype d = promote(x1.dtype(), x2.dtype());
  const Dims batch = broadcast_shapes(Dims(x1.sizes().data(), x1.sizes().size() - 2),
                                      Dims(x2.sizes().data(), x2.sizes().size() - 2));
  auto flat = [&](const Tensor& x) {
    Dims full = batch;
    full.push_back(x.size(-2));
    full.push_back(x.size(-1));
    return reshape(expand(cast(x, d), full), {count(batch), x.size(-2), x.size(-1)});
  };
  const bool many = x1.size(-2) > 25 || x2.size(-2) > 25;
  const bool products = !compute_mode || *compute_mode == "use_mm_for_euclid_dist_if_necessary"
                            ? many
                            : *compute_mode == "use_mm_for_euclid_dist";
  Dims sizes = batch;
  sizes.push_back(x1.size(-2));
  sizes.push_back(x2.size(-2));
  return reshape(cdist_batch(flat(x1), flat(x2), p, products), sizes);
}

Tensor pdist(const Tensor& input, double p) {
  check_p("pdist", p);
  NNLIB_CHECK(input.dim() == 2, "pdist only supports 2D tensors, got: ", input.dim(), "D");
  const Dtype d = distance_dtype(input.dtype(), "pdist");
  const int64_t n = input.size(0), m = input.size(1);
  const Tensor x = prepared(input, d), dist = empty({n > 1 ? n * (n - 1) / 2 : 0}, d);
  Tensor turned;
  if (has_columns(p)) {
    turned = empty({m, n}, d);
    copy_values(turned, nnlib::alias(x, {m, n}, {1, m}, x.storage_offset()));
  }
  if (p == 2 && d == Dtype::Float32) {
    parallel_for(0, (n + kStrip - 1) / kStrip, 1, [&](int64_t first, int64_t end) {
      float* const part = drivers::scratch<drivers::Scratch::Rows, float>(kStrip * n);
      for (int64_t strip = first; strip < end; strip++) {
        const int64_t i0 = strip * kStrip, rows = std::min(kStrip, n - i0), ld = n - i0;
        squares_to_columns(rows, x.data<float>() + i0 * m, m, turned.data<float>(), n, i0, n, part, ld);
        for (int64_t i = i0; i < i0 + rows && i + 1 < n; i++)
          kernels::table().sqrt_f32(n - i - 1, part + (i - i0) * ld + (i + 1 - i0),
                                    dist.data<float>() + pair_index(i, i + 1, n));
      }
    });
  } else
    dispatch_distance(d, [&](auto tag) {
      using C = typename decltype(tag)::type;
      parallel_for(
          0, n, std::max<int64_t>(1, kPairs / std::max<int64_t>(1, n * m)), [&](int64_t first, int64_t end) {
            constexpr int64_t kColumns = 256;
            for (int64_t i = first; i < end; i++) {
              const C* row = x.data<C>() + i * m;
              C* to = dist.data<C>() + pair_index(i, i + 1, n) - (i + 1);
              if (turned.defined())
                for (int64_t j = i + 1; j < n; j += kColumns)
                  distances_of_columns(row, turned.data<C>() + j, m, n, std::min(kColumns, n - j), p, to + j);
              else
                for (int64_t j = i + 1; j < n; j++) to[j] = distance_of(row, x.data<C>() + j * m, m, p);
            }
          });
    });
  Tensor out = cast_values(dist, input.dtype());
  if (!wants_grad(input)) return out;
  record(out, "PdistBackward0", {input},
         [saved = save(input), result = save_output(out), p, d, n, m](Backward& ctx, const TensorList& g) {
           const Tensor input = saved.get(ctx);
           if (GradMode::enabled()) {
             return composite_gradients(
                 ctx, {input}, g, [p](const TensorList& in) { return TensorList{pdist_formula(in[0], p)}; });
           }
           const Tensor x = prepared(input, d), gv = prepared(g[0], d), dist = prepared(result.get(ctx), d);
           if (p == 1 || p == 2 || std::isinf(p)) {
             // As of all pairs, from those above the diagonal.
             const Tensor pairs = triu_indices(n, n, 1, Dtype::Int64), all = unsqueeze(x, 0);
             const auto square = [&](const Tensor& of_pairs) {
               const Tensor upper = zeros({n, n}, d);
               index_put_(upper, {select(pairs, 0, 0), select(pairs, 0, 1)}, of_pairs);
               return unsqueeze(upper + transpose(upper, 0, 1), 0);
             };
             const Tensor r = p == 2 ? euclidean_gradient(square(euclidean_weights(dist, gv)), all, all)
                                     : cdist_gradient(all, all, square(dist), square(gv), p, false);
             return TensorList{reshape(r, {n, m})};
           }
           Tensor r = empty({n, m}, d);
           fill_values(r, 0);
           dispatch_distance(d, [&](auto tag) {
             using C = typename decltype(tag)::type;
             parallel_for(0, n, std::max<int64_t>(1, kPairs / std::max<int64_t>(1, n * m)),
                          [&](int64_t first, int64_t end) {
                            for (int64_t i = first; i < end; i++) {
                              for (int64_t j = 0; j < n; j++) {
                                if (i == j) continue;
                                const int64_t k = pair_index(std::min(i, j), std::max(i, j), n);
                                add_gradient(x.data<C>() + i * m, x.data<C>() + j * m, m, p,
                                             dist.data<C>()[k], gv.data<C>()[k], r.data<C>() + i * m);
                              }
                            }
                          });
           });
           return TensorList{r};
         });
  return out;
}

}  // namespace nnlib::ops
