// Functions of one operand.
#include <cmath>

#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/iterator.h"

namespace nnlib::ops {

Tensor neg(const Tensor& self) {
  NNLIB_CHECK(self.dtype() != Dtype::Bool,
              "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
              "the `~` or `logical_not()` operator instead.");
  Tensor out = make_output(self.sizes(), result_type(self), {&self});
  dispatch_compute(self.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    map_values<C>(out, kCheap, [](C x) { return std::is_integral_v<C> ? (C)(0 - (uint64_t)x) : (C)-x; }, self);
  });
  if (wants_grad(self))
    record(out, "NegBackward0", {self}, [](Backward&, const TensorList& g) { return TensorList{neg(g[0])}; });
  return out;
}

}  // namespace nnlib::ops
