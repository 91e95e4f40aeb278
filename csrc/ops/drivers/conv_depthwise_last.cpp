// Depthwise convolution of images with their channels last and both gradients, from images where they lie: a
// few pixels of a line with all of their channels after the other. What the borders' taps would read outside
// is left out.
#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv_depthwise.h"
#include "ops/drivers/conv_pixels.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

constexpr int64_t kRows = 8;                // of a task
constexpr int64_t kSerialPixels = 1 << 18;  // multiplications that are worth waking a thread
constexpr int64_t kPast = 8 << 20;          // bytes of results that the caches would not keep
// Weight gradients: tasks to aim for, and pixels that are worth another sum for each tap.
constexpr int64_t kTasks = 16, kPixelsOfTap = 8;

// `count` results that read the same taps, x_step and y_step apart; the first is y[0] and reads x[place[2 t]]
// by the tap at place[2 t + 1] of a block of weights. The next row will be the first to read `lines` lines of
// the caches from `ahead` on.
struct Run {
  int64_t count, taps;
  const int64_t* place;
  int64_t x, x_step, y, y_step, ahead, lines;
};

// The results of an image, for input gradients those of a phase, as runs.
class LastRuns {
 public:
  // y_cols: the width of the images that hold the results.
  LastRuns(const TapAxis& rows, const TapAxis& cols, int64_t kernel_cols, int64_t y_cols, int64_t channels)
      : rows_(rows), cols_(cols), kernel_cols_(kernel_cols), y_cols_(y_cols), channels_(channels) {}
  explicit LastRuns(const ConvShape& s)
      : LastRuns(TapAxis(s, 1), TapAxis(s, 2), s.kernel[2], s.out[2], s.out_channels) {}

  bool mostly_inner() const { return mostly_inner(rows_) && mostly_inner(cols_); }
  // Row r, but for the results at its ends that read padding.
  template <class F>
  void row(int64_t r, bool fetch, F f) {
    if (r < rows_.count) run(r, 1, cols_.first, cols_.last, fetch, f);
  }
  // The results at the ends of rows [from, to): down the rows that read all lines of taps, and one by one.
  template <class F>
  void ends(int64_t from, int64_t to, F f) {
    from = std::min(from, rows_.count), to = std::min(to, rows_.count);
    const int64_t whole_from = std::clamp(rows_.first, from, to),
                  whole_to = std::clamp(rows_.last, whole_from, to);
    for (int64_t j = 0; j < cols_.count; ++j) {
      if (j == cols_.first) j = cols_.last;
      if (j >= cols_.count) break;
      for (int64_t r = from; r < whole_from; ++r) run(r, 1, j, j + 1, false, f);
      run(whole_from, whole_to - whole_from, j, j + 1, false, f);
      for (int64_t r = whole_to; r < to; ++r) run(r, 1, j, j + 1, false, f);
    }
  }

 private:
  // At borders few results read the same taps: where these are most of them, frames with a border take less
  // time.
  static bool mostly_inner(const TapAxis& a) { return 2 * (a.last - a.first) >= a.count; }

  // Results [j, end) of a row, or result j of `rows` rows from it on.
  template <class F>
  void run(int64_t row, int64_t rows, int64_t j, int64_t end, bool fetch, F f) {
    const bool along = rows == 1;
    const int64_t line = cols_.in * channels_, y_line = y_cols_ * channels_;
    Run run{along ? end - j : rows, 0, nullptr, 0, 0, 0, 0, 0, 0};
    if (run.count <= 0) return;
    places_.clear();
    const int64_t row_low = rows_.low(row), row_high = rows_.high(row), low = cols_.low(j),
                  high = cols_.high(j);
    const auto x = [&](int64_t k, int64_t q) {
      return (rows_.at[k] + row * rows_.stride) * line + (cols_.at[q] + j * cols_.stride) * channels_;
    };
    if (row_low < row_high && low < high) run.x = x(row_low, low);
    for (int64_t k = row_low; k < row_high; ++k) {
      for (int64_t q = low; q < high; ++q) {
        places_.push_back(x(k, q) - run.x);
        places_.push_back((rows_.tap[k] * kernel_cols_ + cols_.tap[q] + 1) * lanes());
      }
    }
    run.taps = int64_t(places_.size()) / 2, run.place = places_.data();
    run.x_step = along ? cols_.stride * channels_ : rows_.stride * line;
    run.y = (row * rows_.step + rows_.pixel) * y_line + (j * cols_.step + cols_.pixel) * channels_;
    run.y_step = along ? cols_.step * channels_ : rows_.step * y_line;
    if (fetch && rows_.taps() > 0) {
      const int64_t next = (row + 1) * rows_.stride, old = next - rows_.stride + rows_.at.back() + 1,
                    from = std::max({old, next + rows_.at.front(), int64_t(0)}),
                    to = std::min(next + rows_.at.back() + 1, rows_.in);
      run.ahead = from * line, run.lines = std::max<int64_t>(0, to - from) * line * sizeof(float) / 64;
    }
    f(run);
  }

  TapAxis rows_, cols_;
  int64_t kernel_cols_, y_cols_, channels_;
  std::vector<int64_t> places_;
};

// The phases of an input gradient; those along x of a row come one after the other.
std::vector<LastRuns> back_phases(const ConvShape& s) {
  const DepthwiseBack b(s);
  std::vector<LastRuns> phases;
  for (const AxisPhase& y : b.phases[1]) {
    for (const AxisPhase& x : b.phases[2]) {
      phases.emplace_back(TapAxis(y, s.out[1], s.stride[1]), TapAxis(x, s.out[2], s.stride[2]), s.kernel[2],
                          s.in[2], s.in_channels);
    }
  }
  return phases;
}

bool last_suits(const ConvShape& s, const ConvImages& a, const ConvImages& b) {
  return s.in_group() == 1 && s.out_group() == 1 && s.in[0] * s.kernel[0] == 1 && s.padding[0] == 0 &&
         a.channels_last && b.channels_last && a.dtype == Dtype::Float32 && b.dtype == Dtype::Float32 &&
         s.out_channels >= lanes();
}

const float* image_of(const ConvImages& t, int64_t image) {
  return reinterpret_cast<const float*>(address(t, image, 0, 0));
}

// y, of bands of kRows rows of all phases' results.
void write_runs(const ConvShape& s, const std::vector<LastRuns>& phases, int64_t rows, const ConvImages& x,
                const PixelWeights& weights, const ConvImages& y) {
  const int64_t bands = (rows + kRows - 1) / kRows, channels = s.out_channels;
  const int64_t work = std::min(kRows, rows) * s.out[2] * channels * s.taps();
  const bool past = s.batch * y.pixels * channels * int64_t(sizeof(float)) > kPast &&
                    channels % lanes() == 0 && reinterpret_cast<uintptr_t>(y.data) % 64 == 0;
  parallel_for(0, s.batch * bands, std::max<int64_t>(1, kSerialPixels / work), [&](int64_t from, int64_t to) {
    std::vector<LastRuns> own = phases;
    for (int64_t i = from; i < to; ++i) {
      const float* in = image_of(x, i / bands);
      float* out = const_cast<float*>(image_of(y, i / bands));
      const auto write = [&](const Run& r) {
        kernels::table().depthwise_last_f32(r.count, channels, r.taps, r.place, in + r.x, r.x_step,
                                            weights.blocks(), weights.block(), out + r.y, r.y_step, past,
                                            in + r.ahead, r.lines);
      };
      const int64_t first = i % bands * kRows, last = std::min(rows, first + kRows);
      for (int64_t r = first; r < last; ++r) {
        for (LastRuns& phase : own) phase.row(r, &phase == &own.front(), write);
      }
      for (LastRuns& phase : own) phase.ends(first, last, write);
    }
  });
}

}  // namespace

bool depthwise_last_suits(const ConvShape& s, const ConvImages& x, const ConvImages& y) {
  return last_suits(s, x, y) && LastRuns(s).mostly_inner();
}
bool depthwise_last_suits_input_grad(const ConvShape& s, const ConvImages& gy, const ConvImages& gx) {
  if (!last_suits(s, gy, gx)) return false;
  const std::vector<LastRuns> phases = back_phases(s);
  return std::all_of(phases.begin(), phases.end(), [](const LastRuns& p) { return p.mostly_inner(); });
}

void depthwise_last_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                            const float* bias, const ConvImages& y) {
  const PixelWeights weights(s, LaneSources(s.out_channels, 1, 1), s.out_channels, w.data, w.out_step, 0, 0,
                             w.tap_step, bias, true);
  write_runs(s, {LastRuns(s)}, s.out[1], x, weights, y);
}

void depthwise_last_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                               const float* bias, const ConvImages& gx) {
  const PixelWeights weights(s, LaneSources(s.in_channels, 1, 1), s.in_channels, w.data, w.out_step, 0, 0,
                             w.tap_step, bias, true);
  write_runs(s, back_phases(s), (s.in[1] + s.stride[1] - 1) / s.stride[1], gy, weights, gx);
}

void depthwise_last_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  const int64_t width = lanes(), block = (s.taps() + 1) * width, blocks = blocks_of(s.out_channels);
  const int64_t rows = s.batch * s.out[1], size = blocks * block;
  const int64_t tasks = std::clamp<int64_t>(rows * s.out[2] / (kPixelsOfTap * s.taps()), 1, kTasks);
  float* sums = scratch<Scratch::Sums, float>(tasks * size);
  parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    LastRuns runs(s);
    for (int64_t task = begin; task < end; ++task) {
      float* sum = sums + task * size;
      std::fill_n(sum, size, 0.f);
      for (int64_t row = rows * task / tasks, stop = rows * (task + 1) / tasks; row < stop;) {
        const int64_t image = row / s.out[1], first = row % s.out[1],
                      last = std::min({s.out[1], first + kRows, first + stop - row});
        const float *in = image_of(x, image), *g = image_of(gy, image);
        const auto add = [&](const Run& r) {
          kernels::table().depthwise_last_dots_f32(r.count, s.out_channels, r.taps, r.place, in + r.x,
                                                   r.x_step, g + r.y, r.y_step, sum, block, in + r.ahead,
                                                   r.lines);
        };
        for (int64_t r = first; r < last; ++r) runs.row(r, true, add);
        runs.ends(first, last, add);
        row += last - first;
      }
    }
  });
  parallel_for(0, blocks, std::max<int64_t>(1, 16384 / (tasks * block)), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float* sum = sums + b * block;
      for (int64_t task = 1; task < tasks; ++task) {
        const float* other = sum + task * size;
        for (int64_t i = 0; i < block; ++i) sum[i] += other[i];
      }
      for (int64_t q = 0; q < width; ++q) {
        float* to = gw + (whole_block(s.out_channels, b) + q) * s.taps();
        for (int64_t t = 0; t < s.taps(); ++t) to[t] = sum[(t + 1) * width + q];
      }
    }
  });
}

}  // namespace nnlib::drivers::detail
