// Reading and writing by index: csrc/ops/index.h.
#include "ops/index.h"

#include "ops/shape.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

constexpr int kBoth = kFunction | kMethod;
constexpr int kAll = kFunction | kMethod | kInplace;

Tensor searchsorted_number(const Tensor& sorted, Scalar value, bool out_int32, bool right,
                           const std::optional<std::string>& side, const Tensor& sorter) {
  return ops::searchsorted(sorted, scalar_tensor(value, sorted.dtype()), out_int32, right, side, sorter);
}

}  // namespace

void bind_index(Binder& b) {
  b.def<&ops::index>("index(Tensor input, Tensor[] indices) -> Tensor", kPrivate, "");
  b.def<&ops::index_put>(
      "index_put(Tensor input, Tensor[] indices, Tensor values, bool accumulate=False) -> Tensor", kBoth,
      "index_put(input, indices, values, accumulate=False): a copy with values at input[indices].");
  b.def<&ops::index_put_>(
      "index_put_(Tensor input, Tensor[] indices, Tensor values, bool accumulate=False) -> Tensor", kBoth,
      "index_put_(indices, values, accumulate=False): x[indices] = values, or += .");
  b.def<&ops::index_select>("index_select(Tensor input, int dim, Tensor index) -> Tensor", kBoth | kOut, R"(
index_select(input, dim, index): the slices of dim at these indices, copied.

>>> nnlib.index_select(nnlib.tensor([5, 6, 7]), 0, nnlib.tensor([2, 0]))
tensor([7, 5]))");
  b.def<&ops::index_add>(
      "index_add(Tensor input, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor",
      kAll | kOut,
      "index_add(input, dim, index, source, alpha=1): alpha * source's slices added at these indices.");
  b.def<&ops::index_copy>("index_copy(Tensor input, int dim, Tensor index, Tensor source) -> Tensor",
                          kAll | kOut,
                          "index_copy(input, dim, index, source): source's slices put at these indices.");
  b.def<&ops::index_fill_tensor>(
      "index_fill(Tensor input, int dim, Tensor index, Tensor value) -> Tensor", kAll,
      "index_fill(input, dim, index, value): one value in the slices at these indices.");
  b.def<&ops::index_fill>("index_fill(Tensor input, int dim, Tensor index, Scalar value) -> Tensor", kAll,
                          "");
  b.def<&ops::index_reduce>(
      "index_reduce(Tensor input, int dim, Tensor index, Tensor source, str reduce, *, bool "
      "include_self=True) -> Tensor",
      kAll | kOut,
      "index_reduce(input, dim, index, source, reduce): source's slices combined in by prod, mean, amax or "
      "amin.");
  b.def<&ops::gather>("gather(Tensor input, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor",
                      kBoth | kOut, R"(
gather(input, dim, index): out[i][j] = input[index[i][j]][j] for dim 0, and so on. index must not be larger than input
in other dimensions.

>>> nnlib.gather(nnlib.tensor([[1, 2], [3, 4]]), 1, nnlib.tensor([[0, 0], [1, 0]]))
tensor([[1, 1],
        [4, 3]]))");
  b.def<&ops::scatter>("scatter(Tensor input, int dim, Tensor index, Tensor src) -> Tensor", kAll | kOut, R"(
scatter(input, dim, index, src): a copy with src (a tensor or a number) put where gather would read.

>>> nnlib.zeros(1, 3).scatter(1, nnlib.tensor([[2]]), 5.0)
tensor([[0., 0., 5.]]))");
  b.def<&ops::scatter_value>("scatter(Tensor input, int dim, Tensor index, Scalar value) -> Tensor",
                             kAll | kOut, "");
  b.def<&ops::scatter_src_reduce>(
      "scatter(Tensor input, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor", kAll | kOut, "");
  b.def<&ops::scatter_value_reduce>(
      "scatter(Tensor input, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor", kAll | kOut, "");
  b.def<&ops::scatter_add>("scatter_add(Tensor input, int dim, Tensor index, Tensor src) -> Tensor",
                           kAll | kOut, "scatter_add(input, dim, index, src): as scatter, but src is added.");
  b.def<&ops::scatter_reduce>(
      "scatter_reduce(Tensor input, int dim, Tensor index, Tensor src, str reduce, *, bool "
      "include_self=True) -> Tensor",
      kAll | kOut,
      "scatter_reduce(input, dim, index, src, reduce): src combined in by sum, prod, mean, amax or amin.");
  b.def<&ops::take>("take(Tensor input, Tensor index) -> Tensor", kBoth | kOut,
                    "take(input, index): elements of the flattened tensor.");
  b.def<&ops::take_along_dim>("take_along_dim(Tensor input, Tensor indices, int? dim=None) -> Tensor",
                              kBoth | kOut,
                              "take_along_dim(input, indices, dim=None): gather with broadcasting.");
  b.def<&ops::put>(
      "put(Tensor input, Tensor index, Tensor source, bool accumulate=False) -> Tensor", kAll,
      "put(input, index, source, accumulate=False): source put at places of the flattened tensor.");
  b.def<&ops::masked_select>("masked_select(Tensor input, Tensor mask) -> Tensor", kBoth | kOut,
                             "masked_select(input, mask): a vector of the elements where mask is true.");
  b.def<&ops::masked_scatter>(
      "masked_scatter(Tensor input, Tensor mask, Tensor source) -> Tensor", kAll,
      "masked_scatter(input, mask, source): source's elements, in order, where mask is true.");
  b.def<&ops::nonzero>("nonzero(Tensor input) -> Tensor", kPrivate,
                       "nonzero(input): the index of each nonzero element, a row each.");
  b.def<&ops::nonzero_tuple>("nonzero_tuple(Tensor input) -> Tensor[]", kPrivate, "");
  b.def<&ops::argwhere>("argwhere(Tensor input) -> Tensor", kBoth,
                        "argwhere(input): the index of each nonzero element, a row each.");
  b.def<&ops::isin>(
      "isin(Operand elements, Operand test_elements, *, bool assume_unique=False, bool invert=False) -> "
      "Tensor",
      kFunction | kOut | kOneTensor,
      "isin(elements, test_elements, invert=False): which elements stand among the others.");
  b.def<&ops::unique_all>("_unique2(Tensor input, bool return_inverse, bool return_counts) -> Tensor[]",
                          kPrivate, "");
  b.def<&ops::unique_dim>(
      "unique_dim(Tensor input, int dim, bool return_inverse, bool return_counts) -> Tensor[]", kPrivate, "");
  b.def<&ops::unique_consecutive>(
      "_unique_consecutive(Tensor input, bool return_inverse, bool return_counts, int? dim=None) -> Tensor[]",
      kPrivate, "");
  b.def<&ops::bincount>(
      "bincount(Tensor input, Tensor? weights=None, int minlength=0) -> Tensor", kBoth,
      "bincount(input, weights=None, minlength=0): how often each non-negative integer occurs.");
  b.def<&ops::histc>(
      "histc(Tensor input, int bins=100, Scalar min=0, Scalar max=0) -> Tensor", kBoth | kOut,
      "histc(input, bins=100, min=0, max=0): counts in equal bins; min = max takes the values' range.");
  b.def<&ops::searchsorted>(
      "searchsorted(Tensor sorted_sequence, Tensor input, *, bool out_int32=False, bool right=False, str? "
      "side=None, "
      "Tensor? sorter=None) -> Tensor",
      kFunction | kOut,
      "searchsorted(sorted_sequence, input, right=False): where the values would be put in to keep the "
      "order.");
  b.def<&searchsorted_number>(
      "searchsorted(Tensor sorted_sequence, Scalar input, *, bool out_int32=False, bool right=False, str? "
      "side=None, "
      "Tensor? sorter=None) -> Tensor",
      kFunction | kOut, "");
  b.def<&ops::bucketize>(
      "bucketize(Operand input, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor",
      kFunction | kOut, "bucketize(input, boundaries, right=False): the bucket of each value.");
}

}  // namespace nnlib::python
