#include "ops/drivers/gemm_plan.h"

#include <algorithm>
#include <numeric>

#include "core/parallel.h"
#include "ops/drivers/gemm.h"
#include "ops/drivers/packed_cache.h"

namespace nnlib::drivers {

namespace {

// Costs in cycles, measured on Zen 3; only their ratios matter. Packing costs an element: a copy, the
// transposition of blocks, anything else.
constexpr double kCopy = 0.3, kTranspose = 0.4, kGather = 2;
// A row of Q read from a page of its own by a tile that does not find it in the first-level cache.
constexpr double kFarRow = 1;
constexpr double kStore = 0.1, kTurnedStore = 0.5;  // an element of C for each block of k
constexpr int64_t kStoreWork = 6;                   // of C, in multiplications an element
constexpr double kReduction = 5;                    // the lanes of a vector to one number
constexpr int64_t kNearBytes = 16 << 10;   // fits the first-level cache beside a tile's other operand
constexpr int64_t kNearShare = 128 << 10;  // leaves room in the second-level cache
constexpr int64_t kSharedBytes = 4 << 20;  // of Q packed at once
constexpr int64_t kFewShares = 4, kManyShares = 16;  // of a thread
constexpr int64_t kNearRows = 1 << 20;               // P that caches of a core hold, about
constexpr int64_t kFarPanels = 16;                   // of Q in a share whose P has to be fetched
constexpr int64_t kRowsBytes = 288 << 10;  // of P packed at once, beside a panel of Q in the second level

double pack_cost(int64_t along, int64_t across) {
  return across == 1 ? kCopy : along == 1 ? kTranspose : kGather;
}

void rows_kernel(int64_t m, int64_t n, int64_t kc, const float* a, int64_t rs, int64_t cs, const float* b,
                 int64_t ldb, int64_t b_step, float* c, int64_t ldc, const float* bias, bool accumulate,
                 bool turned) {
  kernels::table().sgemm_rows(m, n, kc, a, rs, cs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
}
void rows_kernel(int64_t m, int64_t n, int64_t kc, const double* a, int64_t rs, int64_t cs, const double* b,
                 int64_t ldb, int64_t b_step, double* c, int64_t ldc, const double* bias, bool accumulate,
                 bool turned) {
  kernels::table().dgemm_rows(m, n, kc, a, rs, cs, b, ldb, b_step, c, ldc, bias, accumulate, turned);
}
void dots_kernel(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                 float* c, int64_t cr, int64_t cc) {
  kernels::table().gemm_dots_f32(m, n, k, a, lda, b, ldb, c, cr, cc);
}
void dots_kernel(int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, const double* b, int64_t ldb,
                 double* c, int64_t cr, int64_t cc) {
  kernels::table().gemm_dots_f64(m, n, k, a, lda, b, ldb, c, cr, cc);
}

template <class T>
void scale_rows(int64_t m, int64_t n, T beta, T* c, int64_t ldc) {
  parallel_for(0, m, std::max<int64_t>(1, kSerialProduct / 16 / n), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      for (int64_t j = 0; j < n; ++j) c[i * ldc + j] *= beta;
    }
  });
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Whether `count` lines of the cache this many bytes apart find room in half of a first-level cache of 64
// sets and 8 ways: those a power of two apart fall on few sets.
bool fit_the_sets(int64_t count, int64_t bytes) {
  const int64_t step = std::max<int64_t>(64, std::gcd(bytes, int64_t(4096)));
  return count <= 4096 / step * 8 / 2;
}

}  // namespace

template <class T>
GemmPlan<T>::GemmPlan(int64_t m, int64_t n, int64_t k, T alpha, Strided<T> a, Strided<T> b)
    : tile_(tile_kernel<T>()),
      m_(m),
      n_(n),
      k_(k),
      kc_(balanced_block(k, tile_.kc, 1)),
      alpha_(alpha),
      a_(a),
      b_(b) {
  tiles_ = plan_tiles(false, false);
  const Tiles turned = plan_tiles(true, false);
  if (turned.cycles < tiles_.cycles) tiles_ = turned;
  dots_ = plan_dots() < tiles_.cycles;
}

template <class T>
typename GemmPlan<T>::Tiles GemmPlan<T>::plan_tiles(bool turned, bool q_is_kept) const {
  Tiles t;
  t.turned = turned;
  t.M = turned ? n_ : m_, t.N = turned ? m_ : n_;
  t.prs = turned ? b_.cs : a_.rs, t.pks = turned ? b_.rs : a_.cs;
  t.qks = turned ? a_.cs : b_.rs, t.qcs = turned ? a_.rs : b_.cs;
  const bool scaled = alpha_ != T(1);
  const int64_t nr = tile_.nr, mr = tile_.mr, panels = ceil_div(t.N, nr), tail = t.N % nr;
  const double blocks = double(ceil_div(std::max<int64_t>(k_, 1), kc_));
  // P, where its elements lie apart along k, would use a part of each cache line only.
  const bool rows = t.pks == 1, columns = t.prs == 1 && k_ <= 64 &&
                                          (panels <= 2 || fit_the_sets(k_, t.pks * int64_t(sizeof(T))));
  t.pack_p = (scaled && !turned) || (!rows && !columns);
  if (t.pack_p) t.cycles += pack_cost(t.pks, t.prs) * double(t.M) * double(k_);
  if (q_is_kept) {
    t.pack_q = true;
  } else {
    const double pack = pack_cost(t.qks, t.qcs) * double(panels * nr) * double(k_);
    const bool near = k_ * t.N * int64_t(sizeof(T)) <= kNearBytes;
    const double far = near ? 0 : kFarRow * double(ceil_div(t.M, mr)) * double(panels) * double(k_);
    t.pack_q = (scaled && turned) || t.qcs != 1 || pack < far;
    t.cycles += t.pack_q ? pack : far;
  }
  // A vector of the tail is slower for having half of the accumulators; up to three rows wait for each other.
  const double columns_run = double(t.N - tail) + (tail == 0        ? 0
                                                   : tail <= nr / 2 ? 0.7 * double(nr)
                                                                    : double(nr));
  const double rows_run = double(std::max<int64_t>(t.M, std::min<int64_t>(mr, 4)));
  t.cycles += rows_run * columns_run * double(k_) / double(nr);
  t.cycles += (turned ? kTurnedStore : kStore) * double(t.M) * double(t.N) * blocks;
  return t;
}

template <class T>
void GemmPlan<T>::run(const T* a, const T* b, T beta, T* c, int64_t ldc, const T* bias, Storage* kept_a,
                      Storage* kept_b) const {
  if (dots_) return run_dots(a, b, beta, c, ldc, bias);
  if (beta != 0 && beta != 1) scale_rows(m_, n_, beta, c, ldc);
  // A kept packing gives the same bits: each element stays one chain over k with the same blocks.
  Storage* kept = kept_b ? kept_b : alpha_ == T(1) ? kept_a : nullptr;
  const Tiles with_kept = kept ? plan_tiles(kept != kept_b, true) : Tiles{};
  if (kept && with_kept.cycles < 0.97 * tiles_.cycles) {
    const T *p = with_kept.turned ? b : a, *q = with_kept.turned ? a : b;
    const int64_t panels = ceil_div(with_kept.N, tile_.nr), nr = tile_.nr, size = sizeof(T);
    const int64_t offset = reinterpret_cast<const char*>(q) - static_cast<const char*>(kept->data());
    const PackedKey key{PackedKind::GemmPanels,
                        {offset, k_, with_kept.N, with_kept.qks, with_kept.qcs, nr, kc_, size}};
    const Packed form = packed_weight(*kept, key, panels * nr * k_ * size, [&](void* to) {
      pack_columns(with_kept, q, 0, k_, 0, with_kept.N, static_cast<T*>(to));
    });
    if (form) return run_tiles(with_kept, p, q, beta != 0, c, ldc, bias, static_cast<const T*>(form.get()));
  }
  run_tiles(tiles_, tiles_.turned ? b : a, tiles_.turned ? a : b, beta != 0, c, ldc, bias, nullptr);
}

// Panels of Q: block of k by block, in each the panels one after the other.
template <class T>
void GemmPlan<T>::pack_columns(const Tiles& t, const T* q, int64_t pc, int64_t depth, int64_t jc,
                               int64_t columns, T* panels) const {
  const int64_t nr = tile_.nr, count = ceil_div(columns, nr);
  const T scale = t.turned ? alpha_ : T(1);
  const int64_t grain = std::max<int64_t>(1, kSerialProduct / 64 / (nr * std::max<int64_t>(depth, 1)));
  parallel_for(0, count, grain, [&](int64_t first, int64_t last) {
    for (int64_t p = 0; p < depth; p += kc_) {
      const int64_t kc = std::min(kc_, depth - p);
      const T* from = q + (pc + p) * t.qks + jc * t.qcs;
      T* to = panels + p * count * nr;
      if (t.qcs == 1) {
        pack_panels(nr, nr, std::min(last * nr, columns) - first * nr, kc, from + first * nr, t.qks, scale,
                    to + first * nr * kc, nr * kc);
        continue;
      }
      for (int64_t j = first; j < last; ++j) {
        pack_panel(nr, std::min(nr, columns - j * nr), kc, from + j * nr * t.qcs, t.qcs, t.qks, scale,
                   to + j * nr * kc);
      }
    }
  });
}

// Rows [i0, i1) and panels [j0, j1) of a pass, on one thread.
template <class T>
void GemmPlan<T>::run_share(const Tiles& t, const Pass& x, int64_t i0, int64_t i1, int64_t j0,
                            int64_t j1) const {
  const int64_t nr = tile_.nr, mr = tile_.mr;
  const int64_t packed_rows = kRowsBytes / int64_t(sizeof(T)) / kc_ / mr * mr;
  const int64_t mc_max = balanced_block(i1 - i0, t.pack_p ? std::max(tile_.mc, packed_rows) : tile_.mc, mr);
  T* rows = t.pack_p ? scratch<Scratch::PanelsA, T>(mc_max * kc_) : nullptr;
  for (int64_t ic = i0; ic < i1; ic += mc_max) {
    const int64_t mc = std::min(mc_max, i1 - ic), high = ceil_div(mc, ceil_div(mc, mr));
    int64_t b = 0;
    do {  // once even where k is 0: C has to be written
      const int64_t kc = std::min(kc_, x.depth - b);
      const bool add = x.accumulate || x.pc + b > 0;
      const T* from = x.p + ic * t.prs + (x.pc + b) * t.pks;
      const T scale = t.turned ? T(1) : alpha_;
      if (t.pack_p && t.prs == 1) pack_panels(mr, high, mc, kc, from, t.pks, scale, rows, mr * kc);
      for (int64_t i = 0; t.pack_p && t.prs != 1 && i < mc; i += high) {
        pack_panel(mr, std::min(high, mc - i), kc, from + i * t.prs, t.prs, t.pks, scale,
                   rows + i / high * mr * kc);
      }
      // A panel of Q passes over all rows of the block. Where Q stays in the cache anyhow and C does not, a
      // few rows pass over all panels instead: C is written in the order of memory.
      const int64_t width = (j1 - j0) * nr * int64_t(sizeof(T));
      const bool by_rows = !t.turned && kc * width <= kNearShare && mc * width > kNearShare;
      const int64_t group = by_rows ? high : mc, step = t.pack_p ? high : group;
      const int64_t whole = t.pack_q ? j1 : std::min(j1, (t.N - x.jc) / nr);  // the last panel may be a copy
      for (int64_t g = 0; g < mc; g += group) {
        for (int64_t j = j0, together; j < j1; j += together) {
          together = by_rows && j < whole ? whole - j : 1;
          const int64_t column = x.jc + j * nr, n = std::min(together * nr, t.N - column);
          const bool tail = j >= whole;
          const T* panel = t.pack_q ? x.packed + b * x.count * nr + j * nr * kc
                           : tail   ? x.packed + b * nr
                                    : x.q + (x.pc + b) * t.qks + column * t.qcs;
          for (int64_t i = g; i < std::min(g + group, mc); i += step) {
            const int64_t row = ic + i;
            T* to = t.turned ? x.c + column * x.ldc + row : x.c + row * x.ldc + column;
            const T* bias = x.bias ? x.bias + (t.turned ? row : column) : nullptr;
            rows_kernel(std::min(step, mc - i), n, kc,
                        t.pack_p ? rows + i / high * mr * kc : from + i * t.prs, t.pack_p ? 1 : t.prs,
                        t.pack_p ? mr : t.pks, panel, t.pack_q || tail ? nr : t.qks, t.pack_q ? nr * kc : nr,
                        to, x.ldc, bias, add, t.turned);
          }
        }
      }
      b += kc_;
    } while (b < x.depth);
  }
}

// How many parts the rows of C and `panels` of its columns are cut into. Many more than threads, so that one
// that is held up gives work away; but not below the rows that a panel of Q passes over, nor, where rows of P
// are packed or come from memory for each part, below as many columns as pay for that.
template <class T>
typename GemmPlan<T>::Shares GemmPlan<T>::plan_shares(const Tiles& t, int64_t panels, int64_t depth) const {
  const double work = double(t.M) * double(panels * tile_.nr) * double(depth + kStoreWork);
  const int64_t threads = work < double(kSerialProduct) || in_parallel_region() ? 1 : num_threads();
  if (threads == 1) return {1, 1};
  const int64_t pieces = std::max<int64_t>(1, int64_t(work / double(4 * kSerialProduct)));
  const int64_t few = threads * std::min(pieces, kFewShares), many = threads * std::min(pieces, kManyShares);
  int64_t rows = std::min(many, std::max<int64_t>(1, t.M / tile_.mc));
  if (t.pack_p) rows = std::max(rows, std::min(few, t.M / (4 * tile_.mr)));
  const bool near = !t.pack_p && t.M * depth * int64_t(sizeof(T)) <= kNearRows;
  const int64_t most = near ? panels : std::max(ceil_div(few, rows), panels / kFarPanels);
  return {rows, std::min({panels, most, ceil_div(many, rows)})};
}

template <class T>
void GemmPlan<T>::run_tiles(const Tiles& t, const T* p, const T* q, bool accumulate, T* c, int64_t ldc,
                            const T* bias, const T* kept) const {
  const int64_t nr = tile_.nr, mr = tile_.mr, size = sizeof(T);
  const bool shared = t.pack_q && !kept;
  // What is packed at once: all of Q, or as many blocks of k and columns as fit.
  const int64_t depth_all = std::max<int64_t>(k_, 1);
  int64_t nc_max = t.N, depth_max = depth_all;
  if (shared && t.N * depth_all * size > kSharedBytes) {
    depth_max = std::min(depth_all, std::max<int64_t>(1, kSharedBytes / size / t.N / kc_) * kc_);
    nc_max = std::min(t.N, std::max<int64_t>(1, kSharedBytes / size / depth_max / nr) * nr);
  }
  Pass x{p, q, kept, c, bias, ldc, 0, 0, 0, 0, accumulate};
  T* panels = nullptr;
  if (shared) {
    x.packed = panels = scratch<Scratch::PanelsB, T>(ceil_div(nc_max, nr) * nr * depth_max);
  } else if (!t.pack_q && t.N % nr != 0) {  // tiles read whole panels: the last one is copied
    x.packed = panels = scratch<Scratch::PanelsB, T>(nr * depth_all);
    pack_columns(t, q, 0, k_, t.N / nr * nr, t.N % nr, panels);
  }
  for (x.jc = 0; x.jc < t.N; x.jc += nc_max) {
    const int64_t nc = std::min(nc_max, t.N - x.jc);
    x.count = ceil_div(nc, nr);
    for (x.pc = 0; x.pc < depth_all; x.pc += depth_max) {
      x.depth = std::min(depth_max, k_ - x.pc);
      if (shared) pack_columns(t, q, x.pc, x.depth, x.jc, nc, panels);
      const Shares shares = plan_shares(t, x.count, x.depth);
      const int64_t row_block = ceil_div(ceil_div(t.M, shares.rows), mr) * mr;  // no low tiles within
      const int64_t panel_block = ceil_div(x.count, shares.columns);
      const int64_t grid_rows = ceil_div(t.M, row_block), grid_columns = ceil_div(x.count, panel_block);
      parallel_for(0, grid_rows * grid_columns, 1, [&](int64_t first, int64_t last) {
        for (int64_t s = first; s < last; ++s) {
          const int64_t i = s / grid_columns * row_block, j = s % grid_columns * panel_block;
          run_share(t, x, i, std::min(t.M, i + row_block), j, std::min(x.count, j + panel_block));
        }
      });
    }
  }
}

// Few rows of one operand, and the other contiguous along k: nothing of it is packed or turned.
template <class T>
double GemmPlan<T>::plan_dots() const {
  const bool few_rows = m_ <= n_;
  const int64_t few = few_rows ? m_ : n_;
  const bool other_rows = few_rows ? b_.rs == 1 : a_.cs == 1;
  const bool few_contiguous = few_rows ? a_.cs == 1 : b_.rs == 1;
  if (few > 8 || !other_rows || k_ < 8) return 1e300;
  const double products = double(m_) * double(n_);
  return products * double(k_) / double(tile_.nr) * 1.2 + products * kReduction +
         (few_contiguous ? 0 : kGather * double(few) * double(k_));
}

template <class T>
void GemmPlan<T>::run_dots(const T* a, const T* b, T beta, T* c, int64_t ldc, const T* bias) const {
  const bool few_rows = m_ <= n_;
  const int64_t few = few_rows ? m_ : n_, many = few_rows ? n_ : m_;
  const T* small = few_rows ? a : b;
  const int64_t small_k = few_rows ? a_.cs : b_.rs;
  int64_t small_row = few_rows ? a_.rs : b_.cs;
  if (small_k != 1) {
    T* rows = scratch<Scratch::Vector, T>(few * k_);
    for (int64_t i = 0; i < few; ++i) {
      for (int64_t p = 0; p < k_; ++p) rows[i * k_ + p] = small[i * small_row + p * small_k];
    }
    small = rows;
    small_row = k_;
  }
  const T* large = few_rows ? b : a;
  const int64_t large_row = few_rows ? b_.cs : a_.rs;
  const bool plain = alpha_ == T(1) && beta == T(0) && !bias;
  // Memory sets the pace: a share is worth a thread at an eighth of the usual multiplications.
  const int64_t grain = std::max<int64_t>(24, kSerialProduct / 8 / k_);
  parallel_for(0, many, ceil_div(grain, 24) * 24, [&](int64_t first, int64_t last) {
    const int64_t count = last - first;
    T* to = few_rows ? c + first : c + first * ldc;
    if (plain) {
      return dots_kernel(few, count, k_, small, small_row, large + first * large_row, large_row, to,
                         few_rows ? ldc : 1, few_rows ? 1 : ldc);
    }
    T* sums = scratch<Scratch::Output, T>(few * count);
    dots_kernel(few, count, k_, small, small_row, large + first * large_row, large_row, sums, count, 1);
    for (int64_t i = 0; i < few; ++i) {
      for (int64_t j = 0; j < count; ++j) {
        T value = alpha_ * sums[i * count + j];
        if (bias) value += bias[few_rows ? first + j : i];
        T& out = few_rows ? to[i * ldc + j] : to[j * ldc + i];
        out = beta == T(0) ? value : value + beta * out;
      }
    }
  });
}

template class GemmPlan<float>;
template class GemmPlan<double>;

}  // namespace nnlib::drivers
