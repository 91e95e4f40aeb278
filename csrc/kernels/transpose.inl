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

// The numbers 0, 1, ... as constants: a shuffle whose choice is no constant from the start becomes loads and
// stores.
typedef uint64_t Words __attribute__((vector_size(kVecBytes)));
template <int N, int... K>
struct WordLanes : WordLanes<N - 1, N - 1, K...> {};
template <int... K>
struct WordLanes<0, K...> {
  // Lane k of line j of kCols columns is word k * kCols + j of all vectors; vector v gives those that it has.
  template <int kCols, int j, int v>
  static NNLIB_INLINE Words choice() {
    constexpr int n = sizeof...(K);
    return Words{uint64_t((K * kCols + j) / n == v ? n + (K * kCols + j) % n
                          : v == 1                 ? (K * kCols + j) % n
                                                   : K)...};
  }
};
typedef Words LooseWords __attribute__((aligned(8), may_alias));
template <int kCols, int j>
NNLIB_INLINE void deal_out_lines(const LooseWords* a, uint64_t* y, int64_t ldy) {
  using Lanes = WordLanes<kVecBytes / 8>;
  Words line = a[0], next;
  if constexpr (kCols > 1)
    next = a[1], line = __builtin_shuffle(line, next, Lanes::template choice<kCols, j, 1>());
  if constexpr (kCols > 2)
    next = a[2], line = __builtin_shuffle(line, next, Lanes::template choice<kCols, j, 2>());
  if constexpr (kCols > 3)
    next = a[3], line = __builtin_shuffle(line, next, Lanes::template choice<kCols, j, 3>());
  *reinterpret_cast<LooseWords*>(y + j * ldy) = line;
  if constexpr (j + 1 < kCols) deal_out_lines<kCols, j + 1>(a, y, ldy);
}
// Rows of kCols words that lie one after the other. Returns how many are done.
template <int kCols>
NNLIB_INLINE int64_t deal_out(int64_t rows, const uint64_t* x, uint64_t* y, int64_t ldy) {
  constexpr int kLanes = kVecBytes / 8;
  int64_t i = 0;
  for (; i + kLanes <= rows; i += kLanes)
    deal_out_lines<kCols, 0>(reinterpret_cast<const LooseWords*>(x + i * kCols), y + i, ldy);
  return i;
}
template <int kCols, class T>
NNLIB_INLINE int64_t deal_out(int64_t, const T*, T*, int64_t) {
  return 0;
}

// A few columns: their values are dealt out in one sweep over x.
template <int kCols, class T>
NNLIB_INLINE void transpose_narrow(int64_t rows, const T* x, int64_t ldx, T* y, int64_t ldy) {
  constexpr int kSide = 16;
  int64_t i = ldx == kCols ? deal_out<kCols>(rows, x, y, ldy) : 0;
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
