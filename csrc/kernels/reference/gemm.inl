// The truth of gemm.inl: sums in double, rounded once.
#pragma once
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

constexpr int64_t sgemm_mr = 3, sgemm_nr = 4, sgemm_kc = 64, sgemm_mc = 9, sgemm_nc = 16;
constexpr int64_t dgemm_mr = 3, dgemm_nr = 4, dgemm_kc = 64, dgemm_mc = 9, dgemm_nc = 16;

template <class T>
void tile(int64_t mr, int64_t kc, const T* a, const T* b, int64_t ldb, T* c, int64_t ldc, int64_t m,
          int64_t n, const T* row_bias, const T* bias, bool accumulate) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = accumulate ? c[i * ldc + j] : (bias ? bias[j] : T(0)) + (row_bias ? row_bias[i] : T(0));
      for (int64_t k = 0; k < kc; ++k) sum += double(a[k * mr + i]) * b[k * ldb + j];
      c[i * ldc + j] = T(sum);
    }
  }
}
void sgemm_tile(int64_t kc, const float* a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                int64_t n, const float* row_bias, const float* bias, bool accumulate) {
  tile(sgemm_mr, kc, a, b, ldb, c, ldc, m, n, row_bias, bias, accumulate);
}
void dgemm_tile(int64_t kc, const double* a, const double* b, int64_t ldb, double* c, int64_t ldc, int64_t m,
                int64_t n, const double* row_bias, const double* bias, bool accumulate) {
  tile(dgemm_mr, kc, a, b, ldb, c, ldc, m, n, row_bias, bias, accumulate);
}

template <class T>
void rows(int64_t nr, int64_t m, int64_t n, int64_t kc, const T* a, int64_t rs, int64_t cs, const T* b,
          int64_t ldb, int64_t b_step, T* c, int64_t ldc, const T* bias, bool accumulate, bool turned) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const T* column = b + j / nr * b_step + j % nr;
      T& to = turned ? c[j * ldc + i] : c[i * ldc + j];
      double sum = accumulate ? to : bias ? bias[turned ? i : j] : T(0);
      for (int64_t k = 0; k < kc; ++k) sum += double(a[i * rs + k * cs]) * column[k * ldb];
      to = T(sum);
    }
  }
}
void sgemm_rows(int64_t m, int64_t n, int64_t kc, const float* a, int64_t rs, int64_t cs, const float* b,
                int64_t ldb, int64_t b_step, float* c, int64_t ldc, const float* bias, bool accumulate,
                bool turned) {
  rows(sgemm_nr, m, n, kc, a, rs, cs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
}
void dgemm_rows(int64_t m, int64_t n, int64_t kc, const double* a, int64_t rs, int64_t cs, const double* b,
                int64_t ldb, int64_t b_step, double* c, int64_t ldc, const double* bias, bool accumulate,
                bool turned) {
  rows(dgemm_nr, m, n, kc, a, rs, cs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
}

template <class T>
void dots(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t cr,
          int64_t cc) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += double(a[i * lda + p]) * b[j * ldb + p];
      c[i * cr + j * cc] = T(sum);
    }
  }
}
void gemm_dots_f32(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                   float* c, int64_t cr, int64_t cc) {
  dots(m, n, k, a, lda, b, ldb, c, cr, cc);
}
void gemm_dots_f64(int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, const double* b,
                   int64_t ldb, double* c, int64_t cr, int64_t cc) {
  dots(m, n, k, a, lda, b, ldb, c, cr, cc);
}

constexpr int64_t gemm_u32_nr = 3;
void gemm_panel_u32(int64_t m, int64_t k, const uint32_t* a, int64_t lda, const uint32_t* b, uint32_t* c) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < gemm_u32_nr; ++j) {
      uint32_t sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += a[i * lda + p] * b[p * gemm_u32_nr + j];
      c[i * gemm_u32_nr + j] = sum;
    }
  }
}

void outer_f32(int64_t m, int64_t n, const float* x, int64_t incx, const float* y, float* c, int64_t ldc,
               bool) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = x[i * incx] * y[j];
  }
}

template <class S, class T, class F>
void pack(int64_t width, int64_t n, int64_t kc, const S* src, int64_t rs, int64_t cs, T scale, T* dst,
          F value) {
  for (int64_t k = 0; k < kc; ++k) {
    for (int64_t i = 0; i < width; ++i) {
      dst[k * width + i] = i < n ? T(scale * value(src[i * rs + k * cs])) : T(0);
    }
  }
}
void pack_f32(int64_t width, int64_t n, int64_t kc, const float* src, int64_t rs, int64_t cs, float scale,
              float* dst) {
  pack(width, n, kc, src, rs, cs, scale, dst, [](float x) { return x; });
}
void pack_f64(int64_t width, int64_t n, int64_t kc, const double* src, int64_t rs, int64_t cs, double scale,
              double* dst) {
  pack(width, n, kc, src, rs, cs, scale, dst, [](double x) { return x; });
}
void pack_bf16(int64_t width, int64_t n, int64_t kc, const uint16_t* src, int64_t rs, int64_t cs, float scale,
               float* dst) {
  pack(width, n, kc, src, rs, cs, scale, dst, from_bf16);
}
void pack_f16(int64_t width, int64_t n, int64_t kc, const uint16_t* src, int64_t rs, int64_t cs, float scale,
              float* dst) {
  pack(width, n, kc, src, rs, cs, scale, dst, from_f16);
}

template <class T>
void pack_panels(int64_t width, int64_t each, int64_t n, int64_t kc, const T* src, int64_t ld, T scale,
                 T* dst, int64_t panel) {
  for (int64_t j = 0; j < n; j += each) {
    const auto same = [](T x) { return x; };
    pack(width, std::min(each, n - j), kc, src + j, 1, ld, scale, dst + j / each * panel, same);
  }
}
constexpr auto* pack_panels_f32 = &pack_panels<float>;
constexpr auto* pack_panels_f64 = &pack_panels<double>;

template <class T>
void gemv(int64_t m, int64_t k, const T* a, int64_t rs, int64_t cs, const T* x, T* y) {
  for (int64_t i = 0; i < m; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += double(a[i * rs + j * cs]) * x[j];
    y[i] = T(sum);
  }
}
void gemv_dot_f32(int64_t m, int64_t k, const float* a, int64_t lda, const float* x, float* y) {
  gemv(m, k, a, lda, 1, x, y);
}
void gemv_dot_f64(int64_t m, int64_t k, const double* a, int64_t lda, const double* x, double* y) {
  gemv(m, k, a, lda, 1, x, y);
}
void gemv_axpy_f32(int64_t n, int64_t k, const float* a, int64_t lda, const float* x, float* y) {
  gemv(n, k, a, 1, lda, x, y);
}
void gemv_axpy_f64(int64_t n, int64_t k, const double* a, int64_t lda, const double* x, double* y) {
  gemv(n, k, a, 1, lda, x, y);
}
template <class Wide>
void half_gemv(int64_t m, int64_t k, const uint16_t* a, int64_t rs, int64_t cs, const float* x, float* y,
               Wide wide) {
  for (int64_t i = 0; i < m; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += double(wide(a[i * rs + j * cs])) * x[j];
    y[i] = float(sum);
  }
}
void gemv_dot_bf16(int64_t m, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  half_gemv(m, k, a, lda, 1, x, y, from_bf16);
}
void gemv_dot_f16(int64_t m, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  half_gemv(m, k, a, lda, 1, x, y, from_f16);
}
void gemv_axpy_bf16(int64_t n, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  half_gemv(n, k, a, 1, lda, x, y, from_bf16);
}
void gemv_axpy_f16(int64_t n, int64_t k, const uint16_t* a, int64_t lda, const float* x, float* y) {
  half_gemv(n, k, a, 1, lda, x, y, from_f16);
}

void bf16_to_f32(int64_t n, const uint16_t* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = from_bf16(x[i]);
}
void f32_to_bf16(int64_t n, const float* x, uint16_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = to_bf16(x[i]);
}
void f16_to_f32(int64_t n, const uint16_t* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = from_f16(x[i]);
}
void f32_to_f16(int64_t n, const float* x, uint16_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = to_f16(x[i]);
}

}  // namespace
}  // namespace nnlib::kernels::reference
