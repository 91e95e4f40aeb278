// One call updates all parameters of a group and their state, in place and without history.
#pragma once
#include "core/tensor.h"

namespace nnlib::ops {

// Stochastic gradient descent. `buffers` is empty without momentum; `first` says that they hold nothing yet.
void fused_sgd(const TensorList& params, const TensorList& grads, const TensorList& buffers, double lr,
               double momentum, double dampening, double weight_decay, bool nesterov, bool maximize,
               bool first);

// Adam; `max_exp_avg_sqs` is empty without AMSGrad. The steps are scalars, counted up here. `decoupled` is
// AdamW.
void fused_adam(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                const TensorList& exp_avg_sqs, const TensorList& max_exp_avg_sqs, const TensorList& steps,
                double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled,
                bool maximize);

void fused_adagrad(const TensorList& params, const TensorList& grads, const TensorList& sums,
                   const TensorList& steps, double lr, double lr_decay, double eps, double weight_decay,
                   bool maximize);

// RMSprop; `buffers` is empty without momentum, `grad_avgs` unless centered.
void fused_rmsprop(const TensorList& params, const TensorList& grads, const TensorList& square_avgs,
                   const TensorList& buffers, const TensorList& grad_avgs, const TensorList& steps, double lr,
                   double alpha, double eps, double weight_decay, double momentum, bool maximize);

}  // namespace nnlib::ops
