// y[i] = f(x[i]) over contiguous arrays; x and y may be the same array.
#pragma once
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Two vectors at a time keep the latency of one behind the other.
template <class F>
NNLIB_INLINE void map1(int64_t n, const float* x, float* y, F f) {
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const Vec a = f(load(x + i)), b = f(load(x + i + kWidth));
    store(y + i, a);
    store(y + i + kWidth, b);
  }
  for (; i < n; i += kWidth) store_n(y + i, f(load_n(x + i, n - i)), n - i);
}

template <class F>
NNLIB_INLINE void map2(int64_t n, const float* x, const float* y, float* z, F f) {
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const Vec a = f(load(x + i), load(y + i)), b = f(load(x + i + kWidth), load(y + i + kWidth));
    store(z + i, a);
    store(z + i + kWidth, b);
  }
  for (; i < n; i += kWidth) store_n(z + i, f(load_n(x + i, n - i), load_n(y + i, n - i)), n - i);
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
void addcdiv_f32(int64_t n, const float* x, const float* a, const float* b, float value, float* z) {
  const Vec v = set1(value);
  map3(n, x, a, b, z, [v](Vec p, Vec q, Vec r) { return fma(v, q / r, p); });
}

NNLIB_INLINE Vec rsqrt(Vec a) { return set1(1.f) / sqrt(a); }
NNLIB_INLINE Vec reciprocal(Vec a) { return set1(1.f) / a; }
NNLIB_INLINE Vec square(Vec a) { return a * a; }
NNLIB_INLINE Vec round(Vec a) { return round_even(a); }
NNLIB_INLINE Vec sign(Vec a) {  // 0 of both zeros
  return select(gt(a, zero()), set1(1.f), select(lt(a, zero()), set1(-1.f), a * zero() + zero()));
}

#define NNLIB_UNARY(op)                                \
  void op##_f32(int64_t n, const float* x, float* y) { \
    map1(n, x, y, [](Vec a) { return op(a); });        \
  }
NNLIB_UNARY(neg)
NNLIB_UNARY(exp)
NNLIB_UNARY(expm1)
NNLIB_UNARY(log)
NNLIB_UNARY(log1p)
NNLIB_UNARY(tanh)
NNLIB_UNARY(sigmoid)
NNLIB_UNARY(erf)
NNLIB_UNARY(sqrt)
NNLIB_UNARY(rsqrt)
NNLIB_UNARY(abs)
NNLIB_UNARY(reciprocal)
NNLIB_UNARY(square)
NNLIB_UNARY(floor)
NNLIB_UNARY(ceil)
NNLIB_UNARY(trunc)
NNLIB_UNARY(round)
NNLIB_UNARY(sign)
NNLIB_UNARY(exp2)
NNLIB_UNARY(log2)
#undef NNLIB_UNARY

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
