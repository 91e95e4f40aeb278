// Max pooling: sliding, adaptive and fractional windows. The first of equal values wins, and a NaN wins over
// all before it, as in PyTorch.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/composite.h"
#include "ops/pool.h"
#include "ops/pool_lines.h"
#include "ops/pool_places.h"
#include "ops/pool_windows.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

template <class C>
constexpr C lowest() {
  if constexpr (std::numeric_limits<C>::has_infinity)
    return -std::numeric_limits<C>::infinity();
  else
    return std::numeric_limits<C>::lowest();
}

// The maximum of window (od, oh, ow), and its place.
template <class T>
void max_of_window(const Axis* axis, int64_t od, int64_t oh, int64_t ow, const T* x, T* y, Places place) {
  using C = compute_t<T>;
  const Axis &depth = axis[0], &height = axis[1], &width = axis[2];
  C best = lowest<C>();
  int64_t at = first_place(axis, od, oh, ow);
  const int64_t w0 = width.start(ow), w1 = width.end(ow), d1 = depth.end(od), h1 = height.end(oh);
  for (int64_t d = depth.start(od); d < d1; d += depth.step) {
    for (int64_t h = height.start(oh); h < h1; h += height.step) {
      const int64_t row = (d * height.in + h) * width.in;
      if constexpr (std::is_same_v<T, float>) {
        // A long run: its maximum by the kernel, its place only where it wins.
        const int64_t n = w1 - w0;
        if (width.step == 1 && n >= 16) {
          const float *run = x + row + w0, v = kernels::table().max_f32(n, run);
          if (!(v > best || v != v)) continue;
          best = v;
          at = row + w0;
          if (v != v)
            for (int64_t i = 0; i < n; i++) at = run[i] != run[i] ? row + w0 + i : at;
          else
            at += std::find(run, run + n, v) - run;
          continue;
        }
      }
      for (int64_t w = w0; w < w1; w += width.step) {
        const C v = (C)x[row + w];
        if (v > best || v != v) {
          best = v;
          at = row + w;
        }
      }
    }
  }
  *y = (T)best;
  if (place) place.set(0, at);
}

template <class T>
void max_of_plane(const Axis* axis, const T* x, T* y, Places place) {
  const int64_t width = axis[2].out;
  for (int64_t od = 0, o = 0; od < axis[0].out; od++)
    for (int64_t oh = 0; oh < axis[1].out; oh++)
      for (int64_t ow = 0; ow < width; ow++, o++) max_of_window(axis, od, oh, ow, x, y + o, place.from(o));
}

// The same by lines of windows; those at the borders one by one.
// `planes` planes lie from x on.
template <class T>
void max_of_plane(PlaneLines<T>& lines, const Axis* axis, const T* x, int64_t planes, T* y, Places place) {
  const PoolRow& row = lines.row();
  const int64_t width = axis[2].out;
  lines.begin(x, planes);
  for (int64_t od = 0; od < axis[0].out; od++) {
    for (int64_t oh = 0; oh < axis[1].out; oh++, y += width, place = place.from(width)) {
      lines.max_row(od, oh, y + row.first, place.from(row.first).narrow());
      for (int64_t ow = 0; ow < width; ow++) {
        if (ow == row.first) ow += row.count;
        if (ow < width) max_of_window(axis, od, oh, ow, x, y + ow, place.from(ow));
      }
    }
  }
}

// `planes` planes that follow each other from x on.
template <class T>
void max_of_planes(const Windows& w, int64_t planes, const T* x, T* y, Places place) {
  using C = std::conditional_t<kLines<T>, compute_t<T>, float>;
  const int64_t in = w.in_plane(), out = w.out_plane();
  const PoolRow row(w.axis[2]);
  const bool by_lines = kLines<T> && row.pays() && in < INT32_MAX;
  PlaneLines<C> lines(w, row);
  WidePlanes<T> wide(w);  // 16-bit floats are compared as float
  for (int64_t p = 0; p < planes; p++, x += in, y += out, place = place.from(out)) {
    if constexpr (kLines<T>) {
      if (by_lines)
        max_of_plane(lines, w.axis, wide.in(x), std::is_same_v<T, C> ? planes - p : 1, wide.out(y), place);
      else
        max_of_plane(w.axis, wide.in(x), wide.out(y), place);
      wide.write(y);
    } else {
      max_of_plane(w.axis, x, y, place);
    }
  }
}

// Whether windows fill lines that follow each other, so that many planes are one line of windows. Their
// places would be counted from its start.
bool joins_planes(const Windows& w) {
  const Axis& width = w.axis[2];
  return w.in_plane() == width.in && w.out_plane() == width.out && !width.listed() && width.padding == 0 &&
         width.reach <= width.stride && width.in == width.out * width.stride;
}
Windows joined_planes(const Windows& w, int64_t planes) {
  Windows line;
  line.axis[2] = w.axis[2];
  line.axis[2].in *= planes;
  line.axis[2].out *= planes;
  return line;
}

void check_type(const Tensor& input, const char* name) {
  if (input.dtype() == Dtype::Bool)
    throw_message<NotImplementedError>("\"", name, "\" not implemented for 'Bool'");
}

// Records the gradient of y = max(x) with the given places; w: the windows, where they are all planes'.
void record_max(const Tensor& y, const Tensor& x, const Tensor& places, int64_t planes,
                const SharedWindows& w, const char* node) {
  if (!wants_grad(x)) return;
  record(y, node, {x}, [places, planes, w, sizes = x.sizes()](Backward& ctx, const TensorList& g) {
    if (!GradMode::enabled() && w && gathers_max_grad(g[0], places, *w)) {
      Tensor gx = empty(sizes, g[0].dtype(), channels_format(g[0]));
      max_grad_of_channels(g[0], *w, places, gx);
      return TensorList{gx};
    }
    return TensorList{
        flat_gradient(ctx, 0, scatter_places(g[0], places, sizes, planes, true, "MaxPoolBackwardBackward0"))};
  });
}

// `wanted`: the caller takes the places; otherwise they are found where backward needs them.
TensorPair max_with_places(const Tensor& input, const SharedWindows& w, bool wanted, const char* name,
                           const char* node) {
  check_type(input, name);
  const bool found = wanted || wants_grad(input);
  // Values alone lie in order, as in PyTorch: of few channels they are not turned there and back.
  if (is_flat_image(input, *w) && (found || input.size(1) >= 8)) {
    const auto [y, places] = max_with_places(unsqueeze(input, 2), flat_image(*w), wanted, name, node);
    if (!found) return {contiguous_values(squeeze(y, 2)), places};
    return {squeeze(y, 2), wanted ? squeeze(places, 2) : places};
  }
  const Dtype type = place_type(w->in_plane());
  const auto result = [&](const Tensor& y, const Tensor& places, const Tensor& given) {
    record_max(y, input, places, w->planes, w, node);
    return TensorPair{y, wanted ? cast_values(given, Dtype::Int64) : Tensor()};
  };
  if (pools_channels(input, *w)) {
    const MemoryFormat format = channels_format(input);
    Tensor y = empty(w->out_sizes, input.dtype(), format), places;
    if (found) places = empty(w->out_sizes, type, format);
    max_of_channels(input, *w, y, places);
    return result(y, places, places);
  }
  const Tensor x = contiguous_values(input);
  Tensor y = empty(w->out_sizes, x.dtype()), places;
  if (found) places = empty(w->out_sizes, type);
  const Places at = found ? Places(places) : Places();
  const bool joined = !found && joins_planes(*w);
  if (!joined && pools_turned(x, *w)) {
    max_turned(x, *w, y, places);
  } else {
    dispatch_all(x.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      parallel_for(0, w->planes, planes_per_chunk(w->in_plane() + w->out_plane()),
                   [&](int64_t first, int64_t end) {
                     const T* from = x.data<T>() + first * w->in_plane();
                     T* to = y.data<T>() + first * w->out_plane();
                     if (joined)
                       max_of_planes(joined_planes(*w, end - first), 1, from, to, Places());
                     else
                       max_of_planes(*w, end - first, from, to, at.from(first * w->out_plane()));
                   });
    });
  }
  return result(in_format_of(input, y), places, wanted ? in_format_of(input, places) : places);
}

// ---- 2x2 windows with stride 2 on float32: rows by the kernel, a byte a window for backward

bool is_2x2(const Tensor& input, const Windows& w) {
  if (input.dtype() != Dtype::Float32 || !input.is_contiguous()) return false;
  if (w.axis[0].in != 1 || w.axis[0].out != 1) return false;
  for (int i : {1, 2}) {
    const Axis& a = w.axis[i];
    if (a.step != 1 || a.out != a.in / 2 || a.out == 0) return false;
    for (int64_t o = 0; o < a.out; o++)
      if (a.start(o) != 2 * o || a.end(o) != 2 * o + 2) return false;
  }
  return true;
}

Tensor int64_places(const Tensor& bytes, const Windows& w) {
  Tensor out = empty(bytes.sizes(), Dtype::Int64);
  const uint8_t* from = bytes.data<uint8_t>();
  int64_t* to = out.data<int64_t>();
  for (int64_t i = 0; i < out.numel(); i++) {
    const int64_t inner = i % w.out_plane(), row = 2 * (inner / w.axis[2].out) + from[i] / 2;
    to[i] = row * w.axis[2].in + 2 * (inner % w.axis[2].out) + from[i] % 2;
  }
  return out;
}

Tensor grad_2x2(const Tensor& grad, const Tensor& bytes, const Windows& w) {
  const Tensor gv = contiguous_values(grad);
  Tensor out = empty(w.in_sizes, Dtype::Float32);
  const auto& k = kernels::table();
  const int64_t width = w.axis[2].in, n = w.axis[2].out, rows = w.axis[1].out, height = w.axis[1].in;
  parallel_for(0, w.planes, planes_per_chunk(w.in_plane()), [&](int64_t first, int64_t end) {
    for (int64_t p = first; p < end; p++) {
      float* plane = out.data<float>() + p * w.in_plane();
      for (int64_t r = 0; r < rows; r++) {
        float *upper = plane + 2 * r * width, *lower = upper + width;
        const int64_t at = p * w.out_plane() + r * n;
        k.max_pool_2x2_grad_f32(n, gv.data<float>() + at, bytes.data<uint8_t>() + at, upper, lower);
        if (width > 2 * n) upper[2 * n] = lower[2 * n] = 0;
      }
      if (height > 2 * rows) std::fill(plane + 2 * rows * width, plane + height * width, 0.f);
    }
  });
  return out;
}

Tensor max_2x2(const Tensor& input, const SharedWindows& w, const char* node) {
  Tensor y = empty(w->out_sizes, Dtype::Float32), bytes = empty(w->out_sizes, Dtype::UInt8);
  const auto& k = kernels::table();
  const int64_t width = w->axis[2].in, n = w->axis[2].out, rows = w->axis[1].out;
  parallel_for(0, w->planes, planes_per_chunk(w->in_plane()), [&](int64_t first, int64_t end) {
    for (int64_t p = first; p < end; p++) {
      for (int64_t r = 0; r < rows; r++) {
        const float* upper = input.data<float>() + p * w->in_plane() + 2 * r * width;
        const int64_t at = p * w->out_plane() + r * n;
        k.max_pool_2x2_f32(n, upper, upper + width, y.data<float>() + at, bytes.data<uint8_t>() + at);
      }
    }
  });
  if (wants_grad(input)) {
    record(y, node, {input}, [bytes, w](Backward& ctx, const TensorList& g) {
      if (GradMode::enabled())
        return TensorList{flat_gradient(ctx, 0,
                                        scatter_places(g[0], int64_places(bytes, *w), w->in_sizes, w->planes,
                                                       true, "MaxPoolBackwardBackward0"))};
      return TensorList{grad_2x2(g[0], bytes, *w)};
    });
  }
  return y;
}

// ---- fractional windows

// The starts of `out` windows of `kernel` values: a pseudo-random sequence with steps of floor(a) and
// ceil(a).
Axis fractional_axis(int64_t in, int64_t out, int64_t kernel, double sample) {
  Axis axis;
  axis.in = in;
  axis.out = out;
  const double alpha = out > 1 ? (double)(in - kernel) / (double)(out - 1) : 0;
  for (int64_t i = 0; i < out; i++) {
    axis.starts.push_back(i == out - 1 ? in - kernel
                                       : (int64_t)((i + sample) * alpha) - (int64_t)(sample * alpha));
    axis.ends.push_back(axis.starts.back() + kernel);
  }
  return axis;
}

TensorPair fractional(const Tensor& input, const Dims& kernel_size, const Dims& output_size,
                      const Tensor& samples, int dims, const char* name, const char* node) {
  const Dims kernel = pool_list(kernel_size, dims, name, "kernel_size");
  const Dims out = pool_list(output_size, dims, name, "output_size");
  check_pool_input(input, name, dims);
  Dims sizes = input.sizes();
  int64_t planes = 1;
  for (int64_t i = 0; i < input.dim() - dims; i++) planes *= input.size(i);
  for (int i = 0; i < dims; i++) {
    const int64_t in = input.size(i - dims);
    NNLIB_CHECK(kernel[i] > 0 && out[i] > 0, name,
                ": kernel_size and output_size must be greater than zero, got ", kernel, " and ", out);
    // PyTorch takes one value more in three dimensions.
    NNLIB_CHECK(out[i] <= in && kernel[i] - 1 + (dims == 3) <= in - out[i], name, ": pool size ", kernel[i],
                " too large relative to input size ", in);
    sizes[sizes.size() - (size_t)dims + (size_t)i] = out[i];
  }
  NNLIB_CHECK(samples.dtype() == input.dtype(), "Expect _random_samples to have the same dtype as input");
  const int64_t channels = input.size(-dims - 1), batch = input.dim() == dims + 2 ? input.size(0) : 1;
  // PyTorch may hand over samples for more than the batch.
  NNLIB_CHECK(samples.dim() == 3 && samples.size(0) >= batch && samples.size(1) == channels &&
                  samples.size(2) == dims,
              "Expect _random_samples to have shape (", batch, ", ", channels, ", ", dims, "), got ",
              samples.sizes());
  const Tensor x = contiguous_values(input), r = contiguous_values(cast_values(samples, Dtype::Float64));
  const int64_t in_plane = planes ? x.numel() / planes : 0;
  Tensor y = empty(sizes, x.dtype()), places = empty(sizes, place_type(in_plane));
  const int64_t out_plane = planes ? y.numel() / planes : 0;
  const Places at(places);
  dispatch_floating(x.dtype(), name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(0, planes, planes_per_chunk(in_plane + out_plane), [&](int64_t first, int64_t end) {
      for (int64_t p = first; p < end; p++) {
        Axis axis[3];
        // PyTorch gives the first number to the last axis in two dimensions, to the first in three.
        for (int i = 0; i < dims; i++)
          axis[3 - dims + i] = fractional_axis(x.size(i - dims), out[i], kernel[i],
                                               r.data<double>()[p * dims + (dims == 2 ? 1 - i : i)]);
        max_of_plane(axis, x.data<T>() + p * in_plane, y.data<T>() + p * out_plane, at.from(p * out_plane));
      }
    });
  });
  record_max(y, input, places, planes, nullptr, node);
  return {y, cast_values(places, Dtype::Int64)};
}

}  // namespace

#define NNLIB_MAX_POOL(N, dims, NODE)                                                                       \
  Tensor max_pool##N(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,              \
                     const Dims& padding, const Dims& dilation, bool ceil_mode) {                           \
    const SharedWindows w = sliding_windows(                                                                \
        input, {"max_pool" #N, dims, kernel_size, stride.value_or(Dims()), padding, dilation, ceil_mode});  \
    if (is_2x2(input, *w)) return max_2x2(input, w, NODE "WithIndicesBackward0");                           \
    return max_with_places(input, w, false, "max_pool" #N, NODE "WithIndicesBackward0").first;              \
  }                                                                                                         \
  TensorPair max_pool##N##_with_indices(const Tensor& input, const Dims& kernel_size,                       \
                                        const OptionalDims& stride, const Dims& padding,                    \
                                        const Dims& dilation, bool ceil_mode) {                             \
    const SharedWindows w = sliding_windows(                                                                \
        input, {"max_pool" #N, dims, kernel_size, stride.value_or(Dims()), padding, dilation, ceil_mode});  \
    return max_with_places(input, w, true, "max_pool" #N, NODE "WithIndicesBackward0");                     \
  }                                                                                                         \
  TensorPair adaptive_max_pool##N(const Tensor& input, const Dims& output_size) {                           \
    NNLIB_CHECK(input.is_floating_point(), "adaptive_max_pool" #N " expects floating point values, got ",   \
                dtype_name(input.dtype()));                                                                 \
    return max_with_places(input, adaptive_windows(input, "adaptive_max_pool" #N, dims, output_size), true, \
                           "adaptive_max_pool" #N, "Adaptive" NODE "Backward0");                            \
  }
NNLIB_MAX_POOL(1d, 1, "MaxPool1D")
NNLIB_MAX_POOL(2d, 2, "MaxPool2D")
NNLIB_MAX_POOL(3d, 3, "MaxPool3D")
#undef NNLIB_MAX_POOL

TensorPair fractional_max_pool2d(const Tensor& input, const Dims& kernel_size, const Dims& output_size,
                                 const Tensor& random_samples) {
  return fractional(input, kernel_size, output_size, random_samples, 2, "fractional_max_pool2d",
                    "FractionalMaxPool2DBackward0");
}
TensorPair fractional_max_pool3d(const Tensor& input, const Dims& kernel_size, const Dims& output_size,
                                 const Tensor& random_samples) {
  return fractional(input, kernel_size, output_size, random_samples, 3, "fractional_max_pool3d",
                    "FractionalMaxPool3DBackward0");
}

}  // namespace nnlib::ops
