// A pool of threads. A caller hands its job to workers that are idle, computes its own part, takes the job
// back from those that have not begun (a core that another process keeps busy is not waited for), and waits
// for the rest. Who waits spins for a while, as the next job or the end is often near, and then sleeps on a
// futex, so that the core is free for another rank or a data loader.
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "core/device.h"
#include "core/team.h"

namespace nnlib {

namespace {

using Clock = std::chrono::steady_clock;
using Word = std::atomic<uint32_t>;  // what a futex looks at

void futex_wait(Word& word, uint32_t seen) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}
void futex_wake(Word* word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// Nanoseconds that a thread has computed, by its clock.
int64_t thread_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1000000000 + t.tv_nsec;
}

// Waiting takes turns between spinning and sleeping. To wake a thread takes some 50 microseconds, so it is
// worth to spin for longer where jobs follow each other closely; but spinning takes the core from others that
// need it.
class Patience {
 public:
  // Spins until done() or for as long as is sensible; returns done().
  template <class Done>
  bool spin(Done&& done) {
    if (done()) return true;
    began_ = Clock::now();
    const int64_t computed = thread_time();
    Clock::time_point now = began_, stop = began_ + time_to_spin(now);
    do {
      for (int i = 0; i < 8; ++i) {
        pause_core();
        if (done()) return true;
      }
      const Clock::time_point before = now;
      now = Clock::now();
      if (now - before > kInterrupted) look_for_company(began_, computed);
    } while (now < stop);
    return false;
  }
  // What was waited for has come, after spin() had given up.
  void slept() { late_ = Clock::now() - began_ < kLong ? 0 : late_ + 1; }
  void spun() { late_ = 0; }

  // Calls f() and notices when this thread did not have its core for some of the time.
  template <class F>
  static void watched(F&& f) {
    const Clock::time_point began = Clock::now();
    const int64_t computed = thread_time();
    f();
    look_for_company(began, computed);
  }

 private:
  static constexpr std::chrono::microseconds kShort{20}, kLong{200};
  static constexpr int kPatient = 4;  // waits in a row that may be longer before spins are short
  // Where a thread did not compute for kInterrupted or longer, the time that it waited for a core fills a
  // bucket that leaks a 128th of the time that passes. While there are more than kNuisance in it, all spin
  // shortly: a busy process fills it in its first turn or two; a daemon now and then does not, nor what a
  // host takes from a virtual machine.
  static constexpr std::chrono::microseconds kInterrupted{100}, kNuisance{6000}, kFull{16000};
  static constexpr int kLeak = 128;

  static void look_for_company(Clock::time_point began, int64_t computed) {
    const Clock::duration own = std::chrono::nanoseconds(thread_time() - computed);
    const Clock::time_point now = Clock::now();
    Clock::duration lost = now - began - own;
    if (lost <= kInterrupted) return;
    if (const int64_t queued = time_in_queue(); queued >= 0) {
      static thread_local int64_t known = 0;
      lost = std::min<Clock::duration>(lost, std::chrono::nanoseconds(queued - std::exchange(known, queued)));
    }
    const Clock::duration was = Clock::duration(empty_at().load(std::memory_order_relaxed)),
                          since = now.time_since_epoch(),
                          left = was > since ? (was - since) / kLeak : Clock::duration(0);
    const Clock::duration filled = std::min<Clock::duration>(left + lost, kFull);
    empty_at().store((since + filled * kLeak).count(), std::memory_order_relaxed);
  }
  static bool crowded(Clock::time_point now) {
    return Clock::duration(empty_at().load(std::memory_order_relaxed)) >
           now.time_since_epoch() + kNuisance * kLeak;
  }
  // Nanoseconds that this thread has waited for a core in all; below 0 where the system does not tell.
  static int64_t time_in_queue() {
    const int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    char text[96];
    const ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[std::max<ssize_t>(length, 0)] = 0;
    long long ran, queued;
    return std::sscanf(text, "%lld %lld", &ran, &queued) == 2 ? queued : -1;
  }
  // When the bucket will have run dry, by the clock.
  static std::atomic<Clock::rep>& empty_at() {
    static std::atomic<Clock::rep> time{0};
    return time;
  }
  // NNLIB_SPIN_US, a fixed time; nothing if it is not set or no time.
  static std::optional<Clock::duration> wanted_time() {
    const char* text = std::getenv("NNLIB_SPIN_US");
    char* end = nullptr;
    const double us = text ? std::strtod(text, &end) : -1;
    if (!text || end == text || *end != 0 || !(us >= 0 && us <= 1e6)) return std::nullopt;
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::micro>(us));
  }
  Clock::duration time_to_spin(Clock::time_point now) const {
    static const std::optional<Clock::duration> wanted = wanted_time();
    if (wanted) return *wanted;
    return late_ < kPatient && !crowded(now) ? kLong : kShort;
  }

  Clock::time_point began_;
  int late_ = 0;  // times in a row that what was waited for came late
};

// Lives on its caller's stack. `active` counts the workers that hold the job; its highest bit says that the
// caller sleeps. Both are one word, because after the last worker's decrement the job may be gone.
struct Job {
  void (*body)(void* context, int member);
  void* context;
  Word active{0};

  static constexpr uint32_t kAsleep = 1u << 31;

  void leave() {
    if (active.fetch_sub(1) == (kAsleep | 1)) futex_wake(&active);  // only the address is used
  }
  void wait() {
    static thread_local Patience patience;
    if (patience.spin([&] { return active.load(std::memory_order_acquire) == 0; })) return patience.spun();
    uint32_t seen = active.fetch_or(kAsleep) | kAsleep;
    while (seen != kAsleep) {
      futex_wait(active, seen);
      seen = active.load();
    }
    patience.slept();
  }
};

struct alignas(64) Worker {
  std::atomic<Job*> offer{nullptr};  // null: idle; a job that may still be taken back; or taken()
  Word asleep{0};

  // Stands in `offer` while a job is computed.
  static Job* taken() {
    static Job mark{};
    return &mark;
  }

  bool hand(Job* job) {
    Job* idle = nullptr;
    if (offer.load(std::memory_order_relaxed) != nullptr) return false;
    job->active.fetch_add(1, std::memory_order_relaxed);
    if (!offer.compare_exchange_strong(idle, job)) {
      job->active.fetch_sub(1, std::memory_order_relaxed);
      return false;
    }
    if (asleep.load() != 0 && asleep.exchange(0) != 0) futex_wake(&asleep);
    return true;
  }
  void take_back(Job* job) {
    Job* mine = job;
    if (offer.load(std::memory_order_relaxed) == job && offer.compare_exchange_strong(mine, nullptr)) {
      job->active.fetch_sub(1, std::memory_order_relaxed);
    }
  }

  Job* take(Patience& patience) {
    for (;;) {
      if (patience.spin([&] { return offer.load(std::memory_order_relaxed) != nullptr; })) {
        patience.spun();
      } else {
        asleep.store(1);
        while (offer.load() == nullptr && asleep.load() != 0) futex_wait(asleep, 1);
        asleep.store(0);
        patience.slept();
      }
      Job* job = offer.load();
      if (job != nullptr && offer.compare_exchange_strong(job, taken())) return job;
    }
  }
  [[noreturn]] void work(int member) {
    Patience patience;
    for (;;) {
      Job* job = take(patience);
      Patience::watched([&] { job->body(job->context, member); });
      // Idle before the job is left: the caller's next job finds this worker.
      offer.store(nullptr);
      job->leave();
    }
  }
};

// Never destroyed: its threads run until the process ends.
struct Pool {
  std::atomic<int> size{0};
  std::atomic<Worker*> workers[kMaxTeam - 1] = {};
  std::mutex growing;
  pthread_t threads[kMaxTeam - 1];
  cpu_set_t cores = every_core();

  static cpu_set_t every_core() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(getpid(), sizeof set, &set) != 0) CPU_SET(0, &set);
    return set;
  }
  void keep_to(const std::vector<int>& wanted) {
    std::lock_guard<std::mutex> lock(growing);
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int cpu : wanted) CPU_SET(cpu, &set);
    if (wanted.empty()) set = every_core();
    if (CPU_EQUAL(&set, &cores)) return;
    cores = set;
    for (int i = 0; i < size.load(); ++i) pthread_setaffinity_np(threads[i], sizeof cores, &cores);
  }

  // Has `wanted` workers, or as many as the system gives.
  void grow(int wanted) {
    if (size.load(std::memory_order_acquire) >= wanted) return;
    std::lock_guard<std::mutex> lock(growing);
    // Signals are the business of the program's own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = size.load(); i < wanted; ++i) {
      Worker* worker = new Worker;
      try {
        std::thread thread([worker, i] { worker->work(i + 1); });
        char name[24];
        std::snprintf(name, sizeof name, "nnlib-%d", i + 1);  // at most 15 characters
        pthread_setname_np(thread.native_handle(), name);
        threads[i] = thread.native_handle();
        pthread_setaffinity_np(threads[i], sizeof cores, &cores);
        thread.detach();
      } catch (const std::system_error&) {
        delete worker;
        break;
      }
      workers[i].store(worker);
      size.store(i + 1, std::memory_order_release);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
};

std::atomic<Pool*> g_pools[kMaxDevices + 1];  // the process's, then those of the devices

Pool& pool(int team) {
  std::atomic<Pool*>& place = g_pools[team + 1];
  Pool* p = place.load(std::memory_order_acquire);
  if (p) return *p;
  Pool* fresh = new Pool;
  if (place.compare_exchange_strong(p, fresh)) return *fresh;
  delete fresh;
  return *p;
}

}  // namespace

void run_team(int team, int members, void (*body)(void* context, int member), void* context) {
  if (members <= 1) return body(context, 0);
  Pool& threads = pool(team);
  threads.grow(members - 1);
  Job job{body, context};
  const int size = threads.size.load(std::memory_order_acquire);
  int asked = 0;
  for (int wanted = members - 1; asked < size && wanted > 0; ++asked) {
    if (threads.workers[asked].load(std::memory_order_relaxed)->hand(&job)) --wanted;
  }
  body(context, 0);
  for (int i = 0; i < asked; ++i) threads.workers[i].load(std::memory_order_relaxed)->take_back(&job);
  job.wait();
}

void set_team_cores(int team, const std::vector<int>& cores) {
  // A pool that has not begun is made only to remember its cores.
  if (!cores.empty() || g_pools[team + 1].load()) pool(team).keep_to(cores);
}

void forget_team() {
  for (auto& pool : g_pools) pool.store(nullptr);
}

bool team_survives_fork() { return true; }

}  // namespace nnlib
