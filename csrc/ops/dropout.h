// Dropout (Srivastava et al., 2014) and its kinds. Nothing is dropped where `train` is false or p is 0. The
// numbers come from the default generator's counter-based stream: the same for any number of threads.
#pragma once
#include "autograd/function.h"

namespace nnlib::ops {

// Each value is zero with probability p; the others are divided by 1 - p.
Tensor dropout(const Tensor& input, double p, bool train);
// The same for whole channels of (N, C, ...).
Tensor feature_dropout(const Tensor& input, double p, bool train);
// Values become SELU's lower limit, then all are scaled and shifted: mean and variance stay (Klambauer et
// al., 2017).
Tensor alpha_dropout(const Tensor& input, double p, bool train);
Tensor feature_alpha_dropout(const Tensor& input, double p, bool train);

Tensor dropout_(const Tensor& self, double p, bool train);
Tensor feature_dropout_(const Tensor& self, double p, bool train);
Tensor alpha_dropout_(const Tensor& self, double p, bool train);
Tensor feature_alpha_dropout_(const Tensor& self, double p, bool train);

}  // namespace nnlib::ops
