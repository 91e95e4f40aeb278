// Attention block by block: the scores of a block of queries against a block of keys are made, used and
// forgotten, so that the memory does not grow with L times S (Dao et al., "FlashAttention", 2022).
#pragma once
#include <optional>

#include "core/tensor.h"
#include "ops/dropout.h"

namespace nnlib::ops {

struct AttentionArgs {
  // (B, H, L, S) by strides of 0: bool, true where a query may look at a key, or a float that is added.
  TensorList masks;
  bool causal = false;
  double scale = 1;
  std::optional<DropoutRows> dropout;  // of the probabilities, a row for each query
  bool recorded = false;               // backward follows
};

// q (B, H, L, E), k (B, Hk, S, E), v (B, Hk, S, Ev), strided anyhow, of one floating type; Hk divides H, and
// each head of keys and values serves H / Hk neighbouring heads of queries. The result is (B, H, L, Ev),
// heads beside each other in memory, float64 or else float32. *normalizers (2, B, H, L), which backward
// needs: the largest score of each query, and 1 / the sum of its exponentials. Kept apart, since their
// logarithm would lose as many digits as the largest score has before the point.
Tensor attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                         Tensor* normalizers);

// What backward starts from, all float32 or all float64.
struct AttentionState {
  Tensor grad, q, k, v, out, normalizers;
};
// Gradients of q, k and v.
TensorList attention_backward(const AttentionState& state, const AttentionArgs& args);

// The same by the drivers' blocks of bfloat16 (drivers/attention_tiles.h), where that is quicker: q, k, v and
// grad are bfloat16 then, out and normalizers float32.
bool attention_takes_tiles(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args);
void attention_forward_tiles(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                             const Tensor& out, const Tensor& normalizers);
TensorList attention_backward_tiles(const AttentionState& state, const AttentionArgs& args);

// The gradient of a mask that is added: the scores' gradient, summed to `sizes`, (B, H, L, S) with 1 where
// the mask was broadcast.
Tensor attention_mask_gradient(const AttentionState& state, const AttentionArgs& args, const Dims& sizes);

}  // namespace nnlib::ops
