// The benchmark of every kernel runs on every instruction set.
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
      std::printf("no benchmark of %s: add it to its family in benchmarks/cases\n", name.c_str());
  });
}
