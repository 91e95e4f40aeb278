// Order along a dimension: sorting, the k-th value, quantiles; differences and trapezoid sums of neighbours.
// NaN counts as larger than every number.
#pragma once
#include <optional>
#include <string>
#include <tuple>

#include "autograd/function.h"

namespace nnlib::ops {

// ---- sort.cpp
std::pair<Tensor, Tensor> sort(const Tensor& self, int64_t dim = -1, bool descending = false,
                               bool stable = false);
Tensor argsort(const Tensor& self, int64_t dim = -1, bool descending = false, bool stable = false);
Tensor msort(const Tensor& self);
// The k largest (or smallest) values; in order where `sorted`.
std::pair<Tensor, Tensor> topk(const Tensor& self, int64_t k, int64_t dim = -1, bool largest = true,
                               bool sorted = true);
std::pair<Tensor, Tensor> kthvalue(const Tensor& self, int64_t k, int64_t dim = -1, bool keepdim = false);
// The lower middle of each lane, or its first NaN; of the numbers alone if skip_nan. `dim` is kept. No
// history.
std::pair<Tensor, Tensor> lane_median(const Tensor& self, int64_t dim, bool skip_nan);
// The most frequent value (the smallest of several) and the last place where it stands.
std::pair<Tensor, Tensor> mode(const Tensor& self, int64_t dim = -1, bool keepdim = false);

// ---- quantile.cpp
// The lower of the two middle values; NaN where there is one.
Tensor median(const Tensor& self);
std::pair<Tensor, Tensor> median_dim(const Tensor& self, int64_t dim, bool keepdim = false);
// The same of the values that are not NaN.
Tensor nanmedian(const Tensor& self);
std::pair<Tensor, Tensor> nanmedian_dim(const Tensor& self, int64_t dim, bool keepdim = false);
Tensor quantile(const Tensor& self, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation);
Tensor nanquantile(const Tensor& self, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                   const std::string& interpolation);

// ---- neighbours.cpp
Tensor diff(const Tensor& self, int64_t n, int64_t dim, const Tensor& prepend, const Tensor& append);
Tensor trapezoid(const Tensor& y, Scalar dx, int64_t dim);
Tensor trapezoid_x(const Tensor& y, const Tensor& x, int64_t dim);
Tensor cumulative_trapezoid(const Tensor& y, Scalar dx, int64_t dim);
Tensor cumulative_trapezoid_x(const Tensor& y, const Tensor& x, int64_t dim);

}  // namespace nnlib::ops
