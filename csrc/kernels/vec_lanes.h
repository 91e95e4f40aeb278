// Operations across lanes and on unsigned lanes that pooling and the random numbers need:
//   split_pairs(a, b, &even, &odd)     the even and the odd elements of the 2 * kWidth values a, b
//   merge_pairs(even, odd, &a, &b)     its inverse
//   gather_pairs(p, i, &even, &odd)    p[i[lane]] and p[i[lane] + 1]
//   load_u8_n / store_u8_n             int32 lanes from and to bytes
//   mul_wide(a, m, &high, &low)        both halves of the unsigned 64-bit products of a's lanes with m
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

#if defined(__AVX2__)
// A load for each pair: gather instructions take longer for half of it.
NNLIB_INLINE void gather_pairs(const float* p, const int32_t* at, __m256* even, __m256* odd) {
  const auto two = [&](int i, int j) __attribute__((always_inline)) {
    const __m128 first = _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i_u*>(p + at[i])));
    return _mm_loadh_pi(first, reinterpret_cast<const __m64*>(p + at[j]));
  };
  const __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0, 1)), two(4, 5), 1);
  const __m256 b = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2, 3)), two(6, 7), 1);
  *even = _mm256_shuffle_ps(a, b, 0x88);
  *odd = _mm256_shuffle_ps(a, b, 0xdd);
}
#endif

#if defined(__AVX512F__)

NNLIB_INLINE void gather_pairs(const float* p, IVec at, Vec* even, Vec* odd) {
  alignas(64) int32_t i[kWidth];
  store_i(i, at);
  __m256 e[2], o[2];
  gather_pairs(p, i, &e[0], &o[0]);
  gather_pairs(p, i + 8, &e[1], &o[1]);
  const auto join = [](const __m256* v) __attribute__((always_inline)) {
    return _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(v[0])), _mm256_castps_pd(v[1]), 1));
  };
  even->v = join(e);
  odd->v = join(o);
}
NNLIB_INLINE void split_pairs(Vec a, Vec b, Vec* even, Vec* odd) {
  const __m512i e = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  even->v = _mm512_permutex2var_ps(a.v, e, b.v);
  odd->v = _mm512_permutex2var_ps(a.v, _mm512_add_epi32(e, _mm512_set1_epi32(1)), b.v);
}
NNLIB_INLINE void merge_pairs(Vec even, Vec odd, Vec* a, Vec* b) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  a->v = _mm512_permutex2var_ps(even.v, low, odd.v);
  b->v = _mm512_permutex2var_ps(even.v, _mm512_add_epi32(low, _mm512_set1_epi32(8)), odd.v);
}
NNLIB_INLINE IVec load_u8_n(const uint8_t* p, int64_t n) {
  return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes(n), p))};
}
NNLIB_INLINE void store_u8_n(uint8_t* p, IVec a, int64_t n) {
  _mm512_mask_cvtepi32_storeu_epi8(p, lanes(n), a.v);
}
NNLIB_INLINE void mul_wide(IVec a, uint32_t m, IVec* high, IVec* low) {
  const __m512i vm = _mm512_set1_epi32(int32_t(m));
  const __m512i even = _mm512_mul_epu32(a.v, vm), odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), vm);
  low->v = _mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64(odd, 32));
  high->v = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd);
}

#else

#if defined(__AVX2__)
NNLIB_INLINE void gather_pairs(const float* p, IVec at, Vec* even, Vec* odd) {
  alignas(32) int32_t i[kWidth];
  store_i(i, at);
  gather_pairs(p, i, &even->v, &odd->v);
}
NNLIB_INLINE void split_pairs(Vec a, Vec b, Vec* even, Vec* odd) {
  const __m256 e = _mm256_shuffle_ps(a.v, b.v, 0x88), o = _mm256_shuffle_ps(a.v, b.v, 0xdd);
  even->v = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(e), 0xd8));
  odd->v = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(o), 0xd8));
}
NNLIB_INLINE void merge_pairs(Vec even, Vec odd, Vec* a, Vec* b) {
  const __m256 low = _mm256_unpacklo_ps(even.v, odd.v), high = _mm256_unpackhi_ps(even.v, odd.v);
  a->v = _mm256_permute2f128_ps(low, high, 0x20);
  b->v = _mm256_permute2f128_ps(low, high, 0x31);
}
NNLIB_INLINE void mul_wide(IVec a, uint32_t m, IVec* high, IVec* low) {
  const __m256i vm = _mm256_set1_epi32(int32_t(m));
  const __m256i even = _mm256_mul_epu32(a.v, vm), odd = _mm256_mul_epu32(_mm256_srli_epi64(a.v, 32), vm);
  low->v = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  high->v = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
#else
NNLIB_INLINE void gather_pairs(const float* p, IVec at, Vec* even, Vec* odd) {
  int32_t i[kWidth];
  float e[kWidth], o[kWidth];
  store_i(i, at);
  for (int l = 0; l < kWidth; ++l) {
    e[l] = p[i[l]];
    o[l] = p[i[l] + 1];
  }
  *even = load(e);
  *odd = load(o);
}
NNLIB_INLINE void split_pairs(Vec a, Vec b, Vec* even, Vec* odd) {
  float in[2 * kWidth], e[kWidth], o[kWidth];
  store(in, a);
  store(in + kWidth, b);
  for (int i = 0; i < kWidth; ++i) {
    e[i] = in[2 * i];
    o[i] = in[2 * i + 1];
  }
  *even = load(e);
  *odd = load(o);
}
NNLIB_INLINE void merge_pairs(Vec even, Vec odd, Vec* a, Vec* b) {
  float out[2 * kWidth], e[kWidth], o[kWidth];
  store(e, even);
  store(o, odd);
  for (int i = 0; i < kWidth; ++i) {
    out[2 * i] = e[i];
    out[2 * i + 1] = o[i];
  }
  *a = load(out);
  *b = load(out + kWidth);
}
NNLIB_INLINE void mul_wide(IVec a, uint32_t m, IVec* high, IVec* low) {
  int32_t in[kWidth], h[kWidth], l[kWidth];
  store_i(in, a);
  for (int i = 0; i < kWidth; ++i) {
    const uint64_t product = uint64_t(uint32_t(in[i])) * m;
    l[i] = int32_t(uint32_t(product));
    h[i] = int32_t(uint32_t(product >> 32));
  }
  *high = load_i(h);
  *low = load_i(l);
}
#endif

NNLIB_INLINE IVec load_u8_n(const uint8_t* p, int64_t n) {
  int32_t wide[kWidth] = {};
  const int64_t m = n < kWidth ? n : kWidth;
  for (int64_t i = 0; i < m; ++i) wide[i] = p[i];
  return load_i(wide);
}
NNLIB_INLINE void store_u8_n(uint8_t* p, IVec a, int64_t n) {
  int32_t wide[kWidth];
  store_i(wide, a);
  const int64_t m = n < kWidth ? n : kWidth;
  for (int64_t i = 0; i < m; ++i) p[i] = uint8_t(wide[i]);
}

#endif

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
