// New tensors of given values.
#pragma once
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

Tensor zeros(const Dims& sizes, Dtype dtype);
Tensor ones(const Dims& sizes, Dtype dtype);
Tensor full(const Dims& sizes, Scalar value, Dtype dtype);
// Laid out as `like` is.
Tensor zeros_like(const Tensor& like);
Tensor ones_like(const Tensor& like);
Tensor full_like(const Tensor& like, Scalar value);
Tensor arange(Scalar start, Scalar end, Scalar step, Dtype dtype);
// Includes the end where it is hit.
Tensor range(Scalar start, Scalar end, Scalar step, Dtype dtype);
Tensor linspace(Scalar start, Scalar end, int64_t steps, Dtype dtype);
Tensor logspace(Scalar start, Scalar end, int64_t steps, double base, Dtype dtype);
Tensor eye(int64_t n, int64_t m, Dtype dtype);
// Coordinates of the lower (upper) triangle, (2, count).
Tensor tril_indices(int64_t row, int64_t col, int64_t offset, Dtype dtype);
Tensor triu_indices(int64_t row, int64_t col, int64_t offset, Dtype dtype);

}  // namespace nnlib::ops
