// Pooling over windows of the last one, two or three dimensions. Inputs are (N, C, ...) or (C, ...).
#pragma once
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

using OptionalDims = std::optional<Dims>;
using TensorPair = std::pair<Tensor, Tensor>;

#define NNLIB_POOLS_OF(N)                                                                               \
  /* pool_max.cpp: the maximum of each window; with_indices also its flat place in the sample's channel \
   * (int64) */                                                                                         \
  Tensor max_pool##N(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,          \
                     const Dims& padding, const Dims& dilation, bool ceil_mode);                        \
  TensorPair max_pool##N##_with_indices(const Tensor& input, const Dims& kernel_size,                   \
                                        const OptionalDims& stride, const Dims& padding,                \
                                        const Dims& dilation, bool ceil_mode);                          \
  TensorPair adaptive_max_pool##N(const Tensor& input, const Dims& output_size);                        \
  /* pool_avg.cpp */                                                                                    \
  Tensor adaptive_avg_pool##N(const Tensor& input, const Dims& output_size);
NNLIB_POOLS_OF(1d)
NNLIB_POOLS_OF(2d)
NNLIB_POOLS_OF(3d)
#undef NNLIB_POOLS_OF

Tensor avg_pool1d(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,
                  const Dims& padding, bool ceil_mode, bool count_include_pad);
Tensor avg_pool2d(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,
                  const Dims& padding, bool ceil_mode, bool count_include_pad,
                  std::optional<int64_t> divisor_override);
Tensor avg_pool3d(const Tensor& input, const Dims& kernel_size, const OptionalDims& stride,
                  const Dims& padding, bool ceil_mode, bool count_include_pad,
                  std::optional<int64_t> divisor_override);

// pool_unpool.cpp: values go to the places that max pooling took them from; zero elsewhere.
Tensor max_unpool2d(const Tensor& input, const Tensor& indices, const Dims& output_size);
Tensor max_unpool3d(const Tensor& input, const Tensor& indices, const Dims& output_size);

// pool_max.cpp: windows at pseudo-random places (Graham, 2014), drawn from random_samples (N, C, 2 or 3) in
// [0, 1).
TensorPair fractional_max_pool2d(const Tensor& input, const Dims& kernel_size, const Dims& output_size,
                                 const Tensor& random_samples);
TensorPair fractional_max_pool3d(const Tensor& input, const Dims& kernel_size, const Dims& output_size,
                                 const Tensor& random_samples);

}  // namespace nnlib::ops
