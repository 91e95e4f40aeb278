// Depthwise convolution: one filter over one padded plane.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// kWidth values, `step` apart; the first n.
NNLIB_INLINE Vec load_step(const float* p, int64_t step, int64_t n) {
  if (step == 1) return n >= kWidth ? load(p) : load_n(p, n);
  alignas(kVecBytes) float t[kWidth] = {};
  for (int64_t i = 0; i < n && i < kWidth; ++i) t[i] = p[i * step];
  return load(t);
}

// Two rows and two vectors of the output at once hide the latency of the additions.
template <int R, int V>
NNLIB_INLINE void depthwise_block(int64_t n, int64_t kh, int64_t kw, const float* x, int64_t row_step,
                                  int64_t col_step, int64_t tap_row, int64_t tap_col, const float* w,
                                  float bias, float* y, int64_t ldy) {
  Vec acc[R][V];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = set1(bias);
  }
  for (int64_t p = 0; p < kh; ++p) {
    for (int64_t q = 0; q < kw; ++q) {
      const Vec tap = set1(w[p * kw + q]);
      const float* src = x + p * tap_row + q * tap_col;
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const float* from = src + r * row_step + v * kWidth * col_step;
          acc[r][v] = fma(tap, load_step(from, col_step, n - v * kWidth), acc[r][v]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store_n(y + r * ldy + v * kWidth, acc[r][v], n - v * kWidth);
  }
}

void depthwise_f32(int64_t rows, int64_t cols, int64_t kh, int64_t kw, const float* x, int64_t row_step,
                   int64_t col_step, int64_t tap_row, int64_t tap_col, const float* w, float bias, float* y,
                   int64_t ldy) {
  for (int64_t j = 0; j < cols; j += 2 * kWidth) {
    const int64_t n = cols - j;
    const float* from = x + j * col_step;
    int64_t i = 0;
    for (; i + 2 <= rows; i += 2) {
      const float* src = from + i * row_step;
      float* dst = y + i * ldy + j;
      if (n > kWidth) {
        depthwise_block<2, 2>(n, kh, kw, src, row_step, col_step, tap_row, tap_col, w, bias, dst, ldy);
      } else {
        depthwise_block<2, 1>(n, kh, kw, src, row_step, col_step, tap_row, tap_col, w, bias, dst, ldy);
      }
    }
    if (i < rows) {
      depthwise_block<1, 2>(n, kh, kw, from + i * row_step, row_step, col_step, tap_row, tap_col, w, bias,
                            y + i * ldy + j, ldy);
    }
  }
}

void depthwise_wgrad_f32(int64_t rows, int64_t cols, int64_t kh, int64_t kw, const float* x, int64_t row_step,
                         int64_t col_step, int64_t tap_row, int64_t tap_col, const float* gy, int64_t ldy,
                         float* gw) {
  for (int64_t p = 0; p < kh; ++p) {
    for (int64_t q = 0; q < kw; ++q) {
      const float* src = x + p * tap_row + q * tap_col;
      Vec even = zero(), odd = zero();
      for (int64_t i = 0; i < rows; ++i) {
        const float *from = src + i * row_step, *g = gy + i * ldy;
        int64_t j = 0;
        for (; j + 2 * kWidth <= cols; j += 2 * kWidth) {
          even = fma(load(g + j), load_step(from + j * col_step, col_step, kWidth), even);
          odd = fma(load(g + j + kWidth), load_step(from + (j + kWidth) * col_step, col_step, kWidth), odd);
        }
        for (; j < cols; j += kWidth) {
          even = fma(load_n(g + j, cols - j), load_step(from + j * col_step, col_step, cols - j), even);
        }
      }
      gw[p * kw + q] += reduce_add(even + odd);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
