// Truth and counts over dimensions.
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

// Counts the values that are not zero.
void count_rows(const Tensor& self, const std::vector<bool>& mask,
                FunctionRef<void(int64_t, const Acc&)> finish) {
  auto row = [](Acc& a, int64_t n, const void* x, int64_t) {
    const bool* p = (const bool*)x;
    int64_t c = 0;
    for (int64_t i = 0; i < n; i++) c += p[i];
    a.i[0] += c;
  };
  auto merge = [](Acc& a, const Acc& b) { a.i[0] += b.i[0]; };
  reduce(self, mask, {Dtype::Bool, Acc{}, row, merge}, finish);
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
