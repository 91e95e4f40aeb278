// Packing of many panels at once, from contiguous rows.
#pragma once
#include "lane_types.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// A few rows are read along all panels. Panel after panel, a line of the cache that two panels share would be
// read twice, from far where rows lie a power of two apart: their lines fall on few sets of the caches, which
// keep 4 rows and the next 4.
template <class T>
NNLIB_INLINE void pack_panels(int64_t width, int64_t each, int64_t n, int64_t kc, const T* src, int64_t ld,
                              T scale, T* dst, int64_t panel) {
  constexpr int64_t kRows = 4, kLine = 64 / sizeof(T), w = kLanes<T>;
  const VecOf<T> s = splat(scale);
  // Narrow panels are moved in whole vectors up to this row: the next line overwrites what runs over, and
  // what is read beside the row lies in the next one.
  const int64_t lines = (w + width - 1) / width;
  const int64_t whole_until = width <= w && ld >= w ? kc - (lines < 2 ? 2 : lines) : -1;
  for (int64_t r = 0; r < kc; r += kRows) {
    const int64_t rows = kc - r < kRows ? kc - r : kRows, left = kc - r - rows;
    const T* from = src + r * ld;
    T* to = dst + r * width;
    for (int64_t j = 0; j < n; j += each, from += each, to += panel) {
      const int64_t m = n - j < each ? n - j : each;
      if (r + rows - 1 <= whole_until) {
        for (int64_t k = 0; k < rows; ++k) {
          const VecOf<T> v = load(from + k * ld);
          store(to + k * width, (m < width ? first_lanes(v, m) : v) * s);
        }
      } else if (m == width && width % w == 0) {
        for (int64_t k = 0; k < rows; ++k)
          for (int64_t i = 0; i < width; i += w) store(to + k * width + i, load(from + k * ld + i) * s);
      } else {
        for (int64_t k = 0; k < rows; ++k) {
          for (int64_t i = 0; i < width; i += w) {
            const VecOf<T> v = i < m ? load_any(from + k * ld + i, m - i) : splat(T(0));
            store_any(to + k * width + i, v * s, width - i);
          }
        }
      }
      for (int64_t i = 0; j % kLine < each && i < m; i += kLine)
        for (int64_t k = rows; k < rows + kRows && k < rows + left; ++k) prefetch(from + k * ld + i);
    }
  }
}

#define NNLIB_PACK_PANELS(suffix, T)                                                                      \
  void pack_panels_##suffix(int64_t width, int64_t each, int64_t n, int64_t kc, const T* src, int64_t ld, \
                            T scale, T* dst, int64_t panel) {                                             \
    pack_panels(width, each, n, kc, src, ld, scale, dst, panel);                                          \
  }
NNLIB_PACK_PANELS(f32, float)
NNLIB_PACK_PANELS(f64, double)
#undef NNLIB_PACK_PANELS

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
