// Convolution straight from a padded frame: a tile of output channels and vectors of pixels, wherever these
// lie.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Output channels of the tallest tile, and for few channels more vectors: as many accumulators as registers
// allow.
#if defined(__AVX512F__)
constexpr int kDirectRows = 14, kDirectVecs8 = 3, kDirectVecs4 = 6;
#elif defined(__AVX2__)
constexpr int kDirectRows = 6, kDirectVecs8 = 2, kDirectVecs4 = 3;
#elif defined(__aarch64__)
constexpr int kDirectRows = 12, kDirectVecs8 = 3, kDirectVecs4 = 6;
#else
constexpr int kDirectRows = 4, kDirectVecs8 = 2, kDirectVecs4 = 2;
#endif
constexpr int64_t direct_mr = kDirectRows;

// The first `vectors` of V vectors; the others repeat the last and are not stored.
template <int R, int V>
__attribute__((noinline)) void direct_tile(int64_t kc, const float* a, int64_t lda, const int64_t* offset,
                                           const float* x, int64_t vectors, const int64_t* vector, float* c,
                                           int64_t ldc, int64_t m, const float* row_bias, bool accumulate) {
  const float* from[V];
  Vec acc[R][V];
#pragma GCC unroll 6
  for (int v = 0; v < V; ++v) {
    from[v] = x + vector[3 * (v < vectors ? v : vectors - 1)];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) acc[i][v] = set1(row_bias && !accumulate && i < m ? row_bias[i] : 0.f);
  }
  for (int64_t k = 0; k < kc; ++k) {
    const int64_t at = offset[k];
    Vec b[V];
#pragma GCC unroll 6
    for (int v = 0; v < V; ++v) b[v] = load(from[v] + at);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec ai = set1(a[i]);
#pragma GCC unroll 6
      for (int v = 0; v < V; ++v) acc[i][v] = fma(ai, b[v], acc[i][v]);
    }
    a += lda;
  }
#pragma GCC unroll 6
  for (int v = 0; v < V; ++v) {
    if (v >= vectors) break;
    const int64_t n = vector[3 * v + 2];
    float* p = c + vector[3 * v + 1];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      if (i >= m) break;
      if (n >= kWidth) {
        if (accumulate) acc[i][v] = acc[i][v] + load(p + i * ldc);
        store(p + i * ldc, acc[i][v]);
      } else {
        if (accumulate) acc[i][v] = acc[i][v] + load_n(p + i * ldc, n);
        store_n(p + i * ldc, acc[i][v], n);
      }
    }
  }
}

template <int R, int V>
NNLIB_INLINE void direct_rows(int64_t kc, const float* a, int64_t lda, const int64_t* offset, const float* x,
                              int64_t vectors, const int64_t* vector, float* c, int64_t ldc, int64_t m,
                              const float* row_bias, bool accumulate) {
  for (int64_t v = 0; v < vectors; v += V) {
    direct_tile<R, V>(kc, a, lda, offset, x, vectors - v, vector + 3 * v, c, ldc, m, row_bias, accumulate);
  }
}

void conv_direct_f32(int64_t kc, const float* a, int64_t lda, const int64_t* offset, const float* x,
                     int64_t vectors, const int64_t* vector, float* c, int64_t ldc, int64_t m,
                     const float* row_bias, bool accumulate) {
  constexpr int all = kDirectRows, two = all < 2 ? all : 2, four = all < 4 ? all : 4,
                eight = all < 8 ? all : 8;
  if (m > eight) {
    direct_rows<all, 2>(kc, a, lda, offset, x, vectors, vector, c, ldc, m, row_bias, accumulate);
  } else if (m > four) {
    direct_rows<eight, kDirectVecs8>(kc, a, lda, offset, x, vectors, vector, c, ldc, m, row_bias, accumulate);
  } else if (m > two) {
    direct_rows<four, kDirectVecs4>(kc, a, lda, offset, x, vectors, vector, c, ldc, m, row_bias, accumulate);
  } else if (m > 1) {
    direct_rows<two, kDirectVecs4>(kc, a, lda, offset, x, vectors, vector, c, ldc, m, row_bias, accumulate);
  } else if (m > 0) {
    direct_rows<1, kDirectVecs4>(kc, a, lda, offset, x, vectors, vector, c, ldc, m, row_bias, accumulate);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
