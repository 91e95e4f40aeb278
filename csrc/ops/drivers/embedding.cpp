#include "ops/drivers/embedding.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "core/parallel.h"
#include "kernels/dispatch.h"

namespace nnlib::drivers {

namespace {

// Bytes of rows that are worth a thread.
constexpr int64_t kRowBytes = 1 << 15;

int64_t grain_of(int64_t row_bytes) {
  return std::max<int64_t>(1, kRowBytes / std::max<int64_t>(1, row_bytes));
}

}  // namespace

void gather_rows(int64_t count, int64_t row_bytes, const int64_t* rows, const void* src, void* dst) {
  // Rows ahead that are brought near, and lines of each: the addresses tell the processor nothing, what
  // follows in a long row does.
  constexpr int64_t kAhead = 8, kLines = 4;
  const int64_t lines = std::min(kLines, (row_bytes + 63) / 64);
  parallel_for(0, count, grain_of(row_bytes), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const char* const ahead =
          static_cast<const char*>(src) + rows[std::min(i + kAhead, last - 1)] * row_bytes;
      for (int64_t l = 0; l < lines; ++l) __builtin_prefetch(ahead + 64 * l);
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
void sum_rows(int64_t count, int64_t d, const int64_t* rows, const T* src, const compute_t<T>* weights,
              T* y) {
  const auto& k = kernels::table();
  const auto run = [&](auto kernel, auto tag) {
    using Bits = typename decltype(tag)::type;
    kernel(count, d, rows, reinterpret_cast<const Bits*>(src), d, weights, reinterpret_cast<Bits*>(y));
  };
  if constexpr (std::is_same_v<T, float>) run(k.sum_rows_indexed_f32, TypeTag<float>{});
  if constexpr (std::is_same_v<T, double>) run(k.sum_rows_indexed_f64, TypeTag<double>{});
  if constexpr (std::is_same_v<T, BFloat16>) run(k.sum_rows_indexed_bf16, TypeTag<uint16_t>{});
  if constexpr (std::is_same_v<T, Half>) run(k.sum_rows_indexed_f16, TypeTag<uint16_t>{});
}

template <class T>
void scatter_add_rows(const Groups& groups, int64_t size, int64_t d, const T* src,
                      const compute_t<T>* weights, T* dst) {
  parallel_for(0, size, grain_of(d * int64_t(sizeof(T))), [&](int64_t first, int64_t last) {
    std::vector<compute_t<T>> chosen;
    for (int64_t v = first; v < last; ++v) {
      const int64_t* places = groups.places.data() + groups.start[size_t(v)];
      const int64_t n = groups.start[size_t(v) + 1] - groups.start[size_t(v)];
      T* row = dst + v * d;
      if (n == 0) {
        std::fill(row, row + d, T(0));
        continue;
      }
      chosen.clear();
      for (int64_t q = 0; weights && q < n; ++q) chosen.push_back(weights[places[q]]);
      sum_rows<T>(n, d, places, src, weights ? chosen.data() : nullptr, row);
    }
  });
}

#define NNLIB_INSTANTIATE(T)                                                                      \
  template void sum_rows<T>(int64_t, int64_t, const int64_t*, const T*, const compute_t<T>*, T*); \
  template void scatter_add_rows<T>(const Groups&, int64_t, int64_t, const T*, const compute_t<T>*, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
NNLIB_INSTANTIATE(Half)
NNLIB_INSTANTIATE(BFloat16)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers
