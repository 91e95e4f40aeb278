// More functions in double: of two operands, and what the gamma function brings, which float32 takes from
// here. NaN, infinities and zeros are C's.
#pragma once
#include "special.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// atan(low / high) for 0 <= low <= high (Cephes' atan): from 0.66 on as pi/4 + atan((low - high) / (low +
// high)).
NNLIB_INLINE VecD atan_ratio(VecD low, VecD high) {
  const VecD small = select(gt(high, set1d(1e300)), set1d(0.25), set1d(1));  // their sum stays finite
  low = low * small;
  high = high * small;
  const MaskD equal = eq(low, high), far = gt(low, set1d(0.66) * high);
  const VecD above = select(far, low - high, low), below = select(far, low + high, high);
  const VecD x = select(equal, set1d(0), above) / select(equal, set1d(1), below), z = x * x;
  VecD p = fma(set1d(-8.750608600031904122785e-1), z, set1d(-1.615753718733365076637e1));
  p = fma(p, z, set1d(-7.500855792314704667340e1));
  p = fma(p, z, set1d(-1.228866684490136173410e2));
  p = fma(p, z, set1d(-6.485021904942025371773e1));
  VecD q = z + set1d(2.485846490142306297962e1);
  q = fma(q, z, set1d(1.650270098316988542046e2));
  q = fma(q, z, set1d(4.328810604912902668951e2));
  q = fma(q, z, set1d(4.853903996359136964868e2));
  q = fma(q, z, set1d(1.945506571482613964425e2));
  const VecD y = fma(x, z * p / q, x);
  // Equal and not zero: 1.
  const MaskD turned = far | (equal & gt(high, set1d(0)));
  return select(turned, set1d(7.85398163397448309616e-1) + (y + set1d(3.061616997868383e-17)), y);
}
NNLIB_INLINE VecD atan(VecD x) {
  const VecD a = abs(x), one = set1d(1), r = atan_ratio(min(a, one), max(a, one));
  const VecD y = select(gt(a, one), (set1d(1.57079632679489661923) - r) + set1d(6.123233995736766e-17), r);
  return select(is_nan(x), x, copysign(y, x));
}
NNLIB_INLINE VecD atan2(VecD y, VecD x) {
  const VecD ay = abs(y), ax = abs(x);
  VecD r = atan_ratio(min(ay, ax), max(ay, ax));
  r = select(gt(ay, ax), (set1d(1.57079632679489661923) - r) + set1d(6.123233995736766e-17), r);
  const MaskD left = lt(copysign(set1d(1), x), set1d(0));
  r = select(left, set1d(3.14159265358979323846) - (r - set1d(1.2246467991473532e-16)), r);
  return select(is_nan(x) | is_nan(y), x + y, copysign(r, y));
}

// sqrt(x^2 + y^2), scaled, and with what the squares lost put back (C. Borges, "An improved algorithm for
// hypot(a, b)", 2019).
NNLIB_INLINE VecD hypot(VecD x, VecD y) {
  const VecD ax = abs(x), ay = abs(y), high = max(ax, ay), low = min(ay, ax), inf = set1d(INFINITY);
  const MaskD large = gt(high, set1d(0x1p510)), tiny = lt(high, set1d(0x1p-450));
  const VecD by = select(large, set1d(0x1p-600), select(tiny, set1d(0x1p600), set1d(1)));
  const VecD back = select(large, set1d(0x1p600), select(tiny, set1d(0x1p-600), set1d(1)));
  const VecD a = high * by, b = low * by, aa = a * a, h = sqrt(fma(b, b, aa)), hh = h * h;
  const VecD lost = fma(-b, b, hh - aa) + fma(h, h, -hh) - fma(a, a, -aa);
  const VecD r = select(gt(h, set1d(0)), h - lost / (h + h), h) * back;
  return select(eq(ax, inf) | eq(ay, inf), inf, select(is_nan(x) | is_nan(y), x + y, r));
}

// a - trunc(a / b) b in one rounding, which is none: what is left of quotients below 2^53 has no more than a
// double's digits. A quotient that was rounded up to a whole number shows in the sign.
template <class F>
NNLIB_INLINE void fmod_lanes(int64_t n, const double* x, const double* y, double* z, F finish) {
  for (int64_t i = 0; i < n; i += kWidthD) {
    const int64_t m = n - i < kWidthD ? n - i : kWidthD;
    const VecD a = load_dn(x + i, m), b = select(lanes_below(a, m), load_dn(y + i, m), set1d(1));
    VecD r;
    bool plain = false;
#if defined(__FMA__)
    const VecD top = abs(a), divisor = abs(b), q = trunc(top / divisor), rest = fnma(q, divisor, top);
    r = copysign(select(lt(rest, set1d(0)), rest + divisor, rest), a);
    plain = !any(~(lt(q, set1d(0x1p53)) & lt(divisor, set1d(INFINITY))));
#endif
    if (!plain) {
      double from[kWidthD], by[kWidthD];
      store(from, a);
      store(by, b);
      for (int k = 0; k < kWidthD; ++k) from[k] = __builtin_fmod(from[k], by[k]);
      r = load(from);
    }
    store_dn(z + i, finish(r, b), m);
  }
}
void fmod_f64(int64_t n, const double* x, const double* y, double* z) {
  fmod_lanes(n, x, y, z, [](VecD r, VecD) { return r; });
}
// Has the divisor's sign.
void remainder_f64(int64_t n, const double* x, const double* y, double* z) {
  fmod_lanes(n, x, y, z, [](VecD r, VecD b) {
    const VecD none = set1d(0);
    return select((lt(r, none) & gt(b, none)) | (gt(r, none) & lt(b, none)), r + b, r);
  });
}

#define NNLIB_BINARY(op)                                                  \
  void op##_f64(int64_t n, const double* x, const double* y, double* z) { \
    map2<LanesF64>(n, x, y, z, [](VecD a, VecD b) { return op(a, b); });  \
  }
NNLIB_BINARY(atan2)
NNLIB_BINARY(hypot)
#undef NNLIB_BINARY

// ---- the gamma function. y (y + 1) ... (y + 9) is the product of w + 0, 8, 14, 18 and 20 for w = y (y + 9),
// as (y + k) (y + 9 - k) = w + k (9 - k).
constexpr double kPairs[] = {8, 14, 18,
                             20};  // after the first, of which y counts by itself where it is small

// The rest of x after the nearest whole number, for functions of sin(pi x).
NNLIB_INLINE VecD off_whole(VecD x) { return x - round_even(x); }
NNLIB_INLINE VecD pi_times(VecD x) { return x * set1d(3.14159265358979323846); }

// ln |gamma x|, good to 1e-14 and to 1e-11 of itself: enough for floats, whose function it is. Between 1 and
// 3 (x - 1) (x - 2) times a polynomial, Stirling's series from 10 on.
NNLIB_INLINE VecD lgamma(VecD x) {
  static constexpr double kNear[] = {
      3.0199822392397962e-7,  -6.3118415020609924e-7, -1.1251168077637341e-7, 2.2282632009795341e-7,
      2.4311324519768927e-6,  -5.1452834569738117e-6, 7.7931470591092891e-6,  -1.6768004523424301e-5,
      3.8343775970132343e-5,  -8.3459364978498498e-5, 0.00018251128658110578, -0.00040562127851768128,
      0.00091538217361263698, -0.002108141769692309,  0.0049986408635273723,  -0.012384191566215685,
      0.032965000626194783,   -0.10031730168484691,   0.42278433509846714};
  const VecD one = set1d(1);
  const MaskD mirrored = le(x, set1d(0));
  const VecD y = select(mirrored, one - x, x);
  const MaskD below = lt(y, one), near = lt(y, set1d(3));
  const VecD t = select(below, y - one, y - set1d(2));  // 1 <= t + 2 < 3
  VecD value = (t + one) * t * polynomial(t, kNear), factor = select(below, y, one);
  if (any(~near)) {
    const MaskD shifted = lt(y, set1d(10));
    const VecD w = y * (y + set1d(9));
    const VecD product = w * (w + set1d(8)) * (w + set1d(14)) * (w + set1d(18)) * (w + set1d(20));
    const VecD z = select(shifted, y + set1d(10), y), u = one / z, uu = u * u;
    VecD s = fma(set1d(1. / 156), uu, set1d(-691. / 360360));
    s = fma(s, uu, set1d(1. / 1188));
    s = fma(s, uu, set1d(-1. / 1680));
    s = fma(s, uu, set1d(1. / 1260));
    s = fma(s, uu, set1d(-1. / 360));
    s = fma(s, uu, set1d(1. / 12));
    const VecD far = fma(z - set1d(0.5), log(z) - one, set1d(0.91893853320467274178 - 0.5)) + s * u;
    value = select(near, value, far);
    factor = select(near, factor, select(shifted, product, one));
  }
  value = value - log(factor) + set1d(0);  // 0 for 1, not -0
  if (any(mirrored)) {
    const VecD other = log(set1d(3.14159265358979323846) / abs(sin(pi_times(off_whole(x))))) - value;
    value = select(mirrored, other, value);
  }
  const VecD inf = set1d(INFINITY);
  return select(is_nan(x), x, select(eq(abs(x), inf), inf, value));
}

// The derivative of ln gamma; the recurrence up to 10, then the asymptotic series (Abramowitz and
// Stegun 6.3).
NNLIB_INLINE VecD digamma(VecD x) {
  const VecD none = set1d(0);
  const MaskD mirrored = lt(x, none);
  const VecD y = select(mirrored, set1d(1) - x, x), w = y * (y + set1d(9));
  const MaskD shifted = lt(y, set1d(10));
  VecD steps = none;
  for (const double k : kPairs) steps = steps + set1d(1) / (w + set1d(k));
  steps = fma(fma(set1d(2), y, set1d(9)), steps, set1d(1) / (y + set1d(9))) + set1d(1) / y;
  const VecD z = select(shifted, y + set1d(10), y), u = set1d(1) / z, uu = u * u;
  static constexpr double kSeries[] = {1. / 12,  -691. / 32760, 1. / 132, -1. / 240,
                                       1. / 252, -1. / 120,     1. / 12};
  const VecD s = polynomial(uu, kSeries);
  VecD r = log(z) - (set1d(0.5) * u + uu * s);
  r = select(shifted, r - steps, r);
  if (any(mirrored)) {
    const VecD f = off_whole(x), a = pi_times(f);
    const VecD other = r - set1d(3.14159265358979323846) * cos(a) / sin(a);
    r = select(mirrored, select(eq(f, none), set1d(NAN), other), r);
  }
  return select(eq(x, none), copysign(set1d(INFINITY), -x), r);
}
// Its derivative.
NNLIB_INLINE VecD trigamma(VecD x) {
  const MaskD mirrored = le(x, set1d(0));
  const VecD y = select(mirrored, set1d(1) - x, x), w = y * (y + set1d(9));
  const VecD sum = fma(set1d(2), y, set1d(9)), square = sum * sum;
  const MaskD shifted = lt(y, set1d(10));
  const VecD last = set1d(1) / (y + set1d(9));
  VecD steps = last * last;
  for (const double k : kPairs) {  // 1 / (y + k)^2 + 1 / (y + 9 - k)^2
    const VecD u = set1d(1) / (w + set1d(k));
    steps = steps + u * fma(square, u, set1d(-2));
  }
  const VecD z = select(shifted, y + set1d(10), y), u = set1d(1) / z, uu = u * u;
  static constexpr double kSeries[] = {-3617. / 510, 7. / 6,  -691. / 2730, 5. / 66,
                                       -1. / 30,     1. / 42, -1. / 30,     1. / 6};
  const VecD s = polynomial(uu, kSeries);
  VecD r = u + uu * (set1d(0.5) + u * s);
  r = select(shifted, r + steps + set1d(1) / (y * y), r);
  if (any(mirrored)) {
    const VecD a = sin(pi_times(off_whole(x))), other = set1d(9.8696044010893586188) / (a * a) - r;
    r = select(mirrored, other, r);
  }
  return r;
}

// Of floats by the doubles' function.
template <class F>
NNLIB_INLINE void map_wide(int64_t n, const float* x, float* y, F f) {
  for (int64_t i = 0; i < n; i += kWidthD) {
    const int64_t m = n - i < kWidthD ? n - i : kWidthD;
    double wide[kWidthD];
    for (int64_t k = 0; k < kWidthD; ++k) wide[k] = k < m ? double(x[i + k]) : 1;
    store(wide, f(load(wide)));
    for (int64_t k = 0; k < m; ++k) y[i + k] = float(wide[k]);
  }
}
void lgamma_f32(int64_t n, const float* x, float* y) {
  map_wide(n, x, y, [](VecD a) { return lgamma(a); });
}
void atan_f64(int64_t n, const double* x, double* y) {
  map1<LanesF64>(n, x, y, [](VecD a) { return atan(a); });
}
// One vector at a time: their code is long.
#define NNLIB_BOTH(op)                                                                          \
  void op##_f64(int64_t n, const double* x, double* y) {                                        \
    for (int64_t i = 0; i < n; i += kWidthD) store_dn(y + i, op(load_dn(x + i, n - i)), n - i); \
  }                                                                                             \
  void op##_f32(int64_t n, const float* x, float* y) {                                          \
    double wide[kPlain];                                                                        \
    for (int64_t i = 0; i < n; i += kPlain) {                                                   \
      const int64_t m = n - i < kPlain ? n - i : kPlain;                                        \
      for (int64_t k = 0; k < m; ++k) wide[k] = double(x[i + k]);                               \
      op##_f64(m, wide, wide);                                                                  \
      for (int64_t k = 0; k < m; ++k) y[i + k] = float(wide[k]);                                \
    }                                                                                           \
  }
NNLIB_BOTH(digamma)
NNLIB_BOTH(trigamma)
#undef NNLIB_BOTH

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
