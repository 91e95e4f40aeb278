// The kernels that AMX or AVX512-BF16 does better than AVX-512; the others of their tables are AVX-512's,
// compiled once.
#include "table.h"

#if defined(__AMX_BF16__)
#include "bf16_tiles.inl"
#else
#include "bf16_dots.inl"
#endif

namespace nnlib::kernels::NNLIB_ISA_NS {

void use_bf16(Table* t) {
  t->bf16_rate = bf16_rate;
  t->bf16_begin = bf16_begin;
  t->bf16_end = bf16_end;
  t->bf16_split_rows = bf16_split_rows;
  t->bf16_split_pairs = bf16_split_pairs;
  t->bf16_pack_rows = bf16_pack_rows;
  t->bf16_pack_pairs = bf16_pack_pairs;
  t->bf16_gather_rows = bf16_gather_rows;
  t->bf16_gather_pairs = bf16_gather_pairs;
  t->bf16_tile_f32 = bf16_tile_f32;
}

}  // namespace nnlib::kernels::NNLIB_ISA_NS
