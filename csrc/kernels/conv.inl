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

// R rows and V vectors of the output at once hide the latency of the additions. Unit: col_step is 1; Whole:
// all V vectors are full.
template <int R, int V, bool Unit, bool Whole>
__attribute__((noinline)) void depthwise_block(int64_t n, int64_t kh, int64_t kw, const float* x,
                                               int64_t row_step, int64_t col_step, int64_t tap_row,
                                               int64_t tap_col, const float* w, float bias, float* y,
                                               int64_t ldy) {
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
          const float* from = src + r * row_step + v * kWidth * (Unit ? 1 : col_step);
          const Vec value = !Unit   ? load_step(from, col_step, n - v * kWidth)
                            : Whole ? load(from)
                                    : load_n(from, n - v * kWidth);
          acc[r][v] = fma(tap, value, acc[r][v]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      if (Whole) {
        store(y + r * ldy + v * kWidth, acc[r][v]);
      } else {
        store_n(y + r * ldy + v * kWidth, acc[r][v], n - v * kWidth);
      }
    }
  }
}

// A strip of up to 2 vectors' columns over all rows, four rows at a time.
template <int V, bool Unit, bool Whole>
NNLIB_INLINE void depthwise_strip(int64_t rows, int64_t n, int64_t kh, int64_t kw, const float* x,
                                  int64_t row_step, int64_t col_step, int64_t tap_row, int64_t tap_col,
                                  const float* w, float bias, float* y, int64_t ldy) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    depthwise_block<4, V, Unit, Whole>(n, kh, kw, x + i * row_step, row_step, col_step, tap_row, tap_col, w,
                                       bias, y + i * ldy, ldy);
  }
  for (; i < rows; ++i) {
    depthwise_block<1, V, Unit, Whole>(n, kh, kw, x + i * row_step, row_step, col_step, tap_row, tap_col, w,
                                       bias, y + i * ldy, ldy);
  }
}

void depthwise_f32(int64_t rows, int64_t cols, int64_t kh, int64_t kw, const float* x, int64_t row_step,
                   int64_t col_step, int64_t tap_row, int64_t tap_col, const float* w, float bias, float* y,
                   int64_t ldy) {
  int64_t j = 0;
  if (col_step == 1) {
    for (; j + 2 * kWidth <= cols; j += 2 * kWidth) {
      depthwise_strip<2, true, true>(rows, 2 * kWidth, kh, kw, x + j, row_step, 1, tap_row, tap_col, w, bias,
                                     y + j, ldy);
    }
    for (; j < cols; j += kWidth) {
      depthwise_strip<1, true, false>(rows, cols - j, kh, kw, x + j, row_step, 1, tap_row, tap_col, w, bias,
                                      y + j, ldy);
    }
  }
  for (; j < cols; j += kWidth) {
    depthwise_strip<1, false, false>(rows, cols - j, kh, kw, x + j * col_step, row_step, col_step, tap_row,
                                     tap_col, w, bias, y + j, ldy);
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
