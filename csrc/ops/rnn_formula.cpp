// Recurrent layers from plain operators, for gradients that are differentiated.
#include <algorithm>

#include "ops/activation.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/rnn_sequence.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// The state between steps: h, and c of an LSTM.
struct State {
  Tensor h, c;
  State rows(int64_t start, int64_t count) const {
    return {narrow(h, 0, start, count), c.defined() ? narrow(c, 0, start, count) : c};
  }
};
State joined(const std::vector<State>& parts) {
  if (parts.size() == 1) return parts[0];
  TensorList h, c;
  for (const State& s : parts) {
    h.push_back(s.h);
    c.push_back(s.c);
  }
  return {cat(h, 0), c[0].defined() ? cat(c, 0) : Tensor()};
}

State step(const Sequence& q, const Tensor& from_input, const State& s) {
  const Tensor from_hidden = linear(s.h, q.w_hh, q.b_hh);
  switch (q.kind) {
    case RnnKind::Lstm: {
      const TensorList x = chunk(from_input + from_hidden, 4, 1);
      const Tensor c = sigmoid(x[1]) * s.c + sigmoid(x[0]) * tanh(x[2]), h = sigmoid(x[3]) * tanh(c);
      return {q.w_hr.defined() ? linear(h, q.w_hr, Tensor()) : h, c};
    }
    case RnnKind::Gru: {
      const TensorList a = chunk(from_input, 3, 1), b = chunk(from_hidden, 3, 1);
      const Tensor r = sigmoid(a[0] + b[0]), z = sigmoid(a[1] + b[1]), m = tanh(a[2] + r * b[2]);
      return {m + z * (s.h - m), Tensor()};
    }
    case RnnKind::Tanh:
      return {tanh(from_input + from_hidden), Tensor()};
    default:
      return {relu(from_input + from_hidden), Tensor()};
  }
}

}  // namespace

TensorList rnn_formula(const Sequence& s) {
  const Steps& steps = s.steps;
  const TensorList inputs = split_with_sizes(s.from_input, steps.sizes, 0);
  TensorList outputs((size_t)steps.count());
  std::vector<State> ended;  // the states of sequences that are over, the shortest first
  const State start{s.h, s.c};
  int64_t active = steps.sizes[(size_t)steps.order(0, s.reverse)];
  State now = active == steps.batch() ? start : start.rows(0, active);
  for (int64_t k = 0; k < steps.count(); k++) {
    const int64_t t = steps.order(k, s.reverse), size = steps.sizes[(size_t)t];
    if (size < active) {
      ended.push_back(now.rows(size, active - size));
      now = now.rows(0, size);
    } else if (size > active) {
      now = joined({now, start.rows(active, size - active)});
    }
    active = size;
    now = step(s, inputs[(size_t)t], now);
    outputs[(size_t)t] = now.h;
  }
  ended.push_back(now);
  std::reverse(ended.begin(), ended.end());
  const State last = joined(ended);
  return {cat(outputs, 0), last.h, last.c};
}

}  // namespace nnlib::ops
