// The activations of activation.def as functions of one value, for the reference table and for double.
#pragma once
#include <math.h>

namespace nnlib::kernels::scalar {
namespace {

template <class T>
inline T clamp06(T x) {
  return x < 0 ? T(0) : x > 6 ? T(6) : x;
}
template <class T>
inline T softplus_of(T x) {
  return x > 20 ? x : ::log1p(::exp(x));
}
template <class T>
inline T silu_slope(T x) {
  const T s = 1 / (1 + ::exp(-x));
  return s * (1 + x * (1 - s));
}
template <class T>
inline T mish_slope(T x) {
  const T t = ::tanh(softplus_of(x));
  return t + x * (1 - t * t) / (1 + ::exp(-x));
}
template <class T>
inline T gelu_tanh_slope(T x) {
  const T k = T(0.7978845608028654), q = T(0.044715), t = ::tanh(k * (x + q * x * x * x));
  return T(0.5) * (1 + t) + T(0.5) * x * (1 - t * t) * k * (1 + 3 * q * x * x);
}

#define NNLIB_ACTIVATION(name, value, gradient)                                                           \
  template <class T>                                                                                      \
  inline T name([[maybe_unused]] T x, [[maybe_unused]] T a, [[maybe_unused]] T b, [[maybe_unused]] T c) { \
    return value;                                                                                         \
  }                                                                                                       \
  template <class T>                                                                                      \
  inline T name##_grad([[maybe_unused]] T g, [[maybe_unused]] T x, [[maybe_unused]] T a,                  \
                       [[maybe_unused]] T b, [[maybe_unused]] T c) {                                      \
    return gradient;                                                                                      \
  }
#include "activation.def"

}  // namespace
}  // namespace nnlib::kernels::scalar
