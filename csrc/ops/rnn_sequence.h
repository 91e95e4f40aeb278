// All steps of an LSTM's or a GRU's layer in one direction as one operator. Its backward pass makes the
// gradient of the recurrent weights in one product over all steps, where step by step each would write a
// matrix of the weights' size and add it to the sum.
#pragma once
#include "ops/composite.h"

namespace nnlib::ops {

// The steps of a batch of sequences of one length, the products with the input done: from_input (L * N, G).
struct Sequence {
  Tensor from_input, h, c;  // c of an LSTM, undefined for a GRU
  Tensor w_hh, b_hh;        // b_hh may be undefined
  int64_t steps;
  bool reverse;
};

// Output (L * N, H), h_n and c_n (undefined for a GRU). `formula` gives the same from {from_input, h, c,
// w_hh, b_hh} with plain operators; it is used where the gradient is differentiated.
TensorList rnn_sequence(const Sequence& s, const Formula& formula);

// ---- rnn_gates.cpp: one step on contiguous memory, without history; the gradients likewise. `acts` is
// memory of gate_memory's type for backward: (N, 5H) of an LSTM, (N, 3H) of a GRU.
Tensor gate_memory(Dtype dtype, const Dims& sizes);
void lstm_step(const Tensor& from_input, const Tensor& from_hidden, const Tensor& c, const Tensor& acts,
               const Tensor& h_out, const Tensor& c_out);
// grad_h and grad_c may be undefined.
void lstm_step_backward(const Tensor& acts, const Tensor& c, const Tensor& grad_h, const Tensor& grad_c,
                        const Tensor& grad_gates, const Tensor& grad_c_in);
void gru_step(const Tensor& from_input, const Tensor& from_hidden, const Tensor& h, const Tensor& acts,
              const Tensor& out);
void gru_step_backward(const Tensor& acts, const Tensor& from_hidden, const Tensor& h, const Tensor& grad,
                       const Tensor& grad_input, const Tensor& grad_hidden, const Tensor& grad_h);
// Throws unless the gates and the state fit together.
void check_gates(const Tensor& a, const Tensor& b, const Tensor& state, int64_t count, const char* name);

}  // namespace nnlib::ops
