// Convolutions of images with their channels last that are read where they lie: results that see the same
// taps are taken together, and what the borders' taps would read outside is left out.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_depthwise.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

// What the results along an axis read: result r at position at[i] + r * stride by tap[i]. Positions ascend;
// those that are not below `in`, or below zero, are the padding's.
struct TapAxis {
  TapAxis(const ConvShape& s, int d) : in(s.in[d]), count(s.out[d]), stride(s.stride[d]) {
    for (int64_t k = 0; k < s.kernel[d]; ++k)
      at.push_back(k * s.dilation[d] - s.padding[d]), tap.push_back(k);
    find_edges();
  }
  // The gradient's pixels of a phase, which are pixel + r * step, from `in` pixels of gy.
  TapAxis(const AxisPhase& p, int64_t in, int64_t step)
      : in(in), count(p.count), stride(1), pixel(p.pixel), step(step) {
    for (size_t k = p.tap.size(); k-- > 0;) at.push_back(p.from[k]), tap.push_back(p.tap[k]);
    find_edges();
  }
  int64_t taps() const { return int64_t(at.size()); }
  // Result r reads taps [low(r), high(r)).
  int64_t low(int64_t r) const {
    int64_t k = 0;
    while (k < taps() && at[size_t(k)] + r * stride < 0) ++k;
    return k;
  }
  int64_t high(int64_t r) const {
    int64_t k = taps();
    while (k > 0 && at[size_t(k - 1)] + r * stride >= in) --k;
    return std::max(k, low(r));
  }
  int64_t in, count, stride, pixel = 0, step = 1;
  std::vector<int64_t> at, tap;
  // Results [edge[i], edge[i + 1]) read the same taps.
  std::vector<int64_t> edge;

 private:
  void find_edges() {
    int64_t first = 0, last = count;  // results [first, last) read no padding
    if (!at.empty()) {
      if (at.front() < 0) first = std::min(count, (stride - 1 - at.front()) / stride);
      const int64_t room = in - 1 - at.back();
      last = std::clamp<int64_t>(room < 0 ? 0 : room / stride + 1, first, count);
    }
    for (int64_t r = 0; r < count; ++r) {
      if (r == 0 || low(r) != low(r - 1) || high(r) != high(r - 1)) edge.push_back(r);
      if (r == first && last > first) r = last - 1;
    }
    edge.push_back(count);
  }
};

// `count` results that see the same taps, x_step and y_step apart; the first is y[0] and reads `length`
// elements from x[place[2 t]] on by the tap, or line of taps, at place[2 t + 1] of a block of weights. The
// next row will be the first to read `lines` lines of the caches from `ahead` on.
struct Run {
  int64_t count, taps;
  const int64_t* place;
  int64_t length, x, x_step, y, y_step, ahead, lines;
};

// How a block of weights lies, `taps` of them of `size` elements after `first`, and what a tap reads:
// `length` elements of a pixel. joined: taps side by side read elements side by side.
struct TapLayout {
  int64_t first, size, length;
  bool joined;
};

// The results of an image, for input gradients those of a phase, as runs.
class ImageRuns {
 public:
  // channels: of the images that are read and of those that hold the results, whose width is y_cols.
  ImageRuns(const TapAxis& rows, const TapAxis& cols, int64_t kernel_cols, int64_t channels, int64_t y_cols,
            int64_t y_channels, const TapLayout& layout)
      : rows_(rows),
        cols_(cols),
        kernel_cols_(kernel_cols),
        channels_(channels),
        y_cols_(y_cols),
        y_channels_(y_channels),
        layout_(layout) {}
  ImageRuns(const ConvShape& s, const TapLayout& layout)
      : ImageRuns(TapAxis(s, 1), TapAxis(s, 2), s.kernel[2], s.in_channels, s.out[2], s.out_channels,
                  layout) {}
  // The phases of an input gradient; those along x of a row come one after the other.
  static std::vector<ImageRuns> back(const ConvShape& s, const TapLayout& layout) {
    const DepthwiseBack b(s);
    std::vector<ImageRuns> phases;
    for (const AxisPhase& y : b.phases[1]) {
      for (const AxisPhase& x : b.phases[2]) {
        phases.emplace_back(TapAxis(y, s.out[1], s.stride[1]), TapAxis(x, s.out[2], s.stride[2]), s.kernel[2],
                            s.out_channels, s.in[2], s.in_channels, layout);
      }
    }
    return phases;
  }

  // Whether most results of a line are `least` in a row, or more, that see the same taps: else frames with a
  // border take less time.
  bool long_runs(int64_t least = 2) const {
    int64_t few = 0;
    for (size_t i = 0; i + 1 < cols_.edge.size(); ++i) {
      const int64_t run = cols_.edge[i + 1] - cols_.edge[i];
      if (run < least) few += run;
    }
    return 2 * few <= cols_.count;
  }
  // Row r, but for results that see taps of their own.
  template <class F>
  void row(int64_t r, bool fetch, F f) {
    if (r >= rows_.count) return;
    for (size_t i = 0; i + 1 < cols_.edge.size(); ++i) {
      const int64_t j = cols_.edge[i], end = cols_.edge[i + 1];
      if (end - j > 1) run(r, 1, j, end, fetch, f), fetch = false;
    }
  }
  // Those of rows [from, to): down the rows.
  template <class F>
  void rest(int64_t from, int64_t to, F f) {
    for (size_t i = 0; i + 1 < cols_.edge.size(); ++i) {
      const int64_t j = cols_.edge[i];
      if (cols_.edge[i + 1] - j > 1) continue;
      for (size_t k = 0; k + 1 < rows_.edge.size(); ++k) {
        const int64_t r = std::max(from, rows_.edge[k]), end = std::min(to, rows_.edge[k + 1]);
        if (r < end) run(r, end - r, j, j + 1, false, f);
      }
    }
  }

 private:
  // Results [j, end) of a row, or result j of `rows` rows from it on.
  template <class F>
  void run(int64_t row, int64_t rows, int64_t j, int64_t end, bool fetch, F f) {
    const bool along = end - j > 1;
    const int64_t line = cols_.in * channels_, y_line = y_cols_ * y_channels_;
    Run run{along ? end - j : rows, 0, nullptr, layout_.length, 0, 0, 0, 0, 0, 0};
    places_.clear();
    const int64_t row_low = rows_.low(row), row_high = rows_.high(row), low = cols_.low(j),
                  high = cols_.high(j);
    const auto x = [&](int64_t k, int64_t q) {
      return (rows_.at[k] + row * rows_.stride) * line + (cols_.at[q] + j * cols_.stride) * channels_;
    };
    if (row_low < row_high && low < high) run.x = x(row_low, low);
    if (layout_.joined) run.length *= high - low;
    for (int64_t k = row_low; k < row_high; ++k) {
      for (int64_t q = low; q < (layout_.joined ? std::min(low + 1, high) : high); ++q) {
        places_.push_back(x(k, q) - run.x);
        places_.push_back(layout_.first + (rows_.tap[k] * kernel_cols_ + cols_.tap[q]) * layout_.size);
      }
    }
    run.taps = int64_t(places_.size()) / 2, run.place = places_.data();
    run.x_step = along ? cols_.stride * channels_ : rows_.stride * line;
    run.y = (row * rows_.step + rows_.pixel) * y_line + (j * cols_.step + cols_.pixel) * y_channels_;
    run.y_step = along ? cols_.step * y_channels_ : rows_.step * y_line;
    if (fetch && rows_.taps() > 0) {
      const int64_t next = (row + 1) * rows_.stride, old = next - rows_.stride + rows_.at.back() + 1,
                    from = std::max({old, next + rows_.at.front(), int64_t(0)}),
                    to = std::min(next + rows_.at.back() + 1, rows_.in);
      run.ahead = from * line,
      run.lines = std::max<int64_t>(0, to - from) * line * int64_t(sizeof(float)) / 64;
    }
    f(run);
  }

  TapAxis rows_, cols_;
  int64_t kernel_cols_, channels_, y_cols_, y_channels_;
  TapLayout layout_;
  std::vector<int64_t> places_;
};

constexpr int64_t kRunRows = 8;  // of a task

// Images of floats of two dimensions with their channels last.
inline bool runs_suit(const ConvShape& s, const ConvImages& a, const ConvImages& b) {
  return s.in[0] * s.kernel[0] == 1 && s.padding[0] == 0 && a.channels_last && b.channels_last &&
         a.dtype == Dtype::Float32 && b.dtype == Dtype::Float32;
}
inline bool long_runs(const std::vector<ImageRuns>& phases, int64_t least = 2) {
  return std::all_of(phases.begin(), phases.end(), [&](const ImageRuns& p) { return p.long_runs(least); });
}
inline float* image_of(const ConvImages& t, int64_t image) {
  return reinterpret_cast<float*>(address(t, image, 0, 0));
}

// Calls f(run, x, y) for the results of all phases, bands of their `rows` rows: x and y are the run's images.
// work: multiplications of a row.
template <class F>
void for_runs(const std::vector<ImageRuns>& phases, int64_t batch, int64_t rows, int64_t work,
              const ConvImages& x, const ConvImages& y, F f) {
  constexpr int64_t serial = 1 << 18;  // multiplications that are worth waking a thread
  const int64_t bands = (rows + kRunRows - 1) / kRunRows;
  const int64_t grain = std::max<int64_t>(1, serial / std::max<int64_t>(1, std::min(kRunRows, rows) * work));
  parallel_for(0, batch * bands, grain, [&](int64_t begin, int64_t end) {
    std::vector<ImageRuns> own = phases;
    for (int64_t i = begin; i < end; ++i) {
      const float* in = image_of(x, i / bands);
      float* out = image_of(y, i / bands);
      const auto each = [&](const Run& r) { f(r, in, out); };
      const int64_t first = i % bands * kRunRows, last = std::min(rows, first + kRunRows);
      for (int64_t r = first; r < last; ++r) {
        for (ImageRuns& phase : own) phase.row(r, &phase == &own.front(), each);
      }
      for (ImageRuns& phase : own) phase.rest(first, last, each);
    }
  });
}

// Sums over all results, `blocks` blocks of `block` floats, of fixed parts of the rows and then of these in
// order: f(run, x, g, sum, first, last) adds a run's to blocks [first, last), `some` at a time, finish(b,
// sum) takes block b.
template <class F, class G>
void sum_runs(const ConvShape& s, const ImageRuns& runs, int64_t block, int64_t blocks, int64_t some,
              const ConvImages& x, const ConvImages& gy, F f, G finish) {
  // Tasks to aim for, pixels that are worth another sum for each tap, and sums at most.
  constexpr int64_t most = 16, pixels = 8, sums_at_most = int64_t(1) << 21;
  const int64_t rows = s.batch * s.out[1], size = blocks * block, parts = (blocks + some - 1) / some;
  const int64_t tasks =
      std::clamp<int64_t>(rows * s.out[2] / (pixels * s.taps()), 1,
                          std::min({most, rows, std::max<int64_t>(1, sums_at_most / size)}));
  float* sums = scratch<Scratch::Sums, float>(tasks * size);
  parallel_for(0, tasks * parts, 1, [&](int64_t begin, int64_t end) {
    ImageRuns own = runs;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t task = i / parts, part = i % parts * some, part_end = std::min(blocks, part + some);
      float* sum = sums + task * size;
      std::fill(sum + part * block, sum + part_end * block, 0.f);
      for (int64_t row = rows * task / tasks, stop = rows * (task + 1) / tasks; row < stop;) {
        const int64_t image = row / s.out[1], first = row % s.out[1],
                      last = std::min({s.out[1], first + kRunRows, first + stop - row});
        const float *in = image_of(x, image), *g = image_of(gy, image);
        const auto add = [&](const Run& r) { f(r, in, g, sum, part, part_end); };
        for (int64_t r = first; r < last; ++r) own.row(r, true, add);
        own.rest(first, last, add);
        row += last - first;
      }
    }
  });
  parallel_for(0, blocks, std::max<int64_t>(1, 16384 / (tasks * block)), [&](int64_t begin, int64_t end) {
    for (int64_t task = 1; task < tasks; ++task) {
      const float* other = sums + task * size;
      for (int64_t i = begin * block; i < end * block; ++i) sums[i] += other[i];
    }
    for (int64_t b = begin; b < end; ++b) finish(b, sums + b * block);
  });
}

}  // namespace nnlib::drivers::detail
