// The kernels that AMX does better than AVX-512; the others of its table are AVX-512's, compiled once.
#include "table.h"

#include "bf16_tiles.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {

void use_tiles(Table* t) {
  t->bf16_rate = bf16_rate;
  t->bf16_begin = bf16_begin;
  t->bf16_end = bf16_end;
  t->bf16_split_rows = bf16_split_rows;
  t->bf16_split_pairs = bf16_split_pairs;
  t->bf16_tile_f32 = bf16_tile_f32;
}

}  // namespace nnlib::kernels::NNLIB_ISA_NS
