// Convolutions in one to three dimensions, with batches or without.
#pragma once
#include <string>

#include "autograd/function.h"

namespace nnlib::ops {

// bias may be undefined. stride, padding, output_padding and dilation have one entry a dimension.
Tensor convolution(const Tensor& input, const Tensor& weight, const Tensor& bias, const Dims& stride,
                   const Dims& padding, const Dims& dilation, bool transposed, const Dims& output_padding,
                   int64_t groups);
// padding: "valid", or "same" for an output of the input's size (stride 1).
Tensor convolution_mode(const Tensor& input, const Tensor& weight, const Tensor& bias, const Dims& stride,
                        const std::string& padding, const Dims& dilation, int64_t groups);

}  // namespace nnlib::ops
