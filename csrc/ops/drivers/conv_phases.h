// Input gradients of strided convolutions, and of others, as convolutions of the output's gradient: a stride
// of s leaves s phases of input pixels in each dimension, which different taps reach. Each phase is an
// ordinary convolution of stride 1, and no product with a zero is computed.
#pragma once
#include <cstdint>

#include "ops/drivers/conv.h"
#include "ops/drivers/conv_weights.h"

namespace nnlib::drivers::detail {

// The input pixels i with (i + padding) % stride == r, in one dimension: which taps reach them, and the
// ordinary convolution of gy that gives them.
struct Phase {
  int64_t first_pixel, pixels, first_tap, tap_step, taps, padding, dilation;
};
inline Phase phase_of(const ConvShape& s, int d, int64_t r) {
  const int64_t stride = s.stride[d], dilation = s.dilation[d], padding = s.padding[d];
  Phase p{};
  p.first_pixel = ((r - padding) % stride + stride) % stride;
  p.pixels = p.first_pixel < s.in[d] ? (s.in[d] - p.first_pixel + stride - 1) / stride : 0;
  // Tap k reaches these pixels when k * dilation = r + stride * e; then the output pixel is q - e.
  int64_t second = -1;
  p.first_tap = -1;
  for (int64_t k = 0; k < s.kernel[d]; ++k) {
    if ((k * dilation - r) % stride != 0) continue;
    if (p.first_tap < 0) p.first_tap = k;
    if (p.taps == 1) second = k;
    ++p.taps;
  }
  if (p.taps == 0) return p;
  p.tap_step = second < 0 ? 1 : second - p.first_tap;
  p.dilation = second < 0 ? 1 : p.tap_step * dilation / stride;
  const int64_t shift = (p.first_tap * dilation - r) / stride, q0 = (p.first_pixel + padding - r) / stride;
  p.padding = shift + (p.taps - 1) * p.dilation - q0;
  return p;
}

// The convolution of gy that gives one phase of the input's pixels, `out` of them, and its weights.
template <class T>
struct Back {
  Back(const ConvShape& s, const ConvWeights<T>& w, const Phase& z, const Phase& y, const Phase& x)
      : phase{z, y, x},
        shape{s.batch, s.out_channels, s.in_channels, s.groups, {}, {}, {}, {1, 1, 1}, {}, {}} {
    for (int d = 0; d < 3; ++d) {
      shape.in[d] = s.out[d], shape.kernel[d] = phase[d].taps, shape.out[d] = phase[d].pixels;
      shape.padding[d] = phase[d].padding, shape.dilation[d] = phase[d].dilation;
    }
    // The last tap of each dimension first.
    const int64_t unit[3] = {s.kernel[1] * s.kernel[2] * w.tap_step, s.kernel[2] * w.tap_step, w.tap_step};
    int64_t first = 0;
    std::array<TapLine, 3> lines;
    for (int d = 0; d < 3; ++d) {
      first += (phase[d].first_tap + (phase[d].taps - 1) * phase[d].tap_step) * unit[d];
      lines[size_t(d)] = {phase[d].taps, -phase[d].tap_step * unit[d]};
    }
    weights = {w, s.out_group() * w.out_step, w.in_step, w.out_step, first, lines};
  }
  Phase phase[3];
  ConvShape shape;
  Weights<T> weights;
};

}  // namespace nnlib::drivers::detail
