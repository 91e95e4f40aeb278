// Several tensors to one: cat, stack and what is made of them.
#include <cstring>

#include "core/bytes.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

Dtype common_dtype(const TensorList& tensors) {
  // As in arithmetic, a tensor without dimensions counts only where its kind is higher.
  Dtype dims = Dtype::Bool, zero = Dtype::Bool;
  bool have = false, have_zero = false;
  for (const Tensor& x : tensors) {
    Dtype& into = x.dim() > 0 ? dims : zero;
    bool& seen = x.dim() > 0 ? have : have_zero;
    into = seen ? promote(into, x.dtype()) : x.dtype();
    seen = true;
  }
  if (!have) return zero;
  auto kind = [](Dtype d) { return is_floating(d) ? 2 : d == Dtype::Bool ? 0 : 1; };
  return have_zero && kind(zero) > kind(dims) ? promote(dims, zero) : dims;
}

// A vector without elements is left out of cat, whatever the others' shape is.
bool skipped(const Tensor& x) { return x.dim() == 1 && x.sizes()[0] == 0; }

// `count` runs of n bytes, from beside each other to `step` bytes apart.
void spread_runs(int64_t count, int64_t n, const char* from, char* to, int64_t step) {
  const auto fixed = [&](auto like) {
    for (int64_t i = 0; i < count; i++) std::memcpy(to + i * step, from + i * sizeof like, sizeof like);
  };
  switch (n) {  // a copy of known size is an instruction or two
    case 1:
      return fixed(uint8_t());
    case 2:
      return fixed(uint16_t());
    case 4:
      return fixed(uint32_t());
    case 8:
      return fixed(uint64_t());
  }
  constexpr int64_t kPiece = 16, kLong = 256;
  for (int64_t i = 0; i < count; i++, from += n, to += step) {
    if (n >= kLong) {
      copy_bytes(to, from, (size_t)n);
      continue;
    }
    int64_t k = 0;
    for (; k + kPiece <= n; k += kPiece) std::memcpy(to + k, from + k, kPiece);
    for (; k + 4 <= n; k += 4) std::memcpy(to + k, from + k, 4);
    for (; k < n; k++) to[k] = from[k];
  }
}

// out[.., start_i + j, ..] = in_i[.., j, ..] where everything is contiguous: runs of bytes. Tensors that are
// stacked lack the dimension d.
void cat_contiguous(const Tensor& out, const TensorList& in, int64_t d, bool stacked) {
  int64_t outer = 1, inner = (int64_t)out.itemsize();
  for (int64_t i = 0; i < d; i++) outer *= out.sizes()[i];
  for (int64_t i = d + 1; i < out.dim(); i++) inner *= out.sizes()[i];
  const int64_t row = out.sizes()[d] * inner;
  const auto run_of = [&](const Tensor& x) {
    return stacked ? inner : skipped(x) ? 0 : x.sizes()[d] * inner;
  };
  if (constexpr int64_t kPiece = 1 << 17; row >= 2 * kPiece) {
    // Long runs are cut, so that threads share each.
    for (int64_t o = 0; o < outer; o++) {
      char* to = (char*)out.raw() + o * row;
      for (const Tensor& x : in) {
        const int64_t n = run_of(x);
        const char* from = (const char*)x.raw() + o * n;
        parallel_for(0, n, kPiece,
                     [&](int64_t b, int64_t e) { copy_bytes(to + b, from + b, (size_t)(e - b)); });
        to += n;
      }
    }
    return;
  }
  parallel_for(0, outer, std::max<int64_t>(1, 65536 / std::max<int64_t>(row, 1)), [&](int64_t b, int64_t e) {
    char* to = (char*)out.raw() + b * row;
    for (const Tensor& x : in) {
      const int64_t n = run_of(x);
      if (n) spread_runs(e - b, n, (const char*)x.raw() + b * n, to, row);
      to += n;
    }
  });
}

}  // namespace

Tensor cat(const TensorList& tensors, int64_t dim) {
  NNLIB_CHECK_VALUE(!tensors.empty(), "torch.cat(): expected a non-empty list of Tensors");
  const Tensor* first = nullptr;
  for (size_t i = 0; i < tensors.size(); i++) {
    const Tensor& x = tensors[i];
    NNLIB_CHECK(x.dim() > 0, "zero-dimensional tensor (at position ", i, ") cannot be concatenated");
    if (!first && !skipped(x)) first = &x;
  }
  if (!first) first = &tensors[0];
  const int64_t d = wrap_dim(dim, first->dim());
  Dims sizes(first->sizes());
  sizes[d] = 0;
  const Dtype dtype = common_dtype(tensors);
  bool dense = true, channels_last = true;
  for (size_t i = 0; i < tensors.size(); i++) {
    const Tensor& x = tensors[i];
    if (skipped(x)) continue;
    NNLIB_CHECK(x.dim() == first->dim(), "Tensors must have same number of dimensions: got ", first->dim(),
                " and ", x.dim());
    for (int64_t k = 0; k < x.dim(); k++)
      NNLIB_CHECK(k == d || x.sizes()[k] == first->sizes()[k],
                  "Sizes of tensors must match except in dimension ", d, ". Expected size ",
                  first->sizes()[k], " but got size ", x.sizes()[k], " for tensor number ", i,
                  " in the list.");
    sizes[d] += x.sizes()[d];
    dense = dense && x.is_contiguous() && x.dtype() == dtype;
    channels_last = channels_last && !x.is_contiguous() && x.is_contiguous(MemoryFormat::ChannelsLast);
  }
  Tensor r =
      empty(sizes, dtype,
            channels_last && first->dim() == 4 ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
  if (dense) {
    cat_contiguous(r, tensors, d, false);
  } else {
    int64_t start = 0;
    for (const Tensor& x : tensors) {
      if (skipped(x)) continue;
      copy_values(nnlib::alias(r, x.sizes(), r.strides(), start * r.strides()[d]), x);
      start += x.sizes()[d];
    }
  }
  if (wants_grad(tensors)) {
    std::vector<Dims> shapes;
    for (const Tensor& x : tensors) shapes.push_back(x.sizes());
    record(r, "CatBackward0", tensors, [shapes, d](Backward& ctx, const TensorList& g) {
      TensorList out(shapes.size());
      int64_t start = 0;
      for (size_t i = 0; i < shapes.size(); i++) {
        const bool none = shapes[i].size() == 1 && shapes[i][0] == 0;
        const int64_t n = none ? 0 : shapes[i][d];
        if (ctx.needs(i)) out[i] = none ? zeros(shapes[i], g[0].dtype()) : narrow(g[0], d, start, n);
        start += n;
      }
      return out;
    });
  }
  return r;
}

Tensor stack(const TensorList& tensors, int64_t dim) {
  NNLIB_CHECK(!tensors.empty(), "stack expects a non-empty TensorList");
  const Dims sizes = tensors[0].sizes();
  const int64_t d = wrap_dim(dim, tensors[0].dim() + 1);
  bool dense = true;
  for (size_t i = 0; i < tensors.size(); i++) {
    NNLIB_CHECK(tensors[i].sizes() == sizes, "stack expects each tensor to be equal size, but got ", sizes,
                " at entry 0 and ", tensors[i].sizes(), " at entry ", i);
    dense = dense && tensors[i].is_contiguous() && tensors[i].dtype() == tensors[0].dtype() &&
            !tensors[i].is_sparse();
  }
  Tensor r;
  if (dense) {
    Dims all = sizes;
    all.insert((size_t)d, (int64_t)tensors.size());
    r = empty(all, tensors[0].dtype());
    cat_contiguous(r, tensors, d, true);
  } else {
    NoGradGuard guard;
    TensorList rows;
    for (const Tensor& x : tensors) rows.push_back(unsqueeze(x, d));
    r = cat(rows, d);
  }
  if (wants_grad(tensors))
    record(r, "StackBackward0", tensors, [d](Backward&, const TensorList& g) { return unbind(g[0], d); });
  return r;
}

namespace {
template <class F>
TensorList each(const TensorList& tensors, F f) {
  TensorList r;
  for (const Tensor& x : tensors) r.push_back(f(x));
  return r;
}
}  // namespace

Tensor atleast_1d(const Tensor& x) { return x.dim() == 0 ? reshape(x, {1}) : x; }
Tensor atleast_2d(const Tensor& x) {
  return x.dim() == 0 ? reshape(x, {1, 1}) : x.dim() == 1 ? unsqueeze(x, 0) : x;
}
Tensor atleast_3d(const Tensor& x) {
  if (x.dim() == 0) return reshape(x, {1, 1, 1});
  if (x.dim() == 1) return unsqueeze(unsqueeze(x, 0), -1);
  return x.dim() == 2 ? unsqueeze(x, -1) : x;
}

Tensor hstack(const TensorList& tensors) {
  NNLIB_CHECK(!tensors.empty(), "hstack expects a non-empty TensorList");
  const TensorList rows = each(tensors, atleast_1d);
  return cat(rows, rows[0].dim() == 1 ? 0 : 1);
}
Tensor vstack(const TensorList& tensors) {
  NNLIB_CHECK(!tensors.empty(), "vstack expects a non-empty TensorList");
  return cat(each(tensors, atleast_2d), 0);
}
Tensor dstack(const TensorList& tensors) {
  NNLIB_CHECK(!tensors.empty(), "dstack expects a non-empty TensorList");
  return cat(each(tensors, atleast_3d), 2);
}
Tensor column_stack(const TensorList& tensors) {
  NNLIB_CHECK(!tensors.empty(), "column_stack expects a non-empty TensorList");
  return hstack(each(tensors, [](const Tensor& x) { return x.dim() <= 1 ? reshape(x, {x.numel(), 1}) : x; }));
}

Tensor block_diag(const TensorList& tensors) {
  int64_t rows = 0, cols = 0;
  TensorList blocks;
  for (size_t i = 0; i < tensors.size(); i++) {
    NNLIB_CHECK(tensors[i].dim() <= 2,
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input ", i, " has ",
                tensors[i].dim(), " dimensions");
    NoGradGuard guard;
    blocks.push_back(atleast_2d(tensors[i]));
    rows += blocks[i].sizes()[0];
    cols += blocks[i].sizes()[1];
  }
  if (tensors.empty()) return empty({1, 0}, default_dtype());
  Tensor r = zeros({rows, cols}, common_dtype(blocks));
  std::vector<Dims> from;
  int64_t i0 = 0, j0 = 0;
  for (size_t i = 0; i < blocks.size(); i++) {
    copy_values(nnlib::alias(r, blocks[i].sizes(), r.strides(), i0 * cols + j0), blocks[i]);
    i0 += blocks[i].sizes()[0];
    j0 += blocks[i].sizes()[1];
    from.push_back(tensors[i].sizes());
  }
  if (wants_grad(tensors))
    record(r, "BlockDiagBackward0", tensors, [from](Backward& ctx, const TensorList& g) {
      TensorList out(from.size());
      int64_t i0 = 0, j0 = 0;
      for (size_t i = 0; i < from.size(); i++) {
        const int64_t h = from[i].size() == 2 ? from[i][0] : 1, w = from[i].empty() ? 1 : from[i].back();
        if (ctx.needs(i)) out[i] = reshape(narrow(narrow(g[0], 0, i0, h), 1, j0, w), from[i]);
        i0 += h;
        j0 += w;
      }
      return out;
    });
  return r;
}

TensorList meshgrid(const TensorList& tensors, const std::string& indexing) {
  NNLIB_CHECK(!tensors.empty(), "meshgrid expects a non-empty TensorList");
  NNLIB_CHECK(indexing == "ij" || indexing == "xy",
              "torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: ", indexing);
  const bool swap = indexing == "xy" && tensors.size() >= 2;
  Dims shape;
  for (const Tensor& x : tensors) {
    NNLIB_CHECK(x.dim() <= 1,
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: ", x.sizes());
    NNLIB_CHECK(x.dtype() == tensors[0].dtype(), "torch.meshgrid expects all tensors to have the same dtype");
    shape.push_back(x.numel());
  }
  if (swap) std::swap(shape[0], shape[1]);
  TensorList r;
  for (size_t i = 0; i < tensors.size(); i++) {
    const size_t d = swap && i < 2 ? 1 - i : i;
    Dims column(shape.size(), 1);
    column[d] = -1;
    r.push_back(expand(view(tensors[i], column), shape));
  }
  return r;
}

Tensor cartesian_prod(const TensorList& tensors) {
  for (const Tensor& x : tensors) NNLIB_CHECK(x.dim() == 1, "Expect a 1D vector, but got shape ", x.sizes());
  NNLIB_CHECK(!tensors.empty(), "cartesian_prod expects a non-empty TensorList");
  if (tensors.size() == 1) return tensors[0];
  return stack(each(meshgrid(tensors), [](const Tensor& x) { return flatten(x); }), 1);
}

Tensor combinations(const Tensor& x, int64_t r, bool with_replacement) {
  NNLIB_CHECK(x.dim() == 1, "Expect a 1D vector, but got shape ", x.sizes());
  NNLIB_CHECK(r >= 0, "Expect a non-negative number, but got ", r);
  if (r == 0) return empty({0}, x.dtype());
  const int64_t n = x.sizes()[0], least = with_replacement ? 0 : 1;
  if (n < (with_replacement ? 1 : r)) return reshape(slice(x, 0, 0, 0, 1), {0, r});
  std::vector<int64_t> rows;
  Dims at((size_t)r, 0);
  for (int64_t i = 0; i < r; i++) at[i] = i * least;
  // The next row in order: the last place that can still grow does, and those after it follow it.
  while (n > 0 && at.back() < n) {
    rows.insert(rows.end(), at.begin(), at.end());
    int64_t i = r - 1;
    while (i >= 0 && at[i] + 1 + least * (r - 1 - i) > n - 1) i--;
    if (i < 0) break;
    at[i]++;
    for (int64_t j = i + 1; j < r; j++) at[j] = at[j - 1] + least;
  }
  Tensor places = empty({(int64_t)rows.size() / r, r}, Dtype::Int64);
  std::copy(rows.begin(), rows.end(), places.data<int64_t>());
  return index(x, {places});
}

}  // namespace nnlib::ops
