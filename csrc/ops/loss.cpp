#include "ops/loss.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/composite.h"
#include "ops/elementwise.h"
#include "ops/iterator.h"
#include "ops/pick.h"
#include "ops/reduce.h"

namespace nnlib::ops {

namespace {

void check_reduction(const std::string& r) {
  NNLIB_CHECK_VALUE(r == "none" || r == "mean" || r == "sum", r, " is not a valid value for reduction");
}

Tensor reduce(const Tensor& loss, const std::string& reduction) {
  return reduction == "mean" ? mean(loss) : reduction == "sum" ? sum(loss) : loss;
}

Dtype loss_dtype(const Tensor& input, const Tensor& target, const char* name) {
  const Dtype d = result_type(input, target);
  if (!is_floating(d))
    throw_message<NotImplementedError>("\"", name, "\" not implemented for '", dtype_legacy_name(d), "'");
  return d;
}

template <class F>
void dispatch_loss(Dtype d, F f) {
  d == Dtype::Float64 ? f(TypeTag<double>{}) : f(TypeTag<float>{});
}

Tensor one_if_undefined(const Tensor& t, Dtype d) { return t.defined() ? t : scalar_tensor(Scalar(1), d); }

// n values of each operand; p (a parameter of the loss) and w (a weight) are null where there are none.
template <class C>
struct LossRow {
  const C *x, *t, *p, *w;
};

// What a loss is made of: value(x, t, p), by_input(x, t, p) and by_target(x, t, p) for single values. A loss
// with a faster way to do a row hides these.
template <class L>
struct Loss {
  template <class C, class F>
  static void each(int64_t n, const LossRow<C>& r, C* out, F f) {
    if (r.p)
      for (int64_t i = 0; i < n; i++) out[i] = f(i, r.p[i]) * r.w[i];
    else
      for (int64_t i = 0; i < n; i++) out[i] = f(i, C(1));
  }
  const L& self() const { return static_cast<const L&>(*this); }
  template <class C>
  void value_row(int64_t n, const LossRow<C>& r, C* out) const {
    each(n, r, out, [&](int64_t i, C p) { return self().value(r.x[i], r.t[i], p); });
  }
  template <class C>
  void by_input_row(int64_t n, const LossRow<C>& r, C* out) const {
    each(n, r, out, [&](int64_t i, C p) { return self().by_input(r.x[i], r.t[i], p); });
  }
  template <class C>
  void by_target_row(int64_t n, const LossRow<C>& r, C* out) const {
    each(n, r, out, [&](int64_t i, C p) { return self().by_target(r.x[i], r.t[i], p); });
  }
};

// out = f(row) for rows of x, t and, with either of them, p and w; times g and scale where g is defined.
template <class C, class F>
void run_rows(const Tensor& out, const Tensor& x, const Tensor& t, const Tensor& p, const Tensor& w,
              const Tensor& g, double scale, F f) {
  const Dtype d = DtypeOf<C>::value;
  const bool plain = !p.defined() && !w.defined(), each_g = g.defined() && g.numel() != 1;
  C one_g = (C)scale;
  if (g.defined() && !each_g) {
    load_row(g.dtype(), d)(1, (const char*)g.raw(), 0, &one_g);
    one_g *= (C)scale;
  }
  auto row = [&](int64_t n, const void* const* in, void* o) {
    LossRow<C> r{(const C*)in[0], (const C*)in[1], plain ? nullptr : (const C*)in[2],
                 plain ? nullptr : (const C*)in[3]};
    C* y = (C*)o;
    f(n, r, y);
    if (each_g) {
      const C* by = (const C*)in[plain ? 2 : 4];
      for (int64_t i = 0; i < n; i++) y[i] *= by[i] * (C)scale;
    } else if (g.defined()) {
      for (int64_t i = 0; i < n; i++) y[i] *= one_g;
    }
  };
  const Tensor pv = one_if_undefined(p, d), wv = one_if_undefined(w, d);
  if (plain && !each_g)
    for_each_row(out, d, {{&x, d}, {&t, d}}, row, kCostly);
  else if (plain)
    for_each_row(out, d, {{&x, d}, {&t, d}, {&g, d}}, row, kCostly);
  else if (!each_g)
    for_each_row(out, d, {{&x, d}, {&t, d}, {&pv, d}, {&wv, d}}, row, kCostly);
  else
    for_each_row(out, d, {{&x, d}, {&t, d}, {&pv, d}, {&wv, d}, {&g, d}}, row, kCostly);
}

// The sum of a loss over operands that lie together, without a tensor of its values; a NaN of nothing for no
// operands. Chunks of fixed size are added in order.
template <class C, class L>
double sum_of_loss(const Tensor& x, const Tensor& t, const L& loss) {
  constexpr int64_t kChunk = 8192, kPart = 1024;
  const LoadRow load_x = load_row(x.dtype(), DtypeOf<C>::value),
                load_t = load_row(t.dtype(), DtypeOf<C>::value);
  const auto* const px = (const char*)x.raw();
  const auto* const pt = (const char*)t.raw();
  const int64_t n = x.numel(), size_x = (int64_t)x.itemsize(), size_t_ = (int64_t)t.itemsize();
  std::vector<double> sums((size_t)((n + kChunk - 1) / kChunk));
  parallel_for(0, (int64_t)sums.size(), 1, [&](int64_t first, int64_t last) {
    C values[kPart], xs[kPart], ts[kPart];
    // The operand's own memory where it has the compute type.
    const auto part = [](const Tensor& of, const char* p, LoadRow load, int64_t from, int64_t m, int64_t item,
                         C* to) {
      if (of.dtype() == DtypeOf<C>::value) return (const C*)p + from;
      load(m, p + from * item, item, to);
      return (const C*)to;
    };
    for (int64_t c = first; c < last; c++) {
      double total = 0;
      for (int64_t i = c * kChunk, end = std::min(n, i + kChunk); i < end; i += kPart) {
        const int64_t m = std::min(kPart, end - i);
        const LossRow<C> row{part(x, px, load_x, i, m, size_x, xs), part(t, pt, load_t, i, m, size_t_, ts),
                             nullptr, nullptr};
        loss.value_row(m, row, values);
        total += pick<C>(kernels::table().sum_f32, kernels::table().sum_f64)(m, values);
      }
      sums[(size_t)c] = total;
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// `plain` is the same formula from plain operators, which gives the second derivatives.
template <class L>
Tensor pointwise_loss(const Tensor& input, const Tensor& target, const Tensor& p, const Tensor& w,
                      const std::string& reduction, const L& loss, const char* name, const char* node,
                      std::function<Tensor(const Tensor& x, const Tensor& t)> plain) {
  check_reduction(reduction);
  const Dtype d = loss_dtype(input, target, name);
  const Dims sizes = broadcast_sizes({input, target, one_if_undefined(p, d), one_if_undefined(w, d)});
  const bool together = !p.defined() && !w.defined() && input.sizes() == target.sizes() &&
                        input.is_contiguous() && target.is_contiguous();
  Tensor out;
  dispatch_loss(d, [&](auto tag) {
    using C = typename decltype(tag)::type;
    if (reduction != "none" && together) {
      const double total = sum_of_loss<C>(input, target, loss);
      out = scalar_tensor(Scalar(reduction == "mean" ? total / (double)input.numel() : total), d);
      return;
    }
    NoGradGuard guard;
    out = make_output(sizes, d, {&input, &target});
    run_rows<C>(out, input, target, p, w, Tensor(), 1,
                [&](int64_t n, const LossRow<C>& r, C* o) { loss.value_row(n, r, o); });
    out = reduce(out, reduction);
  });
  if (!wants_grad(input, target)) return out;
  record(out, node, {input, target},
         [x = save(input), t = save(target), p, w, sizes, d, reduction, loss, plain](Backward& ctx,
                                                                                     const TensorList& g) {
           const Tensor xv = x.get(ctx), tv = t.get(ctx);
           if (GradMode::enabled()) {
             return composite_gradients(ctx, {xv, tv}, g, [&](const TensorList& in) {
               const Tensor value = plain(in[0], in[1]);
               return TensorList{reduce(w.defined() ? value * w : value, reduction)};
             });
           }
           TensorList r(2);
           const double scale = reduction == "mean" ? 1.0 / (double)count(sizes) : 1.0;
           dispatch_loss(d, [&](auto tag) {
             using C = typename decltype(tag)::type;
             for (size_t k = 0; k < 2; k++) {
               if (!ctx.needs(k)) continue;
               r[k] = make_output(sizes, d, {&xv, &tv});
               run_rows<C>(r[k], xv, tv, p, w, g[0], scale, [&](int64_t n, const LossRow<C>& row, C* o) {
                 k == 0 ? loss.by_input_row(n, row, o) : loss.by_target_row(n, row, o);
               });
             }
           });
           return r;
         });
  return out;
}

struct SquaredError : Loss<SquaredError> {
  template <class C>
  C value(C x, C t, C) const {
    return (x - t) * (x - t);
  }
  template <class C>
  C by_input(C x, C t, C) const {
    return 2 * (x - t);
  }
  template <class C>
  C by_target(C x, C t, C) const {
    return 2 * (t - x);
  }
};

struct AbsoluteError : Loss<AbsoluteError> {
  template <class C>
  C value(C x, C t, C) const {
    return std::abs(x - t);
  }
  template <class C>
  C by_input(C x, C t, C) const {
    const C z = x - t;
    return z != z ? z : C(z > 0) - C(z < 0);
  }
  template <class C>
  C by_target(C x, C t, C p) const {
    return -by_input(x, t, p);
  }
};

// Quadratic where |x - t| is below `bend`, linear beyond; all divided by `divisor`.
struct Huber : Loss<Huber> {
  double bend, divisor;
  Huber(double bend, double divisor) : bend(bend), divisor(divisor) {}
  // With q the part of z up to the bend, z^2 / 2 and b (z - b / 2) are both q (z - q / 2).
  template <class C>
  C value(C x, C t, C) const {
    const C z = std::abs(x - t), b = (C)bend, q = z > b ? b : z;
    return q * (z - C(0.5) * q) * (C)(1 / divisor);
  }
  template <class C>
  C by_input(C x, C t, C) const {
    const C z = x - t, b = (C)bend, low = z < -b ? -b : z;
    return (low > b ? b : low) * (C)(1 / divisor);
  }
  template <class C>
  C by_target(C x, C t, C p) const {
    return -by_input(x, t, p);
  }
};

// Logarithms are held above -100, so that the loss is finite.
struct BinaryCrossEntropy : Loss<BinaryCrossEntropy> {
  template <class C>
  C by_input(C x, C t, C) const {
    return (x - t) / std::max((1 - x) * x, C(1e-12));
  }
  // A row by the kernels: f(log(1 - x), log(x), t).
  template <class C, class F>
  static void by_logarithms(int64_t n, const LossRow<C>& r, C* out, F f) {
    const auto& k = kernels::table();
    constexpr int64_t kPart = 256;
    C rest[kPart];
    for (int64_t b = 0; b < n; b += kPart) {
      const int64_t m = std::min(kPart, n - b);
      for (int64_t i = 0; i < m; i++) rest[i] = -r.x[b + i];
      pick<C>(k.log1p_f32, k.log1p_f64)(m, rest, rest);
      pick<C>(k.log_f32, k.log_f64)(m, r.x + b, out + b);
      for (int64_t i = 0; i < m; i++) {
        const C v = f(std::max(rest[i], C(-100)), std::max(out[b + i], C(-100)), r.t[b + i]);
        out[b + i] = r.w ? v * r.w[b + i] : v;
      }
    }
  }
  template <class C>
  void value_row(int64_t n, const LossRow<C>& r, C* out) const {
    by_logarithms(n, r, out, [](C rest, C log, C t) { return (t - 1) * rest - t * log; });
  }
  template <class C>
  void by_target_row(int64_t n, const LossRow<C>& r, C* out) const {
    by_logarithms(n, r, out, [](C rest, C log, C) { return rest - log; });
  }
};

// p weighs the positive examples.
struct BinaryCrossEntropyWithLogits : Loss<BinaryCrossEntropyWithLogits> {
  template <class C>
  static void log_sigmoid(int64_t n, const C* x, C* y) {
    const auto& k = kernels::table();
    pick<C>(k.logsigmoid_act_f32, k.logsigmoid_act_f64)(n, x, 0, 0, 0, y);
  }
  template <class C>
  void value_row(int64_t n, const LossRow<C>& r, C* out) const {
    log_sigmoid(n, r.x, out);
    each(n, r, out, [&](int64_t i, C p) { return (1 - r.t[i]) * r.x[i] - ((p - 1) * r.t[i] + 1) * out[i]; });
  }
  template <class C>
  void by_input_row(int64_t n, const LossRow<C>& r, C* out) const {
    const auto& k = kernels::table();
    for (int64_t i = 0; i < n; i++) out[i] = -r.x[i];
    pick<C>(k.sigmoid_f32, k.sigmoid_f64)(n, out, out);
    each(n, r, out, [&](int64_t i, C p) { return (1 - r.t[i]) - ((p - 1) * r.t[i] + 1) * out[i]; });
  }
  template <class C>
  void by_target_row(int64_t n, const LossRow<C>& r, C* out) const {
    log_sigmoid(n, r.x, out);
    each(n, r, out, [&](int64_t i, C p) { return -r.x[i] - (p - 1) * out[i]; });
  }
};

void check_in_unit_interval(const Tensor& input) {
  const Tensor x = contiguous_values(input);
  const bool inside = dispatch_floating(x.dtype(), "binary_cross_entropy", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = x.data<T>();
    bool ok = true;
    for (int64_t i = 0; i < x.numel(); i++) ok &= (compute_t<T>)p[i] >= 0 && (compute_t<T>)p[i] <= 1;
    return ok;
  });
  NNLIB_CHECK(inside, "all elements of input should be between 0 and 1");
}

}  // namespace

Tensor mse_loss(const Tensor& input, const Tensor& target, const std::string& reduction) {
  return pointwise_loss(input, target, Tensor(), Tensor(), reduction, SquaredError{}, "mse_cpu",
                        "MseLossBackward0", [](const Tensor& x, const Tensor& t) { return square(x - t); });
}

Tensor l1_loss(const Tensor& input, const Tensor& target, const std::string& reduction) {
  check_reduction(reduction);
  const auto plain = [](const Tensor& x, const Tensor& t) { return abs(x - t); };
  if (reduction == "none" || !is_floating(result_type(input, target)))
    return reduce(plain(input, target), reduction);
  return pointwise_loss(input, target, Tensor(), Tensor(), reduction, AbsoluteError{}, "l1_cpu",
                        reduction == "mean" ? "MeanBackward0" : "SumBackward0", plain);
}

Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, const std::string& reduction, double beta) {
  NNLIB_CHECK(beta >= 0, "smooth_l1_loss does not support negative values for beta, got ", beta);
  if (beta == 0) return l1_loss(input, target, reduction);
  return pointwise_loss(input, target, Tensor(), Tensor(), reduction, Huber{beta, beta}, "smooth_l1_cpu",
                        "SmoothL1LossBackward0", [beta](const Tensor& x, const Tensor& t) {
                          const Tensor z = abs(x - t);
                          return where(lt(z, wrapped_number(beta)), square(z) * Scalar(0.5 / beta),
                                       z - Scalar(0.5 * beta));
                        });
}

Tensor huber_loss(const Tensor& input, const Tensor& target, const std::string& reduction, double delta) {
  NNLIB_CHECK(delta > 0, "huber_loss does not support non-positive values for delta, got ", delta);
  return pointwise_loss(input, target, Tensor(), Tensor(), reduction, Huber{delta, 1}, "huber_cpu",
                        "HuberLossBackward0", [delta](const Tensor& x, const Tensor& t) {
                          const Tensor z = abs(x - t);
                          return where(lt(z, wrapped_number(delta)), square(z) * Scalar(0.5),
                                       (z - Scalar(0.5 * delta)) * Scalar(delta));
                        });
}

Tensor binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight,
                            const std::string& reduction) {
  check_in_unit_interval(input);
  return pointwise_loss(
      input, target, Tensor(), weight, reduction, BinaryCrossEntropy{}, "binary_cross_entropy",
      "BinaryCrossEntropyBackward0", [](const Tensor& x, const Tensor& t) {
        const std::optional<Scalar> low = Scalar(-100);
        return (t - Scalar(1)) * clamp(log1p(-x), low, std::nullopt) - t * clamp(log(x), low, std::nullopt);
      });
}

Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target, const Tensor& weight,
                                        const Tensor& pos_weight, const std::string& reduction) {
  return pointwise_loss(input, target, pos_weight, weight, reduction, BinaryCrossEntropyWithLogits{},
                        "binary_cross_entropy_with_logits", "BinaryCrossEntropyWithLogitsBackward0",
                        [pos_weight](const Tensor& x, const Tensor& t) {
                          const Tensor log_sigmoid = clamp(x, std::nullopt, Scalar(0)) - log1p(exp(-abs(x)));
                          const Tensor factor = pos_weight.defined()
                                                    ? (pos_weight - Scalar(1)) * t + Scalar(1)
                                                    : wrapped_number(Scalar(1));
                          return (Scalar(1) - t) * x - factor * log_sigmoid;
                        });
}

Tensor kl_div(const Tensor& input, const Tensor& target, const std::string& reduction, bool log_target) {
  const Tensor loss = log_target ? exp(target) * (target - input) : xlogy(target, target) - target * input;
  if (reduction == "batchmean") return input.dim() ? sum(loss) / Scalar(input.size(0)) : sum(loss);
  check_reduction(reduction);
  return reduce(loss, reduction);
}

}  // namespace nnlib::ops
