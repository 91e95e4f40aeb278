// kernel_tests            runs every test; fails when one fails or a kernel of kernels.def was not run
// kernel_tests PART...    runs the tests whose names have one of the parts
// kernel_tests --isa      prints the instruction set in use
// kernel_tests --isas     prints those that can be forced here, one a line
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

bool wanted(const char* name, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strstr(name, argv[i])) return true;
  }
  return argc == 1;
}

int run(int argc, char** argv) {
  const std::string option = argc > 1 ? argv[1] : "";
  if (option == "--isas") return print_isas();
  nnlib::kernels::table();  // an impossible NNLIB_ISA is reported here
  if (option == "--isa") return std::puts(nnlib::kernels::isa_name(nnlib::kernels::active_isa())) < 0;
  for (const harness::Test& test : harness::tests()) {
    if (!wanted(test.name, argc, argv)) continue;
    const int before = harness::failures();
    test.run();
    std::printf("%s %s\n", harness::failures() == before ? "ok  " : "FAIL", test.name);
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
