// Blocks of bfloat16 numbers for AMX's tiles and for AVX512-BF16's dot products, which take the same layout.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

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

// ---- bfloat16 numbers as they are

// The same of 16-bit numbers, in each half of a lane.
inline __attribute__((always_inline)) void widen_words(__m512i x, __m512i* low, __m512i* high) {
  const __m512i bits = _mm512_and_si512(x, _mm512_set1_epi16(0x7fff));
  *low = _mm512_mask_min_epu16(*low, _mm512_test_epi16_mask(bits, bits), *low, bits);
  *high = _mm512_max_epu16(*high, bits);
}
inline __attribute__((always_inline)) void store_words_range(__m512i low, __m512i high, uint32_t* range) {
  const __m512i even = _mm512_slli_epi32(low, 16),
                odd = _mm512_and_si512(low, _mm512_set1_epi32(int(0xffff0000)));
  uint32_t a = _mm512_reduce_min_epu32(_mm512_min_epu32(even, odd));
  if (a == 0xffff0000) a = 0xffffffff;  // nothing but zeros
  const __m512i top = _mm512_max_epu32(_mm512_slli_epi32(high, 16),
                                       _mm512_and_si512(high, _mm512_set1_epi32(int(0xffff0000))));
  const uint32_t b = _mm512_reduce_max_epu32(top);
  if (a < range[0]) range[0] = a;
  if (b > range[1]) range[1] = b;
}

inline __attribute__((always_inline)) __mmask32 first_words(int64_t n) {
  return _cvtu32_mask32(n >= 32 ? 0xffffffffu : n > 0 ? (1u << n) - 1 : 0);
}

// 16 rows of 16 lanes of 32 bits become columns.
inline __attribute__((always_inline)) void turn_lanes(__m512i* r) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {  // quarter q of r[4 i + c] has rows 4 i to 4 i + 3 of column 4 q + c
    const __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88),
                  b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd),
                  e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(a, b, 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(d, e, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(a, b, 0xdd);
    t[12 + c] = _mm512_shuffle_i32x4(d, e, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// Lane i of *left is the pair (even[i], odd[i]), of *right that of 16 + i.
inline __attribute__((always_inline)) void make_pairs(__m512i even, __m512i odd, __m512i* left,
                                                      __m512i* right) {
  const __m512i low = _mm512_set1_epi32(0xffff), high = _mm512_set1_epi32(int(0xffff0000));
  // Lane i: elements 2 i and 2 i + 1 of both, as two pairs.
  const __m512i first = _mm512_or_si512(_mm512_and_si512(even, low), _mm512_slli_epi32(odd, 16));
  const __m512i second = _mm512_or_si512(_mm512_srli_epi32(even, 16), _mm512_and_si512(odd, high));
  const __m512i l = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i r = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  *left = _mm512_permutex2var_epi32(first, l, second);
  *right = _mm512_permutex2var_epi32(first, r, second);
}

// Lines of up to 32 numbers that lie side by side, n of them `step` apart: y[k / 2] and y[16 + k / 2] have
// the pairs of lines k and k + 1.
inline __attribute__((always_inline)) void pack_lines(int64_t n, int64_t width, const uint16_t* x,
                                                      int64_t step, __m512i* y, uint32_t* range) {
  const __mmask32 mask = first_words(width);
  __m512i low = _mm512_set1_epi32(-1), high = _mm512_setzero_si512();
  for (int64_t k = 0; k < 16; ++k) {
    const __m512i even =
        2 * k < n ? _mm512_maskz_loadu_epi16(mask, x + 2 * k * step) : _mm512_setzero_si512();
    const __m512i odd =
        2 * k + 1 < n ? _mm512_maskz_loadu_epi16(mask, x + (2 * k + 1) * step) : _mm512_setzero_si512();
    widen_words(even, &low, &high);
    widen_words(odd, &low, &high);
    make_pairs(even, odd, y + k, y + 16 + k);
  }
  store_words_range(low, high, range);
}

// Elements of any strides, 32 of them in each of `lines` lines of y.
inline void pick_words(int64_t lines, int64_t n, const uint16_t* x, int64_t line, int64_t along,
                       uint16_t* y) {
  memset(y, 0, 2048);
  for (int64_t i = 0; i < lines; ++i) {
    for (int64_t k = 0; k < n; ++k) y[i * 32 + k] = x[i * line + k * along];
  }
}

void bf16_pack_rows(int64_t n, int64_t kc, const uint16_t* x, int64_t rs, int64_t cs, uint16_t* y,
                    uint32_t* range) {
  alignas(64) uint16_t picked[1024];
  if (rs == 1 && cs != 1) {
    __m512i pairs[32];
    pack_lines(kc, n, x, cs, pairs, range);
    for (int half = 0; half < 2; ++half) {
      turn_lanes(pairs + 16 * half);
      for (int i = 0; i < 16; ++i) _mm512_storeu_si512(y + (16 * half + i) * 32, pairs[16 * half + i]);
    }
    return;
  }
  if (cs != 1) {
    pick_words(n, kc, x, rs, cs, picked);
    x = picked, rs = 32;
  }
  const __mmask32 mask = first_words(kc);
  __m512i low = _mm512_set1_epi32(-1), high = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; ++i) {
    const __m512i row = _mm512_maskz_loadu_epi16(mask, x + i * rs);
    widen_words(row, &low, &high);
    _mm512_storeu_si512(y + i * 32, row);
  }
  for (int64_t i = n; i < 32; ++i) _mm512_storeu_si512(y + i * 32, _mm512_setzero_si512());
  store_words_range(low, high, range);
}

void bf16_pack_pairs(int64_t n, int64_t kc, const uint16_t* x, int64_t rs, int64_t cs, uint16_t* y,
                     uint32_t* range) {
  alignas(64) uint16_t picked[1024];
  if (rs == 1 && cs != 1) {
    const __mmask32 mask = first_words(kc);
    __m512i low = _mm512_set1_epi32(-1), high = _mm512_setzero_si512();
    for (int64_t half = 0; half < 2; ++half) {
      __m512i rows[16];
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t j = half * 16 + i;
        rows[i] = j < n ? _mm512_maskz_loadu_epi16(mask, x + j * cs) : _mm512_setzero_si512();
        widen_words(rows[i], &low, &high);
      }
      turn_lanes(rows);
      for (int64_t k = 0; k < 16; ++k) _mm512_storeu_si512(y + half * 512 + k * 32, rows[k]);
    }
    return store_words_range(low, high, range);
  }
  if (cs != 1) {
    pick_words(kc, n, x, rs, cs, picked);
    x = picked, rs = 32;
  }
  __m512i pairs[32];
  pack_lines(kc, n, x, rs, pairs, range);
  for (int64_t k = 0; k < 32; ++k) _mm512_storeu_si512(y + k * 32, pairs[k]);
}

void bf16_gather_rows(int64_t lines, const int64_t* offset, int64_t pieces, const int64_t* piece,
                      const uint16_t* x, uint16_t* y) {
  int64_t n = 0;
  for (int64_t q = 0; q < pieces; ++q) n += piece[2 * q + 1];
  for (int64_t i = 0; i < 32; ++i, y += 32) {
    if (n < 32 || i >= lines) _mm512_storeu_si512(y, _mm512_setzero_si512());
    if (i >= lines) continue;
    const uint16_t* line = x + offset[i];
    int64_t to = 0;
    for (int64_t q = 0; q < pieces; ++q) {
      const __mmask32 mask = first_words(piece[2 * q + 1]);
      _mm512_mask_storeu_epi16(y + to, mask, _mm512_maskz_loadu_epi16(mask, line + piece[2 * q]));
      to += piece[2 * q + 1];
    }
  }
}

void bf16_gather_pairs(int64_t kc, const int64_t* offset, int64_t pieces, const int64_t* piece,
                       const uint16_t* x, uint16_t* y) {
  int64_t to = 0;
  for (int64_t q = 0; q < pieces; ++q) {
    const uint16_t* from = x + piece[2 * q];
    for (int64_t n = piece[2 * q + 1]; n > 0;) {  // within one half of the block
      const int64_t some = n < 16 - to % 16 ? n : 16 - to % 16;
      const __mmask16 mask = _cvtu32_mask16((1u << some) - 1);
      uint16_t* place = y + to / 16 * 512 + to % 16 * 2;
      for (int64_t k = 0; k < 32; k += 2, place += 32) {
        __m256i even = _mm256_setzero_si256(), odd = even;
        if (k < kc) even = _mm256_maskz_loadu_epi16(mask, from + offset[k]);
        if (k + 1 < kc) odd = _mm256_maskz_loadu_epi16(mask, from + offset[k + 1]);
        const __m512i pair =
            _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
        _mm512_mask_storeu_epi32(place, mask, pair);
      }
      from += some, to += some, n -= some;
    }
  }
  for (; to < 32; ++to) {
    for (int64_t k = 0; k < 16; ++k) memset(y + to / 16 * 512 + to % 16 * 2 + k * 32, 0, 4);
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

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
