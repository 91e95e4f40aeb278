// What share of the machine each kernel and driver reaches, kernels on every instruction set that runs here.
//
//   kernels [--benchmark_filter=avx2/gemm] [--benchmark_format=json] [--missing]
//
// `limit%` is the least time that the work needs over the time that it took: work at the rate of
// multiply-adds on registers and of copies within the first-level cache, both measured first. A kernel of
// kernels.def that has no benchmark is an error; --missing prints those and stops. NNLIB_ISA chooses what the
// drivers run on.
#include "report.h"

#include <cstdio>
#include <cstring>
#include <map>

namespace nnlib::benchmarks {

const Limits& limits(const Table& table) {
  static std::map<const Table*, Limits> all;
  const auto found = all.find(&table);
  if (found != all.end()) return found->second;
  const int64_t bytes = 8 << 10;
  return all[&table] = {drivers::fma_rate(table, 1, 0.1), drivers::copy_rate(table, 1, bytes, false, 0.1)};
}

namespace {

// Registers the kernels of every instruction set but the reference; returns the names that have no benchmark.
std::vector<std::string> register_kernels() {
  kernels::Isa isas[kernels::kIsaCount];
  const int count = kernels::available_isas(isas);
  std::vector<std::string> missing;
  for (int i = 0; i < count; ++i) {
    if (isas[i] == kernels::Isa::Reference) continue;
    const Table& table = *kernels::table_for(isas[i]);
    missing.clear();
    for (const Case& c : all_cases(table, &missing)) {
      const std::string name = kernels::isa_name(isas[i]) + ("/" + c.name);
      benchmark::RegisterBenchmark(name.c_str(), [c, &table](benchmark::State& state) {
        report(state, c.work, limits(table), 1, c.run);
      });
    }
  }
  return missing;
}

int run(int argc, char** argv) {
  const std::vector<std::string> missing = register_kernels();
  for (const std::string& name : missing) {
    std::fprintf(stderr, "error: no benchmark of the kernel %s: add it to its family in benchmarks/cases\n",
                 name.c_str());
  }
  if (argc == 2 && std::strcmp(argv[1], "--missing") == 0) return missing.empty() ? 0 : 1;
  register_drivers();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const Limits& limit = limits(kernels::table());
  std::fprintf(stderr,
               "%s: %.1f GFLOP/s of FMA, %.1f GB/s of copies in the first-level cache, on one thread\n",
               kernels::isa_name(kernels::active_isa()), limit.flops / 1e9, limit.bytes / 1e9);
  benchmark::RunSpecifiedBenchmarks();
  return missing.empty() ? 0 : 1;
}

}  // namespace

}  // namespace nnlib::benchmarks

int main(int argc, char** argv) {
  try {
    return nnlib::benchmarks::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
