// Running sums, products, extremes and log-sums along a dimension; the product of a dimension with its
// gradient.
#include <cmath>

#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/lanes.h"
#include "ops/reduce.h"
#include "ops/reducer.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// out[i] = step(out[i - 1], x[i]) along dim; floats run in double.
template <class F, class I>
Tensor scan(const Tensor& self, int64_t dim, Dtype type, const F& step, const I& integer_step) {
  Tensor out = empty_like(self, type);
  const bool floating = is_floating(type);
  const Dtype c = floating ? Dtype::Float64 : Dtype::Int64;
  const int64_t n = self.dim() ? self.sizes()[(size_t)dim] : 1;
  if (self.numel() == 0) return out;
  for_each_lane({{&self, c}, {&out, c, true}}, dim, [&](void* const* rows) {
    if (floating) {
      const double* x = (const double*)rows[0];
      double *y = (double*)rows[1], v = y[0] = x[0];
      for (int64_t i = 1; i < n; i++) y[i] = v = step(v, x[i]);
    } else {
      const int64_t* x = (const int64_t*)rows[0];
      int64_t *y = (int64_t*)rows[1], v = y[0] = x[0];
      for (int64_t i = 1; i < n; i++) y[i] = v = integer_step(v, x[i]);
    }
  });
  return out;
}

Tensor reversed_cumsum(const Tensor& g, int64_t dim) {
  return flip(cumsum(flip(g, {dim}), dim, std::nullopt), {dim});
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

Tensor run_prod(const Tensor& self, const std::vector<bool>& mask, bool keepdim, Dtype type) {
  Tensor out = empty(reduced_sizes(self, mask, keepdim), type);
  const bool floating = is_floating(type);
  auto row = [&](Acc& a, int64_t n, const void* x, int64_t) {
    if (floating) {
      for (int64_t i = 0; i < n; i++) a.f[0] *= ((const double*)x)[i];
    } else {
      uint64_t t = (uint64_t)a.i[0];
      for (int64_t i = 0; i < n; i++) t *= (uint64_t)((const int64_t*)x)[i];
      a.i[0] = (int64_t)t;
    }
  };
  auto merge = [](Acc& a, const Acc& b) {
    a.f[0] *= b.f[0];
    a.i[0] = (int64_t)((uint64_t)a.i[0] * (uint64_t)b.i[0]);
  };
  Acc start{};
  start.f[0] = 1;
  start.i[0] = 1;
  ElementWriter w(out);
  reduce(self, mask, {floating ? Dtype::Float64 : Dtype::Int64, start, row, merge},
         [&](int64_t i, const Acc& a) { floating ? w.set(i, a.f[0]) : w.set(i, a.i[0]); });
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
  if (wants_grad(self)) {
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
  if (wants_grad(self)) {
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
  if (type != self.dtype() && is_floating(self.dtype())) return cumsum(cast(self, type), dim, std::nullopt);
  const int64_t d = wrap_dim(dim, self.dim());
  Tensor out = scan(
      self, d, type, [](double a, double b) { return a + b; },
      [](int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); });
  if (wants_grad(self)) {
    record(out, "CumsumBackward0", {self}, [d](Backward&, const TensorList& g) {
      return TensorList{g[0].dim() ? reversed_cumsum(g[0], d) : g[0]};
    });
  }
  return out;
}

Tensor cumprod(const Tensor& self, int64_t dim, std::optional<Dtype> dtype) {
  const Dtype type = prod_type(self, dtype);
  if (type != self.dtype() && is_floating(self.dtype())) return cumprod(cast(self, type), dim, std::nullopt);
  const int64_t d = wrap_dim(dim, self.dim());
  Tensor out = scan(
      self, d, type, [](double a, double b) { return a * b; },
      [](int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); });
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
  auto step = [](double a, double b) {
    if (a != a || b != b) return (double)NAN;
    const double low = std::min(a, b), high = std::max(a, b);
    return low != high || std::isfinite(low) ? high + std::log1p(std::exp(low - high)) : high;
  };
  Tensor out = scan(self, d, self.dtype(), step, [](int64_t, int64_t b) { return b; });
  if (wants_grad(self)) {
    record(out, "LogcumsumexpBackward0", {self},
           [x = save(self), r = save_output(out), d](Backward& ctx, const TensorList& g) {
             // Positive and negative gradients separately, in logarithms.
             const Tensor v = x.get(ctx), y = r.get(ctx), size = log(abs(g[0])),
                          none = wrapped_number((double)-INFINITY);
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

template <bool Max, class T>
void extreme_row(int64_t n, const T* x, T* y, int64_t* at) {
  T best = x[0];
  int64_t where = 0;
  for (int64_t i = 0; i < n; i++) {
    // The last of equals, and NaN from where it first stands.
    if (x[i] != x[i] || (best == best && (Max ? x[i] >= best : x[i] <= best))) best = x[i], where = i;
    y[i] = best;
    at[i] = where;
  }
}

template <bool Max>
std::pair<Tensor, Tensor> cumulative_extreme(const Tensor& self, int64_t dim, const char* node) {
  const int64_t d = wrap_dim(dim, self.dim());
  Tensor values = empty(self.sizes(), self.dtype()), indices = empty(self.sizes(), Dtype::Int64);
  const int64_t n = self.dim() ? self.sizes()[(size_t)d] : 1;
  if (self.numel() > 0) {
    dispatch_compute(self.dtype(), [&](auto tag) {
      using C = typename decltype(tag)::type;
      const Dtype c = DtypeOf<C>::value;
      for_each_lane(
          {{&self, c}, {&values, c, true}, {&indices, Dtype::Int64, true}}, d,
          [&](void* const* rows) { extreme_row<Max>(n, (const C*)rows[0], (C*)rows[1], (int64_t*)rows[2]); });
    });
  }
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
