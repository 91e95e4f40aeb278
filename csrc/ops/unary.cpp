// Functions of one operand. Each line of the lists gives the value, what
// backward keeps, and the gradient.
#include <cmath>

#include "ops/activation.h"
#include "ops/elementwise.h"
#include "ops/polygamma.h"
#include "ops/sparse_math.h"
#include "ops/special_functions.h"
#include "ops/unary_kernels.h"

namespace nnlib::ops {

namespace {

using special::kPi;

void check_can_hold(const Tensor& self, Dtype result) {
  NNLIB_CHECK(can_cast(result, self.dtype()), "result type ", dtype_legacy_name(result),
              " can't be cast to the desired output type ", dtype_legacy_name(self.dtype()));
}

// self = f(self) in place: in self's memory where nothing is recorded.
Tensor unary_inplace(const Tensor& self, Dtype type, Tensor (*op)(const Tensor&),
                     void (*run)(const Tensor& out, const Tensor& x)) {
  if (wants_grad(self)) return assign_inplace(self, op);
  check_inplace(self);
  check_can_hold(self, type);
  run(self, self);
  mark_changed(self);
  return self;
}

// Functions that keep the operand's type say nothing about bools, sign
// excepted.
void check_operand(const std::string& name, const Tensor& x) {
  if (name == "frac" && !is_floating(x.dtype()))
    throw_message<NotImplementedError>("\"frac\" not implemented for '", dtype_legacy_name(x.dtype()), "'");
  if (x.dtype() != Dtype::Bool) return;
  NNLIB_CHECK(name != "neg",
              "Negation, the `-` operator, on a bool tensor is "
              "not supported. If you are trying to invert a "
              "mask, use "
              "the `~` or `logical_not()` operator instead.");
  for (const char* no : {"abs", "floor", "ceil", "trunc"})
    if (name == no) throw_message<NotImplementedError>("\"", name, "_cpu\" not implemented for 'Bool'");
}

// -1, 0 or 1, and NaN of NaN. Of int64 by shifts: plain x86-64 has no comparison of 64 bits on vectors.
template <class T>
T sign_of(T x) {
  if constexpr (std::is_same_v<T, int64_t>) {
    const uint64_t u = (uint64_t)x;
    return (int64_t)((0 - (u >> 63)) | ((0 - u) >> 63));
  } else {
    return x != x ? x : (T)((T)(x > 0) - (T)(x < 0));
  }
}

Tensor zeros_of(const Tensor& g) {
  Tensor z = empty_like(g);
  fill_values(z, 0);
  return z;
}

}  // namespace

// The type of results: 'f' floats, 'n' numbers (of a bool int64), else the operand's.
static Dtype result_of(char type, Dtype d) {
  return type == 'f' ? to_floating(d) : type == 'n' && d == Dtype::Bool ? Dtype::Int64 : d;
}

#define NNLIB_RUN(name, type, kernel, grain, value)             \
  static void run_##name(const Tensor& out, const Tensor& in) { \
    check_operand(#name, in);                                   \
    [[maybe_unused]] const auto& table = kernels::table();      \
    run_unary<type == 'f'>(                                     \
        out, in, result_of(type, in.dtype()), kernel,           \
        [](auto x) {                                            \
          [[maybe_unused]] typedef decltype(x) T;               \
          return value;                                         \
        },                                                      \
        grain);                                                 \
  }
#define NNLIB_DEFINE(name, node, type, keep, gradient)                                  \
  Tensor name(const Tensor& self) {                                                     \
    Tensor out = make_output(self.sizes(), result_of(type, self.dtype()), {&self});     \
    run_##name(out, self);                                                              \
    if (wants_grad(self))                                                               \
      record(out, node, {self}, [kept = keep](Backward& ctx, const TensorList& grads) { \
        const Tensor& g = grads[0];                                                     \
        [[maybe_unused]] const Tensor v = kept.get(ctx);                                \
        return TensorList{gradient};                                                    \
      });                                                                               \
    return out;                                                                         \
  }

// Results are floats, for integers the default float. FROM_INPUT: in the
// gradient v is the operand; FROM_OUTPUT: v is the result; NOTHING: it needs
// neither. g is the gradient of the result.
#define FROM_INPUT save(self)
#define FROM_OUTPUT save_output(out)
#define NOTHING Saved()
#define NNLIB_FLOAT(name, node, kernel, value, keep, gradient) \
  NNLIB_RUN(name, 'f', kernel, kCostly, value)                 \
  NNLIB_DEFINE(name, node, 'f', keep, (gradient))
// Results have the operand's type.
#define NNLIB_SAME(name, node, kernel, value, keep, gradient) \
  NNLIB_RUN(name, 's', kernel, kCheap, value)                 \
  NNLIB_DEFINE(name, node, 's', keep, (gradient))

#define WHOLE_OR(expression) std::is_integral_v<T> ? x : (T)(expression)

NNLIB_FLOAT(exp, "ExpBackward0", NNLIB_UNARY_KERNELS(exp), std::exp(x), FROM_OUTPUT, g* v)
NNLIB_FLOAT(exp2, "Exp2Backward0", NNLIB_UNARY_KERNELS(exp2), std::exp2(x), FROM_OUTPUT,
            g * v * Scalar(M_LN2))
NNLIB_FLOAT(expm1, "Expm1Backward0", NNLIB_UNARY_KERNELS(expm1), std::expm1(x), FROM_OUTPUT,
            g*(v + Scalar(1)))
NNLIB_FLOAT(log, "LogBackward0", NNLIB_UNARY_KERNELS(log), std::log(x), FROM_INPUT, g / v)
NNLIB_FLOAT(log2, "Log2Backward0", NNLIB_UNARY_KERNELS(log2), std::log2(x), FROM_INPUT,
            g / (v * Scalar(M_LN2)))
NNLIB_FLOAT(log10, "Log10Backward0", NNLIB_FLOAT_KERNELS(log10), std::log10(x), FROM_INPUT,
            g / (v * Scalar(M_LN10)))
NNLIB_FLOAT(log1p, "Log1PBackward0", NNLIB_UNARY_KERNELS(log1p), std::log1p(x), FROM_INPUT,
            g / (v + Scalar(1)))
NNLIB_FLOAT(sqrt, "SqrtBackward0", NNLIB_UNARY_KERNELS(sqrt), std::sqrt(x), FROM_OUTPUT, g / (v * Scalar(2)))
NNLIB_FLOAT(rsqrt, "RsqrtBackward0", NNLIB_UNARY_KERNELS(rsqrt), 1 / std::sqrt(x), FROM_OUTPUT,
            g* Scalar(-0.5) * (v * v * v))
NNLIB_FLOAT(reciprocal, "ReciprocalBackward0", NNLIB_UNARY_KERNELS(reciprocal), 1 / x, FROM_OUTPUT, -g*(v* v))
NNLIB_FLOAT(sin, "SinBackward0", NNLIB_FLOAT_KERNELS(sin), std::sin(x), FROM_INPUT, g* cos(v))
NNLIB_FLOAT(cos, "CosBackward0", NNLIB_FLOAT_KERNELS(cos), std::cos(x), FROM_INPUT, g * -sin(v))
NNLIB_FLOAT(tan, "TanBackward0", NNLIB_FLOAT_KERNELS(tan), std::tan(x), FROM_OUTPUT, g*(v* v + Scalar(1)))
NNLIB_FLOAT(asin, "AsinBackward0", NNLIB_FLOAT_KERNELS(asin), std::asin(x), FROM_INPUT,
            g* rsqrt(Scalar(1) - v * v))
NNLIB_FLOAT(acos, "AcosBackward0", NNLIB_FLOAT_KERNELS(acos), std::acos(x), FROM_INPUT,
            -g* rsqrt(Scalar(1) - v * v))
NNLIB_FLOAT(atan, "AtanBackward0", NNLIB_FLOAT_KERNELS(atan), std::atan(x), FROM_INPUT,
            g / (v * v + Scalar(1)))
NNLIB_FLOAT(sinh, "SinhBackward0", NNLIB_FLOAT_KERNELS(sinh), std::sinh(x), FROM_INPUT, g* cosh(v))
NNLIB_FLOAT(cosh, "CoshBackward0", NNLIB_FLOAT_KERNELS(cosh), std::cosh(x), FROM_INPUT, g* sinh(v))
NNLIB_FLOAT(tanh, "TanhBackward0", NNLIB_UNARY_KERNELS(tanh), std::tanh(x), FROM_OUTPUT, tanh_backward(g, v))
NNLIB_FLOAT(asinh, "AsinhBackward0", NNLIB_FLOAT_KERNELS(asinh), std::asinh(x), FROM_INPUT,
            g* rsqrt(v* v + Scalar(1)))
NNLIB_FLOAT(acosh, "AcoshBackward0", NNLIB_FLOAT_KERNELS(acosh), std::acosh(x), FROM_INPUT,
            g* rsqrt(v - Scalar(1)) * rsqrt(v + Scalar(1)))
NNLIB_FLOAT(atanh, "AtanhBackward0", NNLIB_FLOAT_KERNELS(atanh), std::atanh(x), FROM_INPUT,
            g / (Scalar(1) - v * v))
NNLIB_FLOAT(erf, "ErfBackward0", NNLIB_UNARY_KERNELS(erf), std::erf(x), FROM_INPUT,
            g* Scalar(2 / std::sqrt(kPi)) * exp(-(v * v)))
NNLIB_FLOAT(erfc, "ErfcBackward0", NNLIB_FLOAT_KERNELS(erfc), std::erfc(x), FROM_INPUT,
            g* Scalar(-2 / std::sqrt(kPi)) * exp(-(v * v)))
NNLIB_FLOAT(erfinv, "ErfinvBackward0", NNLIB_FLOAT_KERNELS(erfinv), (T)special::erfinv(x), FROM_OUTPUT,
            g* Scalar(0.5 * std::sqrt(kPi)) * exp(v * v))
NNLIB_FLOAT(lgamma, "LgammaBackward0", table.lgamma_f32, (T)special::lgamma(x), FROM_INPUT, g* digamma(v))
NNLIB_FLOAT(digamma, "DigammaBackward0", NNLIB_FLOAT_KERNELS(digamma), (T)special::digamma(x), FROM_INPUT,
            g* trigamma(v))
NNLIB_FLOAT(sigmoid, "SigmoidBackward0", NNLIB_UNARY_KERNELS(sigmoid), 1 / (1 + std::exp(-x)), FROM_OUTPUT,
            sigmoid_backward(g, v))
NNLIB_FLOAT(sinc, "SincBackward0", table.sinc_f32, x == 0 ? (T)1 : (T)(std::sin(kPi * x) / (kPi * x)),
            FROM_INPUT,
            where(eq(v, wrapped_number(0)), wrapped_number(0.0),
                  g*((v * Scalar(kPi) * cos(v * Scalar(kPi)) - sin(v * Scalar(kPi))) /
                     (v * v * Scalar(kPi)))))
NNLIB_FLOAT(deg2rad, "Deg2RadBackward0", nullptr, x*(T)(kPi / 180), NOTHING, g* Scalar(kPi / 180))
NNLIB_FLOAT(rad2deg, "Rad2DegBackward0", nullptr, x*(T)(180 / kPi), NOTHING, g* Scalar(180 / kPi))

NNLIB_SAME(abs, "AbsBackward0", NNLIB_UNARY_KERNELS(abs), x < 0 ? (T)-x : x, FROM_INPUT, g* sign(v))
NNLIB_SAME(sign, "SignBackward0", NNLIB_UNARY_KERNELS(sign), sign_of(x), NOTHING, zeros_of(g))
NNLIB_RUN(square, 'n', NNLIB_UNARY_KERNELS(square), kCheap, x* x)
NNLIB_DEFINE(square, "PowBackward0", 'n', FROM_INPUT, (g * (v * Scalar(2))))
NNLIB_SAME(floor, "FloorBackward0", NNLIB_UNARY_KERNELS(floor), WHOLE_OR(std::floor(x)), NOTHING, zeros_of(g))
NNLIB_SAME(ceil, "CeilBackward0", NNLIB_UNARY_KERNELS(ceil), WHOLE_OR(std::ceil(x)), NOTHING, zeros_of(g))
NNLIB_SAME(frac, "FracBackward0", NNLIB_UNARY_KERNELS(frac), WHOLE_OR(x - std::trunc(x)), NOTHING, g)
NNLIB_SAME(trunc, "TruncBackward0", NNLIB_UNARY_KERNELS(trunc), WHOLE_OR(std::trunc(x)), NOTHING, zeros_of(g))

Tensor trigamma(const Tensor& self) { return polygamma(1, self); }

NNLIB_RUN(neg, 's', NNLIB_UNARY_KERNELS(neg), kCheap,
          (T)(std::is_integral_v<T> ? (T)(0 - (uint64_t)(int64_t)x) : -x))
Tensor neg(const Tensor& self) {
  if (self.is_sparse()) return sparse_scale(self, wrapped_number(-1), false);
  Tensor out = make_output(self.sizes(), self.dtype(), {&self});
  run_neg(out, self);
  if (wants_grad(self))
    record(out, "NegBackward0", {self}, [](Backward&, const TensorList& g) { return TensorList{neg(g[0])}; });
  return out;
}

#define NNLIB_DEFINE_INPLACE(name, type) \
  Tensor name##_(const Tensor& self) { return unary_inplace(self, type, name, run_##name); }
NNLIB_DEFINE_INPLACE(neg, self.dtype())
NNLIB_DEFINE_INPLACE(abs, self.dtype())
NNLIB_DEFINE_INPLACE(square, result_of('n', self.dtype()))
NNLIB_DEFINE_INPLACE(floor, self.dtype())
NNLIB_DEFINE_INPLACE(ceil, self.dtype())
NNLIB_DEFINE_INPLACE(trunc, self.dtype())
NNLIB_DEFINE_INPLACE(exp, to_floating(self.dtype()))
NNLIB_DEFINE_INPLACE(log, to_floating(self.dtype()))
NNLIB_DEFINE_INPLACE(sqrt, to_floating(self.dtype()))
NNLIB_DEFINE_INPLACE(rsqrt, to_floating(self.dtype()))
NNLIB_DEFINE_INPLACE(reciprocal, to_floating(self.dtype()))
NNLIB_DEFINE_INPLACE(tanh, to_floating(self.dtype()))
NNLIB_DEFINE_INPLACE(sigmoid, to_floating(self.dtype()))

Tensor positive(const Tensor& self) {
  NNLIB_CHECK(self.dtype() != Dtype::Bool, "The `+` operator, on a bool tensor is not supported.");
  return self;
}

Tensor round(const Tensor& self, int64_t decimals) {
  NNLIB_CHECK_AS(NotImplementedError, self.dtype() != Dtype::Bool,
                 "\"round_cpu\" not implemented for 'Bool'");
  if (!is_floating(self.dtype())) return basic_ops().clone(self);
  Tensor out = make_output(self.sizes(), self.dtype(), {&self});
  const double scale = std::pow(10.0, (double)std::abs(decimals));
  auto f = [=](auto x) {
    using T = decltype(x);
    if (decimals == 0) return std::nearbyint(x);
    const T s = (T)scale;
    return decimals > 0 ? std::nearbyint(x * s) / s : std::nearbyint(x / s) * s;
  };
  run_unary<true>(out, self, self.dtype(), decimals ? UnaryKernels(nullptr) : NNLIB_UNARY_KERNELS(round), f,
                  kCheap);
  if (wants_grad(self))
    record(out, decimals ? "RoundBackward1" : "RoundBackward0", {self},
           [](Backward&, const TensorList& g) { return TensorList{zeros_of(g[0])}; });
  return out;
}

Tensor logit(const Tensor& self, std::optional<double> eps) {
  Tensor out = make_output(self.sizes(), to_floating(self.dtype()), {&self});
  const auto run = [&](auto number, auto log) {
    using C = decltype(number);
    for_each_row(
        out, DtypeOf<C>::value, {{&self, DtypeOf<C>::value}},
        [eps, log](int64_t n, const void* const* in, void* o) {
          const C *x = (const C*)in[0], low = eps ? (C)*eps : -INFINITY,
                  high = eps ? (C)(1 - *eps) : INFINITY;
          C* y = (C*)o;
          for (int64_t i = 0; i < n; i++) {
            const C v = x[i] < low ? low : x[i] > high ? high : x[i];
            y[i] = v == 1 ? INFINITY : v / (1 - v);
          }
          log(n, y, y);
        },
        kCostly);
  };
  if (out.dtype() == Dtype::Float64)
    run(double(), kernels::table().log_f64);
  else
    run(float(), kernels::table().log_f32);
  if (wants_grad(self)) {
    record(out, "LogitBackward0", {self}, [x = save(self), eps](Backward& ctx, const TensorList& g) {
      const Tensor v = x.get(ctx);
      const double low = eps ? *eps : 0;
      const Tensor inside = logical_and(ge(v, wrapped_number(low)), le(v, wrapped_number(1 - low)));
      return TensorList{where(inside, g[0] / (v * (Scalar(1) - v)), wrapped_number(eps ? 0.0 : (double)NAN))};
    });
  }
  return out;
}

}  // namespace nnlib::ops
