// Attention's backward pass: the probabilities of a block of queries and keys are made again from the scores,
// then all five products run on operands that were packed once a head.
#include "core/parallel.h"
#include "ops/attention_masks.h"
#include "ops/creation.h"

namespace nnlib::ops {

namespace {

void probabilities(int64_t rows, int64_t width, float* s, const float* log_sum) {
  kernels::table().attention_probability_f32(rows, width, s, log_sum);
}
void probabilities(int64_t rows, int64_t width, double* s, const double* log_sum) {
  for (int64_t i = 0; i < rows * width; i++) s[i] = std::exp(s[i] - log_sum[i / width]);
}
void score_grads(int64_t rows, int64_t width, const float* p, const float* dot, float* g) {
  kernels::table().attention_grad_f32(rows, width, p, dot, g);
}
void score_grads(int64_t rows, int64_t width, const double* p, const double* dot, double* g) {
  for (int64_t i = 0; i < rows * width; i++) g[i] = p[i] * (g[i] - dot[i / width]);
}
float dot_row(int64_t n, const float* x, int64_t xs, const float* y, int64_t ys) {
  float out[2] = {};
  if (xs == 1 && ys == 1)
    kernels::table().norm_grad_sums_f32(n, x, y, 0, out);
  else
    for (int64_t i = 0; i < n; i++) out[1] += x[i * xs] * y[i * ys];
  return out[1];
}
double dot_row(int64_t n, const double* x, int64_t xs, const double* y, int64_t ys) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i * xs] * y[i * ys];
  return sum;
}

// The gradients of one head of keys and values, and of the heads of queries that look at it.
template <class C>
struct Backward : AttentionSizes, AttentionState {
  const AttentionArgs& args;
  const drivers::TileKernel<C> tile = drivers::tile_kernel<C>();
  const int64_t mr = tile.mr, nr = tile.nr;
  // A block's scores and their gradients stay in the second-level cache, a panel of each in the first.
  const int64_t query_block = std::max<int64_t>(1, 128 / mr) * mr;
  const int64_t key_block = std::max<int64_t>(1, 64 / nr) * nr;
  const bool packs;  // queries and their gradients, once for all keys

  Backward(const AttentionState& state, const AttentionArgs& args)
      : AttentionSizes(state.q, state.k, state.v),
        AttentionState(state),
        args(args),
        packs(q.strides()[3] != 1 || grad.strides()[3] != 1 || L > kWorthPacking) {}

  // Packed once a head; A panels have mr rows, B panels nr columns.
  struct Packed {
    C *keys, *values, *keys_by_width;  // B: E x keys (scaled), Ev x keys, keys x E (scaled)
    C *grad_keys, *grad_values;        // E x keys, Ev x keys, as B
    C *query, *query_turned, *grad,
        *grad_turned;  // A: queries x E, E x queries, queries x Ev, Ev x queries; where they are packed
    C* dot;            // of grad and out, for each query
  };
  Packed buffers() const {
    const int64_t sn = round_up(S, nr), lm = round_up(L, mr), em = round_up(E, mr), vm = round_up(Ev, mr);
    const int64_t queries[] = {lm * E, em * L, lm * Ev, vm * L};
    const int64_t sizes[] = {sn * E,
                             sn * Ev,
                             S * round_up(E, nr),
                             sn * E,
                             sn * Ev,
                             packs ? queries[0] : 0,
                             packs ? queries[1] : 0,
                             packs ? queries[2] : 0,
                             packs ? queries[3] : 0,
                             L};
    int64_t total = 0;
    for (int64_t n : sizes) total += n;
    C* at = drivers::scratch<drivers::Scratch::PanelsA, C>(total);
    Packed p;
    C** parts[] = {&p.keys,  &p.values,       &p.keys_by_width, &p.grad_keys,   &p.grad_values,
                   &p.query, &p.query_turned, &p.grad,          &p.grad_turned, &p.dot};
    for (int i = 0; i < 10; i++) {
      *parts[i] = at;
      at += sizes[i];
    }
    return p;
  }

  void pack_key_head(int64_t b, int64_t h, const Packed& p) const {
    const Head<C> key(k, b, h), value(v, b, h);
    pack_panels(nr, S, E, key.data, key.rs, key.cs, (C)args.scale, p.keys);
    pack_panels(nr, S, Ev, value.data, value.rs, value.cs, C(1), p.values);
    pack_panels(nr, E, S, key.data, key.cs, key.rs, (C)args.scale, p.keys_by_width);
    std::fill(p.grad_keys, p.grad_keys + round_up(S, nr) * E, C(0));
    std::fill(p.grad_values, p.grad_values + round_up(S, nr) * Ev, C(0));
  }
  void pack_query_head(int64_t b, int64_t h, const Packed& p) const {
    const Head<C> query(q, b, h), g(grad, b, h), o(out, b, h);
    if (packs) {
      pack_panels(mr, L, E, query.data, query.rs, query.cs, C(1), p.query);
      pack_panels(mr, E, L, query.data, query.cs, query.rs, C(1), p.query_turned);
      pack_panels(mr, L, Ev, g.data, g.rs, g.cs, C(1), p.grad);
      pack_panels(mr, Ev, L, g.data, g.cs, g.rs, C(1), p.grad_turned);
    }
    for (int64_t i = 0; i < L; i++) p.dot[i] = dot_row(Ev, g.row(i), g.cs, o.row(i), o.cs);
  }

  // The left operands that begin with query i: queries by width, and width by queries.
  LeftOperand<C> rows_from(const Head<C>& t, const C* packed, int64_t width, int64_t i) const {
    if (!packs) return {t.row(i), 0, t.rs, 1};
    return {packed + i * width, width * mr};
  }
  LeftOperand<C> columns_from(const Head<C>& t, const C* packed, int64_t i) const {
    if (!packs) return {t.row(i), 0, 1, t.rs};
    return {packed + i * mr, L * mr};
  }

  // What is added to the scores of the queries from i and a block of keys from j: rows of key_block.
  const C* masks_from(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols) const {
    if (args.masks.empty()) return nullptr;
    C* added = drivers::scratch<drivers::Scratch::Padded, C>(query_block * key_block);
    masks_of_block(args.masks, b, h, i, rows, j, cols, added, key_block);
    return added;
  }
  // s (rows x nr): scores of the queries from i and `cols` keys from j; `added` is the masks' part for them.
  void apply_masks(const C* added, int64_t i, int64_t rows, int64_t j, int64_t cols, C* s) const {
    if (added)
      for (int64_t r = 0; r < rows; r++) detail::add_row(cols, added + r * key_block, s + r * nr);
    if (args.causal)
      for (int64_t r = 0; r < rows && i + r < j + nr - 1; r++)
        std::fill(s + r * nr + std::max<int64_t>(0, i + r + 1 - j), s + (r + 1) * nr,
                  -std::numeric_limits<C>::infinity());
  }

  // Queries [i, i + rows) against keys [j, j + cols). grad_query: of the head, contiguous.
  void block(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, const Packed& p,
             C* grad_query) const {
    C* s = drivers::scratch<drivers::Scratch::Rows, C>(3 * query_block * nr + round_up(rows, mr) * key_block);
    C *g = s + query_block * nr, *kept = g + query_block * nr;  // kept: what dropout left of s
    C* turned = kept + query_block * nr;                        // A panels of the scores' gradients
    std::optional<DroppedBlock> dropped;
    if (args.dropout) dropped.emplace(dropped_block<C>(*args.dropout, (b * H + h) * L + i, rows, j, cols));
    const C* lse = log_sum.data<C>() + (b * H + h) * L + i;
    const Head<C> qh(q, b, h), gh(grad, b, h);
    const LeftOperand<C> query = rows_from(qh, p.query, E, i),
                         query_turned = columns_from(qh, p.query_turned, i),
                         out_grad = rows_from(gh, p.grad, Ev, i),
                         out_grad_turned = columns_from(gh, p.grad_turned, i);
    const C* added = masks_from(b, h, i, rows, j, cols);
    for (int64_t c = 0; c < cols; c += nr) {
      const int64_t at = j + c, width = std::min(nr, cols - c);
      left_product(tile, rows, E, query, p.keys + at * E, s, false);
      apply_masks(added ? added + c : nullptr, i, rows, at, width, s);
      probabilities(rows, nr, s, lse);
      if (dropped) apply_dropout_turned(*dropped, c, {rows, width, nr}, s, kept);
      left_product(tile, Ev, rows, out_grad_turned, dropped ? kept : s, p.grad_values + at * Ev, true);
      left_product(tile, rows, Ev, out_grad, p.values + at * Ev, g, false);
      if (dropped) apply_dropout_turned(*dropped, c, {rows, width, nr}, g, g);
      score_grads(rows, nr, s, p.dot + i, g);
      left_product(tile, E, rows, query_turned, g, p.grad_keys + at * E, true);
      for (int64_t r = 0; r < rows; r += mr)
        drivers::pack_panel(mr, std::min(mr, rows - r), width, g + r * nr, nr, 1, C(1),
                            turned + r * cols + c * mr);
    }
    for (int64_t e = 0; e < E; e += nr)
      panel_product(tile, rows, std::min(nr, E - e), cols, turned, cols * mr,
                    p.keys_by_width + e * S + j * nr, grad_query + i * E + e, E, j > 0);
  }

  // Rows of the gradient (S x width, contiguous) from its panels.
  void unpack(int64_t width, const C* panels, C scale, C* to) const {
    for (int64_t j = 0; j < S; j += nr)
      drivers::pack_panel(width, width, std::min(nr, S - j), panels + j * width, nr, 1, scale,
                          to + j * width);
  }

  void head(int64_t b, int64_t h, const TensorList& grads) const {
    const Packed p = buffers();
    pack_key_head(b, h, p);
    for (int64_t n = h * group; n < (h + 1) * group; n++) {
      pack_query_head(b, n, p);
      C* grad_query = grads[0].data<C>() + (b * H + n) * L * E;
      // Keys that no query may see leave their gradient zero.
      const int64_t seen = args.causal ? std::min(S, L) : S;
      for (int64_t j = 0; j < seen; j += key_block) {
        const int64_t cols = std::min(key_block, seen - j);
        for (int64_t i = args.causal ? j / query_block * query_block : 0; i < L; i += query_block)
          block(b, n, i, std::min(query_block, L - i), j, cols, p, grad_query);
      }
    }
    unpack(E, p.grad_keys, (C)args.scale, grads[1].data<C>() + (b * heads + h) * S * E);
    unpack(Ev, p.grad_values, C(1), grads[2].data<C>() + (b * heads + h) * S * Ev);
  }

  TensorList run() const {
    const Dtype type = DtypeOf<C>::value;
    const TensorList grads = {empty({B, H, L, E}, type), empty({B, heads, S, E}, type),
                              empty({B, heads, S, Ev}, type)};
    parallel_for(0, B * heads, 1, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) head(t / heads, t % heads, grads);
    });
    return grads;
  }
};

// The gradient of a mask, a block of it after the other: all heads and queries that the mask was broadcast to
// are added up in order.
template <class C>
struct MaskBackward : Backward<C> {
  using Base = Backward<C>;
  using Base::args, Base::tile, Base::mr, Base::nr, Base::B, Base::H, Base::L, Base::S, Base::E, Base::Ev;
  const Tensor sum;  // of the mask's sizes
  const bool by_query;

  MaskBackward(const AttentionState& state, const AttentionArgs& args, const Tensor& sum)
      : Base(state, args), sum(sum), by_query(sum.size(2) != 1) {}

  // Queries [i, i + rows) of a head against all keys.
  void block(int64_t b, int64_t h, int64_t i, int64_t rows) const {
    const int64_t room = round_up(rows, mr);
    C* query = drivers::scratch<drivers::Scratch::PanelsA, C>(room * (E + Ev) + rows);
    C *g_rows = query + room * E, *dot = g_rows + room * Ev;
    C* keys = drivers::scratch<drivers::Scratch::PanelsB, C>(nr * (E + Ev));
    C *values = keys + nr * E, *s = drivers::scratch<drivers::Scratch::Rows, C>(2 * room * nr);
    C* g = s + room * nr;
    const Head<C> qh(this->q, b, h), gh(this->grad, b, h), oh(this->out, b, h),
        kh(this->k, b, h / this->group), vh(this->v, b, h / this->group);
    pack_panels(mr, rows, E, qh.row(i), qh.rs, qh.cs, (C)args.scale, query);
    pack_panels(mr, rows, Ev, gh.row(i), gh.rs, gh.cs, C(1), g_rows);
    for (int64_t r = 0; r < rows; r++) dot[r] = dot_row(Ev, gh.row(i + r), gh.cs, oh.row(i + r), oh.cs);
    const int64_t seen = args.causal ? std::min(S, i + rows) : S;
    for (int64_t j = 0; j < seen; j += nr) {
      const int64_t cols = std::min(nr, seen - j);
      drivers::pack_panel(nr, cols, E, kh.row(j), kh.rs, kh.cs, C(1), keys);
      drivers::pack_panel(nr, cols, Ev, vh.row(j), vh.rs, vh.cs, C(1), values);
      panel_product(tile, rows, nr, E, query, E * mr, keys, s, nr, false);
      this->apply_masks(this->masks_from(b, h, i, rows, j, cols), i, rows, j, cols, s);
      probabilities(rows, nr, s, this->log_sum.template data<C>() + (b * H + h) * L + i);
      panel_product(tile, rows, nr, Ev, g_rows, Ev * mr, values, g, nr, false);
      if (args.dropout)
        apply_dropout_turned(dropped_block<C>(*args.dropout, (b * H + h) * L + i, rows, j, cols), 0,
                             {rows, cols, nr}, g, g);
      score_grads(rows, nr, s, dot, g);
      add(b, h, i, rows, j, cols, g);
    }
  }

  void add(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, const C* g) const {
    const auto step = [&](int d) { return sum.size(d) == 1 ? 0 : sum.stride(d); };
    for (int64_t r = 0; r < rows; r++) {
      C* to = sum.data<C>() + b * step(0) + h * step(1) + (i + r) * step(2) + j * step(3);
      for (int64_t c = 0; c < cols; c++) to[c * step(3)] += g[r * nr + c];
    }
  }

  void run() const {
    const int64_t batches = sum.size(0), heads = sum.size(1), length = this->query_block;
    const int64_t blocks = by_query ? (L + length - 1) / length : 1;
    parallel_for(0, batches * heads * blocks, 1, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        const int64_t mb = t / (heads * blocks), mh = t / blocks % heads, mi = t % blocks * length;
        for (int64_t b = mb; b < (batches == 1 ? B : mb + 1); b++)
          for (int64_t h = mh; h < (heads == 1 ? H : mh + 1); h++)
            for (int64_t i = mi; i < (by_query ? std::min(L, mi + length) : L); i += length)
              block(b, h, i, std::min(length, L - i));
      }
    });
  }
};

}  // namespace

TensorList attention_backward(const AttentionState& state, const AttentionArgs& args) {
  return state.q.dtype() == Dtype::Float32 ? Backward<float>(state, args).run()
                                           : Backward<double>(state, args).run();
}

Tensor attention_mask_gradient(const AttentionState& state, const AttentionArgs& args, const Dims& sizes) {
  const Tensor sum = empty(sizes, state.q.dtype());
  fill_values(sum, 0);
  if (state.q.dtype() == Dtype::Float32)
    MaskBackward<float>(state, args, sum).run();
  else
    MaskBackward<double>(state, args, sum).run();
  return sum;
}

}  // namespace nnlib::ops
