// Ranks of one node meeting in shared memory: agreement on a collective, and sums.
//
// Note [Pipeline of a shared sum]
// A buffer is cut into chunks that stay in the cache. For chunk k each rank copies its values into a slot of
// its own, sums its slice of all ranks' slots into a slot of results, and copies the whole result back; the
// three steps run on chunks k, k-1 and k-2 in turn, so that a rank seldom waits. Two counters per rank, which
// only grow, say how many chunks it has put in and how many slices it has summed. With four slots no counter
// of its own is needed for reuse: before a rank fills or sums a slot again, it has seen the counters of all
// ranks pass the last use.
//
// A group may span nodes: then each node has a link of its own, whose boards show the signatures of the other
// nodes' ranks too, put there by whichever rank of the node receives them.
#pragma once

#include <cstdint>
#include <vector>

#include "distributed/rank_reduce.h"

namespace nnlib::distributed {

class NodeLink {
 public:
  static constexpr int64_t kHeader = 512;  // bytes of a signature with its payload
  static constexpr int kSlots = 4;

  // Bytes of a chunk: large enough that ranks which are not running all the time seldom wait for each other,
  // small enough that many ranks do not need much memory.
  static int64_t chunk_bytes(int ranks);
  // Bytes of shared memory that so many ranks need, beside so many on other nodes.
  static int64_t bytes(int ranks, int elsewhere = 0);
  // `memory` is shared by all ranks, and was zero before the first of them came.
  NodeLink(void* memory, int rank, int ranks, int elsewhere = 0);

  // Puts this rank's signature on its board, where the others can read it; this begins a round. Boards are
  // numbered by the node's ranks first and then by those elsewhere.
  void post(const void* header);
  // Puts the signature of a rank elsewhere on its board.
  void post_for(int board, const void* header);
  // Waits at most that long for the signatures of this round on all boards; copies them to `headers` in
  // order.
  bool collect(double seconds, void* headers);
  bool has_posted(int board) const;

  // Starts a sum of `count` elements at `source` into `out` (which may be the same). All ranks must call it
  // alike.
  void start_sum(const void* source, void* out, int64_t count, int32_t dtype, ReduceOp op);
  // Starts a copy of the root's bytes to all ranks: `data` is read on the root and written everywhere.
  void start_broadcast(void* data, int64_t bytes, int root);
  // Starts a sum in place of buffers that lie in shared memory themselves: parts[r] is rank r's, as mapped
  // here.
  void start_shared_sum(void* const* parts, int64_t count, int32_t dtype, ReduceOp op);
  // Starts a wait until all of the node's ranks have come here; what they wrote before can be read after.
  void start_meeting();
  // Memory of a rank for data on its way, while no other sum is under way.
  char* staging(int rank) const { return slots_ + rank * staging_bytes(); }
  int64_t staging_bytes() const { return kSlots * chunk_bytes_; }
  // Goes on with it; false when it had to wait longer than that for a rank.
  bool advance_sum(double seconds);

 private:
  struct Control;
  enum Step { kPut, kSum, kTake };

  bool advance_shared_sum(double seconds);

  Control& control(int rank) const;
  char* slot(int rank, int64_t chunk) const;
  char* result(int64_t chunk) const;
  int64_t chunk_elements(int64_t chunk) const;
  void put(int64_t chunk);
  void sum(int64_t chunk);
  void take(int64_t chunk);
  void slice(int64_t elements, int64_t* begin, int64_t* count) const;

  char* memory_;
  char* slots_;
  int rank_, ranks_, boards_;
  int64_t chunk_bytes_;
  uint32_t round_ = 0;        // signatures posted
  uint32_t chunks_done_ = 0;  // chunks of all sums that are over: the base of the counters

  // The sum that is under way.
  std::vector<void*> parts_;  // empty when it goes through the slots
  int root_ = -1;             // of a broadcast: a sum over one rank
  const char* source_ = nullptr;
  char* out_ = nullptr;
  int64_t count_ = 0, per_chunk_ = 0, chunks_ = 0, item_ = 0;
  int32_t dtype_ = 0;
  ReduceOp op_ = ReduceOp::Sum;
  int64_t k_ = 0;
  Step step_ = kPut;
};

}  // namespace nnlib::distributed
