// Losses of classification: from logits (cross_entropy) and from log-probabilities (nll_loss).
#pragma once
#include <string>

#include "autograd/function.h"

namespace nnlib::ops {

// input (C), (N, C) or (N, C, d1, ...). target: classes (int64 or uint8) of input's sizes without C, or
// probabilities of input's sizes. weight (C) may be undefined. reduction: "none", "mean" or "sum".
Tensor cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                     const std::string& reduction, double label_smoothing);
Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                const std::string& reduction);

}  // namespace nnlib::ops
