// A tensor that takes another shape in place: the same memory, the same Python object.
#include "core/shape.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// t becomes what `view`, made of t, is. The history goes through the view's own step.
Tensor become(const Tensor& t, const Tensor& view) {
  const bool recorded = wants_grad(t);
  NNLIB_CHECK(!(recorded && is_leaf(t)),
              "a leaf Variable that requires grad is being used in an in-place operation.");
  Edge history;
  if (recorded && !is_view(t)) history = gradient_edge(view);
  t.impl()->set_geometry(view.sizes(), view.strides());
  t.impl()->offset = view.storage_offset();
  mark_changed(t);
  if (history) {
    AutogradMeta& m = autograd_meta(t);
    m.hooks = nullptr;
    m.retains_grad = false;
    set_gradient_edge(t, history);
  }
  // A view finds its history anew from its geometry, because the version went up.
  return t;
}

}  // namespace

Tensor transpose_(const Tensor& x, int64_t dim0, int64_t dim1) { return become(x, transpose(x, dim0, dim1)); }
Tensor t_(const Tensor& x) { return become(x, t(x)); }
Tensor squeeze_all_(const Tensor& x) { return become(x, squeeze_all(x)); }
Tensor squeeze_(const Tensor& x, int64_t dim) { return become(x, squeeze(x, dim)); }
Tensor squeeze_dims_(const Tensor& x, const Dims& dims) { return become(x, squeeze_dims(x, dims)); }
Tensor unsqueeze_(const Tensor& x, int64_t dim) { return become(x, unsqueeze(x, dim)); }
Tensor as_strided_(const Tensor& x, const Dims& sizes, const Dims& strides, std::optional<int64_t> offset) {
  return become(x, as_strided(x, sizes, strides, offset));
}

Tensor resize_(const Tensor& x, const Dims& sizes, std::optional<MemoryFormat> format) {
  NNLIB_CHECK(!x.requires_grad(), "cannot resize variables that require grad");
  const int64_t n = count(sizes);
  if (sizes == x.sizes() && !format) return x;
  const bool last = format && *format != MemoryFormat::Contiguous && *format != MemoryFormat::Preserve;
  const size_t need = (size_t)(x.storage_offset() + n) * x.itemsize();
  if (n > 0 && need > x.storage()->nbytes()) {
    NNLIB_CHECK(x.storage()->owned(), "Trying to resize storage that is not resizable");
    x.storage()->resize(need);
  }
  x.impl()->set_geometry(sizes, last ? channels_last_strides(sizes) : contiguous_strides(sizes));
  return x;
}

Tensor resize_as_(const Tensor& x, const Tensor& other, std::optional<MemoryFormat> format) {
  if (format && *format == MemoryFormat::Preserve)
    format = other.is_contiguous(MemoryFormat::ChannelsLast) ? MemoryFormat::ChannelsLast
                                                             : MemoryFormat::Contiguous;
  return resize_(x, other.sizes(), format);
}

}  // namespace nnlib::ops
