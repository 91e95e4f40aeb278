// Arithmetic on sizes and strides.
#pragma once
#include "core/dims.h"
#include "core/error.h"

namespace nnlib {

// The product of the sizes; an error on negative sizes or when it does not fit 63 bits.
int64_t count(const Dims& sizes);
Dims contiguous_strides(const Dims& sizes);
Dims channels_last_strides(const Dims& sizes);  // 4 or 5 dimensions
bool is_contiguous(const Dims& sizes, const Dims& strides);
bool is_channels_last(const Dims& sizes, const Dims& strides);
// Each element has a place of its own and together they fill a block without holes.
bool is_non_overlapping_and_dense(const Dims& sizes, const Dims& strides);
// Two indices may name the same memory (a stride of 0, as expand makes).
bool has_internal_overlap(const Dims& sizes, const Dims& strides);

// A dimension in [-n, n) to [0, n); IndexError as PyTorch words it. A scalar takes -1 and 0.
int64_t wrap_dim(int64_t dim, int64_t n, bool wrap_scalar = true);
// Wraps each; an error when one appears twice.
Dims wrap_dims(const Dims& dims, int64_t n);

Dims broadcast_shapes(const Dims& a, const Dims& b);
bool is_expandable_to(const Dims& from, const Dims& to);
// Fills in a -1 of a shape asked for with view or reshape.
Dims infer_size(const Dims& shape, int64_t numel);
// The strides of a view of the new shape, or false where only a copy will do.
bool view_strides(const Dims& sizes, const Dims& strides, const Dims& new_sizes, Dims* out);

}  // namespace nnlib
