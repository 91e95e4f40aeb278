// Images of a convolution in any of its layouts and types, read into planes of the compute type and written
// from them a part at a time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/gemm_block.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers {

inline int64_t element_size(const ConvImages& t) {
  return t.dtype == Dtype::Float64 ? 8 : t.dtype == Dtype::Float32 ? 4 : 2;
}

// Memory between elements of one image: of the same channel, and of the same pixel.
inline int64_t pixel_step(const ConvImages& t) { return t.channels_last ? t.channels : 1; }
inline int64_t channel_step(const ConvImages& t) { return t.channels_last ? 1 : t.pixels; }

inline char* address(const ConvImages& t, int64_t image, int64_t channel, int64_t pixel) {
  const int64_t at = image * t.channels * t.pixels + channel * channel_step(t) + pixel * pixel_step(t);
  return static_cast<char*>(const_cast<void*>(t.data)) + at * element_size(t);
}

// The images as planes of T, or null where they are anything else.
template <class T>
const T* planes(const ConvImages& t) {
  return t.dtype == DtypeOf<T>::value && !t.channels_last ? static_cast<const T*>(t.data) : nullptr;
}

inline const uint16_t* words(const void* p) { return static_cast<const uint16_t*>(p); }

// n elements side by side.
inline void read_row(Dtype dtype, int64_t n, const void* x, float* y) {
  switch (dtype) {
    case Dtype::BFloat16:
      return kernels::table().bf16_to_f32(n, words(x), y);
    case Dtype::Float16:
      return kernels::table().f16_to_f32(n, words(x), y);
    default:
      std::memcpy(y, x, size_t(n) * sizeof(float));
  }
}
inline void read_row(Dtype, int64_t n, const void* x, double* y) {
  std::memcpy(y, x, size_t(n) * sizeof(double));
}
inline void write_row(Dtype dtype, int64_t n, const float* x, void* y) {
  switch (dtype) {
    case Dtype::BFloat16:
      return kernels::table().f32_to_bf16(n, x, static_cast<uint16_t*>(y));
    case Dtype::Float16:
      return kernels::table().f32_to_f16(n, x, static_cast<uint16_t*>(y));
    default:
      std::memcpy(y, x, size_t(n) * sizeof(float));
  }
}
inline void write_row(Dtype, int64_t n, const double* x, void* y) {
  std::memcpy(y, x, size_t(n) * sizeof(double));
}

// pack_panel of elements of the images from `x` on: i is `rs` apart, k is `cs`.
template <class T>
void pack_images(const ConvImages& t, int64_t width, int64_t n, int64_t kc, const char* x, int64_t rs,
                 int64_t cs, T* dst) {
  if constexpr (std::is_same_v<T, float>) {
    if (t.dtype == Dtype::BFloat16)
      return pack_panel(width, n, kc, reinterpret_cast<const BFloat16*>(x), rs, cs, 1.f, dst);
    if (t.dtype == Dtype::Float16)
      return pack_panel(width, n, kc, reinterpret_cast<const Half*>(x), rs, cs, 1.f, dst);
  }
  pack_panel(width, n, kc, reinterpret_cast<const T*>(x), rs, cs, T(1), dst);
}

// y[c * y_step + i]: channels from `channel` on, n pixels `step` apart from `pixel` on. Strides of images in
// planes go through a row.
inline void read_planes(const ConvImages& t, int64_t image, int64_t channel, int64_t channels, int64_t pixel,
                        int64_t step, int64_t n, float* y, int64_t y_step) {
  if (n <= 0) return;
  const char* x = address(t, image, channel, pixel);
  const kernels::Table& k = kernels::table();
  if (t.channels_last) {
    if (t.dtype == Dtype::Float32) {
      return k.planes_from_pixels_f32(channels, n, reinterpret_cast<const float*>(x), step * t.channels, y,
                                      y_step);
    }
    const auto convert = t.dtype == Dtype::BFloat16 ? k.planes_from_pixels_bf16 : k.planes_from_pixels_f16;
    return convert(channels, n, words(x), step * t.channels, y, y_step);
  }
  const int64_t plane = t.pixels * element_size(t), length = (n - 1) * step + 1;
  for (int64_t c = 0; c < channels; ++c, x += plane, y += y_step) {
    if (step == 1) {
      read_row(t.dtype, n, x, y);
      continue;
    }
    float* row = scratch<Scratch::Rows, float>(length);
    read_row(t.dtype, length, x, row);
    k.conv_frame_f32(1, 0, n, 0, step, row, 0, y, 0);
  }
}
inline void read_planes(const ConvImages& t, int64_t image, int64_t channel, int64_t channels, int64_t pixel,
                        int64_t step, int64_t n, double* y, int64_t y_step) {
  const double* x = reinterpret_cast<const double*>(address(t, image, channel, pixel));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[c * y_step + i] = x[c * channel_step(t) + i * step * pixel_step(t)];
  }
}

// Of bfloat16 images as they are, channels last.
inline void read_planes(const ConvImages& t, int64_t image, int64_t channel, int64_t channels, int64_t pixel,
                        int64_t step, int64_t n, BFloat16* y, int64_t y_step) {
  kernels::table().transpose_u16(n, channels, words(address(t, image, channel, pixel)), step * t.channels,
                                 reinterpret_cast<uint16_t*>(y), y_step);
}

// The inverse of read_planes; pixels `step` apart for channels_last alone.
inline void write_planes(const ConvImages& t, int64_t image, int64_t channel, int64_t channels, int64_t pixel,
                         int64_t step, int64_t n, const float* x, int64_t x_step) {
  char* y = address(t, image, channel, pixel);
  const kernels::Table& k = kernels::table();
  if (t.channels_last) {
    if (t.dtype == Dtype::Float32) {
      return k.pixels_from_planes_f32(channels, n, x, x_step, reinterpret_cast<float*>(y), step * t.channels);
    }
    const auto convert = t.dtype == Dtype::BFloat16 ? k.pixels_from_planes_bf16 : k.pixels_from_planes_f16;
    return convert(channels, n, x, x_step, reinterpret_cast<uint16_t*>(y), step * t.channels);
  }
  const int64_t plane = t.pixels * element_size(t);
  for (int64_t c = 0; c < channels; ++c, y += plane) write_row(t.dtype, n, x + c * x_step, y);
}
inline void write_planes(const ConvImages& t, int64_t image, int64_t channel, int64_t channels, int64_t pixel,
                         int64_t step, int64_t n, const double* x, int64_t x_step) {
  double* y = reinterpret_cast<double*>(address(t, image, channel, pixel));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[c * channel_step(t) + i * step * pixel_step(t)] = x[c * x_step + i];
  }
}

}  // namespace nnlib::drivers
