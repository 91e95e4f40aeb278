// The largest and the smallest values, and where they stand. NaN counts as larger, and as smaller, than all
// others.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/pick.h"
#include "ops/reduce.h"
#include "ops/reduce_columns.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

// Floats use f[0], integers i[0]; i[1] is the position.
template <class T>
T& value_of(Acc& a) {
  if constexpr (std::is_integral_v<T>)
    return a.i[0];
  else
    return a.f[0];
}

template <bool Max, class T>
inline bool better(T v, T than) {
  if (than != than) return false;
  return v != v || (Max ? v > than : v < than);
}

// The extreme of n > 0 values by the kernel.
template <bool Max>
float extreme_of(int64_t n, const float* x) {
  return Max ? kernels::table().max_f32(n, x) : kernels::table().min_f32(n, x);
}
template <bool Max>
double extreme_of(int64_t n, const double* x) {
  return Max ? kernels::table().max_f64(n, x) : kernels::table().min_f64(n, x);
}
template <bool Max>
float extreme_of(int64_t n, const BFloat16* x) {
  return Max ? kernels::table().max_bf16(n, &x->bits) : kernels::table().min_bf16(n, &x->bits);
}
template <bool Max>
float extreme_of(int64_t n, const Half* x) {
  return Max ? kernels::table().max_f16(n, &x->bits) : kernels::table().min_f16(n, &x->bits);
}
template <bool Max, class T, class = std::enable_if_t<std::is_integral_v<T>>>
int64_t extreme_of(int64_t n, const T* x) {
  return kernels::table().extreme_int((int64_t)DtypeOf<T>::value, Max, n, x);
}

// By pieces, so that the place is looked for in one of them alone.
template <bool Max, class T>
void take(Acc& a, int64_t n, const T* x, int64_t first, bool positions) {
  constexpr int64_t kPiece = 256;
  using V = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
  V& best = value_of<V>(a);
  const int64_t piece = positions ? kPiece : n;
  int64_t winner = -1;
  for (int64_t from = 0; from < n; from += piece) {
    const V v = (V)extreme_of<Max>(std::min(piece, n - from), x + from);
    if (a.i[1] >= 0 && !better<Max, V>(v, best)) continue;
    best = v;
    winner = from;
    a.i[1] = first + from;
  }
  if (!positions || winner < 0) return;
  const T* p = x + winner;
  const int64_t m = std::min(piece, n - winner);
  using W = std::conditional_t<std::is_integral_v<T>, T, compute_t<T>>;
  const W v = (W)best;
  int64_t at = 0;
  while (at < m - 1 && !((W)p[at] == v || (W)p[at] != (W)p[at])) at++;
  a.i[1] = first + winner + at;
}

// Extremes whose outputs lie beside each other: whole rows are compared, column by column.
template <class C>
void fold_extreme(bool max, int64_t rows, int64_t cols, const C* x, int64_t ld, C* acc) {
  const auto& k = kernels::table();
  // One row of results that all rows are folded into.
  if constexpr (std::is_floating_point_v<C>) {
    const auto larger = pick<C>(k.maximum_rows_f32, k.maximum_rows_f64);
    const auto smaller = pick<C>(k.minimum_rows_f32, k.minimum_rows_f64);
    (max ? larger : smaller)(rows, cols, acc, 0, 1, x, ld, 1, acc, 0);
  } else {
    k.integer_rows(max ? kernels::kIntegerMax : kernels::kIntegerMin, (int64_t)DtypeOf<C>::value, 0, rows,
                   cols, acc, 0, 1, x, ld, 1, acc, 0);
  }
}
template <class C>
bool extreme_columns(const Tensor& self, const std::vector<bool>& mask, const Tensor& values, bool max) {
  using Limits = std::numeric_limits<C>;
  constexpr C kLow = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  constexpr C kHigh = Limits::has_infinity ? Limits::infinity() : Limits::max();
  const StoreRow store = store_row(DtypeOf<C>::value, values.dtype());
  const int64_t item = (int64_t)values.itemsize();
  return reduce_columns<C>(
      self, mask, max ? kLow : kHigh,
      [max](int64_t rows, int64_t cols, const C* x, int64_t ld, C* acc) {
        fold_extreme(max, rows, cols, x, ld, acc);
      },
      [max](int64_t cols, C* acc, const C* other) { fold_extreme(max, 1, cols, other, cols, acc); },
      [&](int64_t first, int64_t cols, const C* acc) {
        store(cols, acc, (char*)values.raw() + first * item, item);
      });
}

// Short rows of floats that lie together: a few at once.
template <bool Max>
bool extreme_of_short_rows(const Tensor& self, const std::vector<bool>& mask, const Tensor& values,
                           const Tensor& indices) {
  constexpr int64_t kShort = 24;
  const int64_t n = contiguous_row(self, mask);
  if (self.dtype() != Dtype::Float32 || n < 1 || n > kShort) return false;
  const float* x = (const float*)self.raw();
  const auto kernel = Max ? kernels::table().max_short_rows_f32 : kernels::table().min_short_rows_f32;
  parallel_for(0, self.numel() / n, 32768 / n, [&](int64_t b, int64_t e) {
    constexpr int64_t kPart = 512;
    float unwanted[kPart];
    for (int64_t r = b; r < e; r += kPart)
      kernel(std::min(kPart, e - r), n, x + r * n, values.defined() ? (float*)values.raw() + r : unwanted,
             indices.defined() ? (int64_t*)indices.raw() + r : nullptr);
  });
  return true;
}

// Places in short rows of the other types: a call for each row would cost more than its values.
template <bool Max>
bool places_in_short_rows(const Tensor& self, const std::vector<bool>& mask, const Tensor& values,
                          const Tensor& indices) {
  constexpr int64_t kShort = 24;
  const int64_t n = contiguous_row(self, mask);
  if (!indices.defined() || self.dtype() == Dtype::Bool || n < 1 || n > kShort) return false;
  dispatch_all(self.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = std::conditional_t<std::is_integral_v<T>, T, compute_t<T>>;
    const T* x = (const T*)self.raw();
    int64_t* const places = indices.data<int64_t>();
    parallel_for(0, indices.numel(), 32768 / n, [&](int64_t b, int64_t e) {
      for (int64_t r = b; r < e; r++) {
        const T* const p = x + r * n;
        W best = (W)p[0];
        int64_t at = 0;
        for (int64_t j = 1; j < n; j++) {
          const W v = (W)p[j];
          const bool wins = (best == best) & ((v != v) | (Max ? v > best : v < best));
          best = wins ? v : best;
          at = wins ? j : at;
        }
        places[r] = at;
        if (values.defined()) ((T*)values.raw())[r] = p[at];
      }
    });
  });
  return true;
}

// Places along a dimension before the last: whole rows are compared, column by column.
template <bool Max, class C, class Place>
void places_of_columns(const Tensor& self, const Tensor& values, const Tensor& indices, int64_t dim) {
  constexpr int64_t kStrip = 128;
  const int64_t n = self.size(dim), item = (int64_t)self.itemsize();
  int64_t inner = 1;
  for (int64_t d = dim + 1; d < self.dim(); d++) inner *= self.size(d);
  const int64_t strips = (inner + kStrip - 1) / kStrip;
  const LoadRow load = load_row(self.dtype(), DtypeOf<C>::value);
  const StoreRow store = store_row(DtypeOf<C>::value, self.dtype());
  const bool same = self.dtype() == DtypeOf<C>::value;
  const auto task = [&](int64_t t) {
    const int64_t outer = t / strips, first = t % strips * kStrip, m = std::min(kStrip, inner - first);
    const char* x = (const char*)self.raw() + (outer * n * inner + first) * item;
    C best[kStrip], loaded[kStrip];
    Place at[kStrip] = {};
    load(m, x, item, best);
    for (Place r = 1; r < (Place)n; r++) {
      x += inner * item;
      const C* const v = same ? (const C*)x : loaded;
      if (!same) load(m, x, item, loaded);
      for (int64_t k = 0; k < m; k++) {
        const bool wins = (best[k] == best[k]) & !(Max ? v[k] <= best[k] : v[k] >= best[k]);
        best[k] = wins ? v[k] : best[k];
        at[k] = wins ? r : at[k];
      }
    }
    const int64_t to = outer * inner + first;
    int64_t* const places = indices.data<int64_t>() + to;
    for (int64_t k = 0; k < m; k++) places[k] = at[k];
    if (values.defined()) store(m, best, (char*)values.raw() + to * item, item);
  };
  parallel_for(0, indices.numel() / inner * strips,
               std::max<int64_t>(1, 32768 / (n * std::min(kStrip, inner))), [&](int64_t b, int64_t e) {
                 for (int64_t t = b; t < e; t++) task(t);
               });
}
template <bool Max>
bool places_of_columns(const Tensor& self, const std::vector<bool>& mask, const Tensor& values,
                       const Tensor& indices) {
  const auto dim = std::find(mask.begin(), mask.end(), true) - mask.begin();
  if (!indices.defined() || !self.is_contiguous() || indices.numel() == 0 ||
      std::count(mask.begin(), mask.end(), true) != 1 || self.stride(dim) < 8 || self.size(dim) > INT32_MAX)
    return false;
  switch (compute_dtype(self.dtype())) {
    case Dtype::Float32:
      places_of_columns<Max, float, int32_t>(self, values, indices, dim);
      break;
    case Dtype::Float64:
      places_of_columns<Max, double, int64_t>(self, values, indices, dim);
      break;
    default:
      places_of_columns<Max, int64_t, int64_t>(self, values, indices, dim);
  }
  return true;
}

// Rows that lie together, each one's extreme an output.
template <bool Max, class T>
bool extreme_of_rows(const Tensor& self, const std::vector<bool>& mask, const Tensor& values) {
  int64_t apart = 0;
  const int64_t n = contiguous_row(self, mask, &apart);
  if (self.dtype() != DtypeOf<T>::value || n < 1 || n > 4096) return false;
  const T* x = (const T*)self.raw();
  T* y = (T*)values.raw();
  parallel_for(0, values.numel(), std::max<int64_t>(1, 32768 / n), [&](int64_t b, int64_t e) {
    for (int64_t o = b; o < e; o++) y[o] = (T)extreme_of<Max>(n, x + o * apart);
  });
  return true;
}

// The same of integers of any type.
bool extreme_of_integer_rows(const Tensor& self, const std::vector<bool>& mask, const Tensor& values,
                             bool max) {
  int64_t apart = 0;
  const int64_t n = contiguous_row(self, mask, &apart), type = (int64_t)self.dtype(),
                item = (int64_t)self.itemsize();
  if (n < 1 || n > 4096) return false;
  const StoreRow store = store_row(Dtype::Int64, values.dtype());
  parallel_for(0, values.numel(), std::max<int64_t>(1, 32768 / n), [&](int64_t b, int64_t e) {
    for (int64_t o = b; o < e; o++) {
      const int64_t v =
          kernels::table().extreme_int(type, max, n, (const char*)self.raw() + o * apart * item);
      store(1, &v, (char*)values.raw() + o * item, item);
    }
  });
  return true;
}

// Values and, where defined, positions (int64) of the extremes over `mask`.
template <bool Max>
void run(const Tensor& self, const std::vector<bool>& mask, const Tensor& values, const Tensor& indices) {
  const Straighten how = indices.defined() ? Straighten::kPlaces : Straighten::kDropRepeats;
  if (const auto s = straighten(self, mask, how)) {
    const Tensor v = values.defined() ? s->place(values) : Tensor();
    const Tensor i = indices.defined() ? s->place(indices) : Tensor();
    run<Max>(s->self, s->mask, v, i);
    if (v.defined()) s->deliver(v, values);
    if (i.defined()) s->deliver(i, indices);
    return;
  }
  if (extreme_of_short_rows<Max>(self, mask, values, indices)) return;
  if (places_in_short_rows<Max>(self, mask, values, indices)) return;
  if (places_of_columns<Max>(self, mask, values, indices)) return;
  const Dtype c = compute_dtype(self.dtype());
  bool by_columns = false;
  if (!indices.defined())
    dispatch_all(is_floating(c) || self.dtype() == Dtype::Bool ? c : self.dtype(), [&](auto tag) {
      using C = typename decltype(tag)::type;
      if constexpr (std::is_arithmetic_v<C> && !std::is_same_v<C, bool>)
        by_columns = extreme_columns<C>(self, mask, values, Max);
    });
  if (by_columns) return;
  bool by_rows = false;
  if (!indices.defined() && !is_floating(self.dtype()))
    by_rows = extreme_of_integer_rows(self, mask, values, Max);
  else if (!indices.defined())
    dispatch_floating(self.dtype(), "extremes", [&](auto tag) {
      by_rows = extreme_of_rows<Max, typename decltype(tag)::type>(self, mask, values);
    });
  if (by_rows) return;
  const bool floating = is_floating(self.dtype());
  Acc start{};
  start.i[1] = -1;  // nothing yet
  auto row = [&](Acc& a, int64_t n, const void* x, int64_t first) {
    dispatch_all(self.dtype(), [&](auto tag) {
      take<Max>(a, n, (const typename decltype(tag)::type*)x, first, indices.defined());
    });
  };
  auto merge = [&](Acc& a, const Acc& b) {
    if (b.i[1] < 0) return;
    if (a.i[1] < 0 || (floating ? better<Max, double>(b.f[0], a.f[0]) : better<Max, int64_t>(b.i[0], a.i[0])))
      a = b;
  };
  std::optional<ElementWriter> w, p;
  if (values.defined()) w.emplace(values);
  if (indices.defined()) p.emplace(indices);
  reduce(self, mask, {self.dtype(), start, row, merge, indices.defined()}, [&](int64_t i, const Acc& a) {
    if (w) floating ? w->set(i, a.f[0]) : w->set(i, a.i[0]);
    if (p) p->set(i, a.i[1]);
  });
}

void check_not_empty(const Tensor& self, const std::vector<bool>& mask, const char* name, bool whole) {
  NNLIB_CHECK(!whole || self.numel() > 0, name,
              "(): Expected reduction dim to be specified for input.numel() == 0. "
              "Specify the reduction dim with the 'dim' argument.");
  for (size_t i = 0; i < mask.size(); i++)
    NNLIB_CHECK_INDEX(!mask[i] || self.sizes()[i] > 0, name, "(): Expected reduction dim ", i,
                      " to have non-zero size.");
}

// Equal extremes share the gradient.
Tensor share_gradient(const Tensor& g, const Tensor& x, const Tensor& y, const std::vector<bool>& mask) {
  const Tensor at = cast(eq(x, y), x.dtype());
  return g / sum(at, mask_dims(mask), true) * at;
}

template <bool Max>
Tensor extreme(const Tensor& self, const std::optional<Dims>& dims, bool keepdim, const char* name,
               const char* node) {
  const std::vector<bool> mask = reduced_mask(self, dims);
  check_not_empty(self, mask, name, !dims || dims->empty());
  Tensor out = empty(reduced_sizes(self, mask, keepdim), self.dtype());
  run<Max>(self, mask, out, Tensor());
  if (wants_grad(self)) {
    record(out, node, {self},
           [x = save(self), y = save_output(out), mask, keepdim](Backward& ctx, const TensorList& g) {
             return TensorList{share_gradient(restore_dims(g[0], mask, keepdim), x.get(ctx),
                                              restore_dims(y.get(ctx), mask, keepdim), mask)};
           });
  }
  return out;
}

template <bool Max>
std::pair<Tensor, Tensor> extreme_dim(const Tensor& self, int64_t dim, bool keepdim, const char* name,
                                      const char* node) {
  const int64_t d = wrap_dim(dim, self.dim());
  const std::vector<bool> mask = reduced_mask(self, self.dim() ? Dims{d} : Dims{});
  check_not_empty(self, mask, name, false);
  const Dims sizes = reduced_sizes(self, mask, keepdim);
  Tensor values = empty(sizes, self.dtype()), indices = empty(sizes, Dtype::Int64);
  run<Max>(self, mask, values, indices);
  if (wants_grad(self)) {
    record(values, node, {self},
           [at = save(indices), like = self.sizes(), mask, keepdim, d](Backward& ctx, const TensorList& g) {
             const Tensor gk = restore_dims(g[0], mask, keepdim);
             Tensor zeros = empty(like, gk.dtype());
             fill_values(zeros, 0);
             return TensorList{scatter(zeros, d, restore_dims(at.get(ctx), mask, keepdim), gk)};
           });
  }
  return {values, indices};
}

template <bool Max>
Tensor arg_extreme(const Tensor& self, std::optional<int64_t> dim, bool keepdim, const char* name) {
  NNLIB_CHECK(self.dtype() != Dtype::Bool, "\"", name, "_cpu\" not implemented for 'Bool'");
  std::vector<bool> mask((size_t)self.dim(), true);
  if (dim) {
    const int64_t d = wrap_dim(*dim, self.dim());
    mask = reduced_mask(self, self.dim() ? Dims{d} : Dims{});
    check_not_empty(self, mask, name, false);
  } else {
    NNLIB_CHECK_INDEX(self.numel() > 0, name,
                      "(): Expected reduction dim to be specified for input.numel() == 0. "
                      "Specify the reduction dim with the 'dim' argument.");
  }
  Tensor indices = empty(reduced_sizes(self, mask, keepdim), Dtype::Int64);
  run<Max>(self, mask, Tensor(), indices);
  return indices;
}

}  // namespace

Tensor max(const Tensor& self) { return extreme<true>(self, std::nullopt, false, "max", "MaxBackward1"); }
Tensor min(const Tensor& self) { return extreme<false>(self, std::nullopt, false, "min", "MinBackward1"); }
std::pair<Tensor, Tensor> max_dim(const Tensor& self, int64_t dim, bool keepdim) {
  return extreme_dim<true>(self, dim, keepdim, "max", "MaxBackward0");
}
std::pair<Tensor, Tensor> min_dim(const Tensor& self, int64_t dim, bool keepdim) {
  return extreme_dim<false>(self, dim, keepdim, "min", "MinBackward0");
}
Tensor amax(const Tensor& self, const Dims& dims, bool keepdim) {
  return extreme<true>(self, dims, keepdim, "amax", "AmaxBackward0");
}
Tensor amin(const Tensor& self, const Dims& dims, bool keepdim) {
  return extreme<false>(self, dims, keepdim, "amin", "AminBackward0");
}
std::pair<Tensor, Tensor> aminmax(const Tensor& self, std::optional<int64_t> dim, bool keepdim) {
  Dims dims;
  if (const int64_t d = dim ? wrap_dim(*dim, self.dim()) : 0; dim && self.dim()) dims.push_back(d);
  return {extreme<false>(self, dims, keepdim, "aminmax", "AminmaxBackward0"),
          extreme<true>(self, dims, keepdim, "aminmax", "AminmaxBackward0")};
}
Tensor argmax(const Tensor& self, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme<true>(self, dim, keepdim, "argmax");
}
Tensor argmin(const Tensor& self, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme<false>(self, dim, keepdim, "argmin");
}

}  // namespace nnlib::ops
