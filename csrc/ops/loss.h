// Losses of two tensors, element by element. reduction is "none", "mean" or "sum"; operands are broadcast.
#pragma once
#include <string>

#include "autograd/function.h"

namespace nnlib::ops {

Tensor mse_loss(const Tensor& input, const Tensor& target, const std::string& reduction);
Tensor l1_loss(const Tensor& input, const Tensor& target, const std::string& reduction);
Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, const std::string& reduction, double beta);
Tensor huber_loss(const Tensor& input, const Tensor& target, const std::string& reduction, double delta);
Tensor binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight,
                            const std::string& reduction);
Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target, const Tensor& weight,
                                        const Tensor& pos_weight, const std::string& reduction);
// reduction may be "batchmean" too: the sum divided by the first size.
Tensor kl_div(const Tensor& input, const Tensor& target, const std::string& reduction, bool log_target);

}  // namespace nnlib::ops
