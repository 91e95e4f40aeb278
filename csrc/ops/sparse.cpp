// Sparse tensors in coordinate format.
#include "ops/sparse.h"

#include "core/shape.h"
#include "ops/shape.h"

namespace nnlib::ops {

std::atomic<bool> g_sparse_in_use{false};

Tensor make_sparse(const Tensor& indices, const Tensor& values, const Dims& sizes, bool coalesced) {
  g_sparse_in_use.store(true, std::memory_order_relaxed);
  // A storage without bytes: it only carries the version counter.
  Tensor r = nnlib::alias(empty({0}, values.dtype()), {0}, {1}, 0);
  r.impl()->sizes = sizes;
  r.impl()->strides = contiguous_strides(sizes);
  r.impl()->numel = count(sizes);
  // There are no elements to point at: operators that only know dense tensors then come to copy_values, which
  // refuses.
  r.impl()->contiguous = false;
  r.impl()->sparse.reset(new SparseData{indices, values, indices.sizes()[0], coalesced});
  return r;
}

Tensor sparse_zeros(const Dims& sizes, Dtype dtype) {
  return make_sparse(empty({(int64_t)sizes.size(), 0}, Dtype::Int64), empty({0}, dtype), sizes, true);
}

Tensor sparse_clone(const Tensor& t) {
  const SparseData& s = t.sparse();
  Tensor r;
  {
    NoGradGuard guard;
    r = make_sparse(clone(s.indices), clone(s.values), t.sizes(), s.coalesced);
  }
  if (wants_grad(t)) record(r, "CloneBackward0", {t}, [](Backward&, const TensorList& g) { return g; });
  return r;
}

Tensor sparse_copy_(const Tensor& self, const Tensor& src) {
  NNLIB_CHECK(self.is_sparse() && src.is_sparse(),
              "copy_() between dense and sparse Tensors is not implemented! Found self type = ",
              self.is_sparse() ? "sparse" : "dense",
              " and src type = ", src.is_sparse() ? "sparse" : "dense");
  NNLIB_CHECK(self.sizes() == src.sizes(), "copy_: sparse tensors must have equal sizes, got ", self.sizes(),
              " and ", src.sizes());
  check_inplace(self, src.requires_grad());
  const bool recorded = wants_grad(self, src);
  {
    NoGradGuard guard;
    const SparseData& s = src.sparse();
    *self.impl()->sparse =
        SparseData{clone(s.indices), cast_values(clone(s.values), self.dtype()), s.sparse_dim, s.coalesced};
  }
  mark_changed(self);
  if (recorded)
    record_inplace(self, "CopyBackwards", {self, src},
                   [](Backward&, const TensorList& g) { return TensorList{Tensor(), g[0]}; });
  return self;
}

}  // namespace nnlib::ops
