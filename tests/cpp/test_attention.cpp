// Attention by blocks of bfloat16 against sums in double. On a processor without instructions for it, by
// plain loops that round where these do.
#include "core/parallel.h"
#include "harness.h"
#include "ops/drivers/attention_tiles.h"
#include "ops/drivers/gemm_bf16.h"

using namespace harness;
using namespace nnlib;
using namespace nnlib::drivers;

namespace {

// bfloat16 numbers, and their values; rows further apart than they are long.
struct Half4 {
  Half4(int64_t batch, int64_t heads, int64_t rows, int64_t columns, bool turned) : size(rows * columns) {
    const int64_t row = turned ? 1 : columns + 3, column = turned ? rows + 1 : 1;
    const int64_t head = turned ? columns * column : rows * row;
    values.resize(batch * heads * head + 8);
    at = {nullptr, heads * head, head, row, column};
    fill(values, -1.5, 1.5);
    for (float x : values) words.push_back(BFloat16(x));
    at.data = words.data();
  }
  double operator()(int64_t b, int64_t h, int64_t i, int64_t j) const { return float(*at.at(b, h, i, j)); }
  int64_t size;
  std::vector<float> values;
  std::vector<BFloat16> words;
  Heads<const BFloat16> at;
};

struct Case {
  AttentionShape s;
  int mask;  // 0: none; 1: added numbers; 2: also minus infinity, and everything for query 1
  bool turned = false;
};

void check_attention(const Case& c) {
  const AttentionShape& s = c.s;
  const int64_t L = s.queries, S = s.keys, E = s.width, V = s.value_width, H = s.heads;
  const Half4 q(s.batch, H, L, E, c.turned), k(s.batch, s.key_heads, S, E, c.turned),
      v(s.batch, s.key_heads, S, V, c.turned), g(s.batch, H, L, V, c.turned);
  std::vector<float> added(s.batch * L * S);
  fill(added);
  for (int64_t i = 0; c.mask == 2 && i < int64_t(added.size()); ++i)
    if (rng()() % 3 == 0 || i / S % L == 1) added[i] = -INFINITY;
  const Heads<const float> mask{c.mask ? added.data() : nullptr, L * S, 0, S, 1};
  std::vector<float> first;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Guarded<float> out(s.batch * H * L * V), normalizers(2 * s.batch * H * L), gq(s.batch * H * L * E),
        gk(s.batch * s.key_heads * S * E), gv(s.batch * s.key_heads * S * V);
    const Heads<float> o{out.data(), L * H * V, V, H * V, 1};
    attention_forward_by_tiles(s, q.at, k.at, v.at, mask, o, normalizers.data());
    attention_backward_by_tiles(s, g.at, q.at, k.at, v.at, mask, {out.data(), L * H * V, V, H * V, 1},
                                normalizers.data(), gq.data(), gk.data(), gv.data());
    CHECK(out.intact() && normalizers.intact() && gq.intact() && gk.intact() && gv.intact(), "wrote outside");
    std::vector<float> all;
    for (const Guarded<float>* part : {&out, &normalizers, &gq, &gk, &gv})
      for (int64_t i = 0; i < part->size(); ++i) all.push_back((*part)[i]);
    if (threads == 1) first = all;
    CHECK(std::memcmp(first.data(), all.data(), all.size() * sizeof(float)) == 0, threads, " threads");
    if (threads > 1) continue;

    // Each number rounded to bfloat16 adds 2^-9 of itself; the bounds are sums of magnitudes. Probabilities
    // below 2^-126 are 0.
    const double unit = std::ldexp(1, -7), least = std::ldexp(1, -126) / unit;
    std::vector<double> wk(gk.size()), bk(gk.size()), wv(gv.size()), bv(gv.size());
    const int64_t group = H / s.key_heads;
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        const int64_t kh = h / group, kv = b * s.key_heads + kh;
        for (int64_t i = 0; i < L; ++i) {
          std::vector<double> p(S);
          double largest = -INFINITY, sum = 0;
          for (int64_t j = 0; j < S; ++j) {
            double x = 0;
            for (int64_t e = 0; e < E; ++e) x += q(b, h, i, e) * k(b, kh, j, e);
            p[j] = x * s.scale + (c.mask ? added[(b * L + i) * S + j] : 0);
            if (s.causal && j > i) p[j] = -INFINITY;
            largest = std::max(largest, p[j]);
          }
          for (double& x : p) sum += x = largest == -INFINITY ? 0 : std::exp(x - largest);
          for (double& x : p) x = sum > 0 ? x / sum : 0;
          double dot = 0, size_dot = 0;
          std::vector<double> grad(S), size(S);
          for (int64_t j = 0; j < S; ++j) {
            for (int64_t e = 0; e < V; ++e) {
              grad[j] += g(b, h, i, e) * v(b, kh, j, e);
              size[j] += std::fabs(g(b, h, i, e) * v(b, kh, j, e));
              wv[(kv * S + j) * V + e] += p[j] * g(b, h, i, e);
              bv[(kv * S + j) * V + e] += (p[j] + least) * std::fabs(g(b, h, i, e));
            }
            dot += p[j] * grad[j], size_dot += (p[j] + least) * size[j];
          }
          for (int64_t e = 0; e < V; ++e) {
            double want = 0, bound = 0;
            for (int64_t j = 0; j < S; ++j)
              want += p[j] * v(b, kh, j, e), bound += (p[j] + least) * std::fabs(v(b, kh, j, e));
            const double got = *o.at(b, h, i, e);
            CHECK(std::fabs(got - want) <= unit * bound, "out at ", i, ",", e, ": ", got, " not ", want);
          }
          for (int64_t e = 0; e < E; ++e) {
            double want = 0, bound = 0;
            for (int64_t j = 0; j < S; ++j) {
              const double d = s.scale * p[j] * (grad[j] - dot),
                           m = std::fabs(s.scale) * (p[j] + least) * (size[j] + size_dot);
              want += d * k(b, kh, j, e), bound += m * std::fabs(k(b, kh, j, e));
              wk[(kv * S + j) * E + e] += d * q(b, h, i, e);
              bk[(kv * S + j) * E + e] += m * std::fabs(q(b, h, i, e));
            }
            const double got = gq[((b * H + h) * L + i) * E + e];
            CHECK(std::fabs(got - want) <= unit * bound, "grad of q at ", i, ",", e, ": ", got, " not ",
                  want);
          }
        }
      }
    }
    for (int64_t i = 0; i < gk.size(); ++i)
      CHECK(std::fabs(gk[i] - wk[i]) <= unit * bk[i], "grad of k at ", i, ": ", gk[i], " not ", wk[i]);
    for (int64_t i = 0; i < gv.size(); ++i)
      CHECK(std::fabs(gv[i] - wv[i]) <= unit * bv[i], "grad of v at ", i, ": ", gv[i], " not ", wv[i]);
  }
}

}  // namespace

TEST(attention_by_blocks_of_bfloat16) {
  const int before = num_threads();
  const Case cases[] = {
      // batch, heads, key heads, queries, keys, width, value width, causal, scale; mask
      {{1, 2, 2, 32, 32, 32, 32, false, 0.2f}, 0},   {{2, 3, 3, 33, 70, 20, 40, false, 0.3f}, 0, true},
      {{1, 4, 2, 45, 45, 16, 16, true, 0.25f}, 0},  // two heads of queries for each of keys
      {{1, 1, 1, 1, 200, 33, 5, false, 0.17f}, 1},   {{2, 2, 1, 9, 37, 64, 8, false, -0.1f}, 2},
      {{1, 1, 1, 140, 300, 24, 24, true, 0.2f}, 0},   // several blocks either way, keys that nobody sees
      {{1, 1, 1, 150, 150, 8, 8, true, 8}, 0, true},  // far apart: most probabilities are tiny
  };
  for (const Case& c : cases) check_attention(c);
  set_num_threads(before);
}

TEST(attention_blocks_of_bfloat16_are_chosen_where_they_pay) {
  const int64_t rate = kernels::table().bf16_rate;
  CHECK(attention_tiles_pay({2, 8, 8, 256, 256, 64, 64, false, 1}) == (rate > 1), "256 queries");
  CHECK(!attention_tiles_pay({1, 1, 1, 1, 8, 8, 8, false, 1}), "one query");
}
