// One tensor cut into several views. The views of one call share a backward step, so none may be changed in
// place.
#include "core/shape.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// Views of x, one per (start, length) along d; `drop` removes the dimension (unbind).
TensorList cut(const Tensor& x, int64_t d, const Dims& lengths, bool drop, const char* name) {
  TensorList r;
  int64_t start = 0;
  for (int64_t n : lengths) {
    Dims sizes(x.sizes()), strides(x.strides());
    sizes[d] = n;
    if (drop) {
      sizes.erase(d);
      strides.erase(d);
    }
    const int64_t offset = x.storage_offset() + (start < x.sizes()[d] ? start : 0) * x.strides()[d];
    r.push_back(mark_view(x, nnlib::alias(x, sizes, strides, offset), ViewOrigin::MultiOutput));
    start += n;
  }
  if (!wants_grad(x)) return r;
  record_many(r, name, {x}, [from = x.sizes(), d, lengths, drop](Backward& ctx, const TensorList& g) {
    TensorList parts;
    for (size_t i = 0; i < g.size(); i++) {
      if (g[i].defined()) {
        parts.push_back(g[i]);
        continue;
      }
      Tensor zero = empty(ctx.output(i).sizes, ctx.output(i).dtype);
      fill_values(zero, 0);
      parts.push_back(zero);
    }
    return TensorList{drop ? stack(parts, d) : cat(parts, d)};
  });
  return r;
}

Dims even_lengths(int64_t n, int64_t sections) {
  Dims lengths;
  for (int64_t i = 0; i < sections; i++) lengths.push_back(n / sections + (i < n % sections));
  return lengths;
}

// hsplit, vsplit and dsplit differ in rank and dimension only.
int64_t split_dim(const Tensor& x, const char* name, int64_t least, int64_t dim) {
  NNLIB_CHECK(x.dim() >= least, "torch.", name, " requires a tensor with at least ", least, " dimension",
              least > 1 ? "s" : "", ", but got a tensor with ", x.dim(), " dimensions!");
  return least == 1 && x.dim() == 1 ? 0 : dim;
}
TensorList split_sections(const Tensor& x, const char* name, int64_t least, int64_t dim, int64_t sections) {
  const int64_t d = split_dim(x, name, least, dim);
  NNLIB_CHECK(sections != 0 && x.sizes()[d] % sections == 0, "torch.", name,
              " attempted to split along dimension ", d, ", but the size of the dimension ", x.sizes()[d],
              " is not divisible by the split_size ", sections, "!");
  return tensor_split(x, sections, d);
}

}  // namespace

TensorList unbind(const Tensor& x, int64_t dim) {
  const int64_t d = wrap_dim(dim, x.dim(), false);
  return cut(x, d, Dims((size_t)x.sizes()[d], 1), true, "UnbindBackward0");
}

TensorList split(const Tensor& x, int64_t split_size, int64_t dim) {
  NNLIB_CHECK(x.dim() > 0, "split expects at least a 1-dimensional tensor");
  NNLIB_CHECK(split_size >= 0, "split expects split_size be non-negative, but got split_size=", split_size);
  const int64_t d = wrap_dim(dim, x.dim()), n = x.sizes()[d];
  NNLIB_CHECK(split_size > 0 || n == 0,
              "split_size can only be 0 if dimension size is 0, but got dimension size of ", n);
  Dims lengths;
  for (int64_t at = 0; at < n; at += split_size) lengths.push_back(std::min(split_size, n - at));
  if (lengths.empty()) lengths.push_back(0);
  return cut(x, d, lengths, false, "SplitBackward0");
}

TensorList split_with_sizes(const Tensor& x, const Dims& sizes, int64_t dim) {
  NNLIB_CHECK(x.dim() > 0, "split expects at least a 1-dimensional tensor");
  const int64_t d = wrap_dim(dim, x.dim());
  int64_t left = x.sizes()[d];
  for (int64_t n : sizes) {
    NNLIB_CHECK(
        n >= 0,
        "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=", sizes);
    left = n > left ? -1 : left - n;  // a sum could overflow
  }
  NNLIB_CHECK(left == 0, "split_with_sizes expects split_sizes to sum exactly to ", x.sizes()[d],
              " (input tensor's size at dimension ", d, "), but got split_sizes=", sizes);
  return cut(x, d, sizes, false, "SplitWithSizesBackward0");
}

TensorList chunk(const Tensor& x, int64_t chunks, int64_t dim) {
  NNLIB_CHECK(x.dim() > 0, "chunk expects at least a 1-dimensional tensor");
  NNLIB_CHECK(chunks > 0, "chunk expects `chunks` to be greater than 0, got: ", chunks);
  const int64_t d = wrap_dim(dim, x.dim()), n = x.sizes()[d];
  const int64_t size = n / chunks + (n % chunks != 0);
  // An empty dimension still gives as many chunks as were asked for.
  if (size == 0) return cut(x, d, Dims((size_t)chunks, 0), false, "SplitWithSizesBackward0");
  return split(x, size, d);
}

TensorList tensor_split(const Tensor& x, int64_t sections, int64_t dim) {
  NNLIB_CHECK(x.dim() > 0, "tensor_split expected at least a 1-dimensional tensor, but got a tensor with ",
              x.dim(), " dims");
  const int64_t d = wrap_dim(dim, x.dim());
  NNLIB_CHECK(sections > 0, "number of sections must be larger than 0, got ", sections);
  NNLIB_CHECK(sections <= std::max<int64_t>(x.sizes()[d], 1 << 20), "tensor_split: ", sections,
              " sections of a dimension of size ", x.sizes()[d]);
  TensorList r;
  int64_t start = 0;
  for (int64_t n : even_lengths(x.sizes()[d], sections)) {
    r.push_back(slice(x, d, start, start + n));
    start += n;
  }
  return r;
}

TensorList tensor_split_indices(const Tensor& x, const Dims& indices, int64_t dim) {
  NNLIB_CHECK(x.dim() > 0, "tensor_split expected at least a 1-dimensional tensor, but got a tensor with ",
              x.dim(), " dims");
  const int64_t d = wrap_dim(dim, x.dim());
  TensorList r;
  int64_t start = 0;
  for (int64_t end : indices) {
    r.push_back(slice(x, d, start, end));
    start = end;
  }
  r.push_back(slice(x, d, start, x.sizes()[d]));
  return r;
}

TensorList tensor_split_tensor(const Tensor& x, const Tensor& which, int64_t dim) {
  NNLIB_CHECK(which.dtype() == Dtype::Int64,
              "tensor_split expected tensor_indices_or_sections to have dtype of long, but got ",
              dtype_legacy_name(which.dtype()));
  NNLIB_CHECK(which.dim() <= 1,
              "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
              "one-dimensional tensor, but got a tensor with ",
              which.dim(), " dims");
  if (which.dim() == 0) return tensor_split(x, which.item().to_int(), dim);
  Tensor c = contiguous_values(which);
  return tensor_split_indices(x, Dims(c.data<int64_t>(), (size_t)c.numel()), dim);
}

TensorList hsplit(const Tensor& x, int64_t sections) { return split_sections(x, "hsplit", 1, 1, sections); }
TensorList vsplit(const Tensor& x, int64_t sections) { return split_sections(x, "vsplit", 2, 0, sections); }
TensorList dsplit(const Tensor& x, int64_t sections) { return split_sections(x, "dsplit", 3, 2, sections); }
TensorList hsplit_indices(const Tensor& x, const Dims& indices) {
  return tensor_split_indices(x, indices, split_dim(x, "hsplit", 1, 1));
}
TensorList vsplit_indices(const Tensor& x, const Dims& indices) {
  return tensor_split_indices(x, indices, split_dim(x, "vsplit", 2, 0));
}
TensorList dsplit_indices(const Tensor& x, const Dims& indices) {
  return tensor_split_indices(x, indices, split_dim(x, "dsplit", 3, 2));
}

}  // namespace nnlib::ops
