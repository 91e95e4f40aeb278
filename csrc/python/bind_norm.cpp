// Normalisations.
#include "ops/norm.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_norm(Binder& b) {
  b.def<ops::batch_norm>(
      "batch_norm(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight=None, Tensor? "
      "bias=None, bool "
      "training=False, float momentum=0.1, float eps=1e-05) -> Tensor",
      kFunction | kPrivate,
      R"(Each channel of input (N, C, ...) less its mean, divided by its standard deviation, times weight plus bias.

In training the statistics are those of the batch, and running_mean and running_var move towards them in place
(`new = (1 - momentum) * old + momentum * batch`, the variance unbiased); otherwise the running ones are used. Raises
RuntimeError where a vector has not C elements, or evaluation lacks running statistics.

Ioffe and Szegedy, "Batch normalization", 2015.)");
  b.def<ops::layer_norm>(
      "layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float "
      "eps=1e-05) -> Tensor",
      kFunction,
      R"(Normalises over the last dimensions, whose sizes are normalized_shape: mean 0, variance 1, times weight plus bias.

input is (*, normalized_shape); weight and bias have normalized_shape. Raises RuntimeError where sizes do not fit.

    >>> nnlib.layer_norm(nnlib.tensor([[1., 3.]]), (2,))
    tensor([[-1.0000,  1.0000]])

Ba, Kiros and Hinton, "Layer normalization", 2016.)");
  b.def<ops::rms_norm>(
      "rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
      kFunction,
      R"(Divides by the root of the mean square over the last dimensions, whose sizes are normalized_shape.

eps is added to the mean square; by default the smallest step of the type in which it is computed.

    >>> nnlib.rms_norm(nnlib.tensor([[1., 7.]]), (2,))
    tensor([[0.2000, 1.4000]])

Zhang and Sennrich, "Root mean square layer normalization", 2019.)");
  b.def<ops::group_norm>(
      "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> "
      "Tensor",
      kFunction,
      R"(Normalises each sample of input (N, C, ...) over groups of C / num_groups channels, times weight (C) plus bias (C).

Raises RuntimeError where C is not divisible by num_groups. Wu and He, "Group normalization", 2018.)");
  b.def<ops::instance_norm>(
      "instance_norm(Tensor input, Tensor? running_mean=None, Tensor? running_var=None, Tensor? weight=None, "
      "Tensor? "
      "bias=None, bool use_input_stats=True, float momentum=0.1, float eps=1e-05) -> Tensor",
      kFunction | kPrivate,
      R"(Normalises each channel of each sample of input (N, C, ...) over its positions.

With running statistics these move towards the mean over the samples; without use_input_stats they are used instead.
Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.)");
  b.def<ops::local_response_norm>(
      "local_response_norm(Tensor input, int size, float alpha=0.0001, float beta=0.75, float k=1.0) -> "
      "Tensor",
      kFunction | kPrivate,
      R"(input (N, C, ...) divided by (k + alpha * mean of squares over `size` neighbouring channels) ** beta.

Krizhevsky, Sutskever and Hinton, 2012.)");
  b.def<ops::normalize>("normalize(Tensor input, float p=2.0, int dim=1, float eps=1e-12) -> Tensor",
                        kFunction | kPrivate, R"(input divided by its p-norm along dim, held above eps.)");
}

}  // namespace nnlib::python
