// How a benchmark is run and set against the machine's limits.
#pragma once
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "cases/cases.h"
#include "ops/drivers/limits.h"

namespace nnlib::benchmarks {

// What one thread can do with a table's instructions: measured once.
struct Limits {
  double flops, bytes;  // multiply-adds on registers; copies within the first-level cache
};
const Limits& limits(const Table& table);

// Runs the benchmark's loop over f. Reports its rate, and as `limit%` the share of the time that the work
// needs at the least on so many threads.
template <class F>
void report(benchmark::State& state, Work work, const Limits& limit, int threads, F f) {
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) f();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const double seconds = took.count() / double(state.iterations());
  if (work.flops > 0) state.counters["GFLOP/s"] = work.flops / seconds / 1e9;
  if (work.bytes > 0) state.counters["GB/s"] = work.bytes / seconds / 1e9;
  const double flops = limit.flops / (work.doubles ? 2 : 1);
  state.counters["limit%"] = 100 * std::max(work.flops / flops, work.bytes / limit.bytes) / threads / seconds;
}

void register_drivers();

}  // namespace nnlib::benchmarks
