// The truth of elementwise.inl: C's functions in double, rounded once.
namespace nnlib::kernels::reference {
namespace {

#define NNLIB_BINARY(name, expression)                                    \
  void name##_f32(int64_t n, const float* x, const float* y, float* z) {   \
    for (int64_t i = 0; i < n; ++i) {                                      \
      const float a = x[i], b = y[i];                                      \
      z[i] = expression;                                                   \
    }                                                                      \
  }
NNLIB_BINARY(add, a + b)
NNLIB_BINARY(sub, a - b)
NNLIB_BINARY(mul, a * b)
NNLIB_BINARY(div, a / b)
#undef NNLIB_BINARY

void axpy_f32(int64_t n, float a, const float* x, const float* y, float* z) {
  for (int64_t i = 0; i < n; ++i) z[i] = float(double(a) * x[i] + y[i]);
}

#define NNLIB_UNARY(name, expression)                    \
  void name##_f32(int64_t n, const float* x, float* y) { \
    for (int64_t i = 0; i < n; ++i) {                    \
      const double a = x[i];                             \
      y[i] = float(expression);                          \
    }                                                    \
  }
NNLIB_UNARY(neg, -a)
NNLIB_UNARY(exp, ::exp(a))
NNLIB_UNARY(expm1, ::expm1(a))
NNLIB_UNARY(log, ::log(a))
NNLIB_UNARY(log1p, ::log1p(a))
NNLIB_UNARY(tanh, ::tanh(a))
NNLIB_UNARY(sigmoid, 1 / (1 + ::exp(-a)))
NNLIB_UNARY(erf, ::erf(a))
#undef NNLIB_UNARY

}  // namespace
}  // namespace nnlib::kernels::reference
