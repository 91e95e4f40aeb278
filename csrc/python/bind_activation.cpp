// Activations. Those that torch has beside nn.functional are exported; the others are nn.functional's.
#include "ops/activation.h"

#include "python/bind.h"

namespace nnlib::python {

void bind_activation(Binder& b) {
  constexpr int kShared = kFunction | kMethod;  // torch.relu and Tensor.relu
  constexpr int kOnlyF = kFunction | kPrivate;
  b.def<&ops::relu>("relu(Tensor input)", kShared, "max(input, 0).");
  b.def<&ops::relu_>("relu_(Tensor input)", kShared, "In-place version of relu.");
  b.def<&ops::selu>("selu(Tensor input)", kFunction, "Scaled ELU: https://arxiv.org/abs/1706.02515");
  b.def<&ops::selu_>("selu_(Tensor input)", kFunction, "In-place version of selu.");
  b.def<&ops::celu>("celu(Tensor input, float alpha=1.0)", kFunction, "max(0, x) + min(0, alpha (e^(x/alpha) - 1)).");
  b.def<&ops::celu_>("celu_(Tensor input, float alpha=1.0)", kFunction, "In-place version of celu.");
  b.def<&ops::threshold>("threshold(Tensor input, Scalar threshold, Scalar value)", kFunction, "input where it is above threshold, value elsewhere.");
  b.def<&ops::threshold_>("threshold_(Tensor input, Scalar threshold, Scalar value)", kFunction, "In-place version of threshold.");
  b.def<&ops::prelu>("prelu(Tensor input, Tensor weight)", kShared, "max(0, x) + weight min(0, x), a weight for all or per channel.");
  b.def<&ops::rrelu>("rrelu(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool training=False, Generator? generator=None)",
                     kFunction, "Leaky ReLU with a random slope in [lower, upper] while training: https://arxiv.org/abs/1505.00853");
  b.def<&ops::rrelu_>("rrelu_(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool training=False, Generator? generator=None)",
                      kFunction, "In-place version of rrelu.");
  b.def<&ops::hardshrink>("hardshrink(Tensor input, float lambd=0.5)", kShared, "input where |input| > lambd, 0 elsewhere.");
  b.def<&ops::relu6>("relu6(Tensor input)", kOnlyF, "min(max(input, 0), 6).");
  b.def<&ops::relu6_>("relu6_(Tensor input)", kOnlyF, "In-place version of relu6.");
  b.def<&ops::leaky_relu>("leaky_relu(Tensor input, float negative_slope=0.01)", kOnlyF, "max(0, x) + negative_slope min(0, x).");
  b.def<&ops::leaky_relu_>("leaky_relu_(Tensor input, float negative_slope=0.01)", kOnlyF, "In-place version of leaky_relu.");
  b.def<&ops::elu>("elu(Tensor input, float alpha=1.0)", kOnlyF, "x above zero, alpha (e^x - 1) below: https://arxiv.org/abs/1511.07289");
  b.def<&ops::elu_>("elu_(Tensor input, float alpha=1.0)", kOnlyF, "In-place version of elu.");
  b.def<&ops::gelu>("gelu(Tensor input, *, str approximate=\"none\")", kOnlyF,
                    "x times the normal distribution function of x, or its tanh approximation: https://arxiv.org/abs/1606.08415");
  b.def<&ops::silu>("silu(Tensor input)", kOnlyF, "x sigmoid(x).");
  b.def<&ops::silu_>("silu_(Tensor input)", kOnlyF, "In-place version of silu.");
  b.def<&ops::mish>("mish(Tensor input)", kOnlyF, "x tanh(softplus(x)): https://arxiv.org/abs/1908.08681");
  b.def<&ops::mish_>("mish_(Tensor input)", kOnlyF, "In-place version of mish.");
  b.def<&ops::hardtanh>("hardtanh(Tensor input, float min_val=-1.0, float max_val=1.0)", kOnlyF, "Limited to [min_val, max_val].");
  b.def<&ops::hardtanh_>("hardtanh_(Tensor input, float min_val=-1.0, float max_val=1.0)", kOnlyF, "In-place version of hardtanh.");
  b.def<&ops::hardswish>("hardswish(Tensor input)", kOnlyF, "x relu6(x + 3) / 6: https://arxiv.org/abs/1905.02244");
  b.def<&ops::hardswish_>("hardswish_(Tensor input)", kOnlyF, "In-place version of hardswish.");
  b.def<&ops::hardsigmoid>("hardsigmoid(Tensor input)", kOnlyF, "relu6(x + 3) / 6.");
  b.def<&ops::hardsigmoid_>("hardsigmoid_(Tensor input)", kOnlyF, "In-place version of hardsigmoid.");
  b.def<&ops::softplus>("softplus(Tensor input, float beta=1.0, float threshold=20.0)", kOnlyF,
                        "log(1 + e^(beta x)) / beta, x where beta x > threshold.");
  b.def<&ops::logsigmoid>("logsigmoid(Tensor input)", kOnlyF, "log(sigmoid(x)), without overflow.");
  b.def<&ops::softsign>("softsign(Tensor input)", kOnlyF, "x / (1 + |x|).");
  b.def<&ops::tanhshrink>("tanhshrink(Tensor input)", kOnlyF, "x - tanh(x).");
  b.def<&ops::softshrink>("softshrink(Tensor input, float lambd=0.5)", kOnlyF, "x moved towards zero by lambd, 0 within it.");
  b.def<&ops::glu>("glu(Tensor input, int dim=-1)", kOnlyF, "a sigmoid(b) for the halves a, b of a dimension: https://arxiv.org/abs/1612.08083");
}

}  // namespace nnlib::python
