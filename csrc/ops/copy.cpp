// Copies and layout: clone, contiguous, copy_, detach, as_strided and its gradient.
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/shape.h"
#include "ops/sparse.h"

namespace nnlib::ops {

namespace {

// Sorted by stride, each dimension steps over all that lies below it: no two indices can meet.
bool surely_no_overlap(const Dims& sizes, const Dims& strides) {
  std::vector<std::pair<int64_t, int64_t>> d;
  for (size_t i = 0; i < sizes.size(); i++)
    if (sizes[i] > 1) d.push_back({strides[i], sizes[i]});
  std::sort(d.begin(), d.end());
  int64_t reach = 0;
  for (auto [stride, size] : d) {
    if (stride <= reach) return false;
    reach += stride * (size - 1);
  }
  return true;
}

int64_t extent(const Dims& sizes, const Dims& strides) {
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); i++) {
    if (sizes[i] == 0) return 0;
    last += (sizes[i] - 1) * strides[i];
  }
  return last + 1;
}

// flat[place of index] += g[index], in order of the indices.
template <class T>
void scatter_add_strided(T* flat, const T* g, const Dims& sizes, const Dims& strides) {
  using C = compute_t<T>;
  Dims at(sizes.size(), 0);
  const int64_t n = count(sizes);
  int64_t place = 0;
  for (int64_t i = 0; i < n; i++) {
    flat[place] = (T)((C)flat[place] + (C)g[i]);
    for (int d = sizes.ssize() - 1; d >= 0; d--) {
      place += strides[d];
      if (++at[d] < sizes[d]) break;
      place -= strides[d] * sizes[d];
      at[d] = 0;
    }
  }
}

}  // namespace

Tensor clone(const Tensor& t, std::optional<MemoryFormat> format) {
  if (t.is_sparse()) return sparse_clone(t);
  const MemoryFormat f = format.value_or(MemoryFormat::Preserve);
  Tensor r = f == MemoryFormat::Preserve ? empty_like(t) : empty(t.sizes(), t.dtype(), f);
  copy_values(r, t);
  if (wants_grad(t)) record(r, "CloneBackward0", {t}, [](Backward&, const TensorList& g) { return g; });
  return r;
}

Tensor to_device(const Tensor& t, Device device) {
  require_device(device);
  DeviceScope scope(device);
  Tensor r;
  {
    NoGradGuard guard;
    r = clone(t);
  }
  if (wants_grad(t)) record(r, "ToCopyBackward0", {t}, [](Backward&, const TensorList& g) { return g; });
  return r;
}

Tensor contiguous(const Tensor& t, MemoryFormat format) {
  NNLIB_CHECK(format != MemoryFormat::Preserve,
              "preserve memory format is unsupported by the contiguous operator");
  if (t.is_contiguous(format)) return t;
  return clone(t, format);
}

Tensor copy_(const Tensor& self, const Tensor& src, bool) {
  if (self.is_sparse() || src.is_sparse()) return sparse_copy_(self, src);
  if (self.is_same(src)) return self;
  if (!is_expandable_to(src.sizes(), self.sizes()))
    throw_message<Error>("output with shape ", self.sizes(), " doesn't match the broadcast shape ",
                         broadcast_shapes(self.sizes(), src.sizes()));
  check_inplace(self, src.requires_grad());
  const bool recorded = wants_grad(self, src);
  Tensor values = src;
  if (src.storage() == self.storage() && src.numel() > 0) {
    values = empty_like(src);  // the two may overlap
    copy_values(values, src);
  }
  if (values.sizes() != self.sizes()) {
    Dims strides(self.sizes().size(), 0);
    const int64_t lead = self.dim() - values.dim();
    for (int64_t i = lead; i < self.dim(); i++)
      strides[i] = values.sizes()[i - lead] == 1 ? 0 : values.strides()[i - lead];
    values = nnlib::alias(values, self.sizes(), strides, values.storage_offset());
  }
  copy_values(self, values);
  mark_changed(self);
  if (recorded)
    record_inplace(self, "CopyBackwards", {self, src}, [](Backward&, const TensorList& g) {
      return TensorList{Tensor(), g[0]};  // nothing of the old values is left
    });
  return self;
}

Tensor detach_(const Tensor& t) {
  NNLIB_CHECK(!is_view(t), "Can't detach views in-place. Use detach() instead.");
  if (!t.impl()->autograd) return t;
  AutogradMeta& m = autograd_meta(t);
  m.grad_fn = nullptr;
  m.output_index = 0;
  m.requires_grad = false;
  return t;
}

Tensor alias_view(const Tensor& t) {
  return make_view(t, t.sizes(), t.strides(), t.storage_offset(), "AliasBackward0",
                   [](Backward&, const TensorList& g) { return g; });
}

Tensor as_strided(const Tensor& t, const Dims& sizes, const Dims& strides, std::optional<int64_t> offset) {
  const int64_t at = offset.value_or(t.storage_offset());
  check_in_bounds(*t.storage(), t.dtype(), sizes, strides, at);
  return make_view(t, sizes, strides, at, "AsStridedBackward0",
                   [bs = t.sizes(), bst = t.strides(), bo = t.storage_offset(), sizes, strides, at](
                       Backward&, const TensorList& g) {
                     return TensorList{as_strided_backward(g[0], bs, bst, bo, sizes, strides, at)};
                   });
}

Tensor as_strided_backward(const Tensor& g, const Dims& base_sizes, const Dims& base_strides,
                           int64_t base_offset, const Dims& sizes, const Dims& strides, int64_t offset) {
  const int64_t low = std::min(base_offset, offset);
  const int64_t length =
      std::max(base_offset - low + extent(base_sizes, base_strides), offset - low + extent(sizes, strides));
  Tensor flat = zeros({length}, g.dtype());
  if (surely_no_overlap(sizes, strides)) {
    copy_values(nnlib::alias(flat, sizes, strides, offset - low), g);
  } else {
    // An expanded dimension meets itself at every index; its gradients add up.
    Tensor values = contiguous_values(g);
    dispatch_all(g.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      scatter_add_strided((T*)flat.raw() + (offset - low), (const T*)values.raw(), sizes, strides);
    });
  }
  Tensor r = nnlib::alias(flat, base_sizes, base_strides, base_offset - low);
  if (!surely_no_overlap(base_sizes, base_strides)) {
    // Elements of the base that share a place share its gradient.
    Tensor ones = full(base_sizes, 1, g.dtype()), shares = zeros({length}, g.dtype());
    dispatch_floating(g.dtype(), "as_strided_backward", [&](auto tag) {
      using T = typename decltype(tag)::type;
      using C = compute_t<T>;
      scatter_add_strided((T*)shares.raw() + (base_offset - low), (const T*)ones.raw(), base_sizes,
                          base_strides);
      T *f = (T*)flat.raw(), *s = (T*)shares.raw();
      for (int64_t i = 0; i < length; i++)
        if ((C)s[i] > (C)1) f[i] = (T)((C)f[i] / (C)s[i]);
    });
  }
  if (wants_grad(g))
    record(r, "AsStridedBackwardBackward0", {g}, [=](Backward&, const TensorList& gg) {
      Tensor base = gg[0];
      if (base.strides() != base_strides) {
        base = zeros({length}, base.dtype());
        base = copy_(nnlib::alias(base, base_sizes, base_strides, base_offset - low), gg[0]);
      }
      return TensorList{as_strided(base, sizes, strides, base.storage_offset() + offset - base_offset)};
    });
  return r;
}

}  // namespace nnlib::ops
