// Distances and similarities of vectors.
#pragma once
#include <optional>
#include <string>

#include "autograd/function.h"

namespace nnlib::ops {

Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, int64_t dim, double eps);
// The p-norm of x1 - x2 + eps over the last dimension.
Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p, double eps, bool keepdim);
// p-norm distances of all pairs of rows: x1 (..., P, M), x2 (..., R, M), result (..., P, R). PyTorch's
// compute_mode chooses between ways of different precision; here all of them are the precise one.
Tensor cdist(const Tensor& x1, const Tensor& x2, double p, const std::optional<std::string>& compute_mode);
// p-norm distances of rows i < j of (N, M), in order of i, then j: (N * (N - 1) / 2).
Tensor pdist(const Tensor& input, double p);

}  // namespace nnlib::ops
