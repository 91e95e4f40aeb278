#include "cases/cases.h"

#include <algorithm>
#include <map>

#include "cases/by_signature.h"

namespace nnlib::benchmarks {

namespace {

template <class T>
T* array(int which, T (*value)(uint32_t)) {
  static std::map<int, std::vector<T>> all;
  std::vector<T>& x = all[which];
  if (x.empty()) {
    uint32_t state = uint32_t(which) + 1;
    x.resize(size_t(kArray));
    for (T& v : x) v = value((state = state * 1664525u + 1013904223u) >> 8);
  }
  return x.data();
}

template <class T>
T between(uint32_t random) {
  return T(0.25) + T(0.5) * T(random) / T(1 << 24);
}

constexpr int kOutputs = 100;  // a place of an output is no place of an input

}  // namespace

const float* input(int which) { return array<float>(which, between<float>); }
float* output(int which) { return array<float>(kOutputs + which, between<float>); }
const double* input_f64(int which) { return array<double>(which, between<double>); }
double* output_f64(int which) { return array<double>(kOutputs + which, between<double>); }
const uint16_t* input_half() {
  return array<uint16_t>(0, [](uint32_t) { return uint16_t(0x3f80); });
}
uint16_t* output_half() {
  return array<uint16_t>(kOutputs, [](uint32_t) { return uint16_t(0x3f80); });
}
uint8_t* places() {
  return array<uint8_t>(0, [](uint32_t random) { return uint8_t(random & 3); });
}
const int64_t* zeros() {
  return array<int64_t>(0, [](uint32_t) { return int64_t(0); });
}

std::vector<Case> all_cases(const Table& table, std::vector<std::string>* missing) {
  Cases cases(table);
  add_gemm(cases);
  add_bf16(cases);
  add_conv(cases);
  add_rows(cases);
  add_winograd(cases);
  const auto lacks = [&](const char* name) {
    return std::none_of(cases.all.begin(), cases.all.end(), [&](const Case& c) { return c.kernel == name; });
  };
#define NNLIB_KERNEL(name, ret, args) \
  if (lacks(#name) && !add_by_signature(cases, #name, table.name)) missing->push_back(#name);
#include "kernels/kernels.def"
  return std::move(cases.all);
}

}  // namespace nnlib::benchmarks
