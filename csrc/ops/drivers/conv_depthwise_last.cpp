// Depthwise convolution of images with their channels last and both gradients, from images where they lie: a
// few pixels of a line with all of their channels after the other.
#include "kernels/dispatch.h"
#include "ops/drivers/conv_pixels.h"
#include "ops/drivers/conv_runs.h"

namespace nnlib::drivers::detail {

namespace {

constexpr int64_t kPast = 8 << 20;  // bytes of results that the caches would not keep

bool last_suits(const ConvShape& s, const ConvImages& a, const ConvImages& b) {
  return s.in_group() == 1 && s.out_group() == 1 && runs_suit(s, a, b) && s.out_channels >= lanes();
}
TapLayout layout() { return {lanes(), lanes(), 1, false}; }  // the bias comes first

void write_runs(const ConvShape& s, const std::vector<ImageRuns>& phases, int64_t rows, const ConvImages& x,
                const ConvWeights<float>& w, const float* bias, const ConvImages& y) {
  const int64_t channels = s.out_channels;
  const PixelWeights weights(s, LaneSources(channels, 1, 1), channels, w.data, w.out_step, 0, 0, w.tap_step,
                             bias, true);
  const bool past = s.batch * y.pixels * channels * int64_t(sizeof(float)) > kPast &&
                    channels % lanes() == 0 && reinterpret_cast<uintptr_t>(y.data) % 64 == 0;
  for_runs(phases, s.batch, rows, s.out[2] * channels * s.taps(), x, y,
           [&](const Run& r, const float* in, float* out) {
             kernels::table().depthwise_last_f32(r.count, channels, r.taps, r.place, in + r.x, r.x_step,
                                                 weights.blocks(), weights.block(), out + r.y, r.y_step, past,
                                                 in + r.ahead, r.lines);
           });
}

}  // namespace

bool depthwise_last_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                            const float* bias, const ConvImages& y) {
  if (!last_suits(s, x, y)) return false;
  const std::vector<ImageRuns> runs{ImageRuns(s, layout())};
  if (!long_runs(runs)) return false;
  write_runs(s, runs, s.out[1], x, w, bias, y);
  return true;
}

bool depthwise_last_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                               const float* bias, const ConvImages& gx) {
  if (!last_suits(s, gy, gx)) return false;
  const std::vector<ImageRuns> phases = ImageRuns::back(s, layout());
  if (!long_runs(phases)) return false;
  write_runs(s, phases, (s.in[1] + s.stride[1] - 1) / s.stride[1], gy, w, bias, gx);
  return true;
}

bool depthwise_last_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  if (!last_suits(s, x, gy)) return false;
  const ImageRuns runs(s, layout());
  if (!runs.long_runs()) return false;
  const int64_t width = lanes(), block = (s.taps() + 1) * width;
  sum_runs(
      s, runs, block, blocks_of(s.out_channels), blocks_of(s.out_channels), x, gy,
      [&](const Run& r, const float* in, const float* g, float* sum, int64_t, int64_t) {
        kernels::table().depthwise_last_dots_f32(r.count, s.out_channels, r.taps, r.place, in + r.x, r.x_step,
                                                 g + r.y, r.y_step, sum, block, in + r.ahead, r.lines);
      },
      [&](int64_t b, const float* sum) {
        const int64_t first = whole_block(s.out_channels, b), shared = b * width - first;
        for (int64_t q = shared; q < width; ++q) {
          for (int64_t t = 0; t < s.taps(); ++t) gw[(first + q) * s.taps() + t] = sum[(t + 1) * width + q];
        }
      });
  return true;
}

}  // namespace nnlib::drivers::detail
