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

// Counts each step up and returns the new values.
std::vector<double> count_steps(const char* name, const TensorList& steps, size_t count) {
  NNLIB_CHECK(steps.size() == count, name, " expected ", count, " steps but got ", steps.size());
  std::vector<double> values;
  for (const Tensor& s : steps) {
    NNLIB_CHECK(s.defined() && !s.is_sparse() && s.numel() == 1, name,
                " expected steps that are tensors of one element");
    values.push_back(s.item().to_double() + 1);
  }
  for (size_t i = 0; i < count; i++) {
    fill_values(steps[i], values[i]);
    steps[i].bump_version();
  }
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

}  // namespace nnlib::ops
