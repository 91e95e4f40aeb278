// softmax and its logarithm along a dimension.
#include "ops/lanes.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"
#include "ops/elementwise.h"
#include "ops/pick.h"
#include "ops/reduce.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

bool is_32_or_64(Dtype d) { return d == Dtype::Float32 || d == Dtype::Float64; }
bool lies_in_rows(const Tensor& t, int64_t dim) { return t.is_contiguous() && dim == t.dim() - 1; }
int64_t row_grain(int64_t n) { return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, n)); }

#define NNLIB_SOFTMAX_KERNEL(part)                                                                     \
  (log ? pick<T>(kernels::table().log_softmax_##part##_f32, kernels::table().log_softmax_##part##_f64) \
       : pick<T>(kernels::table().softmax_##part##_f32, kernels::table().softmax_##part##_f64))

// Rows of 16-bit floats are made float32, some at a time: f(first row, how many).
void for_each_block(int64_t rows, int64_t n, FunctionRef<void(int64_t first, int64_t count)> f) {
  const int64_t block = std::max<int64_t>(1, 4096 / n);
  parallel_for(0, rows, row_grain(n), [&](int64_t b, int64_t e) {
    for (; b < e; b += block) f(b, std::min(block, e - b));
  });
}
void widen(const Tensor& t, int64_t first, int64_t n, float* wide) {
  load_row(t.dtype(), Dtype::Float32)(n, (const char*)t.raw() + 2 * first, 2, wide);
}
void narrow(const float* wide, int64_t first, int64_t n, const Tensor& t) {
  store_row(Dtype::Float32, t.dtype())(n, wide, (char*)t.raw() + 2 * first, 2);
}
float* wide_values(int64_t n) { return drivers::scratch<drivers::Scratch::Rows, float>(n); }

// ---- along a dimension that is not the last: whole rows of neighbouring lanes at a time, in strips that
// stay cached

constexpr int64_t kStrip = 128;
constexpr int64_t kMostWide = 1 << 18;  // values of a strip of 16-bit floats, which is made float32

struct Columns {
  int64_t outer, n, inner;
  int64_t strip;
};
std::optional<Columns> columns(const Tensor& t, int64_t dim) {
  if (!t.is_contiguous() || dim >= t.dim() - 1) return std::nullopt;
  Columns c{1, t.sizes()[(size_t)dim], 1, kStrip};
  for (int64_t i = 0; i < t.dim(); i++) {
    if (i < dim) c.outer *= t.sizes()[(size_t)i];
    if (i > dim) c.inner *= t.sizes()[(size_t)i];
  }
  if (c.inner < 8 || c.n == 0) return std::nullopt;
  if (!is_32_or_64(t.dtype())) {
    c.strip = std::min(kStrip, kMostWide / c.n / 8 * 8);
    if (c.strip == 0) return std::nullopt;
  }
  return c;
}
// f(first element of the strip, its width) for each strip of lanes.
void for_each_strip(const Columns& c, FunctionRef<void(int64_t at, int64_t width)> f) {
  const int64_t strips = (c.inner + c.strip - 1) / c.strip;
  const int64_t grain = std::max<int64_t>(1, 16384 / (c.n * std::min(c.strip, c.inner)));
  parallel_for(0, c.outer * strips, grain, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++) {
      const int64_t from = i % strips * c.strip;
      f(i / strips * c.n * c.inner + from, std::min(c.strip, c.inner - from));
    }
  });
}
// A strip of t from element `at`, its rows one after the other as floats; and back.
void widen_strip(const Columns& c, const Tensor& t, int64_t at, int64_t w, float* wide) {
  if (w == c.inner) return widen(t, at, c.n * w, wide);
  for (int64_t i = 0; i < c.n; i++) widen(t, at + i * c.inner, w, wide + i * w);
}
void narrow_strip(const Columns& c, const float* wide, int64_t at, int64_t w, const Tensor& t) {
  if (w == c.inner) return narrow(wide, at, c.n * w, t);
  for (int64_t i = 0; i < c.n; i++) narrow(wide + i * w, at + i * c.inner, w, t);
}

template <class T>
void softmax_columns(const Columns& c, const Tensor& x, const Tensor& y, bool log) {
  const auto kernel = NNLIB_SOFTMAX_KERNEL(cols);
  for_each_strip(c, [&](int64_t at, int64_t w) {
    if (is_32_or_64(x.dtype())) return kernel(c.n, c.inner, w, (const T*)x.raw() + at, (T*)y.raw() + at);
    float* wide = wide_values(c.n * w);
    widen_strip(c, x, at, w, wide);
    kernel(c.n, w, w, (const T*)wide, (T*)wide);
    narrow_strip(c, wide, at, w, y);
  });
}
template <class T>
void softmax_grad_columns(const Columns& c, const Tensor& g, const Tensor& y, const Tensor& out, bool log) {
  const auto kernel = NNLIB_SOFTMAX_KERNEL(grad_cols);
  for_each_strip(c, [&](int64_t at, int64_t w) {
    if (is_32_or_64(y.dtype()))
      return kernel(c.n, c.inner, w, (const T*)g.raw() + at, (const T*)y.raw() + at, (T*)out.raw() + at);
    float *wide_g = wide_values(2 * c.n * w), *wide_y = wide_g + c.n * w;
    widen_strip(c, g, at, w, wide_g);
    widen_strip(c, y, at, w, wide_y);
    kernel(c.n, w, w, (const T*)wide_g, (const T*)wide_y, (T*)wide_g);
    narrow_strip(c, wide_g, at, w, out);
  });
}

template <class T>
void run_softmax_of(const Tensor& out, const Tensor& x, int64_t dim, bool log) {
  const int64_t n = x.dim() ? x.sizes()[(size_t)dim] : 1;
  if (n == 0 || x.numel() == 0) return;
  const auto kernel = NNLIB_SOFTMAX_KERNEL(rows);
  if (lies_in_rows(x, dim) && lies_in_rows(out, dim)) {
    if (!is_32_or_64(x.dtype()))
      return for_each_block(x.numel() / n, n, [&](int64_t r, int64_t count) {
        float* const wide = wide_values(count * n);
        widen(x, r * n, count * n, wide);
        kernel(count, n, (const T*)wide, (T*)wide);
        narrow(wide, r * n, count * n, out);
      });
    const T* px = (const T*)x.raw();
    T* py = (T*)out.raw();
    parallel_for(0, x.numel() / n, row_grain(n),
                 [&](int64_t b, int64_t e) { kernel(e - b, n, px + b * n, py + b * n); });
    return;
  }
  if (const auto strips = columns(x, dim); strips && out.is_contiguous())
    return softmax_columns<T>(*strips, x, out, log);
  for_each_lane(
      {{&x, DtypeOf<T>::value}, {&out, DtypeOf<T>::value, true}}, dim,
      [&](void* const* rows) { kernel(1, n, (const T*)rows[0], (T*)rows[1]); }, 4);
}
// out has x's type.
void run_softmax(const Tensor& out, const Tensor& x, int64_t dim, bool log) {
  // Lane by lane a turned tensor would be read value by value.
  if (!x.is_contiguous()) return run_softmax(out, contiguous_values(x), dim, log);
  if (x.dtype() == Dtype::Float64)
    run_softmax_of<double>(out, x, dim, log);
  else
    run_softmax_of<float>(out, x, dim, log);
}

template <class T>
void run_softmax_grad_of(const Tensor& g, const Tensor& y, const Tensor& out, int64_t dim, bool log) {
  const int64_t n = y.dim() ? y.sizes()[(size_t)dim] : 1;
  if (y.numel() == 0) return;
  const auto kernel = NNLIB_SOFTMAX_KERNEL(grad_rows);
  if (lies_in_rows(g, dim) && lies_in_rows(y, dim)) {
    if (!is_32_or_64(y.dtype()))
      return for_each_block(y.numel() / n, n, [&](int64_t r, int64_t count) {
        float *const wide_g = wide_values(2 * count * n), *const wide_y = wide_g + count * n;
        widen(g, r * n, count * n, wide_g);
        widen(y, r * n, count * n, wide_y);
        kernel(count, n, (const T*)wide_g, (const T*)wide_y, (T*)wide_g);
        narrow(wide_g, r * n, count * n, out);
      });
    const T *pg = (const T*)g.raw(), *py = (const T*)y.raw();
    T* po = (T*)out.raw();
    parallel_for(0, y.numel() / n, row_grain(n),
                 [&](int64_t b, int64_t e) { kernel(e - b, n, pg + b * n, py + b * n, po + b * n); });
    return;
  }
  if (const auto strips = columns(y, dim); strips && g.is_contiguous())
    return softmax_grad_columns<T>(*strips, g, y, out, log);
  for_each_lane(
      {{&g, DtypeOf<T>::value}, {&y, DtypeOf<T>::value}, {&out, DtypeOf<T>::value, true}}, dim,
      [&](void* const* rows) { kernel(1, n, (const T*)rows[0], (const T*)rows[1], (T*)rows[2]); }, 4);
}
#undef NNLIB_SOFTMAX_KERNEL
// g has y's type.
Tensor run_softmax_grad(const Tensor& g, const Tensor& y, int64_t dim, bool log) {
  if (!g.is_contiguous() || !y.is_contiguous())
    return run_softmax_grad(contiguous_values(g), contiguous_values(y), dim, log);
  Tensor out = empty(y.sizes(), y.dtype());
  if (y.dtype() == Dtype::Float64)
    run_softmax_grad_of<double>(g, y, out, dim, log);
  else
    run_softmax_grad_of<float>(g, y, out, dim, log);
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
    throw_message<NotImplementedError>("\"", log ? "log_softmax" : "softmax",
                                       "_lastdim_kernel_impl\" not implemented for '",
                                       dtype_legacy_name(self.dtype()), "'");
  Tensor out = empty(self.sizes(), self.dtype());
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
