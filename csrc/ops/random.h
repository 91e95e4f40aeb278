// Random numbers, drawn from the generator in PyTorch's order, so that a seed gives the same values in both.
// A null generator is the default one. Tensors are filled in the order of their memory.
#pragma once
#include <optional>

#include "autograd/function.h"
#include "core/generator.h"

namespace nnlib::ops {

// ---- filling in place (random.cpp)
Tensor uniform_(const Tensor& self, double from = 0, double to = 1,
                const Ref<Generator>& generator = nullptr);
Tensor normal_(const Tensor& self, double mean = 0, double std = 1,
               const Ref<Generator>& generator = nullptr);
Tensor exponential_(const Tensor& self, double lambd = 1, const Ref<Generator>& generator = nullptr);
Tensor log_normal_(const Tensor& self, double mean = 1, double std = 2,
                   const Ref<Generator>& generator = nullptr);
Tensor cauchy_(const Tensor& self, double median = 0, double sigma = 1,
               const Ref<Generator>& generator = nullptr);
Tensor geometric_(const Tensor& self, double p, const Ref<Generator>& generator = nullptr);
Tensor bernoulli_p_(const Tensor& self, double p = 0.5, const Ref<Generator>& generator = nullptr);
Tensor bernoulli_tensor_(const Tensor& self, const Tensor& p, const Ref<Generator>& generator = nullptr);
// All values that the type holds exactly; [0, to); [from, to), or from on where `to` is not given.
Tensor random_(const Tensor& self, const Ref<Generator>& generator = nullptr);
Tensor random_to_(const Tensor& self, int64_t to, const Ref<Generator>& generator = nullptr);
Tensor random_from_to_(const Tensor& self, int64_t from, std::optional<int64_t> to,
                       const Ref<Generator>& generator = nullptr);

// ---- new tensors (sample.cpp)
Tensor rand(const Dims& sizes, Dtype dtype, const Ref<Generator>& generator = nullptr);
Tensor randn(const Dims& sizes, Dtype dtype, const Ref<Generator>& generator = nullptr);
Tensor randint(int64_t low, int64_t high, const Dims& sizes, Dtype dtype,
               const Ref<Generator>& generator = nullptr);
Tensor randperm(int64_t n, Dtype dtype, const Ref<Generator>& generator = nullptr);
Tensor bernoulli(const Tensor& p, const Ref<Generator>& generator = nullptr);
Tensor bernoulli_p(const Tensor& like, double p, const Ref<Generator>& generator = nullptr);
Tensor normal_tensor_float(const Tensor& mean, double std = 1, const Ref<Generator>& generator = nullptr);
Tensor normal_float_tensor(double mean, const Tensor& std, const Ref<Generator>& generator = nullptr);
Tensor normal_tensor_tensor(const Tensor& mean, const Tensor& std, const Ref<Generator>& generator = nullptr);
// Box and Muller (1958): two uniforms give two normals, the second is kept for the next call.
double next_normal(Generator& g);
// Zero gradients for a random result that is no differentiable function of these inputs.
Tensor without_slope(const Tensor& r, const char* name, const TensorList& inputs);
// ---- gamma variables and what is made of them (gamma_sample.cpp)
// Gamma variables of these shapes and rate 1, differentiable.
Tensor standard_gamma(const Tensor& shape, const Ref<Generator>& generator = nullptr);
// The slope of a gamma variable `x` along its shape, at the same place of the distribution.
Tensor standard_gamma_grad(const Tensor& shape, const Tensor& x);
// Points of the simplex, differentiable: gamma variables over their sum along the last dimension.
Tensor sample_dirichlet(const Tensor& concentration, const Ref<Generator>& generator = nullptr);
// Of a beta variable x with the concentrations a and total - a the slope along a at the same place of the
// distribution, divided by 1 - x.
Tensor dirichlet_grad(const Tensor& x, const Tensor& a, const Tensor& total);
// How many of `count` trials succeed.
Tensor binomial(const Tensor& count, const Tensor& prob, const Ref<Generator>& generator = nullptr);

Tensor poisson(const Tensor& rates, const Ref<Generator>& generator = nullptr);
Tensor multinomial(const Tensor& weights, int64_t num_samples, bool replacement = false,
                   const Ref<Generator>& generator = nullptr);

}  // namespace nnlib::ops
