#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include "core/error.h"

namespace nnlib {

namespace {

int initial_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : omp_get_num_procs();
  int limit = omp_get_max_threads();  // OMP_NUM_THREADS, where it is set
  return limit < cores ? limit : cores;
}

std::atomic<int> g_threads{0};
thread_local bool t_in_region = false;
// libgomp's pool does not exist in a forked child: a region there would wait for threads that are gone.
std::atomic<bool> g_forked{false};

struct ForkHandler {
  ForkHandler() {
    pthread_atfork(nullptr, nullptr, [] { g_forked.store(true); });
  }
} g_fork_handler;

}  // namespace

int num_threads() {
  if (g_forked.load(std::memory_order_relaxed)) return 1;
  int n = g_threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = initial_threads();
    g_threads.store(n, std::memory_order_relaxed);
  }
  return n;
}

void set_num_threads(int n) {
  NNLIB_CHECK(n > 0, "set_num_threads expects a positive integer, got ", n);
  g_threads.store(n, std::memory_order_relaxed);
}

bool in_parallel_region() { return t_in_region; }

namespace detail {
std::atomic<int> CallerGuard::active{0};
RegionGuard::RegionGuard() { t_in_region = true; }
RegionGuard::~RegionGuard() { t_in_region = false; }
}  // namespace detail

}  // namespace nnlib
