// Running sums, products, extremes and log-sums along a dimension; the product of a dimension with its
// gradient.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/lanes.h"
#include "ops/pick.h"
#include "ops/reduce.h"
#include "ops/reduce_columns.h"
#include "ops/reducer.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// Of a contiguous tensor: (outer, n, inner), n along the dimension.
struct Extent {
  int64_t outer = 1, n = 1, inner = 1;
  Extent(const Dims& sizes, int64_t dim) {
    for (int64_t d = 0; d < sizes.ssize(); d++) (d < dim ? outer : d > dim ? inner : n) *= sizes[(size_t)d];
  }
};

constexpr int64_t kScanChunk = 16384;  // values of a row that are scanned from nothing, then moved on

// y[i] = start + (x[0] + ... + x[i]) for an associative sum, i < n, kDir * i from x and y on; the sum of all
// is returned. Groups of eight are added up on their own, so that a value does not wait for the one before
// it.
template <int kDir, class A, class T, class Sum>
A scan_part(int64_t n, const T* x, T* y, A none, A start, const Sum& sum) {
  constexpr int kGroup = 8;
  A run = none;
  int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) {
    A s[kGroup];
    s[0] = (A)x[kDir * i];
    for (int k = 1; k < kGroup; k++) s[k] = sum(s[k - 1], (A)x[kDir * (i + k)]);
    if (y)
      for (int k = 0; k < kGroup; k++) y[kDir * (i + k)] = (T)sum(start, sum(run, s[k]));
    run = sum(run, s[kGroup - 1]);
  }
  for (; i < n; i++) {
    run = sum(run, (A)x[kDir * i]);
    if (y) y[kDir * i] = (T)sum(start, run);
  }
  return run;
}

constexpr int64_t kShortRow = 32;  // rows whose sums do not wait for long, beside those of the next rows

// Rows that lie together; few long ones are cut into chunks whose sums are found first.
template <int kDir, class A, class T, class Sum>
void scan_rows(const Extent& e, const T* x, T* y, A none, const Sum& sum) {
  if (e.n <= kShortRow) {
    parallel_for(0, e.outer, kScanChunk / e.n, [&](int64_t b, int64_t end) {
      for (int64_t r = b; r < end; r++) {
        const int64_t first = r * e.n + (kDir > 0 ? 0 : e.n - 1);
        A run = none;
        for (int64_t i = 0; i < e.n; i++) y[first + kDir * i] = (T)(run = sum(run, (A)x[first + kDir * i]));
      }
    });
    return;
  }
  const int64_t chunks = (e.n + kScanChunk - 1) / kScanChunk;
  const auto part = [&](int64_t row, int64_t c, bool write, A start) {
    const int64_t first = c * kScanChunk, m = std::min(kScanChunk, e.n - first);
    const int64_t at = row * e.n + (kDir > 0 ? first : e.n - 1 - first);
    return scan_part<kDir>(m, x + at, write ? y + at : nullptr, none, start, sum);
  };
  if (chunks == 1 || e.outer >= 8 || num_threads() == 1 || in_parallel_region()) {
    parallel_for(0, e.outer, std::max<int64_t>(1, kScanChunk / e.n), [&](int64_t b, int64_t end) {
      for (int64_t r = b; r < end; r++) {
        A start = none;
        for (int64_t c = 0; c < chunks; c++) start = sum(start, part(r, c, true, start));
      }
    });
    return;
  }
  std::vector<A> starts((size_t)(e.outer * chunks));
  parallel_for(0, e.outer * chunks, 1, [&](int64_t b, int64_t end) {
    for (int64_t k = b; k < end; k++) starts[(size_t)k] = part(k / chunks, k % chunks, false, none);
  });
  for (int64_t r = 0; r < e.outer; r++) {
    A start = none;
    for (int64_t c = 0; c < chunks; c++)
      start = sum(start, std::exchange(starts[(size_t)(r * chunks + c)], start));
  }
  parallel_for(0, e.outer * chunks, 1, [&](int64_t b, int64_t end) {
    for (int64_t k = b; k < end; k++) part(k / chunks, k % chunks, true, starts[(size_t)k]);
  });
}

// Calls f(from, n) for strips of the inner dimension, `from` being where the first row of the strip starts.
template <class F>
void each_strip(const Extent& e, const F& f) {
  constexpr int64_t kStrip = 128;
  const int64_t strips = (e.inner + kStrip - 1) / kStrip;
  parallel_for(0, e.outer * strips, std::max<int64_t>(1, kScanChunk / (e.n * std::min(kStrip, e.inner))),
               [&](int64_t b, int64_t end) {
                 for (int64_t t = b; t < end; t++) {
                   const int64_t c = t % strips * kStrip;
                   f(t / strips * e.n * e.inner + c, std::min(kStrip, e.inner - c));
                 }
               });
}

// Another dimension than the last: whole rows are added to a row of running values.
template <class A, class T, class Step>
void scan_columns(const Extent& e, const T* x, T* y, bool reverse, const Step& step) {
  each_strip(e, [&](int64_t from, int64_t n) {
    A run[128];
    const int64_t move = reverse ? -e.inner : e.inner;
    const T* in = x + from + (reverse ? (e.n - 1) * e.inner : 0);
    T* out = y + (in - x);
    for (int64_t k = 0; k < n; k++) out[k] = (T)(run[k] = (A)in[k]);
    for (int64_t r = 1; r < e.n; r++) {
      in += move;
      out += move;
      for (int64_t k = 0; k < n; k++) out[k] = (T)(run[k] = step(run[k], (A)in[k]));
    }
  });
}

template <class T>
using ScanType = std::conditional_t<std::is_integral_v<T>, int64_t, double>;

// out[i] = step(out[i - 1], x[i]) along dim, or from the end on; floats run in double. Associative steps have
// a value `none` that changes nothing.
template <class F>
Tensor scan(const Tensor& self, int64_t dim, Dtype type, const F& step, std::optional<double> none,
            bool reverse = false) {
  const auto again = [&](const Tensor& x, int64_t d, Dtype t) { return scan(x, d, t, step, none, reverse); };
  if (self.dtype() != type) return again(cast_values(self, type), dim, type);
  // 16-bit floats at once: converted lane by lane they would take longer than the sums.
  if (type == Dtype::BFloat16 || type == Dtype::Float16)
    return cast_values(again(cast_values(self, Dtype::Float32), dim, Dtype::Float32), type);
  if (!self.is_contiguous()) return again(contiguous_values(self), dim, type);
  Tensor out = empty(self.sizes(), type);
  if (self.numel() == 0) return out;
  if (self.dim() > 0 && (type == Dtype::Float32 || type == Dtype::Float64 || type == Dtype::Int64)) {
    const Extent e(self.sizes(), dim);
    bool done = true;
    dispatch_compute(type, [&](auto tag) {
      using T = typename decltype(tag)::type;
      using A = ScanType<T>;
      const T* x = self.data<T>();
      T* y = out.data<T>();
      if (e.inner > 1)
        scan_columns<A>(e, x, y, reverse, step);
      else if (none)
        reverse ? scan_rows<-1, A>(e, x, y, (A)*none, step) : scan_rows<1, A>(e, x, y, (A)*none, step);
      else
        done = false;
    });
    if (done) return out;
  }
  const int64_t n = self.dim() ? self.sizes()[(size_t)dim] : 1;
  const auto run = [&](auto* x, auto* y) {
    const int64_t move = reverse ? -1 : 1;
    int64_t i = reverse ? n - 1 : 0;
    auto v = y[i] = x[i];
    for (int64_t k = 1; k < n; k++) {
      i += move;
      y[i] = v = step(v, x[i]);
    }
  };
  const Dtype c = is_floating(type) ? Dtype::Float64 : Dtype::Int64;
  for_each_lane({{&self, c}, {&out, c, true}}, dim, [&](void* const* rows) {
    c == Dtype::Float64 ? run((const double*)rows[0], (double*)rows[1])
                        : run((const int64_t*)rows[0], (int64_t*)rows[1]);
  });
  return out;
}

const auto kAdd = [](auto a, auto b) {
  if constexpr (std::is_integral_v<decltype(a)>)
    return (int64_t)((uint64_t)a + (uint64_t)b);
  else
    return a + b;
};
const auto kMultiply = [](auto a, auto b) {
  if constexpr (std::is_integral_v<decltype(a)>)
    return (int64_t)((uint64_t)a * (uint64_t)b);
  else
    return a * b;
};
const auto kLogAdd = [](auto a, auto b) {
  using A = decltype(a);
  if constexpr (std::is_integral_v<A>) {
    return b;
  } else {
    if (a != a || b != b) return (A)NAN;
    const A low = std::min(a, b), high = std::max(a, b);
    return low != high || std::isfinite(low) ? high + std::log1p(std::exp(low - high)) : high;
  }
};

// The sum from each place to the end.
Tensor reversed_cumsum(const Tensor& g, int64_t dim) {
  Tensor out = scan(g, dim, g.dtype(), kAdd, 0, true);
  if (wants_grad(g))
    record(out, "CumsumBackwardBackward0", {g},
           [dim](Backward&, const TensorList& gg) { return TensorList{cumsum(gg[0], dim, std::nullopt)}; });
  return out;
}

Tensor zeros(const Dims& sizes, Dtype dtype) {
  Tensor z = empty(sizes, dtype);
  fill_values(z, 0);
  return z;
}

bool has_zero(const Tensor& x) {
  NoGradGuard guard;
  return any(eq(x, wrapped_number(0)), std::nullopt, false).item().to_bool();
}

// Without zeros the product of the others is result / x; with them it is built from what stands before and
// after.
Tensor cumprod_backward(const Tensor& g, const Tensor& x, const Tensor& result, int64_t dim) {
  if (x.dim() == 0 || x.numel() == 0) return g;
  if (!has_zero(x) && !wants_grad(x)) return reversed_cumsum(g * result, dim) / x;
  const int64_t n = x.sizes()[(size_t)dim];
  TensorList parts;
  for (int64_t k = 0; k < n; k++) {
    // d result[j] / d x[k] for j >= k: the product of x[0..j] without x[k].
    Tensor others = k == 0 ? Tensor() : narrow(result, dim, k - 1, 1);
    if (k + 1 < n) {
      Tensor after = cumprod(narrow(x, dim, k + 1, n - k - 1), dim, std::nullopt);
      Tensor one = after.dim() ? narrow(after, dim, 0, 1) * Scalar(0.0) + Scalar(1.0) : Tensor();
      after = cat({one, after}, dim);
      others = others.defined() ? others * after : after;
    }
    Tensor gk = narrow(g, dim, k, n - k);
    if (others.defined()) gk = gk * others;
    parts.push_back(sum(gk, Dims{dim}, true));
  }
  return cat(parts, dim);
}

// The product of all values but one, for each: products of what stands before times what stands after.
Tensor product_of_others(const Tensor& x, int64_t dim) {
  const int64_t n = x.sizes()[(size_t)dim];
  Tensor one = empty_like(narrow(x, dim, 0, 1));
  fill_values(one, 1);
  if (n == 1) return one;
  const Tensor before = cat({one, cumprod(narrow(x, dim, 0, n - 1), dim, std::nullopt)}, dim);
  const Tensor reversed = flip(narrow(x, dim, 1, n - 1), {dim});
  const Tensor after = cat({flip(cumprod(reversed, dim, std::nullopt), {dim}), one}, dim);
  return before * after;
}

Tensor prod_backward(const Tensor& g, const Tensor& x, const Tensor& result, int64_t dim) {
  if (x.numel() == 0) return zeros(x.sizes(), x.dtype());
  if (!has_zero(x) && !wants_grad(x)) return g * result / x;
  return g * product_of_others(x, dim);
}

// The product of n values: several chains, so that multiplications overlap.
uint64_t row_product(int64_t n, const int64_t* x) {
  uint64_t part[4] = {1, 1, 1, 1};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    // Not as a loop, which would become vectors: plain x86-64 has no product of 64 bits on them.
    part[0] *= (uint64_t)x[i];
    part[1] *= (uint64_t)x[i + 1];
    part[2] *= (uint64_t)x[i + 2];
    part[3] *= (uint64_t)x[i + 3];
  }
  for (; i < n; i++) part[0] *= (uint64_t)x[i];
  return part[0] * part[1] * part[2] * part[3];
}

// Floats are multiplied in double, integers wrap.
template <class C>
void run_prod_of(const Tensor& self, const std::vector<bool>& mask, const Tensor& out) {
  if (const auto s = straighten(self, mask, Straighten::kKeepRepeats)) {
    const Tensor place = s->place(out);
    run_prod_of<C>(s->self, s->mask, place);
    return s->deliver(place, out);
  }
  constexpr bool kWhole = std::is_integral_v<C>;
  using A = std::conditional_t<kWhole, uint64_t, double>;
  const StoreRow store = store_row(kWhole ? Dtype::Int64 : Dtype::Float64, out.dtype());
  const int64_t item = (int64_t)out.itemsize();
  const auto& table = kernels::table();
  const auto fold = pick<C>(table.prod_rows_f32, table.prod_rows_f64, table.prod_rows_i64);
  const bool done = reduce_columns<C>(
      self, mask, A(1), fold,
      [](int64_t cols, A* acc, const A* other) {
        for (int64_t k = 0; k < cols; k++) acc[k] *= other[k];
      },
      [&](int64_t first, int64_t cols, const A* acc) {
        store(cols, acc, (char*)out.raw() + first * item, item);
      });
  if (done) return;
  if constexpr (!kWhole) {
    int64_t apart = 0;
    const int64_t n = contiguous_row(self, mask, &apart);
    if (self.dtype() == DtypeOf<C>::value && out.dtype() == self.dtype() && n >= 1 && n <= 4096) {
      const C* x = (const C*)self.raw();
      C* y = (C*)out.raw();
      const auto product = pick<C>(table.prod_f32, table.prod_f64);
      parallel_for(0, out.numel(), std::max<int64_t>(1, 32768 / n), [&](int64_t b, int64_t e) {
        for (int64_t o = b; o < e; o++) y[o] = (C)product(n, x + o * apart);
      });
      return;
    }
  }
  const auto value = [](auto& a) -> auto& {
    if constexpr (kWhole)
      return a.i[0];
    else
      return a.f[0];
  };
  auto row = [&](Acc& a, int64_t n, const void* x, int64_t) {
    if constexpr (kWhole)
      value(a) = (A)value(a) * row_product(n, (const C*)x);
    else
      value(a) *= pick<C>(table.prod_f32, table.prod_f64)(n, (const C*)x);
  };
  auto merge = [&](Acc& a, const Acc& b) { value(a) = (A)value(a) * (A)value(b); };
  Acc start{};
  value(start) = 1;
  ElementWriter w(out);
  reduce(self, mask, {DtypeOf<C>::value, start, row, merge},
         [&](int64_t i, const Acc& a) { w.set(i, value(a)); });
}

Tensor run_prod(const Tensor& self, const std::vector<bool>& mask, bool keepdim, Dtype type) {
  Tensor out = empty(reduced_sizes(self, mask, keepdim), type);
  if (is_floating(type) && !is_floating(self.dtype()))
    run_prod_of<double>(self, mask, out);
  else
    dispatch_compute(self.dtype(),
                     [&](auto tag) { run_prod_of<typename decltype(tag)::type>(self, mask, out); });
  return out;
}

Dtype prod_type(const Tensor& self, std::optional<Dtype> dtype) {
  return dtype ? *dtype : is_floating(self.dtype()) ? self.dtype() : Dtype::Int64;
}

}  // namespace

Tensor prod(const Tensor& self, std::optional<Dtype> dtype) {
  const Dtype type = prod_type(self, dtype);
  if (type != self.dtype() && is_floating(type)) return prod(cast(self, type), std::nullopt);
  Tensor out = run_prod(self, std::vector<bool>((size_t)self.dim(), true), false, type);
  if (wants_grad(self) && is_floating(type)) {
    record(out, "ProdBackward0", {self},
           [x = save(self), r = save_output(out)](Backward& ctx, const TensorList& g) {
             const Tensor v = x.get(ctx);
             return TensorList{reshape(prod_backward(g[0], reshape(v, {-1}), r.get(ctx), 0), v.sizes())};
           });
  }
  return out;
}

Tensor prod_dim(const Tensor& self, int64_t dim, bool keepdim, std::optional<Dtype> dtype) {
  const Dtype type = prod_type(self, dtype);
  if (type != self.dtype() && is_floating(type))
    return prod_dim(cast(self, type), dim, keepdim, std::nullopt);
  const int64_t d = wrap_dim(dim, self.dim());
  if (self.dim() == 0) return prod(self, dtype);
  const std::vector<bool> mask = reduced_mask(self, Dims{d});
  Tensor out = run_prod(self, mask, keepdim, type);
  if (wants_grad(self) && is_floating(type)) {
    record(out, "ProdBackward1", {self},
           [x = save(self), r = save_output(out), mask, keepdim, d](Backward& ctx, const TensorList& g) {
             return TensorList{prod_backward(restore_dims(g[0], mask, keepdim), x.get(ctx),
                                             restore_dims(r.get(ctx), mask, keepdim), d)};
           });
  }
  return out;
}

Tensor cumsum(const Tensor& self, int64_t dim, std::optional<Dtype> dtype) {
  const Dtype type = prod_type(self, dtype);
  if (type != self.dtype() && is_floating(self.dtype())) return cumsum(cast(self, type), dim, type);
  const int64_t d = wrap_dim(dim, self.dim());
  Tensor out = scan(self, d, type, kAdd, 0);
  if (wants_grad(self)) {
    record(out, "CumsumBackward0", {self}, [d](Backward&, const TensorList& g) {
      return TensorList{g[0].dim() ? reversed_cumsum(g[0], d) : g[0]};
    });
  }
  return out;
}

Tensor cumprod(const Tensor& self, int64_t dim, std::optional<Dtype> dtype) {
  const Dtype type = prod_type(self, dtype);
  if (type != self.dtype() && is_floating(self.dtype())) return cumprod(cast(self, type), dim, type);
  const int64_t d = wrap_dim(dim, self.dim());
  Tensor out = scan(self, d, type, kMultiply, 1);
  if (wants_grad(self)) {
    record(out, "CumprodBackward0", {self},
           [x = save(self), r = save_output(out), d](Backward& ctx, const TensorList& g) {
             return TensorList{cumprod_backward(g[0], x.get(ctx), r.get(ctx), d)};
           });
  }
  return out;
}

Tensor logcumsumexp(const Tensor& self, int64_t dim) {
  if (!is_floating(self.dtype()))
    throw NotImplementedError(
        concat("\"logcumsumexp_out_cpu\" not implemented for '", dtype_legacy_name(self.dtype()), "'"));
  const int64_t d = wrap_dim(dim, self.dim());
  Tensor out = scan(self, d, self.dtype(), kLogAdd, std::nullopt);
  if (wants_grad(self)) {
    record(out, "LogcumsumexpBackward0", {self},
           [x = save(self), r = save_output(out), d](Backward& ctx, const TensorList& g) {
             // Positive and negative gradients separately, in logarithms.
             const Tensor v = x.get(ctx), y = r.get(ctx), size = log(abs(g[0]));
             // Finite: infinities would leave NaN in the gradients of this.
             const Tensor none = wrapped_number(v.dtype() == Dtype::Float64   ? -1e308
                                                : v.dtype() == Dtype::Float16 ? -6e4
                                                                              : -3e38);
             auto side = [&](const Tensor& of) {
               if (v.dim() == 0) return exp((of - y) + v);
               return exp(flip(logcumsumexp(flip(of - y, {d}), d), {d}) + v);
             };
             return TensorList{side(where(gt(g[0], wrapped_number(0)), size, none)) -
                               side(where(lt(g[0], wrapped_number(0)), size, none))};
           });
  }
  return out;
}

namespace {

// The last of equals, and NaN from where it first stands.
template <bool Max, class T>
inline bool takes_over(T v, T best) {
  return v != v || (best == best && (Max ? v >= best : v <= best));
}

template <bool Max, class T>
void extreme_row(int64_t n, const T* x, T* y, int64_t* at) {
  constexpr int kGroup = 16;
  T best = x[0];
  int64_t where = 0, i = 0;
  for (; i < n;) {
    // Mostly a whole group changes nothing.
    bool changes = n - i < kGroup;
    if (!changes)
      for (int k = 0; k < kGroup; k++) changes |= !(Max ? x[i + k] < best : x[i + k] > best);
    const int64_t end = std::min(n, i + kGroup);
    if (changes) {
      for (; i < end; i++) {
        if (takes_over<Max>(x[i], best)) best = x[i], where = i;
        y[i] = best;
        at[i] = where;
      }
    } else {
      for (int k = 0; k < kGroup; k++) y[i + k] = best;
      for (int k = 0; k < kGroup; k++) at[i + k] = where;
      i = end;
    }
  }
}

// kRows short rows at once and without branches, so that none waits for another: in the first values of a row
// a new extreme is likely, but not to be foreseen.
constexpr int64_t kManyChanges = 48;
template <bool Max, int kRows, class T>
void extreme_of_rows(int64_t n, const T* x, T* y, int64_t* at) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  T best[kRows];
  int64_t where[kRows] = {};
  for (int r = 0; r < kRows; r++) best[r] = x[r * n];
  for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r++) {
      const T v = x[r * n + i], old = best[r];
      const bool take = (v != v) | ((old == old) & (Max ? v >= old : v <= old));
      const Bits chosen = Bits(0) - Bits(take);
      Bits a, b;
      std::memcpy(&a, &v, sizeof v), std::memcpy(&b, &old, sizeof v);
      a = (a & chosen) | (b & ~chosen);
      std::memcpy(&best[r], &a, sizeof v);
      where[r] = take ? i : where[r];
      std::memcpy(&y[r * n + i], &a, sizeof v);
      at[r * n + i] = where[r];
    }
  }
}
template <bool Max, class T>
void extreme_of_short_rows(const Extent& e, const T* x, T* y, int64_t* at) {
  constexpr int kRows = 4;
  parallel_for(0, e.outer, std::max<int64_t>(1, 8192 / e.n), [&](int64_t r, int64_t end) {
    for (; r + kRows <= end; r += kRows)
      extreme_of_rows<Max, kRows>(e.n, x + r * e.n, y + r * e.n, at + r * e.n);
    for (; r < end; r++) extreme_of_rows<Max, 1>(e.n, x + r * e.n, y + r * e.n, at + r * e.n);
  });
}

template <bool Max, class T>
void extreme_columns(const Extent& e, const T* x, T* y, int64_t* at) {
  each_strip(e, [&](int64_t from, int64_t n) {
    T best[128];
    int64_t where[128];
    for (int64_t k = 0; k < n; k++) best[k] = x[from + k], where[k] = 0;
    for (int64_t r = 0; r < e.n; r++) {
      const int64_t row = from + r * e.inner;
      for (int64_t k = 0; k < n; k++) {
        const T v = x[row + k];
        const bool take = takes_over<Max>(v, best[k]);
        y[row + k] = best[k] = take ? v : best[k];
        at[row + k] = where[k] = take ? r : where[k];
      }
    }
  });
}

template <bool Max>
std::pair<Tensor, Tensor> run_cumulative_extreme(const Tensor& self, int64_t d) {
  if (is_reduced_float(self.dtype())) {  // at once: converted row by row they would take longer
    auto r = run_cumulative_extreme<Max>(cast_values(self, Dtype::Float32), d);
    return {cast_values(r.first, self.dtype()), r.second};
  }
  Tensor values = empty(self.sizes(), self.dtype()), indices = empty(self.sizes(), Dtype::Int64);
  const int64_t n = self.dim() ? self.sizes()[(size_t)d] : 1;
  if (self.numel() > 0) {
    dispatch_compute(self.dtype(), [&](auto tag) {
      using C = typename decltype(tag)::type;
      const Dtype c = DtypeOf<C>::value;
      const Extent e(self.sizes(), d);
      if (self.is_contiguous() && self.dtype() == c) {
        const C* x = self.data<C>();
        C* y = values.data<C>();
        int64_t* at = indices.data<int64_t>();
        if (e.inner > 1) return extreme_columns<Max>(e, x, y, at);
        if (e.n <= kManyChanges) return extreme_of_short_rows<Max>(e, x, y, at);
      }
      for_each_lane(
          {{&self, c}, {&values, c, true}, {&indices, Dtype::Int64, true}}, d,
          [&](void* const* rows) { extreme_row<Max>(n, (const C*)rows[0], (C*)rows[1], (int64_t*)rows[2]); });
    });
  }
  return {values, indices};
}

template <bool Max>
std::pair<Tensor, Tensor> cumulative_extreme(const Tensor& self, int64_t dim, const char* node) {
  const int64_t d = wrap_dim(dim, self.dim());
  Tensor values, indices;
  std::tie(values, indices) = run_cumulative_extreme<Max>(self, d);
  if (wants_grad(self)) {
    record(values, node, {self}, [at = save(indices), d](Backward& ctx, const TensorList& g) {
      if (g[0].dim() == 0) return TensorList{g[0]};
      return TensorList{scatter_add(zeros(g[0].sizes(), g[0].dtype()), d, at.get(ctx), g[0])};
    });
  }
  return {values, indices};
}

}  // namespace

std::pair<Tensor, Tensor> cummax(const Tensor& self, int64_t dim) {
  return cumulative_extreme<true>(self, dim, "CummaxBackward0");
}
std::pair<Tensor, Tensor> cummin(const Tensor& self, int64_t dim) {
  return cumulative_extreme<false>(self, dim, "CumminBackward0");
}

}  // namespace nnlib::ops
