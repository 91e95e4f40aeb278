// The benchmark of every kernel, without the library that times them: what is called, and the work of a call.
//
// A kernel whose arguments are one size and arrays of that size needs nothing: by_signature.h makes its case.
// Others are added in the file of their family. Operands lie in the first-level cache where the kernel does
// not say otherwise.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/dispatch.h"

namespace nnlib::benchmarks {

using kernels::Table;

struct Work {
  double flops, bytes;
  bool doubles = false;  // the operations are float64's: half as many a vector
};

struct Case {
  std::string kernel, name;  // the name adds the sizes
  Work work;
  std::function<void()> run;
};

class Cases {
 public:
  explicit Cases(const Table& t) : t(t) {}
  const Table& t;
  std::vector<Case> all;

  void add(const char* kernel, const std::string& sizes, Work work, std::function<void()> run) {
    all.push_back({kernel, sizes.empty() ? kernel : kernel + ("/" + sizes), work, std::move(run)});
  }
};

// Arrays for operands, the same in every case, of kArray elements that lie between 0.25 and 0.75.
constexpr int64_t kArray = 1 << 19;
const float* input(int which);
float* output(int which);
const double* input_f64(int which);
double* output_f64(int which);
const uint16_t* input_half();  // 1.0 in bfloat16, 1.875 in float16
uint16_t* output_half();
uint8_t* places();  // 0 to 3
const int64_t* zeros();

// The families, a file each.
void add_gemm(Cases& cases);
void add_bf16(Cases& cases);
void add_conv(Cases& cases);
void add_rows(Cases& cases);
void add_winograd(Cases& cases);

// All cases of a table. `missing` gets the names of the kernels that have none.
std::vector<Case> all_cases(const Table& table, std::vector<std::string>* missing);

}  // namespace nnlib::benchmarks
