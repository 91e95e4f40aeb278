// Truth and counts over dimensions.
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reduce_columns.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

// How many of n values are not zero. Counters are as wide as values, so that a vector of values makes a
// vector of counters; narrow ones are emptied in time.
template <class T>
int64_t count_nonzero_of(int64_t n, const T* x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    int64_t c = 0;
    for (int64_t i = 0; i < n; i++) c += (x[i].bits & 0x7fff) != 0;
    return c;
  } else {
    using Counter = std::conditional_t<
        sizeof(T) == 1, uint8_t,
        std::conditional_t<sizeof(T) == 2, uint16_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>>;
    int64_t total = 0;
    for (int64_t from = 0; from < n;) {
      constexpr int64_t kChains = 32, kMost = kChains * 255;
      Counter part[kChains] = {};
      const int64_t end = std::min(n, from + kMost);
      for (; from + kChains <= end; from += kChains)
        for (int64_t k = 0; k < kChains; k++) part[k] = (Counter)(part[k] + (x[from + k] != T(0)));
      for (int64_t k = 0; k < kChains; k++) total += (int64_t)part[k];
      if (end - from < kChains)
        for (; from < end; from++) total += x[from] != T(0);
    }
    return total;
  }
}

// Counts the values that are not zero.
void count_rows(const Tensor& self, const std::vector<bool>& mask,
                FunctionRef<void(int64_t, const Acc&)> finish) {
  auto row = [&self](Acc& a, int64_t n, const void* x, int64_t) {
    dispatch_all(self.dtype(),
                 [&](auto tag) { a.i[0] += count_nonzero_of(n, (const typename decltype(tag)::type*)x); });
  };
  auto merge = [](Acc& a, const Acc& b) { a.i[0] += b.i[0]; };
  // Counted in bytes, which are emptied before they are full.
  const auto fold = [](int64_t rows, int64_t cols, const bool* x, int64_t ld, int64_t* acc) {
    constexpr int64_t kSome = 64, kMost = 255;
    for (int64_t from = 0; from < rows; from += kMost) {
      const int64_t end = std::min(rows, from + kMost);
      for (int64_t j = 0; j < cols; j += kSome) {
        const int64_t m = std::min(kSome, cols - j);
        uint8_t part[kSome] = {};
        for (int64_t r = from; r < end; r++)
          for (int64_t k = 0; k < m; k++) part[k] = (uint8_t)(part[k] + x[r * ld + j + k]);
        for (int64_t k = 0; k < m; k++) acc[j + k] += part[k];
      }
    }
  };
  const bool done = reduce_columns<bool>(
      self, mask, int64_t(0), fold,
      [](int64_t cols, int64_t* acc, const int64_t* other) {
        for (int64_t k = 0; k < cols; k++) acc[k] += other[k];
      },
      [&](int64_t first, int64_t cols, const int64_t* acc) {
        Acc a{};
        for (int64_t k = 0; k < cols; k++) {
          a.i[0] = acc[k];
          finish(first + k, a);
        }
      });
  if (done) return;
  reduce(self, mask, {self.dtype(), Acc{}, row, merge}, finish);
}

Tensor truth(const Tensor& self, const std::optional<Dims>& dims, bool keepdim, bool every) {
  // An empty list stands for no dimension here, where sums take it for all.
  const std::vector<bool> mask =
      dims && dims->empty() ? std::vector<bool>((size_t)self.dim(), false) : reduced_mask(self, dims);
  const int64_t need = every ? reduced_count(self, mask) : 1;
  Tensor out =
      empty(reduced_sizes(self, mask, keepdim), self.dtype() == Dtype::UInt8 ? Dtype::UInt8 : Dtype::Bool);
  ElementWriter w(out);
  count_rows(self, mask, [&](int64_t i, const Acc& a) { w.set(i, (int64_t)(a.i[0] >= need)); });
  return out;
}

}  // namespace

Tensor any(const Tensor& self, std::optional<Dims> dims, bool keepdim) {
  return truth(self, dims, keepdim, false);
}
Tensor all(const Tensor& self, std::optional<Dims> dims, bool keepdim) {
  return truth(self, dims, keepdim, true);
}

Tensor count_nonzero(const Tensor& self, std::optional<Dims> dims) {
  const std::vector<bool> mask = reduced_mask(self, dims);
  Tensor out = empty(reduced_sizes(self, mask, false), Dtype::Int64);
  ElementWriter w(out);
  count_rows(self, mask, [&](int64_t i, const Acc& a) { w.set(i, a.i[0]); });
  return out;
}

}  // namespace nnlib::ops
