#include "distributed/bucket.h"

#include <algorithm>
#include <map>

#include "core/shape.h"

namespace nnlib::distributed {

Assignment assign_buckets(const TensorList& parameters, const std::vector<size_t>& order,
                          const std::vector<bool>& sparse, const std::vector<int64_t>& limits) {
  struct Open {
    std::vector<size_t> members;
    int64_t bytes = 0;
    size_t since = 0;  // position at which it was opened: the order of the result
  };
  std::map<Dtype, Open> open;
  std::map<Dtype, size_t> filled;  // buckets of the dtype that are full: chooses the limit of the next
  std::vector<Open> closed;
  for (size_t position = 0; position < order.size(); ++position) {
    const size_t p = order[position];
    const Tensor& parameter = parameters[p];
    if (sparse[p]) {
      closed.push_back({{p}, parameter.nbytes(), position});
      continue;
    }
    Open& bucket = open[parameter.dtype()];
    if (bucket.members.empty()) bucket.since = position;
    bucket.members.push_back(p);
    bucket.bytes += parameter.nbytes();
    size_t& full = filled[parameter.dtype()];
    if (bucket.bytes >= limits[std::min(full, limits.size() - 1)]) {
      closed.push_back(std::move(bucket));
      bucket = Open();
      ++full;
    }
  }
  for (auto& [dtype, bucket] : open)
    if (!bucket.members.empty()) closed.push_back(std::move(bucket));
  std::sort(closed.begin(), closed.end(), [](const Open& a, const Open& b) { return a.since < b.since; });
  Assignment result;
  for (Open& bucket : closed) result.push_back(std::move(bucket.members));
  return result;
}

std::vector<Bucket> make_buckets(const TensorList& parameters, const std::vector<bool>& sparse,
                                 const Assignment& assignment, Group& group) {
  std::vector<Bucket> buckets;
  for (const std::vector<size_t>& members : assignment) {
    NNLIB_CHECK(!members.empty(), "expected a parameter in each bucket");
    Bucket bucket;
    bucket.index = buckets.size();
    bucket.sparse = sparse[members.front()];
    int64_t count = 0;
    for (size_t p : members) count += parameters[p].numel();
    if (!bucket.sparse) {
      const Dtype dtype = parameters[members.front()].dtype();
      bucket.flat = from_storage(group.allocate(static_cast<size_t>(count) * itemsize(dtype)), dtype,
                                 Dims{count}, Dims{1}, 0);
      fill_values(bucket.flat, Scalar(0.0));
    }
    int64_t offset = 0;
    for (size_t p : members) {
      const Tensor& parameter = parameters[p];
      Slot slot{p, Tensor(), {}};
      if (!bucket.sparse) {
        // Memory order is kept where the parameter is dense (channels_last, say), so that copies are
        // straight.
        const bool dense = is_non_overlapping_and_dense(parameter.sizes(), parameter.strides());
        slot.view = alias(bucket.flat, parameter.sizes(),
                          dense ? parameter.strides() : contiguous_strides(parameter.sizes()), offset);
        slot.view.impl()->device = parameter.device();
      }
      offset += parameter.numel();
      bucket.slots.push_back(std::move(slot));
    }
    buckets.push_back(std::move(bucket));
  }
  return buckets;
}

}  // namespace nnlib::distributed
