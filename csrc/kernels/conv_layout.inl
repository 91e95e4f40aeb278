// The edges of a convolution whose tensors have their channels last or hold 16-bit floats: a plane of floats
// for each channel out of pixels whose channels lie side by side, and back.
#pragma once
#include "lane_types.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Squares of kWidth pixels and channels are transposed in registers.
template <class E, class T>
void planes_of(int64_t channels, int64_t n, const T* x, int64_t x_step, float* y, int64_t y_step) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t pixels = n - i < kWidth ? n - i : kWidth;
    for (int64_t c = 0; c < channels; c += kWidth) {
      const int64_t some = channels - c < kWidth ? channels - c : kWidth;
      const T* from = x + i * x_step + c;
      float* to = y + c * y_step + i;
      Vec r[kWidth];
      for (int q = 0; q < kWidth; ++q) {
        r[q] = q >= pixels      ? zero()
               : some == kWidth ? E::get(from + q * x_step)
                                : E::get(from + q * x_step, some);
      }
      transpose(r);
      if (pixels == kWidth && some == kWidth) {
        for (int q = 0; q < kWidth; ++q) store(to + q * y_step, r[q]);
      } else {
        for (int q = 0; q < some; ++q) store_n(to + q * y_step, r[q], pixels);
      }
    }
  }
}

template <class E, class T>
void pixels_of(int64_t channels, int64_t n, const float* x, int64_t x_step, T* y, int64_t y_step) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t pixels = n - i < kWidth ? n - i : kWidth;
    for (int64_t c = 0; c < channels; c += kWidth) {
      const int64_t some = channels - c < kWidth ? channels - c : kWidth;
      const float* from = x + c * x_step + i;
      T* to = y + i * y_step + c;
      Vec r[kWidth];
      for (int q = 0; q < kWidth; ++q) {
        r[q] = q >= some          ? zero()
               : pixels == kWidth ? load(from + q * x_step)
                                  : load_n(from + q * x_step, pixels);
      }
      transpose(r);
      if (pixels == kWidth && some == kWidth) {
        for (int q = 0; q < kWidth; ++q) E::put(to + q * y_step, r[q]);
      } else {
        for (int q = 0; q < pixels; ++q) E::put(to + q * y_step, r[q], some);
      }
    }
  }
}

void planes_from_pixels_f32(int64_t channels, int64_t n, const float* x, int64_t x_step, float* y,
                            int64_t y_step) {
  if (channels >= 4) return planes_of<LanesF32>(channels, n, x, x_step, y, y_step);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[c * y_step + i] = x[i * x_step + c];
  }
}
void planes_from_pixels_bf16(int64_t channels, int64_t n, const uint16_t* x, int64_t x_step, float* y,
                             int64_t y_step) {
  planes_of<LanesBf16>(channels, n, x, x_step, y, y_step);
}
void planes_from_pixels_f16(int64_t channels, int64_t n, const uint16_t* x, int64_t x_step, float* y,
                            int64_t y_step) {
  planes_of<LanesF16>(channels, n, x, x_step, y, y_step);
}
void pixels_from_planes_f32(int64_t channels, int64_t n, const float* x, int64_t x_step, float* y,
                            int64_t y_step) {
  pixels_of<LanesF32>(channels, n, x, x_step, y, y_step);
}
void pixels_from_planes_bf16(int64_t channels, int64_t n, const float* x, int64_t x_step, uint16_t* y,
                             int64_t y_step) {
  pixels_of<LanesBf16>(channels, n, x, x_step, y, y_step);
}
void pixels_from_planes_f16(int64_t channels, int64_t n, const float* x, int64_t x_step, uint16_t* y,
                            int64_t y_step) {
  pixels_of<LanesF16>(channels, n, x, x_step, y, y_step);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
