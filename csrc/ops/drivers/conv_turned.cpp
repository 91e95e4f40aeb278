// Convolutions of images in planes that are turned round first: with the channels last, strides and short
// lines cost nothing, where planes need a frame for each phase and lines that are gathered piece by piece.
#include <algorithm>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/conv_phases.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers::detail {

namespace {

// Pixels of a task that turns some.
constexpr int64_t kPixels = 256;
// Elements of the input that are turned at once, so that they are multiplied while they are near, and pixels
// of the output that are worth packing the weights.
constexpr int64_t kNearImages = 1 << 18, kWorthWeights = 512;

// Images in planes with their channels last, in this thread's scratch.
template <Scratch Purpose>
ConvImages room_for(const ConvImages& planes, int64_t batch) {
  ConvImages last = planes;
  last.channels_last = true;
  last.data = scratch<Purpose, float>(batch * planes.channels * planes.pixels);
  return last;
}
// Calls f(image, first pixel, pixels).
template <class F>
void each_part(int64_t batch, const ConvImages& t, F f) {
  const int64_t parts = (t.pixels + kPixels - 1) / kPixels;
  const int64_t grain = std::max<int64_t>(1, 32768 / (t.channels * std::min(t.pixels, kPixels)));
  parallel_for(0, batch * parts, grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t pixel = i % parts * kPixels;
      f(i / parts, pixel, std::min(kPixels, t.pixels - pixel));
    }
  });
}
template <Scratch Purpose>
ConvImages turned(int64_t batch, const ConvImages& from) {
  const ConvImages to = room_for<Purpose>(from, batch);
  const float* x = planes<float>(from);
  each_part(batch, from, [&](int64_t image, int64_t pixel, int64_t n) {
    write_planes(to, image, 0, to.channels, pixel, 1, n, x + image * to.channels * to.pixels + pixel,
                 to.pixels);
  });
  return to;
}
void turn_back(int64_t batch, const ConvImages& from, const ConvImages& to) {
  float* y = const_cast<float*>(planes<float>(to));
  each_part(batch, from, [&](int64_t image, int64_t pixel, int64_t n) {
    read_planes(from, image, 0, to.channels, pixel, 1, n, y + image * to.channels * to.pixels + pixel,
                to.pixels);
  });
}

int64_t image_size(const ConvShape& s) { return s.in_channels * s.in_pixels(); }

// Calls f(shape, from, to) for some images after the others, `from` being turned and `to` turned back then. f
// leaves Winograd's algorithm out, which was asked before: where its results were not finite, no part shall
// have them.
template <class F>
void by_turning(const ConvShape& s, const ConvImages& a, const ConvImages& b, F f) {
  const int64_t worth = (kWorthWeights + s.out_pixels() - 1) / s.out_pixels(),
                some = std::max(worth, kNearImages / image_size(s));
  ConvShape part = s;
  ConvImages from = a, to = b;
  for (int64_t i = 0; i < s.batch; i += some) {
    part.batch = std::min(some, s.batch - i);
    from.data = address(a, i, 0, 0), to.data = address(b, i, 0, 0);
    const ConvImages in = turned<Scratch::TurnedIn>(part.batch, from),
                     out = room_for<Scratch::TurnedOut>(to, part.batch);
    f(part, in, out);
    turn_back(part.batch, out, to);
  }
}

// What a convolution with a stride handles: elements of its input and of its output, and the lines of output
// pixels that are gathered for the taps of `channels` channels. Measured on AVX2: turning takes about 0.4 ns
// an element, of images that are far when they are multiplied more, a line in planes 3 ns more than pixels
// with the channels last (benchmarks/NOTES.md). Of strides that are no powers of two frames take about as
// long as turning.
struct Work {
  Work(const ConvShape& s, int64_t channels)
      : in(double(s.batch * s.in_channels * s.in_pixels())),
        out(double(s.batch * s.out_channels * s.out_pixels())),
        lines(double(s.batch * channels * s.taps() * s.out[0] * s.out[1])) {}
  double in, out, lines;
};
constexpr double kLine = 3;

// Whether the channels of a group's results, which are the lanes, leave few of them empty. The phases of
// strides of a vector or more fill squares that are transposed, which is turning them too.
bool lanes_suit(const ConvShape& s, int64_t results) {
  const int64_t half = kernels::table().lines_nr / 2, lanes = (results + half - 1) / half * half;
  if (s.stride[2] >= half && s.kernel[2] >= half) return false;
  return s.stride[2] > 1 && results * 4 >= lanes * 3;
}

// Without a stride, in multiply-adds. Planes gather what a panel of pixels sees, which takes as long as some
// rows of the product, and multiply padding too. Rows of pixels leave lines of padding out, but their lanes
// are channels, and their tiles some pixels of a line. Channels whose stretches are short are copied first.
constexpr int64_t kStretch = 64, kFewRows = 8, kLeastTile = 4;
constexpr double kGathered = 5, kRows = 0.86, kElement = 15;
bool unit_strides(const ConvShape& s) { return s.stride[0] == 1 && s.stride[1] == 1 && s.stride[2] == 1; }
bool rows_pay(const ConvShape& s) {
  const TileKernel<float> tile = tile_kernel<float>();
  const int64_t co = s.out_channels, half = tile.nr / 2;
  if (s.groups > 1 || s.taps() == 1 || co * 4 < (co + half - 1) / half * half * 3) return false;
  if (s.in_channels * (s.dilation[2] == 1 ? s.kernel[2] : 1) < kStretch) return false;
  const int64_t rest = s.out[2] % tile.mr,
                line = s.out[2] - rest + (rest > 0 ? std::max(rest, kLeastTile) : 0);
  const double lines = double(s.out[0] * s.out[1]), depth = double(s.taps() * s.in_channels);
  const double planes = depth * lines * double(s.out[2]) * (double(co) + (co > kFewRows ? kGathered : 0)),
               rows = depth * lines * s.seen(0) * s.seen(1) * double(line) *
                      double((co + tile.nr - 1) / tile.nr * tile.nr),
               moved = double(s.in_pixels() * s.in_channels + s.out_pixels() * co);
  return planes > kRows * (rows + kElement * moved);
}

bool suits_forward(const ConvShape& s, const ConvImages& x, const ConvImages& y) {
  if (!planes<float>(x) || !planes<float>(y)) return false;
  if (unit_strides(s)) return rows_pay(s);
  if (!lanes_suit(s, s.out_group())) return false;
  const Work work(s, s.in_channels);
  const double element = image_size(s) >= 4 * kNearImages ? 0.5 : s.stride[2] > 2 ? 0.08 : 0.3;
  const double moved = element * work.in + 0.4 * work.out;
  return kLine * work.lines > moved;
}
// Each phase of the stride is gathered, and written between the others; those that no tap reaches are many
// lines of zeros in pieces. That is slower always, columns sometimes quicker.
bool suits_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                      const ConvImages& gx) {
  if (!planes<float>(gy) || !planes<float>(gx)) return false;
  if (unit_strides(s))
    return rows_pay(Back<float>(s, w, phase_of(s, 0, 0), phase_of(s, 1, 0), phase_of(s, 2, 0)).shape);
  if (s.groups == 1) return s.stride[2] > 1 && !columns_suit_input_grad(s);
  if (!lanes_suit(s, s.in_group())) return false;
  const Work work(s, s.out_channels);
  if (s.kernel[2] < s.stride[2]) return true;
  // Columns that never meet are quicker.
  return kLine * work.lines > (s.kernel[2] == s.stride[2] ? 1.8 : 0.3) * work.in;
}
// Products of vectors that turning an element takes, of images that are near and far, and what has to be
// gained by products of few channels.
constexpr double kTurned = 1, kTurnedFar = 3, kWorthDots = 1.05;
constexpr int64_t kFar = 1 << 21, kShortLine = 48;
bool suits_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy) {
  if (!planes<float>(x) || !planes<float>(gy)) return false;
  const double gain = dots_weight_grad_gain(s);
  if (gain > kWorthDots && s.groups == 1 && s.in[0] * s.kernel[0] == 1 && s.out[2] <= kShortLine &&
      s.out_channels <= tile_kernel<float>().nr) {
    const double products = double(s.batch * s.out_pixels() * s.taps() * s.in_channels * s.out_channels) /
                            double(tile_kernel<float>().nr / 2),
                 moved = double(s.batch) *
                         double(s.in_channels * s.in_pixels() + s.out_channels * s.out_pixels());
    if (products * (1 - 1 / gain) > (moved < kFar ? kTurned : kTurnedFar) * moved) return true;
  }
  if (!lanes_suit(s, s.out_group())) return false;
  const Work work(s, s.in_channels);
  return kLine * work.lines > (s.stride[2] > 2 ? 0.27 : 1.2) * work.in;
}

}  // namespace

bool turned_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                    const ConvImages& y) {
  if (!suits_forward(s, x, y)) return false;
  by_turning(s, x, y, [&](const ConvShape& part, const ConvImages& in, const ConvImages& out) {
    any_forward(part, in, w, bias, out, false);
  });
  return true;
}

bool turned_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx) {
  if (!suits_input_grad(s, gy, w, gx)) return false;
  by_turning(s, gy, gx, [&](const ConvShape& part, const ConvImages& in, const ConvImages& out) {
    any_input_grad(part, in, w, bias, out, false);
  });
  return true;
}

bool turned_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  if (!suits_weight_grad(s, x, gy)) return false;
  conv_weight_grad(s, turned<Scratch::TurnedIn>(s.batch, x), turned<Scratch::TurnedOut>(s.batch, gy), gw);
  return true;
}

}  // namespace nnlib::drivers::detail
