// 16-bit floats one value at a time: bfloat16 is a float's upper half, float16 is taken apart.
#pragma once

namespace nnlib::kernels::reference {
namespace {

float from_bf16(uint16_t h) {
  const uint32_t u = uint32_t(h) << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

uint16_t to_bf16(float f) {
  if (f != f) return 0x7fc0;
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

float from_f16(uint16_t h) {
  const int exponent = (h >> 10) & 31, mantissa = h & 1023;
  double value = exponent == 31  ? (mantissa ? double(NAN) : double(INFINITY))
                 : exponent == 0 ? ldexp(mantissa, -24)
                                 : ldexp(1024 + mantissa, exponent - 25);
  return float(h & 0x8000 ? -value : value);
}

uint16_t to_f16(float f) {
  const uint16_t sign = signbit(f) ? 0x8000 : 0;
  const double a = fabs(double(f));
  if (a != a) return sign | 0x7e00;
  if (a >= 65520) return sign | 0x7c00;
  if (a < ldexp(1, -14)) return uint16_t(sign | int(nearbyint(ldexp(a, 24))));
  int exponent;
  frexp(a, &exponent);  // a = m * 2^exponent, 1/2 <= m < 1
  const int mantissa =
      int(nearbyint(ldexp(a, 11 - exponent)));  // 1024 .. 2048: a carry moves the exponent on
  return uint16_t(sign | (((exponent + 13) << 10) + mantissa));
}

}  // namespace
}  // namespace nnlib::kernels::reference
