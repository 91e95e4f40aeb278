// What the normalisations share: memory layouts, parameters in the compute type, running statistics.
#pragma once
#include <algorithm>
#include <vector>

#include "autograd/function.h"
#include "core/parallel.h"

namespace nnlib::ops {

// Values a chunk of parallel work has.
constexpr int64_t kNormGrain = 32768;
inline int64_t rows_per_chunk(int64_t row_size, int64_t values = kNormGrain) {
  return std::max<int64_t>(1, values / std::max<int64_t>(1, row_size));
}

// The type in which statistics of an input are kept: float32 for the 16-bit floats.
inline Dtype statistics_dtype(Dtype d) { return is_reduced_float(d) ? Dtype::Float32 : d; }

// A parameter as contiguous values of the compute type; null where there is none.
template <class C>
class Param {
 public:
  explicit Param(const Tensor& t)
      : values_(t.defined() ? contiguous_values(cast_values(t, DtypeOf<C>::value)) : Tensor()) {}
  const C* data() const { return values_.defined() ? values_.data<C>() : nullptr; }
  C get(int64_t i, C otherwise) const { return values_.defined() ? data()[i] : otherwise; }

 private:
  Tensor values_;
};

// g with the memory layout of x, which is dense.
inline Tensor laid_out_as(const Tensor& g, const Tensor& x) {
  if (g.strides() == x.strides() && g.dtype() == x.dtype()) return g;
  Tensor out = empty_like(x);
  copy_values(out, g);
  return out;
}

// running = (1 - momentum) running + momentum value, in place.
inline void update_running(const Tensor& running, const std::vector<double>& value, double momentum) {
  if (!running.defined()) return;
  Tensor next = empty(running.sizes(), Dtype::Float64);
  copy_values(next, running);
  double* p = next.data<double>();
  for (size_t i = 0; i < value.size(); i++) p[i] = (1 - momentum) * p[i] + momentum * value[i];
  copy_values(running, next);
  mark_changed(running);
}

// Adds up `width` accumulators over rows: fixed chunks of rows each on its own, their sums in order.
// add_row(r, sums).
template <class C, class F>
std::vector<double> sum_over_rows(int64_t rows, int64_t width, int64_t row_size, F add_row) {
  std::vector<double> total((size_t)width, 0.0);
  const int64_t grain = std::min<int64_t>(256, rows_per_chunk(row_size));
  const int64_t chunks = (rows + grain - 1) / grain;
  Tensor partial = empty({chunks, width}, DtypeOf<C>::value);
  C* sums = partial.data<C>();
  parallel_for(0, rows, grain, [&](int64_t b, int64_t e) {
    C* mine = sums + b / grain * width;
    std::fill(mine, mine + width, C(0));
    for (int64_t r = b; r < e; r++) add_row(r, mine);
  });
  for (int64_t k = 0; k < chunks; k++)
    for (int64_t j = 0; j < width; j++) total[(size_t)j] += sums[k * width + j];
  return total;
}

// Rows of few channels are walked some at a time, so that they fill vectors and cost fewer calls: how many of
// `rows` rows, which they divide.
inline int64_t rows_at_once(int64_t rows, int64_t channels) {
  int64_t k = rows > 0 ? std::max<int64_t>(1, 512 / std::max<int64_t>(1, channels)) : 1;
  while (rows % k) k--;
  return k;
}
// `times` copies of n values; and the sums of what such copies gathered.
template <class C>
std::vector<C> repeated(const C* x, int64_t n, int64_t times) {
  std::vector<C> all;
  all.reserve((size_t)(n * times));
  for (int64_t k = 0; k < times; k++) all.insert(all.end(), x, x + n);
  return all;
}
inline std::vector<double> gathered(const double* x, int64_t n, int64_t times) {
  std::vector<double> sums(x, x + n);
  for (int64_t k = 1; k < times; k++)
    for (int64_t i = 0; i < n; i++) sums[(size_t)i] += x[k * n + i];
  return sums;
}

inline void check_channels(const Tensor& t, const char* name, int64_t channels) {
  NNLIB_CHECK(!t.defined() || t.numel() == channels, name, " should contain ", channels, " elements not ",
              t.defined() ? t.numel() : 0);
}

}  // namespace nnlib::ops
