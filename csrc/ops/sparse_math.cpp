#include "ops/sparse_math.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/drivers/embedding.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sparse.h"

namespace nnlib::ops {
namespace {

void check_sparse(const Tensor& t, const char* name) {
  NNLIB_CHECK(t.is_sparse(), name, " expected sparse coordinate tensor layout but got Strided");
}

// Elements of one entry, and of the sparse part for each step along a sparse dimension, in row-major order.
int64_t entry_size(const Tensor& t) {
  int64_t n = 1;
  for (int64_t d = t.sparse().sparse_dim; d < t.dim(); d++) n *= t.sizes()[d];
  return n;
}

// The position of every entry among the entries of the dense tensor.
std::vector<int64_t> positions(const Tensor& t) {
  const SparseData& s = t.sparse();
  const Tensor indices = contiguous_values(s.indices);
  const int64_t nnz = indices.size(1), *p = indices.data<int64_t>();
  std::vector<int64_t> out(nnz, 0);
  for (int64_t d = 0; d < s.sparse_dim; d++)
    for (int64_t i = 0; i < nnz; i++) out[i] = out[i] * t.sizes()[d] + p[d * nnz + i];
  return out;
}

// into[at[i]] += alpha * values[i], entries of n elements, in the order of i. Threads share the elements of
// the entries, or, where no two entries are the same (`distinct`), the entries.
void add_entries(const Tensor& into, const std::vector<int64_t>& at, const Tensor& values, int64_t n,
                 Scalar alpha, bool distinct = false) {
  const Tensor from = contiguous_values(cast_values(values, into.dtype()));
  constexpr int64_t kColumns = 128, kElements = 1 << 14;
  dispatch_all(into.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const C a = alpha.to<C>();
    const T* v = from.data<T>();
    T* out = into.data<T>();
    const int64_t entries = int64_t(at.size());
    const auto add = [&](int64_t first, int64_t last, int64_t low, int64_t high) {
      for (int64_t i = first; i < last; i++) {
        T* row = out + at[size_t(i)] * n;
        for (int64_t j = low; j < high; j++) row[j] = (T)((C)row[j] + a * (C)v[i * n + j]);
      }
    };
    if (distinct) {
      parallel_for(0, entries, std::max<int64_t>(1, kElements / std::max<int64_t>(1, n)),
                   [&](int64_t first, int64_t last) { add(first, last, 0, n); });
    } else if (entries * n < 2 * kElements) {
      add(0, entries, 0, n);
    } else {
      parallel_for(0, n, kColumns, [&](int64_t low, int64_t high) { add(0, entries, low, high); });
    }
  });
}

TensorList index_list(const Tensor& indices) { return unbind(indices, 0); }

// The gradient of a sparse tensor's values: what the gradient holds at its indices.
Tensor gradient_at(const Tensor& g, const Tensor& indices) {
  return index(g.is_sparse() ? to_dense(g) : g, index_list(indices));
}

void check_indices(const Tensor& indices, const Dims& size) {
  const Tensor flat = contiguous_values(indices);
  const int64_t nnz = flat.size(1), *p = flat.data<int64_t>();
  for (int64_t d = 0; d < flat.size(0); d++)
    for (int64_t i = 0; i < nnz; i++) {
      const int64_t v = p[d * nnz + i];
      NNLIB_CHECK(v >= 0, "found negative index ", v, " for dim ", d);
      NNLIB_CHECK(v < size[d], "size is inconsistent with indices: for dim ", d, ", size is ", size[d],
                  " but found index ", v);
    }
}

Dims smallest_size(const Tensor& indices, const Tensor& values) {
  Dims size;
  const Tensor flat = contiguous_values(indices);
  const int64_t nnz = flat.size(1), *p = flat.data<int64_t>();
  for (int64_t d = 0; d < flat.size(0); d++) {
    int64_t top = -1;
    for (int64_t i = 0; i < nnz; i++) top = std::max(top, p[d * nnz + i]);
    size.push_back(top + 1);
  }
  for (int64_t d = 1; d < values.dim(); d++) size.push_back(values.sizes()[d]);
  return size;
}

}  // namespace

Tensor sparse_coo_tensor(const Tensor& indices, const Tensor& values, const std::optional<Dims>& size,
                         std::optional<bool> is_coalesced) {
  NNLIB_CHECK(!indices.is_sparse() && indices.dim() == 2,
              "indices must be sparse_dim x nnz, but got: ", indices.sizes());
  NNLIB_CHECK(is_integral(indices.dtype(), false), "indices must be an int64 tensor, but got ",
              dtype_name(indices.dtype()));
  NNLIB_CHECK(!values.is_sparse() && values.dim() >= 1,
              "values must be a dense tensor of at least one dimension");
  const int64_t dims = indices.size(0), nnz = indices.size(1);
  NNLIB_CHECK(values.size(0) == nnz, "indices and values must have same nnz, but got nnz from indices: ", nnz,
              ", nnz from values: ", values.size(0));
  const Tensor at = cast_values(indices, Dtype::Int64);
  const Dims sizes = size ? *size : smallest_size(at, values);
  count(sizes);
  NNLIB_CHECK(sizes.ssize() == dims + values.dim() - 1, "number of dimensions must be sparse_dim (", dims,
              ") + dense_dim (", values.dim() - 1, "), but got ", sizes.ssize());
  for (int64_t d = 1; d < values.dim(); d++)
    NNLIB_CHECK(values.sizes()[d] == sizes[dims + d - 1], "values has incorrect size, expected [", nnz,
                " and the dense sizes of ", sizes, "], got ", values.sizes());
  check_indices(at, sizes);
  // Saying that indices are sorted when they are not would make later sums wrong: it is not taken on trust.
  Tensor out = make_sparse(alias(at), alias(values), sizes, false);
  if (wants_grad(values))
    record(out, "SparseCooTensorWithDimsAndTensorsBackward0", {values},
           [at](Backward&, const TensorList& g) { return TensorList{gradient_at(g[0], at)}; });
  return is_coalesced.value_or(false) ? coalesce(out) : out;
}

Tensor coalesce(const Tensor& self) {
  check_sparse(self, "coalesce");
  const SparseData& s = self.sparse();
  if (s.coalesced) return self;
  const std::vector<int64_t> at = positions(self);
  const int64_t nnz = (int64_t)at.size(), n = entry_size(self);
  drivers::Groups groups = drivers::group_by_index(nnz, at.data(), -1);
  const int64_t unique = (int64_t)groups.rows.size();
  std::vector<int64_t> slot(at.size());
  for (int64_t g = 0; g < unique; g++) {
    groups.rows[size_t(g)] = g;  // the sums stand one after the other
    for (int64_t q = groups.start[size_t(g)]; q < groups.start[size_t(g) + 1]; q++)
      slot[size_t(groups.places[size_t(q)])] = g;
  }
  Dims value_sizes = s.values.sizes();
  value_sizes[0] = unique;
  Tensor indices = empty({s.sparse_dim, unique}, Dtype::Int64), values = empty(value_sizes, self.dtype());
  const Tensor old = contiguous_values(s.indices);
  for (int64_t d = 0; d < s.sparse_dim; d++)
    for (int64_t i = 0; i < unique; i++)
      indices.data<int64_t>()[d * unique + i] =
          old.data<int64_t>()[d * nnz + groups.places[size_t(groups.start[size_t(i)])]];
  if (is_floating(self.dtype())) {
    const Tensor from = contiguous_values(s.values);
    dispatch_floating(self.dtype(), "coalesce", [&](auto tag) {
      using T = typename decltype(tag)::type;
      drivers::scatter_add_rows<T>(groups, unique, n, from.data<T>(), nullptr, values.data<T>());
    });
  } else {
    fill_values(values, 0);
    add_entries(values, slot, s.values, n, 1);
  }
  Tensor out = make_sparse(indices, values, self.sizes(), true);
  if (wants_grad(self))
    record(out, "CoalesceBackward0", {self}, [](Backward&, const TensorList& g) { return g; });
  return out;
}

Tensor to_dense(const Tensor& self) {
  if (!self.is_sparse()) return self;
  Tensor out = zeros(self.sizes(), self.dtype());
  add_entries(out, positions(self), self.sparse().values, entry_size(self), 1, self.sparse().coalesced);
  if (wants_grad(self))
    record(out, "ToDenseBackward0", {self},
           [mask = make_sparse(self.sparse().indices, self.sparse().values, self.sizes(),
                               self.sparse().coalesced)](Backward&, const TensorList& g) {
             return TensorList{sparse_mask(g[0], mask)};
           });
  return out;
}

Tensor to_sparse(const Tensor& self, std::optional<int64_t> sparse_dim) {
  if (self.is_sparse()) return self;
  const int64_t dims = sparse_dim.value_or(self.dim());
  NNLIB_CHECK(dims >= 0 && dims <= self.dim() && (dims > 0 || self.dim() == 0),
              "sparse_dim argument must be in >0 and <= ", self.dim(), ", but got ", dims);
  Tensor present = ne(self, wrapped_number(0));
  Dims rest;
  for (int64_t d = dims; d < self.dim(); d++) rest.push_back(d);
  if (!rest.empty()) present = any(present, rest, false);
  const Tensor indices = contiguous_values(transpose(nonzero(present), 0, 1));
  const Tensor values = self.dim() ? index(self, index_list(indices)) : masked_select(self, present);
  Tensor out = make_sparse(indices, alias(values), self.sizes(), true);
  if (wants_grad(self))
    record(out, "ToSparseBackward0", {self},
           [](Backward&, const TensorList& g) { return TensorList{to_dense(g[0])}; });
  return out;
}

Tensor sparse_mask(const Tensor& self, const Tensor& mask) {
  check_sparse(mask, "sparse_mask");
  NNLIB_CHECK(self.sizes() == mask.sizes(), "sparse_mask(): operands have incompatible sizes; self has size ",
              self.sizes(), " but mask has size ", mask.sizes());
  const Tensor indices = mask.sparse().indices;
  const Tensor values = gradient_at(self, indices);
  Tensor out = make_sparse(indices, alias(values), self.sizes(), mask.sparse().coalesced);
  if (wants_grad(self))
    record(out, "SparseMaskBackward0", {self}, [](Backward&, const TensorList& g) {
      return TensorList{g[0].is_sparse() ? to_dense(g[0]) : g[0]};
    });
  return out;
}

Tensor sparse_indices(const Tensor& self, bool any) {
  check_sparse(self, "indices");
  NNLIB_CHECK(any || self.sparse().coalesced,
              "Cannot get indices on an uncoalesced tensor, please call .coalesce() first");
  return alias(self.sparse().indices);
}
Tensor sparse_values(const Tensor& self, bool any) {
  check_sparse(self, "values");
  NNLIB_CHECK(any || self.sparse().coalesced,
              "Cannot get values on an uncoalesced tensor, please call .coalesce() first");
  return alias(self.sparse().values);
}
int64_t sparse_nnz(const Tensor& self) {
  check_sparse(self, "_nnz");
  return self.sparse().values.size(0);
}
int64_t sparse_dim(const Tensor& self) { return self.is_sparse() ? self.sparse().sparse_dim : 0; }
int64_t dense_dim(const Tensor& self) { return self.dim() - sparse_dim(self); }
bool is_coalesced(const Tensor& self) {
  check_sparse(self, "is_coalesced");
  return self.sparse().coalesced;
}

Tensor sparse_add(const Tensor& self, const Tensor& other, Scalar alpha) {
  NNLIB_CHECK(other.is_sparse() || self.is_sparse(), "add: expected a sparse tensor");
  NNLIB_CHECK(!self.is_sparse() || other.is_sparse(),
              "add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
  NNLIB_CHECK(self.sizes() == other.sizes(), "add: expected sizes of self and other to match, but ",
              self.sizes(), " != ", other.sizes());
  const Dtype dtype = promote(self.dtype(), other.dtype());
  Tensor out;
  {
    NoGradGuard guard;
    if (self.is_sparse()) {
      const SparseData &a = self.sparse(), &b = other.sparse();
      NNLIB_CHECK(a.sparse_dim == b.sparse_dim,
                  "add: expected 'self' and 'other' to have same number of sparse "
                  "dimensions, but ",
                  a.sparse_dim, " != ", b.sparse_dim);
      const Tensor scaled = alpha.to_double() == 1 ? b.values : b.values * alpha;
      out = make_sparse(cat({a.indices, b.indices}, 1),
                        cat({cast_values(a.values, dtype), cast_values(scaled, dtype)}, 0), self.sizes(),
                        false);
      if (a.coalesced && b.coalesced) out = coalesce(out);
    } else {
      out = empty(self.sizes(), dtype);
      copy_values(out, self);
      add_entries(out, positions(other), other.sparse().values, entry_size(other), alpha,
                  other.sparse().coalesced);
    }
  }
  if (wants_grad(self, other))
    record(out, "AddBackward0", {self, other}, [alpha](Backward& ctx, const TensorList& g) {
      return TensorList{ctx.needs(0) ? g[0] : Tensor(), ctx.needs(1) ? g[0] * alpha : Tensor()};
    });
  return out;
}

Tensor sparse_add_(const Tensor& self, const Tensor& other, Scalar alpha) {
  if (self.is_sparse()) return sparse_assign_(self, sparse_add(self, other, alpha));
  NNLIB_CHECK(self.sizes() == other.sizes(), "add: expected sizes of self and other to match, but ",
              self.sizes(), " != ", other.sizes());
  NNLIB_CHECK(can_cast(promote(self.dtype(), other.dtype()), self.dtype()), "result type ",
              dtype_legacy_name(promote(self.dtype(), other.dtype())),
              " can't be cast to the desired output type ", dtype_legacy_name(self.dtype()));
  check_inplace(self, wants_grad_one(other));
  const std::vector<int64_t> at = positions(other);
  if (self.is_contiguous()) {
    add_entries(self, at, other.sparse().values, entry_size(other), alpha, other.sparse().coalesced);
  } else {
    const Tensor flat = contiguous_values(self);
    add_entries(flat, at, other.sparse().values, entry_size(other), alpha, other.sparse().coalesced);
    copy_values(self, flat);
  }
  mark_changed(self);
  if (wants_grad(self, other))
    record_inplace(self, "AddBackward0", {self, other}, [alpha](Backward& ctx, const TensorList& g) {
      return TensorList{ctx.needs(0) ? g[0] : Tensor(), ctx.needs(1) ? g[0] * alpha : Tensor()};
    });
  return self;
}

Tensor sparse_scale(const Tensor& self, const Tensor& factor, bool divide) {
  if (!self.is_sparse() && !divide) return sparse_scale(factor, self, false);
  NNLIB_CHECK_AS(NotImplementedError, !factor.is_sparse() && factor.numel() == 1 && factor.dim() == 0,
                 divide ? "div" : "mul",
                 ": a sparse tensor expected a number or a scalar tensor but got one of size ",
                 factor.sizes());
  NNLIB_CHECK_AS(NotImplementedError, !wants_grad(factor), "the gradient of a factor of a sparse tensor");
  const SparseData& s = self.sparse();
  Tensor out;
  {
    NoGradGuard guard;
    // The values have a dimension, so that a scalar factor does not change their type.
    const Tensor values = divide ? div(s.values, factor) : mul(s.values, factor);
    out = make_sparse(s.indices, values, self.sizes(), s.coalesced);
  }
  if (wants_grad(self))
    record(out, divide ? "DivBackward0" : "MulBackward0", {self},
           [factor, divide](Backward&, const TensorList& g) {
             return TensorList{divide ? div(g[0], factor) : mul(g[0], factor)};
           });
  return out;
}

Tensor sparse_cast(const Tensor& self, Dtype dtype) {
  const SparseData& s = self.sparse();
  Tensor out = make_sparse(s.indices, cast_values(s.values, dtype), self.sizes(), s.coalesced);
  if (wants_grad(self) && is_floating(dtype))
    record(out, "ToCopyBackward0", {self},
           [from = self.dtype()](Backward&, const TensorList& g) { return TensorList{cast(g[0], from)}; });
  return out;
}

Tensor sparse_zero_(const Tensor& self) {
  const SparseData& s = self.sparse();
  Dims sizes = s.values.sizes();
  sizes[0] = 0;
  return sparse_assign_(self, make_sparse(empty({s.sparse_dim, 0}, Dtype::Int64), empty(sizes, self.dtype()),
                                          self.sizes(), true));
}

Tensor sparse_sum(const Tensor& self) {
  const SparseData& s = self.sparse();
  Tensor out;
  {
    NoGradGuard guard;
    out = sum(s.values);
  }
  if (wants_grad(self))
    record(out, "SumBackward0", {self}, [sizes = self.sizes()](Backward&, const TensorList& g) {
      return TensorList{expand(g[0], sizes)};
    });
  return out;
}

Tensor sparse_assign_(const Tensor& self, const Tensor& value) {
  NNLIB_CHECK(can_cast(value.dtype(), self.dtype()), "result type ", dtype_legacy_name(value.dtype()),
              " can't be cast to the desired output type ", dtype_legacy_name(self.dtype()));
  check_inplace(self, wants_grad_one(value));
  const SparseData& s = value.sparse();
  *self.impl()->sparse =
      SparseData{s.indices, cast_values(s.values, self.dtype()), s.sparse_dim, s.coalesced};
  mark_changed(self);
  if (wants_grad(self, value))
    record_inplace(self, "CopyBackwards", {self, value},
                   [](Backward&, const TensorList& g) { return TensorList{Tensor(), g[0]}; });
  return self;
}

}  // namespace nnlib::ops
