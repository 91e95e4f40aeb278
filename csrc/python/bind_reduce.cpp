// Reductions over dimensions, and running values along one.
#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/linalg.h"
#include "ops/order.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "python/bind.h"
#include "python/example.h"

namespace nnlib::python {

namespace {

constexpr int kFM = kFunction | kMethod;
constexpr int kFMO = kFunction | kMethod | kIntoOut;
constexpr int kFMIO = kFunction | kMethod | kInplace | kIntoOut;

void bind_sums(Binder& b) {
  b.def<&ops::sum>(
      "sum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kFMO,
      "The sum over dim (one or several; all where None or empty). Integers and bools give int64. float32 is "
      "summed in blocks and those in float64: the result does not depend on the number of threads.\n\n"
      "Example::\n\n    >>> nnlib.ones(2, 3).sum(1)\n    tensor([3., 3.])");
  b.def<&ops::nansum>("nansum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)",
                      kFMO,
                      "The sum over dim; NaN counts as zero." NNLIB_EXAMPLE(
                          "nnlib.nansum(nnlib.tensor([1., float('nan')]))", "tensor(1.)"));
  b.def<&ops::mean>(
      "mean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)", kFMO,
      "The mean over dim (one or several; all where None or empty). RuntimeError for integers without a "
      "floating-point dtype.\n\nExample::\n\n    >>> nnlib.tensor([[1., 3.]]).mean(1)\n    tensor([2.])");
  b.def<&ops::nanmean>("nanmean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None)",
                       kFMO,
                       "The mean over dim of the values that are not NaN." NNLIB_EXAMPLE(
                           "nnlib.nanmean(nnlib.tensor([1., float('nan')]))", "tensor(1.)"));
  b.def<&ops::prod>("prod(Tensor input, *, dtype? dtype=None)", kFM,
                    "The product of all values." NNLIB_EXAMPLE(
                        "nnlib.prod(nnlib.tensor([[1., 2.], [4., 3.]]), 1)", "tensor([ 2., 12.])"));
  b.def<&ops::prod_dim>("prod(Tensor input, int dim, bool keepdim=False, *, dtype? dtype=None)", kFMO,
                        "The product over one dimension. Integers and bools give int64.");
  b.def<&ops::sum_to_size_op>(
      "sum_to_size(Tensor input, int[] size)", kMethod,
      "Sums so that the sizes become `size`, the reverse of broadcasting." NNLIB_EXAMPLE(
          "nnlib.ones(2, 3).sum_to_size(1, 3)", "tensor([[2., 2., 2.]])"));
  b.def<&ops::count_nonzero>("count_nonzero(Tensor input, int[1]? dim=None)", kFM,
                             "How many values over dim are not zero, int64." NNLIB_EXAMPLE(
                                 "nnlib.count_nonzero(nnlib.tensor([0, 2, 3]))", "tensor(2)"));
  b.def<&ops::any>("any(Tensor input, int[1]? dim=None, bool keepdim=False)", kFMO,
                   "Whether any value over dim is not zero. Bool; uint8 for uint8." NNLIB_EXAMPLE(
                       "nnlib.any(nnlib.tensor([False, True]))", "tensor(True)"));
  b.def<&ops::all>("all(Tensor input, int[1]? dim=None, bool keepdim=False)", kFMO,
                   "Whether no value over dim is zero. Bool; uint8 for uint8." NNLIB_EXAMPLE(
                       "nnlib.all(nnlib.tensor([False, True]))", "tensor(False)"));
}

Tensor var_whole(const Tensor& x, bool unbiased) {
  return ops::var_unbiased(x, std::nullopt, unbiased, false);
}
Tensor std_whole(const Tensor& x, bool unbiased) {
  return ops::std_unbiased(x, std::nullopt, unbiased, false);
}
std::pair<Tensor, Tensor> var_mean_whole(const Tensor& x, bool unbiased) {
  return ops::var_mean_unbiased(x, std::nullopt, unbiased, false);
}
std::pair<Tensor, Tensor> std_mean_whole(const Tensor& x, bool unbiased) {
  return ops::std_mean_unbiased(x, std::nullopt, unbiased, false);
}

Tensor norm_named(const Tensor& x, const std::string& p, const std::optional<Dims>& dim, bool keepdim,
                  std::optional<Dtype> dtype) {
  if (p == "fro") return ops::norm(x, Scalar(2), dim, keepdim, dtype);
  NNLIB_CHECK(p == "nuc", "norm(): expected p to be a number, 'fro' or 'nuc', got '", p, "'");
  const Dims matrix = dim.value_or(Dims{-2, -1});
  NNLIB_CHECK(matrix.size() == 2 && (dim || x.dim() == 2),
              "norm(): 'nuc' is a norm of matrices, but got dim=", matrix, " of a tensor of ", x.dim(),
              " dimensions");
  const Tensor a = ops::movedim(x, matrix, {-2, -1});
  Tensor out = ops::sum(ops::linalg_svdvals(dtype ? ops::cast(a, *dtype) : a), Dims{-1}, false, std::nullopt);
  if (!keepdim) return out;
  Dims kept = x.sizes();
  for (int64_t d : matrix) kept[(size_t)wrap_dim(d, x.dim())] = 1;
  return ops::reshape(out, kept);
}
Tensor amax_over(const Tensor& x, const std::optional<Dims>& dim, bool keepdim) {
  return ops::amax(x, dim.value_or(Dims{}), keepdim);
}
Tensor amin_over(const Tensor& x, const std::optional<Dims>& dim, bool keepdim) {
  return ops::amin(x, dim.value_or(Dims{}), keepdim);
}

void bind_moments(Binder& b) {
#define NNLIB_MOMENT(name, flags, text)                                                                     \
  b.def<&ops::name##_unbiased>(#name "(Tensor input, int[1]? dim, bool unbiased=True, bool keepdim=False)", \
                               flags, text);                                                                \
  b.def<&name##_whole>(#name "(Tensor input, bool unbiased=True)", flags, text);                            \
  b.def<&ops::name>(#name                                                                                   \
                    "(Tensor input, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False)",     \
                    flags, text);
  NNLIB_MOMENT(
      var, kFMO,
      "The variance over dim (one or several; all where None or empty): squared deviations from the "
      "mean, divided "
      "by their number less `correction` (1 where not given; `unbiased=False` means 0)." NNLIB_EXAMPLE(
          "nnlib.var(nnlib.tensor([[1., 2.], [4., 3.]]), 1)", "tensor([0.5000, 0.5000])"))
  NNLIB_MOMENT(std, kFMO,
               "The standard deviation over dim: the square root of var." NNLIB_EXAMPLE(
                   "nnlib.std(nnlib.tensor([[1., 2.], [4., 3.]]), 1)", "tensor([0.7071, 0.7071])"))
  NNLIB_MOMENT(var_mean, kFunction,
               "The variance and the mean over dim, (var, mean), in one pass." NNLIB_EXAMPLE(
                   "nnlib.var_mean(nnlib.tensor([[1., 2.], [4., 3.]]), 1)",
                   "(tensor([0.5000, 0.5000]), tensor([1.5000, 3.5000]))"))
  NNLIB_MOMENT(std_mean, kFunction,
               "The standard deviation and the mean over dim, (std, mean), in one pass." NNLIB_EXAMPLE(
                   "nnlib.std_mean(nnlib.tensor([[1., 2.], [4., 3.]]), 1)",
                   "(tensor([0.7071, 0.7071]), tensor([1.5000, 3.5000]))"))
#undef NNLIB_MOMENT
  b.def<&ops::norm>("norm(Tensor input, Scalar? p, int[1]? dim=None, bool keepdim=False, dtype? dtype=None)",
                    kFM | kOut,
                    "The vector norm of order p over dim; \"fro\" means 2.\n\nExample::\n\n"
                    "    >>> nnlib.tensor([3., 4.]).norm()\n    tensor(5.)");
  b.def<&norm_named>(
      "norm(Tensor input, str p=\"fro\", int[1]? dim=None, bool keepdim=False, dtype? dtype=None)",
      kFM | kOut,
      "The norm of that name over dim: \"fro\", or \"nuc\", the sum of the singular values of matrices.");
  b.def<&ops::vector_norm>(
      "linalg_vector_norm(Tensor input, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, dtype? "
      "dtype=None)",
      kFunction | kPrivate | kOut,
      "The vector norm over dim: (sum |x|^ord)^(1 / ord); the largest (smallest) magnitude for an infinite "
      "ord, the number "
      "of values that are not zero for 0." NNLIB_EXAMPLE(
          "nnlib._C.linalg_vector_norm(nnlib.tensor([3., 4.]))", "tensor(5.)"));
  b.def<&ops::dist>("dist(Tensor input, Tensor other, Scalar p=2)", kFM,
                    "The p-norm of input - other." NNLIB_EXAMPLE(
                        "nnlib.dist(nnlib.tensor([0., 0.]), nnlib.tensor([3., 4.]))", "tensor(5.)"));
}

void bind_extremes(Binder& b) {
  b.def<&ops::max>("max(Tensor input)", kFMO,
                   "The largest of all values; NaN where there is one." NNLIB_EXAMPLE(
                       "nnlib.max(nnlib.tensor([[1., 2.], [4., 3.]]), 1).indices", "tensor([1, 0])"));
  b.def<&ops::maximum>("max(Tensor input, Tensor other)", kFMO, "As maximum: the larger of each pair.");
  b.def<&ops::max_dim>("max(Tensor input, int dim, bool keepdim=False) -> (values, indices)", kFMO,
                       "The largest values over dim and where they stand (the first of equals).");
  b.def<&ops::min>("min(Tensor input)", kFMO,
                   "The smallest of all values; NaN where there is one." NNLIB_EXAMPLE(
                       "nnlib.min(nnlib.tensor([[1., 2.], [4., 3.]]), 1).values", "tensor([1., 3.])"));
  b.def<&ops::minimum>("min(Tensor input, Tensor other)", kFMO, "As minimum: the smaller of each pair.");
  b.def<&ops::min_dim>("min(Tensor input, int dim, bool keepdim=False) -> (values, indices)", kFMO,
                       "The smallest values over dim and where they stand (the first of equals).");
  b.def<&amax_over>(
      "amax(Tensor input, int[1]? dim=[], bool keepdim=False)", kFMO,
      "The largest values over dim (one or several); equal ones share the gradient." NNLIB_EXAMPLE(
          "nnlib.amax(nnlib.tensor([[1., 2.], [4., 3.]]), 1)", "tensor([2., 4.])"));
  b.def<&amin_over>(
      "amin(Tensor input, int[1]? dim=[], bool keepdim=False)", kFMO,
      "The smallest values over dim (one or several); equal ones share the gradient." NNLIB_EXAMPLE(
          "nnlib.amin(nnlib.tensor([[1., 2.], [4., 3.]]), 1)", "tensor([1., 3.])"));
  b.def<&ops::aminmax>("aminmax(Tensor input, *, int? dim=None, bool keepdim=False) -> (min, max)", kFMO,
                       "The smallest and the largest values, of all or over dim." NNLIB_EXAMPLE(
                           "nnlib.aminmax(nnlib.tensor([[1., 2.], [4., 3.]])).max", "tensor(4.)"));
  b.def<&ops::argmax>(
      "argmax(Tensor input, int? dim=None, bool keepdim=False)", kFMO,
      "Where the largest value stands (the first of equals), in the flattened tensor or over dim. "
      "int64." NNLIB_EXAMPLE("nnlib.argmax(nnlib.tensor([[1., 2.], [4., 3.]]), 1)", "tensor([1, 0])"));
  b.def<&ops::argmin>(
      "argmin(Tensor input, int? dim=None, bool keepdim=False)", kFMO,
      "Where the smallest value stands (the first of equals), in the flattened tensor or over dim. "
      "int64." NNLIB_EXAMPLE("nnlib.argmin(nnlib.tensor([[1., 2.], [4., 3.]]))", "tensor(0)"));
}

void bind_running(Binder& b) {
  b.def<&ops::cumsum>("cumsum(Tensor input, int dim, *, dtype? dtype=None)", kFMIO,
                      "Sums of the values up to each along dim. Integers and bools give int64." NNLIB_EXAMPLE(
                          "nnlib.cumsum(nnlib.tensor([1, 2, 3]), 0)", "tensor([1, 3, 6])"));
  b.def<&ops::cumprod>(
      "cumprod(Tensor input, int dim, *, dtype? dtype=None)", kFMIO,
      "Products of the values up to each along dim. Integers and bools give int64." NNLIB_EXAMPLE(
          "nnlib.cumprod(nnlib.tensor([1, 2, 3]), 0)", "tensor([1, 2, 6])"));
  b.def<&ops::logcumsumexp>(
      "logcumsumexp(Tensor input, int dim)", kFMO,
      "log of the sums of e^x up to each value along dim, without overflow." NNLIB_EXAMPLE(
          "nnlib.logcumsumexp(nnlib.tensor([0., 0.]), 0)", "tensor([0.0000, 0.6931])"));
  b.def<&ops::cummax>("cummax(Tensor input, int dim) -> (values, indices)", kFMO,
                      "The largest value up to each along dim, and where it stands." NNLIB_EXAMPLE(
                          "nnlib.cummax(nnlib.tensor([1, 3, 2]), 0).values", "tensor([1, 3, 3])"));
  b.def<&ops::cummin>("cummin(Tensor input, int dim) -> (values, indices)", kFMO,
                      "The smallest value up to each along dim, and where it stands." NNLIB_EXAMPLE(
                          "nnlib.cummin(nnlib.tensor([3, 1, 2]), 0).values", "tensor([3, 1, 1])"));
  b.def<&ops::logsumexp>(
      "logsumexp(Tensor input, int[1] dim, bool keepdim=False)", kFMO,
      "log of the sum of e^x over dim (one or several), without overflow." NNLIB_EXAMPLE(
          "nnlib.logsumexp(nnlib.tensor([[1., 2.], [4., 3.]]), 1)", "tensor([2.3133, 4.3133])"));
}

std::pair<Tensor, Tensor> sort_stable(const Tensor& x, bool stable, int64_t dim, bool descending) {
  return ops::sort(x, dim, descending, stable);
}

void bind_order(Binder& b) {
  b.def<&ops::sort>(
      "sort(Tensor input, int dim=-1, bool descending=False, bool stable=False) -> (values, indices)", kFMO,
      "The values in order along dim, and where each stood. NaN counts as larger than every number; equal "
      "values keep their order.\n\nExample::\n\n    >>> nnlib.tensor([3., 1.]).sort().values\n"
      "    tensor([1., 3.])");
  b.def<&sort_stable>(
      "sort(Tensor input, *, bool stable, int dim=-1, bool descending=False) -> (values, indices)", kFMO,
      "As above.");
  b.def<&ops::argsort>("argsort(Tensor input, int dim=-1, bool descending=False, bool stable=False)", kFM,
                       "The indices that put the values along dim in order." NNLIB_EXAMPLE(
                           "nnlib.argsort(nnlib.tensor([3, 1, 2]))", "tensor([1, 2, 0])"));
  b.def<&ops::msort>("msort(Tensor input)", kFMO,
                     "Sorted along the first dimension." NNLIB_EXAMPLE("nnlib.msort(nnlib.tensor([3, 1, 2]))",
                                                                       "tensor([1, 2, 3])"));
  b.def<&ops::topk>(
      "topk(Tensor input, int k, int dim=-1, bool largest=True, bool sorted=True) -> (values, indices)", kFMO,
      "The k largest (smallest) values along dim, in order, and where they stand. RuntimeError where dim has "
      "fewer than k." NNLIB_EXAMPLE("nnlib.topk(nnlib.tensor([3, 1, 2]), 2).values", "tensor([3, 2])"));
  b.def<&ops::kthvalue>(
      "kthvalue(Tensor input, int k, int dim=-1, bool keepdim=False) -> (values, indices)", kFMO,
      "The k-th smallest value along dim, counted from 1, and where it stands." NNLIB_EXAMPLE(
          "nnlib.kthvalue(nnlib.tensor([3, 1, 2]), 2).values", "tensor(2)"));
  b.def<&ops::mode>("mode(Tensor input, int dim=-1, bool keepdim=False) -> (values, indices)", kFMO,
                    "The most frequent value along dim (the smallest of several), and the last place where "
                    "it stands." NNLIB_EXAMPLE("nnlib.mode(nnlib.tensor([3, 1, 3])).values", "tensor(3)"));
  b.def<&ops::median>("median(Tensor input)", kFM,
                      "The lower middle of all values; NaN where there is one." NNLIB_EXAMPLE(
                          "nnlib.median(nnlib.tensor([3, 1, 2]))", "tensor(2)"));
  b.def<&ops::median_dim>("median(Tensor input, int dim, bool keepdim=False) -> (values, indices)", kFMO,
                          "The lower middle value along dim, and where it stands; NaN where there is one.");
  b.def<&ops::nanmedian>("nanmedian(Tensor input)", kFM,
                         "The lower middle of the values that are not NaN." NNLIB_EXAMPLE(
                             "nnlib.nanmedian(nnlib.tensor([3., float('nan'), 2.]))", "tensor(2.)"));
  b.def<&ops::nanmedian_dim>(
      "nanmedian(Tensor input, int dim, bool keepdim=False) -> (values, indices)", kFMO,
      "The lower middle of the values along dim that are not NaN, and where it stands.");
  b.def<&ops::quantile>(
      "quantile(Tensor input, Operand q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\")",
      kFMO,
      "The values below which the fractions q of the values along dim lie (of all where dim is None); q is a "
      "number or a "
      "1-D tensor in [0, 1]. interpolation says what is taken between two values: linear, lower, higher, "
      "midpoint, nearest." NNLIB_EXAMPLE("nnlib.quantile(nnlib.tensor([0., 1., 2.]), 0.25)",
                                         "tensor(0.5000)"));
  b.def<&ops::nanquantile>(
      "nanquantile(Tensor input, Operand q, int? dim=None, bool keepdim=False, *, str "
      "interpolation=\"linear\")",
      kFMO,
      "As quantile, of the values that are not NaN." NNLIB_EXAMPLE(
          "nnlib.nanquantile(nnlib.tensor([0., float('nan'), 2.]), 0.5)", "tensor(1.)"));
}

void bind_neighbours(Binder& b) {
  b.def<&ops::diff>("diff(Tensor input, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None)",
                    kFMO,
                    "The n-th differences of neighbours along dim, after prepend and append are joined to "
                    "it." NNLIB_EXAMPLE("nnlib.diff(nnlib.tensor([1, 4, 9]))", "tensor([3, 5])"));
  for (const char* s :
       {"trapezoid(Tensor y, *, Scalar dx=1, int dim=-1)", "trapz(Tensor y, *, Scalar dx=1, int dim=-1)"})
    b.def<&ops::trapezoid>(
        s, kFunction,
        "The integral along dim by the trapezoid rule: points dx apart, or at the coordinates "
        "x." NNLIB_EXAMPLE("nnlib.trapezoid(nnlib.tensor([1., 2., 3.]))", "tensor(4.)"));
  for (const char* s :
       {"trapezoid(Tensor y, Tensor x, *, int dim=-1)", "trapz(Tensor y, Tensor x, *, int dim=-1)"})
    b.def<&ops::trapezoid_x>(s, kFunction, "The integral along dim by the trapezoid rule, at the points x.");
  b.def<&ops::cumulative_trapezoid>(
      "cumulative_trapezoid(Tensor y, *, Scalar dx=1, int dim=-1)", kFunction,
      "The integral up to each point along dim by the trapezoid rule." NNLIB_EXAMPLE(
          "nnlib.cumulative_trapezoid(nnlib.tensor([1., 2., 3.]))", "tensor([1.5000, 4.0000])"));
  b.def<&ops::cumulative_trapezoid_x>("cumulative_trapezoid(Tensor y, Tensor x, *, int dim=-1)", kFunction,
                                      "The integral up to each point of x along dim by the trapezoid rule.");
}

}  // namespace

void bind_reduce(Binder& b) {
  bind_sums(b);
  bind_moments(b);
  bind_extremes(b);
  bind_running(b);
  bind_order(b);
  bind_neighbours(b);
}

}  // namespace nnlib::python
