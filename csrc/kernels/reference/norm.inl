// The truth of norm.inl: sums in double.
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

template <class T>
T norm_sum(int64_t n, const T* x) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += x[i];
  return T(s);
}

template <class T>
T norm_square_deviation(int64_t n, const T* x, T mean) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += (double(x[i]) - mean) * (double(x[i]) - mean);
  return T(s);
}

template <class T>
void norm_apply(int64_t n, const T* x, T a, T b, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = T(double(a) * x[i] + b);
}

template <class T>
void norm_affine_grad_sums(int64_t n, const T* g, const T* x, const T* weight, T mean, T* out) {
  double s = 0, t = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double gw = double(g[i]) * (weight ? weight[i] : 1.0);
    s += gw;
    t += gw * (double(x[i]) - mean);
  }
  out[0] = T(s);
  out[1] = T(t);
}

template <class T>
void norm_grad_sums(int64_t n, const T* g, const T* x, T mean, T* out) {
  norm_affine_grad_sums(n, g, x, (const T*)nullptr, mean, out);
}

template <class T>
void norm_affine_grad(int64_t n, const T* g, const T* x, const T* weight, T a, T b, T c, T* gx) {
  for (int64_t i = 0; i < n; ++i) {
    gx[i] = T(a * (double(g[i]) * (weight ? weight[i] : 1.0) + double(b) * x[i] + c));
  }
}

template <class T>
void norm_grad(int64_t n, const T* g, const T* x, T a, T b, T c, T* gx) {
  for (int64_t i = 0; i < n; ++i) gx[i] = T(double(a) * g[i] + double(b) * x[i] + c);
}

template <class T>
void norm_affine(int64_t n, const T* x, T mean, T rstd, const T* weight, const T* bias, T* y) {
  for (int64_t i = 0; i < n; ++i) {
    const double xhat = (double(x[i]) - mean) * rstd;
    y[i] = T(xhat * (weight ? weight[i] : 1.0) + (bias ? bias[i] : 0.0));
  }
}

template <class T>
void norm_param_grad(int64_t n, const T* g, const T* x, T mean, T rstd, T* grad_weight, T* grad_bias) {
  for (int64_t i = 0; i < n; ++i) {
    if (grad_weight) grad_weight[i] = T(grad_weight[i] + double(g[i]) * (double(x[i]) - mean) * rstd);
    if (grad_bias) grad_bias[i] += g[i];
  }
}

template <class T>
void col_sum(int64_t n, const T* x, T* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

template <class T>
void col_square_deviation(int64_t n, const T* x, const T* mean, T* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] = T(sum[i] + (double(x[i]) - mean[i]) * (double(x[i]) - mean[i]));
}

template <class T>
void col_apply(int64_t n, const T* x, const T* a, const T* b, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = T(double(a[i]) * x[i] + b[i]);
}

template <class T>
void col_grad_sums(int64_t n, const T* g, const T* x, const T* mean, T* sum_g, T* sum_gx) {
  for (int64_t i = 0; i < n; ++i) {
    sum_g[i] += g[i];
    sum_gx[i] = T(sum_gx[i] + double(g[i]) * (double(x[i]) - mean[i]));
  }
}

template <class T>
void col_grad(int64_t n, const T* g, const T* x, const T* a, const T* b, const T* c, T* gx) {
  for (int64_t i = 0; i < n; ++i) gx[i] = T(double(a[i]) * g[i] + double(b[i]) * x[i] + c[i]);
}

#define NNLIB_EACH(name)                     \
  constexpr auto* name##_f32 = &name<float>; \
  constexpr auto* name##_f64 = &name<double>;
NNLIB_EACH(norm_sum)
NNLIB_EACH(norm_square_deviation)
NNLIB_EACH(norm_apply)
NNLIB_EACH(norm_affine_grad_sums)
NNLIB_EACH(norm_grad_sums)
NNLIB_EACH(norm_affine_grad)
NNLIB_EACH(norm_grad)
NNLIB_EACH(norm_affine)
NNLIB_EACH(norm_param_grad)
NNLIB_EACH(col_sum)
NNLIB_EACH(col_square_deviation)
NNLIB_EACH(col_apply)
NNLIB_EACH(col_grad_sums)
NNLIB_EACH(col_grad)
#undef NNLIB_EACH

// 16-bit floats: in float, value by value.
#define NNLIB_EACH(suffix)                                                                             \
  void norm_apply_##suffix(int64_t n, const uint16_t* x, float a, float b, uint16_t* y) {              \
    for (int64_t i = 0; i < n; ++i) y[i] = to_##suffix(float(double(a) * from_##suffix(x[i]) + b));    \
  }                                                                                                    \
  void col_sum_##suffix(int64_t n, const uint16_t* x, float* sum) {                                    \
    for (int64_t i = 0; i < n; ++i) sum[i] += from_##suffix(x[i]);                                     \
  }                                                                                                    \
  void col_square_deviation_##suffix(int64_t n, const uint16_t* x, const float* mean, float* sum) {    \
    for (int64_t i = 0; i < n; ++i) {                                                                  \
      const float wide = from_##suffix(x[i]);                                                          \
      col_square_deviation(1, &wide, mean + i, sum + i);                                               \
    }                                                                                                  \
  }                                                                                                    \
  void col_apply_##suffix(int64_t n, const uint16_t* x, const float* a, const float* b, uint16_t* y) { \
    for (int64_t i = 0; i < n; ++i) norm_apply_##suffix(1, x + i, a[i], b[i], y + i);                  \
  }
NNLIB_EACH(bf16)
NNLIB_EACH(f16)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::reference
