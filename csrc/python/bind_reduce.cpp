// Reductions over dimensions, and running values along one.
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

constexpr int kFM = kFunction | kMethod;
constexpr int kFMO = kFunction | kMethod | kOut;
constexpr int kFMIO = kFunction | kMethod | kInplace | kOut;

void bind_sums(Binder& b) {
  b.def<&ops::sum>("sum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kFMO,
                   "The sum over dim (one or several; all where None or empty). Integers and bools give int64. float32 is "
                   "summed in blocks and those in float64: the result does not depend on the number of threads.\n\n"
                   "Example::\n\n    >>> nnlib.ones(2, 3).sum(1)\n    tensor([3., 3.])");
  b.def<&ops::nansum>("nansum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kFMO,
                      "The sum over dim; NaN counts as zero.");
  b.def<&ops::mean>("mean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kFMO,
                    "The mean over dim (one or several; all where None or empty). RuntimeError for integers without a "
                    "floating-point dtype.\n\nExample::\n\n    >>> nnlib.tensor([[1., 3.]]).mean(1)\n    tensor([2.])");
  b.def<&ops::nanmean>("nanmean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kFMO,
                       "The mean over dim of the values that are not NaN.");
  b.def<&ops::prod>("prod(Tensor input, *, dtype? dtype=None)", kFM, "The product of all values.");
  b.def<&ops::prod_dim>("prod(Tensor input, int dim, bool keepdim=False, *, dtype? dtype=None)", kFMO,
                        "The product over one dimension. Integers and bools give int64.");
  b.def<&ops::sum_to_size_op>("sum_to_size(Tensor input, int[] size)", kMethod,
                              "Sums so that the sizes become `size`, the reverse of broadcasting.");
  b.def<&ops::count_nonzero>("count_nonzero(Tensor input, int[1]? dim=None)", kFM,
                             "How many values over dim are not zero, int64.");
  b.def<&ops::any>("any(Tensor input, int[1]? dim=None, bool keepdim=False)", kFMO,
                   "Whether any value over dim is not zero. Bool; uint8 for uint8.");
  b.def<&ops::all>("all(Tensor input, int[1]? dim=None, bool keepdim=False)", kFMO,
                   "Whether no value over dim is zero. Bool; uint8 for uint8.");
}

Tensor var_whole(const Tensor& x, bool unbiased) { return ops::var_unbiased(x, std::nullopt, unbiased, false); }
Tensor std_whole(const Tensor& x, bool unbiased) { return ops::std_unbiased(x, std::nullopt, unbiased, false); }
std::pair<Tensor, Tensor> var_mean_whole(const Tensor& x, bool unbiased) {
  return ops::var_mean_unbiased(x, std::nullopt, unbiased, false);
}
std::pair<Tensor, Tensor> std_mean_whole(const Tensor& x, bool unbiased) {
  return ops::std_mean_unbiased(x, std::nullopt, unbiased, false);
}

void bind_moments(Binder& b) {
#define NNLIB_MOMENT(name, flags, text)                                                                          \
  b.def<&ops::name##_unbiased>(#name "(Tensor input, int[1]? dim, bool unbiased=True, bool keepdim=False)", flags, \
                               text);                                                                            \
  b.def<&name##_whole>(#name "(Tensor input, bool unbiased=True)", flags, text);                                 \
  b.def<&ops::name>(#name "(Tensor input, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False)", flags, text);
  NNLIB_MOMENT(var, kFMO,
               "The variance over dim (one or several; all where None or empty): squared deviations from the mean, divided "
               "by their number less `correction` (1 where not given; `unbiased=False` means 0).")
  NNLIB_MOMENT(std, kFMO, "The standard deviation over dim: the square root of var.")
  NNLIB_MOMENT(var_mean, kFunction, "The variance and the mean over dim, (var, mean), in one pass.")
  NNLIB_MOMENT(std_mean, kFunction, "The standard deviation and the mean over dim, (std, mean), in one pass.")
#undef NNLIB_MOMENT
  b.def<&ops::norm>("norm(Tensor input, Scalar? p=2, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)",
                    kFunction | kPrivate, "The vector norm of order p over dim.");
  b.def<&ops::vector_norm>(
      "linalg_vector_norm(Tensor input, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)",
      kFunction | kPrivate | kOut,
      "The vector norm over dim: (sum |x|^ord)^(1 / ord); the largest (smallest) magnitude for an infinite ord, the number "
      "of values that are not zero for 0.");
  b.def<&ops::dist>("dist(Tensor input, Tensor other, Scalar p=2)", kFM, "The p-norm of input - other.");
}

void bind_extremes(Binder& b) {
  b.def<&ops::max>("max(Tensor input)", kFMO, "The largest of all values; NaN where there is one.");
  b.def<&ops::max_dim>("max(Tensor input, int dim, bool keepdim=False) -> (values, indices)", kFMO,
                       "The largest values over dim and where they stand (the first of equals).");
  b.def<&ops::maximum>("max(Tensor input, Tensor other)", kFMO, "As maximum: the larger of each pair.");
  b.def<&ops::min>("min(Tensor input)", kFMO, "The smallest of all values; NaN where there is one.");
  b.def<&ops::min_dim>("min(Tensor input, int dim, bool keepdim=False) -> (values, indices)", kFMO,
                       "The smallest values over dim and where they stand (the first of equals).");
  b.def<&ops::minimum>("min(Tensor input, Tensor other)", kFMO, "As minimum: the smaller of each pair.");
  b.def<&ops::amax>("amax(Tensor input, int[1] dim=[], bool keepdim=False)", kFMO,
                    "The largest values over dim (one or several); equal ones share the gradient.");
  b.def<&ops::amin>("amin(Tensor input, int[1] dim=[], bool keepdim=False)", kFMO,
                    "The smallest values over dim (one or several); equal ones share the gradient.");
  b.def<&ops::aminmax>("aminmax(Tensor input, *, int? dim=None, bool keepdim=False) -> (min, max)", kFMO,
                       "The smallest and the largest values, of all or over dim.");
  b.def<&ops::argmax>("argmax(Tensor input, int? dim=None, bool keepdim=False)", kFMO,
                      "Where the largest value stands (the first of equals), in the flattened tensor or over dim. int64.");
  b.def<&ops::argmin>("argmin(Tensor input, int? dim=None, bool keepdim=False)", kFMO,
                      "Where the smallest value stands (the first of equals), in the flattened tensor or over dim. int64.");
}

void bind_running(Binder& b) {
  b.def<&ops::cumsum>("cumsum(Tensor input, int dim, *, dtype? dtype=None)", kFMIO,
                      "Sums of the values up to each along dim. Integers and bools give int64.");
  b.def<&ops::cumprod>("cumprod(Tensor input, int dim, *, dtype? dtype=None)", kFMIO,
                       "Products of the values up to each along dim. Integers and bools give int64.");
  b.def<&ops::logcumsumexp>("logcumsumexp(Tensor input, int dim)", kFMO,
                            "log of the sums of e^x up to each value along dim, without overflow.");
  b.def<&ops::cummax>("cummax(Tensor input, int dim) -> (values, indices)", kFMO,
                      "The largest value up to each along dim, and where it stands.");
  b.def<&ops::cummin>("cummin(Tensor input, int dim) -> (values, indices)", kFMO,
                      "The smallest value up to each along dim, and where it stands.");
  b.def<&ops::logsumexp>("logsumexp(Tensor input, int[1] dim, bool keepdim=False)", kFMO,
                         "log of the sum of e^x over dim (one or several), without overflow.");
}

}  // namespace

void bind_reduce(Binder& b) {
  bind_sums(b);
  bind_moments(b);
  bind_extremes(b);
  bind_running(b);
}

}  // namespace nnlib::python
