// AVX-512's vectors and masks, and what is done lane by lane.
#pragma once

typedef float __m512 __attribute__((vector_size(64), may_alias));
typedef double __m512d __attribute__((vector_size(64), may_alias));
typedef long long __m512i __attribute__((vector_size(64), may_alias));
typedef uint8_t __mmask8;
typedef uint16_t __mmask16;
typedef uint32_t __mmask32;

namespace imitation {

typedef int32_t Int __attribute__((vector_size(64), may_alias));
typedef uint32_t Unsigned __attribute__((vector_size(64), may_alias));
typedef uint16_t Words __attribute__((vector_size(64), may_alias));
typedef uint64_t Long __attribute__((vector_size(64), may_alias));

template <class Half>
struct Halves {
  Half low, high;
};
template <class Half, class V>
NNLIB_IMITATED Halves<Half> halves(V x) {
  Halves<Half> r;
  memcpy(&r, &x, sizeof r);
  return r;
}
template <class V, class Half>
NNLIB_IMITATED V join(Half low, Half high) {
  const Halves<Half> both = {low, high};
  V r;
  memcpy(&r, &both, sizeof r);
  return r;
}
// AVX2's instruction on both halves. Lambdas, as intrinsics cannot be passed as functions.
template <class V, class Half, class F>
NNLIB_IMITATED V by_halves(F f, V a) {
  const auto x = halves<Half>(a);
  return join<V>(f(x.low), f(x.high));
}
template <class V, class Half, class F>
NNLIB_IMITATED V by_halves(F f, V a, V b) {
  const auto x = halves<Half>(a), y = halves<Half>(b);
  return join<V>(f(x.low, y.low), f(x.high, y.high));
}
template <class V, class Half, class F>
NNLIB_IMITATED V by_halves(F f, V a, V b, V c) {
  const auto x = halves<Half>(a), y = halves<Half>(b), z = halves<Half>(c);
  return join<V>(f(x.low, y.low, z.low), f(x.high, y.high, z.high));
}

// -1 or 0 in each lane, as comparisons give it, from a mask and to a mask.
NNLIB_IMITATED Int lanes_of(__mmask16 mask) {
  const Int bit = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
  return ((Int{} + int(mask)) & bit) != 0;
}
NNLIB_IMITATED __mmask16 mask_of(Int x) {
  const auto part = halves<__m256>(x);
  return __mmask16(_mm256_movemask_ps(part.low) | _mm256_movemask_ps(part.high) << 8);
}

}  // namespace imitation

#define NNLIB_BY_HALVES_1(name, V, Half, f)                               \
  NNLIB_IMITATED V name(V a) {                                            \
    return imitation::by_halves<V, Half>([](Half x) { return f(x); }, a); \
  }
#define NNLIB_BY_HALVES_2(name, V, Half, f)                                             \
  NNLIB_IMITATED V name(V a, V b) {                                                     \
    return imitation::by_halves<V, Half>([](Half x, Half y) { return f(x, y); }, a, b); \
  }
#define NNLIB_BY_HALVES_3(name, V, Half, f)                                                           \
  NNLIB_IMITATED V name(V a, V b, V c) {                                                              \
    return imitation::by_halves<V, Half>([](Half x, Half y, Half z) { return f(x, y, z); }, a, b, c); \
  }
NNLIB_BY_HALVES_2(_mm512_min_ps, __m512, __m256, _mm256_min_ps)
NNLIB_BY_HALVES_2(_mm512_max_ps, __m512, __m256, _mm256_max_ps)
NNLIB_BY_HALVES_2(_mm512_min_epu32, __m512i, __m256i, _mm256_min_epu32)
NNLIB_BY_HALVES_2(_mm512_max_epu32, __m512i, __m256i, _mm256_max_epu32)
NNLIB_BY_HALVES_2(_mm512_min_epu16, __m512i, __m256i, _mm256_min_epu16)
NNLIB_BY_HALVES_2(_mm512_max_epu16, __m512i, __m256i, _mm256_max_epu16)
NNLIB_BY_HALVES_2(_mm512_mul_epu32, __m512i, __m256i, _mm256_mul_epu32)
NNLIB_BY_HALVES_2(_mm512_mullo_epi32, __m512i, __m256i, _mm256_mullo_epi32)
NNLIB_BY_HALVES_2(_mm512_add_epi32, __m512i, __m256i, _mm256_add_epi32)
NNLIB_BY_HALVES_2(_mm512_sub_epi32, __m512i, __m256i, _mm256_sub_epi32)
NNLIB_BY_HALVES_1(_mm512_sqrt_ps, __m512, __m256, _mm256_sqrt_ps)
NNLIB_BY_HALVES_1(_mm512_sqrt_pd, __m512d, __m256d, _mm256_sqrt_pd)
NNLIB_BY_HALVES_3(_mm512_fmadd_ps, __m512, __m256, _mm256_fmadd_ps)
NNLIB_BY_HALVES_3(_mm512_fnmadd_ps, __m512, __m256, _mm256_fnmadd_ps)
NNLIB_BY_HALVES_3(_mm512_fmadd_pd, __m512d, __m256d, _mm256_fmadd_pd)
// Within 128 bits, as AVX2 has them.
NNLIB_BY_HALVES_2(_mm512_unpacklo_ps, __m512, __m256, _mm256_unpacklo_ps)
NNLIB_BY_HALVES_2(_mm512_unpackhi_ps, __m512, __m256, _mm256_unpackhi_ps)
NNLIB_BY_HALVES_2(_mm512_unpacklo_pd, __m512d, __m256d, _mm256_unpacklo_pd)
NNLIB_BY_HALVES_2(_mm512_unpackhi_pd, __m512d, __m256d, _mm256_unpackhi_pd)
NNLIB_BY_HALVES_2(_mm512_unpacklo_epi32, __m512i, __m256i, _mm256_unpacklo_epi32)
NNLIB_BY_HALVES_2(_mm512_unpackhi_epi32, __m512i, __m256i, _mm256_unpackhi_epi32)
NNLIB_BY_HALVES_2(_mm512_unpacklo_epi64, __m512i, __m256i, _mm256_unpacklo_epi64)
NNLIB_BY_HALVES_2(_mm512_unpackhi_epi64, __m512i, __m256i, _mm256_unpackhi_epi64)
#undef NNLIB_BY_HALVES_1
#undef NNLIB_BY_HALVES_2
#undef NNLIB_BY_HALVES_3

NNLIB_IMITATED __m512 _mm512_add_ps(__m512 a, __m512 b) { return a + b; }
NNLIB_IMITATED __m512 _mm512_sub_ps(__m512 a, __m512 b) { return a - b; }
NNLIB_IMITATED __m512 _mm512_mul_ps(__m512 a, __m512 b) { return a * b; }
NNLIB_IMITATED __m512 _mm512_div_ps(__m512 a, __m512 b) { return a / b; }
NNLIB_IMITATED __m512i _mm512_and_si512(__m512i a, __m512i b) { return a & b; }
NNLIB_IMITATED __m512i _mm512_or_si512(__m512i a, __m512i b) { return a | b; }
NNLIB_IMITATED __m512i _mm512_xor_si512(__m512i a, __m512i b) { return a ^ b; }

// A shift by as many bits as a lane has, or more, leaves zeros or signs.
NNLIB_IMITATED __m512i _mm512_slli_epi32(__m512i a, unsigned n) {
  return n < 32 ? __m512i(imitation::Unsigned(a) << n) : __m512i{};
}
NNLIB_IMITATED __m512i _mm512_srli_epi32(__m512i a, unsigned n) {
  return n < 32 ? __m512i(imitation::Unsigned(a) >> n) : __m512i{};
}
NNLIB_IMITATED __m512i _mm512_srai_epi32(__m512i a, unsigned n) {
  return __m512i(imitation::Int(a) >> (n < 32 ? n : 31));
}
NNLIB_IMITATED __m512i _mm512_slli_epi64(__m512i a, unsigned n) {
  return n < 64 ? __m512i(imitation::Long(a) << n) : __m512i{};
}
NNLIB_IMITATED __m512i _mm512_srli_epi64(__m512i a, unsigned n) {
  return n < 64 ? __m512i(imitation::Long(a) >> n) : __m512i{};
}

// Whole numbers by how's lower half, as AVX2 has it; its upper half asks for places after the point.
NNLIB_IMITATED __m512 _mm512_roundscale_ps(__m512 a, const int how) {
  if (how >> 4) imitation::end("roundscale to other than whole numbers");
  const auto x = imitation::halves<__m256>(a);
  return imitation::join<__m512>(_mm256_round_ps(x.low, how), _mm256_round_ps(x.high, how));
}
NNLIB_IMITATED __m512d _mm512_roundscale_pd(__m512d a, const int how) {
  if (how >> 4) imitation::end("roundscale to other than whole numbers");
  const auto x = imitation::halves<__m256d>(a);
  return imitation::join<__m512d>(_mm256_round_pd(x.low, how), _mm256_round_pd(x.high, how));
}

// a 2^floor(b), rounded once: a double holds the product of every float with 2^-600 to 2^600.
NNLIB_IMITATED_APART __m512 _mm512_scalef_ps(__m512 a, __m512 b) {
  __m512 r;
  for (int i = 0; i < 16; ++i) {
    const double n = floor(double(b[i]));
    double factor = n;  // NaN stays NaN
    if (n == n) {
      const int64_t exponent = n < -600 ? -600 : n > 600 ? 600 : int64_t(n);
      const uint64_t bits = uint64_t(exponent + 1023) << 52;
      memcpy(&factor, &bits, sizeof factor);
      if (n == -INFINITY) factor = 0;
      if (n == INFINITY) factor = INFINITY;
    }
    r[i] = float(double(a[i]) * factor);
  }
  return r;
}

NNLIB_IMITATED __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, const int how) {
  const auto x = imitation::halves<__m256>(a), y = imitation::halves<__m256>(b);
  return imitation::mask_of(
      imitation::join<imitation::Int>(_mm256_cmp_ps(x.low, y.low, how), _mm256_cmp_ps(x.high, y.high, how)));
}
NNLIB_IMITATED __mmask16 _mm512_cmplt_epi32_mask(__m512i a, __m512i b) {
  return imitation::mask_of(imitation::Int(a) < imitation::Int(b));
}
NNLIB_IMITATED __mmask16 _mm512_cmpeq_epi32_mask(__m512i a, __m512i b) {
  return imitation::mask_of(imitation::Int(a) == imitation::Int(b));
}
NNLIB_IMITATED __mmask16 _mm512_cmplt_epu32_mask(__m512i a, __m512i b) {
  return imitation::mask_of(imitation::Unsigned(a) < imitation::Unsigned(b));
}
NNLIB_IMITATED __mmask16 _mm512_test_epi32_mask(__m512i a, __m512i b) {
  return imitation::mask_of(imitation::Int(a & b) != imitation::Int{});
}
NNLIB_IMITATED_APART __mmask32 _mm512_test_epi16_mask(__m512i a, __m512i b) {
  const imitation::Words both = imitation::Words(a & b);
  __mmask32 r = 0;
  for (int i = 0; i < 32; ++i) r |= __mmask32(both[i] != 0) << i;
  return r;
}
NNLIB_IMITATED __mmask16 _cvtu32_mask16(unsigned x) { return __mmask16(x); }
NNLIB_IMITATED __mmask32 _cvtu32_mask32(unsigned x) { return x; }

NNLIB_IMITATED __m512 _mm512_mask_mov_ps(__m512 other, __mmask16 mask, __m512 a) {
  return imitation::lanes_of(mask) ? a : other;
}
NNLIB_IMITATED __m512i _mm512_mask_mov_epi32(__m512i other, __mmask16 mask, __m512i a) {
  return __m512i(imitation::lanes_of(mask) ? imitation::Int(a) : imitation::Int(other));
}
NNLIB_IMITATED __m512i _mm512_mask_min_epu32(__m512i other, __mmask16 mask, __m512i a, __m512i b) {
  return _mm512_mask_mov_epi32(other, mask, _mm512_min_epu32(a, b));
}
NNLIB_IMITATED_APART __m512i _mm512_mask_min_epu16(__m512i other, __mmask32 mask, __m512i a, __m512i b) {
  imitation::Words r = imitation::Words(other), least = imitation::Words(_mm512_min_epu16(a, b));
  for (int i = 0; i < 32; ++i) {
    if (mask >> i & 1) r[i] = least[i];
  }
  return __m512i(r);
}
