// Matrix products by bfloat16 tiles, AMX's or blocks of AVX512-BF16's dot products: of bfloat16 tensors, and
// of float32 ones whose numbers are split into parts.
#pragma once
#include "core/dtype.h"
#include "kernels/dispatch.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers {

// What products of float32 matrices have to keep (set_float32_matmul_precision).
enum class MatmulPrecision { Highest, High, Medium };
MatmulPrecision float32_matmul_precision();
void set_float32_matmul_precision(MatmulPrecision p);

// gemm() by bfloat16 tiles, where the processor has them and they pay; false where nothing was done. The
// arguments are gemm's.
template <class T>
bool gemm_by_tiles(int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
                   compute_t<T> beta, T* c, int64_t ldc, const T* bias);

// Whether it would.
template <class T>
bool takes_tiles(int64_t m, int64_t n, int64_t k);

// gemm_by_tiles without looking at the processor and at the sizes: `parts` of 1 to 3 for each number; a
// bfloat16 number is one. k is at least 1.
template <class T>
void gemm_in_parts(int parts, int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
                   compute_t<T> beta, T* c, int64_t ldc, const T* bias);

// The processor's tiles are this thread's while there is one of these.
struct TileState {
  TileState() { kernels::table().bf16_begin(); }
  ~TileState() { kernels::table().bf16_end(); }
  TileState(const TileState&) = delete;
  TileState& operator=(const TileState&) = delete;
};

// Tiles for all products, convolutions and attention that can take them, also where they do not pay: for
// tests.
bool always_tiles();
void set_always_tiles(bool on);

// Tiles of C that were computed by bfloat16 products, and those that took the float32 path for the sake of
// their range.
struct TileCounts {
  int64_t split, whole;
};
TileCounts tile_counts();

}  // namespace nnlib::drivers
