// Around the tiles of a matrix product: packing, matrix times vector, conversions of 16-bit floats.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

struct FromF64 {
  static NNLIB_INLINE VecD get(const double* p) { return load(p); }
  static NNLIB_INLINE VecD get(const double* p, int64_t n) { return load_n(p, n); }
};
struct FromF32 {
  static NNLIB_INLINE Vec get(const float* p) { return load(p); }
  static NNLIB_INLINE Vec get(const float* p, int64_t n) { return load_n(p, n); }
};
struct FromBf16 {
  static NNLIB_INLINE Vec get(const uint16_t* p) { return load_bf16(p); }
  static NNLIB_INLINE Vec get(const uint16_t* p, int64_t n) { return load_bf16_n(p, n); }
};
struct FromF16 {
  static NNLIB_INLINE Vec get(const uint16_t* p) { return load_f16(p); }
  static NNLIB_INLINE Vec get(const uint16_t* p, int64_t n) { return load_f16_n(p, n); }
};

template <class From, class T>
NNLIB_INLINE void pack(int64_t width, int64_t n, int64_t kc, const T* src, int64_t rs, int64_t cs,
                       float scale, float* dst) {
  const Vec s = set1(scale);
  // A panel narrower than a vector is stored in whole vectors: what runs over is overwritten by the next
  // line, and the last lines are stored exactly.
  const bool narrow = width <= kWidth && n == width;
  const int64_t room = narrow ? kc - (kWidth + width - 1) / width : -1;  // lines k <= room may run over
  if (rs == 1) {                                                         // contiguous across the panel: copy
    int64_t k = 0;
    for (; cs >= kWidth && k <= room && k + 1 < kc; ++k, src += cs, dst += width) {
      store(dst, From::get(src) * s);
    }
    for (; k < kc; ++k, src += cs, dst += width) {
      for (int64_t i = 0; i < width; i += kWidth) {
        if (i + kWidth <= n) {
          store(dst + i, From::get(src + i) * s);
        } else {
          store_n(dst + i, i < n ? From::get(src + i, n - i) * s : zero(), width - i);
        }
      }
    }
  } else if (cs == 1) {  // contiguous along k: transpose square blocks
    for (int64_t k = 0; k < kc; k += kWidth) {
      const int64_t depth = kc - k < kWidth ? kc - k : kWidth;
      for (int64_t i = 0; i < width; i += kWidth) {
        Vec r[kWidth];
        for (int q = 0; q < kWidth; ++q) {
          const T* p = src + (i + q) * rs + k;
          r[q] = i + q >= n ? zero() : depth == kWidth ? From::get(p) * s : From::get(p, depth) * s;
        }
        transpose(r);
        if (k + kWidth - 1 <= room || (depth == kWidth && i + kWidth <= width)) {
          for (int q = 0; q < kWidth; ++q) store(dst + (k + q) * width + i, r[q]);
        } else {
          for (int q = 0; q < depth; ++q) store_n(dst + (k + q) * width + i, r[q], width - i);
        }
      }
    }
  } else {
    for (int64_t k = 0; k < kc; ++k) {
      for (int64_t i = 0; i < width; ++i) {
        store_n(dst + k * width + i, i < n ? From::get(src + i * rs + k * cs, 1) * s : zero(), 1);
      }
    }
  }
}

void pack_f32(int64_t width, int64_t n, int64_t kc, const float* src, int64_t rs, int64_t cs, float scale,
              float* dst) {
  pack<FromF32>(width, n, kc, src, rs, cs, scale, dst);
}
void pack_bf16(int64_t width, int64_t n, int64_t kc, const uint16_t* src, int64_t rs, int64_t cs, float scale,
               float* dst) {
  pack<FromBf16>(width, n, kc, src, rs, cs, scale, dst);
}
void pack_f16(int64_t width, int64_t n, int64_t kc, const uint16_t* src, int64_t rs, int64_t cs, float scale,
              float* dst) {
  pack<FromF16>(width, n, kc, src, rs, cs, scale, dst);
}
void pack_f64(int64_t width, int64_t n, int64_t kc, const double* src, int64_t rs, int64_t cs, double scale,
              double* dst) {
  for (int64_t k = 0; k < kc; ++k) {
    if (rs == 1) {
      for (int64_t i = 0; i < n; ++i) dst[k * width + i] = scale * src[i + k * cs];
    } else {
      for (int64_t i = 0; i < n; ++i) dst[k * width + i] = scale * src[i * rs + k * cs];
    }
    for (int64_t i = n; i < width; ++i) dst[k * width + i] = 0;
  }
}

// Four rows at a time: x is loaded once for all of them.
template <int R, class From, class A, class T>
NNLIB_INLINE void dot_rows(int64_t k, const A* a, int64_t lda, const T* x, T* y) {
  constexpr int W = VecFor<T>::width;
  VecOf<T> s0[R], s1[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) s0[r] = s1[r] = splat(T(0));
  int64_t i = 0;
  for (; i + 2 * W <= k; i += 2 * W) {
    const VecOf<T> x0 = load(x + i), x1 = load(x + i + W);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      s0[r] = fma(x0, From::get(a + r * lda + i), s0[r]);
      s1[r] = fma(x1, From::get(a + r * lda + i + W), s1[r]);
    }
  }
  for (; i < k; i += W) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) s0[r] = fma(load_n(x + i, k - i), From::get(a + r * lda + i, k - i), s0[r]);
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) y[r] = reduce_add(s0[r] + s1[r]);
}

template <class From, class A, class T>
NNLIB_INLINE void gemv_dot(int64_t m, int64_t k, const A* a, int64_t lda, const T* x, T* y) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) dot_rows<4, From>(k, a + i * lda, lda, x, y + i);
  for (; i < m; ++i) dot_rows<1, From>(k, a + i * lda, lda, x, y + i);
}
void gemv_dot_f32(int64_t m, int64_t k, const float* a, int64_t lda, const float* x, float* y) {
  gemv_dot<FromF32>(m, k, a, lda, x, y);
}
void gemv_dot_f64(int64_t m, int64_t k, const double* a, int64_t lda, const double* x, double* y) {
  gemv_dot<FromF64>(m, k, a, lda, x, y);
}
void gemv_dot_bf16(int64_t m, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  gemv_dot<FromBf16>(m, k, a, lda, x, y);
}
void gemv_dot_f16(int64_t m, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  gemv_dot<FromF16>(m, k, a, lda, x, y);
}

// y (+)= the sum of R rows times their x, in the order of the rows: memory is read in R long streams.
template <int R, class From, class A, class T>
NNLIB_INLINE void axpy_rows(int64_t n, const A* a, int64_t lda, const T* x, T* y, bool add) {
  constexpr int W = VecFor<T>::width;
  VecOf<T> xv[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) xv[r] = splat(x[r]);
  int64_t j = 0;
  for (; j + W <= n; j += W) {
    VecOf<T> s = add ? load(y + j) : splat(T(0));
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) s = fma(xv[r], From::get(a + r * lda + j), s);
    store(y + j, s);
  }
  if (j == n) return;
  VecOf<T> s = add ? load_n(y + j, n - j) : splat(T(0));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) s = fma(xv[r], From::get(a + r * lda + j, n - j), s);
  store_n(y + j, s, n - j);
}

template <class From, class A, class T>
NNLIB_INLINE void gemv_axpy(int64_t n, int64_t k, const A* a, int64_t lda, const T* x, T* y) {
  const int64_t strip = 2048;  // of y, which stays in the first-level cache
  for (int64_t j = 0; j < n; j += strip) {
    const int64_t width = n - j < strip ? n - j : strip;
    for (int64_t q = 0; k <= 0 && q < width; ++q) y[j + q] = 0;
    int64_t i = 0;
    for (; i + 8 <= k; i += 8) axpy_rows<8, From>(width, a + i * lda + j, lda, x + i, y + j, i > 0);
    for (; i < k; ++i) axpy_rows<1, From>(width, a + i * lda + j, lda, x + i, y + j, i > 0);
  }
}
void gemv_axpy_f32(int64_t n, int64_t k, const float* a, int64_t lda, const float* x, float* y) {
  gemv_axpy<FromF32>(n, k, a, lda, x, y);
}
void gemv_axpy_f64(int64_t n, int64_t k, const double* a, int64_t lda, const double* x, double* y) {
  gemv_axpy<FromF64>(n, k, a, lda, x, y);
}
void gemv_axpy_bf16(int64_t n, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  gemv_axpy<FromBf16>(n, k, a, lda, x, y);
}
void gemv_axpy_f16(int64_t n, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  gemv_axpy<FromF16>(n, k, a, lda, x, y);
}

void bf16_to_f32(int64_t n, const uint16_t* x, float* y) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, load_bf16(x + i));
  if (i < n) store_n(y + i, load_bf16_n(x + i, n - i), n - i);
}
void f32_to_bf16(int64_t n, const float* x, uint16_t* y) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store_bf16(y + i, load(x + i));
  if (i < n) store_bf16_n(y + i, load_n(x + i, n - i), n - i);
}
void f16_to_f32(int64_t n, const uint16_t* x, float* y) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, load_f16(x + i));
  if (i < n) store_n(y + i, load_f16_n(x + i, n - i), n - i);
}
void f32_to_f16(int64_t n, const float* x, uint16_t* y) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store_f16(y + i, load(x + i));
  if (i < n) store_f16_n(y + i, load_n(x + i, n - i), n - i);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
