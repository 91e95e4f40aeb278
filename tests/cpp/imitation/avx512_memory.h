// AVX-512's loads and stores. Aligned ones look at the address, masked ones touch the chosen lanes alone:
// lanes past the end may lie in a page that is not there, or be another thread's.
#pragma once

namespace imitation {

template <class V>
NNLIB_IMITATED V load(const void* p) {
  V r;
  memcpy(&r, p, sizeof r);
  return r;
}
template <class V>
NNLIB_IMITATED void store(void* p, V x) {
  memcpy(p, &x, sizeof x);
}
template <class V>
NNLIB_IMITATED V load_aligned(const void* p) {
  if (uintptr_t(p) % sizeof(V)) end("aligned load from an address that is not");
  return load<V>(p);
}
template <class V>
NNLIB_IMITATED void store_aligned(void* p, V x) {
  if (uintptr_t(p) % sizeof(V)) end("aligned store to an address that is not");
  store(p, x);
}
// T: what a bit of the mask stands for. Zeros for the others.
template <class V, class T, class Mask>
NNLIB_IMITATED_APART V load_some(Mask mask, const void* p) {
  T lane[sizeof(V) / sizeof(T)] = {};
  for (int i = 0; i < int(sizeof(V) / sizeof(T)); ++i) {
    if (mask >> i & 1) memcpy(lane + i, static_cast<const char*>(p) + i * sizeof(T), sizeof(T));
  }
  return load<V>(lane);
}
template <class T, class V, class Mask>
NNLIB_IMITATED_APART void store_some(void* p, Mask mask, V x) {
  T lane[sizeof(V) / sizeof(T)];
  store(lane, x);
  for (int i = 0; i < int(sizeof(V) / sizeof(T)); ++i) {
    if (mask >> i & 1) memcpy(static_cast<char*>(p) + i * sizeof(T), lane + i, sizeof(T));
  }
}

}  // namespace imitation

NNLIB_IMITATED __m512 _mm512_loadu_ps(const void* p) { return imitation::load<__m512>(p); }
NNLIB_IMITATED __m512d _mm512_loadu_pd(const void* p) { return imitation::load<__m512d>(p); }
NNLIB_IMITATED __m512i _mm512_loadu_si512(const void* p) { return imitation::load<__m512i>(p); }
NNLIB_IMITATED __m512 _mm512_load_ps(const void* p) { return imitation::load_aligned<__m512>(p); }
NNLIB_IMITATED __m512i _mm512_load_si512(const void* p) { return imitation::load_aligned<__m512i>(p); }
NNLIB_IMITATED void _mm512_storeu_ps(void* p, __m512 a) { imitation::store(p, a); }
NNLIB_IMITATED void _mm512_storeu_pd(void* p, __m512d a) { imitation::store(p, a); }
NNLIB_IMITATED void _mm512_storeu_si512(void* p, __m512i a) { imitation::store(p, a); }
NNLIB_IMITATED void _mm512_store_ps(void* p, __m512 a) { imitation::store_aligned(p, a); }
NNLIB_IMITATED void _mm512_stream_ps(float* p, __m512 a) { imitation::store_aligned(p, a); }
NNLIB_IMITATED void _mm512_stream_pd(double* p, __m512d a) { imitation::store_aligned(p, a); }

NNLIB_IMITATED __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* p) {
  return imitation::load_some<__m512, uint32_t>(mask, p);
}
NNLIB_IMITATED __m512d _mm512_maskz_loadu_pd(__mmask8 mask, const void* p) {
  return imitation::load_some<__m512d, uint64_t>(mask, p);
}
NNLIB_IMITATED __m512i _mm512_maskz_loadu_epi32(__mmask16 mask, const void* p) {
  return imitation::load_some<__m512i, uint32_t>(mask, p);
}
NNLIB_IMITATED __m512i _mm512_maskz_loadu_epi16(__mmask32 mask, const void* p) {
  return imitation::load_some<__m512i, uint16_t>(mask, p);
}
NNLIB_IMITATED __m256i _mm256_maskz_loadu_epi16(__mmask16 mask, const void* p) {
  return imitation::load_some<__m256i, uint16_t>(mask, p);
}
NNLIB_IMITATED __m128i _mm_maskz_loadu_epi8(__mmask16 mask, const void* p) {
  return imitation::load_some<__m128i, uint8_t>(mask, p);
}
NNLIB_IMITATED void _mm512_mask_storeu_ps(void* p, __mmask16 mask, __m512 a) {
  imitation::store_some<uint32_t>(p, mask, a);
}
NNLIB_IMITATED void _mm512_mask_storeu_pd(void* p, __mmask8 mask, __m512d a) {
  imitation::store_some<uint64_t>(p, mask, a);
}
NNLIB_IMITATED void _mm512_mask_storeu_epi32(void* p, __mmask16 mask, __m512i a) {
  imitation::store_some<uint32_t>(p, mask, a);
}
NNLIB_IMITATED void _mm512_mask_storeu_epi16(void* p, __mmask32 mask, __m512i a) {
  imitation::store_some<uint16_t>(p, mask, a);
}
NNLIB_IMITATED void _mm256_mask_storeu_epi16(void* p, __mmask16 mask, __m256i a) {
  imitation::store_some<uint16_t>(p, mask, a);
}
NNLIB_IMITATED void _mm512_mask_cvtepi32_storeu_epi8(void* p, __mmask16 mask, __m512i a) {  // the lower bits
  typedef uint8_t Bytes __attribute__((vector_size(16)));
  imitation::store_some<uint8_t>(p, mask, __builtin_convertvector(imitation::Unsigned(a), Bytes));
}

NNLIB_IMITATED_APART __m512 _mm512_i32gather_ps(__m512i index, const void* p, int scale) {
  const imitation::Int i = imitation::Int(index);
  __m512 r;
  for (int k = 0; k < 16; ++k) memcpy(&r[k], static_cast<const char*>(p) + int64_t(i[k]) * scale, 4);
  return r;
}
