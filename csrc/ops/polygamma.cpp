#include "ops/polygamma.h"

#include <cmath>

#include "ops/elementwise.h"
#include "ops/unary_kernels.h"

namespace nnlib::ops {

namespace {

// Hurwitz's zeta function, the sum of (q + k)^-s over k >= 0, for whole s > 1: ten terms and more, the rest
// by the Euler-Maclaurin formula (F. Johansson, "Rigorous high-precision computation of the Hurwitz zeta
// function", 2015).
double hurwitz_zeta(double s, double q) {
  if (q <= 0 && q == std::floor(q)) return INFINITY;
  double total = 0, w = q;
  for (int k = 0; k < 10 || w < 10; k++, w += 1) total += std::pow(w, -s);
  total += std::pow(w, 1 - s) / (s - 1) + 0.5 * std::pow(w, -s);
  // Bernoulli numbers over factorials: B(2j) / (2j)!
  const double ratios[] = {1. / 12,          -1. / 720,     1. / 30240,
                           -1. / 1209600,    1. / 47900160, -691. / 1307674368000.,
                           1. / 74724249600.};
  double factor = s * std::pow(w, -s - 1);
  for (int j = 0; j < 7; j++) {
    total += ratios[j] * factor;
    factor *= (s + 2 * j + 1) * (s + 2 * j + 2) / (w * w);
  }
  return total;
}

}  // namespace

Tensor polygamma(int64_t n, const Tensor& self) {
  NNLIB_CHECK(n >= 0, "polygamma(n, x) does not support negative n.");
  if (n == 0) return digamma(self);
  Tensor out = make_output(self.sizes(), to_floating(self.dtype()), {&self});
  const UnaryKernels kernel = n == 1
                                  ? UnaryKernels(kernels::table().trigamma_f32, kernels::table().trigamma_f64)
                                  : UnaryKernels(nullptr);
  const double scale = (n % 2 ? 1 : -1) * std::tgamma((double)n + 1);
  auto f = [=](auto x) { return (decltype(x))(scale * hurwitz_zeta((double)n + 1, (double)x)); };
  run_unary<true>(out, self, out.dtype(), kernel, f, kCostly);
  if (wants_grad(self)) {
    record(out, "PolygammaBackward0", {self}, [n, x = save(self)](Backward& ctx, const TensorList& g) {
      return TensorList{g[0] * polygamma(n + 1, x.get(ctx))};
    });
  }
  return out;
}

}  // namespace nnlib::ops
