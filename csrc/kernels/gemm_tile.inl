// Register-blocked tiles of a matrix product.
//
// Each element of C is one chain of fused multiply-adds over k, whatever tile it falls into, so that the way
// the driver cuts C into tiles and shares them among threads does not change a bit.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Rows of a tile and its width in vectors: as many accumulators as registers allow, with room for B and one
// of A.
#if defined(__AVX512F__)
constexpr int kTileRows = 14, kTileVecs = 2;
#elif defined(__AVX2__)
constexpr int kTileRows = 6, kTileVecs = 2;
#elif defined(__aarch64__)
constexpr int kTileRows = 8, kTileVecs = 3;
#else
constexpr int kTileRows = 4, kTileVecs = 2;
#endif

// kc: a panel of B stays near the first-level cache; mc * kc: a block of A fills part of the second level.
constexpr int64_t sgemm_mr = kTileRows, sgemm_nr = kTileVecs * kWidth;
constexpr int64_t dgemm_mr = kTileRows, dgemm_nr = kTileVecs * kWidthD;
#if defined(__AVX512F__)
constexpr int64_t sgemm_kc = 320, sgemm_mc = 30 * kTileRows, sgemm_nc = 32 * sgemm_nr;
#else
constexpr int64_t sgemm_kc = 384, sgemm_mc = 16 * kTileRows, sgemm_nc = 64 * sgemm_nr;
#endif
constexpr int64_t dgemm_kc = 256, dgemm_mc = 12 * kTileRows, dgemm_nc = 64 * dgemm_nr;

// Where a tile finds element (i, k) of A: at a[i * s + k], or at a[k * s + i].
enum class Along { Rows, Columns };

// R rows times panels of V vectors, b_step apart; all vectors of b's panels are read, n columns are stored.
// The loop over panels is here because a call costs as much as a few steps of k.
template <int R, int V, Along A, class T>
__attribute__((noinline, noclone)) void tiles(int64_t n, int64_t kc, const T* a, int64_t s, const T* b,
                                              int64_t ldb, int64_t b_step, T* c, int64_t ldc,
                                              const T* row_bias, const T* bias, bool accumulate) {
  constexpr int W = VecFor<T>::width;
  for (; n > 0; n -= V * W, b += b_step, c += V * W) {
    // A pointer for every three rows: the addresses base, base + s and base + 2 s need no arithmetic.
    constexpr int kThrees = (R + 2) / 3, kBases = A == Along::Rows ? kThrees : 1;
    const T* base[kBases];
#pragma GCC unroll 8
    for (int g = 0; g < kBases; ++g) {
      base[g] = a + 3 * g * s;
      asm("" : "+r"(base[g]));
    }
    T* out[kThrees];
#pragma GCC unroll 8
    for (int g = 0; g < kThrees; ++g) {
      out[g] = c + 3 * g * ldc;
      asm("" : "+r"(out[g]));
    }
    const int64_t last = n < V * W ? n - 1 : V * W - 1;
    VecOf<T> acc[R][V];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      prefetch(out[i / 3] + i % 3 * ldc);
      prefetch(out[i / 3] + i % 3 * ldc + last);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = splat(row_bias && !accumulate ? row_bias[i] : T(0));
    }
    const T* row = b;
#pragma GCC unroll 4
    for (int64_t k = 0; k < kc; ++k) {
      VecOf<T> bv[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) bv[v] = load(row + v * W);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const VecOf<T> ai =
            splat(A == Along::Rows ? base[A == Along::Rows ? i / 3 : 0][i % 3 * s] : base[0][i]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] = fma(ai, bv[v], acc[i][v]);
      }
#pragma GCC unroll 8
      for (int g = 0; g < kBases; ++g) base[g] += A == Along::Rows ? 1 : s;
      row += ldb;
    }
    if (n >= V * W) {
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          T* p = out[i / 3] + i % 3 * ldc + v * W;
          if (accumulate) acc[i][v] = acc[i][v] + load(p);
          if (!accumulate && bias) acc[i][v] = acc[i][v] + load(bias + v * W);
          store(p, acc[i][v]);
        }
      }
      if (bias) bias += V * W;
      continue;
    }
    T rest[R][V * W];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(&rest[i][v * W], acc[i][v]);
    }
    for (int i = 0; i < R; ++i) {
      for (int v = 0; v < V; ++v) {
        T* p = c + i * ldc + v * W;
        const int64_t left = n - v * W;
        VecOf<T> x = load(&rest[i][v * W]);
        if (accumulate) x = x + load_n(p, left);
        if (!accumulate && bias) x = x + load_n(bias + v * W, left);
        store_n(p, x, left);
      }
    }
  }
}

// The tiles of m <= R rows and V vectors.
template <int R, int V, Along A, class T>
NNLIB_INLINE void tiles_of_rows(int64_t m, int64_t n, int64_t kc, const T* a, int64_t s, const T* b,
                                int64_t ldb, int64_t b_step, T* c, int64_t ldc, const T* row_bias,
                                const T* bias, bool accumulate) {
  if constexpr (R > 1) {
    if (m < R) {
      return tiles_of_rows<R - 1, V, A>(m, n, kc, a, s, b, ldb, b_step, c, ldc, row_bias, bias, accumulate);
    }
  }
  tiles<R, V, A>(n, kc, a, s, b, ldb, b_step, c, ldc, row_bias, bias, accumulate);
}

// A last panel of which one vector is wanted is narrower.
template <Along A, class T>
NNLIB_INLINE void any_tiles(int64_t m, int64_t n, int64_t kc, const T* a, int64_t s, const T* b, int64_t ldb,
                            int64_t b_step, T* c, int64_t ldc, const T* row_bias, const T* bias,
                            bool accumulate) {
  constexpr int64_t nr = kTileVecs * VecFor<T>::width;
  const int64_t rest = n % nr, narrow = rest <= VecFor<T>::width ? rest : 0, wide = n - narrow;
  if (wide > 0) {
    tiles_of_rows<kTileRows, kTileVecs, A>(m, wide, kc, a, s, b, ldb, b_step, c, ldc, row_bias, bias,
                                           accumulate);
  }
  if (narrow > 0) {
    tiles_of_rows<kTileRows, 1, A>(m, narrow, kc, a, s, b + wide / nr * b_step, ldb, b_step, c + wide, ldc,
                                   row_bias, bias ? bias + wide : nullptr, accumulate);
  }
}

void sgemm_tile(int64_t kc, const float* a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                int64_t n, const float* row_bias, const float* bias, bool accumulate) {
  if (m <= 0 || n <= 0) return;
  any_tiles<Along::Columns>(m, n, kc, a, kTileRows, b, ldb, 0, c, ldc, row_bias, bias, accumulate);
}
void dgemm_tile(int64_t kc, const double* a, const double* b, int64_t ldb, double* c, int64_t ldc, int64_t m,
                int64_t n, const double* row_bias, const double* bias, bool accumulate) {
  if (m <= 0 || n <= 0) return;
  any_tiles<Along::Columns>(m, n, kc, a, kTileRows, b, ldb, 0, c, ldc, row_bias, bias, accumulate);
}

// c[j * ldc + i] (+)= t[i * ldt + j] (+ bias[i]) for i < m, j < n; m <= kTileRows, and whole vectors of t are
// read.
NNLIB_INLINE void store_turned(int64_t m, int64_t n, const float* t, int64_t ldt, float* c, int64_t ldc,
                               const float* bias, bool accumulate) {
  for (int64_t i = 0; i < m; i += kWidth) {
    const Vec add = bias && !accumulate ? load_n(bias + i, m - i) : zero();
    for (int64_t j = 0; j < n; j += kWidth) {
      Vec r[kWidth];
#pragma GCC unroll 16
      for (int q = 0; q < kWidth; ++q) r[q] = i + q < m ? load(t + (i + q) * ldt + j) : zero();
      transpose(r);
      const int64_t columns = n - j < kWidth ? n - j : kWidth;
      for (int q = 0; q < columns; ++q) {
        float* p = c + (j + q) * ldc + i;
        if (accumulate) r[q] = r[q] + load_n(p, m - i);
        if (!accumulate && bias) r[q] = r[q] + add;
        store_n(p, r[q], m - i);
      }
    }
  }
}
NNLIB_INLINE void store_turned(int64_t m, int64_t n, const double* t, int64_t ldt, double* c, int64_t ldc,
                               const double* bias, bool accumulate) {
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      double x = t[i * ldt + j];
      if (accumulate) x = x + c[j * ldc + i];
      if (!accumulate && bias) x = x + bias[i];
      c[j * ldc + i] = x;
    }
  }
}

// The tiles of m rows, all about as high, over the panels of n columns.
template <Along A, class T>
NNLIB_INLINE void rows_of_tiles(int64_t m, int64_t n, int64_t kc, const T* a, int64_t s, const T* b,
                                int64_t ldb, int64_t b_step, T* c, int64_t ldc, const T* bias,
                                bool accumulate, bool turned) {
  constexpr int64_t nr = kTileVecs * VecFor<T>::width;
  // A division costs as much as several steps of a tile.
  const int64_t tiles = m <= kTileRows ? 1 : (m + kTileRows - 1) / kTileRows;
  const int64_t low = tiles == 1 ? m : m / tiles;
  int64_t higher = m - tiles * low;
  for (int64_t i = 0; i < m;) {
    const int64_t rows = low + (higher-- > 0);
    const T* from = a + (A == Along::Rows ? i * s : i);
    if (!turned) {
      any_tiles<A>(rows, n, kc, from, s, b, ldb, b_step, c + i * ldc, ldc, static_cast<const T*>(nullptr),
                   bias, accumulate);
    }
    const T* panel = b;
    for (int64_t j = 0; turned && j < n; j += nr, panel += b_step) {
      const int64_t columns = n - j < nr ? n - j : nr;
      T t[kTileRows * nr];
      any_tiles<A>(rows, columns <= VecFor<T>::width ? VecFor<T>::width : nr, kc, from, s, panel, ldb, b_step,
                   t, nr, static_cast<const T*>(nullptr), static_cast<const T*>(nullptr), false);
      store_turned(rows, columns, t, nr, c + j * ldc + i, ldc, bias ? bias + i : nullptr, accumulate);
    }
    i += rows;
  }
}

template <class T>
NNLIB_INLINE void gemm_rows(int64_t m, int64_t n, int64_t kc, const T* a, int64_t rs, int64_t cs, const T* b,
                            int64_t ldb, int64_t b_step, T* c, int64_t ldc, const T* bias, bool accumulate,
                            bool turned) {
  if (m <= 0 || n <= 0) return;
  if (cs == 1) {
    rows_of_tiles<Along::Rows>(m, n, kc, a, rs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
  } else {
    rows_of_tiles<Along::Columns>(m, n, kc, a, cs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
  }
}
void sgemm_rows(int64_t m, int64_t n, int64_t kc, const float* a, int64_t rs, int64_t cs, const float* b,
                int64_t ldb, int64_t b_step, float* c, int64_t ldc, const float* bias, bool accumulate,
                bool turned) {
  gemm_rows(m, n, kc, a, rs, cs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
}
void dgemm_rows(int64_t m, int64_t n, int64_t kc, const double* a, int64_t rs, int64_t cs, const double* b,
                int64_t ldb, int64_t b_step, double* c, int64_t ldc, const double* bias, bool accumulate,
                bool turned) {
  gemm_rows(m, n, kc, a, rs, cs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
