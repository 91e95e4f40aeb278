// Conversion between element types.
#include <cstring>

#include "ops/elementwise.h"
#include "ops/iterator.h"
#include "ops/sparse_math.h"

namespace nnlib::ops {

namespace {

// To and from the 16-bit floats goes through float32 and the kernels that rows are converted with.
Tensor convert(const Tensor& self, Dtype dtype) {
  const Dtype c = Dtype::Float32;
  if (!is_reduced_float(dtype) && !is_reduced_float(self.dtype())) return cast_values(self, dtype);
  Tensor out = empty_like(self, dtype);
  for_each_row(out, c, {{&self, c}}, [](int64_t n, const void* const* in, void* o) {
    std::memcpy(o, in[0], (size_t)n * sizeof(float));
  });
  return out;
}

}  // namespace

Tensor cast(const Tensor& self, Dtype dtype) {
  if (self.dtype() == dtype) return self;
  if (self.is_sparse()) return sparse_cast(self, dtype);
  Tensor out = convert(self, dtype);
  if (is_floating(dtype) && is_floating(self.dtype()) && wants_grad(self)) {
    record(out, "ToCopyBackward0", {self},
           [from = self.dtype()](Backward&, const TensorList& g) { return TensorList{cast(g[0], from)}; });
  }
  return out;
}

}  // namespace nnlib::ops
