// Dropout from a counter-based generator: Philox4x32 with 7 rounds (Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011; 7 rounds pass BigCrush). Every counter gives four 32-bit
// numbers. A block of 64 values uses 16 counters: number q of counter k belongs to value 16 q + k, on every
// instruction set.
#pragma once
#include "vec_lanes.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

struct Philox {
  IVec c[4];
};

NNLIB_INLINE Philox philox(IVec c0, uint32_t c1, uint64_t key) {
  Philox p = {{c0, set1i(int32_t(c1)), set1i(0), set1i(0)}};
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int round = 0; round < 7; ++round) {
    IVec high0, low0, high1, low1;
    mul_wide(p.c[0], 0xD2511F53u, &high0, &low0);
    mul_wide(p.c[2], 0xCD9E8D57u, &high1, &low1);
    p.c[0] = high1 ^ p.c[1] ^ set1i(int32_t(k0));
    p.c[2] = high0 ^ p.c[3] ^ set1i(int32_t(k1));
    p.c[1] = low1;
    p.c[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return p;
}

// y[i] = scale x[i] where the i-th number is at least `threshold`, else 0. Counters from `counter` on, a
// multiple of 16.
void dropout_f32(int64_t n, const float* x, float* y, uint32_t threshold, float scale, uint64_t key,
                 uint64_t counter) {
  const Vec s = set1(scale);
  const IVec limit = set1i(int32_t(threshold));
  for (int64_t block = 0; block < n; block += 64, counter += 16) {
    for (int part = 0; part < 16; part += kWidth) {
      const Philox p =
          philox(iota() + set1i(int32_t(uint32_t(counter) + uint32_t(part))), uint32_t(counter >> 32), key);
      for (int q = 0; q < 4; ++q) {
        const int64_t i = block + 16 * q + part, m = n - i;
        if (m <= 0) break;
        // Dropped values are multiplied by zero, so that NaN and infinity stay visible.
        const Vec keep = select(ltu(p.c[q], limit), zero(), s);
        if (m >= kWidth) {
          store(y + i, load(x + i) * keep);
        } else {
          store_n(y + i, load_n(x + i, m) * keep, m);
        }
      }
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
