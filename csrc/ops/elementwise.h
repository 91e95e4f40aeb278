// Element-wise operators. Those ending in _ write into their first argument's memory.
// Names, promotion and errors are PyTorch's.
#pragma once
#include <optional>
#include <string>

#include "autograd/function.h"
#include "core/generator.h"

namespace nnlib::ops {

// ---- conversion: cast.cpp
// The tensor itself where it has the type already.
Tensor cast(const Tensor& self, Dtype dtype);

// ---- arithmetic: binary.cpp
Tensor add(const Tensor& self, const Tensor& other, Scalar alpha = 1);
Tensor sub(const Tensor& self, const Tensor& other, Scalar alpha = 1);
Tensor rsub(const Tensor& self, const Tensor& other, Scalar alpha);
Tensor mul(const Tensor& self, const Tensor& other);
Tensor div(const Tensor& self, const Tensor& other);
Tensor div_mode(const Tensor& self, const Tensor& other, const std::optional<std::string>& rounding_mode);
Tensor floor_divide(const Tensor& self, const Tensor& other);
Tensor remainder(const Tensor& self, const Tensor& other);
Tensor fmod(const Tensor& self, const Tensor& other);
Tensor pow(const Tensor& self, const Tensor& exponent);
Tensor float_power(const Tensor& self, const Tensor& exponent);
Tensor float_power_(const Tensor& self, const Tensor& exponent);
Tensor atan2(const Tensor& self, const Tensor& other);
Tensor hypot(const Tensor& self, const Tensor& other);
Tensor copysign(const Tensor& self, const Tensor& other);
Tensor logaddexp(const Tensor& self, const Tensor& other);
Tensor logaddexp2(const Tensor& self, const Tensor& other);
Tensor xlogy(const Tensor& self, const Tensor& other);
Tensor heaviside(const Tensor& self, const Tensor& values);
Tensor nextafter(const Tensor& self, const Tensor& other);
Tensor ldexp(const Tensor& self, const Tensor& other);
Tensor maximum(const Tensor& self, const Tensor& other);
Tensor minimum(const Tensor& self, const Tensor& other);
Tensor fmax(const Tensor& self, const Tensor& other);
Tensor fmin(const Tensor& self, const Tensor& other);
Tensor add_(const Tensor& self, const Tensor& other, Scalar alpha);
Tensor sub_(const Tensor& self, const Tensor& other, Scalar alpha);
Tensor mul_(const Tensor& self, const Tensor& other);
Tensor div_(const Tensor& self, const Tensor& other);
Tensor div_mode_(const Tensor& self, const Tensor& other, const std::optional<std::string>& rounding_mode);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b, Scalar(1)); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b, Scalar(1)); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, Scalar b) { return add(a, wrapped_number(b), Scalar(1)); }
inline Tensor operator-(const Tensor& a, Scalar b) { return sub(a, wrapped_number(b), Scalar(1)); }
inline Tensor operator*(const Tensor& a, Scalar b) { return mul(a, wrapped_number(b)); }
inline Tensor operator/(const Tensor& a, Scalar b) { return div(a, wrapped_number(b)); }
inline Tensor operator+(Scalar a, const Tensor& b) { return add(wrapped_number(a), b, Scalar(1)); }
inline Tensor operator-(Scalar a, const Tensor& b) { return sub(wrapped_number(a), b, Scalar(1)); }
inline Tensor operator*(Scalar a, const Tensor& b) { return mul(wrapped_number(a), b); }
inline Tensor operator/(Scalar a, const Tensor& b) { return div(wrapped_number(a), b); }

// ---- comparison and logic: compare.cpp
Tensor eq(const Tensor& self, const Tensor& other);
Tensor ne(const Tensor& self, const Tensor& other);
Tensor lt(const Tensor& self, const Tensor& other);
Tensor le(const Tensor& self, const Tensor& other);
Tensor gt(const Tensor& self, const Tensor& other);
Tensor ge(const Tensor& self, const Tensor& other);
bool equal(const Tensor& self, const Tensor& other);
Tensor isclose(const Tensor& self, const Tensor& other, double rtol, double atol, bool equal_nan);
bool allclose(const Tensor& self, const Tensor& other, double rtol, double atol, bool equal_nan);
Tensor logical_and(const Tensor& self, const Tensor& other);
Tensor logical_or(const Tensor& self, const Tensor& other);
Tensor logical_xor(const Tensor& self, const Tensor& other);
Tensor logical_not(const Tensor& self);
Tensor bitwise_and(const Tensor& self, const Tensor& other);
Tensor bitwise_or(const Tensor& self, const Tensor& other);
Tensor bitwise_xor(const Tensor& self, const Tensor& other);
Tensor bitwise_left_shift(const Tensor& self, const Tensor& other);
Tensor bitwise_right_shift(const Tensor& self, const Tensor& other);
Tensor bitwise_not(const Tensor& self);
Tensor isnan(const Tensor& self);
Tensor isinf(const Tensor& self);
Tensor isfinite(const Tensor& self);
Tensor isposinf(const Tensor& self);
Tensor isneginf(const Tensor& self);
Tensor signbit(const Tensor& self);

// ---- one operand: unary.cpp
// clang-format off
#define NNLIB_UNARY_OPS(X)                                                                                 \
  X(neg) X(abs) X(sign) X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sqrt) X(rsqrt)          \
  X(square) X(reciprocal) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) X(asinh)    \
  X(acosh) X(atanh) X(erf) X(erfc) X(erfinv) X(lgamma) X(digamma) X(sigmoid) X(floor) X(ceil) X(trunc)     \
  X(frac) X(sinc) X(deg2rad) X(rad2deg) X(trigamma)
// clang-format on
#define NNLIB_DECLARE(name) Tensor name(const Tensor& self);
NNLIB_UNARY_OPS(NNLIB_DECLARE)
#undef NNLIB_DECLARE
// Those that write into self.
#define NNLIB_UNARY_INPLACE_OPS(X) \
  X(neg)                           \
  X(abs) X(exp) X(log) X(sqrt) X(rsqrt) X(square) X(reciprocal) X(tanh) X(sigmoid) X(floor) X(ceil) X(trunc)
#define NNLIB_DECLARE(name) Tensor name##_(const Tensor& self);
NNLIB_UNARY_INPLACE_OPS(NNLIB_DECLARE)
#undef NNLIB_DECLARE
Tensor positive(const Tensor& self);
Tensor round(const Tensor& self, int64_t decimals);
Tensor logit(const Tensor& self, std::optional<double> eps);
Tensor nan_to_num(const Tensor& self, std::optional<double> nan, std::optional<double> posinf,
                  std::optional<double> neginf);
inline Tensor operator-(const Tensor& a) { return neg(a); }

// ---- choice and three operands: ternary.cpp
Tensor where(const Tensor& condition, const Tensor& self, const Tensor& other);
Tensor clamp(const Tensor& self, std::optional<Scalar> min, std::optional<Scalar> max);
Tensor clamp_tensor(const Tensor& self, const Tensor& min, const Tensor& max);
Tensor clamp_(const Tensor& self, std::optional<Scalar> min, std::optional<Scalar> max);
Tensor clamp_tensor_(const Tensor& self, const Tensor& min, const Tensor& max);
Tensor clamp_min(const Tensor& self, const Tensor& min);
Tensor clamp_max(const Tensor& self, const Tensor& max);
Tensor lerp(const Tensor& self, const Tensor& end, const Tensor& weight);
Tensor lerp_(const Tensor& self, const Tensor& end, const Tensor& weight);
Tensor addcmul(const Tensor& self, const Tensor& tensor1, const Tensor& tensor2, Scalar value);
Tensor addcmul_(const Tensor& self, const Tensor& tensor1, const Tensor& tensor2, Scalar value);
Tensor addcdiv(const Tensor& self, const Tensor& tensor1, const Tensor& tensor2, Scalar value);
Tensor addcdiv_(const Tensor& self, const Tensor& tensor1, const Tensor& tensor2, Scalar value);
Tensor masked_fill(const Tensor& self, const Tensor& mask, const Tensor& value);
Tensor masked_fill_(const Tensor& self, const Tensor& mask, const Tensor& value);
Tensor fill_(const Tensor& self, const Tensor& value);
Tensor fill(const Tensor& self, const Tensor& value);
Tensor zero_(const Tensor& self);

}  // namespace nnlib::ops
