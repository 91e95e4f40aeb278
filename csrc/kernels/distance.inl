// Squares of distances between points, as they are: differences first, so that close points keep their
// digits.
#pragma once
#include "lane_types.h"

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

// y[j] = the sum or the largest of step(a[k] - b[k][j]) over k: some vectors of sums in registers.
template <class L, class Step>
NNLIB_INLINE void distances_by(int64_t cols, int64_t m, const typename L::type* a, const typename L::type* b,
                               int64_t ldb, typename L::type* y, Step step) {
  using V = typename L::V;
  constexpr int64_t w = L::kLanes;
  int64_t j = 0;
  for (; j + 4 * w <= cols; j += 4 * w) {
    V s[4];
    for (int v = 0; v < 4; ++v) s[v] = L::splat(0);
    for (int64_t k = 0; k < m; ++k) {
      const V x = L::splat(a[k]);
      for (int v = 0; v < 4; ++v) s[v] = step(s[v], x - L::get(b + k * ldb + j + v * w));
    }
    for (int v = 0; v < 4; ++v) L::put(y + j + v * w, s[v]);
  }
  for (; j < cols; j += w) {
    V s = L::splat(0);
    for (int64_t k = 0; k < m; ++k) s = step(s, L::splat(a[k]) - L::get(b + k * ldb + j, cols - j));
    L::put(y + j, s, cols - j);
  }
}
template <class L>
NNLIB_INLINE void distances_of(int64_t how, int64_t cols, int64_t m, const typename L::type* a,
                               const typename L::type* b, int64_t ldb, typename L::type* y) {
  using V = typename L::V;
  const V none = L::splat(0), one = L::splat(1);
  if (how == 0)
    distances_by<L>(cols, m, a, b, ldb, y, [=](V s, V d) { return s + select(ne(d, none), one, none); });
  else if (how == 1)
    distances_by<L>(cols, m, a, b, ldb, y, [](V s, V d) { return s + abs(d); });
  else if (how == 2)
    distances_by<L>(cols, m, a, b, ldb, y, [](V s, V d) { return fma(d, d, s); });
  else
    distances_by<L>(cols, m, a, b, ldb, y, [](V s, V d) { return max_nan(abs(d), s); });
}
void distances_f32(int64_t how, int64_t cols, int64_t m, const float* a, const float* b, int64_t ldb,
                   float* y) {
  distances_of<LanesF32>(how, cols, m, a, b, ldb, y);
}
void distances_f64(int64_t how, int64_t cols, int64_t m, const double* a, const double* b, int64_t ldb,
                   double* y) {
  distances_of<LanesF64>(how, cols, m, a, b, ldb, y);
}

template <class L>
NNLIB_INLINE typename L::One distance_slopes(bool largest, int64_t n, typename L::One a,
                                             const typename L::type* b, const typename L::type* dist,
                                             const typename L::type* g) {
  using V = typename L::V;
  constexpr int64_t w = L::kLanes;
  const V x = L::splat(a), none = L::splat(0);
  V s = none;
  const auto add = [&](V d, V far, V slope) {
    const V by = select(lt(none, d), slope, select(lt(d, none), none - slope, none));
    s = s + (largest ? select(ne(abs(d), far), none, by) : by);
  };
  int64_t j = 0;
  for (; j + w <= n; j += w) add(x - L::get(b + j), L::get(dist + j), L::get(g + j));
  if (j < n) add(x - L::get(b + j, n - j), L::get(dist + j, n - j), L::get(g + j, n - j));
  return reduce_add(s);
}
float distance_slopes_f32(bool largest, int64_t n, float a, const float* b, const float* dist,
                          const float* g) {
  return distance_slopes<LanesF32>(largest, n, a, b, dist, g);
}
double distance_slopes_f64(bool largest, int64_t n, double a, const double* b, const double* dist,
                           const double* g) {
  return distance_slopes<LanesF64>(largest, n, a, b, dist, g);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
