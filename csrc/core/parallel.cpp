#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <thread>

#include "core/device.h"
#include "core/error.h"
#include "core/team.h"

namespace nnlib {

namespace {

// The first number of OMP_NUM_THREADS (a list gives one for each level of nesting), or 0.
int threads_of_environment() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const long n = text ? std::strtol(text, nullptr, 10) : 0;
  return n > 0 && n <= kMaxTeam ? (int)n : 0;
}

int initial_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                                : (int)std::thread::hardware_concurrency();
  const int limit = threads_of_environment();
  return std::clamp(limit > 0 ? std::min(limit, cores) : cores, 1, kMaxTeam);
}

std::atomic<int> g_threads{0};
// A forked child has none of the threads; it stays alone until it asks for more.
std::atomic<bool> g_alone{false};
thread_local bool t_in_region = false;

struct ForkHandler {
  ForkHandler() {
    pthread_atfork(nullptr, nullptr, [] {
      g_alone.store(true);
      forget_team();
    });
  }
} g_fork_handler;

struct RegionGuard {
  RegionGuard() { t_in_region = true; }
  ~RegionGuard() { t_in_region = false; }
};

// Python threads that are in a loop at this moment, the caller included: they divide the threads between them
// rather than multiply them. Those of a device divide its team alone; g_callers[0] counts all.
std::atomic<int> g_callers[kMaxDevices + 1];
struct CallerGuard {
  explicit CallerGuard(int device) : device(device) {
    callers = g_callers[0].fetch_add(1, std::memory_order_relaxed) + 1;
    if (device >= 0) callers = g_callers[device + 1].fetch_add(1, std::memory_order_relaxed) + 1;
  }
  ~CallerGuard() {
    g_callers[0].fetch_sub(1, std::memory_order_relaxed);
    if (device >= 0) g_callers[device + 1].fetch_sub(1, std::memory_order_relaxed);
  }
  const int device;
  int callers;
};

// The chunks [next, last) that one member of a team starts with; others take from it when theirs are done.
struct alignas(64) Share {
  std::atomic<int64_t> next;
  int64_t last;
};

struct Loop {
  int64_t begin, end, grain, batch;
  detail::ChunkFunction call;
  void* f;
  int members;
  Share shares[kMaxTeam];
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  void run_share(Share& share) {
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t first = share.next.fetch_add(batch, std::memory_order_relaxed);
      const int64_t stop = std::min(first + batch, share.last);
      for (int64_t c = first; c < stop; ++c) {
        const int64_t b = begin + c * grain;
        call(f, b, end - b > grain ? b + grain : end);
      }
      if (stop >= share.last) return;
    }
  }

  void run(int member) {
    RegionGuard guard;
    try {
      for (int i = 0; i < members; ++i) run_share(shares[(member + i) % members]);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  }
};

}  // namespace

int process_threads() {
  if (g_alone.load(std::memory_order_relaxed)) return 1;
  int n = g_threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = initial_threads();
    g_threads.store(n, std::memory_order_relaxed);
  }
  return n;
}

int num_threads() {
  const int team = t_device.team;
  if (team < 0) return process_threads();
  return g_alone.load(std::memory_order_relaxed) ? 1 : device_threads(team);
}

void set_num_threads(int n) {
  NNLIB_CHECK(n > 0, "set_num_threads expects a positive integer, got ", n);
  g_threads.store(std::min(n, kMaxTeam), std::memory_order_relaxed);
  if (team_survives_fork()) g_alone.store(false, std::memory_order_relaxed);
  number_of_threads_changed();
}

bool in_parallel_region() { return t_in_region; }

namespace detail {

void parallel_chunks(int64_t begin, int64_t end, int64_t grain, ChunkFunction call, void* f) {
  const int64_t chunks = (end - begin + grain - 1) / grain;
  const int team = t_device.team;
  CallerGuard caller(team);
  const int members = (int)std::min<int64_t>(chunks, std::max(1, num_threads() / caller.callers));
  // Left uninitialised but for the shares in use: a large team's array is several KiB.
  Loop loop;
  loop.begin = begin, loop.end = end, loop.grain = grain, loop.call = call, loop.f = f;
  loop.members = members;
  // Several chunks are claimed at once where they are many: a claim touches a line that threads share.
  loop.batch = std::max<int64_t>(1, chunks / members / 64);
  for (int64_t t = 0; t < members; ++t) {
    loop.shares[t].next.store(chunks * t / members, std::memory_order_relaxed);
    loop.shares[t].last = chunks * (t + 1) / members;
  }
  run_team(team, members, [](void* context, int member) { static_cast<Loop*>(context)->run(member); }, &loop);
  if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace detail

}  // namespace nnlib
