// Embeddings, and the losses of classification.
#include "ops/cross_entropy.h"
#include "ops/embedding.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_embedding(Binder& b) {
  b.def<ops::embedding>(
      "embedding(Tensor input, Tensor weight, int? padding_idx=None, float? max_norm=None, float "
      "norm_type=2.0, "
      "bool scale_grad_by_freq=False, bool sparse=False)",
      kFunction,
      "The rows of weight (n, d) at the indices input (*): (*, d). padding_idx gets no gradient; max_norm "
      "scales rows "
      "that are looked up down to that norm, in place; sparse gives a sparse gradient. Gradients of one row "
      "are added "
      "in the order of input.");
  b.def<ops::embedding_renorm_>(
      "embedding_renorm_(Tensor input, Tensor indices, float max_norm, float norm_type)", kFunction,
      "Scales the rows of input that occur in indices down to max_norm, in place.");
  b.def<ops::embedding_dense_backward>(
      "embedding_dense_backward(Tensor grad_output, Tensor indices, int num_weights, int padding_idx, "
      "bool scale_grad_by_freq)",
      kFunction, "The gradient of embedding() with respect to its weight of num_weights rows.");
  b.def<ops::embedding_bag>(
      "embedding_bag(Tensor input, Tensor weight, Tensor offsets, bool scale_grad_by_freq=False, str "
      "mode=\"mean\", "
      "bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int? "
      "padding_idx=None)",
      kFunction,
      "The sum, mean or max of the rows of each bag: bag b is input[offsets[b]] up to offsets[b + 1]. Gives "
      "(bags, d); an empty bag is 0.");
  b.def<ops::cross_entropy>(
      "cross_entropy(Tensor input, Tensor target, Tensor? weight=None, int ignore_index=-100, str "
      "reduction=\"mean\", "
      "float label_smoothing=0.0)",
      kFunction,
      "The cross-entropy between logits input (C), (N, C) or (N, C, d1, ...) and target: classes of input's "
      "sizes "
      "without C, or probabilities of input's sizes. The mean is weighted by the classes' weights.");
  b.def<ops::linear_cross_entropy>(
      "linear_cross_entropy(Tensor input, Tensor linear_weight, Tensor target, Tensor? linear_bias=None, "
      "Tensor? "
      "weight=None, str reduction=\"mean\", int ignore_index=-100, float label_smoothing=0.0, int "
      "block_rows=0, "
      "dtype? sum_dtype=None)",
      kFunction | kPrivate,
      "cross_entropy of linear(input (N, D), linear_weight (C, D), linear_bias), block_rows rows at a time "
      "(0: a "
      "number that suits the caches). Gradients are summed in sum_dtype, at least float32.");
  b.def<ops::nll_loss>(
      "nll_loss(Tensor input, Tensor target, Tensor? weight=None, int ignore_index=-100, str "
      "reduction=\"mean\")",
      kFunction, "The negative log-likelihood of the classes target under the log-probabilities input.");
}

}  // namespace nnlib::python
