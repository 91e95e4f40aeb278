#include "ops/rnn_sequence.h"

#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// Rows [first, first + count) of a contiguous matrix.
Tensor rows_of(const Tensor& t, int64_t first, int64_t count) {
  const int64_t width = t.size(1);
  return alias(t, {count, width}, {width, 1}, t.storage_offset() + first * width);
}
Tensor turned(const Tensor& t) {
  return alias(t, {t.size(1), t.size(0)}, {t.stride(1), t.stride(0)}, t.storage_offset());
}
Tensor contiguous_or_undefined(const Tensor& t) { return t.defined() ? contiguous_values(t) : t; }

// In which order the steps are computed.
struct Order {
  int64_t steps, batch;
  bool reverse;
  int64_t at(int64_t k) const { return reverse ? steps - 1 - k : k; }
  Tensor step(const Tensor& t, int64_t k) const { return rows_of(t, at(k) * batch, batch); }
  // All steps but the first or the last one computed.
  Tensor after_first(const Tensor& t) const { return rows_of(t, reverse ? 0 : batch, (steps - 1) * batch); }
  Tensor before_last(const Tensor& t) const { return rows_of(t, reverse ? batch : 0, (steps - 1) * batch); }
};

// What forward leaves for backward.
struct Kept {
  Tensor acts, cells, hidden;
};

struct SavedSequence {
  Saved from_input, h, c, w, b, output;
  Kept kept;
  Order order;
};

TensorList sequence_backward(const SavedSequence& s, Backward& ctx, const TensorList& g) {
  const Tensor w = contiguous_values(s.w.get(ctx)), h0 = contiguous_values(s.h.get(ctx)),
               out = s.output.get(ctx), c0 = contiguous_or_undefined(s.c.get(ctx));
  const Tensor g_out = contiguous_or_undefined(g[0]);
  const Order& o = s.order;
  const bool lstm = c0.defined();
  const Dims state = h0.sizes(), gates = {out.size(0), w.size(0)};
  const Dtype d = h0.dtype();
  Tensor gh = contiguous_or_undefined(g[1]), gc = lstm ? contiguous_or_undefined(g[2]) : Tensor();
  const Tensor to_input = empty(gates, d), to_hidden = lstm ? to_input : empty(gates, d);
  for (int64_t k = o.steps - 1; k >= 0; --k) {
    Tensor total = gh;
    if (g_out.defined()) total = gh.defined() ? add(o.step(g_out, k), gh) : o.step(g_out, k);
    const Tensor acts = o.step(s.kept.acts, k), into = o.step(to_hidden, k), before = empty(state, d);
    if (lstm) {
      const Tensor gc_before = empty(state, d);
      lstm_step_backward(acts, k ? o.step(s.kept.cells, k - 1) : c0, total, gc, into, gc_before);
      gc = gc_before;
      detail::gemm_values(before, into, w, 0, 1, Tensor(), true);
    } else {
      if (!total.defined()) {
        total = empty(state, d);
        fill_values(total, 0);
      }
      gru_step_backward(acts, o.step(s.kept.hidden, k), k ? o.step(out, k - 1) : h0, total,
                        o.step(to_input, k), into, before);
      detail::gemm_values(before, into, w, 1, 1, Tensor(), true);
    }
    gh = before;
  }
  TensorList grads{to_input, gh, gc, Tensor(), Tensor()};
  if (ctx.needs(3)) {
    grads[3] = empty(w.sizes(), d);
    detail::gemm_values(grads[3], turned(o.step(to_hidden, 0)), h0, 0, 1);
    if (o.steps > 1)
      detail::gemm_values(grads[3], turned(o.after_first(to_hidden)), o.before_last(out), 1, 1);
  }
  if (ctx.needs(4)) grads[4] = sum(to_hidden, Dims{0}, false);
  return grads;
}

}  // namespace

TensorList rnn_sequence(const Sequence& s, const Formula& formula) {
  const bool lstm = s.c.defined(), kept = wants_grad(s.from_input, s.h, s.c, s.w_hh, s.b_hh);
  const int64_t rows = s.from_input.size(0), batch = rows / s.steps, width = s.h.size(1);
  const Order o{s.steps, batch, s.reverse};
  const Dtype d = s.from_input.dtype();
  const Tensor a = contiguous_values(s.from_input), h0 = contiguous_values(s.h),
               c0 = contiguous_or_undefined(s.c), bias = contiguous_or_undefined(s.b_hh);
  const int64_t gates = a.size(1), memory = kept ? rows : batch;  // without backward one step's is enough
  const Tensor out = empty({rows, width}, d), hidden = empty({kept && !lstm ? rows : batch, gates}, d);
  const Tensor acts = gate_memory(d, {memory, lstm ? 5 * width : gates});
  const Tensor cells = lstm ? empty({memory, width}, d) : Tensor();
  const auto slot = [&](const Tensor& t, int64_t k) { return t.size(0) == rows ? o.step(t, k) : t; };
  for (int64_t k = 0; k < s.steps; ++k) {
    const Tensor before = k ? o.step(out, k - 1) : h0, from_hidden = slot(hidden, k);
    detail::gemm_values(from_hidden, before, turned(s.w_hh), 0, 1, bias, true);
    if (lstm) {
      lstm_step(o.step(a, k), from_hidden, k ? slot(cells, k - 1) : c0, slot(acts, k), o.step(out, k),
                slot(cells, k));
    } else {
      gru_step(o.step(a, k), from_hidden, before, slot(acts, k), o.step(out, k));
    }
  }
  const auto last = [&](const Tensor& t) {
    const Tensor copy = empty({batch, width}, d);
    copy_values(copy, slot(t, s.steps - 1));
    return copy;
  };
  TensorList results{out, last(out), lstm ? last(cells) : Tensor()};
  if (kept) {
    SavedSequence saved{
        save(s.from_input),    save(s.h), save(s.c), save(s.w_hh), save(s.b_hh), save_output(out),
        {acts, cells, hidden}, o};
    record_many(results, lstm ? "LstmSequenceBackward0" : "GruSequenceBackward0",
                {s.from_input, s.h, s.c, s.w_hh, s.b_hh},
                [saved = std::move(saved), formula](Backward& ctx, const TensorList& g) {
                  if (GradMode::enabled()) {
                    return composite_gradients(ctx,
                                               {saved.from_input.get(ctx), saved.h.get(ctx), saved.c.get(ctx),
                                                saved.w.get(ctx), saved.b.get(ctx)},
                                               g, formula);
                  }
                  return sequence_backward(saved, ctx, g);
                });
  }
  return results;
}

}  // namespace nnlib::ops
