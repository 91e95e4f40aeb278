// Interpolation, one dimension after the other: each output value is a weighted sum of a few input values
// along a dimension. The map is linear, so its gradient is the transposed map.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/composite.h"
#include "ops/drivers/scratch.h"
#include "ops/iterator.h"
#include "ops/vision.h"

namespace nnlib::ops {

namespace {

// Output o of a dimension is the sum over k of weight[o * taps + k] * input[at[o * taps + k]].
struct Taps {
  int64_t in, out, taps;
  std::vector<int64_t> at;
  std::vector<double> weight;
  int bits = 0;  // whole weights of bytes: their sums are divided by 2^bits
  Taps(int64_t in, int64_t out, int64_t taps)
      : in(in), out(out), taps(taps), at((size_t)(out * taps), 0), weight((size_t)(out * taps), 0.0) {}
  void set(int64_t o, int64_t k, int64_t index, double w) {
    at[(size_t)(o * taps + k)] = std::min(std::max<int64_t>(index, 0), in - 1);
    weight[(size_t)(o * taps + k)] = w;
  }
};
using SharedTaps = std::shared_ptr<const Taps>;

enum class Mode { Nearest, NearestExact, Linear, Cubic };

// Step of the input coordinate for one step of the output's. Computed in float where PyTorch does, so that
// the same neighbours are chosen.
template <class R>
R input_step(int64_t in, int64_t out, std::optional<double> scale, bool align_corners) {
  if (align_corners) return out > 1 ? (R)(in - 1) / (R)(out - 1) : R(0);
  return scale && *scale > 0 ? (R)(1.0 / *scale) : (R)in / (R)out;
}

// Keys' cubic convolution kernel (1981) with the given parameter.
double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

template <class R>
SharedTaps nearest_taps(int64_t in, int64_t out, std::optional<double> scale, bool exact) {
  auto t = std::make_shared<Taps>(in, out, 1);
  const R step = input_step<R>(in, out, scale, false);
  for (int64_t o = 0; o < out; o++)
    t->set(o, 0, (int64_t)std::floor(exact ? ((R)o + R(0.5)) * step : (R)o * step), 1);
  return t;
}

template <class R>
SharedTaps smooth_taps(int64_t in, int64_t out, std::optional<double> scale, Mode mode, bool align_corners) {
  auto t = std::make_shared<Taps>(in, out, mode == Mode::Linear ? 2 : 4);
  const R step = input_step<R>(in, out, scale, align_corners);
  for (int64_t o = 0; o < out; o++) {
    R x = align_corners ? (R)o * step : ((R)o + R(0.5)) * step - R(0.5);
    if (mode == Mode::Linear) {
      x = std::max(x, R(0));
      const int64_t first = std::min((int64_t)x, in - 1);
      const double part = std::min<double>(std::max<double>(x - (R)first, 0), 1);
      t->set(o, 0, first, 1 - part);
      t->set(o, 1, first + 1, part);
    } else {
      const R floor = std::floor(x);
      for (int k = 0; k < 4; k++)
        t->set(o, k, (int64_t)floor - 1 + k, cubic((double)(x - floor) + 1 - k, -0.75));
    }
  }
  return t;
}

// The filter is as wide as the step where the image shrinks (Pillow's way).
SharedTaps antialias_taps(int64_t in, int64_t out, std::optional<double> scale, Mode mode,
                          bool align_corners) {
  const double step = input_step<double>(in, out, scale, align_corners);
  const double reach = mode == Mode::Linear ? 1 : 2, support = step >= 1 ? reach * step : reach;
  const double shrink = step >= 1 ? 1 / step : 1;
  auto t = std::make_shared<Taps>(in, out, (int64_t)std::ceil(support) * 2 + 1);
  for (int64_t o = 0; o < out; o++) {
    const double center = step * ((double)o + 0.5);
    const int64_t first = std::max<int64_t>((int64_t)(center - support + 0.5), 0);
    const int64_t count = std::min(std::min<int64_t>((int64_t)(center + support + 0.5), in) - first, t->taps);
    double total = 0;
    std::vector<double> w;
    for (int64_t k = 0; k < count; k++) {
      const double x = ((double)(k + first) - center + 0.5) * shrink;
      w.push_back(mode == Mode::Linear ? std::max(0.0, 1 - std::abs(x)) : cubic(x, -0.5));
      total += w.back();
    }
    for (int64_t k = 0; k < count; k++) t->set(o, k, first + k, total != 0 ? w[(size_t)k] / total : 0);
  }
  return t;
}

// Bytes are summed in whole numbers, as in PyTorch (and Pillow): weights of at most 15 bits, those of one
// place added up before.
SharedTaps of_bytes(const Taps& smooth) {
  auto t = std::make_shared<Taps>(smooth);
  double most = 0;
  for (int64_t o = 0; o < t->out; o++)
    for (int64_t k = o * t->taps; k < (o + 1) * t->taps; k++)
      for (int64_t j = o * t->taps; j <= k; j++)
        if (j < k && t->at[(size_t)j] == t->at[(size_t)k]) {
          t->weight[(size_t)j] += t->weight[(size_t)k];
          t->weight[(size_t)k] = 0;
          break;
        }
  for (double w : t->weight) most = std::max(most, w);
  while (t->bits < 22 && (int64_t)(0.5 + most * (double)(1 << (t->bits + 1))) < 1 << 15) t->bits++;
  for (double& w : t->weight) w = std::trunc(w * (double)(1 << t->bits) + (w < 0 ? -0.5 : 0.5));
  return t;
}

// out = a x + b y
inline void blend(int64_t n, const float* x, const float* y, float a, float b, float* out) {
  kernels::table().norm_grad_f32(n, x, y, a, b, 0, out);
}
inline void blend(int64_t n, const double* x, const double* y, double a, double b, double* out) {
  kernels::table().norm_grad_f64(n, x, y, a, b, 0, out);
}
inline void add_scaled(int64_t n, float a, const float* x, float* sums) {
  kernels::table().norm_grad_f32(n, x, sums, a, 1, 0, sums);
}
inline void add_scaled(int64_t n, double a, const double* x, double* sums) {
  kernels::table().norm_grad_f64(n, x, sums, a, 1, 0, sums);
}
inline void add_scaled(int64_t n, int32_t a, const uint8_t* x, int32_t* sums) {
  for (int64_t i = 0; i < n; i++) sums[i] += a * x[i];
}

// What sums start from, and the value of one.
template <class C>
C nothing(const Taps& t) {
  return std::is_integral_v<C> && t.bits ? C(1 << (t.bits - 1)) : C(0);
}
template <class T, class C>
T value(const Taps& t, C sum) {
  if constexpr (std::is_integral_v<T>)
    return (T)std::min(std::max(sum >> t.bits, C(0)), C(255));
  else
    return (T)sum;
}

// The last dimension: values lie beside each other, each output is a short dot product.
template <class T, class C>
void resample_row(const Taps& t, const C* weight, const T* in, T* out) {
  if (t.taps == 2) {
    for (int64_t o = 0; o < t.out; o++)
      out[o] = value<T>(
          t, nothing<C>(t) + weight[2 * o] * (C)in[t.at[2 * o]] + weight[2 * o + 1] * (C)in[t.at[2 * o + 1]]);
    return;
  }
  for (int64_t o = 0; o < t.out; o++) {
    C sum = nothing<C>(t);
    for (int64_t k = o * t.taps; k < (o + 1) * t.taps; k++) sum += weight[k] * (C)in[t.at[k]];
    out[o] = value<T>(t, sum);
  }
}

// Pixels of I channels that lie side by side: calls would cost more than the work.
template <int I, class T, class C>
void resample_pixels(const Taps& t, const C* weight, const T* in, T* out) {
  for (int64_t o = 0; o < t.out; o++, out += I) {
    C sum[I];
    std::fill_n(sum, I, nothing<C>(t));
    for (int64_t k = o * t.taps; k < (o + 1) * t.taps; k++) {
      const T* from = in + t.at[k] * I;
#pragma GCC unroll 4
      for (int c = 0; c < I; c++) sum[c] += weight[k] * (C)from[c];
    }
#pragma GCC unroll 4
    for (int c = 0; c < I; c++) out[c] = value<T>(t, sum[c]);
  }
}
template <int I, class C>
void spread_pixels(const Taps& t, const C* weight, const C* from, C* sums) {
  for (int64_t o = 0; o < t.out; o++, from += I)
    for (int64_t k = o * t.taps; k < (o + 1) * t.taps; k++) {
      C* to = sums + t.at[k] * I;
#pragma GCC unroll 4
      for (int c = 0; c < I; c++) to[c] += weight[k] * from[c];
    }
}

// Another dimension: each output is a weighted sum of rows of `inner` values. Output o; row(k) is tap k's.
template <class T, class C, class Row>
void resample_one_row(const Taps& t, int64_t o, const C* weight, int64_t inner, Row row, T* out, C* sums) {
  const C* w = weight + o * t.taps;
  if constexpr (!std::is_integral_v<T>) {
    if (t.taps == 2) {
      const C *first = row(0), *second = row(1);
      return blend(inner, first, second, w[0], w[1], out);
    }
  }
  std::fill(sums, sums + inner, nothing<C>(t));
  for (int64_t k = 0; k < t.taps; k++)
    if (w[k] != 0) add_scaled(inner, w[k], row(k), sums);
  for (int64_t i = 0; i < inner; i++) out[i] = value<T>(t, sums[i]);
}

int64_t outer_grain(int64_t row) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, row)); }

// x is (outer, in, inner); y (outer, out, inner).
template <class T>
void resample(const Taps& t, int64_t outer, int64_t inner, const T* x, T* y) {
  using C = std::conditional_t<std::is_floating_point_v<compute_t<T>>, compute_t<T>, int32_t>;
  const std::vector<C> weight(t.weight.begin(), t.weight.end());
  if (t.taps > 1 && inner > 4) {
    return parallel_for(0, outer * t.out, outer_grain(inner), [&](int64_t b, int64_t e) {
      std::vector<C> sums((size_t)inner);
      for (int64_t r = b; r < e; r++) {
        const int64_t o = r % t.out;
        const T* in = x + r / t.out * t.in * inner;
        const auto row = [&](int64_t k) { return in + t.at[(size_t)(o * t.taps + k)] * inner; };
        resample_one_row(t, o, weight.data(), inner, row, y + r * inner, sums.data());
      }
    });
  }
  parallel_for(0, outer, outer_grain(t.out * inner), [&](int64_t b, int64_t e) {
    for (int64_t p = b; p < e; p++) {
      const T* in = x + p * t.in * inner;
      T* out = y + p * t.out * inner;
      if (t.taps == 1 && inner == 1) {
        for (int64_t o = 0; o < t.out; o++) out[o] = in[t.at[o]];
      } else if (t.taps == 1) {
        for (int64_t o = 0; o < t.out; o++)
          std::memcpy(out + o * inner, in + t.at[o] * inner, (size_t)inner * sizeof(T));
      } else if (inner == 1) {
        resample_row(t, weight.data(), in, out);
      } else if (inner == 2) {
        resample_pixels<2>(t, weight.data(), in, out);
      } else if (inner == 3) {
        resample_pixels<3>(t, weight.data(), in, out);
      } else {
        resample_pixels<4>(t, weight.data(), in, out);
      }
    }
  });
}
// Rows of 16-bit floats: those that an output wants become float32 for it.
void resample_half_rows(const Taps& t, int64_t outer, int64_t inner, const Tensor& x, float* y) {
  const std::vector<float> weight(t.weight.begin(), t.weight.end());
  const LoadRow load = load_row(x.dtype(), Dtype::Float32);
  constexpr int64_t kItem = 2;
  parallel_for(0, outer * t.out, outer_grain(inner), [&](int64_t b, int64_t e) {
    float* const rows = drivers::scratch<drivers::Scratch::Rows, float>(3 * inner);
    for (int64_t r = b; r < e; r++) {
      const int64_t o = r % t.out;
      const char* in = (const char*)x.raw() + r / t.out * t.in * inner * kItem;
      const auto row = [&](int64_t k) {
        float* const to = rows + k % 2 * inner;
        load(inner, in + t.at[(size_t)(o * t.taps + k)] * inner * kItem, kItem, to);
        return to;
      };
      resample_one_row(t, o, weight.data(), inner, row, y + r * inner, rows + 2 * inner);
    }
  });
}

template <class T>
void resample_transposed(const Taps& t, int64_t outer, int64_t inner, const T* g, T* gx) {
  using C = T;
  const std::vector<C> weight(t.weight.begin(), t.weight.end());
  parallel_for(0, outer, outer_grain(t.out * inner), [&](int64_t b, int64_t e) {
    for (int64_t p = b; p < e; p++) {
      T* sums = gx + p * t.in * inner;
      std::fill(sums, sums + t.in * inner, C(0));
      const T* from = g + p * t.out * inner;
      if (inner == 1 && t.taps == 1) {
        // Neighbouring outputs show the same value: their gradients meet in a register.
        for (int64_t o = 0; o < t.out;) {
          const int64_t i = t.at[o];
          C sum = 0;
          do sum += (C)from[o++];
          while (o < t.out && t.at[o] == i);
          sums[i] += sum;
        }
      } else if (inner == 1) {
        for (int64_t o = 0; o < t.out; o++)
          for (int64_t k = o * t.taps; k < (o + 1) * t.taps; k++) sums[t.at[k]] += weight[k] * (C)from[o];
      } else if (inner == 2) {
        spread_pixels<2>(t, weight.data(), from, sums);
      } else if (inner == 3) {
        spread_pixels<3>(t, weight.data(), from, sums);
      } else if (inner == 4) {
        spread_pixels<4>(t, weight.data(), from, sums);
      } else {
        for (int64_t o = 0; o < t.out; o++, from += inner)
          for (int64_t k = o * t.taps; k < (o + 1) * t.taps; k++)
            if (weight[k] != 0) add_scaled(inner, weight[k], from, sums + t.at[k] * inner);
      }
    }
  });
}

// All dimensions at once, channels being the last: an output pixel is a sum of pixels.
template <class Bits, class C>
void resample_pixels_at_once(const Tensor& x, const std::vector<SharedTaps>& taps, const Tensor& y,
                             void (*sum)(int64_t, int64_t, const int64_t*, const Bits*, int64_t, const C*,
                                         Bits*)) {
  const auto n = (int64_t)taps.size();
  const int64_t channels = x.size(-1);
  const Taps& width = *taps.back();
  int64_t rows = 1, in_rows = 1, most = 1;
  for (int64_t d = 0; d + 1 < n; d++) {
    rows *= taps[(size_t)d]->out, in_rows *= taps[(size_t)d]->in;
    most *= taps[(size_t)d]->taps;
  }
  const int64_t width_taps = width.taps;
  const std::vector<C> across(width.weight.begin(), width.weight.end());
  parallel_for(0, x.size(0) * rows, outer_grain(width.out * channels), [&](int64_t b, int64_t e) {
    std::vector<int64_t> line, at((size_t)(most * width.taps));
    std::vector<C> factor, weight(at.size());
    for (int64_t r = b; r < e; r++) {
      // Lines of pixels that a row of outputs sees.
      line.assign(1, 0), factor.assign(1, C(1));
      int64_t rest = r % rows, scale = width.in;
      for (int64_t d = n - 2; d >= 0; d--) {
        const Taps& t = *taps[(size_t)d];
        const size_t first = (size_t)(rest % t.out * t.taps), had = line.size();
        for (int64_t k = t.taps - 1; k >= 0; k--)
          for (size_t i = 0; i < had; i++) {
            const int64_t from = line[i] + t.at[first + (size_t)k] * scale;
            const C f = factor[i] * (C)t.weight[first + (size_t)k];
            if (k > 0)
              line.push_back(from), factor.push_back(f);
            else
              line[i] = from, factor[i] = f;
          }
        rest /= t.out;
        scale *= t.in;
      }
      const Bits* from = (const Bits*)x.raw() + r / rows * in_rows * width.in * channels;
      Bits* to = (Bits*)y.raw() + r * width.out * channels;
      const int64_t lines = (int64_t)line.size();
      for (int64_t o = 0; o < width.out; o++, to += channels) {
        const int64_t* const columns = width.at.data() + o * width.taps;
        const C* const part = across.data() + o * width.taps;
        int64_t* where = at.data();
        C* w = weight.data();
        for (int64_t i = 0; i < lines; i++) {
          const int64_t start = line[(size_t)i];
          const C f = factor[(size_t)i];
          for (int64_t k = 0; k < width_taps; k++) *where++ = start + columns[k], *w++ = f * part[k];
        }
        sum(lines * width_taps, channels, at.data(), from, channels, weight.data(), to);
      }
    }
  });
}
Tensor resample_at_once(const Tensor& x, const std::vector<SharedTaps>& taps) {
  Dims sizes = x.sizes();
  for (size_t d = 0; d < taps.size(); d++) sizes[1 + d] = taps[d]->out;
  Tensor y = empty(sizes, x.dtype());
  const auto& k = kernels::table();
  switch (x.dtype()) {
    case Dtype::BFloat16:
      resample_pixels_at_once(x, taps, y, k.sum_rows_indexed_bf16);
      break;
    case Dtype::Float16:
      resample_pixels_at_once(x, taps, y, k.sum_rows_indexed_f16);
      break;
    case Dtype::Float32:
      resample_pixels_at_once(x, taps, y, k.sum_rows_indexed_f32);
      break;
    default:
      resample_pixels_at_once(x, taps, y, k.sum_rows_indexed_f64);
  }
  return y;
}

// One dimension of a contiguous tensor, 16-bit floats becoming float32. No history.
Tensor apply(const Tensor& given, int64_t dim, const Taps& t, bool transposed) {
  Dims sizes = given.sizes();
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < given.dim(); d++)
    (d < dim ? outer : d > dim ? inner : sizes[(size_t)d]) *= d == dim ? 1 : given.size(d);
  sizes[(size_t)dim] = transposed ? t.in : t.out;
  const bool half = is_reduced_float(given.dtype());
  Tensor y = empty(sizes, half ? Dtype::Float32 : given.dtype());
  if (half && !transposed && inner > 4 && t.out * t.taps <= 2 * t.in) {
    resample_half_rows(t, outer, inner, given, y.data<float>());
    return y;
  }
  const Tensor x = half ? cast_values(given, Dtype::Float32) : given;
  if (x.dtype() == Dtype::UInt8) {
    resample<uint8_t>(t, outer, inner, x.data<uint8_t>(), y.data<uint8_t>());
    return y;
  }
  const auto run = [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (transposed)
      resample_transposed<T>(t, outer, inner, x.data<T>(), y.data<T>());
    else
      resample<T>(t, outer, inner, x.data<T>(), y.data<T>());
  };
  if (x.dtype() == Dtype::Float64)
    run(TypeTag<double>{});
  else if (x.dtype() == Dtype::Float32)
    run(TypeTag<float>{});
  else
    throw NotImplementedError(
        concat("\"interpolate\" not implemented for '", dtype_legacy_name(x.dtype()), "'"));
  return y;
}

// One tap in every dimension from `first` on: values are only picked, all dimensions at once. A row that
// shows the same values as the one before it is a copy of it.
template <class T>
void pick(const Tensor& x, int64_t first, const std::vector<SharedTaps>& taps, const Tensor& y) {
  const int64_t n = (int64_t)taps.size();
  const Taps& width = *taps.back();
  int64_t rows = 1, in_rows = 1, inner = 1;  // of a plane; of a value
  for (int64_t d = 0; d + 1 < n; d++) rows *= taps[(size_t)d]->out, in_rows *= taps[(size_t)d]->in;
  for (int64_t d = first + n; d < x.dim(); d++) inner *= x.size(d);
  std::vector<int64_t> source((size_t)rows);
  for (int64_t r = 0; r < rows; r++) {
    int64_t rest = r, scale = 1;
    for (int64_t d = n - 2; d >= 0; d--) {
      const Taps& t = *taps[(size_t)d];
      source[(size_t)r] += t.at[(size_t)(rest % t.out)] * scale;
      rest /= t.out;
      scale *= t.in;
    }
  }
  const int64_t row = width.out * inner, planes = y.numel() / (rows * row);
  const T* from = (const T*)x.raw();
  T* to = (T*)y.raw();
  parallel_for(0, planes * rows, outer_grain(row), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; r++) {
      T* out = to + r * row;
      if (r > b && r % rows > 0 && source[(size_t)(r % rows)] == source[(size_t)(r % rows - 1)]) {
        std::memcpy(out, out - row, (size_t)row * sizeof(T));
        continue;
      }
      const T* in = from + (r / rows * in_rows + source[(size_t)(r % rows)]) * width.in * inner;
      if (inner == 1)
        for (int64_t o = 0; o < width.out; o++) out[o] = in[width.at[(size_t)o]];
      else
        for (int64_t o = 0; o < width.out; o++)
          std::memcpy(out + o * inner, in + width.at[(size_t)o] * inner, (size_t)inner * sizeof(T));
    }
  });
}
Tensor pick_all(const Tensor& x, int64_t first, const std::vector<SharedTaps>& taps) {
  Dims sizes = x.sizes();
  for (size_t d = 0; d < taps.size(); d++) sizes[(size_t)first + d] = taps[d]->out;
  Tensor y = empty(sizes, x.dtype());
  if (y.numel() == 0) return y;
  switch (x.itemsize()) {
    case 1:
      pick<uint8_t>(x, first, taps, y);
      break;
    case 2:
      pick<uint16_t>(x, first, taps, y);
      break;
    case 4:
      pick<uint32_t>(x, first, taps, y);
      break;
    default:
      pick<uint64_t>(x, first, taps, y);
  }
  return y;
}

// The same values with the channels as the last dimension, and back: views of a channels-last tensor.
Tensor channels_behind(const Tensor& x) {
  Dims sizes = x.sizes();
  sizes.erase(1);
  sizes.push_back(x.size(1));
  return nnlib::alias(x, sizes, contiguous_strides(sizes), x.storage_offset());
}
Tensor channels_second(const Tensor& x) {
  Dims sizes = x.sizes();
  sizes.insert(1, sizes.back());
  sizes.erase(sizes.size() - 1);
  return nnlib::alias(x, sizes, channels_last_strides(sizes), x.storage_offset());
}

// What one dimension after the other takes, in sums of vectors, the first or the last first: what shrinks
// leaves less to the others. Values that lie beside each other are summed one by one, rows by vectors.
double resample_cost(const Tensor& x, int64_t first, const std::vector<SharedTaps>& taps, bool transposed,
                     bool ascending) {
  const auto n = (int64_t)taps.size();
  const int64_t channels = first + n < x.dim() ? x.size(-1) : 1;
  double sum = 0, values = 1;
  for (const SharedTaps& t : taps) values *= (double)(transposed ? t->out : t->in);
  for (int64_t i = 0; i < n; i++) {
    const int64_t d = ascending ? i : n - 1 - i;
    const Taps& t = *taps[(size_t)d];
    const double others = values / (double)(transposed ? t.out : t.in);
    const double each = d + 1 < n || channels > 4 ? 1 : channels > 1 ? 4 : 8;
    sum += others * (double)(t.out * t.taps) * each;
    values = others * (double)(transposed ? t.in : t.out);
  }
  return sum;
}
// Whether outputs are better summed from all of their taps at once, which leaves out what nobody sees.
bool goes_at_once(const Tensor& x, const std::vector<SharedTaps>& taps, double one_by_one) {
  constexpr double kOnce = 0.6;  // a call for each pixel takes more than what it leaves out
  double sum = 1;
  for (const SharedTaps& t : taps) sum *= (double)(t->out * t->taps);
  return is_floating(x.dtype()) && x.size(-1) >= 8 && sum <= kOnce * one_by_one;
}

// All dimensions, one after the other.
Tensor apply_all(const Tensor& input, const std::vector<SharedTaps>& taps, bool transposed,
                 const char* node) {
  const bool last =
      input.dim() >= 4 && !input.is_contiguous() && is_channels_last(input.sizes(), input.strides());
  Tensor x = last ? channels_behind(input) : contiguous_values(input);
  const int64_t n = (int64_t)taps.size(), first = last ? 1 : 2;
  const bool picks = !transposed && (x.dtype() == Dtype::UInt8 || is_floating(x.dtype())) &&
                     std::all_of(taps.begin(), taps.end(), [](const SharedTaps& t) { return t->taps == 1; });
  if (picks) x = pick_all(x, first, taps);
  // Bytes are rounded after each dimension, the last first as in PyTorch; 16-bit floats after all of them.
  const double costs[2] = {resample_cost(x, first, taps, transposed, false),
                           resample_cost(x, first, taps, transposed, true)};
  const bool ascending = x.dtype() != Dtype::UInt8 && costs[1] < costs[0];
  const bool at_once = !picks && !transposed && last && goes_at_once(x, taps, costs[ascending]);
  if (at_once) x = resample_at_once(x, taps);
  for (int64_t i = 0; i < n && !picks && !at_once; i++) {
    const int64_t d = ascending ? i : n - 1 - i;
    x = apply(x, first + d, *taps[(size_t)d], transposed);
  }
  if (x.dtype() != input.dtype()) x = cast_values(x, input.dtype());
  const Tensor out = last ? channels_second(x) : x;
  if (wants_grad(input)) {
    record(out, node, {input}, [taps, transposed, node](Backward&, const TensorList& g) {
      return TensorList{apply_all(g[0], taps, !transposed, node)};
    });
  }
  return out;
}

struct ModeInfo {
  const char* name;
  int64_t dims;  // 0: any
  Mode mode;
  const char* nodes[3];
};
constexpr ModeInfo kModes[] = {
    {"nearest",
     0,
     Mode::Nearest,
     {"UpsampleNearest1DBackward0", "UpsampleNearest2DBackward0", "UpsampleNearest3DBackward0"}},
    {"nearest-exact",
     0,
     Mode::NearestExact,
     {"UpsampleNearestExact1DBackward0", "UpsampleNearestExact2DBackward0",
      "UpsampleNearestExact3DBackward0"}},
    {"linear", 1, Mode::Linear, {"UpsampleLinear1DBackward0", nullptr, nullptr}},
    {"bilinear", 2, Mode::Linear, {nullptr, "UpsampleBilinear2DBackward0", nullptr}},
    {"trilinear", 3, Mode::Linear, {nullptr, nullptr, "UpsampleTrilinear3DBackward0"}},
    {"bicubic", 2, Mode::Cubic, {nullptr, "UpsampleBicubic2DBackward0", nullptr}},
};

template <class R>
SharedTaps make_taps(int64_t in, int64_t out, std::optional<double> scale, Mode mode, bool align_corners,
                     bool antialias) {
  if (mode == Mode::Nearest || mode == Mode::NearestExact)
    return nearest_taps<R>(in, out, scale, mode == Mode::NearestExact);
  if (antialias) return antialias_taps(in, out, scale, mode, align_corners);
  return smooth_taps<R>(in, out, scale, mode, align_corners);
}

}  // namespace

Tensor interpolate(const Tensor& input, const Dims& size, const std::optional<std::vector<double>>& scales,
                   const std::string& mode, bool align_corners, bool antialias) {
  const int64_t dims = input.dim() - 2;
  NNLIB_CHECK_VALUE(dims >= 1 && dims <= 3,
                    "interpolate expects (N, C, ...) with one to three dimensions more, got ", input.sizes());
  NNLIB_CHECK_VALUE(size.ssize() == dims,
                    "Input and output must have the same number of spatial dimensions, but got input with ",
                    dims, " spatial dimensions and output size of ", size);
  NNLIB_CHECK_VALUE(!scales || (int64_t)scales->size() == dims, "expected one scale factor for each of the ",
                    dims, " spatial dimensions, got ", scales ? scales->size() : 0);
  const ModeInfo* info = nullptr;
  for (const ModeInfo& m : kModes)
    if (mode == m.name && (m.dims == 0 || m.dims == dims)) info = &m;
  if (!info)
    throw_message<NotImplementedError>("interpolate of a ", input.dim(), "D input does not take mode ", mode);
  NNLIB_CHECK_VALUE(!antialias || mode == "bilinear" || mode == "bicubic",
                    "Anti-alias option is restricted to bilinear and bicubic modes, got ", mode);
  std::vector<SharedTaps> taps;
  for (int64_t d = 0; d < dims; d++) {
    const int64_t in = input.size(2 + d), out = size[(size_t)d];
    NNLIB_CHECK(in > 0 && out > 0, "Input and output sizes should be greater than 0, but got input ",
                input.sizes(), " and output size ", size);
    std::optional<double> scale;
    if (scales) scale = (*scales)[(size_t)d];
    // PyTorch's images go by their sizes here, where a factor of 2.3 makes 4 pixels out of 2.
    if (info->mode == Mode::Nearest && dims == 2 && (out == in || out == 2 * in)) scale = std::nullopt;
    const bool bytes =
        input.dtype() == Dtype::UInt8 && info->mode != Mode::Nearest && info->mode != Mode::NearestExact;
    taps.push_back(bytes || input.dtype() == Dtype::Float64
                       ? make_taps<double>(in, out, scale, info->mode, align_corners, antialias)
                       : make_taps<float>(in, out, scale, info->mode, align_corners, antialias));
    if (bytes) taps.back() = of_bytes(*taps.back());
  }
  return apply_all(input, taps, false, info->nodes[dims - 1]);
}

}  // namespace nnlib::ops
