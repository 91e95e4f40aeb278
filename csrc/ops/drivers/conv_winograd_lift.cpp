#include "ops/drivers/conv_winograd_lift.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv_frame.h"
#include "ops/drivers/conv_winograd.h"

namespace nnlib::drivers::detail {

namespace {

// Channels that a task takes, and elements that are worth waking a thread.
constexpr int64_t kChannels = 16, kSerialElements = 16384;
// Remainders of which the plain convolution takes care itself, at most.
constexpr int64_t kMostSteps = 9;

int64_t ceil_div(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : 0; }

}  // namespace

Lift::Lift(const ConvShape& shape, bool whole) : s(shape) {
  x.channels = s.in_channels, y.channels = s.out_channels;
  plain = {s.batch,   0,         s.out_channels, s.groups,  {1, 0, 0},
           {1, 0, 0}, {1, 0, 0}, {1, 1, 1},      {0, 0, 0}, {1, 1, 1}};
  x.planes = y.planes = s.out[0];
  x.taps = s.kernel[0], x.z_step = s.stride[0], x.z_tap = s.dilation[0], x.z_padding = s.padding[0];
  y.taps = 1, y.z_step = 1, y.z_tap = 0, y.z_padding = 0;
  int64_t taps = 1;
  for (int i = 0; i < 2; ++i) taps = std::max(taps, ceil_div(s.kernel[i + 1], s.stride[i + 1]));
  for (int i = 0; i < 3; ++i) x.size[i] = s.in[i], y.size[i] = s.out[i];
  for (int i = 0; i < 2; ++i) {
    const int64_t stride = s.stride[i + 1], dilation = s.dilation[i + 1];
    x.step[i] = std::max(stride, dilation), y.step[i] = dilation;
    x.in_batch[i] = y.in_batch[i] = dilation > 1;
    x.padding[i] = s.padding[i + 1], y.padding[i] = 0;
    y.place[i] = ceil_div(s.out[i + 1], dilation);
    x.place[i] = y.place[i] + taps - 1;
    if (whole) x.place[i] = std::max(x.place[i], ceil_div(s.in[i + 1] + x.padding[i], x.step[i]));
    plain.in[i + 1] = x.place[i], plain.out[i + 1] = y.place[i], plain.kernel[i + 1] = taps;
  }
  if (is_plain(s)) {  // its images are read where they lie
    for (int d = 1; d < 3; ++d) {
      x.place[d - 1] = plain.in[d] = s.in[d], plain.padding[d] = s.padding[d], x.padding[d - 1] = 0;
      x.step[d - 1] = 1, plain.stride[d] = s.stride[d];
      if (WinoSteps::suit(s)) plain.kernel[d] = s.kernel[d];  // others are made square
    }
  }
  plain.batch = s.batch * x.batch();
  plain.in_channels = x.lifted_channels();
}

bool Lift::possible(const ConvShape& s) {
  if (s.padding[0] < 0) return false;
  for (int d = 1; d < 3; ++d) {
    if (s.stride[d] > 1 && s.dilation[d] > 1) return false;
    // Pixels that no tap sees would be channels of zeros.
    if (s.kernel[d] < s.stride[d] || s.out[d] == 0) return false;
    if (s.padding[d] < 0 && !is_plain(s)) return false;
  }
  return true;
}

bool Lift::is_plain(const ConvShape& s) {
  if (s.kernel[0] != 1 || s.in[0] != 1 || s.out[0] != 1 || s.padding[0] != 0) return false;
  if (s.dilation[1] != 1 || s.dilation[2] != 1) return false;
  if (s.stride[1] == 1 && s.stride[2] == 1) return true;
  // Few channels leave lanes empty in each remainder; together they fill them.
  const int64_t lanes = kernels::table().wino_lanes, channels = s.in_group();
  return WinoSteps::suit(s) && WinoSteps(s).count() <= kMostSteps &&
         4 * channels >= 3 * ceil_div(channels, lanes) * lanes;
}

std::optional<ConvShape> Lift::turned_whole() const {
  if (is_plain(s) || s.groups > 1) return std::nullopt;
  ConvShape back = s;
  std::swap(back.in_channels, back.out_channels);
  for (int d = 0; d < 3; ++d) {
    if (s.stride[d] != 1) return std::nullopt;
    std::swap(back.in[d], back.out[d]);
    back.padding[d] = s.dilation[d] * (s.kernel[d] - 1) - s.padding[d];
  }
  if (!possible(back)) return std::nullopt;
  return back;
}

// Where the weights of one input channel lie in the plain convolution's, whose others are zeros: [taps of the
// first dimension][remainder][tap].
std::vector<int64_t> Lift::weight_places() const {
  const int64_t side = plain.kernel[1];
  if (plain.taps() == s.taps() && plain.stride[1] == s.stride[1] && plain.stride[2] == s.stride[2]) {
    std::vector<int64_t> same(size_t(s.taps()));
    std::iota(same.begin(), same.end(), 0);
    return same;
  }
  std::vector<int64_t> at;
  for (int64_t kz = 0; kz < s.kernel[0]; ++kz) {
    for (int64_t ky = 0; ky < s.kernel[1]; ++ky) {
      for (int64_t kx = 0; kx < s.kernel[2]; ++kx) {
        const int64_t phase = ky % s.stride[1] * s.stride[2] + kx % s.stride[2];
        at.push_back(((kz * s.stride[1] * s.stride[2] + phase) * side + ky / s.stride[1]) * side +
                     kx / s.stride[2]);
      }
    }
  }
  return at;
}

// Calls f(output channel).
template <class F>
void Lift::for_outputs(F f) const {
  const int64_t grain = std::max<int64_t>(1, kSerialElements / (plain.in_group() * plain.taps()));
  parallel_for(0, s.out_channels, grain, [&](int64_t first, int64_t last) {
    for (int64_t o = first; o < last; ++o) f(o);
  });
}

void Lift::read_weights(const ConvWeights<float>& w, float* to) const {
  const std::vector<int64_t> places = weight_places();
  const int64_t ci = s.in_group(), taps = s.taps(), each = plain.in_group() * plain.taps() / ci;
  for_outputs([&](int64_t o) {
    const float* from = w.data + o * w.out_step;
    float* dst = to + o * ci * each;
    if (same_weights() && w.in_step == 1 && w.tap_step > 0) {
      kernels::table().transpose_u32(taps, ci, reinterpret_cast<const uint32_t*>(from), w.tap_step,
                                     reinterpret_cast<uint32_t*>(dst), taps);
      return;
    }
    if (each != taps) std::fill_n(dst, ci * each, 0.f);
    for (int64_t c = 0; c < ci; ++c, from += w.in_step, dst += each) {
      for (int64_t t = 0; t < taps; ++t) dst[places[t]] = from[t * w.tap_step];
    }
  });
}

void Lift::write_weights(const float* from, float* gw) const {
  const std::vector<int64_t> places = weight_places();
  const int64_t ci = s.in_group(), taps = s.taps(), each = plain.in_group() * plain.taps() / ci;
  for_outputs([&](int64_t o) {
    for (int64_t c = o * ci; c < (o + 1) * ci; ++c) {
      for (int64_t t = 0; t < taps; ++t) gw[c * taps + t] = from[c * each + places[t]];
    }
  });
}

// Where the plane of a remainder begins.
int64_t LiftedImages::at(int64_t image, int64_t plane, int64_t tap, int64_t channel, int64_t py,
                         int64_t px) const {
  int64_t b = image * planes + plane, c = channel * taps + tap;
  (in_batch[0] ? b : c) = (in_batch[0] ? b : c) * step[0] + py;
  (in_batch[1] ? b : c) = (in_batch[1] ? b : c) * step[1] + px;
  return (b * lifted_channels() + c) * place[0] * place[1];
}

// Calls f(where it begins, its pixel or null where there is none) for each place, channels last.
template <class F>
void LiftedImages::for_pixels(const ConvImages& t, int64_t first, int64_t count, F f) const {
  const int64_t grain = std::max<int64_t>(1, kSerialElements / (place[0] * place[1] * channels));
  parallel_for(0, count * planes * phases(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t px = i % step[1], py = i / step[1] % step[0], plane = i / phases() % planes,
                    image = i / (phases() * planes);
      int64_t to = at(image, plane, 0, 0, py, px);
      for (int64_t y = py - padding[0], row = 0; row < place[0]; ++row, y += step[0]) {
        for (int64_t x = px - padding[1], col = 0; col < place[1]; ++col, x += step[1], to += channels) {
          const bool inside = y >= 0 && y < size[1] && x >= 0 && x < size[2];
          const int64_t pixel = (plane * size[1] + y) * size[2] + x;
          f(to, inside ? reinterpret_cast<float*>(address(t, first + image, 0, pixel)) : nullptr);
        }
      }
    }
  });
}

void LiftedImages::read(const ConvImages& x, int64_t first, int64_t count, float* to) const {
  if (stays_last(x)) {
    return for_pixels(x, first, count, [&](int64_t place, const float* pixel) {
      pixel ? std::copy_n(pixel, channels, to + place) : std::fill_n(to + place, channels, 0.f);
    });
  }
  const int64_t blocks = ceil_div(channels, kChannels);
  const int64_t grain = std::max<int64_t>(1, kSerialElements * blocks / std::max<int64_t>(1, elements()));
  parallel_for(0, count * planes * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t channel = i % blocks * kChannels, n = std::min(kChannels, channels - channel);
      const int64_t plane = i / blocks % planes, image = i / (blocks * planes);
      for (int64_t k = 0; k < taps; ++k) {
        read_phases(x, first + image, plane * z_step + k * z_tap - z_padding, channel, n,
                    to + at(image, plane, k, channel, 0, 0));
      }
    }
  });
}

// n channels of plane z of an image, all remainders.
void LiftedImages::read_phases(const ConvImages& x, int64_t image, int64_t z, int64_t channel, int64_t n,
                               float* to) const {
  const int64_t height = place[0], width = place[1], each = channel_step();
  const float* whole = drivers::planes<float>(x);
  for (int64_t p = 0; p < phases(); ++p) {
    const int64_t py = p / step[1], px = p % step[1];
    float* dst = to + at(0, 0, 0, 0, py, px);
    // Places [low, high) are pixels.
    const auto low = [&](int d, int64_t r) { return std::min(ceil_div(padding[d] - r, step[d]), place[d]); };
    const auto high = [&](int d, int64_t r) {
      return std::clamp(ceil_div(size[d + 1] + padding[d] - r, step[d]), low(d, r), place[d]);
    };
    const bool seen = z >= 0 && z < size[0];
    const int64_t top = low(0, py), bottom = seen ? high(0, py) : top, left = low(1, px), right = high(1, px);
    const int64_t pixel =
        (z * size[1] + top * step[0] + py - padding[0]) * size[2] + left * step[1] + px - padding[1];
    for (int64_t c = 0; c < n; ++c) {
      std::fill_n(dst + c * each, top * width, 0.f);
      std::fill_n(dst + c * each + bottom * width, (height - bottom) * width, 0.f);
    }
    if (whole) {
      for (int64_t c = 0; c < n && bottom > top; ++c) {
        frame_rows(bottom - top, left, right - left, width - right, step[1],
                   reinterpret_cast<const float*>(address(x, image, channel + c, pixel)), step[0] * size[2],
                   dst + c * each + top * width, width);
      }
      continue;
    }
    for (int64_t y = top; y < bottom; ++y) {
      float* line = dst + y * width;
      read_planes(x, image, channel, n, pixel + (y - top) * step[0] * size[2], step[1], right - left,
                  line + left, each);
      for (int64_t c = 0; c < n; ++c) {
        std::fill_n(line + c * each, left, 0.f);
        std::fill_n(line + c * each + right, width - right, 0.f);
      }
    }
  }
}

void LiftedImages::write(const float* from, int64_t first, int64_t count, const float* bias,
                         const ConvImages& y) const {
  if (stays_last(y)) {
    return for_pixels(y, first, count, [&](int64_t place, float* pixel) {
      if (pixel && bias) kernels::table().add_f32(channels, from + place, bias, pixel);
      if (pixel && !bias) std::copy_n(from + place, channels, pixel);
    });
  }
  const int64_t blocks = ceil_div(channels, kChannels), height = size[1], width = size[2];
  const int64_t grain = std::max<int64_t>(1, kSerialElements * blocks / std::max<int64_t>(1, elements()));
  const bool whole = drivers::planes<float>(y) != nullptr;
  parallel_for(0, count * size[0] * blocks, grain, [&](int64_t begin, int64_t end) {
    std::vector<const float*> sources(step[1]);
    float* room = scratch<Scratch::Rows, float>((whole ? 1 : kChannels + 1) * width);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t channel = i % blocks * kChannels, n = std::min(kChannels, channels - channel);
      const int64_t z = i / blocks % size[0], image = i / (blocks * size[0]);
      for (int64_t row = 0; row < height; ++row) {
        const int64_t pixel = (z * height + row) * width, place_y = row + padding[0];
        for (int64_t c = 0; c < n; ++c) {
          float* line = whole ? reinterpret_cast<float*>(address(y, first + image, channel + c, pixel))
                              : room + (c + 1) * width;
          const float fixed = bias ? bias[channel + c] : 0.f;
          bool begun = false;
          for (int64_t k = 0; k < taps; ++k) {
            const int64_t plane = z + z_padding - k * z_tap;
            if (plane < 0 || plane % z_step != 0 || plane / z_step >= planes) continue;
            for (int64_t f = 0; f < step[1]; ++f) {
              const int64_t place_x = f + padding[1];
              sources[f] = from +
                           at(image, plane / z_step, k, channel + c, place_y % step[0], place_x % step[1]) +
                           place_y / step[0] * place[1] + place_x / step[1];
            }
            float* part = begun ? room : line;
            if (step[1] == 1) {
              std::copy_n(sources[0], width, part);
            } else {
              merge_phases(step[1], width, ceil_div(width, step[1]), sources.data(), part);
            }
            if (begun) kernels::table().add_f32(width, line, room, line);
            begun = true;
          }
          if (!begun) std::fill_n(line, width, 0.f);
          for (int64_t j = 0; j < width && fixed != 0; ++j) line[j] += fixed;
        }
        if (!whole) write_planes(y, first + image, channel, n, pixel, 1, width, room + width, width);
      }
    }
  });
}

}  // namespace nnlib::drivers::detail
