// Depthwise convolution of images with their channels last, read where they lie: a few pixels of a line with
// all of their channels after the other. What the borders' taps would read outside is left out.
#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"

namespace nnlib::drivers::detail {

namespace {

constexpr int64_t kRows = 8;                // of a task
constexpr int64_t kSerialPixels = 1 << 18;  // multiplications that are worth waking a thread

// The part of an axis of outputs in which all taps lie within the input, and the taps of any place.
struct Axis {
  Axis(const ConvShape& s, int d)
      : in(s.in[d]),
        out(s.out[d]),
        kernel(s.kernel[d]),
        stride(s.stride[d]),
        padding(s.padding[d]),
        dilation(s.dilation[d]) {
    first = std::clamp<int64_t>((padding + stride - 1) / stride, 0, out);
    const int64_t room = in - 1 + padding - (kernel - 1) * dilation;
    last = std::clamp<int64_t>(room < 0 ? 0 : room / stride + 1, first, out);
  }
  int64_t start(int64_t place) const { return place * stride - padding; }
  int64_t low(int64_t place) const {  // the first tap within the input, or behind the last
    const int64_t before = -start(place);
    return std::clamp<int64_t>(before > 0 ? (before + dilation - 1) / dilation : 0, 0, kernel);
  }
  int64_t high(int64_t place) const {
    const int64_t left = in - start(place);
    return std::clamp<int64_t>(left > 0 ? (left + dilation - 1) / dilation : 0, low(place), kernel);
  }
  int64_t in, out, kernel, stride, padding, dilation, first, last;
};

class LastRows {
 public:
  LastRows(const ConvShape& s, const ConvImages& x, const ConvImages& y, const float* w)
      : rows_(s, 1),
        cols_(s, 2),
        x_(x),
        y_(y),
        w_(w),
        channels_(s.out_channels),
        width_(kernels::table().pixel_lanes),
        block_((s.taps() + 1) * width_) {}

  void run(int64_t image, int64_t from, int64_t to) {
    const float* x = reinterpret_cast<const float*>(address(x_, image, 0, 0));
    float* y = reinterpret_cast<float*>(address(y_, image, 0, 0));
    const int64_t whole_from = std::clamp(rows_.first, from, to),
                  whole_to = std::clamp(rows_.last, whole_from, to);
    for (int64_t r = from; r < to; ++r) line(x, y, r, 1, cols_.first, cols_.last, true);
    // The pixels at the left and right: down the lines that see all lines of taps, and one by one.
    for (int64_t j = 0; j < cols_.out; ++j) {
      if (j == cols_.first) j = cols_.last;
      if (j >= cols_.out) break;
      for (int64_t r = from; r < whole_from; ++r) line(x, y, r, 1, j, j + 1, true);
      line(x, y, whole_from, whole_to - whole_from, j, j + 1, false);
      for (int64_t r = whole_to; r < to; ++r) line(x, y, r, 1, j, j + 1, true);
    }
  }

 private:
  // Pixels [j, end) of a row, or pixel j of `rows` rows from it on; all see the same taps.
  void line(const float* x, float* y, int64_t row, int64_t rows, int64_t j, int64_t end, bool along) {
    const int64_t count = along ? end - j : rows;
    if (count <= 0) return;
    places_.clear(), fetch_.clear();
    const int64_t low = cols_.low(j), high = cols_.high(j);
    int64_t taps = 0, origin = 0;
    for (int64_t k = rows_.low(row); k < rows_.high(row); ++k) {
      for (int64_t q = low; q < high; ++q) {
        const int64_t at =
            ((rows_.start(row) + k * rows_.dilation) * cols_.in + cols_.start(j) + q * cols_.dilation) *
            channels_;
        if (taps++ == 0) origin = at;
        // The first taps to come to new pixels, lines above and left of which were read before.
        if (along && k >= rows_.kernel - rows_.stride && q >= cols_.kernel - cols_.stride)
          fetch_.push_back(at - origin);
        places_.push_back(at - origin);
        places_.push_back((k * cols_.kernel + q + 1) * width_);
      }
    }
    kernels::table().depthwise_last_f32(
        count, channels_, taps, places_.data(), int64_t(fetch_.size()), fetch_.data(), x + origin,
        (along ? cols_.stride : rows_.stride * cols_.in) * channels_, w_, block_,
        y + (row * cols_.out + j) * channels_, (along ? 1 : cols_.out) * channels_);
  }

  Axis rows_, cols_;
  const ConvImages &x_, &y_;
  const float* w_;
  int64_t channels_, width_, block_;
  std::vector<int64_t> places_, fetch_;
};

}  // namespace

bool depthwise_last_suits(const ConvShape& s, const ConvImages& x, const ConvImages& y) {
  // At borders few pixels see the same taps: where these are most of them, frames with a border take less
  // time.
  const Axis rows(s, 1), cols(s, 2);
  const bool inner = 2 * (rows.last - rows.first) >= rows.out && 2 * (cols.last - cols.first) >= cols.out;
  return inner && s.in_group() == 1 && s.out_group() == 1 && s.in[0] * s.kernel[0] == 1 &&
         s.padding[0] == 0 && x.channels_last && y.channels_last && x.dtype == Dtype::Float32 &&
         y.dtype == Dtype::Float32 && s.out_channels % kernels::table().pixel_lanes == 0;
}

void depthwise_last_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w,
                            const float* bias, const ConvImages& y) {
  const int64_t width = kernels::table().pixel_lanes, block = (s.taps() + 1) * width;
  std::vector<float> weights(size_t(s.out_channels / width * block));
  for (int64_t c = 0; c < s.out_channels; ++c) {
    float* to = weights.data() + c / width * block + c % width;
    if (bias) to[0] = bias[c];
    for (int64_t t = 0; t < s.taps(); ++t) to[(t + 1) * width] = w.data[c * w.out_step + t * w.tap_step];
  }
  const int64_t bands = (s.out[1] + kRows - 1) / kRows;
  const int64_t work = std::min(kRows, s.out[1]) * s.out[2] * s.out_channels * s.taps();
  parallel_for(0, s.batch * bands, std::max<int64_t>(1, kSerialPixels / work), [&](int64_t from, int64_t to) {
    LastRows rows(s, x, y, weights.data());
    for (int64_t i = from; i < to; ++i) {
      const int64_t first = i % bands * kRows;
      rows.run(i / bands, first, std::min(s.out[1], first + kRows));
    }
  });
}

}  // namespace nnlib::drivers::detail
