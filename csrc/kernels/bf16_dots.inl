// Products of bfloat16 blocks by AVX512-BF16's dot products of pairs: 8 rows of C in registers.
#pragma once
#include "bf16_avx512.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Two products where a multiply-add makes one.
constexpr int64_t bf16_rate = 2;

void bf16_begin() {}
void bf16_end() {}

// Blocks of k whose columns of B stay in the first-level cache while the rows of A pass.
constexpr int64_t kNearSteps = 8;
constexpr int64_t kDotRows = 8;

// sum[32 columns of each of kDotRows rows] += A B over `steps` blocks of k, a_step apart in both.
inline __attribute__((always_inline)) void dot_rows(int64_t steps, int64_t step, const uint16_t* a,
                                                    const uint16_t* b, float* sum) {
  __m512 c[kDotRows][2];
#pragma GCC unroll 8
  for (int i = 0; i < kDotRows; ++i) c[i][0] = c[i][1] = _mm512_setzero_ps();
  for (int64_t s = 0; s < steps; ++s, a += step, b += step) {
    for (int64_t k = 0; k < 16; ++k) {
      const __m512bh left = (__m512bh)_mm512_loadu_si512(b + k * 32),
                     right = (__m512bh)_mm512_loadu_si512(b + 512 + k * 32);
#pragma GCC unroll 8
      for (int i = 0; i < kDotRows; ++i) {
        int pair;
        memcpy(&pair, a + i * 32 + 2 * k, 4);
        const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
        c[i][0] = _mm512_dpbf16_ps(c[i][0], x, left);
        c[i][1] = _mm512_dpbf16_ps(c[i][1], x, right);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kDotRows; ++i) {
    _mm512_store_ps(sum + i * 32, _mm512_add_ps(_mm512_load_ps(sum + i * 32), c[i][0]));
    _mm512_store_ps(sum + i * 32 + 16, _mm512_add_ps(_mm512_load_ps(sum + i * 32 + 16), c[i][1]));
  }
}

void bf16_tile_f32(int64_t steps, int64_t parts, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc,
                   int64_t m, int64_t n, const float* bias, bool accumulate, const void* ahead,
                   int64_t lines_ahead) {
  alignas(64) float sum[1024];
  memset(sum, 0, sizeof sum);
  const int64_t near = parts == 1 ? kNearSteps : 1;
  const char* next = static_cast<const char*>(ahead);
  for (int64_t s = 0; s < steps; s += near) {
    const int64_t some = steps - s < near ? steps - s : near;
    for (int64_t q = lines_ahead * s / steps; q < lines_ahead * (s + some) / steps; ++q)
      _mm_prefetch(next + q * 64, _MM_HINT_T1);
    for (int64_t total = parts - 1; total >= 0; --total) {  // the small products first
      for (int64_t p = total; p >= 0; --p) {
        const uint16_t *x = a + (s * parts + p) * 1024, *y = b + (s * parts + total - p) * 1024;
        for (int64_t i = 0; i < m; i += kDotRows) dot_rows(some, parts * 1024, x + i * 32, y, sum + i * 32);
      }
    }
  }
  finish_block(sum, c, ldc, m, n, bias, accumulate);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
