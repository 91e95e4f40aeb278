// Vec on AVX-512 (F, BW, DQ, VL): 16 floats, masks in mask registers. See vec.h for the operations.
#pragma once
#include <immintrin.h>

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int kVecBytes = 64;
constexpr int kWidth = 16;
constexpr int kWidthD = 8;

struct Vec {
  __m512 v;
};
struct IVec {
  __m512i v;
};
struct Mask {
  __mmask16 m;
};
struct VecD {
  __m512d v;
};

NNLIB_INLINE __mmask16 lanes(int64_t n) {
  return n >= 16 ? __mmask16(0xffff) : n <= 0 ? __mmask16(0) : __mmask16((1u << n) - 1);
}

NNLIB_INLINE Vec set1(float x) { return {_mm512_set1_ps(x)}; }
NNLIB_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
NNLIB_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
NNLIB_INLINE Vec load_n(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(lanes(n), p)}; }
NNLIB_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
NNLIB_INLINE void store_n(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, lanes(n), a.v); }
NNLIB_INLINE void stream(float* p, Vec a) { _mm512_stream_ps(p, a.v); }
NNLIB_INLINE void fence() { _mm_sfence(); }
NNLIB_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

NNLIB_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
NNLIB_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
NNLIB_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
NNLIB_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
NNLIB_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
NNLIB_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
NNLIB_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
NNLIB_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
NNLIB_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
NNLIB_INLINE Vec round_even(Vec a) { return {_mm512_roundscale_ps(a.v, 0x08)}; }
NNLIB_INLINE Vec floor(Vec a) { return {_mm512_roundscale_ps(a.v, 0x09)}; }
NNLIB_INLINE Vec ceil(Vec a) { return {_mm512_roundscale_ps(a.v, 0x0a)}; }
NNLIB_INLINE Vec trunc(Vec a) { return {_mm512_roundscale_ps(a.v, 0x0b)}; }

NNLIB_INLINE Mask lt(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
NNLIB_INLINE Mask le(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
NNLIB_INLINE Mask eq(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
NNLIB_INLINE Mask ne(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
NNLIB_INLINE Mask operator&(Mask a, Mask b) { return {__mmask16(a.m & b.m)}; }
NNLIB_INLINE Mask operator|(Mask a, Mask b) { return {__mmask16(a.m | b.m)}; }
NNLIB_INLINE Mask operator~(Mask a) { return {__mmask16(~a.m)}; }
NNLIB_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_mov_ps(b.v, m.m, a.v)}; }
NNLIB_INLINE IVec select(Mask m, IVec a, IVec b) { return {_mm512_mask_mov_epi32(b.v, m.m, a.v)}; }
NNLIB_INLINE uint32_t bits(Mask m) { return m.m; }
NNLIB_INLINE Mask mask_from_bits(uint32_t b) { return {__mmask16(b)}; }

NNLIB_INLINE IVec set1i(int32_t x) { return {_mm512_set1_epi32(x)}; }
NNLIB_INLINE IVec load_i(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
NNLIB_INLINE IVec load_in(const int32_t* p, int64_t n) { return {_mm512_maskz_loadu_epi32(lanes(n), p)}; }
NNLIB_INLINE void store_i(int32_t* p, IVec a) { _mm512_storeu_si512(p, a.v); }
NNLIB_INLINE void store_in(int32_t* p, IVec a, int64_t n) { _mm512_mask_storeu_epi32(p, lanes(n), a.v); }
NNLIB_INLINE IVec operator+(IVec a, IVec b) { return {_mm512_add_epi32(a.v, b.v)}; }
NNLIB_INLINE IVec operator-(IVec a, IVec b) { return {_mm512_sub_epi32(a.v, b.v)}; }
NNLIB_INLINE IVec operator*(IVec a, IVec b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
NNLIB_INLINE IVec operator&(IVec a, IVec b) { return {_mm512_and_si512(a.v, b.v)}; }
NNLIB_INLINE IVec operator|(IVec a, IVec b) { return {_mm512_or_si512(a.v, b.v)}; }
NNLIB_INLINE IVec operator^(IVec a, IVec b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int N>
NNLIB_INLINE IVec shl(IVec a) {
  return {_mm512_slli_epi32(a.v, N)};
}
template <int N>
NNLIB_INLINE IVec shr(IVec a) {  // arithmetic: keeps the sign
  return {_mm512_srai_epi32(a.v, N)};
}
template <int N>
NNLIB_INLINE IVec shr_logical(IVec a) {
  return {_mm512_srli_epi32(a.v, N)};
}
NNLIB_INLINE Mask lt(IVec a, IVec b) { return {_mm512_cmplt_epi32_mask(a.v, b.v)}; }
NNLIB_INLINE Mask eq(IVec a, IVec b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
NNLIB_INLINE Mask ltu(IVec a, IVec b) { return {_mm512_cmplt_epu32_mask(a.v, b.v)}; }

NNLIB_INLINE IVec as_int(Vec a) { return {_mm512_castps_si512(a.v)}; }
NNLIB_INLINE Vec as_float(IVec a) { return {_mm512_castsi512_ps(a.v)}; }
NNLIB_INLINE IVec to_int(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }
NNLIB_INLINE IVec trunc_int(Vec a) { return {_mm512_cvttps_epi32(a.v)}; }
NNLIB_INLINE Vec to_float(IVec a) { return {_mm512_cvtepi32_ps(a.v)}; }
NNLIB_INLINE IVec iota() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
NNLIB_INLINE Vec gather(const float* p, IVec i) { return {_mm512_i32gather_ps(i.v, p, 4)}; }
NNLIB_INLINE Vec permute(Vec a, IVec i) { return {_mm512_permutexvar_ps(i.v, a.v)}; }

// r[i] lane j becomes r[j] lane i.
NNLIB_INLINE void transpose(Vec (&r)[16]) {
  __m512 t[16];
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(t[4 * i]), b = _mm512_castps_pd(t[4 * i + 1]);
    const __m512d c = _mm512_castps_pd(t[4 * i + 2]), d = _mm512_castps_pd(t[4 * i + 3]);
    r[4 * i].v = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    r[4 * i + 1].v = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    r[4 * i + 2].v = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    r[4 * i + 3].v = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i].v, r[4 + i].v, 0x88);
    t[4 + i] = _mm512_shuffle_f32x4(r[i].v, r[4 + i].v, 0xdd);
    t[8 + i] = _mm512_shuffle_f32x4(r[8 + i].v, r[12 + i].v, 0x88);
    t[12 + i] = _mm512_shuffle_f32x4(r[8 + i].v, r[12 + i].v, 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i].v = _mm512_shuffle_f32x4(t[i], t[8 + i], 0x88);
    r[8 + i].v = _mm512_shuffle_f32x4(t[i], t[8 + i], 0xdd);
    r[4 + i].v = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0x88);
    r[12 + i].v = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

NNLIB_INLINE float reduce_add(Vec a) { return _mm512_reduce_add_ps(a.v); }
NNLIB_INLINE float reduce_max(Vec a) { return _mm512_reduce_max_ps(a.v); }
NNLIB_INLINE float reduce_min(Vec a) { return _mm512_reduce_min_ps(a.v); }

NNLIB_INLINE __m256i load16(const uint16_t* p, int64_t n) { return _mm256_maskz_loadu_epi16(lanes(n), p); }
NNLIB_INLINE Vec bf16_to_f32(__m256i h) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
}
NNLIB_INLINE __m256i f32_to_bf16(Vec a) {
  const __m512i u = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  r = _mm512_mask_mov_epi32(r, nan, _mm512_set1_epi32(0x7fc00000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
NNLIB_INLINE Vec load_bf16(const uint16_t* p) {
  return bf16_to_f32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
NNLIB_INLINE Vec load_bf16_n(const uint16_t* p, int64_t n) { return bf16_to_f32(load16(p, n)); }
NNLIB_INLINE void store_bf16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), f32_to_bf16(a));
}
NNLIB_INLINE void store_bf16_n(uint16_t* p, Vec a, int64_t n) {
  _mm256_mask_storeu_epi16(p, lanes(n), f32_to_bf16(a));
}
NNLIB_INLINE Vec load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
NNLIB_INLINE Vec load_f16_n(const uint16_t* p, int64_t n) { return {_mm512_cvtph_ps(load16(p, n))}; }
NNLIB_INLINE void store_f16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
NNLIB_INLINE void store_f16_n(uint16_t* p, Vec a, int64_t n) {
  _mm256_mask_storeu_epi16(p, lanes(n), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}

NNLIB_INLINE VecD set1d(double x) { return {_mm512_set1_pd(x)}; }
NNLIB_INLINE VecD load_d(const double* p) { return {_mm512_loadu_pd(p)}; }
NNLIB_INLINE VecD load_dn(const double* p, int64_t n) {
  return {_mm512_maskz_loadu_pd(__mmask8(lanes(n)), p)};
}
NNLIB_INLINE void store_d(double* p, VecD a) { _mm512_storeu_pd(p, a.v); }
NNLIB_INLINE void store_dn(double* p, VecD a, int64_t n) {
  _mm512_mask_storeu_pd(p, __mmask8(lanes(n)), a.v);
}
NNLIB_INLINE void stream(double* p, VecD a) { _mm512_stream_pd(p, a.v); }
NNLIB_INLINE VecD fma(VecD a, VecD b, VecD c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
NNLIB_INLINE VecD sqrt(VecD a) { return {_mm512_sqrt_pd(a.v)}; }
NNLIB_INLINE double reduce_add(VecD a) { return _mm512_reduce_add_pd(a.v); }

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
