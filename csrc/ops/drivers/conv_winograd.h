// What the forward and the backward drivers of Winograd's convolution share: the cut of planes into tiles,
// and lines of channels in lanes under them. See kernels/winograd.inl.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"

namespace nnlib::drivers::detail {

// A convolution of any stride as a plain one. Output pixel o sees the input pixels of each remainder modulo
// the stride through every step-th tap, so remainders are channels: of the input, or of its gradient. They
// are read and written where they lie: place q of remainder r is pixel q * step + r - padding.
//
// A kernel of 2 taps, say, and one of 1, where 3 taps meet a stride of 2: at the position of the point where
// the second tap alone counts, the shorter one is zero, and its channels are left out of the products.
struct WinoSteps {
  explicit WinoSteps(const ConvShape& s) {
    for (int d = 0; d < 2; ++d) {
      step[d] = s.stride[d + 1], kernel[d] = s.kernel[d + 1];
      whole[d] = (kernel[d] - 1) % step[d] + 1;
    }
    taps = (kernel[0] + step[0] - 1) / step[0];
  }
  static bool suit(const ConvShape& s) {
    const WinoSteps steps(s);
    for (int d = 0; d < 2; ++d) {
      if (s.dilation[d + 1] != 1 || (steps.count() > 1 && s.padding[d + 1] < 0)) return false;
      if (steps.kernel[d] < steps.step[d]) return false;
    }
    return steps.taps == (steps.kernel[1] + steps.step[1] - 1) / steps.step[1];
  }
  int64_t count() const { return step[0] * step[1]; }
  // The remainders in an order in which those that count at a position follow each other.
  int64_t number(int64_t y, int64_t x) const {
    const int64_t half = whole[0] * step[1], low = step[0] - whole[0];
    if (y < whole[0]) {
      const int64_t rest = step[1] - whole[1];
      return x < whole[1] ? whole[0] * rest + y * whole[1] + x : y * rest + x - whole[1];
    }
    y -= whole[0];
    return half +
           (x < whole[1] ? y * whole[1] + x : low * whole[1] + y * (step[1] - whole[1]) + x - whole[1]);
  }
  // Where the last tap alone counts down, and across: numbers [first, second).
  std::pair<int64_t, int64_t> counting(bool down, bool across) const {
    const int64_t half = whole[0] * step[1];
    return {across ? half - whole[0] * whole[1] : 0, down     ? half
                                                     : across ? half + (step[0] - whole[0]) * whole[1]
                                                              : count()};
  }
  // The part of the products of all positions and remainders that is made.
  double share(int64_t side) const {
    const double each = 1. / double(side);
    return (1 - each * (1 - double(whole[0]) / double(step[0]))) *
           (1 - each * (1 - double(whole[1]) / double(step[1])));
  }
  // Calls f(tap of s, tap of remainder (y, x)).
  template <class F>
  void for_taps(int64_t y, int64_t x, F f) const {
    for (int64_t i = y; i < kernel[0]; i += step[0]) {
      for (int64_t j = x; j < kernel[1]; j += step[1]) f(i * kernel[1] + j, i / step[0] * taps + j / step[1]);
    }
  }
  int64_t step[2], kernel[2], whole[2];  // whole: remainders that have all taps
  int64_t taps;
};

// The plain convolution of the remainders; its channels are those of one of them.
inline ConvShape plain_of(const ConvShape& s) {
  ConvShape plain = s;
  for (int d = 1; d < 3; ++d) plain.stride[d] = 1, plain.kernel[d] = WinoSteps(s).taps;
  return plain;
}

// Planes of out[0] x out[1] outputs in tiles of `size` squared, counted through the batch.
struct WinoTiles {
  WinoTiles(const ConvShape& s, int64_t tile)
      : size(tile),
        taps(s.kernel[1]),
        batch(s.batch),
        out{s.out[1], s.out[2]},
        across{(s.out[1] + tile - 1) / tile, (s.out[2] + tile - 1) / tile} {}
  int64_t size, taps, batch, out[2], across[2];
  int64_t of_image() const { return across[0] * across[1]; }
  int64_t count() const { return batch * of_image(); }
  // Inputs under neighbouring tiles that both see.
  int64_t halo() const { return taps - 1; }
  int64_t positions() const { return (size + halo()) * (size + halo()); }
};

// The plain convolution of gy whose result is gx: its outputs are places of remainders, from the first that
// holds a pixel on.
inline int64_t first_place(const ConvShape& s, int d) {
  return s.stride[d] == 1 ? s.padding[d] : s.padding[d] / s.stride[d];
}
inline ConvShape turned(const ConvShape& s) {
  ConvShape back = plain_of(s);
  std::swap(back.in_channels, back.out_channels);
  for (int d = 1; d < 3; ++d) {
    const int64_t first = first_place(s, d);
    back.in[d] = s.out[d];
    back.out[d] = (s.in[d] - 1 + s.padding[d] - first * s.stride[d]) / s.stride[d] + 1;
    back.padding[d] = back.kernel[d] - 1 - first;
  }
  return back;
}

// Tiles that a core takes through all stages in its own cache, where enough blocks of them make up for
// reading all transformed kernels for each: `rows` by `columns` at each position. Else 0.
inline int64_t wino_own_tiles(int64_t rows, int64_t columns, const WinoTiles& tiles) {
  // Elements of transformed kernels.
  constexpr int64_t most = int64_t(1) << 20;
  const kernels::Table& t = kernels::table();
  const int64_t panels = (columns + t.wino_nr - 1) / t.wino_nr, filters = rows * t.wino_nr * panels;
  const int64_t own = t.wino_block / (tiles.positions() * rows) / t.wino_mr * t.wino_mr;
  const bool suit = filters * tiles.positions() <= most && own >= 2 * t.wino_mr && tiles.count() >= own * 2;
  return suit ? own : 0;
}

// A rectangle of neighbouring tiles of one image; `first` is its first tile's number.
struct WinoPart {
  int64_t image, y, x, rows, cols, first;
};

// Calls f(part) for parts that cover the tiles [from, to), none of more than `most` tiles unless it is one
// row.
template <class F>
void for_parts(const WinoTiles& tiles, int64_t from, int64_t to, int64_t most, F f) {
  while (from < to) {
    const int64_t rest = from % tiles.of_image(), y = rest / tiles.across[1], x = rest % tiles.across[1];
    int64_t cols = std::min(tiles.across[1] - x, to - from), rows = 1;
    if (cols == tiles.across[1]) {
      rows = std::min({tiles.across[0] - y, (to - from) / cols, std::max<int64_t>(1, most / cols)});
    }
    f(WinoPart{from / tiles.of_image(), y, x, rows, cols, from});
    from += rows * cols;
  }
}

// Elements of a first-level cache that a part's lines may take.
constexpr int64_t kWinoLines = 6144;

inline int64_t wino_part_tiles(const WinoTiles& tiles) {
  return std::max<int64_t>(1, kWinoLines / kernels::table().wino_lanes / (tiles.size * tiles.size));
}

// Images of height x width pixels and `channels` channels, in planes or with the channels last.
template <class T>
struct WinoImages {
  T* data;
  bool last;
  int64_t channels, height, width;
  T* at(int64_t image, int64_t channel, int64_t y, int64_t x) const {
    const int64_t pixel = y * width + x, first = image * channels * height * width;
    return data + first + (last ? pixel * channels + channel : channel * height * width + pixel);
  }
};

// n floats at each of `count` places.
template <int N>
void copy_lanes(int64_t count, const float* x, int64_t x_step, float* y, int64_t y_step) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(y + i * y_step, x + i * x_step, N * sizeof(float));
}
inline void copy_lanes(int64_t n, int64_t count, const float* x, int64_t x_step, float* y, int64_t y_step) {
  switch (n) {  // lengths that the compiler knows
    case 4:
      return copy_lanes<4>(count, x, x_step, y, y_step);
    case 8:
      return copy_lanes<8>(count, x, x_step, y, y_step);
    case 16:
      return copy_lanes<16>(count, x, x_step, y, y_step);
    default:
      for (int64_t i = 0; i < count; ++i) std::copy_n(x + i * x_step, n, y + i * y_step);
  }
}

// Lines of rows * cols pixels of `channels` channels from (y, x) on, rows `step` apart, zero outside of the
// image.
inline void wino_lines(const WinoImages<const float>& images, int64_t image, int64_t channel,
                       int64_t channels, int64_t y, int64_t x, int64_t step, int64_t rows, int64_t cols,
                       float* lines) {
  const kernels::Table& t = kernels::table();
  const int64_t height = images.height, width = images.width;
  const int64_t line = cols * t.wino_lanes;
  const auto row = [&](int64_t at, int64_t least) {  // the first row from pixel `at` on
    return std::clamp<int64_t>(at > y ? (at - y + step - 1) / step : 0, least, rows);
  };
  const int64_t top = row(0, 0), inside = row(height, top) - top;
  const int64_t low = std::clamp<int64_t>(-x, 0, cols), n = std::clamp<int64_t>(width - x, low, cols) - low;
  t.wino_frame_f32(0, top, cols, 0, 0, nullptr, 0, 0, lines, line);
  const float* from = images.at(image, channel, y + top * step, x + low);
  if (images.last) {
    const int64_t lanes = t.wino_lanes;
    for (int64_t r = top; r < top + inside; ++r, from += step * width * images.channels) {
      float* to = lines + r * line;
      if (channels < lanes) {
        std::fill_n(to, line, 0.f);
      } else {
        std::fill_n(to, low * lanes, 0.f);
        std::fill_n(to + (low + n) * lanes, (cols - low - n) * lanes, 0.f);
      }
      copy_lanes(channels, n, from, images.channels, to + low * lanes, lanes);
    }
  } else {
    t.wino_frame_f32(channels, inside, low, n, cols - low - n, from, height * width, step * width,
                     lines + top * line, line);
  }
  t.wino_frame_f32(0, rows - top - inside, cols, 0, 0, nullptr, 0, 0, lines + (top + inside) * line, line);
}

// The distance between positions: a whole and odd number of cache lines, so that they do not fall into the
// same sets.
inline int64_t wino_step(int64_t elements) { return ((elements + 15) / 16 | 1) * 16; }

// Calls run(first group, last): false where a value is not finite. Many groups are shared among the threads,
// of a few each has all threads: the bits are the same.
template <class F>
bool wino_groups(const ConvShape& s, F run) {
  constexpr int64_t many = 4;          // of a thread
  constexpr int64_t serial = 1 << 20;  // multiplications that are worth waking one
  if (s.groups < many * num_threads()) return run(0, s.groups);
  const int64_t work = s.batch * s.out_pixels() * s.out_group() * s.in_group() * s.taps();
  std::atomic<bool> finite{true};
  parallel_for(0, s.groups, std::max<int64_t>(1, serial / std::max<int64_t>(1, work)),
               [&](int64_t first, int64_t last) {
                 if (finite && !run(first, last)) finite = false;
               });
  return finite;
}

}  // namespace nnlib::drivers::detail
