// Fused operators have fused gradients, which cannot be differentiated again. Where a graph of the gradient
// is asked for (GradMode is on inside backward), the operator's formula is run again from plain operators and
// differentiated.
#pragma once
#include <functional>

#include "autograd/function.h"

namespace nnlib::ops {

using Formula = std::function<TensorList(const TensorList& inputs)>;

// The gradients of `inputs` (those that ctx needs; undefined for the others), given those of the formula's
// results. They are recorded as functions of the inputs and of `grads`.
TensorList composite_gradients(const Backward& ctx, const TensorList& inputs, const TensorList& grads,
                               const Formula& formula);

// A result computed contiguously, laid out as `like` (channels last stays channels last).
Tensor in_format_of(const Tensor& like, const Tensor& result);

}  // namespace nnlib::ops
