// Convolutions.
#include "ops/conv.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

template <int N>
Tensor conv(const Tensor& input, const Tensor& weight, const Tensor& bias, const Dims& stride,
            const Padding& padding, const Dims& dilation, int64_t groups) {
  NNLIB_CHECK(weight.dim() == N + 2, "conv", N, "d: expected a weight of ", N + 2, " dimensions, got ",
              weight.sizes());
  if (!padding.mode.empty()) {
    return ops::convolution_mode(input, weight, bias, stride, padding.mode, dilation, groups);
  }
  return ops::convolution(input, weight, bias, stride, padding.dims, dilation, false, Dims(N, 0), groups);
}

template <int N>
Tensor conv_transpose(const Tensor& input, const Tensor& weight, const Tensor& bias, const Dims& stride,
                      const Dims& padding, const Dims& output_padding, int64_t groups, const Dims& dilation) {
  NNLIB_CHECK(weight.dim() == N + 2, "conv_transpose", N, "d: expected a weight of ", N + 2,
              " dimensions, got ", weight.sizes());
  return ops::convolution(input, weight, bias, stride, padding, dilation, true, output_padding, groups);
}

Tensor convolution(const Tensor& input, const Tensor& weight, const Tensor& bias, const Dims& stride,
                   const Dims& padding, const Dims& dilation, bool transposed, const Dims& output_padding,
                   int64_t groups) {
  // A list of one number stands for all dimensions.
  const auto full = [&](const Dims& d) {
    return d.size() == 1 && weight.dim() > 2 ? Dims(size_t(weight.dim()) - 2, d[0]) : d;
  };
  return ops::convolution(input, weight, bias, full(stride), full(padding), full(dilation), transposed,
                          full(output_padding), groups);
}

template <int N>
void bind_dimension(Binder& b) {
  static const std::string n = std::to_string(N);
  static const std::string list = "int[" + n + "] ";
  static const std::string forward = "conv" + n + "d(Tensor input, Tensor weight, Tensor? bias=None, " +
                                     list + "stride=1, Padding[" + n + "] padding=0, " + list +
                                     "dilation=1, int groups=1)";
  static const std::string transposed =
      "conv_transpose" + n + "d(Tensor input, Tensor weight, Tensor? bias=None, " + list + "stride=1, " +
      list + "padding=0, " + list + "output_padding=0, int groups=1, " + list + "dilation=1)";
  b.def<conv<N>>(
      forward.c_str(), kFunction,
      "The cross-correlation of input (batch, in, ...) or (in, ...) with weight (out, in / groups, ...). "
      "padding is a number, one a dimension, 'valid', or 'same' for an output of the input's size. Computed "
      "as a matrix product whose im2col matrix is packed block by block, directly when depthwise, or by "
      "Winograd's algorithm (nnlib.backends.conv).");
  b.def<conv_transpose<N>>(
      transposed.c_str(), kFunction,
      "The gradient of the convolution with respect to its input, as an operator: input "
      "(batch, in, ...), weight (in, out / groups, ...). output_padding chooses among the sizes "
      "that the convolution would map to input's size.");
}

}  // namespace

void bind_conv(Binder& b) {
  bind_dimension<1>(b);
  bind_dimension<2>(b);
  bind_dimension<3>(b);
  b.def<convolution>(
      "convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, "
      "int[] dilation, bool transposed, int[] output_padding, int groups)",
      kFunction, "Any of the convolutions; the number of dimensions is the weight's.");
}

}  // namespace nnlib::python
