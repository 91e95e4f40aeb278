// Steps of the optimizers. nnlib.optim calls them; they are in place and record nothing.
#include "ops/optimizer.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_optim(Binder& b) {
  b.def<ops::fused_sgd>(
      "_fused_sgd(Tensor[] params, Tensor[] grads, Tensor[] buffers, *, float lr, float momentum, float "
      "dampening, "
      "float weight_decay, bool nesterov, bool maximize, bool first)",
      kFunction | kPrivate, "One step of SGD for a group of parameters.");
  b.def<ops::fused_adam>(
      "_fused_adam(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, "
      "Tensor[] max_exp_avg_sqs, Tensor[] steps, *, float lr, float beta1, float beta2, float eps, "
      "float weight_decay, bool decoupled, bool maximize)",
      kFunction | kPrivate, "One step of Adam, or AdamW when decoupled, for a group of parameters.");
  b.def<ops::fused_adagrad>(
      "_fused_adagrad(Tensor[] params, Tensor[] grads, Tensor[] sums, Tensor[] steps, *, float lr, float "
      "lr_decay, "
      "float eps, float weight_decay, bool maximize)",
      kFunction | kPrivate, "One step of Adagrad for a group of parameters.");
  b.def<ops::fused_rmsprop>(
      "_fused_rmsprop(Tensor[] params, Tensor[] grads, Tensor[] square_avgs, Tensor[] buffers, Tensor[] "
      "grad_avgs, "
      "Tensor[] steps, *, float lr, float alpha, float eps, float weight_decay, float momentum, bool "
      "maximize)",
      kFunction | kPrivate, "One step of RMSprop for a group of parameters.");
  b.def<ops::fused_adamax>(
      "_fused_adamax(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_infs, Tensor[] steps, "
      "*, "
      "float lr, float beta1, float beta2, float eps, float weight_decay, bool maximize)",
      kFunction | kPrivate, "One step of Adamax for a group of parameters.");
  b.def<ops::fused_nadam>(
      "_fused_nadam(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, Tensor[] "
      "mu_products, Tensor[] steps, *, float lr, float beta1, float beta2, float eps, float weight_decay, "
      "float "
      "momentum_decay, bool decoupled, bool maximize)",
      kFunction | kPrivate, "One step of NAdam for a group of parameters.");
  b.def<ops::fused_radam>(
      "_fused_radam(Tensor[] params, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, Tensor[] "
      "steps, *, "
      "float lr, float beta1, float beta2, float eps, float weight_decay, bool decoupled, bool maximize)",
      kFunction | kPrivate, "One step of RAdam for a group of parameters.");
  b.def<ops::fused_adadelta>(
      "_fused_adadelta(Tensor[] params, Tensor[] grads, Tensor[] square_avgs, Tensor[] acc_deltas, Tensor[] "
      "steps, *, float lr, float rho, float eps, float weight_decay, bool maximize)",
      kFunction | kPrivate, "One step of Adadelta for a group of parameters.");
  b.def<ops::fused_asgd>(
      "_fused_asgd(Tensor[] params, Tensor[] grads, Tensor[] averages, Tensor[] etas, Tensor[] mus, Tensor[] "
      "steps, *, float lr, float lambd, float alpha, float t0, float weight_decay, bool maximize)",
      kFunction | kPrivate, "One step of averaged SGD for a group of parameters.");
  b.def<ops::fused_rprop>(
      "_fused_rprop(Tensor[] params, Tensor[] grads, Tensor[] prevs, Tensor[] step_sizes, Tensor[] steps, *, "
      "float eta_minus, float eta_plus, float step_size_min, float step_size_max, bool maximize)",
      kFunction | kPrivate, "One step of Rprop for a group of parameters.");
}

}  // namespace nnlib::python
