// Recurrent layers and cells.
#include "ops/rnn.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

constexpr const char* kTail =
    "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional";

std::string padded(const char* name, const char* hx, const char* result) {
  return std::string(name) + "(Tensor input, " + hx + " hx, " + kTail + ", bool batch_first) -> " + result;
}
std::string packed(const char* name, const char* hx, const char* result) {
  return std::string(name) + "(Tensor data, Tensor batch_sizes, " + hx + " hx, " + kTail + ") -> " + result;
}
std::string cell(const char* name, const char* hx, const char* result) {
  return std::string(name) + "(Tensor input, " + hx +
         " hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> " + result;
}

constexpr const char* kLayers = R"(
input is (L, N, I), or (N, L, I) with batch_first; in the packed form data holds the rows of all steps and batch_sizes (int64)
how many belong to each. hx holds states (num_layers * directions, N, H). params holds w_ih, w_hh, b_ih, b_hh (biases with
has_biases only) for each layer and direction. dropout acts between layers when train is true. Gives the output of the last
layer, (L, N, directions * H), and the last state(s). Raises RuntimeError for sizes that do not fit.)";

}  // namespace

void bind_rnn(Binder& b) {
  constexpr const char* three = "(Tensor, Tensor, Tensor)";
  constexpr const char* two = "(Tensor, Tensor)";
  const std::string lstm_doc = std::string("Long short-term memory (Hochreiter and Schmidhuber, 1997).\n") +
                               kLayers +
                               "\nhx is (h_0, c_0); w_hr after a layer's other parameters projects h.";
  b.def<ops::lstm>(padded("lstm", "Tensor[]", three).c_str(), kFunction, lstm_doc.c_str());
  b.def<ops::lstm_packed>(packed("lstm", "Tensor[]", three).c_str(), kFunction, lstm_doc.c_str());
  b.def<ops::lstm_cell>(
      cell("lstm_cell", "Tensor[]", two).c_str(), kFunction,
      R"(One step of an LSTM: input (N, I), hx = (h, c) of (N, H), w_ih (4H, I), w_hh (4H, H); gives (h, c).)");
#define NNLIB_RNN(name, text)                                                                               \
  {                                                                                                         \
    const std::string doc = std::string(text "\n") + kLayers;                                               \
    b.def<ops::name>(padded(#name, "Tensor", two).c_str(), kFunction, doc.c_str());                         \
    b.def<ops::name##_packed>(packed(#name, "Tensor", two).c_str(), kFunction, doc.c_str());                \
    b.def<ops::name##_cell>(cell(#name "_cell", "Tensor", "Tensor").c_str(), kFunction,                     \
                            "One step of " #name ": input (N, I), hx (N, H); gives the new hidden state."); \
  }
  NNLIB_RNN(gru, "Gated recurrent unit (Cho et al., 2014).")
  NNLIB_RNN(rnn_tanh, "h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman, 1990).")
  NNLIB_RNN(rnn_relu, "h' = relu(W_ih x + b_ih + W_hh h + b_hh) (Elman, 1990).")
#undef NNLIB_RNN
}

}  // namespace nnlib::python
