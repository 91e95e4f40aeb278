// Convolutions of few channels a group, depthwise ones above all, whose lanes are channels of the result,
// blocks of them in frames of pixels that stay in the near caches. Where groups have several channels, each
// of these has a frame of its own, in which it is spread over its group's lanes: they are as further taps.
// Frames of several blocks are filled together, as they lie side by side. Small planes are turned round for
// it, whole.
#include "ops/drivers/conv_pixels.h"
#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv_depthwise.h"
#include "ops/drivers/conv_runs.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// Output pixels that are taken at once, elements of the frames of a task, and bytes of pixels that stay in
// the second-level cache while one block of their channels after the other is read.
constexpr int64_t kBand = 512, kFrames = 64 << 10, kNearPixels = 256 << 10;
// Tasks to aim for.
constexpr int64_t kTasks = 16;

int64_t band_of(const ConvShape& s, const LaneSources& sources, const ConvImages& x) {
  if (sources.same() || !x.channels_last) return kBand;
  const int64_t line = s.stride[1] * s.in[2] * x.channels * element_size(x);
  return std::min(kBand, std::max<int64_t>(2, kNearPixels / line) * s.out[2]);
}

// How images are shared among tasks: blocks of channels that are served together and, with the channels last,
// bands of lines. Neighbouring tasks have the same band of different images, whose frames are alike.
struct PixelTasks {
  struct Band {
    int64_t pixel, rows, cols;
  };
  // s: the convolution whose frames are filled with x; y: images that are written, or null where sums are
  // made.
  PixelTasks(const ConvShape& s, const LaneSources& sources, const ConvImages& x, const ConvImages* y)
      : channels(s.out_channels), blocks(blocks_of(channels)), batch(s.batch) {
    for_bands(s, band_of(s, sources, x),
              [&](int64_t pixel, int64_t rows, int64_t cols) { bands.push_back({pixel, rows, cols}); });
    bands_of_task = y && y->channels_last ? 1 : int64_t(bands.size());
    parts = int64_t(bands.size()) / bands_of_task;
    ConvFrame frame(s);
    frame.place(0, (bands[0].rows - 1) * s.out[2] + bands[0].cols);
    const int64_t fit = kFrames / (frame.channel_size() * lanes() * sources.sets()),
                  shared = batch * parts * blocks / kTasks;
    at_once = std::clamp<int64_t>(std::min(fit, shared), 1, blocks);
    count = (blocks + at_once - 1) / at_once;
  }
  int64_t tasks() const { return parts * batch * count; }
  int64_t image(int64_t i) const { return i / count % batch; }
  int64_t first(int64_t i) const { return i % count * at_once * lanes(); }
  int64_t size(int64_t i) const { return std::min(at_once * lanes(), channels - first(i)); }
  template <class F>
  void for_bands_of(int64_t i, F f) const {
    const int64_t part = i / (count * batch) * bands_of_task;
    for (int64_t b = part; b < part + bands_of_task; ++b) f(bands[b].pixel, bands[b].rows, bands[b].cols);
  }
  int64_t channels, blocks, batch, at_once = 1, count = 1, parts = 1, bands_of_task = 1;
  std::vector<Band> bands;
};

// n channels of `pixels` pixels `step` apart: a block of lanes() channels after the other, `block` floats
// apart. Of planes, pixels side by side and floats alone.
void read_pixels(const ConvImages& t, int64_t image, int64_t channel, int64_t pixel, int64_t n, int64_t step,
                 int64_t pixels, float* y, int64_t block) {
  const int64_t width = lanes();
  const char* x = address(t, image, channel, pixel);
  if (!t.channels_last) {
    for (int64_t c = 0; c < n; c += width) {
      kernels::table().pixels_from_planes_f32(std::min(width, n - c), pixels,
                                              reinterpret_cast<const float*>(x) + c * t.pixels, t.pixels,
                                              y + c / width * block, width);
    }
    return;
  }
  const int64_t bytes = step * t.channels * element_size(t);
  const bool usual = t.dtype == Dtype::Float32 && width == 16;
  for (int64_t i = 0; i < pixels; ++i, x += bytes, y += width) {
    int64_t c = 0;
    for (; usual && c + 16 <= n; c += 16)  // a length that the compiler knows
      std::memcpy(y + c / 16 * block, x + c * 4, 16 * sizeof(float));
    for (; c < n; c += width)
      read_row(t.dtype, std::min(width, n - c), x + c * element_size(t), y + c / width * block);
  }
}

// The frames that n channels of the result from `channel` on see, lanes() * frame.channel_size() floats each.
const float* spread_frames(ConvFrame& frame, const ConvImages& x, const LaneSources& sources, int64_t channel,
                           int64_t n, int64_t step, float* framed) {
  const int64_t width = lanes(), frame_size = frame.channel_size() * width,
                block = sources.sets() * frame_size;
  const auto spread = [&](int64_t c, int64_t count, const float* from, int64_t from_step, int64_t at) {
    kernels::table().spread_pixels_f32(count, sources.count(channel + c, std::min(width, n - c)), from,
                                       from_step, sources.sets(), sources.index(channel + c),
                                       framed + c / width * block + at * width, frame_size);
  };
  if (x.channels_last) {
    const int64_t all = sources.count(channel, n), bytes = step * x.channels * element_size(x);
    frame.for_lines([&](int64_t image, int64_t pixel, int64_t at, int64_t count) {
      if (count <= 0) return;
      const char* from = address(x, image, sources.first(channel), pixel);
      const float* values = reinterpret_cast<const float*>(from);
      int64_t values_step = step * x.channels;
      if (x.dtype != Dtype::Float32) {
        float* read = scratch<Scratch::Rows, float>(count * all);
        for (int64_t i = 0; i < count; ++i) read_row(x.dtype, all, from + i * bytes, read + i * all);
        values = read, values_step = all;
      }
      for (int64_t c = 0; c < n; c += width)
        spread(c, count, values + sources.first(channel + c) - sources.first(channel), values_step, at);
    });
    return framed;
  }
  for (int64_t c = 0; c < n; c += width) {
    const int64_t count = sources.count(channel + c, std::min(width, n - c));
    float* turned = scratch<Scratch::ImagesIn, float>(x.pixels * count);
    int64_t done = -1;
    frame.for_lines([&](int64_t image, int64_t pixel, int64_t at, int64_t pixels) {
      if (image != done) {
        const char* from = address(x, image, sources.first(channel + c), 0);
        kernels::table().pixels_from_planes_f32(count, x.pixels, reinterpret_cast<const float*>(from),
                                                x.pixels, turned, count);
        done = image;
      }
      spread(c, pixels, turned + pixel * count, step * count, at);
    });
  }
  return framed;
}

// The same where each lane sees its own channel, too.
const float* framed_pixels(ConvFrame& frame, const ConvImages& x, const LaneSources& sources, int64_t channel,
                           int64_t n, int64_t at_once, int64_t step) {
  const int64_t width = lanes(), block = frame.channel_size() * width,
                size = at_once * sources.sets() * block;
  bool kept;
  float* framed = frame.room<float>(size, &kept);
  if (!kept) std::fill_n(framed, size, 0.f);
  if (!sources.same()) return spread_frames(frame, x, sources, channel, n, step, framed);
  if (x.channels_last) {
    frame.for_lines([&](int64_t image, int64_t pixel, int64_t at, int64_t count) {
      if (count > 0) read_pixels(x, image, channel, pixel, n, step, count, framed + at * width, block);
    });
    return framed;
  }
  float* turned = scratch<Scratch::ImagesIn, float>(x.pixels * width);
  for (int64_t c = 0; c < n; c += width, framed += block) {
    int64_t done = -1;
    frame.for_lines([&](int64_t image, int64_t pixel, int64_t at, int64_t count) {
      if (image != done) {
        read_pixels(x, image, channel + c, 0, std::min(width, n - c), 1, x.pixels, turned, 0);
        done = image;
      }
      if (step == 1) {
        std::copy_n(turned + pixel * width, count * width, framed + at * width);
        return;
      }
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(framed + (at + i) * width, turned + (pixel + i * step) * width, sizeof(float) * 16);
      }
    });
  }
  return framed - (n + width - 1) / width * block;
}

// Where kernels write rectangles of results: straight into images of floats that have their channels last.
// Planes are made from whole turned images at the end of a task, other types from each rectangle.
class PixelOutput {
 public:
  PixelOutput(const ConvImages& y, int64_t blocks, int64_t pixels) : y_(y) {
    if (!y.channels_last) {
      scratch_ = scratch<Scratch::Output, float>(blocks * y.pixels * lanes());
    } else if (y.dtype != Dtype::Float32) {
      scratch_ = scratch<Scratch::Output, float>(pixels * lanes());
    }
  }
  // Channels from `first` + c on. rows and cols: those that exist, apart by row_step and step pixels.
  template <class F>
  void write(int64_t image, int64_t first, int64_t c, int64_t n, int64_t pixel, int64_t rows, int64_t cols,
             int64_t row_step, int64_t step, F kernel) {
    if (rows <= 0 || cols <= 0) return;
    const int64_t width = lanes();
    if (!y_.channels_last) {
      return kernel(rows, cols, scratch_ + (c / width * y_.pixels + pixel) * width, row_step * width,
                    step * width);
    }
    char* at = address(y_, image, first + c, pixel);
    if (!scratch_) {
      return kernel(rows, cols, reinterpret_cast<float*>(at), row_step * y_.channels, step * y_.channels);
    }
    kernel(rows, cols, scratch_, cols * width, width);
    const int64_t bytes = y_.channels * element_size(y_);
    for (int64_t i = 0; i < rows * cols; ++i)
      write_row(y_.dtype, n, scratch_ + i * width, at + (i / cols * row_step + i % cols * step) * bytes);
  }
  void finish(int64_t image, int64_t first, int64_t size) const {
    const int64_t width = lanes();
    for (int64_t c = 0; c < size && !y_.channels_last; c += width) {
      kernels::table().planes_from_pixels_f32(
          std::min(width, size - c), y_.pixels, scratch_ + c / width * y_.pixels * width, width,
          reinterpret_cast<float*>(address(y_, image, first + c, 0)), y_.pixels);
    }
  }

 private:
  const ConvImages& y_;
  float* scratch_ = nullptr;
};

// Where the taps of all sets begin in the frames, in the order of LaneSources::place.
void list_offsets(const ConvFrame& frame, const LaneSources& sources, int64_t taps, int64_t line,
                  std::vector<int64_t>* out) {
  out->resize(size_t(taps * sources.sets()));
  for (int64_t t = 0; t < taps; ++t) {
    for (int64_t i = 0; i < sources.sets(); ++i)
      (*out)[size_t(sources.place(t, i, line))] = frame.tap(t) + i * frame.channel_size();
  }
}

// Calls f(row, rows, first tap, taps) for runs of output rows, from row `top` of the image on, whose taps lie
// within the image; the other taps would multiply zeros. axis: that of rows.
template <class F>
void for_reached(const ConvShape& s, const TapAxis& axis, int64_t top, int64_t rows, F f) {
  const int64_t line = s.kernel[2];
  if (s.kernel[0] > 1) return f(0, rows, 0, s.taps());
  for (int64_t r = 0; r < rows;) {
    const int64_t low = axis.low(top + r), high = axis.high(top + r);
    int64_t end = r + 1;
    while (end < rows && axis.low(top + end) == low && axis.high(top + end) == high) ++end;
    f(r, end - r, low * line, (high - low) * line);
    r = end;
  }
}

}  // namespace

void pixels_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                    const ConvImages& y) {
  const int64_t out = s.out_pixels(), width = lanes();
  const LaneSources sources(s.out_channels, s.in_group(), s.out_group());
  const PixelTasks tasks(s, sources, x, &y);
  const PixelWeights weights(s, sources, s.out_channels, w.data, s.out_group() * w.out_step, w.out_step,
                             w.in_step, w.tap_step, bias);
  const TapAxis axis(s, 1);
  LoopLocal<ConvFrame> frames;
  parallel_for(0, tasks.tasks(), 1, [&](int64_t from, int64_t to) {
    ConvFrame& frame = frames.get(s);
    std::vector<int64_t> offsets;
    for (int64_t task = from; task < to; ++task) {
      const int64_t image = tasks.image(task), first = tasks.first(task), size = tasks.size(task);
      PixelOutput output(y, tasks.at_once, kBand + s.out[2]);
      tasks.for_bands_of(task, [&](int64_t pixel, int64_t rows, int64_t cols) {
        frame.place(image * out + pixel, (rows - 1) * s.out[2] + cols);
        const float* framed = framed_pixels(frame, x, sources, first, size, tasks.at_once, s.stride[2]);
        list_offsets(frame, sources, s.taps(), s.kernel[2], &offsets);
        const int64_t top = pixel / s.out[2] % s.out[1], sets = sources.sets();
        for (int64_t c = 0; c < size; c += width) {
          const int64_t n = std::min(width, size - c);
          const float *seen = framed + c * sets * frame.channel_size(), *taps = weights.taps(first + c);
          output.write(image, first, c, n, pixel, rows, cols, s.out[2], 1,
                       [&](int64_t m, int64_t k, float* dst, int64_t row, int64_t step) {
                         const auto run = [&](int64_t r, int64_t count, int64_t tap, int64_t reached) {
                           kernels::table().depthwise_pixels_f32(
                               count, k, n, reached * sets, offsets.data() + tap * sets,
                               seen + r * frame.line_size() * width, frame.line_size(),
                               taps + tap * sets * width, weights.bias(first + c), dst + r * row, row, step);
                         };
                         for_reached(s, axis, top, m, run);
                       });
        }
      });
      output.finish(image, first, size);
    }
  });
}

void pixels_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx) {
  const DepthwiseBack b(s);
  const ConvShape& back = b.shape;
  const int64_t width = lanes();
  const LaneSources sources(s.in_channels, s.out_group(), s.in_group());
  const int64_t sets = sources.sets();
  const PixelTasks tasks(back, sources, gy, &gx);
  const PixelWeights weights(s, sources, s.in_channels, w.data, s.out_group() * w.out_step, w.in_step,
                             w.out_step, w.tap_step, bias);
  LoopLocal<ConvFrame> frames;
  parallel_for(0, tasks.tasks(), 1, [&](int64_t from, int64_t to) {
    ConvFrame& frame = frames.get(back);
    PhaseTaps taps;
    std::vector<float> reached;
    std::vector<int64_t> offsets;
    for (int64_t task = from; task < to; ++task) {
      const int64_t image = tasks.image(task), first = tasks.first(task), size = tasks.size(task);
      PixelOutput output(gx, tasks.at_once, kBand + back.out[2]);
      tasks.for_bands_of(task, [&](int64_t pixel, int64_t rows, int64_t cols) {
        frame.place(image * back.out_pixels() + pixel, (rows - 1) * back.out[2] + cols);
        const float* framed = framed_pixels(frame, gy, sources, first, size, tasks.at_once, 1);
        const int64_t q[3] = {pixel / (back.out[1] * back.out[2]), pixel / back.out[2] % back.out[1],
                              pixel % back.out[2]};
        b.for_phases([&](const AxisPhase& z, const AxisPhase& y, const AxisPhase& v) {
          if (q[0] >= z.count) return;
          b.list(frame, z, y, v, &taps);
          const int64_t count = int64_t(taps.tap.size());
          reached.resize(size_t(count * sets * width + 1));
          offsets.clear();
          for (int64_t t = 0; t < count * sets; ++t)
            offsets.push_back(taps.offset[t / sets] + t % sets * frame.channel_size());
          const int64_t at =
              ((q[0] * s.stride[0] + z.pixel) * s.in[1] + q[1] * s.stride[1] + y.pixel) * s.in[2] +
              q[2] * s.stride[2] + v.pixel;
          for (int64_t c = 0; c < size; c += width) {
            const int64_t n = std::min(width, size - c);
            for (int64_t t = 0; t < count * sets; ++t) {
              const int64_t place = sources.place(taps.tap[t / sets], t % sets, s.kernel[2]);
              std::copy_n(weights.taps(first + c) + place * width, width, reached.data() + t * width);
            }
            output.write(image, first, c, n, at, std::min(rows, y.count - q[1]),
                         std::min(cols, v.count - q[2]), s.stride[1] * s.in[2], s.stride[2],
                         [&](int64_t m, int64_t k, float* dst, int64_t row, int64_t step) {
                           kernels::table().depthwise_pixels_f32(m, k, n, count * sets, offsets.data(),
                                                                 framed + c * sets * frame.channel_size(),
                                                                 frame.line_size(), reached.data(),
                                                                 weights.bias(first + c), dst, row, step);
                         });
          }
        });
      });
      output.finish(image, first, size);
    }
  });
}

void pixels_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  const LaneSources sources(s.out_channels, s.in_group(), s.out_group());
  const int64_t out = s.out_pixels(), width = lanes(), sets = sources.sets(), taps = s.taps() * sets;
  const PixelTasks tasks(s, sources, x, nullptr);
  // A task has some images and, where these are few, some of the channels: a band's pixels stay near
  // meanwhile.
  const int64_t parts = std::clamp<int64_t>(kTasks / s.batch, 1, tasks.count);
  const int64_t chunks = std::min(s.batch, (kTasks + parts - 1) / parts);
  const int64_t size = tasks.blocks * taps * width;
  float* sums = scratch<Scratch::Sums, float>(chunks * size);
  LoopLocal<ConvFrame> frames;
  parallel_for(0, chunks * parts, 1, [&](int64_t from, int64_t to) {
    ConvFrame& frame = frames.get(s);
    std::vector<int64_t> offsets;
    for (int64_t task = from; task < to; ++task) {
      const int64_t chunk = task / parts, begin = tasks.count * (task % parts) / parts,
                    end = tasks.count * (task % parts + 1) / parts;
      float* sum = sums + chunk * size;
      std::fill(sum + tasks.first(begin) * taps, sum + std::min(size, tasks.at_once * end * width * taps),
                0.f);
      const auto add = [&](int64_t image, int64_t pixel, int64_t rows, int64_t cols, int64_t first,
                           int64_t channels) {
        const float* framed = framed_pixels(frame, x, sources, first, channels, tasks.at_once, s.stride[2]);
        const int64_t block = rows * cols * width;
        float* g = scratch<Scratch::Output, float>(tasks.at_once * block);
        if (channels % width != 0) std::fill_n(g + channels / width * block, block, 0.f);
        read_pixels(gy, image, first, pixel, channels, 1, rows * cols, g, block);
        for (int64_t c = 0; c < channels; c += width) {
          kernels::table().pixel_dots_f32(taps, rows, cols, g + c / width * block, cols * width, width,
                                          framed + c * sets * frame.channel_size(), offsets.data(),
                                          frame.line_size(), sum + (first + c) * taps);
        }
      };
      for (int64_t image = s.batch * chunk / chunks; image < s.batch * (chunk + 1) / chunks; ++image) {
        for (const PixelTasks::Band& b : tasks.bands) {
          frame.place(image * out + b.pixel, (b.rows - 1) * s.out[2] + b.cols);
          list_offsets(frame, sources, s.taps(), s.kernel[2], &offsets);
          for (int64_t i = begin; i < end; ++i)
            add(image, b.pixel, b.rows, b.cols, tasks.first(i), tasks.size(i));
        }
      }
    }
  });
  for (int64_t c = 0; c < s.out_channels; ++c) {
    for (int64_t i = 0; i < taps; ++i) {  // [set][tap], as weights lie
      const int64_t place = sources.place(i % s.taps(), i / s.taps(), s.kernel[2]);
      const int64_t at = (c / width * taps + place) * width + c % width;
      float total = sums[at];
      for (int64_t chunk = 1; chunk < chunks; ++chunk) total += sums[chunk * size + at];
      gw[c * taps + i] = total;
    }
  }
}

}  // namespace nnlib::drivers::detail
