// Elementary functions on Vec. The error stated is the largest seen against float64 over all exponents, in
// units in the last place (ulp), rounded up, with or without FMA; NaN gives NaN, infinities and subnormals
// are handled as in C.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The reduced argument of exp: x = n ln2 + r, |r| <= ln2/2; ln2 in two parts, so that n * hi is exact.
struct ExpParts {
  Vec r;
  IVec n;
};
NNLIB_INLINE ExpParts exp_reduce(Vec x) {
  const Vec n = round_even(x * set1(1.44269504f));
  return {fnma(n, set1(-2.12194440e-4f), fnma(n, set1(0.693359375f), x)), to_int(n)};
}
// expm1(r) for |r| <= ln2/2 (the polynomial of Cephes' expf).
NNLIB_INLINE Vec expm1_reduced(Vec r) {
  Vec p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  return fma(p, r * r, r);
}
// Bounds past which exp is 0 or infinity; a NaN passes.
NNLIB_INLINE Vec exp_clamp(Vec x) { return max(set1(-104.f), min(set1(89.f), x)); }

// e^x; 1 ulp.
NNLIB_INLINE Vec exp(Vec x) {
  const ExpParts e = exp_reduce(exp_clamp(x));
  return scale2(expm1_reduced(e.r) + set1(1.f), e.n);
}

// e^x - 1; 2 ulp. 2^n - 1 is exact where it matters; above 88 the 1 is lost and 2^n would overflow.
NNLIB_INLINE Vec expm1(Vec x) {
  const ExpParts e = exp_reduce(exp_clamp(x));
  const Vec power = scale2(set1(1.f), e.n);
  const Vec near = fma(power, expm1_reduced(e.r), power - set1(1.f));
  return select(eq(x, zero()), x, select(gt(x, set1(88.f)), exp(x), near));
}

// ln x; 1 ulp (Cephes' logf). The mantissa is brought into [sqrt(1/2), sqrt(2)).
NNLIB_INLINE Vec log(Vec x) {
  const Mask tiny = lt(x, set1(1.17549435e-38f));
  const Vec scaled = select(tiny, x * set1(8388608.f), x);
  const IVec u = as_int(scaled) - set1i(0x3f3504f3);  // sqrt(1/2)
  const IVec exponent = shr<23>(u) - select(tiny, set1i(23), set1i(0));
  const Vec m = as_float((u & set1i(0x007fffff)) + set1i(0x3f3504f3)) - set1(1.f);
  const Vec e = to_float(exponent), z = m * m;
  Vec p = set1(7.0376836292e-2f);
  p = fma(p, m, set1(-1.1514610310e-1f));
  p = fma(p, m, set1(1.1676998740e-1f));
  p = fma(p, m, set1(-1.2420140846e-1f));
  p = fma(p, m, set1(1.4249322787e-1f));
  p = fma(p, m, set1(-1.6668057665e-1f));
  p = fma(p, m, set1(2.0000714765e-1f));
  p = fma(p, m, set1(-2.4999993993e-1f));
  p = fma(p, m, set1(3.3333331174e-1f));
  Vec y = fma(p * m, z, e * set1(-2.12194440e-4f));
  y = m + fnma(set1(0.5f), z, y);
  y = fma(e, set1(0.693359375f), y);
  const Vec inf = set1(INFINITY);
  y = select(lt(x, inf), y, x);  // infinity and NaN
  y = select(eq(x, zero()), -inf, y);
  return select(lt(x, zero()), set1(NAN), y);
}

// ln(1 + x); 2 ulp. What 1 + x loses in rounding is added back, divided by the derivative's argument.
NNLIB_INLINE Vec log1p(Vec x) {
  const Vec u = set1(1.f) + x;
  const Vec lost = (x - (u - set1(1.f))) / u;
  const Vec y = log(u) + lost;
  return select(lt(abs(x), set1(INFINITY)) & gt(u, zero()), select(eq(x, zero()), x, y), log(u));
}

// tanh x; 2 ulp: a polynomial for small x (Cephes' tanhf), 1 - 2 / (e^2x + 1) for the rest.
NNLIB_INLINE Vec tanh(Vec x) {
  const Vec a = abs(x), z = x * x;
  Vec p = set1(-5.70498872745e-3f);
  p = fma(p, z, set1(2.06390887954e-2f));
  p = fma(p, z, set1(-5.37397155531e-2f));
  p = fma(p, z, set1(1.33314422036e-1f));
  p = fma(p, z, set1(-3.33332819422e-1f));
  const Vec small = fma(p * z, x, x);
  const Vec large = set1(1.f) - set1(2.f) / (exp(a + a) + set1(1.f));
  return copysign(select(lt(a, set1(0.625f)), small, large), x);
}

// 1 / (1 + e^-x); 3 ulp. e^-|x| never overflows, and small results keep their precision.
NNLIB_INLINE Vec sigmoid(Vec x) {
  const Vec e = exp(-abs(x));
  return select(lt(x, zero()), e, set1(1.f)) / (set1(1.f) + e);
}

// erf x; 2 ulp (after N. Juffa): an odd polynomial for |x| < 0.92, 1 - e^poly(|x|) beyond.
NNLIB_INLINE Vec erf(Vec x) {
  const Vec s = x * x, t = min(set1(4.f), abs(x));
  Vec q = set1(-5.96761703e-4f);
  q = fma(q, s, set1(4.99119423e-3f));
  q = fma(q, s, set1(-2.67681349e-2f));
  q = fma(q, s, set1(1.12819925e-1f));
  q = fma(q, s, set1(-3.76125336e-1f));
  q = fma(q, s, set1(1.28379166e-1f));
  const Vec small = fma(q, x, x);
  const Vec tt = t * t;
  Vec r = fma(set1(-1.72853470e-5f), t, set1(3.83197126e-4f));
  const Vec u = fma(set1(-3.88396438e-3f), t, set1(2.42546219e-2f));
  r = fma(r, tt, u);
  r = fma(r, t, set1(-1.06777877e-1f));
  r = fma(r, t, set1(-6.34846687e-1f));
  r = fma(r, t, set1(-1.28717512e-1f));
  r = fma(r, t, -t);
  const Vec large = copysign(set1(1.f) - exp(r), x);
  return select(lt(abs(x), set1(0.927734375f)), small, select(is_nan(x), x, large));
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
