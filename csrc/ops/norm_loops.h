// The loops of the normalisations over one run of values: float32 and float64 by the kernels' table, the
// 16-bit floats through short pieces of float32. Statistics and coefficients are of the compute type (float
// for the 16-bit floats).
#pragma once
#include <cmath>

#include "core/dtype.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"

namespace nnlib::ops::norm_loops {

template <class T>
constexpr bool kHalf = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
constexpr int64_t kPiece = 512;
inline void widen(int64_t n, const Half* x, float* y) {
  kernels::table().f16_to_f32(n, (const uint16_t*)x, y);
}
inline void widen(int64_t n, const BFloat16* x, float* y) {
  kernels::table().bf16_to_f32(n, (const uint16_t*)x, y);
}
inline void narrow(int64_t n, const float* x, Half* y) { kernels::table().f32_to_f16(n, x, (uint16_t*)y); }
inline void narrow(int64_t n, const float* x, BFloat16* y) {
  kernels::table().f32_to_bf16(n, x, (uint16_t*)y);
}
// Calls f(first, count, x's values) for pieces of n 16-bit floats; and with those of two arrays.
template <class T, class F>
void pieces(int64_t n, const T* x, const F& f) {
  float a[kPiece];
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t m = n - i < kPiece ? n - i : kPiece;
    widen(m, x + i, a);
    f(i, m, a);
  }
}
template <class T, class F>
void pieces(int64_t n, const T* x, const T* y, const F& f) {
  float b[kPiece];
  pieces(n, x, [&](int64_t i, int64_t m, float* a) {
    widen(m, y + i, b);
    f(i, m, a, b);
  });
}
template <class C>
const C* from(const C* p, int64_t i) {
  return p ? p + i : nullptr;
}

// { sum g w, sum g w (x - mean) }
struct GradSums {
  double g, gx;
};

#define NNLIB_NORM_LOOPS(T, TYPE)                                                                      \
  inline double sum(int64_t n, const T* x) { return kernels::table().norm_sum_##TYPE(n, x); }          \
  /* Sum of (x - mean)^2. */                                                                           \
  inline double square_deviation(int64_t n, const T* x, T mean) {                                      \
    return kernels::table().norm_square_deviation_##TYPE(n, x, mean);                                  \
  }                                                                                                    \
  /* y = a x + b */                                                                                    \
  inline void apply(int64_t n, const T* x, T a, T b, T* y) {                                           \
    kernels::table().norm_apply_##TYPE(n, x, a, b, y);                                                 \
  }                                                                                                    \
  /* w may be null. */                                                                                 \
  inline GradSums grad_sums(int64_t n, const T* g, const T* x, const T* w, T mean) {                   \
    T out[2];                                                                                          \
    kernels::table().norm_affine_grad_sums_##TYPE(n, g, x, w, mean, out);                              \
    return {out[0], out[1]};                                                                           \
  }                                                                                                    \
  /* gx = a (g w + b x + c); w may be null. */                                                         \
  inline void affine_grad(int64_t n, const T* g, const T* x, const T* w, T a, T b, T c, T* gx) {       \
    kernels::table().norm_affine_grad_##TYPE(n, g, x, w, a, b, c, gx);                                 \
  }                                                                                                    \
  /* gx = a g + b x + c */                                                                             \
  inline void grad(int64_t n, const T* g, const T* x, T a, T b, T c, T* gx) {                          \
    kernels::table().norm_grad_##TYPE(n, g, x, a, b, c, gx);                                           \
  }                                                                                                    \
  /* y = (x - mean) rstd w + b; w and b may be null. */                                                \
  inline void affine(int64_t n, const T* x, T mean, T rstd, const T* w, const T* b, T* y) {            \
    kernels::table().norm_affine_##TYPE(n, x, mean, rstd, w, b, y);                                    \
  }                                                                                                    \
  /* gw += g (x - mean) rstd, gb += g; either may be null. */                                          \
  inline void param_grad(int64_t n, const T* g, const T* x, T mean, T rstd, T* gw, T* gb) {            \
    kernels::table().norm_param_grad_##TYPE(n, g, x, mean, rstd, gw, gb);                              \
  }                                                                                                    \
  /* Each value has statistics of its own (channels last). */                                          \
  inline void col_sum(int64_t n, const T* x, T* sum) { kernels::table().col_sum_##TYPE(n, x, sum); }   \
  inline void col_square_deviation(int64_t n, const T* x, const T* mean, T* sum) {                     \
    kernels::table().col_square_deviation_##TYPE(n, x, mean, sum);                                     \
  }                                                                                                    \
  inline void col_apply(int64_t n, const T* x, const T* a, const T* b, T* y) {                         \
    kernels::table().col_apply_##TYPE(n, x, a, b, y);                                                  \
  }                                                                                                    \
  inline void col_grad_sums(int64_t n, const T* g, const T* x, const T* mean, T* sg, T* sgx) {         \
    kernels::table().col_grad_sums_##TYPE(n, g, x, mean, sg, sgx);                                     \
  }                                                                                                    \
  inline void col_grad(int64_t n, const T* g, const T* x, const T* a, const T* b, const T* c, T* gx) { \
    kernels::table().col_grad_##TYPE(n, g, x, a, b, c, gx);                                            \
  }
NNLIB_NORM_LOOPS(float, f32)
NNLIB_NORM_LOOPS(double, f64)
#undef NNLIB_NORM_LOOPS

// ---- the same of 16-bit floats

// Values that are made float32 once for several loops over them; longer runs go by pieces.
constexpr int64_t kMostWide = 1 << 16;

template <class T, class = std::enable_if_t<kHalf<T>>>
double sum(int64_t n, const T* x) {
  double s = 0;
  pieces(n, x, [&](int64_t, int64_t m, const float* a) { s += sum(m, a); });
  return s;
}
template <class T, class = std::enable_if_t<kHalf<T>>>
double square_deviation(int64_t n, const T* x, float mean) {
  double s = 0;
  pieces(n, x, [&](int64_t, int64_t m, const float* a) { s += square_deviation(m, a, mean); });
  return s;
}
// f(row, x, y) for each row of n values, first to end. 16-bit floats of rows that are not too long are made
// float32 once for all that f does with them, x and y being one then.
template <class T, class F>
void each_row(int64_t first, int64_t end, int64_t n, const T* x, T* y, const F& f) {
  if constexpr (kHalf<T>)
    if (n <= kMostWide) {
      float* const wide = drivers::scratch<drivers::Scratch::Rows, float>(n);
      for (int64_t r = first; r < end; r++) {
        widen(n, x + r * n, wide);
        f(r, wide, wide);
        narrow(n, wide, y + r * n);
      }
      return;
    }
  for (int64_t r = first; r < end; r++) f(r, x + r * n, y + r * n);
}
// And f(row, g, x, gx), where gx may be null.
template <class T, class F>
void each_row(int64_t first, int64_t end, int64_t n, const T* g, const T* x, T* gx, const F& f) {
  if constexpr (kHalf<T>)
    if (n <= kMostWide) {
      float* const wide_g = drivers::scratch<drivers::Scratch::Rows, float>(2 * n);
      float* const wide_x = wide_g + n;
      for (int64_t r = first; r < end; r++) {
        widen(n, g + r * n, wide_g);
        widen(n, x + r * n, wide_x);
        f(r, wide_g, wide_x, wide_g);
        if (gx) narrow(n, wide_g, gx + r * n);
      }
      return;
    }
  for (int64_t r = first; r < end; r++) f(r, g + r * n, x + r * n, gx ? gx + r * n : nullptr);
}

// By kernels of their own where a call reads the values once.
#define NNLIB_HALF_LOOPS(T, TYPE)                                                          \
  inline void apply(int64_t n, const T* x, float a, float b, T* y) {                       \
    kernels::table().norm_apply_##TYPE(n, &x->bits, a, b, &y->bits);                       \
  }                                                                                        \
  inline void col_sum(int64_t n, const T* x, float* sum) {                                 \
    kernels::table().col_sum_##TYPE(n, &x->bits, sum);                                     \
  }                                                                                        \
  inline void col_square_deviation(int64_t n, const T* x, const float* mean, float* sum) { \
    kernels::table().col_square_deviation_##TYPE(n, &x->bits, mean, sum);                  \
  }                                                                                        \
  inline void col_apply(int64_t n, const T* x, const float* a, const float* b, T* y) {     \
    kernels::table().col_apply_##TYPE(n, &x->bits, a, b, &y->bits);                        \
  }
NNLIB_HALF_LOOPS(BFloat16, bf16)
NNLIB_HALF_LOOPS(Half, f16)
#undef NNLIB_HALF_LOOPS
template <class T, class = std::enable_if_t<kHalf<T>>>
GradSums grad_sums(int64_t n, const T* g, const T* x, const float* w, float mean) {
  GradSums s{0, 0};
  pieces(n, g, x, [&](int64_t i, int64_t m, const float* gv, const float* xv) {
    const GradSums part = grad_sums(m, gv, xv, from(w, i), mean);
    s.g += part.g;
    s.gx += part.gx;
  });
  return s;
}
template <class T, class = std::enable_if_t<kHalf<T>>>
void affine_grad(int64_t n, const T* g, const T* x, const float* w, float a, float b, float c, T* gx) {
  pieces(n, g, x, [&](int64_t i, int64_t m, float* gv, const float* xv) {
    affine_grad(m, gv, xv, from(w, i), a, b, c, gv);
    narrow(m, gv, gx + i);
  });
}
template <class T, class = std::enable_if_t<kHalf<T>>>
void grad(int64_t n, const T* g, const T* x, float a, float b, float c, T* gx) {
  pieces(n, g, x, [&](int64_t i, int64_t m, float* gv, const float* xv) {
    grad(m, gv, xv, a, b, c, gv);
    narrow(m, gv, gx + i);
  });
}
template <class T, class = std::enable_if_t<kHalf<T>>>
void affine(int64_t n, const T* x, float mean, float rstd, const float* w, const float* b, T* y) {
  pieces(n, x, [&](int64_t i, int64_t m, float* v) {
    affine(m, v, mean, rstd, from(w, i), from(b, i), v);
    narrow(m, v, y + i);
  });
}
template <class T, class = std::enable_if_t<kHalf<T>>>
void param_grad(int64_t n, const T* g, const T* x, float mean, float rstd, float* gw, float* gb) {
  pieces(n, g, x, [&](int64_t i, int64_t m, const float* gv, const float* xv) {
    param_grad(m, gv, xv, mean, rstd, gw ? gw + i : nullptr, gb ? gb + i : nullptr);
  });
}
template <class T, class = std::enable_if_t<kHalf<T>>>
void col_grad_sums(int64_t n, const T* g, const T* x, const float* mean, float* sg, float* sgx) {
  pieces(n, g, x, [&](int64_t i, int64_t m, const float* gv, const float* xv) {
    col_grad_sums(m, gv, xv, mean + i, sg + i, sgx + i);
  });
}
template <class T, class = std::enable_if_t<kHalf<T>>>
void col_grad(int64_t n, const T* g, const T* x, const float* a, const float* b, const float* c, T* gx) {
  pieces(n, g, x, [&](int64_t i, int64_t m, float* gv, const float* xv) {
    col_grad(m, gv, xv, a + i, b + i, c + i, gv);
    narrow(m, gv, gx + i);
  });
}

// A row whose values have weights of their own (or none): adds to the gradients of weights and biases, which
// may be null, and makes gx, unless it is null.
template <class T, class C, class G>
void row_grad(int64_t n, const T* g, const T* x, const C* w, C mean, C rstd, bool centered, C* gw, C* gb,
              G* gx) {
  if (gw || gb) param_grad(n, g, x, mean, rstd, gw, gb);
  if (!gx) return;
  const GradSums s = grad_sums(n, g, x, w, mean);
  const double slope = -(double)rstd * rstd * s.gx / (double)n;
  const double shift = centered ? -s.g / (double)n - slope * mean : 0;
  affine_grad(n, g, x, w, rstd, (C)slope, (C)shift, gx);
}

}  // namespace nnlib::ops::norm_loops
