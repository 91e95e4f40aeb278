// The inner loops of every matrix product: one thread, operands that are packed panel by panel on demand.
//
// After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008): a kc
// x nc part of B is packed, then mc x kc parts of A, and the tile kernel runs over pairs of panels.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/half.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"

namespace nnlib {
class Storage;
}

namespace nnlib::drivers {

// An operand in memory: element (i, j) is data[i * rs + j * cs]. The storage of one operand of a product
// that will be used again, a weight, lets its packing be kept (packed_cache.h).
template <class T>
struct Strided {
  const T* data;
  int64_t rs, cs;
  Storage* weight = nullptr;
};

// The tile kernel of a compute type with its block sizes.
template <class T>
struct TileKernel {
  int64_t mr, nr, kc, mc, nc;
  void (*run)(int64_t kc, const T* a, const T* b, int64_t ldb, T* c, int64_t ldc, int64_t m, int64_t n,
              const T* row_bias, const T* bias, bool accumulate);
};

template <class T>
TileKernel<T> tile_kernel();
template <>
inline TileKernel<float> tile_kernel() {
  const kernels::Table& t = kernels::table();
  return {t.sgemm_mr, t.sgemm_nr, t.sgemm_kc, t.sgemm_mc, t.sgemm_nc, t.sgemm_tile};
}
template <>
inline TileKernel<double> tile_kernel() {
  const kernels::Table& t = kernels::table();
  return {t.dgemm_mr, t.dgemm_nr, t.dgemm_kc, t.dgemm_mc, t.dgemm_nc, t.dgemm_tile};
}

inline void pack_panel(int64_t width, int64_t n, int64_t kc, const float* src, int64_t rs, int64_t cs,
                       float scale, float* dst) {
  kernels::table().pack_f32(width, n, kc, src, rs, cs, scale, dst);
}
inline void pack_panel(int64_t width, int64_t n, int64_t kc, const double* src, int64_t rs, int64_t cs,
                       double scale, double* dst) {
  kernels::table().pack_f64(width, n, kc, src, rs, cs, scale, dst);
}
inline void pack_panel(int64_t width, int64_t n, int64_t kc, const BFloat16* src, int64_t rs, int64_t cs,
                       float scale, float* dst) {
  kernels::table().pack_bf16(width, n, kc, reinterpret_cast<const uint16_t*>(src), rs, cs, scale, dst);
}
inline void pack_panel(int64_t width, int64_t n, int64_t kc, const Half* src, int64_t rs, int64_t cs,
                       float scale, float* dst) {
  kernels::table().pack_f16(width, n, kc, reinterpret_cast<const uint16_t*>(src), rs, cs, scale, dst);
}

// All panels of rows that are contiguous, as kernels.def says of pack_panels.
inline void pack_panels(int64_t width, int64_t each, int64_t n, int64_t kc, const float* src, int64_t ld,
                        float scale, float* dst, int64_t panel) {
  kernels::table().pack_panels_f32(width, each, n, kc, src, ld, scale, dst, panel);
}
inline void pack_panels(int64_t width, int64_t each, int64_t n, int64_t kc, const double* src, int64_t ld,
                        double scale, double* dst, int64_t panel) {
  kernels::table().pack_panels_f64(width, each, n, kc, src, ld, scale, dst, panel);
}

// Blocks of at most `limit` that divide `size` evenly, a multiple of `unit` each.
inline int64_t balanced_block(int64_t size, int64_t limit, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, (size + limit - 1) / limit);
  return std::max<int64_t>(1, ((size + blocks - 1) / blocks + unit - 1) / unit) * unit;
}

// C[m, n] (+)= A[m, k] B[k, n] (+ bias for each column, when C is overwritten). A panel of A is made by
// pack_a(i, rows, k, kc, dst), of B by pack_b(j, cols, k, kc, dst), as kernels.def says of pack. The blocks
// of k are added in order, so each element's bits depend on its own row and column alone.
template <class T, class PackA, class PackB>
void gemm_block(int64_t m, int64_t n, int64_t k, PackA pack_a, PackB pack_b, T* c, int64_t ldc, const T* bias,
                bool accumulate) {
  if (m <= 0 || n <= 0) return;
  const TileKernel<T> tile = tile_kernel<T>();
  const int64_t kc_max = balanced_block(k, tile.kc, 1);
  const int64_t mc_max = balanced_block(m, tile.mc, tile.mr), nc_max = balanced_block(n, tile.nc, tile.nr);
  T* a = scratch<Scratch::PanelsA, T>(mc_max * kc_max);
  T* b = scratch<Scratch::PanelsB, T>(nc_max * kc_max);
  for (int64_t jc = 0; jc < n; jc += nc_max) {
    const int64_t nc = std::min(nc_max, n - jc);
    int64_t pc = 0;
    do {  // once even where k is 0: C has to be written
      const int64_t kc = std::min(kc_max, k - pc);
      const bool add = accumulate || pc > 0;
      for (int64_t j = 0; j < nc; j += tile.nr) pack_b(jc + j, std::min(tile.nr, nc - j), pc, kc, b + j * kc);
      for (int64_t ic = 0; ic < m; ic += mc_max) {
        const int64_t mc = std::min(mc_max, m - ic);
        for (int64_t i = 0; i < mc; i += tile.mr)
          pack_a(ic + i, std::min(tile.mr, mc - i), pc, kc, a + i * kc);
        for (int64_t j = 0; j < nc; j += tile.nr) {
          for (int64_t i = 0; i < mc; i += tile.mr) {
            tile.run(kc, a + i * kc, b + j * kc, tile.nr, c + (ic + i) * ldc + jc + j, ldc,
                     std::min(tile.mr, mc - i), std::min(tile.nr, nc - j), nullptr,
                     bias ? bias + jc + j : nullptr, add);
          }
        }
      }
      pc += kc_max;
    } while (pc < k);
  }
}

}  // namespace nnlib::drivers
