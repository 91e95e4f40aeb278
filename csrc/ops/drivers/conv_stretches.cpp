// Convolutions of images with their channels last by sums in registers, from images where they lie: what the
// taps of a line see of a pixel, or in groups what each tap sees, is a stretch of memory. For few channels a
// group, whose stretches are too short to be the rows of a product and too many to be copied side by side.
#include <vector>

#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_runs.h"

namespace nnlib::drivers::detail {

namespace {

// Elements of weights, or of their sums, that stay near; elements of stretches that are worth a product.
constexpr int64_t kNearWeights = 160 << 10, kLongStretch = 64;
// Pixels of the input for one of the output, where half of the lanes may stay empty.
constexpr int64_t kSparse = 9;

int64_t width() { return kernels::table().lines_nr; }

// The channels of results in blocks, each of one group: (first channel read, first result, results).
struct Blocks {
  Blocks(int64_t groups, int64_t from, int64_t to, int64_t taps)
      : read(from), row(width()), size((taps * from + 1) * row), layout{row, from * row, from, false} {
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t j = 0; j < to; j += row)
        list.insert(list.end(), {g * from, g * to + j, std::min(row, to - j)});
    }
  }
  int64_t count() const { return int64_t(list.size()) / 3; }
  int64_t read, row, size;
  TapLayout layout;  // of a block: the bias, then a row for each channel of each tap
  std::vector<int64_t> list;
};
Blocks forward_blocks(const ConvShape& s) {
  Blocks b(s.groups, s.in_group(), s.out_group(), s.taps());
  b.layout.joined = s.groups == 1 && s.dilation[2] == 1;
  return b;
}
Blocks back_blocks(const ConvShape& s) { return Blocks(s.groups, s.out_group(), s.in_group(), s.taps()); }

// Lanes that hold no channel are to be few, and weights to stay near. filled: quarters of the lanes.
bool blocks_suit(const ConvShape& s, const Blocks& b, int64_t results, int64_t filled = 3) {
  const int64_t half = width() / 2, lanes = (results + half - 1) / half * half;
  const int64_t stretch = b.read * (b.layout.joined ? s.kernel[2] : 1);
  return results * 4 >= lanes * filled && stretch <= kLongStretch && s.taps() > 1 &&
         b.count() * b.size <= kNearWeights;
}

// The weight of result c % results of group c / results, of channel k that is read and tap t is
// w[c / results * group_step + c % results * result_step + k * read_step + t * tap_step].
std::vector<float> pack(const Blocks& b, int64_t results, int64_t taps, const float* w, int64_t group_step,
                        int64_t result_step, int64_t read_step, int64_t tap_step, const float* bias) {
  std::vector<float> packed(size_t(b.count() * b.size));
  for (int64_t i = 0; i < b.count(); ++i) {
    const int64_t first = b.list[size_t(3 * i + 1)];
    for (int64_t q = 0; q < b.list[size_t(3 * i + 2)]; ++q) {
      const int64_t c = first + q;
      const float* from = w + c / results * group_step + c % results * result_step;
      float* to = packed.data() + i * b.size + q;
      if (bias) *to = bias[c];
      for (int64_t t = 0; t < taps; ++t) {
        for (int64_t k = 0; k < b.read; ++k) *(to += b.row) = from[k * read_step + t * tap_step];
      }
    }
  }
  return packed;
}

void write_runs(const ConvShape& s, const Blocks& b, const std::vector<ImageRuns>& phases, int64_t rows,
                const ConvImages& x, const std::vector<float>& weights, const ConvImages& y) {
  for_runs(phases, s.batch, rows, s.out[2] * s.out_channels * s.in_group() * s.taps(), x, y,
           [&](const Run& r, const float* in, float* out) {
             kernels::table().stretches_f32(r.count, b.count(), b.list.data(), r.taps, r.place, r.length,
                                            in + r.x, r.x_step, weights.data(), b.size, b.row, out + r.y,
                                            r.y_step, in + r.ahead, r.lines);
           });
}

}  // namespace

bool stretches_suit_forward(const ConvShape& s, const ConvImages& x, const ConvImages& y) {
  if (!runs_suit(s, x, y)) return false;
  const Blocks b = forward_blocks(s);
  // Frames for few channels a group hold all pixels, of which strides leave most out.
  const int64_t filled = s.groups > 1 && s.stride[1] * s.stride[2] >= kSparse ? 2 : 3;
  return blocks_suit(s, b, s.out_group(), filled) && ImageRuns(s, b.layout).long_runs();
}
bool stretches_suit_input_grad(const ConvShape& s, const ConvImages& gy, const ConvImages& gx) {
  // Without groups and dilation, lines of taps are rows of a product that is as quick.
  if ((s.groups == 1 && s.dilation[2] == 1) || !runs_suit(s, gy, gx)) return false;
  const Blocks b = back_blocks(s);
  return blocks_suit(s, b, s.in_group()) && long_runs(ImageRuns::back(s, b.layout));
}
bool stretches_suit_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy) {
  return s.groups > 1 && stretches_suit_forward(s, x, gy);
}

void stretches_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& y) {
  const Blocks b = forward_blocks(s);
  write_runs(s, b, {ImageRuns(s, b.layout)}, s.out[1], x,
             pack(b, s.out_group(), s.taps(), w.data, s.out_group() * w.out_step, w.out_step, w.in_step,
                  w.tap_step, bias),
             y);
}

void stretches_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                          const float* bias, const ConvImages& gx) {
  const Blocks b = back_blocks(s);
  write_runs(s, b, ImageRuns::back(s, b.layout), (s.in[1] + s.stride[1] - 1) / s.stride[1], gy,
             pack(b, s.in_group(), s.taps(), w.data, s.out_group() * w.out_step, w.in_step, w.out_step,
                  w.tap_step, bias),
             gx);
}

void stretches_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  const Blocks b = forward_blocks(s);
  const int64_t taps = s.taps();
  sum_runs(
      s, ImageRuns(s, b.layout), b.size, b.count(), b.count(), x, gy,
      [&](const Run& r, const float* in, const float* g, float* sum, int64_t, int64_t) {
        kernels::table().stretch_dots_f32(r.count, b.count(), b.list.data(), r.taps, r.place, r.length,
                                          in + r.x, r.x_step, g + r.y, r.y_step, sum, b.size, b.row,
                                          in + r.ahead, r.lines);
      },
      [&](int64_t i, const float* sum) {
        float* to = gw + b.list[size_t(3 * i + 1)] * b.read * taps;
        for (int64_t q = 0; q < b.list[size_t(3 * i + 2)]; ++q) {
          for (int64_t k = 0; k < b.read; ++k) {
            for (int64_t t = 0; t < taps; ++t) *to++ = sum[(1 + t * b.read + k) * b.row + q];
          }
        }
      });
}

}  // namespace nnlib::drivers::detail
