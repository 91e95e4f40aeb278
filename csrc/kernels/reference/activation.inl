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

}  // namespace
}  // namespace nnlib::kernels::reference
