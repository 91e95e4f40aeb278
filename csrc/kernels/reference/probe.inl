#pragma once

namespace nnlib::kernels::reference {
namespace {

constexpr int kChains = 12;
constexpr int64_t probe_flops = 2 * kChains;

float probe_fma_f32(int64_t rounds, float factor) {
  float sum = 0;
  for (int i = 0; i < kChains; ++i) {
    float chain = float(i);
    for (int64_t r = 0; r < rounds; ++r) chain = chain * factor + 1.f;
    sum += chain;
  }
  return sum;
}

void probe_copy_f32(int64_t n, const float* x, float* y, bool past_caches) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i];
}

}  // namespace
}  // namespace nnlib::kernels::reference
