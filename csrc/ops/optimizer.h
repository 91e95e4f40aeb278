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

void fused_adamax(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                  const TensorList& exp_infs, const TensorList& steps, double lr, double beta1, double beta2,
                  double eps, double weight_decay, bool maximize);

// NAdam; the products of its momenta are scalars, like the steps, and brought up to date here.
void fused_nadam(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                 const TensorList& exp_avg_sqs, const TensorList& mu_products, const TensorList& steps,
                 double lr, double beta1, double beta2, double eps, double weight_decay,
                 double momentum_decay, bool decoupled, bool maximize);

void fused_radam(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                 const TensorList& exp_avg_sqs, const TensorList& steps, double lr, double beta1,
                 double beta2, double eps, double weight_decay, bool decoupled, bool maximize);

void fused_adadelta(const TensorList& params, const TensorList& grads, const TensorList& square_avgs,
                    const TensorList& acc_deltas, const TensorList& steps, double lr, double rho, double eps,
                    double weight_decay, bool maximize);

// Averaged SGD; the etas and mus of this step are read, those of the next written.
void fused_asgd(const TensorList& params, const TensorList& grads, const TensorList& averages,
                const TensorList& etas, const TensorList& mus, const TensorList& steps, double lr,
                double lambd, double alpha, double t0, double weight_decay, bool maximize);

void fused_rprop(const TensorList& params, const TensorList& grads, const TensorList& prevs,
                 const TensorList& step_sizes, const TensorList& steps, double eta_minus, double eta_plus,
                 double step_size_min, double step_size_max, bool maximize);

}  // namespace nnlib::ops
