// Activations. Their float32 rows run on kernels of the table, forward and backward.
// In-place forms write into self's memory and keep what their backward step needs.
#pragma once
#include "autograd/function.h"
#include "core/generator.h"

namespace nnlib::ops {

Tensor relu(const Tensor& self);
Tensor relu6(const Tensor& self);
Tensor leaky_relu(const Tensor& self, double negative_slope);
Tensor elu(const Tensor& self, double alpha);
Tensor selu(const Tensor& self);
Tensor celu(const Tensor& self, double alpha);
Tensor gelu(const Tensor& self, const std::string& approximate);
Tensor silu(const Tensor& self);
Tensor mish(const Tensor& self);
Tensor hardtanh(const Tensor& self, double min_val, double max_val);
Tensor hardswish(const Tensor& self);
Tensor hardsigmoid(const Tensor& self);
Tensor softplus(const Tensor& self, double beta, double threshold);
Tensor logsigmoid(const Tensor& self);
Tensor softsign(const Tensor& self);
Tensor tanhshrink(const Tensor& self);
Tensor hardshrink(const Tensor& self, double lambd);
Tensor softshrink(const Tensor& self, double lambd);
Tensor threshold(const Tensor& self, Scalar threshold, Scalar value);
Tensor prelu(const Tensor& self, const Tensor& weight);
// A random slope in [lower, upper) for each negative value while training, their mean otherwise.
Tensor rrelu(const Tensor& self, double lower, double upper, bool training, const Ref<Generator>& generator);
Tensor glu(const Tensor& self, int64_t dim);

Tensor relu_(const Tensor& self);
Tensor relu6_(const Tensor& self);
Tensor leaky_relu_(const Tensor& self, double negative_slope);
Tensor elu_(const Tensor& self, double alpha);
Tensor selu_(const Tensor& self);
Tensor celu_(const Tensor& self, double alpha);
Tensor silu_(const Tensor& self);
Tensor mish_(const Tensor& self);
Tensor hardtanh_(const Tensor& self, double min_val, double max_val);
Tensor hardswish_(const Tensor& self);
Tensor hardsigmoid_(const Tensor& self);
Tensor threshold_(const Tensor& self, Scalar threshold, Scalar value);
Tensor rrelu_(const Tensor& self, double lower, double upper, bool training, const Ref<Generator>& generator);

// g * (1 - y^2) and g * y * (1 - y): the gradients of tanh and sigmoid from their results. Differentiable.
Tensor tanh_backward(const Tensor& g, const Tensor& y);
Tensor sigmoid_backward(const Tensor& g, const Tensor& y);

}  // namespace nnlib::ops
