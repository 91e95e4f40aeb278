// Attention.
#include "ops/attention.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_attention(Binder& b) {
  b.def<ops::scaled_dot_product_attention>(
      "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float "
      "dropout_p=0.0, "
      "bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
      kFunction | kPrivate,
      R"(softmax(scale * query @ key^T + mask) @ value.

query is (..., L, E), key (..., S, E), value (..., S, Ev); the result is (..., L, Ev). attn_mask is broadcast to (..., L, S):
bool, true where a query may look at a key, or a float that is added. is_causal lets query i look at keys 0 to i. scale is
1 / sqrt(E) where not given. With enable_gqa key and value may have fewer heads (dimension -3), each serving several heads of
query. dropout_p drops probabilities whether or not anything trains.

The scores are made block by block and never held as a whole, forward and backward; dropout draws its numbers again. A gradient
that is differentiated does hold them. Raises RuntimeError for types or sizes that do not fit, or a mask beside is_causal.

Vaswani et al., "Attention is all you need", 2017; Dao et al., "FlashAttention", 2022.)");
  b.def<ops::masked_attention>(
      "_masked_attention(Tensor query, Tensor key, Tensor value, Tensor[] masks, float dropout_p, bool "
      "is_causal, "
      "*, float? scale=None, bool enable_gqa=False, bool by_definition=False) -> Tensor",
      kFunction | kPrivate,
      "scaled_dot_product_attention with any number of masks, each broadcast to the scores on its own; "
      "by_definition holds "
      "the scores as a whole, and draws the same dropout.");
}

}  // namespace nnlib::python
