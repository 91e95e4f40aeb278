// softmax and its logarithm along a dimension.
#include "ops/lanes.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

// In double, by the kernels, which go over parts that stay cached.
constexpr int64_t kPart = 512;

void softmax_row(int64_t n, const double* x, double* y, bool log) {
  const auto& k = kernels::table();
  const double m = k.max_f64(n, x);
  double total = 0, part[kPart];
  for (int64_t from = 0; from < n; from += kPart) {
    const int64_t w = std::min(kPart, n - from);
    double* to = log ? part : y + from;
    for (int64_t i = 0; i < w; i++) to[i] = x[from + i] - m;
    k.exp_f64(w, to, to);
    total += k.sum_f64(w, to);
  }
  if (log) {
    const double shift = m + std::log(total);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - shift;
  } else {
    for (int64_t i = 0; i < n; i++) y[i] /= total;
  }
}
void softmax_grad_row(int64_t n, const double* g, const double* y, double* out, bool log) {
  const auto& k = kernels::table();
  double total = 0, part[kPart];
  if (log)
    total = k.sum_f64(n, g);
  else if (n > 0)
    k.gemv_dot_f64(1, n, g, n, y, &total);
  if (!log) {
    for (int64_t i = 0; i < n; i++) out[i] = (g[i] - total) * y[i];
    return;
  }
  for (int64_t from = 0; from < n; from += kPart) {
    const int64_t w = std::min(kPart, n - from);
    k.exp_f64(w, y + from, part);
    for (int64_t i = 0; i < w; i++) out[from + i] = g[from + i] - part[i] * total;
  }
}

bool rows_lie_ready(const Tensor& t, int64_t dim) {
  return t.dtype() == Dtype::Float32 && t.is_contiguous() && dim == t.dim() - 1;
}
int64_t row_grain(int64_t n) { return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, n)); }

// ---- along a dimension that is not the last: whole rows of neighbouring lanes at a time, in strips that
// stay cached

constexpr int64_t kStrip = 128;

struct Columns {
  int64_t outer, n, inner;
};
std::optional<Columns> columns(const Tensor& t, int64_t dim) {
  if (t.dtype() != Dtype::Float32 || !t.is_contiguous() || dim >= t.dim() - 1) return std::nullopt;
  Columns c{1, t.sizes()[(size_t)dim], 1};
  for (int64_t i = 0; i < t.dim(); i++) {
    if (i < dim) c.outer *= t.sizes()[(size_t)i];
    if (i > dim) c.inner *= t.sizes()[(size_t)i];
  }
  if (c.inner < 8) return std::nullopt;
  return c;
}
// f(first element of the strip, its width) for each strip of lanes.
void for_each_strip(const Columns& c, FunctionRef<void(int64_t at, int64_t width)> f) {
  const int64_t strips = (c.inner + kStrip - 1) / kStrip;
  const int64_t grain = std::max<int64_t>(1, 16384 / (c.n * std::min(kStrip, c.inner)));
  parallel_for(0, c.outer * strips, grain, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++) {
      const int64_t from = i % strips * kStrip;
      f(i / strips * c.n * c.inner + from, std::min(kStrip, c.inner - from));
    }
  });
}

void softmax_columns(const Columns& c, const float* x, float* y, bool log) {
  const auto kernel = log ? kernels::table().log_softmax_cols_f32 : kernels::table().softmax_cols_f32;
  for_each_strip(c, [&](int64_t at, int64_t w) { kernel(c.n, c.inner, w, x + at, y + at); });
}
void softmax_grad_columns(const Columns& c, const float* g, const float* y, float* out, bool log) {
  const auto kernel =
      log ? kernels::table().log_softmax_grad_cols_f32 : kernels::table().softmax_grad_cols_f32;
  for_each_strip(c, [&](int64_t at, int64_t w) { kernel(c.n, c.inner, w, g + at, y + at, out + at); });
}

void run_softmax(const Tensor& out, const Tensor& x, int64_t dim, bool log) {
  const int64_t n = x.dim() ? x.sizes()[(size_t)dim] : 1;
  if (n == 0 || x.numel() == 0) return;
  const auto kernel = log ? kernels::table().log_softmax_rows_f32 : kernels::table().softmax_rows_f32;
  if (rows_lie_ready(x, dim) && rows_lie_ready(out, dim)) {
    const float* px = (const float*)x.raw();
    float* py = (float*)out.raw();
    parallel_for(0, x.numel() / n, row_grain(n),
                 [&](int64_t b, int64_t e) { kernel(e - b, n, px + b * n, py + b * n); });
    return;
  }
  if (const auto strips = columns(x, dim); strips && out.is_contiguous() && out.dtype() == x.dtype()) {
    softmax_columns(*strips, (const float*)x.raw(), (float*)out.raw(), log);
    return;
  }
  const Dtype c = compute_dtype(out.dtype());
  for_each_lane(
      {{&x, c}, {&out, c, true}}, dim,
      [&](void* const* rows) {
        if (c == Dtype::Float32)
          kernel(1, n, (const float*)rows[0], (float*)rows[1]);
        else
          softmax_row(n, (const double*)rows[0], (double*)rows[1], log);
      },
      4);
}

Tensor run_softmax_grad(const Tensor& g, const Tensor& y, int64_t dim, bool log) {
  Tensor out = empty(y.sizes(), y.dtype());
  const int64_t n = y.dim() ? y.sizes()[(size_t)dim] : 1;
  if (y.numel() == 0) return out;
  const auto kernel =
      log ? kernels::table().log_softmax_grad_rows_f32 : kernels::table().softmax_grad_rows_f32;
  if (rows_lie_ready(g, dim) && rows_lie_ready(y, dim)) {
    const float *pg = (const float*)g.raw(), *py = (const float*)y.raw();
    float* po = (float*)out.raw();
    parallel_for(0, y.numel() / n, row_grain(n),
                 [&](int64_t b, int64_t e) { kernel(e - b, n, pg + b * n, py + b * n, po + b * n); });
    return out;
  }
  if (const auto strips = columns(y, dim); strips && columns(g, dim)) {
    softmax_grad_columns(*strips, (const float*)g.raw(), (const float*)y.raw(), (float*)out.raw(), log);
    return out;
  }
  const Dtype c = compute_dtype(y.dtype());
  for_each_lane(
      {{&g, c}, {&y, c}, {&out, c, true}}, dim,
      [&](void* const* rows) {
        if (c == Dtype::Float32)
          kernel(1, n, (const float*)rows[0], (const float*)rows[1], (float*)rows[2]);
        else
          softmax_grad_row(n, (const double*)rows[0], (const double*)rows[1], (double*)rows[2], log);
      },
      4);
  return out;
}

Tensor softmax_grad(const Tensor& g, const Tensor& y, int64_t dim, bool log) {
  if (!wants_grad(g, y)) return run_softmax_grad(g, y, dim, log);
  const Dims d = y.dim() ? Dims{dim} : Dims{};
  if (log) return g - exp(y) * sum(g, d, true);
  return y * (g - sum(g * y, d, true));
}

Tensor softmax_named(const Tensor& self, int64_t dim, std::optional<Dtype> dtype, bool log) {
  if (dtype && *dtype != self.dtype()) return softmax_named(cast(self, *dtype), dim, std::nullopt, log);
  const int64_t d = wrap_dim(dim, self.dim());
  if (!is_floating(self.dtype()))
    throw NotImplementedError(concat("\"", log ? "log_softmax" : "softmax",
                                     "_lastdim_kernel_impl\" not implemented for '",
                                     dtype_legacy_name(self.dtype()), "'"));
  Tensor out = empty_like(self);
  run_softmax(out, self, d, log);
  if (wants_grad(self)) {
    record(out, log ? "LogSoftmaxBackward0" : "SoftmaxBackward0", {self},
           [y = save_output(out), d, log](Backward& ctx, const TensorList& g) {
             return TensorList{softmax_grad(g[0], y.get(ctx), d, log)};
           });
  }
  return out;
}

}  // namespace

Tensor softmax(const Tensor& self, int64_t dim, std::optional<Dtype> dtype) {
  return softmax_named(self, dim, dtype, false);
}
Tensor log_softmax(const Tensor& self, int64_t dim, std::optional<Dtype> dtype) {
  return softmax_named(self, dim, dtype, true);
}
Tensor softmin(const Tensor& self, int64_t dim, std::optional<Dtype> dtype) {
  return softmax(-self, dim, dtype);
}

Tensor logsumexp(const Tensor& self, const Dims& dims, bool keepdim) {
  const Tensor x = cast(self, to_floating(self.dtype()));
  const std::vector<bool> mask = reduced_mask(x, dims);
  Tensor out;
  {
    NoGradGuard guard;
    if (x.numel() == 0) {
      out = log(sum(exp(x), dims, keepdim));
    } else {
      Tensor largest = amax(x, dims, true);
      largest = where(isinf(largest), wrapped_number(0.0), largest);
      out = log(sum(exp(x - largest), dims, true)) + largest;
      if (!keepdim) out = basic_ops().view(out, reduced_sizes(x, mask, false));
    }
  }
  if (wants_grad(x)) {
    record(out, "LogsumexpBackward0", {x},
           [v = save(x), r = save_output(out), mask, keepdim](Backward& ctx, const TensorList& g) {
             const Tensor shift = restore_dims(r.get(ctx), mask, keepdim);
             return TensorList{restore_dims(g[0], mask, keepdim) * exp(v.get(ctx) - shift)};
           });
  }
  return out;
}

}  // namespace nnlib::ops
