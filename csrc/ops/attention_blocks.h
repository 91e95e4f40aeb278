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

// q (B, H, L, E), k (B, Hk, S, E), v (B, Hk, S, Ev), strided anyhow, of one floating type; Hk divides H, and
// each head of keys and values serves H / Hk neighbouring heads of queries. The result is (B, H, L, Ev),
// heads beside each other in memory, float64 or else float32; *log_sum (B, H, L) is what backward needs.
Tensor attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                         Tensor* log_sum);
// Gradients of q, k and v, all float32 or all float64.
TensorList attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                              const Tensor& out, const Tensor& log_sum, const AttentionArgs& args);

}  // namespace nnlib::ops
