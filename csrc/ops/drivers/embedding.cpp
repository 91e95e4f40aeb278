#include "ops/drivers/embedding.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers {

namespace {

// Bytes of rows that are worth a thread.
constexpr int64_t kRowBytes = 1 << 15;

int64_t grain_of(int64_t row_bytes) {
  return std::max<int64_t>(1, kRowBytes / std::max<int64_t>(1, row_bytes));
}

}  // namespace

void gather_rows(int64_t count, int64_t row_bytes, const int64_t* rows, const void* src, void* dst) {
  parallel_for(0, count, grain_of(row_bytes), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      std::memcpy(static_cast<char*>(dst) + i * row_bytes,
                  static_cast<const char*>(src) + rows[i] * row_bytes, size_t(row_bytes));
    }
  });
}

Groups group_by_index(int64_t count, const int64_t* indices, int64_t size, int64_t skip) {
  Groups g;
  g.start.assign(size_t(size) + 1, 0);
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] != skip) ++g.start[size_t(indices[i]) + 1];
  }
  for (int64_t v = 0; v < size; ++v) g.start[size_t(v) + 1] += g.start[size_t(v)];
  g.places.resize(size_t(g.start[size_t(size)]));
  std::vector<int64_t> next(g.start.begin(), g.start.end() - 1);
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] != skip) g.places[size_t(next[size_t(indices[i])]++)] = i;
  }
  return g;
}

template <class T>
void scatter_add_rows(const Groups& groups, int64_t size, int64_t d, const T* src,
                      const compute_t<T>* weights, T* dst) {
  parallel_for(0, size, grain_of(d * int64_t(sizeof(T))), [&](int64_t first, int64_t last) {
    using C = compute_t<T>;
    C* sum = scratch<Scratch::Rows, C>(d);
    std::vector<float> chosen;
    for (int64_t v = first; v < last; ++v) {
      const int64_t* places = groups.places.data() + groups.start[size_t(v)];
      const int64_t n = groups.start[size_t(v) + 1] - groups.start[size_t(v)];
      T* row = dst + v * d;
      if (n == 0) {
        std::fill(row, row + d, T(0));
        continue;
      }
      if constexpr (std::is_same_v<T, float>) {
        chosen.clear();
        for (int64_t q = 0; weights && q < n; ++q) chosen.push_back(weights[places[q]]);
        kernels::table().sum_rows_indexed_f32(n, d, places, src, d, weights ? chosen.data() : nullptr, row);
      } else {
        std::fill(sum, sum + d, C(0));
        for (int64_t q = 0; q < n; ++q) {
          const C w = weights ? weights[places[q]] : C(1);
          const T* from = src + places[q] * d;
          for (int64_t j = 0; j < d; ++j) sum[j] += w * C(from[j]);
        }
        for (int64_t j = 0; j < d; ++j) row[j] = T(sum[j]);
      }
    }
  });
}

#define NNLIB_INSTANTIATE(T) \
  template void scatter_add_rows<T>(const Groups&, int64_t, int64_t, const T*, const compute_t<T>*, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
NNLIB_INSTANTIATE(Half)
NNLIB_INSTANTIATE(BFloat16)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers
