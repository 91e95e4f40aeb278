// Recurrent layers. The products of the whole sequence with w_ih are made at once; one operator then runs
// over the steps of a layer and direction. A padded sequence is a packed one whose steps all have the same
// batch size, and a cell is a sequence of one step.
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

using Kind = RnnKind;

// The parameters of one layer in one direction.
struct Cell {
  Tensor w_ih, w_hh, b_ih, b_hh, w_hr;
};

// h, and c of an LSTM.
struct State {
  Tensor h, c;
};

void check_sequence(const Sequence& s, const char* name) {
  const int64_t gates = gates_of(s.kind), batch = s.steps.batch();
  NNLIB_CHECK(s.w_hh.dim() == 2 && s.w_hh.size(1) == s.h.size(-1),
              "mat1 and mat2 shapes cannot be multiplied (", s.h.size(0), "x", s.h.size(-1), " and ",
              s.w_hh.size(-1), "x", s.w_hh.size(0), ")");
  const int64_t width = s.w_hh.size(0) / gates;
  NNLIB_CHECK(s.from_input.size(1) == s.w_hh.size(0) && s.w_hh.size(0) == gates * width &&
                  (!s.b_hh.defined() || s.b_hh.sizes() == Dims{s.w_hh.size(0)}),
              name, ": expected weights and biases for gates of sizes (N, ", gates, " * H), got products of ",
              s.from_input.sizes(), ", weights of ", s.w_hh.sizes(), " and biases of ",
              s.b_hh.defined() ? s.b_hh.sizes() : Dims());
  const Dims full{batch, width};
  NNLIB_CHECK(!s.w_hr.defined() || (s.w_hr.dim() == 2 && s.w_hr.size(1) == width), name,
              ": expected w_hr of sizes (P, ", width, "), got ", s.w_hr.defined() ? s.w_hr.sizes() : Dims());
  const Dims state = s.w_hr.defined() ? Dims{batch, s.w_hr.size(0)} : full;
  NNLIB_CHECK(s.h.sizes() == state && (!s.c.defined() || s.c.sizes() == full), name,
              ": expected a hidden state of sizes ", state, s.c.defined() ? concat(" and ", full) : "",
              ", got ", s.h.sizes(), s.c.defined() ? concat(" and ", s.c.sizes()) : "");
  for (const Tensor& t : {s.h, s.w_hh, s.b_hh, s.c, s.w_hr}) {
    NNLIB_CHECK(!t.defined() || t.dtype() == s.from_input.dtype(), name,
                ": expected input, weights and hidden state of one type, got ",
                dtype_name(s.from_input.dtype()), " and ", dtype_name(t.dtype()));
  }
}

// One layer in one direction; x (rows, I). `state` becomes the last one of each sequence. Gives (rows, H).
Tensor run_direction(Kind kind, const Cell& cell, const Tensor& x, const Steps& steps, bool reverse,
                     State& state, const char* name) {
  const Sequence s{
      kind,   linear(x, cell.w_ih, cell.b_ih), state.h, state.c, cell.w_hh, cell.b_hh, cell.w_hr, steps,
      reverse};
  check_sequence(s, name);
  const TensorList r = rnn_sequence(s);
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
      outputs.push_back(run_direction(kind, cells[i], x, steps, d == 1, state, name));
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
  const Steps steps(Dims((size_t)length, batch));
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
  const Dims counts(sizes.data<int64_t>(), (size_t)sizes.numel());
  int64_t before = counts.front();
  for (int64_t s : counts) {
    NNLIB_CHECK(s > 0 && s <= before, name, ": expected batch sizes that are positive and do not grow, got ",
                counts);
    before = s;
  }
  const Steps steps(counts);
  NNLIB_CHECK(steps.rows == data.size(0), name, ": the batch sizes add up to ", steps.rows,
              " but the data has ", data.size(0), " rows");
  return run_layers(kind, data, steps, h0, c0, params, o, name);
}

void check_lstm_state(const TensorList& hx) {
  NNLIB_CHECK(hx.size() == 2, "lstm expects two hidden states, got ", hx.size());
}

Tensor cell_input(const Tensor& t, const char* what) {
  NNLIB_CHECK(t.dim() == 2, "expected ", what, " to be 2D, got ", t.dim(), "D instead");
  return t;
}

State run_cell(Kind kind, const Tensor& input, State s, const Cell& cell, const char* name) {
  const Tensor x = cell_input(input, "input");
  cell_input(s.h, "hidden state");
  if (s.c.defined()) cell_input(s.c, "cell state");
  NNLIB_CHECK(s.h.size(0) == x.size(0), name, ": input has a batch of ", x.size(0),
              " but the hidden state one of ", s.h.size(0));
  run_direction(kind, cell, x, Steps({x.size(0)}), false, s, name);
  return s;
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
  const State s =
      run_cell(Kind::Lstm, input, {hx[0], hx[1]}, {w_ih, w_hh, b_ih, b_hh, Tensor()}, "lstm_cell");
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
    return run_cell(kind, input, {hx, Tensor()}, {w_ih, w_hh, b_ih, b_hh, Tensor()}, #name "_cell").h;   \
  }
NNLIB_RNN(gru, Kind::Gru)
NNLIB_RNN(rnn_tanh, Kind::Tanh)
NNLIB_RNN(rnn_relu, Kind::Relu)
#undef NNLIB_RNN

}  // namespace nnlib::ops
