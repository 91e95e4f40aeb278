// Attention's backward pass for few queries: a row of scores for each, as forward made them. What a head's
// keys and values get is then one product of a few terms for all of its queries.
#include "core/parallel.h"
#include "ops/attention_masks.h"
#include "ops/attention_rows.h"
#include "ops/creation.h"

namespace nnlib::ops {

namespace {

void probabilities(int64_t n, float maximum, float factor, float* s) {
  kernels::table().attention_probability_f32(1, n, n, s, &maximum, &factor, false);
}
void probabilities(int64_t n, double maximum, double factor, double* s) {
  kernels::table().attention_probability_f64(1, n, n, s, &maximum, &factor, false);
}
void score_grads(int64_t n, const float* p, float dot, float* g) {
  kernels::table().attention_grad_f32(1, n, n, p, &dot, g, false);
}
void score_grads(int64_t n, const double* p, double dot, double* g) {
  for (int64_t j = 0; j < n; j++) g[j] = p[j] * (g[j] - dot);
}

template <class C>
void copy_row(const Head<C>& from, int64_t i, int64_t n, C factor, C* to) {
  for (int64_t e = 0; e < n; e++) to[e] = from.row(i)[e * from.cs] * factor;
}

template <class C>
struct BackwardRows : AttentionSizes {
  const AttentionState& state;
  const AttentionArgs& args;
  const int64_t nr = drivers::tile_kernel<C>().nr, rows = group * L;  // of a head of keys
  const int64_t ld = round_up(E, nr), ldv = round_up(Ev, nr);

  BackwardRows(const AttentionState& state, const AttentionArgs& args)
      : AttentionSizes(state.q, state.k, state.v), state(state), args(args) {}

  // For each query of a head of keys: itself (scaled), the gradient of its result, its probabilities, or what
  // dropout leaves of them, and the gradients of its scores.
  struct Rows {
    C *queries, *grads, *p, *g;
  };
  // Row r of them, query i of head h, and the query's gradient.
  void row(int64_t b, int64_t h, int64_t i, int64_t r, const Rows& x, C* to_query) const {
    const Head<C> key(state.k, b, h / group), value(state.v, b, h / group), out(state.out, b, h);
    const int64_t n = args.causal ? std::min(S, i + 1) : S, at = (b * H + h) * L + i;
    C *query = x.queries + r * ld, *grad = x.grads + r * ldv, *p = x.p + r * S, *g = x.g + r * S;
    const C* normalizers = state.normalizers.data<C>() + at;
    copy_row(Head<C>(state.q, b, h), i, E, (C)args.scale, query);
    copy_row(Head<C>(state.grad, b, h), i, Ev, C(1), grad);
    dots(n, E, key.data, key.rs, query, p);
    for (const Tensor& mask : args.masks) add_mask(mask, b, h, i, 0, {n, 1, 1, 1}, p);
    probabilities(n, normalizers[0], normalizers[B * H * L], p);
    // Added up as the gradients of probabilities are: where one probability is 1 the two cancel to the last
    // bit.
    C dot;
    dots(1, Ev, out.row(i), Ev, grad, &dot);
    dots(n, Ev, value.data, value.rs, grad, g);
    if (args.dropout) {
      const DroppedBlock dropped = dropped_block<C>(*args.dropout, at, 1, 0, n);
      apply_dropout(dropped, {n, 1, 1, 1}, g);
      score_grads(n, p, dot, g);
      apply_dropout(dropped, {n, 1, 1, 1}, p);
    } else {
      score_grads(n, p, dot, g);
    }
    std::fill(p + n, p + S, C(0)), std::fill(g + n, g + S, C(0));
    weighted_rows(E, n, key.data, key.rs, g, to_query);
    for (int64_t e = 0; e < E; e++) to_query[e] *= (C)args.scale;
  }

  // to (keys by n) = the transpose of a (rows by keys) times b (rows of ldb, which has whole panels).
  void keys_product(int64_t n, const C* a, const C* b, int64_t ldb, C* to) const {
    for (int64_t e = 0; e < n; e += nr)
      rows_product(S, std::min(nr, n - e), rows, a, 1, S, b + e, ldb, to + e, n, false);
  }

  void head(int64_t b, int64_t h, C* to_queries, C* to_keys, C* to_values) const {
    C* memory = drivers::scratch<drivers::Scratch::PanelsA, C>(rows * (ld + ldv + 2 * S));
    const Rows x{memory, memory + rows * ld, memory + rows * (ld + ldv), memory + rows * (ld + ldv + S)};
    std::fill(x.queries, x.p, C(0));
    for (int64_t r = 0; r < rows; r++) row(b, h * group + r / L, r % L, r, x, to_queries + r * E);
    keys_product(Ev, x.p, x.grads, ldv, to_values);
    keys_product(E, x.g, x.queries, ld, to_keys);
  }

  TensorList run() const {
    const Dtype type = DtypeOf<C>::value;
    const TensorList grads = {empty({B, H, L, E}, type), empty({B, heads, S, E}, type),
                              empty({B, heads, S, Ev}, type)};
    const int64_t grain = std::max<int64_t>(1, (1 << 15) / (rows * S * (E + Ev)));
    parallel_for(0, B * heads, grain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++)
        head(t / heads, t % heads, grads[0].data<C>() + t * rows * E, grads[1].data<C>() + t * S * E,
             grads[2].data<C>() + t * S * Ev);
    });
    return grads;
  }
};

// Up to this many queries reading the keys once a query costs less than panels that they do not fill.
constexpr int64_t kFewQueries = 8;
// A head of keys is one share of backward's work: fewer are cut into parts by panels.
constexpr int64_t kEnoughHeads = 8;

}  // namespace

bool attention_takes_rows(const Tensor& q, const Tensor& k, const Tensor& v, bool recorded, bool of_masks) {
  if (k.stride(3) != 1 || v.stride(3) != 1) return false;
  if (!recorded) return q.size(2) <= kFewQueries;
  return !of_masks && q.size(2) * (q.size(1) / k.size(1)) <= kFewQueries &&
         k.size(0) * k.size(1) >= kEnoughHeads;
}

TensorList attention_backward_rows(const AttentionState& state, const AttentionArgs& args) {
  AttentionState s = state;
  // Their conversion from a shorter type may have moved them.
  for (Tensor* t : {&s.k, &s.v})
    if (t->stride(3) != 1) *t = contiguous_values(*t);
  return s.q.dtype() == Dtype::Float32 ? BackwardRows<float>(s, args).run()
                                       : BackwardRows<double>(s, args).run();
}

}  // namespace nnlib::ops
