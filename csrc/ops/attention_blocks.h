// Attention block by block: the scores of a block of queries against a block of keys are made, used and
// forgotten, so that the memory does not grow with L times S (Dao et al., "FlashAttention", 2022).
#pragma once
#include "core/tensor.h"

namespace nnlib::ops {

struct AttentionArgs {
  Tensor mask;  // added to the scores; (B, H, L, S) by strides of 0; undefined: none
  bool causal = false;
  double scale = 1;
};

// q (B, H, L, E), k (B, H, S, E), v (B, H, S, Ev), strided anyhow, of one type, float32 or float64. The
// result is (B, H, L, Ev), heads beside each other in memory; *log_sum (B, H, L) is what backward needs.
Tensor attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                         Tensor* log_sum);
// Gradients of q, k and v.
TensorList attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                              const Tensor& out, const Tensor& log_sum, const AttentionArgs& args);

}  // namespace nnlib::ops
