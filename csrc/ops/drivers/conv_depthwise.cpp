// Depthwise convolution in two dimensions: each plane is copied once into a frame of zeros, so that the
// kernel reads without looking at borders.
#include <algorithm>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// The framed plane: what the taps can reach, whatever the padding cuts off or adds.
struct Frame {
  explicit Frame(const ConvShape& s)
      : height((s.out[1] - 1) * s.stride[1] + (s.kernel[1] - 1) * s.dilation[1] + 1),
        width((s.out[2] - 1) * s.stride[2] + (s.kernel[2] - 1) * s.dilation[2] + 1) {}

  void fill(const ConvShape& s, const float* plane, float* dst) const {
    const int64_t left = s.padding[2], top = s.padding[1];
    const int64_t low = std::clamp<int64_t>(left, 0, width),
                  high = std::clamp<int64_t>(left + s.in[2], low, width);
    for (int64_t y = 0; y < height; ++y, dst += width) {
      const int64_t from = y - top;
      if (from < 0 || from >= s.in[1]) {
        std::fill(dst, dst + width, 0.f);
        continue;
      }
      const float* line = plane + from * s.in[2] - left;
      std::fill(dst, dst + low, 0.f);
      std::copy(line + low, line + high, dst + low);
      std::fill(dst + high, dst + width, 0.f);
    }
  }
  int64_t height, width;
};

}  // namespace

void depthwise_forward(const ConvShape& s, const float* x, const float* w, const float* bias, float* y) {
  const Frame frame(s);
  const int64_t in = s.in_pixels(), out = s.out_pixels(), multiplier = s.out_group();
  const int64_t grain = std::max<int64_t>(1, 16384 / (frame.height * frame.width));
  parallel_for(0, s.batch * s.in_channels, grain, [&](int64_t first, int64_t last) {
    float* framed = scratch<Scratch::Padded, float>(frame.height * frame.width);
    for (int64_t plane = first; plane < last; ++plane) {
      frame.fill(s, x + plane * in, framed);
      const int64_t image = plane / s.in_channels, channel = plane % s.in_channels * multiplier;
      for (int64_t c = channel; c < channel + multiplier; ++c) {
        kernels::table().depthwise_f32(s.out[1], s.out[2], s.kernel[1], s.kernel[2], framed,
                                       s.stride[1] * frame.width, s.stride[2], s.dilation[1] * frame.width,
                                       s.dilation[2], w + c * s.taps(), bias ? bias[c] : 0.f,
                                       y + (image * s.out_channels + c) * out, s.out[2]);
      }
    }
  });
}

void depthwise_weight_grad(const ConvShape& s, const float* x, const float* gy, float* gw) {
  const Frame frame(s);
  const int64_t in = s.in_pixels(), out = s.out_pixels(), multiplier = s.out_group();
  parallel_for(0, s.in_channels, 1, [&](int64_t first, int64_t last) {
    float* framed = scratch<Scratch::Padded, float>(frame.height * frame.width);
    std::fill(gw + first * multiplier * s.taps(), gw + last * multiplier * s.taps(), 0.f);
    for (int64_t channel = first; channel < last; ++channel) {
      for (int64_t image = 0; image < s.batch; ++image) {
        frame.fill(s, x + (image * s.in_channels + channel) * in, framed);
        for (int64_t c = channel * multiplier; c < (channel + 1) * multiplier; ++c) {
          kernels::table().depthwise_wgrad_f32(
              s.out[1], s.out[2], s.kernel[1], s.kernel[2], framed, s.stride[1] * frame.width, s.stride[2],
              s.dilation[1] * frame.width, s.dilation[2], gy + (image * s.out_channels + c) * out, s.out[2],
              gw + c * s.taps());
        }
      }
    }
  });
}

}  // namespace nnlib::drivers::detail
