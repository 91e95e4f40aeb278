// What the forward and the backward pass of attention share: heads, and operands packed once for all
// products.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/dispatch.h"
#include "ops/attention_blocks.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::ops {

// One head of a (B, H, rows, width) tensor.
template <class T>
struct Head {
  const T* data;
  int64_t rs, cs;
  Head(const Tensor& t, int64_t b, int64_t h)
      : data(t.data<T>() + b * t.strides()[0] + h * t.strides()[1]), rs(t.strides()[2]), cs(t.strides()[3]) {}
  const T* row(int64_t i) const { return data + i * rs; }
};

struct AttentionSizes {
  int64_t B, H, heads, L, S, E, Ev;  // heads: of keys and values, each for `group` of the H heads of queries
  int64_t group;
  AttentionSizes(const Tensor& q, const Tensor& k, const Tensor& v)
      : B(q.size(0)),
        H(q.size(1)),
        heads(k.size(1)),
        L(q.size(2)),
        S(k.size(2)),
        E(q.size(3)),
        Ev(v.size(3)),
        group(H / heads) {}
};

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Panels of `width` rows of an n x k operand, element (i, j) at src[i * rs + j * cs]: panel p is made of k
// steps of `width` values at dst + p * width * k.
template <class T, class C>
void pack_panels(int64_t width, int64_t n, int64_t k, const T* src, int64_t rs, int64_t cs, C scale, C* dst) {
  for (int64_t i = 0; i < n; i += width)
    drivers::pack_panel(width, std::min(width, n - i), k, src + i * rs, rs, cs, scale, dst + i * k);
}

inline void rows_product(int64_t m, int64_t n, int64_t k, const float* a, int64_t rs, int64_t cs,
                         const float* b, int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  kernels::table().sgemm_rows(m, n, k, a, rs, cs, b, ldb, 0, c, ldc, nullptr, accumulate, false);
}
inline void rows_product(int64_t m, int64_t n, int64_t k, const double* a, int64_t rs, int64_t cs,
                         const double* b, int64_t ldb, double* c, int64_t ldc, bool accumulate) {
  kernels::table().dgemm_rows(m, n, k, a, rs, cs, b, ldb, 0, c, ldc, nullptr, accumulate, false);
}

// A left operand: packed in panels `step` apart, or (where that is 0) read where it lies, element (i, k) at
// data[i * rs + k * cs] with one of them 1.
template <class C>
struct LeftOperand {
  const C* data;
  int64_t step, rs = 0, cs = 0;
};
// c (m x nr, rows of ldc) (+)= a b for nr columns of b, rows of ldb.
template <class C>
void left_product(const drivers::TileKernel<C>& tile, int64_t m, int64_t k, const LeftOperand<C>& a,
                  const C* b, int64_t ldb, C* c, int64_t ldc, bool accumulate) {
  if (!a.step) return rows_product(m, tile.nr, k, a.data, a.rs, a.cs, b, ldb, c, ldc, accumulate);
  for (int64_t i = 0; i < m; i += tile.mr)
    tile.run(k, a.data + i / tile.mr * a.step, b, ldb, c + i * ldc, ldc, std::min(tile.mr, m - i), tile.nr,
             nullptr, nullptr, accumulate);
}
// With fewer queries than this packing what is used by all of them costs more than it saves.
constexpr int64_t kWorthPacking = 256;

inline void add_values(int64_t n, const float* x, float* y) { kernels::table().add_f32(n, y, x, y); }
inline void add_values(int64_t n, const double* x, double* y) {
  for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

}  // namespace nnlib::ops
