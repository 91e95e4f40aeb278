// A small test harness: TEST(name) { ... CHECK(condition, what, ...) }, and helpers for testing kernels of
// every instruction set against the reference table.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/dispatch.h"

namespace harness {

struct Test {
  const char* name;
  void (*run)();
};
inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}
struct Register {
  Register(const char* name, void (*run)()) { tests().push_back({name, run}); }
};
inline int& failures() {
  static int count = 0;
  return count;
}
// Kernels that some test has run; main.cpp wants every line of kernels.def in here.
inline std::set<std::string>& covered() {
  static std::set<std::string> names;
  return names;
}

template <class... Args>
void fail(const char* file, int line, const Args&... args) {
  std::ostringstream s;
  s << file << ":" << line << ": ";
  (s << ... << args);
  if (++failures() <= 20) std::fprintf(stderr, "%s\n", s.str().c_str());
}

#define TEST(name)                                              \
  static void test_##name();                                    \
  static harness::Register register_##name(#name, test_##name); \
  static void test_##name()
#define CHECK(condition, ...)                                                         \
  do {                                                                                \
    if (!(condition)) harness::fail(__FILE__, __LINE__, #condition " ", __VA_ARGS__); \
  } while (0)

// Every table that runs here, the reference excepted.
template <class F>
void for_each_isa(F f) {
  using namespace nnlib::kernels;
  Isa all[kIsaCount];
  const int count = available_isas(all);
  for (int i = 0; i < count; ++i) {
    if (all[i] != Isa::Reference) f(*table_for(all[i]), isa_name(all[i]));
  }
}
inline const nnlib::kernels::Table& truth() {
  return *nnlib::kernels::table_for(nnlib::kernels::Isa::Reference);
}

// Units in the last place of `want` between two floats; NaN equals NaN, and zeros are equal.
inline double ulps(float got, float want) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : INFINITY;
  if (got == want) return 0;
  if (std::isinf(got) || std::isinf(want)) return INFINITY;
  int exponent;
  std::frexp(want, &exponent);
  return std::fabs(double(got) - want) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

inline double ulps(double got, double want) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : INFINITY;
  if (got == want) return 0;
  if (std::isinf(got) || std::isinf(want)) return INFINITY;
  int exponent;
  std::frexp(want, &exponent);
  return std::fabs(got - want) / std::ldexp(1.0, std::max(exponent - 53, -1074));
}

// 16-bit floats: bfloat16 where `brain`, float16 otherwise.
inline float from_half(uint16_t h, bool brain) {
  float x;
  brain ? truth().bf16_to_f32(1, &h, &x) : truth().f16_to_f32(1, &h, &x);
  return x;
}
inline uint16_t to_half(float x, bool brain) {
  uint16_t h;
  brain ? truth().f32_to_bf16(1, &x, &h) : truth().f32_to_f16(1, &x, &h);
  return h;
}
inline bool is_bfloat16(const std::string& kernel) {
  return kernel.size() > 5 && kernel.compare(kernel.size() - 5, 5, "_bf16") == 0;
}
// Neighbours at the most: results that were computed in float and rounded.
inline bool near_half(uint16_t got, uint16_t want, bool brain) {
  const float g = from_half(got, brain), w = from_half(want, brain);
  if (std::isnan(g) || std::isnan(w)) return std::isnan(g) && std::isnan(w);
  return g == w || std::abs(int(got) - int(want)) <= 1;
}

template <class T>
bool close(T got, T want, double rtol, double atol) {
  if (std::isnan(double(got)) || std::isnan(double(want)))
    return std::isnan(double(got)) && std::isnan(double(want));
  if (std::isinf(double(want))) return got == want;
  return std::fabs(double(got) - double(want)) <= atol + rtol * std::fabs(double(want));
}

// An array that starts `shift` elements past an aligned address, between guards that must stay as they are.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t n, int shift = 1)
      : n_(n), begin_(kGuard + shift), all_(n + 2 * kGuard + shift, guard()) {}
  T* data() { return all_.data() + begin_; }
  T& operator[](int64_t i) { return all_[begin_ + i]; }
  const T& operator[](int64_t i) const { return all_[begin_ + i]; }
  int64_t size() const { return n_; }
  bool intact() const { return untouched(0, begin_) && untouched(begin_ + n_, int64_t(all_.size())); }

 private:
  static constexpr int kGuard = 32;
  bool untouched(int64_t from, int64_t to) const {
    for (int64_t i = from; i < to; ++i)
      if (std::memcmp(&all_[i], &kPattern(), sizeof(T)) != 0) return false;
    return true;
  }
  static T guard() {
    T value;
    std::memset(&value, 0x5a, sizeof value);
    return value;
  }
  static const T& kPattern() {
    static const T pattern = guard();
    return pattern;
  }
  int64_t n_, begin_;
  std::vector<T> all_;
};

inline std::mt19937& rng() {
  static std::mt19937 engine(20240229);
  return engine;
}
template <class A>
void fill(A& x, double low = -2, double high = 2) {
  std::uniform_real_distribution<double> u(low, high);
  for (int64_t i = 0; i < int64_t(x.size()); ++i) x[i] = decltype(+x[0])(u(rng()));
}

// Sizes about every vector width and unroll, zero included.
inline std::vector<int64_t> odd_sizes() {
  return {0, 1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 47, 64, 65, 100, 257};
}

}  // namespace harness
