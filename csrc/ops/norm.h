// Normalisations. Weights, biases and running statistics may be undefined.
#pragma once
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

// ---- norm_batch.cpp
// (N, C, ...) over all but C. Training updates the running statistics in place; evaluation uses them.
Tensor batch_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, bool training, double momentum, double eps);

// ---- norm_layer.cpp: over the last dimensions.
Tensor layer_norm(const Tensor& input, const Dims& normalized_shape, const Tensor& weight, const Tensor& bias,
                  double eps);
Tensor rms_norm(const Tensor& input, const Dims& normalized_shape, const Tensor& weight,
                std::optional<double> eps);

// ---- norm_group.cpp: (N, C, ...) over groups of channels and all positions of one sample.
Tensor group_norm(const Tensor& input, int64_t num_groups, const Tensor& weight, const Tensor& bias,
                  double eps);
Tensor instance_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, bool use_input_stats, double momentum,
                     double eps);

// ---- norm_misc.cpp
Tensor local_response_norm(const Tensor& input, int64_t size, double alpha, double beta, double k);
Tensor normalize(const Tensor& input, double p, int64_t dim, double eps);

}  // namespace nnlib::ops
