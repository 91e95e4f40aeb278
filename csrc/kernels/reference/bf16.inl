// The truth of bf16.inl: sums in double, rounded once.
#pragma once
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

constexpr int64_t bf16_rate = 1;

void bf16_begin() {}
void bf16_end() {}

void split(int64_t parts, float x, uint16_t* y, uint32_t* range) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits &= 0x7fffffff;
  if (bits && bits < range[0]) range[0] = bits;
  if (bits > range[1]) range[1] = bits;
  for (int64_t p = 0; p < parts; ++p) {
    memcpy(&bits, &x, 4);
    bits = (bits + 0x8000) & 0xffff0000;  // to nearest, ties away from 0
    float part;
    memcpy(&part, &bits, 4);
    y[p * 1024] = uint16_t(bits >> 16);
    x -= part;
  }
}

void bf16_split_rows(int64_t parts, const float* x, int64_t ldx, uint16_t* y, uint32_t* range) {
  for (int64_t i = 0; i < 1024; ++i) split(parts, x[i / 32 * ldx + i % 32], y + i, range);
}
int64_t place_of_pair(int64_t k, int64_t j) { return (j / 16) * 512 + (k / 2) * 32 + (j % 16) * 2 + k % 2; }
void bf16_split_pairs(int64_t parts, const float* x, int64_t ldx, uint16_t* y, uint32_t* range) {
  for (int64_t k = 0; k < 32; ++k) {
    for (int64_t j = 0; j < 32; ++j) split(parts, x[k * ldx + j], y + place_of_pair(k, j), range);
  }
}

void bf16_pack_rows(int64_t n, int64_t kc, const uint16_t* x, int64_t rs, int64_t cs, uint16_t* y,
                    uint32_t* range) {
  for (int64_t i = 0; i < 32; ++i) {
    for (int64_t k = 0; k < 32; ++k)
      split(1, i < n && k < kc ? from_bf16(x[i * rs + k * cs]) : 0.0f, y + i * 32 + k, range);
  }
}
void bf16_pack_pairs(int64_t n, int64_t kc, const uint16_t* x, int64_t rs, int64_t cs, uint16_t* y,
                     uint32_t* range) {
  for (int64_t k = 0; k < 32; ++k) {
    for (int64_t j = 0; j < 32; ++j)
      split(1, j < n && k < kc ? from_bf16(x[k * rs + j * cs]) : 0.0f, y + place_of_pair(k, j), range);
  }
}
// Column j of line `offset` of a frame: element j of the pieces one after the other; 0 past them.
uint16_t piece_element(int64_t offset, int64_t pieces, const int64_t* piece, const uint16_t* x, int64_t j) {
  for (int64_t q = 0; q < pieces; ++q) {
    if (j < piece[2 * q + 1]) return x[offset + piece[2 * q] + j];
    j -= piece[2 * q + 1];
  }
  return 0;
}
void bf16_gather_rows(int64_t lines, const int64_t* offset, int64_t pieces, const int64_t* piece,
                      const uint16_t* x, uint16_t* y) {
  for (int64_t i = 0; i < 32; ++i) {
    for (int64_t j = 0; j < 32; ++j)
      y[i * 32 + j] = i < lines ? piece_element(offset[i], pieces, piece, x, j) : 0;
  }
}
void bf16_gather_pairs(int64_t kc, const int64_t* offset, int64_t pieces, const int64_t* piece,
                       const uint16_t* x, uint16_t* y) {
  for (int64_t k = 0; k < 32; ++k) {
    for (int64_t j = 0; j < 32; ++j)
      y[place_of_pair(k, j)] = k < kc ? piece_element(offset[k], pieces, piece, x, j) : 0;
  }
}

void bf16_tile_f32(int64_t steps, int64_t parts, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc,
                   int64_t m, int64_t n, const float* bias, bool accumulate, const void*, int64_t) {
  double sums[32];
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) sums[j] = (accumulate ? c[i * ldc + j] : 0) + (bias ? bias[j] : 0);
    for (int64_t s = 0; s < steps; ++s) {
      for (int64_t k = 0; k < 32; ++k) {
        for (int64_t p = 0; p < parts; ++p) {
          const double x = from_bf16(a[(s * parts + p) * 1024 + i * 32 + k]);
          for (int64_t q = 0; q < parts - p; ++q) {
            const uint16_t* block = b + (s * parts + q) * 1024;
            for (int64_t j = 0; j < n; ++j) sums[j] += x * from_bf16(block[place_of_pair(k, j)]);
          }
        }
      }
    }
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = float(sums[j]);
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
