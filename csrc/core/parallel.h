// Loops shared among threads. Work is split into chunks of a fixed size, never by the number of threads, so
// that any number of threads gives the same bits. Who computes a chunk is decided while the loop runs.
#pragma once
#include <cstdint>

namespace nnlib {

// Threads that a parallel loop of this process may use: set_num_threads, else OMP_NUM_THREADS, else the cores
// that the process may run on. One in a forked child that has not set a number.
int process_threads();
void set_num_threads(int n);
// Those that a loop of this thread may use: the process's, or those of the device that it computes for.
int num_threads();
// True inside a loop: a nested parallel_for runs serially.
bool in_parallel_region();

namespace detail {
using ChunkFunction = void (*)(void* f, int64_t begin, int64_t end);
void parallel_chunks(int64_t begin, int64_t end, int64_t grain, ChunkFunction call, void* f);
}  // namespace detail

// Calls f(b, e) for consecutive chunks [b, e) of `grain` indices that together cover [begin, end). Each
// thread starts on a contiguous run of chunks of its own and then helps the others. The first exception is
// thrown to the caller.
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, F&& f) {
  if (begin >= end) return;
  if (grain < 1) grain = 1;
  if (end - begin <= grain) {
    f(begin, end);
    return;
  }
  if (in_parallel_region() || num_threads() == 1) {
    for (int64_t b = begin; b < end; b += grain) f(b, end - b > grain ? b + grain : end);
    return;
  }
  auto* body = &f;  // a pointer to the caller's object, const or not
  detail::parallel_chunks(
      begin, end, grain,
      [](void* context, int64_t b, int64_t e) { (**static_cast<decltype(body)*>(context))(b, e); }, &body);
}

}  // namespace nnlib
