// Conversion between element types.
#include "ops/elementwise.h"
#include "ops/sparse_math.h"

namespace nnlib::ops {

Tensor cast(const Tensor& self, Dtype dtype) {
  if (self.dtype() == dtype) return self;
  if (self.is_sparse()) return sparse_cast(self, dtype);
  Tensor out = cast_values(self, dtype);
  if (is_floating(dtype) && is_floating(self.dtype()) && wants_grad(self)) {
    record(out, "ToCopyBackward0", {self},
           [from = self.dtype()](Backward&, const TensorList& g) { return TensorList{cast(g[0], from)}; });
  }
  return out;
}

}  // namespace nnlib::ops
