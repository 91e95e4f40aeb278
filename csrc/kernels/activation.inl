// Activations and their gradients over contiguous arrays; the formulas stand in
// activation.def. A comparison with NaN is false, and every choice is made so
// that a NaN comes through.
#pragma once
#include "elementwise.inl"
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

template <class V>
NNLIB_INLINE V clamp_vec(V x, V low, V high) {
  return min(high, max(low, x));
}
template <class V>
NNLIB_INLINE V inside(V x, V low, V high, V v) {
  return select(gt(x, low) & lt(x, high), v, all_lanes<V>(0));
}
template <class V>
NNLIB_INLINE V gelu_inner(V x) {
  return all_lanes<V>(0.7978845608028654) * x * fma(all_lanes<V>(0.044715) * x, x, all_lanes<V>(1));
}
// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2).
template <class V>
NNLIB_INLINE V mish_factor(V x) {
  const V two = all_lanes<V>(2), e = exp_below(min(all_lanes<V>(20), x)), n = e * (e + two);
  return n / (n + two);
}

// In the formulas x, g and a, b, c are vectors, and num(v) is v in every lane.
#define NNLIB_ACTIVATION_OF(name, type_name, lanes, value, gradient)                                         \
  void name##_act_##type_name(int64_t n, const lanes::type* px, lanes::One pa, lanes::One pb, lanes::One pc, \
                              lanes::type* py) {                                                             \
    [[maybe_unused]] const auto num = [](double v) { return all_lanes<lanes::V>(v); };                       \
    [[maybe_unused]] const lanes::V a = lanes::splat(pa), b = lanes::splat(pb), c = lanes::splat(pc);        \
    map1<lanes>(n, px, py, [=](lanes::V x) { return value; });                                               \
  }                                                                                                          \
  void name##_grad_##type_name(int64_t n, const lanes::type* pg, const lanes::type* px, lanes::One pa,       \
                               lanes::One pb, lanes::One pc, lanes::type* py) {                              \
    [[maybe_unused]] const auto num = [](double v) { return all_lanes<lanes::V>(v); };                       \
    [[maybe_unused]] const lanes::V a = lanes::splat(pa), b = lanes::splat(pb), c = lanes::splat(pc);        \
    map2<lanes>(n, pg, px, py, [=](lanes::V g, [[maybe_unused]] lanes::V x) { return gradient; });           \
  }
#define NNLIB_ACTIVATION_THROUGH(name, type_name, lanes)                                                   \
  void name##_act_##type_name(int64_t n, const uint16_t* x, float a, float b, float c, uint16_t* y) {      \
    Through<lanes>::map<float, float, float>(n, x, a, b, c, y, name##_act_f32);                            \
  }                                                                                                        \
  void name##_grad_##type_name(int64_t n, const uint16_t* g, const uint16_t* x, float a, float b, float c, \
                               uint16_t* y) {                                                              \
    Through<lanes>::map2<float, float, float>(n, g, x, a, b, c, y, name##_grad_f32);                       \
  }
#define NNLIB_COSTLY_ACTIVATION(name, value, gradient)        \
  NNLIB_ACTIVATION_OF(name, f32, LanesF32, value, (gradient)) \
  NNLIB_ACTIVATION_OF(name, f64, LanesF64, value, (gradient)) \
  NNLIB_ACTIVATION_THROUGH(name, bf16, LanesBf16)             \
  NNLIB_ACTIVATION_THROUGH(name, f16, LanesF16)
#define NNLIB_ACTIVATION(name, value, gradient)                 \
  NNLIB_ACTIVATION_OF(name, f32, LanesF32, value, (gradient))   \
  NNLIB_ACTIVATION_OF(name, f64, LanesF64, value, (gradient))   \
  NNLIB_ACTIVATION_OF(name, bf16, LanesBf16, value, (gradient)) \
  NNLIB_ACTIVATION_OF(name, f16, LanesF16, value, (gradient))

NNLIB_ACTIVATION(relu, max(num(0), x), select(gt(x, num(0)), g, num(0)))
NNLIB_ACTIVATION(leaky_relu, select(gt(x, num(0)), x, a* x), select(gt(x, num(0)), g, a* g))
NNLIB_COSTLY_ACTIVATION(elu, select(le(x, num(0)), a* expm1(c* x), b* x),
                        select(le(x, num(0)), g * a * c * exp(c * x), g* b))
NNLIB_COSTLY_ACTIVATION(gelu, x* normal(x).cdf, ([&] {
                          const auto p = normal(x);
                          return g * fma(x, p.density, p.cdf);
                        }()))
NNLIB_COSTLY_ACTIVATION(gelu_tanh, num(0.5) * x * (num(1) + tanh(gelu_inner(x))), ([&] {
                          const auto t = tanh(gelu_inner(x)), half = num(0.5);
                          const auto slope = num(0.7978845608028654) * fma(num(3 * 0.044715) * x, x, num(1));
                          return g * (half * (num(1) + t) + half * x * ((num(1) - t) * (num(1) + t)) * slope);
                        }()))
NNLIB_COSTLY_ACTIVATION(silu, x* sigmoid(x), ([&] {
                          const auto s = sigmoid(x);
                          return g * s * fma(x, num(1) - s, num(1));
                        }()))
NNLIB_COSTLY_ACTIVATION(mish, x* mish_factor(x), ([&] {
                          const auto t = mish_factor(x);
                          return g * fma(x * sigmoid(x), (num(1) - t) * (num(1) + t), t);
                        }()))
NNLIB_ACTIVATION(hardtanh, clamp_vec(x, a, b), inside(x, a, b, g))
NNLIB_ACTIVATION(hardswish, x* clamp_vec(x + num(3), num(0), num(6)) / num(6),
                 select(le(x, num(-3)), num(0), select(lt(x, num(3)), g* fma(x, num(1.0 / 3), num(0.5)), g)))
NNLIB_ACTIVATION(hardsigmoid, clamp_vec(x + num(3), num(0), num(6)) / num(6),
                 inside(x, num(-3), num(3), g / num(6)))
NNLIB_COSTLY_ACTIVATION(softplus, select(gt(x* a, b), x, log1p(exp(x* a)) / a),
                        select(gt(x* a, b), g, g* sigmoid(x* a)))
NNLIB_COSTLY_ACTIVATION(logsigmoid, min(num(0), x) - log1p(exp_below(-abs(x))), g* sigmoid(-x))
NNLIB_ACTIVATION(hardshrink, select(ge(x, -a) & le(x, a), num(0), x), select(ge(x, -a) & le(x, a), num(0), g))
NNLIB_ACTIVATION(softshrink, select(gt(x, a), x - a, select(lt(x, -a), x + a, x* num(0))),
                 select(ge(x, -a) & le(x, a), num(0), g))
NNLIB_ACTIVATION(threshold, select(le(x, a), b, x), select(le(x, a), num(0), g))
NNLIB_ACTIVATION(nan_to_num,
                 select(is_nan(x), a, select(eq(x, num(INFINITY)), b, select(eq(x, num(-INFINITY)), c, x))),
                 select(lt(abs(x), num(INFINITY)), g, num(0)))
// The functions themselves stand in elementwise.inl.
#define NNLIB_ACTIVATION_AGAIN(name, type_name, lanes, gradient)                                    \
  void name##_act_##type_name(int64_t n, const lanes::type* x, lanes::One, lanes::One, lanes::One,  \
                              lanes::type* y) {                                                     \
    name##_##type_name(n, x, y);                                                                    \
  }                                                                                                 \
  void name##_grad_##type_name(int64_t n, const lanes::type* pg, const lanes::type* px, lanes::One, \
                               lanes::One, lanes::One, lanes::type* py) {                           \
    map2<lanes>(n, pg, px, py, [](lanes::V g, lanes::V x) { return gradient; });                    \
  }
#define NNLIB_SMOOTH_STEP(name, gradient)                   \
  NNLIB_ACTIVATION_AGAIN(name, f32, LanesF32, (gradient))   \
  NNLIB_ACTIVATION_AGAIN(name, f64, LanesF64, (gradient))   \
  NNLIB_ACTIVATION_AGAIN(name, bf16, LanesBf16, (gradient)) \
  NNLIB_ACTIVATION_AGAIN(name, f16, LanesF16, (gradient))
NNLIB_SMOOTH_STEP(tanh, g*((all_lanes<decltype(x)>(1) - x) * (all_lanes<decltype(x)>(1) + x)))
NNLIB_SMOOTH_STEP(sigmoid, g*((all_lanes<decltype(x)>(1) - x) * x))
#undef NNLIB_SMOOTH_STEP
#undef NNLIB_ACTIVATION_AGAIN
#undef NNLIB_COSTLY_ACTIVATION
#undef NNLIB_ACTIVATION_THROUGH
#undef NNLIB_ACTIVATION
#undef NNLIB_ACTIVATION_OF

#define NNLIB_GLU(suffix, L)                                                                            \
  void glu_##suffix(int64_t n, const L::type* a, const L::type* b, L::type* y) {                        \
    map2<L>(n, a, b, y, [](L::V p, L::V q) { return p * sigmoid(q); });                                 \
  }                                                                                                     \
  void glu_grad_##suffix(int64_t n, const L::type* g, const L::type* a, const L::type* b, L::type* y) { \
    map3<L>(n, g, a, b, y, [](L::V p, L::V q, L::V r) {                                                 \
      const L::V s = sigmoid(r);                                                                        \
      return p * q * (s * (L::splat(1) - s));                                                           \
    });                                                                                                 \
  }
NNLIB_GLU(f32, LanesF32)
NNLIB_GLU(f64, LanesF64)
NNLIB_GLU(bf16, LanesBf16)
NNLIB_GLU(f16, LanesF16)
#undef NNLIB_GLU

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
