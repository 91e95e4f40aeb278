// Values that move between planes by an index for each: what max pooling, its gradient and its inverse are
// made of.
#pragma once
#include "autograd/function.h"

namespace nnlib::ops {

// out[plane][indices[plane][i]] += (or =, where not `accumulate`) x[plane][i], zero elsewhere; differentiable
// in x. `planes` leading planes; sizes are the result's.
Tensor scatter_places(const Tensor& x, const Tensor& indices, const Dims& sizes, int64_t planes,
                      bool accumulate, const char* name);
// out[plane][i] = x[plane][indices[plane][i]], in the sizes of `indices`; differentiable in x.
Tensor gather_places(const Tensor& x, const Tensor& indices, int64_t planes, const char* name);

}  // namespace nnlib::ops
