// Losses of classification: from logits (cross_entropy) and from log-probabilities (nll_loss).
#pragma once
#include <optional>
#include <string>

#include "autograd/function.h"

namespace nnlib::ops {

// input (C), (N, C) or (N, C, d1, ...). target: classes (int64 or uint8) of input's sizes without C, or
// probabilities of input's sizes. weight (C) may be undefined. reduction: "none", "mean" or "sum".
Tensor cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                     const std::string& reduction, double label_smoothing);
Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                const std::string& reduction);
// cross_entropy of linear(input (N, D), linear_weight (C, D), linear_bias) with class or probability targets,
// for block_rows rows at a time (0: a number that suits the caches). Gradients are summed in sum_dtype, at
// least float32.
Tensor linear_cross_entropy(const Tensor& input, const Tensor& linear_weight, const Tensor& target,
                            const Tensor& linear_bias, const Tensor& weight, const std::string& reduction,
                            int64_t ignore_index, double label_smoothing, int64_t block_rows,
                            std::optional<Dtype> sum_dtype);

}  // namespace nnlib::ops
