// Dropout.
#include "ops/dropout.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_dropout(Binder& b) {
  b.def<ops::dropout>(
      "dropout(Tensor input, float p, bool train) -> Tensor", kFunction,
      R"(In training each value becomes 0 with probability p and is divided by 1 - p otherwise.

The same seed gives the same values for any number of threads. Raises RuntimeError unless 0 <= p <= 1.

    >>> nnlib.dropout(nnlib.ones(3), 0.5, False)
    tensor([1., 1., 1.])

Srivastava et al., "Dropout", 2014; the numbers: Salmon et al., Philox, 2011.)");
  b.def<ops::dropout_>("dropout_(Tensor input, float p, bool train) -> Tensor", kFunction,
                       "dropout, in place.");
  b.def<ops::feature_dropout>("feature_dropout(Tensor input, float p, bool train) -> Tensor", kFunction,
                              R"(dropout of whole channels of input (N, C, ...). Tompson et al., 2015.)");
  b.def<ops::feature_dropout_>("feature_dropout_(Tensor input, float p, bool train) -> Tensor", kFunction,
                               "feature_dropout, in place.");
  b.def<ops::alpha_dropout>(
      "alpha_dropout(Tensor input, float p, bool train) -> Tensor", kFunction,
      R"(Values become SELU's lower limit with probability p; a scale and a shift keep mean 0 and variance 1.

Klambauer et al., "Self-normalizing neural networks", 2017.)");
  b.def<ops::alpha_dropout_>("alpha_dropout_(Tensor input, float p, bool train) -> Tensor", kFunction,
                             "alpha_dropout, in place.");
  b.def<ops::feature_alpha_dropout>("feature_alpha_dropout(Tensor input, float p, bool train) -> Tensor",
                                    kFunction, R"(alpha_dropout of whole channels of input (N, C, ...).)");
  b.def<ops::feature_alpha_dropout_>("feature_alpha_dropout_(Tensor input, float p, bool train) -> Tensor",
                                     kFunction, "feature_alpha_dropout, in place.");
}

}  // namespace nnlib::python
