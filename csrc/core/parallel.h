// The only place with OpenMP. Work is split into chunks of a fixed size, never by the number of threads, so
// that any number of threads gives the same bits.
#pragma once
#include <omp.h>

#include <atomic>
#include <cstdint>
#include <exception>

namespace nnlib {

// Threads that a parallel region of the calling thread may use.
int num_threads();
void set_num_threads(int n);
// True inside a region: a nested parallel_for runs serially.
bool in_parallel_region();

namespace detail {
struct RegionGuard {
  RegionGuard();
  ~RegionGuard();
};
// Callers inside a region at this moment, this one included: they share the threads.
struct CallerGuard {
  CallerGuard() : callers(active.fetch_add(1, std::memory_order_relaxed) + 1) {}
  ~CallerGuard() { active.fetch_sub(1, std::memory_order_relaxed); }
  const int callers;
  static std::atomic<int> active;
};
}  // namespace detail

// Calls f(b, e) for consecutive chunks [b, e) of `grain` indices that together cover [begin, end). The chunks
// are dealt to threads in order, each thread a contiguous run of them. The first exception is thrown to the
// caller.
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, F&& f) {
  if (begin >= end) return;
  if (grain < 1) grain = 1;
  const int64_t chunks = (end - begin + grain - 1) / grain;
  auto run = [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c++) {
      const int64_t b = begin + c * grain, e = b + grain < end ? b + grain : end;
      f(b, e);
    }
  };
  if (chunks == 1 || in_parallel_region() || num_threads() == 1) {
    run(0, chunks);
    return;
  }
  // Several Python threads at once divide the threads between them rather than multiply them.
  detail::CallerGuard caller;
  const int want = num_threads() / caller.callers;
  const int threads = (int)(chunks < want ? chunks : want);
  if (threads <= 1) {
    run(0, chunks);
    return;
  }
  std::exception_ptr error;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
#pragma omp parallel num_threads(threads)
  {
    detail::RegionGuard guard;
    const int64_t t = omp_get_thread_num(), n = omp_get_num_threads();
    try {
      run(chunks * t / n, chunks * (t + 1) / n);
    } catch (...) {
      if (!failed.test_and_set()) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace nnlib
