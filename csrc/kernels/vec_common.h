// Operations on Vec that every instruction set makes from the same few others.
#pragma once

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

NNLIB_INLINE Vec operator-(Vec a) { return as_float(as_int(a) ^ set1i(INT32_MIN)); }
NNLIB_INLINE Vec neg(Vec a) { return -a; }
NNLIB_INLINE Vec abs(Vec a) { return as_float(as_int(a) & set1i(0x7fffffff)); }
NNLIB_INLINE Vec copysign(Vec magnitude, Vec sign) {
  return as_float((as_int(magnitude) & set1i(0x7fffffff)) | (as_int(sign) & set1i(INT32_MIN)));
}
NNLIB_INLINE Mask gt(Vec a, Vec b) { return lt(b, a); }
NNLIB_INLINE Mask ge(Vec a, Vec b) { return le(b, a); }
NNLIB_INLINE Mask gt(IVec a, IVec b) { return lt(b, a); }
NNLIB_INLINE Mask is_nan(Vec a) { return ne(a, a); }
NNLIB_INLINE Mask andnot(Mask a, Mask b) { return a & ~b; }
NNLIB_INLINE bool any(Mask m) { return bits(m) != 0; }
NNLIB_INLINE bool all(Mask m) { return bits(m) == (1u << kWidth) - 1; }
// min and max give their second operand when one is NaN; a NaN in the first is put back.
NNLIB_INLINE Vec min_nan(Vec a, Vec b) { return select(is_nan(a), a, min(a, b)); }
NNLIB_INLINE Vec max_nan(Vec a, Vec b) { return select(is_nan(a), a, max(a, b)); }

// x + kRoundMagic has x, rounded to the nearest integer, in its low bits.
constexpr float kRoundMagic = 12582912.f;  // 1.5 * 2^23
#if !defined(__AVX512F__)
// p * 2^n for t = n + kRoundMagic and |n| <= 190: in two steps, so that subnormal results are rounded once.
// The second factor is 2^64 or 2^-64. A NaN in t makes some finite factors.
NNLIB_INLINE Vec scale2(Vec p, Vec t) {
  const IVec far = (shr<31>(as_int(t - set1(kRoundMagic))) & set1i(-(128 << 23))) + set1i(64 << 23);
  return p * as_float(shl<23>(as_int(t)) + (set1i(127 << 23) - far)) * as_float(far + set1i(127 << 23));
}
// p * 2^(n + 64) for -190 <= n < 64.
NNLIB_INLINE Vec scale2_up64(Vec p, Vec t) {
  return p * as_float(shl<23>(as_int(t)) + set1i((127 + 64) << 23));
}
#else
NNLIB_INLINE Vec scale2(Vec p, Vec t) { return {_mm512_scalef_ps(p.v, (t - set1(kRoundMagic)).v)}; }
NNLIB_INLINE Vec scale2_up64(Vec p, Vec t) {
  return {_mm512_scalef_ps(p.v, (t - set1(kRoundMagic - 64.f)).v)};
}
#endif

NNLIB_INLINE VecD operator+(VecD a, VecD b) { return {a.v + b.v}; }
NNLIB_INLINE VecD operator-(VecD a, VecD b) { return {a.v - b.v}; }
NNLIB_INLINE VecD operator*(VecD a, VecD b) { return {a.v * b.v}; }
NNLIB_INLINE VecD operator/(VecD a, VecD b) { return {a.v / b.v}; }
NNLIB_INLINE VecD max_nan(VecD a, VecD b) { return {(a.v > b.v) | (a.v != a.v) ? a.v : b.v}; }
NNLIB_INLINE VecD min_nan(VecD a, VecD b) { return {(a.v < b.v) | (a.v != a.v) ? a.v : b.v}; }

// The same names for both element types, for templates.
template <class T>
struct VecFor;
template <>
struct VecFor<float> {
  using type = Vec;
  static constexpr int width = kWidth;
};
template <>
struct VecFor<double> {
  using type = VecD;
  static constexpr int width = kWidthD;
};
template <class T>
using VecOf = typename VecFor<T>::type;
NNLIB_INLINE Vec splat(float x) { return set1(x); }
NNLIB_INLINE VecD splat(double x) { return set1d(x); }
NNLIB_INLINE VecD load(const double* p) { return load_d(p); }
NNLIB_INLINE VecD load_n(const double* p, int64_t n) { return load_dn(p, n); }
NNLIB_INLINE void store(double* p, VecD a) { store_d(p, a); }
NNLIB_INLINE void store_n(double* p, VecD a, int64_t n) { store_dn(p, a, n); }

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
