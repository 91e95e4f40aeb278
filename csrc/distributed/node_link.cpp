#include "distributed/node_link.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstring>
#include <vector>

namespace nnlib::distributed {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kLine = 128;  // two cache lines: the neighbour is prefetched too
constexpr int kMaxRanks = 1024;
constexpr int32_t kByte = 1;                           // uint8 in core/dtype.h
constexpr auto kSpin = std::chrono::microseconds(60);  // what a sleep and a wake-up cost

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A counter that one rank raises and the others wait for. Sleepers are counted, so that raising it costs a
// system call only when somebody sleeps.
struct alignas(kLine) Counter {
  std::atomic<uint32_t> value;
  std::atomic<uint32_t> sleepers;

  void raise(uint32_t to) {
    value.store(to, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0)
      syscall(SYS_futex, reinterpret_cast<uint32_t*>(&value), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }

  // Counters wrap around; they are never half their range apart.
  bool reached(uint32_t target) const {
    return static_cast<int32_t>(value.load(std::memory_order_acquire) - target) >= 0;
  }

  bool wait(uint32_t target, Clock::time_point until) {
    const auto began = Clock::now();
    while (Clock::now() - began < kSpin) {
      for (int i = 0; i < 32; ++i) {
        if (reached(target)) return true;
        relax();
      }
      sched_yield();  // the rank that is awaited may want this core
    }
    while (true) {
      const uint32_t seen = value.load(std::memory_order_seq_cst);
      if (static_cast<int32_t>(seen - target) >= 0) return true;
      const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(until - Clock::now()).count();
      if (left <= 0) return false;
      timespec time{static_cast<time_t>(left / 1000000000), static_cast<long>(left % 1000000000)};
      sleepers.fetch_add(1, std::memory_order_seq_cst);
      syscall(SYS_futex, reinterpret_cast<uint32_t*>(&value), FUTEX_WAIT, seen, &time, nullptr, 0);
      sleepers.fetch_sub(1, std::memory_order_seq_cst);
    }
  }
};
static_assert(std::atomic<uint32_t>::is_always_lock_free, "shared memory needs plain atomic words");

}  // namespace

struct NodeLink::Control {
  Counter posted, put, summed;
  char headers[2][kHeader];  // a rank is at most one round ahead
};

int64_t NodeLink::chunk_bytes(int ranks) {
  const int64_t page = 4096, most = 1 << 20, least = 1 << 16;
  return std::clamp(4 * most / ranks / page * page, least, most);
}

int64_t NodeLink::bytes(int ranks, int elsewhere) {
  return (ranks + elsewhere) * static_cast<int64_t>(sizeof(Control)) +
         (ranks + 1) * kSlots * chunk_bytes(ranks);
}

NodeLink::NodeLink(void* memory, int rank, int ranks, int elsewhere)
    : memory_(static_cast<char*>(memory)),
      slots_(memory_ + (ranks + elsewhere) * sizeof(Control)),
      rank_(rank),
      ranks_(std::min(ranks, kMaxRanks)),
      boards_(ranks + elsewhere),
      chunk_bytes_(chunk_bytes(ranks)) {}

NodeLink::Control& NodeLink::control(int rank) const { return reinterpret_cast<Control*>(memory_)[rank]; }

char* NodeLink::slot(int rank, int64_t chunk) const {
  const uint32_t position = (chunks_done_ + static_cast<uint32_t>(chunk)) % kSlots;
  return slots_ + (rank * kSlots + position) * chunk_bytes_;
}

char* NodeLink::result(int64_t chunk) const { return slot(ranks_, chunk); }

void NodeLink::post(const void* header) {
  ++round_;
  post_for(rank_, header);
}

void NodeLink::post_for(int board, const void* header) {
  Control& shown = control(board);
  std::memcpy(shown.headers[round_ % 2], header, kHeader);
  shown.posted.raise(round_);
}

bool NodeLink::has_posted(int board) const { return control(board).posted.reached(round_); }

bool NodeLink::collect(double seconds, void* headers) {
  const auto until =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  for (int r = 0; r < boards_; ++r)
    if (!control(r).posted.wait(round_, until)) return false;
  for (int r = 0; r < boards_; ++r)
    std::memcpy(static_cast<char*>(headers) + r * kHeader, control(r).headers[round_ % 2], kHeader);
  return true;
}

void NodeLink::start_sum(const void* source, void* out, int64_t count, int32_t dtype, ReduceOp op) {
  source_ = static_cast<const char*>(source);
  out_ = static_cast<char*>(out);
  count_ = count;
  dtype_ = dtype;
  op_ = op;
  item_ = element_size(dtype);
  per_chunk_ = chunk_bytes_ / item_;
  chunks_ = (count + per_chunk_ - 1) / per_chunk_;
  root_ = -1;
  k_ = 0;
  step_ = kPut;
}

void NodeLink::start_broadcast(void* data, int64_t bytes, int root) {
  start_sum(data, data, bytes, kByte, ReduceOp::Sum);
  root_ = root;
}

void NodeLink::start_shared_sum(void* const* parts, int64_t count, int32_t dtype, ReduceOp op) {
  parts_.assign(parts, parts + ranks_);
  count_ = count;
  dtype_ = dtype;
  op_ = op;
  item_ = element_size(dtype);
  step_ = kSum;
}

void NodeLink::start_meeting() {
  const std::vector<void*> nothing(ranks_, nullptr);
  start_shared_sum(nothing.data(), 0, kByte, ReduceOp::Sum);
}

// All ranks have agreed on the sum, so all buffers are filled. It counts as one chunk.
bool NodeLink::advance_shared_sum(double seconds) {
  const auto until =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  if (step_ == kSum) {
    int64_t begin, count;
    slice(count_, &begin, &count);
    std::vector<void*> slices;
    for (void* part : parts_) slices.push_back(static_cast<char*>(part) + begin * item_);
    if (count > 0) reduce_ranks(dtype_, op_, count, ranks_, slices.data(), ranks_, slices.data());
    control(rank_).put.raise(chunks_done_ + 1);
    control(rank_).summed.raise(chunks_done_ + 1);
    step_ = kTake;
  }
  for (int r = 0; r < ranks_; ++r)
    if (!control(r).summed.wait(chunks_done_ + 1, until)) return false;
  parts_.clear();
  ++chunks_done_;
  return true;
}

int64_t NodeLink::chunk_elements(int64_t chunk) const {
  return std::min(per_chunk_, count_ - chunk * per_chunk_);
}

// Slices begin on cache lines, so that no line is written by two ranks.
void NodeLink::slice(int64_t elements, int64_t* begin, int64_t* count) const {
  const int64_t line = kLine / item_;
  const int64_t lines = (elements + line - 1) / line;
  const int64_t first = lines * rank_ / ranks_ * line, last = lines * (rank_ + 1) / ranks_ * line;
  *begin = std::min(first, elements);
  *count = std::min(last, elements) - *begin;
}

void NodeLink::put(int64_t chunk) {
  if (root_ < 0 || root_ == rank_)
    std::memcpy(slot(rank_, chunk), source_ + chunk * per_chunk_ * item_, chunk_elements(chunk) * item_);
  control(rank_).put.raise(chunks_done_ + static_cast<uint32_t>(chunk) + 1);
}

void NodeLink::sum(int64_t chunk) {
  int64_t begin, count;
  slice(chunk_elements(chunk), &begin, &count);
  const void* sources[kMaxRanks];
  const int first = std::max(root_, 0), summed = root_ < 0 ? ranks_ : 1;
  for (int r = 0; r < summed; ++r) sources[r] = slot(first + r, chunk) + begin * item_;
  void* out = result(chunk) + begin * item_;
  if (count > 0) reduce_ranks(dtype_, op_, count, summed, sources, 1, &out);
  control(rank_).summed.raise(chunks_done_ + static_cast<uint32_t>(chunk) + 1);
}

void NodeLink::take(int64_t chunk) {
  std::memcpy(out_ + chunk * per_chunk_ * item_, result(chunk), chunk_elements(chunk) * item_);
}

bool NodeLink::advance_sum(double seconds) {
  if (!parts_.empty()) return advance_shared_sum(seconds);
  const auto until =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  const auto all = [&](Counter Control::* counter, int64_t chunk) {
    const uint32_t target = chunks_done_ + static_cast<uint32_t>(chunk) + 1;
    for (int r = 0; r < ranks_; ++r)
      if (!(control(r).*counter).wait(target, until)) return false;
    return true;
  };
  for (; k_ < chunks_ + 2; ++k_, step_ = kPut) {
    if (step_ == kPut) {
      if (k_ < chunks_) put(k_);
      step_ = kSum;
    }
    if (step_ == kSum) {
      if (k_ >= 1 && k_ - 1 < chunks_) {
        if (!all(&Control::put, k_ - 1)) return false;
        sum(k_ - 1);
      }
      step_ = kTake;
    }
    if (k_ >= 2) {
      if (!all(&Control::summed, k_ - 2)) return false;
      take(k_ - 2);
    }
  }
  chunks_done_ += static_cast<uint32_t>(chunks_);
  return true;
}

}  // namespace nnlib::distributed
