// Lookup tables: nn.Embedding and nn.EmbeddingBag.
#pragma once
#include <optional>
#include <string>

#include "autograd/function.h"

namespace nnlib::ops {

// Rows of weight (n, d) at the indices: (*, d). padding_idx gets no gradient. With max_norm, the rows that
// are looked up are first scaled down in place to that norm. `sparse` gives a sparse gradient.
Tensor embedding(const Tensor& indices, const Tensor& weight, std::optional<int64_t> padding_idx,
                 std::optional<double> max_norm, double norm_type, bool scale_grad_by_freq, bool sparse);
// Scales the rows that occur in `indices` down to max_norm, in place.
Tensor embedding_renorm_(const Tensor& weight, const Tensor& indices, double max_norm, double norm_type);
// The gradient of embedding with respect to its weight of `count` rows. Differentiable.
Tensor embedding_dense_backward(const Tensor& grad, const Tensor& indices, int64_t count, int64_t padding_idx,
                                bool scale_grad_by_freq);
// Sums, means or largest values of bags of rows: bag b is indices[offsets[b]] .. indices[offsets[b + 1] - 1].
Tensor embedding_bag(const Tensor& indices, const Tensor& weight, const Tensor& offsets,
                     bool scale_grad_by_freq, const std::string& mode, bool sparse,
                     const Tensor& per_sample_weights, bool include_last_offset,
                     std::optional<int64_t> padding_idx);

namespace detail {
// int64 and contiguous; an error where an index is no row of weight.
Tensor row_indices(const Tensor& indices, int64_t rows, const char* op);
// Rows of weight at int64 indices, without history: (numel, d).
Tensor gather_row_values(const Tensor& weight, const Tensor& indices);
Tensor embedding_weight_grad(const Tensor& grad, const Tensor& indices, const Dims& weight_sizes,
                             int64_t padding_idx, bool scale_grad_by_freq, bool sparse);
}  // namespace detail

}  // namespace nnlib::ops
