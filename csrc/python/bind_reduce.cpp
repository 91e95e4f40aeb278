// Reductions, softmax and running values.
#include "ops/reduce.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_reduce(Binder& b) {
  constexpr int kBoth = kFunction | kMethod | kOut;
  b.def<&ops::sum>("sum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kBoth,
                   "The sum of all elements, or over dimensions; accumulated in float64 for float32.");
  b.def<&ops::mean>("mean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kBoth,
                    "The mean of all elements, or over dimensions.");
  b.def<&ops::sum_to_size_op>("sum_to_size(Tensor input, int[] size)", kMethod, "Summed to sizes that broadcast to input's.");
}

}  // namespace nnlib::python
