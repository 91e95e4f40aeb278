// Sums, means and products.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reduce_columns.h"
#include "ops/reducer.h"
#include "ops/shape.h"
#include "ops/sparse_math.h"

namespace nnlib::ops {

namespace {

// The sum of n values by the kernel.
double sum_of(int64_t n, const float* x) { return kernels::table().sum_f32(n, x); }
double sum_of(int64_t n, const double* x) { return kernels::table().sum_f64(n, x); }
double sum_of(int64_t n, const BFloat16* x) { return kernels::table().sum_bf16(n, &x->bits); }
double sum_of(int64_t n, const Half* x) { return kernels::table().sum_f16(n, &x->bits); }

// acc[j] += the sum of column j.
void fold_sum(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  kernels::table().sum_rows_f32(rows, cols, x, ld, acc);
}
void fold_sum(int64_t rows, int64_t cols, const double* x, int64_t ld, double* acc) {
  kernels::table().sum_rows_f64(rows, cols, x, ld, acc);
}
void fold_sum(int64_t rows, int64_t cols, const BFloat16* x, int64_t ld, double* acc) {
  kernels::table().sum_rows_bf16(rows, cols, &x->bits, ld, acc);
}
void fold_sum(int64_t rows, int64_t cols, const Half* x, int64_t ld, double* acc) {
  kernels::table().sum_rows_f16(rows, cols, &x->bits, ld, acc);
}
void fold_sum(int64_t rows, int64_t cols, const int64_t* x, int64_t ld, uint64_t* acc) {
  kernels::table().sum_rows_i64(rows, cols, x, ld, acc);
}
void add_sums(int64_t cols, double* acc, const double* other) { fold_sum(1, cols, other, cols, acc); }
void add_sums(int64_t cols, uint64_t* acc, const uint64_t* other) {
  for (int64_t j = 0; j < cols; j++) acc[j] += other[j];
}

// Sums of rows of integers.
bool sum_integer_rows(const Tensor& self, const std::vector<bool>& mask, const Tensor& out) {
  int64_t apart = 0;
  const int64_t n = contiguous_row(self, mask, &apart);
  if (self.dtype() != Dtype::Int64 || out.dtype() != Dtype::Int64 || n < 1 || n > 4096) return false;
  const int64_t* x = self.data<int64_t>();
  int64_t* y = out.data<int64_t>();
  parallel_for(0, out.numel(), std::max<int64_t>(1, 32768 / n), [&](int64_t b, int64_t e) {
    constexpr int64_t kShort = 32;  // the call would take longer
    for (int64_t o = b; o < e; o++) {
      const int64_t* const row = x + o * apart;
      uint64_t sum = 0;
      for (int64_t i = 0; n < kShort && i < n; i++) sum += (uint64_t)row[i];
      y[o] = n < kShort ? (int64_t)sum : kernels::table().sum_i64(n, row);
    }
  });
  return true;
}

// A sum whose outputs lie beside each other.
template <class C>
bool sum_columns(const Tensor& self, const std::vector<bool>& mask, const Tensor& out, double scale) {
  // Integers wrap.
  using A = std::conditional_t<std::is_integral_v<C>, uint64_t, double>;
  constexpr Dtype kSum = std::is_integral_v<C> ? Dtype::Int64 : Dtype::Float64;
  const StoreRow store = store_row(kSum, out.dtype());
  const int64_t item = (int64_t)out.itemsize();
  return reduce_columns<C>(
      self, mask, A(0),
      [](int64_t rows, int64_t cols, const C* x, int64_t ld, A* acc) { fold_sum(rows, cols, x, ld, acc); },
      [](int64_t cols, A* acc, const A* other) { add_sums(cols, acc, other); },
      [&](int64_t first, int64_t cols, A* acc) {
        if constexpr (!std::is_integral_v<C>)
          for (int64_t j = 0; scale != 1 && j < cols; j++) acc[j] *= scale;
        store(cols, acc, (char*)out.raw() + first * item, item);
      });
}

// The same of a few rows of floats, added up as they are.
bool sum_few_rows(const Tensor& self, const std::vector<bool>& mask, const Tensor& out, double scale) {
  constexpr int64_t kFew = 4;
  if (self.dtype() != Dtype::Float32 || out.dtype() != Dtype::Float32 || reduced_count(self, mask) > kFew)
    return false;
  const auto add = kernels::table().add_f32;
  return reduce_columns<float>(
      self, mask, 0.f,
      [add](int64_t rows, int64_t cols, const float* x, int64_t ld, float* acc) {
        for (int64_t r = 0; r < rows; r++) add(cols, acc, x + r * ld, acc);
      },
      [add](int64_t cols, float* acc, const float* other) { add(cols, acc, other, acc); },
      [&](int64_t first, int64_t cols, const float* acc) {
        float* const y = out.data<float>() + first;
        for (int64_t j = 0; j < cols; j++) y[j] = (float)(acc[j] * scale);
      });
}

// Sums of short rows that lie together.
template <class T>
bool sum_short_rows(const Tensor& self, const std::vector<bool>& mask, const Tensor& out, double scale) {
  int64_t apart = 0;
  const int64_t n = contiguous_row(self, mask, &apart);
  if (out.dtype() != self.dtype() || n < 1 || n > 4096) return false;
  const T* x = (const T*)self.raw();
  T* y = (T*)out.raw();
  parallel_for(0, out.numel(), std::max<int64_t>(1, 32768 / n), [&](int64_t b, int64_t e) {
    if constexpr (std::is_same_v<T, float>) {
      if (n <= 24 && apart == n) {
        kernels::table().sum_short_rows_f32(e - b, n, x + b * n, y + b);
        for (int64_t o = b; scale != 1 && o < e; o++) y[o] = (float)(y[o] * scale);
        return;
      }
    }
    for (int64_t o = b; o < e; o++) y[o] = (T)(compute_t<T>)(sum_of(n, x + o * apart) * scale);
  });
  return true;
}

// out = scale * sum(self) without history; out is contiguous.
void sum_into(const Tensor& out, const Tensor& self, const std::vector<bool>& mask, double scale) {
  if (const auto s = straighten(self, mask, Straighten::kDropRepeats)) {
    const Tensor place = s->place(out);
    const bool whole = !is_floating(out.dtype());
    sum_into(place, s->self, s->mask, whole ? scale : scale * (double)s->repeats);
    if (whole && s->repeats != 1) copy_values(place, place * Scalar(s->repeats));
    return s->deliver(place, out);
  }
  // Floats come as they are, others in the type that they are added in.
  const Dtype compute = is_floating(self.dtype())  ? self.dtype()
                        : is_floating(out.dtype()) ? Dtype::Float64
                                                   : Dtype::Int64;
  bool done = false;
  if (is_floating(self.dtype()))
    dispatch_floating(self.dtype(), "sum", [&](auto tag) {
      using T = typename decltype(tag)::type;
      done = sum_short_rows<T>(self, mask, out, scale) || sum_few_rows(self, mask, out, scale) ||
             sum_columns<T>(self, mask, out, scale);
    });
  else
    done = compute == Dtype::Int64
               ? sum_integer_rows(self, mask, out) || sum_columns<int64_t>(self, mask, out, scale)
               : sum_columns<double>(self, mask, out, scale);
  if (done) return;
  auto row = [&](Acc& a, int64_t n, const void* x, int64_t) {
    if (compute == Dtype::Int64) {
      a.i[0] = (int64_t)((uint64_t)a.i[0] + (uint64_t)kernels::table().sum_i64(n, (const int64_t*)x));
    } else {
      dispatch_floating(compute, "sum",
                        [&](auto tag) { a.f[0] += sum_of(n, (const typename decltype(tag)::type*)x); });
    }
  };
  auto merge = [](Acc& a, const Acc& b) {
    a.f[0] += b.f[0];
    a.i[0] = (int64_t)((uint64_t)a.i[0] + (uint64_t)b.i[0]);
  };
  ElementWriter w(out);
  reduce(self, mask, {compute, Acc{}, row, merge}, [&](int64_t i, const Acc& a) {
    if (compute == Dtype::Int64)
      w.set(i, a.i[0]);
    else
      w.set(i, a.f[0] * scale);
  });
}

// A gradient of a reduction, brought back to the input's sizes.
Tensor expand_back(const Tensor& g, const Dims& sizes, const std::vector<bool>& mask, bool keepdim) {
  return expand(restore_dims(g, mask, keepdim), sizes);
}

}  // namespace

Tensor sum(const Tensor& self, std::optional<Dims> dims, bool keepdim, std::optional<Dtype> dtype) {
  if (self.is_sparse() && !dims) return dtype ? cast(sparse_sum(self), *dtype) : sparse_sum(self);
  const Dtype type = dtype ? *dtype : is_floating(self.dtype()) ? self.dtype() : Dtype::Int64;
  if (is_floating(type) && is_floating(self.dtype()) && dtype && *dtype != self.dtype())
    return sum(cast(self, type), dims, keepdim, std::nullopt);
  if (!is_floating(type) && is_floating(self.dtype())) return sum(cast(self, type), dims, keepdim, dtype);
  const std::vector<bool> mask = reduced_mask(self, dims);
  if (self.dtype() == Dtype::Bool && type == Dtype::Int64) {
    const Tensor count = count_nonzero(self, dims);
    return basic_ops().view(count, reduced_sizes(self, mask, keepdim));
  }
  Tensor out = empty(reduced_sizes(self, mask, keepdim), type);
  sum_into(out, self, mask, 1);
  if (wants_grad(self)) {
    record(out, dims ? "SumBackward1" : "SumBackward0", {self},
           [sizes = self.sizes(), mask, keepdim](Backward&, const TensorList& g) {
             return TensorList{expand_back(g[0], sizes, mask, keepdim)};
           });
  }
  return out;
}

Tensor mean(const Tensor& self, std::optional<Dims> dims, bool keepdim, std::optional<Dtype> dtype) {
  const Dtype type = dtype ? *dtype : self.dtype();
  NNLIB_CHECK(is_floating(type),
              "mean(): could not infer output dtype. Input dtype must be either a floating point or "
              "complex dtype. Got: ",
              dtype_legacy_name(type));
  if (type != self.dtype() && is_floating(self.dtype()))
    return mean(cast(self, type), dims, keepdim, std::nullopt);
  const std::vector<bool> mask = reduced_mask(self, dims);
  const double n = (double)reduced_count(self, mask);
  Tensor out = empty(reduced_sizes(self, mask, keepdim), type);
  sum_into(out, self, mask, 1 / n);
  if (wants_grad(self)) {
    record(out, dims ? "MeanBackward1" : "MeanBackward0", {self},
           [sizes = self.sizes(), mask, keepdim, n](Backward&, const TensorList& g) {
             return TensorList{expand_back(g[0] * Scalar(1 / n), sizes, mask, keepdim)};
           });
  }
  return out;
}

Tensor nansum(const Tensor& self, std::optional<Dims> dims, bool keepdim, std::optional<Dtype> dtype) {
  if (!is_floating(self.dtype())) return sum(self, dims, keepdim, dtype);
  if (dtype && *dtype != self.dtype()) return nansum(cast(self, *dtype), dims, keepdim, dtype);
  const std::vector<bool> mask = reduced_mask(self, dims);
  Tensor out = empty(reduced_sizes(self, mask, keepdim), self.dtype());
  sum_into(out, self, mask, 1);
  // A sum that is no NaN has met none.
  if (any(isnan(detach(out)), std::nullopt, false).item().to_bool())
    sum_into(out, where(isnan(detach(self)), wrapped_number(0.0), detach(self)), mask, 1);
  if (wants_grad(self)) {
    record(
        out, "NansumBackward0", {self}, [x = save(self), mask, keepdim](Backward& ctx, const TensorList& g) {
          return TensorList{where(isnan(x.get(ctx)), wrapped_number(0.0), restore_dims(g[0], mask, keepdim))};
        });
  }
  return out;
}

Tensor nanmean(const Tensor& self, std::optional<Dims> dims, bool keepdim, std::optional<Dtype> dtype) {
  NNLIB_CHECK(is_floating(self.dtype()),
              "nanmean(): expected input to have floating point or complex dtype but got ",
              dtype_legacy_name(self.dtype()));
  const Tensor count = sum(logical_not(isnan(self)), dims, keepdim);
  return nansum(self, dims, keepdim, dtype) / count;
}

Tensor sum_to_size_op(const Tensor& self, const Dims& size) {
  NNLIB_CHECK(is_expandable_to(size, self.sizes()), "size {", size, "} is not expandable to size {",
              self.sizes(), "}.");
  // Sums of integers have 64 bits, as everywhere; without a sum the type stays.
  return sum_to_size(
      is_floating(self.dtype()) || size == self.sizes() ? self : cast_values(self, Dtype::Int64), size);
}

}  // namespace nnlib::ops
