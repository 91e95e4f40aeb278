// Vector norms of any order.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/reduce_columns.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace {

template <class T>
void norm_row(Acc& a, int64_t n, const T* x, double p) {
  double t = a.f[0];
  if (p == 0) {
    for (int64_t i = 0; i < n; i++) t += x[i] != 0;
  } else if (p == 1) {
    constexpr int kChains = 8;  // additions overlap
    double part[kChains] = {};
    int64_t i = 0;
    for (; i + kChains <= n; i += kChains)
      for (int k = 0; k < kChains; k++) part[k] += std::abs((double)x[i + k]);
    for (; i < n; i++) t += std::abs((double)x[i]);
    for (double v : part) t += v;
  } else if (p == 2) {
    if constexpr (std::is_same_v<T, float>)
      t += kernels::table().sum_squares_f32(n, x, 0);
    else
      t += kernels::table().sum_squares_f64(n, x, 0);
  } else if (std::isinf(p)) {
    for (int64_t i = 0; i < n; i++) {
      const double v = std::abs((double)x[i]);
      if (t == t && (v != v || (p > 0 ? v > t : v < t))) t = v;
    }
  } else if (p > 0 && p <= 8 && p == std::floor(p)) {
    constexpr int64_t kPart = 64;  // powers as products, some values beside each other
    double size[kPart], power[kPart], part[8] = {};
    for (int64_t from = 0; from < n; from += kPart) {
      const int64_t m = std::min(kPart, n - from);
      for (int64_t i = 0; i < kPart; i++) power[i] = size[i] = i < m ? std::abs((double)x[from + i]) : 0;
      for (int e = 1; e < (int)p; e++)
        for (int64_t i = 0; i < kPart; i++) power[i] *= size[i];
      for (int64_t i = 0; i < kPart; i++) part[i % 8] += power[i];
    }
    for (double v : part) t += v;
  } else {
    for (int64_t i = 0; i < n; i++) t += std::pow(std::abs((double)x[i]), p);
  }
  a.f[0] = t;
}

// Norms of order 1 and 2 whose outputs lie beside each other.
template <class C>
bool norm_columns(const Tensor& self, const std::vector<bool>& mask, double p, const Tensor& out) {
  const StoreRow store = store_row(Dtype::Float64, out.dtype());
  const int64_t item = (int64_t)out.itemsize();
  return reduce_columns<C>(
      self, mask, 0.0,
      [p](int64_t rows, int64_t cols, const C* x, int64_t ld, double* acc) {
        for (int64_t r = 0; r < rows; r++, x += ld) {
          if (p == 1)
            for (int64_t j = 0; j < cols; j++) acc[j] += std::abs((double)x[j]);
          else
            for (int64_t j = 0; j < cols; j++) acc[j] += (double)x[j] * (double)x[j];
        }
      },
      [](int64_t cols, double* acc, const double* other) {
        for (int64_t j = 0; j < cols; j++) acc[j] += other[j];
      },
      [&](int64_t first, int64_t cols, double* acc) {
        if (p == 2)
          for (int64_t j = 0; j < cols; j++) acc[j] = std::sqrt(acc[j]);
        store(cols, acc, (char*)out.raw() + first * item, item);
      });
}

// The norm whose sum (or extreme) is t.
double norm_of_sum(double t, double p) {
  return p == 0 || p == 1 || std::isinf(p) ? t : p == 2 ? std::sqrt(t) : std::pow(t, 1 / p);
}

Acc norm_start(double p) {
  Acc start{};
  if (p == -INFINITY) start.f[0] = INFINITY;
  return start;
}

template <class T>
double norm_of_row(int64_t n, const T* x, double p) {
  Acc a = norm_start(p);
  norm_row(a, n, x, p);
  return norm_of_sum(a.f[0], p);
}

double squares_of(Dtype type, int64_t n, const void* x) {
  const auto& k = kernels::table();
  switch (type) {
    case Dtype::Float32:
      return k.sum_squares_f32(n, (const float*)x, 0);
    case Dtype::Float64:
      return k.sum_squares_f64(n, (const double*)x, 0);
    case Dtype::BFloat16:
      return k.sum_squares_bf16(n, (const uint16_t*)x, 0);
    default:
      return k.sum_squares_f16(n, (const uint16_t*)x, 0);
  }
}

// Norms of order 2 of rows that lie together.
bool norm_rows(const Tensor& self, const std::vector<bool>& mask, double p, const Tensor& out) {
  int64_t apart = 0;
  const int64_t n = contiguous_row(self, mask, &apart);
  if (p != 2 || n < 1 || n > 4096) return false;
  const ElementWriter w(out);
  const char* x = (const char*)self.raw();
  const int64_t step = apart * (int64_t)self.itemsize();
  parallel_for(0, out.numel(), std::max<int64_t>(1, 32768 / n), [&](int64_t b, int64_t e) {
    for (int64_t o = b; o < e; o++) w.set(o, std::sqrt(squares_of(self.dtype(), n, x + o * step)));
  });
  return true;
}

void norm_into(const Tensor& out, const Tensor& self, const std::vector<bool>& mask, double p) {
  if (const auto s = straighten(self, mask, Straighten::kKeepRepeats)) {
    const Tensor place = s->place(out);
    norm_into(place, s->self, s->mask, p);
    return s->deliver(place, out);
  }
  if (norm_rows(self, mask, p, out)) return;
  const Dtype c = compute_dtype(self.dtype());
  if (p == 1 || p == 2) {
    const bool done = c == Dtype::Float32 ? norm_columns<float>(self, mask, p, out)
                                          : norm_columns<double>(self, mask, p, out);
    if (done) return;
  }
  auto row = [&](Acc& a, int64_t n, const void* x, int64_t) {
    if (p == 2) return void(a.f[0] += squares_of(self.dtype(), n, x));
    c == Dtype::Float32 ? norm_row(a, n, (const float*)x, p) : norm_row(a, n, (const double*)x, p);
  };
  auto merge = [p](Acc& a, const Acc& b) {
    const double v = b.f[0];
    if (!std::isinf(p))
      a.f[0] += v;
    else if (a.f[0] == a.f[0] && (v != v || (p > 0 ? v > a.f[0] : v < a.f[0])))
      a.f[0] = v;
  };
  ElementWriter w(out);
  reduce(self, mask, {p == 2 ? self.dtype() : c, norm_start(p), row, merge},
         [&](int64_t i, const Acc& a) { w.set(i, norm_of_sum(a.f[0], p)); });
}

Tensor run_norm(const Tensor& self, const std::vector<bool>& mask, double p, bool keepdim) {
  Tensor out = empty(reduced_sizes(self, mask, keepdim), self.dtype());
  NNLIB_CHECK(!(std::isinf(p) || p < 0) || reduced_count(self, mask) > 0 || out.numel() == 0,
              "linalg.vector_norm cannot compute the ", p,
              " norm on an empty tensor because the operation does not "
              "have an identity");
  norm_into(out, self, mask, p);
  return out;
}

Tensor norm_backward(const Tensor& g, const Tensor& x, const Tensor& norm, double p,
                     const std::vector<bool>& mask) {
  const Tensor none = wrapped_number(0.0), zero = wrapped_number(0);
  if (p == 0) return x * Scalar(0.0);
  if (p == 1) return sign(x) * g;
  if (p == 2) return x * where(eq(norm, zero), none, g / norm);
  if (std::isinf(p)) {
    const Tensor at = eq(abs(x), norm);
    return sign(x) * where(at, g / sum(cast(at, x.dtype()), mask_dims(mask), true), none);
  }
  if (p < 1) {
    const Tensor scaled = where(eq(x, zero), none, sign(x) * pow(abs(x), wrapped_number(p - 1)));
    return scaled * g * pow(norm, wrapped_number(1 - p));
  }
  const Tensor scale = where(eq(norm, zero), none, g / pow(norm, wrapped_number(p - 1)));
  if (p < 2) return sign(x) * pow(abs(x), wrapped_number(p - 1)) * scale;
  return x * pow(abs(x), wrapped_number(p - 2)) * scale;
}

}  // namespace

double row_norm(int64_t n, const float* x, double p) { return norm_of_row(n, x, p); }
double row_norm(int64_t n, const double* x, double p) { return norm_of_row(n, x, p); }

Tensor vector_norm(const Tensor& self, Scalar ord, std::optional<Dims> dims, bool keepdim,
                   std::optional<Dtype> dtype) {
  NNLIB_CHECK(is_floating(self.dtype()),
              "linalg.vector_norm: Expected a floating point or complex tensor as input. Got ",
              dtype_legacy_name(self.dtype()));
  if (dtype && *dtype != self.dtype()) {
    NNLIB_CHECK(is_floating(*dtype), "linalg.vector_norm: dtype should be floating point or complex. Got ",
                dtype_legacy_name(*dtype));
    return vector_norm(cast(self, *dtype), ord, dims, keepdim, std::nullopt);
  }
  const std::vector<bool> mask = reduced_mask(self, dims);
  const double p = ord.to_double();
  Tensor out = run_norm(self, mask, p, keepdim);
  if (wants_grad(self)) {
    record(out, "LinalgVectorNormBackward0", {self},
           [x = save(self), y = save_output(out), p, mask, keepdim](Backward& ctx, const TensorList& g) {
             return TensorList{norm_backward(restore_dims(g[0], mask, keepdim), x.get(ctx),
                                             restore_dims(y.get(ctx), mask, keepdim), p, mask)};
           });
  }
  return out;
}

Tensor norm(const Tensor& self, std::optional<Scalar> p, std::optional<Dims> dims, bool keepdim,
            std::optional<Dtype> dtype) {
  return vector_norm(self, p.value_or(Scalar(2)), dims, keepdim, dtype);
}

Tensor dist(const Tensor& self, const Tensor& other, Scalar p) {
  return vector_norm(self - other, p, std::nullopt, false, std::nullopt);
}

}  // namespace nnlib::ops
