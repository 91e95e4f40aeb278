// Recurrent layers and cells. Parameters of a layer and direction stand in this order: w_ih, w_hh, then b_ih
// and b_hh with biases, then w_hr of an LSTM with projections; a layer's backward direction follows its
// forward one.
#pragma once
#include <tuple>

#include "autograd/function.h"

namespace nnlib::ops {

using LstmResult = std::tuple<Tensor, Tensor, Tensor>;  // output, h_n, c_n
using RnnResult = std::pair<Tensor, Tensor>;            // output, h_n

// Input (L, N, I), or (N, L, I) with batch_first; or packed: data of all steps, the batch size
// of each.
LstmResult lstm(const Tensor& input, const TensorList& hx, const TensorList& params, bool has_biases,
                int64_t num_layers, double dropout, bool train, bool bidirectional, bool batch_first);
LstmResult lstm_packed(const Tensor& data, const Tensor& batch_sizes, const TensorList& hx,
                       const TensorList& params, bool has_biases, int64_t num_layers, double dropout,
                       bool train, bool bidirectional);
#define NNLIB_RNN(name)                                                                                  \
  RnnResult name(const Tensor& input, const Tensor& hx, const TensorList& params, bool has_biases,       \
                 int64_t num_layers, double dropout, bool train, bool bidirectional, bool batch_first);  \
  RnnResult name##_packed(const Tensor& data, const Tensor& batch_sizes, const Tensor& hx,               \
                          const TensorList& params, bool has_biases, int64_t num_layers, double dropout, \
                          bool train, bool bidirectional);                                               \
  Tensor name##_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,      \
                     const Tensor& b_ih, const Tensor& b_hh);
NNLIB_RNN(gru)
NNLIB_RNN(rnn_tanh)
NNLIB_RNN(rnn_relu)
#undef NNLIB_RNN
std::pair<Tensor, Tensor> lstm_cell(const Tensor& input, const TensorList& hx, const Tensor& w_ih,
                                    const Tensor& w_hh, const Tensor& b_ih, const Tensor& b_hh);

}  // namespace nnlib::ops
