// Depthwise convolutions of images with their channels last: lanes are channels, a few of them at a time in a
// frame of pixels that stays in the near caches.
#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv_depthwise.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// Output pixels that are taken at once, and elements that are worth waking a thread.
constexpr int64_t kBand = 1536, kSerialElements = 16384;
// Tasks to aim for where weight gradients are summed over parts of the batch.
constexpr int64_t kTasks = 8;

int64_t lanes() { return kernels::table().pixel_lanes; }
int64_t blocks_of(int64_t channels) { return (channels + lanes() - 1) / lanes(); }
int64_t pixel_grain(const ConvShape& s) {
  return std::max<int64_t>(1,
                           kSerialElements / std::max<int64_t>(1, s.out_pixels() * s.taps() * lanes() / 4));
}

// n channels of `count` pixels `step` apart, lanes() floats each.
void read_pixels(const ConvImages& t, const char* x, int64_t n, int64_t step, int64_t count, float* y) {
  const int64_t bytes = step * t.channels * element_size(t), width = lanes();
  if (t.dtype == Dtype::Float32 && n == 16 && width == 16) {  // a length that the compiler knows
    for (int64_t i = 0; i < count; ++i) std::memcpy(y + i * 16, x + i * bytes, 16 * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) read_row(t.dtype, n, x + i * bytes, y + i * width);
}

// The frame of n channels from `channel` on.
float* framed_pixels(const ConvFrame& frame, bool moved, const ConvImages& x, int64_t channel, int64_t n,
                     int64_t step) {
  const int64_t width = lanes(), size = frame.channel_size() * width;
  float* framed = scratch<Scratch::Padded, float>(size);
  if (moved) std::fill_n(framed, size, 0.f);
  frame.for_lines([&](int64_t image, int64_t pixel, int64_t at, int64_t count) {
    read_pixels(x, address(x, image, channel, pixel), n, step, count, framed + at * width);
  });
  return framed;
}

// The rectangle of results that kernels write: straight into the images where these hold floats.
class PixelOutput {
 public:
  PixelOutput(const ConvImages& y, int64_t rows, int64_t cols) : y_(y), direct_(y.dtype == Dtype::Float32) {
    if (!direct_) scratch_ = scratch<Scratch::Output, float>(rows * cols * lanes());
  }
  // rows and cols: those that exist, apart by row_step and step pixels.
  template <class F>
  void write(int64_t image, int64_t channel, int64_t n, int64_t pixel, int64_t rows, int64_t cols,
             int64_t row_step, int64_t step, F kernel) {
    if (rows <= 0 || cols <= 0) return;
    char* at = address(y_, image, channel, pixel);
    if (direct_) {
      return kernel(rows, cols, reinterpret_cast<float*>(at), row_step * y_.channels, step * y_.channels);
    }
    kernel(rows, cols, scratch_, cols * lanes(), lanes());
    const int64_t bytes = y_.channels * element_size(y_);
    for (int64_t i = 0; i < rows * cols; ++i) {
      write_row(y_.dtype, n, scratch_ + i * lanes(), at + (i / cols * row_step + i % cols * step) * bytes);
    }
  }

 private:
  const ConvImages& y_;
  bool direct_;
  float* scratch_ = nullptr;
};

// Taps and biases of n channels, lanes() side by side.
class PixelWeights {
 public:
  PixelWeights(const ConvShape& s, const ConvWeights<float>& w, const float* bias)
      : s_(s), w_(w), bias_(bias) {}
  void take(int64_t channel, int64_t n) {
    const int64_t width = lanes();
    taps_.assign((s_.taps() + 1) * width, 0.f);
    for (int64_t c = 0; c < n; ++c) {
      if (bias_) taps_[c] = bias_[channel + c];
      for (int64_t t = 0; t < s_.taps(); ++t)
        taps_[(t + 1) * width + c] = w_.data[(channel + c) * w_.out_step + t * w_.tap_step];
    }
  }
  const float* bias() const { return taps_.data(); }
  const float* taps() const { return taps_.data() + lanes(); }

 private:
  const ConvShape& s_;
  const ConvWeights<float>& w_;
  const float* bias_;
  std::vector<float> taps_;
};

}  // namespace

void pixels_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                    const ConvImages& y) {
  const int64_t out = s.out_pixels(), blocks = blocks_of(s.in_channels);
  LoopLocal<ConvFrame> frames;
  parallel_for(0, s.batch * blocks, pixel_grain(s), [&](int64_t first, int64_t last) {
    ConvFrame& frame = frames.get(s);
    PixelWeights weights(s, w, bias);
    for (int64_t task = first; task < last; ++task) {
      const int64_t image = task / blocks, channel = task % blocks * lanes(),
                    n = std::min(lanes(), s.in_channels - channel);
      weights.take(channel, n);
      for_bands(s, kBand, [&](int64_t pixel, int64_t rows, int64_t cols) {
        const bool moved = frame.place(image * out + pixel, (rows - 1) * s.out[2] + cols);
        const float* framed = framed_pixels(frame, moved, x, channel, n, s.stride[2]);
        PixelOutput(y, rows, cols)
            .write(image, channel, n, pixel, rows, cols, s.out[2], 1,
                   [&](int64_t m, int64_t k, float* dst, int64_t row, int64_t step) {
                     kernels::table().depthwise_pixels_f32(m, k, n, s.taps(), frame.taps(), framed,
                                                           frame.line_size(), weights.taps(), weights.bias(),
                                                           dst, row, step);
                   });
      });
    }
  });
}

void pixels_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx) {
  const DepthwiseBack b(s);
  const ConvShape& back = b.shape;
  const int64_t blocks = blocks_of(s.in_channels), width = lanes();
  LoopLocal<ConvFrame> frames;
  parallel_for(0, s.batch * blocks, pixel_grain(back), [&](int64_t first, int64_t last) {
    ConvFrame& frame = frames.get(back);
    PixelWeights weights(s, w, bias);
    std::vector<int64_t> taps, offsets;
    std::vector<float> reached;
    for (int64_t task = first; task < last; ++task) {
      const int64_t image = task / blocks, channel = task % blocks * width,
                    n = std::min(width, s.in_channels - channel);
      weights.take(channel, n);
      for_bands(back, kBand, [&](int64_t pixel, int64_t rows, int64_t cols) {
        const bool moved = frame.place(image * back.out_pixels() + pixel, (rows - 1) * back.out[2] + cols);
        const float* framed = framed_pixels(frame, moved, gy, channel, n, 1);
        const int64_t q[3] = {pixel / (back.out[1] * back.out[2]), pixel / back.out[2] % back.out[1],
                              pixel % back.out[2]};
        PixelOutput output(gx, rows, cols);
        for (const AxisPhase& z : b.phases[0]) {
          for (const AxisPhase& y : b.phases[1]) {
            for (const AxisPhase& v : b.phases[2]) {
              if (q[0] >= z.count) continue;
              b.list(frame, z, y, v, &taps, &offsets);
              reached.resize(taps.size() * width + 1);
              for (size_t t = 0; t < taps.size(); ++t)
                std::copy_n(weights.taps() + taps[t] * width, width, reached.data() + int64_t(t) * width);
              const int64_t at =
                  ((q[0] * s.stride[0] + z.pixel) * s.in[1] + q[1] * s.stride[1] + y.pixel) * s.in[2] +
                  q[2] * s.stride[2] + v.pixel;
              output.write(image, channel, n, at, std::min(rows, y.count - q[1]),
                           std::min(cols, v.count - q[2]), s.stride[1] * s.in[2], s.stride[2],
                           [&](int64_t m, int64_t k, float* dst, int64_t row, int64_t step) {
                             kernels::table().depthwise_pixels_f32(
                                 m, k, n, int64_t(taps.size()), offsets.data(), framed, frame.line_size(),
                                 reached.data(), weights.bias(), dst, row, step);
                           });
            }
          }
        }
      });
    }
  });
}

void pixels_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  const int64_t out = s.out_pixels(), blocks = blocks_of(s.in_channels), width = lanes(), taps = s.taps();
  const int64_t chunks = std::min(s.batch, (kTasks + blocks - 1) / blocks), size = blocks * taps * width;
  float* sums = scratch<Scratch::Sums, float>(chunks * size);
  LoopLocal<ConvFrame> frames;
  parallel_for(0, chunks * blocks, 1, [&](int64_t first, int64_t last) {
    ConvFrame& frame = frames.get(s);
    for (int64_t task = first; task < last; ++task) {
      const int64_t chunk = task / blocks, block = task % blocks, channel = block * width,
                    n = std::min(width, s.in_channels - channel);
      float* sum = sums + chunk * size + block * taps * width;
      std::fill_n(sum, taps * width, 0.f);
      for (int64_t image = s.batch * chunk / chunks; image < s.batch * (chunk + 1) / chunks; ++image) {
        for_bands(s, kBand, [&](int64_t pixel, int64_t rows, int64_t cols) {
          const bool moved = frame.place(image * out + pixel, (rows - 1) * s.out[2] + cols);
          const float* framed = framed_pixels(frame, moved, x, channel, n, s.stride[2]);
          const char* at = address(gy, image, channel, pixel);
          const bool direct = gy.dtype == Dtype::Float32 && n == width;
          float* read = direct ? nullptr : scratch<Scratch::Output, float>(rows * cols * width);
          if (!direct) {
            if (n < width) std::fill_n(read, rows * cols * width, 0.f);
            read_pixels(gy, at, n, 1, rows * cols, read);
          }
          kernels::table().pixel_dots_f32(
              taps, rows, cols, direct ? reinterpret_cast<const float*>(at) : read,
              direct ? s.out[2] * gy.channels : cols * width, direct ? gy.channels : width, framed,
              frame.taps(), frame.line_size(), sum);
        });
      }
    }
  });
  for (int64_t c = 0; c < s.in_channels; ++c) {
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t at = (c / width * taps + t) * width + c % width;
      float total = sums[at];
      for (int64_t chunk = 1; chunk < chunks; ++chunk) total += sums[chunk * size + at];
      gw[c * taps + t] = total;
    }
  }
}

}  // namespace nnlib::drivers::detail
