// Recurrent layers. All kinds run through one loop over steps: the products of the whole sequence with w_ih
// are made at once, a step then multiplies the hidden state with w_hh and applies its gates. A padded
// sequence is a packed one whose steps all have the same batch size.
#include "ops/rnn.h"

#include <algorithm>

#include "ops/activation.h"
#include "ops/dropout.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/rnn_sequence.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

enum class Kind { Lstm, Gru, Tanh, Relu };

// The parameters of one layer in one direction.
struct Cell {
  Tensor w_ih, w_hh, b_ih, b_hh, w_hr;
};

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

State step(Kind kind, const Cell& cell, const Tensor& from_input, const State& s) {
  const Tensor from_hidden = linear(s.h, cell.w_hh, cell.b_hh);
  switch (kind) {
    case Kind::Lstm: {
      auto [h, c] = lstm_gates(from_input, from_hidden, s.c);
      return {cell.w_hr.defined() ? linear(h, cell.w_hr, Tensor()) : h, c};
    }
    case Kind::Gru:
      return {gru_gates(from_input, from_hidden, s.h), Tensor()};
    case Kind::Tanh:
      return {tanh(from_input + from_hidden), Tensor()};
    default:
      return {relu(from_input + from_hidden), Tensor()};
  }
}

// Steps with batch sizes that never grow: sequences sorted by length.
struct Steps {
  Dims sizes;
  int64_t rows = 0;
};

// What the operators of a single step would complain about.
void check_state(const Cell& cell, const Tensor& from_input, const State& s, const Steps& steps,
                 int64_t gates, const char* name) {
  const Tensor first = narrow(from_input, 0, 0, steps.sizes.front());
  NNLIB_CHECK(cell.w_hh.dim() == 2 && cell.w_hh.size(1) == s.h.size(-1),
              "mat1 and mat2 shapes cannot be multiplied (", s.h.size(0), "x", s.h.size(-1), " and ",
              cell.w_hh.size(-1), "x", cell.w_hh.size(0), ")");
  const Dims hidden = {first.size(0), cell.w_hh.size(0)};
  NNLIB_CHECK(first.sizes() == hidden && (!cell.b_hh.defined() || cell.b_hh.sizes() == Dims{hidden[1]}), name,
              ": expected weights and biases for gates of sizes ", first.sizes(), ", got ", cell.w_hh.sizes(),
              cell.b_hh.defined() ? cell.b_hh.sizes() : Dims());
  for (const Tensor& t : {s.h, cell.w_hh, cell.b_hh, s.c}) {
    NNLIB_CHECK(!t.defined() || t.dtype() == first.dtype(), name,
                ": expected input, weights and hidden state of one type, got ", dtype_name(first.dtype()),
                " and ", dtype_name(t.dtype()));
  }
  check_gates(first, first, s.h, gates, name);
  if (s.c.defined()) check_gates(first, first, s.c, gates, name);
}

// All steps of one layer in one direction from the products with the input; `state` becomes the last one of
// each sequence. Gives (rows, H).
Tensor run_steps(Kind kind, const Cell& cell, const Tensor& from_input, const Steps& steps, bool reverse,
                 State& state) {
  const TensorList inputs = split_with_sizes(from_input, steps.sizes, 0);
  const int64_t count = steps.sizes.ssize(), all = steps.sizes.front();
  TensorList outputs((size_t)count);
  std::vector<State> ended;  // the states of sequences that are over, the shortest first
  int64_t active = reverse ? steps.sizes.back() : all;
  State now = active == all ? state : state.rows(0, active);
  for (int64_t k = 0; k < count; k++) {
    const int64_t t = reverse ? count - 1 - k : k, size = steps.sizes[(size_t)t];
    if (size < active) {
      ended.push_back(now.rows(size, active - size));
      now = now.rows(0, size);
    } else if (size > active) {
      now = joined({now, state.rows(active, size - active)});
    }
    active = size;
    now = step(kind, cell, inputs[(size_t)t], now);
    outputs[(size_t)t] = now.h;
  }
  ended.push_back(now);
  std::reverse(ended.begin(), ended.end());
  state = joined(ended);
  return cat(outputs, 0);
}

Tensor run_direction(Kind kind, const Cell& cell, const Tensor& x, const Steps& steps, bool reverse,
                     State& state) {
  const Tensor from_input = linear(x, cell.w_ih, cell.b_ih);
  const bool lstm = kind == Kind::Lstm, even = steps.sizes.front() == steps.sizes.back();
  if (!even || cell.w_hr.defined() || (!lstm && kind != Kind::Gru))
    return run_steps(kind, cell, from_input, steps, reverse, state);
  check_state(cell, from_input, state, steps, lstm ? 4 : 3, lstm ? "lstm" : "gru");
  const TensorList r =
      rnn_sequence({from_input, state.h, state.c, cell.w_hh, cell.b_hh, steps.sizes.ssize(), reverse},
                   [kind, steps, reverse](const TensorList& in) {
                     const Cell same{Tensor(), in[3], Tensor(), in[4], Tensor()};
                     State s{in[1], in[2]};
                     const Tensor out = run_steps(kind, same, in[0], steps, reverse, s);
                     return TensorList{out, s.h, s.c};
                   });
  state = {r[1], r[2]};
  return r[0];
}

std::vector<Cell> take_cells(Kind kind, const TensorList& params, bool biases, int64_t count,
                             const char* name) {
  const int64_t plain = biases ? 4 : 2, given = (int64_t)params.size();
  const bool projected = kind == Kind::Lstm && given == count * (plain + 1);
  NNLIB_CHECK(projected || given == count * plain, name, ": expected ", plain, " parameters for each of the ",
              count, " layers and directions, got ", given, " parameters");
  std::vector<Cell> cells;
  for (size_t i = 0; i < params.size(); i += (size_t)plain + projected) {
    Cell c{params[i], params[i + 1], Tensor(), Tensor(), Tensor()};
    if (biases) {
      c.b_ih = params[i + 2];
      c.b_hh = params[i + 3];
    }
    if (projected) c.w_hr = params[i + (size_t)plain];
    cells.push_back(c);
  }
  return cells;
}

struct Options {
  bool biases;
  int64_t layers;
  double dropout;
  bool train, bidirectional;
};

struct Result {
  Tensor output, h, c;
};

// x (rows, I): the steps one after the other.
Result run_layers(Kind kind, Tensor x, const Steps& steps, const Tensor& h0, const Tensor& c0,
                  const TensorList& params, const Options& o, const char* name) {
  const int64_t directions = o.bidirectional ? 2 : 1, count = o.layers * directions;
  NNLIB_CHECK(o.layers > 0, name, ": num_layers must be greater than zero, got ", o.layers);
  const std::vector<Cell> cells = take_cells(kind, params, o.biases, count, name);
  for (const Tensor* t : {&h0, &c0})
    NNLIB_CHECK(!t->defined() || (t->dim() == 3 && t->size(0) == count && t->size(1) == steps.sizes.front()),
                name, ": expected hidden state of size (", count, ", ", steps.sizes.front(), ", H), got ",
                t->defined() ? t->sizes() : Dims());
  const TensorList hs = unbind(h0, 0), cs = c0.defined() ? unbind(c0, 0) : TensorList((size_t)count);
  TensorList last_h, last_c;
  for (int64_t layer = 0; layer < o.layers; layer++) {
    TensorList outputs;
    for (int64_t d = 0; d < directions; d++) {
      const size_t i = (size_t)(layer * directions + d);
      State state{hs[i], cs[i]};
      outputs.push_back(run_direction(kind, cells[i], x, steps, d == 1, state));
      last_h.push_back(state.h);
      last_c.push_back(state.c);
    }
    x = directions == 1 ? outputs[0] : cat(outputs, 1);
    if (layer + 1 < o.layers) x = dropout(x, o.dropout, o.train);
  }
  return {x, stack(last_h, 0), c0.defined() ? stack(last_c, 0) : Tensor()};
}

Result run_padded(Kind kind, const Tensor& input, const Tensor& h0, const Tensor& c0,
                  const TensorList& params, const Options& o, bool batch_first, const char* name) {
  NNLIB_CHECK(input.dim() == 3, name, ": Expected input to be 3D, got ", input.dim(), "D instead");
  const Tensor x = batch_first ? transpose(input, 0, 1) : input;
  const int64_t length = x.size(0), batch = x.size(1);
  NNLIB_CHECK(length > 0, "Expected sequence length to be larger than 0 in RNN");
  const Steps steps{Dims((size_t)length, batch), length * batch};
  Result r = run_layers(kind, reshape(x, {length * batch, x.size(2)}), steps, h0, c0, params, o, name);
  r.output = reshape(r.output, {length, batch, r.output.size(1)});
  if (batch_first) r.output = transpose(r.output, 0, 1);
  return r;
}

Result run_packed(Kind kind, const Tensor& data, const Tensor& batch_sizes, const Tensor& h0,
                  const Tensor& c0, const TensorList& params, const Options& o, const char* name) {
  NNLIB_CHECK(data.dim() == 2, name, ": Expected packed data to be 2D, got ", data.dim(), "D instead");
  NNLIB_CHECK(batch_sizes.dtype() == Dtype::Int64 && batch_sizes.dim() == 1 && batch_sizes.numel() > 0, name,
              ": expected batch_sizes to be a 1D int64 tensor, got ", dtype_name(batch_sizes.dtype()),
              " of sizes ", batch_sizes.sizes());
  const Tensor sizes = contiguous_values(batch_sizes);
  Steps steps{Dims(sizes.data<int64_t>(), (size_t)sizes.numel()), data.size(0)};
  int64_t total = 0, before = steps.sizes.front();
  for (int64_t s : steps.sizes) {
    NNLIB_CHECK(s > 0 && s <= before, name, ": expected batch sizes that are positive and do not grow, got ",
                steps.sizes);
    before = s;
    total += s;
  }
  NNLIB_CHECK(total == data.size(0), name, ": the batch sizes add up to ", total, " but the data has ",
              data.size(0), " rows");
  return run_layers(kind, data, steps, h0, c0, params, o, name);
}

void check_lstm_state(const TensorList& hx) {
  NNLIB_CHECK(hx.size() == 2, "lstm expects two hidden states, got ", hx.size());
}

Tensor cell_input(const Tensor& t, const char* what) {
  NNLIB_CHECK(t.dim() == 2, "expected ", what, " to be 2D, got ", t.dim(), "D instead");
  return t;
}

State run_cell(Kind kind, const Tensor& input, const State& s, const Cell& cell) {
  return step(kind, cell, linear(cell_input(input, "input"), cell.w_ih, cell.b_ih),
              {cell_input(s.h, "hidden state"), s.c});
}

}  // namespace

LstmResult lstm(const Tensor& input, const TensorList& hx, const TensorList& params, bool has_biases,
                int64_t num_layers, double dropout, bool train, bool bidirectional, bool batch_first) {
  check_lstm_state(hx);
  Result r = run_padded(Kind::Lstm, input, hx[0], hx[1], params,
                        {has_biases, num_layers, dropout, train, bidirectional}, batch_first, "lstm");
  return {r.output, r.h, r.c};
}

LstmResult lstm_packed(const Tensor& data, const Tensor& batch_sizes, const TensorList& hx,
                       const TensorList& params, bool has_biases, int64_t num_layers, double dropout,
                       bool train, bool bidirectional) {
  check_lstm_state(hx);
  Result r = run_packed(Kind::Lstm, data, batch_sizes, hx[0], hx[1], params,
                        {has_biases, num_layers, dropout, train, bidirectional}, "lstm");
  return {r.output, r.h, r.c};
}

std::pair<Tensor, Tensor> lstm_cell(const Tensor& input, const TensorList& hx, const Tensor& w_ih,
                                    const Tensor& w_hh, const Tensor& b_ih, const Tensor& b_hh) {
  check_lstm_state(hx);
  const State s = run_cell(Kind::Lstm, input, {hx[0], hx[1]}, {w_ih, w_hh, b_ih, b_hh, Tensor()});
  return {s.h, s.c};
}

#define NNLIB_RNN(name, kind)                                                                            \
  RnnResult name(const Tensor& input, const Tensor& hx, const TensorList& params, bool has_biases,       \
                 int64_t num_layers, double dropout, bool train, bool bidirectional, bool batch_first) { \
    Result r = run_padded(kind, input, hx, Tensor(), params,                                             \
                          {has_biases, num_layers, dropout, train, bidirectional}, batch_first, #name);  \
    return {r.output, r.h};                                                                              \
  }                                                                                                      \
  RnnResult name##_packed(const Tensor& data, const Tensor& batch_sizes, const Tensor& hx,               \
                          const TensorList& params, bool has_biases, int64_t num_layers, double dropout, \
                          bool train, bool bidirectional) {                                              \
    Result r = run_packed(kind, data, batch_sizes, hx, Tensor(), params,                                 \
                          {has_biases, num_layers, dropout, train, bidirectional}, #name);               \
    return {r.output, r.h};                                                                              \
  }                                                                                                      \
  Tensor name##_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,      \
                     const Tensor& b_ih, const Tensor& b_hh) {                                           \
    return run_cell(kind, input, {hx, Tensor()}, {w_ih, w_hh, b_ih, b_hh, Tensor()}).h;                  \
  }
NNLIB_RNN(gru, Kind::Gru)
NNLIB_RNN(rnn_tanh, Kind::Tanh)
NNLIB_RNN(rnn_relu, Kind::Relu)
#undef NNLIB_RNN

}  // namespace nnlib::ops
