// Gamma variables, points of the simplex and binomial counts.
//
// A sample x of a distribution function F(x; a) moves with its parameter so that F stays: dx/da = -F_a / F_x.
// Source: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (2018).
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/special_functions.h"

namespace nnlib::ops {

namespace {

// ---- draws

// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000); shapes below 1 by a power of
// a uniform more. Shapes are rounded to C where they are changed.
template <class C>
double sample_gamma(C shape, Generator& g) {
  double scale = 1;
  if (shape < 1) {
    if (shape == 0) return 0;
    scale = std::pow(1 - g.uniform_double(), 1.0 / shape);
    shape += 1;
  }
  const double d = shape - C(1.0f / 3.0f), c = 1 / std::sqrt(9 * d);
  for (;;) {
    double x, y;
    do {
      x = next_normal(g);
      y = 1 + c * x;
    } while (y <= 0);
    const double v = y * y * y, u = 1 - g.uniform_double(), square = x * x;
    if (u < 1 - 0.0331f * square * square || std::log(u) < 0.5 * square + d * (1 - v + std::log(v)))
      return scale * d * v;
  }
}

// log(k!) less Stirling's formula for it.
double stirling_tail(double k) {
  static const double few[] = {
      0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
      0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287};
  if (k <= 9) return few[(int)k];
  const double square = (k + 1) * (k + 1);
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1);
}

// Hörmann, "The generation of binomial random variates" (1993), for at least ten expected successes.
double binomial_by_rejection(double n, double p, Generator& g) {
  const double deviation = std::sqrt(n * p * (1 - p)), b = 1.15 + 2.53 * deviation;
  const double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, quick = 0.92 - 4.2 / b, r = p / (1 - p);
  const double alpha = (2.83 + 5.1 / b) * deviation, m = std::floor((n + 1) * p);
  for (;;) {
    const double u = g.uniform_double() - 0.5;
    double v = g.uniform_double();
    const double us = 0.5 - std::fabs(u), k = std::floor((2 * a / us + b) * u + c);
    if (k < 0 || k > n) continue;
    if (us >= 0.07 && v <= quick) return k;
    v = std::log(v * alpha / (a / (us * us) + b));
    const double bound = (m + 0.5) * std::log((m + 1) / (r * (n - m + 1))) +
                         (n + 1) * std::log((n - m + 1) / (n - k + 1)) +
                         (k + 0.5) * std::log(r * (n - k + 1) / (k + 1)) + stirling_tail(m) +
                         stirling_tail(n - m) - stirling_tail(k) - stirling_tail(n - k);
    if (v <= bound) return k;
  }
}
// The trials between successes are geometric.
double binomial_by_gaps(double n, double p, Generator& g) {
  const double log_failure = std::log1p(-p);
  double trials = 0;
  for (double successes = 0;; successes++) {
    trials += std::ceil(std::log(g.uniform_double()) / log_failure);
    if (trials > n) return successes;
  }
}
double sample_binomial(double n, double p, Generator& g) {
  if (n <= 0 || p <= 0) return 0;
  if (p >= 1) return n;
  if (p != p || n != n) return NAN;
  const double q = std::min(p, 1 - p);
  const double k = n * q >= 10 ? binomial_by_rejection(n, q, g) : binomial_by_gaps(n, q, g);
  return p <= 0.5 ? k : n - k;
}

// ---- slopes

constexpr double kLargeShape = 2000;
constexpr int64_t kTerms = 100000;

// Rice's saddle point expansion, for large shapes: error below shape^-2.
double gamma_slope_large(double a, double x) {
  const double apart = x - a;
  if (std::fabs(apart) <= 0.1 * a) {
    const double first = 1 + 24 * a * (1 + 12 * a);
    const double second = 1440 * a * a + 6 * x * (53 - 120 * x) - 65 * x * x / a + a * (107 + 3600 * x);
    return first * second / (1244160 * a * a * a * a);
  }
  const double root = std::sqrt(8 * a), ratio = std::log(x / a);
  const double far = std::pow(x - a - a * ratio, -1.5), near = -root / apart;
  const double term =
      ratio * (x < a ? near - far : near + far) - std::sqrt(2 / a) * (a + x) / (apart * apart);
  return -(1 + (1 + 1 / (24 * a)) / (12 * a)) * x * term / root;
}

// From the power series of the incomplete gamma function and its derivative along a.
double gamma_slope(double a, double x) {
  if (!(a > 0) || !(x > 0) || !std::isfinite(x)) return 0;
  if (a > kLargeShape) return gamma_slope_large(a, x);
  // P = x^a e^-x / gamma(a + 1) * sum of x^k / ((a + 1) ... (a + k)); F_x = a / x times the factor.
  double term = 1, sum = 1, weight = std::log(x) - special::digamma(a + 1), slope = weight;
  for (int64_t k = 1; k < kTerms; k++) {
    term *= x / (a + (double)k);
    weight -= 1 / (a + (double)k);
    sum += term;
    slope += term * weight;
    if (term * (std::fabs(weight) + 1) < 1e-17 * sum && (double)k > x - a) break;
  }
  return -slope * x / a;
}

// The slope of a beta variable x along its first concentration a, or the second one's along b: from
// I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) * sum of (a + b)_n / (a + 1)_n x^n, F_x = a / (x (1 - x)) times the
// factor.
double beta_slope_low(double a, double b, double x, double rest, bool along_b) {
  const double both = special::digamma(a + b);
  const double factor =
      along_b ? std::log(rest) - special::digamma(b) + both : std::log(x) - special::digamma(a + 1) + both;
  double term = 1, slope = factor, weight = factor, sum = 1;
  for (int64_t n = 0; n < kTerms; n++) {
    const double over = a + b + (double)n, under = a + 1 + (double)n;
    term *= over / under * x;
    weight += along_b ? 1 / over : 1 / over - 1 / under;
    slope += term * weight;
    sum += term;
    if (term * (std::fabs(weight) + 1) < 1e-17 * sum) break;
  }
  return -slope * x * rest / a;
}
double beta_slope(double x, double a, double total) {
  const double b = total - a;
  if (!(a > 0) || !(b > 0) || !(x > 0) || !(x < 1)) return 0;
  // 1 - x is a beta variable too, and moves the other way.
  return (x <= a / total ? beta_slope_low(a, b, x, 1 - x, false) : -beta_slope_low(b, a, 1 - x, x, true)) /
         (1 - x);
}

// f(x) in double for the elements of tensors of one floating-point type, which are broadcast, one after the
// other.
template <class F>
Tensor map_serial(const char* name, const TensorList& inputs, const F& f) {
  Dims sizes = inputs[0].sizes();
  for (const Tensor& t : inputs) sizes = broadcast_shapes(sizes, t.sizes());
  TensorList in;
  for (const Tensor& t : inputs) {
    NNLIB_CHECK(t.dtype() == inputs[0].dtype(), name, ": expected tensors of one type, but got ",
                dtype_name(inputs[0].dtype()), " and ", dtype_name(t.dtype()));
    in.push_back(contiguous_values(expand(detach(t), sizes)));
  }
  Tensor out = empty(sizes, in[0].dtype());
  dispatch_floating(out.dtype(), name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const auto at = [&](size_t k, int64_t i) { return (C)((const T*)in[k].raw())[i]; };
    for (int64_t i = 0; i < out.numel(); i++) ((T*)out.raw())[i] = (T)(C)f(at, i);
  });
  return out;
}

double smallest(Dtype d) {
  return d == Dtype::Float64   ? std::numeric_limits<double>::min()
         : d == Dtype::Float16 ? 6.103515625e-5
                               : (double)std::numeric_limits<float>::min();
}

}  // namespace

Tensor standard_gamma_grad(const Tensor& shape, const Tensor& x) {
  return map_serial("_standard_gamma_grad", {shape, x},
                    [](const auto& at, int64_t i) { return gamma_slope(at(0, i), at(1, i)); });
}

Tensor standard_gamma(const Tensor& shape, const Ref<Generator>& generator) {
  Generator& g = generator ? *generator : *default_generator();
  Tensor out;
  {
    std::lock_guard<std::mutex> lock(g.mutex);
    const double least = smallest(shape.dtype());
    out = map_serial("_standard_gamma", {shape},
                     [&](const auto& at, int64_t i) { return std::max(least, sample_gamma(at(0, i), g)); });
  }
  if (wants_grad(shape))
    record(out, "StandardGammaBackward0", {shape},
           [a = save(shape), x = save_output(out)](Backward& ctx, const TensorList& grads) {
             return TensorList{mul(grads[0], standard_gamma_grad(a.get(ctx), x.get(ctx)))};
           });
  return out;
}

Tensor dirichlet_grad(const Tensor& x, const Tensor& a, const Tensor& total) {
  return map_serial("_dirichlet_grad", {x, a, total},
                    [](const auto& at, int64_t i) { return beta_slope(at(0, i), at(1, i), at(2, i)); });
}

Tensor sample_dirichlet(const Tensor& concentration, const Ref<Generator>& generator) {
  NNLIB_CHECK(concentration.dim() > 0, "_sample_dirichlet: expected at least one dimension");
  const Dtype d = concentration.dtype();
  Generator& g = generator ? *generator : *default_generator();
  Tensor out = empty(concentration.sizes(), d);
  {
    std::lock_guard<std::mutex> lock(g.mutex);
    // In double: small shapes give values that no float holds.
    Tensor gamma = map_serial("_sample_dirichlet", {cast_values(detach(concentration), Dtype::Float64)},
                              [&](const auto& at, int64_t i) { return sample_gamma<double>(at(0, i), g); });
    const double eps = d == Dtype::Float64 ? 2.220446049250313e-16 : 1.1920928955078125e-7;
    copy_values(out, clamp(div(gamma, sum(gamma, Dims{-1}, true)), Scalar(smallest(d)), Scalar(1 - eps)));
  }
  return out;
}

Tensor binomial(const Tensor& count, const Tensor& prob, const Ref<Generator>& generator) {
  Generator& g = generator ? *generator : *default_generator();
  Tensor out;
  {
    std::lock_guard<std::mutex> lock(g.mutex);
    out = map_serial("binomial", {count, prob},
                     [&](const auto& at, int64_t i) { return sample_binomial(at(0, i), at(1, i), g); });
  }
  return without_slope(out, "BinomialBackward0", {count, prob});
}

}  // namespace nnlib::ops
