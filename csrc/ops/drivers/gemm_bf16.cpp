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
// NOTE ON THE RANGE. Tile instructions take bfloat16 numbers under 2^-126 for 0 and flush sums under it to 0.
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

namespace nnlib::drivers {

namespace {

constexpr int64_t kSide = 32;         // of a block of C, and of a step of k
constexpr int64_t kLeastDepth = 128;  // see the note on the error
constexpr int64_t kDepth = 512;       // of k, packed at once
constexpr int64_t kRows = 1024;       // of A, packed at once
constexpr int64_t kColumns = 1024;    // of B, packed at once
constexpr int64_t kGroup = 8;         // blocks of columns that one thread takes with a block of rows
constexpr int64_t kBlock = kSide * kSide;
// Multiplications of float32 in the time that packing one part of a number takes.
constexpr double kPackCost = 64;

std::atomic<MatmulPrecision> g_precision{MatmulPrecision::Highest};
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

// The tiles are this thread's while there is one of these.
struct TileState {
  TileState() { kernels::table().bf16_begin(); }
  ~TileState() { kernels::table().bf16_end(); }
};

// ---- packing

// An operand's block of `side` rows or columns over `depth` of k: step by step into staging, and split from
// there.
template <class T>
void pack_rows(int parts, int64_t side, int64_t depth, float alpha, const T* a, int64_t rs, int64_t cs,
               uint16_t* to, Range* range) {
  alignas(64) float staging[kBlock];
  const auto split = kernels::table().bf16_split_rows;
  uint32_t seen[2] = {range->low, range->high};
  for (int64_t k = 0; k < depth; k += kSide, to += parts * kBlock) {
    pack_panel(kSide, std::min(kSide, depth - k), side, a + k * cs, cs, rs, alpha, staging);
    std::fill(staging + side * kSide, staging + kBlock, 0.0f);
    split(parts, staging, to, seen);
  }
  *range = {seen[0], seen[1]};
}
template <class T>
void pack_columns(int parts, int64_t side, int64_t depth, const T* b, int64_t rs, int64_t cs, uint16_t* to,
                  Range* range) {
  alignas(64) float staging[kBlock];
  const auto split = kernels::table().bf16_split_pairs;
  uint32_t seen[2] = {range->low, range->high};
  for (int64_t k = 0; k < depth; k += kSide, to += parts * kBlock) {
    const int64_t rows = std::min(kSide, depth - k);
    pack_panel(kSide, side, rows, b + k * rs, cs, rs, 1.0f, staging);
    std::fill(staging + rows * kSide, staging + kBlock, 0.0f);
    split(parts, staging, to, seen);
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
        alpha_(alpha),
        a_(a),
        b_(b),
        beta_(beta),
        c_(c),
        ldc_(ldc),
        bias_(bias) {}

  void run() {
    depth_ = std::min(kDepth, (balanced_block(k_, kDepth, kSide)));
    step_ = parts_ * kSide * ((depth_ + kSide - 1) / kSide * kSide);
    const int64_t rows = std::min(kRows, m_), columns = std::min(kColumns, n_);
    packed_a_ = scratch<Scratch::TilesA, uint16_t>(blocks_of(rows) * step_);
    packed_b_ = scratch<Scratch::TilesB, uint16_t>(blocks_of(columns) * step_);
    if constexpr (!std::is_same_v<T, float>) sums_ = scratch<Scratch::TileSums, float>(m_ * columns);
    range_a_.resize(blocks_of(rows));
    range_b_.resize(blocks_of(columns));
    for (int64_t j = 0; j < n_; j += kColumns) {
      for (int64_t p = 0; p < k_; p += depth_) {
        pack_b(j, std::min(kColumns, n_ - j), p);
        for (int64_t i = 0; i < m_; i += kRows) {
          pack_a(i, std::min(kRows, m_ - i), p);
          multiply(i, std::min(kRows, m_ - i), j, std::min(kColumns, n_ - j), p);
        }
      }
    }
  }

 private:
  int64_t depth_at(int64_t p) const { return std::min(depth_, k_ - p); }

  void pack_a(int64_t i0, int64_t rows, int64_t p) {
    parallel_for(0, blocks_of(rows), 1, [&](int64_t first, int64_t last) {
      for (int64_t s = first; s < last; ++s) {
        const int64_t i = s * kSide;
        range_a_[s] = {};
        pack_rows(parts_, std::min(kSide, rows - i), depth_at(p), alpha_,
                  a_.data + (i0 + i) * a_.rs + p * a_.cs, a_.rs, a_.cs, packed_a_ + s * step_, &range_a_[s]);
      }
    });
  }
  void pack_b(int64_t j0, int64_t columns, int64_t p) {
    parallel_for(0, blocks_of(columns), 1, [&](int64_t first, int64_t last) {
      for (int64_t s = first; s < last; ++s) {
        const int64_t j = s * kSide;
        range_b_[s] = {};
        pack_columns(parts_, std::min(kSide, columns - j), depth_at(p),
                     b_.data + p * b_.rs + (j0 + j) * b_.cs, b_.rs, b_.cs, packed_b_ + s * step_,
                     &range_b_[s]);
      }
    });
  }

  // The blocks of C for the packed rows and columns. A thread goes down the rows with a group of columns,
  // which stays in its cache.
  void multiply(int64_t i0, int64_t rows, int64_t j0, int64_t columns, int64_t p) {
    const int64_t across = blocks_of(rows), groups = (blocks_of(columns) + kGroup - 1) / kGroup;
    parallel_for(0, across * groups, 4, [&](int64_t first, int64_t last) {
      const TileState tiles;
      for (int64_t s = first; s < last; ++s) {
        const int64_t i = s % across, group = s / across * kGroup;
        for (int64_t j = group; j < std::min(group + kGroup, blocks_of(columns)); ++j) {
          block({i0, rows, j0, columns, p}, i, j);
        }
      }
    });
  }

  struct Frame {
    int64_t i0, rows, j0, columns, p;
  };

  void block(const Frame& f, int64_t i, int64_t j) {
    const int64_t rows = std::min(kSide, f.rows - i * kSide),
                  columns = std::min(kSide, f.columns - j * kSide);
    const int64_t row = f.i0 + i * kSide, column = f.j0 + j * kSide, depth = depth_at(f.p);
    int64_t ld;
    float* to = target(f, row, column, &ld);
    if (f.p == 0) begin(row, column, rows, columns, to, ld);
    const bool add = f.p > 0 || beta_ != 0;
    const bool split = keeps_the_bound(range_a_[i], range_b_[j], k_);
    (split ? g_split : g_whole).fetch_add(1, std::memory_order_relaxed);
    if (split) {
      by_tiles(i, j, rows, columns, depth, to, ld, add);
    } else {
      in_float(row, column, f.p, rows, columns, depth, to, ld, add);
    }
    if (f.p + depth == k_) finish(row, column, rows, columns, to, ld);
  }

  // Where the block's sums are kept: in C, or beside it for bfloat16.
  float* target(const Frame& f, int64_t row, int64_t column, int64_t* ld) {
    if constexpr (std::is_same_v<T, float>) {
      *ld = ldc_;
      return c_ + row * ldc_ + column;
    } else {
      *ld = f.columns;
      return sums_ + row * f.columns + column - f.j0;
    }
  }

  void begin(int64_t row, int64_t column, int64_t rows, int64_t columns, float* to, int64_t ld) {
    if (beta_ == 0 || (beta_ == 1 && std::is_same_v<T, float>)) return;
    for (int64_t i = 0; i < rows; ++i) {
      const T* old = c_ + (row + i) * ldc_ + column;
      for (int64_t j = 0; j < columns; ++j) to[i * ld + j] = beta_ * float(old[j]);
    }
  }

  void finish(int64_t row, int64_t column, int64_t rows, int64_t columns, float* to, int64_t ld) {
    for (int64_t i = 0; i < rows; ++i) {
      if (bias_) {
        for (int64_t j = 0; j < columns; ++j) to[i * ld + j] += float(bias_[column + j]);
      }
      if constexpr (!std::is_same_v<T, float>) {
        kernels::table().f32_to_bf16(columns, to + i * ld,
                                     reinterpret_cast<uint16_t*>(c_ + (row + i) * ldc_ + column));
      }
    }
  }

  // A block's sum is made apart and added to what is there: that keeps the chains of additions short.
  void by_tiles(int64_t i, int64_t j, int64_t rows, int64_t columns, int64_t depth, float* to, int64_t ld,
                bool add) {
    const kernels::Table& t = kernels::table();
    const uint16_t *a = packed_a_ + i * step_, *b = packed_b_ + j * step_;
    if (rows == kSide && columns == kSide && !add) {
      t.bf16_tile_f32(blocks_of(depth), parts_, a, b, to, ld);
      return;
    }
    alignas(64) float sum[kBlock];
    t.bf16_tile_f32(blocks_of(depth), parts_, a, b, sum, kSide);
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = sum + r * kSide;
      if (add) {
        t.add_f32(columns, row, to + r * ld, to + r * ld);
      } else {
        std::copy(row, row + columns, to + r * ld);
      }
    }
  }

  void in_float(int64_t row, int64_t column, int64_t p, int64_t rows, int64_t columns, int64_t depth,
                float* to, int64_t ld, bool add) {
    const TileKernel<float> tile = tile_kernel<float>();
    const auto panel_a = [&](int64_t i, int64_t count, int64_t k, int64_t kc, float* dst) {
      pack_panel(tile.mr, count, kc, a_.data + (row + i) * a_.rs + (p + k) * a_.cs, a_.rs, a_.cs, alpha_,
                 dst);
    };
    const auto panel_b = [&](int64_t j, int64_t count, int64_t k, int64_t kc, float* dst) {
      pack_panel(tile.nr, count, kc, b_.data + (p + k) * b_.rs + (column + j) * b_.cs, b_.cs, b_.rs, 1.0f,
                 dst);
    };
    gemm_block<float>(rows, columns, depth, panel_a, panel_b, to, ld, static_cast<const float*>(nullptr),
                      add);
  }

  const int parts_;
  const int64_t m_, n_, k_;
  const float alpha_;
  const Strided<T> a_, b_;
  const float beta_;
  T* const c_;
  const int64_t ldc_;
  const T* const bias_;
  int64_t depth_ = 0, step_ = 0;  // of k; of a packed block, in numbers
  uint16_t *packed_a_ = nullptr, *packed_b_ = nullptr;
  float* sums_ = nullptr;
  std::vector<Range> range_a_, range_b_;
};

// Whether tiles are quicker: the multiplications of the float32 path against tiles with their rims and
// packing.
bool tiles_pay(int parts, int64_t m, int64_t n, int64_t k) {
  const int64_t rate = kernels::table().bf16_rate;
  if (rate <= 1 || k < kLeastDepth) return false;
  const double rows = double(blocks_of(m) * kSide), columns = double(blocks_of(n) * kSide);
  const double depth = double(blocks_of(k) * kSide);
  const int products = parts * (parts + 1) / 2;
  const double tiles =
      products * rows * columns * depth / double(rate) + kPackCost * parts * (rows + columns) * depth;
  return tiles < double(m) * double(n) * double(k);
}

}  // namespace

MatmulPrecision float32_matmul_precision() { return g_precision.load(std::memory_order_relaxed); }
void set_float32_matmul_precision(MatmulPrecision p) { g_precision.store(p, std::memory_order_relaxed); }

TileCounts tile_counts() { return {g_split.load(), g_whole.load()}; }

template <class T>
void gemm_in_parts(int parts, int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
                   compute_t<T> beta, T* c, int64_t ldc, const T* bias) {
  Product<T>(parts, m, n, k, alpha, a, b, beta, c, ldc, bias).run();
}

namespace {

// Parts that each number is split into for this product; 0 where tiles do not pay.
template <class T>
int parts_of(int64_t m, int64_t n, int64_t k) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, BFloat16>) {
    const MatmulPrecision p = float32_matmul_precision();
    const int parts = std::is_same_v<T, BFloat16> || p == MatmulPrecision::Medium ? 1
                      : p == MatmulPrecision::High                                ? 2
                                                                                  : 3;
    return tiles_pay(parts, m, n, k) ? parts : 0;
  }
  return 0;
}

}  // namespace

template <class T>
bool takes_tiles(int64_t m, int64_t n, int64_t k) {
  return parts_of<T>(m, n, k) > 0;
}

template <class T>
bool gemm_by_tiles(int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
                   compute_t<T> beta, T* c, int64_t ldc, const T* bias) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, BFloat16>) {
    const int parts = parts_of<T>(m, n, k);
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
