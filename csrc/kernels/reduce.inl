// Sums. A fixed order of additions: lanes, then blocks, so that the result depends on the sizes alone.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int64_t kSumBlock = 1024;

// Four vectors at a time hide the latency of an addition. n <= kSumBlock.
NNLIB_INLINE float sum_block(int64_t n, const float* x) {
  Vec a = zero(), b = zero(), c = zero(), d = zero();
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    a = a + load(x + i);
    b = b + load(x + i + kWidth);
    c = c + load(x + i + 2 * kWidth);
    d = d + load(x + i + 3 * kWidth);
  }
  for (; i < n; i += kWidth) a = a + load_n(x + i, n - i);
  return reduce_add((a + b) + (c + d));
}

double sum_f32(int64_t n, const float* x) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kSumBlock) total += sum_block(n - i < kSumBlock ? n - i : kSumBlock, x + i);
  return total;
}

void sum_rows_f32(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  for (int64_t j = 0; j < cols; j += kWidth) {
    const int64_t n = cols - j < kWidth ? cols - j : kWidth;
    for (int64_t r0 = 0; r0 < rows; r0 += 16) {
      const int64_t r1 = rows - r0 < 16 ? rows : r0 + 16;
      Vec a = zero(), b = zero();
      int64_t r = r0;
      for (; r + 2 <= r1; r += 2) {
        a = a + load_n(x + r * ld + j, n);
        b = b + load_n(x + (r + 1) * ld + j, n);
      }
      if (r < r1) a = a + load_n(x + r * ld + j, n);
      float part[kWidth];
      store(part, a + b);
      for (int64_t k = 0; k < n; k++) acc[j + k] += part[k];
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
