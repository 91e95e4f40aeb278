// Truth and counts over dimensions.
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reduce_columns.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

// Counts the values that are not zero.
void count_rows(const Tensor& self, const std::vector<bool>& mask,
                FunctionRef<void(int64_t, const Acc&)> finish) {
  const Dtype own = self.dtype() == Dtype::Bool ? Dtype::Bool : compute_dtype(self.dtype());
  auto row = [own](Acc& a, int64_t n, const void* x, int64_t) {
    const auto count = [&](const auto* p) {
      int64_t c = 0;
      for (int64_t i = 0; i < n; i++) c += p[i] != 0;
      a.i[0] += c;
    };
    switch (own) {
      case Dtype::Bool:
        return count((const bool*)x);
      case Dtype::Float32:
        return count((const float*)x);
      case Dtype::Float64:
        return count((const double*)x);
      default:
        return count((const int64_t*)x);
    }
  };
  auto merge = [](Acc& a, const Acc& b) { a.i[0] += b.i[0]; };
  const auto fold = [](int64_t rows, int64_t cols, const auto* x, int64_t ld, int64_t* acc) {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t k = 0; k < cols; k++) acc[k] += x[r * ld + k];
  };
  const bool done = reduce_columns<bool>(
      self, mask, int64_t(0), fold,
      [&](int64_t cols, int64_t* acc, const int64_t* other) { fold(1, cols, other, cols, acc); },
      [&](int64_t first, int64_t cols, const int64_t* acc) {
        Acc a{};
        for (int64_t k = 0; k < cols; k++) {
          a.i[0] = acc[k];
          finish(first + k, a);
        }
      });
  if (done) return;
  reduce(self, mask, {own, Acc{}, row, merge}, finish);
}

Tensor truth(const Tensor& self, const std::optional<Dims>& dims, bool keepdim, bool every) {
  const std::vector<bool> mask =
      dims && dims->empty() ? std::vector<bool>((size_t)self.dim(), true) : reduced_mask(self, dims);
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
