// Half and bfloat16 as storage types: arithmetic is done in float.
#pragma once
#include <cstdint>
#include <cstring>

namespace nnlib {

inline uint32_t float_bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}
inline float bits_float(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

// IEEE binary16 to binary32, exact.
inline float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 0x3ff;
  if (exp == 31) return bits_float(sign | 0x7f800000u | (man << 13));
  if (exp == 0) return bits_float(sign | float_bits((float)man * 5.9604644775390625e-8f));  // 2^-24
  return bits_float(sign | ((exp + 112) << 23) | (man << 13));
}
// binary32 to IEEE binary16, rounded to nearest even; overflow gives infinity.
inline uint16_t float_to_half(float f) {
  uint32_t u = float_bits(f), sign = (u >> 16) & 0x8000, mag = u & 0x7fffffff;
  if (mag > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | ((mag >> 13) & 0x3ff));
  if (mag >= 0x47800000u) return (uint16_t)(sign | 0x7c00);
  if (mag < 0x38800000u) {  // subnormal half: adding 0.5 aligns the mantissa and rounds it
    return (uint16_t)(sign | (float_bits(bits_float(mag) + 0.5f) - 0x3f000000u));
  }
  uint32_t odd = (mag >> 13) & 1;
  return (uint16_t)(sign | ((mag - 0x38000000u + 0xfff + odd) >> 13));
}
inline float bfloat_to_float(uint16_t b) { return bits_float((uint32_t)b << 16); }
// binary32 to bfloat16, rounded to nearest even; NaN stays NaN.
inline uint16_t float_to_bfloat(float f) {
  uint32_t u = float_bits(f);
  if ((u & 0x7fffffff) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40);
  return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

struct Half {
  uint16_t bits = 0;
  Half() = default;
  Half(float f) : bits(float_to_half(f)) {}
  operator float() const { return half_to_float(bits); }
};
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  BFloat16(float f) : bits(float_to_bfloat(f)) {}
  operator float() const { return bfloat_to_float(bits); }
};

}  // namespace nnlib
