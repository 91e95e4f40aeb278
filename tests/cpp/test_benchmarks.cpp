// Every kernel has a benchmark, and each runs on every instruction set.
#include "cases/cases.h"
#include "harness.h"

using namespace harness;

TEST(benchmark_cases) {
  for_each_isa([](const nnlib::kernels::Table& table, const char* isa) {
    std::vector<std::string> missing;
    for (const auto& c : nnlib::benchmarks::all_cases(table, &missing)) {
      c.run();
      CHECK(c.work.flops + c.work.bytes > 0, isa, " ", c.name, " states no work");
    }
    for (const std::string& name : missing)
      CHECK(false, "no benchmark of ", name, ": add it to its family in benchmarks/cases");
  });
}
