// Sums of chosen rows of a table: the gradient of an embedding, and bags of embeddings.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// V vectors of the sum stay in registers while the rows pass.
template <int V>
NNLIB_INLINE void sum_indexed_columns(int64_t count, int64_t n, const int64_t* rows, const float* src,
                                      int64_t ld, const float* weights, float* y) {
  Vec s[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) s[v] = zero();
  for (int64_t q = 0; q < count; ++q) {
    const float* row = src + rows[q] * ld;
    const Vec w = set1(weights ? weights[q] : 1.f);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) s[v] = fma(w, load_n(row + v * kWidth, n - v * kWidth), s[v]);
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) store_n(y + v * kWidth, s[v], n - v * kWidth);
}

void sum_rows_indexed_f32(int64_t count, int64_t d, const int64_t* rows, const float* src, int64_t ld,
                          const float* weights, float* y) {
  int64_t j = 0;
  for (; j + 4 * kWidth <= d; j += 4 * kWidth) {
    sum_indexed_columns<4>(count, 4 * kWidth, rows, src + j, ld, weights, y + j);
  }
  for (; j < d; j += kWidth) sum_indexed_columns<1>(count, d - j, rows, src + j, ld, weights, y + j);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
