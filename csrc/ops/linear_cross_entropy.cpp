// The cross-entropy of a linear layer's scores, a block of rows at a time: the scores of the whole batch,
// which may be far larger than what they are made of, never exist. As in cross_entropy, a forward pass that
// will be differentiated leaves the gradients behind, but for the factor from above; without reduction that
// factor differs from row to row, and backward computes the blocks again.
#include <memory>
#include <utility>

#include "ops/class_loss.h"
#include "ops/composite.h"
#include "ops/cross_entropy.h"
#include "ops/drivers/cross_entropy.h"
#include "ops/drivers/gemm.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

using detail::ClassLoss;
using detail::Reduction;

// Scores of a block: what a last cache holds, but enough rows for products at full speed, unless these take
// more than 288 MB of float32.
constexpr int64_t kScores = 1 << 21, kEnoughRows = 1536, kMostScores = 72 << 20;
// Scores that one gradient's product takes before the other's does. Few make many short products, whose
// threads wait for each other; all of them leave the caches in between.
constexpr int64_t kTogether = 1 << 25;

int64_t rows_of_block(int64_t classes) {
  const int64_t rows = std::max(kEnoughRows, kScores / std::max<int64_t>(1, classes));
  return std::max<int64_t>(1, std::min(rows, kMostScores / std::max<int64_t>(1, classes)));
}

struct Layer {
  Tensor x, weight, bias;  // contiguous, of the compute type; bias may be undefined
  int64_t block;           // rows
};

struct Result {
  Tensor losses;
  TensorList grads = TensorList(3);  // of x, weight, bias
};

// Losses, and of `wanted` operands the gradients times `scale`, and times each row's `upstream` where that is
// defined.
template <class T>
Result run_blocks(const ClassLoss& c, const Layer& l, const bool (&wanted)[3], double scale,
                  const Tensor& upstream) {
  NoGradGuard guard;
  const int64_t n = l.x.size(0), d = l.x.size(1), classes = c.classes,
                blocks = std::max<int64_t>(1, (n + l.block - 1) / l.block),
                rows = std::max<int64_t>(1, (n + blocks - 1) / blocks),  // no short last block
      together = std::max<int64_t>(1, kTogether / rows);
  const bool gradients = wanted[0] || wanted[1] || wanted[2];
  Result r;
  r.losses = empty({n}, DtypeOf<T>::value);
  if (wanted[0]) r.grads[0] = empty({n, d}, DtypeOf<T>::value);
  if (wanted[1]) r.grads[1] = empty({classes, d}, DtypeOf<T>::value);
  if (wanted[2]) fill_values(r.grads[2] = empty({classes}, DtypeOf<T>::value), 0);
  for (int g = 0; g < 2; ++g) {
    if (wanted[g] && n * classes == 0) fill_values(r.grads[g], 0);
  }
  const Tensor scores = empty({rows, classes}, DtypeOf<T>::value);
  T* const s = scores.data<T>();
  const T *x = l.x.data<T>(), *w = l.weight.data<T>();
  for (int64_t i = 0; i < n; i += rows) {
    const int64_t m = std::min(rows, n - i);
    drivers::gemm<T>(m, classes, d, 1, {x + i * d, d, 1}, {w, 1, d}, 0, s, classes,
                     l.bias.defined() ? l.bias.data<T>() : nullptr);
    const drivers::ExampleLayout layout{m, 1, classes, 1, 1};
    const T* p = c.probabilities.defined() ? c.probabilities.data<T>() + i * classes : nullptr;
    drivers::cross_entropy<T>(c.spec<T>(scale), layout, s, p ? nullptr : c.target.data<int64_t>() + i, layout,
                              p, r.losses.data<T>() + i, layout, gradients ? s : nullptr);
    if (!gradients) continue;
    if (upstream.defined()) {
      const Tensor block = alias(scores, {m, classes}, {classes, 1}, 0);
      mul_(block, alias(upstream, {m, 1}, {1, 1}, upstream.storage_offset() + i));
    }
    // Both products read a part of the scores before the next part.
    for (int64_t j = 0; j < classes; j += together) {
      const int64_t some = std::min(together, classes - j);
      if (wanted[0])
        drivers::gemm<T>(m, d, some, 1, {s + j, classes, 1}, {w + j * d, d, 1}, j == 0 ? T(0) : T(1),
                         r.grads[0].data<T>() + i * d, d);
      if (wanted[1])
        drivers::gemm<T>(some, d, m, 1, {s + j, 1, classes}, {x + i * d, d, 1}, i == 0 ? T(0) : T(1),
                         r.grads[1].data<T>() + j * d, d);
    }
    if (wanted[2])
      add_(r.grads[2], sum(alias(scores, {m, classes}, {classes, 1}, 0), Dims{0}, false), Scalar(1));
  }
  return r;
}

}  // namespace

Tensor linear_cross_entropy(const Tensor& input, const Tensor& linear_weight, const Tensor& target,
                            const Tensor& linear_bias, const Tensor& weight, const std::string& reduction,
                            int64_t ignore_index, double label_smoothing, int64_t block_rows,
                            std::optional<Dtype> sum_dtype) {
  NNLIB_CHECK(label_smoothing >= 0 && label_smoothing <= 1,
              "label_smoothing must be between 0.0 and 1.0. Got: ", label_smoothing);
  NNLIB_CHECK(input.dim() == 2 && linear_weight.dim() == 2 && input.size(1) == linear_weight.size(1),
              "linear_cross_entropy: expected an input (N, D) and a weight (C, D), got ", input.sizes(),
              " and ", linear_weight.sizes());
  NNLIB_CHECK(is_floating(input.dtype()) && input.dtype() == linear_weight.dtype() &&
                  (!linear_bias.defined() || linear_bias.dtype() == input.dtype()),
              "linear_cross_entropy: input, weight and bias must have one floating dtype, got ",
              dtype_name(input.dtype()), " and ", dtype_name(linear_weight.dtype()));
  const int64_t classes = linear_weight.size(0);
  NNLIB_CHECK(!linear_bias.defined() || (linear_bias.dim() == 1 && linear_bias.size(0) == classes),
              "linear_cross_entropy: expected a bias of ", classes, " values, got ", linear_bias.sizes());
  const Dims sizes{input.size(0), classes};
  const bool given = is_floating(target.dtype()) && target.sizes() == sizes;
  const auto formula = [=](const TensorList& in) {
    return TensorList{
        cross_entropy(linear(in[0], in[1], in[2]), target, weight, ignore_index, reduction, label_smoothing)};
  };
  // What learns targets or class weights needs the formula; the checks of it are those of cross_entropy.
  if (given && (wants_grad(target, weight) || target.dtype() != input.dtype() || target.numel() == 0 ||
                (weight.defined() && (weight.dim() != 1 || weight.numel() != classes))))
    return formula({input, linear_weight, linear_bias})[0];

  // 16-bit floats are computed in float32, and sums over blocks in at least what was asked for.
  const bool wide = input.dtype() == Dtype::Float64 || sum_dtype == Dtype::Float64;
  const Dtype compute = wide ? Dtype::Float64 : Dtype::Float32;
  const auto loss = std::make_shared<ClassLoss>(
      given ? detail::probability_targets(cast_values(target, compute), weight, reduction, label_smoothing)
            : detail::class_targets(sizes, input.dtype(), target, weight, ignore_index, reduction,
                                    label_smoothing));
  if (loss->probabilities.defined()) loss->probabilities = contiguous_values(loss->probabilities);
  if (loss->weight.defined()) loss->weight = cast_values(loss->weight, compute);
  const int64_t block = block_rows > 0 ? block_rows : rows_of_block(classes);
  const auto run = [loss, compute, block](const Tensor& x, const Tensor& w, const Tensor& b,
                                          const bool (&wanted)[3], double scale, const Tensor& upstream) {
    const auto ready = [&](const Tensor& t) {
      return t.defined() ? contiguous_values(cast_values(detach(t), compute)) : t;
    };
    const Layer l{ready(x), ready(w), ready(b), block};
    return compute == Dtype::Float64 ? run_blocks<double>(*loss, l, wanted, scale, upstream)
                                     : run_blocks<float>(*loss, l, wanted, scale, upstream);
  };

  const bool recorded = wants_grad(input, linear_weight, linear_bias);
  const bool early = recorded && loss->reduction != Reduction::None;
  const bool wanted[3] = {early && wants_grad(input), early && wants_grad(linear_weight),
                          early && wants_grad(linear_bias)};
  Result done = run(input, linear_weight, linear_bias, wanted, loss->unit_scale(), Tensor());
  const Tensor out = detail::reduce_losses(*loss, done.losses, {input.size(0)}, input.dtype());
  if (recorded) {
    record(out, "LinearCrossEntropyBackward0", {input, linear_weight, linear_bias},
           [loss, run, formula, compute, early, dtype = input.dtype(), kept = std::move(done.grads),
            x = save(input), w = save(linear_weight), b = save(linear_bias),
            t = save(target)](Backward& ctx, const TensorList& g) mutable {
             const auto operands = [&] { return TensorList{x.get(ctx), w.get(ctx), b.get(ctx)}; };
             if (GradMode::enabled()) return composite_gradients(ctx, operands(), g, formula);
             NoGradGuard guard;
             TensorList grads(3);
             Tensor upstream = g[0];
             if (early && (kept[0].defined() || kept[1].defined() || kept[2].defined())) {
               grads = std::exchange(kept, TensorList(3));
             } else {
               t.get(ctx);  // an error if it was changed
               const TensorList in = operands();
               const bool needed[3] = {ctx.needs(0), ctx.needs(1), in[2].defined() && ctx.needs(2)};
               const Tensor each = early ? Tensor() : contiguous_values(cast_values(detach(g[0]), compute));
               grads = run(in[0], in[1], in[2], needed, loss->unit_scale(), each).grads;
               if (!early) upstream = Tensor();
             }
             for (size_t i = 0; i < 3; ++i) {
               if (!grads[i].defined()) continue;
               if (upstream.defined()) grads[i] = detail::scale_gradient(grads[i], upstream);
               grads[i] = cast_values(grads[i], dtype);
             }
             return grads;
           });
  }
  return out;
}

}  // namespace nnlib::ops
