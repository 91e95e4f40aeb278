// Convolutions of few planes with padding in front of and behind them: many of the taps along the depth see
// padding alone. Results that see the same taps are a convolution of fewer taps and planes, without padding.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/conv_runs.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// What an element of the weights costs beside its products, and an element that is copied, in multiply-adds.
constexpr double kPacked = 28, kCopied = 20;
// The share of the time that has to be left.
constexpr double kWorth = 0.85;

// The convolution of some of the planes and taps, and the first of each.
struct Part {
  ConvShape shape;
  int64_t in, out, tap;
};
Part part_of(const ConvShape& s, int64_t in, int64_t in_end, int64_t out, int64_t out_end, int64_t tap,
             int64_t tap_end) {
  Part p{s, in, out, tap};
  p.shape.in[0] = in_end - in, p.shape.out[0] = out_end - out, p.shape.kernel[0] = tap_end - tap;
  p.shape.padding[0] = s.padding[0] + in - out * s.stride[0] - tap * s.dilation[0];
  return p;
}

// Calls f(first, end, low, high) for runs of 0 .. n - 1 that have the same range [low, high).
template <class R, class F>
void for_ranges(int64_t n, R range, F f) {
  for (int64_t i = 0; i < n;) {
    const auto [low, high] = range(i);
    int64_t end = i + 1;
    while (end < n && range(end) == std::pair(low, high)) ++end;
    f(i, end, low, high);
    i = end;
  }
}

using Range = std::pair<int64_t, int64_t>;
// The outputs that tap k gives something from the input.
Range outputs_of(const TapAxis& axis, int64_t k) {
  int64_t low = 0, high = axis.count;
  while (low < high && axis.at[size_t(k)] + low * axis.stride < 0) ++low;
  while (low < high && axis.at[size_t(k)] + (high - 1) * axis.stride >= axis.in) --high;
  return {low, high};
}

std::vector<Part> forward_parts(const ConvShape& s) {
  const TapAxis axis(s, 0);
  std::vector<Part> parts;
  for_ranges(
      s.out[0], [&](int64_t o) { return Range(axis.low(o), axis.high(o)); },
      [&](int64_t o, int64_t end, int64_t low, int64_t high) {
        if (low == high) return parts.push_back(part_of(s, 0, 0, o, end, 0, 0));
        parts.push_back(part_of(s, axis.at[size_t(low)] + o * s.stride[0],
                                axis.at[size_t(high - 1)] + (end - 1) * s.stride[0] + 1, o, end, low, high));
      });
  return parts;
}
// Without a stride.
std::vector<Part> back_parts(const ConvShape& s) {
  const TapAxis axis(s, 0);
  std::vector<Part> parts;
  const auto taps = [&](int64_t i) {  // output i - at[k] for tap k
    int64_t low = 0, high = axis.taps();
    while (low < high && i - axis.at[size_t(low)] >= s.out[0]) ++low;
    while (low < high && i < axis.at[size_t(high - 1)]) --high;
    return Range(low, high);
  };
  for_ranges(s.in[0], taps, [&](int64_t i, int64_t end, int64_t low, int64_t high) {
    if (low == high) return parts.push_back(part_of(s, i, end, 0, 0, 0, 0));
    parts.push_back(part_of(s, i, end, i - axis.at[size_t(high - 1)], end - axis.at[size_t(low)], low, high));
  });
  return parts;
}
std::vector<Part> weight_parts(const ConvShape& s) {
  const TapAxis axis(s, 0);
  std::vector<Part> parts;
  for_ranges(
      s.kernel[0], [&](int64_t k) { return outputs_of(axis, k); },
      [&](int64_t k, int64_t end, int64_t low, int64_t high) {
        if (low == high) return parts.push_back(part_of(s, 0, 0, 0, 0, k, end));
        parts.push_back(part_of(s, axis.at[size_t(k)] + low * s.stride[0],
                                axis.at[size_t(end - 1)] + (high - 1) * s.stride[0] + 1, low, high, k, end));
      });
  return parts;
}

double products(const ConvShape& s) {
  return double(s.taps()) * (double(s.batch * s.out_pixels()) + kPacked) * double(s.in_group()) *
         double(s.out_channels);
}
double copied(int64_t planes, int64_t all, int64_t plane, int64_t channels) {
  return planes == all ? 0 : kCopied * double(planes * plane * channels);
}
bool pays(const ConvShape& s, const std::vector<Part>& parts) {
  double sum = 0;
  for (const Part& p : parts) {
    sum += products(p.shape) +
           double(s.batch) * (copied(p.shape.in[0], s.in[0], s.in[1] * s.in[2], s.in_channels) +
                              copied(p.shape.out[0], s.out[0], s.out[1] * s.out[2], s.out_channels));
  }
  return sum < kWorth * products(s);
}
bool may_be_cut(const ConvShape& s) { return s.kernel[0] > 1 && s.in_group() > 1; }

// Planes [first, first + count) of all images: as they lie where that is all of them, otherwise in a buffer.
class Planes {
 public:
  Planes(const ConvImages& t, int64_t depth, int64_t first, int64_t count)
      : whole_(t), part_(t), depth_(depth), first_(first), count_(count) {
    part_.pixels = t.pixels / depth * count;
  }
  template <Scratch S>
  const ConvImages& buffer(int64_t batch) {
    if (count_ < depth_) part_.data = scratch<S, char>(batch * part_.channels * part_.pixels * size());
    return part_;
  }
  void read(int64_t batch) const {
    copy(batch, [](char* part, char* whole, size_t n) { std::memcpy(part, whole, n); });
  }
  void write(int64_t batch) const {
    copy(batch, [](char* part, char* whole, size_t n) { std::memcpy(whole, part, n); });
  }

 private:
  int64_t size() const { return element_size(whole_); }
  template <class F>
  void copy(int64_t batch, F f) const {
    if (count_ == depth_ || part_.pixels == 0) return;
    const bool last = whole_.channels_last;
    const int64_t runs = last ? batch : batch * whole_.channels, run = size() * (last ? whole_.channels : 1),
                  from = whole_.pixels / depth_ * first_ * run;
    const size_t n = size_t(part_.pixels * run);
    const int64_t grain = std::max<int64_t>(1, 65536 / int64_t(n));
    parallel_for(0, runs, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        f(static_cast<char*>(const_cast<void*>(part_.data)) + i * int64_t(n),
          static_cast<char*>(const_cast<void*>(whole_.data)) + i * whole_.pixels * run + from, n);
      }
    });
  }
  ConvImages whole_, part_;
  int64_t depth_, first_, count_;
};

template <class T>
ConvWeights<T> weights_of(const ConvShape& s, const ConvWeights<T>& w, const Part& p) {
  return {w.data + p.tap * s.kernel[1] * s.kernel[2] * w.tap_step, w.out_step, w.in_step, w.tap_step,
          w.owner};
}

}  // namespace

template <class T>
bool depth_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                   const ConvImages& y) {
  if (!may_be_cut(s)) return false;
  const std::vector<Part> parts = forward_parts(s);
  if (!pays(s, parts)) return false;
  for (const Part& p : parts) {
    Planes in(x, s.in[0], p.in, p.shape.in[0]), out(y, s.out[0], p.out, p.shape.out[0]);
    const ConvImages& from = in.template buffer<Scratch::PartIn>(s.batch);
    const ConvImages& to = out.template buffer<Scratch::PartOut>(s.batch);
    in.read(s.batch);
    conv_forward<T>(p.shape, from, weights_of(s, w, p), bias, to);
    out.write(s.batch);
  }
  return true;
}

template <class T>
bool depth_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                      const ConvImages& gx) {
  if (!may_be_cut(s) || s.stride[0] != 1) return false;
  const std::vector<Part> parts = back_parts(s);
  if (!pays(s, parts)) return false;
  for (const Part& p : parts) {
    Planes out(gy, s.out[0], p.out, p.shape.out[0]), in(gx, s.in[0], p.in, p.shape.in[0]);
    const ConvImages& from = out.template buffer<Scratch::PartIn>(s.batch);
    const ConvImages& to = in.template buffer<Scratch::PartOut>(s.batch);
    out.read(s.batch);
    conv_input_grad<T>(p.shape, from, weights_of(s, w, p), bias, to);
    in.write(s.batch);
  }
  return true;
}

template <class T>
bool depth_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, T* gw) {
  if (!may_be_cut(s)) return false;
  const std::vector<Part> parts = weight_parts(s);
  if (!pays(s, parts)) return false;
  const int64_t rows = s.out_channels * s.in_group();
  for (const Part& p : parts) {
    Planes in(x, s.in[0], p.in, p.shape.in[0]), out(gy, s.out[0], p.out, p.shape.out[0]);
    const ConvImages& from = in.template buffer<Scratch::PartIn>(s.batch);
    const ConvImages& grad = out.template buffer<Scratch::PartOut>(s.batch);
    in.read(s.batch), out.read(s.batch);
    const int64_t taps = p.shape.taps();
    T* part = scratch<Scratch::PartWeights, T>(rows * taps);
    conv_weight_grad<T>(p.shape, from, grad, part);
    T* to = gw + p.tap * s.kernel[1] * s.kernel[2];
    parallel_for(0, rows, std::max<int64_t>(1, 16384 / taps), [&](int64_t first, int64_t end) {
      for (int64_t i = first; i < end; ++i) std::copy_n(part + i * taps, taps, to + i * s.taps());
    });
  }
  return true;
}

#define NNLIB_INSTANTIATE(T)                                                                              \
  template bool depth_forward<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*,    \
                                 const ConvImages&);                                                      \
  template bool depth_input_grad<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*, \
                                    const ConvImages&);                                                   \
  template bool depth_weight_grad<T>(const ConvShape&, const ConvImages&, const ConvImages&, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers::detail
