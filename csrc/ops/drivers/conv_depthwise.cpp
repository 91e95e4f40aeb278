// Convolutions of few channels a group, a plane at a time: the input plane is copied once into a frame, and
// what is made of it stays in the first-level cache.
#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_frame.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// Output pixels that are taken at once, and elements that are worth waking a thread.
constexpr int64_t kBand = 8192, kSerialElements = 16384;

// Calls f(pixel, rows, columns) for rectangles of output pixels, within one plane (z) each.
template <class F>
void for_bands(const ConvShape& s, F f) {
  const int64_t height = s.out[1], width = s.out[2];
  const int64_t lines = std::clamp<int64_t>(kBand / width, 1, height);
  for (int64_t z = 0; z < s.out[0]; ++z) {
    for (int64_t y = 0; y < height; y += lines) {
      const int64_t rows = std::min(lines, height - y);
      for (int64_t x = 0; x < width; x += kBand) {  // more than one step only where a band is part of a line
        f((z * height + y) * width + x, rows, std::min(kBand, width - x));
      }
    }
  }
}

float* framed_channels(const ConvFrame& frame, const float* x, int64_t channel, int64_t channels) {
  const int64_t size = channels * frame.channel_size();
  float* framed = scratch<Scratch::Padded, float>(size);
  frame.fill(x, channel, channels, framed);
  return framed;
}

int64_t plane_grain(const ConvShape& s) {
  return std::max<int64_t>(1, kSerialElements / std::max<int64_t>(1, s.out_pixels() * s.taps() / 4));
}

}  // namespace

void depthwise_forward(const ConvShape& s, const float* x, const float* w, const float* bias, float* y) {
  const int64_t out = s.out_pixels(), multiplier = s.out_group();
  parallel_for(0, s.batch * s.in_channels, plane_grain(s), [&](int64_t first, int64_t last) {
    ConvFrame frame(s);
    for (int64_t plane = first; plane < last; ++plane) {
      const int64_t image = plane / s.in_channels, channel = plane % s.in_channels;
      for_bands(s, [&](int64_t pixel, int64_t rows, int64_t cols) {
        frame.place(image * out + pixel, (rows - 1) * s.out[2] + cols);
        const float* framed = framed_channels(frame, x, channel, 1);
        for (int64_t c = channel * multiplier; c < (channel + 1) * multiplier; ++c) {
          kernels::table().depthwise_f32(rows, cols, s.taps(), frame.taps(), framed, frame.line_size(),
                                         w + c * s.taps(), bias ? bias[c] : 0.f,
                                         y + (image * s.out_channels + c) * out + pixel, s.out[2]);
        }
      });
    }
  });
}

namespace {

// The taps that reach the input pixels (q + shift) * stride + pixel of one dimension.
struct AxisPhase {
  int64_t pixel, count;
  std::vector<int64_t> tap, from;  // from: the output pixel that tap reads for the first of these
};
std::vector<AxisPhase> phases_of(const ConvShape& s, int d) {
  std::vector<AxisPhase> phases;
  for (int64_t pixel = 0; pixel < std::min(s.stride[d], s.in[d]); ++pixel) {
    AxisPhase p{pixel, (s.in[d] - pixel + s.stride[d] - 1) / s.stride[d], {}, {}};
    for (int64_t k = 0; k < s.kernel[d]; ++k) {
      const int64_t at = pixel + s.padding[d] - k * s.dilation[d];
      if (at % s.stride[d] == 0) p.tap.push_back(k), p.from.push_back(at / s.stride[d]);
    }
    phases.push_back(p);
  }
  return phases;
}

}  // namespace

// gy in one frame for all phases: a convolution of stride 1 whose kernel spans what any tap reads.
void depthwise_input_grad(const ConvShape& s, const float* gy, const float* w, const float* bias, float* gx) {
  std::vector<AxisPhase> phases[3];
  ConvShape back{s.batch, s.out_channels, s.in_channels, s.groups, {}, {}, {}, {1, 1, 1}, {}, {1, 1, 1}};
  for (int d = 0; d < 3; ++d) {
    phases[d] = phases_of(s, d);
    int64_t low = 0, high = 0;
    bool any = false;
    for (const AxisPhase& p : phases[d]) {
      for (int64_t from : p.from) {
        low = any ? std::min(low, from) : from;
        high = any ? std::max(high, from) : from;
        any = true;
      }
    }
    back.in[d] = s.out[d], back.out[d] = (s.in[d] + s.stride[d] - 1) / s.stride[d];
    back.kernel[d] = high - low + 1, back.padding[d] = -low;
  }
  const int64_t in = s.in_pixels(), stride = s.stride[2], width = s.in[2];
  const bool whole = s.stride[0] == 1 && s.stride[1] == 1 && stride == 1;
  // Kernels of many taps: the frame's offsets are made for every place between the outermost taps.
  parallel_for(0, s.batch * s.in_channels, plane_grain(back), [&](int64_t first, int64_t last) {
    ConvFrame frame(back);
    std::vector<int64_t> offsets;
    std::vector<float> taps;
    std::vector<const float*> sources(stride);
    for (int64_t plane = first; plane < last; ++plane) {
      const int64_t image = plane / s.in_channels, channel = plane % s.in_channels;
      const float fixed = bias ? bias[channel] : 0.f;
      for_bands(back, [&](int64_t pixel, int64_t rows, int64_t cols) {
        frame.place(image * back.out_pixels() + pixel, (rows - 1) * back.out[2] + cols);
        const float* framed = framed_channels(frame, gy, channel, 1);
        float* parts = whole ? nullptr : scratch<Scratch::Output, float>(stride * rows * cols);
        const int64_t q[3] = {pixel / (back.out[1] * back.out[2]), pixel / back.out[2] % back.out[1],
                              pixel % back.out[2]};
        for (const AxisPhase& z : phases[0]) {
          for (const AxisPhase& y : phases[1]) {
            if (q[0] >= z.count) continue;
            for (const AxisPhase& x : phases[2]) {
              offsets.clear(), taps.clear();
              for (size_t c = 0; c < z.tap.size(); ++c) {
                for (size_t b = 0; b < y.tap.size(); ++b) {
                  for (size_t a = 0; a < x.tap.size(); ++a) {
                    offsets.push_back(frame.tap(
                        ((z.from[c] + back.padding[0]) * back.kernel[1] + y.from[b] + back.padding[1]) *
                            back.kernel[2] +
                        x.from[a] + back.padding[2]));
                    const int64_t tap = (z.tap[c] * s.kernel[1] + y.tap[b]) * s.kernel[2] + x.tap[a];
                    taps.push_back(w[channel * s.taps() + tap]);
                  }
                }
              }
              float* dst = whole ? gx + plane * in + pixel : parts + x.pixel * rows * cols;
              kernels::table().depthwise_f32(rows, cols, int64_t(taps.size()), offsets.data(), framed,
                                             frame.line_size(), taps.data(), fixed, dst,
                                             whole ? width : cols);
            }
            if (whole) continue;
            for (int64_t r = 0; r < std::min(rows, y.count - q[1]); ++r) {
              for (int64_t f = 0; f < stride; ++f) sources[f] = parts + (f * rows + r) * cols;
              float* line =
                  gx + plane * in +
                  ((q[0] * s.stride[0] + z.pixel) * s.in[1] + (q[1] + r) * s.stride[1] + y.pixel) * width;
              merge_phases(stride, width - q[2] * stride, cols, sources.data(), line + q[2] * stride);
            }
          }
        }
      });
    }
  });
}

void planes_weight_grad(const ConvShape& s, const float* x, const float* gy, float* gw) {
  const int64_t out = s.out_pixels(), ci = s.in_group(), co = s.out_group(), taps = s.taps();
  parallel_for(0, s.in_channels, 1, [&](int64_t first, int64_t last) {
    ConvFrame frame(s);
    for (int64_t channel = first; channel < last; ++channel) {
      const int64_t group = channel / ci;
      float* sums = scratch<Scratch::Sums, float>(co * taps);
      std::fill_n(sums, co * taps, 0.f);
      for (int64_t image = 0; image < s.batch; ++image) {
        for_bands(s, [&](int64_t pixel, int64_t rows, int64_t cols) {
          frame.place(image * out + pixel, (rows - 1) * s.out[2] + cols);
          const float* framed = framed_channels(frame, x, channel, 1);
          kernels::table().plane_dots_f32(co, taps, rows, cols,
                                          gy + (image * s.out_channels + group * co) * out + pixel, out,
                                          s.out[2], framed, frame.taps(), frame.line_size(), sums, taps);
        });
      }
      for (int64_t o = 0; o < co; ++o) {
        std::copy_n(sums + o * taps, taps, gw + ((group * co + o) * ci + channel % ci) * taps);
      }
    }
  });
}

}  // namespace nnlib::drivers::detail
