// AVX512-BF16's dot products of pairs. They and AMX's take subnormal numbers for zeros and give zeros for
// subnormal results, whatever the control register says.
#pragma once

typedef short __m512bh __attribute__((vector_size(64), may_alias));

namespace imitation {

NNLIB_IMITATED float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
NNLIB_IMITATED float from_bf16(uint16_t x) {
  const uint32_t wide = uint32_t(x) << 16;
  float r;
  memcpy(&r, &wide, sizeof r);
  return flushed(r);
}
NNLIB_IMITATED float add_product(uint16_t a, uint16_t b, float sum) {
  return flushed(fmaf(from_bf16(a), from_bf16(b), flushed(sum)));
}

}  // namespace imitation

NNLIB_IMITATED_APART __m512 _mm512_dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const imitation::Words x = imitation::Words(a), y = imitation::Words(b);
  for (int i = 0; i < 16; ++i) {
    sum[i] = imitation::add_product(x[2 * i + 1], y[2 * i + 1], sum[i]);
    sum[i] = imitation::add_product(x[2 * i], y[2 * i], sum[i]);
  }
  return sum;
}
