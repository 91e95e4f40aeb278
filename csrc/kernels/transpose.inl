// Transposed copies. y[j * ldy + i] = x[i * ldx + j]; bits are moved, never changed.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Squares of a cache line each way: a line of x is read once, and a line of y is written whole, also where
// rows lie a power of two apart and would push each other out of the cache.
template <class T>
NNLIB_INLINE void transpose_square(const T* x, int64_t ldx, T* y, int64_t ldy) {
  constexpr int kSide = 64 / sizeof(T) < 16 ? 64 / sizeof(T) : 16;
  for (int j = 0; j < kSide; ++j) {
    T line[kSide];
    for (int i = 0; i < kSide; ++i) line[i] = x[i * ldx + j];
    memcpy(y + j * ldy, line, sizeof line);
  }
}
NNLIB_INLINE void transpose_square(const uint32_t* x, int64_t ldx, uint32_t* y, int64_t ldy) {
  constexpr int kParts = 16 / kWidth;
  const float* from = reinterpret_cast<const float*>(x);
  float* to = reinterpret_cast<float*>(y);
  Vec r[kParts][kParts][kWidth];
  for (int p = 0; p < kParts; ++p) {
    for (int i = 0; i < kWidth; ++i)
      for (int q = 0; q < kParts; ++q) r[p][q][i] = load(from + (p * kWidth + i) * ldx + q * kWidth);
    for (int q = 0; q < kParts; ++q) transpose(r[p][q]);
  }
  for (int q = 0; q < kParts; ++q)
    for (int j = 0; j < kWidth; ++j)
      for (int p = 0; p < kParts; ++p) store(to + (q * kWidth + j) * ldy + p * kWidth, r[p][q][j]);
}

// A few columns: their values are dealt out in one sweep over x.
template <int kCols, class T>
NNLIB_INLINE void transpose_narrow(int64_t rows, const T* x, int64_t ldx, T* y, int64_t ldy) {
  constexpr int kSide = 16;
  int64_t i = 0;
  for (; i + kSide <= rows; i += kSide) {
    for (int j = 0; j < kCols; ++j) {
      T line[kSide];
      for (int k = 0; k < kSide; ++k) line[k] = x[(i + k) * ldx + j];
      memcpy(y + j * ldy + i, line, sizeof line);
    }
  }
  for (; i < rows; ++i)
    for (int j = 0; j < kCols; ++j) y[j * ldy + i] = x[i * ldx + j];
}
// A few rows: they are woven together.
template <int kRows, class T>
NNLIB_INLINE void transpose_flat(int64_t cols, const T* x, int64_t ldx, T* y, int64_t ldy) {
  for (int64_t j = 0; j < cols; ++j)
    for (int i = 0; i < kRows; ++i) y[j * ldy + i] = x[i * ldx + j];
}

template <class T>
NNLIB_INLINE void transpose_any(int64_t rows, int64_t cols, const T* x, int64_t ldx, T* y, int64_t ldy) {
  constexpr int64_t kSide = 64 / sizeof(T) < 16 ? 64 / sizeof(T) : 16;
  switch (cols) {
    case 1:
      return transpose_narrow<1>(rows, x, ldx, y, ldy);
    case 2:
      return transpose_narrow<2>(rows, x, ldx, y, ldy);
    case 3:
      return transpose_narrow<3>(rows, x, ldx, y, ldy);
    case 4:
      return transpose_narrow<4>(rows, x, ldx, y, ldy);
  }
  switch (rows) {
    case 1:
      return transpose_flat<1>(cols, x, ldx, y, ldy);
    case 2:
      return transpose_flat<2>(cols, x, ldx, y, ldy);
    case 3:
      return transpose_flat<3>(cols, x, ldx, y, ldy);
    case 4:
      return transpose_flat<4>(cols, x, ldx, y, ldy);
  }
  const int64_t whole_rows = rows / kSide * kSide, whole_cols = cols / kSide * kSide;
  for (int64_t i = 0; i < whole_rows; i += kSide)
    for (int64_t j = 0; j < whole_cols; j += kSide)
      transpose_square(x + i * ldx + j, ldx, y + j * ldy + i, ldy);
  for (int64_t i = whole_rows; i < rows; ++i)
    for (int64_t j = 0; j < whole_cols; ++j) y[j * ldy + i] = x[i * ldx + j];
  for (int64_t j = whole_cols; j < cols; ++j)
    for (int64_t i = 0; i < rows; ++i) y[j * ldy + i] = x[i * ldx + j];
}

#define NNLIB_TRANSPOSE(bits)                                                              \
  void transpose_u##bits(int64_t rows, int64_t cols, const uint##bits##_t* x, int64_t ldx, \
                         uint##bits##_t* y, int64_t ldy) {                                 \
    transpose_any(rows, cols, x, ldx, y, ldy);                                             \
  }
NNLIB_TRANSPOSE(8)
NNLIB_TRANSPOSE(16)
NNLIB_TRANSPOSE(32)
NNLIB_TRANSPOSE(64)
#undef NNLIB_TRANSPOSE

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
