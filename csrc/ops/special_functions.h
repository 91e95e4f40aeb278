// Special functions that C's library lacks, in double.
#pragma once
#include <cmath>

namespace nnlib::ops::special {

inline constexpr double kPi = 3.14159265358979323846;

// The inverse of erf: M. Giles, "Approximating the erfinv function" (2010), then two steps of Newton's
// method.
inline double erfinv(double x) {
  if (std::fabs(x) >= 1) return std::fabs(x) == 1 ? std::copysign(INFINITY, x) : NAN;
  if (x != x) return x;
  double w = -std::log((1 - x) * (1 + x)), p;
  if (w < 5) {
    w -= 2.5;
    p = 2.81022636e-08;
    for (double c : {3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
                     -0.00417768164, 0.246640727, 1.50140941})
      p = c + p * w;
  } else {
    w = std::sqrt(w) - 3;
    p = -0.000200214257;
    for (double c : {0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
                     0.00943887047, 1.00167406, 2.83297682})
      p = c + p * w;
  }
  double y = p * x;
  for (int step = 0; step < 2; step++) {
    // erfc keeps the digits of 1 - erf near the ends.
    const double a = std::fabs(y),
                 error = std::erf(a) < 0.5 ? std::erf(a) - std::fabs(x) : (1 - std::fabs(x)) - std::erfc(a);
    y = std::copysign(a - error / (2 / std::sqrt(kPi) * std::exp(-a * a)), x);
  }
  return y;
}

inline double lgamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);
}

// psi(x): reflection, recurrence up to 10, asymptotic series (Abramowitz and Stegun 6.3).
inline double digamma(double x) {
  if (x == 0) return std::copysign(INFINITY, -x);
  double add = 0;
  if (x < 0) {
    if (x == std::floor(x)) return NAN;
    add = -kPi / std::tan(kPi * (x - std::floor(x)));
    x = 1 - x;
  }
  for (; x < 10; x += 1) add -= 1 / x;
  const double z = 1 / (x * x);
  double s = 8.33333333333333333333e-2;
  for (double c : {-2.10927960927960927961e-2, 7.57575757575757575758e-3, -4.16666666666666666667e-3,
                   3.96825396825396825397e-3, -8.33333333333333333333e-3, 8.33333333333333333333e-2})
    s = c + s * z;
  return add + std::log(x) - 0.5 / x - z * s;
}

}  // namespace nnlib::ops::special
