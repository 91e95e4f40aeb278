// The elementary functions of vmath.inl and trig.inl on VecD. The errors stated are the largest seen against
// long double, in units in the last place; NaN gives NaN, infinities and subnormals are handled as in C. The
// polynomials of log, sin and cos are those of Sun's fdlibm, the others Taylor's.
#pragma once
#include "vec_double.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr double kRoundMagicD = 6755399441055744.0;  // 1.5 * 2^52
constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;

// The sum of c[0] x^(n - 1) + ... + c[n - 1]: even and odd powers beside each other, so that half as many
// steps wait for one another.
template <int n>
NNLIB_INLINE VecD polynomial(VecD x, const double (&c)[n]) {
  const VecD xx = x * x;
  VecD last = set1d(c[n % 2 ? 0 : 1]), other = set1d(c[n % 2 ? 1 : 0]);
  for (int k = n % 2 ? 2 : 3; k < n; k += 2) last = fma(last, xx, set1d(c[k]));
  for (int k = n % 2 ? 3 : 2; k < n; k += 2) other = fma(other, xx, set1d(c[k]));
  return fma(other, x, last);
}

// x = n ln2 + r, |r| <= ln2/2, t = n + kRoundMagicD.
struct ExpPartsD {
  VecD r, t;
};
NNLIB_INLINE ExpPartsD exp_reduce(VecD x) {
  const VecD t = x * set1d(1.44269504088896338700) + set1d(kRoundMagicD), n = t - set1d(kRoundMagicD);
  return {fnma(n, set1d(kLn2Low), fnma(n, set1d(kLn2High), x)), t};
}
// e^r - 1
NNLIB_INLINE VecD expm1_reduced(VecD r) {
  static constexpr double kTaylor[] = {1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0,
                                       1 / 362880.0,     1 / 40320.0,     1 / 5040.0,     1 / 720.0,
                                       1 / 120.0,        1 / 24.0,        1 / 6.0,        0.5};
  const VecD q = polynomial(r, kTaylor);
  return fma(q * r, r, r);
}
// 2^n for t = n + kRoundMagicD and |n| <= 1022; 0 for n = -1023.
NNLIB_INLINE VecD power_of_two(VecD t) { return from_bits((bits_of(t) + 1023) << 52); }
// p 2^n: in two steps, so that subnormal results are rounded once.
NNLIB_INLINE VecD scale(VecD p, VecD t) {
  const VecD n = t - set1d(kRoundMagicD), half = n * set1d(0.5) + set1d(kRoundMagicD);
  const VecD rest = n - (half - set1d(kRoundMagicD));
  return p * power_of_two(half) * power_of_two(rest + set1d(kRoundMagicD));
}
NNLIB_INLINE VecD within(VecD x, double low, double high) {
  return max(set1d(low), min(set1d(high), x));  // a NaN passes
}

// e^x; 1 ulp.
NNLIB_INLINE VecD exp(VecD x) {
  const ExpPartsD e = exp_reduce(within(x, -746, 710));
  return scale(set1d(1) + expm1_reduced(e.r), e.t);
}
// e^x for x <= 600, as exp: one step of scaling, by 2^(n + 64), and a multiplication that rounds.
NNLIB_INLINE VecD exp_below(VecD x) {
  const ExpPartsD e = exp_reduce(max(set1d(-746), x));
  return (set1d(1) + expm1_reduced(e.r)) * power_of_two(e.t + set1d(64)) *
         set1d(5.421010862427522e-20);  // 2^-64
}
// The same where x is often -infinity, as for floats.
NNLIB_INLINE VecD exp_masked(VecD x) {
  const ExpPartsD e = exp_reduce(max(set1d(-709.08956571282405), x));  // -1023 ln 2
  return (set1d(1) + expm1_reduced(e.r)) * power_of_two(e.t);
}
// 2^x; 2 ulp. The fraction is taken from x itself, which is exact.
NNLIB_INLINE VecD exp2(VecD x) {
  x = within(x, -1076, 1025);
  const VecD t = x + set1d(kRoundMagicD), f = x - (t - set1d(kRoundMagicD));
  return scale(set1d(1) + expm1_reduced(f * set1d(0.693147180559945309)), t);
}
// e^x - 1; 2 ulp. Below -60 nothing is left of e^x, above 709 of the 1.
NNLIB_INLINE VecD expm1(VecD x) {
  const ExpPartsD e = exp_reduce(within(x, -60, 709));
  const VecD power = power_of_two(e.t);
  const VecD y = fma(power, expm1_reduced(e.r), power - set1d(1));
  return select(eq(x, set1d(0)), x, select(gt(x, set1d(709)), exp(x), y));
}

// x = 2^e (1 + m) with 1 + m in [sqrt(1/2), sqrt(2)), and ln(1 + m) = m - rest,
// for 0 < x < infinity.
struct LogPartsD {
  VecD e, m, half_square, tail;  // rest = half_square - tail
};
NNLIB_INLINE LogPartsD log_parts(VecD x) {
  constexpr uint64_t root = 0x3fe6a09e667f3bcd,
                     one = 0x3ff0000000000000;  // sqrt(1/2), 1
  const MaskD tiny = lt(x, set1d(2.2250738585072014e-308));
  const LaneBits u = bits_of(select(tiny, x * set1d(18014398509481984.0), x)) + (one - root);  // 2^54
  const VecD biased = from_bits((u >> 52) | 0x4330000000000000);  // 2^52 + exponent
  const VecD e =
      biased - select(tiny, set1d(4503599627370496.0 + 1023 + 54), set1d(4503599627370496.0 + 1023));
  const VecD m = from_bits((u & 0x000fffffffffffff) + root) - set1d(1);
  const VecD s = m / (set1d(2) + m), z = s * s, half_square = set1d(0.5) * m * m;
  VecD p = fma(z, set1d(1.479819860511658591e-01), set1d(1.531383769920937332e-01));
  p = fma(p, z, set1d(1.818357216161805012e-01));
  p = fma(p, z, set1d(2.222219843214978396e-01));
  p = fma(p, z, set1d(2.857142874366239149e-01));
  p = fma(p, z, set1d(3.999999999940941908e-01));
  p = fma(p, z, set1d(6.666666666666735130e-01));
  return {e, m, half_square, s * (half_square + z * p)};
}
NNLIB_INLINE VecD log_of_any(VecD x, VecD y) {
  y = select(lt(x, set1d(INFINITY)), y, x);
  y = select(eq(x, set1d(0)), set1d(-INFINITY), y);
  return select(lt(x, set1d(0)), set1d(NAN), y);
}
// ln x; 1 ulp.
NNLIB_INLINE VecD log(VecD x) {
  const LogPartsD v = log_parts(x);
  const VecD y = v.e * set1d(kLn2High) - ((v.half_square - (v.tail + v.e * set1d(kLn2Low))) - v.m);
  return log_of_any(x, y);
}
// log2 x; 2 ulp, exact for powers of two.
NNLIB_INLINE VecD log2(VecD x) {
  const LogPartsD v = log_parts(x);
  return log_of_any(x, fma(v.m - (v.half_square - v.tail), set1d(1.44269504088896338700), v.e));
}
// ln(1 + x); 2 ulp. What 1 + x loses in rounding is added back, divided by the
// derivative's argument.
NNLIB_INLINE VecD log1p(VecD x) {
  const VecD u = set1d(1) + x, whole = log(u);
  const VecD y = whole + (x - (u - set1d(1))) / u;
  return select(lt(abs(x), set1d(INFINITY)) & gt(u, set1d(0)), select(eq(x, set1d(0)), x, y), whole);
}

// tanh x; 3 ulp: from e^2|x| - 1, of which nothing but a 1 is left from 20 on.
NNLIB_INLINE VecD tanh(VecD x) {
  const VecD t = expm1(min(set1d(40), abs(x) + abs(x)));
  return copysign(t / (t + set1d(2)), x);
}
// 1 / (1 + e^-x); 3 ulp. e^-|x| never overflows, and small results keep their
// precision.
NNLIB_INLINE VecD sigmoid(VecD x) {
  const VecD e = exp_below(-abs(x));
  return select(lt(x, set1d(0)), e, set1d(1)) / (set1d(1) + e);
}

// x = n pi/2 + high + low, |high| <= pi/4, for |x| up to kNearTurns: pi/2 in
// parts of 33 bits, of which n times is exact.
constexpr double kNearTurns = 823549.0;  // 2^19 pi/2
struct TurnD {
  VecD n, t, high, low;  // t = n + kRoundMagicD
};
NNLIB_INLINE TurnD quarter_turns(VecD x) {
  const VecD t = x * set1d(6.36619772367581382433e-01) + set1d(kRoundMagicD), n = t - set1d(kRoundMagicD);
  const VecD first = x - n * set1d(1.57079632673412561417e+00), w = n * set1d(6.07710050630396597660e-11);
  const VecD second = first - w;
  const VecD rest = n * set1d(2.02226624879595063154e-21) - ((first - second) - w);
  const VecD high = second - rest;
  return {n, t, high, (second - high) - rest};
}
NNLIB_INLINE VecD sin_turned(TurnD a) {
  const VecD x = a.high, z = x * x, v = z * x;
  VecD r = fma(z, set1d(1.58969099521155010221e-10), set1d(-2.50507602534068634195e-08));
  r = fma(r, z, set1d(2.75573137070700676789e-06));
  r = fma(r, z, set1d(-1.98412698298579493134e-04));
  r = fma(r, z, set1d(8.33333333332248946124e-03));
  return x - ((z * (set1d(0.5) * a.low - v * r) - a.low) - v * set1d(-1.66666666666666324348e-01));
}
NNLIB_INLINE VecD cos_turned(TurnD a) {
  const VecD z = a.high * a.high, half = set1d(0.5) * z, w = set1d(1) - half;
  VecD r = fma(z, set1d(-1.13596475577881948265e-11), set1d(2.08757232129817482790e-09));
  r = fma(r, z, set1d(-2.75573143513906633035e-07));
  r = fma(r, z, set1d(2.48015872894767294178e-05));
  r = fma(r, z, set1d(-1.38888888888741095749e-03));
  r = fma(r, z, set1d(4.16666666666666019037e-02));
  return w + (((set1d(1) - w) - half) + (z * (z * r) - a.high * a.low));
}
// C's function in the lanes of x that are too far from zero.
template <class F>
NNLIB_INLINE VecD far_lanes(VecD x, VecD near, F far) {
  if (!any(~le(abs(x), set1d(kNearTurns)))) return near;
  double from[kWidthD], to[kWidthD];
  store(from, x);
  store(to, near);
  for (int k = 0; k < kWidthD; ++k)
    if (!(__builtin_fabs(from[k]) <= kNearTurns)) to[k] = far(from[k]);
  return load(to);
}
// The sine `quarters` further on.
template <class F>
NNLIB_INLINE VecD sine(VecD x, uint64_t quarters, F far) {
  const TurnD a = quarter_turns(x);
  const LaneBits turn = bits_of(a.t) + quarters;
  const MaskD odd = {LaneTruth((turn & 1) != 0)};
  const VecD y = select(odd, cos_turned(a), sin_turned(a));
  return far_lanes(x, from_bits(bits_of(y) ^ ((turn & 2) << 62)), far);
}
// sin x, cos x; 1 ulp.
NNLIB_INLINE VecD sin(VecD x) {
  const VecD y = sine(x, 0, [](double v) { return __builtin_sin(v); });
  return select(eq(x, set1d(0)), x, y);
}
NNLIB_INLINE VecD cos(VecD x) {
  return sine(x, 1, [](double v) { return __builtin_cos(v); });
}

// e^(-a^2) (1 + 2 a) erfcx a / (1 + 2 a) for a >= 0, erfcx a = e^(a^2) erfc a:
// (1 + 2 a) erfcx a is close to a polynomial in (a - 4) / (a + 4) (the form of
// Schonfelder, fitted anew). `square` is a^2 and `lost` what its rounding took.
constexpr double kErfcx[] = {
    -1.8206098680308682e-09, -1.3670989863347383e-08, -7.71541861441783e-09,  1.1534943745754157e-07,
    6.270727157198311e-08,   -8.351619688696847e-07,  3.0135049944875397e-07, 5.7178872846321855e-06,
    -1.1224789135154701e-05, -2.4403169244974074e-05, 0.000150622243948303,   -0.00019925550755614952,
    -0.00075777334141333,    0.005031969755895426,    -0.016197734059115006,  0.03716751556249286,
    -0.06633036581152939,    0.09373283499679412,     -0.10103906603635213,   0.06809705425473732,
    0.01537965210262074,     -0.1396211168405629,     1.2329951186255526};
NNLIB_INLINE VecD erfc_positive(VecD a, VecD square, VecD lost) {
  const VecD q = (a - set1d(4)) / (a + set1d(4));
  const VecD e = exp_below(-square);
  return polynomial(q, kErfcx) / fma(set1d(2), a, set1d(1)) * fma(-e, lost, e);
}
// a a, and what was lost.
NNLIB_INLINE VecD lost_of_square(VecD a, VecD square) {
  const VecD upper = from_bits(bits_of(a) & 0xfffffffff8000000), lower = a - upper;
  return ((upper * upper - square) + (upper + upper) * lower) + lower * lower;
}
// erf x; 2 ulp: an odd polynomial for |x| < 1, 1 - erfc beyond.
constexpr double kErf[] = {5.957176147748911e-11,   -1.1372848856791674e-09, 1.4659775274047436e-08,
                           -1.6350312701054695e-07, 1.6461000484121368e-06,  -1.4925595266831182e-05,
                           0.0001205533111164271,   -0.000854832698083379,   0.0052239776248180145,
                           -0.026866170645076792,   0.11283791670954879,     -0.3761263890318375};
NNLIB_INLINE VecD erf_near(VecD x, VecD square) {
  return fma(x * square, polynomial(square, kErf), x * set1d(1.1283791670955126));  // 2 / sqrt(pi)
}
NNLIB_INLINE VecD erf(VecD x) {
  const VecD a = min(set1d(6), abs(x)), z = a * a, near = erf_near(x, z);
  const MaskD far = ~lt(a, set1d(1));
  if (!any(far)) return near;
  const VecD large = set1d(1) - erfc_positive(a, z, lost_of_square(a, z));
  return select(is_nan(x), x, select(far, copysign(large, x), near));
}
// The normal distribution: phi(x) and Phi(x) = erfc(-x / sqrt(2)) / 2. Small
// probabilities keep their digits.
struct NormalD {
  VecD density, cdf;
};
NNLIB_INLINE NormalD normal(VecD x) {
  const VecD a = min(set1d(39), abs(x)), square = a * a, half = set1d(0.5) * square;
  const VecD lost = set1d(0.5) * lost_of_square(a, square);
  const VecD tail = set1d(0.5) * erfc_positive(a * set1d(0.70710678118654752440), half, lost);
  const VecD e = exp_below(-half);
  return {fma(-e, lost, e) * set1d(0.39894228040143267794),
          select(is_nan(x), x, select(lt(x, set1d(0)), tail, set1d(1) - tail))};
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
