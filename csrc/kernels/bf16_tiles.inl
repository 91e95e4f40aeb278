// Products of float32 numbers split into bfloat16 parts, on AMX tiles: 32 x 32 of C in four tiles, two of A,
// two of B.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// A tile instruction makes 8192 products in 16 cycles, two of AVX-512's multiply-adds 32 a cycle.
constexpr int64_t bf16_rate = 16;

void bf16_begin() {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } config __attribute__((aligned(64)));
  memset(&config, 0, sizeof config);
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    config.bytes[t] = 64;
    config.rows[t] = 16;
  }
  __asm__ volatile("" ::"r"(&config) : "memory");  // g++ 12 drops the stores else
  _tile_loadconfig(&config);
}
void bf16_end() { _tile_release(); }

inline __attribute__((always_inline)) void widen_range(__m512 x, __m512i* low, __m512i* high) {
  const __m512i bits = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
  *low = _mm512_mask_min_epu32(*low, _mm512_test_epi32_mask(bits, bits), *low, bits);
  *high = _mm512_max_epu32(*high, bits);
}
inline __attribute__((always_inline)) void store_range(__m512i low, __m512i high, uint32_t* range) {
  const uint32_t a = _mm512_reduce_min_epu32(low), b = _mm512_reduce_max_epu32(high);
  if (a < range[0]) range[0] = a;
  if (b > range[1]) range[1] = b;
}

// The nearest bfloat16 of each in its upper half, ties away from 0; x becomes what is left.
inline __attribute__((always_inline)) __m512i take_part(__m512* x) {
  const __m512i rounded = _mm512_add_epi32(_mm512_castps_si512(*x), _mm512_set1_epi32(0x8000));
  const __m512i part = _mm512_and_si512(rounded, _mm512_set1_epi32(int(0xffff0000)));
  *x = _mm512_sub_ps(*x, _mm512_castsi512_ps(part));
  return part;
}

void bf16_split_rows(int64_t parts, const float* x, int64_t ldx, uint16_t* y, uint32_t* range) {
  alignas(64) uint16_t upper[32];
  for (int i = 0; i < 32; ++i) upper[i] = uint16_t(2 * i + 1);
  const __m512i index = _mm512_load_si512(upper);
  __m512i low = _mm512_set1_epi32(-1), high = _mm512_setzero_si512();
  for (int64_t i = 0; i < 32; ++i) {
    __m512 first = _mm512_loadu_ps(x + i * ldx), second = _mm512_loadu_ps(x + i * ldx + 16);
    widen_range(first, &low, &high);
    widen_range(second, &low, &high);
    for (int64_t p = 0; p < parts; ++p) {
      const __m512i a = take_part(&first), b = take_part(&second);
      _mm512_storeu_si512(y + p * 1024 + i * 32, _mm512_permutex2var_epi16(a, index, b));
    }
  }
  store_range(low, high, range);
}

void bf16_split_pairs(int64_t parts, const float* x, int64_t ldx, uint16_t* y, uint32_t* range) {
  __m512i low = _mm512_set1_epi32(-1), high = _mm512_setzero_si512();
  for (int64_t k = 0; k < 32; k += 2) {
    for (int64_t half = 0; half < 2; ++half) {
      __m512 even = _mm512_loadu_ps(x + k * ldx + half * 16),
             odd = _mm512_loadu_ps(x + (k + 1) * ldx + half * 16);
      widen_range(even, &low, &high);
      widen_range(odd, &low, &high);
      for (int64_t p = 0; p < parts; ++p) {
        const __m512i a = take_part(&even), b = take_part(&odd);
        _mm512_storeu_si512(y + p * 1024 + half * 512 + k * 16, _mm512_or_si512(_mm512_srli_epi32(a, 16), b));
      }
    }
  }
  store_range(low, high, range);
}

// Tiles 0 to 3 hold C, 4 and 5 part p of A's rows, 6 and 7 part q of B's columns. Macros: g++ wants the
// tiles' numbers as literals.
#define NNLIB_TILES_A(p)              \
  _tile_loadd(4, a + (p) * 1024, 64); \
  _tile_loadd(5, a + (p) * 1024 + 512, 64)
#define NNLIB_TILES_B(q)              \
  _tile_loadd(6, b + (q) * 1024, 64); \
  _tile_loadd(7, b + (q) * 1024 + 512, 64)
#define NNLIB_TILES_MULTIPLY() \
  _tile_dpbf16ps(0, 4, 6);     \
  _tile_dpbf16ps(1, 4, 7);     \
  _tile_dpbf16ps(2, 5, 6);     \
  _tile_dpbf16ps(3, 5, 7)

// One block of k. Small products come first as far as each operand is then loaded once or twice.
template <int parts>
inline __attribute__((always_inline)) void multiply_step(const uint16_t* a, const uint16_t* b) {
  if constexpr (parts == 3) {
    NNLIB_TILES_A(2);
    NNLIB_TILES_B(0);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_A(1);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_B(1);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_A(0);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_B(0);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_B(2);
    NNLIB_TILES_MULTIPLY();
  } else {
    if constexpr (parts == 2) {
      NNLIB_TILES_A(1);
      NNLIB_TILES_B(0);
      NNLIB_TILES_MULTIPLY();
      NNLIB_TILES_A(0);
      NNLIB_TILES_MULTIPLY();
      NNLIB_TILES_B(1);
    } else {
      NNLIB_TILES_A(0);
      NNLIB_TILES_B(0);
    }
    NNLIB_TILES_MULTIPLY();
  }
}

// What is left of a block when its sum is made: C and the bias are added, and no more than m x n is written.
void finish_block(const float* sum, float* c, int64_t ldc, int64_t m, int64_t n, const float* bias,
                  bool accumulate) {
  const __mmask16 left = _cvtu32_mask16(n >= 16 ? 0xffff : (1u << n) - 1);
  const __mmask16 right = _cvtu32_mask16(n >= 32 ? 0xffff : n > 16 ? (1u << (n - 16)) - 1 : 0);
  const __m512 b0 = bias ? _mm512_maskz_loadu_ps(left, bias) : _mm512_setzero_ps();
  const __m512 b1 = bias ? _mm512_maskz_loadu_ps(right, bias + 16) : _mm512_setzero_ps();
  for (int64_t i = 0; i < m; ++i, sum += 32, c += ldc) {
    __m512 x = _mm512_load_ps(sum), y = _mm512_load_ps(sum + 16);
    if (accumulate) {
      x = _mm512_add_ps(_mm512_maskz_loadu_ps(left, c), x);
      y = _mm512_add_ps(_mm512_maskz_loadu_ps(right, c + 16), y);
    }
    if (bias) x = _mm512_add_ps(x, b0), y = _mm512_add_ps(y, b1);
    _mm512_mask_storeu_ps(c, left, x);
    _mm512_mask_storeu_ps(c + 16, right, y);
  }
}

template <int parts>
void multiply(int64_t steps, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc, const char* ahead,
              int64_t lines_ahead) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int64_t a_step = (lines_ahead + steps - 1) / steps;
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t q = s * a_step; q < (s + 1) * a_step && q < lines_ahead; ++q)
      _mm_prefetch(ahead + q * 64, _MM_HINT_T1);
    multiply_step<parts>(a + s * parts * 1024, b + s * parts * 1024);
  }
  const int64_t bytes = ldc * int64_t(sizeof(float));
  float* const lower = c + 16 * ldc;
  _tile_stored(0, c, bytes);
  _tile_stored(1, c + 16, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + 16, bytes);
}

#undef NNLIB_TILES_A
#undef NNLIB_TILES_B
#undef NNLIB_TILES_MULTIPLY

void bf16_tile_f32(int64_t steps, int64_t parts, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc,
                   int64_t m, int64_t n, const float* bias, bool accumulate, const void* ahead,
                   int64_t lines_ahead) {
  const auto run = parts == 1 ? multiply<1> : parts == 2 ? multiply<2> : multiply<3>;
  const char* from = static_cast<const char*>(ahead);
  for (int64_t i = 0; i < m; ++i) {  // there by the time that the products are summed
    _mm_prefetch(reinterpret_cast<const char*>(c + i * ldc), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(c + i * ldc + n - 1), _MM_HINT_T0);
  }
  if (m == 32 && n == 32 && !accumulate && !bias) return run(steps, a, b, c, ldc, from, lines_ahead);
  alignas(64) float sum[1024];
  run(steps, a, b, sum, 32, from, lines_ahead);
  finish_block(sum, c, ldc, m, n, bias, accumulate);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
