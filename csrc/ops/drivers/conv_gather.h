// The im2col matrix of a convolution, made row by row on demand and never held whole.
//
// Its columns are the output pixels of the whole batch, image after image; its rows are (channel, tap) of one
// group.
#pragma once
#include <algorithm>
#include <cstdint>

#include "ops/drivers/conv.h"

namespace nnlib::drivers {

// One output pixel of the batch.
struct Pixel {
  int64_t image, z, y, x;
};

inline Pixel pixel_of(const ConvShape& s, int64_t column) {
  const int64_t pixels = s.out_pixels(), in_image = column % pixels;
  return {column / pixels, in_image / (s.out[1] * s.out[2]), in_image / s.out[2] % s.out[1],
          in_image % s.out[2]};
}

// `len` values along an output row: src[(x + i) * stride + offset], zero outside 0 .. width.
template <class T>
inline void gather_run(const T* src, int64_t width, int64_t x, int64_t len, int64_t stride, int64_t offset,
                       T* dst) {
  const int64_t first = x * stride + offset;
  if (stride == 1) {
    const int64_t low = std::clamp<int64_t>(-first, 0, len),
                  high = std::clamp<int64_t>(width - first, low, len);
    std::fill(dst, dst + low, T(0));
    std::copy(src + first + low, src + first + high, dst + low);
    std::fill(dst + high, dst + len, T(0));
    return;
  }
  for (int64_t i = 0; i < len; ++i) {
    const int64_t at = first + i * stride;
    dst[i] = at >= 0 && at < width ? src[at] : T(0);
  }
}

// Stride 1 and an output of the input's size, in two dimensions: a tap is then a shift of the whole plane.
inline bool is_shift(const ConvShape& s) {
  return s.in[0] == 1 && s.kernel[0] == 1 && s.padding[0] == 0 && s.out[0] == 1 && s.stride[1] == 1 &&
         s.stride[2] == 1 && s.out[1] == s.in[1] && s.out[2] == s.in[2];
}

// `len` pixels from `pixel` on of a plane shifted by (dy, dx): one copy, then the columns that came from the
// next line are zeroed.
template <class T>
inline void gather_shifted(const ConvShape& s, const T* plane, int64_t pixel, int64_t len, int64_t dy,
                           int64_t dx, T* dst) {
  const int64_t width = s.in[2], size = s.in[1] * width, shift = dy * width + dx;
  const int64_t low = std::clamp<int64_t>(-shift - pixel, 0, len);
  const int64_t high = std::clamp<int64_t>(size - shift - pixel, low, len);
  std::fill(dst, dst + low, T(0));
  std::copy(plane + pixel + shift + low, plane + pixel + shift + high, dst + low);
  std::fill(dst + high, dst + len, T(0));
  const int64_t first = dx < 0 ? 0 : std::max<int64_t>(0, width - dx),
                last = dx < 0 ? std::min(-dx, width) : width;
  for (int64_t line = pixel / width * width - pixel; line < len; line += width) {
    for (int64_t at = std::max<int64_t>(0, line + first); at < std::min(len, line + last); ++at)
      dst[at] = T(0);
  }
}

// Row `row` of group `group` for `columns` pixels from `start` on.
template <class T>
void gather_row(const ConvShape& s, const T* x, int64_t group, int64_t row, Pixel start, int64_t columns,
                T* dst) {
  const int64_t taps = s.taps(), channel = group * s.in_group() + row / taps, tap = row % taps;
  const int64_t kx = tap % s.kernel[2], ky = tap / s.kernel[2] % s.kernel[1],
                kz = tap / (s.kernel[2] * s.kernel[1]);
  const int64_t dz = kz * s.dilation[0] - s.padding[0], dy = ky * s.dilation[1] - s.padding[1];
  const int64_t dx = kx * s.dilation[2] - s.padding[2], width = s.in[2];
  Pixel p = start;
  if (is_shift(s)) {
    int64_t pixel = p.y * width + p.x;
    for (int64_t image = p.image; columns > 0; ++image, pixel = 0) {
      const int64_t len = std::min(columns, s.out_pixels() - pixel);
      gather_shifted(s, x + (image * s.in_channels + channel) * s.in_pixels(), pixel, len, dy, dx, dst);
      dst += len;
      columns -= len;
    }
    return;
  }
  while (columns > 0) {
    const int64_t len = std::min(columns, s.out[2] - p.x);
    const int64_t z = p.z * s.stride[0] + dz, y = p.y * s.stride[1] + dy;
    if (z < 0 || z >= s.in[0] || y < 0 || y >= s.in[1]) {
      std::fill(dst, dst + len, T(0));
    } else {
      const T* line = x + (((p.image * s.in_channels + channel) * s.in[0] + z) * s.in[1] + y) * width;
      gather_run(line, width, p.x, len, s.stride[2], dx, dst);
    }
    dst += len;
    columns -= len;
    p.x = 0;
    if (++p.y == s.out[1]) {
      p.y = 0;
      if (++p.z == s.out[0]) p.z = 0, ++p.image;
    }
  }
}

// Calls f(image, pixel, offset, len) for the stretches of one image each that make up `columns` from `column`
// on.
template <class F>
void for_stretches(const ConvShape& s, int64_t column, int64_t columns, F f) {
  const int64_t pixels = s.out_pixels();
  for (int64_t done = 0; done < columns;) {
    const int64_t pixel = (column + done) % pixels, len = std::min(columns - done, pixels - pixel);
    f((column + done) / pixels, pixel, done, len);
    done += len;
  }
}

}  // namespace nnlib::drivers
