// Average pooling, sliding and adaptive. It is linear: its gradient is the transposed map, and the gradient
// of that is the map again.
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/composite.h"
#include "ops/drivers/scratch.h"
#include "ops/norm_loops.h"
#include "ops/pick.h"
#include "ops/pool.h"
#include "ops/pool_lines.h"
#include "ops/pool_windows.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

template <class T>
compute_t<T> row_sum(int64_t n, const T* x) {
  if constexpr (std::is_floating_point_v<T>)
    if (n >= 16) return (T)norm_loops::sum(n, x);
  compute_t<T> s = 0;
  for (int64_t i = 0; i < n; i++) s += (compute_t<T>)x[i];
  return s;
}

// Calls f(o, d0, d1, h0, h1, w0, w1, divisor) for each window of a plane that is not empty; empty(o) for the
// others.
template <class F, class E>
void each_window(const Windows& w, F f, E empty_window) {
  const Axis &a = w.axis[0], &b = w.axis[1], &c = w.axis[2];
  int64_t o = 0;
  for (int64_t i = 0; i < a.out; i++) {
    for (int64_t j = 0; j < b.out; j++) {
      for (int64_t k = 0; k < c.out; k++, o++) {
        if (a.start(i) >= a.end(i) || b.start(j) >= b.end(j) || c.start(k) >= c.end(k)) {
          empty_window(o);
          continue;
        }
        const int64_t divisor = w.divisor ? w.divisor : a.count(i) * b.count(j) * c.count(k);
        f(o, a.start(i), a.end(i), b.start(j), b.end(j), c.start(k), c.end(k), divisor);
      }
    }
  }
}

// y += x.
template <class C>
void add_to(int64_t n, const C* x, C* y) {
  if constexpr (std::is_floating_point_v<C>)
    if (n >= 8) {
      const auto& k = kernels::table();
      return pick<C>(k.norm_grad_f32, k.norm_grad_f64)(n, x, y, 1, 1, 0, y);  // 1 x + 1 y + 0
    }
  for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

// Whether there are a few wide windows side by side, none of them empty: their rows are added up before they
// are cut.
bool has_wide_windows(const Windows& w) {
  const Axis& c = w.axis[2];
  if (c.out == 1 || c.in < 16 || c.in < 4 * c.out) return false;
  int64_t length = 0;
  for (int64_t k = 0; k < c.out; k++) {
    if (c.start(k) >= c.end(k)) return false;
    length += c.end(k) - c.start(k);
  }
  return length <= 2 * c.in;
}
template <class T>
void mean_by_lines(const Windows& w, const T* x, T* y) {
  const Axis &a = w.axis[0], &b = w.axis[1], &c = w.axis[2];
  T* const line = drivers::scratch<drivers::Scratch::Rows, T>(c.in);
  for (int64_t i = 0, o = 0; i < a.out; i++)
    for (int64_t j = 0; j < b.out; j++, o += c.out) {
      std::fill(line, line + c.in, T(0));
      const bool empty = a.start(i) >= a.end(i) || b.start(j) >= b.end(j);
      for (int64_t d = a.start(i); d < a.end(i); d++)
        for (int64_t h = b.start(j); h < b.end(j); h++) add_to(c.in, x + (d * b.in + h) * c.in, line);
      for (int64_t k = 0; k < c.out; k++) {
        const int64_t divisor = w.divisor ? w.divisor : a.count(i) * b.count(j) * c.count(k);
        y[o + k] = empty ? T(0) : row_sum(c.end(k) - c.start(k), line + c.start(k)) / (T)divisor;
      }
    }
}

template <class T>
void mean_of_plane(const Windows& w, const T* x, T* y) {
  using C = compute_t<T>;
  const int64_t height = w.axis[1].in, width = w.axis[2].in;
  if constexpr (std::is_floating_point_v<T>)
    if (has_wide_windows(w)) return mean_by_lines(w, x, y);
  each_window(
      w,
      [&](int64_t o, int64_t d0, int64_t d1, int64_t h0, int64_t h1, int64_t w0, int64_t w1,
          int64_t divisor) {
        C sum = 0;
        if (w1 - w0 == width) {  // whole rows lie next to each other
          for (int64_t d = d0; d < d1; d++) sum += row_sum((h1 - h0) * width, x + (d * height + h0) * width);
        } else {
          for (int64_t d = d0; d < d1; d++)
            for (int64_t h = h0; h < h1; h++) sum += row_sum(w1 - w0, x + (d * height + h) * width + w0);
        }
        y[o] = (T)(sum / (C)divisor);
      },
      [&](int64_t o) { y[o] = T(0); });
}

// The same by lines of windows; those at the borders one by one.
template <class C>
void mean_of_plane(PlaneLines<C>& lines, const Windows& w, const C* divisor, const C* x, C* y) {
  const PoolRow& row = lines.row();
  const int64_t width = w.axis[2].out;
  lines.begin(x);
  const auto divide = pick<C>(kernels::table().div_rows_f32, kernels::table().div_rows_f64);
  const int64_t height = w.axis[1].in;
  for (int64_t i = 0, o = 0; i < w.axis[0].out; i++)
    for (int64_t j = 0; j < w.axis[1].out; j++, o += width) {
      C* to = y + o + row.first;
      lines.sum_row(i, j, to);
      divide(1, row.count, to, row.count, 1, divisor + (o / width) * row.count, row.count, 1, to, row.count);
      for (int64_t k = 0; k < width; k++) {
        if (k == row.first) k += row.count;
        if (k >= width) break;
        C sum = 0;
        for (int64_t d = w.axis[0].start(i); d < w.axis[0].end(i); d++)
          for (int64_t h = w.axis[1].start(j); h < w.axis[1].end(j); h++)
            for (int64_t v = w.axis[2].start(k); v < w.axis[2].end(k); v++)
              sum += x[(d * height + h) * w.axis[2].in + v];
        const int64_t count = w.axis[0].count(i) * w.axis[1].count(j) * w.axis[2].count(k);
        y[o + k] = sum / (C)(w.divisor ? w.divisor : count);
      }
    }
}
// What the windows of the lines are divided by.
template <class C>
std::vector<C> line_divisors(const Windows& w, const PoolRow& row) {
  std::vector<C> by;
  for (int64_t i = 0; i < w.axis[0].out; i++)
    for (int64_t j = 0; j < w.axis[1].out; j++)
      for (int64_t k = row.first; k < row.first + row.count; k++)
        by.push_back(
            (C)(w.divisor ? w.divisor : w.axis[0].count(i) * w.axis[1].count(j) * w.axis[2].count(k)));
  return by;
}
// Small windows in long rows, none of them empty.
bool by_lines(const Windows& w, const PoolRow& row) {
  int64_t size = 1;
  for (const Axis& a : w.axis) {
    int64_t longest = 0;
    for (int64_t o = 0; o < a.out; o++) {
      if (a.start(o) >= a.end(o)) return false;
      longest = std::max(longest, a.end(o) - a.start(o));
    }
    size *= longest;
  }
  return row.count >= 8 && size <= 64;
}

// Whether no place is in two windows of the axis.
bool disjoint(const Axis& a) {
  for (int64_t o = 1; o < a.out; o++)
    if (a.start(o) < a.end(o - 1)) return false;
  return true;
}
int64_t places_covered(const Axis& a) {
  int64_t n = 0;
  for (int64_t o = 0; o < a.out; o++) n += std::max<int64_t>(0, a.end(o) - a.start(o));
  return n;
}

// line = what the windows (i, j, k), k < c.out, give each place of a row: their g over their divisors.
template <class C>
void share_line(const Windows& w, int64_t i, int64_t j, const C* g, C* line) {
  const Axis &a = w.axis[0], &b = w.axis[1], &c = w.axis[2];
  int64_t done = 0;  // places below it hold something
  for (int64_t k = 0; k < c.out; k++) {
    const int64_t start = c.start(k), end = c.end(k);
    if (start >= end) continue;
    const int64_t divisor = w.divisor ? w.divisor : a.count(i) * b.count(j) * c.count(k);
    const C share = divisor ? g[k] / (C)divisor : C(0);
    for (; done < start; done++) line[done] = C(0);
    for (int64_t q = start; q < std::min(done, end); q++) line[q] += share;
    if (done < end) std::fill(line + done, line + end, share), done = end;
  }
  std::fill(line + done, line + c.in, C(0));
}

// gx = the shares of a plane's windows, by lines of the windows that lie side by side. `sums` has room for a
// plane where 16-bit floats are added up.
template <class T, class C>
void spread_over_plane(const Windows& w, const C* g, T* gx, C* sums) {
  const Axis &a = w.axis[0], &b = w.axis[1], &c = w.axis[2];
  C* const line = drivers::scratch<drivers::Scratch::Rows, C>(c.in);
  const auto each_row = [&](int64_t i, int64_t j, auto f) {
    for (int64_t d = a.start(i); d < a.end(i); d++)
      for (int64_t h = b.start(j); h < b.end(j); h++) f((d * b.in + h) * c.in);
  };
  const bool once = disjoint(a) && disjoint(b);  // each row gets one line
  T* rounded = nullptr;
  if constexpr (std::is_same_v<T, C>)
    rounded = line, sums = gx;
  else if (once)
    rounded = drivers::scratch<drivers::Scratch::Vector, T>(c.in);
  if (!once)
    std::fill(sums, sums + w.in_plane(), C(0));
  else if (places_covered(a) * places_covered(b) < a.in * b.in)
    std::fill(gx, gx + w.in_plane(), T(0));
  for (int64_t i = 0, o = 0; i < a.out; i++)
    for (int64_t j = 0; j < b.out; j++, o += c.out) {
      share_line(w, i, j, g + o, line);
      if (!once) {
        each_row(i, j, [&](int64_t at) { add_to(c.in, line, sums + at); });
        continue;
      }
      if constexpr (!std::is_same_v<T, C>) norm_loops::narrow(c.in, line, rounded);
      each_row(i, j, [&](int64_t at) { std::copy(rounded, rounded + c.in, gx + at); });
    }
  if constexpr (!std::is_same_v<T, C>)
    if (!once) norm_loops::narrow(w.in_plane(), sums, gx);
}

template <class F>
void dispatch_mean(Dtype d, const char* name, F f) {
  if (d == Dtype::Int64) return f(TypeTag<int64_t>{});
  dispatch_floating(d, name, f);
}

// Whether each plane is one window, of so few values that their sum is made in float.
bool has_whole_planes(const Windows& w) {
  constexpr int64_t most = 4096;
  for (const Axis& a : w.axis)
    if (a.out != 1 || a.start(0) != 0 || a.end(0) != a.in || a.step != 1) return false;
  return w.in_plane() > 0 && w.in_plane() <= most;
}
// Their means: planes are rows of a matrix. product: of some rows of it with a vector, in the compute type.
template <class T, class Product>
void means_of_rows(const Windows& w, const T* x, T* y, Product product) {
  using C = compute_t<T>;
  constexpr int64_t some = 16;
  const int64_t n = w.in_plane();
  const C divisor = line_divisors<C>(w, PoolRow(w.axis[2]))[0];
  const std::vector<C> ones((size_t)n, C(1));
  parallel_for(0, (w.planes + some - 1) / some, std::max<int64_t>(1, planes_per_chunk(n) / some),
               [&](int64_t first, int64_t end) {
                 C sums[some];
                 for (int64_t p = first * some; p < std::min(end * some, w.planes); p += some) {
                   const int64_t rows = std::min(some, w.planes - p);
                   product(rows, n, x + p * n, n, ones.data(), sums);
                   for (int64_t i = 0; i < rows; i++) y[p + i] = (T)(sums[i] / divisor);
                 }
               });
}
void means_of_rows(const Windows& w, const Tensor& x, const Tensor& y) {
  const auto& k = kernels::table();
  const auto of_half = [](auto kernel) {
    return [kernel](int64_t rows, int64_t n, const auto* a, int64_t lda, const float* v, float* sums) {
      kernel(rows, n, &a->bits, lda, v, sums);
    };
  };
  if (x.dtype() == Dtype::BFloat16)
    means_of_rows(w, x.data<BFloat16>(), y.data<BFloat16>(), of_half(k.gemv_dot_bf16));
  else if (x.dtype() == Dtype::Float16)
    means_of_rows(w, x.data<Half>(), y.data<Half>(), of_half(k.gemv_dot_f16));
  else if (x.dtype() == Dtype::Float64)
    means_of_rows(w, x.data<double>(), y.data<double>(), k.gemv_dot_f64);
  else
    means_of_rows(w, x.data<float>(), y.data<float>(), k.gemv_dot_f32);
}
// The gradient of a plane's mean is the same everywhere.
template <class T>
void spread_over_rows(const Windows& w, const T* g, T* gx) {
  using C = compute_t<T>;
  const int64_t n = w.in_plane();
  const C divisor = line_divisors<C>(w, PoolRow(w.axis[2]))[0];
  parallel_for(0, w.planes, planes_per_chunk(n), [&](int64_t first, int64_t end) {
    for (int64_t p = first; p < end; p++) std::fill_n(gx + p * n, n, (T)((C)g[p] / divisor));
  });
}

// last: of a mean of values that have their channels last.
Tensor spread(const Tensor& grad, const SharedWindows& w, const char* name, bool last);

Tensor mean_of_planes(const Tensor& x, const Windows& w, const char* name) {
  Tensor y = empty(w.out_sizes, x.dtype());
  if (is_floating(x.dtype()) && has_whole_planes(w)) {
    means_of_rows(w, x, y);
    return y;
  }
  if (!has_wide_windows(w) && pools_turned(x, w)) {
    mean_turned(x, w, y);
    return y;
  }
  const PoolRow row(w.axis[2]);
  const bool lines = is_floating(x.dtype()) && by_lines(w, row);
  dispatch_mean(x.dtype(), name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = std::conditional_t<kLines<T>, compute_t<T>, float>;
    const std::vector<C> divisor = lines ? line_divisors<C>(w, row) : std::vector<C>();
    parallel_for(0, w.planes, planes_per_chunk(w.in_plane() + w.out_plane()),
                 [&](int64_t first, int64_t end) {
                   std::optional<PlaneLines<C>> of_plane;
                   if (lines) of_plane.emplace(w, row);
                   WidePlanes<T> wide(w);  // 16-bit floats are added up in float
                   for (int64_t p = first; p < end; p++) {
                     const T* from = x.data<T>() + p * w.in_plane();
                     T* to = y.data<T>() + p * w.out_plane();
                     if constexpr (kLines<T>) {
                       if (lines)
                         mean_of_plane(*of_plane, w, divisor.data(), wide.in(from), wide.out(to));
                       else
                         mean_of_plane(w, wide.in(from), wide.out(to));
                       wide.write(to);
                     } else {
                       mean_of_plane(w, from, to);
                     }
                   }
                 });
  });
  return y;
}

Tensor average(const Tensor& input, const SharedWindows& w, const char* name, const char* node) {
  if (is_flat_image(input, *w)) return squeeze(average(unsqueeze(input, 2), flat_image(*w), name, node), 2);
  Tensor y;
  const bool last = pools_channels(input, *w);
  if (last) {
    y = empty(w->out_sizes, input.dtype(), channels_format(input));
    mean_of_channels(input, *w, y);
  } else {
    y = in_format_of(input, mean_of_planes(contiguous_values(input), *w, name));
  }
  if (wants_grad(input)) {
    record(y, node, {input}, [w, name, last](Backward& ctx, const TensorList& g) {
      return TensorList{flat_gradient(ctx, 0, spread(g[0], w, name, last))};
    });
  }
  return y;
}

Tensor spread(const Tensor& grad, const SharedWindows& w, const char* name, bool last) {
  const bool both = last && w->out_plane() == 1;  // one value a channel lies in both orders
  const bool channels = both || pools_channels(grad, *w);
  const Tensor g = channels && !both ? grad : contiguous_values(grad);
  Tensor gx = channels ? empty(w->in_sizes, g.dtype(), channels_format(grad)) : empty(w->in_sizes, g.dtype());
  if (channels)
    spread_over_channels(g, *w, gx);
  else
    dispatch_mean(g.dtype(), name, [&](auto tag) {
      using T = typename decltype(tag)::type;
      using C = compute_t<T>;
      const int64_t size = w->in_plane();
      if constexpr (!std::is_integral_v<T>)
        if (has_whole_planes(*w)) return spread_over_rows(*w, g.data<T>(), gx.data<T>());
      parallel_for(0, w->planes, planes_per_chunk(size + w->out_plane()), [&](int64_t first, int64_t end) {
        std::vector<C> sums, of_g;  // 16-bit floats are added up in float
        if constexpr (!std::is_same_v<T, C>) sums.resize((size_t)size), of_g.resize((size_t)w->out_plane());
        for (int64_t p = first; p < end; p++) {
          const T* from = g.data<T>() + p * w->out_plane();
          T* const to = gx.data<T>() + p * size;
          if constexpr (std::is_same_v<T, C>) {
            spread_over_plane(*w, from, to, to);
          } else {
            norm_loops::widen(w->out_plane(), from, of_g.data());
            spread_over_plane(*w, of_g.data(), to, sums.data());
          }
        }
      });
    });
  if (wants_grad(grad)) {
    record(gx, "AvgPoolBackwardBackward0", {grad}, [w, name](Backward&, const TensorList& gg) {
      return TensorList{average(gg[0], w, name, "AvgPoolBackward0")};
    });
  }
  return gx;
}

Tensor sliding(const Tensor& input, PoolArgs args, const OptionalDims& stride, std::optional<int64_t> divisor,
               const char* node) {
  NNLIB_CHECK(!divisor || *divisor != 0, "divisor must be not zero");
  args.stride = stride.value_or(Dims());
  args.divisor = divisor.value_or(0);
  return average(input, sliding_windows(input, args), args.name, node);
}

}  // namespace

Tensor avg_pool1d(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,
                  const Dims& padding, bool ceil_mode, bool count_include_pad) {
  return sliding(input, {"avg_pool1d", 1, kernel_size, {}, padding, {}, ceil_mode, count_include_pad}, stride,
                 std::nullopt, "AvgPool1DBackward0");
}
Tensor avg_pool2d(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,
                  const Dims& padding, bool ceil_mode, bool count_include_pad,
                  std::optional<int64_t> divisor_override) {
  return sliding(input, {"avg_pool2d", 2, kernel_size, {}, padding, {}, ceil_mode, count_include_pad}, stride,
                 divisor_override, "AvgPool2DBackward0");
}
Tensor avg_pool3d(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,
                  const Dims& padding, bool ceil_mode, bool count_include_pad,
                  std::optional<int64_t> divisor_override) {
  return sliding(input, {"avg_pool3d", 3, kernel_size, {}, padding, {}, ceil_mode, count_include_pad}, stride,
                 divisor_override, "AvgPool3DBackward0");
}

#define NNLIB_ADAPTIVE_AVG(N, dims, node)                                                                 \
  Tensor adaptive_avg_pool##N(const Tensor& input, const Dims& output_size) {                             \
    NNLIB_CHECK(input.is_floating_point(), "adaptive_avg_pool" #N " expects floating point values, got ", \
                dtype_name(input.dtype()));                                                               \
    return average(input, adaptive_windows(input, "adaptive_avg_pool" #N, dims, output_size),             \
                   "adaptive_avg_pool" #N, node);                                                         \
  }
NNLIB_ADAPTIVE_AVG(1d, 1, "AdaptiveAvgPool1DBackward0")
NNLIB_ADAPTIVE_AVG(2d, 2, "AdaptiveAvgPool2DBackward0")
NNLIB_ADAPTIVE_AVG(3d, 3, "AdaptiveAvgPool3DBackward0")
#undef NNLIB_ADAPTIVE_AVG

}  // namespace nnlib::ops
