// The truth of activation.inl: the formulas in double, rounded once.
#include "../scalar_activation.h"
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

#define NNLIB_ACTIVATION_OF(name, type, T, One, get, put)                                      \
  void name##_act_##type(int64_t n, const T* x, One a, One b, One c, T* y) {                   \
    for (int64_t i = 0; i < n; ++i) y[i] = put(One(scalar::name<double>(get(x[i]), a, b, c))); \
  }                                                                                            \
  void name##_grad_##type(int64_t n, const T* g, const T* x, One a, One b, One c, T* y) {      \
    for (int64_t i = 0; i < n; ++i)                                                            \
      y[i] = put(One(scalar::name##_grad<double>(get(g[i]), get(x[i]), a, b, c)));             \
  }
#define NNLIB_ACTIVATION(name, value, gradient)                        \
  NNLIB_ACTIVATION_OF(name, f32, float, float, float, float)           \
  NNLIB_ACTIVATION_OF(name, f64, double, double, double, double)       \
  NNLIB_ACTIVATION_OF(name, bf16, uint16_t, float, from_bf16, to_bf16) \
  NNLIB_ACTIVATION_OF(name, f16, uint16_t, float, from_f16, to_f16)
#include "../activation.def"
#undef NNLIB_ACTIVATION_OF

// wide(x) is the value of an element, narrow(v) the element that is nearest to v.
#define NNLIB_GLU(suffix, T, wide, narrow)                                                \
  void glu_##suffix(int64_t n, const T* a, const T* b, T* y) {                            \
    for (int64_t i = 0; i < n; ++i) y[i] = narrow(wide(a[i]) / (1 + ::exp(-wide(b[i])))); \
  }                                                                                       \
  void glu_grad_##suffix(int64_t n, const T* g, const T* a, const T* b, T* y) {           \
    for (int64_t i = 0; i < n; ++i) {                                                     \
      const double s = 1 / (1 + ::exp(-wide(b[i])));                                      \
      y[i] = narrow(wide(g[i]) * wide(a[i]) * s * (1 - s));                               \
    }                                                                                     \
  }
NNLIB_GLU(f32, float, double, float)
NNLIB_GLU(f64, double, double, double)
NNLIB_GLU(bf16, uint16_t, (double)from_bf16, to_bf16)
NNLIB_GLU(f16, uint16_t, (double)from_f16, to_f16)
#undef NNLIB_GLU

}  // namespace
}  // namespace nnlib::kernels::reference
