// The loops of the normalisations over one run of values: float32 by the kernels' table, the 16-bit floats
// through short pieces of float32, double here. Statistics and coefficients are of the compute type (float
// for the 16-bit floats).
#pragma once
#include <cmath>

#include "core/dtype.h"
#include "kernels/dispatch.h"

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

inline double sum(int64_t n, const float* x) { return kernels::table().norm_sum_f32(n, x); }
template <class T>
double sum(int64_t n, const T* x) {
  double s = 0;
  if constexpr (kHalf<T>) {
    pieces(n, x, [&](int64_t, int64_t m, const float* a) { s += sum(m, a); });
    return s;
  }
  for (int64_t i = 0; i < n; i++) s += (compute_t<T>)x[i];
  return s;
}

// Sum of (x - mean)^2.
inline double square_deviation(int64_t n, const float* x, float mean) {
  return kernels::table().norm_square_deviation_f32(n, x, mean);
}
template <class T>
double square_deviation(int64_t n, const T* x, compute_t<T> mean) {
  double s = 0;
  if constexpr (kHalf<T>) {
    pieces(n, x, [&](int64_t, int64_t m, const float* a) { s += square_deviation(m, a, mean); });
    return s;
  }
  for (int64_t i = 0; i < n; i++) {
    const double d = (double)(compute_t<T>)x[i] - mean;
    s += d * d;
  }
  return s;
}

// y = a x + b
inline void apply(int64_t n, const float* x, float a, float b, float* y) {
  kernels::table().norm_apply_f32(n, x, a, b, y);
}
template <class T>
void apply(int64_t n, const T* x, compute_t<T> a, compute_t<T> b, T* y) {
  if constexpr (kHalf<T>) {
    return pieces(n, x, [&](int64_t i, int64_t m, float* v) {
      apply(m, v, a, b, v);
      narrow(m, v, y + i);
    });
  }
  for (int64_t i = 0; i < n; i++) y[i] = (T)(a * (compute_t<T>)x[i] + b);
}

// { sum g w, sum g w (x - mean) }; w may be null.
struct GradSums {
  double g, gx;
};
inline GradSums grad_sums(int64_t n, const float* g, const float* x, const float* w, float mean) {
  float out[2];
  kernels::table().norm_affine_grad_sums_f32(n, g, x, w, mean, out);
  return {out[0], out[1]};
}
template <class T>
GradSums grad_sums(int64_t n, const T* g, const T* x, const compute_t<T>* w, compute_t<T> mean) {
  GradSums s{0, 0};
  if constexpr (kHalf<T>) {
    pieces(n, g, x, [&](int64_t i, int64_t m, const float* gv, const float* xv) {
      const GradSums part = grad_sums(m, gv, xv, from(w, i), mean);
      s.g += part.g;
      s.gx += part.gx;
    });
    return s;
  }
  for (int64_t i = 0; i < n; i++) {
    const double gw = (double)(compute_t<T>)g[i] * (w ? w[i] : compute_t<T>(1));
    s.g += gw;
    s.gx += gw * ((double)(compute_t<T>)x[i] - mean);
  }
  return s;
}

// gx = a (g w + b x + c); w may be null.
inline void affine_grad(int64_t n, const float* g, const float* x, const float* w, float a, float b, float c,
                        float* gx) {
  kernels::table().norm_affine_grad_f32(n, g, x, w, a, b, c, gx);
}
template <class T>
void affine_grad(int64_t n, const T* g, const T* x, const compute_t<T>* w, compute_t<T> a, compute_t<T> b,
                 compute_t<T> c, T* gx) {
  using C = compute_t<T>;
  if constexpr (kHalf<T>) {
    return pieces(n, g, x, [&](int64_t i, int64_t m, float* gv, const float* xv) {
      affine_grad(m, gv, xv, from(w, i), a, b, c, gv);
      narrow(m, gv, gx + i);
    });
  }
  for (int64_t i = 0; i < n; i++) gx[i] = (T)(a * ((C)g[i] * (w ? w[i] : C(1)) + b * (C)x[i] + c));
}

// gx = a g + b x + c
inline void grad(int64_t n, const float* g, const float* x, float a, float b, float c, float* gx) {
  kernels::table().norm_grad_f32(n, g, x, a, b, c, gx);
}
template <class T>
void grad(int64_t n, const T* g, const T* x, compute_t<T> a, compute_t<T> b, compute_t<T> c, T* gx) {
  using C = compute_t<T>;
  if constexpr (kHalf<T>) {
    return pieces(n, g, x, [&](int64_t i, int64_t m, float* gv, const float* xv) {
      grad(m, gv, xv, a, b, c, gv);
      narrow(m, gv, gx + i);
    });
  }
  for (int64_t i = 0; i < n; i++) gx[i] = (T)(a * (C)g[i] + b * (C)x[i] + c);
}

// y = (x - mean) rstd w + b; w and b may be null.
inline void affine(int64_t n, const float* x, float mean, float rstd, const float* w, const float* b,
                   float* y) {
  kernels::table().norm_affine_f32(n, x, mean, rstd, w, b, y);
}
template <class T>
void affine(int64_t n, const T* x, compute_t<T> mean, compute_t<T> rstd, const compute_t<T>* w,
            const compute_t<T>* b, T* y) {
  using C = compute_t<T>;
  if constexpr (kHalf<T>) {
    return pieces(n, x, [&](int64_t i, int64_t m, float* v) {
      affine(m, v, mean, rstd, from(w, i), from(b, i), v);
      narrow(m, v, y + i);
    });
  }
  for (int64_t i = 0; i < n; i++) y[i] = (T)(((C)x[i] - mean) * rstd * (w ? w[i] : C(1)) + (b ? b[i] : C(0)));
}

// gw += g (x - mean) rstd, gb += g; either may be null.
inline void param_grad(int64_t n, const float* g, const float* x, float mean, float rstd, float* gw,
                       float* gb) {
  kernels::table().norm_param_grad_f32(n, g, x, mean, rstd, gw, gb);
}
template <class T>
void param_grad(int64_t n, const T* g, const T* x, compute_t<T> mean, compute_t<T> rstd, compute_t<T>* gw,
                compute_t<T>* gb) {
  using C = compute_t<T>;
  if constexpr (kHalf<T>) {
    return pieces(n, g, x, [&](int64_t i, int64_t m, const float* gv, const float* xv) {
      param_grad(m, gv, xv, mean, rstd, gw ? gw + i : nullptr, gb ? gb + i : nullptr);
    });
  }
  for (int64_t i = 0; i < n; i++) {
    if (gw) gw[i] += (C)g[i] * ((C)x[i] - mean) * rstd;
    if (gb) gb[i] += (C)g[i];
  }
}

// ---- each value has statistics of its own (channels last)

inline void col_sum(int64_t n, const float* x, float* sum) { kernels::table().add_f32(n, sum, x, sum); }
template <class T>
void col_sum(int64_t n, const T* x, compute_t<T>* sum) {
  if constexpr (kHalf<T>) {
    return pieces(n, x, [&](int64_t i, int64_t m, const float* v) { col_sum(m, v, sum + i); });
  }
  for (int64_t i = 0; i < n; i++) sum[i] += (compute_t<T>)x[i];
}
inline void col_square_deviation(int64_t n, const float* x, const float* mean, float* sum) {
  kernels::table().col_square_deviation_f32(n, x, mean, sum);
}
template <class T>
void col_square_deviation(int64_t n, const T* x, const compute_t<T>* mean, compute_t<T>* sum) {
  if constexpr (kHalf<T>) {
    return pieces(
        n, x, [&](int64_t i, int64_t m, const float* v) { col_square_deviation(m, v, mean + i, sum + i); });
  }
  for (int64_t i = 0; i < n; i++) {
    const compute_t<T> d = (compute_t<T>)x[i] - mean[i];
    sum[i] += d * d;
  }
}
inline void col_apply(int64_t n, const float* x, const float* a, const float* b, float* y) {
  kernels::table().col_apply_f32(n, x, a, b, y);
}
template <class T>
void col_apply(int64_t n, const T* x, const compute_t<T>* a, const compute_t<T>* b, T* y) {
  if constexpr (kHalf<T>) {
    return pieces(n, x, [&](int64_t i, int64_t m, float* v) {
      col_apply(m, v, a + i, b + i, v);
      narrow(m, v, y + i);
    });
  }
  for (int64_t i = 0; i < n; i++) y[i] = (T)(a[i] * (compute_t<T>)x[i] + b[i]);
}
inline void col_grad_sums(int64_t n, const float* g, const float* x, const float* mean, float* sg,
                          float* sgx) {
  kernels::table().col_grad_sums_f32(n, g, x, mean, sg, sgx);
}
template <class T>
void col_grad_sums(int64_t n, const T* g, const T* x, const compute_t<T>* mean, compute_t<T>* sg,
                   compute_t<T>* sgx) {
  if constexpr (kHalf<T>) {
    return pieces(n, g, x, [&](int64_t i, int64_t m, const float* gv, const float* xv) {
      col_grad_sums(m, gv, xv, mean + i, sg + i, sgx + i);
    });
  }
  for (int64_t i = 0; i < n; i++) {
    sg[i] += (compute_t<T>)g[i];
    sgx[i] += (compute_t<T>)g[i] * ((compute_t<T>)x[i] - mean[i]);
  }
}
inline void col_grad(int64_t n, const float* g, const float* x, const float* a, const float* b,
                     const float* c, float* gx) {
  kernels::table().col_grad_f32(n, g, x, a, b, c, gx);
}
template <class T>
void col_grad(int64_t n, const T* g, const T* x, const compute_t<T>* a, const compute_t<T>* b,
              const compute_t<T>* c, T* gx) {
  using C = compute_t<T>;
  if constexpr (kHalf<T>) {
    return pieces(n, g, x, [&](int64_t i, int64_t m, float* gv, const float* xv) {
      col_grad(m, gv, xv, a + i, b + i, c + i, gv);
      narrow(m, gv, gx + i);
    });
  }
  for (int64_t i = 0; i < n; i++) gx[i] = (T)(a[i] * (C)g[i] + b[i] * (C)x[i] + c[i]);
}

}  // namespace nnlib::ops::norm_loops
