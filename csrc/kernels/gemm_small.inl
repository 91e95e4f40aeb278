// Products of few rows: dot products of contiguous rows, and the outer product.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Accumulators of a tile of dot products.
#if defined(__AVX512F__)
constexpr int kDots = 24;
#else
constexpr int kDots = 12;
#endif

template <int R, int L, class T>
NNLIB_INLINE void dots_tile(int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t cr,
                            int64_t cc) {
  constexpr int W = VecFor<T>::width;
  VecOf<T> acc[R][L];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 24
    for (int l = 0; l < L; ++l) acc[r][l] = splat(T(0));
  }
  int64_t p = 0;
  for (; p + W <= k; p += W) {
    VecOf<T> av[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) av[r] = load(a + r * lda + p);
#pragma GCC unroll 24
    for (int l = 0; l < L; ++l) {
      const VecOf<T> bv = load(b + l * ldb + p);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][l] = fma(av[r], bv, acc[r][l]);
    }
  }
  if (p < k) {
#pragma GCC unroll 24
    for (int l = 0; l < L; ++l) {
      const VecOf<T> bv = load_n(b + l * ldb + p, k - p);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][l] = fma(load_n(a + r * lda + p, k - p), bv, acc[r][l]);
    }
  }
#pragma GCC unroll 24
  for (int l = 0; l < L; ++l) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) c[r * cr + l * cc] = reduce_add(acc[r][l]);
  }
}

template <int R, class T>
__attribute__((noinline)) void dots_rows(int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
                                         int64_t ldb, T* c, int64_t cr, int64_t cc) {
  constexpr int L = kDots / R;
  int64_t j = 0;
  for (; j + L <= n; j += L) dots_tile<R, L>(k, a, lda, b + j * ldb, ldb, c + j * cc, cr, cc);
  for (; j < n; ++j) dots_tile<R, 1>(k, a, lda, b + j * ldb, ldb, c + j * cc, cr, cc);
}

template <class T>
NNLIB_INLINE void gemm_dots(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb,
                            T* c, int64_t cr, int64_t cc) {
  const int64_t groups = (m + 3) / 4;
  for (int64_t q = 0, i = 0; q < groups; ++q) {
    const int64_t rows = (m - i + groups - q - 1) / (groups - q);
    const T* from = a + i * lda;
    T* to = c + i * cr;
    if (rows == 4) dots_rows<4>(n, k, from, lda, b, ldb, to, cr, cc);
    if (rows == 3) dots_rows<3>(n, k, from, lda, b, ldb, to, cr, cc);
    if (rows == 2) dots_rows<2>(n, k, from, lda, b, ldb, to, cr, cc);
    if (rows == 1) dots_rows<1>(n, k, from, lda, b, ldb, to, cr, cc);
    i += rows;
  }
}
void gemm_dots_f32(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                   float* c, int64_t cr, int64_t cc) {
  gemm_dots(m, n, k, a, lda, b, ldb, c, cr, cc);
}
void gemm_dots_f64(int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, const double* b,
                   int64_t ldb, double* c, int64_t cr, int64_t cc) {
  gemm_dots(m, n, k, a, lda, b, ldb, c, cr, cc);
}

// Integers of 32 bits, whose overflow wraps around. Four rows and two vectors have enough sums in flight.
typedef uint32_t GemmWords __attribute__((vector_size(kVecBytes)));
constexpr int64_t gemm_u32_nr = 2 * kWidth;

template <int R>
NNLIB_INLINE void panel_rows(int64_t k, const uint32_t* a, int64_t lda, const uint32_t* b, uint32_t* c) {
  constexpr int64_t W = kWidth;
  const auto words = [](const uint32_t* p) {
    GemmWords v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  };
  GemmWords low[R], high[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) low[r] = high[r] = GemmWords{};
  for (int64_t p = 0; p < k; ++p, b += gemm_u32_nr) {
    const GemmWords x = words(b), y = words(b + W);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      low[r] += a[r * lda + p] * x;
      high[r] += a[r * lda + p] * y;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const GemmWords x = low[r], y = high[r];
    __builtin_memcpy(c + r * gemm_u32_nr, &x, sizeof x);
    __builtin_memcpy(c + r * gemm_u32_nr + W, &y, sizeof y);
  }
}
void gemm_panel_u32(int64_t m, int64_t k, const uint32_t* a, int64_t lda, const uint32_t* b, uint32_t* c) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) panel_rows<4>(k, a + i * lda, lda, b, c + i * gemm_u32_nr);
  for (; i < m; ++i) panel_rows<1>(k, a + i * lda, lda, b, c + i * gemm_u32_nr);
}

void outer_f32(int64_t m, int64_t n, const float* x, int64_t incx, const float* y, float* c, int64_t ldc,
               bool past_cache) {
  for (int64_t i = 0; i < m; ++i, c += ldc) {
    const Vec xi = set1(x[i * incx]);
    int64_t j = 0;
    if (past_cache) {
      const int64_t skew = int64_t(reinterpret_cast<uintptr_t>(c) % kVecBytes / sizeof(float));
      const int64_t head = skew ? kWidth - skew : 0, first = head < n ? head : n;
      store_n(c, xi * load_n(y, first), first);
      for (j = first; j + kWidth <= n; j += kWidth) stream(c + j, xi * load(y + j));
    }
    for (; j + kWidth <= n; j += kWidth) store(c + j, xi * load(y + j));
    if (j < n) store_n(c + j, xi * load_n(y + j, n - j), n - j);
  }
  if (past_cache) fence();
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
