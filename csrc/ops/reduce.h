// Reductions over dimensions. `dims` not given or empty means all of them, as in PyTorch.
// Sums are exact to float64 rounding in float32, and every result is the same for any number of threads.
#pragma once
#include <optional>
#include <string>
#include <tuple>

#include "autograd/function.h"

namespace nnlib::ops {

// ---- sums and moments: reduce_sum.cpp
Tensor sum(const Tensor& self, std::optional<Dims> dims = std::nullopt, bool keepdim = false,
           std::optional<Dtype> dtype = std::nullopt);
Tensor mean(const Tensor& self, std::optional<Dims> dims = std::nullopt, bool keepdim = false,
            std::optional<Dtype> dtype = std::nullopt);
Tensor nansum(const Tensor& self, std::optional<Dims> dims, bool keepdim, std::optional<Dtype> dtype);
Tensor nanmean(const Tensor& self, std::optional<Dims> dims, bool keepdim, std::optional<Dtype> dtype);
Tensor prod(const Tensor& self, std::optional<Dtype> dtype);
Tensor prod_dim(const Tensor& self, int64_t dim, bool keepdim, std::optional<Dtype> dtype);
Tensor sum_to_size_op(const Tensor& self, const Dims& size);

// `correction` is what is taken from the number of values in the divisor; 1 where not given.
Tensor var(const Tensor& self, std::optional<Dims> dims, std::optional<Scalar> correction, bool keepdim);
Tensor var_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased, bool keepdim);
Tensor std(const Tensor& self, std::optional<Dims> dims, std::optional<Scalar> correction, bool keepdim);
Tensor std_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased, bool keepdim);
std::pair<Tensor, Tensor> var_mean(const Tensor& self, std::optional<Dims> dims,
                                   std::optional<Scalar> correction, bool keepdim);
std::pair<Tensor, Tensor> var_mean_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased,
                                            bool keepdim);
std::pair<Tensor, Tensor> std_mean(const Tensor& self, std::optional<Dims> dims,
                                   std::optional<Scalar> correction, bool keepdim);
std::pair<Tensor, Tensor> std_mean_unbiased(const Tensor& self, std::optional<Dims> dims, bool unbiased,
                                            bool keepdim);

// ---- norms: reduce_norm.cpp
Tensor vector_norm(const Tensor& self, Scalar ord, std::optional<Dims> dims, bool keepdim,
                   std::optional<Dtype> dtype);
Tensor norm(const Tensor& self, std::optional<Scalar> p, std::optional<Dims> dims, bool keepdim,
            std::optional<Dtype> dtype);
Tensor dist(const Tensor& self, const Tensor& other, Scalar p);
// The p-norm of a row, in float64.
double row_norm(int64_t n, const float* x, double p);
double row_norm(int64_t n, const double* x, double p);

// ---- extremes: reduce_extreme.cpp
Tensor max(const Tensor& self);
Tensor min(const Tensor& self);
std::pair<Tensor, Tensor> max_dim(const Tensor& self, int64_t dim, bool keepdim);
std::pair<Tensor, Tensor> min_dim(const Tensor& self, int64_t dim, bool keepdim);
Tensor amax(const Tensor& self, const Dims& dims, bool keepdim);
Tensor amin(const Tensor& self, const Dims& dims, bool keepdim);
std::pair<Tensor, Tensor> aminmax(const Tensor& self, std::optional<int64_t> dim, bool keepdim);
Tensor argmax(const Tensor& self, std::optional<int64_t> dim, bool keepdim);
Tensor argmin(const Tensor& self, std::optional<int64_t> dim, bool keepdim);

// ---- truth and counts: reduce_logic.cpp
Tensor any(const Tensor& self, std::optional<Dims> dims, bool keepdim);
Tensor all(const Tensor& self, std::optional<Dims> dims, bool keepdim);
Tensor count_nonzero(const Tensor& self, std::optional<Dims> dims);

// ---- exponentials: softmax.cpp
Tensor softmax(const Tensor& self, int64_t dim, std::optional<Dtype> dtype);
Tensor log_softmax(const Tensor& self, int64_t dim, std::optional<Dtype> dtype);
Tensor softmin(const Tensor& self, int64_t dim, std::optional<Dtype> dtype);
Tensor logsumexp(const Tensor& self, const Dims& dims, bool keepdim);

// ---- running values: cumulative.cpp
Tensor cumsum(const Tensor& self, int64_t dim, std::optional<Dtype> dtype);
Tensor cumprod(const Tensor& self, int64_t dim, std::optional<Dtype> dtype);
Tensor logcumsumexp(const Tensor& self, int64_t dim);
std::pair<Tensor, Tensor> cummax(const Tensor& self, int64_t dim);
std::pair<Tensor, Tensor> cummin(const Tensor& self, int64_t dim);

}  // namespace nnlib::ops
