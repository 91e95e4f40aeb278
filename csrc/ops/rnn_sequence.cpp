#include "ops/rnn_sequence.h"

#include <cstring>
#include <utility>

#include "kernels/dispatch.h"
#include "ops/drivers/gemm.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

Steps::Steps(Dims counts) : sizes(std::move(counts)) {
  at.reserve(sizes.size());
  for (int64_t n : sizes) {
    at.push_back(rows);
    rows += n;
  }
}

namespace {

Tensor contiguous_or_undefined(const Tensor& t) { return t.defined() ? contiguous_values(t) : t; }
Tensor turned(const Tensor& t) {
  return alias(t, {t.size(1), t.size(0)}, {t.stride(1), t.stride(0)}, t.storage_offset());
}
// Rows [first, first + count) of a contiguous matrix.
Tensor rows_of(const Tensor& t, int64_t first, int64_t count) {
  const int64_t width = t.size(1);
  return alias(t, {count, width}, {width, 1}, t.storage_offset() + first * width);
}
Tensor compute_memory(Dtype d, const Dims& sizes) {
  return empty(sizes, d == Dtype::Float64 ? d : Dtype::Float32);
}
// A state that is changed step by step.
Tensor moving_copy(const Tensor& t, const Dims& sizes, Dtype d) {
  const Tensor copy = empty(sizes, d);
  if (t.defined())
    copy_values(copy, t);
  else
    fill_values(copy, 0);
  return copy;
}

template <class T>
void copy_rows(int64_t n, int64_t width, const T* from, T* to) {
  std::memcpy(to, from, size_t(n * width) * sizeof(T));
}
inline void add_values(int64_t n, const float* x, float* y) { kernels::table().add_f32(n, x, y, y); }
template <class T>
void add_values(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; i++) y[i] = (T)((compute_t<T>)x[i] + (compute_t<T>)y[i]);
}

// out (n, w's columns or rows) = x w + beta out (+ bias), or with w turned; w is a weight whose packing is
// kept.
template <class T>
void product(int64_t n, const T* x, const Tensor& w, bool turn, double beta, T* out,
             const Tensor& bias = Tensor()) {
  const int64_t inner = w.size(turn ? 1 : 0), width = w.size(turn ? 0 : 1);
  drivers::Strided<T> right{w.data<T>(), w.stride(turn ? 1 : 0), w.stride(turn ? 0 : 1)};
  right.weight = w.storage().get();
  drivers::gemm<T>(n, width, inner, 1, {x, inner, 1}, right, (compute_t<T>)beta, out, width,
                   bias.defined() ? bias.data<T>() : nullptr);
}

// What forward leaves for backward, a row for each row of the input.
struct Kept {
  Tensor acts, hidden;  // of the gates; the products with w_hh, of a GRU
  Tensor h, c;          // the states before each step; h where rows of the output are not those
  Tensor unprojected;   // h before w_hr
};

struct SavedSequence {
  Saved from_input, h, c, w, b, w_hr, output;
  Kept kept;
  RnnKind kind;
  Steps steps;
  bool reverse;

  Sequence sequence(const TensorList& in) const {
    return {kind, in[0], in[1], in[2], in[3], in[4], in[5], steps, reverse};
  }
};

// ---- forward

// The buffers of one pass. Without backward those of a single step are enough.
struct Pass {
  const Sequence& s;
  bool recorded;
  Tensor a, bias, out, h, c;  // h and c: the states, changed step by step
  Kept kept;
  int64_t width, state;  // of the gates' results, and of h

  Pass(const Sequence& s, bool recorded) : s(s), recorded(recorded) {
    const Dtype d = s.from_input.dtype();
    const bool lstm = s.kind == RnnKind::Lstm;
    const int64_t memory = recorded ? s.steps.rows : s.steps.batch();
    a = contiguous_values(s.from_input);
    width = a.size(1) / gates_of(s.kind);
    state = s.h.size(1);
    bias = contiguous_or_undefined(s.b_hh);
    out = empty({s.steps.rows, state}, d);
    h = moving_copy(s.h, s.h.sizes(), d);
    if (lstm) c = moving_copy(s.c, s.c.sizes(), d);
    kept.hidden = empty({recorded && s.kind == RnnKind::Gru ? memory : s.steps.batch(), a.size(1)}, d);
    if (s.w_hr.defined()) kept.unprojected = empty({memory, width}, d);
    if (!recorded) return;
    if (lstm) kept.c = empty({memory, width}, d);
    if (!s.steps.even()) kept.h = empty({memory, state}, d);
    if (lstm || s.kind == RnnKind::Gru) kept.acts = compute_memory(d, {memory, (lstm ? 5 : 3) * width});
  }

  template <class T>
  T* at(const Tensor& t, int64_t first) const {
    return t.data<T>() + (t.size(0) == s.steps.rows ? first * t.size(1) : 0);
  }

  template <class T>
  void step(int64_t first, int64_t n) const {
    using C = compute_t<T>;
    T *hidden = at<T>(kept.hidden, first), *to = at<T>(out, first), *before = h.data<T>();
    const T* from_input = at<T>(a, first);
    product<T>(n, before, s.w_hh, true, 0, hidden, bias);
    if (kept.h.defined()) copy_rows(n, state, before, at<T>(kept.h, first));
    C* acts = kept.acts.defined() ? kept.acts.data<C>() + first * kept.acts.size(1) : nullptr;
    if (s.kind == RnnKind::Lstm) {
      T* cell = c.data<T>();
      if (recorded) copy_rows(n, width, cell, at<T>(kept.c, first));
      T* result = s.w_hr.defined() ? at<T>(kept.unprojected, first) : to;
      lstm_step<T>(n, width, from_input, hidden, cell, acts, result, cell);
      if (s.w_hr.defined()) product<T>(n, result, s.w_hr, true, 0, to);
    } else if (s.kind == RnnKind::Gru) {
      gru_step<T>(n, width, from_input, hidden, before, acts, to);
    } else {
      plain_step<T>(s.kind, n * width, from_input, hidden, to);
    }
    copy_rows(n, state, to, before);
  }

  void run() const {
    dispatch_floating(a.dtype(), "rnn", [&](auto tag) {
      for (int64_t k = 0; k < s.steps.count(); k++) {
        const auto t = (size_t)s.steps.order(k, s.reverse);
        step<typename decltype(tag)::type>(s.steps.at[t], s.steps.sizes[t]);
      }
    });
  }
};

// ---- backward

struct BackwardPass {
  const SavedSequence& s;
  Tensor w, w_hr, out, g_out;
  Tensor gh, gc;                             // gradients of the states, changed step by step
  Tensor to_input, to_hidden, to_projected;  // those of the gates and of the projected h, of all rows
  Tensor full;                               // of h before its projection, one step's

  BackwardPass(const SavedSequence& s, Backward& ctx, const TensorList& g) : s(s) {
    const Tensor h0 = s.h.get(ctx), c0 = s.c.get(ctx);
    const Dtype d = h0.dtype();
    w = contiguous_values(s.w.get(ctx));
    w_hr = contiguous_or_undefined(s.w_hr.get(ctx));
    out = s.output.get(ctx);
    g_out = contiguous_or_undefined(g[0]);
    gh = moving_copy(g[1], h0.sizes(), d);
    if (c0.defined()) gc = moving_copy(g[2], c0.sizes(), d);
    to_input = empty({s.steps.rows, w.size(0)}, d);
    to_hidden = s.kind == RnnKind::Gru ? empty(to_input.sizes(), d) : to_input;
    if (w_hr.defined()) {
      to_projected = empty(out.sizes(), d);
      full = empty({s.steps.batch(), w_hr.size(1)}, d);
    }
  }

  template <class T>
  void step(int64_t first, int64_t n, const T* h_before) const {
    using C = compute_t<T>;
    const int64_t state = out.size(1), width = w.size(0) / gates_of(s.kind);
    T *grad = gh.data<T>(), *gates = to_input.data<T>() + first * w.size(0);
    T* hidden = to_hidden.data<T>() + first * w.size(0);
    if (g_out.defined()) add_values(n * state, g_out.data<T>() + first * state, grad);
    const C* acts = s.kept.acts.defined() ? s.kept.acts.data<C>() + first * s.kept.acts.size(1) : nullptr;
    if (s.kind == RnnKind::Lstm) {
      const T* result = grad;
      if (w_hr.defined()) {
        copy_rows(n, state, grad, to_projected.data<T>() + first * state);
        product<T>(n, grad, w_hr, false, 0, full.data<T>());
        result = full.data<T>();
      }
      lstm_step_backward<T>(n, width, acts, s.kept.c.data<T>() + first * width, result, gc.data<T>(), gates);
    } else if (s.kind == RnnKind::Gru) {
      gru_step_backward<T>(n, width, acts, s.kept.hidden.data<T>() + first * w.size(0), h_before, grad, gates,
                           hidden);
    } else {
      plain_step_backward<T>(s.kind, n * width, out.data<T>() + first * state, grad, gates);
    }
    product<T>(n, hidden, w, false, s.kind == RnnKind::Gru, grad);
  }

  // h0 is contiguous.
  void run(const Tensor& h0) const {
    dispatch_floating(out.dtype(), "rnn", [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t k = s.steps.count() - 1; k >= 0; --k) {
        const auto t = (size_t)s.steps.order(k, s.reverse);
        const int64_t first = s.steps.at[t], state = out.size(1);
        const T* before = h0.data<T>();
        if (s.kept.h.defined())
          before = s.kept.h.data<T>() + first * state;
        else if (k)
          before = out.data<T>() + s.steps.at[(size_t)s.steps.order(k - 1, s.reverse)] * state;
        step<T>(first, s.steps.sizes[t], before);
      }
    });
  }

  // The product of the gates' gradients with the states before, over all steps.
  Tensor weight_gradient(const Tensor& h0) const {
    const Tensor grad = empty(w.sizes(), w.dtype());
    if (s.kept.h.defined()) {
      detail::gemm_values(grad, turned(to_hidden), s.kept.h, 0, 1);
      return grad;
    }
    // The states after all steps but the last one are those before all but the first.
    const int64_t batch = s.steps.batch(), rest = s.steps.rows - batch;
    const auto start = (size_t)s.steps.order(0, s.reverse);
    detail::gemm_values(grad, turned(rows_of(to_hidden, s.steps.at[start], batch)), h0, 0, 1);
    if (rest)
      detail::gemm_values(grad, turned(rows_of(to_hidden, s.reverse ? 0 : batch, rest)),
                          rows_of(out, s.reverse ? batch : 0, rest), 1, 1);
    return grad;
  }
};

TensorList sequence_backward(const SavedSequence& s, Backward& ctx, const TensorList& g) {
  const Tensor h0 = contiguous_values(s.h.get(ctx));
  BackwardPass pass(s, ctx, g);
  pass.run(h0);
  TensorList grads{pass.to_input, pass.gh, pass.gc, Tensor(), Tensor(), Tensor()};
  grads[3] = make_gradient(ctx, 3, [&] { return pass.weight_gradient(h0); });
  grads[4] = make_gradient(ctx, 4, [&] { return sum(pass.to_hidden, Dims{0}, false); });
  if (pass.w_hr.defined())
    grads[5] = make_gradient(ctx, 5, [&] {
      const Tensor grad = empty(pass.w_hr.sizes(), pass.w_hr.dtype());
      detail::gemm_values(grad, turned(pass.to_projected), s.kept.unprojected, 0, 1);
      return grad;
    });
  return grads;
}

const char* node_name(RnnKind kind) {
  switch (kind) {
    case RnnKind::Lstm:
      return "LstmSequenceBackward0";
    case RnnKind::Gru:
      return "GruSequenceBackward0";
    default:
      return "RnnSequenceBackward0";
  }
}

}  // namespace

TensorList rnn_sequence(const Sequence& s) {
  const TensorList inputs{s.from_input, s.h, s.c, s.w_hh, s.b_hh, s.w_hr};
  const bool recorded = wants_grad(inputs);
  Pass pass(s, recorded);
  pass.run();
  const TensorList results{pass.out, pass.h, pass.c};
  if (!recorded) return results;
  if (s.kind != RnnKind::Gru) pass.kept.hidden.reset();
  SavedSequence saved{save(s.from_input),    save(s.h), save(s.c), save(s.w_hh), save(s.b_hh), save(s.w_hr),
                      save_output(pass.out), pass.kept, s.kind,    s.steps,      s.reverse};
  record_many(
      results, node_name(s.kind), inputs, [saved = std::move(saved)](Backward& ctx, const TensorList& g) {
        if (!GradMode::enabled()) return sequence_backward(saved, ctx, g);
        return composite_gradients(ctx,
                                   {saved.from_input.get(ctx), saved.h.get(ctx), saved.c.get(ctx),
                                    saved.w.get(ctx), saved.b.get(ctx), saved.w_hr.get(ctx)},
                                   g, [&](const TensorList& in) { return rnn_formula(saved.sequence(in)); });
      });
  return results;
}

}  // namespace nnlib::ops
