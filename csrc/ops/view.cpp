// Views: new sizes and strides on the same memory.
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// The gradient of a view that shows a part of its input: g written through the same view of zeros.
template <class View>
Tensor into_zeros(const Tensor& g, const Dims& sizes, const char* name, View view) {
  Tensor r = zeros(sizes, g.dtype());
  {
    NoGradGuard guard;
    copy_values(view(r), g);
  }
  if (wants_grad(g))
    record(r, name, {g}, [view](Backward&, const TensorList& gg) { return TensorList{view(gg[0])}; });
  return r;
}

void swap_dims(Dims& d, int64_t a, int64_t b) { std::swap(d[(size_t)a], d[(size_t)b]); }

Tensor transposed(const Tensor& x, int64_t a, int64_t b, const char* name) {
  Dims sizes = x.sizes(), strides = x.strides();
  if (x.dim() > 0) {
    swap_dims(sizes, a, b);
    swap_dims(strides, a, b);
  }
  return make_view(x, sizes, strides, x.storage_offset(), name,
                   [a, b](Backward&, const TensorList& g) { return TensorList{transpose(g[0], a, b)}; });
}

Tensor squeezed(const Tensor& x, const std::vector<bool>& drop, const char* name) {
  Dims sizes, strides;
  for (size_t i = 0; i < x.sizes().size(); i++) {
    if (drop[i] && x.sizes()[i] == 1) continue;
    sizes.push_back(x.sizes()[i]);
    strides.push_back(x.strides()[i]);
  }
  return make_view(
      x, sizes, strides, x.storage_offset(), name,
      [from = x.sizes()](Backward&, const TensorList& g) { return TensorList{reshape(g[0], from)}; });
}

}  // namespace

Tensor view(const Tensor& x, const Dims& shape) {
  const Dims sizes = infer_size(shape, x.numel());
  Dims strides;
  NNLIB_CHECK(
      view_strides(x.sizes(), x.strides(), sizes, &strides),
      "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
      "two contiguous subspaces). Use .reshape(...) instead.");
  return make_view(
      x, sizes, strides, x.storage_offset(), "ViewBackward0",
      [from = x.sizes()](Backward&, const TensorList& g) { return TensorList{reshape(g[0], from)}; });
}

Tensor view_dtype(const Tensor& x, Dtype dtype) {
  if (dtype == x.dtype()) return alias_view(x);
  const int64_t from = (int64_t)x.itemsize(), to = (int64_t)itemsize(dtype);
  Dims sizes = x.sizes(), strides = x.strides();
  int64_t offset = x.storage_offset();
  if (from != to) {
    NNLIB_CHECK(x.dim() > 0, "self.dim() cannot be 0 to view ", dtype_name(x.dtype()), " as ",
                dtype_name(dtype), " (different element sizes)");
    NNLIB_CHECK(strides.back() == 1, "self.stride(-1) must be 1 to view ", dtype_name(x.dtype()), " as ",
                dtype_name(dtype), " (different element sizes), but got ", strides.back());
    // Bytes stay where they are; only the unit in which they are counted changes.
    auto rescale = [&](int64_t v, const char* what) {
      NNLIB_CHECK(v * from % to == 0, what, " must be divisible by ", to / from, " to view ",
                  dtype_name(x.dtype()), " as ", dtype_name(dtype), " (different element sizes), but got ",
                  v);
      return v * from / to;
    };
    sizes.back() = rescale(sizes.back(), "self.size(-1)");
    offset = rescale(offset, "self.storage_offset()");
    for (size_t i = 0; i + 1 < strides.size(); i++) strides[i] = rescale(strides[i], "self.stride()");
  }
  Tensor r = nnlib::alias(x, sizes, strides, 0);
  r.impl()->dtype = dtype;
  r.impl()->offset = offset;
  return mark_view(x, r);
}

Tensor view_as(const Tensor& x, const Tensor& other) { return view(x, other.sizes()); }

Tensor reshape(const Tensor& x, const Dims& shape) {
  const Dims sizes = infer_size(shape, x.numel());
  Dims strides;
  if (view_strides(x.sizes(), x.strides(), sizes, &strides)) return view(x, sizes);
  Tensor copy = clone(x, MemoryFormat::Contiguous);
  Tensor r = nnlib::alias(copy, sizes, contiguous_strides(sizes), 0);
  if (wants_grad(copy))
    record(r, "UnsafeViewBackward0", {copy},
           [from = x.sizes()](Backward&, const TensorList& g) { return TensorList{reshape(g[0], from)}; });
  return r;
}

Tensor reshape_as(const Tensor& x, const Tensor& other) { return reshape(x, other.sizes()); }

Tensor flatten(const Tensor& x, int64_t start_dim, int64_t end_dim) {
  const int64_t a = wrap_dim(start_dim, x.dim()), b = wrap_dim(end_dim, x.dim());
  NNLIB_CHECK(a <= b, "flatten() has invalid args: start_dim cannot come after end_dim");
  if (x.dim() == 0) return reshape(x, {1});
  if (a == b) return x;
  Dims sizes;
  int64_t merged = 1;
  for (int64_t i = 0; i < x.dim(); i++) {
    if (i < a || i > b) sizes.push_back(x.sizes()[i]);
    if (i >= a && i <= b) merged *= x.sizes()[i];
    if (i == b) sizes.push_back(merged);
  }
  return reshape(x, sizes);
}

Tensor unflatten(const Tensor& x, int64_t dim, const Dims& split) {
  NNLIB_CHECK(!split.empty(), "unflatten: sizes must be non-empty");
  const int64_t d = wrap_dim(dim, x.dim(), false);
  int64_t known = 1, inferred = -1;
  Dims parts(split);
  for (size_t i = 0; i < parts.size(); i++) {
    if (parts[i] == -1 && inferred < 0)
      inferred = (int64_t)i;
    else
      known *= parts[i];
  }
  if (inferred >= 0 && known > 0 && x.sizes()[d] % known == 0) {
    parts[inferred] = x.sizes()[d] / known;
    known *= parts[inferred];
    inferred = -1;
  }
  NNLIB_CHECK(inferred < 0 && known == x.sizes()[d], "unflatten: Provided sizes ", split,
              " don't multiply up to the size of dim ", d, " (", x.sizes()[d], ") in the input tensor");
  Dims sizes(x.sizes());
  sizes.erase(d);
  for (size_t i = 0; i < parts.size(); i++) sizes.insert(d + i, parts[i]);
  // A dimension can always be cut up in place.
  return view(x, sizes);
}

Tensor ravel(const Tensor& x) { return reshape(contiguous(x), {-1}); }

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  const int64_t a = wrap_dim(dim0, x.dim()), b = wrap_dim(dim1, x.dim());
  return transposed(x, a, b, "TransposeBackward0");
}

Tensor t(const Tensor& x) {
  NNLIB_CHECK(x.dim() <= 2, "t() expects a tensor with <= 2 dimensions, but self is ", x.dim(), "D");
  return transposed(x, 0, x.dim() < 2 ? 0 : 1, "TBackward0");
}

Tensor numpy_t(const Tensor& x) {
  Dims order;
  for (int64_t i = x.dim() - 1; i >= 0; i--) order.push_back(i);
  return permute(x, order);
}

Tensor matrix_t(const Tensor& x) {
  NNLIB_CHECK(x.dim() >= 2, "tensor.mT is only supported on matrices or batches of matrices. Got ", x.dim(),
              "-D tensor.");
  return transpose(x, -2, -1);
}

Tensor matrix_h(const Tensor& x) {
  NNLIB_CHECK(x.dim() == 0 || x.dim() == 2, "tensor.H is only supported on matrices (2-D tensors). Got ",
              x.dim(), "-D tensor.");
  return x.dim() == 0 ? alias_view(x) : transpose(x, 0, 1);
}

Tensor adjoint(const Tensor& x) {
  NNLIB_CHECK(x.dim() >= 2, "tensor.adjoint() is only supported on matrices or batches of matrices. Got ",
              x.dim(), "-D tensor.");
  return transpose(x, -2, -1);
}

Tensor permute(const Tensor& x, const Dims& dims) {
  NNLIB_CHECK((int64_t)dims.size() == x.dim(),
              "permute(sparse_coo): number of dimensions in the tensor input does not match the "
              "length of the desired ordering of dimensions i.e. input.dim() = ",
              x.dim(), " is not equal to len(dims) = ", dims.size());
  Dims order(dims.size(), 0), inverse(dims.size(), -1), sizes(dims.size(), 0), strides(dims.size(), 0);
  for (size_t i = 0; i < dims.size(); i++) {
    order[i] = wrap_dim(dims[i], x.dim());
    NNLIB_CHECK(inverse[order[i]] < 0, "permute(): duplicate dims are not allowed.");
    inverse[order[i]] = (int64_t)i;
    sizes[i] = x.sizes()[order[i]];
    strides[i] = x.strides()[order[i]];
  }
  return make_view(x, sizes, strides, x.storage_offset(), "PermuteBackward0",
                   [inverse](Backward&, const TensorList& g) { return TensorList{permute(g[0], inverse)}; });
}

Tensor movedim(const Tensor& x, const Dims& source, const Dims& destination) {
  NNLIB_CHECK(source.size() == destination.size(), "movedim: Invalid source or destination dims: source (",
              source, " dims) should contain the same number of dims as destination (", destination,
              " dims)");
  auto wrapped = [&](const Dims& dims, const char* what) {
    Dims r(dims);
    for (size_t i = 0; i < r.size(); i++) {
      r[i] = wrap_dim(r[i], x.dim());
      for (size_t j = 0; j < i; j++)
        NNLIB_CHECK(r[i] != r[j], "movedim: repeated dim in `", what, "` (", dims, ")");
    }
    return r;
  };
  const Dims from = wrapped(source, "source"), to = wrapped(destination, "destination");
  if (x.dim() == 0) return alias_view(x);
  Dims order(x.sizes().size(), -1);
  std::vector<bool> used(x.sizes().size(), false);
  for (size_t i = 0; i < from.size(); i++) {
    order[to[i]] = from[i];
    used[from[i]] = true;
  }
  size_t next = 0;
  for (size_t i = 0; i < order.size(); i++) {
    if (order[i] >= 0) continue;
    while (used[next]) next++;
    order[i] = (int64_t)next++;
  }
  return permute(x, order);
}

Tensor squeeze_all(const Tensor& x) {
  return squeezed(x, std::vector<bool>(x.sizes().size(), true), "SqueezeBackward0");
}

Tensor squeeze(const Tensor& x, int64_t dim) {
  const int64_t d = wrap_dim(dim, x.dim());
  std::vector<bool> drop(x.sizes().size(), false);
  if (x.dim() > 0) drop[d] = true;
  return squeezed(x, drop, "SqueezeBackward1");
}

Tensor squeeze_dims(const Tensor& x, const Dims& dims) {
  std::vector<bool> drop(x.sizes().size(), false);
  for (int64_t d : wrap_dims(dims, x.dim()))
    if (x.dim() > 0) drop[d] = true;
  return squeezed(x, drop, "SqueezeBackward2");
}

Tensor unsqueeze(const Tensor& x, int64_t dim) {
  const int64_t d = wrap_dim(dim, x.dim() + 1);
  Dims sizes(x.sizes()), strides(x.strides());
  const int64_t stride = d < x.dim() ? sizes[d] * strides[d] : 1;
  sizes.insert(d, 1);
  strides.insert(d, stride);
  return make_view(x, sizes, strides, x.storage_offset(), "UnsqueezeBackward0",
                   [d](Backward&, const TensorList& g) { return TensorList{squeeze(g[0], d)}; });
}

Tensor expand(const Tensor& x, const Dims& sizes, bool) {
  const int64_t lead = (int64_t)sizes.size() - x.dim();
  NNLIB_CHECK(lead >= 0, "expand(", dtype_legacy_name(x.dtype()), "Tensor{", x.sizes(), "}, size=", sizes,
              "): the number of sizes provided (", sizes.size(),
              ") must be greater or equal to the number of dimensions in the tensor (", x.dim(), ")");
  Dims out(sizes), strides(sizes.size(), 0);
  for (int64_t i = (int64_t)sizes.size() - 1; i >= 0; i--) {
    const int64_t have = i >= lead ? x.sizes()[i - lead] : 1;
    if (out[i] == -1) {
      NNLIB_CHECK(i >= lead,
                  "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension ",
                  i);
      out[i] = have;
    }
    NNLIB_CHECK(have == out[i] || (have == 1 && out[i] >= 0), "The expanded size of the tensor (", out[i],
                ") must match the existing size (", have, ") at non-singleton dimension ", i,
                ".  Target sizes: ", sizes, ".  Tensor sizes: ", x.sizes());
    if (i >= lead && have == out[i])
      strides[i] = x.strides()[i - lead];
    else if (i < lead && out[i] == 1)
      strides[i] = i + 1 < (int64_t)sizes.size() ? out[i + 1] * strides[i + 1] : 1;
  }
  // The engine sums a gradient down to the input's sizes.
  return make_view(x, out, strides, x.storage_offset(), "ExpandBackward0",
                   [](Backward&, const TensorList& g) { return g; });
}

Tensor expand_as(const Tensor& x, const Tensor& other) { return expand(x, other.sizes()); }
Tensor broadcast_to(const Tensor& x, const Dims& sizes) { return expand(x, sizes); }

TensorList broadcast_tensors(const TensorList& tensors) {
  Dims sizes;
  for (const Tensor& x : tensors) sizes = broadcast_shapes(sizes, x.sizes());
  TensorList r;
  for (const Tensor& x : tensors) r.push_back(x.sizes() == sizes ? x : expand(x, sizes));
  return r;
}

Tensor select(const Tensor& x, int64_t dim, int64_t index) {
  NNLIB_CHECK_INDEX(x.dim() > 0, "select() cannot be applied to a 0-dim tensor.");
  const int64_t d = wrap_dim(dim, x.dim()), n = x.sizes()[d];
  NNLIB_CHECK_INDEX(index >= -n && index < n, "select(): index ", index, " out of range for tensor of size ",
                    x.sizes(), " at dimension ", d);
  const int64_t at = index < 0 ? index + n : index;
  Dims sizes(x.sizes()), strides(x.strides());
  const int64_t offset = x.storage_offset() + at * strides[d];
  sizes.erase(d);
  strides.erase(d);
  return make_view(x, sizes, strides, offset, "SelectBackward0",
                   [from = x.sizes(), d, at](Backward&, const TensorList& g) {
                     return TensorList{into_zeros(g[0], from, "SelectBackwardBackward0",
                                                  [d, at](const Tensor& z) { return select(z, d, at); })};
                   });
}

Tensor slice(const Tensor& x, int64_t dim, std::optional<int64_t> start, std::optional<int64_t> end,
             int64_t step) {
  NNLIB_CHECK(x.dim() > 0, "slice() cannot be applied to a 0-dim tensor.");
  NNLIB_CHECK(step > 0, "slice step must be positive");
  const int64_t d = wrap_dim(dim, x.dim()), n = x.sizes()[d];
  auto clamp = [n](int64_t v, int64_t low) { return std::min(std::max(v < 0 ? v + n : v, low), n); };
  const int64_t b = clamp(start.value_or(0), 0), e = clamp(end.value_or(INT64_MAX), b);
  Dims sizes(x.sizes()), strides(x.strides());
  const int64_t offset = x.storage_offset() + b * strides[d];
  sizes[d] = (e - b) / step + ((e - b) % step != 0);
  strides[d] = (int64_t)((uint64_t)strides[d] * (uint64_t)step);  // wraps where there is no second element
  return make_view(x, sizes, strides, offset, "SliceBackward0",
                   [from = x.sizes(), d, b, e, step](Backward&, const TensorList& g) {
                     return TensorList{into_zeros(g[0], from, "SliceBackwardBackward0",
                                                  [=](const Tensor& z) { return slice(z, d, b, e, step); })};
                   });
}

Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  NNLIB_CHECK(x.dim() > 0, "narrow() cannot be applied to a 0-dim tensor.");
  NNLIB_CHECK(length >= 0, "narrow(): length must be non-negative.");
  const int64_t d = wrap_dim(dim, x.dim()), n = x.sizes()[d];
  NNLIB_CHECK_INDEX(start >= -n && start <= n, "start out of range (expected to be in range of [", -n, ", ",
                    n, "], but got ", start, ")");
  const int64_t b = start < 0 ? start + n : start;
  NNLIB_CHECK(b <= n - length, "start (", b, ") + length (", length, ") exceeds dimension size (", n, ").");
  return slice(x, d, b, b + length);
}

Tensor narrow_tensor(const Tensor& x, int64_t dim, const Tensor& start, int64_t length) {
  NNLIB_CHECK(start.dim() == 0 && is_integral(start.dtype(), false),
              "start must be an 0-dim integral Tensor.");
  return narrow(x, dim, start.item().to_int(), length);
}

Tensor diagonal(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  const int64_t a = wrap_dim(dim1, x.dim()), b = wrap_dim(dim2, x.dim());
  NNLIB_CHECK(a != b, "diagonal dimensions cannot be identical ", dim1, ", ", dim2);
  const int64_t rows = x.sizes()[a], cols = x.sizes()[b];
  const int64_t n =
      std::max<int64_t>(0, offset >= 0 ? std::min(rows, cols - offset) : std::min(rows + offset, cols));
  Dims sizes, strides;
  for (int64_t i = 0; i < x.dim(); i++) {
    if (i == a || i == b) continue;
    sizes.push_back(x.sizes()[i]);
    strides.push_back(x.strides()[i]);
  }
  sizes.push_back(n);
  strides.push_back(x.strides()[a] + x.strides()[b]);
  int64_t at = x.storage_offset();
  if (n > 0) at += offset >= 0 ? offset * x.strides()[b] : -offset * x.strides()[a];
  return make_view(
      x, sizes, strides, at, "DiagonalBackward0",
      [from = x.sizes(), offset, a, b](Backward&, const TensorList& g) {
        return TensorList{into_zeros(g[0], from, "DiagonalBackwardBackward0",
                                     [=](const Tensor& z) { return diagonal(z, offset, a, b); })};
      });
}

Tensor unfold(const Tensor& x, int64_t dimension, int64_t size, int64_t step) {
  const int64_t d = wrap_dim(dimension, x.dim()), n = x.dim() == 0 ? 1 : x.sizes()[d];
  NNLIB_CHECK(size >= 0, "size is ", size, " but must be >= 0");
  NNLIB_CHECK(size <= n, "maximum size for tensor at dimension ", d, " is ", n, " but size is ", size);
  NNLIB_CHECK(step > 0, "step is ", step, " but must be > 0");
  Dims sizes(x.sizes()), strides(x.strides());
  sizes.push_back(size);
  strides.push_back(x.dim() == 0 ? 1 : strides[d]);
  if (x.dim() > 0) {
    sizes[d] = (n - size) / step + 1;
    strides[d] *= step;
  }
  return make_view(
      x, sizes, strides, x.storage_offset(), "UnfoldBackward0",
      [from = x.sizes(), d, size, step](Backward&, const TensorList& g) {
        // Windows overlap: as_strided's gradient adds up what meets.
        const Dims strides = contiguous_strides(from);
        Tensor view = unfold(empty(from, g[0].dtype()), d, size, step);
        return TensorList{as_strided_backward(g[0], from, strides, 0, view.sizes(), view.strides(), 0)};
      });
}

}  // namespace nnlib::ops
