// The plain scalar truth of every kernel: a table like the others, and what the others are tested against.
// Compiled without vector flags; written to be read, not to be fast.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "table.h"

#include "reference/activation.inl"
#include "reference/attention.inl"
#include "reference/bf16.inl"
#include "reference/conv.inl"
#include "reference/conv_layout.inl"
#include "reference/convert.inl"
#include "reference/cross_entropy.inl"
#include "reference/distance.inl"
#include "reference/elementwise.inl"
#include "reference/embedding.inl"
#include "reference/fill.inl"
#include "reference/gemm.inl"
#include "reference/grid.inl"
#include "reference/norm.inl"
#include "reference/normal.inl"
#include "reference/optim.inl"
#include "reference/pool.inl"
#include "reference/probe.inl"
#include "reference/random.inl"
#include "reference/reduce.inl"
#include "reference/rows.inl"
#include "reference/softmax.inl"
#include "reference/transpose.inl"
#include "reference/winograd.inl"

namespace nnlib::kernels::reference {

extern const Table kernel_table;
constexpr Table kernel_table = {
#define NNLIB_KERNEL(name, ret, args) name,
#define NNLIB_BLOCK(name) name,
#include "kernels.def"
};

}  // namespace nnlib::kernels::reference
