// Memory filled with a value's bits, line by line.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

void fill_lines(int64_t lines, uint64_t bits, void* y, bool past_caches) {
  constexpr int64_t kLine = 16;
  alignas(64) uint64_t words[kLine / 2];
  for (uint64_t& w : words) w = bits;
  float* p = static_cast<float*>(y);
  Vec line[kLine / kWidth];
#pragma GCC unroll 4
  for (int64_t v = 0; v < kLine / kWidth; ++v)
    line[v] = load(reinterpret_cast<const float*>(words) + v * kWidth);
  if (!past_caches) {
    for (int64_t i = 0; i < lines; ++i, p += kLine) {
#pragma GCC unroll 4
      for (int64_t v = 0; v < kLine / kWidth; ++v) store(p + v * kWidth, line[v]);
    }
    return;
  }
  for (int64_t i = 0; i < lines; ++i, p += kLine) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < kLine / kWidth; ++v) stream(p + v * kWidth, line[v]);
  }
  fence();
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
