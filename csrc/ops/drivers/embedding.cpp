#include "ops/drivers/embedding.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "core/fill.h"
#include "core/parallel.h"
#include "core/radix_order.h"
#include "kernels/dispatch.h"

namespace nnlib::drivers {

namespace {

// Bytes of rows that are worth a thread.
constexpr int64_t kRowBytes = 1 << 15;
// Results larger than this leave the caches before anything reads them. Rows shorter than the other mostly
// share their lines.
constexpr int64_t kStreamed = int64_t(1) << 23, kLongRow = 256;
// Rows ahead that are brought near: the addresses tell the processor nothing, what follows in a long row
// does.
constexpr int64_t kRowsAhead = 8;

inline void bring_near(const void* src, int64_t row, int64_t row_bytes) {
  constexpr int64_t kBytes = 256;
  const char* const at = static_cast<const char*>(src) + row * row_bytes;
  for (int64_t b = 0; b < std::min(kBytes, row_bytes); b += 64) __builtin_prefetch(at + b);
}

int64_t grain_of(int64_t row_bytes) {
  return std::max<int64_t>(1, kRowBytes / std::max<int64_t>(1, row_bytes));
}

}  // namespace

void gather_rows(int64_t count, int64_t row_bytes, const int64_t* rows, const void* src, void* dst) {
  const bool past = count * row_bytes >= kStreamed && row_bytes >= kLongRow;
  parallel_for(0, count, grain_of(row_bytes), [&](int64_t first, int64_t last) {
    if (past) {
      return kernels::table().gather_rows_past(last - first, row_bytes, rows + first,
                                               static_cast<const char*>(src),
                                               static_cast<char*>(dst) + first * row_bytes);
    }
    for (int64_t i = first; i < last; ++i) {
      bring_near(src, rows[std::min(i + kRowsAhead, last - 1)], row_bytes);
      std::memcpy(static_cast<char*>(dst) + i * row_bytes,
                  static_cast<const char*>(src) + rows[i] * row_bytes, size_t(row_bytes));
    }
  });
}

Groups group_by_index(int64_t count, const int64_t* indices, int64_t skip) {
  Groups g;
  g.places.resize(size_t(count));
  stable_order(count, indices, false, g.places.data());
  size_t kept = 0;
  for (const int64_t place : g.places) {
    const int64_t row = indices[place];
    if (row == skip) continue;
    if (g.rows.empty() || g.rows.back() != row) {
      g.rows.push_back(row);
      g.start.push_back(int64_t(kept));
    }
    g.places[kept++] = place;
  }
  g.places.resize(kept);
  g.start.push_back(int64_t(kept));
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
void sum_bags(int64_t bags, const int64_t* first, int64_t d, const int64_t* rows, const T* src,
              const compute_t<T>* weights, T* y) {
  const int64_t row_bytes = d * int64_t(sizeof(T));
  parallel_for(0, bags, std::max<int64_t>(1, 4096 / std::max<int64_t>(d, 1)),
               [&](int64_t begin, int64_t end) {
                 int64_t near = first[begin];  // places before it are on their way
                 for (int64_t bag = begin; bag < end; ++bag) {
                   const int64_t from = first[bag], n = first[bag + 1] - from;
                   // A sum brings near what is further on in its own bag.
                   near = std::max(near, from + n);
                   for (; near < std::min(first[end], from + n + kRowsAhead); ++near)
                     bring_near(src, rows[near], row_bytes);
                   sum_rows<T>(n, d, rows + from, src, weights ? weights + from : nullptr, y + bag * d);
                 }
               });
}

template <class T>
void scatter_add_rows(const Groups& groups, int64_t size, int64_t d, const T* src,
                      const compute_t<T>* weights, T* dst) {
  const bool past_caches = size * d * int64_t(sizeof(T)) > kPastCaches;
  parallel_for(0, size, grain_of(d * int64_t(sizeof(T))), [&](int64_t first, int64_t last) {
    std::vector<compute_t<T>> chosen;
    int64_t next = first;  // rows before it are written
    const auto clear_until = [&](int64_t end) {
      uint8_t* const from = reinterpret_cast<uint8_t*>(dst + next * d);
      fill_run(from, (end - next) * d * int64_t(sizeof(T)), uint8_t(0), past_caches);
      next = end;
    };
    const auto begin = std::lower_bound(groups.rows.begin(), groups.rows.end(), first);
    for (size_t g = size_t(begin - groups.rows.begin()); g < groups.rows.size() && groups.rows[g] < last;
         ++g) {
      clear_until(groups.rows[g]);
      const int64_t* places = groups.places.data() + groups.start[g];
      const int64_t n = groups.start[g + 1] - groups.start[g];
      chosen.clear();
      for (int64_t q = 0; weights && q < n; ++q) chosen.push_back(weights[places[q]]);
      sum_rows<T>(n, d, places, src, weights ? chosen.data() : nullptr, dst + next++ * d);
    }
    clear_until(last);
  });
}

#define NNLIB_INSTANTIATE(T)                                                                                 \
  template void sum_bags<T>(int64_t, const int64_t*, int64_t, const int64_t*, const T*, const compute_t<T>*, \
                            T*);                                                                             \
  template void scatter_add_rows<T>(const Groups&, int64_t, int64_t, const T*, const compute_t<T>*, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
NNLIB_INSTANTIATE(Half)
NNLIB_INSTANTIATE(BFloat16)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers
