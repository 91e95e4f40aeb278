// Chosen rows of a table, and sums of them: embeddings, their gradient, and bags of embeddings.
#pragma once
#include "lane_types.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Rows ahead of the sum that are brought near: their addresses tell the processor nothing.
constexpr int64_t kRowsAhead = 8;

// Lines that a row shares with its neighbours are not stored past the caches.
void gather_rows_past(int64_t count, int64_t bytes, const int64_t* rows, const char* src, char* dst) {
  constexpr int64_t kLine = 64, kNear = 256;  // what follows in a long row tells the processor enough
  for (int64_t q = 0; q < count; ++q, dst += bytes) {
    const char* const from = src + rows[q] * bytes;
    if (q + kRowsAhead < count) {
      const char* const ahead = src + rows[q + kRowsAhead] * bytes;
      for (int64_t b = 0; b < kNear && b < bytes; b += kLine) prefetch(ahead + b);
    }
    const int64_t before = int64_t((0 - uintptr_t(dst)) % kLine), head = before < bytes ? before : bytes;
    memcpy(dst, from, size_t(head));
    int64_t i = head;
    for (; i + kLine <= bytes; i += kLine) {
#pragma GCC unroll 4
      for (int64_t v = 0; v < kLine; v += kVecBytes) {
        stream(reinterpret_cast<float*>(dst + i + v), load(reinterpret_cast<const float*>(from + i + v)));
      }
    }
    memcpy(dst + i, from + i, size_t(bytes - i));
  }
  fence();
}

// V vectors of the sum stay in registers while the rows pass.
template <class L, int V, bool Whole>
NNLIB_INLINE void sum_indexed_columns(int64_t count, int64_t n, const int64_t* rows,
                                      const typename L::type* src, int64_t ld, const typename L::One* weights,
                                      typename L::type* y) {
  typename L::V s[V];
  constexpr int64_t kLine = 64 / sizeof(*src);
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) s[v] = L::splat(0);
  for (int64_t q = 0; q < count; ++q) {
    const typename L::type* row = src + rows[q] * ld;
    if (q + kRowsAhead < count) {
      const typename L::type* ahead = src + rows[q + kRowsAhead] * ld;
#pragma GCC unroll 8
      for (int64_t i = 0; i < V * L::kLanes; i += kLine) prefetch(ahead + i);
      prefetch(ahead + (Whole ? V * L::kLanes : n) - 1);
    }
    const typename L::V w = L::splat(weights ? weights[q] : 1);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const auto x = Whole ? L::get(row + v * L::kLanes) : L::get(row + v * L::kLanes, n - v * L::kLanes);
      s[v] = fma(w, x, s[v]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    if (Whole)
      L::put(y + v * L::kLanes, s[v]);
    else
      L::put(y + v * L::kLanes, s[v], n - v * L::kLanes);
  }
}

template <class L>
NNLIB_INLINE void sum_rows_indexed(int64_t count, int64_t d, const int64_t* rows, const typename L::type* src,
                                   int64_t ld, const typename L::One* weights, typename L::type* y) {
  constexpr int64_t kLanes = L::kLanes;
  int64_t j = 0;
  for (; j + 8 * kLanes <= d; j += 8 * kLanes)
    sum_indexed_columns<L, 8, true>(count, 8 * kLanes, rows, src + j, ld, weights, y + j);
  for (; j + 2 * kLanes <= d; j += 2 * kLanes)
    sum_indexed_columns<L, 2, true>(count, 2 * kLanes, rows, src + j, ld, weights, y + j);
  if (j + kLanes <= d) {
    sum_indexed_columns<L, 1, true>(count, kLanes, rows, src + j, ld, weights, y + j);
    j += kLanes;
  }
  if (j < d) sum_indexed_columns<L, 1, false>(count, d - j, rows, src + j, ld, weights, y + j);
}

#define NNLIB_DEFINE(suffix, L)                                                                     \
  void sum_rows_indexed_##suffix(int64_t count, int64_t d, const int64_t* rows, const L::type* src, \
                                 int64_t ld, const L::One* weights, L::type* y) {                   \
    sum_rows_indexed<L>(count, d, rows, src, ld, weights, y);                                       \
  }
NNLIB_DEFINE(f32, LanesF32)
NNLIB_DEFINE(f64, LanesF64)
NNLIB_DEFINE(bf16, LanesBf16)
NNLIB_DEFINE(f16, LanesF16)
#undef NNLIB_DEFINE

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
