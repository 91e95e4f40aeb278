// More elementary functions: of one operand with the errors that README.md states, and of two. NaN,
// infinities, zeros and subnormals are C's.
#pragma once
#include "elementwise.inl"
#include "trig.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// log10 x (Cephes' log10f): both constants in two parts, so that what is added last is exact.
NNLIB_INLINE Vec log10(Vec x) {
  const LogParts v = log_parts(x);
  Vec y = (v.m + v.rest) * set1(7.00731903251827651129e-4f);
  y = fma(v.rest, set1(4.3359375e-1f), y);
  y = fma(v.m, set1(4.3359375e-1f), y);
  y = fma(v.e, set1(2.48745663981195213739e-4f), y);
  return log_of_any(x, fma(v.e, set1(3.0078125e-1f), y));
}

NNLIB_INLINE Vec atanh(Vec x) {
  const Vec a = abs(x);
  return copysign(set1(0.5f) * log1p((a + a) / (set1(1.f) - a)), x);
}
// From 2^30 on x^2 + 1 is x^2, and might overflow.
NNLIB_INLINE Vec asinh(Vec x) {
  const Vec a = abs(x), z = min(set1(1.07374182e9f), a), zz = z * z;
  const Vec near = log1p(z + zz / (set1(1.f) + sqrt(zz + set1(1.f))));
  return copysign(select(lt(z, a), log(a) + set1(0.693147181f), select(is_nan(x), x, near)), x);
}
NNLIB_INLINE Vec acosh(Vec x) {
  const Vec z = min(set1(1.07374182e9f), x), t = z - set1(1.f);
  const Vec near = log1p(t + sqrt(fma(t, t, t + t)));
  return select(lt(z, x), log(x) + set1(0.693147181f),
                select(lt(x, set1(1.f)), set1(NAN), select(is_nan(x), x, near)));
}

// erfc x (after N. Juffa): (1 + 2 a) e^(a^2) erfc a is a polynomial in (a - 2) / (a + 2).
NNLIB_INLINE Vec erfc(Vec x) {
  const Vec a = min(set1(11.f), abs(x)), one = set1(1.f);
  Vec r = one / (a + set1(2.f)), q = fma(set1(-4.f), r, one);
  q = fma(r, fma(-a, q, fma(q + one, set1(-2.f), a)), q);
  Vec p = fma(set1(-4.01139259e-4f), q, set1(-1.23075210e-3f));
  p = fma(p, q, set1(1.31355342e-3f));
  p = fma(p, q, set1(8.63227434e-3f));
  p = fma(p, q, set1(-8.05991981e-3f));
  p = fma(p, q, set1(-5.42046614e-2f));
  p = fma(p, q, set1(1.64055392e-1f));
  p = fma(p, q, set1(-1.66031361e-1f));
  p = fma(p, q, set1(-9.27639827e-2f));
  p = fma(p, q, set1(2.76978403e-1f));
  r = one / fma(set1(2.f), a, one);
  q = fma(p, r, r);
  r = fma(fma(fma(q, -a, set1(0.5f)), set1(2.f), p - q), r, q);
  // e^(-a^2), with what a^2 lost in rounding.
  const Vec s = a * a, e = exp(-s), upper = as_float(as_int(a) & set1i(-4096)), lower = a - upper;
  const Vec lost = ((s - upper * upper) - (upper + upper) * lower) - lower * lower;
  r = fma(r, e, r * e * lost);
  return select(is_nan(x), x, select(lt(x, zero()), set1(2.f) - r, r));
}

// The inverse of erf (after N. Juffa): a polynomial in ln(1 - x^2) times x.
NNLIB_INLINE Vec erfinv(Vec x) {
  const Vec t = log((set1(1.f) - x) * (set1(1.f) + x));
  Vec far = fma(set1(3.03697567e-10f), t, set1(2.93243101e-8f));
  far = fma(far, t, set1(1.22150334e-6f));
  far = fma(far, t, set1(2.84108955e-5f));
  far = fma(far, t, set1(3.93552968e-4f));
  far = fma(far, t, set1(3.02698812e-3f));
  far = fma(far, t, set1(4.83185798e-3f));
  far = fma(far, t, set1(-2.64646143e-1f));
  far = fma(far, t, set1(8.40016484e-1f));
  Vec near = fma(set1(5.43877832e-9f), t, set1(1.43285448e-7f));
  near = fma(near, t, set1(1.22774793e-6f));
  near = fma(near, t, set1(1.12963626e-7f));
  near = fma(near, t, set1(-5.61530760e-5f));
  near = fma(near, t, set1(-1.47697632e-4f));
  near = fma(near, t, set1(2.31468678e-3f));
  near = fma(near, t, set1(1.15392581e-2f));
  near = fma(near, t, set1(-2.32015476e-1f));
  near = fma(near, t, set1(8.86226892e-1f));
  const Vec y = x * select(gt(abs(t), set1(6.125f)), far, near);
  return select(eq(abs(x), set1(1.f)), copysign(set1(INFINITY), x), y);
}

// sin(pi x) / (pi x): x less the nearest integer is exact.
NNLIB_INLINE Vec sinc(Vec x) {
  const Vec n = round_even(x), f = (x - n) * set1(3.14159265f);
  const Vec half = n * set1(0.5f), s = sin_near(f);
  const Vec y = select(eq(half, floor(half)), s, -s) / (x * set1(3.14159265f));
  return select(eq(x, zero()), set1(1.f), y);
}

#define NNLIB_UNARY(op)                                \
  void op##_f32(int64_t n, const float* x, float* y) { \
    map1(n, x, y, [](Vec a) { return op(a); });        \
  }
NNLIB_UNARY(log10)
NNLIB_UNARY(atanh)
NNLIB_UNARY(asinh)
NNLIB_UNARY(acosh)
NNLIB_UNARY(erfc)
NNLIB_UNARY(erfinv)
NNLIB_UNARY(sinc)
#undef NNLIB_UNARY

// ---- of two operands

// The angle of (x, y): atan of the smaller over the larger, turned into its octant.
NNLIB_INLINE Vec atan2(Vec y, Vec x) {
  const Vec ay = abs(y), ax = abs(x), low = min(ay, ax), high = max(ay, ax);
  // Nothing by nothing is 0, infinity by infinity 1.
  const Vec ratio = select(eq(low, high), select(eq(high, zero()), zero(), set1(1.f)), low / high);
  Vec r = atan(ratio);
  r = select(gt(ay, ax), set1(1.57079633f) - r, r);
  const Mask left = lt(copysign(set1(1.f), x), zero());
  // pi in two parts.
  r = select(left, set1(3.14159274f) - (r + set1(8.74227766e-8f)), r);
  return select(is_nan(x) | is_nan(y), x + y, copysign(r, y));
}

#define NNLIB_BINARY(op)                                               \
  void op##_f32(int64_t n, const float* x, const float* y, float* z) { \
    map2(n, x, y, z, [](Vec a, Vec b) { return op(a, b); });           \
  }
NNLIB_BINARY(atan2)
#undef NNLIB_BINARY

void hypot_f32(int64_t n, const float* x, const float* y, float* z) {
  for (int64_t i = 0; i < n; ++i) {
    const double a = x[i], b = y[i], r = __builtin_sqrt(a * a + b * b);
    const bool infinite = __builtin_fabs(a) == INFINITY || __builtin_fabs(b) == INFINITY;
    z[i] = infinite ? INFINITY : float(r);
  }
}

// Blocks of these many values go through plain loops that the compiler makes vectors of; a block that holds
// something odd goes through C's function.
constexpr int64_t kPlain = 16;

template <class F, class S>
NNLIB_INLINE void blocks2(int64_t n, const float* x, const float* y, float* z, F block, S scalar) {
  int64_t i = 0;
  for (; i < n; i += kPlain) {
    const int64_t m = n - i < kPlain ? n - i : kPlain;
    float a[kPlain], b[kPlain], r[kPlain];
    if (m == kPlain) {
      memcpy(a, x + i, sizeof a);
      memcpy(b, y + i, sizeof b);
    } else {
      for (int64_t k = 0; k < kPlain; ++k) {
        a[k] = k < m ? x[i + k] : 1.f;
        b[k] = k < m ? y[i + k] : 1.f;
      }
    }
    if (!block(a, b, r))
      for (int64_t k = 0; k < kPlain; ++k) r[k] = scalar(a[k], b[k]);
    if (m == kPlain)
      memcpy(z + i, r, sizeof r);
    else
      for (int64_t k = 0; k < m; ++k) z[i + k] = r[k];
  }
}

// a - trunc(a / b) b, exact: up to 2^28 the quotient times b has no more than a double's digits. The quotient
// may have been rounded up to a whole number, which the sign of what is left tells.
NNLIB_INLINE bool fmod_block(const float* x, const float* y, float* z) {
  int32_t odd = 0;
#if defined(__FMA__)
  // With one rounding, which is none, floats are enough up to 2^23.
  for (int64_t k = 0; k < kPlain; k += kWidth) {
    const Vec a = load(x + k), top = abs(a), b = abs(load(y + k)), q = trunc(top / b), r = fnma(q, b, top);
    store(z + k, copysign(select(lt(r, zero()), r + b, r), a));
    odd |= any(~(lt(q, set1(0x1p23f)) & lt(b, set1(INFINITY))));
  }
  if (!odd) return true;
  odd = 0;
#endif
  for (int64_t k = 0; k < kPlain; ++k) {
    const double a = x[k], b = __builtin_fabs(double(y[k]));
    const double q = __builtin_trunc(a / b);
    double r = a - q * b;
    r = r * a < 0 ? r + __builtin_copysign(b, a) : r;
    z[k] = float(__builtin_copysign(r, a));
    odd |= !(__builtin_fabs(q) < 268435456.0) | !(b < INFINITY);
  }
  return !odd;
}
void fmod_f32(int64_t n, const float* x, const float* y, float* z) {
  blocks2(n, x, y, z, fmod_block, [](float a, float b) { return fmodf(a, b); });
}
// Has the divisor's sign.
void remainder_f32(int64_t n, const float* x, const float* y, float* z) {
  blocks2(
      n, x, y, z,
      [](const float* a, const float* b, float* r) {
        const bool plain = fmod_block(a, b, r);
        for (int64_t k = 0; k < kPlain; k += kWidth) {
          const Vec rest = load(r + k), divisor = load(b + k);
          const Mask below = lt(rest, zero()), turned = lt(divisor, zero());
          const Mask other = ((below & ~turned) | (turned & ~below)) & ne(rest, zero());
          store(r + k, select(other, rest + divisor, rest));
        }
        return plain;
      },
      [](float a, float b) {
        const float r = fmodf(a, b);
        return r != 0 && (b < 0) != (r < 0) ? r + b : r;
      });
}

// |x|^y = 2^(y log2 |x|) in double: log2 by the series of artanh, 2^f by Taylor's, both 2^-32 off at the
// most.
NNLIB_INLINE bool pow_block(const float* x, const float* y, float* z) {
  int32_t odd = 0;
  double t[kPlain];
  for (int64_t k = 0; k < kPlain; ++k) {
    int32_t u;
    memcpy(&u, x + k, 4);
    u &= 0x7fffffff;
    odd |=
        (u - 0x00800000 > 0x7f7fffff - 0x00800000) | (u < 0x00800000) | !(__builtin_fabsf(y[k]) < INFINITY);
    const int32_t e = (u - 0x3f3504f3) >> 23, m = u - e * (1 << 23);
    float scaled;
    memcpy(&scaled, &m, 4);
    const double f = double(scaled) - 1, s = f / (f + 2), w = s * s;
    double p = 1.0 / 15;
    p = p * w + 1.0 / 13;
    p = p * w + 1.0 / 11;
    p = p * w + 1.0 / 9;
    p = p * w + 1.0 / 7;
    p = p * w + 1.0 / 5;
    p = p * w + 1.0 / 3;
    t[k] = double(y[k]) * (double(e) + (s + s * w * p) * 2.8853900817779268);  // 2 / ln 2
  }
  for (int64_t k = 0; k < kPlain; ++k) {
    const double c = t[k] < -200 ? -200 : t[k] > 200 ? 200 : t[k];
    const double shifted = c + 6755399441055744.0, n = shifted - 6755399441055744.0;  // 1.5 * 2^52
    const double g = (c - n) * 0.6931471805599453;
    double p = 1.0 / 40320;
    p = p * g + 1.0 / 5040;
    p = p * g + 1.0 / 720;
    p = p * g + 1.0 / 120;
    p = p * g + 1.0 / 24;
    p = p * g + 1.0 / 6;
    p = p * g + 0.5;
    p = p * g + 1;
    p = p * g + 1;
    uint64_t bits;
    memcpy(&bits, &shifted, 8);
    bits = (bits + 1023) << 52;
    double power;
    memcpy(&power, &bits, 8);
    z[k] = float(p * power);
  }
  // A negative base takes its sign from an odd exponent; another exponent gives NaN.
  int32_t negative = 0;
  for (int64_t k = 0; k < kPlain; ++k) negative |= x[k] < 0;
  if (negative) {
    for (int64_t k = 0; k < kPlain; ++k) {
      const float half = y[k] * 0.5f;
      const bool whole = __builtin_truncf(y[k]) == y[k], even = __builtin_truncf(half) == half;
      z[k] = x[k] < 0 ? (!whole ? NAN : even ? z[k] : -z[k]) : z[k];
    }
  }
  return !odd;
}
void pow_f32(int64_t n, const float* x, const float* y, float* z) {
  blocks2(n, x, y, z, pow_block, [](float a, float b) { return powf(a, b); });
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
