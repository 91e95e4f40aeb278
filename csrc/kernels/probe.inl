// What a core can do at most in this instruction set: multiply-adds on registers, and copies. Benchmarks set
// a kernel's time against these.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// More chains than a multiply-add's latency times the units that compute it; they fit the registers.
constexpr int kChains = 12;
constexpr int64_t probe_flops = 2 * kChains * kWidth;

float probe_fma_f32(int64_t rounds, float factor) {
  const Vec a = set1(factor), b = set1(1.f);
  Vec chain[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) chain[i] = set1(float(i));
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) chain[i] = fma(chain[i], a, b);
  }
  Vec sum = zero();
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum = sum + chain[i];
  return reduce_add(sum) / kWidth;
}

void probe_copy_f32(int64_t n, const float* x, float* y, bool past_caches) {
  int64_t i = 0;
  if (past_caches) {  // such stores want aligned addresses
    const int64_t ahead = int64_t((0 - uintptr_t(y)) % kVecBytes / sizeof(float));
    const int64_t head = ahead < n ? ahead : n;
    store_n(y, load_n(x, head), head);
    for (i = head; i + kWidth <= n; i += kWidth) stream(y + i, load(x + i));
    fence();
  }
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) store(y + i + v * kWidth, load(x + i + v * kWidth));
  }
  for (; i < n; i += kWidth) store_n(y + i, load_n(x + i, n - i), n - i);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
