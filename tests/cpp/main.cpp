// kernel_tests            runs every test; fails when one fails or a kernel of kernels.def was not run
// kernel_tests NAME...    runs the tests whose names have one of these in them
// kernel_tests --part K N runs every N-th test, from the K-th on: N processes with K = 0 to N - 1 run all
// kernel_tests --isa      prints the instruction set in use
// kernel_tests --isas     prints those that can be forced here, one a line
#include <cstdlib>
#include <stdexcept>

#include "harness.h"

namespace {

int check_coverage() {
  static const char* const names[] = {
#define NNLIB_KERNEL(name, ret, args) #name,
#include "kernels/kernels.def"
  };
  int missing = 0;
  for (const char* name : names) {
    if (harness::covered().count(name) == 0) {
      std::fprintf(stderr, "no test has run the kernel %s\n", name);
      ++missing;
    }
  }
  return missing;
}

int print_isas() {
  nnlib::kernels::Isa all[nnlib::kernels::kIsaCount];
  const int count = nnlib::kernels::available_isas(all);
  for (int i = 0; i < count; ++i) std::puts(nnlib::kernels::isa_name(all[i]));
  return 0;
}

void run_test(const harness::Test& test) {
  const int before = harness::failures();
  test.run();
  std::printf("%s %s\n", harness::failures() == before ? "ok  " : "FAIL", test.name);
}

bool wanted(const char* name, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strstr(name, argv[i])) return true;
  }
  return argc == 1;
}

int run_part(int part, int parts) {
  int index = 0;
  for (const harness::Test& test : harness::tests()) {
    if (index++ % parts == part) run_test(test);
  }
  return harness::failures() ? 1 : 0;
}

int run(int argc, char** argv) {
  const std::string option = argc > 1 ? argv[1] : "";
  if (option == "--isas") return print_isas();
  nnlib::kernels::table();  // an impossible NNLIB_ISA is reported here
  if (option == "--isa") return std::puts(nnlib::kernels::isa_name(nnlib::kernels::active_isa())) < 0;
  if (option == "--part") {
    const int part = argc == 4 ? std::atoi(argv[2]) : -1, parts = argc == 4 ? std::atoi(argv[3]) : 0;
    if (part < 0 || part >= parts) throw std::invalid_argument("--part K N: expected 0 <= K < N");
    return run_part(part, parts);
  }
  for (const harness::Test& test : harness::tests()) {
    if (wanted(test.name, argc, argv)) run_test(test);
  }
  return harness::failures() || (argc == 1 && check_coverage()) ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
