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
  bool by_rows = false;                // attention_takes_rows()
  bool heads_beside = false;           // in the result's memory each position's heads lie beside each other
};

// Whether the scores of a query are made as one row, for few queries, or panels of queries at a time.
// Backward has to find the bits of forward's scores (where one is 150, its rounding alone is 1e-5 of a
// probability), so it follows what forward did. The gradient of a mask is made by panels alone.
bool attention_takes_rows(const Tensor& q, const Tensor& k, const Tensor& v, bool recorded, bool of_masks);

// q (B, H, L, E), k (B, Hk, S, E), v (B, Hk, S, Ev), strided anyhow, of one floating type; Hk divides H, and
// each head of keys and values serves H / Hk neighbouring heads of queries. The result is (B, H, L, Ev),
// float64 or else float32. *normalizers (2, B, H, L), which backward needs: the largest score of each query,
// and 1 / the sum of its exponentials. Kept apart, since their logarithm would lose as many digits as the
// largest score has before the point.
Tensor attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                         Tensor* normalizers);

// What backward starts from, all float32 or all float64.
struct AttentionState {
  Tensor grad, q, k, v, out, normalizers;
};
// Gradients of q, k and v.
TensorList attention_backward(const AttentionState& state, const AttentionArgs& args);
TensorList attention_backward_rows(const AttentionState& state, const AttentionArgs& args);

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
