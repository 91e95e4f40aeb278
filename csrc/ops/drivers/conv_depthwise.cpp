// Convolutions of few channels a group, a plane at a time: the input plane is copied once into a frame, and
// what is made of it stays in the first-level cache.
#include "ops/drivers/conv_depthwise.h"

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// Output pixels that are taken at once, and elements that are worth waking a thread.
constexpr int64_t kBand = 8192, kSerialElements = 16384;

int64_t plane_grain(const ConvShape& s) {
  return std::max<int64_t>(1, kSerialElements / std::max<int64_t>(1, s.out_pixels() * s.taps() / 4));
}

// The taps of an output channel side by side.
void taps_of(const ConvWeights<float>& w, int64_t channel, int64_t taps, std::vector<float>* out) {
  out->resize(taps);
  for (int64_t t = 0; t < taps; ++t) (*out)[t] = w.data[channel * w.out_step + t * w.tap_step];
}

}  // namespace

void depthwise_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& y) {
  const int64_t out = s.out_pixels(), multiplier = s.out_group();
  float* whole = const_cast<float*>(planes<float>(y));
  LoopLocal<ConvFrame> frames;
  parallel_for(0, s.batch * s.in_channels, plane_grain(s), [&](int64_t first, int64_t last) {
    ConvFrame& frame = frames.get(s);
    std::vector<float> taps;
    for (int64_t plane = first; plane < last; ++plane) {
      const int64_t image = plane / s.in_channels, channel = plane % s.in_channels;
      for_bands(s, kBand, [&](int64_t pixel, int64_t rows, int64_t cols) {
        frame.place(image * out + pixel, (rows - 1) * s.out[2] + cols);
        const float* framed = frame.framed<float>(x, channel, 1);
        for (int64_t c = channel * multiplier; c < (channel + 1) * multiplier; ++c) {
          float* dst = whole ? whole + (image * s.out_channels + c) * out + pixel
                             : scratch<Scratch::Output, float>(rows * cols);
          taps_of(w, c, s.taps(), &taps);
          kernels::table().depthwise_f32(rows, cols, s.taps(), frame.taps(), framed, frame.line_size(),
                                         taps.data(), bias ? bias[c] : 0.f, dst, whole ? s.out[2] : cols);
          if (!whole) write_planes(y, image, c, 1, pixel, 1, rows * cols, dst, rows * cols);
        }
      });
    }
  });
}

namespace {

// A frame, and the taps of all phases for its last placement.
struct BackFrame {
  explicit BackFrame(const DepthwiseBack& b) : frame(b.shape) {}
  ConvFrame frame;
  std::vector<PhaseTaps> taps;
};

}  // namespace

void depthwise_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                          const float* bias, const ConvImages& gx) {
  const DepthwiseBack b(s);
  const ConvShape& back = b.shape;
  const int64_t stride = s.stride[2], width = s.in[2];
  float* whole = const_cast<float*>(planes<float>(gx));
  const bool direct = whole && s.stride[0] == 1 && s.stride[1] == 1 && stride == 1;
  LoopLocal<BackFrame> frames;
  parallel_for(0, s.batch * s.in_channels, plane_grain(back), [&](int64_t first, int64_t last) {
    BackFrame& local = frames.get(b);
    ConvFrame& frame = local.frame;
    std::vector<float> weights;
    std::vector<const float*> sources(stride);
    for (int64_t plane = first; plane < last; ++plane) {
      const int64_t image = plane / s.in_channels, channel = plane % s.in_channels;
      const float fixed = bias ? bias[channel] : 0.f;
      for_bands(back, kBand, [&](int64_t pixel, int64_t rows, int64_t cols) {
        if (frame.place(image * back.out_pixels() + pixel, (rows - 1) * back.out[2] + cols)) {
          local.taps.clear();
          b.for_phases([&](const AxisPhase& z, const AxisPhase& y, const AxisPhase& x) {
            local.taps.emplace_back();
            b.list(frame, z, y, x, &local.taps.back());
          });
        }
        const float* framed = frame.framed<float>(gy, channel, 1);
        float* parts = direct ? nullptr : scratch<Scratch::Output, float>(stride * rows * cols);
        const int64_t q[3] = {pixel / (back.out[1] * back.out[2]), pixel / back.out[2] % back.out[1],
                              pixel % back.out[2]};
        const PhaseTaps* taps = local.taps.data();
        b.for_phases([&](const AxisPhase& z, const AxisPhase& y, const AxisPhase& x) {
          const PhaseTaps& reached = *taps++;
          if (q[0] >= z.count) return;
          weights.clear();
          for (int64_t t : reached.tap) weights.push_back(w.data[channel * w.out_step + t * w.tap_step]);
          float* dst = direct ? whole + plane * s.in_pixels() + pixel : parts + x.pixel * rows * cols;
          kernels::table().depthwise_f32(rows, cols, int64_t(weights.size()), reached.offset.data(), framed,
                                         frame.line_size(), weights.data(), fixed, dst,
                                         direct ? width : cols);
          if (direct || &x != &b.phases[2].back()) return;
          for (int64_t r = 0; r < std::min(rows, y.count - q[1]); ++r) {  // lines of all phases along x
            for (int64_t f = 0; f < stride; ++f) sources[f] = parts + (f * rows + r) * cols;
            const int64_t line =
                              (q[0] * s.stride[0] + z.pixel) * s.in[1] + (q[1] + r) * s.stride[1] + y.pixel,
                          at = line * width + q[2] * stride,
                          length = std::min(width - q[2] * stride, cols * stride);
            float* merged =
                whole ? whole + plane * s.in_pixels() + at : scratch<Scratch::Rows, float>(length);
            merge_phases(stride, length, cols, sources.data(), merged);
            if (!whole) write_planes(gx, image, channel, 1, at, 1, length, merged, length);
          }
        });
      });
    }
  });
}

// 16-bit values of gy are read into planes of floats, once for all input channels of a group where there are
// enough groups to share.
void planes_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  const int64_t out = s.out_pixels(), ci = s.in_group(), co = s.out_group(), taps = s.taps();
  const float* whole = planes<float>(gy);
  const int64_t step = whole || s.groups < 8 ? 1 : ci;  // input channels of a task
  LoopLocal<ConvFrame> frames;
  parallel_for(0, s.in_channels / step, 1, [&](int64_t first, int64_t last) {
    ConvFrame& frame = frames.get(s);
    for (int64_t task = first; task < last; ++task) {
      const int64_t channel = task * step, group = channel / ci;
      float* sums = scratch<Scratch::Sums, float>(step * co * taps);
      std::fill_n(sums, step * co * taps, 0.f);
      for (int64_t image = 0; image < s.batch; ++image) {
        for_bands(s, kBand, [&](int64_t pixel, int64_t rows, int64_t cols) {
          const int64_t count = rows * cols;
          const float* g = whole ? whole + (image * s.out_channels + group * co) * out + pixel : nullptr;
          if (!whole) {
            float* read = scratch<Scratch::Output, float>(co * count);
            read_planes(gy, image, group * co, co, pixel, 1, count, read, count);
            g = read;
          }
          frame.place(image * out + pixel, (rows - 1) * s.out[2] + cols);
          for (int64_t c = 0; c < step; ++c) {
            const float* framed = frame.framed<float>(x, channel + c, 1);
            kernels::table().plane_dots_f32(co, taps, rows, cols, g, whole ? out : count,
                                            whole ? s.out[2] : cols, framed, frame.taps(), frame.line_size(),
                                            sums + c * co * taps, taps);
          }
        });
      }
      for (int64_t c = 0; c < step; ++c) {
        for (int64_t o = 0; o < co; ++o) {
          std::copy_n(sums + (c * co + o) * taps, taps,
                      gw + ((group * co + o) * ci + (channel + c) % ci) * taps);
        }
      }
    }
  });
}

}  // namespace nnlib::drivers::detail
