// Every kernel for one instruction set: compiled once for each, with its flags and NNLIB_ISA_NS naming its
// namespace. A kernel that kernels.def lists and no .inl defines does not compile.
#include "table.h"

#include "activation.inl"
#include "attention.inl"
#include "bf16.inl"
#include "conv.inl"
#include "conv_direct.inl"
#include "conv_dots.inl"
#include "conv_last.inl"
#include "conv_layout.inl"
#include "conv_lines.inl"
#include "conv_stretches.inl"
#include "convert.inl"
#include "cross_entropy.inl"
#include "cross_entropy_lanes.inl"
#include "distance.inl"
#include "elementary_double.inl"
#include "elementwise.inl"
#include "embedding.inl"
#include "fill.inl"
#include "gemm.inl"
#include "gemm_panels.inl"
#include "gemm_small.inl"
#include "gemm_tile.inl"
#include "grid.inl"
#include "norm.inl"
#include "normal.inl"
#include "optim.inl"
#include "pool.inl"
#include "probe.inl"
#include "random.inl"
#include "reduce.inl"
#include "rows.inl"
#include "softmax.inl"
#include "special.inl"
#include "special_double.inl"
#include "transpose.inl"
#include "trig.inl"
#include "winograd.inl"
#include "winograd_tile.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {

// constexpr: filled in by the compiler. Code that ran at load time might not suit the processor.
extern const Table kernel_table;
constexpr Table kernel_table = {
#define NNLIB_KERNEL(name, ret, args) name,
#define NNLIB_BLOCK(name) name,
#include "kernels.def"
};

}  // namespace nnlib::kernels::NNLIB_ISA_NS
