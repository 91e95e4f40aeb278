// The edges of a convolution whose tensors have their channels last or hold 16-bit floats: a plane of floats
// for each channel out of pixels whose channels lie side by side, and back.
#pragma once
#include "lane_types.h"
#include "vec_lanes.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The last of n that are taken kWidth at a time: whole ones too, some of them once more, where there are
// enough.
NNLIB_INLINE int64_t whole_from(int64_t i, int64_t n) {
  return n - i < kWidth && n >= kWidth ? n - kWidth : i;
}

// Squares of kWidth pixels and channels are transposed in registers.
template <class E, class T>
void planes_of(int64_t channels, int64_t n, const T* x, int64_t x_step, float* y, int64_t y_step) {
  for (int64_t first = 0; first < n; first += kWidth) {
    const int64_t i = whole_from(first, n), pixels = n - i < kWidth ? n - i : kWidth;
    for (int64_t f = 0; f < channels; f += kWidth) {
      const int64_t c = whole_from(f, channels);
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
  for (int64_t first = 0; first < n; first += kWidth) {
    const int64_t i = whole_from(first, n), pixels = n - i < kWidth ? n - i : kWidth;
    for (int64_t f = 0; f < channels; f += kWidth) {
      const int64_t c = whole_from(f, channels);
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

// Elements that are asked for ahead: of a plane, a few lines are read, less than a page.
constexpr int64_t kAheadOfPixels = 256;

// Two to four channels side by side, which fill half of a square or less: `channels` vectors become one of
// each channel.
template <int C, class Split>
NNLIB_INLINE void planes_of_few(int64_t n, const float* x, float* y, int64_t y_step, Split split) {
  for (int64_t first = 0; first < n; first += kWidth) {
    const int64_t i = whole_from(first, n);
    Vec a[C];
    const float* from = x + C * i;
    for (int q = 0; q < C; ++q) a[q] = load(from + q * kWidth), prefetch(from + q * kWidth + kAheadOfPixels);
    split(a);
    for (int q = 0; q < C; ++q) store(y + q * y_step + i, a[q]);
  }
}
void planes_of_two(int64_t n, const float* x, float* y, int64_t y_step) {
  planes_of_few<2>(n, x, y, y_step, [](Vec(&a)[2]) { split_pairs(a[0], a[1], &a[0], &a[1]); });
}
// Each lane of a channel comes from one of the three.
void planes_of_three(int64_t n, const float* x, float* y, int64_t y_step) {
  Mask second[3], third[3];
  IVec order[3];
  for (int q = 0; q < 3; ++q) {
    int32_t from[kWidth], lane[kWidth];
    for (int j = 0; j < kWidth; ++j) {
      lane[j] = (3 * j + q) % kWidth;
      from[lane[j]] = (3 * j + q) / kWidth;
    }
    const IVec vector = load_i(from);
    second[q] = eq(vector, set1i(1)), third[q] = eq(vector, set1i(2)), order[q] = load_i(lane);
  }
  planes_of_few<3>(n, x, y, y_step, [&](Vec(&a)[3]) {
    const Vec from[3] = {a[0], a[1], a[2]};
    for (int q = 0; q < 3; ++q)
      a[q] = permute(select(third[q], from[2], select(second[q], from[1], from[0])), order[q]);
  });
}
void planes_of_four(int64_t n, const float* x, float* y, int64_t y_step) {
  planes_of_few<4>(n, x, y, y_step, [](Vec(&a)[4]) {
    Vec even[2], odd[2];
    split_pairs(a[0], a[1], &even[0], &odd[0]);
    split_pairs(a[2], a[3], &even[1], &odd[1]);
    split_pairs(even[0], even[1], &a[0], &a[2]);
    split_pairs(odd[0], odd[1], &a[1], &a[3]);
  });
}

void planes_from_pixels_f32(int64_t channels, int64_t n, const float* x, int64_t x_step, float* y,
                            int64_t y_step) {
  if (channels == x_step && n >= kWidth) {
    if (channels == 2) return planes_of_two(n, x, y, y_step);
    if (channels == 3) return planes_of_three(n, x, y, y_step);
    if (channels == 4) return planes_of_four(n, x, y, y_step);
  }
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
