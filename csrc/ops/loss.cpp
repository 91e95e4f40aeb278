#include "ops/loss.h"

#include <cmath>

#include "core/shape.h"
#include "ops/composite.h"
#include "ops/elementwise.h"
#include "ops/iterator.h"
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
    throw NotImplementedError(concat("\"", name, "\" not implemented for '", dtype_legacy_name(d), "'"));
  return d;
}

Tensor one_if_undefined(const Tensor& t, Dtype d) { return t.defined() ? t : scalar_tensor(Scalar(1), d); }

// A loss has value(x, t, p), by_input(x, t, p) and by_target(x, t, p); p is a parameter tensor, broadcast.
// The same formula from plain operators gives the second derivatives.
template <class L>
Tensor pointwise_loss(const Tensor& input, const Tensor& target, const Tensor& parameter,
                      const Tensor& weight, const std::string& reduction, const L& loss, const char* name,
                      const char* node, std::function<Tensor(const Tensor& x, const Tensor& t)> plain) {
  check_reduction(reduction);
  const Dtype d = loss_dtype(input, target, name);
  const Tensor p = one_if_undefined(parameter, d), w = one_if_undefined(weight, d);
  const Dims sizes = broadcast_sizes({input, target, p, w});
  Tensor out = make_output(sizes, d, {&input, &target});
  dispatch_compute(d, [&](auto tag) {
    using C = typename decltype(tag)::type;
    if constexpr (std::is_floating_point_v<C>)
      map_values<C>(
          out, kCostly, [loss](C x, C t, C p, C w) { return loss.value(x, t, p) * w; }, input, target, p, w);
  });
  {
    NoGradGuard guard;
    out = reduce(out, reduction);
  }
  if (!wants_grad(input, target)) return out;
  record(out, node, {input, target},
         [x = save(input), t = save(target), p, w, sizes, d, reduction, loss, plain](Backward& ctx,
                                                                                     const TensorList& g) {
           const Tensor xv = x.get(ctx), tv = t.get(ctx);
           if (GradMode::enabled()) {
             return composite_gradients(ctx, {xv, tv}, g, [&](const TensorList& in) {
               return TensorList{reduce(plain(in[0], in[1]) * w, reduction)};
             });
           }
           TensorList r(2);
           const double scale = reduction == "mean" ? 1.0 / (double)count(sizes) : 1.0;
           dispatch_compute(d, [&](auto tag) {
             using C = typename decltype(tag)::type;
             if constexpr (std::is_floating_point_v<C>) {
               const C s = (C)scale;
               if (ctx.needs(0)) {
                 r[0] = make_output(sizes, d, {&xv, &tv});
                 map_values<C>(
                     r[0], kCostly,
                     [loss, s](C x, C t, C p, C w, C g) { return loss.by_input(x, t, p) * w * g * s; }, xv,
                     tv, p, w, g[0]);
               }
               if (ctx.needs(1)) {
                 r[1] = make_output(sizes, d, {&xv, &tv});
                 map_values<C>(
                     r[1], kCostly,
                     [loss, s](C x, C t, C p, C w, C g) { return loss.by_target(x, t, p) * w * g * s; }, xv,
                     tv, p, w, g[0]);
               }
             }
           });
           return r;
         });
  return out;
}

struct SquaredError {
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

// Quadratic where |x - t| is below `bend`, linear beyond; all divided by `divisor`.
struct Huber {
  double bend, divisor;
  template <class C>
  C value(C x, C t, C) const {
    const C z = std::abs(x - t), b = (C)bend;
    return (z < b ? C(0.5) * z * z : b * (z - C(0.5) * b)) / (C)divisor;
  }
  template <class C>
  C by_input(C x, C t, C) const {
    const C z = x - t, b = (C)bend;
    return (z <= -b ? -b : z >= b ? b : z) / (C)divisor;
  }
  template <class C>
  C by_target(C x, C t, C p) const {
    return -by_input(x, t, p);
  }
};

// Logarithms are held above -100, so that the loss is finite.
struct BinaryCrossEntropy {
  template <class C>
  static C log_of(C x) {
    return std::max(std::log(x), C(-100));
  }
  template <class C>
  static C log_of_rest(C x) {
    return std::max(std::log1p(-x), C(-100));
  }
  template <class C>
  C value(C x, C t, C) const {
    return (t - 1) * log_of_rest(x) - t * log_of(x);
  }
  template <class C>
  C by_input(C x, C t, C) const {
    return (x - t) / std::max((1 - x) * x, C(1e-12));
  }
  template <class C>
  C by_target(C x, C, C) const {
    return log_of_rest(x) - log_of(x);
  }
};

// p weighs the positive examples.
struct BinaryCrossEntropyWithLogits {
  template <class C>
  static C log_sigmoid(C x) {
    return std::min(x, C(0)) - std::log1p(std::exp(-std::abs(x)));
  }
  template <class C>
  C value(C x, C t, C p) const {
    return (1 - t) * x - ((p - 1) * t + 1) * log_sigmoid(x);
  }
  template <class C>
  C by_input(C x, C t, C p) const {
    const C e = std::exp(-std::abs(x)), of_minus_x = (x >= 0 ? e : C(1)) / (1 + e);  // sigmoid(-x)
    return (1 - t) - ((p - 1) * t + 1) * of_minus_x;
  }
  template <class C>
  C by_target(C x, C, C p) const {
    return -x - (p - 1) * log_sigmoid(x);
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
  return reduce(abs(input - target), reduction);
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
