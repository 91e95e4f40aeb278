// The loss of row i with class t, weights w and smoothing e over C classes, and lse = ln sum_j e^x_j:
//
//   loss = (1 - e) w_t (lse - x_t) + e / C sum_j w_j (lse - x_j)
//   d loss / d x_j = s_i softmax_j - (1 - e) w_t [j = t] - e / C w_j,   s_i = (1 - e) w_t + e / C sum_j w_j
//
// nll_loss is the same with s_i = 0 and without lse. A row is read twice forward, while it is in the cache,
// and once backward; nothing of the logits' size is kept but the logits.
#include "ops/cross_entropy.h"

#include <cmath>
#include <memory>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

enum class Reduction { None, Mean, Sum };
Reduction reduction_of(const std::string& name) {
  if (name == "none") return Reduction::None;
  if (name == "mean") return Reduction::Mean;
  if (name == "sum") return Reduction::Sum;
  throw ValueError(name + " is not a valid value for reduction");
}

// Everything about one call but the logits: rows of C classes, in float or double.
struct ClassLoss {
  bool from_logits;
  Reduction reduction;
  int64_t rows, classes, ignore_index;
  double smoothing;
  Tensor target;  // int64, contiguous
  Tensor weight;  // of the compute type, contiguous; may be undefined
  Dims input_sizes;
  double total = 0;  // of the weights of all rows' classes: what the mean is divided by
  double weight_sum = 0;

  bool ignored(int64_t row) const { return target.data<int64_t>()[row] == ignore_index; }
};

template <class T>
double class_weight(const ClassLoss& c, int64_t j) {
  return c.weight.defined() ? double(static_cast<const T*>(c.weight.raw())[j]) : 1.0;
}

float log_sum_exp(int64_t n, const float* x) { return kernels::table().logsumexp_f32(n, x); }
double log_sum_exp(int64_t n, const double* x) {
  double m = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; ++i) m = x[i] > m ? x[i] : m;
  if (!std::isfinite(m)) m = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - m);
  return std::log(sum) + m;
}

// out[j] = scale e^(x[j] - lse) - shift w[j]
void gradient_row(int64_t n, const float* x, float lse, double scale, double shift, const float* w,
                  float* out, bool stream) {
  kernels::table().softmax_grad_f32(n, x, lse, float(scale), float(shift), w, out, stream);
}
void gradient_row(int64_t n, const double* x, double lse, double scale, double shift, const double* w,
                  double* out, bool) {
  for (int64_t j = 0; j < n; ++j) out[j] = scale * std::exp(x[j] - lse) - shift * (w ? w[j] : 1);
}

int64_t grain_of(const ClassLoss& c) { return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, c.classes)); }

// The losses of all rows into `losses`, their normalisers into `lse` (from_logits).
template <class T>
void forward_rows(const ClassLoss& c, const T* x, T* losses, T* lse) {
  const double on = 1 - c.smoothing, off = c.smoothing / double(c.classes);
  parallel_for(0, c.rows, grain_of(c), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const T* row = x + i * c.classes;
      if (lse) lse[i] = log_sum_exp(c.classes, row);
      if (c.ignored(i)) {
        losses[i] = 0;
        continue;
      }
      const double l = lse ? double(lse[i]) : 0;
      const int64_t t = c.target.data<int64_t>()[i];
      double loss = on * class_weight<T>(c, t) * (l - double(row[t]));
      if (c.smoothing > 0) {
        double all = 0;
        for (int64_t j = 0; j < c.classes; ++j) all += class_weight<T>(c, j) * (l - double(row[j]));
        loss += off * all;
      }
      losses[i] = T(loss);
    }
  });
}

// The gradient of row i is upstream[i * step] / divisor times the derivative above.
template <class T>
void backward_rows(const ClassLoss& c, const T* x, const T* lse, const T* upstream, int64_t step,
                   double divisor, T* out) {
  const double on = 1 - c.smoothing, off = c.smoothing / double(c.classes);
  const bool stream =
      c.rows * c.classes * int64_t(sizeof(T)) > (int64_t(1) << 23);  // more than the caches hold
  parallel_for(0, c.rows, grain_of(c), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      T* row = out + i * c.classes;
      const double u = double(upstream[i * step]) / divisor;
      if (c.ignored(i)) {
        std::fill(row, row + c.classes, T(0));
        continue;
      }
      const int64_t t = c.target.data<int64_t>()[i];
      const double wt = class_weight<T>(c, t);
      if (lse) {
        gradient_row(c.classes, x + i * c.classes, lse[i], u * (on * wt + off * c.weight_sum), u * off,
                     c.weight.defined() ? static_cast<const T*>(c.weight.raw()) : nullptr, row, stream);
      } else {
        std::fill(row, row + c.classes, T(0));
      }
      row[t] -= T(u * on * wt);
    }
  });
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
Tensor differentiable_gradient(const ClassLoss& c, const Tensor& input, const Tensor& g) {
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
  if (c.from_logits) {
    const Tensor p = softmax(cast(as_rows(input, c.rows, c.classes), compute), -1, std::nullopt);
    rows = add(mul(p, cast_values(scale, compute)), rows);
  }
  Tensor upstream = cast(g, compute);
  if (c.reduction == Reduction::Mean) upstream = upstream / Scalar(c.total);
  upstream = c.reduction == Reduction::None ? reshape(upstream, {c.rows, 1}) : reshape(upstream, {1, 1});
  return cast(from_rows(mul(rows, upstream), c.input_sizes), input.dtype());
}

Tensor class_gradient(const ClassLoss& c, const Tensor& input, const Tensor& lse, const Tensor& g) {
  if (GradMode::enabled() && wants_grad(input, g)) return differentiable_gradient(c, input, g);
  NoGradGuard guard;
  const Dtype compute = input.dtype() == Dtype::Float64 ? Dtype::Float64 : Dtype::Float32;
  const Tensor x = contiguous_values(cast_values(as_rows(detach(input), c.rows, c.classes), compute));
  const Tensor upstream = contiguous_values(cast_values(detach(g), compute));
  Tensor out = empty({c.rows, c.classes}, compute);
  const auto run = [&](auto tag) {
    using T = typename decltype(tag)::type;
    backward_rows<T>(c, x.data<T>(), lse.defined() ? lse.data<T>() : nullptr, upstream.data<T>(),
                     c.reduction == Reduction::None ? 1 : 0, c.reduction == Reduction::Mean ? c.total : 1.0,
                     out.data<T>());
  };
  compute == Dtype::Float64 ? run(TypeTag<double>{}) : run(TypeTag<float>{});
  return from_rows(cast_values(out, input.dtype()), c.input_sizes);
}

void check_targets(ClassLoss& c) {
  const int64_t* t = c.target.data<int64_t>();
  for (int64_t i = 0; i < c.rows; ++i) {
    NNLIB_CHECK_INDEX(c.ignored(i) || (t[i] >= 0 && t[i] < c.classes), "Target ", t[i], " is out of bounds.");
  }
}

void check_sizes(const Tensor& input, const Tensor& target, const Tensor& weight) {
  NNLIB_CHECK_INDEX(input.dim() > 0,
                    "Dimension out of range (expected to be in range of [-1, 0], but got 1)");
  if (input.dim() == 1) {
    NNLIB_CHECK(target.dim() == 0 || (target.dim() == 1 && target.size(0) == 1),
                "For 1D input, 1D target must have size 1, but got target size: ",
                target.dim() > 0 ? target.size(0) : 0);
  } else {
    NNLIB_CHECK_VALUE(target.dim() > 0 && input.size(0) == target.size(0), "Expected input batch_size (",
                      input.size(0), ") to match target batch_size (", target.dim() > 0 ? target.size(0) : 0,
                      ").");
    Dims expected = input.sizes();
    expected.erase(1);
    NNLIB_CHECK(target.sizes() == expected, "Expected target size ", expected, ", got ", target.sizes());
  }
  const int64_t classes = input.dim() == 1 ? input.size(0) : input.size(1);
  NNLIB_CHECK(!weight.defined() || (weight.dim() == 1 && weight.numel() == classes),
              "weight tensor should be defined either for all ", classes,
              " classes or no classes but got weight tensor of ",
              "shape: ", weight.defined() ? weight.sizes() : Dims{});
  NNLIB_CHECK(target.dtype() == Dtype::Int64 || target.dtype() == Dtype::UInt8,
              "expected target dtype to be Long or Byte, but got ", dtype_legacy_name(target.dtype()));
  NNLIB_CHECK(!weight.defined() || weight.dtype() == input.dtype(), "expected scalar type ",
              dtype_legacy_name(input.dtype()), " but found ", dtype_legacy_name(weight.dtype()));
}

// The loss from its rows: themselves, their sum, or their weighted mean.
template <class T>
Tensor reduce_losses(const ClassLoss& c, const Tensor& losses, const Dims& sizes) {
  if (c.reduction == Reduction::None)
    return alias(losses, sizes, empty(sizes, losses.dtype()).strides(), losses.storage_offset());
  double sum = 0;
  for (int64_t i = 0; i < c.rows; ++i) sum += double(losses.data<T>()[i]);
  return scalar_tensor(c.reduction == Reduction::Mean ? sum / c.total : sum, losses.dtype());
}

Tensor class_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                  const std::string& reduction, double smoothing, bool from_logits) {
  NNLIB_CHECK_AS(NotImplementedError, is_floating(input.dtype()),
                 "\"nll_loss_out_frame\" not implemented for '", dtype_legacy_name(input.dtype()), "'");
  check_sizes(input, target, weight);
  const Dtype compute = input.dtype() == Dtype::Float64 ? Dtype::Float64 : Dtype::Float32;
  auto loss = std::make_shared<ClassLoss>();
  ClassLoss& c = *loss;
  c.from_logits = from_logits;
  c.reduction = reduction_of(reduction);
  c.classes = input.dim() == 1 ? input.size(0) : input.size(1);
  c.rows = target.numel();
  c.ignore_index = ignore_index;
  c.smoothing = smoothing;
  c.target = contiguous_values(cast_values(target, Dtype::Int64));
  if (weight.defined()) c.weight = contiguous_values(cast_values(detach(weight), compute));
  c.input_sizes = input.sizes();
  check_targets(c);
  Tensor losses = empty({c.rows}, compute), lse = from_logits ? empty({c.rows}, compute) : Tensor(), out;
  {
    NoGradGuard guard;
    const Tensor x = contiguous_values(cast_values(as_rows(detach(input), c.rows, c.classes), compute));
    const auto run = [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t j = 0; j < c.classes; ++j) c.weight_sum += class_weight<T>(c, j);
      for (int64_t i = 0; i < c.rows; ++i) {
        if (!c.ignored(i)) c.total += class_weight<T>(c, c.target.data<int64_t>()[i]);
      }
      forward_rows<T>(c, x.data<T>(), losses.data<T>(), from_logits ? lse.data<T>() : nullptr);
      out = cast_values(reduce_losses<T>(c, losses, target.sizes()), input.dtype());
    };
    compute == Dtype::Float64 ? run(TypeTag<double>{}) : run(TypeTag<float>{});
  }
  if (wants_grad(input)) {
    record(out, input.dim() > 2 ? "NllLoss2DBackward0" : "NllLossBackward0", {input},
           [loss, input = save(input), lse](Backward& ctx, const TensorList& g) {
             return TensorList{class_gradient(*loss, input.get(ctx), lse, g[0])};
           });
  }
  return out;
}

// Targets that are probabilities: an ordinary formula, differentiable in both.
Tensor probability_loss(const Tensor& input, const Tensor& target, const Tensor& weight,
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

}  // namespace

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
