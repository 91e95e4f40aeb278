// The loops of the normalisations over one run of values: float32 by the kernels' table, the other types
// here. Statistics and coefficients are of the compute type (float for the 16-bit floats).
#pragma once
#include <cmath>

#include "core/dtype.h"
#include "kernels/dispatch.h"

namespace nnlib::ops::norm_loops {

inline double sum(int64_t n, const float* x) { return kernels::table().norm_sum_f32(n, x); }
template <class T>
double sum(int64_t n, const T* x) {
  double s = 0;
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
  for (int64_t i = 0; i < n; i++) gx[i] = (T)(a * ((C)g[i] * (w ? w[i] : C(1)) + b * (C)x[i] + c));
}

// gx = a g + b x + c
inline void grad(int64_t n, const float* g, const float* x, float a, float b, float c, float* gx) {
  kernels::table().norm_grad_f32(n, g, x, a, b, c, gx);
}
template <class T>
void grad(int64_t n, const T* g, const T* x, compute_t<T> a, compute_t<T> b, compute_t<T> c, T* gx) {
  using C = compute_t<T>;
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
  for (int64_t i = 0; i < n; i++) {
    if (gw) gw[i] += (C)g[i] * ((C)x[i] - mean) * rstd;
    if (gb) gb[i] += (C)g[i];
  }
}

// ---- each value has statistics of its own (channels last)

inline void col_sum(int64_t n, const float* x, float* sum) { kernels::table().add_f32(n, sum, x, sum); }
template <class T>
void col_sum(int64_t n, const T* x, compute_t<T>* sum) {
  for (int64_t i = 0; i < n; i++) sum[i] += (compute_t<T>)x[i];
}
inline void col_square_deviation(int64_t n, const float* x, const float* mean, float* sum) {
  kernels::table().col_square_deviation_f32(n, x, mean, sum);
}
template <class T>
void col_square_deviation(int64_t n, const T* x, const compute_t<T>* mean, compute_t<T>* sum) {
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
  for (int64_t i = 0; i < n; i++) y[i] = (T)(a[i] * (compute_t<T>)x[i] + b[i]);
}
inline void col_grad_sums(int64_t n, const float* g, const float* x, const float* mean, float* sg,
                          float* sgx) {
  kernels::table().col_grad_sums_f32(n, g, x, mean, sg, sgx);
}
template <class T>
void col_grad_sums(int64_t n, const T* g, const T* x, const compute_t<T>* mean, compute_t<T>* sg,
                   compute_t<T>* sgx) {
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
  for (int64_t i = 0; i < n; i++) gx[i] = (T)(a[i] * (C)g[i] + b[i] * (C)x[i] + c[i]);
}

}  // namespace nnlib::ops::norm_loops
