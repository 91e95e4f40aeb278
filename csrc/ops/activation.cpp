// Activations: one table of kernels, with the composite gradient of each for
// second derivatives.
#include "ops/activation.h"

#include <cmath>

#include "kernels/dispatch.h"
#include "ops/binary_kernels.h"
#include "ops/elementwise.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// The numbers of an activation: slopes, bounds, thresholds.
struct Numbers {
  double a = 0, b = 0, c = 0;
};
// Kernels of element type T that compute in C.
template <class T, class C>
using Forward = void (*)(int64_t, const T*, C, C, C, T*);
template <class T, class C>
using Gradient = void (*)(int64_t, const T*, const T*, C, C, C, T*);
using Composite = Tensor (*)(const Tensor& g, const Tensor& x, const Numbers&);

struct Activation {
  const char* name;
  const char* node;
  Forward<float, float> kernels::Table::* forward_f32;
  Gradient<float, float> kernels::Table::* gradient_f32;
  Forward<double, double> kernels::Table::* forward_f64;
  Gradient<double, double> kernels::Table::* gradient_f64;
  Forward<uint16_t, float> kernels::Table::* forward_bf16;
  Gradient<uint16_t, float> kernels::Table::* gradient_bf16;
  Forward<uint16_t, float> kernels::Table::* forward_f16;
  Gradient<uint16_t, float> kernels::Table::* gradient_f16;
  // The gradient out of differentiable operators; null where the slope is constant almost everywhere.
  Composite composite = nullptr;
  bool integers = false;
  int64_t grain = kCostly;
};

template <class T, class C>
void run_forward_as(Dtype type, Forward<T, C> kernel, const Tensor& out, const Tensor& x, const Numbers& p,
                    int64_t grain) {
  for_each_row(
      out, type, {{&x, type}},
      [&](int64_t n, const void* const* in, void* o) {
        kernel(n, (const T*)in[0], (C)p.a, (C)p.b, (C)p.c, (T*)o);
      },
      grain);
}
void run_forward(const Activation& f, const Tensor& out, const Tensor& x, const Numbers& p) {
  const auto& table = kernels::table();
  const Dtype type = out.dtype();
  if (!is_floating(type) && (!f.integers || x.dtype() == Dtype::Bool))
    throw NotImplementedError(
        concat("\"", f.name, "_cpu\" not implemented for '", dtype_legacy_name(x.dtype()), "'"));
  if (type == Dtype::BFloat16)
    run_forward_as(type, table.*f.forward_bf16, out, x, p, f.grain);
  else if (type == Dtype::Float16)
    run_forward_as(type, table.*f.forward_f16, out, x, p, f.grain);
  else if (type == Dtype::Float32)
    run_forward_as(type, table.*f.forward_f32, out, x, p, f.grain);
  else
    run_forward_as(Dtype::Float64, table.*f.forward_f64, out, x, p, f.grain);
}

template <class T, class C>
void run_gradient_as(Dtype type, Gradient<T, C> kernel, const Tensor& out, const Tensor& g, const Tensor& x,
                     const Numbers& p, int64_t grain) {
  for_each_row(
      out, type, {{&g, type}, {&x, type}},
      [&](int64_t n, const void* const* in, void* o) {
        kernel(n, (const T*)in[0], (const T*)in[1], (C)p.a, (C)p.b, (C)p.c, (T*)o);
      },
      grain);
}
// g times the slope at x, as one pass without history.
Tensor run_gradient(const Activation& f, const Tensor& g, const Tensor& x, const Numbers& p) {
  const auto& table = kernels::table();
  Tensor out = make_output(broadcast_sizes({g, x}), result_type(g, x), {&x, &g});
  const Dtype type = out.dtype();
  if (type == Dtype::BFloat16 && g.dtype() == type && x.dtype() == type)
    run_gradient_as(type, table.*f.gradient_bf16, out, g, x, p, f.grain);
  else if (type == Dtype::Float16 && g.dtype() == type && x.dtype() == type)
    run_gradient_as(type, table.*f.gradient_f16, out, g, x, p, f.grain);
  else if (compute_dtype(type) == Dtype::Float32)
    run_gradient_as(Dtype::Float32, table.*f.gradient_f32, out, g, x, p, f.grain);
  else
    run_gradient_as(Dtype::Float64, table.*f.gradient_f64, out, g, x, p, f.grain);
  return out;
}

// Differentiable. Without a composite form the slope is the same all about x.
Tensor gradient(const Activation& f, const Tensor& g, const Tensor& x, const Numbers& p) {
  if (!wants_grad(g, x)) return run_gradient(f, g, x, p);
  if (f.composite) return f.composite(g, x, p);
  // By the kernel all the same: where the slope is 0 nothing of g comes through, no infinity either.
  const Tensor place = x.requires_grad() ? detach(x) : x;
  Tensor out = run_gradient(f, detach(g), place, p);
  if (wants_grad(g))
    record(out, "SlopeBackward0", {g}, [&f, p, x = save(place)](Backward& ctx, const TensorList& gg) {
      return TensorList{gradient(f, gg[0], x.get(ctx), p)};
    });
  return out;
}

Tensor input_gradient(const Backward& ctx, const Activation& f, const Tensor& g, const Tensor& x,
                      const Numbers& p) {
  const Tensor gx = gradient(f, g, x, p);
  return f.composite ? gx : flat_gradient(ctx, 0, gx);
}

Tensor activate(const Activation& f, const Tensor& self, const Numbers& p = {}) {
  Tensor out = make_output(self.sizes(), self.dtype(), {&self});
  run_forward(f, out, self, p);
  if (wants_grad(self)) {
    record(out, f.node, {self}, [&f, p, x = save(self)](Backward& ctx, const TensorList& g) {
      return TensorList{input_gradient(ctx, f, g[0], x.get(ctx), p)};
    });
  }
  return out;
}

// In place. Where the slope shows in the result as well (`from_result`), nothing is copied.
Tensor activate_(const Activation& f, const Tensor& self, const Numbers& p = {}, bool from_result = false) {
  const bool recording = wants_grad(self);
  if (recording && !from_result)
    return assign_inplace(self, [&](const Tensor& s) { return activate(f, s, p); });
  check_inplace(self);
  run_forward(f, self, self, p);
  mark_changed(self);
  if (recording) {
    record_inplace(self, f.node, {self}, [&f, p, y = save_output(self)](Backward& ctx, const TensorList& g) {
      return TensorList{input_gradient(ctx, f, g[0], y.get(ctx), p)};
    });
  }
  return self;
}

#define NNLIB_ROW(name, node)                                                                              \
  #name, node, &kernels::Table::name##_act_f32, &kernels::Table::name##_grad_f32,                          \
      &kernels::Table::name##_act_f64, &kernels::Table::name##_grad_f64, &kernels::Table::name##_act_bf16, \
      &kernels::Table::name##_grad_bf16, &kernels::Table::name##_act_f16, &kernels::Table::name##_grad_f16

Scalar num(double v) { return Scalar(v); }
Tensor wrapped(double v) { return wrapped_number(v); }

const Activation kRelu{NNLIB_ROW(relu, "ReluBackward0"), nullptr, true, kCheap};
const Activation kLeakyRelu{NNLIB_ROW(leaky_relu, "LeakyReluBackward0"), nullptr, false, kCheap};
const Activation kElu{NNLIB_ROW(elu, "EluBackward0"), [](const Tensor& g, const Tensor& x, const Numbers& p) {
                        return where(le(x, wrapped(0)), g * num(p.a * p.c) * exp(x * num(p.c)), g * num(p.b));
                      }};
const Activation kGelu{NNLIB_ROW(gelu, "GeluBackward0"),
                       [](const Tensor& g, const Tensor& x, const Numbers&) {
                         const Tensor cdf = (erf(x * num(M_SQRT1_2)) + num(1)) * num(0.5);
                         const Tensor pdf = exp(x * x * num(-0.5)) * num(0.3989422804014327);
                         return g * (cdf + x * pdf);
                       }};
const Activation kGeluTanh{NNLIB_ROW(gelu_tanh, "GeluBackward0"),
                           [](const Tensor& g, const Tensor& x, const Numbers&) {
                             const double k = 0.7978845608028654, q = 0.044715;
                             const Tensor t = tanh((x + x * x * x * num(q)) * num(k));
                             const Tensor slope = (x * x * num(3 * q) + num(1)) * num(k);
                             return g * ((t + num(1)) * num(0.5) + x * (num(1) - t * t) * slope * num(0.5));
                           }};
const Activation kSilu{NNLIB_ROW(silu, "SiluBackward0"),
                       [](const Tensor& g, const Tensor& x, const Numbers&) {
                         const Tensor s = sigmoid(x);
                         return g * (s * (x * (num(1) - s) + num(1)));
                       }};
const Activation kMish{NNLIB_ROW(mish, "MishBackward0"),
                       [](const Tensor& g, const Tensor& x, const Numbers&) {
                         const Tensor t = tanh(softplus(x, 1, 20));
                         return g * (t + x * sigmoid(x) * (num(1) - t * t));
                       }};
const Activation kHardtanh{NNLIB_ROW(hardtanh, "HardtanhBackward0"), nullptr, true, kCheap};
const Activation kHardswish{
    NNLIB_ROW(hardswish, "HardswishBackward0"), [](const Tensor& g, const Tensor& x, const Numbers&) {
      const Tensor middle = g * (x / num(3) + num(0.5));
      return where(le(x, wrapped(-3)), wrapped(0), where(lt(x, wrapped(3)), middle, g));
    }};
const Activation kHardsigmoid{NNLIB_ROW(hardsigmoid, "HardsigmoidBackward0")};
const Activation kSoftplus{NNLIB_ROW(softplus, "SoftplusBackward0"),
                           [](const Tensor& g, const Tensor& x, const Numbers& p) {
                             const Tensor z = x * num(p.a);
                             return where(gt(z, wrapped(p.b)), g, g * sigmoid(z));
                           }};
const Activation kLogsigmoid{
    NNLIB_ROW(logsigmoid, "LogSigmoidBackward0"),
    [](const Tensor& g, const Tensor& x, const Numbers&) { return g * sigmoid(-x); }};
const Activation kHardshrink{NNLIB_ROW(hardshrink, "HardshrinkBackward0")};
const Activation kSoftshrink{NNLIB_ROW(softshrink, "SoftshrinkBackward0")};
const Activation kThreshold{NNLIB_ROW(threshold, "ThresholdBackward0"), nullptr, true};
const Activation kNanToNum{NNLIB_ROW(nan_to_num, "NanToNumBackward0"), nullptr, false, kCheap};
// These two are called with their result in place of x.
const Activation kTanh{NNLIB_ROW(tanh, "TanhBackward0"),
                       [](const Tensor& g, const Tensor& y, const Numbers&) { return g * (num(1) - y * y); }};
const Activation kSigmoid{
    NNLIB_ROW(sigmoid, "SigmoidBackward0"),
    [](const Tensor& g, const Tensor& y, const Numbers&) { return g * ((num(1) - y) * y); }};
#undef NNLIB_ROW

const Numbers kSelu{1.6732632423543772848170429916717 * 1.0507009873554804934193349852946,
                    1.0507009873554804934193349852946, 1};

Numbers celu_numbers(double alpha) {
  NNLIB_CHECK(alpha != 0, "ZeroDivisionError: alpha cannot be 0 for CELU");
  return {alpha, 1, 1 / alpha};
}
Numbers hardtanh_numbers(const Tensor& self, double low, double high) {
  NNLIB_CHECK(self.dtype() != Dtype::Bool, "Bool inputs not supported for hardtanh");
  NNLIB_CHECK_VALUE(low <= high, "min_val cannot be greater than max_val");
  NNLIB_CHECK(self.dtype() != Dtype::UInt8 || (low >= 0 && high >= 0),
              "cannot do hardtanh on an unsigned type with negative limits");
  return {low, high, 0};
}
Numbers shrink_numbers(double lambd) {
  NNLIB_CHECK(lambd >= 0, "lambda must be greater or equal to 0, but found to be ", lambd, ".");
  return {lambd, 0, 0};
}

}  // namespace

Tensor tanh_backward(const Tensor& g, const Tensor& y) { return gradient(kTanh, g, y, {}); }
Tensor sigmoid_backward(const Tensor& g, const Tensor& y) { return gradient(kSigmoid, g, y, {}); }

Tensor relu(const Tensor& self) {
  NNLIB_CHECK(self.dtype() != Dtype::Bool, "Boolean inputs not supported for relu");
  Tensor out = make_output(self.sizes(), self.dtype(), {&self});
  run_forward(kRelu, out, self, {});
  if (wants_grad(self)) {
    record(out, kRelu.node, {self}, [y = save_output(out)](Backward& ctx, const TensorList& g) {
      return TensorList{input_gradient(ctx, kRelu, g[0], y.get(ctx), {})};
    });
  }
  return out;
}
Tensor relu_(const Tensor& self) {
  NNLIB_CHECK(self.dtype() != Dtype::Bool, "Boolean inputs not supported for relu");
  return activate_(kRelu, self, {}, true);
}
Tensor leaky_relu(const Tensor& self, double slope) { return activate(kLeakyRelu, self, {slope, 0, 0}); }
Tensor leaky_relu_(const Tensor& self, double slope) {
  return activate_(kLeakyRelu, self, {slope, 0, 0}, slope > 0);
}
Tensor elu(const Tensor& self, double alpha) { return activate(kElu, self, {alpha, 1, 1}); }
Tensor elu_(const Tensor& self, double alpha) { return activate_(kElu, self, {alpha, 1, 1}); }
Tensor selu(const Tensor& self) { return activate(kElu, self, kSelu); }
Tensor selu_(const Tensor& self) { return activate_(kElu, self, kSelu); }
Tensor celu(const Tensor& self, double alpha) { return activate(kElu, self, celu_numbers(alpha)); }
Tensor celu_(const Tensor& self, double alpha) { return activate_(kElu, self, celu_numbers(alpha)); }
Tensor gelu(const Tensor& self, const std::string& approximate) {
  NNLIB_CHECK(approximate == "none" || approximate == "tanh",
              "approximate argument must be either none or tanh.");
  return activate(approximate == "tanh" ? kGeluTanh : kGelu, self);
}
Tensor silu(const Tensor& self) { return activate(kSilu, self); }
Tensor silu_(const Tensor& self) { return activate_(kSilu, self); }
Tensor mish(const Tensor& self) { return activate(kMish, self); }
Tensor mish_(const Tensor& self) { return activate_(kMish, self); }
Tensor hardtanh(const Tensor& self, double low, double high) {
  return activate(kHardtanh, self, hardtanh_numbers(self, low, high));
}
Tensor hardtanh_(const Tensor& self, double low, double high) {
  return activate_(kHardtanh, self, hardtanh_numbers(self, low, high), true);
}
Tensor relu6(const Tensor& self) { return hardtanh(self, 0, 6); }
Tensor relu6_(const Tensor& self) { return hardtanh_(self, 0, 6); }
Tensor hardswish(const Tensor& self) { return activate(kHardswish, self); }
Tensor hardswish_(const Tensor& self) { return activate_(kHardswish, self); }
Tensor hardsigmoid(const Tensor& self) { return activate(kHardsigmoid, self); }
Tensor hardsigmoid_(const Tensor& self) { return activate_(kHardsigmoid, self); }
Tensor softplus(const Tensor& self, double beta, double threshold) {
  return activate(kSoftplus, self, {beta, threshold, 0});
}
Tensor logsigmoid(const Tensor& self) { return activate(kLogsigmoid, self); }
Tensor softsign(const Tensor& self) { return self / (abs(self) + num(1)); }
Tensor tanhshrink(const Tensor& self) { return self - tanh(self); }
Tensor hardshrink(const Tensor& self, double lambd) { return activate(kHardshrink, self, {lambd, 0, 0}); }
Tensor softshrink(const Tensor& self, double lambd) {
  return activate(kSoftshrink, self, shrink_numbers(lambd));
}
Tensor threshold(const Tensor& self, Scalar at, Scalar value) {
  return activate(kThreshold, self, {at.to_double(), value.to_double(), 0});
}
Tensor threshold_(const Tensor& self, Scalar at, Scalar value) {
  return activate_(kThreshold, self, {at.to_double(), value.to_double(), 0});
}

Tensor nan_to_num(const Tensor& self, std::optional<double> nan, std::optional<double> posinf,
                  std::optional<double> neginf) {
  if (!is_floating(self.dtype())) return basic_ops().clone(self);
  const double largest = dispatch_floating(self.dtype(), "nan_to_num", [](auto tag) -> double {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, Half>) return 65504;
    if constexpr (std::is_same_v<T, BFloat16>) return 3.38953138925153547e38;
    return (double)std::numeric_limits<compute_t<T>>::max();
  });
  return activate(kNanToNum, self, {nan.value_or(0), posinf.value_or(largest), neginf.value_or(-largest)});
}

// ---- those with a second operand or random slopes

namespace {

const auto kPrelu = [](auto x, auto w) { return x > 0 ? x : w * x; };

// The weight, one for all or one a channel (dimension 1), shaped so that it
// broadcasts.
Tensor prelu_weight(const Tensor& self, const Tensor& weight) {
  NNLIB_CHECK(weight.dtype() == self.dtype(), "prelu: Type promoting not supported. Got ",
              dtype_legacy_name(self.dtype()), " and ", dtype_legacy_name(weight.dtype()));
  if (weight.numel() != 1) {
    NNLIB_CHECK(self.dim() > 0, "Not allow zero-dim input tensor.");
    const int64_t channels = self.dim() > 1 ? self.size(1) : 1;
    NNLIB_CHECK(channels == weight.numel(),
                "Mismatch of parameter numbers and input channel size. Found "
                "parameter numbers = ",
                weight.numel(), " and channel size = ", channels, ".");
  }
  NNLIB_CHECK(weight.dim() <= 1,
              "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = ", weight.dim());
  if (weight.dim() == 0 || self.dim() == 0) return self.dim() == 0 ? reshape(weight, {}) : weight;
  Dims sizes((size_t)self.dim(), 1);
  sizes[self.dim() > 1 ? 1 : 0] = weight.numel();
  return reshape(weight, sizes);
}

}  // namespace

Tensor prelu(const Tensor& self, const Tensor& weight) {
  const Tensor w = prelu_weight(self, weight);
  if (!is_floating(self.dtype()))
    throw NotImplementedError(
        concat("\"prelu_cpu\" not implemented for '", dtype_legacy_name(self.dtype()), "'"));
  const auto& k = kernels::table();
  const BinaryKernels rows(nullptr, k.prelu_rows_f32, k.prelu_rows_f64, k.prelu_rows_bf16, k.prelu_rows_f16);
  Tensor out = binary<true>(self, w, self.dtype(), rows, kPrelu);
  if (wants_grad(self, w)) {
    record(out, "PreluKernelBackward0", {self, w},
           [x = save(self), w = save(w)](Backward& ctx, const TensorList& g) {
             const Tensor v = x.get(ctx), positive = gt(v, wrapped(0));
             return TensorList{
                 ctx.needs(0) ? flat_gradient(ctx, 0, where(positive, g[0], g[0] * w.get(ctx))) : Tensor(),
                 ctx.needs(1) ? where(positive, wrapped(0), g[0] * v) : Tensor()};
           });
  }
  return out;
}

namespace {

// The factor of each value: 1 above zero, drawn in [lower, upper) below.
Tensor rrelu_noise(const Tensor& self, double lower, double upper, Generator& generator) {
  Tensor noise = empty(self.sizes(), Dtype::Float64);
  const Tensor x = contiguous_values(cast_values(self, Dtype::Float64));
  const double* p = (const double*)x.raw();
  double* r = (double*)noise.raw();
  std::lock_guard<std::mutex> lock(generator.mutex);
  for (int64_t i = 0; i < x.numel(); i++)
    r[i] = p[i] <= 0 ? lower + generator.uniform_double() * (upper - lower) : 1;
  return cast_values(noise, self.dtype());
}

Tensor rrelu_with(const Tensor& self, const Tensor& noise) {
  Tensor out;
  {
    NoGradGuard guard;
    out = mul(self, noise);
  }
  if (wants_grad(self)) {
    record(out, "RreluWithNoiseBackward0", {self},
           [f = save(noise)](Backward& ctx, const TensorList& g) { return TensorList{g[0] * f.get(ctx)}; });
  }
  return out;
}

// The kernels of each float type.
template <class F>
void dispatch_glu(Dtype d, F f) {
  const auto& k = kernels::table();
  switch (d) {
    case Dtype::Float16:
      return f(k.glu_f16, k.glu_grad_f16);
    case Dtype::BFloat16:
      return f(k.glu_bf16, k.glu_grad_bf16);
    case Dtype::Float32:
      return f(k.glu_f32, k.glu_grad_f32);
    default:
      return f(k.glu_f64, k.glu_grad_f64);
  }
}
template <class T>
void run_glu_as(const Tensor& out, const Tensor& a, const Tensor& b,
                void (*kernel)(int64_t, const T*, const T*, T*)) {
  const Dtype d = out.dtype();
  for_each_row(
      out, d, {{&a, d}, {&b, d}},
      [=](int64_t n, const void* const* in, void* o) { kernel(n, (const T*)in[0], (const T*)in[1], (T*)o); },
      kCostly);
}
template <class T>
void run_glu_grad_as(const Tensor& out, const Tensor& g, const Tensor& a, const Tensor& b,
                     void (*kernel)(int64_t, const T*, const T*, const T*, T*)) {
  const Dtype d = out.dtype();
  for_each_row(
      out, d, {{&g, d}, {&a, d}, {&b, d}},
      [=](int64_t n, const void* const* in, void* o) {
        kernel(n, (const T*)in[0], (const T*)in[1], (const T*)in[2], (T*)o);
      },
      kCostly);
}
// a gated by b.
void run_glu(const Tensor& out, const Tensor& a, const Tensor& b) {
  dispatch_glu(out.dtype(), [&](auto glu, auto) { run_glu_as(out, a, b, glu); });
}
void run_glu_grad(const Tensor& out, const Tensor& g, const Tensor& a, const Tensor& b) {
  dispatch_glu(out.dtype(), [&](auto, auto gradient) { run_glu_grad_as(out, g, a, b, gradient); });
}

void check_rrelu(double lower, double upper) {
  NNLIB_CHECK(lower <= upper, "Lower bound should be less than or equal to the upper bound");
  NNLIB_CHECK(std::isfinite(lower), "rrelu: lower bound must be finite, got ", lower);
  NNLIB_CHECK(std::isfinite(upper), "rrelu: upper bound must be finite, got ", upper);
}

}  // namespace

Tensor rrelu(const Tensor& self, double lower, double upper, bool training, const Ref<Generator>& generator) {
  check_rrelu(lower, upper);
  if (!training) return leaky_relu(self, (lower + upper) / 2);
  return rrelu_with(self, rrelu_noise(self, lower, upper, generator ? *generator : *default_generator()));
}
Tensor rrelu_(const Tensor& self, double lower, double upper, bool training,
              const Ref<Generator>& generator) {
  return assign_inplace(self, [&](const Tensor& s) { return rrelu(s, lower, upper, training, generator); });
}

Tensor glu(const Tensor& self, int64_t dim) {
  NNLIB_CHECK(self.dim() > 0, "glu does not support 0-dimensional tensors");
  NNLIB_CHECK_AS(NotImplementedError, is_floating(self.dtype()), "\"glu_cpu\" not implemented for '",
                 dtype_legacy_name(self.dtype()), "'");
  const int64_t d = dim < 0 ? dim + self.dim() : dim, n = self.size(dim);
  NNLIB_CHECK(n % 2 == 0, "Halving dimension must be even, but dimension ", d, " is size ", n);
  auto halves = [d, n](const Tensor& t) {
    return std::make_pair(narrow(t, d, 0, n / 2), narrow(t, d, n / 2, n / 2));
  };
  Tensor out;
  {
    NoGradGuard guard;
    const auto [a, b] = halves(self);
    out = empty(a.sizes(), self.dtype());
    run_glu(out, a, b);
  }
  if (wants_grad(self)) {
    record(out, "GluBackward0", {self}, [x = save(self), halves, d](Backward& ctx, const TensorList& g) {
      const Tensor input = x.get(ctx);
      const auto [a, b] = halves(input);
      if (wants_grad(input, g[0])) {
        const Tensor s = sigmoid(b), ga = g[0] * s;
        return TensorList{cat({ga, ga * a * (num(1) - s)}, d)};
      }
      const Tensor gradient = empty(input.sizes(), input.dtype());
      const auto [ga, gb] = halves(gradient);
      run_glu(ga, g[0], b);
      run_glu_grad(gb, g[0], a, b);
      return TensorList{gradient};
    });
  }
  return out;
}

}  // namespace nnlib::ops
