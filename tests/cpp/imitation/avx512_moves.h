// AVX-512's constants, casts, conversions, permutations and sums over lanes.
#pragma once

NNLIB_IMITATED __m512 _mm512_setzero_ps() { return __m512{}; }
NNLIB_IMITATED __m512i _mm512_setzero_si512() { return __m512i{}; }
NNLIB_IMITATED __m512 _mm512_set1_ps(float x) {
  return imitation::join<__m512>(_mm256_set1_ps(x), _mm256_set1_ps(x));
}
NNLIB_IMITATED __m512d _mm512_set1_pd(double x) {
  return imitation::join<__m512d>(_mm256_set1_pd(x), _mm256_set1_pd(x));
}
NNLIB_IMITATED __m512i _mm512_set1_epi32(int x) {
  return imitation::join<__m512i>(_mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
NNLIB_IMITATED __m512i _mm512_set1_epi16(short x) {
  return imitation::join<__m512i>(_mm256_set1_epi16(x), _mm256_set1_epi16(x));
}
NNLIB_IMITATED __m512i _mm512_setr_epi32(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j,
                                         int k, int l, int m, int n, int o, int p) {
  return __m512i(imitation::Int{a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p});
}

NNLIB_IMITATED __m512i _mm512_castps_si512(__m512 a) { return __m512i(a); }
NNLIB_IMITATED __m512d _mm512_castps_pd(__m512 a) { return __m512d(a); }
NNLIB_IMITATED __m512 _mm512_castsi512_ps(__m512i a) { return __m512(a); }
NNLIB_IMITATED __m512 _mm512_castpd_ps(__m512d a) { return __m512(a); }
NNLIB_IMITATED __m512 _mm512_castps256_ps512(__m256 a) {  // the upper half is undefined
  return imitation::join<__m512>(a, _mm256_setzero_ps());
}
NNLIB_IMITATED __m512d _mm512_insertf64x4(__m512d a, __m256d b, const int half) {
  const auto x = imitation::halves<__m256d>(a);
  return half ? imitation::join<__m512d>(x.low, b) : imitation::join<__m512d>(b, x.high);
}

NNLIB_IMITATED __m512i _mm512_cvtps_epi32(__m512 a) {
  const auto x = imitation::halves<__m256>(a);
  return imitation::join<__m512i>(_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high));
}
NNLIB_IMITATED __m512i _mm512_cvttps_epi32(__m512 a) {
  const auto x = imitation::halves<__m256>(a);
  return imitation::join<__m512i>(_mm256_cvttps_epi32(x.low), _mm256_cvttps_epi32(x.high));
}
NNLIB_IMITATED __m512 _mm512_cvtepi32_ps(__m512i a) {
  const auto x = imitation::halves<__m256i>(a);
  return imitation::join<__m512>(_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high));
}
NNLIB_IMITATED __m512i _mm512_cvtepu16_epi32(__m256i a) {
  return imitation::join<__m512i>(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)),
                                  _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1)));
}
NNLIB_IMITATED __m512i _mm512_cvtepu8_epi32(__m128i a) {
  return imitation::join<__m512i>(_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8)));
}
NNLIB_IMITATED __m256i _mm512_cvtepi32_epi16(__m512i a) {  // the lower bits
  typedef uint16_t Words __attribute__((vector_size(32)));
  return __m256i(__builtin_convertvector(imitation::Unsigned(a), Words));
}
NNLIB_IMITATED __m512 _mm512_cvtph_ps(__m256i a) {
  return imitation::join<__m512>(_mm256_cvtph_ps(_mm256_castsi256_si128(a)),
                                 _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1)));
}
NNLIB_IMITATED __m256i _mm512_cvtps_ph(__m512 a, const int how) {
  const auto x = imitation::halves<__m256>(a);
  return _mm256_set_m128i(_mm256_cvtps_ph(x.high, how), _mm256_cvtps_ph(x.low, how));
}

// Indices count modulo the lanes that there are, as g++'s __builtin_shuffle counts them.
NNLIB_IMITATED_APART __m512 _mm512_permutexvar_ps(__m512i index, __m512 a) {
  return __builtin_shuffle(a, imitation::Int(index));
}
NNLIB_IMITATED_APART __m512 _mm512_permutex2var_ps(__m512 a, __m512i index, __m512 b) {
  return __builtin_shuffle(a, b, imitation::Int(index));
}
NNLIB_IMITATED_APART __m512i _mm512_permutex2var_epi32(__m512i a, __m512i index, __m512i b) {
  return __m512i(__builtin_shuffle(imitation::Int(a), imitation::Int(b), imitation::Int(index)));
}
NNLIB_IMITATED_APART __m512i _mm512_permutex2var_epi16(__m512i a, __m512i index, __m512i b) {
  return __m512i(__builtin_shuffle(imitation::Words(a), imitation::Words(b), imitation::Words(index)));
}
// Quarters: two of a, then two of b, by two bits of `which` each.
NNLIB_IMITATED_APART __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, const int which) {
  const int q[4] = {which & 3, which >> 2 & 3, which >> 4 & 3, which >> 6 & 3};
  __m512i r;
  for (int i = 0; i < 8; ++i) r[i] = (i < 4 ? a : b)[2 * q[i / 2] + i % 2];
  return r;
}
NNLIB_IMITATED __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, const int which) {
  return __m512(_mm512_shuffle_i32x4(__m512i(a), __m512i(b), which));
}

namespace imitation {

// Halves are put together until one lane is left, in g++'s order: with a NaN it matters which comes first.
template <class T, class V, class F>
NNLIB_IMITATED_APART T reduce(V a, F f) {
  T lane[sizeof(V) / sizeof(T)];
  memcpy(lane, &a, sizeof lane);
  for (int n = int(sizeof(V) / sizeof(T)) / 2; n; n /= 2) {
    for (int i = 0; i < n; ++i) lane[i] = n < 4 ? f(lane[i], lane[n + i]) : f(lane[n + i], lane[i]);
  }
  return lane[0];
}
struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Min {  // the second where one is NaN, as in the instruction
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

}  // namespace imitation

NNLIB_IMITATED float _mm512_reduce_add_ps(__m512 a) { return imitation::reduce<float>(a, imitation::Add()); }
NNLIB_IMITATED float _mm512_reduce_min_ps(__m512 a) { return imitation::reduce<float>(a, imitation::Min()); }
NNLIB_IMITATED float _mm512_reduce_max_ps(__m512 a) { return imitation::reduce<float>(a, imitation::Max()); }
NNLIB_IMITATED double _mm512_reduce_add_pd(__m512d a) {
  return imitation::reduce<double>(a, imitation::Add());
}
NNLIB_IMITATED unsigned _mm512_reduce_min_epu32(__m512i a) {
  return imitation::reduce<unsigned>(a, imitation::Min());
}
NNLIB_IMITATED unsigned _mm512_reduce_max_epu32(__m512i a) {
  return imitation::reduce<unsigned>(a, imitation::Max());
}
