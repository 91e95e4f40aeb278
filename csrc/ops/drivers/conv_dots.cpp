// Convolutions of many channels to few, images with their channels last, read where they lie: what a line of
// taps sees of a pixel is a stretch of memory, whose elements are the lanes. Elsewhere lanes are channels of
// the result, or pixels, and few channels leave them empty or the images have to be turned round.
#include <algorithm>
#include <vector>

#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_phases.h"
#include "ops/drivers/conv_runs.h"

namespace nnlib::drivers::detail {

namespace {

// Elements of sums that stay near while images pass.
constexpr int64_t kNearSums = 32 << 10;
// Results that see the same taps and fill a tile, and channels of a group that are many.
constexpr int64_t kRun = 4, kManyChannels = 32;

// Rows of weights, one for each channel of the results: a tap after the other, of each the channels that are
// read.
TapLayout layout_of(const ConvShape& s) {
  return {0, s.in_group(), s.in_group(), s.dilation[2] == 1 && s.groups == 1};
}
TapLayout back_layout_of(const ConvShape& s) { return {0, s.out_group(), s.out_group(), false}; }

int64_t width() { return kernels::table().lines_nr; }
double up(int64_t n, int64_t step) { return double((n + step - 1) / step * step); }

// Of a pixel, in products of vectors: those of the lines of taps that it sees, whose last vectors may have
// empty lanes, and what summing the lanes of a result takes; a product whose lanes are the results has others
// empty, and waits for its sums where they are one vector. Measured on AVX2 (benchmarks/NOTES.md).
constexpr double kLanes = 6, kOneVector = 1.2, kWorth = 1.05, kWinograd = 0.85;
// Weight gradients: what adding a line's sums to those in memory takes, and filling frames with the phases of
// strides.
constexpr double kSums = 1, kGathered = 2, kWorthSums = 1.1;
struct Work {
  Work(const TapLayout& layout, double rows, double cols, int64_t results)
      : results(results),
        depth(rows * cols * double(layout.length)),
        line(layout.joined ? rows * up(int64_t(cols) * layout.length, width() / 2)
                           : rows * cols * up(layout.length, width() / 2)) {}
  // near: the other way has sums of more pixels.
  double gain(bool near) const {
    const int64_t half = width() / 2;
    const double other =
        depth * up(results, half) / double(half) * (results <= half && !near ? kOneVector : 1);
    return other / ((line / double(half) + kLanes) * double(results));
  }
  int64_t results;
  double depth, line;
};

// Other algorithms suit groups of few channels. 1x1 kernels are products as they are.
bool possible(const ConvShape& s, int64_t read, const ConvImages& a, const ConvImages& b) {
  return runs_suit(s, a, b) && !s.pointwise() && (s.groups == 1 || read >= kManyChannels);
}

// w: of one group, for which results and channels that are read may have changed their places.
class Rows {
 public:
  Rows(const ConvShape& s, const ConvWeights<float>& w, int64_t results, int64_t read, int64_t result_step,
       int64_t read_step)
      : step_(s.taps() * read), results_(results) {
    const int64_t taps = s.taps(), size = s.groups * results * step_;
    const Weights<float> all(w, s.out_group() * w.out_step, result_step, read_step, 0,
                             {{{1, 0}, {1, 0}, {taps, w.tap_step}}});
    rows_ = form_.get(PackedKind::ConvDots, all, {s.groups, results, read}, size,
                      scratch<Scratch::Weights, float>(size), [&](float* dst) {
                        for (int64_t r = 0; r < s.groups * results; ++r) {
                          const float* from = w.data + r / results * all.group + r % results * result_step;
                          for (int64_t t = 0; t < taps; ++t) {
                            for (int64_t k = 0; k < read; ++k) *dst++ = from[k * read_step + t * w.tap_step];
                          }
                        }
                      });
  }
  int64_t step() const { return step_; }
  const float* of_group(int64_t g) const { return rows_ + g * results_ * step_; }

 private:
  int64_t step_, results_;
  const float* rows_;
  PackedForm<float> form_;
};

void write_runs(const ConvShape& s, const std::vector<ImageRuns>& phases, int64_t rows, const ConvImages& x,
                int64_t read, const Rows& weights, const float* bias, const ConvImages& y, int64_t results) {
  for_runs(phases, s.batch, rows, s.out[2] * s.out_channels * s.in_group() * s.taps(), x, y,
           [&](const Run& r, const float* in, float* out) {
             for (int64_t g = 0; g < s.groups; ++g) {
               kernels::table().line_dots_f32(r.count, results, r.taps, r.place, r.length,
                                              in + r.x + g * read, r.x_step, weights.of_group(g),
                                              weights.step(), bias ? bias + g * results : nullptr,
                                              out + r.y + g * results, r.y_step);
             }
           });
}

}  // namespace

double dots_weight_grad_gain(const ConvShape& s) {
  const Work work(layout_of(s), double(s.kernel[1]), double(s.kernel[2]), s.out_group());
  // Gathered lines serve vectors of results, two at once where there are more than eight.
  const int64_t half = width() / 2, results = s.out_group();
  const double lanes = results <= half ? half : results <= width() ? width() : double(results);
  const double gathered =
      s.groups > 1 || s.dilation[2] > 1 || s.stride[2] == 1
          ? 0
          : kGathered * std::min(1., double(s.stride[1] * s.stride[2]) / double(s.taps()));
  return work.depth * (lanes + gathered * double(half)) / (work.line * double(results)) /
         (1 + kSums / double(s.out[2]));
}

bool dots_suit_forward(const ConvShape& s, const ConvImages& x, const ConvImages& y, bool winograd) {
  if (!possible(s, s.in_group(), x, y)) return false;
  const Work work(layout_of(s), double(s.kernel[1]), double(s.kernel[2]), s.out_group());
  if (work.gain(false) <= kWorth || work.gain(stretches_suit_forward(s, x, y)) <= kWorth) return false;
  return ImageRuns(s, layout_of(s)).long_runs(kRun) &&
         (!winograd || work.gain(true) > kWinograd * winograd_gain(s, true));
}
bool dots_suit_input_grad(const ConvShape& s, const ConvImages& gy, const ConvImages& gx, bool winograd) {
  if (!possible(s, s.out_group(), gy, gx)) return false;
  const Work work(back_layout_of(s), double(s.kernel[1]) / double(s.stride[1]),
                  double(s.kernel[2]) / double(s.stride[2]), s.in_group());
  if (work.gain(false) <= kWorth || work.gain(stretches_suit_input_grad(s, gy, gx)) <= kWorth) return false;
  return long_runs(ImageRuns::back(s, back_layout_of(s)), kRun) &&
         (!winograd || work.gain(true) > winograd_input_grad_gain(s, true));
}
bool dots_suit_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy) {
  if (!possible(s, s.in_group(), x, gy)) return false;
  const double gain = dots_weight_grad_gain(s);
  return gain > kWorthSums && ImageRuns(s, layout_of(s)).long_runs(kRun) &&
         gain > winograd_weight_grad_gain(s, true);
}

void dots_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                  const ConvImages& y) {
  write_runs(s, {ImageRuns(s, layout_of(s))}, s.out[1], x, s.in_group(),
             Rows(s, w, s.out_group(), s.in_group(), w.out_step, w.in_step), bias, y, s.out_group());
}

void dots_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w, const float* bias,
                     const ConvImages& gx) {
  write_runs(s, ImageRuns::back(s, back_layout_of(s)), (s.in[1] + s.stride[1] - 1) / s.stride[1], gy,
             s.out_group(), Rows(s, w, s.in_group(), s.out_group(), w.in_step, w.out_step), bias, gx,
             s.in_group());
}

void dots_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  const int64_t taps = s.taps(), read = s.in_group(), row = taps * read, of_group = s.out_group();
  // Results that one task sums; those of a single row are shared by two.
  const int64_t most = s.batch * s.out[1] > 1 ? s.out_channels : (s.out_channels + 1) / 2;
  const int64_t near = std::max<int64_t>(1, std::min(most, std::max<int64_t>(4, kNearSums / row / 4 * 4)));
  sum_runs(
      s, ImageRuns(s, layout_of(s)), row, s.out_channels, near, x, gy,
      [&](const Run& r, const float* in, const float* gradient, float* sum, int64_t first, int64_t last) {
        for (int64_t c = first; c < last;) {
          const int64_t g = c / of_group, end = std::min(last, (g + 1) * of_group);
          kernels::table().line_sums_f32(r.count, end - c, r.taps, r.place, r.length, in + r.x + g * read,
                                         r.x_step, gradient + r.y + c, r.y_step, sum + c * row, row);
          c = end;
        }
      },
      [&](int64_t c, const float* sum) {
        kernels::table().transpose_u32(taps, read, reinterpret_cast<const uint32_t*>(sum), read,
                                       reinterpret_cast<uint32_t*>(gw + c * row), taps);
      });
}

}  // namespace nnlib::drivers::detail
