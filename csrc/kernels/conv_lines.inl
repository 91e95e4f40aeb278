// Convolution as a matrix product that is gathered on demand: copies of lines out of a padded frame, and a
// tile whose left operand stays as lines.
#pragma once
#include "vec.h"
#include "vec_lanes.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Rows of a tile and its width in vectors: accumulators for all registers but those of one line of B and one
// element of A.
#if defined(__AVX512F__)
constexpr int kLineRows = 14;
#elif defined(__AVX2__)
constexpr int kLineRows = 6;
#elif defined(__aarch64__)
constexpr int kLineRows = 12;
#else
constexpr int kLineRows = 4;
#endif
constexpr int64_t lines_mr = kLineRows, lines_nr = 2 * kWidth;
// The length of a line of A: a constant, so that one register addresses all rows of a tile.
constexpr int64_t lines_ld = 256;

// P pieces of at most a vector, whose addresses stay in registers.
template <int P>
NNLIB_INLINE void gather_pieces(int64_t lines, const int64_t* offset, const int64_t* piece, const float* x,
                                float* y, int64_t ldy) {
  const float* from[P];
  int64_t to[P];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) from[p] = x + piece[2 * p], to[p] = p == 0 ? 0 : to[p - 1] + piece[2 * p - 1];
  for (int64_t i = 0; i < lines; ++i, y += ldy) {
    const int64_t at = offset[i];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) store(y + to[p], load(from[p] + at));
  }
}

void conv_gather_f32(int64_t lines, const int64_t* offset, int64_t pieces, const int64_t* piece,
                     const float* x, float* y, int64_t ldy) {
  switch (pieces) {
    case 1:
      return gather_pieces<1>(lines, offset, piece, x, y, ldy);
    case 2:
      return gather_pieces<2>(lines, offset, piece, x, y, ldy);
    case 3:
      return gather_pieces<3>(lines, offset, piece, x, y, ldy);
    case 4:
      return gather_pieces<4>(lines, offset, piece, x, y, ldy);
    case 5:
      return gather_pieces<5>(lines, offset, piece, x, y, ldy);
    case 6:
      return gather_pieces<6>(lines, offset, piece, x, y, ldy);
    default:
      break;
  }
  for (int64_t i = 0; i < lines; ++i, y += ldy) {
    const float* src = x + offset[i];
    float* dst = y;
    for (int64_t p = 0; p < pieces; ++p) {
      store(dst, load(src + piece[2 * p]));
      dst += piece[2 * p + 1];
    }
  }
}

NNLIB_INLINE Vec even_of(Vec a, Vec b) {
  Vec even, odd;
  split_pairs(a, b, &even, &odd);
  return even;
}

// Every step-th value, by vectors where few steps make it worth it. Of an odd step each lane of a vector is
// read from one of `step` vectors.
struct EveryStep {
  // Of rows of n elements.
  EveryStep(int64_t step, int64_t n)
      : step(step), odd(step % 2 == 1 && step > 1 && step < kWidth && n >= kLongRow) {
    int32_t from[kWidth] = {}, lane[kWidth] = {};
    for (int64_t j = 0; odd && j < kWidth; ++j) {
      lane[j] = int32_t(j * step % kWidth);
      from[lane[j]] = int32_t(j * step / kWidth);
    }
    vector = load_i(from), order = load_i(lane);
  }
  // y[i] = x[i * step] for i < n: how many of these are done.
  NNLIB_INLINE int64_t row(int64_t n, const float* x, float* y) const {
    if (step == 2) return by(2, n, x, y, [](auto get) { return even_of(get(0), get(1)); });
    if (step == 4) {
      return by(4, n, x, y,
                [](auto get) { return even_of(even_of(get(0), get(1)), even_of(get(2), get(3))); });
    }
    if (!odd) return 0;
    return by(step, n, x, y, [&](auto get) {
      Vec a = get(0);
      for (int64_t v = 1; v < step; ++v) a = select(eq(vector, set1i(int32_t(v))), get(v), a);
      return permute(a, order);
    });
  }

 private:
  // The last vector of a row holds some elements once more.
  template <class Take>
  static NNLIB_INLINE int64_t by(int64_t step, int64_t n, const float* x, float* y, Take take) {
    if (n < (step == 2 ? kWidth : kLongRow)) return 0;
    int64_t i = 0;
    for (; i + kWidth < n; i += kWidth)  // short of the last element: what follows it may not exist
      store(y + i, take([&](int64_t v) { return load(x + i * step + v * kWidth); }));
    i = n - kWidth;
    const int64_t last = (kWidth - 1) * step + 1;
    store(y + i, take([&](int64_t v) {
            const int64_t left = last - v * kWidth;
            return left >= kWidth ? load(x + i * step + v * kWidth) : load_n(x + i * step + v * kWidth, left);
          }));
    return n;
  }
  static constexpr int64_t kLongRow = 4 * kWidth;  // one by one, fewer elements take less time
  int64_t step;
  bool odd;
  IVec vector, order;
};

void conv_frame_f32(int64_t rows, int64_t low, int64_t n, int64_t high, int64_t step, const float* x,
                    int64_t x_row, float* y, int64_t y_row) {
  const EveryStep every(step, n);
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    for (int64_t j = 0; j < low; j += kWidth) store_n(y + j, zero(), low - j);
    float* dst = y + low;
    int64_t i = 0;
    if (step == 1) {
      for (; i + kWidth <= n; i += kWidth) store(dst + i, load(x + i));
      if (i < n) store_n(dst + i, load_n(x + i, n - i), n - i);
    } else {
      i = every.row(n, x, dst);
      for (; i < n; ++i) dst[i] = x[i * step];
    }
    dst += n;
    for (int64_t j = 0; j < high; j += kWidth) store_n(dst + j, zero(), high - j);
  }
}

void conv_merge_f32(const float* even, const float* odd, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    Vec a, b;
    merge_pairs(load(even + i), load(odd + i), &a, &b);
    store(y + 2 * i, a);
    store(y + 2 * i + kWidth, b);
  }
  for (; i < n; ++i) {
    y[2 * i] = even[i];
    y[2 * i + 1] = odd[i];
  }
}

template <int R, int V>
__attribute__((noinline)) void lines_tile(int64_t kc, const float* a, const float* b, int64_t ldb, float* c,
                                          int64_t ldc, int64_t m, int64_t n, const float* bias,
                                          bool accumulate) {
  Vec acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    if (i < m) prefetch(c + i * ldc);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[i][v] = zero();
  }
  for (int64_t k = 0; k < kc; ++k) {
    Vec bv[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) bv[v] = load(b + v * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec ai = set1(a[i * lines_ld]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = fma(ai, bv[v], acc[i][v]);
    }
    ++a;
    b += ldb;
  }
  const bool whole = n == V * kWidth;
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    if (i >= m) break;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* p = c + i * ldc + v * kWidth;
      const int64_t rest = n - v * kWidth;
      if (whole) {
        if (accumulate) acc[i][v] = acc[i][v] + load(p);
        if (!accumulate && bias) acc[i][v] = acc[i][v] + load(bias + v * kWidth);
        store(p, acc[i][v]);
      } else {
        if (accumulate) acc[i][v] = acc[i][v] + load_n(p, rest);
        if (!accumulate && bias) acc[i][v] = acc[i][v] + load_n(bias + v * kWidth, rest);
        store_n(p, acc[i][v], rest);
      }
    }
  }
}

// A tile of m rows runs as the next of a few heights; the lines past m are read and not stored.
template <int V>
NNLIB_INLINE void lines_of_rows(int64_t kc, const float* a, const float* b, int64_t ldb, float* c,
                                int64_t ldc, int64_t m, int64_t n, const float* bias, bool accumulate) {
  constexpr int all = kLineRows, two = 2, four = all < 4 ? all : 4, six = all < 6 ? all : 6,
                eight = all < 8 ? all : 8, ten = all < 10 ? all : 10, twelve = all < 12 ? all : 12;
  if (m > twelve) return lines_tile<all, V>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  if (m > ten) return lines_tile<twelve, V>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  if (m > eight) return lines_tile<ten, V>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  if (m > six) return lines_tile<eight, V>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  if (m > four) return lines_tile<six, V>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  if (m > two) return lines_tile<four, V>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  lines_tile<two, V>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
}

void lines_tile_f32(int64_t kc, const float* a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                    int64_t n, const float* bias, bool accumulate) {
  if (m <= 0 || n <= 0) return;
  if (n <= kWidth) {
    lines_of_rows<1>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  } else {
    lines_of_rows<2>(kc, a, b, ldb, c, ldc, m, n, bias, accumulate);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
