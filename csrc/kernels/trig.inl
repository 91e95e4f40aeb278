// Sine, cosine and tangent (the polynomials of Cephes' sinf and cosf, S.
// Moshier) and the inverse ones. Errors as in vmath.inl.
#pragma once
#include "elementwise.inl"
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Up to here the parts of n pi/2 are exact but the last; beyond it C's
// functions serve, one value at a time.
constexpr float kTrigLimit = 8192.f;

struct SinCos {
  Vec sine, cosine;  // of the rest after the quadrant
  IVec quadrant;
};
NNLIB_INLINE SinCos sincos_reduced(Vec x) {
  const Vec t = fma(x, set1(0.636619772f), set1(kRoundMagic)), n = t - set1(kRoundMagic);
  Vec r = fnma(n, set1(1.5703125f), x);
  r = fnma(n, set1(0.0004837512969970703f), r);
  r = fnma(n, set1(7.549533620476723e-08f), r);
  r = fnma(n, set1(2.563344151594519e-12f), r);
  const Vec z = r * r;
  Vec s = fma(set1(-1.9515295891e-4f), z, set1(8.3321608736e-3f));
  s = fma(s, z, set1(-1.6666654611e-1f));
  Vec c = fma(set1(2.443315711809948e-5f), z, set1(-1.388731625493765e-3f));
  c = fma(c, z, set1(4.166664568298827e-2f));
  return {fma(s * z, r, r), fma(c, z * z, fnma(set1(0.5f), z, set1(1.f))), as_int(t)};
}
NNLIB_INLINE Mask odd(IVec q) { return eq(q & set1i(1), set1i(1)); }
// sin x for |x| <= kTrigLimit; 2 ulp.
NNLIB_INLINE Vec sin_near(Vec x) {
  const SinCos v = sincos_reduced(x);
  const Vec y = select(odd(v.quadrant), v.cosine, v.sine);
  return as_float(as_int(y) ^ shl<30>(v.quadrant & set1i(2)));
}
// cos x; 3 ulp.
NNLIB_INLINE Vec cos_near(Vec x) {
  const SinCos v = sincos_reduced(x);
  const Vec y = select(odd(v.quadrant), v.sine, v.cosine);
  return as_float(as_int(y) ^ shl<30>((v.quadrant + set1i(1)) & set1i(2)));
}
// tan x; 4 ulp.
NNLIB_INLINE Vec tan_near(Vec x) {
  const SinCos v = sincos_reduced(x);
  const Mask swap = odd(v.quadrant);
  return select(swap, -v.cosine, v.sine) / select(swap, v.sine, v.cosine);
}

// Every lane by C's function: large arguments and what is no number.
template <float (*scalar)(float)>
__attribute__((noinline)) Vec each_lane(Vec x) {
  float v[kWidth];
  store(v, x);
  for (int i = 0; i < kWidth; ++i) v[i] = scalar(v[i]);
  return load(v);
}
#define NNLIB_TRIG(name, scalar)                                                                           \
  void name##_f32(int64_t n, const float* x, float* y) {                                                   \
    map1(n, x, y,                                                                                          \
         [](Vec v) { return all(le(abs(v), set1(kTrigLimit))) ? name##_near(v) : each_lane<scalar>(v); }); \
  }
NNLIB_TRIG(sin, sinf)
NNLIB_TRIG(cos, cosf)
NNLIB_TRIG(tan, tanf)
#undef NNLIB_TRIG

// atan x; 3 ulp (Cephes' atanf): the argument goes below tan(pi/8) by -1/x or
// (x - 1) / (x + 1).
NNLIB_INLINE Vec atan(Vec x) {
  const Vec a = abs(x), one = set1(1.f);
  const Mask far = gt(a, set1(2.414213562f)), mid = gt(a, set1(0.4142135623f));
  const Vec r = select(far, -one, select(mid, a - one, a)) / select(far, a, select(mid, a + one, one));
  const Vec base = select(far, set1(1.57079633f), select(mid, set1(0.785398163f), zero())), z = r * r;
  Vec p = fma(set1(8.05374449538e-2f), z, set1(-1.38776856032e-1f));
  p = fma(p, z, set1(1.99777106478e-1f));
  p = fma(p, z, set1(-3.33329491539e-1f));
  return copysign(base + fma(p * z, r, r), x);
}

// asin a for 0 <= a <= 1/2, and from (1 - a) / 2 for the rest; 3 ulp (Cephes'
// asinf). NaN past 1.
struct Asin {
  Vec value;  // asin a, or asin sqrt((1 - a) / 2)
  Mask far;
};
NNLIB_INLINE Asin asin_parts(Vec a) {
  const Mask far = gt(a, set1(0.5f));
  const Vec z = select(far, set1(0.5f) * (set1(1.f) - a), a * a), r = select(far, sqrt(z), a);
  Vec p = fma(set1(4.2163199048e-2f), z, set1(2.4181311049e-2f));
  p = fma(p, z, set1(4.5470025998e-2f));
  p = fma(p, z, set1(7.4953002686e-2f));
  p = fma(p, z, set1(1.6666752422e-1f));
  return {fma(p * z, r, r), far};
}
NNLIB_INLINE Vec asin(Vec x) {
  const Asin v = asin_parts(abs(x));
  return copysign(select(v.far, fnma(set1(2.f), v.value, set1(1.57079633f)), v.value), x);
}
NNLIB_INLINE Vec acos(Vec x) {
  const Asin v = asin_parts(abs(x));
  const Vec twice = v.value + v.value, near = set1(1.57079633f) - copysign(v.value, x);
  return select(v.far, select(lt(x, zero()), set1(3.14159265f) - twice, twice), near);
}

// e^x / 2 for x >= 0, which overflows where sinh and cosh do.
NNLIB_INLINE Vec half_exp(Vec x) {
  const ExpParts e = exp_parts(min(set1(91.f), x));
  return exp_of({e.q, e.t - set1(1.f), e.n - set1(1.f)});
}
// sinh 3 ulp, cosh 2.
NNLIB_INLINE Vec sinh(Vec x) {
  const Vec a = abs(x), e = expm1_near(min(set1(80.f), a));
  const Vec near = set1(0.5f) * (e + e / (e + set1(1.f)));
  return copysign(select(lt(a, set1(40.f)), near, half_exp(a)), x);
}
NNLIB_INLINE Vec cosh(Vec x) {
  const Vec e = half_exp(abs(x));
  return e + set1(0.25f) / e;
}

void sin_f64(int64_t n, const double* x, double* y) {
  map1<LanesF64>(n, x, y, [](VecD a) { return sin(a); });
}
void cos_f64(int64_t n, const double* x, double* y) {
  map1<LanesF64>(n, x, y, [](VecD a) { return cos(a); });
}

#define NNLIB_UNARY(op)                                \
  void op##_f32(int64_t n, const float* x, float* y) { \
    map1(n, x, y, [](Vec a) { return op(a); });        \
  }
NNLIB_UNARY(atan)
NNLIB_UNARY(asin)
NNLIB_UNARY(acos)
NNLIB_UNARY(sinh)
NNLIB_UNARY(cosh)
#undef NNLIB_UNARY

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
