// Scaled dot-product attention.
#pragma once
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

// softmax(scale q k^T + mask) v over the last two dimensions: q (..., L, E), k (..., S, E), v (..., S, Ev).
// attn_mask is bool (true: may be looked at) or is added; it may be undefined.
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& attn_mask, double dropout_p, bool is_causal,
                                    std::optional<double> scale, bool enable_gqa);
// The same with any number of masks, each broadcast on its own, so that a mask of keys and one of queries and
// keys need not be written out together.
Tensor masked_attention(const Tensor& query, const Tensor& key, const Tensor& value, const TensorList& masks,
                        double dropout_p, bool is_causal, std::optional<double> scale, bool enable_gqa,
                        bool by_definition);

}  // namespace nnlib::ops
