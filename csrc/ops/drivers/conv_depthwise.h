// What the depthwise convolutions of planes and of pixels with their channels last share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "ops/drivers/conv_frame.h"

namespace nnlib::drivers::detail {

// Calls f(pixel, rows, columns) for rectangles of about `band` output pixels, within one plane (z) each and
// without a gap.
template <class F>
void for_bands(const ConvShape& s, int64_t band, F f) {
  const int64_t height = s.out[1], width = s.out[2];
  const int64_t lines = std::clamp<int64_t>(band / width, 1, height);
  for (int64_t z = 0; z < s.out[0]; ++z) {
    for (int64_t y = 0; y < height; y += lines) {
      const int64_t rows = std::min(lines, height - y);
      for (int64_t x = 0; x < width; x += band) {  // more than one step only where a band is part of a line
        f((z * height + y) * width + x, rows, std::min(band, width - x));
      }
    }
  }
}

// The taps that reach the input pixels (q + shift) * stride + pixel of one dimension.
struct AxisPhase {
  int64_t pixel, count;
  std::vector<int64_t> tap, from;  // from: the output pixel that tap reads for the first of these
};

// The taps that reach a phase of the input's pixels, and where each begins in the frame.
struct PhaseTaps {
  std::vector<int64_t> tap, offset;
};

// The input gradient, with gy in one frame for all phases: a convolution of stride 1 whose kernel spans what
// any tap reads.
struct DepthwiseBack {
  explicit DepthwiseBack(const ConvShape& s)
      : kernel{s.kernel[0], s.kernel[1], s.kernel[2]},
        shape{s.batch, s.out_channels, s.in_channels, s.groups, {}, {}, {}, {1, 1, 1}, {}, {1, 1, 1}} {
    for (int d = 0; d < 3; ++d) {
      int64_t low = 0, high = 0;
      bool any = false;
      for (int64_t pixel = 0; pixel < std::min(s.stride[d], s.in[d]); ++pixel) {
        AxisPhase p{pixel, (s.in[d] - pixel + s.stride[d] - 1) / s.stride[d], {}, {}};
        for (int64_t k = 0; k < s.kernel[d]; ++k) {
          const int64_t at = pixel + s.padding[d] - k * s.dilation[d];
          if (at % s.stride[d] != 0) continue;
          const int64_t from = at / s.stride[d];
          p.tap.push_back(k), p.from.push_back(from);
          low = any ? std::min(low, from) : from;
          high = any ? std::max(high, from) : from;
          any = true;
        }
        phases[d].push_back(p);
      }
      shape.in[d] = s.out[d], shape.out[d] = (s.in[d] + s.stride[d] - 1) / s.stride[d];
      shape.kernel[d] = high - low + 1, shape.padding[d] = -low;
    }
  }
  template <class F>
  void for_phases(F f) const {
    for (const AxisPhase& z : phases[0]) {
      for (const AxisPhase& y : phases[1]) {
        for (const AxisPhase& x : phases[2]) f(z, y, x);
      }
    }
  }
  void list(const ConvFrame& frame, const AxisPhase& z, const AxisPhase& y, const AxisPhase& x,
            PhaseTaps* out) const {
    out->tap.clear(), out->offset.clear();
    for (size_t c = 0; c < z.tap.size(); ++c) {
      for (size_t b = 0; b < y.tap.size(); ++b) {
        for (size_t a = 0; a < x.tap.size(); ++a) {
          out->offset.push_back(
              frame.tap(((z.from[c] + shape.padding[0]) * shape.kernel[1] + y.from[b] + shape.padding[1]) *
                            shape.kernel[2] +
                        x.from[a] + shape.padding[2]));
          out->tap.push_back((z.tap[c] * kernel[1] + y.tap[b]) * kernel[2] + x.tap[a]);
        }
      }
    }
  }
  int64_t kernel[3];
  ConvShape shape;
  std::vector<AxisPhase> phases[3];
};

}  // namespace nnlib::drivers::detail
