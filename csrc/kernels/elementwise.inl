// y[i] = f(x[i]) over contiguous arrays of any float type; x and y may be the
// same array.
#pragma once
#include "lane_types.h"
#include "vmath.inl"
#include "vmath_double.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Two vectors at a time keep the latency of one behind the other.
template <class L = LanesF32, class F>
NNLIB_INLINE void map1(int64_t n, const typename L::type* x, typename L::type* y, F f) {
  constexpr int64_t w = L::kLanes;
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    const typename L::V a = f(L::get(x + i)), b = f(L::get(x + i + w));
    L::put(y + i, a);
    L::put(y + i + w, b);
  }
  for (; i < n; i += w) L::put(y + i, f(L::get(x + i, n - i)), n - i);
}

template <class L = LanesF32, class F>
NNLIB_INLINE void map2(int64_t n, const typename L::type* x, const typename L::type* y, typename L::type* z,
                       F f) {
  constexpr int64_t w = L::kLanes;
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    const typename L::V a = f(L::get(x + i), L::get(y + i)), b = f(L::get(x + i + w), L::get(y + i + w));
    L::put(z + i, a);
    L::put(z + i + w, b);
  }
  for (; i < n; i += w) L::put(z + i, f(L::get(x + i, n - i), L::get(y + i, n - i)), n - i);
}

#define NNLIB_BINARY(name, expression)                                   \
  void name##_f32(int64_t n, const float* x, const float* y, float* z) { \
    map2(n, x, y, z, [](Vec a, Vec b) { return expression; });           \
  }
NNLIB_BINARY(add, a + b)
NNLIB_BINARY(sub, a - b)
NNLIB_BINARY(mul, a* b)
NNLIB_BINARY(div, a / b)
NNLIB_BINARY(maximum, max_nan(a, b))
NNLIB_BINARY(minimum, min_nan(a, b))
#undef NNLIB_BINARY

void axpy_f32(int64_t n, float a, const float* x, const float* y, float* z) {
  const Vec va = set1(a);
  map2(n, x, y, z, [va](Vec p, Vec q) { return fma(va, p, q); });
}

void clamp_f32(int64_t n, const float* x, float low, float high, float* y) {
  const Vec a = set1(low), b = set1(high);
  map1(n, x, y, [=](Vec v) { return min(b, max(a, v)); });
}

template <class F>
NNLIB_INLINE void map3(int64_t n, const float* x, const float* a, const float* b, float* z, F f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(z + i, f(load(x + i), load(a + i), load(b + i)));
  if (i < n) store_n(z + i, f(load_n(x + i, n - i), load_n(a + i, n - i), load_n(b + i, n - i)), n - i);
}
void addcmul_f32(int64_t n, const float* x, const float* a, const float* b, float value, float* z) {
  const Vec v = set1(value);
  map3(n, x, a, b, z, [v](Vec p, Vec q, Vec r) { return fma(v * q, r, p); });
}
// From the nearer end, so that weight 1 gives y exactly.
void lerp_f32(int64_t n, const float* x, const float* y, const float* weight, float* z) {
  map3(n, x, y, weight, z, [](Vec p, Vec q, Vec w) {
    const Vec step = q - p, half = set1(0.5f);
    return select(lt(w, half) & gt(w, -half), p + w * step, q - step * (set1(1.f) - w));
  });
}
void addcdiv_f32(int64_t n, const float* x, const float* a, const float* b, float value, float* z) {
  const Vec v = set1(value);
  map3(n, x, a, b, z, [v](Vec p, Vec q, Vec r) { return fma(v, q / r, p); });
}

template <class V>
NNLIB_INLINE V rsqrt(V a) {
  return all_lanes<V>(1) / sqrt(a);
}
template <class V>
NNLIB_INLINE V reciprocal(V a) {
  return all_lanes<V>(1) / a;
}
template <class V>
NNLIB_INLINE V square(V a) {
  return a * a;
}
template <class V>
NNLIB_INLINE V round(V a) {
  return round_even(a);
}
template <class V>
NNLIB_INLINE V frac(V a) {
  return a - trunc(a);
}
template <class V>
NNLIB_INLINE V sign(V a) {  // 0 of both zeros
  const V zero = all_lanes<V>(0);
  return select(gt(a, zero), all_lanes<V>(1), select(lt(a, zero), all_lanes<V>(-1), a * zero + zero));
}

#define NNLIB_UNARY_OF(op, suffix, lanes)                               \
  void op##_##suffix(int64_t n, const lanes::type* x, lanes::type* y) { \
    map1<lanes>(n, x, y, [](lanes::V a) { return op(a); });             \
  }
#define NNLIB_UNARY(op)               \
  NNLIB_UNARY_OF(op, f32, LanesF32)   \
  NNLIB_UNARY_OF(op, f64, LanesF64)   \
  NNLIB_UNARY_OF(op, bf16, LanesBf16) \
  NNLIB_UNARY_OF(op, f16, LanesF16)
// Of 16 bits the sign is one, whatever the rest means.
#define NNLIB_SIGN_BIT(op, expression)                                                \
  NNLIB_UNARY_OF(op, f32, LanesF32)                                                   \
  NNLIB_UNARY_OF(op, f64, LanesF64)                                                   \
  void op##_bf16(int64_t n, const uint16_t* x, uint16_t* y) {                         \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) y[i] = uint16_t(expression); \
  }                                                                                   \
  void op##_f16(int64_t n, const uint16_t* x, uint16_t* y) { op##_bf16(n, x, y); }
NNLIB_SIGN_BIT(neg, x[i] ^ 0x8000)
NNLIB_SIGN_BIT(abs, x[i] & 0x7fff)
#undef NNLIB_SIGN_BIT
NNLIB_UNARY(exp)
NNLIB_UNARY(expm1)
NNLIB_UNARY(log)
NNLIB_UNARY(log1p)
NNLIB_UNARY(tanh)
NNLIB_UNARY(sigmoid)
NNLIB_UNARY(erf)
NNLIB_UNARY(sqrt)
NNLIB_UNARY(rsqrt)
NNLIB_UNARY(reciprocal)
NNLIB_UNARY(square)
NNLIB_UNARY(floor)
NNLIB_UNARY(ceil)
NNLIB_UNARY(trunc)
NNLIB_UNARY(round)
NNLIB_UNARY(sign)
NNLIB_UNARY(frac)
NNLIB_UNARY(exp2)
NNLIB_UNARY(log2)
#undef NNLIB_UNARY
#undef NNLIB_UNARY_OF

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
