// Attention of bfloat16 tensors by blocks of bfloat16, AMX's tiles or AVX512-BF16's dot products: scores and
// softmax are float32, probabilities and their gradients are rounded to bfloat16 for the products that
// follow.
#pragma once
#include <cstdint>

#include "core/half.h"

namespace nnlib::drivers {

// A (batch, heads, rows, columns) tensor by its strides.
template <class T>
struct Heads {
  T* data;
  int64_t batch, head, row, column;
  T* at(int64_t b, int64_t h, int64_t i = 0, int64_t j = 0) const {
    return data + b * batch + h * head + i * row + j * column;
  }
};

struct AttentionShape {
  int64_t batch, heads, key_heads, queries, keys, width, value_width;  // key_heads divides heads
  bool causal;
  float scale;
};

// Whether they are quicker than panels of float32.
bool attention_tiles_pay(const AttentionShape& s);

// out = softmax(scale q k^T + mask) v, rounded by nobody. normalizers (2, batch, heads, queries): each
// query's largest score, and 1 / the sum of its exponentials, which backward needs. The mask's data may be
// null.
void attention_forward_by_tiles(const AttentionShape& s, const Heads<const BFloat16>& q,
                                const Heads<const BFloat16>& k, const Heads<const BFloat16>& v,
                                const Heads<const float>& mask, const Heads<float>& out, float* normalizers);

// The gradients of q, k and v, contiguous, of `out` and normalizers from forward.
void attention_backward_by_tiles(const AttentionShape& s, const Heads<const BFloat16>& grad,
                                 const Heads<const BFloat16>& q, const Heads<const BFloat16>& k,
                                 const Heads<const BFloat16>& v, const Heads<const float>& mask,
                                 const Heads<const float>& out, const float* normalizers, float* grad_q,
                                 float* grad_k, float* grad_v);

}  // namespace nnlib::drivers
