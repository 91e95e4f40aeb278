// Advanced indexing: a tuple of index tensors broadcast together picks elements. Where the indexed dimensions
// are neighbours the result has the indices' dimensions in their place, otherwise in front; NumPy's rule,
// https://numpy.org/doc/stable/user/basics.indexing.html#combining-advanced-and-basic-indexing
#include <cstring>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/creation.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// An indexing made ready: element offsets of x for each position of the before, index and after parts of the
// result.
struct Plan {
  TensorList indices;  // int64, masks made indices; undefined for a full slice
  Dims result;
  std::vector<int64_t> before, picked, after;
};

TensorList expand_masks(const Tensor& x, const TensorList& indices) {
  TensorList r;
  for (const Tensor& i : indices) {
    if (!i.defined() || (is_integral(i.dtype(), false) && i.dtype() != Dtype::UInt8)) {
      NNLIB_CHECK_INDEX(!i.defined() || i.dtype() == Dtype::Int64 || i.dtype() == Dtype::Int32,
                        "tensors used as indices must be long, int, byte or bool tensors");
      r.push_back(i);
      continue;
    }
    NNLIB_CHECK_INDEX(i.dtype() == Dtype::Bool || i.dtype() == Dtype::UInt8,
                      "tensors used as indices must be long, int, byte or bool tensors");
    for (int64_t d = 0; d < i.dim(); d++) {
      const int64_t at = (int64_t)r.size() + d;
      NNLIB_CHECK_INDEX(at < x.dim(), "too many indices for tensor of dimension ", x.dim());
      NNLIB_CHECK_INDEX(i.sizes()[d] == x.sizes()[at], "The shape of the mask ", i.sizes(), " at index ", d,
                        " does not match the shape of the indexed tensor ", x.sizes(), " at index ", at);
    }
    Tensor where = nonzero(i);
    for (int64_t d = 0; d < i.dim(); d++)
      r.push_back(nnlib::alias(where, {where.sizes()[0]}, {where.strides()[0]}, d * where.strides()[1]));
  }
  return r;
}

// Offsets of all index positions of some dimensions, in row-major order.
std::vector<int64_t> offsets_of(const Dims& sizes, const Dims& strides) {
  std::vector<int64_t> r{0};
  for (size_t d = 0; d < sizes.size(); d++) {
    std::vector<int64_t> next;
    next.reserve(r.size() * (size_t)sizes[d]);
    for (int64_t base : r)
      for (int64_t i = 0; i < sizes[d]; i++) next.push_back(base + i * strides[d]);
    r = std::move(next);
  }
  return r;
}

Plan make_plan(const Tensor& x, const TensorList& raw) {
  Plan p;
  p.indices = expand_masks(x, raw);
  NNLIB_CHECK_INDEX((int64_t)p.indices.size() <= x.dim(), "too many indices for tensor of dimension ",
                    x.dim());
  p.indices.resize((size_t)x.dim());
  Dims shape;
  std::string shapes;
  for (const Tensor& i : p.indices)
    if (i.defined()) shapes += concat(shapes.empty() ? "" : ", ", i.sizes());
  int first = -1, last = -1;
  bool adjacent = true;
  for (int d = 0; d < (int)p.indices.size(); d++) {
    if (!p.indices[d].defined()) continue;
    const Dims& s = p.indices[d].sizes();
    NNLIB_CHECK_INDEX(
        is_expandable_to(s, shape) || is_expandable_to(shape, s) ||
            [&] {
              try {
                broadcast_shapes(shape, s);
                return true;
              } catch (const Error&) {
                return false;
              }
            }(),
        "shape mismatch: indexing tensors could not be broadcast together with shapes ", shapes);
    shape = broadcast_shapes(shape, s);
    adjacent = adjacent && (last < 0 || last == d - 1);
    if (first < 0) first = d;
    last = d;
  }
  Dims bs, bst, as, ast;
  for (int d = 0; d < (int)p.indices.size(); d++) {
    if (p.indices[d].defined()) continue;
    const bool front = adjacent && d < first;
    (front ? bs : as).push_back(x.sizes()[d]);
    (front ? bst : ast).push_back(x.strides()[d]);
  }
  p.picked.assign((size_t)count(shape), 0);
  for (int d = 0; d < (int)p.indices.size(); d++) {
    if (!p.indices[d].defined()) continue;
    Tensor i = empty(shape, Dtype::Int64);
    {
      NoGradGuard guard;
      copy_values(i, expand(p.indices[d], shape));
    }
    const int64_t n = x.sizes()[d], stride = x.strides()[d];
    int64_t* v = i.data<int64_t>();
    uint64_t wrong = 0;  // its sign: some index is not in [0, n)
    for (size_t k = 0; k < p.picked.size(); k++) wrong |= (uint64_t)v[k] | (uint64_t)(n - 1 - v[k]);
    if (!(wrong >> 63)) {
      for (size_t k = 0; k < p.picked.size(); k++) p.picked[k] += v[k] * stride;
      p.indices[d] = i;
      continue;
    }
    for (size_t k = 0; k < p.picked.size(); k++) {
      NNLIB_CHECK_INDEX(v[k] >= -n && v[k] < n, "index ", v[k], " is out of bounds for dimension ", d,
                        " with size ", n);
      if (v[k] < 0) v[k] += n;
      p.picked[k] += v[k] * stride;
    }
    p.indices[d] = i;
  }
  for (const Dims* part : {(const Dims*)&bs, (const Dims*)&shape, (const Dims*)&as})
    for (int64_t s : *part) p.result.push_back(s);
  p.before = offsets_of(bs, bst);
  p.after = count(p.result) ? offsets_of(as, ast) : std::vector<int64_t>();
  return p;
}

bool is_run(const std::vector<int64_t>& offsets) {
  return offsets.empty() || (offsets.back() == (int64_t)offsets.size() - 1 && offsets.front() == 0 &&
                             std::is_sorted(offsets.begin(), offsets.end()));
}

void take_values(const Tensor& x, const Plan& p, const Tensor& out) {
  const int64_t ni = (int64_t)p.picked.size(), na = (int64_t)p.after.size(),
                rows = (int64_t)p.before.size() * ni;
  if (out.numel() == 0) return;
  const bool run = is_run(p.after);
  dispatch_size(x.itemsize(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = (const T*)x.raw();
    T* to = (T*)out.raw();
    parallel_for(0, rows, std::max<int64_t>(1, 16384 / na), [&](int64_t b, int64_t e) {
      int64_t front = b / ni, i = b % ni;
      const int64_t* picked = p.picked.data();
      for (int64_t r = b; r < e; r++, i++) {
        if (i == ni) i = 0, front++;
        const T* s = from + p.before[(size_t)front] + picked[i];
        T* d = to + r * na;
        if (na == 1)
          *d = *s;
        else if (run)
          std::memcpy(d, s, (size_t)na * sizeof(T));
        else
          for (int64_t j = 0; j < na; j++) d[j] = s[p.after[j]];
      }
    });
  });
}

// to += from, in the type that T is computed in.
template <class T>
void add_values(int64_t n, T* to, const T* from) {
  if constexpr (std::is_same_v<T, float>)
    kernels::table().add_f32(n, to, from, to);
  else if constexpr (std::is_same_v<T, bool>)
    for (int64_t j = 0; j < n; j++) to[j] = to[j] || from[j];
  else
    for (int64_t j = 0; j < n; j++) to[j] = (T)((compute_t<T>)to[j] + (compute_t<T>)from[j]);
}

// x[plan] = values, or += ; duplicates are served in order. Columns are independent of each other.
void put_values(const Tensor& x, const Plan& p, const Tensor& values, bool accumulate) {
  const int64_t nb = (int64_t)p.before.size(), ni = (int64_t)p.picked.size(), na = (int64_t)p.after.size();
  if (values.numel() == 0) return;
  const bool together = is_run(p.after);
  auto each = [&](auto* to, const auto* from, auto put, auto run) {
    const int64_t kColumns = together ? 4096 : 256;
    const int64_t strips = (na + kColumns - 1) / kColumns;
    const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, ni * std::min(na, kColumns)));
    parallel_for(0, nb * strips, grain, [&](int64_t b, int64_t e) {
      for (int64_t k = b; k < e; k++) {
        const int64_t j0 = k % strips * kColumns, j1 = std::min(na, j0 + kColumns), row = k / strips;
        for (int64_t i = 0; i < ni; i++) {
          auto* d = to + p.before[row] + p.picked[i];
          const auto* s = from + (row * ni + i) * na;
          if (na == 1)
            put(*d, *s);
          else if (together)
            run(j1 - j0, d + j0, s + j0);
          else
            for (int64_t j = j0; j < j1; j++) put(d[p.after[j]], s[j]);
        }
      }
    });
  };
  if (!accumulate) {
    dispatch_size(x.itemsize(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      each((T*)x.raw(), (const T*)values.raw(), [](T& d, const T& s) { d = s; },
           [](int64_t n, T* d, const T* s) { std::memcpy(d, s, (size_t)n * sizeof(T)); });
    });
    return;
  }
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    each((T*)x.raw(), (const T*)values.raw(), [](T& d, const T& s) { add_values(1, &d, &s); },
         [](int64_t n, T* d, const T* s) { add_values(n, d, s); });
  });
}

// The gradient of index: zeros with g added at the places.
Tensor index_backward(const Tensor& g, const Dims& sizes, const TensorList& indices) {
  Tensor r = zeros(sizes, g.dtype());
  put_values(r, make_plan(r, indices), contiguous_values(g), true);
  if (wants_grad(g))
    record(r, "IndexBackwardBackward0", {g},
           [indices](Backward&, const TensorList& gg) { return TensorList{index(gg[0], indices)}; });
  return r;
}

// One index of integers that are not negative is index_select's work: the result, or undefined. The index
// goes to *used as int64.
Tensor select_rows(const Tensor& x, const TensorList& indices, TensorList* used) {
  int d = -1;
  for (int i = 0; i < (int)indices.size(); i++) {
    if (!indices[(size_t)i].defined()) continue;
    if (d >= 0) return Tensor();
    d = i;
  }
  if (d < 0 || (int64_t)indices.size() > x.dim() || !x.is_contiguous()) return Tensor();
  const Tensor& given = indices[(size_t)d];
  if (given.dtype() != Dtype::Int64 || given.numel() == 0 || x.numel() == 0) return Tensor();
  const bool keeps = wants_grad(x);
  NoGradGuard guard;
  const Tensor at = contiguous_values(given);
  const int64_t *v = at.data<int64_t>(), n = x.sizes()[(size_t)d];
  for (int64_t i = 0; i < at.numel(); i++)
    if ((uint64_t)v[i] >= (uint64_t)n) return Tensor();
  Dims sizes;
  for (int64_t i = 0; i < d; i++) sizes.push_back(x.sizes()[(size_t)i]);
  for (int64_t s : at.sizes()) sizes.push_back(s);
  for (int64_t i = d + 1; i < x.dim(); i++) sizes.push_back(x.sizes()[(size_t)i]);
  used->assign((size_t)x.dim(), Tensor());
  // A copy: the caller may change the index before backward reads it.
  if (keeps) (*used)[(size_t)d] = at.storage() == given.storage() ? basic_ops().clone(at) : at;
  const Tensor r = index_select(detach(x), d, nnlib::alias(at, {at.numel()}, {1}, at.storage_offset()));
  return nnlib::alias(r, sizes, contiguous_strides(sizes), r.storage_offset());
}

}  // namespace

Tensor index(const Tensor& x, const TensorList& indices) {
  // A mask of everything needs no list of places.
  if (indices.size() == 1 && indices[0].defined() && indices[0].dtype() == Dtype::Bool && x.dim() > 0 &&
      indices[0].sizes() == x.sizes()) {
    Tensor r;
    {
      NoGradGuard guard;
      r = masked_select(x, indices[0]);
    }
    if (wants_grad(x))
      record(r, "IndexBackward0", {x}, [m = detach(clone(indices[0]))](Backward&, const TensorList& g) {
        return TensorList{masked_scatter(zeros(m.sizes(), g[0].dtype()), m, g[0])};
      });
    return r;
  }
  TensorList used;
  if (Tensor r = select_rows(x, indices, &used); r.defined()) {
    if (wants_grad(x))
      record(r, "IndexBackward0", {x}, [from = x.sizes(), i = used](Backward&, const TensorList& g) {
        return TensorList{index_backward(g[0], from, i)};
      });
    return r;
  }
  Plan p = make_plan(x, indices);
  Tensor r = empty(p.result, x.dtype());
  take_values(x, p, r);
  if (wants_grad(x))
    record(r, "IndexBackward0", {x}, [from = x.sizes(), i = p.indices](Backward&, const TensorList& g) {
      return TensorList{index_backward(g[0], from, i)};
    });
  return r;
}

Tensor index_put_(const Tensor& self, const TensorList& indices, const Tensor& values, bool accumulate) {
  NNLIB_CHECK(self.dtype() == values.dtype(),
              "Index put requires the source and destination dtypes match, got ",
              dtype_legacy_name(self.dtype()), " for the destination and ", dtype_legacy_name(values.dtype()),
              " for the source.");
  check_inplace(self, values.requires_grad());
  const bool recorded = wants_grad(self, values);
  Plan p = make_plan(self, indices);
  NNLIB_CHECK(is_expandable_to(values.sizes(), p.result), "shape mismatch: value tensor of shape ",
              values.sizes(), " cannot be broadcast to indexing result of shape ", p.result);
  Tensor v = values.storage() == self.storage() ? detach(clone(values)) : values;
  {
    NoGradGuard guard;
    v = contiguous_values(expand(v, p.result));
  }
  put_values(self, p, v, accumulate);
  mark_changed(self);
  if (recorded)
    record_inplace(self, "IndexPutBackward0", {self, values},
                   [i = p.indices, accumulate](Backward& ctx, const TensorList& g) {
                     Tensor zero = nnlib::scalar_tensor(0, g[0].dtype());
                     return TensorList{!ctx.needs(0) ? Tensor()
                                       : accumulate  ? g[0]
                                                     : index_put(g[0], i, zero),
                                       ctx.needs(1) ? index(g[0], i) : Tensor()};
                   });
  return self;
}

Tensor index_put(const Tensor& self, const TensorList& indices, const Tensor& values, bool accumulate) {
  return index_put_(clone(self), indices, values, accumulate);
}

}  // namespace nnlib::ops
