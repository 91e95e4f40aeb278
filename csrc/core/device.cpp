#include "core/device.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <string>
#include <tuple>

#include "core/error.h"
#include "core/parallel.h"
#include "core/team.h"

namespace nnlib {

thread_local CurrentDevice t_device;

namespace {

struct Core {
  int node, package, core, cpu;
};

int number_in(const std::string& path, int otherwise) {
  std::ifstream file(path);
  int n;
  return file >> n ? n : otherwise;
}

// The node of each processor, from lists such as "0-3,8-11".
std::vector<int> nodes_of_processors() {
  std::vector<int> nodes(CPU_SETSIZE, 0);
  for (int node = 0; node < 256; ++node) {
    std::ifstream file("/sys/devices/system/node/node" + std::to_string(node) + "/cpulist");
    int first, last;
    while (file >> first) {
      last = first;
      if (file.peek() == '-') file.get(), file >> last;
      for (int i = std::max(first, 0); i <= last && i < CPU_SETSIZE; ++i) nodes[(size_t)i] = node;
      if (file.peek() == ',') file.get();
    }
  }
  return nodes;
}

// The processors that the process (its first thread: others may be pinned) may run on; those of a node, and
// the two of a core, stand together.
std::vector<Core> cores_here() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(getpid(), sizeof set, &set) != 0) CPU_SET(0, &set);
  const std::vector<int> nodes = nodes_of_processors();
  std::vector<Core> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    cores.push_back({nodes[(size_t)cpu], number_in(folder + "physical_package_id", 0),
                     number_in(folder + "core_id", cpu), cpu});
  }
  std::sort(cores.begin(), cores.end(), [](const Core& a, const Core& b) {
    return std::tie(a.node, a.package, a.core, a.cpu) < std::tie(b.node, b.package, b.core, b.cpu);
  });
  return cores;
}

struct Partition {
  std::vector<std::vector<int>> shares;
  size_t cores = 0;  // of the process
  bool chosen = false;
};

std::mutex g_mutex;
Partition* g_partition = nullptr;  // never freed
std::atomic<int> g_count{0};
std::atomic<int> g_threads_of[kMaxDevices];
std::atomic<bool> g_in_use{false};

// n shares of almost one size; 0: one for each node.
std::vector<std::vector<int>> divide(const std::vector<Core>& cores, int n) {
  std::vector<std::vector<int>> shares;
  if (n == 0) {
    for (size_t i = 0; i < cores.size(); ++i) {
      if (i == 0 || cores[i].node != cores[i - 1].node) shares.emplace_back();
      shares.back().push_back(cores[i].cpu);
    }
    if (shares.size() > (size_t)kMaxDevices) return divide(cores, kMaxDevices);
    return shares;
  }
  for (size_t d = 0; d < (size_t)n; ++d) {
    const size_t first = cores.size() * d / (size_t)n;
    const size_t last = std::max(first + 1, cores.size() * (d + 1) / (size_t)n);
    shares.emplace_back();
    for (size_t i = first; i < last; ++i) shares.back().push_back(cores[i].cpu);
  }
  return shares;
}

// With the lock held.
Partition& partition() {
  if (!g_partition) {
    const std::vector<Core> cores = cores_here();
    g_partition = new Partition;
    g_partition->cores = cores.size();
    g_partition->shares = divide(cores, 0);
    g_count.store((int)g_partition->shares.size());
  }
  return *g_partition;
}

// Threads keep to their share's cores only where no other device or process was given the same ones.
bool apart(const Partition& p) {
  return p.shares.size() > 1 && p.shares.size() <= p.cores && (size_t)process_threads() == p.cores;
}

// Gives the teams their sizes and cores.
void place_teams(const Partition& p) {
  const int all = process_threads(), n = (int)p.shares.size();
  for (int d = 0; d < kMaxDevices; ++d) {
    int threads = 1;
    if (d < n)
      threads = (size_t)all == p.cores ? (int)p.shares[(size_t)d].size()
                                       : std::max(1, all * (d + 1) / n - all * d / n);
    g_threads_of[d].store(threads);
    set_team_cores(d, d < n && apart(p) ? p.shares[(size_t)d] : std::vector<int>());
  }
}

void install(int n, bool chosen) {
  Partition& p = partition();
  const std::vector<Core> cores = cores_here();
  p.cores = cores.size();
  p.shares = divide(cores, n);
  p.chosen = chosen;
  g_count.store((int)p.shares.size());
  place_teams(p);
}

}  // namespace

void set_device_partition(int n) {
  NNLIB_CHECK_VALUE(n >= 0 && n <= kMaxDevices, "set_device_partition expects between 1 and ", kMaxDevices,
                    " devices (or 0: one for each NUMA node), got ", n);
  std::lock_guard<std::mutex> lock(g_mutex);
  install(n, n > 0);
}

int device_count() {
  if (const int n = g_count.load(std::memory_order_relaxed)) return n;
  std::lock_guard<std::mutex> lock(g_mutex);
  return (int)partition().shares.size();
}

void require_device(Device d) {
  if (d.index < 0) return;
  if (d.index >= device_count()) {
    std::lock_guard<std::mutex> lock(g_mutex);
    NNLIB_CHECK(!partition().chosen && d.index < kMaxDevices, "invalid device: there is no cpu:", d.index,
                "; this process has ", partition().shares.size(),
                " devices, cpu:0 to cpu:", partition().shares.size() - 1,
                ", and set_device_partition(n) divides its cores anew (at most ", kMaxDevices, ")");
    install(d.index + 1, false);
  }
  if (!devices_in_use()) {
    std::lock_guard<std::mutex> lock(g_mutex);
    place_teams(partition());
    g_in_use.store(true);
  }
}

void number_of_threads_changed() {
  if (!devices_in_use()) return;
  std::lock_guard<std::mutex> lock(g_mutex);
  place_teams(partition());
}

std::vector<int> device_cores(int device) {
  require_device(Device{(int16_t)device});
  std::lock_guard<std::mutex> lock(g_mutex);
  return partition().shares[(size_t)device];
}

int device_threads(int device) { return g_threads_of[device].load(std::memory_order_relaxed); }

bool devices_in_use() { return g_in_use.load(std::memory_order_relaxed); }

int set_thread_team(int device) {
  if (device >= 0) require_device(Device{(int16_t)device});
  const int before = t_device.team;
  t_device.team = (int16_t)device;
  return before;
}

void pin_thread(int device) {
  std::lock_guard<std::mutex> lock(g_mutex);
  const Partition& p = partition();
  if (device < 0 || device >= (int)p.shares.size() || !apart(p)) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : p.shares[(size_t)device]) CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

}  // namespace nnlib
