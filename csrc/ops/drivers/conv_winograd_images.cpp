// Winograd's algorithm on images and weights of any layout and type: what is not planes of floats is read
// into such planes, and written from them, some images at a time.
#include "core/parallel.h"
#include "ops/drivers/conv_layout.h"

namespace nnlib::drivers::detail {

namespace {

// Elements of the planes that are held at once, and elements that are worth waking a thread.
constexpr int64_t kPiece = 1 << 21, kSerialElements = 16384;
// Channels that a task turns round.
constexpr int64_t kChannels = 32;

int64_t image_size(const ConvImages& t) { return t.channels * t.pixels; }

// Calls f(image, channel, channels, offset of these in planes) for all of `count` images, shared among
// threads.
template <class F>
void for_planes(const ConvImages& t, int64_t count, F f) {
  const int64_t blocks = (t.channels + kChannels - 1) / kChannels;
  const int64_t grain = std::max<int64_t>(1, kSerialElements / (kChannels * t.pixels));
  parallel_for(0, count * blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t image = i / blocks, channel = i % blocks * kChannels;
      f(image, channel, std::min(kChannels, t.channels - channel),
        image * image_size(t) + channel * t.pixels);
    }
  });
}

// The planes of `count` images from `first` on: where they lie, or read into `room`.
template <Scratch Room>
const float* planes_of(const ConvImages& t, int64_t first, int64_t count) {
  if (const float* whole = planes<float>(t)) return whole + first * image_size(t);
  float* room = scratch<Room, float>(count * image_size(t));
  for_planes(t, count, [&](int64_t image, int64_t channel, int64_t channels, int64_t at) {
    read_planes(t, first + image, channel, channels, 0, 1, t.pixels, room + at, t.pixels);
  });
  return room;
}

// Images that are taken at once.
int64_t piece_of(const ConvShape& s, const ConvImages& a, const ConvImages& b) {
  if (planes<float>(a) && planes<float>(b)) return s.batch;
  return std::clamp<int64_t>(kPiece / (image_size(a) + image_size(b)), 1, s.batch);
}

// Calls run(part, x, y) with planes of floats for some images at a time; false where run says so.
template <class F>
bool for_pieces(const ConvShape& s, const ConvImages& x, const ConvImages& y, F run) {
  const int64_t most = piece_of(s, x, y);
  for (int64_t first = 0; first < s.batch; first += most) {
    ConvShape part = s;
    part.batch = std::min(most, s.batch - first);
    const float* in = planes_of<Scratch::ImagesIn>(x, first, part.batch);
    float* out = const_cast<float*>(planes<float>(y));
    if (out) {
      if (!run(part, in, out + first * image_size(y))) return false;
      continue;
    }
    out = scratch<Scratch::ImagesOut, float>(part.batch * image_size(y));
    if (!run(part, in, out)) return false;
    for_planes(y, part.batch, [&](int64_t image, int64_t channel, int64_t channels, int64_t at) {
      write_planes(y, first + image, channel, channels, 0, 1, y.pixels, out + at, y.pixels);
    });
  }
  return true;
}

// The weights in contiguous order.
const float* contiguous(const ConvShape& s, const ConvWeights<float>& w) {
  const int64_t taps = s.taps(), inputs = s.in_group();
  if (w.tap_step == 1 && w.in_step == taps && w.out_step == inputs * taps) return w.data;
  float* room = scratch<Scratch::Kernels, float>(s.out_channels * inputs * taps);
  parallel_for(0, s.out_channels, std::max<int64_t>(1, kSerialElements / (inputs * taps)),
               [&](int64_t first, int64_t last) {
                 for (int64_t o = first; o < last; ++o) {
                   for (int64_t c = 0; c < inputs; ++c) {
                     for (int64_t t = 0; t < taps; ++t)
                       room[(o * inputs + c) * taps + t] =
                           w.data[o * w.out_step + c * w.in_step + t * w.tap_step];
                   }
                 }
               });
  return room;
}

}  // namespace

bool winograd_images_forward(const ConvShape& s, int64_t size, const ConvImages& x,
                             const ConvWeights<float>& w, const float* bias, const ConvImages& y) {
  const float* kernels = contiguous(s, w);
  return for_pieces(s, x, y, [&](const ConvShape& part, const float* in, float* out) {
    return winograd_forward(part, size, in, kernels, bias, out);
  });
}

bool winograd_images_input_grad(const ConvShape& s, int64_t size, const ConvImages& gy,
                                const ConvWeights<float>& w, const float* bias, const ConvImages& gx) {
  const float* kernels = contiguous(s, w);
  return for_pieces(s, gy, gx, [&](const ConvShape& part, const float* in, float* out) {
    return winograd_input_grad(part, size, in, kernels, bias, out);
  });
}

// The sums of the pieces are added in order.
bool winograd_images_weight_grad(const ConvShape& s, int64_t size, const ConvImages& x, const ConvImages& gy,
                                 float* gw) {
  const int64_t most = piece_of(s, x, gy);
  const int64_t count = s.out_channels * s.in_group() * s.taps();
  for (int64_t first = 0; first < s.batch; first += most) {
    ConvShape part = s;
    part.batch = std::min(most, s.batch - first);
    const float* in = planes_of<Scratch::ImagesIn>(x, first, part.batch);
    const float* g = planes_of<Scratch::ImagesOut>(gy, first, part.batch);
    float* sum = first == 0 ? gw : scratch<Scratch::Kernels, float>(count);
    if (!winograd_weight_grad(part, size, in, g, sum)) return false;
    for (int64_t i = 0; i < count && first > 0; ++i) gw[i] += sum[i];
  }
  return true;
}

}  // namespace nnlib::drivers::detail
