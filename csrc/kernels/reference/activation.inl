// The truth of activation.inl: the formulas in double, rounded once.
#include "../scalar_activation.h"

namespace nnlib::kernels::reference {
namespace {

#define NNLIB_ACTIVATION(name, value, gradient)                                                          \
  void name##_act_f32(int64_t n, const float* x, float a, float b, float c, float* y) {                  \
    for (int64_t i = 0; i < n; ++i) y[i] = float(scalar::name<double>(x[i], a, b, c));                   \
  }                                                                                                      \
  void name##_grad_f32(int64_t n, const float* g, const float* x, float a, float b, float c, float* y) { \
    for (int64_t i = 0; i < n; ++i) y[i] = float(scalar::name##_grad<double>(g[i], x[i], a, b, c));      \
  }
#include "../activation.def"

}  // namespace
}  // namespace nnlib::kernels::reference
