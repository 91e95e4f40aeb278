// Sums over ranks, in rank order: the arithmetic of every reducing collective.
//
// An element's result depends on the ranks' values alone, never on how a buffer was cut into slices or
// buckets, so all ranks, all runs and all bucket sizes give the same bits. float16 and bfloat16 are summed
// in float32 and rounded once.
#pragma once

#include <cstdint>

namespace nnlib::distributed {

enum class ReduceOp : int32_t { Sum, Avg, Product, Min, Max, BAnd, BOr, BXor };

// outs[k][i] = sources[0][i] op sources[1][i] op ... in this order, for each of the `copies` outputs; Avg
// divides the sum by `ranks` at the end. Outputs may be sources. `dtype` is the number of a core Dtype.
// Returns false when the operation has no meaning for the dtype.
bool reduce_ranks(int32_t dtype, ReduceOp op, int64_t count, int ranks, const void* const* sources,
                  int copies, void* const* outs);

// Bytes of one element of the dtype with that number; 0 when there is none.
int64_t element_size(int32_t dtype);

}  // namespace nnlib::distributed
