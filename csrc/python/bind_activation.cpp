// Activations, softmax and its relatives.
#include "ops/activation.h"
#include "ops/reduce.h"
#include "python/bind.h"
#include "python/example.h"

namespace nnlib::python {

namespace {

constexpr int kF = kFunction;              // nnlib.relu and nnlib.nn.functional
constexpr int kFM = kFunction | kMethod;   // a method too
constexpr int kNn = kFunction | kPrivate;  // nnlib.nn.functional alone

}  // namespace

void bind_activation(Binder& b) {
  b.def<&ops::relu>("relu(Tensor input)", kFM,
                    "max(0, x) of each value; NaN stays.\n\nExample::\n\n"
                    "    >>> nnlib.relu(nnlib.tensor([-1., 2.]))\n    tensor([0., 2.])");
  b.def<&ops::relu_>("relu_(Tensor input)", kFM, "In-place version of relu.");
  b.def<&ops::relu6>("relu6(Tensor input)", kNn,
                     "min(max(0, x), 6) of each value." NNLIB_EXAMPLE(
                         "nnlib.nn.functional.relu6(nnlib.tensor([8., -1.]))", "tensor([6., 0.])"));
  b.def<&ops::relu6_>("relu6_(Tensor input)", kNn, "In-place version of relu6.");
  b.def<&ops::leaky_relu>(
      "leaky_relu(Tensor input, float negative_slope=0.01)", kNn,
      "x where it is positive, negative_slope * x elsewhere." NNLIB_EXAMPLE(
          "nnlib.nn.functional.leaky_relu(nnlib.tensor([-1., 2.]))", "tensor([-0.0100,  2.0000])"));
  b.def<&ops::leaky_relu_>("leaky_relu_(Tensor input, float negative_slope=0.01)", kNn,
                           "In-place version of leaky_relu.");
  b.def<&ops::elu>(
      "elu(Tensor input, float alpha=1.0)", kNn,
      "x where it is positive, alpha * (e^x - 1) elsewhere (Clevert and others, 2015)." NNLIB_EXAMPLE(
          "nnlib.nn.functional.elu(nnlib.tensor([-1., 2.]))", "tensor([-0.6321,  2.0000])"));
  b.def<&ops::elu_>("elu_(Tensor input, float alpha=1.0)", kNn, "In-place version of elu.");
  b.def<&ops::selu>(
      "selu(Tensor input)", kF,
      "scale * (max(0, x) + min(0, alpha * (e^x - 1))), with the constants of self-normalising networks "
      "(Klambauer and others, 2017)." NNLIB_EXAMPLE("nnlib.nn.functional.selu(nnlib.tensor([-1., 2.]))",
                                                    "tensor([-1.1113,  2.1014])"));
  b.def<&ops::selu_>("selu_(Tensor input)", kF, "In-place version of selu.");
  b.def<&ops::celu>(
      "celu(Tensor input, float alpha=1.0)", kF,
      "max(0, x) + min(0, alpha * (e^(x / alpha) - 1)) (Barron, 2017). RuntimeError for alpha "
      "0." NNLIB_EXAMPLE("nnlib.nn.functional.celu(nnlib.tensor([-1., 2.]))", "tensor([-0.6321,  2.0000])"));
  b.def<&ops::celu_>("celu_(Tensor input, float alpha=1.0)", kF, "In-place version of celu.");
  b.def<&ops::gelu>("gelu(Tensor input, *, str approximate=\"none\")", kNn | kOut,
                    "x times the normal distribution function at x (Hendrycks and Gimpel, 2016); "
                    "approximate=\"tanh\" takes "
                    "0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))." NNLIB_EXAMPLE(
                        "nnlib.nn.functional.gelu(nnlib.tensor([-1., 2.]))", "tensor([-0.1587,  1.9545])"));
  b.def<&ops::silu>("silu(Tensor input)", kNn,
                    "x * sigmoid(x), also called swish." NNLIB_EXAMPLE(
                        "nnlib.nn.functional.silu(nnlib.tensor([-1., 2.]))", "tensor([-0.2689,  1.7616])"));
  b.def<&ops::silu_>("silu_(Tensor input)", kNn, "In-place version of silu.");
  b.def<&ops::mish>("mish(Tensor input)", kNn,
                    "x * tanh(softplus(x)) (Misra, 2019)." NNLIB_EXAMPLE(
                        "nnlib.nn.functional.mish(nnlib.tensor([-1., 2.]))", "tensor([-0.3034,  1.9440])"));
  b.def<&ops::mish_>("mish_(Tensor input)", kNn, "In-place version of mish.");
  b.def<&ops::hardtanh>(
      "hardtanh(Tensor input, float min_val=-1.0, float max_val=1.0)", kNn,
      "x limited to [min_val, max_val]; ValueError where min_val > max_val." NNLIB_EXAMPLE(
          "nnlib.nn.functional.hardtanh(nnlib.tensor([-3., 0.5]))", "tensor([-1.0000,  0.5000])"));
  b.def<&ops::hardtanh_>("hardtanh_(Tensor input, float min_val=-1.0, float max_val=1.0)", kNn,
                         "In-place version of hardtanh.");
  b.def<&ops::hardswish>(
      "hardswish(Tensor input)", kNn,
      "x * relu6(x + 3) / 6 (Howard and others, 2019)." NNLIB_EXAMPLE(
          "nnlib.nn.functional.hardswish(nnlib.tensor([-1., 2.]))", "tensor([-0.3333,  1.6667])"));
  b.def<&ops::hardswish_>("hardswish_(Tensor input)", kNn, "In-place version of hardswish.");
  b.def<&ops::hardsigmoid>(
      "hardsigmoid(Tensor input)", kNn,
      "relu6(x + 3) / 6." NNLIB_EXAMPLE("nnlib.nn.functional.hardsigmoid(nnlib.tensor([-1., 2.]))",
                                        "tensor([0.3333, 0.8333])"));
  b.def<&ops::hardsigmoid_>("hardsigmoid_(Tensor input)", kNn, "In-place version of hardsigmoid.");
  b.def<&ops::softplus>(
      "softplus(Tensor input, float beta=1.0, float threshold=20.0)", kNn | kOut,
      "log(1 + e^(beta x)) / beta; x itself where beta * x is above the threshold." NNLIB_EXAMPLE(
          "nnlib.nn.functional.softplus(nnlib.tensor([0., 1.]))", "tensor([0.6931, 1.3133])"));
  b.def<&ops::logsigmoid>(
      "logsigmoid(Tensor input)", kNn | kOut,
      "log(sigmoid(x)), without overflow." NNLIB_EXAMPLE(
          "nnlib.nn.functional.logsigmoid(nnlib.tensor([0., 1.]))", "tensor([-0.6931, -0.3133])"));
  b.def<&ops::logsigmoid>("log_sigmoid(Tensor input)", kNn, "Another name of logsigmoid.");
  b.def<&ops::softsign>(
      "softsign(Tensor input)", kNn,
      "x / (1 + |x|)." NNLIB_EXAMPLE("nnlib.nn.functional.softsign(nnlib.tensor([-1., 3.]))",
                                     "tensor([-0.5000,  0.7500])"));
  b.def<&ops::tanhshrink>(
      "tanhshrink(Tensor input)", kNn,
      "x - tanh(x)." NNLIB_EXAMPLE("nnlib.nn.functional.tanhshrink(nnlib.tensor([0., 1.]))",
                                   "tensor([0.0000, 0.2384])"));
  b.def<&ops::hardshrink>("hardshrink(Tensor input, float lambd=0.5)", kFM | kOut,
                          "x where |x| > lambd, 0 elsewhere." NNLIB_EXAMPLE(
                              "nnlib.nn.functional.hardshrink(nnlib.tensor([0.3, 2.]))", "tensor([0., 2.])"));
  b.def<&ops::softshrink>(
      "softshrink(Tensor input, float lambd=0.5)", kNn | kOut,
      "x moved towards zero by lambd, 0 where |x| <= lambd. RuntimeError for a negative lambd." NNLIB_EXAMPLE(
          "nnlib.nn.functional.softshrink(nnlib.tensor([0.3, 2.]))", "tensor([0.0000, 1.5000])"));
  b.def<&ops::threshold>("threshold(Tensor input, Scalar threshold, Scalar value)", kF,
                         "x where it is above the threshold, value elsewhere." NNLIB_EXAMPLE(
                             "nnlib.threshold(nnlib.tensor([0.5, 2.]), 1, 0)", "tensor([0., 2.])"));
  b.def<&ops::threshold_>("threshold_(Tensor input, Scalar threshold, Scalar value)", kF,
                          "In-place version of threshold.");
  b.def<&ops::prelu>(
      "prelu(Tensor input, Tensor weight)", kFM,
      "x where it is positive, weight * x elsewhere. weight holds one number, or one for each channel "
      "(dimension 1 of input); RuntimeError where the number of channels differs." NNLIB_EXAMPLE(
          "nnlib.prelu(nnlib.tensor([-1., 2.]), nnlib.tensor([0.25]))", "tensor([-0.2500,  2.0000])"));
  b.def<&ops::rrelu>(
      "rrelu(Tensor input, float lower=1/8, float upper=1/3, bool training=False, Generator? generator=None)",
      kF,
      "x where it is positive, a x elsewhere; a is drawn in [lower, upper) for each value while training, "
      "and is their "
      "mean otherwise." NNLIB_EXAMPLE("nnlib.nn.functional.rrelu(nnlib.tensor([1., 2.]))",
                                      "tensor([1., 2.])"));
  b.def<&ops::rrelu_>(
      "rrelu_(Tensor input, float lower=1/8, float upper=1/3, bool training=False, Generator? "
      "generator=None)",
      kF, "In-place version of rrelu.");
  b.def<&ops::glu>(
      "glu(Tensor input, int dim=-1)", kNn,
      "The first half along dim times the sigmoid of the second (Dauphin and others, 2016). RuntimeError "
      "where dim is of odd size." NNLIB_EXAMPLE("nnlib.nn.functional.glu(nnlib.tensor([1., 0.]))",
                                                "tensor([0.5000])"));

  b.def<&ops::softmax>(
      "softmax(Tensor input, int dim, dtype? dtype=None)", kFM | kIntoOut,
      "e^x along dim, divided by its sum. Computed from x - max(x), so that nothing overflows; cast to "
      "dtype first where it is given.\n\nExample::\n\n"
      "    >>> nnlib.softmax(nnlib.tensor([0., 0.]), 0)\n    tensor([0.5000, 0.5000])");
  b.def<&ops::log_softmax>("log_softmax(Tensor input, int dim, dtype? dtype=None)", kFM | kIntoOut,
                           "The logarithm of softmax, computed without leaving logarithms." NNLIB_EXAMPLE(
                               "nnlib.log_softmax(nnlib.tensor([0., 0.]), 0)", "tensor([-0.6931, -0.6931])"));
  b.def<&ops::softmin>(
      "softmin(Tensor input, int dim, dtype? dtype=None)", kNn,
      "softmax of -x along dim." NNLIB_EXAMPLE("nnlib.nn.functional.softmin(nnlib.tensor([0., 1.]), 0)",
                                               "tensor([0.7311, 0.2689])"));
}

}  // namespace nnlib::python
