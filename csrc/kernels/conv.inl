// Convolution of few channels straight from a padded frame: depthwise, and sums of products of planes.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// R rows and V vectors of the output at once hide the latency of the additions. Whole: all V vectors are
// stored in full.
template <int R, int V, bool Whole>
__attribute__((noinline)) void depthwise_block(int64_t n, int64_t taps, const int64_t* offset, const float* x,
                                               int64_t row_step, const float* w, float bias, float* y,
                                               int64_t ldy) {
  Vec acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[r][v] = set1(bias);
  }
  for (int64_t t = 0; t < taps; ++t) {
    const Vec tap = set1(w[t]);
    const float* src = x + offset[t];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const float* from = src + r * row_step + v * kWidth;
        acc[r][v] = fma(tap, load(from), acc[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      if (Whole) {
        store(y + r * ldy + v * kWidth, acc[r][v]);
      } else {
        store_n(y + r * ldy + v * kWidth, acc[r][v], n - v * kWidth);
      }
    }
  }
}

// A strip of V vectors' columns over all rows, R rows at a time; the last fewer rows at once too, where the
// strip is one vector wide.
template <int R, int V, bool Whole>
NNLIB_INLINE void depthwise_strip(int64_t rows, int64_t n, int64_t taps, const int64_t* offset,
                                  const float* x, int64_t row_step, const float* w, float bias, float* y,
                                  int64_t ldy) {
  const auto block = [&](auto* f, int64_t i) {
    f(n, taps, offset, x + i * row_step, row_step, w, bias, y + i * ldy, ldy);
  };
  int64_t i = 0;
  for (; i + R <= rows; i += R) block(depthwise_block<R, V, Whole>, i);
  if constexpr (R == 8) {
    switch (rows - i) {
      case 7:
        return block(depthwise_block<7, V, Whole>, i);
      case 6:
        return block(depthwise_block<6, V, Whole>, i);
      case 5:
        return block(depthwise_block<5, V, Whole>, i);
      case 4:
        return block(depthwise_block<4, V, Whole>, i);
      case 3:
        return block(depthwise_block<3, V, Whole>, i);
      default:
        break;
    }
  }
  for (; i < rows; ++i) block(depthwise_block<1, V, Whole>, i);
}

void depthwise_f32(int64_t rows, int64_t cols, int64_t taps, const int64_t* offset, const float* x,
                   int64_t row_step, const float* w, float bias, float* y, int64_t ldy) {
  int64_t j = 0;
  for (; rows < 4 && j + 8 * kWidth <= cols; j += 8 * kWidth) {
    depthwise_strip<1, 8, true>(rows, 8 * kWidth, taps, offset, x + j, row_step, w, bias, y + j, ldy);
  }
  for (; j + 2 * kWidth <= cols; j += 2 * kWidth) {
    depthwise_strip<4, 2, true>(rows, 2 * kWidth, taps, offset, x + j, row_step, w, bias, y + j, ldy);
  }
  if (j + kWidth <= cols) {
    depthwise_strip<8, 1, true>(rows, kWidth, taps, offset, x + j, row_step, w, bias, y + j, ldy);
    j += kWidth;
  }
  if (j < cols)
    depthwise_strip<8, 1, false>(rows, cols - j, taps, offset, x + j, row_step, w, bias, y + j, ldy);
}

// M lines of g times N places of x over the whole plane.
template <int M, int N>
__attribute__((noinline)) void plane_dots(int64_t rows, int64_t cols, const float* g, int64_t g_step,
                                          int64_t g_row, const float* x, const int64_t* offset, int64_t x_row,
                                          float* sum, int64_t ld) {
  Vec acc[M][N];
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < N; ++j) acc[i][j] = zero();
  }
  const float* place[N];
#pragma GCC unroll 12
  for (int j = 0; j < N; ++j) place[j] = x + offset[j];
  const int64_t full = cols / kWidth * kWidth;
  for (int64_t r = 0; r < rows; ++r) {
    const float* line = g + r * g_row;
    const int64_t at = r * x_row;
    for (int64_t c = 0; c < full; c += kWidth) {
      Vec gv[M];
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) gv[i] = load(line + i * g_step + c);
#pragma GCC unroll 12
      for (int j = 0; j < N; ++j) {
        const Vec xv = load(place[j] + at + c);
#pragma GCC unroll 4
        for (int i = 0; i < M; ++i) acc[i][j] = fma(gv[i], xv, acc[i][j]);
      }
    }
    if (full < cols) {
      const int64_t n = cols - full;
      Vec gv[M];
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) gv[i] = load_n(line + i * g_step + full, n);
#pragma GCC unroll 12
      for (int j = 0; j < N; ++j) {
        const Vec xv = load_n(place[j] + at + full, n);
#pragma GCC unroll 4
        for (int i = 0; i < M; ++i) acc[i][j] = fma(gv[i], xv, acc[i][j]);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < N; ++j) sum[i * ld + j] += reduce_add(acc[i][j]);
  }
}

// The accumulators of M x N fill the registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kDots1 = 10, kDots4 = 5;
#else
constexpr int kDots1 = 8, kDots4 = 2;
#endif

template <int M, int N>
NNLIB_INLINE void dots_along(int64_t n, int64_t rows, int64_t cols, const float* g, int64_t g_step,
                             int64_t g_row, const float* x, const int64_t* offset, int64_t x_row, float* sum,
                             int64_t ld) {
  int64_t j = 0;
  for (; j + N <= n; j += N)
    plane_dots<M, N>(rows, cols, g, g_step, g_row, x, offset + j, x_row, sum + j, ld);
  if (N > 4) {
    for (; j + 4 <= n; j += 4)
      plane_dots<M, 4>(rows, cols, g, g_step, g_row, x, offset + j, x_row, sum + j, ld);
  }
  for (; j < n; ++j) plane_dots<M, 1>(rows, cols, g, g_step, g_row, x, offset + j, x_row, sum + j, ld);
}

void plane_dots_f32(int64_t m, int64_t n, int64_t rows, int64_t cols, const float* g, int64_t g_step,
                    int64_t g_row, const float* x, const int64_t* offset, int64_t x_row, float* sum,
                    int64_t ld) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) {
    dots_along<4, kDots4>(n, rows, cols, g + i * g_step, g_step, g_row, x, offset, x_row, sum + i * ld, ld);
  }
  for (; i < m; ++i) {
    if (n == 9) {  // 3x3: all taps at once
      plane_dots<1, 9>(rows, cols, g + i * g_step, g_step, g_row, x, offset, x_row, sum + i * ld, ld);
    } else {
      dots_along<1, kDots1>(n, rows, cols, g + i * g_step, g_step, g_row, x, offset, x_row, sum + i * ld, ld);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
