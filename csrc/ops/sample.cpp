// New tensors of random numbers, and samples from given distributions.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/search.h"
#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace nnlib::ops {

Tensor rand(const Dims& sizes, Dtype dtype, const Ref<Generator>& generator) {
  return uniform_(empty(sizes, dtype), 0, 1, generator);
}

Tensor randn(const Dims& sizes, Dtype dtype, const Ref<Generator>& generator) {
  return normal_(empty(sizes, dtype), 0, 1, generator);
}

Tensor randint(int64_t low, int64_t high, const Dims& sizes, Dtype dtype, const Ref<Generator>& generator) {
  return random_from_to_(empty(sizes, dtype), low, high, generator);
}

Tensor randperm(int64_t n, Dtype dtype, const Ref<Generator>& generator) {
  NNLIB_CHECK_AS(NotImplementedError, dtype != Dtype::Bool, "\"randperm\" not implemented for 'Bool'");
  NNLIB_CHECK(n >= 0, "n must be non-negative, got ", n);
  Tensor r = empty({n}, Dtype::Int64);
  int64_t* p = r.data<int64_t>();
  std::iota(p, p + n, 0);
  Generator& g = generator ? *generator : *default_generator();
  std::lock_guard<std::mutex> lock(g.mutex);
  // Fisher and Yates; 32 bits are even enough below this length.
  const bool wide = n >= (int64_t)(UINT32_MAX / 20);
  for (int64_t i = 0; i + 1 < n; i++)
    std::swap(p[i], p[i + (int64_t)((wide ? g.random64() : g.random()) % (uint64_t)(n - i))]);
  return cast_values(r, dtype);
}

double next_normal(Generator& g) {
  if (g.cached_normal) {
    const double v = *g.cached_normal;
    g.cached_normal.reset();
    return v;
  }
  const double u1 = g.uniform_double(), u2 = g.uniform_double();
  const double r = std::sqrt(-2.0 * std::log1p(-u2)), theta = 2.0 * M_PI * u1;
  g.cached_normal = r * std::sin(theta);
  return r * std::cos(theta);
}

Tensor without_slope(const Tensor& r, const char* name, const TensorList& inputs) {
  if (wants_grad(inputs))
    record(r, name, inputs, [shapes = inputs](Backward& ctx, const TensorList& g) {
      TensorList out;
      for (size_t i = 0; i < shapes.size(); i++) {
        if (!ctx.needs(i)) {
          out.push_back(Tensor());
          continue;
        }
        Tensor z = empty_like(shapes[i]);
        fill_values(z, 0);
        out.push_back(z);
      }
      return out;
    });
  return r;
}

Tensor bernoulli(const Tensor& p, const Ref<Generator>& generator) {
  return without_slope(bernoulli_tensor_(empty_like(p), detach(p), generator), "BernoulliBackward0", {p});
}

Tensor bernoulli_p(const Tensor& like, double p, const Ref<Generator>& generator) {
  return without_slope(bernoulli_p_(empty_like(like), p, generator), "BernoulliBackward0", {like});
}

namespace {
void check_std(const Tensor& std) {
  NNLIB_CHECK(
      std.numel() == 0 || !std.is_floating_point() ||
          [&] {
            Tensor s = contiguous_values(cast_values(detach(std), Dtype::Float64));
            const double* p = s.data<double>();
            return std::all_of(p, p + s.numel(), [](double v) { return v >= 0; });
          }(),
      "normal expects all elements of std >= 0.0");
}
}  // namespace

Tensor normal_tensor_float(const Tensor& mean, double std, const Ref<Generator>& generator) {
  Tensor r = normal_(empty(mean.sizes(), mean.dtype()), 0, std, generator);
  return without_slope(add_(r, detach(mean), 1), "NormalBackward1", {mean});
}

Tensor normal_float_tensor(double mean, const Tensor& std, const Ref<Generator>& generator) {
  check_std(std);
  Tensor r = normal_(empty(std.sizes(), std.dtype()), 0, 1, generator);
  return without_slope(add_(mul_(r, detach(std)), wrapped_number(mean), 1), "NormalBackward2", {std});
}

Tensor normal_tensor_tensor(const Tensor& mean, const Tensor& std, const Ref<Generator>& generator) {
  check_std(std);
  Tensor r = normal_(empty(broadcast_shapes(mean.sizes(), std.sizes()), promote(mean.dtype(), std.dtype())),
                     0, 1, generator);
  return without_slope(add_(mul_(r, detach(std)), detach(mean), 1), "NormalBackward3", {mean, std});
}

namespace {

// W. Hörmann, "The transformed rejection method for generating Poisson random variables", 1993, for large
// rates; products of uniforms for small ones.
int64_t sample_poisson(double rate, Generator& g) {
  NNLIB_CHECK(rate >= 0, "invalid Poisson rate, expected rate to be non-negative");
  if (rate == 0) return 0;
  if (rate < 10) {
    const double limit = std::exp(-rate);
    double product = 1;
    for (int64_t k = 0;; k++) {
      product *= g.uniform_double();
      if (product <= limit) return k;
    }
  }
  const double slam = std::sqrt(rate), loglam = std::log(rate), b = 0.931 + 2.53 * slam,
               a = -0.059 + 0.02483 * b;
  const double invalpha = 1.1239 + 1.1328 / (b - 3.4), vr = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = g.uniform_double() - 0.5, v = g.uniform_double(), us = 0.5 - std::fabs(u);
    const int64_t k = (int64_t)std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= vr) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(invalpha) - std::log(a / (us * us) + b) <=
        -rate + (double)k * loglam - std::lgamma((double)k + 1))
      return k;
  }
}

}  // namespace

Tensor poisson(const Tensor& rates, const Ref<Generator>& generator) {
  Tensor in = contiguous_values(detach(rates)), r = empty(rates.sizes(), rates.dtype());
  Generator& g = generator ? *generator : *default_generator();
  {
    std::lock_guard<std::mutex> lock(g.mutex);
    dispatch_floating(rates.dtype(), "poisson_cpu", [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < in.numel(); i++)
        ((T*)r.raw())[i] = (T)(compute_t<T>)sample_poisson((double)(compute_t<T>)((const T*)in.raw())[i], g);
    });
  }
  return without_slope(r, "PoissonBackward0", {rates});
}

namespace {

// The categories with the largest weight / exponential, which is a draw without replacement: P. Efraimidis
// and P. Spirakis, "Weighted random sampling with a reservoir", 2006.
template <class T>
void sample_without(const T* w, const T* q, int64_t rows, int64_t n, int64_t k, int64_t* out) {
  using C = compute_t<T>;
  std::vector<int64_t> order((size_t)n);
  std::vector<C> key((size_t)n);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < n; i++) key[i] = (C)(T)((C)w[r * n + i] / (C)q[r * n + i]);
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(),
                      [&](int64_t a, int64_t b) { return key[a] != key[b] ? key[a] > key[b] : a < b; });
    std::copy_n(order.begin(), k, out + r * k);
  }
}

template <class T>
void sample_with(const T* w, int64_t rows, int64_t n, int64_t k, int64_t* out, Generator& g) {
  using C = compute_t<T>;
  std::vector<C> cumulative((size_t)n);
  for (int64_t r = 0; r < rows; r++) {
    C sum = 0;
    for (int64_t i = 0; i < n; i++) cumulative[i] = sum += (C)w[r * n + i];
    for (int64_t j = 0; j < k; j++) {
      const double u = g.uniform_double();
      // The last one's share is 1. Only those that are looked at are divided.
      const C* const c = cumulative.data();
      out[r * k + j] = count_passing(n - 1, [=](int64_t i) { return (double)(C)(c[i] / sum) < u; });
    }
  }
}

}  // namespace

Tensor multinomial(const Tensor& weights, int64_t k, bool replacement, const Ref<Generator>& generator) {
  NNLIB_CHECK(weights.dim() == 1 || weights.dim() == 2, "prob_dist must be 1 or 2 dim");
  NNLIB_CHECK(weights.is_floating_point(), "multinomial only supports floating-point dtypes for input, got: ",
              dtype_legacy_name(weights.dtype()));
  const int64_t n = weights.sizes().back();
  NNLIB_CHECK(k > 0, "cannot sample n_sample <= 0 samples");
  NNLIB_CHECK(replacement || k <= n,
              "cannot sample n_sample > prob_dist.size(-1) samples without replacement");
  const int64_t rows = weights.dim() == 2 ? weights.sizes()[0] : 1;
  Tensor w = contiguous_values(detach(weights));
  Tensor r = empty(weights.dim() == 2 ? Dims{rows, k} : Dims{k}, Dtype::Int64);
  dispatch_floating(weights.dtype(), "multinomial", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = (const T*)w.raw();
    for (int64_t i = 0; i < rows; i++) {
      bool valid = true, positive = false;
      for (int64_t j = 0; j < n; j++) {
        const auto v = (compute_t<T>)p[i * n + j];
        valid &= (v >= 0) & (v < INFINITY);
        positive |= v > 0;
      }
      NNLIB_CHECK(valid, "probability tensor contains either `inf`, `nan` or element < 0");
      NNLIB_CHECK(positive, "invalid multinomial distribution (sum of probabilities <= 0)");
    }
    if (!replacement || k == 1) {
      Tensor q = exponential_(empty_like(w), 1, generator);
      sample_without(p, (const T*)q.raw(), rows, n, k, r.data<int64_t>());
    } else {
      Generator& g = generator ? *generator : *default_generator();
      std::lock_guard<std::mutex> lock(g.mutex);
      sample_with(p, rows, n, k, r.data<int64_t>(), g);
    }
  });
  return r;
}

}  // namespace nnlib::ops
