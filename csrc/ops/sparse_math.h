// Making, reading and adding sparse tensors in coordinate format. Gradients flow through coalesce, to_dense,
// sums and products with numbers.
#pragma once
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

// Checks the parts: indices (sparse_dim, nnz), values (nnz, dense sizes...). Without sizes the smallest that
// fit.
Tensor sparse_coo_tensor(const Tensor& indices, const Tensor& values, const std::optional<Dims>& size,
                         std::optional<bool> is_coalesced);
// Each index once, in order; values of one index are added.
Tensor coalesce(const Tensor& self);
Tensor to_dense(const Tensor& self);
Tensor to_sparse(const Tensor& self, std::optional<int64_t> sparse_dim);
// The values of a dense tensor at the indices of a sparse one.
Tensor sparse_mask(const Tensor& self, const Tensor& mask);
// Without a copy. indices and values want a coalesced tensor.
Tensor sparse_indices(const Tensor& self, bool any);
Tensor sparse_values(const Tensor& self, bool any);
int64_t sparse_nnz(const Tensor& self);
int64_t sparse_dim(const Tensor& self);
int64_t dense_dim(const Tensor& self);
bool is_coalesced(const Tensor& self);

// What arithmetic calls when an operand is sparse.
Tensor sparse_add(const Tensor& self, const Tensor& other, Scalar alpha);
Tensor sparse_add_(const Tensor& self, const Tensor& other, Scalar alpha);
Tensor sparse_scale(const Tensor& self, const Tensor& factor, bool divide);  // by a tensor of one element
Tensor sparse_cast(const Tensor& self, Dtype dtype);
Tensor sparse_zero_(const Tensor& self);
Tensor sparse_sum(const Tensor& self);
// self becomes the sparse tensor `value`.
Tensor sparse_assign_(const Tensor& self, const Tensor& value);

}  // namespace nnlib::ops
