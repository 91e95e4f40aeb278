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

// Sums over the pixels of a frame, a vector of g at each of them: R rows of x, whose places stay in
// registers, times V vectors.
template <int R, int V>
__attribute__((noinline)) void frame_dots_tile(const int64_t* offset, int64_t runs, const int64_t* run,
                                               const float* x, const float* g, int64_t ldg, float* sum,
                                               int64_t ld, int64_t m, int64_t n, bool accumulate) {
  const float* row[R];
  Vec acc[R][V];
#pragma GCC unroll 12
  for (int i = 0; i < R; ++i) {
    row[i] = x + offset[i < m ? i : m - 1];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[i][v] = zero();
  }
  for (int64_t q = 0; q < runs; ++q) {
    const int64_t end = run[2 * q] + run[2 * q + 1];
    for (int64_t at = run[2 * q]; at < end; ++at, g += ldg) {
      Vec gv[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) gv[v] = load(g + v * kWidth);
#pragma GCC unroll 12
      for (int i = 0; i < R; ++i) {
        const Vec xv = set1(row[i][at]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) acc[i][v] = fma(xv, gv[v], acc[i][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < R; ++i) {
    if (i >= m) break;
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const int64_t rest = n - v * kWidth;
      float* p = sum + i * ld + v * kWidth;
      if (accumulate) acc[i][v] = acc[i][v] + load_n(p, rest);
      store_n(p, acc[i][v], rest);
    }
  }
}

// Tiles of about the same height, which is the next multiple of three.
template <int V, int Most>
NNLIB_INLINE void frame_dots_rows(int64_t m, int64_t n, const int64_t* offset, int64_t runs,
                                  const int64_t* run, const float* x, const float* g, int64_t ldg, float* sum,
                                  int64_t ld, bool accumulate) {
  constexpr int nine = Most < 9 ? Most : 9, six = Most < 6 ? Most : 6;
  const int64_t tiles = (m + Most - 1) / Most, height = tiles > 0 ? (m + tiles - 1) / tiles : 0;
  for (int64_t i = 0; i < m; i += height) {
    const int64_t rows = m - i < height ? m - i : height;
    const auto tile = height > nine  ? frame_dots_tile<Most, V>
                      : height > six ? frame_dots_tile<nine, V>
                      : height > 3   ? frame_dots_tile<six, V>
                                     : frame_dots_tile<3, V>;
    tile(offset + i, runs, run, x, g, ldg, sum + i * ld, ld, rows, n, accumulate);
  }
}

void frame_dots_f32(int64_t m, int64_t n, const int64_t* offset, int64_t runs, const int64_t* run,
                    const float* x, const float* g, int64_t ldg, float* sum, int64_t ld, bool accumulate) {
#if defined(__AVX512F__) || defined(__aarch64__)
  constexpr int two = 12;
#else
  constexpr int two = 6;
#endif
  if (n <= kWidth) {
    frame_dots_rows<1, 12>(m, n, offset, runs, run, x, g, ldg, sum, ld, accumulate);
  } else {
    frame_dots_rows<2, two>(m, n, offset, runs, run, x, g, ldg, sum, ld, accumulate);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
