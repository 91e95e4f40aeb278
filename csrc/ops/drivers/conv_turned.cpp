// Convolutions of images in planes that are turned round first: with the channels last, strides and short
// lines cost nothing, where planes need a frame for each phase and lines that are gathered piece by piece.
#include <algorithm>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"

namespace nnlib::drivers::detail {

namespace {

// Pixels of a task that turns some.
constexpr int64_t kPixels = 256;

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

// What a convolution with a stride handles: elements of its input and of its output, and the lines of output
// pixels that are gathered for the taps of `channels` channels. Measured on AVX2: turning takes about 0.4 ns
// an element, a line in planes 3 ns more than pixels with the channels last (benchmarks/NOTES.md). Of strides
// that are no powers of two frames take about as long as turning.
struct Work {
  Work(const ConvShape& s, int64_t channels)
      : in(double(s.batch * s.in_channels * s.in_pixels())),
        out(double(s.batch * s.out_channels * s.out_pixels())),
        lines(double(s.batch * channels * s.taps() * s.out[0] * s.out[1])) {}
  double in, out, lines;
};
constexpr double kLine = 3;

// Whether the channels of a group's results, which are the lanes, leave few of them empty.
bool planes_suit(const ConvShape& s, const ConvImages& a, const ConvImages& b, int64_t results) {
  const int64_t half = kernels::table().lines_nr / 2, lanes = (results + half - 1) / half * half;
  return s.stride[2] > 1 && planes<float>(a) && planes<float>(b) && results * 4 >= lanes * 3;
}
bool suits_forward(const ConvShape& s, const ConvImages& x, const ConvImages& y) {
  if (!planes_suit(s, x, y, s.out_group())) return false;
  const Work work(s, s.in_channels);
  const double moved = (s.stride[2] > 2 ? 0.1 : 0.3) * work.in + 0.4 * work.out;
  return kLine * work.lines > moved;
}
// Each phase of the stride is gathered, and written between the others; those that no tap reaches are many
// lines of zeros in pieces.
bool suits_input_grad(const ConvShape& s, const ConvImages& gy, const ConvImages& gx) {
  if (!planes_suit(s, gy, gx, s.in_group())) return false;
  const Work work(s, s.out_channels);
  if (s.kernel[2] < s.stride[2]) return true;
  // Columns that never meet are quicker.
  return kLine * work.lines > (s.kernel[2] == s.stride[2] ? 1.8 : 0.3) * work.in;
}
bool suits_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy) {
  if (!planes_suit(s, x, gy, s.out_group())) return false;
  const Work work(s, s.in_channels);
  return kLine * work.lines > (s.stride[2] > 2 ? 0.1 : 1.2) * work.in;
}

}  // namespace

bool turned_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<float>& w, const float* bias,
                    const ConvImages& y) {
  if (!suits_forward(s, x, y)) return false;
  const ConvImages in = turned<Scratch::TurnedIn>(s.batch, x), out = room_for<Scratch::TurnedOut>(y, s.batch);
  conv_forward(s, in, w, bias, out);
  turn_back(s.batch, out, y);
  return true;
}

bool turned_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<float>& w,
                       const float* bias, const ConvImages& gx) {
  if (!suits_input_grad(s, gy, gx)) return false;
  const ConvImages in = turned<Scratch::TurnedIn>(s.batch, gy),
                   out = room_for<Scratch::TurnedOut>(gx, s.batch);
  conv_input_grad(s, in, w, bias, out);
  turn_back(s.batch, out, gx);
  return true;
}

bool turned_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, float* gw) {
  if (!suits_weight_grad(s, x, gy)) return false;
  conv_weight_grad(s, turned<Scratch::TurnedIn>(s.batch, x), turned<Scratch::TurnedOut>(s.batch, gy), gw);
  return true;
}

}  // namespace nnlib::drivers::detail
