// The functions of trig.inl and special.inl in double, on C's conventions: the errors stated are the largest
// seen against long double. Polynomials of the inverse sines and log10's constants are those of Sun's fdlibm.
#pragma once
#include "special_double.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr double kHalfPi = 1.57079632679489661923, kHalfPiLow = 6.12323399573676603587e-17;

// tan x; 3 ulp.
NNLIB_INLINE VecD tan(VecD x) {
  const TurnD a = quarter_turns(x);
  const VecD s = sin_turned(a), c = cos_turned(a);
  const MaskD odd = {LaneTruth((bits_of(a.t) & 1) != 0)};
  const VecD near = select(odd, -c, s) / select(odd, s, c);
  return select(eq(x, set1d(0)), x, far_lanes(x, near, [](double v) { return __builtin_tan(v); }));
}

// (asin x - x) / x^3 times x^2 for z = x^2 <= 1/4.
NNLIB_INLINE VecD asin_ratio(VecD z) {
  static constexpr double kAbove[] = {3.47933107596021167570e-05,  7.91534994289814532176e-04,
                                      -4.00555345006794114027e-02, 2.01212532134862925881e-01,
                                      -3.25565818622400915405e-01, 1.66666666666666657415e-01};
  static constexpr double kBelow[] = {7.70381505559019352791e-02, -6.88283971605453293030e-01,
                                      2.02094576023350569471e+00, -2.40339491173441421878e+00, 1};
  return z * polynomial(z, kAbove) / polynomial(z, kBelow);
}
// a = |x| > 1/2 by asin sqrt((1 - a) / 2) = root + low + root ratio, where the root's upper half squares
// exactly.
struct AsinD {
  MaskD far;
  VecD ratio, root, low;
};
NNLIB_INLINE AsinD asin_parts(VecD x) {
  const VecD a = abs(x), half = set1d(0.5);
  const MaskD far = ~lt(a, half);
  const VecD z = select(far, half * (set1d(1) - a), x * x), root = sqrt(z);
  const VecD upper = from_bits(bits_of(root) & 0xffffffff00000000);
  const VecD low = select(gt(root, set1d(0)), (z - upper * upper) / (root + upper), set1d(0));
  const VecD ratio = asin_ratio(z);
  return {far, ratio, upper, fma(root, ratio, low)};
}
// asin x and acos x; 1 ulp, NaN past 1.
NNLIB_INLINE VecD asin(VecD x) {
  const AsinD v = asin_parts(x);
  const VecD quarter = set1d(0.5 * kHalfPi), two = set1d(2);
  const VecD far = quarter - ((two * v.low - set1d(kHalfPiLow)) - (quarter - two * v.root));
  return select(v.far, copysign(far, x), fma(x, v.ratio, x));
}
NNLIB_INLINE VecD acos(VecD x) {
  const AsinD v = asin_parts(x);
  const VecD half = set1d(kHalfPi), twice = set1d(2) * (v.root + v.low);
  const VecD left = set1d(2) * ((half - v.root) - (v.low - set1d(kHalfPiLow)));
  const VecD near = half - (x - fnma(x, v.ratio, set1d(kHalfPiLow)));
  return select(v.far, select(lt(x, set1d(0)), left, twice), near);
}

// sinh and cosh; 3 ulp. Past 600 e^(x/2) squared, since e^x overflows before its half does.
NNLIB_INLINE VecD with_large(VecD a, VecD near) {
  const MaskD large = gt(a, set1d(600));
  if (!any(large)) return near;
  const VecD h = exp(set1d(0.5) * a);
  return select(large, set1d(0.5) * h * h, near);
}
NNLIB_INLINE VecD sinh(VecD x) {
  const VecD a = abs(x), e = expm1(min(set1d(600), a));
  return select(is_nan(x), x, copysign(with_large(a, set1d(0.5) * (e + e / (e + set1d(1)))), x));
}
NNLIB_INLINE VecD cosh(VecD x) {
  const VecD a = abs(x), e = set1d(0.5) * exp_below(min(set1d(600), a));
  return select(is_nan(x), x, with_large(a, e + set1d(0.25) / e));
}

// log10 x; 1 ulp: log10 e in two parts, times ln(1 + m) in two parts.
NNLIB_INLINE VecD log10(VecD x) {
  const LogPartsD v = log_parts(x);
  const VecD upper = from_bits(bits_of(v.m - v.half_square) & 0xffffffff00000000);
  const VecD lower = ((v.m - upper) - v.half_square) + v.tail;
  const VecD high = upper * set1d(4.34294481878168880939e-01),
             whole = v.e * set1d(3.01029995663611771306e-01);
  VecD low = v.e * set1d(3.69423907715893078616e-13) + (lower + upper) * set1d(2.50829467116452752298e-11);
  low = fma(lower, set1d(4.34294481878168880939e-01), low);
  const VecD sum = whole + high;
  return log_of_any(x, (low + ((whole - sum) + high)) + sum);
}

// The inverse hyperbolic functions; 3 ulp. From 2^30 on x^2 + 1 is x^2, and might overflow.
constexpr double kLargeArea = 0x1p30;
NNLIB_INLINE VecD with_log(VecD a, VecD near) {
  const MaskD large = gt(a, set1d(kLargeArea));
  return any(large) ? select(large, log(a) + set1d(0.693147180559945309417), near) : near;
}
NNLIB_INLINE VecD atanh(VecD x) {
  const VecD a = abs(x);
  return select(is_nan(x), x, copysign(set1d(0.5) * log1p((a + a) / (set1d(1) - a)), x));
}
NNLIB_INLINE VecD asinh(VecD x) {
  const VecD a = abs(x), z = min(set1d(kLargeArea), a), zz = z * z, one = set1d(1);
  const VecD near = log1p(z + zz / (one + sqrt(zz + one)));
  return select(is_nan(x), x, copysign(with_log(a, near), x));
}
NNLIB_INLINE VecD acosh(VecD x) {
  const VecD t = min(set1d(kLargeArea), x) - set1d(1);
  const VecD y = with_log(x, log1p(t + sqrt(fma(t, t, t + t))));
  return select(lt(x, set1d(1)), set1d(NAN), select(is_nan(x), x, y));
}

// erfc x; 3 ulp.
NNLIB_INLINE VecD erfc(VecD x) {
  const VecD a = min(set1d(28), abs(x)), square = a * a;
  const VecD r = erfc_positive(a, square, lost_of_square(a, square));
  const VecD y =
      select(lt(a, set1d(0.5)), set1d(1) - erf_near(x, square), select(lt(x, set1d(0)), set1d(2) - r, r));
  return select(is_nan(x), x, y);
}

// The inverse of erf; 3 ulp: x times a polynomial in w = -ln(1 - x^2), from 6.25 on in its root (the form of
// M. Giles, "Approximating the erfinv function", fitted anew).
NNLIB_INLINE VecD erfinv(VecD x) {
  static constexpr double kNear[] = {
      3.95782970514094e-21,   -1.2925683331830347e-20, -3.4984438621979654e-19, 2.2134184306836812e-18,
      9.640934075390757e-18,  -1.596043872551055e-16,  4.447909628832346e-16,   5.1973544017417725e-15,
      -5.613445128457313e-14, 9.43100827144855e-14,    2.3350825930059335e-12,  -2.02744050934734e-11,
      9.217190942710859e-12,  1.0224157298629805e-09,  -7.307716085705841e-09,  -6.233772211037662e-09,
      4.429593644921831e-07,  -2.7497171957822526e-06, -5.289657164877205e-06,  0.0002032643866628131,
      -0.0013759037424730274, -0.0017339716761991322,  0.24557684391371032};
  static constexpr double kMiddle[] = {
      6.854906430026906e-10, 9.069252863037179e-08,  -2.7131624527580294e-07, 1.8388706833090645e-08,
      1.498682725581901e-06, -4.014010335785518e-06, 2.925746394013068e-06,   1.2475377015983698e-05,
      -4.73189897999412e-05, 6.82848304945795e-05,   2.403125811582288e-05,   -0.00035503751692834046,
      0.0009532893636238467, -0.001688275556321603,  0.0024914420969882754,   -0.0037512085075576363,
      0.005370914553571544,  1.0052589676941592,     3.0838856104922208};
  static constexpr double kFar[] = {3.5289073033539094e-11,  -9.43730402358639e-12,   -4.126523295029003e-10,
                                    1.3432422902799393e-09,  -3.0286149937141915e-09, 6.5696896606340484e-09,
                                    -1.3079294928098816e-08, 2.525101358624942e-08,   -6.079578878830495e-08,
                                    2.145877166840488e-07,   -9.486874794084798e-07,  4.3562032214447055e-06,
                                    -1.9015699000152285e-05, 7.357695072958402e-05,   -0.0002075522021571017,
                                    -0.00015456464399846406, 1.0102931304286793,      4.875163823000273};
  const VecD one = set1d(1), w = -log((one - x) * (one + x));
  VecD y = fma(w, polynomial(w - set1d(3.125), kNear), set1d(0.88622692545275801365));  // sqrt(pi) / 2
  const MaskD tail = gt(w, set1d(6.25));
  if (any(tail)) {
    const VecD s = sqrt(w), farther = polynomial(s - set1d(5.025), kFar);
    y = select(tail, select(gt(s, set1d(4)), farther, polynomial(s - set1d(3.25), kMiddle)), y);
  }
  return select(eq(abs(x), one), copysign(set1d(INFINITY), x), x * y);
}

// |x|^y = 2^(y log2 |x|); 1 ulp. log2 is the series of artanh with its first terms in two parts, 2^-64 off,
// and what the product with y loses goes into 2^f.
#if defined(__FMA__)
NNLIB_INLINE VecD pow_positive(VecD x, VecD y) {
  constexpr uint64_t root = 0x3fe6a09e667f3bcd, unit = 0x3ff0000000000000;  // sqrt(1/2), 1
  static constexpr double kSeries[] = {1. / 23, 1. / 21, 1. / 19, 1. / 17, 1. / 15,
                                       1. / 13, 1. / 11, 1. / 9,  1. / 7,  1. / 5};
  const VecD one = set1d(1), two = set1d(2), third = set1d(1. / 3);
  const LaneBits u = bits_of(x) + (unit - root);
  const VecD e = from_bits((u >> 52) | 0x4330000000000000) - set1d(4503599627370496.0 + 1023);
  const VecD m = from_bits((u & 0x000fffffffffffff) + root) - one;
  // s = m / (2 + m) and z = s^2
  const VecD d = two + m, over = one / d, s = m * over;
  const VecD s_low = (fnma(s, d, m) - s * (m - (d - two))) * over;
  const VecD z = s * s, z_low = fma(s, s, -z) + two * s * s_low;
  // 1 + z / 3 + z^2 (1 / 5 + ...), times s, times 2 / ln 2
  const VecD t = z * third, t_low = fma(z, third, -t) + fma(z, set1d(1.8503717077085943e-17), z_low * third);
  const VecD q = z * z * polynomial(z, kSeries), r = t + q, v = one + r;
  const VecD v_low = (r - (v - one)) + ((q - (r - t)) + t_low);
  const VecD p = s * v, p_low = fma(s, v, -p) + fma(s, v_low, s_low * v);
  const VecD factor = set1d(2.8853900817779268), l = p * factor;
  const VecD l_low = fma(p, factor, -l) + fma(p, set1d(4.0710547481862066e-17), p_low * factor);
  const VecD log2 = e + l, log2_low = (l - (log2 - e)) + l_low;

  const VecD whole = y * log2, bounded = within(whole, -1100, 1030);
  const VecD lost = select(eq(whole, bounded), fma(y, log2, -whole) + y * log2_low, set1d(0));
  const VecD n = bounded + set1d(kRoundMagicD), f = bounded - (n - set1d(kRoundMagicD));
  const VecD ln2 = set1d(0.693147180559945309), g = f * ln2;
  const VecD g_low = fma(f, ln2, -g) + fma(f, set1d(2.3190468138462996e-17), lost * ln2),
             b = expm1_reduced(g);
  return scale(one + fma(g_low, one + b, b), n);
}
void pow_f64(int64_t n, const double* px, const double* py, double* pz) {
  for (int64_t i = 0; i < n; i += kWidthD) {
    const int64_t m = n - i < kWidthD ? n - i : kWidthD;
    const VecD x = load_dn(px + i, m), y = load_dn(py + i, m), a = abs(x);
    VecD z = pow_positive(a, y);
    // A negative base takes its sign from an odd exponent; another exponent gives NaN.
    const MaskD negative = lt(x, set1d(0));
    if (any(negative)) {
      const VecD half = set1d(0.5) * y;
      const VecD other = select(eq(trunc(y), y), select(eq(trunc(half), half), z, -z), set1d(NAN));
      z = select(negative, other, z);
    }
    const MaskD plain = ge(a, set1d(0x1p-1022)) & lt(a, set1d(INFINITY)) & lt(abs(y), set1d(1e300));
    if (any(~plain & lanes_below(x, m))) {
      double from[kWidthD], by[kWidthD], to[kWidthD];
      store(from, x);
      store(by, y);
      store(to, z);
      for (int k = 0; k < kWidthD; ++k)
        if (!plain.m[k]) to[k] = __builtin_pow(from[k], by[k]);
      z = load(to);
    }
    store_dn(pz + i, z, m);
  }
}
#else  // products in two parts need a multiply-add
void pow_f64(int64_t n, const double* x, const double* y, double* z) {
  for (int64_t i = 0; i < n; ++i) z[i] = __builtin_pow(x[i], y[i]);
}
#endif

#define NNLIB_UNARY(op)                                    \
  void op##_f64(int64_t n, const double* x, double* y) {   \
    map1<LanesF64>(n, x, y, [](VecD a) { return op(a); }); \
  }
NNLIB_UNARY(tan)
NNLIB_UNARY(asin)
NNLIB_UNARY(acos)
NNLIB_UNARY(sinh)
NNLIB_UNARY(cosh)
NNLIB_UNARY(log10)
NNLIB_UNARY(asinh)
NNLIB_UNARY(acosh)
NNLIB_UNARY(atanh)
NNLIB_UNARY(erfc)
NNLIB_UNARY(erfinv)
#undef NNLIB_UNARY

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
