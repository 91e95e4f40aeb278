// Losses of classification; kernels/cross_entropy.h states what is computed. nll_loss has no lse in it.
//
// Where a gradient is wanted, the pass that reads the scores for the loss makes the gradient as well, but for
// the factor that comes from above, and that is what is kept for backward: PyTorch keeps as much. A second
// backward, and float16, whose gradients might vanish without their factor, start from the scores again.
#include "ops/cross_entropy.h"

#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "ops/class_loss.h"
#include "ops/composite.h"
#include "ops/creation.h"
#include "ops/drivers/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

using drivers::ExampleLayout;

using detail::ClassLoss;
using detail::Reduction;

Reduction reduction_of(const std::string& name) {
  if (name == "none") return Reduction::None;
  if (name == "mean") return Reduction::Mean;
  if (name == "sum") return Reduction::Sum;
  throw ValueError(name + " is not a valid value for reduction");
}

template <class T>
double class_weight(const ClassLoss& c, int64_t j) {
  return c.weight.defined() ? double(static_cast<const T*>(c.weight.raw())[j]) : 1.0;
}

// Where the examples of scores (C), (N, C) or (N, C, d1, ...) lie; nothing if d1, ... have no common stride.
std::optional<ExampleLayout> layout_of(const Tensor& t) {
  if (t.dim() == 1) return ExampleLayout{1, 1, 0, 0, t.stride(0)};
  ExampleLayout l{t.size(0), 1, t.stride(0), 1, t.stride(1)};
  for (int64_t d = t.dim() - 1; d >= 2; --d) {
    if (t.size(d) == 1) continue;
    if (l.inner == 1) {
      l.inner_stride = t.stride(d);
    } else if (t.stride(d) != l.inner * l.inner_stride) {
      return std::nullopt;
    }
    l.inner *= t.size(d);
  }
  return l;
}

// Memory for a tensor of these scores' sizes in the order in which they lie: classes, then examples, or the
// reverse.
Tensor empty_like_scores(const Tensor& scores, const ExampleLayout& l) {
  const int64_t classes = scores.dim() == 1 ? scores.size(0) : scores.size(1);
  Dims strides = empty(scores.sizes(), scores.dtype()).strides();
  if (scores.dim() > 1 && l.inner > 1 && l.class_stride == 1) {
    for (int64_t d = scores.dim() - 1, step = classes; d >= 0; --d) {
      if (d == 1) continue;
      strides[size_t(d)] = step;
      step *= scores.size(d);
    }
    strides[1] = 1;
  } else if (scores.dim() > 1 && l.inner == 1 && l.class_stride != 1 && l.outer_stride == 1) {
    strides[0] = 1, strides[1] = scores.size(0);
  } else {
    return empty(scores.sizes(), scores.dtype());
  }
  return alias(empty({scores.numel()}, scores.dtype()), scores.sizes(), strides, 0);
}

bool shares_order(const ExampleLayout& a, const ExampleLayout& b) {
  return a.class_stride != 1 || b.class_stride == 1;
}

struct Computed {
  Tensor losses, gradient;
};

// The losses of all examples, of the compute type, and with `scale` not 0 the gradient times scale.
Computed compute_losses(const ClassLoss& c, const Tensor& input, double scale) {
  NoGradGuard guard;
  Tensor x = detach(input), p = c.probabilities;
  std::optional<ExampleLayout> lx = layout_of(x), lp;
  if (!lx) {
    x = contiguous_values(x);
    lx = layout_of(x);
  }
  if (p.defined()) {
    lp = layout_of(p);
    if (!lp || !shares_order(*lx, *lp)) {
      x = contiguous_values(x), p = contiguous_values(p);
      lx = layout_of(x), lp = layout_of(p);
    }
  }
  Computed out;
  dispatch_floating(x.dtype(), "cross_entropy", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    out.losses = empty({c.rows}, DtypeOf<C>::value);
    ExampleLayout ly{};
    if (scale != 0) {
      out.gradient = empty_like_scores(x, *lx);
      ly = *layout_of(out.gradient);
    }
    drivers::cross_entropy<T>(c.spec<C>(scale), *lx, x.data<T>(),
                              c.target.defined() ? c.target.data<int64_t>() : nullptr,
                              lp.value_or(ExampleLayout{}), p.defined() ? p.data<T>() : nullptr,
                              out.losses.data<C>(), ly, scale != 0 ? out.gradient.data<T>() : nullptr);
  });
  return out;
}

// The address of each example's score at its class: f(example, offset of class 0, stride of the classes).
template <class F>
void for_each_example(const Tensor& scores, F f) {
  const ExampleLayout l = *layout_of(scores);
  parallel_for(0, l.outer * l.inner, 1 << 12, [&](int64_t first, int64_t last) {
    int64_t outer = first / l.inner, inner = first % l.inner;
    for (int64_t e = first; e < last; ++e) {
      f(e, outer * l.outer_stride + inner * l.inner_stride, l.class_stride);
      if (++inner == l.inner) inner = 0, ++outer;
    }
  });
}

// nll_loss: the losses are read off the log-probabilities.
Tensor picked_losses(const ClassLoss& c, const Tensor& input) {
  Tensor losses;
  const Tensor x = layout_of(input) ? input : contiguous_values(input);
  dispatch_floating(x.dtype(), "nll_loss", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    losses = empty({c.rows}, DtypeOf<C>::value);
    const T* from = x.data<T>();
    const C* weight = c.weight.defined() ? c.weight.data<C>() : nullptr;
    const int64_t *target = c.target.data<int64_t>(), none = c.ignore_index;
    C* to = losses.data<C>();
    for_each_example(x, [=](int64_t e, int64_t offset, int64_t stride) {
      const int64_t t = target[e];
      to[e] = t == none ? C(0) : -(weight ? weight[t] : C(1)) * C(from[offset + t * stride]);
    });
  });
  return losses;
}
// upstream: one value, or one for each example.
Tensor picked_gradient(const ClassLoss& c, const Tensor& input, const Tensor& upstream) {
  Tensor out = empty(input.sizes(), input.dtype());
  fill_values(out, 0);
  dispatch_floating(out.dtype(), "nll_loss", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const Tensor g = contiguous_values(cast_values(upstream, DtypeOf<C>::value));
    const int64_t step = c.reduction == Reduction::None ? 1 : 0;
    const double divisor = c.reduction == Reduction::Mean ? c.total : 1;
    T* to = out.data<T>();
    const C *from = g.data<C>(), *weight = c.weight.defined() ? c.weight.data<C>() : nullptr;
    const int64_t *target = c.target.data<int64_t>(), none = c.ignore_index;
    for_each_example(out, [=](int64_t e, int64_t offset, int64_t stride) {
      const int64_t t = target[e];
      if (t != none)
        to[offset + t * stride] = T(C(-double(weight ? weight[t] : C(1)) * double(from[e * step]) / divisor));
    });
  });
  return out;
}

// The input as rows of classes; differentiable.
Tensor as_rows(const Tensor& input, int64_t rows, int64_t classes) {
  return input.dim() <= 2 ? reshape(input, {rows, classes})
                          : reshape(movedim(input, {1}, {-1}), {rows, classes});
}
Tensor from_rows(const Tensor& rows, const Dims& sizes) {
  if (sizes.size() <= 2) return reshape(rows, sizes);
  Dims moved = sizes;
  moved.erase(1);
  moved.push_back(sizes[1]);
  return movedim(reshape(rows, moved), {-1}, {1});
}

// The same gradient made of differentiable operators, for a graph of the backward pass.
Tensor differentiable_gradient(const ClassLoss& c, bool from_logits, const Tensor& input, const Tensor& g) {
  const Dtype compute = c.weight.defined()                ? c.weight.dtype()
                        : input.dtype() == Dtype::Float64 ? Dtype::Float64
                                                          : Dtype::Float32;
  const double on = 1 - c.smoothing, off = c.smoothing / double(c.classes);
  Tensor scale = empty({c.rows, 1}, Dtype::Float64), shift = empty({c.rows, c.classes}, Dtype::Float64);
  const Tensor w = c.weight.defined() ? cast_values(c.weight, Dtype::Float64) : Tensor();
  for (int64_t i = 0; i < c.rows; ++i) {
    double* row = shift.data<double>() + i * c.classes;
    const bool skip = c.ignored(i);
    for (int64_t j = 0; j < c.classes; ++j) row[j] = skip ? 0 : off * (w.defined() ? w.data<double>()[j] : 1);
    const int64_t t = c.target.data<int64_t>()[i];
    const double wt = skip ? 0 : on * (w.defined() ? w.data<double>()[t] : 1);
    if (!skip) row[t] += wt;
    scale.data<double>()[i] = skip ? 0 : wt + off * c.weight_sum;
  }
  Tensor rows = neg(cast_values(shift, compute));
  if (from_logits) {
    const Tensor p = softmax(cast(as_rows(input, c.rows, c.classes), compute), -1, std::nullopt);
    rows = add(mul(p, cast_values(scale, compute)), rows);
  }
  Tensor upstream = cast(g, compute);
  if (c.reduction == Reduction::Mean)
    upstream = upstream / Scalar(c.total > 0 ? c.total : 1);  // no row, no gradient
  upstream = c.reduction == Reduction::None ? reshape(upstream, {c.rows, 1}) : reshape(upstream, {1, 1});
  return cast(from_rows(mul(rows, upstream), input.sizes()), input.dtype());
}

// float16, and a second time: one value from above goes into the kernel, before anything is rounded.
Tensor gradient_again(const ClassLoss& c, const Tensor& input, const Tensor& upstream) {
  if (c.reduction == Reduction::None) {
    ClassLoss wide = c;
    const Dtype compute = input.dtype() == Dtype::Float64 ? Dtype::Float64 : Dtype::Float32;
    if (c.probabilities.defined()) wide.probabilities = cast_values(c.probabilities, compute);
    const Tensor unscaled = compute_losses(wide, cast_values(detach(input), compute), 1).gradient;
    return cast_values(detail::scale_gradient(unscaled, upstream), input.dtype());
  }
  const double scale = c.unit_scale() * *cast_values(detach(upstream), Dtype::Float64).data<double>();
  return scale == 0 ? zeros_like(detach(input)) : compute_losses(c, input, scale).gradient;
}

// Checks the classes and adds up their weights, chunk by chunk.
template <class T>
void tally_targets(ClassLoss& c) {
  const int64_t* t = c.target.data<int64_t>();
  constexpr int64_t kRun = 1 << 13;
  std::vector<double> totals(size_t((c.rows + kRun - 1) / kRun));
  const T* const weight = c.weight.defined() ? static_cast<const T*>(c.weight.raw()) : nullptr;
  const int64_t ignore = c.ignore_index;
  const uint64_t classes = uint64_t(c.classes);
  parallel_for(0, c.rows, kRun, [&, t, weight, ignore, classes](int64_t first, int64_t last) {
    int64_t ignored = 0, outside = 0, both = 0;
    for (int64_t i = first; i < last; ++i) {
      const bool skip = t[i] == ignore, out = uint64_t(t[i]) >= classes;
      ignored += skip, outside += out, both += skip & out;
    }
    for (int64_t i = first; outside > both && i < last; ++i) {
      NNLIB_CHECK_INDEX(c.ignored(i) || (t[i] >= 0 && t[i] < c.classes), "Target ", t[i],
                        " is out of bounds.");
    }
    double total = double(last - first - ignored);
    if (weight) {
      total = 0;
      for (int64_t i = first; i < last; ++i)
        if (t[i] != ignore) total += double(weight[t[i]]);
    }
    totals[size_t(first / kRun)] = total;
  });
  for (const double total : totals) c.total += total;
}

void check_sizes(const Dims& scores, Dtype dtype, const Tensor& target, const Tensor& weight) {
  NNLIB_CHECK_INDEX(!scores.empty(),
                    "Dimension out of range (expected to be in range of [-1, 0], but got 1)");
  if (scores.size() == 1) {
    NNLIB_CHECK(target.dim() == 0 || (target.dim() == 1 && target.size(0) == 1),
                "For 1D input, 1D target must have size 1, but got target size: ",
                target.dim() > 0 ? target.size(0) : 0);
  } else {
    NNLIB_CHECK_VALUE(target.dim() > 0 && scores[0] == target.size(0), "Expected input batch_size (",
                      scores[0], ") to match target batch_size (", target.dim() > 0 ? target.size(0) : 0,
                      ").");
    Dims expected = scores;
    expected.erase(1);
    NNLIB_CHECK(target.sizes() == expected, "Expected target size ", expected, ", got ", target.sizes());
  }
  const int64_t classes = scores.size() == 1 ? scores[0] : scores[1];
  NNLIB_CHECK(!weight.defined() || (weight.dim() == 1 && weight.numel() == classes),
              "weight tensor should be defined either for all ", classes,
              " classes or no classes but got weight tensor of ",
              "shape: ", weight.defined() ? weight.sizes() : Dims{});
  NNLIB_CHECK(target.dtype() == Dtype::Int64 || target.dtype() == Dtype::UInt8,
              "expected target dtype to be Long or Byte, but got ", dtype_legacy_name(target.dtype()));
  NNLIB_CHECK(!weight.defined() || weight.dtype() == dtype, "expected scalar type ", dtype_legacy_name(dtype),
              " but found ", dtype_legacy_name(weight.dtype()));
}

// The loss of the scores, and its history; `formula` gives the gradient by differentiable operators.
template <class Formula>
Tensor loss_of_scores(const std::shared_ptr<ClassLoss>& loss, const Tensor& input, const Dims& sizes,
                      const char* name, Formula formula) {
  const bool wanted = wants_grad(input), early = wanted && input.dtype() != Dtype::Float16;
  Computed done = compute_losses(*loss, input, early ? loss->unit_scale() : 0);
  const Tensor out = detail::reduce_losses(*loss, done.losses, sizes, input.dtype());
  if (wanted) {
    record(out, name, {input},
           [loss, formula, input = save(input), target = save(loss->target), kept = done.gradient](
               Backward& ctx, const TensorList& g) mutable {
             if (GradMode::enabled() && wants_grad(input.get(ctx), g[0]))
               return TensorList{formula(ctx, input.get(ctx), g[0])};
             if (kept.defined())
               return TensorList{detail::scale_gradient(std::exchange(kept, Tensor()), g[0])};
             target.get(ctx);  // an error if it was changed
             return TensorList{gradient_again(*loss, input.get(ctx), g[0])};
           });
  }
  return out;
}

Tensor class_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                  const std::string& reduction, double smoothing, bool from_logits) {
  const auto loss = std::make_shared<ClassLoss>(detail::class_targets(
      input.sizes(), input.dtype(), target, weight, ignore_index, reduction, smoothing));
  const char* name = input.dim() > 2 ? "NllLoss2DBackward0" : "NllLossBackward0";
  const auto formula = [loss, from_logits](Backward&, const Tensor& x, const Tensor& g) {
    return differentiable_gradient(*loss, from_logits, x, g);
  };
  if (from_logits) return loss_of_scores(loss, input, target.sizes(), name, formula);
  const Tensor out =
      detail::reduce_losses(*loss, picked_losses(*loss, detach(input)), target.sizes(), input.dtype());
  if (wants_grad(input)) {
    record(out, name, {input},
           [loss, formula, input = save(input), target = save(loss->target)](Backward& ctx,
                                                                             const TensorList& g) {
             const Tensor x = input.get(ctx);
             target.get(ctx);  // an error if it was changed
             if (GradMode::enabled() && wants_grad(x, g[0])) return TensorList{formula(ctx, x, g[0])};
             return TensorList{picked_gradient(*loss, x, detach(g[0]))};
           });
  }
  return out;
}

// Targets that are probabilities, by an ordinary formula, differentiable in both.
Tensor probability_formula(const Tensor& input, const Tensor& target, const Tensor& weight,
                           const std::string& reduction, double smoothing) {
  const int64_t dim = input.dim() == 1 ? 0 : 1, classes = input.size(dim);
  const Reduction r = reduction_of(reduction);
  NNLIB_CHECK(
      !weight.defined() || (weight.dim() == 1 && weight.numel() == classes),
      "cross_entropy: weight tensor should be defined either for all ", classes,
      " classes or no classes but got weight tensor of shape: ", weight.defined() ? weight.sizes() : Dims{});
  Tensor p = target;
  if (smoothing > 0) p = p * Scalar(1 - smoothing) + Scalar(smoothing / double(classes));
  if (weight.defined()) {
    Dims shape(input.sizes().size(), 1);
    shape[size_t(dim)] = classes;
    p = mul(p, reshape(weight, shape));
  }
  const Tensor terms = mul(log_softmax(input, dim, std::nullopt), p);
  if (r == Reduction::None) return neg(sum(terms, Dims{dim}, false));
  const Tensor total = neg(sum(terms));
  return r == Reduction::Sum ? total : total / Scalar(double(input.numel()) / double(classes));
}

Tensor probability_loss(const Tensor& input, const Tensor& target, const Tensor& weight,
                        const std::string& reduction, double smoothing) {
  const bool one_dtype = is_floating(input.dtype()) && target.dtype() == input.dtype() &&
                         (!weight.defined() || weight.dtype() == input.dtype());
  const int64_t classes = input.dim() == 0 ? 0 : input.size(input.dim() == 1 ? 0 : 1);
  if (!one_dtype || wants_grad(target, weight) || input.numel() == 0 ||
      (weight.defined() && (weight.dim() != 1 || weight.numel() != classes)))
    return probability_formula(input, target, weight, reduction, smoothing);
  const auto loss =
      std::make_shared<ClassLoss>(detail::probability_targets(target, weight, reduction, smoothing));
  Dims sizes = input.sizes();
  sizes.erase(input.dim() == 1 ? 0 : 1);
  const auto formula = [target = save(target), weight, reduction, smoothing](Backward& ctx, const Tensor& x,
                                                                             const Tensor& g) {
    const Tensor p = target.get(ctx);
    return composite_gradients(ctx, {x}, {g}, [&](const TensorList& in) {
      return TensorList{probability_formula(in[0], p, weight, reduction, smoothing)};
    })[0];
  };
  return loss_of_scores(loss, input, sizes, "CrossEntropyLossBackward0", formula);
}

}  // namespace

namespace detail {

ClassLoss class_targets(const Dims& scores, Dtype dtype, const Tensor& target, const Tensor& weight,
                        int64_t ignore_index, const std::string& reduction, double smoothing) {
  NNLIB_CHECK_AS(NotImplementedError, is_floating(dtype), "\"nll_loss_out_frame\" not implemented for '",
                 dtype_legacy_name(dtype), "'");
  check_sizes(scores, dtype, target, weight);
  ClassLoss c;
  c.reduction = reduction_of(reduction);
  c.classes = scores.size() == 1 ? scores[0] : scores[1];
  c.rows = target.numel();
  c.ignore_index = ignore_index;
  c.smoothing = smoothing;
  c.target = contiguous_values(cast_values(detach(target), Dtype::Int64));
  const auto tally = [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (weight.defined()) c.weight = contiguous_values(cast_values(detach(weight), DtypeOf<T>::value));
    for (int64_t j = 0; weight.defined() && j < c.classes; ++j) c.weight_sum += class_weight<T>(c, j);
    if (!weight.defined()) c.weight_sum = double(c.classes);
    tally_targets<T>(c);
  };
  dtype == Dtype::Float64 ? tally(TypeTag<double>{}) : tally(TypeTag<float>{});
  return c;
}

ClassLoss probability_targets(const Tensor& target, const Tensor& weight, const std::string& reduction,
                              double smoothing) {
  ClassLoss c;
  c.reduction = reduction_of(reduction);
  c.classes = target.size(target.dim() == 1 ? 0 : 1);
  c.rows = target.numel() / c.classes;
  c.smoothing = smoothing;
  c.probabilities = detach(target);
  const Dtype compute = target.dtype() == Dtype::Float64 ? Dtype::Float64 : Dtype::Float32;
  if (weight.defined()) c.weight = contiguous_values(cast_values(detach(weight), compute));
  c.total = double(c.rows);
  return c;
}

Tensor reduce_losses(const ClassLoss& c, const Tensor& losses, const Dims& sizes, Dtype dtype) {
  if (c.reduction == Reduction::None)
    return cast_values(alias(losses, sizes, empty(sizes, losses.dtype()).strides(), losses.storage_offset()),
                       dtype);
  const double sum = losses.dtype() == Dtype::Float64 ? drivers::sum_losses(c.rows, losses.data<double>())
                                                      : drivers::sum_losses(c.rows, losses.data<float>());
  return cast_values(scalar_tensor(c.reduction == Reduction::Mean ? sum / c.total : sum, losses.dtype()),
                     dtype);
}

Tensor scale_gradient(const Tensor& gradient, const Tensor& upstream) {
  NoGradGuard guard;
  const Tensor g = cast_values(detach(upstream), gradient.dtype());
  if (g.dim() > 0) return mul_(gradient, gradient.dim() > 1 ? unsqueeze(g, 1) : g);
  const bool one = dispatch_floating(g.dtype(), "cross_entropy", [&](auto tag) {
    using T = typename decltype(tag)::type;
    return double(compute_t<T>(*g.data<T>())) == 1;
  });
  return one ? gradient : mul_(gradient, g);
}

}  // namespace detail

Tensor cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                     const std::string& reduction, double label_smoothing) {
  NNLIB_CHECK(label_smoothing >= 0 && label_smoothing <= 1,
              "label_smoothing must be between 0.0 and 1.0. Got: ", label_smoothing);
  if (is_floating(target.dtype()) && input.sizes() == target.sizes()) {
    NNLIB_CHECK(ignore_index < 0, "ignore_index is not supported for floating point target");
    return probability_loss(input, target, weight, reduction, label_smoothing);
  }
  return class_loss(input, target, weight, ignore_index, reduction, label_smoothing, true);
}

Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                const std::string& reduction) {
  return class_loss(input, target, weight, ignore_index, reduction, 0, false);
}

}  // namespace nnlib::ops
