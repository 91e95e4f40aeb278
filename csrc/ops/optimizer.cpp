// Optimizer steps for whole groups: the elements of all parameters are cut into chunks of a fixed size, which
// threads take; each chunk is one call of a kernel, of 16-bit floats some values at a time.
#include "ops/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/pick.h"

namespace nnlib::ops {
namespace {

constexpr int64_t kChunk = 1 << 14;
constexpr int kMaxColumns = 5;

// The tensors of one parameter in a memory order that all share: parameter, gradient, states.
struct Row {
  Tensor own[kMaxColumns];   // as the caller gave them; undefined where a column is empty
  Tensor flat[kMaxColumns];  // the same values, all with the same dense strides
  int64_t numel = 0;
};

bool same_layout(const Tensor& t, const Dims& strides) {
  for (int64_t d = 0; d < t.dim(); d++)
    if (t.sizes()[d] != 1 && t.strides()[d] != strides[d]) return false;
  return true;
}

void check_pair(const char* name, size_t i, const Tensor& param, const Tensor& t, bool written) {
  NNLIB_CHECK(param.defined() && t.defined(), name, ": parameter ", i,
              " expected tensors but got an undefined one");
  NNLIB_CHECK(!param.is_sparse() && !t.is_sparse(), name, ": parameter ", i,
              " expected dense tensors but got a sparse one");
  NNLIB_CHECK(t.sizes() == param.sizes(), name, ": parameter ", i, " expected gradient and state of size ",
              param.sizes(), " but got ", t.sizes());
  NNLIB_CHECK(param.is_floating_point(), name, ": parameter ", i, " expected a floating point dtype but got ",
              dtype_name(param.dtype()));
  NNLIB_CHECK(!written || t.dtype() == param.dtype(), name, ": parameter ", i, " expected state of dtype ",
              dtype_name(param.dtype()), " but got ", dtype_name(t.dtype()));
  NNLIB_CHECK(
      !written || !has_internal_overlap(t.sizes(), t.strides()),
      "unsupported operation: more than one element of the written-to tensor refers to a single memory "
      "location. Please clone() the tensor before performing the operation.");
}

using Columns = std::vector<const TensorList*>;

// The first `required` columns must have a tensor for each parameter; the others may be empty.
void check(const char* name, size_t required, const Columns& columns) {
  const size_t count = columns[0]->size();
  for (size_t c = 0; c < columns.size(); c++)
    NNLIB_CHECK(columns[c]->size() == count || (c >= required && columns[c]->empty()), name,
                " expected lists of ", count, " tensors but got one of ", columns[c]->size());
  for (size_t i = 0; i < count; i++)
    for (size_t c = 0; c < columns.size(); c++)
      if (!columns[c]->empty()) check_pair(name, i, (*columns[0])[i], (*columns[c])[i], c != 1);
}

// Columns are parameters, gradients, states; nothing is changed before all of them are checked.
std::vector<Row> make_rows(const char* name, size_t required, const Columns& columns) {
  check(name, required, columns);
  std::vector<Row> rows(columns[0]->size());
  for (size_t i = 0; i < rows.size(); i++) {
    const Tensor& param = (*columns[0])[i];
    const bool dense = is_non_overlapping_and_dense(param.sizes(), param.strides());
    const Dims strides = dense ? param.strides() : contiguous_strides(param.sizes());
    rows[i].numel = param.numel();
    for (size_t c = 0; c < columns.size(); c++) {
      if (columns[c]->empty()) continue;
      const Tensor& t = rows[i].own[c] = rows[i].flat[c] = (*columns[c])[i];
      if (same_layout(t, strides) && t.dtype() == param.dtype()) continue;
      rows[i].flat[c] = empty_strided(t.sizes(), strides, param.dtype());
      copy_values(rows[i].flat[c], t);
    }
  }
  return rows;
}

// Writes copies back and counts a version of everything but the gradient.
void finish(std::vector<Row>& rows) {
  for (Row& row : rows)
    for (int c = 0; c < kMaxColumns; c++) {
      if (c == 1 || !row.own[c].defined()) continue;
      if (!row.own[c].is_same(row.flat[c])) copy_values(row.own[c], row.flat[c]);
      row.own[c].bump_version();
    }
}

// Some elements of one row; a column that is empty is a null pointer.
struct Chunk {
  void* at[kMaxColumns];
  size_t index;  // of the row
  int64_t n;
  int64_t size() const { return n; }
  template <class T>
  T* column(int c) const {
    return (T*)at[c];
  }
};

// 16-bit floats are brought into float, some at a time, and rounded once they are done; no step writes the
// gradient.
template <class F>
void step_in_float(Dtype type, const Chunk& chunk, F&& step) {
  constexpr int64_t kSome = 1024, kFloat = (int64_t)Dtype::Float32, kItem = 2;
  const auto convert = kernels::table().convert;
  alignas(64) float staged[kMaxColumns][kSome];
  for (int64_t from = 0; from < chunk.n; from += kSome) {
    Chunk part{{}, chunk.index, std::min(kSome, chunk.n - from)};
    for (int c = 0; c < kMaxColumns; c++) {
      if (!chunk.at[c]) continue;
      part.at[c] = staged[c];
      convert((int64_t)type, kFloat, part.n, (char*)chunk.at[c] + from * kItem, staged[c]);
    }
    step(TypeTag<float>{}, part);
    for (int c = 0; c < kMaxColumns; c++)
      if (c != 1 && chunk.at[c])
        convert(kFloat, (int64_t)type, part.n, staged[c], (char*)chunk.at[c] + from * kItem);
  }
}

// Calls step(TypeTag<float> or TypeTag<double>, Chunk) until all elements are done.
template <class F>
void run(std::vector<Row>& rows, F&& step) {
  struct Piece {
    size_t row;
    int64_t begin, end;
  };
  std::vector<Piece> pieces;
  int64_t total = 0;
  for (size_t r = 0; r < rows.size(); r++) {
    total += rows[r].numel;
    for (int64_t b = 0; b < rows[r].numel; b += kChunk)
      pieces.push_back({r, b, std::min(b + kChunk, rows[r].numel)});
  }
  const auto work = [&](const Piece& p) {
    const Row& row = rows[p.row];
    const Dtype type = row.flat[0].dtype();
    Chunk chunk{{}, p.row, p.end - p.begin};
    for (int c = 0; c < kMaxColumns; c++)
      if (row.flat[c].defined())
        chunk.at[c] = (char*)row.flat[c].raw() + p.begin * (int64_t)row.flat[c].itemsize();
    if (type == Dtype::Float32)
      step(TypeTag<float>{}, chunk);
    else if (type == Dtype::Float64)
      step(TypeTag<double>{}, chunk);
    else
      step_in_float(type, chunk, step);
  };
  // Elements do not depend on one another: doing little work serially changes no bits.
  const int64_t grain = total <= 2 * kChunk ? (int64_t)pieces.size() : 1;
  parallel_for(0, (int64_t)pieces.size(), grain, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; k++) work(pieces[(size_t)k]);
  });
  finish(rows);
}

// The values of a state's scalars, one for each parameter.
std::vector<double> read_scalars(const char* name, const char* what, const TensorList& scalars,
                                 size_t count) {
  NNLIB_CHECK(scalars.size() == count, name, " expected ", count, " ", what, " but got ", scalars.size());
  std::vector<double> values;
  for (const Tensor& s : scalars) {
    NNLIB_CHECK(s.defined() && !s.is_sparse() && s.numel() == 1, name, " expected ", what,
                " that are tensors of one element");
    values.push_back(s.item().to_double());
  }
  return values;
}

void write_scalars(const TensorList& scalars, const std::vector<double>& values) {
  for (size_t i = 0; i < values.size(); i++) {
    fill_values(scalars[i], values[i]);
    scalars[i].bump_version();
  }
}

// Counts each step up and returns the new values.
std::vector<double> count_steps(const char* name, const TensorList& steps, size_t count) {
  std::vector<double> values = read_scalars(name, "steps", steps, count);
  for (double& value : values) value++;
  write_scalars(steps, values);
  return values;
}

}  // namespace

void fused_sgd(const TensorList& params, const TensorList& grads, const TensorList& buffers, double lr,
               double momentum, double dampening, double weight_decay, bool nesterov, bool maximize,
               bool first) {
  auto rows = make_rows("_fused_sgd", momentum != 0 ? 3 : 2, {&params, &grads, &buffers});
  const double sign = maximize ? -1 : 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), buf = chunk.column<C>(2);
    const C s = sign, wd = weight_decay, rate = lr, mu = momentum, fresh = 1 - dampening;
    const auto& k = kernels::table();
    if (buf)
      pick<C>(k.sgd_momentum_f32, k.sgd_momentum_f64)(n, p, g, buf, s, wd, rate, mu, fresh, first, nesterov);
    else
      pick<C>(k.sgd_f32, k.sgd_f64)(n, p, g, s, wd, rate);
  });
}

void fused_adam(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                const TensorList& exp_avg_sqs, const TensorList& max_exp_avg_sqs, const TensorList& steps,
                double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled,
                bool maximize) {
  auto rows = make_rows("_fused_adam", 4, {&params, &grads, &exp_avgs, &exp_avg_sqs, &max_exp_avg_sqs});
  const std::vector<double> t = count_steps("_fused_adam", steps, params.size());
  const double sign = maximize ? -1 : 1, l2 = decoupled ? 0 : weight_decay;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), m = chunk.column<C>(2);
    const auto v = chunk.column<C>(3), vmax = chunk.column<C>(4);
    const double step = t[chunk.index];
    const C s = sign, wd = l2, shrink = decoupled ? 1 - lr * weight_decay : 1, e = eps;
    const C f1 = 1 - beta1, b2 = beta2, f2 = 1 - beta2;
    const C rate = lr / (1 - std::pow(beta1, step)), scale = 1 / std::sqrt(1 - std::pow(beta2, step));
    const auto& k = kernels::table();
    pick<C>(k.adam_f32, k.adam_f64)(n, p, g, m, v, vmax, s, wd, shrink, f1, b2, f2, rate, scale, e);
  });
}

void fused_adagrad(const TensorList& params, const TensorList& grads, const TensorList& sums,
                   const TensorList& steps, double lr, double lr_decay, double eps, double weight_decay,
                   bool maximize) {
  auto rows = make_rows("_fused_adagrad", 3, {&params, &grads, &sums});
  const std::vector<double> t = count_steps("_fused_adagrad", steps, params.size());
  const double sign = maximize ? -1 : 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), sum = chunk.column<C>(2);
    const C s = sign, wd = weight_decay, rate = lr / (1 + (t[chunk.index] - 1) * lr_decay), e = eps;
    const auto& k = kernels::table();
    pick<C>(k.adagrad_f32, k.adagrad_f64)(n, p, g, sum, s, wd, rate, e);
  });
}

void fused_rmsprop(const TensorList& params, const TensorList& grads, const TensorList& square_avgs,
                   const TensorList& buffers, const TensorList& grad_avgs, const TensorList& steps, double lr,
                   double alpha, double eps, double weight_decay, double momentum, bool maximize) {
  auto rows = make_rows("_fused_rmsprop", momentum > 0 ? 4 : 3,
                        {&params, &grads, &square_avgs, &buffers, &grad_avgs});
  count_steps("_fused_rmsprop", steps, params.size());
  const double sign = maximize ? -1 : 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), v = chunk.column<C>(2);
    const auto buf = chunk.column<C>(3), mean = chunk.column<C>(4);
    const C s = sign, wd = weight_decay, a = alpha, fresh = 1 - alpha, e = eps, mu = momentum, rate = lr;
    const auto& k = kernels::table();
    pick<C>(k.rmsprop_f32, k.rmsprop_f64)(n, p, g, v, mean, buf, s, wd, a, fresh, e, mu, rate);
  });
}

void fused_adamax(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                  const TensorList& exp_infs, const TensorList& steps, double lr, double beta1, double beta2,
                  double eps, double weight_decay, bool maximize) {
  auto rows = make_rows("_fused_adamax", 4, {&params, &grads, &exp_avgs, &exp_infs});
  const std::vector<double> t = count_steps("_fused_adamax", steps, params.size());
  const double sign = maximize ? -1 : 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), m = chunk.column<C>(2), u = chunk.column<C>(3);
    const C s = sign, wd = weight_decay, f1 = 1 - beta1, b2 = beta2, e = eps;
    const C rate = lr / (1 - std::pow(beta1, t[chunk.index]));
    const auto& k = kernels::table();
    pick<C>(k.adamax_f32, k.adamax_f64)(n, p, g, m, u, s, wd, f1, b2, e, rate);
  });
}

void fused_nadam(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                 const TensorList& exp_avg_sqs, const TensorList& mu_products, const TensorList& steps,
                 double lr, double beta1, double beta2, double eps, double weight_decay,
                 double momentum_decay, bool decoupled, bool maximize) {
  auto rows = make_rows("_fused_nadam", 4, {&params, &grads, &exp_avgs, &exp_avg_sqs});
  std::vector<double> product = read_scalars("_fused_nadam", "products of mu", mu_products, params.size());
  const std::vector<double> t = count_steps("_fused_nadam", steps, params.size());
  const auto mu = [&](double step) { return beta1 * (1 - 0.5 * std::pow(0.96, step * momentum_decay)); };
  // As a product of tensors would be: the factor is rounded to the state's type too.
  for (size_t i = 0; i < t.size(); i++)
    product[i] *= mu_products[i].dtype() == Dtype::Float32 ? (float)mu(t[i]) : mu(t[i]);
  write_scalars(mu_products, product);
  // The products count as the state keeps them.
  product = read_scalars("_fused_nadam", "products of mu", mu_products, params.size());
  const double sign = maximize ? -1 : 1, l2 = decoupled ? 0 : weight_decay;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), m = chunk.column<C>(2), v = chunk.column<C>(3);
    const double step = t[chunk.index], so_far = product[chunk.index], next = mu(step + 1);
    const C s = sign, wd = l2, shrink = decoupled ? 1 - lr * weight_decay : 1, e = eps;
    const C f1 = 1 - beta1, b2 = beta2, f2 = 1 - beta2, scale = 1 / std::sqrt(1 - std::pow(beta2, step));
    const C of_g = lr * (1 - mu(step)) / (1 - so_far), of_m = lr * next / (1 - so_far * next);
    const auto& k = kernels::table();
    pick<C>(k.nadam_f32, k.nadam_f64)(n, p, g, m, v, s, wd, shrink, f1, b2, f2, of_g, of_m, scale, e);
  });
}

void fused_radam(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs,
                 const TensorList& exp_avg_sqs, const TensorList& steps, double lr, double beta1,
                 double beta2, double eps, double weight_decay, bool decoupled, bool maximize) {
  auto rows = make_rows("_fused_radam", 4, {&params, &grads, &exp_avgs, &exp_avg_sqs});
  const std::vector<double> t = count_steps("_fused_radam", steps, params.size());
  const double sign = maximize ? -1 : 1, l2 = decoupled ? 0 : weight_decay, most = 2 / (1 - beta2) - 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), m = chunk.column<C>(2), v = chunk.column<C>(3);
    const double step = t[chunk.index], power = std::pow(beta2, step), left = 1 - power;
    const double rho = most - 2 * step * power / left;
    const bool rectified = rho > 5;
    const double factor =
        rectified ? std::sqrt(left * (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)) : 1;
    const C s = sign, wd = l2, shrink = decoupled ? 1 - lr * weight_decay : 1, e = eps;
    const C f1 = 1 - beta1, b2 = beta2, f2 = 1 - beta2, rate = lr / (1 - std::pow(beta1, step)) * factor;
    const auto& k = kernels::table();
    pick<C>(k.radam_f32, k.radam_f64)(n, p, g, m, v, s, wd, shrink, f1, b2, f2, rate, e, rectified);
  });
}

void fused_adadelta(const TensorList& params, const TensorList& grads, const TensorList& square_avgs,
                    const TensorList& acc_deltas, const TensorList& steps, double lr, double rho, double eps,
                    double weight_decay, bool maximize) {
  auto rows = make_rows("_fused_adadelta", 4, {&params, &grads, &square_avgs, &acc_deltas});
  count_steps("_fused_adadelta", steps, params.size());
  const double sign = maximize ? -1 : 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), v = chunk.column<C>(2), u = chunk.column<C>(3);
    const C s = sign, wd = weight_decay, keep = rho, fresh = 1 - rho, e = eps, rate = lr;
    const auto& k = kernels::table();
    pick<C>(k.adadelta_f32, k.adadelta_f64)(n, p, g, v, u, s, wd, keep, fresh, e, rate);
  });
}

void fused_asgd(const TensorList& params, const TensorList& grads, const TensorList& averages,
                const TensorList& etas, const TensorList& mus, const TensorList& steps, double lr,
                double lambd, double alpha, double t0, double weight_decay, bool maximize) {
  auto rows = make_rows("_fused_asgd", 3, {&params, &grads, &averages});
  const std::vector<double> eta = read_scalars("_fused_asgd", "etas", etas, params.size());
  const std::vector<double> mu = read_scalars("_fused_asgd", "mus", mus, params.size());
  const std::vector<double> t = count_steps("_fused_asgd", steps, params.size());
  std::vector<double> next_eta, next_mu;
  for (double step : t) {
    next_eta.push_back(lr / std::pow(1 + lambd * lr * step, alpha));
    next_mu.push_back(1 / std::max(1.0, step - t0));
  }
  write_scalars(etas, next_eta);
  write_scalars(mus, next_mu);
  const double sign = maximize ? -1 : 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), ax = chunk.column<C>(2);
    const C s = sign, wd = weight_decay, rate = eta[chunk.index], share = mu[chunk.index];
    const C shrink = 1 - lambd * eta[chunk.index];
    const auto& k = kernels::table();
    pick<C>(k.asgd_f32, k.asgd_f64)(n, p, g, ax, s, wd, shrink, rate, share);
  });
}

void fused_rprop(const TensorList& params, const TensorList& grads, const TensorList& prevs,
                 const TensorList& step_sizes, const TensorList& steps, double eta_minus, double eta_plus,
                 double step_size_min, double step_size_max, bool maximize) {
  auto rows = make_rows("_fused_rprop", 4, {&params, &grads, &prevs, &step_sizes});
  count_steps("_fused_rprop", steps, params.size());
  const double sign = maximize ? -1 : 1;
  run(rows, [&](auto tag, const Chunk& chunk) {
    using C = typename decltype(tag)::type;
    const int64_t n = chunk.size();
    const auto p = chunk.column<C>(0), g = chunk.column<C>(1), prev = chunk.column<C>(2);
    const auto size = chunk.column<C>(3);
    const C s = sign, less = eta_minus, more = eta_plus, least = step_size_min, most = step_size_max;
    const auto& k = kernels::table();
    pick<C>(k.rprop_f32, k.rprop_f64)(n, p, g, prev, size, s, less, more, least, most);
  });
}

}  // namespace nnlib::ops
