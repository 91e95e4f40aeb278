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

// Of three operands, the last of which may be in the compute type W.
template <class L, class W = L, class F>
NNLIB_INLINE void map3(int64_t n, const typename L::type* x, const typename L::type* a,
                       const typename W::type* b, typename L::type* z, F f) {
  constexpr int64_t w = L::kLanes;
  int64_t i = 0;
  for (; i + w <= n; i += w) L::put(z + i, f(L::get(x + i), L::get(a + i), W::get(b + i)));
  const int64_t m = n - i;
  if (m > 0) L::put(z + i, f(L::get(x + i, m), L::get(a + i, m), W::get(b + i, m)), m);
}
#define NNLIB_TERNARY(suffix, L, W)                                                                     \
  void addcmul_##suffix(int64_t n, const L::type* x, const L::type* a, const L::type* b, L::One value,  \
                        L::type* z) {                                                                   \
    const auto v = L::splat(value);                                                                     \
    map3<L>(n, x, a, b, z, [v](L::V p, L::V q, L::V r) { return fma(v * q, r, p); });                   \
  }                                                                                                     \
  void addcdiv_##suffix(int64_t n, const L::type* x, const L::type* a, const L::type* b, L::One value,  \
                        L::type* z) {                                                                   \
    const auto v = L::splat(value);                                                                     \
    map3<L>(n, x, a, b, z, [v](L::V p, L::V q, L::V r) { return fma(v, q / r, p); });                   \
  }                                                                                                     \
  /* From the nearer end, so that weight 1 gives y exactly. */                                          \
  void lerp_##suffix(int64_t n, const L::type* x, const L::type* y, const L::One* weight, L::type* z) { \
    map3<L, W>(n, x, y, weight, z, [](L::V p, L::V q, L::V t) {                                         \
      const L::V step = q - p, half = L::splat(0.5f);                                                   \
      return select(lt(t, half) & gt(t, -half), p + t * step, q - step * (L::splat(1.f) - t));          \
    });                                                                                                 \
  }
NNLIB_TERNARY(f32, LanesF32, LanesF32)
NNLIB_TERNARY(f64, LanesF64, LanesF64)
NNLIB_TERNARY(bf16, LanesBf16, LanesF32)
NNLIB_TERNARY(f16, LanesF16, LanesF32)
#undef NNLIB_TERNARY

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

// Costly functions of 16-bit floats go through the floats' kernel, a block at a time: another copy of their
// code would gain nothing.
constexpr int64_t kThrough = 256;
void bf16_to_f32(int64_t n, const uint16_t* x, float* y);
void f32_to_bf16(int64_t n, const float* x, uint16_t* y);
void f16_to_f32(int64_t n, const uint16_t* x, float* y);
void f32_to_f16(int64_t n, const float* x, uint16_t* y);
template <class L>
struct Through {
  static void read(int64_t n, const uint16_t* x, float* y) {
    L::kBf16 ? bf16_to_f32(n, x, y) : f16_to_f32(n, x, y);
  }
  static void write(int64_t n, const float* x, uint16_t* y) {
    L::kBf16 ? f32_to_bf16(n, x, y) : f32_to_f16(n, x, y);
  }
  // y = f(x), and y = f(x, z), where f also takes some numbers.
  template <class... A>
  static void map(int64_t n, const uint16_t* x, A... numbers, uint16_t* y,
                  void (*f)(int64_t, const float*, A..., float*)) {
    float part[kThrough];
    for (int64_t i = 0; i < n; i += kThrough) {
      const int64_t m = n - i < kThrough ? n - i : kThrough;
      read(m, x + i, part);
      f(m, part, numbers..., part);
      write(m, part, y + i);
    }
  }
  template <class... A>
  static void map2(int64_t n, const uint16_t* x, const uint16_t* z, A... numbers, uint16_t* y,
                   void (*f)(int64_t, const float*, const float*, A..., float*)) {
    float part[kThrough], other[kThrough];
    for (int64_t i = 0; i < n; i += kThrough) {
      const int64_t m = n - i < kThrough ? n - i : kThrough;
      read(m, x + i, part);
      read(m, z + i, other);
      f(m, part, other, numbers..., part);
      write(m, part, y + i);
    }
  }
};

#define NNLIB_UNARY_OF(op, suffix, lanes)                               \
  void op##_##suffix(int64_t n, const lanes::type* x, lanes::type* y) { \
    map1<lanes>(n, x, y, [](lanes::V a) { return op(a); });             \
  }
#define NNLIB_COSTLY(op)                                      \
  NNLIB_UNARY_OF(op, f32, LanesF32)                           \
  NNLIB_UNARY_OF(op, f64, LanesF64)                           \
  void op##_bf16(int64_t n, const uint16_t* x, uint16_t* y) { \
    Through<LanesBf16>::map<>(n, x, y, op##_f32);             \
  }                                                           \
  void op##_f16(int64_t n, const uint16_t* x, uint16_t* y) { Through<LanesF16>::map<>(n, x, y, op##_f32); }
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
NNLIB_COSTLY(exp)
NNLIB_COSTLY(expm1)
NNLIB_COSTLY(log)
NNLIB_COSTLY(log1p)
NNLIB_COSTLY(tanh)
NNLIB_COSTLY(sigmoid)
NNLIB_COSTLY(erf)
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
NNLIB_COSTLY(exp2)
NNLIB_COSTLY(log2)
#undef NNLIB_UNARY
#undef NNLIB_COSTLY
#undef NNLIB_UNARY_OF

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
