// Sums, means and products.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reducer.h"
#include "ops/shape.h"
#include "ops/sparse_math.h"

namespace nnlib::ops {

namespace {

template <class T>
double plain_sum(int64_t n, const T* x) {
  double a = 0, b = 0;  // two chains, so that additions overlap
  int64_t i = 0;
  for (; i + 2 <= n; i += 2) a += x[i], b += x[i + 1];
  return a + b + (i < n ? x[i] : 0);
}

// A float32 tensor whose kept dimensions lie innermost and contiguous: whole rows are added up.
bool sum_columns(const Tensor& self, const std::vector<bool>& mask, const Tensor& out, double scale) {
  if (self.dtype() != Dtype::Float32 || out.dtype() != Dtype::Float32 || !self.is_contiguous()) return false;
  const int n = (int)mask.size();
  int i = n - 1;
  int64_t cols = 1, rows = 1;
  for (; i >= 0 && !mask[(size_t)i]; i--) cols *= self.sizes()[(size_t)i];
  for (; i >= 0 && mask[(size_t)i]; i--) rows *= self.sizes()[(size_t)i];
  for (; i >= 0; i--)
    if (self.sizes()[(size_t)i] != 1) return false;
  if (cols < 8 || rows < 2) return false;
  const float* x = (const float*)self.raw();
  float* y = (float*)out.raw();
  const auto& k = kernels::table();
  constexpr int64_t kCols = 256;
  const int64_t strips = (cols + kCols - 1) / kCols;
  const int64_t chunk = std::max<int64_t>(16, 65536 / std::min(cols, kCols)) / 16 * 16;
  const int64_t chunks = (rows + chunk - 1) / chunk;
  std::vector<double> parts((size_t)(chunks * cols), 0.0);
  parallel_for(0, chunks * strips, 1, [&](int64_t b, int64_t e) {
    for (int64_t j = b; j < e; j++) {
      const int64_t c = j / strips, r0 = c * chunk, c0 = j % strips * kCols;
      k.sum_rows_f32(std::min(chunk, rows - r0), std::min(kCols, cols - c0), x + r0 * cols + c0, cols,
                     parts.data() + c * cols + c0);
    }
  });
  for (int64_t j = 0; j < cols; j++) {
    double total = 0;
    for (int64_t c = 0; c < chunks; c++) total += parts[(size_t)(c * cols + j)];
    y[j] = (float)(total * scale);
  }
  return true;
}

// out = scale * sum(self) without history.
void sum_into(const Tensor& out, const Tensor& self, const std::vector<bool>& mask, double scale,
              bool skip_nan) {
  if (!skip_nan && sum_columns(self, mask, out, scale)) return;
  const Dtype compute =
      is_floating(out.dtype()) && !is_floating(self.dtype()) ? Dtype::Float64 : compute_dtype(self.dtype());
  const auto& k = kernels::table();
  auto row = [&](Acc& a, int64_t n, const void* x, int64_t) {
    if (compute == Dtype::Int64) {
      const int64_t* v = (const int64_t*)x;
      uint64_t t = (uint64_t)a.i[0];
      for (int64_t i = 0; i < n; i++) t += (uint64_t)v[i];
      a.i[0] = (int64_t)t;
    } else if (skip_nan) {
      auto add = [&](auto* v) {
        for (int64_t i = 0; i < n; i++)
          if (v[i] == v[i]) a.f[0] += v[i], a.i[0]++;
      };
      compute == Dtype::Float32 ? add((const float*)x) : add((const double*)x);
    } else {
      a.f[0] += compute == Dtype::Float32 ? k.sum_f32(n, (const float*)x) : plain_sum(n, (const double*)x);
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
  sum_into(out, self, mask, 1, false);
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
  sum_into(out, self, mask, 1 / n, false);
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
  if (dtype && *dtype != self.dtype()) return nansum(cast(self, *dtype), dims, keepdim, std::nullopt);
  const std::vector<bool> mask = reduced_mask(self, dims);
  Tensor out = empty(reduced_sizes(self, mask, keepdim), self.dtype());
  sum_into(out, self, mask, 1, true);
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
  return sum_to_size(self, size);
}

}  // namespace nnlib::ops
