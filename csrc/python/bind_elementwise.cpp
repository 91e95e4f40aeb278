// Element-wise operators: arithmetic, comparison, functions of one operand, choice.
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/polygamma.h"
#include "python/bind.h"
#include "python/example.h"

namespace nnlib::python {

namespace {

constexpr int kAll = kFunction | kMethod | kInplace | kIntoOut;   // x.op_() through a temporary
constexpr int kDivision = kFunction | kMethod | kInplace | kOut;  // an integer zero is met while it writes
constexpr int kPlain = kFunction | kMethod | kIntoOut;            // no x.op_(), or one of its own

Tensor polygamma_of(const Tensor& input, int64_t n) { return ops::polygamma(n, input); }
Tensor where_of(const Tensor& input, const Tensor& condition, const Tensor& other) {
  return ops::where(condition, input, other);
}

Tensor divide_by(const Tensor& input, const Tensor& other) { return ops::div(other, input); }

void bind_arithmetic(Binder& b) {
  b.def<&ops::add>(
      "add(Operand input, Operand other, *, Scalar alpha=1)", kPlain,
      "input + alpha * other.\n\n"
      "Args:\n"
      "    input, other (Tensor or number): broadcast to common sizes. The result's type is the larger kind "
      "among tensors with dimensions; tensors without, then numbers count only where theirs is a larger "
      "kind.\n"
      "    alpha (number): factor of other; a float only where the result is.\n\n"
      "RuntimeError where the sizes do not fit: they must be equal, or one of them 1, counted from the "
      "last." NNLIB_EXAMPLE("nnlib.add(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))", "tensor([3., 8.])"));
  b.def<&ops::add_>("add_(Tensor input, Operand other, *, Scalar alpha=1)", kMethod,
                    "In-place version of add.");
  b.def<&ops::sub>("sub(Operand input, Operand other, *, Scalar alpha=1)", kPlain,
                   "input - alpha * other." NNLIB_EXAMPLE(
                       "nnlib.sub(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))", "tensor([-1.,  2.])"));
  b.def<&ops::sub_>("sub_(Tensor input, Operand other, *, Scalar alpha=1)", kMethod,
                    "In-place version of sub.");
  b.def<&ops::sub>(
      "subtract(Operand input, Operand other, *, Scalar alpha=1)", kAll,
      "Another name of sub." NNLIB_EXAMPLE("nnlib.subtract(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))",
                                           "tensor([-1.,  2.])"));
  b.def<&ops::rsub>(
      "rsub(Tensor input, Operand other, *, Scalar alpha=1)", kPlain,
      "other - alpha * input." NNLIB_EXAMPLE("nnlib.rsub(nnlib.tensor([1., 5.]), 2)", "tensor([ 1., -3.])"));
  b.def<&ops::rsub>("__rsub__(Tensor input, Operand other, *, Scalar alpha=1)", kMethod, "other - input.");
  b.def<&divide_by>("__rdiv__(Tensor input, Operand other)", kMethod, "other / input.");
  b.def<&ops::mul>("mul(Operand input, Operand other)", kPlain,
                   "input * other." NNLIB_EXAMPLE("nnlib.mul(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))",
                                                  "tensor([ 2., 15.])"));
  b.def<&ops::mul_>("mul_(Tensor input, Operand other)", kMethod, "In-place version of mul.");
  b.def<&ops::mul>(
      "multiply(Operand input, Operand other)", kAll,
      "Another name of mul." NNLIB_EXAMPLE("nnlib.multiply(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))",
                                           "tensor([ 2., 15.])"));
  for (const char* s : {"div(Operand input, Operand other)", "divide(Operand input, Operand other)",
                        "true_divide(Operand input, Operand other)"})
    b.def<&ops::div>(
        s, kPlain,
        "input / other; integers give the default floating-point type. rounding_mode: None not at all, "
        "\"trunc\" towards zero, \"floor\" down, both keep integers. RuntimeError where the sizes do not "
        "broadcast, "
        "and for a rounded division of integers by zero." NNLIB_EXAMPLE("nnlib.tensor([7, -7]).div(2)",
                                                                        "tensor([ 3.5000, -3.5000])"));
  for (const char* s : {"div(Operand input, Operand other, *, str? rounding_mode=None)",
                        "divide(Operand input, Operand other, *, str? rounding_mode=None)"})
    b.def<&ops::div_mode>(s, kDivision & ~kInplace,
                          "input / other rounded: None not at all, \"trunc\" towards zero, \"floor\" down.");
  for (const char* s : {"div_(Tensor input, Operand other)", "divide_(Tensor input, Operand other)",
                        "true_divide_(Tensor input, Operand other)"})
    b.def<&ops::div_>(s, kMethod, "In-place version of div.");
  for (const char* s : {"div_(Tensor input, Operand other, *, str? rounding_mode=None)",
                        "divide_(Tensor input, Operand other, *, str? rounding_mode=None)"})
    b.def<&ops::div_mode_>(s, kMethod, "In-place version of div.");
  b.def<&ops::floor_divide>("floor_divide(Operand input, Operand other)", kDivision,
                            "input / other rounded down." NNLIB_EXAMPLE(
                                "nnlib.floor_divide(nnlib.tensor([7, -7]), 2)", "tensor([ 3, -4])"));
  b.def<&ops::remainder>("remainder(Operand input, Operand other)", kDivision | kOneTensor,
                         "input modulo other, with the sign of other." NNLIB_EXAMPLE(
                             "nnlib.remainder(nnlib.tensor([7, -7]), 3)", "tensor([1, 2])"));
  b.def<&ops::fmod>("fmod(Tensor input, Operand other)", kDivision,
                    "input modulo other, with the sign of input." NNLIB_EXAMPLE(
                        "nnlib.fmod(nnlib.tensor([7, -7]), 3)", "tensor([ 1, -1])"));
  b.def<&ops::pow>("pow(Operand input, Operand exponent)", kAll | kOneTensor,
                   "input to the power of exponent." NNLIB_EXAMPLE("nnlib.pow(nnlib.tensor([2., 3.]), 2)",
                                                                   "tensor([4., 9.])"));
  b.def<&ops::float_power>(
      "float_power(Operand input, Operand exponent)", kPlain | kOneTensor,
      "input to the power of exponent in float64." NNLIB_EXAMPLE("nnlib.float_power(nnlib.tensor([2, 3]), 2)",
                                                                 "tensor([4., 9.], dtype=torch.float64)"));
  b.def<&ops::float_power_>("float_power_(Tensor input, Operand exponent)", kMethod,
                            "In-place version of float_power, for float64 tensors.");
  for (const char* s : {"atan2(Tensor input, Tensor other)", "arctan2(Tensor input, Tensor other)"})
    b.def<&ops::atan2>(
        s, kAll,
        "The angle of the point (other, input), in (-pi, pi]." NNLIB_EXAMPLE(
            "nnlib.tensor([1., 1.]).atan2(nnlib.tensor([1., 0.]))", "tensor([0.7854, 1.5708])"));
  b.def<&ops::hypot>(
      "hypot(Tensor input, Tensor other)", kAll,
      "sqrt(input^2 + other^2)." NNLIB_EXAMPLE("nnlib.hypot(nnlib.tensor([3., 6.]), nnlib.tensor([4., 8.]))",
                                               "tensor([ 5., 10.])"));
  b.def<&ops::copysign>("copysign(Tensor input, Operand other)", kAll,
                        "The magnitude of input with the sign of other." NNLIB_EXAMPLE(
                            "nnlib.copysign(nnlib.tensor([1., 2.]), -1.)", "tensor([-1., -2.])"));
  b.def<&ops::logaddexp>(
      "logaddexp(Tensor input, Tensor other)", kPlain,
      "log(exp(input) + exp(other)), without overflow." NNLIB_EXAMPLE(
          "nnlib.logaddexp(nnlib.tensor([0., 1.]), nnlib.tensor([0., 2.]))", "tensor([0.6931, 2.3133])"));
  b.def<&ops::logaddexp2>(
      "logaddexp2(Tensor input, Tensor other)", kPlain,
      "log2(2^input + 2^other), without overflow." NNLIB_EXAMPLE(
          "nnlib.logaddexp2(nnlib.tensor([0., 1.]), nnlib.tensor([0., 2.]))", "tensor([1.0000, 2.5850])"));
  b.def<&ops::xlogy>("xlogy(Operand input, Operand other)", kAll | kOneTensor,
                     "input * log(other), 0 where input is 0." NNLIB_EXAMPLE(
                         "nnlib.xlogy(nnlib.tensor([0., 2.]), nnlib.tensor([0., 1.]))", "tensor([0., 0.])"));
  b.def<&ops::heaviside>("heaviside(Tensor input, Tensor values)", kAll,
                         "0 below zero, 1 above, values at zero." NNLIB_EXAMPLE(
                             "nnlib.heaviside(nnlib.tensor([-1., 0., 2.]), nnlib.tensor([0.5]))",
                             "tensor([0.0000, 0.5000, 1.0000])"));
  b.def<&ops::nextafter>("nextafter(Tensor input, Tensor other)", kAll,
                         "The next number after input towards other.");
  b.def<&ops::ldexp>("ldexp(Tensor input, Tensor other)", kAll,
                     "input * 2^other." NNLIB_EXAMPLE("nnlib.ldexp(nnlib.tensor([1., 3.]), nnlib.tensor(2))",
                                                      "tensor([ 4., 12.])"));
  b.def<&ops::maximum>(
      "maximum(Tensor input, Tensor other)", kPlain,
      "The larger of each pair; NaN where one is NaN." NNLIB_EXAMPLE(
          "nnlib.maximum(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))", "tensor([2., 5.])"));
  b.def<&ops::minimum>(
      "minimum(Tensor input, Tensor other)", kPlain,
      "The smaller of each pair; NaN where one is NaN." NNLIB_EXAMPLE(
          "nnlib.minimum(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))", "tensor([1., 3.])"));
  b.def<&ops::fmax>("fmax(Tensor input, Tensor other)", kPlain,
                    "The larger of each pair; a NaN counts as missing." NNLIB_EXAMPLE(
                        "nnlib.fmax(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))", "tensor([2., 5.])"));
  b.def<&ops::fmin>("fmin(Tensor input, Tensor other)", kPlain,
                    "The smaller of each pair; a NaN counts as missing." NNLIB_EXAMPLE(
                        "nnlib.fmin(nnlib.tensor([1., 5.]), nnlib.tensor([2., 3.]))", "tensor([1., 3.])"));
}

void bind_comparison(Binder& b) {
#define NNLIB_COMPARE(name, other_name, text)                           \
  b.def<&ops::name>(#name "(Tensor input, Operand other)", kAll, text); \
  b.def<&ops::name>(#other_name "(Tensor input, Operand other)", kAll, "Another name of " #name ".");
  NNLIB_COMPARE(ne, not_equal,
                "input != other, as bools." NNLIB_EXAMPLE("nnlib.ne(nnlib.tensor([1., 2., 3.]), 2)",
                                                          "tensor([ True, False,  True])"))
  NNLIB_COMPARE(lt, less,
                "input < other, as bools." NNLIB_EXAMPLE("nnlib.lt(nnlib.tensor([1., 2., 3.]), 2)",
                                                         "tensor([ True, False, False])"))
  NNLIB_COMPARE(le, less_equal,
                "input <= other, as bools." NNLIB_EXAMPLE("nnlib.le(nnlib.tensor([1., 2., 3.]), 2)",
                                                          "tensor([ True,  True, False])"))
  NNLIB_COMPARE(gt, greater,
                "input > other, as bools." NNLIB_EXAMPLE("nnlib.gt(nnlib.tensor([1., 2., 3.]), 2)",
                                                         "tensor([False, False,  True])"))
  NNLIB_COMPARE(ge, greater_equal,
                "input >= other, as bools." NNLIB_EXAMPLE("nnlib.ge(nnlib.tensor([1., 2., 3.]), 2)",
                                                          "tensor([False,  True,  True])"))
#undef NNLIB_COMPARE
  b.def<&ops::eq>("eq(Tensor input, Operand other)", kAll,
                  "input == other, as bools." NNLIB_EXAMPLE("nnlib.eq(nnlib.tensor([1., 2., 3.]), 2)",
                                                            "tensor([False,  True, False])"));
  b.def<&ops::equal>("equal(Tensor input, Tensor other)", kFunction | kMethod,
                     "Whether sizes and all elements are equal." NNLIB_EXAMPLE(
                         "nnlib.equal(nnlib.tensor([1., 2.]), nnlib.tensor([1., 2.]))", "True"));
  b.def<&ops::isclose>(
      "isclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False)",
      kFunction | kMethod,
      "|input - other| <= atol + rtol * |other|, as bools." NNLIB_EXAMPLE(
          "nnlib.isclose(nnlib.tensor([1., 2.]), nnlib.tensor([1., 2.1]))", "tensor([ True, False])"));
  b.def<&ops::allclose>(
      "allclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False)",
      kFunction | kMethod,
      "Whether isclose holds everywhere." NNLIB_EXAMPLE(
          "nnlib.allclose(nnlib.tensor([1., 2.]), nnlib.tensor([1., 2.]))", "True"));
  b.def<&ops::logical_and>(
      "logical_and(Tensor input, Tensor other)", kAll,
      "Both are not zero." NNLIB_EXAMPLE(
          "nnlib.logical_and(nnlib.tensor([True, True, False]), nnlib.tensor([True, False, False]))",
          "tensor([ True, False, False])"));
  b.def<&ops::logical_or>(
      "logical_or(Tensor input, Tensor other)", kAll,
      "One of them is not zero." NNLIB_EXAMPLE(
          "nnlib.logical_or(nnlib.tensor([True, True, False]), nnlib.tensor([True, False, False]))",
          "tensor([ True,  True, False])"));
  b.def<&ops::logical_xor>(
      "logical_xor(Tensor input, Tensor other)", kAll,
      "Exactly one of them is not zero." NNLIB_EXAMPLE(
          "nnlib.logical_xor(nnlib.tensor([True, True, False]), nnlib.tensor([True, False, False]))",
          "tensor([False,  True, False])"));
  b.def<&ops::logical_not>("logical_not(Tensor input)", kAll,
                           "Whether it is zero." NNLIB_EXAMPLE("nnlib.logical_not(nnlib.tensor([0., 2.]))",
                                                               "tensor([ True, False])"));
  b.def<&ops::bitwise_and>(
      "bitwise_and(Operand input, Operand other)", kAll | kOneTensor,
      "Bits that both have." NNLIB_EXAMPLE("nnlib.bitwise_and(nnlib.tensor([12, 5]), 6)", "tensor([4, 4])"));
  b.def<&ops::bitwise_or>("bitwise_or(Operand input, Operand other)", kAll | kOneTensor,
                          "Bits that one of them has." NNLIB_EXAMPLE(
                              "nnlib.bitwise_or(nnlib.tensor([12, 5]), 6)", "tensor([14,  7])"));
  b.def<&ops::bitwise_xor>("bitwise_xor(Operand input, Operand other)", kAll | kOneTensor,
                           "Bits that exactly one of them has." NNLIB_EXAMPLE(
                               "nnlib.bitwise_xor(nnlib.tensor([12, 5]), 6)", "tensor([10,  3])"));
  b.def<&ops::bitwise_left_shift>(
      "bitwise_left_shift(Operand input, Operand other)", kAll | kOneTensor,
      "input * 2^other, in bits." NNLIB_EXAMPLE("nnlib.bitwise_left_shift(nnlib.tensor([1, 3]), 2)",
                                                "tensor([ 4, 12])"));
  b.def<&ops::bitwise_right_shift>(
      "bitwise_right_shift(Operand input, Operand other)", kAll | kOneTensor,
      "input / 2^other, in bits." NNLIB_EXAMPLE("nnlib.bitwise_right_shift(nnlib.tensor([8, 5]), 1)",
                                                "tensor([4, 2])"));
  b.def<&ops::bitwise_not>("bitwise_not(Tensor input)", kAll,
                           "All bits turned; the negation of bools." NNLIB_EXAMPLE(
                               "nnlib.bitwise_not(nnlib.tensor([True, False]))", "tensor([False,  True])"));
  constexpr int kTest = kFunction | kMethod;
  b.def<&ops::isnan>(
      "isnan(Tensor input)", kTest,
      "Whether it is NaN." NNLIB_EXAMPLE("nnlib.isnan(nnlib.tensor([1., float('nan'), float('inf')]))",
                                         "tensor([False,  True, False])"));
  b.def<&ops::isinf>(
      "isinf(Tensor input)", kTest,
      "Whether it is an infinity." NNLIB_EXAMPLE(
          "nnlib.isinf(nnlib.tensor([1., float('nan'), float('inf')]))", "tensor([False, False,  True])"));
  b.def<&ops::isfinite>(
      "isfinite(Tensor input)", kTest,
      "Whether it is neither NaN nor an infinity." NNLIB_EXAMPLE(
          "nnlib.isfinite(nnlib.tensor([1., float('nan'), float('inf')]))", "tensor([ True, False, False])"));
  b.def<&ops::isposinf>(
      "isposinf(Tensor input)", kTest | kIntoOut,
      "Whether it is plus infinity." NNLIB_EXAMPLE(
          "nnlib.isposinf(nnlib.tensor([float('inf'), -float('inf')]))", "tensor([ True, False])"));
  b.def<&ops::isneginf>(
      "isneginf(Tensor input)", kTest | kIntoOut,
      "Whether it is minus infinity." NNLIB_EXAMPLE(
          "nnlib.isneginf(nnlib.tensor([float('inf'), -float('inf')]))", "tensor([False,  True])"));
  b.def<&ops::signbit>("signbit(Tensor input)", kTest | kIntoOut,
                       "Whether the sign bit is set, that of -0.0 too." NNLIB_EXAMPLE(
                           "nnlib.signbit(nnlib.tensor([-0., 1.]))", "tensor([ True, False])"));
}

void bind_unary(Binder& b) {
#define NNLIB_UNARY(name, text) b.def<&ops::name>(#name "(Tensor input)", kAll, text);
#define NNLIB_ALIAS(name, fn) b.def<&ops::fn>(#name "(Tensor input)", kAll, "Another name of " #fn ".");
// With an in-place form of its own.
#define NNLIB_UNARY2(name, text)                           \
  b.def<&ops::name>(#name "(Tensor input)", kPlain, text); \
  b.def<&ops::name##_>(#name "_(Tensor input)", kFunction | kMethod, "In-place version of " #name ".");
  NNLIB_UNARY2(neg,
               "-input." NNLIB_EXAMPLE("nnlib.neg(nnlib.tensor([-1.5, 2.]))", "tensor([ 1.5000, -2.0000])"))
  NNLIB_UNARY2(
      abs, "The magnitude." NNLIB_EXAMPLE("nnlib.abs(nnlib.tensor([-1.5, 2.]))", "tensor([1.5000, 2.0000])"))
  NNLIB_UNARY2(exp, "e^input." NNLIB_EXAMPLE("nnlib.exp(nnlib.tensor([0., 1.]))", "tensor([1.0000, 2.7183])"))
  NNLIB_UNARY2(log, "The natural logarithm." NNLIB_EXAMPLE("nnlib.log(nnlib.tensor([1., 4.]))",
                                                           "tensor([0.0000, 1.3863])"))
  NNLIB_UNARY2(sqrt, "The square root; NaN below zero." NNLIB_EXAMPLE("nnlib.sqrt(nnlib.tensor([1., 4.]))",
                                                                      "tensor([1., 2.])"))
  NNLIB_UNARY2(rsqrt, "1 / sqrt(input)." NNLIB_EXAMPLE("nnlib.rsqrt(nnlib.tensor([1., 4.]))",
                                                       "tensor([1.0000, 0.5000])"))
  NNLIB_UNARY2(square, "input * input." NNLIB_EXAMPLE("nnlib.square(nnlib.tensor([-1.5, 2.]))",
                                                      "tensor([2.2500, 4.0000])"))
  NNLIB_UNARY2(reciprocal, "1 / input." NNLIB_EXAMPLE("nnlib.reciprocal(nnlib.tensor([1., 4.]))",
                                                      "tensor([1.0000, 0.2500])"))
  NNLIB_UNARY2(tanh, "The hyperbolic tangent." NNLIB_EXAMPLE("nnlib.tanh(nnlib.tensor([0., 1.]))",
                                                             "tensor([0.0000, 0.7616])"))
  NNLIB_UNARY2(sigmoid, "1 / (1 + e^-input)." NNLIB_EXAMPLE("nnlib.sigmoid(nnlib.tensor([0., 1.]))",
                                                            "tensor([0.5000, 0.7311])"))
  NNLIB_UNARY2(floor, "The largest integer that is not larger." NNLIB_EXAMPLE(
                          "nnlib.floor(nnlib.tensor([-1.5, 2.]))", "tensor([-2.,  2.])"))
  NNLIB_UNARY2(ceil, "The smallest integer that is not smaller." NNLIB_EXAMPLE(
                         "nnlib.ceil(nnlib.tensor([-1.5, 2.]))", "tensor([-1.,  2.])"))
  NNLIB_UNARY2(
      trunc, "The integer part." NNLIB_EXAMPLE("nnlib.trunc(nnlib.tensor([-1.5, 2.]))", "tensor([-1.,  2.])"))
  NNLIB_ALIAS(negative, neg)
  NNLIB_ALIAS(absolute, abs)
  NNLIB_ALIAS(fix, trunc)
  NNLIB_UNARY(sign, "-1, 0 or 1." NNLIB_EXAMPLE("nnlib.sign(nnlib.tensor([-1.5, 2.]))", "tensor([-1.,  1.])"))
  NNLIB_ALIAS(sgn, sign)
  NNLIB_UNARY(exp2, "2^input." NNLIB_EXAMPLE("nnlib.exp2(nnlib.tensor([0., 1.]))", "tensor([1., 2.])"))
  NNLIB_UNARY(expm1, "e^input - 1, exact near zero." NNLIB_EXAMPLE("nnlib.expm1(nnlib.tensor([0., 1.]))",
                                                                   "tensor([0.0000, 1.7183])"))
  NNLIB_UNARY(log2, "The logarithm to base 2." NNLIB_EXAMPLE("nnlib.log2(nnlib.tensor([1., 4.]))",
                                                             "tensor([0., 2.])"))
  NNLIB_UNARY(log10, "The logarithm to base 10." NNLIB_EXAMPLE("nnlib.log10(nnlib.tensor([1., 4.]))",
                                                               "tensor([0.0000, 0.6021])"))
  NNLIB_UNARY(log1p, "log(1 + input), exact near zero." NNLIB_EXAMPLE("nnlib.log1p(nnlib.tensor([0., 1.]))",
                                                                      "tensor([0.0000, 0.6931])"))
  NNLIB_UNARY(sin, "The sine of radians." NNLIB_EXAMPLE("nnlib.sin(nnlib.tensor([0., 1.]))",
                                                        "tensor([0.0000, 0.8415])"))
  NNLIB_UNARY(cos, "The cosine of radians." NNLIB_EXAMPLE("nnlib.cos(nnlib.tensor([0., 1.]))",
                                                          "tensor([1.0000, 0.5403])"))
  NNLIB_UNARY(tan, "The tangent of radians." NNLIB_EXAMPLE("nnlib.tan(nnlib.tensor([0., 1.]))",
                                                           "tensor([0.0000, 1.5574])"))
  NNLIB_UNARY(asin, "The angle whose sine it is." NNLIB_EXAMPLE("nnlib.asin(nnlib.tensor([0., 0.5]))",
                                                                "tensor([0.0000, 0.5236])"))
  NNLIB_UNARY(acos, "The angle whose cosine it is." NNLIB_EXAMPLE("nnlib.acos(nnlib.tensor([0., 0.5]))",
                                                                  "tensor([1.5708, 1.0472])"))
  NNLIB_UNARY(atan, "The angle whose tangent it is." NNLIB_EXAMPLE("nnlib.atan(nnlib.tensor([0., 1.]))",
                                                                   "tensor([0.0000, 0.7854])"))
  NNLIB_UNARY(sinh, "The hyperbolic sine." NNLIB_EXAMPLE("nnlib.sinh(nnlib.tensor([0., 1.]))",
                                                         "tensor([0.0000, 1.1752])"))
  NNLIB_UNARY(cosh, "The hyperbolic cosine." NNLIB_EXAMPLE("nnlib.cosh(nnlib.tensor([0., 1.]))",
                                                           "tensor([1.0000, 1.5431])"))
  NNLIB_UNARY(asinh, "The inverse hyperbolic sine." NNLIB_EXAMPLE("nnlib.asinh(nnlib.tensor([0., 1.]))",
                                                                  "tensor([0.0000, 0.8814])"))
  NNLIB_UNARY(acosh, "The inverse hyperbolic cosine." NNLIB_EXAMPLE("nnlib.acosh(nnlib.tensor([1., 2.]))",
                                                                    "tensor([0.0000, 1.3170])"))
  NNLIB_UNARY(atanh, "The inverse hyperbolic tangent." NNLIB_EXAMPLE("nnlib.atanh(nnlib.tensor([0., 0.5]))",
                                                                     "tensor([0.0000, 0.5493])"))
  NNLIB_ALIAS(arcsin, asin)
  NNLIB_ALIAS(arccos, acos)
  NNLIB_ALIAS(arctan, atan)
  NNLIB_ALIAS(arcsinh, asinh)
  NNLIB_ALIAS(arccosh, acosh)
  NNLIB_ALIAS(arctanh, atanh)
  NNLIB_UNARY(erf, "The error function." NNLIB_EXAMPLE("nnlib.erf(nnlib.tensor([0., 1.]))",
                                                       "tensor([0.0000, 0.8427])"))
  NNLIB_UNARY(
      erfc, "1 - erf(input)." NNLIB_EXAMPLE("nnlib.erfc(nnlib.tensor([0., 1.]))", "tensor([1.0000, 0.1573])"))
  NNLIB_UNARY(erfinv, "The inverse of erf." NNLIB_EXAMPLE("nnlib.erfinv(nnlib.tensor([0., 0.5]))",
                                                          "tensor([0.0000, 0.4769])"))
  NNLIB_UNARY(lgamma, "The logarithm of |gamma(input)|." NNLIB_EXAMPLE("nnlib.lgamma(nnlib.tensor([1., 4.]))",
                                                                       "tensor([0.0000, 1.7918])"))
  NNLIB_UNARY(digamma, "The derivative of lgamma." NNLIB_EXAMPLE("nnlib.digamma(nnlib.tensor([1., 4.]))",
                                                                 "tensor([-0.5772,  1.2561])"))
  NNLIB_UNARY(frac, "input - trunc(input)." NNLIB_EXAMPLE("nnlib.frac(nnlib.tensor([1.25, -1.5]))",
                                                          "tensor([ 0.2500, -0.5000])"))
  NNLIB_UNARY(sinc, "sin(pi input) / (pi input), 1 at zero." NNLIB_EXAMPLE(
                        "nnlib.sinc(nnlib.tensor([0., 0.5]))", "tensor([1.0000, 0.6366])"))
  NNLIB_UNARY(deg2rad, "Degrees to radians." NNLIB_EXAMPLE("nnlib.deg2rad(nnlib.tensor([90., 180.]))",
                                                           "tensor([1.5708, 3.1416])"))
  NNLIB_UNARY(rad2deg, "Radians to degrees." NNLIB_EXAMPLE("nnlib.rad2deg(nnlib.tensor([0., 1.]))",
                                                           "tensor([ 0.0000, 57.2958])"))
#undef NNLIB_UNARY
#undef NNLIB_UNARY2
#undef NNLIB_ALIAS
  b.def<&ops::polygamma>("polygamma(int n, Tensor input)", kFunction | kIntoOut,
                         "The n-th derivative of digamma; RuntimeError for a negative n." NNLIB_EXAMPLE(
                             "nnlib.polygamma(1, nnlib.tensor([1., 0.5]))", "tensor([1.6449, 4.9348])"));
  b.def<&polygamma_of>("polygamma(Tensor input, int n)", kMethod | kInplace,
                       "The n-th derivative of digamma.");
  b.def<&ops::positive>("positive(Tensor input)", kFunction | kMethod,
                        "The tensor itself; TypeError for bools." NNLIB_EXAMPLE(
                            "nnlib.positive(nnlib.tensor([-1., 2.]))", "tensor([-1.,  2.])"));
  b.def<&ops::round>("round(Tensor input, *, int decimals=0)", kAll,
                     "Rounded to `decimals` places, halves to even." NNLIB_EXAMPLE(
                         "nnlib.round(nnlib.tensor([0.5, 1.5, 2.6]))", "tensor([0., 2., 3.])"));
  for (const char* s : {"logit(Tensor input, float? eps=None)"})
    b.def<&ops::logit>(
        s, kAll,
        "log(input / (1 - input)), with input clamped to [eps, 1 - eps] where eps is given." NNLIB_EXAMPLE(
            "nnlib.logit(nnlib.tensor([0.5, 0.75]))", "tensor([0.0000, 1.0986])"));
  b.def<&ops::nan_to_num>(
      "nan_to_num(Tensor input, float? nan=0.0, float? posinf=None, float? neginf=None)", kAll,
      "NaN and infinities replaced; by default with 0 and the largest finite numbers." NNLIB_EXAMPLE(
          "nnlib.nan_to_num(nnlib.tensor([1., float('nan')]))", "tensor([1., 0.])"));
}

void bind_choice(Binder& b) {
  b.def<&ops::where>("where(Tensor condition, Operand input, Operand other)", kFunction | kIntoOut,
                     "input where the condition holds, other elsewhere; all three broadcast. RuntimeError "
                     "where the condition is not bool." NNLIB_EXAMPLE(
                         "nnlib.where(nnlib.tensor([True, False]), 1., 2.)", "tensor([1., 2.])"));
  // Tensors first: one without dimensions would pass for a number and lose its type.
  for (const char* s : {"clamp(Tensor input, Tensor? min=None, Tensor? max=None)",
                        "clip(Tensor input, Tensor? min=None, Tensor? max=None)"})
    b.def<&ops::clamp_tensor>(
        s, kPlain,
        "Limited to [min, max], numbers or tensors; None leaves that side open. NaN stays; "
        "max wins where min is above it. "
        "RuntimeError where both are None." NNLIB_EXAMPLE("nnlib.tensor([-2., 0.5, 3.]).clamp(0, 1)",
                                                          "tensor([0.0000, 0.5000, 1.0000])"));
  for (const char* s : {"clamp(Tensor input, Scalar? min=None, Scalar? max=None)",
                        "clip(Tensor input, Scalar? min=None, Scalar? max=None)"})
    b.def<&ops::clamp>(s, kPlain, "Limited to [min, max].");
  for (const char* s : {"clamp_(Tensor input, Tensor? min=None, Tensor? max=None)",
                        "clip_(Tensor input, Tensor? min=None, Tensor? max=None)"})
    b.def<&ops::clamp_tensor_>(s, kFunction | kMethod, "In-place version of clamp.");
  for (const char* s : {"clamp_(Tensor input, Scalar? min=None, Scalar? max=None)",
                        "clip_(Tensor input, Scalar? min=None, Scalar? max=None)"})
    b.def<&ops::clamp_>(s, kFunction | kMethod, "In-place version of clamp.");
  b.def<&ops::clamp_min>(
      "clamp_min(Tensor input, Operand min)", kAll,
      "Nothing below min." NNLIB_EXAMPLE("nnlib.clamp_min(nnlib.tensor([-1., 2.]), 0)", "tensor([0., 2.])"));
  b.def<&ops::clamp_max>("clamp_max(Tensor input, Operand max)", kAll,
                         "Nothing above max." NNLIB_EXAMPLE("nnlib.clamp_max(nnlib.tensor([-1., 2.]), 0)",
                                                            "tensor([-1.,  0.])"));
  b.def<&ops::lerp>(
      "lerp(Tensor input, Tensor end, Operand weight)", kPlain,
      "input + weight * (end - input)." NNLIB_EXAMPLE(
          "nnlib.lerp(nnlib.tensor([0., 10.]), nnlib.tensor([1., 20.]), 0.5)", "tensor([ 0.5000, 15.0000])"));
  b.def<&ops::lerp_>("lerp_(Tensor input, Tensor end, Operand weight)", kMethod, "In-place version of lerp.");
  b.def<&ops::addcmul>(
      "addcmul(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kPlain,
      "input + value * tensor1 * tensor2." NNLIB_EXAMPLE(
          "nnlib.addcmul(nnlib.tensor([1.]), nnlib.tensor([2.]), nnlib.tensor([3.]), value=0.5)",
          "tensor([4.])"));
  b.def<&ops::addcmul_>("addcmul_(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kMethod,
                        "In-place version of addcmul.");
  b.def<&ops::addcdiv>(
      "addcdiv(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kPlain,
      "input + value * tensor1 / tensor2." NNLIB_EXAMPLE(
          "nnlib.addcdiv(nnlib.tensor([1.]), nnlib.tensor([2.]), nnlib.tensor([4.]), value=3)",
          "tensor([2.5000])"));
  b.def<&ops::addcdiv_>("addcdiv_(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kMethod,
                        "In-place version of addcdiv.");
  b.def<&ops::masked_fill>(
      "masked_fill(Tensor input, Tensor mask, Operand value)", kFunction | kMethod,
      "value where the mask holds." NNLIB_EXAMPLE(
          "nnlib.tensor([1., -1.]).masked_fill(nnlib.tensor([False, True]), 0.)", "tensor([1., 0.])"));
  b.def<&ops::masked_fill_>("masked_fill_(Tensor input, Tensor mask, Operand value)", kMethod,
                            "In-place version of masked_fill.");
  b.def<&ops::fill>("fill(Tensor input, Operand value)", kFunction,
                    "A tensor of input's sizes full of value.");
  b.def<&ops::fill_>(
      "fill_(Tensor input, Operand value)", kFunction | kMethod,
      "All elements become value." NNLIB_EXAMPLE("nnlib.tensor([1., 2.]).fill_(3.)", "tensor([3., 3.])"));
  b.def<&where_of>("where(Tensor input, Tensor condition, Operand other)", kMethod,
                   "input where the condition holds, other elsewhere.");
  b.def<&ops::nonzero_tuple>("where(Tensor condition)", kFunction | kMethod,
                             "The indices of the elements that are not zero, one tensor a dimension.");
  b.def<&ops::zero_>(
      "zero_(Tensor input)", kFunction | kMethod,
      "All elements become zero." NNLIB_EXAMPLE("nnlib.tensor([1., 2.]).zero_()", "tensor([0., 0.])"));
}

}  // namespace

void bind_elementwise(Binder& b) {
  bind_arithmetic(b);
  bind_comparison(b);
  bind_unary(b);
  bind_choice(b);
}

}  // namespace nnlib::python
