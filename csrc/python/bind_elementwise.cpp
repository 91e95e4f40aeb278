// Element-wise operators: arithmetic, comparison, functions of one operand, choice.
#include "ops/elementwise.h"
#include "ops/index.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

constexpr int kAll = kFunction | kMethod | kInplace | kOut;  // x.op_() through a temporary
constexpr int kPlain = kFunction | kMethod | kOut;           // no x.op_(), or one of its own

Tensor where_of(const Tensor& input, const Tensor& condition, const Tensor& other) {
  return ops::where(condition, input, other);
}

Tensor divide_by(const Tensor& input, const Tensor& other) { return ops::div(other, input); }

void bind_arithmetic(Binder& b) {
  b.def<&ops::add>("add(Operand input, Operand other, *, Scalar alpha=1)", kPlain,
                   "input + alpha * other, with broadcasting and type promotion.");
  b.def<&ops::add_>("add_(Tensor input, Operand other, *, Scalar alpha=1)", kMethod,
                    "In-place version of add.");
  b.def<&ops::sub>("sub(Operand input, Operand other, *, Scalar alpha=1)", kPlain, "input - alpha * other.");
  b.def<&ops::sub_>("sub_(Tensor input, Operand other, *, Scalar alpha=1)", kMethod,
                    "In-place version of sub.");
  b.def<&ops::sub>("subtract(Tensor input, Operand other, *, Scalar alpha=1)", kAll, "Another name of sub.");
  b.def<&ops::rsub>("rsub(Tensor input, Operand other, *, Scalar alpha=1)", kPlain, "other - alpha * input.");
  b.def<&ops::rsub>("__rsub__(Tensor input, Operand other, *, Scalar alpha=1)", kMethod, "other - input.");
  b.def<&divide_by>("__rdiv__(Tensor input, Operand other)", kMethod, "other / input.");
  b.def<&ops::mul>("mul(Operand input, Operand other)", kPlain, "input * other.");
  b.def<&ops::mul_>("mul_(Tensor input, Operand other)", kMethod, "In-place version of mul.");
  b.def<&ops::mul>("multiply(Tensor input, Operand other)", kAll, "Another name of mul.");
  for (const char* s : {"div(Operand input, Operand other)", "divide(Tensor input, Operand other)",
                        "true_divide(Tensor input, Operand other)"})
    b.def<&ops::div>(s, kPlain, "input / other; integers give the default floating-point type.");
  for (const char* s : {"div(Operand input, Operand other, *, str? rounding_mode=None)",
                        "divide(Tensor input, Operand other, *, str? rounding_mode=None)"})
    b.def<&ops::div_mode>(s, kPlain,
                          "input / other rounded: None not at all, \"trunc\" towards zero, \"floor\" down.");
  for (const char* s : {"div_(Tensor input, Operand other)", "divide_(Tensor input, Operand other)",
                        "true_divide_(Tensor input, Operand other)"})
    b.def<&ops::div_>(s, kMethod, "In-place version of div.");
  for (const char* s : {"div_(Tensor input, Operand other, *, str? rounding_mode=None)",
                        "divide_(Tensor input, Operand other, *, str? rounding_mode=None)"})
    b.def<&ops::div_mode_>(s, kMethod, "In-place version of div.");
  b.def<&ops::floor_divide>("floor_divide(Operand input, Operand other)", kAll,
                            "input / other rounded down.");
  b.def<&ops::remainder>("remainder(Operand input, Operand other)", kAll,
                         "input modulo other, with the sign of other.");
  b.def<&ops::fmod>("fmod(Tensor input, Operand other)", kAll, "input modulo other, with the sign of input.");
  b.def<&ops::pow>("pow(Operand input, Operand exponent)", kAll, "input to the power of exponent.");
  b.def<&ops::float_power>("float_power(Operand input, Operand exponent)", kAll,
                           "input to the power of exponent in float64.");
  for (const char* s : {"atan2(Tensor input, Operand other)", "arctan2(Tensor input, Operand other)"})
    b.def<&ops::atan2>(s, kAll, "The angle of the point (other, input), in (-pi, pi].");
  b.def<&ops::hypot>("hypot(Tensor input, Operand other)", kAll, "sqrt(input^2 + other^2).");
  b.def<&ops::copysign>("copysign(Operand input, Operand other)", kAll,
                        "The magnitude of input with the sign of other.");
  b.def<&ops::logaddexp>("logaddexp(Tensor input, Tensor other)", kPlain,
                         "log(exp(input) + exp(other)), without overflow.");
  b.def<&ops::logaddexp2>("logaddexp2(Tensor input, Tensor other)", kPlain,
                          "log2(2^input + 2^other), without overflow.");
  b.def<&ops::xlogy>("xlogy(Operand input, Operand other)", kAll, "input * log(other), 0 where input is 0.");
  b.def<&ops::heaviside>("heaviside(Tensor input, Tensor values)", kAll,
                         "0 below zero, 1 above, values at zero.");
  b.def<&ops::nextafter>("nextafter(Tensor input, Tensor other)", kAll,
                         "The next number after input towards other.");
  b.def<&ops::ldexp>("ldexp(Tensor input, Operand other)", kAll, "input * 2^other.");
  b.def<&ops::maximum>("maximum(Tensor input, Tensor other)", kPlain,
                       "The larger of each pair; NaN where one is NaN.");
  b.def<&ops::minimum>("minimum(Tensor input, Tensor other)", kPlain,
                       "The smaller of each pair; NaN where one is NaN.");
  b.def<&ops::fmax>("fmax(Tensor input, Tensor other)", kPlain,
                    "The larger of each pair; a NaN counts as missing.");
  b.def<&ops::fmin>("fmin(Tensor input, Tensor other)", kPlain,
                    "The smaller of each pair; a NaN counts as missing.");
}

void bind_comparison(Binder& b) {
#define NNLIB_COMPARE(name, other_name, text)                           \
  b.def<&ops::name>(#name "(Tensor input, Operand other)", kAll, text); \
  b.def<&ops::name>(#other_name "(Tensor input, Operand other)", kAll, "Another name of " #name ".");
  NNLIB_COMPARE(ne, not_equal, "input != other, as bools.")
  NNLIB_COMPARE(lt, less, "input < other, as bools.")
  NNLIB_COMPARE(le, less_equal, "input <= other, as bools.")
  NNLIB_COMPARE(gt, greater, "input > other, as bools.")
  NNLIB_COMPARE(ge, greater_equal, "input >= other, as bools.")
#undef NNLIB_COMPARE
  b.def<&ops::eq>("eq(Tensor input, Operand other)", kAll, "input == other, as bools.");
  b.def<&ops::equal>("equal(Tensor input, Tensor other)", kFunction | kMethod,
                     "Whether sizes and all elements are equal.");
  b.def<&ops::isclose>(
      "isclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False)",
      kFunction | kMethod, "|input - other| <= atol + rtol * |other|, as bools.");
  b.def<&ops::allclose>(
      "allclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False)",
      kFunction | kMethod, "Whether isclose holds everywhere.");
  b.def<&ops::logical_and>("logical_and(Tensor input, Tensor other)", kAll, "Both are not zero.");
  b.def<&ops::logical_or>("logical_or(Tensor input, Tensor other)", kAll, "One of them is not zero.");
  b.def<&ops::logical_xor>("logical_xor(Tensor input, Tensor other)", kAll,
                           "Exactly one of them is not zero.");
  b.def<&ops::logical_not>("logical_not(Tensor input)", kAll, "Whether it is zero.");
  b.def<&ops::bitwise_and>("bitwise_and(Operand input, Operand other)", kAll, "Bits that both have.");
  b.def<&ops::bitwise_or>("bitwise_or(Operand input, Operand other)", kAll, "Bits that one of them has.");
  b.def<&ops::bitwise_xor>("bitwise_xor(Operand input, Operand other)", kAll,
                           "Bits that exactly one of them has.");
  b.def<&ops::bitwise_left_shift>("bitwise_left_shift(Operand input, Operand other)", kAll,
                                  "input * 2^other, in bits.");
  b.def<&ops::bitwise_right_shift>("bitwise_right_shift(Operand input, Operand other)", kAll,
                                   "input / 2^other, in bits.");
  b.def<&ops::bitwise_not>("bitwise_not(Tensor input)", kAll, "All bits turned; the negation of bools.");
  constexpr int kTest = kFunction | kMethod;
  b.def<&ops::isnan>("isnan(Tensor input)", kTest, "Whether it is NaN.");
  b.def<&ops::isinf>("isinf(Tensor input)", kTest, "Whether it is an infinity.");
  b.def<&ops::isfinite>("isfinite(Tensor input)", kTest, "Whether it is neither NaN nor an infinity.");
  b.def<&ops::isposinf>("isposinf(Tensor input)", kTest | kOut, "Whether it is plus infinity.");
  b.def<&ops::isneginf>("isneginf(Tensor input)", kTest | kOut, "Whether it is minus infinity.");
  b.def<&ops::signbit>("signbit(Tensor input)", kTest | kOut,
                       "Whether the sign bit is set, that of -0.0 too.");
}

void bind_unary(Binder& b) {
#define NNLIB_UNARY(name, text) b.def<&ops::name>(#name "(Tensor input)", kAll, text);
#define NNLIB_ALIAS(name, fn) b.def<&ops::fn>(#name "(Tensor input)", kAll, "Another name of " #fn ".");
// With an in-place form of its own.
#define NNLIB_UNARY2(name, text)                           \
  b.def<&ops::name>(#name "(Tensor input)", kPlain, text); \
  b.def<&ops::name##_>(#name "_(Tensor input)", kFunction | kMethod, "In-place version of " #name ".");
  NNLIB_UNARY2(neg, "-input.")
  NNLIB_UNARY2(abs, "The magnitude.")
  NNLIB_UNARY2(exp, "e^input.")
  NNLIB_UNARY2(log, "The natural logarithm.")
  NNLIB_UNARY2(sqrt, "The square root; NaN below zero.")
  NNLIB_UNARY2(rsqrt, "1 / sqrt(input).")
  NNLIB_UNARY2(square, "input * input.")
  NNLIB_UNARY2(reciprocal, "1 / input.")
  NNLIB_UNARY2(tanh, "The hyperbolic tangent.")
  NNLIB_UNARY2(sigmoid, "1 / (1 + e^-input).")
  NNLIB_UNARY2(floor, "The largest integer that is not larger.")
  NNLIB_UNARY2(ceil, "The smallest integer that is not smaller.")
  NNLIB_UNARY2(trunc, "The integer part.")
  NNLIB_ALIAS(negative, neg)
  NNLIB_ALIAS(absolute, abs)
  NNLIB_ALIAS(fix, trunc)
  NNLIB_UNARY(sign, "-1, 0 or 1.")
  NNLIB_ALIAS(sgn, sign)
  NNLIB_UNARY(exp2, "2^input.")
  NNLIB_UNARY(expm1, "e^input - 1, exact near zero.")
  NNLIB_UNARY(log2, "The logarithm to base 2.")
  NNLIB_UNARY(log10, "The logarithm to base 10.")
  NNLIB_UNARY(log1p, "log(1 + input), exact near zero.")
  NNLIB_UNARY(sin, "The sine of radians.")
  NNLIB_UNARY(cos, "The cosine of radians.")
  NNLIB_UNARY(tan, "The tangent of radians.")
  NNLIB_UNARY(asin, "The angle whose sine it is.")
  NNLIB_UNARY(acos, "The angle whose cosine it is.")
  NNLIB_UNARY(atan, "The angle whose tangent it is.")
  NNLIB_UNARY(sinh, "The hyperbolic sine.")
  NNLIB_UNARY(cosh, "The hyperbolic cosine.")
  NNLIB_UNARY(asinh, "The inverse hyperbolic sine.")
  NNLIB_UNARY(acosh, "The inverse hyperbolic cosine.")
  NNLIB_UNARY(atanh, "The inverse hyperbolic tangent.")
  NNLIB_ALIAS(arcsin, asin)
  NNLIB_ALIAS(arccos, acos)
  NNLIB_ALIAS(arctan, atan)
  NNLIB_ALIAS(arcsinh, asinh)
  NNLIB_ALIAS(arccosh, acosh)
  NNLIB_ALIAS(arctanh, atanh)
  NNLIB_UNARY(erf, "The error function.")
  NNLIB_UNARY(erfc, "1 - erf(input).")
  NNLIB_UNARY(erfinv, "The inverse of erf.")
  NNLIB_UNARY(lgamma, "The logarithm of |gamma(input)|.")
  NNLIB_UNARY(digamma, "The derivative of lgamma.")
  NNLIB_UNARY(frac, "input - trunc(input).")
  NNLIB_UNARY(sinc, "sin(pi input) / (pi input), 1 at zero.")
  NNLIB_UNARY(deg2rad, "Degrees to radians.")
  NNLIB_UNARY(rad2deg, "Radians to degrees.")
#undef NNLIB_UNARY
#undef NNLIB_UNARY2
#undef NNLIB_ALIAS
  b.def<&ops::positive>("positive(Tensor input)", kFunction | kMethod,
                        "The tensor itself; TypeError for bools.");
  b.def<&ops::round>("round(Tensor input, *, int decimals=0)", kAll,
                     "Rounded to `decimals` places, halves to even.");
  for (const char* s : {"logit(Tensor input, float? eps=None)"})
    b.def<&ops::logit>(s, kAll, "log(input / (1 - input)), with input clamped to [eps, 1 - eps].");
  b.def<&ops::nan_to_num>("nan_to_num(Tensor input, float? nan=0.0, float? posinf=None, float? neginf=None)",
                          kAll,
                          "NaN and infinities replaced; by default with 0 and the largest finite numbers.");
}

void bind_choice(Binder& b) {
  b.def<&ops::where>("where(Tensor condition, Operand input, Operand other)", kFunction | kOut,
                     "input where the condition holds, other elsewhere.");
  for (const char* s : {"clamp(Tensor input, Scalar? min=None, Scalar? max=None)",
                        "clip(Tensor input, Scalar? min=None, Scalar? max=None)"})
    b.def<&ops::clamp>(s, kPlain, "Limited to [min, max]; NaN stays.");
  for (const char* s : {"clamp(Tensor input, Tensor? min=None, Tensor? max=None)",
                        "clip(Tensor input, Tensor? min=None, Tensor? max=None)"})
    b.def<&ops::clamp_tensor>(s, kPlain, "Limited to [min, max] element by element.");
  for (const char* s : {"clamp_(Tensor input, Scalar? min=None, Scalar? max=None)",
                        "clip_(Tensor input, Scalar? min=None, Scalar? max=None)"})
    b.def<&ops::clamp_>(s, kFunction | kMethod, "In-place version of clamp.");
  for (const char* s : {"clamp_(Tensor input, Tensor? min=None, Tensor? max=None)",
                        "clip_(Tensor input, Tensor? min=None, Tensor? max=None)"})
    b.def<&ops::clamp_tensor_>(s, kFunction | kMethod, "In-place version of clamp.");
  b.def<&ops::clamp_min>("clamp_min(Tensor input, Operand min)", kAll, "Nothing below min.");
  b.def<&ops::clamp_max>("clamp_max(Tensor input, Operand max)", kAll, "Nothing above max.");
  b.def<&ops::lerp>("lerp(Tensor input, Tensor end, Operand weight)", kPlain,
                    "input + weight * (end - input).");
  b.def<&ops::lerp_>("lerp_(Tensor input, Tensor end, Operand weight)", kMethod, "In-place version of lerp.");
  b.def<&ops::addcmul>("addcmul(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kPlain,
                       "input + value * tensor1 * tensor2.");
  b.def<&ops::addcmul_>("addcmul_(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kMethod,
                        "In-place version of addcmul.");
  b.def<&ops::addcdiv>("addcdiv(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kPlain,
                       "input + value * tensor1 / tensor2.");
  b.def<&ops::addcdiv_>("addcdiv_(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1)", kMethod,
                        "In-place version of addcdiv.");
  b.def<&ops::masked_fill>("masked_fill(Tensor input, Tensor mask, Operand value)", kFunction | kMethod,
                           "value where the mask holds.");
  b.def<&ops::masked_fill_>("masked_fill_(Tensor input, Tensor mask, Operand value)", kMethod,
                            "In-place version of masked_fill.");
  b.def<&ops::fill>("fill(Tensor input, Operand value)", kFunction,
                    "A tensor of input's sizes full of value.");
  b.def<&ops::fill_>("fill_(Tensor input, Operand value)", kFunction | kMethod, "All elements become value.");
  b.def<&where_of>("where(Tensor input, Tensor condition, Operand other)", kMethod,
                   "input where the condition holds, other elsewhere.");
  b.def<&ops::nonzero_tuple>("where(Tensor condition)", kFunction | kMethod,
                             "The indices of the elements that are not zero, one tensor a dimension.");
  b.def<&ops::zero_>("zero_(Tensor input)", kFunction | kMethod, "All elements become zero.");
}

}  // namespace

void bind_elementwise(Binder& b) {
  bind_arithmetic(b);
  bind_comparison(b);
  bind_unary(b);
  bind_choice(b);
}

}  // namespace nnlib::python
