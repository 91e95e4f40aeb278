// One vector of indices along one dimension: index_select, index_add, index_copy, index_fill, index_reduce.
#include <cstring>

#include "core/bytes.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// A contiguous tensor seen as (outer, n, inner) around a dimension.
struct Rows {
  int64_t outer = 1, n = 1, inner = 1;
  Rows(const Dims& sizes, int64_t d) {
    for (int64_t i = 0; i < (int64_t)sizes.size(); i++) (i < d ? outer : i == d ? n : inner) *= sizes[i];
  }
};

Tensor as_vector(const Tensor& index, const char* name) {
  NNLIB_CHECK_INDEX(index.dim() <= 1, name, "(): Index is supposed to be a vector");
  NNLIB_CHECK(index.dtype() == Dtype::Int64 || index.dtype() == Dtype::Int32, name,
              "(): Expected dtype int32 or int64 for index");
  return contiguous_values(cast_values(index, Dtype::Int64));
}

// Where `index` has n places, source must have as many along dim and the other sizes of x.
void check_source(const Tensor& x, int64_t d, const Tensor& index, const Tensor& source, const char* name) {
  NNLIB_CHECK_INDEX(source.dim() == x.dim() || (source.dim() <= 1 && x.dim() <= 1), name,
                    "(): source and destination must have the same number of dimensions, got ", source.dim(),
                    " and ", x.dim());
  for (int64_t i = 0; i < source.dim(); i++)
    NNLIB_CHECK(
        i == d || i >= x.dim() || source.sizes()[i] == x.sizes()[i], name,
        "(): Source/destination tensor must have same slice shapes. Destination slice shape: ", x.sizes(),
        " at dimension ", d, " and source slice shape: ", source.sizes(), " at dimension ", d, ".");
}

void check_range(const Tensor& index, int64_t n, int64_t d, bool negative, const char* prefix,
                 bool index_error) {
  const int64_t* v = index.data<int64_t>();
  for (int64_t i = 0; i < index.numel(); i++) {
    if (v[i] < n && v[i] >= (negative ? -n : 0)) continue;
    const std::string text =
        concat(prefix, "index ", v[i], " is out of bounds for dimension ", d, " with size ", n);
    if (index_error) throw IndexError(text);
    throw Error(text);
  }
}

// to += scale from
template <class T, class C>
void add_scaled(int64_t n, T* to, C scale, const T* from) {
  if constexpr (std::is_same_v<T, float>) {
    if (scale == 1)
      kernels::table().add_f32(n, to, from, to);
    else
      kernels::table().axpy_f32(n, scale, from, to, to);
  } else {
    for (int64_t j = 0; j < n; j++) to[j] = (T)((C)to[j] + scale * (C)from[j]);
  }
}

// Calls f with a word of the size of an element, whatever its type.
template <class F>
void with_word(size_t itemsize, const F& f) {
  switch (itemsize) {
    case 1:
      return f(uint8_t());
    case 2:
      return f(uint16_t());
    case 4:
      return f(uint32_t());
    default:
      return f(uint64_t());
  }
}

// r[..., at[i], ...] += alpha s[..., i, ...]; r and s are contiguous.
void add_slices(const Tensor& r, int64_t d, const Tensor& at, const Tensor& s, Scalar alpha) {
  const Rows rows(r.sizes(), d);
  const int64_t* v = at.data<int64_t>();
  dispatch_all(r.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const C scale = alpha.to<C>();
    T* o = (T*)r.raw();
    const T* p = (const T*)s.raw();
    const int64_t k = at.numel();
    if (rows.inner == 1) {
      // Single values of each row.
      parallel_for(0, rows.outer, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, k)),
                   [&](int64_t b, int64_t e) {
                     for (int64_t t = b; t < e; t++) {
                       T* to = o + t * rows.n;
                       const T* from = p + t * k;
                       for (int64_t i = 0; i < k; i++) to[v[i]] = (T)((C)to[v[i]] + scale * (C)from[i]);
                     }
                   });
      return;
    }
    // Outer slices, and columns within one, are independent; additions to one place keep their order.
    constexpr int64_t kColumns = 1024;
    const int64_t strips = (rows.inner + kColumns - 1) / kColumns;
    parallel_for(0, rows.outer * strips, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, k * rows.inner)),
                 [&](int64_t b, int64_t e) {
                   for (int64_t t = b; t < e; t++) {
                     const int64_t j0 = t % strips * kColumns, m = std::min(rows.inner - j0, kColumns);
                     for (int64_t i = 0; i < k; i++)
                       add_scaled(m, o + (t / strips * rows.n + v[i]) * rows.inner + j0, scale,
                                  p + (t / strips * k + i) * rows.inner + j0);
                   }
                 });
  });
}

int64_t extent(const Tensor& x, int64_t d) { return x.dim() == 0 ? 1 : x.sizes()[d]; }

}  // namespace

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index) {
  const int64_t d = wrap_dim(dim, x.dim()), n = extent(x, d);
  Tensor at = as_vector(index, "index_select");
  const int64_t k = at.numel();
  NNLIB_CHECK_INDEX(x.dim() > 0 || k == 1, "index_select(): Index to scalar can have only 1 value, got ", k,
                    " value(s)");
  const int64_t* v = at.data<int64_t>();
  for (int64_t i = 0; i < k; i++) NNLIB_CHECK_INDEX(v[i] >= 0 && v[i] < n, "index out of range in self");
  Dims sizes(x.sizes());
  if (x.dim() > 0) sizes[d] = k;
  Tensor in = contiguous_values(x), r = empty(sizes, x.dtype());
  const Rows rows(x.sizes(), d);
  const int64_t bytes = rows.inner * (int64_t)x.itemsize();
  if (r.numel() && rows.inner == 1) {
    // Single values out of each row.
    const auto pick = [&](auto like) {
      using T = decltype(like);
      parallel_for(0, rows.outer, std::max<int64_t>(1, 16384 / k), [&](int64_t b, int64_t e) {
        for (int64_t o = b; o < e; o++) {
          const T* from = (const T*)in.raw() + o * rows.n;
          T* to = (T*)r.raw() + o * k;
          for (int64_t i = 0; i < k; i++) to[i] = from[v[i]];
        }
      });
    };
    with_word(x.itemsize(), pick);
  } else if (r.numel())
    parallel_for(0, rows.outer * k, std::max<int64_t>(1, 65536 / bytes), [&](int64_t b, int64_t e) {
      const char* s = (const char*)in.raw();
      char* o = (char*)r.raw();
      for (int64_t i = b; i < e; i++)
        copy_bytes(o + i * bytes, s + (i / k * rows.n + v[i % k]) * bytes, (size_t)bytes);
    });
  if (wants_grad(x))
    record(r, "IndexSelectBackward0", {x}, [d, from = x.sizes(), at](Backward&, const TensorList& g) {
      Tensor gx = zeros(from, g[0].dtype());
      if (wants_grad(g[0])) return TensorList{index_add(gx, d, at, g[0])};
      add_slices(gx, d, at, contiguous_values(g[0]), 1);
      return TensorList{gx};
    });
  return r;
}

Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) {
  const int64_t d = wrap_dim(dim, x.dim());
  NNLIB_CHECK_INDEX(index.dim() <= 1,
                    "index_add_(): Index is supposed to be a vector, but got dim: ", index.dim(),
                    " with type: ", dtype_legacy_name(index.dtype()), " and size: ", index.sizes());
  NNLIB_CHECK(x.dtype() == source.dtype(), "index_add_(): self (", dtype_legacy_name(x.dtype()),
              ") and source (", dtype_legacy_name(source.dtype()), ") must have the same scalar type");
  Tensor at = as_vector(index, "index_add");
  NNLIB_CHECK(at.numel() == extent(source, d), "index_add_(): Number of indices (", at.numel(),
              ") should be equal to source.size(dim): (", extent(source, d), "), for dim: ", d);
  check_source(x, d, at, source, "index_add");
  check_range(at, extent(x, d), d, false, "", false);
  const Tensor s = contiguous_values(source), r = copy_to_change(x, {&at, &s});
  add_slices(r, d, at, s, alpha);
  if (wants_grad(x, source))
    record(r, "IndexAddBackward0", {x, source},
           [d, at, alpha, sizes = source.sizes()](Backward& ctx, const TensorList& g) {
             Tensor gs;
             if (ctx.needs(1)) {
               gs = reshape(index_select(g[0], d, at), sizes);
               if (alpha.to_double() != 1) gs = gs * alpha;
             }
             return TensorList{g[0], gs};
           });
  return r;
}

Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source) {
  const int64_t d = wrap_dim(dim, x.dim());
  NNLIB_CHECK_INDEX(index.dim() <= 1, "index_copy_(): Index should have dimension 1 or 0 (got ", index.dim(),
                    ")");
  NNLIB_CHECK_INDEX(index.dtype() == Dtype::Int64,
                    "index_copy_(): Expected a long tensor for index, but got ",
                    dtype_legacy_name(index.dtype()));
  NNLIB_CHECK(x.dtype() == source.dtype(),
              "index_copy_(): self and source expected to have the same dtype, but got (self) ",
              dtype_legacy_name(x.dtype()), " and (source) ", dtype_legacy_name(source.dtype()));
  Tensor at = as_vector(index, "index_copy");
  NNLIB_CHECK_INDEX(at.numel() == extent(source, d), "index_copy_(): Number of indices (", at.numel(),
                    ") should be equal to source.size(dim) (", extent(source, d), ")");
  check_source(x, d, at, source, "index_copy");
  check_range(at, extent(x, d), d, false, "index_copy_(): ", true);
  const Tensor s = contiguous_values(source), r = copy_to_change(x, {&at, &s});
  const Rows rows(x.sizes(), d);
  const int64_t* v = at.data<int64_t>();
  const int64_t bytes = rows.inner * (int64_t)x.itemsize(), k = at.numel();
  if (rows.inner == 1)
    with_word(x.itemsize(), [&](auto like) {
      using T = decltype(like);
      for (int64_t o = 0; o < rows.outer; o++) {
        T* const to = (T*)r.raw() + o * rows.n;
        const T* const from = (const T*)s.raw() + o * k;
        for (int64_t i = 0; i < k; i++) to[v[i]] = from[i];
      }
    });
  for (int64_t o = 0; rows.inner > 1 && o < rows.outer; o++)
    for (int64_t i = 0; i < k; i++)
      std::memcpy((char*)r.raw() + (o * rows.n + v[i]) * bytes, (const char*)s.raw() + (o * k + i) * bytes,
                  (size_t)bytes);
  if (wants_grad(x, source))
    record(r, "IndexCopyBackward0", {x, source},
           [d, at, sizes = source.sizes()](Backward& ctx, const TensorList& g) {
             return TensorList{ctx.needs(0) ? index_fill(g[0], d, at, 0) : Tensor(),
                               ctx.needs(1) ? reshape(index_select(g[0], d, at), sizes) : Tensor()};
           });
  return r;
}

Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, Scalar value) {
  return index_fill_tensor(x, dim, index, nnlib::scalar_tensor(value, x.dtype()));
}

Tensor index_fill_tensor(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& value) {
  NNLIB_CHECK(value.dim() == 0,
              "index_fill_ only supports a 0-dimensional value tensor, but got tensor with ", value.dim(),
              " dimension(s).");
  const int64_t d = wrap_dim(dim, x.dim());
  NNLIB_CHECK_INDEX(index.dtype() == Dtype::Int64, "index_fill_(): Expected dtype int64 for index.");
  Tensor at = as_vector(index, "index_fill_");
  const int64_t n = extent(x, d);
  check_range(at, n, d, true, "", true);
  if (at.storage() == index.storage()) at = detach(clone(at));
  for (int64_t i = 0; i < at.numel(); i++)
    if (at.data<int64_t>()[i] < 0) at.data<int64_t>()[i] += n;
  const Tensor v = cast_values(value, x.dtype()), r = copy_to_change(x, {&at, &v});
  const Rows rows(r.sizes(), d);
  const int64_t *p = at.data<int64_t>(), k = at.numel();
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T fill = *(const T*)v.raw();
    T* o = (T*)r.raw();
    for (int64_t t = 0; t < rows.outer; t++)
      for (int64_t i = 0; i < k; i++) std::fill_n(o + (t * rows.n + p[i]) * rows.inner, rows.inner, fill);
  });
  if (wants_grad(x, value))
    record(r, "IndexFillBackward0", {x, value}, [d, at](Backward& ctx, const TensorList& g) {
      Tensor gv;
      if (ctx.needs(1)) {
        Tensor picked = index_select(g[0], d, std::get<0>(unique_all(at, false, false)));
        Dims all;
        for (int64_t i = 0; i < picked.dim(); i++) all.push_back(i);
        gv = all.empty() ? picked : basic_ops().sum(picked, all, false);
      }
      return TensorList{ctx.needs(0) ? index_fill(g[0], d, at, 0) : Tensor(), gv};
    });
  return r;
}

Tensor index_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source,
                    const std::string& reduce, bool include_self) {
  NNLIB_CHECK(reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin",
              "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got ", reduce, ".");
  const int64_t d = wrap_dim(dim, x.dim());
  NNLIB_CHECK(x.dtype() == source.dtype(), "index_reduce(): self and source must have the same scalar type");
  Tensor at = as_vector(index, "index_reduce");
  NNLIB_CHECK(at.numel() == extent(source, d), "index_reduce(): Number of indices (", at.numel(),
              ") should be equal to source.size(dim): (", extent(source, d), "), for dim: ", d);
  check_source(x, d, at, source, "index_reduce");
  if (x.dim() == 0)
    return reshape(index_reduce(reshape(x, {1}), 0, at, reshape(source, {-1}), reduce, include_self), {});
  // The same index for every element of a slice.
  Dims column(source.sizes().size(), 1);
  column[d] = at.numel();
  return scatter_reduce(x, d, expand(view(at, column), source.sizes()), source, reduce, include_self);
}

}  // namespace nnlib::ops
