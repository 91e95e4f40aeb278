// Sums over ranks, in rank order: the arithmetic of every reducing collective.
//
// An element's result depends on the ranks' values alone, never on how a buffer was cut into slices or
// buckets, so all ranks, all runs and all bucket sizes give the same bits. float16 and bfloat16 are summed
// in float32 and rounded once.
#pragma once

#include <cstdint>

namespace nnlib::distributed {

enum class ReduceOp : int32_t { Sum, Avg, Product, Min, Max, BAnd, BOr, BXor };

// Values are summed in a wider type where they have 16 bits. A sum over several nodes travels in that type
// between its two parts, so that it is rounded once.
enum class Form : int32_t {
  Whole,    // values in, values out
  Partial,  // values in, the wide type out; Avg does not divide yet
  Final,    // the wide type in, values out
};

// Ranks are summed in groups (nodes), in order, and then the groups' sums in order: ((0+1) + (2+3)) for
// groups of two. `dtype` is the number of a core Dtype.
struct RankSum {
  int32_t dtype;
  ReduceOp op;
  Form form;
  int64_t divisor;  // of Avg: the ranks of all parts together
  int groups;
  const int* sizes;  // ranks in each group
};

// Writes the sum over the sources, which come group by group, to each of the `copies` outputs, which may be
// sources too. Returns false when the operation has no meaning for the dtype.
bool reduce_ranks(const RankSum& sum, int64_t count, const void* const* sources, int copies,
                  void* const* outs);
// One group.
bool reduce_ranks(int32_t dtype, ReduceOp op, int64_t count, int ranks, const void* const* sources,
                  int copies, void* const* outs);

// Bytes of one element of the dtype with that number, and of the type in which it is summed; 0 when there is
// no such dtype.
int64_t element_size(int32_t dtype);
int64_t wide_element_size(int32_t dtype);

}  // namespace nnlib::distributed
