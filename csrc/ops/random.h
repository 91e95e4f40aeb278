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
Tensor poisson(const Tensor& rates, const Ref<Generator>& generator = nullptr);
Tensor multinomial(const Tensor& weights, int64_t num_samples, bool replacement = false,
                   const Ref<Generator>& generator = nullptr);

}  // namespace nnlib::ops
