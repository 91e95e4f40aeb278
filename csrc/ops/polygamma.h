// The derivatives of digamma.
#pragma once
#include "core/tensor.h"

namespace nnlib::ops {

// The n-th derivative of digamma, n >= 0.
Tensor polygamma(int64_t n, const Tensor& self);

}  // namespace nnlib::ops
