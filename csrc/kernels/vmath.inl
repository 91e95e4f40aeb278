// Elementary functions on Vec. The error stated is the largest seen against float64 over all exponents, in
// units in the last place (ulp), rounded up, with or without FMA; NaN gives NaN, infinities and subnormals
// are handled as in C.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The reduced argument of exp: x = n ln2 + r, |r| <= ln2/2, t = n + kRoundMagic; ln2 in two parts, so that n
// * hi is exact.
struct ExpReduced {
  Vec r, t;
};
NNLIB_INLINE Vec exp_rest(Vec x, Vec n) {
  return fnma(n, set1(-2.12194440e-4f), fnma(n, set1(0.693359375f), x));
}
NNLIB_INLINE ExpReduced exp_reduce(Vec x) {
  const Vec t = fma(x, set1(1.44269504f), set1(kRoundMagic));
  return {exp_rest(x, t - set1(kRoundMagic)), t};
}
// e^r - 1 for |r| <= ln2/2: a minimax polynomial, 3.1e-9 of e^r off at the most.
NNLIB_INLINE Vec expm1_reduced(Vec r) {
  Vec q = fma(set1(1.38143182e-3f), r, set1(8.36885162e-3f));
  q = fma(q, r, set1(4.16684002e-2f));
  q = fma(q, r, set1(1.66665196e-1f));
  return fma(fma(q, r, set1(4.99999940e-1f)), r * r, r);
}

// Where a register holds a table of 2^(j/8), exp reduces its argument to the nearest n / 8, which leaves less
// to the polynomial; elsewhere to a whole n.
constexpr bool kEighths = kWidth >= 8;
constexpr float kPowerMagic = kEighths ? kRoundMagic / 8 : kRoundMagic;
// e^x = 2^n (1 + q), t = n + kPowerMagic.
struct ExpParts {
  Vec q, t, n;
};
// e^r - 1 for what is left of x: with eighths |r| <= ln2/16, and 2.6e-8 of e^r off at the most.
NNLIB_INLINE Vec expm1_rest(Vec r) {
  if (!kEighths) return expm1_reduced(r);
  return fma(fma(set1(1.66668580e-1f), r, set1(5.00064552e-1f)), r * r, r);
}
NNLIB_INLINE ExpParts exp_parts(Vec x) {
  const Vec t = fma(x, set1(1.44269504f), set1(kPowerMagic)), n = t - set1(kPowerMagic);
  return {expm1_rest(exp_rest(x, n)), t, n};
}
// 2^(j/8), and the same less j in the place that it has in t's bits: added to these, it leaves 2^n.
alignas(64) constexpr float kEighthPowers[16] = {
    0x1p+0f,        0x1.172b84p+0f, 0x1.306fe0p+0f, 0x1.4bfdaep+0f, 0x1.6a09e6p+0f, 0x1.8ace54p+0f,
    0x1.ae89fap+0f, 0x1.d5818ep+0f, 0x1p+0f,        0x1.172b84p+0f, 0x1.306fe0p+0f, 0x1.4bfdaep+0f,
    0x1.6a09e6p+0f, 0x1.8ace54p+0f, 0x1.ae89fap+0f, 0x1.d5818ep+0f};
alignas(64) constexpr float kEighthAddends[16] = {
    0x1p+0f,        0x1.f72b84p-1f, 0x1.f06fe0p-1f, 0x1.ebfdaep-1f, 0x1.ea09e6p-1f, 0x1.eace54p-1f,
    0x1.ee89fap-1f, 0x1.f5818ep-1f, 0x1p+0f,        0x1.f72b84p-1f, 0x1.f06fe0p-1f, 0x1.ebfdaep-1f,
    0x1.ea09e6p-1f, 0x1.eace54p-1f, 0x1.ee89fap-1f, 0x1.f5818ep-1f};
// The bits of 2^n for -126 <= n < 128; none for n = -127.
NNLIB_INLINE IVec power_bits(Vec t) {
  if (!kEighths) return shl<23>(as_int(t)) + set1i(127 << 23);
  return as_int(permute(load(kEighthAddends), as_int(t))) + shl<20>(as_int(t));
}
#if !defined(__AVX512F__)
// 2^n (1 + q) for |n| <= 190: in two steps, so that subnormal results are rounded once. The second factor is
// 2^64 or 2^-64. A NaN in t makes some finite factors.
NNLIB_INLINE Vec exp_of(ExpParts e) {
  const IVec far = (shr<31>(as_int(e.n)) & set1i(-(128 << 23))) + set1i(64 << 23);
  const Vec s = as_float(power_bits(e.t) - far);
  return fma(s, e.q, s) * as_float(far + set1i(127 << 23));
}
// The same for n < 64.
NNLIB_INLINE Vec exp_of_low(ExpParts e) {
  const Vec s = as_float(power_bits(e.t) + set1i(64 << 23));
  return fma(s, e.q, s) * set1(5.421010862427522e-20f);  // 2^-64
}
#else
NNLIB_INLINE Vec exp_of(ExpParts e) {
  const Vec s = permute(load(kEighthPowers), as_int(e.t));
  return {_mm512_scalef_ps(fma(s, e.q, s).v, e.n.v)};  // which rounds n down
}
NNLIB_INLINE Vec exp_of_low(ExpParts e) { return exp_of(e); }
#endif
// Bounds past which exp is 0 or infinity; a NaN passes.
NNLIB_INLINE Vec exp_clamp(Vec x) { return max(set1(-104.f), min(set1(89.f), x)); }

// e^x; 2 ulp.
NNLIB_INLINE Vec exp(Vec x) { return exp_of(exp_parts(exp_clamp(x))); }

// e^x for x <= 43, as exp: what softmax and its kin need, where the maximum was taken away.
NNLIB_INLINE Vec exp_below(Vec x) { return exp_of_low(exp_parts(max(set1(-104.f), x))); }

// The same where x is often -infinity, as under a mask: 0 there, whose product costs nothing where one that
// underflows takes tens of cycles. Where e^x is subnormal the result is anything from 0 to 2^-126.
NNLIB_INLINE Vec exp_masked(Vec x) {
  const ExpParts e = exp_parts(max(set1(-88.0296919f), x));  // -127 ln 2
  const Vec s = as_float(power_bits(e.t));
  return fma(s, e.q, s);
}

// 2^x; 2 ulp. The fraction is taken from x itself, which is exact.
NNLIB_INLINE Vec exp2(Vec x) {
  x = max(set1(-151.f), min(set1(129.f), x));
  const Vec t = x + set1(kPowerMagic), n = t - set1(kPowerMagic);
  return exp_of({expm1_rest((x - n) * set1(0.693147181f)), t, n});
}

// e^x - 1 save for the sign of zero and the last bit of subnormals; 2 ulp. 2^n - 1 is exact where it matters.
// The halves are below infinity where their sum is not.
NNLIB_INLINE Vec expm1_near(Vec x) {
  const ExpReduced e = exp_reduce(exp_clamp(x));
  const Vec power = scale2(set1(0.5f), e.t), half = fma(power, expm1_reduced(e.r), power - set1(0.5f));
  return half + half;
}
// e^x - 1; 2 ulp.
NNLIB_INLINE Vec expm1(Vec x) { return select(lt(abs(x), set1(1e-30f)), x, expm1_near(x)); }

// x = 2^e (1 + m) with 1 + m in [sqrt(1/2), sqrt(2)), and ln(1 + m) = m + rest (Cephes' logf), for 0 < x <
// infinity.
struct LogParts {
  Vec e, m, rest;
};
NNLIB_INLINE LogParts log_parts(Vec x) {
  const Mask tiny = lt(x, set1(1.17549435e-38f));
  const Vec scaled = select(tiny, x * set1(8388608.f), x);
  const IVec u = as_int(scaled) - set1i(0x3f3504f3);  // sqrt(1/2)
  const IVec exponent = shr<23>(u) - select(tiny, set1i(23), set1i(0));
  const Vec m = as_float((u & set1i(0x007fffff)) + set1i(0x3f3504f3)) - set1(1.f), z = m * m;
  Vec p = fma(set1(7.0376836292e-2f), m, set1(-1.1514610310e-1f));
  p = fma(p, m, set1(1.1676998740e-1f));
  p = fma(p, m, set1(-1.2420140846e-1f));
  p = fma(p, m, set1(1.4249322787e-1f));
  p = fma(p, m, set1(-1.6668057665e-1f));
  p = fma(p, m, set1(2.0000714765e-1f));
  p = fma(p, m, set1(-2.4999993993e-1f));
  p = fma(p, m, set1(3.3333331174e-1f));
  return {to_float(exponent), m, z * fma(p, m, set1(-0.5f))};
}
// The logarithm y where x is infinite, zero, negative or no number.
NNLIB_INLINE Vec log_of_any(Vec x, Vec y) {
  y = select(lt(x, set1(INFINITY)), y, x);
  y = select(eq(x, zero()), set1(-INFINITY), y);
  return select(lt(x, zero()), set1(NAN), y);
}
// ln x; 1 ulp.
NNLIB_INLINE Vec log(Vec x) {
  const LogParts v = log_parts(x);
  const Vec y = v.m + fma(v.e, set1(-2.12194440e-4f), v.rest);
  return log_of_any(x, fma(v.e, set1(0.693359375f), y));
}
// log2 x; 2 ulp, exact for powers of two.
NNLIB_INLINE Vec log2(Vec x) {
  const LogParts v = log_parts(x);
  const Vec low = fma(v.m, set1(0.442695041f), v.rest * set1(1.44269504f));  // log2(e) - 1 = 0.44...
  return log_of_any(x, v.e + (v.m + low));
}

// ln(1 + x); 2 ulp. What 1 + x loses in rounding is added back, divided by the derivative's argument.
NNLIB_INLINE Vec log1p(Vec x) {
  const Vec u = set1(1.f) + x;
  const Vec lost = (x - (u - set1(1.f))) / u;
  const Vec y = log(u) + lost;
  return select(lt(abs(x), set1(INFINITY)) & gt(u, zero()), select(eq(x, zero()), x, y), log(u));
}

// tanh x; 2 ulp: a polynomial for small x (Cephes' tanhf), (1 - e^-2x) / (1 + e^-2x) for the rest.
NNLIB_INLINE Vec tanh(Vec x) {
  const Vec a = abs(x), z = x * x;
  Vec p = set1(-5.70498872745e-3f);
  p = fma(p, z, set1(2.06390887954e-2f));
  p = fma(p, z, set1(-5.37397155531e-2f));
  p = fma(p, z, set1(1.33314422036e-1f));
  p = fma(p, z, set1(-3.33332819422e-1f));
  const Vec small = fma(p * z, x, x);
  const Vec e = exp_masked(a * set1(-2.f));
  const Vec large = (set1(1.f) - e) / (set1(1.f) + e);
  return copysign(select(lt(a, set1(0.625f)), small, large), x);
}

// 1 / (1 + e^-x); 3 ulp. e^-|x| never overflows, and small results keep their precision.
NNLIB_INLINE Vec sigmoid(Vec x) {
  const Vec e = exp_below(-abs(x));
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
  const Vec large = copysign(set1(1.f) - exp_below(r), x);
  return select(lt(abs(x), set1(0.927734375f)), small, select(is_nan(x), x, large));
}

// The normal distribution: phi(x) = e^(-x^2/2) / sqrt(2 pi) and Phi(x), 2e-7 off at the most. Phi(-|x|) is
// e^(-x^2/2) times a polynomial in 1 / (1 + 0.3 |x|) (the form of Abramowitz and Stegun 7.1.26 with
// coefficients of its own), so small probabilities keep their digits: 5e-6 of themselves off down to -12.
struct Normal {
  Vec density, cdf;
};
NNLIB_INLINE Normal normal(Vec x) {
  // e^(-x^2/2) = 2^(n + f), times 2^64, which the constants that it meets take back: cheaper than exp.
  const Vec a = abs(x), square = min(set1(210.f), a * a), half_log2e = set1(-0.721347520f);
  const Vec t2 = fma(square, half_log2e, set1(kRoundMagic)),
            f = fma(square, half_log2e, set1(kRoundMagic) - t2);
  Vec e = fma(set1(1.53456916e-4f), f, set1(1.34000636e-3f));
  e = fma(e, f, set1(9.61849000e-3f));
  e = fma(e, f, set1(5.55032827e-2f));
  e = fma(e, f, set1(2.40226462e-1f));
  e = fma(e, f, set1(6.93147182e-1f));
  e = scale2_up64(fma(e, f, set1(1.f)), t2);
  const Vec t = set1(1.f) / fma(set1(0.3f), a, set1(1.f)), tt = t * t;
  const float unit = 5.421010862427522e-20f;  // 2^-64
  // Even and odd powers apart: half the latency.
  Vec p = fma(set1(-1.54519334e-1f * unit), tt, set1(-4.73033525e-2f * unit));
  Vec q = fma(set1(3.51767391e-2f * unit), tt, set1(2.00602248e-1f * unit));
  p = fma(p, tt, set1(1.01277612e-1f * unit));
  q = fma(q, tt, set1(1.24607503e-1f * unit));
  p = fma(p, tt, set1(1.19646192e-1f * unit));
  q = fma(q, tt, set1(1.20512389e-1f * unit));
  const Vec tail = fma(q, t, p) * t * e;
  return {e * set1(0.398942280f * unit), select(lt(x, zero()), tail, set1(1.f) - tail)};
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
