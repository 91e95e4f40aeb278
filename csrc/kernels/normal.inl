// Uniform numbers to normal ones by Box and Muller ("A note on the generation of random normal deviates",
// 1958). The logarithm and the sines are those of the Cephes library (S. Moshier) with every multiply-add
// fused, as PyTorch computes them on x86 (aten/src/ATen/native/cpu/avx_mathfun.h): the bits are the same, on
// every instruction set.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

inline float as_float(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
inline uint32_t as_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

// x in (0, 1].
inline float cephes_log(float x) {
  const uint32_t u = as_bits(x);
  const float m = as_float((u & 0x807fffffu) | 0x3f000000u);
  const bool small = m < 0.707106781186547524f;
  const float e = (float)((int32_t)(u >> 23) - 126) - (small ? 1.f : 0.f);
  const float t = (m - 1.f) + (small ? m : 0.f), z = t * t;
  float y = 7.0376836292e-2f;
  y = __builtin_fmaf(y, t, -1.1514610310e-1f);
  y = __builtin_fmaf(y, t, 1.1676998740e-1f);
  y = __builtin_fmaf(y, t, -1.2420140846e-1f);
  y = __builtin_fmaf(y, t, 1.4249322787e-1f);
  y = __builtin_fmaf(y, t, -1.6668057665e-1f);
  y = __builtin_fmaf(y, t, 2.0000714765e-1f);
  y = __builtin_fmaf(y, t, -2.4999993993e-1f);
  y = __builtin_fmaf(y, t, 3.3333331174e-1f);
  y = __builtin_fmaf(y * t, z, e * -2.12194440e-4f);
  y = __builtin_fmaf(-z, 0.5f, y);
  return __builtin_fmaf(e, 0.693359375f, t + y);
}

// x in [0, 2 pi].
inline void cephes_sincos(float x, float* sine, float* cosine) {
  const int32_t j = ((int32_t)(x * 1.27323954473516f) + 1) & ~1;
  const float n = (float)j;
  float r = __builtin_fmaf(n, -0.78515625f, x);
  r = __builtin_fmaf(n, -2.4187564849853515625e-4f, r);
  r = __builtin_fmaf(n, -3.77489497744594108e-8f, r);
  const float z = r * r;
  float c = __builtin_fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
  c = __builtin_fmaf(c, z, 4.166664568298827e-2f) * z;
  c = __builtin_fmaf(c, z, -(z * 0.5f)) + 1.f;
  float s = __builtin_fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
  s = __builtin_fmaf(s, z, -1.6666654611e-1f) * z;
  s = __builtin_fmaf(s, r, r);
  const bool swap = j & 2;
  *sine = as_float(as_bits(swap ? c : s) ^ (uint32_t)(j & 4) << 29);
  *cosine = as_float(as_bits(swap ? s : c) ^ (uint32_t)(~(j - 2) & 4) << 29);
}

// Each block of 16 uniforms becomes 16 normals: places j and j + 8 are a pair.
void box_muller_f32(int64_t blocks, float* x, float mean, float std) {
  for (int64_t b = 0; b < blocks; ++b, x += 16) {
    for (int j = 0; j < 8; ++j) {
      const float radius = sqrtf(-2.f * cephes_log(1.f - x[j]));
      float s, c;
      cephes_sincos(6.283185307179586f * x[j + 8], &s, &c);
      x[j] = __builtin_fmaf(radius * c, std, mean);
      x[j + 8] = __builtin_fmaf(radius * s, std, mean);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
