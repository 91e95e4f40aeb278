#include "ops/pool_lines.h"

#include <algorithm>
#include <limits>

#include "core/bytes.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"
#include "ops/iterator.h"

namespace nnlib::ops {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kSumTaps = 64;  // more are added up in double

struct Pixels {
  int64_t samples, channels, in, out;
  explicit Pixels(const Windows& w)
      : samples(w.in_sizes[0]), channels(w.in_sizes[1]), in(w.in_plane()), out(w.out_plane()) {}
};

// Calls f(output, taps) for the windows [from, to) of a plane, taps being the places of its values in the
// plane.
template <class F>
void each_window(const Windows& w, int64_t from, int64_t to, std::vector<int32_t>& taps, const F& f) {
  const Axis &depth = w.axis[0], &height = w.axis[1], &width = w.axis[2];
  int64_t ow = from % width.out, oh = from / width.out % height.out, od = from / width.out / height.out;
  for (int64_t o = from; o < to; o++, ow++) {
    if (ow == width.out) ow = 0, oh++;
    if (oh == height.out) oh = 0, od++;
    taps.clear();
    const int64_t x0 = width.start(ow), x1 = width.end(ow);
    for (int64_t d = depth.start(od); d < depth.end(od); d += depth.step)
      for (int64_t h = height.start(oh); h < height.end(oh); h += height.step)
        for (int64_t x = x0; x < x1; x += width.step)
          taps.push_back((int32_t)((d * height.in + h) * width.in + x));
    f(o, w.divisor ? w.divisor : depth.count(od) * height.count(oh) * width.count(ow));
  }
}

// Calls f(sample, first window, end, first channel, channels): tasks of neighbouring windows.
template <class F>
void each_pixel_task(const Windows& w, const F& f) {
  const Pixels p(w);
  const int64_t cost = std::max<int64_t>(1, (p.in + p.out) * p.channels / p.out);
  const int64_t some = std::min(p.out, planes_per_chunk(cost)), parts = (p.out + some - 1) / some;
  parallel_for(0, p.samples * parts, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) f(t / parts, t % parts * some, std::min(p.out, (t % parts + 1) * some));
  });
}

}  // namespace

bool pools_channels(const Tensor& input, const Windows& w) {
  // Lines of few channels are turned into planes. (C, D, H, W) has no channels in its second dimension.
  return is_floating(input.dtype()) && input.dim() >= 4 && input.size(0) * input.size(1) == w.planes &&
         input.size(1) >= 8 && !input.is_contiguous() && is_channels_last(input.sizes(), input.strides()) &&
         w.in_plane() < INT32_MAX && w.out_plane() > 0 && w.out_plane() < INT32_MAX;
}

bool is_flat_image(const Tensor& input, const Windows& w) {
  if (!is_floating(input.dtype()) || input.dim() != 3 || input.numel() == 0 || input.is_contiguous())
    return false;
  const int64_t channels = input.size(1), length = input.size(2);
  // (C, H, W) of two-dimensional pooling has other planes.
  return channels > 1 && input.size(0) * channels == w.planes &&
         input.strides() == Dims{channels * length, 1, channels};
}
SharedWindows flat_image(const Windows& w) {
  Windows image = w;
  image.in_sizes = {w.in_sizes[0], w.in_sizes[1], 1, w.in_sizes[2]};
  image.out_sizes = {w.out_sizes[0], w.out_sizes[1], 1, w.out_sizes[2]};
  return std::make_shared<const Windows>(std::move(image));
}

namespace {

// The kernels of one element type: Raw is what they take for it. Sums are of the compute type.
#define NNLIB_POOL_KERNELS(T, RAW, TYPE, SUMS)                               \
  template <>                                                                \
  struct ChannelKernels<T> {                                                 \
    using Raw = RAW;                                                         \
    static auto max() { return kernels::table().pool_max_##TYPE; }           \
    static auto max_grad() { return kernels::table().pool_max_grad_##TYPE; } \
    static auto mean() { return kernels::table().pool_mean_##TYPE; }         \
    static auto sum_rows() { return kernels::table().sum_rows_##TYPE; }      \
    using C = compute_t<T>;                                                  \
    /* z = x / by */                                                         \
    static void divide(int64_t n, const C* x, C by, C* z) {                  \
      kernels::table().div_rows_##SUMS(1, n, x, n, 1, &by, 0, 0, z, n);      \
    }                                                                        \
  };
template <class T>
struct ChannelKernels;
NNLIB_POOL_KERNELS(float, float, f32, f32)
NNLIB_POOL_KERNELS(double, double, f64, f64)
NNLIB_POOL_KERNELS(BFloat16, uint16_t, bf16, f32)
NNLIB_POOL_KERNELS(Half, uint16_t, f16, f32)
#undef NNLIB_POOL_KERNELS

// The windows [from, end) of a plane of lines of `channels` values; y and at have such lines too. at may be
// null.
template <class T>
void max_windows(const T* plane, const Windows& w, int64_t channels, int64_t from, int64_t end, T* y,
                 int32_t* at) {
  using Raw = typename ChannelKernels<T>::Raw;
  const auto kernel = ChannelKernels<T>::max();
  std::vector<int32_t> taps;
  std::vector<int64_t> offset;
  each_window(w, from, end, taps, [&](int64_t o, int64_t) {
    if (taps.empty()) {
      const int64_t ow = o % w.axis[2].out, row = o / w.axis[2].out;
      std::fill_n(y + o * channels, channels, T(-kInfinity));
      if (at)
        std::fill_n(at + o * channels, channels,
                    (int32_t)first_place(w.axis, row / w.axis[1].out, row % w.axis[1].out, ow));
      return;
    }
    offset.clear();
    for (int32_t t : taps) offset.push_back(t * channels);
    kernel(channels, (int64_t)taps.size(), offset.data(), taps.data(), 0, (const Raw*)plane,
           (Raw*)(y + o * channels), at ? at + o * channels : nullptr);
  });
}

// y = the mean of each window, in y's type: a plane of T becomes lines of R.
template <class T, class R>
void mean_windows(const T* plane, const Windows& w, int64_t channels, int64_t from, int64_t end, R* y) {
  using K = ChannelKernels<T>;
  using C = compute_t<T>;
  using Raw = typename K::Raw;
  constexpr bool kDirect = std::is_same_v<R, C>;
  const StoreRow store = store_row(DtypeOf<C>::value, DtypeOf<R>::value);
  std::vector<int32_t> taps;
  std::vector<int64_t> offset;
  std::vector<C> wide(kDirect ? 0 : (size_t)channels);
  std::vector<double> sums;
  const Axis& width = w.axis[2];
  // Whether window o is the one before it, as those that hold neighbouring places are.
  const auto repeated = [&](int64_t o) {
    const int64_t i = o % width.out;
    return o > from && i > 0 && width.start(i) == width.start(i - 1) && width.end(i) == width.end(i - 1) &&
           width.count(i) == width.count(i - 1);
  };
  each_window(w, from, end, taps, [&](int64_t o, int64_t divisor) {
    const int64_t count = (int64_t)taps.size();
    R* to = y + o * channels;
    if (repeated(o)) {
      std::copy_n(to - channels, channels, to);
      return;
    }
    C* row;
    if constexpr (kDirect)
      row = to;
    else
      row = wide.data();
    if (count <= kSumTaps) {
      offset.clear();
      for (int32_t t : taps) offset.push_back(t * channels);
      K::mean()(channels, count, offset.data(), (const Raw*)plane, count ? (C)divisor : C(1), row);
    } else {
      // Runs of neighbouring pixels.
      sums.assign((size_t)channels, 0.0);
      for (int64_t t = 0; t < count;) {
        int64_t run = 1;
        while (t + run < count && taps[(size_t)(t + run)] == taps[(size_t)t] + run) run++;
        K::sum_rows()(run, channels, (const Raw*)(plane + taps[(size_t)t] * channels), channels, sums.data());
        t += run;
      }
      for (int64_t c = 0; c < channels; c++) row[c] = (C)(sums[(size_t)c] / (double)divisor);
    }
    if constexpr (!kDirect) store(channels, row, (char*)to, (int64_t)sizeof(R));
  });
}

// The windows that hold each place, as windows over a plane of windows.
Windows turned_round(const Windows& w) {
  Windows r;
  for (int k = 0; k < 3; k++) {
    const Axis& a = w.axis[k];
    Axis& b = r.axis[k];
    b.in = a.out, b.out = a.in;
    int64_t first = 0, last = 0;
    for (int64_t i = 0; i < a.in; i++) {
      while (first < a.out && a.end(first) <= i) first++;
      while (last < a.out && a.start(last) <= i) last++;
      b.starts.push_back(first);
      b.ends.push_back(std::max(first, last));
    }
  }
  r.planes = w.planes;
  r.in_sizes = w.out_sizes, r.out_sizes = w.in_sizes;
  return r;
}

// gx of the places [from, end) of a plane from the windows that hold each, `back`.
template <class T>
void max_grad_windows(const T* g, const int32_t* at, const Windows& back, int64_t channels, int64_t from,
                      int64_t end, T* gx) {
  using Raw = typename ChannelKernels<T>::Raw;
  const auto kernel = ChannelKernels<T>::max_grad();
  std::vector<int32_t> taps;
  std::vector<int64_t> offset;
  each_window(back, from, end, taps, [&](int64_t place, int64_t) {
    offset.clear();
    for (int32_t t : taps) offset.push_back(t * channels);
    kernel(channels, (int64_t)taps.size(), offset.data(), (int32_t)place, (const Raw*)g, at,
           (Raw*)(gx + place * channels));
  });
}

// What all windows are divided by; 0 where they differ.
int64_t common_divisor(const Windows& w) {
  if (w.divisor) return w.divisor;
  int64_t product = 1;
  for (const Axis& a : w.axis) {
    for (int64_t o = 1; o < a.out; o++)
      if (a.count(o) != a.count(0)) return 0;
    product *= a.out ? a.count(0) : 1;
  }
  return product;
}

// Each place gathers from the windows that hold it: nothing is written twice, and tasks share no place.
template <class T>
void spread_over_channels(const T* g, const Windows& w, T* gx) {
  using K = ChannelKernels<T>;
  using C = compute_t<T>;
  const Pixels p(w);
  Windows back = turned_round(w);
  back.divisor = common_divisor(w);
  std::vector<C> shares;  // of windows of different divisors
  if (!back.divisor) {
    back.divisor = 1;
    shares.resize((size_t)(p.samples * p.out * p.channels));
    const LoadRow load = load_row(DtypeOf<T>::value, DtypeOf<C>::value);
    each_pixel_task(w, [&](int64_t n, int64_t from, int64_t end) {
      std::vector<int32_t> taps;
      each_window(w, from, end, taps, [&](int64_t o, int64_t divisor) {
        const int64_t at = (n * p.out + o) * p.channels;
        load(p.channels, (const char*)(g + at), (int64_t)sizeof(T), shares.data() + at);
        K::divide(p.channels, shares.data() + at, divisor ? (C)divisor : C(1), shares.data() + at);
      });
    });
  }
  each_pixel_task(back, [&](int64_t n, int64_t from, int64_t end) {
    T* to = gx + n * p.in * p.channels;
    if (shares.empty())
      mean_windows(g + n * p.out * p.channels, back, p.channels, from, end, to);
    else
      mean_windows(shares.data() + n * p.out * p.channels, back, p.channels, from, end, to);
  });
}

// Planes that are turned into lines of planes, some at a time: f(planes, lines of x, lines of y, lines of
// places).
constexpr int64_t kTurned = 32, kTurnedBytes = 128 << 10;
inline int64_t planes_at_once(const Windows& w, size_t size) {
  return std::clamp<int64_t>(kTurnedBytes / (w.in_plane() * (int64_t)size), 8, kTurned);
}
template <class T>
void turn(int64_t rows, int64_t cols, const T* x, T* y, int64_t ldy) {
  const auto& k = kernels::table();
  if constexpr (sizeof(T) == 2)
    k.transpose_u16(rows, cols, (const uint16_t*)x, cols, (uint16_t*)y, ldy);
  else if constexpr (sizeof(T) == 4)
    k.transpose_u32(rows, cols, (const uint32_t*)x, cols, (uint32_t*)y, ldy);
  else
    k.transpose_u64(rows, cols, (const uint64_t*)x, cols, (uint64_t*)y, ldy);
}
template <class T>
void turn(int64_t rows, int64_t cols, const T* x, T* y) {
  turn(rows, cols, x, y, rows);
}
template <class T, class F>
void each_turned(const Windows& w, const T* x, T* y, int32_t* at, F f) {
  const int64_t in = w.in_plane(), out = w.out_plane(), some = planes_at_once(w, sizeof(T));
  parallel_for(0, (w.planes + some - 1) / some, 1, [&](int64_t b, int64_t e) {
    T* const from = drivers::scratch<drivers::Scratch::ImagesIn, T>(in * some);
    T* const to = drivers::scratch<drivers::Scratch::ImagesOut, T>(out * some);
    int32_t* const places = at ? drivers::scratch<drivers::Scratch::Rows, int32_t>(out * some) : nullptr;
    for (int64_t i = b; i < e; i++) {
      const int64_t p = i * some, n = std::min(some, w.planes - p);
      turn(n, in, x + p * in, from);
      f(n, from, to, places);
      turn(out, n, to, y + p * out);
      if (at) turn(out, n, places, at + p * out);
    }
  });
}

}  // namespace

void max_of_channels(const Tensor& input, const Windows& w, const Tensor& y, const Tensor& places) {
  const Pixels p(w);
  int32_t* at = places.defined() ? (int32_t*)places.raw() : nullptr;
  dispatch_floating(input.dtype(), "max_pool", [&](auto tag) {
    using T = typename decltype(tag)::type;
    each_pixel_task(w, [&](int64_t n, int64_t from, int64_t end) {
      const int64_t row = n * p.out * p.channels;
      max_windows((const T*)input.raw() + n * p.in * p.channels, w, p.channels, from, end, (T*)y.raw() + row,
                  at ? at + row : nullptr);
    });
  });
}
bool gathers_max_grad(const Tensor& g, const Tensor& places, const Windows& w) {
  constexpr double kMostWindows = 9;  // that hold a place
  if (!pools_channels(g, w) || places.dtype() != Dtype::Int32 ||
      !is_channels_last(places.sizes(), places.strides()))
    return false;
  double windows = 1;
  for (const Axis& a : w.axis) {
    if (a.step != 1) return false;
    int64_t length = 0;
    for (int64_t o = 0; o < a.out; o++) {
      if (a.start(o) >= a.end(o)) return false;
      length += a.end(o) - a.start(o);
    }
    windows *= (double)length / (double)a.in;
  }
  return windows <= kMostWindows;
}
void max_grad_of_channels(const Tensor& g, const Windows& w, const Tensor& places, const Tensor& gx) {
  const Windows back = turned_round(w);
  const Pixels p(w);
  const auto* at = (const int32_t*)places.raw();
  dispatch_floating(g.dtype(), "max_pool", [&](auto tag) {
    using T = typename decltype(tag)::type;
    each_pixel_task(back, [&](int64_t n, int64_t from, int64_t end) {
      const int64_t row = n * p.out * p.channels;
      max_grad_windows((const T*)g.raw() + row, at + row, back, p.channels, from, end,
                       (T*)gx.raw() + n * p.in * p.channels);
    });
  });
}
void mean_of_channels(const Tensor& input, const Windows& w, const Tensor& y) {
  const Pixels p(w);
  dispatch_floating(input.dtype(), "avg_pool", [&](auto tag) {
    using T = typename decltype(tag)::type;
    each_pixel_task(w, [&](int64_t n, int64_t from, int64_t end) {
      mean_windows((const T*)input.raw() + n * p.in * p.channels, w, p.channels, from, end,
                   (T*)y.raw() + n * p.out * p.channels);
    });
  });
}
void spread_over_channels(const Tensor& g, const Windows& w, const Tensor& gx) {
  dispatch_floating(g.dtype(), "avg_pool", [&](auto tag) {
    using T = typename decltype(tag)::type;
    spread_over_channels((const T*)g.raw(), w, (T*)gx.raw());
  });
}

bool pools_turned(const Tensor& input, const Windows& w) {
  if (!is_floating(input.dtype()) || w.planes < 8 || w.out_plane() < 4 || w.in_plane() > 8192) return false;
  return PoolRow(w.axis[2]).count < 16;
}
void max_turned(const Tensor& x, const Windows& w, const Tensor& y, const Tensor& places) {
  dispatch_floating(x.dtype(), "max_pool", [&](auto tag) {
    using T = typename decltype(tag)::type;
    each_turned(w, (const T*)x.raw(), (T*)y.raw(), places.defined() ? (int32_t*)places.raw() : nullptr,
                [&](int64_t n, const T* from, T* to, int32_t* at) {
                  max_windows(from, w, n, 0, w.out_plane(), to, at);
                });
  });
}
void mean_turned(const Tensor& x, const Windows& w, const Tensor& y) {
  dispatch_floating(x.dtype(), "avg_pool", [&](auto tag) {
    using T = typename decltype(tag)::type;
    each_turned(w, (const T*)x.raw(), (T*)y.raw(), nullptr, [&](int64_t n, const T* from, T* to, int32_t*) {
      mean_windows(from, w, n, 0, w.out_plane(), to);
    });
  });
}

// ---- lines of windows

PoolRow::PoolRow(const Axis& width) {
  const int64_t n = width.out;
  if (n == 0) return;
  if (!width.listed()) {
    first = (width.padding + width.stride - 1) / width.stride;
    const int64_t room = width.in - width.reach + width.padding;  // for the start of a whole one
    count = room < 0 ? 0 : std::min(n, room / width.stride + 1) - first;
    if (count > 0) {
      if (first + 1 < n) stride = width.stride;
      return;
    }
    first = 0;
  }
  // The longest windows, and the distance of the first two of them.
  int64_t reach = 0;
  for (int64_t o = 0; o < n; o++) reach = std::max(reach, width.end(o) - width.start(o));
  while (first < n && width.end(first) - width.start(first) != reach) first++;
  count = 1;
  if (first + 1 < n) stride = std::max<int64_t>(1, width.start(first + 1) - width.start(first));
  while (first + count < n && width.start(first + count) == width.start(first) + count * stride &&
         width.end(first + count) == width.end(first) + count * stride)
    count++;
}

template <class T>
PlaneLines<T>::PlaneLines(const Windows& w, const PoolRow& row) : w_(w), row_(row), ld_(w.axis[2].in) {
  const Axis& width = w.axis[2];
  const int64_t s = row_.stride;
  if (s == 1 || row_.count == 0) return;
  int64_t values = width.in;
  if (w.in_plane() == width.in && width.in > kNear) {
    piece_ = std::max<int64_t>(kNear / s, 64);
    values = (piece_ - 1) * s + width.end(row_.first) - width.start(row_.first);
  }
  ld_ = (values + s - 1) / s;
}

template <class T>
void PlaneLines<T>::begin(const T* x, int64_t planes) {
  x_ = x;
  if (row_.stride == 1 || piece_) return;
  const int64_t plane = w_.in_plane(), rows = plane / w_.axis[2].in, s = row_.stride;
  const int64_t of_plane = rows * s * ld_, ahead = first_ && x > first_ ? (x - first_) / plane : 0;
  if (ahead == 0 || ahead >= turned_ || x != first_ + ahead * plane) {
    // Small planes are taken apart some at a time.
    first_ = x;
    turned_ = std::min(planes, std::max<int64_t>(1, kNear / plane));
    phases_.resize((size_t)(turned_ * of_plane));
    take_apart(x, turned_ * rows, w_.axis[2].in);
    x_ = phases_.data();
    return;
  }
  x_ = phases_.data() + ahead * of_plane;
}

// The phases of `rows` rows of `width` values from x on.
template <class T>
void PlaneLines<T>::take_apart(const T* x, int64_t rows, int64_t width) {
  constexpr int64_t kTransposed = 4;  // phases that are worth a transposition
  const auto& k = kernels::table();
  const int64_t s = row_.stride;
  if constexpr (std::is_same_v<T, double>) {
    const int64_t whole = width / s;
    for (int64_t r = 0; r < rows; r++) {
      T* const to = phases_.data() + r * s * ld_;
      turn(whole, s, x + r * width, to, ld_);
      for (int64_t p = 0; p < width - whole * s; p++) to[p * ld_ + whole] = x[r * width + whole * s + p];
    }
  } else {
    const int64_t whole = s >= kTransposed ? width / s : 0;  // values of each phase
    for (int64_t r = 0; r < rows && whole > 0; r++)
      k.planes_from_pixels_f32(s, whole, x + r * width, s, phases_.data() + r * s * ld_, ld_);
    for (int64_t p = 0; p < std::min(s, width - whole * s); p++)
      k.conv_frame_f32(rows, 0, (width - p + s - 1) / s - whole, 0, s, x + whole * s + p, width,
                       phases_.data() + p * ld_ + whole, s * ld_);
  }
}

template <class T>
void PlaneLines<T>::list_taps(int64_t od, int64_t oh) {
  const Axis &depth = w_.axis[0], &height = w_.axis[1], &width = w_.axis[2];
  const int64_t s = row_.stride, x0 = width.start(row_.first), x1 = width.end(row_.first);
  if (od == listed_[0] && oh == listed_[1]) return;
  listed_[0] = od, listed_[1] = oh;
  offset_.clear();
  place_.clear();
  const int64_t left = piece_ ? x0 : 0;  // of what is taken apart
  for (int64_t d = depth.start(od); d < depth.end(od); d += depth.step)
    for (int64_t h = height.start(oh); h < height.end(oh); h += height.step)
      for (int64_t x = x0; x < x1; x += width.step) {
        const int64_t r = d * height.in + h;
        offset_.push_back((r * s + (x - left) % s) * ld_ + (x - left) / s);
        place_.push_back((int32_t)(r * width.in + x));
      }
}

// Calls f(i, n, x): the windows row().first + i, ... + n with their taps at offset_ of x.
template <class T>
template <class F>
void PlaneLines<T>::each_piece(F f) {
  if (!piece_) return f(0, row_.count, x_);
  const Axis& width = w_.axis[2];
  const int64_t s = row_.stride, start = width.start(row_.first), reach = width.end(row_.first) - start;
  phases_.resize((size_t)(s * ld_));
  for (int64_t i = 0; i < row_.count; i += piece_) {
    const int64_t n = std::min(piece_, row_.count - i);
    take_apart(x_ + start + i * s, 1, (n - 1) * s + reach);
    f(i, n, phases_.data());
  }
}

template <class T>
void PlaneLines<T>::max_row(int64_t od, int64_t oh, T* y, int32_t* at) {
  list_taps(od, oh);
  if (offset_.empty()) {
    std::fill_n(y, row_.count, -T(kInfinity));
    for (int64_t i = 0; at && i < row_.count; i++)
      at[i] = (int32_t)first_place(w_.axis, od, oh, row_.first + i);
    return;
  }
  const auto kernel = ChannelKernels<T>::max();
  each_piece([&](int64_t i, int64_t n, const T* x) {
    kernel(n, (int64_t)offset_.size(), offset_.data(), place_.data(), row_.stride, x, y + i,
           at ? at + i : nullptr);
    if (at && piece_)
      for (int32_t& p : place_) p += (int32_t)(n * row_.stride);
  });
  if (piece_) listed_[0] = -1;  // the places have moved
}
template <class T>
void PlaneLines<T>::sum_row(int64_t od, int64_t oh, T* y) {
  list_taps(od, oh);
  const auto kernel = ChannelKernels<T>::mean();
  each_piece([&](int64_t i, int64_t n, const T* x) {
    kernel(n, (int64_t)offset_.size(), offset_.data(), x, 1, y + i);
  });
}

template class PlaneLines<float>;
template class PlaneLines<double>;

}  // namespace nnlib::ops
