// An index for every element: gather, scatter and their relatives.
#include <atomic>

#include "core/parallel.h"
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// Walks an index tensor line by line. For each of its elements f(offset in x, position in index, offset in
// src), all three tensors contiguous, `where` the index's values. Slices before `d` never meet in x, so they
// go to threads.
template <class F>
void for_each_index(const Dims& xs, const Dims& is, const Dims& ss, int64_t d, const int64_t* where, F f) {
  const int64_t n = (int64_t)is.size(), total = count(is);
  if (total == 0) return;
  const Dims xst = contiguous_strides(xs), sst = contiguous_strides(ss);
  int64_t outer = 1, inner = 1;
  for (int64_t i = 0; i < d; i++) outer *= is[i];
  for (int64_t i = d + 1; i < n; i++) inner *= is[i];
  bool full = is[d] == ss[d];
  for (int64_t i = 0; i < n; i++) full = full && (i == d || (is[i] == xs[i] && is[i] == ss[i]));
  if (full) {
    // The other dimensions are walked as they lie.
    const int64_t k = is[d], rows = xs[d];
    parallel_for(0, outer, std::max<int64_t>(1, 8192 / (k * inner)), [&](int64_t b, int64_t e) {
      for (int64_t o = b; o < e; o++) {
        const int64_t x0 = o * rows * inner, i0 = o * k * inner;
        if (inner == 1)
          for (int64_t i = 0; i < k; i++) f(x0 + where[i0 + i], i0 + i, i0 + i);
        else
          for (int64_t i = i0; i < i0 + k * inner; i += inner)
            for (int64_t j = 0; j < inner; j++) f(x0 + where[i + j] * inner + j, i + j, i + j);
      }
    });
    return;
  }
  const int64_t width = is.back(), lines = total / width;
  // With d last every line is independent.
  const int64_t groups = d == n - 1 ? lines : outer, per = lines / groups;
  const int64_t xstep = d == n - 1 ? 0 : xst.back();
  parallel_for(0, groups, std::max<int64_t>(1, 8192 / (per * width)), [&](int64_t b, int64_t e) {
    Dims at((size_t)n, 0);
    int64_t rest = b * per, xo = 0, so = 0;
    for (int64_t k = n - 2; k >= 0; k--) {
      at[k] = rest % is[k];
      rest /= is[k];
      if (k != d) xo += at[k] * xst[k];
      so += at[k] * sst[k];
    }
    const int64_t step = xst[d];
    for (int64_t l = b * per; l < e * per; l++) {
      const int64_t* w = where + l * width;
      if (step == 1)
        for (int64_t j = 0; j < width; j++) f(xo + w[j], l * width + j, so + j);
      else
        for (int64_t j = 0; j < width; j++) f(xo + w[j] * step + j * xstep, l * width + j, so + j);
      for (int64_t k = n - 2; k >= 0; k--) {
        const bool more = ++at[k] < is[k];
        const int64_t by = more ? 1 : 1 - is[k];
        if (!more) at[k] = 0;
        if (k != d) xo += by * xst[k];
        so += by * sst[k];
        if (more) break;
      }
    }
  });
}

// Whether 0 <= w[i] < n for all of them.
bool row_below(const int64_t* w, int64_t count, int64_t n) {
  uint64_t wrong = 0;
  for (int64_t i = 0; i < count; i++) wrong |= (uint64_t)w[i] | ((uint64_t)(n - 1) - (uint64_t)w[i]);
  return !(wrong >> 63);
}
bool all_below(const int64_t* w, int64_t count, int64_t n) {
  std::atomic<bool> all{true};
  parallel_for(0, count, 65536, [&](int64_t b, int64_t e) {
    if (!row_below(w + b, e - b, n)) all = false;
  });
  return all;
}

// An index of dimension 0 that is spread over whole rows of x (and src) gives each row's number: that vector,
// or undefined.
Tensor row_numbers(const Tensor& x, int64_t d, const Tensor& index, const Tensor* src) {
  if (d != 0 || x.dim() < 2 || index.dim() != x.dim() || index.numel() == 0) return Tensor();
  for (int64_t k = 1; k < x.dim(); k++)
    if (index.size(k) != x.size(k) || (index.stride(k) != 0 && index.size(k) != 1) ||
        (src && (src->dim() != x.dim() || src->size(k) != x.size(k))))
      return Tensor();
  if (src && src->size(0) != index.size(0)) return Tensor();
  return nnlib::alias(index, {index.size(0)}, {index.stride(0)}, index.storage_offset());
}

Tensor at_least_1d(const Tensor& x) {
  return x.dim() == 0 ? nnlib::alias(x, {1}, {1}, x.storage_offset()) : x;
}

void check_places(const Tensor& at, int64_t d, int64_t n) {
  const int64_t* w = at.data<int64_t>();
  if (all_below(w, at.numel(), n)) return;
  for (int64_t i = 0; i < at.numel(); i++)
    NNLIB_CHECK(w[i] >= 0 && w[i] < n, "index ", w[i], " is out of bounds for dimension ", d, " with size ",
                n);
}

// Checks an index against x (and src) and gives it as contiguous int64. `name` is the operator, which may
// look at the places itself.
Tensor check_index(const Tensor& x, int64_t d, const Tensor& index, const Tensor* src, const char* name,
                   bool places = true) {
  Tensor at = at_least_1d(index), base = at_least_1d(x);
  if (index.numel() == 0) return cast_values(at, Dtype::Int64);
  NNLIB_CHECK(index.dtype() == Dtype::Int64 || index.dtype() == Dtype::Int32, name,
              "(): Expected dtype int32/int64 for index");
  NNLIB_CHECK(at.dim() == base.dim(), "Index tensor must have the same number of dimensions as ",
              src ? "self" : "input", " tensor");
  Tensor from = src ? at_least_1d(*src) : Tensor();
  NNLIB_CHECK(!src || from.dim() == at.dim(),
              "Index tensor must have the same number of dimensions as src tensor");
  for (int64_t i = 0; i < at.dim(); i++) {
    const bool fits = i == d || at.sizes()[i] <= base.sizes()[i],
               source = !src || at.sizes()[i] <= from.sizes()[i];
    if (src)
      NNLIB_CHECK(fits && source, "Expected index ", index.sizes(), " to be no larger than self ", x.sizes(),
                  " apart from dimension ", d, " and to be no larger size than src ", src->sizes());
    NNLIB_CHECK(fits, "Size does not match at dimension ", i, " expected index ", index.sizes(),
                " to be no larger than self ", x.sizes(), " apart from dimension ", d);
  }
  at = contiguous_values(cast_values(at, Dtype::Int64));
  if (places) check_places(at, d, base.sizes()[d]);
  return at;
}

// The same of an index as row_numbers gives it.
Tensor check_row_numbers(const Tensor& x, const Tensor& rows, const char* name) {
  const Tensor column = nnlib::alias(x, {x.size(0)}, {x.stride(0)}, x.storage_offset());
  return check_index(column, 0, rows, nullptr, name);
}

enum class Combine { Set, Add, Multiply, Max, Min };

// x's values with src's combined in at the places, without history.
Tensor scatter_values(const Tensor& x, int64_t d, const Tensor& at, const Tensor& src, Combine how) {
  Tensor s = contiguous_values(src), r = copy_to_change(x, {&at, &s});
  if (at.numel() == 0) return r;
  const Dims xs = at_least_1d(x).sizes(), ss = at_least_1d(src).sizes();
  const int64_t* w = at.data<int64_t>();
  const auto walk = [&](auto tag, auto f) {
    using T = typename decltype(tag)::type;
    T* o = (T*)r.raw();
    const T* p = (const T*)s.raw();
    for_each_index(xs, at.sizes(), ss, d, w, [&](int64_t to, int64_t, int64_t from) { f(o[to], p[from]); });
  };
  if (how == Combine::Set) {
    dispatch_size(x.itemsize(), [&](auto tag) { walk(tag, [](auto& a, auto b) { a = b; }); });
    return r;
  }
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const auto run = [&](auto f) { walk(tag, f); };
    switch (how) {
      case Combine::Set:
        return;  // above
      case Combine::Add:
        return run([](T& a, T b) {
          if constexpr (std::is_same_v<T, bool>)
            a = a || b;
          else
            a = (T)((C)a + (C)b);
        });
      case Combine::Multiply:
        return run([](T& a, T b) {
          if constexpr (std::is_same_v<T, bool>)
            a = a && b;
          else
            a = (T)((C)a * (C)b);
        });
      // A NaN wins, as it does in amax and amin.
      case Combine::Max:
        return run([](T& a, T b) { a = !((C)b <= (C)a) & ((C)a == (C)a) ? b : a; });
      case Combine::Min:
        return run([](T& a, T b) { a = !((C)b >= (C)a) & ((C)a == (C)a) ? b : a; });
    }
  });
  return r;
}

void check_same_dtype(const Tensor& x, const Tensor& src, const char* name) {
  NNLIB_CHECK(x.dtype() == src.dtype(), name, "(): Expected self.dtype to be equal to src.dtype");
}

}  // namespace

namespace {

bool same_but(const Tensor& a, const Tensor& b, int64_t d) {
  for (int64_t i = 0; i < a.dim(); i++)
    if (i != d && a.size(i) != b.size(i)) return false;
  return true;
}
// The last dimension of rows that x and the index share: places are looked at just before they are used.
void gather_from_rows(const Tensor& x, const Tensor& at, const Tensor& out) {
  const int64_t n = x.size(-1), k = at.size(-1), rows = at.numel() / k;
  const int64_t* const w = at.data<int64_t>();
  std::atomic<bool> inside{true};
  dispatch_size(x.itemsize(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const p = (const T*)x.raw();
    T* const o = (T*)out.raw();
    parallel_for(0, rows, std::max<int64_t>(1, 8192 / k), [&](int64_t b, int64_t e) {
      for (int64_t r = b; r < e; r++) {
        const int64_t* const where = w + r * k;
        if (!row_below(where, k, n)) inside = false;
        if (!inside) return;
        for (int64_t i = 0; i < k; i++) o[r * k + i] = p[r * n + where[i]];
      }
    });
  });
  if (!inside) check_places(at, x.dim() - 1, n);
}

}  // namespace

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index, bool) {
  const int64_t d = wrap_dim(dim, x.dim());
  Tensor at, r;
  if (const Tensor rows = row_numbers(x, d, index, nullptr); rows.defined()) {
    NoGradGuard guard;
    const Tensor checked = check_row_numbers(x, rows, "gather");
    r = index_select(x, 0, checked);
    Dims steps(index.sizes().size(), 0);
    steps[0] = 1;
    at = nnlib::alias(checked, index.sizes(), steps, checked.storage_offset());
  } else {
    const bool along = x.dim() > 0 && d == x.dim() - 1 && index.dim() == x.dim() && same_but(x, index, d);
    at = check_index(x, d, index, nullptr, "gather", !along);
    r = empty(index.sizes(), x.dtype());
    const Tensor in = contiguous_values(x);
    if (r.numel() && along)
      gather_from_rows(in, at, r);
    else if (r.numel())
      dispatch_size(x.itemsize(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        const T* p = (const T*)in.raw();
        T* o = (T*)r.raw();
        for_each_index(at_least_1d(x).sizes(), at.sizes(), at.sizes(), d, at.data<int64_t>(),
                       [&](int64_t from, int64_t to, int64_t) { o[to] = p[from]; });
      });
  }
  if (wants_grad(x))
    record(r, "GatherBackward0", {x},
           [d, from = x.sizes(), at = reshape(at, index.sizes())](Backward&, const TensorList& g) {
             return TensorList{scatter_add(zeros(from, g[0].dtype()), d, at, g[0])};
           });
  return r;
}

Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  const int64_t d = wrap_dim(dim, x.dim());
  check_same_dtype(x, src, "scatter");
  Tensor at = check_index(x, d, index, &src, "scatter"), r = scatter_values(x, d, at, src, Combine::Set);
  if (wants_grad(x, src))
    record(r, "ScatterBackward0", {x, src},
           [d, at = reshape(at, index.sizes()), from = src.sizes()](Backward& ctx, const TensorList& g) {
             Tensor gs = ctx.needs(1) ? gather(g[0], d, at) : Tensor();
             if (gs.defined() && gs.sizes() != from) gs = constant_pad_to(gs, from);
             return TensorList{ctx.needs(0) ? scatter_value(g[0], d, at, 0) : Tensor(), gs};
           });
  return r;
}

Tensor scatter_value(const Tensor& x, int64_t dim, const Tensor& index, Scalar value) {
  const int64_t d = wrap_dim(dim, x.dim());
  Tensor at = check_index(x, d, index, nullptr, "scatter"), v = nnlib::scalar_tensor(value, x.dtype());
  Tensor src = nnlib::alias(v, at.sizes(), Dims(at.sizes().size(), 0), 0);
  Tensor r = scatter_values(x, d, at, src, Combine::Set);
  if (wants_grad(x))
    record(r, "ScatterBackward1", {x}, [d, at = reshape(at, index.sizes())](Backward&, const TensorList& g) {
      return TensorList{scatter_value(g[0], d, at, 0)};
    });
  return r;
}

Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  const int64_t d = wrap_dim(dim, x.dim());
  check_same_dtype(x, src, "scatter");
  const Tensor rows = x.dtype() == Dtype::Bool ? Tensor() : row_numbers(x, d, index, &src);
  Tensor at, r;
  if (!rows.defined() || wants_grad(x, src)) at = check_index(x, d, index, &src, "scatter");
  if (rows.defined()) {
    NoGradGuard guard;
    r = index_add(x, 0, check_row_numbers(x, rows, "scatter"), src, 1);
  } else {
    r = scatter_values(x, d, at, src, Combine::Add);
  }
  if (wants_grad(x, src))
    record(r, "ScatterAddBackward0", {x, src},
           [d, at = reshape(at, index.sizes()), from = src.sizes()](Backward& ctx, const TensorList& g) {
             Tensor gs = ctx.needs(1) ? gather(g[0], d, at) : Tensor();
             if (gs.defined() && gs.sizes() != from) gs = constant_pad_to(gs, from);
             return TensorList{g[0], gs};
           });
  return r;
}

Tensor scatter_src_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                          const std::string& reduce) {
  NNLIB_CHECK(reduce == "add" || reduce == "multiply", "reduce argument must be either add or multiply.");
  return scatter_reduce(x, dim, index, src, reduce == "add" ? "sum" : "prod");
}

Tensor scatter_value_reduce(const Tensor& x, int64_t dim, const Tensor& index, Scalar value,
                            const std::string& reduce) {
  Tensor v = nnlib::scalar_tensor(value, x.dtype());
  return scatter_src_reduce(x, dim, index, nnlib::alias(v, index.sizes(), Dims(index.sizes().size(), 0), 0),
                            reduce);
}

namespace {

// The gradients of scatter_reduce, each from the formula of its reduction.
TensorList scatter_reduce_grads(const Tensor& g, const Tensor& x, int64_t d, const Tensor& at,
                                const Tensor& src, const std::string& reduce, bool include_self,
                                const Tensor& result) {
  Tensor gx, gs;
  if (reduce == "sum") {
    gx = g;
    gs = gather(g, d, at);
  } else if (reduce == "mean") {
    Tensor n = include_self ? ones_like(g) : zeros_like(g);
    n = scatter_add(n, d, at, ones_like(src));
    n = masked_fill(n, eq(n, wrapped_number(0)), wrapped_number(1));
    gx = g / n;
    gs = gather(gx, d, at);
  } else if (reduce == "prod") {
    // Divides the others' product out of the result; a single zero needs the product without it.
    Tensor zero = wrapped_number(0), one = wrapped_number(1), self_zero = eq(x, zero),
           src_zero = eq(src, zero);
    Tensor clear_x = masked_fill(x, self_zero, one);
    Tensor without_x = scatter_reduce(clear_x, d, at, src, reduce, include_self);
    gx = g * without_x / clear_x;
    Tensor zeros_at =
        scatter_add(cast(include_self ? self_zero : logical_and(self_zero, zeros_like(self_zero)), g.dtype()),
                    d, at, cast(src_zero, g.dtype()));
    Tensor single = logical_and(src_zero, eq(gather(zeros_at, d, at), one));
    Tensor clear_src = masked_fill(src, single, one);
    Tensor rest = gather(scatter_reduce(x, d, at, clear_src, reduce, include_self), d, at);
    Tensor nonzero_src = masked_fill(src, src_zero, one);
    gs = where(single, gather(g, d, at) * rest,
               masked_fill(gather(g * result, d, at) / nonzero_src, src_zero, zero));
  } else {
    // The extreme is shared evenly by all that reach it.
    Tensor value = gather(result, d, at);
    Tensor is_x = cast(eq(x, result), g.dtype()), is_src = cast(eq(src, value), g.dtype());
    Tensor shares = scatter_add(is_x, d, at, is_src);
    Tensor part = g / shares;
    gx = masked_fill(is_x * part, eq(is_x, wrapped_number(0)), wrapped_number(0));
    gs = is_src * gather(part, d, at);
  }
  if (!include_self) gx = scatter_value(gx, d, at, 0);
  return {gx, gs};
}

}  // namespace

Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self) {
  const int64_t d = wrap_dim(dim, x.dim());
  const bool mean = reduce == "mean";
  NNLIB_CHECK(reduce == "sum" || reduce == "prod" || mean || reduce == "amax" || reduce == "amin",
              "reduce argument must be either sum, prod, mean, amax or amin, got ", reduce);
  check_same_dtype(x, src, "scatter");
  Tensor at = check_index(x, d, index, &src, "scatter");
  const Combine how = reduce == "prod"   ? Combine::Multiply
                      : reduce == "amax" ? Combine::Max
                      : reduce == "amin" ? Combine::Min
                                         : Combine::Add;
  Tensor start = detach(x);
  if (!include_self && at.numel()) {
    // Places that take part begin from the reduction's own start: its first value, which Set gives.
    if (how == Combine::Add)
      start = detach(scatter_value(start, d, at, 0));
    else if (how == Combine::Multiply)
      start = detach(scatter_value(start, d, at, 1));
    else
      start = scatter_values(start, d, at, src, Combine::Set);
  }
  Tensor r = scatter_values(start, d, at, src, how);
  if (mean && at.numel()) {
    NoGradGuard guard;
    Tensor n = include_self ? ones(x.sizes(), x.dtype()) : zeros(x.sizes(), x.dtype());
    Tensor one = nnlib::scalar_tensor(1, x.dtype());
    n = scatter_values(n, d, at, nnlib::alias(one, at.sizes(), Dims(at.sizes().size(), 0), 0), Combine::Add);
    n = masked_fill(n, eq(n, wrapped_number(0)), wrapped_number(1));
    r = is_floating(x.dtype()) ? r / n : floor_divide(r, n);
  }
  if (wants_grad(x, src))
    record(r, "ScatterReduceBackward0", {x, src},
           [d, at = reshape(at, index.sizes()), x = save(x), src = save(src), result = save_output(r), reduce,
            include_self](Backward& ctx, const TensorList& g) {
             const Tensor s = src.get(ctx);
             // Only the part of src that the index covers took part.
             Tensor used = s;
             for (int64_t k = 0; k < at.dim(); k++) used = narrow(used, k, 0, at.sizes()[k]);
             TensorList r =
                 scatter_reduce_grads(g[0], x.get(ctx), d, at, used, reduce, include_self, result.get(ctx));
             if (r[1].sizes() != s.sizes()) r[1] = constant_pad_to(r[1], s.sizes());
             return r;
           });
  return r;
}

Tensor take(const Tensor& x, const Tensor& index) {
  NNLIB_CHECK(index.dtype() == Dtype::Int64, "take(): Expected a long tensor for index, but got ",
              dtype_legacy_name(index.dtype()));
  NNLIB_CHECK_INDEX(x.numel() > 0 || index.numel() == 0, "take(): tried to take from an empty tensor");
  const int64_t n = x.numel();
  Tensor at = empty(index.sizes(), Dtype::Int64), in = contiguous_values(x);
  copy_values(at, index);
  int64_t* w = at.data<int64_t>();
  if (!all_below(w, at.numel(), n))
    for (int64_t i = 0; i < at.numel(); i++) {
      NNLIB_CHECK_INDEX(w[i] >= -n && w[i] < n, "out of range: tried to access index ", w[i],
                        " on a tensor of ", n, " elements.");
      if (w[i] < 0) w[i] += n;
    }
  Tensor r = empty(index.sizes(), x.dtype());
  dispatch_size(x.itemsize(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = (T*)r.raw();
    const T* from = (const T*)in.raw();
    parallel_for(0, at.numel(), 16384, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) to[i] = from[w[i]];
    });
  });
  if (wants_grad(x))
    record(r, "TakeBackward0", {x}, [from = x.sizes(), at](Backward&, const TensorList& g) {
      return TensorList{put(zeros(from, g[0].dtype()), at, g[0], true)};
    });
  return r;
}

Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim) {
  NNLIB_CHECK(indices.dtype() == Dtype::Int64,
              "torch.take_along_dim(): dtype of indices should be Long but got ",
              dtype_legacy_name(indices.dtype()));
  if (!dim) return take_along_dim(reshape(x, {-1}), reshape(indices, {-1}), 0);
  NNLIB_CHECK(x.dim() == indices.dim(),
              "torch.take_along_dim(): input and indices should have the same number of dimensions, but got ",
              x.dim(), " dimensions for input, and ", indices.dim(), " dimensions for indices");
  const int64_t d = wrap_dim(*dim, x.dim());
  Dims a(x.sizes()), b(indices.sizes());
  a[d] = b[d] = 1;
  Dims xs = broadcast_shapes(a, b), is = xs;
  xs[d] = x.sizes()[d];
  is[d] = indices.sizes()[d];
  // Indices count round the dimension, from its end where they are negative.
  return gather(expand(x, xs), d, expand(remainder(indices, wrapped_number(x.sizes()[d])), is));
}

Tensor put(const Tensor& x, const Tensor& index, const Tensor& source, bool accumulate) {
  NNLIB_CHECK_INDEX(index.dtype() == Dtype::Int64, "put_(): Expected a long tensor for index, but got ",
                    dtype_legacy_name(index.dtype()));
  NNLIB_CHECK_INDEX(
      source.numel() == index.numel(),
      "put_(): Expected source and index to have the same number of elements, but got source.numel() = ",
      source.numel(), ", index.numel() = ", index.numel());
  NNLIB_CHECK(x.dtype() == source.dtype(),
              "put_(): self and source expected to have the same dtype, but got self.dtype = ",
              dtype_legacy_name(x.dtype()), " and source.dtype = ", dtype_legacy_name(source.dtype()));
  const int64_t n = x.numel();
  Tensor at = empty(index.sizes(), Dtype::Int64), s = contiguous_values(source);
  copy_values(at, index);
  int64_t* w = at.data<int64_t>();
  for (int64_t i = 0; i < at.numel(); i++) {
    NNLIB_CHECK_INDEX(w[i] >= -n && w[i] < n, "out of range: tried to access index ", w[i],
                      " on a tensor of ", n, " elements.");
    if (w[i] < 0) w[i] += n;
  }
  const Tensor r = copy_to_change(x, {&at, &s});
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* o = (T*)r.raw();
    const T* p = (const T*)s.raw();
    for (int64_t i = 0; i < at.numel(); i++)
      o[w[i]] = accumulate ? (T)((compute_t<T>)o[w[i]] + (compute_t<T>)p[i]) : p[i];
  });
  if (wants_grad(x, source))
    record(r, "PutBackward0", {x, source},
           [at, accumulate, from = source.sizes()](Backward& ctx, const TensorList& g) {
             Tensor gx;
             if (ctx.needs(0)) gx = accumulate ? g[0] : put(g[0], at, zeros(at.sizes(), g[0].dtype()), false);
             return TensorList{gx, ctx.needs(1) ? reshape(take(g[0], at), from) : Tensor()};
           });
  return r;
}

}  // namespace nnlib::ops
