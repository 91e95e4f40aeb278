// Squares of distances between points, as they are: differences first, so that close points keep their
// digits.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// kRows points of a against two vectors of points of b, of which the second has n.
template <int kRows>
NNLIB_INLINE void square_distances(int64_t cols, int64_t m, const float* a, const float* b, int64_t ldb,
                                   float* y, int64_t ldy) {
  for (int64_t j = 0; j < cols; j += 2 * kWidth) {
    const int64_t first = cols - j, second = cols - j - kWidth;
    const bool whole = second >= kWidth;
    Vec s[kRows][2];
    for (int i = 0; i < kRows; ++i) s[i][0] = s[i][1] = zero();
    for (int64_t k = 0; k < m; ++k) {
      const float* p = b + k * ldb + j;
      const Vec u = whole ? load(p) : load_n(p, first);
      const Vec v = whole ? load(p + kWidth) : second > 0 ? load_n(p + kWidth, second) : zero();
      for (int i = 0; i < kRows; ++i) {
        const Vec x = set1(a[i * m + k]), d = x - u, e = x - v;
        s[i][0] = fma(d, d, s[i][0]);
        s[i][1] = fma(e, e, s[i][1]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      store_n(y + i * ldy + j, s[i][0], first);
      if (second > 0) store_n(y + i * ldy + j + kWidth, s[i][1], second);
    }
  }
}
void square_distances_f32(int64_t rows, int64_t cols, int64_t m, const float* a, const float* b, int64_t ldb,
                          float* y, int64_t ldy) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) square_distances<4>(cols, m, a + i * m, b, ldb, y + i * ldy, ldy);
  for (; i < rows; ++i) square_distances<1>(cols, m, a + i * m, b, ldb, y + i * ldy, ldy);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
