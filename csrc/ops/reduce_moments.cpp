// Variance and standard deviation. Each block gives its count, mean and sum of squared deviations; blocks are
// joined by the formulas of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm" (1979).
#include <algorithm>
#include <cmath>

#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

// f[0]: mean, f[1]: sum of squared deviations, f[2]: count.
void join(Acc& a, double mean, double m2, double n) {
  if (n == 0) return;
  const double total = a.f[2] + n, delta = mean - a.f[0];
  a.f[0] += delta * (n / total);
  a.f[1] += m2 + delta * delta * (a.f[2] * n / total);
  a.f[2] = total;
}

// By the sum, and that of squared distances from a mean that was rounded to the values' type.
template <class T>
void join_sums(Acc& a, int64_t n, const T* x, double sum, double (*squares)(int64_t, const T*, T)) {
  const double mean = sum / (double)n;
  const T shift = (T)mean;
  const double off = mean - shift;
  join(a, mean, std::max(0.0, squares(n, x, shift) - (double)n * off * off), (double)n);
  if (mean != mean) a.f[1] = NAN;
}
void join_block(Acc& a, int64_t n, const float* x) {
  join_sums(a, n, x, kernels::table().sum_f32(n, x), kernels::table().sum_squares_f32);
}
void join_block(Acc& a, int64_t n, const double* x) {
  join_sums(a, n, x, kernels::table().sum_f64(n, x), kernels::table().sum_squares_f64);
}

struct Moments {
  Tensor var, mean;
  double divisor;
};

// Into r's tensors.
void moments_into(const Moments& r, const Tensor& self, const std::vector<bool>& mask, bool root) {
  if (const auto s = straighten(self, mask, Straighten::kKeepRepeats)) {
    const Moments m{s->place(r.var), s->place(r.mean), r.divisor};
    moments_into(m, s->self, s->mask, root);
    s->deliver(m.var, r.var);
    return s->deliver(m.mean, r.mean);
  }
  const Dtype c = compute_dtype(self.dtype());
  auto row = [&](Acc& a, int64_t n, const void* x, int64_t) {
    constexpr int64_t kBlock = 4096;  // read twice while it is in the cache
    for (int64_t i = 0; i < n; i += kBlock) {
      const int64_t m = std::min(kBlock, n - i);
      c == Dtype::Float32 ? join_block(a, m, (const float*)x + i) : join_block(a, m, (const double*)x + i);
    }
  };
  auto merge = [](Acc& a, const Acc& b) { join(a, b.f[0], b.f[1], b.f[2]); };
  ElementWriter var(r.var), mean(r.mean);
  reduce(self, mask, {c, Acc{}, row, merge}, [&](int64_t i, const Acc& a) {
    const double v = a.f[2] == 0 ? NAN : a.f[1] / r.divisor;
    var.set(i, root ? std::sqrt(v) : v);
    mean.set(i, a.f[2] == 0 ? NAN : a.f[0]);
  });
}

Moments moments(const Tensor& self, const std::vector<bool>& mask, double correction, bool keepdim,
                bool root) {
  const Dims sizes = reduced_sizes(self, mask, keepdim);
  const Moments r{empty(sizes, self.dtype()), empty(sizes, self.dtype()),
                  std::max(0.0, (double)reduced_count(self, mask) - correction)};
  moments_into(r, self, mask, root);
  return r;
}

void check_type(const Tensor& self, const char* name) {
  NNLIB_CHECK(is_floating(self.dtype()), name, "only support floating point and complex dtypes");
}

// Gradient of the variance: 2 (x - mean) / divisor.
Tensor var_grad(const Tensor& g, const Tensor& x, const std::vector<bool>& mask, double divisor) {
  return g * Scalar(2 / divisor) * (x - mean(x, mask_dims(mask), true));
}
// The standard deviation's comes through the variance; zero where it is zero.
Tensor std_to_var_grad(const Tensor& g, const Tensor& std) {
  return where(eq(std, wrapped_number(0)), wrapped_number(0.0), g / (std * Scalar(2)));
}

Tensor spread(const Tensor& self, const std::optional<Dims>& dims, std::optional<Scalar> correction,
              bool keepdim, bool root) {
  check_type(self, "std and var ");
  const std::vector<bool> mask = reduced_mask(self, dims);
  Moments m = moments(self, mask, correction ? correction->to_double() : 1, keepdim, root);
  if (wants_grad(self)) {
    record(m.var, root ? "StdBackward0" : "VarBackward0", {self},
           [x = save(self), r = root ? save_output(m.var) : Saved(), mask, keepdim, d = m.divisor, root](
               Backward& ctx, const TensorList& g) {
             const Tensor gv = root ? std_to_var_grad(g[0], r.get(ctx)) : g[0];
             return TensorList{var_grad(restore_dims(gv, mask, keepdim), x.get(ctx), mask, d)};
           });
  }
  return m.var;
}

std::pair<Tensor, Tensor> spread_mean(const Tensor& self, const std::optional<Dims>& dims,
                                      std::optional<Scalar> correction, bool keepdim, bool root) {
  check_type(self, root ? "std_mean " : "var_mean ");
  const std::vector<bool> mask = reduced_mask(self, dims);
  Moments m = moments(self, mask, correction ? correction->to_double() : 1, keepdim, root);
  if (wants_grad(self)) {
    const double n = (double)reduced_count(self, mask);
    record_many({m.var, m.mean}, root ? "StdMeanBackward0" : "VarMeanBackward0", {self},
                [x = save(self), r = root ? save_output(m.var) : Saved(), mask, keepdim, d = m.divisor, n,
                 root](Backward& ctx, const TensorList& g) {
                  Tensor total;
                  const Tensor v = x.get(ctx);
                  if (g[0].defined()) {
                    const Tensor gv = root ? std_to_var_grad(g[0], r.get(ctx)) : g[0];
                    total = var_grad(restore_dims(gv, mask, keepdim), v, mask, d);
                  }
                  if (g[1].defined()) {
                    Tensor zeros = empty_like(v);
                    fill_values(zeros, 0);
                    const Tensor gm = restore_dims(g[1], mask, keepdim) * Scalar(1 / n) + zeros;
                    total = total.defined() ? total + gm : gm;
                  }
                  return TensorList{total};
                });
  }
  return {m.var, m.mean};
}

Scalar correction_of(bool unbiased) { return Scalar((int64_t)unbiased); }

}  // namespace

Tensor var(const Tensor& self, std::optional<Dims> dims, std::optional<Scalar> correction, bool keepdim) {
  return spread(self, dims, correction, keepdim, false);
}
Tensor var_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased, bool keepdim) {
  return spread(self, dims, correction_of(unbiased), keepdim, false);
}
Tensor std(const Tensor& self, std::optional<Dims> dims, std::optional<Scalar> correction, bool keepdim) {
  return spread(self, dims, correction, keepdim, true);
}
Tensor std_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased, bool keepdim) {
  return spread(self, dims, correction_of(unbiased), keepdim, true);
}
std::pair<Tensor, Tensor> var_mean(const Tensor& self, std::optional<Dims> dims,
                                   std::optional<Scalar> correction, bool keepdim) {
  return spread_mean(self, dims, correction, keepdim, false);
}
std::pair<Tensor, Tensor> var_mean_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased,
                                            bool keepdim) {
  return spread_mean(self, dims, correction_of(unbiased), keepdim, false);
}
std::pair<Tensor, Tensor> std_mean(const Tensor& self, std::optional<Dims> dims,
                                   std::optional<Scalar> correction, bool keepdim) {
  return spread_mean(self, dims, correction, keepdim, true);
}
std::pair<Tensor, Tensor> std_mean_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased,
                                            bool keepdim) {
  return spread_mean(self, dims, correction_of(unbiased), keepdim, true);
}

}  // namespace nnlib::ops
