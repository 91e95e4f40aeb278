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

#if !defined(__AVX512F__)
// p * 2^n for |n| <= 252: in two steps, so that subnormal results are rounded once.
NNLIB_INLINE Vec scale2(Vec p, IVec n) {
  const IVec half = shr<1>(n), rest = n - half, bias = set1i(127);
  return p * as_float(shl<23>(half + bias)) * as_float(shl<23>(rest + bias));
}
#endif

NNLIB_INLINE VecD operator+(VecD a, VecD b) { return {a.v + b.v}; }
NNLIB_INLINE VecD operator-(VecD a, VecD b) { return {a.v - b.v}; }
NNLIB_INLINE VecD operator*(VecD a, VecD b) { return {a.v * b.v}; }
NNLIB_INLINE VecD operator/(VecD a, VecD b) { return {a.v / b.v}; }

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
