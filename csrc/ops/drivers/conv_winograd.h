// What the forward and the backward drivers of Winograd's convolution share: the cut of planes into tiles,
// and lines of channels in lanes under them. See kernels/winograd.inl.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"

namespace nnlib::drivers::detail {

// Planes of out[0] x out[1] outputs in tiles of `size` squared, counted through the batch.
struct WinoTiles {
  WinoTiles(const ConvShape& s, int64_t tile)
      : size(tile),
        taps(s.kernel[1]),
        batch(s.batch),
        in{s.in[1], s.in[2]},
        out{s.out[1], s.out[2]},
        padding{s.padding[1], s.padding[2]},
        across{(s.out[1] + tile - 1) / tile, (s.out[2] + tile - 1) / tile} {}
  int64_t size, taps, batch, in[2], out[2], padding[2], across[2];
  int64_t of_image() const { return across[0] * across[1]; }
  int64_t count() const { return batch * of_image(); }
  // Inputs under neighbouring tiles that both see.
  int64_t halo() const { return taps - 1; }
  int64_t positions() const { return (size + halo()) * (size + halo()); }
};

// The convolution of gy whose result is gx, when the stride is 1.
inline ConvShape turned(const ConvShape& s) {
  ConvShape back = s;
  std::swap(back.in_channels, back.out_channels);
  for (int d = 0; d < 3; ++d) {
    std::swap(back.in[d], back.out[d]);
    back.padding[d] = s.kernel[d] - 1 - s.padding[d];
  }
  return back;
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

// Lines of rows * cols pixels of `channels` channels from (y, x) on, zero outside of the image.
inline void wino_lines(const WinoImages<const float>& images, int64_t image, int64_t channel,
                       int64_t channels, int64_t y, int64_t x, int64_t rows, int64_t cols, float* lines) {
  const kernels::Table& t = kernels::table();
  const int64_t height = images.height, width = images.width;
  const int64_t line = cols * t.wino_lanes;
  const int64_t top = std::clamp<int64_t>(-y, 0, rows),
                inside = std::clamp<int64_t>(height - y, top, rows) - top;
  const int64_t low = std::clamp<int64_t>(-x, 0, cols), n = std::clamp<int64_t>(width - x, low, cols) - low;
  t.wino_frame_f32(0, top, cols, 0, 0, nullptr, 0, 0, lines, line);
  const float* from = images.at(image, channel, y + top, x + low);
  if (images.last) {
    const int64_t lanes = t.wino_lanes;
    for (int64_t r = top; r < top + inside; ++r, from += width * images.channels) {
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
    t.wino_frame_f32(channels, inside, low, n, cols - low - n, from, height * width, width,
                     lines + top * line, line);
  }
  t.wino_frame_f32(0, rows - top - inside, cols, 0, 0, nullptr, 0, 0, lines + (top + inside) * line, line);
}

// The distance between positions: a whole and odd number of cache lines, so that they do not fall into the
// same sets.
inline int64_t wino_step(int64_t elements) { return ((elements + 15) / 16 | 1) * 16; }

}  // namespace nnlib::drivers::detail
