// Rounded division, remainders, powers, extremes and other functions of two
// operands.
#include <cmath>
#include <cstring>

#include "ops/binary_kernels.h"
#include "ops/elementwise.h"
#include "ops/pick.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/unary_kernels.h"

namespace nnlib::ops {

namespace {

using Mode = std::optional<std::string>;

// Quotients and rests of integers, into a new tensor of type `common`.
Tensor divide_integers(const Tensor& self, const Tensor& other, Dtype common, int64_t how) {
  Tensor out = make_output(broadcast_sizes({self, other}), common, {&self, &other});
  const Tensor by = detach(single_in_type(other, common));
  NNLIB_CHECK(out.numel() == 0 || all(by, std::nullopt, false).item().to_int() != 0, "ZeroDivisionError");
  run_integer_rows(out, self, by, common, kernels::kIntegerDivide, how);
  return out;
}

// Quotient towards zero.
const auto kDivTrunc = [](auto a, auto b) { return (decltype(a))std::trunc(a / b); };
BinaryKernels div_trunc_kernels() {
  const auto& k = kernels::table();
  return BinaryKernels(nullptr, k.div_trunc_rows_f32, k.div_trunc_rows_f64, k.div_trunc_rows_bf16,
                       k.div_trunc_rows_f16);
}
// Quotient towards minus infinity, as Python's //: from fmod, so that it agrees
// with remainder.
const auto kDivFloor = [](auto a, auto b) {
  using T = decltype(a);
  if (b == 0) return (T)(a / b);
  const T m = std::fmod(a, b);
  T q = (a - m) / b;
  if (m != 0 && (b < 0) != (m < 0)) q -= 1;
  if (q == 0) return (T)std::copysign((T)0, a / b);
  const T f = std::floor(q);
  return q - f > (T)0.5 ? f + 1 : f;
};
// The same with fmod by its kernel.
template <class C>
void div_floor_row(int64_t n, const C* a, const C* b, C* q) {
  const auto& k = kernels::table();
  constexpr int64_t kPart = 256;
  C rest[kPart], quotient[kPart], whole[kPart];
  for (int64_t from = 0; from < n; from += kPart) {
    const int64_t m = std::min(kPart, n - from);
    const C *x = a + from, *y = b + from;
    pick<C>(k.fmod_f32, k.fmod_f64)(m, x, y, rest);
    for (int64_t i = 0; i < m; i++) {
      const C d = y[i], r = rest[i], v = (x[i] - r) / d;
      quotient[i] = (r != 0) & ((d < 0) != (r < 0)) ? v - 1 : v;
    }
    pick<C>(k.floor_f32, k.floor_f64)(m, quotient, whole);
    for (int64_t i = 0; i < m; i++) {
      const C v = quotient[i], f = whole[i], up = v - f > C(0.5) ? f + 1 : f, plain = x[i] / y[i];
      q[from + i] = y[i] == 0 ? plain : v == 0 ? std::copysign(C(0), plain) : up;
    }
  }
}
// Has the divisor's sign.
const auto kRemainder = [](auto a, auto b) {
  using T = decltype(a);
  const T r = std::fmod(a, b);
  return r != 0 && (b < 0) != (r < 0) ? r + b : r;
};
// Has the dividend's sign.
const auto kFmod = [](auto a, auto b) { return (decltype(a))std::fmod(a, b); };

// max + log1p(e^-|a - b|), by the kernels; to the base 2 where `binary`. Equal infinities stay.
template <bool binary, class C>
void logaddexp_row(int64_t n, const C* a, const C* b, C* y) {
  const auto& k = kernels::table();
  constexpr int64_t kPart = 256;
  C gap[kPart];
  for (int64_t from = 0; from < n; from += kPart) {
    const int64_t m = std::min(kPart, n - from);
    const C *p = a + from, *q = b + from;
    for (int64_t i = 0; i < m; i++) gap[i] = p[i] == q[i] ? 0 : -std::abs(p[i] - q[i]);
    binary ? pick<C>(k.exp2_f32, k.exp2_f64)(m, gap, gap) : pick<C>(k.exp_f32, k.exp_f64)(m, gap, gap);
    pick<C>(k.log1p_f32, k.log1p_f64)(m, gap, gap);
    // NaN where one is NaN: the gap is then.
    for (int64_t i = 0; i < m; i++)
      y[from + i] = (p[i] > q[i] ? p[i] : q[i]) + gap[i] * (binary ? C(M_LOG2E) : C(1));
  }
}

int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
  uint64_t r = 1, b = (uint64_t)base;
  for (; exponent; exponent >>= 1, b *= b)
    if (exponent & 1) r *= b;
  return (int64_t)r;
}
const auto kPow = [](auto a, auto b) {
  using T = decltype(a);
  if constexpr (std::is_integral_v<T>)
    return (T)power(a, b);
  else
    return (T)std::pow(a, b);
};

Tensor zeros_of(const Tensor& g) {
  Tensor z = empty_like(g);
  fill_values(z, 0);
  return z;
}
Tensor zero_where(const Tensor& condition, const Tensor& g) {
  return where(condition, wrapped_number(0.0), g);
}

Dtype arithmetic_type(const Tensor& self, const Tensor& other, const char* name) {
  const Dtype common = result_type(self, other);
  NNLIB_CHECK_AS(NotImplementedError, common != Dtype::Bool, "\"", name, "\" not implemented for 'Bool'");
  return common;
}

Tensor run_div_mode(const Tensor& self, const Tensor& other, const std::string& mode) {
  const Dtype common = arithmetic_type(self, other, mode == "trunc" ? "div_trunc_cpu" : "div_floor_cpu");
  if (mode == "trunc") {
    if (!is_floating(common)) return divide_integers(self, other, common, kernels::kTowardsZero);
    return binary<true>(self, other, common, div_trunc_kernels(), kDivTrunc);
  }
  NNLIB_CHECK(mode == "floor",
              "div expected rounding_mode to be one of None, 'trunc', or "
              "'floor' but found '",
              mode, "'");
  if (!is_floating(common)) return divide_integers(self, other, common, kernels::kDown);
  return binary<true>(self, other, common, {div_floor_row<float>, div_floor_row<double>}, kDivFloor, kCostly);
}

// An operator whose result and gradients are floats; f is its scalar function.
template <class F, class B>
Tensor float_binary(const Tensor& self, const Tensor& other, const char* node, const F& f, const B& backward,
                    const BinaryKernels& kernel = nullptr) {
  Tensor out = binary<true>(self, other, to_floating(result_type(self, other)), kernel, f, kCostly);
  if (wants_grad(self, other)) record(out, node, {self, other}, backward(save(self), save(other), out));
  return out;
}

void check_floats(const Tensor& self, const Tensor& other, const char* name) {
  const Dtype common = result_type(self, other);
  NNLIB_CHECK_AS(NotImplementedError, is_floating(common), "\"", name, "\" not implemented for '",
                 dtype_legacy_name(common), "'");
}

// maximum, minimum, fmax and fmin: `first(a, b)` is where the gradient goes to
// self alone.
template <class F, class B>
Tensor extreme(const Tensor& self, const Tensor& other, const BinaryKernels& kernel, const char* node,
               const F& f, const B& backward) {
  Tensor out = binary<true>(self, other, result_type(self, other), kernel, f);
  if (wants_grad(self, other)) record(out, node, {self, other}, backward(save(self), save(other)));
  return out;
}
// Ties share the gradient.
auto shared_backward(Tensor (*loses)(const Tensor&, const Tensor&)) {
  return [loses](Saved a, Saved b) {
    return [=](Backward& ctx, const TensorList& g) {
      const Tensor x = a.get(ctx), y = b.get(ctx);
      const Tensor half = where(eq(x, y), g[0] / Scalar(2), g[0]);
      return TensorList{zero_where(loses(x, y), half), zero_where(loses(y, x), half)};
    };
  };
}
// fmax and fmin: the first wins ties and against NaN.
auto exclusive_backward(Tensor (*wins)(const Tensor&, const Tensor&)) {
  return [wins](Saved a, Saved b) {
    return [=](Backward& ctx, const TensorList& g) {
      const Tensor x = a.get(ctx), y = b.get(ctx);
      const Tensor first = logical_or(wins(x, y), isnan(y));
      return TensorList{where(first, g[0], wrapped_number(0.0)), zero_where(first, g[0])};
    };
  };
}

}  // namespace

Tensor div_mode(const Tensor& self, const Tensor& other, const Mode& mode) {
  if (!mode) return div(self, other);
  Tensor out = run_div_mode(self, other, *mode);
  if (wants_grad(self, other))
    record(out, "DivBackward1", {self, other},
           [](Backward&, const TensorList& g) { return TensorList{zeros_of(g[0]), zeros_of(g[0])}; });
  return out;
}
Tensor div_mode_(const Tensor& self, const Tensor& other, const Mode& mode) {
  if (!mode) return div_(self, other);
  return assign_inplace(
      self, [&](const Tensor& s) { return div_mode(s, other, mode); }, wants_grad_one(other));
}
Tensor floor_divide(const Tensor& self, const Tensor& other) { return run_div_mode(self, other, "floor"); }

Tensor remainder(const Tensor& self, const Tensor& other) {
  const Dtype common = arithmetic_type(self, other, "remainder_cpu");
  if (!is_floating(common)) return divide_integers(self, other, common, kernels::kDown | kernels::kRest);
  Tensor out =
      binary<true>(self, other, common, {kernels::table().remainder_f32, kernels::table().remainder_f64},
                   kRemainder, kCostly);
  if (wants_grad(self, other)) {
    record(out, "RemainderBackward0", {self, other},
           [a = save(self), b = save(other)](Backward& ctx, const TensorList& g) {
             return TensorList{g[0],
                               ctx.needs(1) ? -g[0] * div_mode(a.get(ctx), b.get(ctx), "floor") : Tensor()};
           });
  }
  return out;
}
Tensor fmod(const Tensor& self, const Tensor& other) {
  const Dtype common = arithmetic_type(self, other, "fmod_cpu");
  if (!is_floating(common)) return divide_integers(self, other, common, kernels::kRest);
  Tensor out = binary<true>(self, other, common, {kernels::table().fmod_f32, kernels::table().fmod_f64},
                            kFmod, kCostly);
  if (wants_grad(self, other)) {
    record(out, "FmodBackward0", {self, other},
           [a = save(self), b = save(other)](Backward& ctx, const TensorList& g) {
             return TensorList{g[0],
                               ctx.needs(1) ? -g[0] * div_mode(a.get(ctx), b.get(ctx), "trunc") : Tensor()};
           });
  }
  return out;
}

Tensor pow(const Tensor& self, const Tensor& exponent) {
  const auto& k = kernels::table();
  const bool number = exponent.is_wrapped_number();
  const Dtype common = number ? result_type(self, exponent) : arithmetic_type(self, exponent, "pow");
  const double e = number ? exponent.item().to_double() : 0;
  NNLIB_CHECK(!number || is_floating(common) || e >= 0,
              "Integers to negative integer powers are not allowed.");
  Tensor out = make_output(broadcast_sizes({self, exponent}), common, {&self, &exponent});
  if (number && e == 2 && is_floating(common)) {
    run_unary<true>(out, self, common, NNLIB_UNARY_KERNELS(square), [](auto x) { return x * x; }, kCheap);
  } else if (number && e == 2) {
    run_integer_rows(out, self, self, common, kernels::kIntegerMul);
  } else if (number && e == 0.5 && is_floating(common)) {
    run_unary<true>(
        out, self, common, NNLIB_UNARY_KERNELS(sqrt), [](auto x) { return std::sqrt(x); }, kCheap);
  } else if (number && e == -0.5 && is_floating(common)) {
    run_unary<true>(
        out, self, common, NNLIB_UNARY_KERNELS(rsqrt), [](auto x) { return 1 / std::sqrt(x); }, kCheap);
  } else if (number && e == 3 && is_floating(common)) {
    run_unary<true>(out, self, common, nullptr, [](auto x) { return x * x * x; }, kCheap);
  } else if (number && e == -1) {
    run_unary<true>(out, self, common, NNLIB_UNARY_KERNELS(reciprocal), [](auto x) { return 1 / x; }, kCheap);
  } else if (number && e == -2) {
    run_unary<true>(out, self, common, nullptr, [](auto x) { return 1 / (x * x); }, kCheap);
  } else {
    run_binary(out, self, exponent, common, {k.pow_f32, k.pow_f64}, kPow, kCostly);
  }
  if (!wants_grad(self, exponent)) return out;
  if (number) {
    record(out, "PowBackward0", {self, exponent}, [x = save(self), e](Backward& ctx, const TensorList& g) {
      if (e == 0) return TensorList{zeros_of(g[0]), Tensor()};
      if (e == 2) return TensorList{g[0] * (x.get(ctx) * Scalar(2)), Tensor()};
      return TensorList{g[0] * (pow(x.get(ctx), wrapped_number(e - 1)) * Scalar(e)), Tensor()};
    });
    return out;
  }
  record(out, self.is_wrapped_number() ? "PowBackward2" : "PowBackward1", {self, exponent},
         [x = save(self), p = save(exponent), r = save_output(out)](Backward& ctx, const TensorList& g) {
           const Tensor b = x.get(ctx), q = p.get(ctx);
           TensorList out(2);
           if (ctx.needs(0))
             out[0] = zero_where(eq(q, wrapped_number(0)), g[0] * (q * pow(b, q - Scalar(1))));
           if (ctx.needs(1)) {
             const Tensor flat = logical_and(eq(b, wrapped_number(0)), ge(q, wrapped_number(0)));
             out[1] = zero_where(flat, g[0] * (r.get(ctx) * log(b)));
           }
           return out;
         });
  return out;
}

Tensor float_power(const Tensor& self, const Tensor& exponent) {
  auto as_double = [](const Tensor& t) {
    return t.is_wrapped_number() ? wrapped_number(t.item().to_double()) : cast(t, Dtype::Float64);
  };
  const Tensor base = cast(self, Dtype::Float64), r = pow(base, as_double(exponent));
  return cast(r, Dtype::Float64);
}

Tensor float_power_(const Tensor& self, const Tensor& exponent) {
  NNLIB_CHECK(self.dtype() == Dtype::Float64, "the base given to float_power_ has dtype ",
              dtype_legacy_name(self.dtype()), " but the operation's result requires dtype Double");
  return assign_inplace(
      self, [&](const Tensor& s) { return float_power(s, exponent); }, wants_grad_one(exponent));
}

Tensor atan2(const Tensor& self, const Tensor& other) {
  return float_binary(
      self, other, "Atan2Backward0", [](auto a, auto b) { return std::atan2(a, b); },
      [](Saved a, Saved b, const Tensor&) {
        return [=](Backward& ctx, const TensorList& g) {
          const Tensor y = a.get(ctx), x = b.get(ctx), n = y * y + x * x;
          const Tensor r = zero_where(eq(n, wrapped_number(0)), g[0] / n);
          return TensorList{r * x, r * -y};
        };
      },
      {kernels::table().atan2_f32, kernels::table().atan2_f64});
}
Tensor hypot(const Tensor& self, const Tensor& other) {
  check_floats(self, other, "hypot_cpu");
  return float_binary(
      self, other, "HypotBackward0", [](auto a, auto b) { return std::hypot(a, b); },
      [](Saved a, Saved b, const Tensor& out) {
        return [=, r = save_output(out)](Backward& ctx, const TensorList& g) {
          const Tensor s = g[0] / r.get(ctx);
          return TensorList{s * a.get(ctx), s * b.get(ctx)};
        };
      },
      {kernels::table().hypot_f32, kernels::table().hypot_f64});
}
// As integers, which move one bit.
Tensor copysign(const Tensor& self, const Tensor& other) {
  const Dtype type = to_floating(result_type(self, other));
  Tensor out = make_output(broadcast_sizes({self, other}), type, {&self, &other});
  {
    NoGradGuard guard;
    const int64_t item = (int64_t)itemsize(type);
    const Dtype bits = item == 2 ? Dtype::Int16 : item == 4 ? Dtype::Int32 : Dtype::Int64;
    const auto as_bits = [=](const Tensor& t) { return view_dtype(cast_values(t, type), bits); };
    run_integer_rows(as_bits(out), as_bits(self), as_bits(other), bits, kernels::kIntegerSign);
  }
  if (wants_grad(self, other))
    record(out, "CopysignBackward0", {self, other},
           [a = save(self), r = save_output(out)](Backward& ctx, const TensorList& g) {
             const Tensor x = a.get(ctx);
             return TensorList{g[0] * zero_where(eq(x, wrapped_number(0)), r.get(ctx) / x), zeros_of(g[0])};
           });
  return out;
}

Tensor logaddexp(const Tensor& self, const Tensor& other) {
  check_floats(self, other, "logaddexp_cpu");
  auto f = [](auto a, auto b) {
    using T = decltype(a);
    if (std::isinf(a) && a == b) return a;
    const T m = a > b ? a : b;
    return (T)(m + std::log1p(std::exp(-std::abs(a - b))));
  };
  return float_binary(self, other, "LogaddexpBackward0", f,
                      [](Saved a, Saved b, const Tensor&) {
                        return [=](Backward& ctx, const TensorList& g) {
                          const Tensor x = a.get(ctx), y = b.get(ctx);
                          return TensorList{g[0] / (exp(y - x) + Scalar(1)), g[0] / (exp(x - y) + Scalar(1))};
                        };
                      },
                      {logaddexp_row<false, float>, logaddexp_row<false, double>});
}
Tensor logaddexp2(const Tensor& self, const Tensor& other) {
  check_floats(self, other, "logaddexp2_cpu");
  auto f = [](auto a, auto b) {
    using T = decltype(a);
    if (std::isinf(a) && a == b) return a;
    const T m = a > b ? a : b;
    return (T)(m + std::log1p(std::exp2(-std::abs(a - b))) * (T)M_LOG2E);
  };
  return float_binary(self, other, "Logaddexp2Backward0", f,
                      [](Saved a, Saved b, const Tensor&) {
                        return [=](Backward& ctx, const TensorList& g) {
                          const Tensor x = a.get(ctx), y = b.get(ctx);
                          return TensorList{g[0] / (exp2(y - x) + Scalar(1)),
                                            g[0] / (exp2(x - y) + Scalar(1))};
                        };
                      },
                      {logaddexp_row<true, float>, logaddexp_row<true, double>});
}
Tensor xlogy(const Tensor& self, const Tensor& other) {
  auto f = [](auto a, auto b) {
    using T = decltype(a);
    if (b != b) return b;
    return a == 0 ? (T)0 : (T)(a * std::log(b));
  };
  return float_binary(self, other, "XlogyBackward0", f, [](Saved a, Saved b, const Tensor&) {
    return [=](Backward& ctx, const TensorList& g) {
      const Tensor x = a.get(ctx), y = b.get(ctx);
      const Tensor flat = logical_and(eq(x, wrapped_number(0)), le(y, wrapped_number(0)));
      return TensorList{zero_where(flat, xlogy(g[0], y)), g[0] * x / y};
    };
  });
}

Tensor heaviside(const Tensor& self, const Tensor& values) {
  NNLIB_CHECK(self.dtype() == values.dtype(),
              "heaviside is not yet implemented for tensors with different dtypes.");
  return binary(self, values, self.dtype(), nullptr, [](auto a, auto b) {
    using T = decltype(a);
    return a == 0 ? b : (T)(a > 0 ? 1 : 0);
  });
}
// The neighbour of a towards b among the numbers of T, whose neighbours have neighbouring bits.
template <class T, class Bits, class C>
C next_after(C a, C b) {
  if (!(a < b || a > b)) return a == b ? b : a + b;  // NaN where one is
  T x = T(a);
  Bits bits;
  std::memcpy(&bits, &x, sizeof x);
  const Bits first = Bits((b < 0 ? std::numeric_limits<Bits>::min() : Bits(0)) + 1);  // from 0 on
  bits = a == 0 ? first : Bits(bits + ((a < b) == (a > 0) ? 1 : -1));
  std::memcpy((void*)&x, &bits, sizeof x);
  return C(x);
}
Tensor nextafter(const Tensor& self, const Tensor& other) {
  check_floats(self, other, "nextafter_cpu");
  const Dtype common = result_type(self, other);
  if (common == Dtype::BFloat16)
    return binary<true>(self, other, common, nullptr,
                        [](auto a, auto b) { return next_after<BFloat16, int16_t>(a, b); });
  if (common == Dtype::Float16)
    return binary<true>(self, other, common, nullptr,
                        [](auto a, auto b) { return next_after<Half, int16_t>(a, b); });
  return binary<true>(self, other, common, nullptr, [](auto a, auto b) {
    using T = decltype(a);
    return next_after<T, std::conditional_t<sizeof(T) == 4, int32_t, int64_t>>(a, b);
  });
}
// Whole exponents are added to a float's own, which neither overflows nor rounds on the way.
Tensor ldexp(const Tensor& self, const Tensor& other) {
  NNLIB_CHECK_AS(NotImplementedError, other.dtype() != Dtype::Bool || !is_floating(self.dtype()),
                 "\"ldexp_cpu_exp\" not implemented for 'Bool'");
  if (is_floating(other.dtype())) return mul(self, pow(wrapped_number(2.0), other));
  Tensor out = binary<true>(
      self, other, to_floating(self.dtype()), nullptr,
      [](auto a, auto b) {
        constexpr double kFar = 5000;  // beyond the exponents of every type
        return std::ldexp(a, int(std::clamp(double(b), -kFar, kFar)));
      },
      kCostly);
  if (wants_grad_one(self))
    record(out, "LdexpBackward0", {self}, [b = save(other)](Backward& ctx, const TensorList& g) {
      return TensorList{ldexp(g[0], b.get(ctx))};
    });
  return out;
}

Tensor maximum(const Tensor& self, const Tensor& other) {
  return extreme(
      self, other, NNLIB_BINARY_KERNELS_OF_ALL(maximum, kIntegerMax), "MaximumBackward0",
      [](auto a, auto b) { return a != a || a > b ? a : b; }, shared_backward(lt));
}
Tensor minimum(const Tensor& self, const Tensor& other) {
  return extreme(
      self, other, NNLIB_BINARY_KERNELS_OF_ALL(minimum, kIntegerMin), "MinimumBackward0",
      [](auto a, auto b) { return a != a || a < b ? a : b; }, shared_backward(gt));
}
Tensor fmax(const Tensor& self, const Tensor& other) {
  if (!is_floating(result_type(self, other))) return maximum(self, other);
  return extreme(
      self, other, nullptr, "FmaxBackward0", [](auto a, auto b) { return b != b || a >= b ? a : b; },
      exclusive_backward(ge));
}
Tensor fmin(const Tensor& self, const Tensor& other) {
  if (!is_floating(result_type(self, other))) return minimum(self, other);
  return extreme(
      self, other, nullptr, "FminBackward0", [](auto a, auto b) { return b != b || a <= b ? a : b; },
      exclusive_backward(le));
}

}  // namespace nnlib::ops
