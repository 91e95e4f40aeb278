// Choice between values, bounds, and sums of products: operators of three operands.
#include <cmath>

#include "kernels/dispatch.h"
#include "ops/binary_kernels.h"
#include "ops/elementwise.h"
#include "ops/sparse_math.h"

namespace nnlib::ops {

namespace {

Tensor zeros_of(const Tensor& g) {
  Tensor z = empty_like(g);
  fill_values(z, 0);
  return z;
}
Tensor zero() { return wrapped_number(0.0); }

// As a choice of bits, which is no branch: masks are hard to predict.
template <class Bits>
void choose_row(int64_t n, const void* const* in, void* out) {
  typedef Bits Own __attribute__((may_alias));
  const uint8_t* p = (const uint8_t*)in[0];
  const Own *x = (const Own*)in[1], *y = (const Own*)in[2];
  Own* z = (Own*)out;
  for (int64_t i = 0; i < n; i++) {
    const Bits m = (Bits)(0 - (Bits)(p[i] != 0));
    z[i] = (Bits)((x[i] & m) | (y[i] & ~m));
  }
}
// out = condition ? a : b; the values go through unchanged in any type.
void run_where(const Tensor& out, const Tensor& condition, const Tensor& a, const Tensor& b) {
  const Dtype type = out.dtype();
  const bool half = type == Dtype::BFloat16 || type == Dtype::Float16;
  const Dtype c = half && a.dtype() == type && b.dtype() == type ? type : compute_dtype(type);
  const int64_t item = itemsize(c);
  for_each_row(out, c, {{&condition, Dtype::Bool}, {&a, c}, {&b, c}},
               item == 2   ? choose_row<uint16_t>
               : item == 4 ? choose_row<uint32_t>
                           : choose_row<uint64_t>);
}

}  // namespace

// ---- where, masked_fill, fill

Tensor where(const Tensor& condition, const Tensor& self, const Tensor& other) {
  NNLIB_CHECK(condition.dtype() == Dtype::Bool || condition.dtype() == Dtype::UInt8,
              "where expected condition to be a boolean tensor, but got a tensor with dtype ",
              dtype_legacy_name(condition.dtype()));
  Tensor out = make_output(broadcast_sizes({condition, self, other}), result_type(self, other),
                           {&self, &other, &condition});
  run_where(out, condition, self, other);
  if (wants_grad(self, other)) {
    record(out, "WhereBackward0", {self, other}, [c = save(condition)](Backward& ctx, const TensorList& g) {
      const Tensor p = c.get(ctx);
      return TensorList{ctx.needs(0) ? where(p, g[0], zero()) : Tensor(),
                        ctx.needs(1) ? where(p, zero(), g[0]) : Tensor()};
    });
  }
  return out;
}

namespace {

void check_mask(const Tensor& mask, const Tensor& value) {
  NNLIB_CHECK(mask.dtype() == Dtype::Bool,
              "masked_fill_ only supports boolean masks, but got mask with dtype ", dtype_name(mask.dtype()));
  NNLIB_CHECK(value.dim() == 0,
              "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with ", value.dim(),
              " dimension(s).");
}
auto masked_fill_backward(const Tensor& mask) {
  return [m = save(mask)](Backward& ctx, const TensorList& g) {
    const Tensor p = m.get(ctx);
    return TensorList{where(p, zero(), g[0]),
                      ctx.needs(1) ? basic_ops().sum(where(p, g[0], zero()), Dims(), false) : Tensor()};
  };
}
void check_fill_type(const Tensor& value, Dtype self) {
  // A number is converted as a cast would; a tensor's type has to fit.
  NNLIB_CHECK(value.is_wrapped_number() || can_cast(value.dtype(), self),
              "value cannot be converted to type ", dtype_name(self), " without overflow");
}

}  // namespace

Tensor masked_fill(const Tensor& self, const Tensor& mask, const Tensor& value) {
  check_mask(mask, value);
  check_fill_type(value, self.dtype());
  Tensor out = empty(broadcast_sizes({self, mask}), self.dtype());
  run_where(out, mask, value, self);
  if (wants_grad(self, value)) record(out, "MaskedFillBackward0", {self, value}, masked_fill_backward(mask));
  return out;
}
Tensor masked_fill_(const Tensor& self, const Tensor& mask, const Tensor& value) {
  check_mask(mask, value);
  check_fill_type(value, self.dtype());
  check_inplace(self, wants_grad_one(value));
  check_result_fits(self, broadcast_sizes({self, mask}), self.dtype());
  run_where(self, mask, value, self);
  mark_changed(self);
  if (wants_grad(self, value))
    record_inplace(self, "MaskedFillBackward0", {self, value}, masked_fill_backward(mask));
  return self;
}

Tensor fill_(const Tensor& self, const Tensor& value) {
  NNLIB_CHECK(value.dim() == 0, "fill_ only supports 0-dimension value tensor but got tensor with ",
              value.dim(), " dimensions.");
  check_inplace(self, wants_grad_one(value));
  fill_values(self, value.item());
  mark_changed(self);
  if (wants_grad(self, value)) {
    record_inplace(self, "FillBackward0", {self, value}, [](Backward& ctx, const TensorList& g) {
      return TensorList{zeros_of(g[0]), ctx.needs(1) ? basic_ops().sum(g[0], Dims(), false) : Tensor()};
    });
  }
  return self;
}
Tensor fill(const Tensor& self, const Tensor& value) {
  Tensor out = empty_like(self);
  fill_values(out, value.item());
  if (wants_grad(self, value)) {
    record(out, "FillBackward1", {self, value}, [](Backward&, const TensorList& g) {
      return TensorList{zeros_of(g[0]), basic_ops().sum(g[0], Dims(), false)};
    });
  }
  return out;
}
Tensor zero_(const Tensor& self) {
  if (self.is_sparse()) return sparse_zero_(self);
  check_inplace(self);
  fill_values(self, 0);
  mark_changed(self);
  if (wants_grad(self))
    record_inplace(self, "ZeroBackward0", {self},
                   [](Backward&, const TensorList& g) { return TensorList{zeros_of(g[0])}; });
  return self;
}

// ---- clamp

namespace {

// An absent bound stands as an infinity, or the end of int64.
template <class C>
C bound(const std::optional<Scalar>& s, bool lower) {
  using Limits = std::numeric_limits<C>;
  if (s) return s->to<C>();
  if constexpr (std::is_integral_v<C>) return lower ? Limits::min() : Limits::max();
  return lower ? -Limits::infinity() : Limits::infinity();
}
const auto kLarger = [](auto a, auto b) { return a != a || a > b ? a : b; };
const auto kSmaller = [](auto a, auto b) { return a != a || a < b ? a : b; };
const auto kClamp = [](auto x, auto low, auto high) {
  if (x != x) return x;
  if (low != low || high != high) return low != low ? low : high;
  const auto y = x < low ? low : x;
  return y > high ? high : y;
};

// Floats by hardtanh's kernels, which bound as they are stored.
template <class T, class C>
void run_clamp_as(const Tensor& out, const Tensor& self, C low, C high,
                  void (*kernel)(int64_t, const T*, C, C, C, T*)) {
  const Dtype type = out.dtype();
  for_each_row(out, type, {{&self, type}}, [&](int64_t n, const void* const* in, void* o) {
    kernel(n, (const T*)in[0], low, high, 0, (T*)o);
  });
}
// By the kernel: plain x86-64 has no comparison of 64 bits.
void run_clamp_of_int64(const Tensor& out, const Tensor& self, int64_t low, int64_t high) {
  constexpr Dtype d = Dtype::Int64;
  for_each_row(out, d, {{&self, d}}, [&](int64_t n, const void* const* in, void* o) {
    kernels::table().clamp_i64(n, (const int64_t*)in[0], low, high, (int64_t*)o);
  });
}
void run_clamp(const Tensor& out, const Tensor& self, const std::optional<Scalar>& min,
               const std::optional<Scalar>& max) {
  const auto& k = kernels::table();
  const Dtype type = out.dtype();
  const bool kept = self.dtype() == type;
  dispatch_compute(type, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C low = bound<C>(min, true), high = bound<C>(max, false);
    const auto f = [=](auto x) { return (decltype(x))kClamp((C)x, low, high); };
    if constexpr (std::is_integral_v<C>) {
      // Small integers in their own type where the bounds fit it.
      if (kept && type != Dtype::Bool)
        return dispatch_integral(type, "clamp", [&](auto own) {
          using T = typename decltype(own)::type;
          using Limits = std::numeric_limits<T>;
          const T from = (T)std::min<C>(std::max<C>(low, Limits::min()), Limits::max());
          const T to = (T)std::min<C>(std::max<C>(high, Limits::min()), Limits::max());
          if constexpr (std::is_same_v<T, int64_t>) return run_clamp_of_int64(out, self, low, high);
          // Results that do not fit wrap, as a cast would.
          if (low > (C)Limits::max() || high < (C)Limits::min()) return map_values<C>(out, kCheap, f, self);
          map_values<T>(
              out, kCheap,
              [=](T x) {
                const T y = x < from ? from : x;
                return y > to ? to : y;
              },
              self);
        });
    } else if (low == low && high == high) {
      if (type == Dtype::BFloat16)
        return run_clamp_as<uint16_t>(out, self, (float)low, (float)high, k.hardtanh_act_bf16);
      if (type == Dtype::Float16)
        return run_clamp_as<uint16_t>(out, self, (float)low, (float)high, k.hardtanh_act_f16);
      if constexpr (std::is_same_v<C, float>)
        return run_clamp_as<float>(out, self, low, high, k.hardtanh_act_f32);
      else
        return run_clamp_as<double>(out, self, low, high, k.hardtanh_act_f64);
    }
    map_values<C>(out, kCheap, f, self);
  });
}

// Floats of one type by the kernels of maxima and minima, which keep NaN. False, and nothing done, for
// others.
bool run_clamp_of_floats(const Tensor& out, const Tensor& self, const Tensor& min, const Tensor& max) {
  const Dtype d = out.dtype();
  const Rows2 larger = NNLIB_BINARY_KERNELS(maximum).rows(d), smaller = NNLIB_BINARY_KERNELS(minimum).rows(d);
  if (!is_floating(d) || self.dtype() != d || min.dtype() != d || max.dtype() != d) return false;
  const int64_t item = (int64_t)out.itemsize();
  for_each_row(out, d, {{&self, d}, {&min, d}, {&max, d}}, [&](int64_t n, const void* const* in, void* o) {
    constexpr int64_t kPart = 2048;  // the second kernel finds them in the first-level cache
    for (int64_t i = 0; i < n; i += kPart) {
      const int64_t m = std::min(kPart, n - i);
      const auto at = [&](const void* p) { return (const char*)p + i * item; };
      char* const to = (char*)o + i * item;
      larger(1, m, at(in[0]), m, 1, at(in[1]), m, 1, to, m);
      smaller(1, m, to, m, 1, at(in[2]), m, 1, to, m);
    }
  });
  return true;
}

Dtype clamp_type(const Tensor& self, const std::optional<Scalar>& min, const std::optional<Scalar>& max) {
  NNLIB_CHECK(min || max, "torch.clamp: At least one of 'min' or 'max' must not be None");
  TensorList all{self};
  if (min) all.push_back(wrapped_number(*min));
  if (max) all.push_back(wrapped_number(*max));
  return result_type(all);
}
// The gradient passes where the value was inside, bounds included.
auto clamp_backward(const Tensor& self, const std::optional<Scalar>& min, const std::optional<Scalar>& max) {
  return [x = save(self), min, max](Backward& ctx, const TensorList& g) {
    const Tensor v = x.get(ctx);
    Tensor inside;
    if (min) inside = ge(v, wrapped_number(*min));
    if (max) {
      const Tensor below = le(v, wrapped_number(*max));
      inside = inside.defined() ? logical_and(inside, below) : below;
    }
    return TensorList{where(inside, g[0], zero())};
  };
}

}  // namespace

Tensor clamp(const Tensor& self, std::optional<Scalar> min, std::optional<Scalar> max) {
  Tensor out = make_output(self.sizes(), clamp_type(self, min, max), {&self});
  run_clamp(out, self, min, max);
  if (wants_grad(self))
    record(out,
           min && max ? "ClampBackward1"
           : min      ? "ClampMinBackward0"
                      : "ClampMaxBackward0",
           {self}, clamp_backward(self, min, max));
  return out;
}
Tensor clamp_(const Tensor& self, std::optional<Scalar> min, std::optional<Scalar> max) {
  if (wants_grad(self)) return assign_inplace(self, [&](const Tensor& s) { return clamp(s, min, max); });
  check_inplace(self);
  check_result_fits(self, self.sizes(), clamp_type(self, min, max));
  run_clamp(self, self, min, max);
  mark_changed(self);
  return self;
}

Tensor clamp_tensor(const Tensor& self, const Tensor& min, const Tensor& max) {
  NNLIB_CHECK(min.defined() || max.defined(), "torch.clamp: At least one of 'min' or 'max' must not be None");
  if (!min.defined()) return clamp_max(self, max);
  if (!max.defined()) return clamp_min(self, min);
  Tensor out = make_output(broadcast_sizes({self, min, max}), result_type(self, min, max), {&self});
  const Dtype type = out.dtype();
  if (is_floating(type)) {
    // NaN anywhere gives NaN, and where the bounds cross the upper one stays.
    if (!run_clamp_of_floats(out, self, min, max)) {
      run_binary(out, self, min, type, NNLIB_BINARY_KERNELS(maximum), kLarger);
      run_binary(out, out, max, type, NNLIB_BINARY_KERNELS(minimum), kSmaller);
    }
  } else {
    map_values<int64_t>(out, kCheap, kClamp, self, min, max);
  }
  if (wants_grad(self, min, max)) {
    record(out, "ClampBackward0", {self, min, max},
           [x = save(self), a = save(min), b = save(max)](Backward& ctx, const TensorList& g) {
             const Tensor v = x.get(ctx), low = a.get(ctx), high = b.get(ctx);
             const Tensor inside = logical_and(ge(v, low), le(v, high));
             return TensorList{where(inside, g[0], zero()),
                               where(logical_and(lt(low, high), lt(v, low)), g[0], zero()),
                               where(logical_or(gt(v, high), lt(high, low)), g[0], zero())};
           });
  }
  return out;
}
Tensor clamp_tensor_(const Tensor& self, const Tensor& min, const Tensor& max) {
  return assign_inplace(
      self, [&](const Tensor& s) { return clamp_tensor(s, min, max); },
      wants_grad_one(min) || wants_grad_one(max));
}

namespace {

template <class F>
Tensor clamp_one(const Tensor& self, const Tensor& bound, const char* node, const BinaryKernels& kernel,
                 const F& f, Tensor (*passes)(const Tensor&, const Tensor&)) {
  Tensor out = binary<true>(self, bound, result_type(self, bound), kernel, f);
  if (wants_grad(self, bound)) {
    record(out, node, {self, bound},
           [x = save(self), b = save(bound), passes](Backward& ctx, const TensorList& g) {
             const Tensor inside = passes(x.get(ctx), b.get(ctx));
             return TensorList{where(inside, g[0], zero()),
                               ctx.needs(1) ? where(inside, zero(), g[0]) : Tensor()};
           });
  }
  return out;
}

}  // namespace

Tensor clamp_min(const Tensor& self, const Tensor& min) {
  return clamp_one(self, min, min.is_wrapped_number() ? "ClampMinBackward0" : "ClampMinBackward1",
                   NNLIB_BINARY_KERNELS_OF_ALL(maximum, kIntegerMax), kLarger, ge);
}
Tensor clamp_max(const Tensor& self, const Tensor& max) {
  return clamp_one(self, max, max.is_wrapped_number() ? "ClampMaxBackward0" : "ClampMaxBackward1",
                   NNLIB_BINARY_KERNELS_OF_ALL(minimum, kIntegerMin), kSmaller, le);
}

// ---- lerp, addcmul, addcdiv

namespace {

// A kernel's function of each float type.
template <class F>
void dispatch_kernel(Dtype d, F f) {
  const auto& k = kernels::table();
  switch (d) {
    case Dtype::Float16:
      return f(k.addcmul_f16, k.addcdiv_f16, k.lerp_f16);
    case Dtype::BFloat16:
      return f(k.addcmul_bf16, k.addcdiv_bf16, k.lerp_bf16);
    case Dtype::Float32:
      return f(k.addcmul_f32, k.addcdiv_f32, k.lerp_f32);
    default:
      return f(k.addcmul_f64, k.addcdiv_f64, k.lerp_f64);
  }
}

// A number as weight is not rounded to 16 bits.
template <class T, class C>
void run_lerp_as(const Tensor& out, const Tensor& self, const Tensor& end, const Tensor& weight,
                 void (*kernel)(int64_t, const T*, const T*, const C*, T*)) {
  const Dtype d = out.dtype();
  for_each_row(out, d, {{&self, d}, {&end, d}, {&weight, DtypeOf<C>::value}},
               [&](int64_t n, const void* const* in, void* o) {
                 kernel(n, (const T*)in[0], (const T*)in[1], (const C*)in[2], (T*)o);
               });
}
void run_lerp(const Tensor& out, const Tensor& self, const Tensor& end, const Tensor& weight) {
  if (weight.is_wrapped_number() &&
      run_with_number(out, self, end, weight.item().to_double(), NNLIB_NUMBER_KERNELS(lerp)))
    return;
  dispatch_kernel(out.dtype(), [&](auto, auto, auto kernel) { run_lerp_as(out, self, end, weight, kernel); });
}

Dtype lerp_type(const Tensor& self, const Tensor& end, const Tensor& weight) {
  NNLIB_CHECK(self.dtype() == end.dtype(), "expected dtype ", dtype_legacy_name(self.dtype()),
              " for `end` but got dtype ", dtype_legacy_name(end.dtype()));
  NNLIB_CHECK(weight.is_wrapped_number() || weight.dtype() == self.dtype(), "expected dtype ",
              dtype_legacy_name(self.dtype()), " for `weight` but got dtype ",
              dtype_legacy_name(weight.dtype()));
  if (!is_floating(self.dtype()))
    throw NotImplementedError(
        concat("\"lerp_kernel\" not implemented for '", dtype_legacy_name(self.dtype()), "'"));
  return self.dtype();
}
auto lerp_backward(const Tensor& self, const Tensor& end, const Tensor& weight) {
  const bool values = weight.requires_grad();
  return [w = save(weight), a = values ? save(self) : Saved(), b = values ? save(end) : Saved()](
             Backward& ctx, const TensorList& g) {
    const Tensor t = w.get(ctx);
    return TensorList{ctx.needs(0) ? g[0] * (Scalar(1) - t) : Tensor(), ctx.needs(1) ? g[0] * t : Tensor(),
                      ctx.needs(2) ? g[0] * (b.get(ctx) - a.get(ctx)) : Tensor()};
  };
}

}  // namespace

Tensor lerp(const Tensor& self, const Tensor& end, const Tensor& weight) {
  Tensor out = make_output(broadcast_sizes({self, end, weight}), lerp_type(self, end, weight), {&self, &end});
  run_lerp(out, self, end, weight);
  if (wants_grad(self, end, weight))
    record(out, weight.is_wrapped_number() ? "LerpBackward0" : "LerpBackward1", {self, end, weight},
           lerp_backward(self, end, weight));
  return out;
}
Tensor lerp_(const Tensor& self, const Tensor& end, const Tensor& weight) {
  if (wants_grad(self, end, weight))
    return assign_inplace(self, [&](const Tensor& s) { return lerp(s, end, weight); }, true);
  check_inplace(self);
  check_result_fits(self, broadcast_sizes({self, end, weight}), lerp_type(self, end, weight));
  run_lerp(self, self, end, weight);
  mark_changed(self);
  return self;
}

namespace {

template <class T, class C>
void run_addc_as(const Tensor& out, const Tensor& self, const Tensor& a, const Tensor& b, double value,
                 void (*kernel)(int64_t, const T*, const T*, const T*, C, T*)) {
  const Dtype d = out.dtype();
  for_each_row(out, d, {{&self, d}, {&a, d}, {&b, d}}, [&](int64_t n, const void* const* in, void* o) {
    kernel(n, (const T*)in[0], (const T*)in[1], (const T*)in[2], (C)value, (T*)o);
  });
}
void run_addcmul_of_integers(const Tensor& out, Dtype common, const Tensor& self, const Tensor& a,
                             const Tensor& b, int64_t value) {
  const Tensor x = single_in_type(self, common), y = single_in_type(a, common), z = single_in_type(b, common);
  const auto kept = [&](const Tensor& t) { return t.dtype() == common; };
  const Dtype type = kept(out) && kept(x) && kept(y) && kept(z) ? common : Dtype::Int64;
  if (type == common && (y.numel() < out.numel() || z.numel() < out.numel())) {
    // What repeats is read where it lies.
    const Tensor product = empty(broadcast_sizes({y, z}), type);
    run_integer_rows(product, y, z, type, kernels::kIntegerMul);
    return run_integer_rows(out, x, product, type, kernels::kIntegerScaledAdd, value);
  }
  const int64_t item = (int64_t)itemsize(type), number = (int64_t)type;
  const auto kernel = kernels::table().integer_rows;
  for_each_row(
      out, type, {{&x, type}, {&y, type}, {&z, type}}, [=](int64_t n, const void* const* in, void* o) {
        constexpr int64_t kPart = 1024;
        alignas(64) int64_t product[kPart];
        for (int64_t i = 0; i < n; i += kPart) {
          const int64_t m = std::min(kPart, n - i);
          const auto at = [&](const void* p) { return (const char*)p + i * item; };
          kernel(kernels::kIntegerMul, number, 0, 1, m, at(in[1]), m, 1, at(in[2]), m, 1, product, m);
          kernel(kernels::kIntegerScaledAdd, number, value, 1, m, at(in[0]), m, 1, product, m, 1,
                 (char*)o + i * item, m);
        }
      });
}
void run_addc(const Tensor& out, Dtype common, const Tensor& self, const Tensor& a, const Tensor& b,
              Scalar value, bool divide) {
  const double v = value.to_double();
  const auto kept = [&](const Tensor& t) { return t.dtype() == common; };
  if (is_floating(common) && out.dtype() == common && kept(self) && kept(a) && kept(b))
    return dispatch_kernel(
        common, [&](auto mul, auto div, auto) { run_addc_as(out, self, a, b, v, divide ? div : mul); });
  const auto& k = kernels::table();
  if (compute_dtype(common) == Dtype::Float32) {
    const auto kernel = divide ? k.addcdiv_f32 : k.addcmul_f32;
    for_each_row(out, Dtype::Float32, {{&self, Dtype::Float32}, {&a, Dtype::Float32}, {&b, Dtype::Float32}},
                 [&](int64_t n, const void* const* in, void* o) {
                   kernel(n, (const float*)in[0], (const float*)in[1], (const float*)in[2], (float)v,
                          (float*)o);
                 });
    return;
  }
  if (!is_floating(common)) return run_addcmul_of_integers(out, common, self, a, b, value.to_int());
  map_values<double>(
      out, kCheap, [=](double x, double y, double z) { return divide ? x + v * (y / z) : x + v * y * z; },
      self, a, b);
}
Dtype addc_type(const Tensor& self, const Tensor& a, const Tensor& b, bool divide) {
  NNLIB_CHECK(
      !divide || is_floating(a.dtype()) || is_floating(b.dtype()),
      "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
      "true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + "
      "value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * "
      "tensor1 / tensor2) for float inputs. The future addcdiv behavior is just the latter implementation: "
      "(input + value * tensor1 / tensor2), for all dtypes.");
  const Dtype common = result_type(self, a, b);
  NNLIB_CHECK_AS(NotImplementedError, common != Dtype::Bool,
                 "\"addcmul_cpu_out\" not implemented for 'Bool'");
  return common;
}
Tensor addc(const Tensor& self, const Tensor& a, const Tensor& b, Scalar value, bool divide) {
  Tensor out = make_output(broadcast_sizes({self, a, b}), addc_type(self, a, b, divide), {&self, &a, &b});
  run_addc(out, out.dtype(), self, a, b, value, divide);
  if (!wants_grad(self, a, b)) return out;
  auto backward = [x = save(a), y = save(b), value, divide](Backward& ctx, const TensorList& g) {
    TensorList r{g[0], {}, {}};
    if (!ctx.needs(1) && !ctx.needs(2)) return r;
    const Tensor u = x.get(ctx), v = y.get(ctx), scaled = g[0] * value;
    if (ctx.needs(1)) r[1] = divide ? scaled / v : scaled * v;
    if (ctx.needs(2)) r[2] = divide ? -scaled * (u / (v * v)) : scaled * u;
    return r;
  };
  record(out, divide ? "AddcdivBackward0" : "AddcmulBackward0", {self, a, b}, std::move(backward));
  return out;
}
Tensor addc_(const Tensor& self, const Tensor& a, const Tensor& b, Scalar value, bool divide) {
  if (wants_grad(self, a, b))
    return assign_inplace(self, [&](const Tensor& s) { return addc(s, a, b, value, divide); }, true);
  check_inplace(self);
  const Dtype common = addc_type(self, a, b, divide);
  check_result_fits(self, broadcast_sizes({self, a, b}), common);
  check_no_partial_overlap(self, a);
  check_no_partial_overlap(self, b);
  run_addc(self, common, self, a, b, value, divide);
  mark_changed(self);
  return self;
}

}  // namespace

Tensor addcmul(const Tensor& self, const Tensor& a, const Tensor& b, Scalar value) {
  return addc(self, a, b, value, false);
}
Tensor addcdiv(const Tensor& self, const Tensor& a, const Tensor& b, Scalar value) {
  return addc(self, a, b, value, true);
}
Tensor addcmul_(const Tensor& self, const Tensor& a, const Tensor& b, Scalar value) {
  return addc_(self, a, b, value, false);
}
Tensor addcdiv_(const Tensor& self, const Tensor& a, const Tensor& b, Scalar value) {
  return addc_(self, a, b, value, true);
}

}  // namespace nnlib::ops
