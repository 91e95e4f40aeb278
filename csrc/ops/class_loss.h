// What cross_entropy and linear_cross_entropy share: the description of a loss over classes.
#pragma once
#include <string>

#include "autograd/function.h"
#include "kernels/cross_entropy.h"

namespace nnlib::ops::detail {

enum class Reduction { None, Mean, Sum };

// Everything about one call but the scores.
struct ClassLoss {
  Reduction reduction = Reduction::Mean;
  int64_t rows = 0, classes = 0, ignore_index = -100;
  double smoothing = 0;
  Tensor target;         // int64, contiguous; undefined with probabilities
  Tensor probabilities;  // of the scores' sizes and dtype
  Tensor weight;         // of the compute type, contiguous; may be undefined
  double total = 0;      // of the weights of all rows' classes: what the mean is divided by
  double weight_sum = 0;

  bool ignored(int64_t row) const { return target.data<int64_t>()[row] == ignore_index; }
  // What a gradient is multiplied by before anything comes from above. A mean over nothing reaches no
  // example.
  double unit_scale() const { return reduction == Reduction::Mean && total != 0 ? 1 / total : 1; }

  template <class C>
  kernels::CrossEntropyOf<C> spec(double scale) const {
    return {classes,
            ignore_index,
            weight.defined() ? weight.data<C>() : nullptr,
            C(1 - smoothing),
            C(smoothing / double(classes)),
            C(weight_sum),
            C(scale)};
  }
};

// Checks targets that are classes against scores of these sizes (C), (N, C) or (N, C, d1, ...), and adds up
// weights.
ClassLoss class_targets(const Dims& scores, Dtype dtype, const Tensor& target, const Tensor& weight,
                        int64_t ignore_index, const std::string& reduction, double smoothing);
// Targets that are probabilities, of the dtype and sizes of the scores.
ClassLoss probability_targets(const Tensor& target, const Tensor& weight, const std::string& reduction,
                              double smoothing);

// The loss from those of the examples: themselves, shaped `sizes`, their sum, or their weighted mean.
Tensor reduce_losses(const ClassLoss& c, const Tensor& losses, const Dims& sizes, Dtype dtype);

// gradient *= what comes from above, in place: one value, or one for each example (all dimensions but the
// second).
Tensor scale_gradient(const Tensor& gradient, const Tensor& upstream);

}  // namespace nnlib::ops::detail
