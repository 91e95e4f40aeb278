#include "ops/drivers/attention_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/gemm_bf16.h"
#include "ops/drivers/gemm_block.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers {

namespace {

constexpr int64_t kSide = 32, kBlock = kSide * kSide;
// Keys whose scores for one panel of queries stay in the first-level cache, and queries that share a block of
// keys.
constexpr int64_t kForwardKeys = 128, kForwardQueries = 64;
// Of the backward pass: a block's scores and their gradients stay in the second-level cache.
constexpr int64_t kBackwardKeys = 64, kBackwardQueries = 128;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int64_t blocks_of(int64_t n) { return (n + kSide - 1) / kSide; }
const uint16_t* words(const BFloat16* x) { return reinterpret_cast<const uint16_t*>(x); }

// A of n x depth, element (i, k) at x[i * rs + k * cs], in blocks [32 rows][32 of k]; B of depth x n, element
// (k, j) at x[k * rs + j * cs], in blocks [32 columns][32 of k].
void pack_a(int64_t n, int64_t depth, const BFloat16* x, int64_t rs, int64_t cs, uint16_t* to) {
  uint32_t range[2] = {0xffffffff, 0};
  for (int64_t i = 0; i < n; i += kSide) {
    for (int64_t k = 0; k < depth; k += kSide, to += kBlock) {
      kernels::table().bf16_pack_rows(std::min(kSide, n - i), std::min(kSide, depth - k),
                                      words(x + i * rs + k * cs), rs, cs, to, range);
    }
  }
}
void pack_b(int64_t n, int64_t depth, const BFloat16* x, int64_t rs, int64_t cs, uint16_t* to) {
  uint32_t range[2] = {0xffffffff, 0};
  for (int64_t j = 0; j < n; j += kSide) {
    for (int64_t k = 0; k < depth; k += kSide, to += kBlock) {
      kernels::table().bf16_pack_pairs(std::min(kSide, n - j), std::min(kSide, depth - k),
                                       words(x + k * rs + j * cs), rs, cs, to, range);
    }
  }
}

// C (m x n, n <= 32) (+)= A B: blocks of A's rows a_step apart, `steps` blocks of k.
void multiply(int64_t m, int64_t n, int64_t steps, const uint16_t* a, int64_t a_step, const uint16_t* b,
              float* c, int64_t ldc, bool add) {
  for (int64_t i = 0; i < m; i += kSide) {
    kernels::table().bf16_tile_f32(steps, 1, a + i / kSide * a_step, b, c + i * ldc, ldc,
                                   std::min(kSide, m - i), n, nullptr, add, nullptr, 0);
  }
}

// Blocks of 32 x 32 float32 numbers, one below the other, as bfloat16.
void round_pairs(int64_t blocks, const float* x, uint16_t* to) {
  uint32_t range[2] = {0xffffffff, 0};
  for (int64_t i = 0; i < blocks; ++i)
    kernels::table().bf16_split_pairs(1, x + i * kBlock, kSide, to + i * kBlock, range);
}
void round_rows(const float* x, uint16_t* to) {
  uint32_t range[2] = {0xffffffff, 0};
  kernels::table().bf16_split_rows(1, x, kSide, to, range);
}

void scale_values(int64_t n, float factor, float* x) { kernels::table().norm_apply_f32(n, x, factor, 0, x); }

// A query that may look at nothing gets zeros, and its probabilities are zeros in backward too.
float finish(float largest, float sum, float* maximum, float* factor) {
  *maximum = sum != 0 ? largest : 0;
  return *factor = sum != 0 ? 1 / sum : 0;
}

struct Forward {
  const AttentionShape& s;
  const Heads<const BFloat16>&q, &k, &v;
  const Heads<const float>& mask;
  const Heads<float>& out;
  float* const normalizers;
  const int64_t steps = blocks_of(s.width), key_blocks = blocks_of(s.keys),
                value_blocks = blocks_of(s.value_width);

  int64_t packed_head() const { return key_blocks * (steps + value_blocks) * kBlock; }
  int64_t visible(int64_t i) const { return s.causal ? std::min(s.keys, i + 1) : s.keys; }

  void pack_heads(uint16_t* packed) const {
    parallel_for(0, s.batch * s.key_heads, 1, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) {
        const int64_t b = t / s.key_heads, h = t % s.key_heads;
        uint16_t* to = packed + t * packed_head();
        pack_a(s.keys, s.width, k.at(b, h), k.row, k.column, to);
        pack_a(s.value_width, s.keys, v.at(b, h), v.column, v.row, to + key_blocks * steps * kBlock);
      }
    });
  }

  // scores (cols x 32) += what the mask says of `queries` queries from i and the keys from j.
  void add_mask(int64_t b, int64_t h, int64_t i, int64_t queries, int64_t j, int64_t cols,
                float* scores) const {
    if (mask.data) {
      float* values = scratch<Scratch::Columns, float>(kForwardKeys * kSide);
      pack_panel(kSide, queries, cols, mask.at(b, h, i, j), mask.row, mask.column, 1.0f, values);
      kernels::table().add_f32(cols * kSide, scores, values, scores);
    }
    for (int64_t c = s.causal ? std::max<int64_t>(0, i + 1 - j) : cols; c < cols; ++c)
      std::fill(scores + c * kSide, scores + c * kSide + std::min(kSide, j + c - i), -kInfinity);
  }

  void block(int64_t b, int64_t h, int64_t i, int64_t rows, const uint16_t* packed) const {
    const TileState tiles;
    const int64_t panels = blocks_of(rows), wide = s.value_width * kSide;
    const uint16_t* keys = packed + (b * s.key_heads + h / (s.heads / s.key_heads)) * packed_head();
    const uint16_t* values = keys + key_blocks * steps * kBlock;
    uint16_t* queries_packed =
        scratch<Scratch::TilesB, uint16_t>(panels * steps * kBlock + kForwardKeys * kSide);
    uint16_t* p = queries_packed + panels * steps * kBlock;
    float* scores = scratch<Scratch::Rows, float>(kForwardKeys * kSide);
    float* sums = scratch<Scratch::Output, float>((panels + 1) * wide);  // [panel][value_width][32]
    float state[2 * kForwardQueries];                                    // [panel][maxima, sums][32]
    pack_b(rows, s.width, q.at(b, h, i), q.column, q.row, queries_packed);
    for (int64_t n = 0; n < panels; ++n) {
      std::fill_n(state + 2 * n * kSide, kSide, -kInfinity);
      std::fill_n(state + (2 * n + 1) * kSide, kSide, 0.0f);
    }
    for (int64_t j = 0; j < visible(i + rows - 1); j += kForwardKeys) {
      for (int64_t n = 0; n < panels; ++n) {
        const int64_t first = i + n * kSide, queries = std::min(kSide, i + rows - first);
        const int64_t cols = std::min(kForwardKeys, visible(first + queries - 1) - j);
        if (cols <= 0) continue;
        multiply(cols, kSide, steps, keys + j / kSide * steps * kBlock, steps * kBlock,
                 queries_packed + n * steps * kBlock, scores, kSide, false);
        scale_values(cols * kSide, s.scale, scores);
        add_mask(b, h, first, queries, j, cols, scores);
        float* sum = sums + n * wide;
        kernels::table().attention_softmax_f32(cols, kSide, scores, state + 2 * n * kSide,
                                               j ? s.value_width : 0, sum);
        const int64_t blocks = blocks_of(cols);
        std::fill(scores + cols * kSide, scores + blocks * kBlock, 0.0f);
        round_pairs(blocks, scores, p);
        multiply(s.value_width, kSide, blocks, values + j / kSide * kBlock, key_blocks * kBlock, p, sum,
                 kSide, j > 0);
      }
    }
    float* turned = sums + panels * wide;
    for (int64_t n = 0; n < panels; ++n) {
      const int64_t first = i + n * kSide, queries = std::min(kSide, i + rows - first);
      pack_panel(s.value_width, s.value_width, queries, sums + n * wide, kSide, 1, 1.0f, turned);
      for (int64_t r = 0; r < queries; ++r) {
        const float* st = state + 2 * n * kSide;
        float* maximum = normalizers + (b * s.heads + h) * s.queries + first + r;
        const float factor = finish(st[r], st[kSide + r], maximum, maximum + s.batch * s.heads * s.queries);
        float* to = out.at(b, h, first + r);
        kernels::table().norm_apply_f32(s.value_width, turned + r * s.value_width, factor, 0, to);
      }
    }
  }

  void run() const {
    uint16_t* packed = scratch<Scratch::TilesA, uint16_t>(s.batch * s.key_heads * packed_head());
    pack_heads(packed);
    const int64_t blocks = (s.queries + kForwardQueries - 1) / kForwardQueries;
    parallel_for(0, s.batch * s.heads * blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) {
        const int64_t head = t / blocks, i = t % blocks * kForwardQueries;
        block(head / s.heads, head % s.heads, i, std::min(kForwardQueries, s.queries - i), packed);
      }
    });
  }
};

// The gradients of one head of keys and values, and of the heads of queries that look at it.
struct Backward {
  const AttentionShape& s;
  const Heads<const BFloat16>&grad, &q, &k, &v;
  const Heads<const float>&mask, &out;
  const float* const normalizers;
  float *const grad_q, *const grad_k, *const grad_v;
  const int64_t steps = blocks_of(s.width), value_steps = blocks_of(s.value_width),
                key_blocks = blocks_of(s.keys), query_blocks = blocks_of(s.queries);

  // Packed once a head. B: width x keys, value_width x keys, keys x width. A: queries x width, width x
  // queries, queries x value_width, value_width x queries.
  struct Packed {
    uint16_t *keys, *values, *keys_by_width, *query, *query_turned, *grad, *grad_turned;
    float *grad_keys, *grad_values, *dot;  // [32 keys][width][32]; of grad and out, for each query
  };
  Packed buffers() const {
    const int64_t by_width = steps * kBlock, by_value = value_steps * kBlock;
    uint16_t* at = scratch<Scratch::TilesB, uint16_t>(key_blocks * (2 * by_width + by_value) +
                                                      2 * query_blocks * (by_width + by_value));
    const auto take = [&at](int64_t n) { return std::exchange(at, at + n); };
    Packed p;
    p.keys = take(key_blocks * by_width), p.values = take(key_blocks * by_value);
    p.keys_by_width = take(key_blocks * by_width);
    p.query = take(query_blocks * by_width), p.query_turned = take(query_blocks * by_width);
    p.grad = take(query_blocks * by_value), p.grad_turned = take(query_blocks * by_value);
    p.grad_keys =
        scratch<Scratch::TileSums, float>(key_blocks * kSide * (s.width + s.value_width) + s.queries);
    p.grad_values = p.grad_keys + key_blocks * kSide * s.width;
    p.dot = p.grad_values + key_blocks * kSide * s.value_width;
    return p;
  }

  void pack_key_head(int64_t b, int64_t h, const Packed& p) const {
    pack_b(s.keys, s.width, k.at(b, h), k.column, k.row, p.keys);
    pack_b(s.keys, s.value_width, v.at(b, h), v.column, v.row, p.values);
    pack_b(s.width, s.keys, k.at(b, h), k.row, k.column, p.keys_by_width);
    std::fill(p.grad_keys, p.dot, 0.0f);
  }
  void pack_query_head(int64_t b, int64_t h, const Packed& p) const {
    pack_a(s.queries, s.width, q.at(b, h), q.row, q.column, p.query);
    pack_a(s.width, s.queries, q.at(b, h), q.column, q.row, p.query_turned);
    pack_a(s.queries, s.value_width, grad.at(b, h), grad.row, grad.column, p.grad);
    pack_a(s.value_width, s.queries, grad.at(b, h), grad.column, grad.row, p.grad_turned);
    for (int64_t i = 0; i < s.queries; ++i) {
      const BFloat16* g = grad.at(b, h, i);
      const float* o = out.at(b, h, i);
      float sum = 0;
      for (int64_t j = 0; j < s.value_width; ++j) sum += float(g[j * grad.column]) * o[j * out.column];
      p.dot[i] = sum;
    }
  }

  // scores (rows x 32) += what the mask says of the queries from i and `cols` keys from j.
  void add_mask(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, float* scores) const {
    if (mask.data) {
      float* values = scratch<Scratch::Columns, float>(kBackwardQueries * kSide);
      pack_panel(kSide, cols, rows, mask.at(b, h, i, j), mask.column, mask.row, 1.0f, values);
      kernels::table().add_f32(rows * kSide, scores, values, scores);
    }
    for (int64_t r = 0; s.causal && r < rows && i + r < j + kSide - 1; ++r)
      std::fill(scores + r * kSide + std::max<int64_t>(0, i + r + 1 - j), scores + (r + 1) * kSide,
                -kInfinity);
  }

  // Zeros where there is no query or no key: these are multiplied too.
  void clear_rim(int64_t rows, int64_t cols, float* x) const {
    std::fill(x + rows * kSide, x + blocks_of(rows) * kBlock, 0.0f);
    for (int64_t r = 0; cols < kSide && r < rows; ++r)
      std::fill(x + r * kSide + cols, x + (r + 1) * kSide, 0.0f);
  }

  // Queries [i, i + rows) against keys [j, j + cols).
  void block(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, const Packed& p) const {
    const kernels::Table& t = kernels::table();
    constexpr int64_t size = kBackwardQueries * kSide;
    float *scores = scratch<Scratch::Rows, float>(2 * size), *g = scores + size;
    uint16_t* rounded = scratch<Scratch::TilesA, uint16_t>(size + kBackwardQueries * kBackwardKeys);
    uint16_t* by_query = rounded + size;  // A: queries x keys
    const int64_t row_blocks = blocks_of(rows), key_steps = blocks_of(cols), qb = i / kSide;
    const float *maxima = normalizers + (b * s.heads + h) * s.queries + i,
                *factors = maxima + s.batch * s.heads * s.queries;
    for (int64_t c = 0; c < key_steps; ++c) {
      const int64_t kb = j / kSide + c, width = std::min(kSide, cols - c * kSide);
      multiply(rows, kSide, steps, p.query + qb * steps * kBlock, steps * kBlock,
               p.keys + kb * steps * kBlock, scores, kSide, false);
      scale_values(rows * kSide, s.scale, scores);
      add_mask(b, h, i, rows, kb * kSide, width, scores);
      t.attention_probability_f32(rows, kSide, kSide, scores, maxima, factors, false);
      clear_rim(rows, width, scores);
      round_pairs(row_blocks, scores, rounded);
      multiply(s.value_width, kSide, row_blocks, p.grad_turned + qb * kBlock, query_blocks * kBlock, rounded,
               p.grad_values + kb * kSide * s.value_width, kSide, true);
      multiply(rows, kSide, value_steps, p.grad + qb * value_steps * kBlock, value_steps * kBlock,
               p.values + kb * value_steps * kBlock, g, kSide, false);
      t.attention_grad_f32(rows, kSide, kSide, scores, p.dot + i, g, false);
      scale_values(rows * kSide, s.scale, g);
      clear_rim(rows, width, g);
      round_pairs(row_blocks, g, rounded);
      multiply(s.width, kSide, row_blocks, p.query_turned + qb * kBlock, query_blocks * kBlock, rounded,
               p.grad_keys + kb * kSide * s.width, kSide, true);
      for (int64_t r = 0; r < row_blocks; ++r)
        round_rows(g + r * kBlock, by_query + (r * key_steps + c) * kBlock);
    }
    for (int64_t e = 0; e < s.width; e += kSide) {
      multiply(rows, std::min(kSide, s.width - e), key_steps, by_query, key_steps * kBlock,
               p.keys_by_width + (e / kSide * key_blocks + j / kSide) * kBlock,
               grad_q + ((b * s.heads + h) * s.queries + i) * s.width + e, s.width, j > 0);
    }
  }

  // Rows of a gradient (keys x width, contiguous) from [32 keys][width][32].
  void unpack(int64_t width, const float* from, float* to) const {
    for (int64_t j = 0; j < s.keys; j += kSide, from += kSide * width)
      pack_panel(width, width, std::min(kSide, s.keys - j), from, kSide, 1, 1.0f, to + j * width);
  }

  void head(int64_t b, int64_t h) const {
    const TileState tiles;
    const Packed p = buffers();
    pack_key_head(b, h, p);
    const int64_t group = s.heads / s.key_heads;
    for (int64_t n = h * group; n < (h + 1) * group; ++n) {
      pack_query_head(b, n, p);
      for (int64_t j = 0; j < s.keys; j += kBackwardKeys) {
        const int64_t first = s.causal ? j / kBackwardQueries * kBackwardQueries : 0;
        for (int64_t i = first; i < s.queries; i += kBackwardQueries) {
          block(b, n, i, std::min(kBackwardQueries, s.queries - i), j, std::min(kBackwardKeys, s.keys - j),
                p);
        }
      }
    }
    unpack(s.width, p.grad_keys, grad_k + (b * s.key_heads + h) * s.keys * s.width);
    unpack(s.value_width, p.grad_values, grad_v + (b * s.key_heads + h) * s.keys * s.value_width);
  }

  void run() const {
    parallel_for(0, s.batch * s.key_heads, 1, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) head(t / s.key_heads, t % s.key_heads);
    });
  }
};

}  // namespace

bool attention_tiles_pay(const AttentionShape& s) {
  if (always_tiles()) return true;
  const int64_t rate = kernels::table().bf16_rate;
  if (rate <= 1) return false;
  // Multiplications of float32: scaling and rounding a score, packing a number.
  const double score = 6, packing = 12;
  const double width = double((blocks_of(s.width) + blocks_of(s.value_width)) * kSide);
  const double queries = double(blocks_of(s.queries) * kSide), keys = double(blocks_of(s.keys) * kSide);
  const double group = double(s.heads) / double(s.key_heads);
  const double tiles =
      queries * keys * (width / double(rate) + score) + packing * width * (queries + keys / group);
  // Panels of float32 have to be packed too.
  return tiles < double(s.queries) * double(s.keys) * double(s.width + s.value_width) +
                     packing * double(s.width + s.value_width) * (double(s.queries) + double(s.keys) / group);
}

void attention_forward_by_tiles(const AttentionShape& s, const Heads<const BFloat16>& q,
                                const Heads<const BFloat16>& k, const Heads<const BFloat16>& v,
                                const Heads<const float>& mask, const Heads<float>& out, float* normalizers) {
  Forward{s, q, k, v, mask, out, normalizers}.run();
}

void attention_backward_by_tiles(const AttentionShape& s, const Heads<const BFloat16>& grad,
                                 const Heads<const BFloat16>& q, const Heads<const BFloat16>& k,
                                 const Heads<const BFloat16>& v, const Heads<const float>& mask,
                                 const Heads<const float>& out, const float* normalizers, float* grad_q,
                                 float* grad_k, float* grad_v) {
  Backward{s, grad, q, k, v, mask, out, normalizers, grad_q, grad_k, grad_v}.run();
}

}  // namespace nnlib::drivers
