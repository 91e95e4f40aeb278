// Vec on AVX2 with FMA and F16C: 8 floats, masks as lanes of all ones. See vec.h for the operations.
#pragma once
#include <immintrin.h>

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int kVecBytes = 32;
constexpr int kWidth = 8;
constexpr int kWidthD = 4;

struct Vec {
  __m256 v;
};
struct IVec {
  __m256i v;
};
struct Mask {
  __m256 m;
};
struct VecD {
  __m256d v;
};

NNLIB_INLINE __m256i iota256() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
NNLIB_INLINE __m256i lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n >= 8 ? 8 : n <= 0 ? 0 : int(n)), iota256());
}
NNLIB_INLINE __m256i lanes_d(int64_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

NNLIB_INLINE Vec set1(float x) { return {_mm256_set1_ps(x)}; }
NNLIB_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
NNLIB_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
NNLIB_INLINE Vec load_n(const float* p, int64_t n) { return {_mm256_maskload_ps(p, lanes(n))}; }
NNLIB_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
// By parts: a masked store takes some AMD processors tens of cycles.
NNLIB_INLINE void store_n(float* p, Vec a, int64_t n) {
  if (n >= 8) return _mm256_storeu_ps(p, a.v);
  if (n <= 0) return;
  __m128 part = _mm256_castps256_ps128(a.v);
  if (n & 4) {
    _mm_storeu_ps(p, part);
    part = _mm256_extractf128_ps(a.v, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), part);
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, part);
}
NNLIB_INLINE void stream(float* p, Vec a) { _mm256_stream_ps(p, a.v); }
NNLIB_INLINE void fence() { _mm_sfence(); }
NNLIB_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

NNLIB_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
NNLIB_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
NNLIB_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
NNLIB_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
NNLIB_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
NNLIB_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
NNLIB_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
NNLIB_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
NNLIB_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
NNLIB_INLINE Vec round_even(Vec a) { return {_mm256_round_ps(a.v, 0x08)}; }
NNLIB_INLINE Vec floor(Vec a) { return {_mm256_round_ps(a.v, 0x09)}; }
NNLIB_INLINE Vec ceil(Vec a) { return {_mm256_round_ps(a.v, 0x0a)}; }
NNLIB_INLINE Vec trunc(Vec a) { return {_mm256_round_ps(a.v, 0x0b)}; }

NNLIB_INLINE Mask lt(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
NNLIB_INLINE Mask le(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
NNLIB_INLINE Mask eq(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
NNLIB_INLINE Mask ne(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_NEQ_UQ)}; }
NNLIB_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.m, b.m)}; }
NNLIB_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.m, b.m)}; }
NNLIB_INLINE Mask operator~(Mask a) {
  return {_mm256_xor_ps(a.m, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))};
}
NNLIB_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.m)}; }
NNLIB_INLINE IVec select(Mask m, IVec a, IVec b) {
  return {_mm256_blendv_epi8(b.v, a.v, _mm256_castps_si256(m.m))};
}
NNLIB_INLINE uint32_t bits(Mask m) { return uint32_t(_mm256_movemask_ps(m.m)); }
NNLIB_INLINE Mask mask_from_bits(uint32_t b) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(int(b)), bit);
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit))};
}

NNLIB_INLINE IVec set1i(int32_t x) { return {_mm256_set1_epi32(x)}; }
NNLIB_INLINE IVec load_i(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
NNLIB_INLINE IVec load_in(const int32_t* p, int64_t n) { return {_mm256_maskload_epi32(p, lanes(n))}; }
NNLIB_INLINE void store_i(int32_t* p, IVec a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
NNLIB_INLINE void store_in(int32_t* p, IVec a, int64_t n) { _mm256_maskstore_epi32(p, lanes(n), a.v); }
NNLIB_INLINE IVec operator+(IVec a, IVec b) { return {_mm256_add_epi32(a.v, b.v)}; }
NNLIB_INLINE IVec operator-(IVec a, IVec b) { return {_mm256_sub_epi32(a.v, b.v)}; }
NNLIB_INLINE IVec operator*(IVec a, IVec b) { return {_mm256_mullo_epi32(a.v, b.v)}; }
NNLIB_INLINE IVec operator&(IVec a, IVec b) { return {_mm256_and_si256(a.v, b.v)}; }
NNLIB_INLINE IVec operator|(IVec a, IVec b) { return {_mm256_or_si256(a.v, b.v)}; }
NNLIB_INLINE IVec operator^(IVec a, IVec b) { return {_mm256_xor_si256(a.v, b.v)}; }
template <int N>
NNLIB_INLINE IVec shl(IVec a) {
  return {_mm256_slli_epi32(a.v, N)};
}
template <int N>
NNLIB_INLINE IVec shr(IVec a) {  // arithmetic: keeps the sign
  return {_mm256_srai_epi32(a.v, N)};
}
template <int N>
NNLIB_INLINE IVec shr_logical(IVec a) {
  return {_mm256_srli_epi32(a.v, N)};
}
NNLIB_INLINE Mask lt(IVec a, IVec b) { return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(b.v, a.v))}; }
NNLIB_INLINE Mask eq(IVec a, IVec b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.v, b.v))}; }
NNLIB_INLINE Mask ltu(IVec a, IVec b) {
  const IVec top = set1i(INT32_MIN);
  return lt(a ^ top, b ^ top);
}

NNLIB_INLINE IVec as_int(Vec a) { return {_mm256_castps_si256(a.v)}; }
NNLIB_INLINE Vec as_float(IVec a) { return {_mm256_castsi256_ps(a.v)}; }
NNLIB_INLINE IVec to_int(Vec a) { return {_mm256_cvtps_epi32(a.v)}; }
NNLIB_INLINE IVec trunc_int(Vec a) { return {_mm256_cvttps_epi32(a.v)}; }
NNLIB_INLINE Vec to_float(IVec a) { return {_mm256_cvtepi32_ps(a.v)}; }
NNLIB_INLINE IVec iota() { return {iota256()}; }
// By loads: the instruction takes twice as long on Zen 3.
NNLIB_INLINE Vec gather(const float* p, IVec i) {
  alignas(32) int32_t at[kWidth];
  store_i(at, i);
  return {_mm256_setr_ps(p[at[0]], p[at[1]], p[at[2]], p[at[3]], p[at[4]], p[at[5]], p[at[6]], p[at[7]])};
}
NNLIB_INLINE Vec permute(Vec a, IVec i) { return {_mm256_permutevar8x32_ps(a.v, i.v)}; }

// r[i] lane j becomes r[j] lane i.
NNLIB_INLINE void transpose(Vec (&r)[8]) {
  __m256 t[8];
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
  }
  for (int i = 0; i < 2; ++i) {
    r[4 * i].v = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1].v = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2].v = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3].v = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(r[i].v, r[4 + i].v, 0x20);
    t[4 + i] = _mm256_permute2f128_ps(r[i].v, r[4 + i].v, 0x31);
  }
  for (int i = 0; i < 8; ++i) r[i].v = t[i];
}

NNLIB_INLINE float reduce_add(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
NNLIB_INLINE float reduce_max(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
NNLIB_INLINE float reduce_min(Vec a) {
  __m128 s = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_min_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_min_ss(s, _mm_movehdup_ps(s)));
}

// By parts too: a loop over values costs more than what is done with them.
NNLIB_INLINE __m128i load16(const uint16_t* p, int64_t n) {
  if (n >= 8) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  if (n <= 0) return _mm_setzero_si128();
  uint64_t low = 0, rest = 0;
  const uint16_t* const tail = p + (n & 4);
  if (n & 2) {
    uint32_t two;
    memcpy(&two, tail, 4);
    rest = two;
  }
  if (n & 1) rest |= uint64_t(tail[n & 2]) << (n & 2) * 16;
  if (!(n & 4)) return _mm_set_epi64x(0, int64_t(rest));
  memcpy(&low, p, 8);
  return _mm_set_epi64x(int64_t(rest), int64_t(low));
}
NNLIB_INLINE void store16(uint16_t* p, __m128i h, int64_t n) {
  if (n >= 8) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), h);
  if (n <= 0) return;
  uint64_t part = uint64_t(_mm_cvtsi128_si64(h));
  if (n & 4) {
    memcpy(p, &part, 8);
    part = uint64_t(_mm_extract_epi64(h, 1));
    p += 4;
  }
  if (n & 2) {
    memcpy(p, &part, 4);
    part >>= 32;
    p += 2;
  }
  if (n & 1) *p = uint16_t(part);
}
NNLIB_INLINE Vec bf16_to_f32(__m128i h) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16))};
}
NNLIB_INLINE __m128i f32_to_bf16(Vec a) {
  const __m256i u = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  r = _mm256_srli_epi32(_mm256_blendv_epi8(r, _mm256_set1_epi32(0x7fc00000), nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}
NNLIB_INLINE __m128i whole16(const uint16_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
NNLIB_INLINE void whole16(uint16_t* p, __m128i h) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), h); }
NNLIB_INLINE __m128i f32_to_f16(Vec a) { return _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT); }
NNLIB_INLINE Vec load_bf16(const uint16_t* p) { return bf16_to_f32(whole16(p)); }
NNLIB_INLINE Vec load_bf16_n(const uint16_t* p, int64_t n) { return bf16_to_f32(load16(p, n)); }
NNLIB_INLINE void store_bf16(uint16_t* p, Vec a) { whole16(p, f32_to_bf16(a)); }
NNLIB_INLINE void store_bf16_n(uint16_t* p, Vec a, int64_t n) { store16(p, f32_to_bf16(a), n); }
NNLIB_INLINE Vec load_f16(const uint16_t* p) { return {_mm256_cvtph_ps(whole16(p))}; }
NNLIB_INLINE Vec load_f16_n(const uint16_t* p, int64_t n) { return {_mm256_cvtph_ps(load16(p, n))}; }
NNLIB_INLINE void store_f16(uint16_t* p, Vec a) { whole16(p, f32_to_f16(a)); }
NNLIB_INLINE void store_f16_n(uint16_t* p, Vec a, int64_t n) { store16(p, f32_to_f16(a), n); }

NNLIB_INLINE VecD set1d(double x) { return {_mm256_set1_pd(x)}; }
NNLIB_INLINE VecD load_d(const double* p) { return {_mm256_loadu_pd(p)}; }
NNLIB_INLINE VecD load_dn(const double* p, int64_t n) { return {_mm256_maskload_pd(p, lanes_d(n))}; }
NNLIB_INLINE void store_d(double* p, VecD a) { _mm256_storeu_pd(p, a.v); }
NNLIB_INLINE void store_dn(double* p, VecD a, int64_t n) {
  if (n >= 4) return _mm256_storeu_pd(p, a.v);
  if (n <= 0) return;
  __m128d part = _mm256_castpd256_pd128(a.v);
  if (n & 2) {
    _mm_storeu_pd(p, part);
    part = _mm256_extractf128_pd(a.v, 1);
    p += 2;
  }
  if (n & 1) _mm_store_sd(p, part);
}
NNLIB_INLINE void stream(double* p, VecD a) { _mm256_stream_pd(p, a.v); }
NNLIB_INLINE VecD fma(VecD a, VecD b, VecD c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
NNLIB_INLINE VecD sqrt(VecD a) { return {_mm256_sqrt_pd(a.v)}; }
NNLIB_INLINE double reduce_add(VecD a) {
  const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
