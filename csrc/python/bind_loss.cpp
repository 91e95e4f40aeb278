// Losses of two tensors.
#include "ops/loss.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_loss(Binder& b) {
  b.def<ops::mse_loss>("mse_loss(Tensor input, Tensor target, str reduction=\"mean\") -> Tensor",
                       kFunction | kPrivate,
                       R"((input - target)^2; reduction is "none", "mean" or "sum".

Operands are broadcast; raises ValueError for another reduction.)");
  b.def<ops::l1_loss>("l1_loss(Tensor input, Tensor target, str reduction=\"mean\") -> Tensor",
                      kFunction | kPrivate, R"(|input - target|; reduction is "none", "mean" or "sum".)");
  b.def<ops::smooth_l1_loss>(
      "smooth_l1_loss(Tensor input, Tensor target, str reduction=\"mean\", float beta=1.0) -> Tensor",
      kFunction | kPrivate,
      R"(d^2 / (2 beta) where d = |input - target| is below beta, d - beta / 2 beyond. Girshick, "Fast R-CNN", 2015.)");
  b.def<ops::huber_loss>(
      "huber_loss(Tensor input, Tensor target, str reduction=\"mean\", float delta=1.0) -> Tensor",
      kFunction | kPrivate,
      R"(d^2 / 2 where d = |input - target| is at most delta, delta (d - delta / 2) beyond. Huber, 1964.)");
  b.def<ops::binary_cross_entropy>(
      "binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, str reduction=\"mean\") -> "
      "Tensor",
      kFunction | kPrivate,
      R"(-weight (target log input + (1 - target) log(1 - input)), logarithms held above -100.

Raises RuntimeError where an input is not between 0 and 1.)");
  b.def<ops::binary_cross_entropy_with_logits>(
      "binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, Tensor? "
      "pos_weight=None, str "
      "reduction=\"mean\") -> Tensor",
      kFunction | kPrivate,
      R"(Binary cross-entropy of sigmoid(input), computed without overflow; pos_weight weighs the positive examples.)");
  b.def<ops::kl_div>(
      "kl_div(Tensor input, Tensor target, str reduction=\"mean\", bool log_target=False) -> Tensor",
      kFunction | kPrivate,
      R"(target (log target - input): the Kullback-Leibler divergence, input and (log_target) target being logarithms.

reduction is "none", "mean", "sum" or "batchmean", the sum divided by the first size.)");
  b.def<ops::multilabel_margin_loss>(
      "_multilabel_margin_loss(Tensor input, Tensor target) -> Tensor", kFunction | kPrivate,
      R"(The sum of max(0, 1 - input[y] + input[i]) / C over each row's right classes y and wrong ones i.)");
  b.def<ops::multi_margin_loss>(
      "_multi_margin_loss(Tensor input, Tensor target, int p=1, float margin=1.0, Tensor? weight=None) -> "
      "Tensor",
      kFunction | kPrivate,
      R"(The sum of weight[y] max(0, margin - input[y] + input[i])^p / C over each row's wrong classes i.)");
  b.def<ops::ctc_loss>(
      "_ctc_loss(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank, "
      "bool "
      "zero_infinity) -> Tensor",
      kFunction | kPrivate,
      R"(Connectionist temporal classification's loss of each sequence. Graves et al., 2006.

log_probs is (T, N, C), targets (N, S), lengths (N). Raises RuntimeError for lengths and classes out of range.)");
}

}  // namespace nnlib::python
