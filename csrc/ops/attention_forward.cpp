// Attention's forward pass. Scores are made transposed, keys by queries, a panel of queries at a time: the
// softmax then runs down the columns without a step across lanes, and the scores are already the packed
// operand of the product with the values.
#include "core/parallel.h"
#include "ops/attention_masks.h"
#include "ops/attention_rows.h"

namespace nnlib::ops {

namespace {

// ---- the running softmax of a panel's columns

void softmax_columns(int64_t n, int64_t width, float* s, float* state, int64_t rows, float* out) {
  kernels::table().attention_softmax_f32(n, width, s, state, rows, out);
}
void softmax_columns(int64_t n, int64_t width, double* s, double* state, int64_t rows, double* out) {
  kernels::table().attention_softmax_f64(n, width, s, state, rows, out);
}
void scaled_row(int64_t n, const float* x, float factor, float* y) {
  kernels::table().norm_apply_f32(n, x, factor, 0, y);
}
void scaled_row(int64_t n, const double* x, double factor, double* y) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

// Operands of type T, computed in C.
template <class T, class C>
struct Forward : AttentionSizes {
  const Tensor &q, &k, &v;
  const AttentionArgs& args;
  C *const out, *const maxima, *const factors;  // the last two: what backward needs
  const drivers::TileKernel<C> tile = drivers::tile_kernel<C>();
  // Keys at a time: their scores for one panel of queries stay in the first-level cache. With dropout they
  // begin where a part of its rows may begin.
  const bool packs;  // keys and values, once for all queries
  const int64_t out_b, out_h, out_l;
  const int64_t key_unit, key_block = std::max<int64_t>(1, 256 / key_unit) * key_unit;
  // Queries at a time: what is packed of a block of keys serves all of them from the second level.
  const int64_t query_block = std::max<int64_t>(1, (L < 512 ? 64 : 128) / tile.nr) * tile.nr;

  Forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args, const Tensor& out,
          const Tensor& normalizers)
      : AttentionSizes(q, k, v),
        q(q),
        k(k),
        v(v),
        args(args),
        out(out.data<C>()),
        maxima(normalizers.data<C>()),
        factors(maxima + B * H * L),
        packs(!std::is_same_v<T, C> || k.strides()[3] != 1 || v.strides()[3] != 1 || L > kWorthPacking),
        out_b(out.strides()[0]),
        out_h(out.strides()[1]),
        out_l(out.strides()[2]),
        key_unit(args.dropout ? std::lcm(tile.mr, DropoutRows::kUnit) : tile.mr) {}

  C* out_row(int64_t b, int64_t h, int64_t i) const { return out + b * out_b + h * out_h + i * out_l; }
  // 1 / the sum that a query's result is multiplied by; noted for backward. A query that may look at nothing
  // gets zeros, and its probabilities are zeros in backward too.
  C finish(int64_t b, int64_t h, int64_t i, C largest, C sum) const {
    const int64_t at = (b * H + h) * L + i;
    maxima[at] = sum != 0 ? largest : C(0);
    return factors[at] = sum != 0 ? 1 / sum : C(0);
  }
  int64_t visible(int64_t i) const {
    return args.causal ? std::min(S, i + 1) : S;
  }  // keys that query i may see

  // ---- many queries: packed panels

  int64_t packed_keys() const { return round_up(S, tile.mr) * E; }
  int64_t packed_head() const { return packed_keys() + round_up(Ev, tile.mr) * S; }

  void pack_heads(C* packed) const {
    const int64_t blocks = (S + key_block - 1) / key_block;
    parallel_for(0, B * heads * blocks, 1, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        const int64_t head = t / blocks, j = t % blocks * key_block, cols = std::min(key_block, S - j);
        const Head<T> key(k, head / heads, head % heads), value(v, head / heads, head % heads);
        C *to = packed + head * packed_head(), *values = to + packed_keys();
        pack_panels(tile.mr, cols, E, key.row(j), key.rs, key.cs, C(1), to + j * E);
        for (int64_t e = 0; e < Ev; e += tile.mr)
          drivers::pack_panel(tile.mr, std::min(tile.mr, Ev - e), cols, value.row(j) + e * value.cs, value.cs,
                              value.rs, C(1), values + e * S + j * tile.mr);
      }
    });
  }

  // Keys by E, and Ev by keys, from key j on.
  LeftOperand<C> keys_from(int64_t b, int64_t h, int64_t j, const C* packed) const {
    if constexpr (std::is_same_v<T, C>) {
      const Head<T> key(k, b, h);
      if (!packs) return {key.row(j), 0, key.rs, 1};
    }
    return {packed + (b * heads + h) * packed_head() + j * E, E * tile.mr};
  }
  LeftOperand<C> values_from(int64_t b, int64_t h, int64_t j, const C* packed) const {
    if constexpr (std::is_same_v<T, C>) {
      const Head<T> value(v, b, h);
      if (!packs) return {value.row(j), 0, 1, value.rs};
    }
    return {packed + (b * heads + h) * packed_head() + packed_keys() + j * tile.mr, S * tile.mr};
  }

  // s (cols x nr) += what the masks say of `queries` queries from i and the keys from j.
  void add_masks(int64_t b, int64_t h, int64_t i, int64_t queries, int64_t j, int64_t cols, C* s) const {
    const int64_t nr = tile.nr;
    for (const Tensor& mask : args.masks) add_mask(mask, b, h, i, j, {cols, queries, nr, nr}, s);
    if (args.causal)
      for (int64_t c = std::max<int64_t>(0, i + 1 - j); c < cols; c++)
        std::fill(s + c * nr, s + c * nr + std::min(nr, j + c - i), -std::numeric_limits<C>::infinity());
  }

  void block(int64_t b, int64_t h, int64_t i, int64_t rows, const C* packed) const {
    const int64_t nr = tile.nr, panels = (rows + nr - 1) / nr;
    const Head<T> query(q, b, h);
    C* pq = drivers::scratch<drivers::Scratch::PanelsB, C>(query_block * E);
    C* s = drivers::scratch<drivers::Scratch::Rows, C>(key_block * nr);
    C* sum = drivers::scratch<drivers::Scratch::Output, C>(query_block * Ev + Ev * nr);  // [panel][Ev][nr]
    C* state = drivers::scratch<drivers::Scratch::Sums, C>(2 * query_block);  // [panel][maxima, sums][nr]
    pack_panels(nr, rows, E, query.row(i), query.rs, query.cs, (C)args.scale, pq);
    for (int64_t p = 0; p < panels; p++) {
      std::fill(state + 2 * p * nr, state + (2 * p + 1) * nr, -std::numeric_limits<C>::infinity());
      std::fill(state + (2 * p + 1) * nr, state + (2 * p + 2) * nr, C(0));
    }
    for (int64_t j = 0; j < visible(i + rows - 1); j += key_block) {
      const LeftOperand<C> keys = keys_from(b, h / group, j, packed),
                           values = values_from(b, h / group, j, packed);
      for (int64_t p = 0; p < panels; p++) {
        const int64_t first = i + p * nr, queries = std::min(nr, i + rows - first);
        const int64_t cols = std::min(key_block, visible(first + queries - 1) - j);
        if (cols <= 0) continue;
        left_product(tile, cols, E, keys, pq + p * nr * E, nr, s, nr, false);
        add_masks(b, h, first, queries, j, cols, s);
        C* o = sum + p * nr * Ev;
        softmax_columns(cols, nr, s, state + 2 * p * nr, j ? Ev : 0, o);
        if (args.dropout)
          apply_dropout(dropped_block<C>(*args.dropout, (b * H + h) * L + first, queries, j, cols),
                        {cols, queries, nr, nr}, s);
        left_product(tile, Ev, cols, values, s, nr, o, nr, j > 0);
      }
    }
    C* turned = sum + query_block * Ev;
    for (int64_t p = 0; p < panels; p++) {
      const int64_t first = i + p * nr, queries = std::min(nr, i + rows - first);
      drivers::pack_panel(Ev, Ev, queries, sum + p * nr * Ev, nr, 1, C(1), turned);
      for (int64_t r = 0; r < queries; r++) {
        const C* st = state + 2 * p * nr;
        scaled_row(Ev, turned + r * Ev, finish(b, h, first + r, st[r], st[nr + r]), out_row(b, h, first + r));
      }
    }
  }

  void run() const {
    const Tensor packed = empty({packs ? B * heads * packed_head() : 0}, DtypeOf<C>::value);
    if (packs) pack_heads(packed.data<C>());
    const int64_t blocks = (L + query_block - 1) / query_block;
    parallel_for(0, B * H * blocks, 1, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        const int64_t head = t / blocks, i = t % blocks * query_block;
        block(head / H, head % H, i, std::min(query_block, L - i), packed.data<C>());
      }
    });
  }
};

// ---- few queries, as in decoding: one row of scores at a time, keys and values read where they lie

template <class T, class C>
struct FewQueries : Forward<T, C> {
  using Base = Forward<T, C>;
  using Base::args, Base::q, Base::k, Base::v, Base::B, Base::H, Base::L, Base::S, Base::E, Base::Ev,
      Base::group;
  using Base::Base, Base::visible, Base::out_row, Base::finish;

  void row(int64_t b, int64_t h, int64_t i) const {
    const Head<T> query(q, b, h), key(k, b, h / group), value(v, b, h / group);
    const int64_t n = visible(i);
    C* s = drivers::scratch<drivers::Scratch::Rows, C>(S + E + Ev);
    C *x = s + S, *sum = x + E;
    for (int64_t e = 0; e < E; e++) x[e] = (C)query.row(i)[e * query.cs] * (C)args.scale;
    dots(n, E, key.data, key.rs, x, s);
    for (const Tensor& mask : args.masks) add_mask(mask, b, h, i, 0, {n, 1, 1, 1}, s);
    C state[2] = {-std::numeric_limits<C>::infinity(), 0};
    softmax_columns(n, 1, s, state, 0, nullptr);
    if (args.dropout)
      apply_dropout(dropped_block<C>(*args.dropout, (b * H + h) * L + i, 1, 0, n), {n, 1, 1, 1}, s);
    weighted_rows(Ev, n, value.data, value.rs, s, sum);
    scaled_row(Ev, sum, finish(b, h, i, state[0], state[1]), out_row(b, h, i));
  }
  void run() const {
    parallel_for(0, B * H * L, std::max<int64_t>(1, (1 << 16) / (S * (E + Ev))),
                 [&](int64_t first, int64_t end) {
                   for (int64_t t = first; t < end; t++) row(t / (H * L), t / L % H, t % L);
                 });
  }
};

template <class T, class C = float>
void by_blocks(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
               const Tensor& out, const Tensor& normalizers) {
  if (args.by_rows) {
    FewQueries<T, C>(q, k, v, args, out, normalizers).run();
  } else {
    Forward<T, C>(q, k, v, args, out, normalizers).run();
  }
}

}  // namespace

Tensor attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                         Tensor* normalizers) {
  const int64_t B = q.size(0), H = q.size(1), L = q.size(2), Ev = v.size(3);
  const Dtype type = q.dtype() == Dtype::Float64 ? Dtype::Float64 : Dtype::Float32;
  const Dims sizes{B, H, L, Ev}, beside{L * H * Ev, Ev, H * Ev, 1};
  Tensor out = args.heads_beside ? empty_strided(sizes, beside, type) : empty(sizes, type);
  *normalizers = empty({2, B, H, L}, type);
  switch (q.dtype()) {
    case Dtype::Float64:
      by_blocks<double, double>(q, k, v, args, out, *normalizers);
      break;
    case Dtype::BFloat16:
      if (attention_takes_tiles(q, k, v, args)) {
        attention_forward_tiles(q, k, v, args, out, *normalizers);
      } else {
        by_blocks<BFloat16>(q, k, v, args, out, *normalizers);
      }
      break;
    case Dtype::Float16:
      by_blocks<Half>(q, k, v, args, out, *normalizers);
      break;
    default:
      by_blocks<float>(q, k, v, args, out, *normalizers);
  }
  return out;
}

}  // namespace nnlib::ops
