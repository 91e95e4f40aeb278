// Products of attention with one row of scores at a time: keys and values are read where they lie.
#pragma once
#include "core/half.h"
#include "kernels/dispatch.h"

namespace nnlib::ops {

// y[i] = the dot of x and row i; and y = the sum of the rows, each times its x.
inline void dots(int64_t rows, int64_t n, const float* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_dot_f32(rows, n, a, lda, x, y);
}
inline void dots(int64_t rows, int64_t n, const BFloat16* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_dot_bf16(rows, n, (const uint16_t*)a, lda, x, y);
}
inline void dots(int64_t rows, int64_t n, const Half* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_dot_f16(rows, n, (const uint16_t*)a, lda, x, y);
}
inline void dots(int64_t rows, int64_t n, const double* a, int64_t lda, const double* x, double* y) {
  kernels::table().gemv_dot_f64(rows, n, a, lda, x, y);
}
inline void weighted_rows(int64_t n, int64_t rows, const double* a, int64_t lda, const double* x, double* y) {
  kernels::table().gemv_axpy_f64(n, rows, a, lda, x, y);
}
inline void weighted_rows(int64_t n, int64_t rows, const float* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_axpy_f32(n, rows, a, lda, x, y);
}
inline void weighted_rows(int64_t n, int64_t rows, const BFloat16* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_axpy_bf16(n, rows, (const uint16_t*)a, lda, x, y);
}
inline void weighted_rows(int64_t n, int64_t rows, const Half* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_axpy_f16(n, rows, (const uint16_t*)a, lda, x, y);
}

}  // namespace nnlib::ops
