// Sparse tensors in coordinate format: indices (sparse_dim, nnz) and values (nnz, dense sizes...).
#pragma once
#include <atomic>
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

// Whether any tensor was ever sparse: programs without them skip what they need.
extern std::atomic<bool> g_sparse_in_use;
inline bool sparse_in_use() { return g_sparse_in_use.load(std::memory_order_relaxed); }

// Takes the parts as they are, without a check and without history.
Tensor make_sparse(const Tensor& indices, const Tensor& values, const Dims& sizes, bool coalesced);
// All zero: no elements.
Tensor sparse_zeros(const Dims& sizes, Dtype dtype);
Tensor sparse_clone(const Tensor& t);
Tensor sparse_copy_(const Tensor& self, const Tensor& src);

}  // namespace nnlib::ops
