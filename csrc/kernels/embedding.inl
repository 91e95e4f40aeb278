// Sums of chosen rows of a table: the gradient of an embedding, and bags of embeddings.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Rows ahead of the sum that are brought near: their addresses tell the processor nothing.
constexpr int64_t kRowsAhead = 8;

// V vectors of the sum stay in registers while the rows pass.
template <int V, bool Whole>
NNLIB_INLINE void sum_indexed_columns(int64_t count, int64_t n, const int64_t* rows, const float* src,
                                      int64_t ld, const float* weights, float* y) {
  Vec s[V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) s[v] = zero();
  for (int64_t q = 0; q < count; ++q) {
    const float* row = src + rows[q] * ld;
    if (q + kRowsAhead < count) {
      const float* ahead = src + rows[q + kRowsAhead] * ld;
#pragma GCC unroll 8
      for (int v = 0; v < V; v += 64 / kVecBytes) prefetch(ahead + v * kWidth);
      prefetch(ahead + (Whole ? V * kWidth : n) - 1);
    }
    const Vec w = set1(weights ? weights[q] : 1.f);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const Vec x = Whole ? load(row + v * kWidth) : load_n(row + v * kWidth, n - v * kWidth);
      s[v] = fma(w, x, s[v]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) store_n(y + v * kWidth, s[v], n - v * kWidth);
}

void sum_rows_indexed_f32(int64_t count, int64_t d, const int64_t* rows, const float* src, int64_t ld,
                          const float* weights, float* y) {
  int64_t j = 0;
  for (; j + 8 * kWidth <= d; j += 8 * kWidth) {
    sum_indexed_columns<8, true>(count, 8 * kWidth, rows, src + j, ld, weights, y + j);
  }
  for (; j + 4 * kWidth <= d; j += 4 * kWidth) {
    sum_indexed_columns<4, true>(count, 4 * kWidth, rows, src + j, ld, weights, y + j);
  }
  for (; j + 2 * kWidth <= d; j += 2 * kWidth) {
    sum_indexed_columns<2, true>(count, 2 * kWidth, rows, src + j, ld, weights, y + j);
  }
  for (; j + kWidth <= d; j += kWidth) {
    sum_indexed_columns<1, true>(count, kWidth, rows, src + j, ld, weights, y + j);
  }
  if (j < d) sum_indexed_columns<1, false>(count, d - j, rows, src + j, ld, weights, y + j);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
