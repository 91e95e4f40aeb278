// Sparse tensors in coordinate format: csrc/ops/sparse_math.h.
#include "ops/sparse_math.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

template <bool Any>
Tensor indices(const Tensor& t) {
  return ops::sparse_indices(t, Any);
}
template <bool Any>
Tensor values(const Tensor& t) {
  return ops::sparse_values(t, Any);
}

}  // namespace

void bind_sparse(Binder& b) {
  b.def<&ops::sparse_coo_tensor>(
      "_sparse_coo_tensor(Tensor indices, Tensor values, int[]? size=None, bool? is_coalesced=None)",
      kFunction | kPrivate, "What nnlib.sparse_coo_tensor calls.");
  b.def<&ops::coalesce>("coalesce(Tensor input)", kMethod,
                        "A sparse tensor with each index once, in order; values of one index are added.");
  b.def<&ops::is_coalesced>("is_coalesced(Tensor input)", kMethod,
                            "Whether each index of a sparse tensor comes once.");
  b.def<&ops::to_dense>("to_dense(Tensor input)", kMethod, "A dense tensor of the same values.");
  b.def<&ops::to_sparse>(
      "to_sparse(Tensor input, int? sparse_dim=None)", kMethod,
      "A sparse tensor of the elements (or slices of the trailing dimensions) that are not zero.");
  b.def<&ops::sparse_mask>("sparse_mask(Tensor input, Tensor mask)", kMethod,
                           "The values of a tensor at the indices of a sparse one.");
  b.def<&indices<false>>("indices(Tensor input)", kMethod,
                         "The indices, (sparse_dim, nnz), of a coalesced tensor.");
  b.def<&values<false>>("values(Tensor input)", kMethod,
                        "The values, (nnz, dense sizes...), of a coalesced tensor.");
  b.def<&indices<true>>("_indices(Tensor input)", kMethod,
                        "The indices of a sparse tensor, coalesced or not.");
  b.def<&values<true>>("_values(Tensor input)", kMethod, "The values of a sparse tensor, coalesced or not.");
  b.def<&ops::sparse_nnz>("_nnz(Tensor input)", kMethod, "How many entries a sparse tensor holds.");
  b.def<&ops::sparse_dim>("sparse_dim(Tensor input)", kMethod,
                          "The number of dimensions that indices stand for.");
  b.def<&ops::dense_dim>("dense_dim(Tensor input)", kMethod, "The number of dimensions that each entry has.");
}

}  // namespace nnlib::python
