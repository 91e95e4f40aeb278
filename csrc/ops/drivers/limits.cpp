#include "ops/drivers/limits.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "core/allocator.h"
#include "core/error.h"
#include "core/parallel.h"

namespace nnlib::drivers {

namespace {

using Clock = std::chrono::steady_clock;

// A round has to last long enough that starting the threads does not count.
constexpr double kRound = 1e-3;

// The best rate of work(times), which does `amount` for each of its times on each of `threads` threads.
template <class Work>
double best_rate(int threads, double amount, double seconds, Work work) {
  NNLIB_CHECK_VALUE(threads > 0, "the number of threads must be positive, got ", threads);
  NNLIB_CHECK_VALUE(seconds > 0 && seconds <= 60, "seconds must lie in (0, 60], got ", seconds);
  const auto time = [&](int64_t times) {
    const Clock::time_point start = Clock::now();
    parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) work(t, times);
    });
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  int64_t times = 1;
  while (time(times) < kRound && times < (int64_t(1) << 40)) times *= 2;
  double best = 0;
  const Clock::time_point stop =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  do {
    best = std::max(best, amount * double(times) * threads / time(times));
  } while (Clock::now() < stop);
  return best;
}

struct Array {
  explicit Array(size_t n) : bytes(n), data(static_cast<float*>(allocate(n))) {
    std::fill_n(data, n / sizeof(float), 1.f);
  }
  ~Array() { deallocate(data, bytes); }
  Array(const Array&) = delete;
  const size_t bytes;
  float* const data;
};

}  // namespace

double fma_rate(const kernels::Table& table, int threads, double seconds) {
  return best_rate(threads, 1000.0 * double(table.probe_flops), seconds, [&](int64_t, int64_t times) {
    // Through a volatile: the calls are not to be thought away.
    volatile float result = table.probe_fma_f32(1000 * times, 0.5f);
    (void)result;
  });
}

double tile_rate(const kernels::Table& table, int threads, double seconds) {
  if (table.bf16_rate <= 1) return 0;
  constexpr int64_t kBlock = 32, kSteps = 16;
  const std::vector<uint16_t> operand(size_t(kBlock * kBlock * kSteps));
  return best_rate(threads, 2.0 * double(kBlock * kBlock * kBlock * kSteps), seconds,
                   [&](int64_t, int64_t times) {
                     alignas(64) float c[kBlock * kBlock];
                     table.bf16_begin();
                     for (int64_t i = 0; i < times; ++i) {
                       table.bf16_tile_f32(kSteps, 1, operand.data(), operand.data(), c, kBlock, kBlock,
                                           kBlock, nullptr, false, nullptr, 0);
                     }
                     table.bf16_end();
                   });
}

double copy_rate(const kernels::Table& table, int threads, int64_t bytes, bool past_caches, double seconds) {
  NNLIB_CHECK_VALUE(bytes >= 0, "the number of bytes must not be negative, got ", bytes);
  const int64_t n = bytes / int64_t(sizeof(float));
  std::vector<std::unique_ptr<Array>> from, to;
  for (int t = 0; t < threads; ++t) {
    from.push_back(std::make_unique<Array>(size_t(bytes)));
    to.push_back(std::make_unique<Array>(size_t(bytes)));
  }
  return best_rate(threads, 2.0 * double(n * int64_t(sizeof(float))), seconds, [&](int64_t t, int64_t times) {
    for (int64_t i = 0; i < times; ++i) {
      table.probe_copy_f32(n, from[size_t(t)]->data, to[size_t(t)]->data, past_caches);
    }
  });
}

}  // namespace nnlib::drivers
