// Work along one dimension: each lane (the values that differ in that dimension alone) is given as a
// contiguous row.
#pragma once
#include <vector>

#include "ops/iterator.h"

namespace nnlib::ops {

struct Lanes {
  const Tensor* tensor;
  Dtype compute;       // Float32, Float64, Int64 or Bool
  bool write = false;  // an output: rows are written back
};

// Calls f(rows) for each lane of the first tensor along `dim`; rows[k] holds the lane of tensor k. The
// tensors may differ in size along `dim` only. Zero dimensions count as one of size 1. Lanes go to any
// thread.
void for_each_lane(const std::vector<Lanes>& tensors, int64_t dim, FunctionRef<void(void* const* rows)> f,
                   int64_t cost = 1);

}  // namespace nnlib::ops
