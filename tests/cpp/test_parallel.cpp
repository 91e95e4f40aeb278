// Loops shared among threads: each index once, whatever the threads do.
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "core/device.h"
#include "core/parallel.h"
#include "harness.h"

using nnlib::parallel_for;

namespace {

struct Threads {  // sets a number of threads, and puts it back
  explicit Threads(int n) : before(nnlib::num_threads()) { nnlib::set_num_threads(n); }
  ~Threads() { nnlib::set_num_threads(before); }
  const int before;
};

bool covers_once(int64_t begin, int64_t end, int64_t grain) {
  std::vector<std::atomic<int>> seen(size_t(std::max<int64_t>(0, end - begin)));
  for (auto& s : seen) s = 0;
  std::atomic<bool> cut_right{true};
  parallel_for(begin, end, grain, [&](int64_t b, int64_t e) {
    const int64_t step = grain < 1 ? 1 : grain;
    if ((b - begin) % step != 0 || e != std::min(b + step, end)) cut_right = false;
    for (int64_t i = b; i < e; ++i) ++seen[size_t(i - begin)];
  });
  for (auto& s : seen) cut_right = cut_right && s == 1;
  return cut_right;
}

}  // namespace

TEST(parallel_for_visits_each_index_once) {
  for (int threads : {1, 2, 3, 8}) {
    Threads set(threads);
    for (int64_t n : {0, 1, 2, 3, 7, 64, 1000}) {
      for (int64_t grain : {0, 1, 2, 5, 64, 2000}) {
        CHECK(covers_once(3, 3 + n, grain), threads, " ", n, " ", grain);
      }
    }
  }
}

TEST(parallel_for_many_short_loops) {
  Threads set(4);
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 5000; ++i) parallel_for(0, 8, 1, [&](int64_t b, int64_t) { sum += b; });
  CHECK(sum == 5000 * 28, sum);
}

TEST(parallel_for_nested_is_serial) {
  Threads set(4);
  std::atomic<int> inner{0};
  std::atomic<bool> same{true};
  parallel_for(0, 16, 1, [&](int64_t, int64_t) {
    const auto me = std::this_thread::get_id();
    parallel_for(0, 16, 1, [&](int64_t, int64_t) {
      same = same && std::this_thread::get_id() == me && nnlib::in_parallel_region();
      ++inner;
    });
  });
  CHECK(inner == 256 && same, inner);
  CHECK(!nnlib::in_parallel_region(), "after the loop");
}

TEST(parallel_for_throws_the_exception_and_goes_on_working) {
  Threads set(4);
  for (int i = 0; i < 50; ++i) {
    bool caught = false;
    try {
      parallel_for(0, 100, 1, [&](int64_t b, int64_t) {
        if (b % 10 == 3) throw std::runtime_error("at an index");
      });
    } catch (const std::runtime_error& e) {
      caught = std::string(e.what()) == "at an index";
    }
    CHECK(caught, i);
    CHECK(covers_once(0, 40, 1), i);
  }
}

TEST(parallel_for_from_several_threads) {
  Threads set(4);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i) wrong += !covers_once(0, 50, 3);
    });
  }
  for (auto& c : callers) c.join();
  CHECK(wrong == 0, wrong);
}

TEST(parallel_for_helps_a_thread_that_is_late) {
  // One chunk waits until all others are done: a fixed split would leave its neighbours behind it.
  Threads set(2);
  std::atomic<int> done{0};
  parallel_for(0, 8, 1, [&](int64_t b, int64_t) {
    if (b == 0) {
      for (int i = 0; i < 10000 && done < 7; ++i) usleep(1000);
    }
    ++done;
  });
  CHECK(done == 8, done);
}

TEST(parallel_for_on_the_team_of_a_device) {
  Threads set(6);
  nnlib::set_device_partition(3);
  for (int16_t device : {2, 0, 1}) {
    nnlib::require_device({device});
    nnlib::DeviceScope scope({device});
    CHECK(nnlib::num_threads() == nnlib::device_threads(device), nnlib::num_threads());
    CHECK(covers_once(0, 1000, 3), device);
  }
  CHECK(nnlib::num_threads() == 6, "a device's team ends with its scope");
  // One thread for each device at once: no team waits for another.
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int16_t device : {0, 1, 2}) {
    callers.emplace_back([device, &sum] {
      nnlib::DeviceScope scope({device});
      for (int i = 0; i < 500; ++i) parallel_for(0, 8, 1, [&](int64_t b, int64_t) { sum += b; });
    });
  }
  for (std::thread& t : callers) t.join();
  CHECK(sum == 3 * 500 * 28, sum);
  nnlib::set_device_partition(0);
}
