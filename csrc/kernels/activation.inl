// Activations and their gradients over contiguous arrays; the formulas stand in activation.def. A comparison
// with NaN is false, and every choice is made so that a NaN comes through.
#pragma once
#include "elementwise.inl"
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

NNLIB_INLINE Vec num(float x) { return set1(x); }
NNLIB_INLINE Vec clamp_vec(Vec x, Vec low, Vec high) { return min(high, max(low, x)); }
NNLIB_INLINE Vec inside(Vec x, Vec low, Vec high, Vec v) {
  return select(gt(x, low) & lt(x, high), v, zero());
}
NNLIB_INLINE Vec gelu_inner(Vec x) { return num(0.79788456f) * x * fma(num(0.044715f) * x, x, num(1.f)); }
// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2).
NNLIB_INLINE Vec mish_factor(Vec x) {
  const Vec e = exp_below(min(num(20.f), x)), n = e * (e + num(2.f));
  return n / (n + num(2.f));
}

#define NNLIB_ACTIVATION(name, value, gradient)                                                   \
  void name##_act_f32(int64_t n, const float* px, float pa, float pb, float pc, float* py) {      \
    [[maybe_unused]] const Vec a = set1(pa), b = set1(pb), c = set1(pc);                          \
    map1(n, px, py, [=](Vec x) { return value; });                                                \
  }                                                                                               \
  void name##_grad_f32(int64_t n, const float* pg, const float* px, float pa, float pb, float pc, \
                       float* py) {                                                               \
    [[maybe_unused]] const Vec a = set1(pa), b = set1(pb), c = set1(pc);                          \
    map2(n, pg, px, py, [=](Vec g, [[maybe_unused]] Vec x) { return gradient; });                 \
  }

NNLIB_ACTIVATION(relu, max(zero(), x), select(gt(x, zero()), g, zero()))
NNLIB_ACTIVATION(leaky_relu, select(gt(x, zero()), x, a* x), select(gt(x, zero()), g, a* g))
NNLIB_ACTIVATION(elu, select(le(x, zero()), a* expm1(c* x), b* x),
                 select(le(x, zero()), g * a * c * exp(c * x), g* b))
NNLIB_ACTIVATION(gelu, x* normal(x).cdf, ([&] {
                   const Normal p = normal(x);
                   return g * fma(x, p.density, p.cdf);
                 }()))
NNLIB_ACTIVATION(gelu_tanh, num(0.5f) * x * (num(1.f) + tanh(gelu_inner(x))), ([&] {
                   const Vec t = tanh(gelu_inner(x)), half = num(0.5f);
                   const Vec slope = num(0.79788456f) * fma(num(3 * 0.044715f) * x, x, num(1.f));
                   return g * (half * (num(1.f) + t) + half * x * ((num(1.f) - t) * (num(1.f) + t)) * slope);
                 }()))
NNLIB_ACTIVATION(silu, x* sigmoid(x), ([&] {
                   const Vec s = sigmoid(x);
                   return g * s * fma(x, num(1.f) - s, num(1.f));
                 }()))
NNLIB_ACTIVATION(mish, x* mish_factor(x), ([&] {
                   const Vec t = mish_factor(x);
                   return g * fma(x * sigmoid(x), (num(1.f) - t) * (num(1.f) + t), t);
                 }()))
NNLIB_ACTIVATION(hardtanh, clamp_vec(x, a, b), inside(x, a, b, g))
NNLIB_ACTIVATION(hardswish, x* clamp_vec(x + num(3.f), zero(), num(6.f)) / num(6.f),
                 select(le(x, num(-3.f)), zero(),
                        select(lt(x, num(3.f)), g* fma(x, num(1 / 3.f), num(0.5f)), g)))
NNLIB_ACTIVATION(hardsigmoid, clamp_vec(x + num(3.f), zero(), num(6.f)) / num(6.f),
                 inside(x, num(-3.f), num(3.f), g / num(6.f)))
NNLIB_ACTIVATION(softplus, select(gt(x* a, b), x, log1p(exp(x* a)) / a),
                 select(gt(x* a, b), g, g* sigmoid(x* a)))
NNLIB_ACTIVATION(logsigmoid, min(zero(), x) - log1p(exp_below(-abs(x))), g* sigmoid(-x))
NNLIB_ACTIVATION(hardshrink, select(ge(x, -a) & le(x, a), zero(), x), select(ge(x, -a) & le(x, a), zero(), g))
NNLIB_ACTIVATION(softshrink, select(gt(x, a), x - a, select(lt(x, -a), x + a, x* zero())),
                 select(ge(x, -a) & le(x, a), zero(), g))
NNLIB_ACTIVATION(threshold, select(le(x, a), b, x), select(le(x, a), zero(), g))
NNLIB_ACTIVATION(tanh, tanh(x), g*((num(1.f) - x) * (num(1.f) + x)))
NNLIB_ACTIVATION(sigmoid, sigmoid(x), g*((num(1.f) - x) * x))
#undef NNLIB_ACTIVATION

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
