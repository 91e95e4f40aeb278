// Vec on GNU vector extensions: 4 floats, for the x86-64 baseline (SSE2) and for NEON, and a way to try out a
// new processor. Where the compiler makes poor code of a lane loop, NEON's own instruction stands beside it.
// See vec.h for the operations.
#pragma once
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int kVecBytes = 16;
constexpr int kWidth = 4;
constexpr int kWidthD = 2;

typedef float F4 __attribute__((vector_size(16)));
typedef int32_t I4 __attribute__((vector_size(16)));
typedef uint32_t U4 __attribute__((vector_size(16)));
typedef double D2 __attribute__((vector_size(16)));

struct Vec {
  F4 v;
};
struct IVec {
  I4 v;
};
struct Mask {
  I4 m;
};
struct VecD {
  D2 v;
};

template <class F>
NNLIB_INLINE Vec each(Vec a, F f) {
  return {F4{f(a.v[0]), f(a.v[1]), f(a.v[2]), f(a.v[3])}};
}

NNLIB_INLINE Vec set1(float x) { return {F4{x, x, x, x}}; }
NNLIB_INLINE Vec zero() { return {F4{}}; }
NNLIB_INLINE Vec load(const float* p) {
  Vec a;
  memcpy(&a, p, sizeof a);
  return a;
}
NNLIB_INLINE void store(float* p, Vec a) { memcpy(p, &a, sizeof a); }
NNLIB_INLINE Vec load_n(const float* p, int64_t n) {
  if (n >= 4) return load(p);
  float t[4] = {};
  for (int64_t i = 0; i < n; ++i) t[i] = p[i];
  return load(t);
}
NNLIB_INLINE void store_n(float* p, Vec a, int64_t n) {
  if (n >= 4) return store(p, a);
  for (int64_t i = 0; i < n; ++i) p[i] = a.v[i];
}
NNLIB_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }

NNLIB_INLINE IVec as_int(Vec a) { return {I4(a.v)}; }
NNLIB_INLINE Vec as_float(IVec a) { return {F4(a.v)}; }
NNLIB_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
NNLIB_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
NNLIB_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
NNLIB_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
NNLIB_INLINE Mask lt(Vec a, Vec b) { return {a.v < b.v}; }
NNLIB_INLINE Mask le(Vec a, Vec b) { return {a.v <= b.v}; }
NNLIB_INLINE Mask eq(Vec a, Vec b) { return {a.v == b.v}; }
NNLIB_INLINE Mask ne(Vec a, Vec b) { return {a.v != b.v}; }
NNLIB_INLINE Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
NNLIB_INLINE Mask operator|(Mask a, Mask b) { return {a.m | b.m}; }
NNLIB_INLINE Mask operator~(Mask a) { return {~a.m}; }
NNLIB_INLINE IVec select(Mask m, IVec a, IVec b) { return {(m.m & a.v) | (~m.m & b.v)}; }
NNLIB_INLINE Vec select(Mask m, Vec a, Vec b) { return as_float(select(m, as_int(a), as_int(b))); }
NNLIB_INLINE Mask mask_from_bits(uint32_t b) {
  const I4 bit = {1, 2, 4, 8}, all = {int32_t(b), int32_t(b), int32_t(b), int32_t(b)};
  return {(all & bit) == bit};
}

#if defined(__ARM_NEON)
NNLIB_INLINE uint32_t bits(Mask m) {
  const I4 b = m.m & I4{1, 2, 4, 8};
  return uint32_t(vaddvq_u32(uint32x4_t(b)));
}
NNLIB_INLINE Vec fma(Vec a, Vec b, Vec c) { return {F4(vfmaq_f32(c.v, a.v, b.v))}; }
NNLIB_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {F4(vfmsq_f32(c.v, a.v, b.v))}; }
NNLIB_INLINE Vec sqrt(Vec a) { return {F4(vsqrtq_f32(a.v))}; }
NNLIB_INLINE Vec round_even(Vec a) { return {F4(vrndnq_f32(a.v))}; }
NNLIB_INLINE Vec floor(Vec a) { return {F4(vrndmq_f32(a.v))}; }
NNLIB_INLINE Vec ceil(Vec a) { return {F4(vrndpq_f32(a.v))}; }
NNLIB_INLINE Vec trunc(Vec a) { return {F4(vrndq_f32(a.v))}; }
NNLIB_INLINE IVec to_int(Vec a) { return {I4(vcvtnq_s32_f32(a.v))}; }
NNLIB_INLINE VecD fma(VecD a, VecD b, VecD c) { return {D2(vfmaq_f64(c.v, a.v, b.v))}; }
NNLIB_INLINE VecD sqrt(VecD a) { return {D2(vsqrtq_f64(a.v))}; }
#else
NNLIB_INLINE uint32_t bits(Mask m) {
  const I4 b = m.m & I4{1, 2, 4, 8};
  return uint32_t(b[0] | b[1] | b[2] | b[3]);
}
// Two roundings: there is no FMA to use here.
NNLIB_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
NNLIB_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {c.v - a.v * b.v}; }
NNLIB_INLINE VecD fma(VecD a, VecD b, VecD c) { return {a.v * b.v + c.v}; }
NNLIB_INLINE Vec trunc(Vec a) {
  return each(a, [](float x) { return __builtin_truncf(x); });
}
NNLIB_INLINE Vec floor(Vec a) {
  return each(a, [](float x) { return __builtin_floorf(x); });
}
NNLIB_INLINE Vec ceil(Vec a) {
  return each(a, [](float x) { return __builtin_ceilf(x); });
}
NNLIB_INLINE Vec round_even(Vec a) {
  // Adding and taking away 2^23 rounds to an integer; larger values are integers already.
  const Vec big = {F4{8388608.f, 8388608.f, 8388608.f, 8388608.f}};
  const I4 sign = I4(a.v) & I4{INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
  const Vec magnitude = {F4(I4(a.v) ^ sign)};
  const Vec rounded = {F4(I4(((magnitude + big) - big).v) | sign)};
  return select(lt(magnitude, big), rounded, a);
}
#if defined(__SSE2__)
NNLIB_INLINE Vec sqrt(Vec a) { return {F4(_mm_sqrt_ps(__m128(a.v)))}; }
NNLIB_INLINE VecD sqrt(VecD a) { return {D2(_mm_sqrt_pd(__m128d(a.v)))}; }
NNLIB_INLINE IVec to_int(Vec a) { return {I4(_mm_cvtps_epi32(__m128(a.v)))}; }
#else
NNLIB_INLINE Vec sqrt(Vec a) {
  return each(a, [](float x) { return __builtin_sqrtf(x); });
}
NNLIB_INLINE VecD sqrt(VecD a) { return {D2{__builtin_sqrt(a.v[0]), __builtin_sqrt(a.v[1])}}; }
NNLIB_INLINE IVec to_int(Vec a) { return {__builtin_convertvector(round_even(a).v, I4)}; }
#endif
#endif

#if defined(__SSE2__)
NNLIB_INLINE void stream(float* p, Vec a) { _mm_stream_ps(p, __m128(a.v)); }
NNLIB_INLINE void stream(double* p, VecD a) { _mm_stream_pd(p, __m128d(a.v)); }
NNLIB_INLINE void fence() { _mm_sfence(); }
#else
NNLIB_INLINE void stream(float* p, Vec a) { store(p, a); }
NNLIB_INLINE void stream(double* p, VecD a) { memcpy(p, &a, sizeof a); }
NNLIB_INLINE void fence() {}
#endif

NNLIB_INLINE Vec min(Vec a, Vec b) { return select(lt(a, b), a, b); }
NNLIB_INLINE Vec max(Vec a, Vec b) { return select(lt(b, a), a, b); }

NNLIB_INLINE IVec set1i(int32_t x) { return {I4{x, x, x, x}}; }
NNLIB_INLINE IVec load_i(const int32_t* p) {
  IVec a;
  memcpy(&a, p, sizeof a);
  return a;
}
NNLIB_INLINE void store_i(int32_t* p, IVec a) { memcpy(p, &a, sizeof a); }
NNLIB_INLINE IVec load_in(const int32_t* p, int64_t n) {
  if (n >= 4) return load_i(p);
  int32_t t[4] = {};
  for (int64_t i = 0; i < n; ++i) t[i] = p[i];
  return load_i(t);
}
NNLIB_INLINE void store_in(int32_t* p, IVec a, int64_t n) {
  if (n >= 4) return store_i(p, a);
  for (int64_t i = 0; i < n; ++i) p[i] = a.v[i];
}
// Unsigned inside: a signed overflow would be undefined.
NNLIB_INLINE IVec operator+(IVec a, IVec b) { return {I4(U4(a.v) + U4(b.v))}; }
NNLIB_INLINE IVec operator-(IVec a, IVec b) { return {I4(U4(a.v) - U4(b.v))}; }
NNLIB_INLINE IVec operator*(IVec a, IVec b) { return {I4(U4(a.v) * U4(b.v))}; }
NNLIB_INLINE IVec operator&(IVec a, IVec b) { return {a.v & b.v}; }
NNLIB_INLINE IVec operator|(IVec a, IVec b) { return {a.v | b.v}; }
NNLIB_INLINE IVec operator^(IVec a, IVec b) { return {a.v ^ b.v}; }
template <int N>
NNLIB_INLINE IVec shl(IVec a) {
  return {I4(U4(a.v) << N)};
}
template <int N>
NNLIB_INLINE IVec shr(IVec a) {  // arithmetic: keeps the sign
  return {a.v >> N};
}
template <int N>
NNLIB_INLINE IVec shr_logical(IVec a) {
  return {I4(U4(a.v) >> N)};
}
NNLIB_INLINE Mask lt(IVec a, IVec b) { return {a.v < b.v}; }
NNLIB_INLINE Mask eq(IVec a, IVec b) { return {a.v == b.v}; }
NNLIB_INLINE Mask ltu(IVec a, IVec b) { return {I4(U4(a.v) < U4(b.v))}; }
NNLIB_INLINE IVec trunc_int(Vec a) { return {__builtin_convertvector(a.v, I4)}; }
NNLIB_INLINE Vec to_float(IVec a) { return {__builtin_convertvector(a.v, F4)}; }
NNLIB_INLINE IVec iota() { return {I4{0, 1, 2, 3}}; }
NNLIB_INLINE Vec gather(const float* p, IVec i) { return {F4{p[i.v[0]], p[i.v[1]], p[i.v[2]], p[i.v[3]]}}; }
NNLIB_INLINE Vec permute(Vec a, IVec i) { return {F4{a.v[i.v[0]], a.v[i.v[1]], a.v[i.v[2]], a.v[i.v[3]]}}; }

// r[i] lane j becomes r[j] lane i.
NNLIB_INLINE void transpose(Vec (&r)[4]) {
  const F4 a = __builtin_shuffle(r[0].v, r[1].v, I4{0, 4, 1, 5}),
           b = __builtin_shuffle(r[0].v, r[1].v, I4{2, 6, 3, 7});
  const F4 c = __builtin_shuffle(r[2].v, r[3].v, I4{0, 4, 1, 5}),
           d = __builtin_shuffle(r[2].v, r[3].v, I4{2, 6, 3, 7});
  r[0].v = __builtin_shuffle(a, c, I4{0, 1, 4, 5});
  r[1].v = __builtin_shuffle(a, c, I4{2, 3, 6, 7});
  r[2].v = __builtin_shuffle(b, d, I4{0, 1, 4, 5});
  r[3].v = __builtin_shuffle(b, d, I4{2, 3, 6, 7});
}

NNLIB_INLINE float reduce_add(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
NNLIB_INLINE float reduce_max(Vec a) {
  const float x = a.v[0] > a.v[2] ? a.v[0] : a.v[2], y = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
  return x > y ? x : y;
}
NNLIB_INLINE float reduce_min(Vec a) {
  const float x = a.v[0] < a.v[2] ? a.v[0] : a.v[2], y = a.v[1] < a.v[3] ? a.v[1] : a.v[3];
  return x < y ? x : y;
}

NNLIB_INLINE IVec widen16(const uint16_t* p, int64_t n) {
  int32_t t[4] = {};
  for (int64_t i = 0; i < n && i < 4; ++i) t[i] = p[i];
  return load_i(t);
}
NNLIB_INLINE void narrow16(uint16_t* p, IVec a, int64_t n) {
  for (int64_t i = 0; i < n && i < 4; ++i) p[i] = uint16_t(a.v[i]);
}
NNLIB_INLINE IVec bf16_bits(Vec a) {
  const IVec u = as_int(a), odd = shr_logical<16>(u) & set1i(1);
  const IVec r = shr_logical<16>(u + odd + set1i(0x7fff));
  return select(ne(a, a), set1i(0x7fc0), r);
}
// Half to float: shift exponent and mantissa up, then multiply by 2^112 to correct the exponent's bias. The
// product is exact, subnormals included; infinities and NaNs are set apart.
NNLIB_INLINE Vec f16_value(IVec h) {
  const IVec magnitude = h & set1i(0x7fff), sign = shl<16>(h & set1i(0x8000));
  const Vec scaled = as_float(shl<13>(magnitude)) * as_float(set1i(0x77800000));
  const IVec special = shl<13>(magnitude) | set1i(0x7f800000);
  return as_float(select(lt(set1i(0x7bff), magnitude), special, as_int(scaled)) | sign);
}
// Float to half: adding a power of two whose last place is the half's last place lets the FPU do the
// rounding.
NNLIB_INLINE IVec f16_bits(Vec a) {
  const IVec u = as_int(a), sign = shr_logical<16>(u) & set1i(0x8000), magnitude = u & set1i(0x7fffffff);
  const IVec odd = shr_logical<13>(magnitude) & set1i(1);
  const IVec normal = shr_logical<13>(magnitude + odd + set1i(0xfff) - set1i(112 << 23));
  const IVec subnormal = as_int(as_float(magnitude) + set1(0.5f)) - as_int(set1(0.5f));
  IVec r = select(lt(magnitude, set1i(113 << 23)), subnormal, normal);
  r = select(lt(set1i(0x477fefff), magnitude), set1i(0x7c00), r);
  r = select(lt(set1i(0x7f800000), magnitude), set1i(0x7e00), r);
  return r | sign;
}
NNLIB_INLINE Vec load_bf16_n(const uint16_t* p, int64_t n) { return as_float(shl<16>(widen16(p, n))); }
NNLIB_INLINE void store_bf16_n(uint16_t* p, Vec a, int64_t n) { narrow16(p, bf16_bits(a), n); }
NNLIB_INLINE Vec load_f16_n(const uint16_t* p, int64_t n) { return f16_value(widen16(p, n)); }
NNLIB_INLINE void store_f16_n(uint16_t* p, Vec a, int64_t n) { narrow16(p, f16_bits(a), n); }
NNLIB_INLINE Vec load_bf16(const uint16_t* p) { return load_bf16_n(p, 4); }
NNLIB_INLINE void store_bf16(uint16_t* p, Vec a) { store_bf16_n(p, a, 4); }
NNLIB_INLINE Vec load_f16(const uint16_t* p) { return load_f16_n(p, 4); }
NNLIB_INLINE void store_f16(uint16_t* p, Vec a) { store_f16_n(p, a, 4); }

NNLIB_INLINE VecD set1d(double x) { return {D2{x, x}}; }
NNLIB_INLINE VecD load_d(const double* p) {
  VecD a;
  memcpy(&a, p, sizeof a);
  return a;
}
NNLIB_INLINE VecD load_dn(const double* p, int64_t n) {
  return n >= 2 ? load_d(p) : n == 1 ? VecD{D2{p[0], 0}} : VecD{D2{}};
}
NNLIB_INLINE void store_d(double* p, VecD a) { memcpy(p, &a, sizeof a); }
NNLIB_INLINE void store_dn(double* p, VecD a, int64_t n) {
  for (int64_t i = 0; i < n && i < 2; ++i) p[i] = a.v[i];
}
NNLIB_INLINE double reduce_add(VecD a) { return a.v[0] + a.v[1]; }

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
