// Buckets: gradients that travel together, in one piece of memory.
#pragma once

#include <functional>
#include <vector>

#include "distributed/group.h"

namespace nnlib::distributed {

// Parameters by their position in the model.
using Assignment = std::vector<std::vector<size_t>>;

// Fills buckets with the parameters in the given order: the first bucket up to limits[0] bytes, the next up
// to limits[1], all others up to the last limit. A bucket holds one dtype; a sparse parameter has one to
// itself. Buckets come out in the order in which their first parameter appears.
Assignment assign_buckets(const TensorList& parameters, const std::vector<size_t>& order,
                          const std::vector<bool>& sparse, const std::vector<int64_t>& limits);

struct Slot {
  size_t parameter;
  Tensor view;        // this parameter's part of the bucket, strided as the parameter is
  Ref<Storage> lent;  // the same memory as the last gradient that was made there has it
};

struct Bucket {
  size_t index = 0;
  bool sparse = false;
  Tensor flat;  // undefined for a sparse bucket
  std::vector<Slot> slots;
  size_t pending = 0;        // gradients that have not come yet
  std::shared_ptr<Job> job;  // the reduction on its way; null in a world of one
};

std::vector<Bucket> make_buckets(const TensorList& parameters, const std::vector<bool>& sparse,
                                 const Assignment& assignment, Group& group);

}  // namespace nnlib::distributed
