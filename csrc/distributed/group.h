// What the reducer asks of a process group. No MPI here: the tests give it groups of their own.
#pragma once

#include <memory>

#include "core/tensor.h"
#include "distributed/queue.h"
#include "distributed/rank_reduce.h"

namespace nnlib::distributed {

constexpr size_t kArenaAlignment = 256;  // no cache line belongs to two buckets

class Group {
 public:
  virtual ~Group() = default;
  virtual int size() const = 0;
  // Starts an all-reduce of a contiguous tensor, in place, and returns at once. Collectives run in the order
  // in which they were started. `forwards` is shown to the other ranks: how many forward passes there were.
  virtual std::shared_ptr<Job> all_reduce(const Tensor& flat, ReduceOp op, int64_t forwards) = 0;
  // Memory for a bucket, where the group can reduce it best.
  virtual Ref<Storage> allocate(size_t bytes) { return Ref<Storage>(new Storage(bytes)); }
};

// Memory for buckets that all ranks of a node see.
struct Arena {
  char* memory = nullptr;
  size_t bytes = 0;
  std::shared_ptr<void> owner;
};

// Hands jobs to the communication thread.
class QueueGroup final : public Group {
 public:
  QueueGroup(std::shared_ptr<Queue> queue, int size, Arena arena = {})
      : queue_(std::move(queue)), size_(size), arena_(std::move(arena)) {}
  int size() const override { return size_; }

  // From the arena while there is room. Every rank asks for the same sizes in the same order, so that a
  // bucket lies at the same offset on all of them.
  Ref<Storage> allocate(size_t bytes) override {
    const size_t rounded = (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
    if (used_ + rounded > arena_.bytes || bytes == 0) return Group::allocate(bytes);
    char* memory = arena_.memory + used_;
    used_ += rounded;
    return Ref<Storage>(new Storage(memory, bytes, [owner = arena_.owner] {}));
  }

  std::shared_ptr<Job> all_reduce(const Tensor& flat, ReduceOp op, int64_t forwards) override {
    auto job = std::make_shared<Job>();
    job->dtype = static_cast<int32_t>(flat.dtype());
    job->reduce_op = static_cast<int32_t>(op);
    job->count = flat.numel();
    job->forwards = forwards;
    job->data = flat.raw();
    job->alive = std::make_shared<Tensor>(flat);
    queue_->push(job);
    return job;
  }

 private:
  std::shared_ptr<Queue> queue_;
  int size_;
  Arena arena_;
  size_t used_ = 0;
};

}  // namespace nnlib::distributed
