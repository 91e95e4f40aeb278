// Winograd's convolution: block sizes, the way between planes and lines of channels in lanes, and the
// products between transformed tiles.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Rows (tiles) of a product and its width in vectors of output channels.
#if defined(__AVX512F__)
constexpr int kWinoRows = 14, kWinoVecs = 2;
#elif defined(__AVX2__)
constexpr int kWinoRows = 6, kWinoVecs = 2;
#elif defined(__aarch64__)
constexpr int kWinoRows = 6, kWinoVecs = 4;
#else
constexpr int kWinoRows = 4, kWinoVecs = 2;
#endif
// Of a sum over tiles, whose rows are input channels: a vector of them is served in one or two.
constexpr int kSumRows = kWidth < 8 ? kWidth : kWidth / 2, kSumVecs = kWinoRows == 4 ? 2 : 3;
constexpr int64_t wino_lanes = kWidth, wino_mr = kWinoRows, wino_nr = kWinoVecs * kWidth;
// What a core keeps in its second-level cache: elements of the transformed tiles of a block.
#if defined(__AVX512F__)
constexpr int64_t wino_block = 192 << 10;
#else
constexpr int64_t wino_block = 64 << 10;
#endif

void wino_frame_f32(int64_t channels, int64_t rows, int64_t low, int64_t n, int64_t high, const float* x,
                    int64_t x_channel, int64_t x_row, float* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    float* dst = y;
    for (int64_t i = 0; i < low; ++i, dst += kWidth) store(dst, zero());
    for (int64_t i = 0; i < n; i += kWidth) {
      const int64_t some = n - i < kWidth ? n - i : kWidth;
      Vec v[kWidth];
#pragma GCC unroll 16
      for (int c = 0; c < kWidth; ++c) {
        if (c >= channels) {
          v[c] = zero();
        } else {
          const float* src = x + c * x_channel + i;
          v[c] = some == kWidth ? load(src) : load_n(src, some);
        }
      }
      transpose(v);
      if (some == kWidth) {
#pragma GCC unroll 16
        for (int j = 0; j < kWidth; ++j) store(dst + j * kWidth, v[j]);
      } else {
        for (int j = 0; j < some; ++j) store(dst + j * kWidth, v[j]);
      }
      dst += some * kWidth;
    }
    for (int64_t i = 0; i < high; ++i, dst += kWidth) store(dst, zero());
  }
}

void wino_unframe_f32(int64_t channels, int64_t rows, int64_t n, const float* x, int64_t x_row, float* y,
                      int64_t y_channel, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    for (int64_t i = 0; i < n; i += kWidth) {
      const int64_t some = n - i < kWidth ? n - i : kWidth;
      Vec v[kWidth];
#pragma GCC unroll 16
      for (int j = 0; j < kWidth; ++j) v[j] = j < some ? load(x + (i + j) * kWidth) : zero();
      transpose(v);
      float* dst = y + i;
      if (some == kWidth && channels == kWidth) {
#pragma GCC unroll 16
        for (int c = 0; c < kWidth; ++c) store(dst + c * y_channel, v[c]);
      } else {
        for (int64_t c = 0; c < channels; ++c) store_n(dst + c * y_channel, v[c], some);
      }
    }
  }
}

// C[R, V vectors] (+)= A B. Element (k, row i) of A is a[k / D * lda + i * D + k % D], where D > 1, else a[k
// * lda + i]; vector v of row k of B is at b + k * ldb + v * b_vec. Rows past m are computed from what stands
// there, not stored.
template <int R, int V, int D>
__attribute__((noinline)) void wino_product(int64_t kc, const float* a, int64_t lda, const float* b,
                                            int64_t ldb, int64_t b_vec, float* c, int64_t ldc, int64_t m,
                                            bool accumulate) {
  Vec acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[i][v] = zero();
  }
  for (int64_t k = 0; k < kc; k += D, a += lda) {
    const float* end = a + (kc - k < D ? kc - k : D);
    for (const float* p = a; p < end; ++p, b += ldb) {
      Vec bv[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) bv[v] = load(b + v * b_vec);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const Vec ai = set1(p[i * D]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] = fma(ai, bv[v], acc[i][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    if (i >= m) break;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* p = c + i * ldc + v * kWidth;
      store(p, accumulate ? acc[i][v] + load(p) : acc[i][v]);
    }
  }
}

template <int V>
NNLIB_INLINE void wino_rows(int64_t kc, const float* a, const float* b, float* c, int64_t ldc, int64_t m,
                            bool accumulate) {
  constexpr int all = kWinoRows, eight = all < 8 ? all : 8, four = all < 4 ? all : 4, D = kWidth;
  const int64_t lda = m * D;
  if (m > eight) return wino_product<all, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  if (m > four) return wino_product<eight, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  if (m > 2) return wino_product<four, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  if (m > 1) return wino_product<2, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  wino_product<1, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
}

void wino_tile_f32(int64_t kc, const float* a, const float* b, float* c, int64_t ldc, int64_t m, int64_t n,
                   bool accumulate) {
  if (m <= 0 || n <= 0) return;
  if (n <= kWidth) return wino_rows<1>(kc, a, b, c, ldc, m, accumulate);
  wino_rows<kWinoVecs>(kc, a, b, c, ldc, m, accumulate);
}

template <int V>
NNLIB_INLINE void wino_sums(int64_t kc, const float* a, const float* b, int64_t b_vec, float* c, int64_t ldc,
                            bool accumulate) {
  for (int i = 0; i < kWidth; i += kSumRows) {
    wino_product<kSumRows, V, 1>(kc, a + i, kWidth, b, kWidth, b_vec, c + i * ldc, ldc, kSumRows, accumulate);
  }
}

void wino_outer_f32(int64_t kc, const float* a, const float* b, int64_t b_vec, int64_t vectors, float* c,
                    int64_t ldc, bool accumulate) {
  for (; vectors > 0; vectors -= kSumVecs, b += kSumVecs * b_vec, c += kSumVecs * kWidth) {
    if (vectors >= kSumVecs) {
      wino_sums<kSumVecs>(kc, a, b, b_vec, c, ldc, accumulate);
    } else if (vectors == 2) {
      wino_sums<2>(kc, a, b, b_vec, c, ldc, accumulate);
    } else {
      wino_sums<1>(kc, a, b, b_vec, c, ldc, accumulate);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
