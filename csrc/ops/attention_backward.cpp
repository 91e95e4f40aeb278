// Attention's backward pass: the probabilities of a block of queries and keys are made again from the scores,
// then all five products run on operands that were packed once a head.
#include "core/parallel.h"
#include "ops/attention_panels.h"
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
struct Backward : AttentionSizes {
  const Tensor &grad, &q, &k, &v, &out, &log_sum;
  const AttentionArgs& args;
  const drivers::TileKernel<C> tile = drivers::tile_kernel<C>();
  const int64_t mr = tile.mr, nr = tile.nr;
  // A block's scores and their gradients stay in the second-level cache, a panel of each in the first.
  const int64_t query_block = std::max<int64_t>(1, 128 / mr) * mr;
  const int64_t key_block = std::max<int64_t>(1, 64 / nr) * nr;

  Backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
           const Tensor& log_sum, const AttentionArgs& args)
      : AttentionSizes(q, k, v), grad(grad), q(q), k(k), v(v), out(out), log_sum(log_sum), args(args) {}

  // Packed once a head; A panels have mr rows, B panels nr columns.
  struct Packed {
    C *keys, *values, *keys_by_width;  // B: E x keys, Ev x keys, keys x E (scaled)
    C *grad_keys, *grad_values;        // E x keys, Ev x keys, as B
    C *query, *query_turned, *grad,
        *grad_turned;  // A: queries x E (scaled), E x queries, queries x Ev, Ev x queries
    C* dot;            // of grad and out, for each query
  };
  Packed buffers() const {
    const int64_t sn = round_up(S, nr), lm = round_up(L, mr), em = round_up(E, mr), vm = round_up(Ev, mr);
    const int64_t sizes[] = {sn * E, sn * Ev, S * round_up(E, nr), sn * E, sn * Ev, lm * E, em * L, lm * Ev,
                             vm * L, L};
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
    pack_panels(nr, S, E, key.data, key.rs, key.cs, C(1), p.keys);
    pack_panels(nr, S, Ev, value.data, value.rs, value.cs, C(1), p.values);
    pack_panels(nr, E, S, key.data, key.cs, key.rs, (C)args.scale, p.keys_by_width);
    std::fill(p.grad_keys, p.grad_keys + round_up(S, nr) * E, C(0));
    std::fill(p.grad_values, p.grad_values + round_up(S, nr) * Ev, C(0));
  }
  void pack_query_head(int64_t b, int64_t h, const Packed& p) const {
    const Head<C> query(q, b, h), g(grad, b, h), o(out, b, h);
    pack_panels(mr, L, E, query.data, query.rs, query.cs, (C)args.scale, p.query);
    pack_panels(mr, E, L, query.data, query.cs, query.rs, (C)args.scale, p.query_turned);
    pack_panels(mr, L, Ev, g.data, g.rs, g.cs, C(1), p.grad);
    pack_panels(mr, Ev, L, g.data, g.cs, g.rs, C(1), p.grad_turned);
    for (int64_t i = 0; i < L; i++) p.dot[i] = dot_row(Ev, g.row(i), g.cs, o.row(i), o.cs);
  }

  // s (rows x nr) += what the mask says of the queries from i and `cols` keys from j.
  void add_mask(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, C* s) const {
    if (args.mask.defined()) {
      C* mask = drivers::scratch<drivers::Scratch::Columns, C>(query_block * nr);
      const Head<C> from(args.mask, b, h);
      drivers::pack_panel(nr, cols, rows, from.row(i) + j * from.cs, from.cs, from.rs, C(1), mask);
      add_values(rows * nr, mask, s);
    }
    if (args.causal)
      for (int64_t r = 0; r < rows && i + r < j + nr - 1; r++)
        std::fill(s + r * nr + std::max<int64_t>(0, i + r + 1 - j), s + (r + 1) * nr,
                  -std::numeric_limits<C>::infinity());
  }

  // Queries [i, i + rows) against keys [j, j + cols). grad_query: of the head, contiguous.
  void block(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, const Packed& p,
             C* grad_query) const {
    C* s = drivers::scratch<drivers::Scratch::Rows, C>(2 * query_block * nr + round_up(rows, mr) * key_block);
    C *g = s + query_block * nr, *turned = g + query_block * nr;  // A panels of the scores' gradients
    const C* lse = log_sum.data<C>() + (b * H + h) * L + i;
    for (int64_t c = 0; c < cols; c += nr) {
      const int64_t at = j + c, width = std::min(nr, cols - c);
      panel_product(tile, rows, nr, E, p.query + i * E, E * mr, p.keys + at * E, s, nr, false);
      add_mask(b, h, i, rows, at, width, s);
      probabilities(rows, nr, s, lse);
      panel_product(tile, Ev, nr, rows, p.grad_turned + i * mr, L * mr, s, p.grad_values + at * Ev, nr, true);
      panel_product(tile, rows, nr, Ev, p.grad + i * Ev, Ev * mr, p.values + at * Ev, g, nr, false);
      score_grads(rows, nr, s, p.dot + i, g);
      panel_product(tile, E, nr, rows, p.query_turned + i * mr, L * mr, g, p.grad_keys + at * E, nr, true);
      for (int64_t r = 0; r < rows; r += mr)
        drivers::pack_panel(mr, std::min(mr, rows - r), width, g + r * nr, nr, 1, C(1),
                            turned + r * cols + c * mr);
    }
    for (int64_t e = 0; e < E; e += nr)
      panel_product(tile, rows, std::min(nr, E - e), cols, turned, cols * mr,
                    p.keys_by_width + e * S + j * nr, grad_query + i * E + e, E, j > 0);
  }

  // Rows of the gradient (S x width, contiguous) from its panels.
  void unpack(int64_t width, const C* panels, C* to) const {
    for (int64_t j = 0; j < S; j += nr)
      drivers::pack_panel(width, width, std::min(nr, S - j), panels + j * width, nr, 1, C(1), to + j * width);
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
    unpack(E, p.grad_keys, grads[1].data<C>() + (b * heads + h) * S * E);
    unpack(Ev, p.grad_values, grads[2].data<C>() + (b * heads + h) * S * Ev);
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

}  // namespace

TensorList attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                              const Tensor& out, const Tensor& log_sum, const AttentionArgs& args) {
  return q.dtype() == Dtype::Float32 ? Backward<float>(grad, q, k, v, out, log_sum, args).run()
                                     : Backward<double>(grad, q, k, v, out, log_sum, args).run();
}

}  // namespace nnlib::ops
