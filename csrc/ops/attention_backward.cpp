// Attention's backward pass: the probabilities of a block of queries and keys are made again from the scores,
// as forward made them, keys by queries and a panel of queries at a time; then the products of the gradients
// run on the block.
#include "core/parallel.h"
#include "ops/attention_masks.h"
#include "ops/creation.h"

namespace nnlib::ops {

namespace {

void probabilities(int64_t rows, int64_t width, int64_t ld, float* s, const float* maxima,
                   const float* factors) {
  kernels::table().attention_probability_f32(rows, width, ld, s, maxima, factors, true);
}
void probabilities(int64_t rows, int64_t width, int64_t ld, double* s, const double* maxima,
                   const double* factors) {
  kernels::table().attention_probability_f64(rows, width, ld, s, maxima, factors, true);
}
void score_grads(int64_t rows, int64_t width, int64_t ld, const float* p, const float* dot, float* g) {
  kernels::table().attention_grad_f32(rows, width, ld, p, dot, g, true);
}
void score_grads(int64_t rows, int64_t width, int64_t ld, const double* p, const double* dot, double* g) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < width; j++) g[i * ld + j] = p[i * ld + j] * (g[i * ld + j] - dot[j]);
}
void scale_values(int64_t n, float factor, float* x) { kernels::table().norm_apply_f32(n, x, factor, 0, x); }
void scale_values(int64_t n, double factor, double* x) {
  for (int64_t i = 0; i < n; i++) x[i] *= factor;
}
void dot_columns(int64_t n, int64_t width, const float* x, const float* y, float* out) {
  kernels::table().attention_dot_f32(n, width, x, y, out);
}
void dot_columns(int64_t n, int64_t width, const double* x, const double* y, double* out) {
  kernels::table().attention_dot_f64(n, width, x, y, out);
}

// What one thread needs of the queries and of a block of keys of a head, and the block's probabilities and
// gradients of scores, which stay in the second-level cache.
template <class C>
struct BackwardBlocks : AttentionSizes, AttentionState {
  const AttentionArgs& args;
  const drivers::TileKernel<C> tile = drivers::tile_kernel<C>();
  const int64_t mr = tile.mr, nr = tile.nr;
  const int64_t query_block = std::max<int64_t>(1, 128 / nr) * nr;
  const int64_t key_block = 128;  // with dropout, where a part of its rows may begin
  // Rows of blocks and of copies are a line further apart than they are long, so that those of a column do
  // not all fall on the same few sets of the cache.
  const int64_t ld = query_block + kLine;
  static constexpr int64_t kLine = 64 / sizeof(C);

  BackwardBlocks(const AttentionState& state, const AttentionArgs& args)
      : AttentionSizes(state.q, state.k, state.v), AttentionState(state), args(args) {}

  // Queries from `first` on. Panels of nr queries: E (scaled) and Ev of the gradient of the result by
  // queries; and for each query what its softmax was made with and the dot of the result and its gradient,
  // zeros where a panel has no query. The dot is added up as the gradient of a probability is: where one
  // probability is 1 the two cancel to the last bit.
  struct Queries {
    int64_t first;
    C *panels, *grad_panels, *maxima, *factors, *dot;
  };
  int64_t size_of_queries(int64_t n) const { return round_up(n, nr) * (E + Ev + 3) + nr * Ev; }
  Queries pack_queries(int64_t b, int64_t h, int64_t first, int64_t n, C* to) const {
    const Head<C> query(q, b, h), g(grad, b, h), o(out, b, h);
    const int64_t room = round_up(n, nr);
    Queries x{first, to, to + room * E, to + room * (E + Ev)};
    x.factors = x.maxima + room, x.dot = x.factors + room;
    pack_panels(nr, n, E, query.row(first), query.rs, query.cs, (C)args.scale, x.panels);
    pack_panels(nr, n, Ev, g.row(first), g.rs, g.cs, C(1), x.grad_panels);
    const C *maxima = normalizers.data<C>() + (b * H + h) * L + first, *factors = maxima + B * H * L;
    std::copy_n(maxima, n, x.maxima), std::copy_n(factors, n, x.factors);
    for (C* values : {x.maxima, x.factors}) std::fill(values + n, values + room, C(0));
    C* results = x.dot + room;
    for (int64_t i = 0; i < n; i += nr) {
      drivers::pack_panel(nr, std::min(nr, n - i), Ev, o.row(first + i), o.rs, o.cs, C(1), results);
      dot_columns(Ev, nr, x.grad_panels + i * Ev, results, x.dot + i);
    }
    return x;
  }

  // A block of keys and their values, rows of E and Ev.
  struct Keys {
    int64_t first, count, key_ld, value_ld;
    C *keys, *values;
  };
  int64_t size_of_keys() const { return key_block * (E + Ev + 2 * kLine); }
  Keys copy_keys(int64_t b, int64_t h, int64_t first, int64_t count, C* to) const {
    const Keys x{first, count, E + kLine, Ev + kLine, to, to + key_block * (E + kLine)};
    const auto copy = [&](const Head<C>& from, int64_t width, C* rows, int64_t ld) {
      for (int64_t j = 0; j < count; j++) {
        const C* row = from.row(first + j);
        if (from.cs == 1)
          std::copy_n(row, width, rows + j * ld);
        else
          for (int64_t e = 0; e < width; e++) rows[j * ld + e] = row[e * from.cs];
      }
    };
    copy(Head<C>(k, b, h), E, x.keys, x.key_ld);
    copy(Head<C>(v, b, h), Ev, x.values, x.value_ld);
    return x;
  }

  // Keys by queries, rows of ld: probabilities, what dropout leaves of them, gradients of the scores.
  struct Block {
    C *p, *kept, *g;
  };
  Block block_memory() const {
    const int64_t size = key_block * ld;
    C* p = drivers::scratch<drivers::Scratch::Rows, C>((args.dropout ? 3 : 2) * size);
    return {p, args.dropout ? p + 2 * size : p, p + size};
  }

  // A panel of the block, from query i on: `rows` keys.
  void panel(int64_t b, int64_t h, int64_t i, int64_t rows, const Queries& x, const Keys& y,
             const Block& block, int64_t column) const {
    const int64_t at = i - x.first, queries = std::min(nr, L - i);
    C *p = block.p + column, *kept = block.kept + column, *g = block.g + column;
    const PanelPlace place{rows, queries, nr, ld};
    rows_product(rows, nr, E, y.keys, y.key_ld, 1, x.panels + at * E, nr, p, ld, false);
    for (const Tensor& mask : args.masks) add_mask(mask, b, h, i, y.first, place, p);
    if (args.causal)
      for (int64_t c = std::max<int64_t>(0, i + 1 - y.first); c < rows; c++)
        std::fill(p + c * ld, p + c * ld + std::min(nr, y.first + c - i),
                  -std::numeric_limits<C>::infinity());
    probabilities(rows, nr, ld, p, x.maxima + at, x.factors + at);
    rows_product(rows, nr, Ev, y.values, y.value_ld, 1, x.grad_panels + at * Ev, nr, g, ld, false);
    if (args.dropout) {
      const DroppedBlock dropped =
          dropped_block<C>(*args.dropout, (b * H + h) * L + i, queries, y.first, rows);
      for (int64_t c = 0; c < rows; c++) std::copy_n(p + c * ld, nr, kept + c * ld);
      apply_dropout(dropped, place, kept);
      apply_dropout(dropped, place, g);
    }
    score_grads(rows, nr, ld, p, x.dot + at, g);
  }
  // Keys of the block that a panel of queries from i on may see.
  int64_t seen(const Keys& y, int64_t i) const {
    return args.causal ? std::min(y.count, i + nr - y.first) : y.count;
  }
};

// Gradients of queries, keys and values: a head of keys and values after the other, and where there are few,
// parts of its keys. The gradients of queries from several parts are added up in the end.
template <class C>
struct Backward : BackwardBlocks<C> {
  using Base = BackwardBlocks<C>;
  using Base::args, Base::tile, Base::mr, Base::nr, Base::ld, Base::B, Base::H, Base::L, Base::S, Base::E,
      Base::Ev, Base::heads, Base::group, Base::query_block, Base::key_block;
  using typename Base::Block, typename Base::Keys, typename Base::Queries;
  const int64_t part_keys, parts;

  Backward(const AttentionState& state, const AttentionArgs& args)
      : Base(state, args), part_keys(keys_of_a_part()), parts((S + part_keys - 1) / part_keys) {}
  int64_t keys_of_a_part() const {
    const int64_t enough = 8;  // shares of the work, whatever the number of threads
    const int64_t wanted = (enough + B * heads - 1) / (B * heads);
    return round_up((S + wanted - 1) / wanted, key_block);
  }

  // Right operands of the gradients of keys and values: panels of nr columns, all queries of each.
  C* pack_columns(const Head<C>& from, int64_t width, C* to) const {
    for (int64_t e = 0; e < width; e += nr)
      drivers::pack_panel(nr, std::min(nr, width - e), L, from.data + e * from.cs, from.cs, from.rs, C(1),
                          to + e * L);
    return to + round_up(width, nr) * L;
  }

  // to (keys by width) += a (rows of ld) times the panels' rows from query i on. With causal each few keys
  // begin with the first panel of queries that sees one of them.
  void add_keys_product(const Keys& y, int64_t i, int64_t queries, const C* a, int64_t width, const C* panels,
                        C* to) const {
    const int64_t step = args.causal ? kept_together() : y.count;
    for (int64_t c = 0; c < y.count; c += step) {
      const int64_t skip = args.causal ? std::max<int64_t>(0, y.first + c - i) / nr * nr : 0;
      if (skip >= queries) break;
      for (int64_t e = 0; e < width; e += nr)
        rows_product(std::min(step, y.count - c), std::min(nr, width - e), queries - skip, a + c * ld + skip,
                     ld, 1, panels + e * L + (i + skip) * nr, nr, to + c * width + e, width, true);
    }
  }
  int64_t kept_together() const { return 4 * mr; }

  // Keys from `first` to `last` of a head, and all heads of queries that look at it. to_query: of the head's
  // first queries.
  void part(int64_t b, int64_t h, int64_t first, int64_t last, C* to_query, C* to_keys, C* to_values) const {
    C* memory = drivers::scratch<drivers::Scratch::PanelsA, C>(
        this->size_of_queries(L) + this->size_of_keys() + L * (round_up(E, nr) + round_up(Ev, nr)) +
        round_up(L, nr) * E);
    C *key_memory = memory + this->size_of_queries(L), *columns = key_memory + this->size_of_keys();
    const Block block = this->block_memory();
    std::fill(to_keys, to_keys + (last - first) * E, C(0));
    std::fill(to_values, to_values + (last - first) * Ev, C(0));
    for (int64_t n = h * group; n < (h + 1) * group; n++, to_query += L * E) {
      const Queries x = this->pack_queries(b, n, 0, L, memory);
      C* grad_columns = pack_columns(Head<C>(this->q, b, n), E, columns);
      C* sums = pack_columns(Head<C>(this->grad, b, n), Ev, grad_columns);  // [panel][E][nr], of queries
      std::fill(sums, sums + (args.causal ? std::min(round_up(L, nr), first / nr * nr) : 0) * E, C(0));
      for (int64_t j = first; j < last; j += key_block) {
        const Keys y = this->copy_keys(b, h, j, std::min(key_block, last - j), key_memory);
        for (int64_t i = args.causal ? j / nr * nr : 0; i < L; i += query_block) {
          const int64_t queries = std::min(query_block, L - i);
          for (int64_t p = 0; p < queries; p += nr) {
            const int64_t seen = this->seen(y, i + p);
            const int64_t rows = args.causal ? std::min(y.count, round_up(seen, kept_together())) : seen;
            this->panel(b, n, i + p, rows, x, y, block, p);
            rows_product(E, nr, seen, y.keys, 1, y.key_ld, block.g + p, ld, sums + (i + p) * E, nr,
                         j > first);
          }
          add_keys_product(y, i, queries, block.kept, Ev, grad_columns, to_values + (j - first) * Ev);
          add_keys_product(y, i, queries, block.g, E, columns, to_keys + (j - first) * E);
        }
      }
      for (int64_t i = 0; i < L; i += nr)
        drivers::pack_panel(E, E, std::min(nr, L - i), sums + i * E, nr, 1, (C)args.scale, to_query + i * E);
    }
    scale_values((last - first) * E, (C)args.scale, to_keys);
  }

  TensorList run() const {
    const Dtype type = DtypeOf<C>::value;
    const int64_t size = B * H * L * E;
    const TensorList grads = {empty({B, H, L, E}, type), empty({B, heads, S, E}, type),
                              empty({B, heads, S, Ev}, type)};
    const Tensor split = parts > 1 ? empty({parts, size}, type) : grads[0];
    parallel_for(0, B * heads * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        const int64_t head = t / parts, first = t % parts * part_keys;
        part(head / heads, head % heads, first, std::min(S, first + part_keys),
             split.data<C>() + t % parts * size + head * group * L * E,
             grads[1].data<C>() + (head * S + first) * E, grads[2].data<C>() + (head * S + first) * Ev);
      }
    });
    if (parts > 1) {
      parallel_for(0, size, 1 << 15, [&](int64_t begin, int64_t end) {
        C* to = grads[0].data<C>() + begin;
        std::copy_n(split.data<C>() + begin, end - begin, to);
        for (int64_t c = 1; c < parts; c++) add_values(end - begin, split.data<C>() + c * size + begin, to);
      });
    }
    return grads;
  }
};

// The gradient of a mask, a block of queries after the other: all heads and queries that the mask was
// broadcast to are added up in order.
template <class C>
struct MaskBackward : BackwardBlocks<C> {
  using Base = BackwardBlocks<C>;
  using Base::args, Base::nr, Base::ld, Base::B, Base::H, Base::L, Base::S, Base::query_block,
      Base::key_block;
  using typename Base::Block, typename Base::Keys, typename Base::Queries;
  const Tensor sum;  // of the mask's sizes

  MaskBackward(const AttentionState& state, const AttentionArgs& args, const Tensor& sum)
      : Base(state, args), sum(sum) {}

  // Queries [i, i + rows) of a head against all keys.
  void queries(int64_t b, int64_t h, int64_t i, int64_t rows) const {
    C* memory = drivers::scratch<drivers::Scratch::PanelsA, C>(this->size_of_queries(query_block) +
                                                               this->size_of_keys());
    const Queries x = this->pack_queries(b, h, i, rows, memory);
    const Block block = this->block_memory();
    const int64_t last = args.causal ? std::min(S, i + rows) : S;
    for (int64_t j = 0; j < last; j += key_block) {
      const Keys y = this->copy_keys(b, h / this->group, j, std::min(key_block, last - j),
                                     memory + this->size_of_queries(query_block));
      for (int64_t p = 0; p < rows; p += nr) {
        const int64_t seen = this->seen(y, i + p);
        if (seen <= 0) continue;
        this->panel(b, h, i + p, seen, x, y, block, p);
        add(b, h, i + p, std::min(nr, rows - p), j, seen, block.g + p);
      }
    }
  }

  void add(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, const C* g) const {
    const auto step = [&](int d) { return sum.size(d) == 1 ? 0 : sum.stride(d); };
    for (int64_t r = 0; r < rows; r++) {
      C* to = sum.data<C>() + b * step(0) + h * step(1) + (i + r) * step(2) + j * step(3);
      for (int64_t c = 0; c < cols; c++) to[c * step(3)] += g[c * ld + r];
    }
  }

  void run() const {
    const bool by_query = sum.size(2) != 1;
    const int64_t batches = sum.size(0), heads = sum.size(1), length = query_block;
    const int64_t blocks = by_query ? (L + length - 1) / length : 1;
    parallel_for(0, batches * heads * blocks, 1, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        const int64_t mb = t / (heads * blocks), mh = t / blocks % heads, mi = t % blocks * length;
        for (int64_t b = mb; b < (batches == 1 ? B : mb + 1); b++)
          for (int64_t h = mh; h < (heads == 1 ? H : mh + 1); h++)
            for (int64_t i = mi; i < (by_query ? std::min(L, mi + length) : L); i += length)
              queries(b, h, i, std::min(length, L - i));
      }
    });
  }
};

}  // namespace

TensorList attention_backward(const AttentionState& state, const AttentionArgs& args) {
  if (args.by_rows) return attention_backward_rows(state, args);
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
