// Products of float32 numbers as products of bfloat16 parts (Henry, Tang and Heinecke, "Leveraging the
// bfloat16 artificial intelligence datatype for higher-precision computations", ARITH 2019).
//
// NOTE ON THE ERROR. A float32 x with 2^e <= |x| < 2^(e+1) is split into h + m + l, each the bfloat16 (8
// bits) nearest to what is left. |x - h| <= 2^(e-8); that rest is exact, and either 2^(e-8) itself or of
// exponent e-9 at most, so |x - h - m| <= 2^(e-17); what is left then has 7 bits at most, so x = h + m + l
// exactly. Let u = 2^-24, S the sum over k of |a b|, K its length.
//
// Three parts, six products: left out are ml, lm and ll, at most (2 * 2^-8 * 2^-17 + 2^-34) S < 1.01 u S. A
// tile instruction sums 32 products in two chains of 16 and adds them to the sum of a block of d <= kDepth:
// 16 + 1 roundings of its own sum, and one of the block's for each of the 6 d/32 instructions; K/d sums of
// blocks are added up. With the range below that is less than (1.01 + 0.7 + 1.02 (17 + 6 d/32 + K/d)) u S.
// The float32 path adds chains of kc = sgemm_kc products: (min(K, kc) + K/kc) u S. For K below kDepth, 20.1 +
// 0.2 K is less than K from 26 on; above, 118 + K/500 is less than kc + K/kc for kc from 118 to
// 500. Measured at random numbers, K up to 64 is a draw, and tiles are the better from kLeastDepth on.
//
// Two parts, three products: (2 * 2^-17 + 2^-16) (1 + 2^-7) S < 2^-14.9 S is left out, and the roundings.
//
// One part: (2 * 2^-8 + 2^-16) S < 2^-6.9 S, and the roundings. Nothing is left out of bfloat16 operands.
//
// AVX512-BF16's dot products sum 2 products into their sum with at most 2 roundings. One part is summed in
// chains of 256 that are added to the sum of a block: (256 + 2 + K/d) u S, less than the float32 path's. More
// parts are summed in chains of 32 and are never chosen: three products at twice the rate of float32's take
// longer.
//
// NOTE ON THE RANGE. Both instructions take bfloat16 numbers under 2^-126 for 0 and flush sums under it to 0.
// For the bound a block of 32 rows of A and one of 32 columns of B, over kDepth numbers at most, have to
// keep:
//
// (1) no magnitude but 0 is under 2^-98, so that a part that is lost, with all after it under 2^-126, is less
// than 2^-28 of its number;
//
// (2) the product of their smallest magnitudes is not under 2^-98: a flushed sum loses less than 2^-126,
// there are at most 8 for each pair whose product is not 0, all together less than 8 * 2^-28 S = 2^-25 S;
//
// (3) all is finite, below 2^127 so that h rounds to no infinity, and K times the product of the largest
// below 2^126, so that no sum overflows in one order and not in another.
//
// Together less than (2 * 2^-28 + 2^-25) S < 0.7 u S. A pair of blocks that does not keep them, one with an
// infinity or NaN too, is multiplied in float32. The blocks are cut by the sizes alone: threads never decide.
#include "ops/drivers/gemm_bf16.h"

#include <atomic>
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/packed_cache.h"

namespace nnlib::drivers {

namespace {

constexpr int64_t kSide = 32;         // of a block of C, and of a step of k
constexpr int64_t kLeastDepth = 128;  // see the note on the error
constexpr int64_t kDepth = 512;       // of k, packed at once
constexpr int64_t kChunk = 1024;      // rows of A or columns of B, packed at once
// Numbers of a packed operand that is made once for the whole product. The other one is then packed in small
// parts that each thread uses while they are in its second-level cache.
constexpr int64_t kMostAtOnce = 16 << 20;
constexpr int64_t kTogether = 8;  // blocks whose lines are read together
constexpr int64_t kGroup = 12;    // blocks of columns that stay in a core's second-level cache
constexpr int64_t kBlock = kSide * kSide;
// Multiplications of float32 in the time that packing takes: one part of a float32 number, and a bfloat16
// one.
constexpr double kSplitCost = 24, kPackCost = 12;
// What packing a weight counts for: training does it in each call, evaluation hardly ever, and both are to
// choose alike, so that they give the same bits. Training loses a tenth of a product at most by this.
constexpr double kWeightShare = 0.85;

std::atomic<MatmulPrecision> g_precision{MatmulPrecision::Highest};
std::atomic<bool> g_always{false};
std::atomic<int64_t> g_split{0}, g_whole{0};

int64_t blocks_of(int64_t n) { return (n + kSide - 1) / kSide; }

// The magnitudes of a block, as bits: they compare as the numbers do.
struct Range {
  uint32_t low = 0xffffffff, high = 0;
};
int exponent(uint32_t bits) { return int(bits >> 23) - 127; }  // of a subnormal: -127, too small anyhow

bool keeps_the_bound(const Range& a, const Range& b, int64_t depth) {
  if (exponent(a.high) >= 127 || exponent(b.high) >= 127) return false;  // infinity and NaN too
  if (a.high == 0 || b.high == 0) return true;                           // nothing but zeros
  const int low_a = exponent(a.low), low_b = exponent(b.low);
  if (low_a < -98 || low_b < -98 || low_a + low_b < -98) return false;
  return exponent(a.high) + exponent(b.high) + 2 + std::ilogb(double(depth)) + 1 <= 126;
}

// ---- packing

// An operand: element (i, k) is data[i * side + k * depth], i a row of A or a column of B.
template <class T>
struct Operand {
  const T* data;
  int64_t side, depth;
  float scale;
  bool pairs;       // B: two numbers along k lie beside each other in a tile
  Storage* weight;  // whose packing may be kept, or null
};

// The parts of one block of 32 rows or columns and 32 of k, of which there are n and depth.
template <class T>
void pack_block(int parts, const Operand<T>& x, const T* from, int64_t n, int64_t depth, uint16_t* to,
                Range* range) {
  const kernels::Table& t = kernels::table();
  const auto split = x.pairs ? t.bf16_split_pairs : t.bf16_split_rows;
  const int64_t along = x.pairs ? x.side : x.depth, line = x.pairs ? x.depth : x.side;
  uint32_t seen[2] = {range->low, range->high};
  if constexpr (std::is_same_v<T, BFloat16>) {
    if (x.scale == 1) {
      const uint16_t* words = reinterpret_cast<const uint16_t*>(from);
      if (x.pairs) {
        t.bf16_pack_pairs(n, depth, words, x.depth, x.side, to, seen);
      } else {
        t.bf16_pack_rows(n, depth, words, x.side, x.depth, to, seen);
      }
      *range = {seen[0], seen[1]};
      return;
    }
  }
  bool in_place = false;
  if constexpr (std::is_same_v<T, float>) {
    in_place = along == 1 && n == kSide && depth == kSide && x.scale == 1;
    if (in_place) split(parts, from, line, to, seen);
  }
  if (!in_place) {
    alignas(64) float staging[kBlock];
    const int64_t lines = x.pairs ? depth : n;
    pack_panel(kSide, x.pairs ? n : depth, lines, from, along, line, x.scale, staging);
    std::fill(staging + lines * kSide, staging + kBlock, 0.0f);
    split(parts, staging, kSide, to, seen);
  }
  *range = {seen[0], seen[1]};
}

// ---- a product

template <class T>
class Product {
 public:
  Product(int parts, int64_t m, int64_t n, int64_t k, float alpha, Strided<T> a, Strided<T> b, float beta,
          T* c, int64_t ldc, const T* bias)
      : parts_(parts),
        m_(m),
        n_(n),
        k_(k),
        a_{a.data, a.rs, a.cs, alpha, false, alpha == 1 ? a.weight : nullptr},
        b_{b.data, b.cs, b.rs, 1, true, b.weight},
        beta_(beta),
        c_(c),
        ldc_(ldc),
        bias_(bias) {}

  // Chunks of the longer side of C outermost: a part of C is finished while it is in the cache, and the other
  // operand is packed once where that is not too much.
  void run() {
    depth_ = std::min(kDepth, balanced_block(k_, kDepth, kSide));
    block_ = parts_ * kBlock * blocks_of(depth_);
    rows_outside_ = m_ > n_;
    const int64_t inner = rows_outside_ ? n_ : m_, outer = rows_outside_ ? m_ : n_;
    const Operand<T>&inside = rows_outside_ ? b_ : a_, &outside = rows_outside_ ? a_ : b_;
    const Packed kept_inside = keep(inside, inner), kept_outside = keep(outside, outer);
    const bool once = kept_inside || depths() * blocks_of(inner) * block_ <= kMostAtOnce;
    inner_chunk_ = once ? inner : std::min(kChunk, inner);
    outer_chunk_ = std::min(outer, once ? kGroup * kSide * num_threads() : kChunk);
    Room within, around;
    if (!kept_inside) within = room<Scratch::TilesA>(blocks_of(inner_chunk_) * (once ? depths() : 1));
    if (!kept_outside) around = room<Scratch::TilesB>(blocks_of(outer_chunk_));
    if constexpr (!std::is_same_v<T, float>) {
      sums_ = scratch<Scratch::TileSums, float>(outer_chunk_ * inner);
    }
    for (int64_t o = 0; o < outer; o += outer_chunk_) {
      const int64_t o_size = std::min(outer_chunk_, outer - o);
      for (int64_t p = 0; p < k_; p += depth_) {
        if (!kept_outside) pack(outside, o, o_size, p, around.blocks, around.ranges.data());
        const Chunk of_outer = kept_outside ? part(kept_outside, outer, o, o_size, p)
                                            : Chunk{around.blocks, around.ranges.data(), o, o_size};
        for (int64_t i = 0; i < inner; i += inner_chunk_) {
          const int64_t first = once ? p / depth_ * blocks_of(inner) : 0,
                        i_size = std::min(inner_chunk_, inner - i);
          if (kept_inside) {
            multiply(of_outer, part(kept_inside, inner, i, i_size, p), p);
            continue;
          }
          uint16_t* blocks = within.blocks + first * block_;
          if (!once || o == 0) pack(inside, i, i_size, p, blocks, &within.ranges[first]);
          multiply(of_outer, {blocks, &within.ranges[first], i, i_size}, p);
        }
      }
    }
  }

 private:
  struct Room {
    uint16_t* blocks = nullptr;
    std::vector<Range> ranges;
  };
  // `size` rows of A or columns of B from `first` on.
  struct Chunk {
    const uint16_t* blocks;
    const Range* ranges;
    int64_t first, size;
  };

  int64_t depth_at(int64_t p) const { return std::min(depth_, k_ - p); }
  int64_t depths() const { return (k_ + depth_ - 1) / depth_; }

  template <Scratch which>
  Room room(int64_t blocks) const {
    return {scratch<which, uint16_t>(blocks * block_), std::vector<Range>(blocks)};
  }

  // All `size` rows or columns of a weight, packed: the blocks of each block of k, then the ranges of all.
  Packed keep(const Operand<T>& x, int64_t size) {
    if (!x.weight) return nullptr;
    const int64_t offset = reinterpret_cast<const char*>(x.data) - static_cast<const char*>(x.weight->data());
    const int64_t each = blocks_of(size), all = depths() * each;
    const PackedKey key{PackedKind::TileBlocks,
                        {offset, size, k_, x.side, x.depth, x.pairs, parts_, int64_t(sizeof(T))}};
    return packed_weight(*x.weight, key, all * (block_ * int64_t(sizeof(uint16_t)) + int64_t(sizeof(Range))),
                         [&](void* to) {
                           uint16_t* blocks = static_cast<uint16_t*>(to);
                           Range* ranges = reinterpret_cast<Range*>(blocks + all * block_);
                           for (int64_t p = 0; p < k_; p += depth_, blocks += each * block_, ranges += each)
                             pack(x, 0, size, p, blocks, ranges);
                         });
  }
  // Of such a packing of `all` rows or columns.
  Chunk part(const Packed& kept, int64_t all, int64_t first, int64_t size, int64_t p) const {
    const uint16_t* blocks = static_cast<const uint16_t*>(kept.get());
    const Range* ranges = reinterpret_cast<const Range*>(blocks + depths() * blocks_of(all) * block_);
    const int64_t at = p / depth_ * blocks_of(all) + first / kSide;
    return {blocks + at * block_, ranges + at, first, size};
  }

  void pack(const Operand<T>& x, int64_t first_of, int64_t size, int64_t p, uint16_t* to, Range* ranges) {
    const int64_t blocks = blocks_of(size), depth = depth_at(p);
    // Where lines run across the blocks, several of these are packed step by step: memory is read in long
    // streams.
    const int64_t together =
        x.side == 1 ? std::clamp<int64_t>(blocks / (2 * num_threads()), 1, kTogether) : 1;
    parallel_for(0, (blocks + together - 1) / together, 1, [&](int64_t first, int64_t last) {
      const int64_t end = std::min(blocks, last * together);
      for (int64_t group = first * together; group < end; group += together) {
        const int64_t group_end = std::min(end, group + together);
        std::fill(ranges + group, ranges + group_end, Range{});
        for (int64_t k = 0; k < depth; k += kSide) {
          for (int64_t s = group; s < group_end; ++s) {
            const T* from = x.data + (first_of + s * kSide) * x.side + (p + k) * x.depth;
            pack_block(parts_, x, from, std::min(kSide, size - s * kSide), std::min(kSide, depth - k),
                       to + s * block_ + k / kSide * parts_ * kBlock, ranges + s);
          }
        }
      }
    });
  }

  // The blocks of C for packed rows and columns. A thread holds a group of blocks of the outer operand in its
  // cache and goes along the inner one, whose next block is fetched meanwhile.
  void multiply(const Chunk& outer, const Chunk& inner, int64_t p) {
    const int64_t along = blocks_of(inner.size), across = blocks_of(outer.size);
    const int64_t shares = (2 * num_threads() + along - 1) / along;
    const int64_t groups = std::min(across, std::max(shares, (across + kGroup - 1) / kGroup));
    const int64_t grain = std::clamp<int64_t>(along * groups / (4 * num_threads()), 1, along);
    parallel_for(0, along * groups, grain, [&](int64_t first, int64_t last) {
      const TileState tiles;
      for (int64_t s = first; s < last; ++s) {
        const int64_t i = s % along, from = across * (s / along) / groups,
                      to = across * (s / along + 1) / groups;
        const int64_t lines = s + 1 < last ? block_ * int64_t(sizeof(uint16_t)) / 64 : 0;
        const char* next = reinterpret_cast<const char*>(inner.blocks + (s + 1) % along * block_);
        for (int64_t j = from; j < to; ++j) {
          const int64_t done = lines * (j - from) / (to - from), some = lines * (j - from + 1) / (to - from);
          if (rows_outside_) {
            block(outer, inner, p, j, i, next + done * 64, some - done);
          } else {
            block(inner, outer, p, i, j, next + done * 64, some - done);
          }
        }
      }
    });
  }

  void block(const Chunk& a, const Chunk& b, int64_t p, int64_t i, int64_t j, const char* ahead,
             int64_t lines_ahead) {
    const int64_t row = a.first + i * kSide, column = b.first + j * kSide, depth = depth_at(p);
    const int64_t rows = std::min(kSide, a.size - i * kSide), columns = std::min(kSide, b.size - j * kSide);
    int64_t ld;
    float* to = target(a, b, row, column, &ld);
    if (p == 0) begin(row, column, rows, columns, to, ld);
    const bool add = p > 0 || beta_ != 0, last = p + depth == k_;
    const bool split = keeps_the_bound(a.ranges[i], b.ranges[j], k_);
    (split ? g_split : g_whole).fetch_add(1, std::memory_order_relaxed);
    const float* bias = last ? bias_of(column) : nullptr;
    if (split) {
      // A block's sum is made apart and added to what is there: that keeps the chains of additions short.
      kernels::table().bf16_tile_f32(blocks_of(depth), parts_, a.blocks + i * block_, b.blocks + j * block_,
                                     to, ld, rows, columns, bias, add, ahead, lines_ahead);
    } else {
      in_float(row, column, p, rows, columns, depth, to, ld, add);
      for (int64_t r = 0; bias && r < rows; ++r) {
        for (int64_t q = 0; q < columns; ++q) to[r * ld + q] += bias[q];
      }
    }
    if (last) finish(row, column, rows, columns, to, ld);
  }

  // Where the block's sums are kept: in C, or beside it for bfloat16.
  float* target(const Chunk& a, const Chunk& b, int64_t row, int64_t column, int64_t* ld) {
    if constexpr (std::is_same_v<T, float>) {
      *ld = ldc_;
      return c_ + row * ldc_ + column;
    } else {
      *ld = rows_outside_ ? n_ : b.size;
      return sums_ + (rows_outside_ ? (row - a.first) * *ld + column : row * *ld + column - b.first);
    }
  }

  void begin(int64_t row, int64_t column, int64_t rows, int64_t columns, float* to, int64_t ld) {
    if (beta_ == 0 || (beta_ == 1 && std::is_same_v<T, float>)) return;
    for (int64_t i = 0; i < rows; ++i) {
      const T* old = c_ + (row + i) * ldc_ + column;
      for (int64_t j = 0; j < columns; ++j) to[i * ld + j] = beta_ * float(old[j]);
    }
  }

  const float* bias_of(int64_t column) const {
    if constexpr (std::is_same_v<T, float>) return bias_ ? bias_ + column : nullptr;
    return nullptr;  // of bfloat16: added by finish
  }

  void finish(int64_t row, int64_t column, int64_t rows, int64_t columns, float* to, int64_t ld) {
    if constexpr (!std::is_same_v<T, float>) {
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; bias_ && j < columns; ++j) to[i * ld + j] += float(bias_[column + j]);
        kernels::table().f32_to_bf16(columns, to + i * ld,
                                     reinterpret_cast<uint16_t*>(c_ + (row + i) * ldc_ + column));
      }
    }
  }

  void in_float(int64_t row, int64_t column, int64_t p, int64_t rows, int64_t columns, int64_t depth,
                float* to, int64_t ld, bool add) {
    const TileKernel<float> tile = tile_kernel<float>();
    const auto panel_a = [&](int64_t i, int64_t count, int64_t k, int64_t kc, float* dst) {
      pack_panel(tile.mr, count, kc, a_.data + (row + i) * a_.side + (p + k) * a_.depth, a_.side, a_.depth,
                 a_.scale, dst);
    };
    const auto panel_b = [&](int64_t j, int64_t count, int64_t k, int64_t kc, float* dst) {
      pack_panel(tile.nr, count, kc, b_.data + (p + k) * b_.depth + (column + j) * b_.side, b_.side, b_.depth,
                 1.0f, dst);
    };
    gemm_block<float>(rows, columns, depth, panel_a, panel_b, to, ld, static_cast<const float*>(nullptr),
                      add);
  }

  const int parts_;
  const int64_t m_, n_, k_;
  const Operand<T> a_, b_;
  const float beta_;
  T* const c_;
  const int64_t ldc_;
  const T* const bias_;
  bool rows_outside_ = false;      // chunks of rows are the outer loop
  int64_t depth_ = 0, block_ = 0;  // of k; numbers of a packed block
  int64_t inner_chunk_ = 0, outer_chunk_ = 0;
  float* sums_ = nullptr;
};

// Whether tiles are quicker: the multiplications of the float32 path against tiles with their rims and
// packing.
template <class T>
bool tiles_pay(int parts, int64_t m, int64_t n, int64_t k, bool weight) {
  constexpr bool split = std::is_same_v<T, float>;
  const int64_t rate = kernels::table().bf16_rate;
  if (g_always.load(std::memory_order_relaxed)) return k > 0;
  if (rate <= 1 || k == 0 || (split && k < kLeastDepth)) return false;
  const double rows = double(blocks_of(m) * kSide), columns = double(blocks_of(n) * kSide);
  const double depth = double(blocks_of(k) * kSide), packing = split ? kSplitCost : kPackCost;
  const int products = parts * (parts + 1) / 2;
  const double packed = rows + (weight ? kWeightShare : 1) * columns;
  const double tiles = products * rows * columns * depth / double(rate) + packing * parts * packed * depth;
  return tiles < double(m) * double(n) * double(k);
}

}  // namespace

MatmulPrecision float32_matmul_precision() { return g_precision.load(std::memory_order_relaxed); }
void set_float32_matmul_precision(MatmulPrecision p) { g_precision.store(p, std::memory_order_relaxed); }

bool always_tiles() { return g_always.load(std::memory_order_relaxed); }
void set_always_tiles(bool on) { g_always.store(on, std::memory_order_relaxed); }

TileCounts tile_counts() { return {g_split.load(), g_whole.load()}; }

template <class T>
void gemm_in_parts(int parts, int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
                   compute_t<T> beta, T* c, int64_t ldc, const T* bias) {
  Product<T>(parts, m, n, k, alpha, a, b, beta, c, ldc, bias).run();
}

namespace {

// Parts that each number is split into for this product; 0 where tiles do not pay. `weight`: B is one.
template <class T>
int parts_of(int64_t m, int64_t n, int64_t k, bool weight) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, BFloat16>) {
    const MatmulPrecision p = float32_matmul_precision();
    const int parts = std::is_same_v<T, BFloat16> || p == MatmulPrecision::Medium ? 1
                      : p == MatmulPrecision::High                                ? 2
                                                                                  : 3;
    return tiles_pay<T>(parts, m, n, k, weight) ? parts : 0;
  }
  return 0;
}

}  // namespace

template <class T>
bool takes_tiles(int64_t m, int64_t n, int64_t k) {
  return parts_of<T>(m, n, k, false) > 0;
}

template <class T>
bool gemm_by_tiles(int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
                   compute_t<T> beta, T* c, int64_t ldc, const T* bias) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, BFloat16>) {
    const int parts = parts_of<T>(m, n, k, b.weight != nullptr);
    if (parts == 0) return false;
    gemm_in_parts<T>(parts, m, n, k, alpha, a, b, beta, c, ldc, bias);
    return true;
  }
  return false;
}

#define NNLIB_INSTANTIATE(T)                                                                      \
  template bool takes_tiles<T>(int64_t, int64_t, int64_t);                                        \
  template bool gemm_by_tiles<T>(int64_t, int64_t, int64_t, compute_t<T>, Strided<T>, Strided<T>, \
                                 compute_t<T>, T*, int64_t, const T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
NNLIB_INSTANTIATE(Half)
NNLIB_INSTANTIATE(BFloat16)
#undef NNLIB_INSTANTIATE
template void gemm_in_parts<float>(int, int64_t, int64_t, int64_t, float, Strided<float>, Strided<float>,
                                   float, float*, int64_t, const float*);
template void gemm_in_parts<BFloat16>(int, int64_t, int64_t, int64_t, float, Strided<BFloat16>,
                                      Strided<BFloat16>, float, BFloat16*, int64_t, const BFloat16*);

}  // namespace nnlib::drivers
