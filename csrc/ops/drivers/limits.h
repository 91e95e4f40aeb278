// The machine's limits, measured: benchmarks set every other time against them.
#pragma once
#include <cstdint>

#include "kernels/table.h"

namespace nnlib::drivers {

// Floating-point operations a second of `threads` threads that do nothing but float32 multiply-adds on
// registers with this table's vectors: the best of the rounds that fit into `seconds`.
double fma_rate(const kernels::Table& table, int threads, double seconds);

// The same of products of bfloat16 on the table's tiles, operands in the first-level cache; 0 where it has no
// tiles.
double tile_rate(const kernels::Table& table, int threads, double seconds);

// Bytes a second, read and written together, of `threads` threads that each copy their own array of `bytes`
// bytes again and again; `past_caches` stores past the caches. The best of the rounds that fit into
// `seconds`.
double copy_rate(const kernels::Table& table, int threads, int64_t bytes, bool past_caches, double seconds);

}  // namespace nnlib::drivers
