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

// margin_loss.cpp: the loss of each row of input (N, C). Targets are classes: those of a row up to the first
// negative number (N, C), or one for each row (N) with weight (C), which may be undefined.
Tensor multilabel_margin_loss(const Tensor& input, const Tensor& target);
Tensor multi_margin_loss(const Tensor& input, const Tensor& target, int64_t p, double margin,
                         const Tensor& weight);

// ctc.cpp: the loss of each sequence. log_probs (T, N, C); targets (N, S), input_lengths and target_lengths
// (N) integers.
Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, int64_t blank, bool zero_infinity);

}  // namespace nnlib::ops
