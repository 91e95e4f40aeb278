// Products of float32 numbers split into bfloat16 parts, without an instruction for them: plain loops that
// round where the tiles of bf16_tiles.inl round. The drivers do not choose them (bf16_rate) unless a test
// asks for it.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int64_t bf16_rate = 1;

void bf16_begin() {}
void bf16_end() {}

NNLIB_INLINE float bf16_value(uint16_t h) {
  const uint32_t bits = uint32_t(h) << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

NNLIB_INLINE void widen_range(float x, uint32_t* range) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits &= 0x7fffffff;
  if (bits && bits < range[0]) range[0] = bits;
  if (bits > range[1]) range[1] = bits;
}

// The nearest bfloat16, ties away from 0; x becomes what is left.
NNLIB_INLINE uint16_t bf16_take_part(float* x) {
  uint32_t bits;
  memcpy(&bits, x, 4);
  const uint16_t part = uint16_t((bits + 0x8000) >> 16);
  *x -= bf16_value(part);
  return part;
}

NNLIB_INLINE int64_t place_of_pair(int64_t k, int64_t j) {
  return (j / 16) * 512 + (k / 2) * 32 + (j % 16) * 2 + k % 2;
}

void bf16_split_rows(int64_t parts, const float* x, int64_t ldx, uint16_t* y, uint32_t* range) {
  for (int64_t i = 0; i < 1024; ++i) {
    float rest = x[i / 32 * ldx + i % 32];
    widen_range(rest, range);
    for (int64_t p = 0; p < parts; ++p) y[p * 1024 + i] = bf16_take_part(&rest);
  }
}

void bf16_split_pairs(int64_t parts, const float* x, int64_t ldx, uint16_t* y, uint32_t* range) {
  for (int64_t k = 0; k < 32; ++k) {
    for (int64_t j = 0; j < 32; ++j) {
      float rest = x[k * ldx + j];
      widen_range(rest, range);
      uint16_t* to = y + place_of_pair(k, j);
      for (int64_t p = 0; p < parts; ++p) to[p * 1024] = bf16_take_part(&rest);
    }
  }
}

void bf16_pack_rows(int64_t n, int64_t kc, const uint16_t* x, int64_t rs, int64_t cs, uint16_t* y,
                    uint32_t* range) {
  memset(y, 0, 2048);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < kc; ++k) {
      y[i * 32 + k] = x[i * rs + k * cs];
      widen_range(bf16_value(x[i * rs + k * cs]), range);
    }
  }
}

void bf16_pack_pairs(int64_t n, int64_t kc, const uint16_t* x, int64_t rs, int64_t cs, uint16_t* y,
                     uint32_t* range) {
  memset(y, 0, 2048);
  for (int64_t k = 0; k < kc; ++k) {
    for (int64_t j = 0; j < n; ++j) {
      y[place_of_pair(k, j)] = x[k * rs + j * cs];
      widen_range(bf16_value(x[k * rs + j * cs]), range);
    }
  }
}

void bf16_gather_rows(int64_t lines, const int64_t* offset, int64_t pieces, const int64_t* piece,
                      const uint16_t* x, uint16_t* y) {
  memset(y, 0, 2048);
  for (int64_t i = 0; i < lines; ++i) {
    uint16_t* to = y + i * 32;
    for (int64_t q = 0; q < pieces; ++q) {
      memcpy(to, x + offset[i] + piece[2 * q], size_t(piece[2 * q + 1]) * 2);
      to += piece[2 * q + 1];
    }
  }
}

void bf16_gather_pairs(int64_t kc, const int64_t* offset, int64_t pieces, const int64_t* piece,
                       const uint16_t* x, uint16_t* y) {
  memset(y, 0, 2048);
  for (int64_t k = 0; k < kc; ++k) {
    int64_t j = 0;
    for (int64_t q = 0; q < pieces; ++q) {
      for (int64_t i = 0; i < piece[2 * q + 1]; ++i)
        y[place_of_pair(k, j++)] = x[offset[k] + piece[2 * q] + i];
    }
  }
}

// Row i of A times column j of B in one block, as a tile instruction adds: even and odd k apart.
NNLIB_INLINE float bf16_block_dot(const uint16_t* a, const uint16_t* b) {
  float even = 0, odd = 0;
  for (int64_t k = 0; k < 16; ++k) {
    even += bf16_value(a[2 * k]) * bf16_value(b[32 * k]);
    odd += bf16_value(a[2 * k + 1]) * bf16_value(b[32 * k + 1]);
  }
  return even + odd;
}

void bf16_tile_f32(int64_t steps, int64_t parts, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc,
                   int64_t m, int64_t n, const float* bias, bool accumulate, const void*, int64_t) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t s = 0; s < steps; ++s) {
        const uint16_t* row = a + s * parts * 1024 + i * 32;
        const uint16_t* col = b + s * parts * 1024 + (j / 16) * 512 + (j % 16) * 2;
        // The small products first.
        for (int64_t total = parts - 1; total >= 0; --total)
          for (int64_t p = total; p >= 0; --p)
            sum += bf16_block_dot(row + p * 1024, col + (total - p) * 1024);
      }
      if (accumulate) sum = c[i * ldc + j] + sum;
      c[i * ldc + j] = bias ? sum + bias[j] : sum;
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
