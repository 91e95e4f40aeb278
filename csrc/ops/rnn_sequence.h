// All steps of a recurrent layer in one direction as one operator. Its backward pass makes the gradient of
// the recurrent weights in one product over all steps, where step by step each would write a matrix of the
// weights' size and add it to the sum.
#pragma once
#include <vector>

#include "ops/composite.h"

namespace nnlib::ops {

enum class RnnKind { Lstm, Gru, Tanh, Relu };

inline int64_t gates_of(RnnKind kind) { return kind == RnnKind::Lstm ? 4 : kind == RnnKind::Gru ? 3 : 1; }

// The rows of steps one after the other, in the order of time. Sequences are sorted by length, so that a
// step's rows are those of the first sequences.
struct Steps {
  Dims sizes;               // how many sequences each step has; never growing
  std::vector<int64_t> at;  // the first row of each
  int64_t rows = 0;

  explicit Steps(Dims counts);
  int64_t count() const { return sizes.ssize(); }
  int64_t batch() const { return sizes.front(); }
  bool even() const { return sizes.front() == sizes.back(); }
  // The step that is computed k-th.
  int64_t order(int64_t k, bool reverse) const { return reverse ? count() - 1 - k : k; }
};

// The products with the input are done: from_input (rows, G).
struct Sequence {
  RnnKind kind;
  Tensor from_input, h, c;  // the state (batch, H); c of an LSTM
  Tensor w_hh, b_hh, w_hr;  // b_hh may be undefined; w_hr (P, H) of an LSTM that projects its h to P
  Steps steps;
  bool reverse;
};

// Output (rows, H or P), h_n and c_n (undefined but for an LSTM).
TensorList rnn_sequence(const Sequence& s);

// ---- rnn_gates.cpp: one step of n rows without history. `acts` is what backward needs, (n, 5H) of an LSTM
// and (n, 3H) of a GRU in the compute type; it may be null. States are written where they were read.
template <class T>
void lstm_step(int64_t n, int64_t width, const T* from_input, const T* from_hidden, const T* c,
               compute_t<T>* acts, T* h_out, T* c_out);
template <class T>
void lstm_step_backward(int64_t n, int64_t width, const compute_t<T>* acts, const T* c, const T* grad_h,
                        T* grad_c, T* grad_gates);
template <class T>
void gru_step(int64_t n, int64_t width, const T* from_input, const T* from_hidden, const T* h,
              compute_t<T>* acts, T* out);
template <class T>
void gru_step_backward(int64_t n, int64_t width, const compute_t<T>* acts, const T* from_hidden, const T* h,
                       T* grad_h, T* grad_input, T* grad_hidden);
// h = tanh or relu of the sum; grad_gates from the gradient and the result.
template <class T>
void plain_step(RnnKind kind, int64_t n, const T* from_input, const T* from_hidden, T* h);
template <class T>
void plain_step_backward(RnnKind kind, int64_t n, const T* h, const T* grad_h, T* grad_gates);

// ---- rnn_formula.cpp: the same as rnn_sequence, step by step from plain operators.
TensorList rnn_formula(const Sequence& s);

}  // namespace nnlib::ops
