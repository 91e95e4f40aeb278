// The truth of elementwise.inl: C's functions in double, rounded once.
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

#define NNLIB_BINARY(name, expression)                                   \
  void name##_f32(int64_t n, const float* x, const float* y, float* z) { \
    for (int64_t i = 0; i < n; ++i) {                                    \
      const float a = x[i], b = y[i];                                    \
      z[i] = expression;                                                 \
    }                                                                    \
  }
NNLIB_BINARY(add, a + b)
NNLIB_BINARY(sub, a - b)
NNLIB_BINARY(mul, a* b)
NNLIB_BINARY(div, a / b)
NNLIB_BINARY(maximum, a != a || a > b ? a : b)
NNLIB_BINARY(minimum, a != a || a < b ? a : b)
NNLIB_BINARY(pow, float(::pow(double(a), double(b))))
NNLIB_BINARY(atan2, float(::atan2(double(a), double(b))))
NNLIB_BINARY(hypot, float(::hypot(double(a), double(b))))
NNLIB_BINARY(fmod, ::fmodf(a, b))
NNLIB_BINARY(remainder,
             ::fmodf(a, b) != 0 && (b < 0) != (::fmodf(a, b) < 0) ? ::fmodf(a, b) + b : ::fmodf(a, b))
#undef NNLIB_BINARY
#define NNLIB_BINARY(name, expression)                                      \
  void name##_f64(int64_t n, const double* x, const double* y, double* z) { \
    for (int64_t i = 0; i < n; ++i) {                                       \
      const double a = x[i], b = y[i];                                      \
      z[i] = expression;                                                    \
    }                                                                       \
  }
NNLIB_BINARY(pow, ::pow(a, b))
NNLIB_BINARY(atan2, ::atan2(a, b))
NNLIB_BINARY(hypot, ::hypot(a, b))
NNLIB_BINARY(fmod, ::fmod(a, b))
NNLIB_BINARY(remainder, ::fmod(a, b) != 0 && (b < 0) != (::fmod(a, b) < 0) ? ::fmod(a, b) + b : ::fmod(a, b))
#undef NNLIB_BINARY

void axpy_f32(int64_t n, float a, const float* x, const float* y, float* z) {
  for (int64_t i = 0; i < n; ++i) z[i] = float(double(a) * x[i] + y[i]);
}

void clamp_f32(int64_t n, const float* x, float low, float high, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
// wide(x) is the value of an element, narrow(v) the element that is nearest to v.
#define NNLIB_TERNARY(suffix, T, One, wide, narrow)                                                        \
  void addcmul_##suffix(int64_t n, const T* x, const T* a, const T* b, One value, T* z) {                  \
    for (int64_t i = 0; i < n; ++i) z[i] = narrow(wide(x[i]) + double(value) * wide(a[i]) * wide(b[i]));   \
  }                                                                                                        \
  void addcdiv_##suffix(int64_t n, const T* x, const T* a, const T* b, One value, T* z) {                  \
    for (int64_t i = 0; i < n; ++i) z[i] = narrow(wide(x[i]) + double(value) * (wide(a[i]) / wide(b[i]))); \
  }                                                                                                        \
  void lerp_##suffix(int64_t n, const T* x, const T* y, const One* w, T* z) {                              \
    for (int64_t i = 0; i < n; ++i)                                                                        \
      z[i] = narrow(wide(x[i]) + double(w[i]) * (double(wide(y[i])) - wide(x[i])));                        \
  }
NNLIB_TERNARY(f32, float, float, double, float)
NNLIB_TERNARY(f64, double, double, double, double)
NNLIB_TERNARY(bf16, uint16_t, float, (double)from_bf16, to_bf16)
NNLIB_TERNARY(f16, uint16_t, float, (double)from_f16, to_f16)
#undef NNLIB_TERNARY

// The inverse of erf by bisection, and sin(pi x) / (pi x) without the whole
// turns.
double inverse_of_erf(double x) {
  const double a = ::fabs(x);
  if (!(a < 1)) return a == 1 ? ::copysign(INFINITY, x) : NAN;
  if (a < 1e-10) return x * 0.886226925452758014;
  double low = 0, high = 7;
  for (int step = 0; step < 200; ++step) {
    const double middle = (low + high) / 2;
    (a < 0.5 ? ::erf(middle) < a : ::erfc(middle) > 1 - a) ? low = middle : high = middle;
  }
  return ::copysign(low, x);
}
double cardinal_sine(double x) {
  if (x == 0) return 1;
  const double n = ::nearbyint(x), s = ::sin(3.141592653589793238 * (x - n));
  return (::fmod(n, 2) == 0 ? s : -s) / (3.141592653589793238 * x);
}

double log_gamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);
}
// psi and its derivative: reflection, recurrence up to 30 and some terms of the asymptotic series.
constexpr long double kPi = 3.141592653589793238462643383279502884L;
long double psi(long double x) {
  if (x == 0) return ::copysignl(INFINITY, -x);
  if (x < 0) {
    const long double rest = x - ::nearbyintl(x);
    return rest == 0 ? NAN : psi(1 - x) - kPi / ::tanl(kPi * rest);
  }
  long double add = 0;
  for (; x < 30; x += 1) add -= 1 / x;
  const long double z = 1 / (x * x);
  return add + ::logl(x) - 0.5L / x -
         z * (1.L / 12 -
              z * (1.L / 120 - z * (1.L / 252 - z * (1.L / 240 - z * (1.L / 132 - z * 691 / 32760)))));
}
long double psi_slope(long double x) {
  if (x <= 0) {
    const long double s = ::sinl(kPi * (x - ::nearbyintl(x)));
    return kPi * kPi / (s * s) - psi_slope(1 - x);
  }
  long double add = 0;
  for (; x < 30; x += 1) add += 1 / (x * x);
  const long double u = 1 / x, z = u * u;
  return add + u + z / 2 +
         u * z *
             (1.L / 6 - z * (1.L / 30 - z * (1.L / 42 - z * (1.L / 30 - z * (5.L / 66 - z * 691 / 2730)))));
}

// The functions that there are for every type.
#define NNLIB_UNARY_OF(name, type, T, get, put, expression) \
  void name##_##type(int64_t n, const T* x, T* y) {         \
    for (int64_t i = 0; i < n; ++i) {                       \
      const double a = get(x[i]);                           \
      y[i] = put(expression);                               \
    }                                                       \
  }
#define NNLIB_UNARY(name, expression)                                         \
  NNLIB_UNARY_OF(name, f32, float, double, float, expression)                 \
  NNLIB_UNARY_OF(name, f64, double, double, double, expression)               \
  NNLIB_UNARY_OF(name, bf16, uint16_t, from_bf16, to_bf16, float(expression)) \
  NNLIB_UNARY_OF(name, f16, uint16_t, from_f16, to_f16, float(expression))
NNLIB_UNARY(neg, -a)
NNLIB_UNARY(abs, ::fabs(a))
NNLIB_UNARY(sqrt, ::sqrt(a))
NNLIB_UNARY(rsqrt, 1 / ::sqrt(a))
NNLIB_UNARY(reciprocal, 1 / a)
NNLIB_UNARY(square, a* a)
NNLIB_UNARY(floor, ::floor(a))
NNLIB_UNARY(ceil, ::ceil(a))
NNLIB_UNARY(trunc, ::trunc(a))
NNLIB_UNARY(round, ::nearbyint(a))
NNLIB_UNARY(frac, a - ::trunc(a))
NNLIB_UNARY(sign, a != a ? a : (a > 0) - (a < 0))
NNLIB_UNARY(exp, ::exp(a))
NNLIB_UNARY(exp2, ::exp2(a))
NNLIB_UNARY(expm1, ::expm1(a))
NNLIB_UNARY(log, ::log(a))
NNLIB_UNARY(log2, ::log2(a))
NNLIB_UNARY(log1p, ::log1p(a))
NNLIB_UNARY(tanh, ::tanh(a))
NNLIB_UNARY(sigmoid, 1 / (1 + ::exp(-a)))
NNLIB_UNARY(erf, ::erf(a))
#undef NNLIB_UNARY
NNLIB_UNARY_OF(sin, f64, double, double, double, ::sin(a))
NNLIB_UNARY_OF(cos, f64, double, double, double, ::cos(a))
NNLIB_UNARY_OF(atan, f64, double, double, double, ::atan(a))
NNLIB_UNARY_OF(tan, f64, double, double, double, ::tan(a))
NNLIB_UNARY_OF(asin, f64, double, double, double, ::asin(a))
NNLIB_UNARY_OF(acos, f64, double, double, double, ::acos(a))
NNLIB_UNARY_OF(sinh, f64, double, double, double, ::sinh(a))
NNLIB_UNARY_OF(cosh, f64, double, double, double, ::cosh(a))
NNLIB_UNARY_OF(log10, f64, double, double, double, ::log10(a))
NNLIB_UNARY_OF(asinh, f64, double, double, double, ::asinh(a))
NNLIB_UNARY_OF(acosh, f64, double, double, double, ::acosh(a))
NNLIB_UNARY_OF(atanh, f64, double, double, double, ::atanh(a))
NNLIB_UNARY_OF(erfc, f64, double, double, double, ::erfc(a))
NNLIB_UNARY_OF(erfinv, f64, double, double, double, inverse_of_erf(a))
NNLIB_UNARY_OF(lgamma, f32, float, double, float, log_gamma(a))
NNLIB_UNARY_OF(digamma, f32, float, double, float, float(psi(a)))
NNLIB_UNARY_OF(digamma, f64, double, double, double, double(psi(a)))
NNLIB_UNARY_OF(trigamma, f32, float, double, float, float(psi_slope(a)))
NNLIB_UNARY_OF(trigamma, f64, double, double, double, double(psi_slope(a)))
#undef NNLIB_UNARY_OF

#define NNLIB_UNARY(name, expression)                    \
  void name##_f32(int64_t n, const float* x, float* y) { \
    for (int64_t i = 0; i < n; ++i) {                    \
      const double a = x[i];                             \
      y[i] = float(expression);                          \
    }                                                    \
  }
NNLIB_UNARY(sin, ::sin(a))
NNLIB_UNARY(cos, ::cos(a))
NNLIB_UNARY(tan, ::tan(a))
NNLIB_UNARY(asin, ::asin(a))
NNLIB_UNARY(acos, ::acos(a))
NNLIB_UNARY(atan, ::atan(a))
NNLIB_UNARY(sinh, ::sinh(a))
NNLIB_UNARY(cosh, ::cosh(a))
NNLIB_UNARY(log10, ::log10(a))
NNLIB_UNARY(asinh, ::asinh(a))
NNLIB_UNARY(acosh, ::acosh(a))
NNLIB_UNARY(atanh, ::atanh(a))
NNLIB_UNARY(erfc, ::erfc(a))
NNLIB_UNARY(erfinv, inverse_of_erf(a))
NNLIB_UNARY(sinc, cardinal_sine(a))
#undef NNLIB_UNARY

}  // namespace
}  // namespace nnlib::kernels::reference
