// VecD with what Vec has, so that a formula is written once for float and double. On the compiler's vector
// operators: every instruction set has them.
//   MaskD; lt le gt ge eq ne is_nan & | ~ select(m, a, b) any
//   min max (the second operand when one is NaN) neg abs copysign floor ceil trunc round_even
//   LaneBits, bits_of(a), from_bits(b)    lanes as 64-bit integers, without a sign
//   reduce_max(a) reduce_min(a)
// and for both vectors lanes_below(v, n), the mask of v's first n lanes.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

typedef uint64_t LaneBits __attribute__((vector_size(kVecBytes)));
typedef int64_t LaneTruth __attribute__((vector_size(kVecBytes)));
typedef double LaneDoubles __attribute__((vector_size(kVecBytes)));

struct MaskD {
  LaneTruth m;  // all ones or zero
};

NNLIB_INLINE LaneDoubles lanes_of(VecD a) {
  LaneDoubles v;
  memcpy(&v, &a, sizeof v);
  return v;
}
NNLIB_INLINE VecD vec_of(LaneDoubles v) {
  VecD a;
  memcpy(&a, &v, sizeof a);
  return a;
}
NNLIB_INLINE LaneBits bits_of(VecD a) {
  LaneBits b;
  memcpy(&b, &a, sizeof b);
  return b;
}
NNLIB_INLINE VecD from_bits(LaneBits b) {
  VecD a;
  memcpy(&a, &b, sizeof a);
  return a;
}

NNLIB_INLINE MaskD lt(VecD a, VecD b) { return {LaneTruth(lanes_of(a) < lanes_of(b))}; }
NNLIB_INLINE MaskD le(VecD a, VecD b) { return {LaneTruth(lanes_of(a) <= lanes_of(b))}; }
NNLIB_INLINE MaskD eq(VecD a, VecD b) { return {LaneTruth(lanes_of(a) == lanes_of(b))}; }
NNLIB_INLINE MaskD ne(VecD a, VecD b) { return {LaneTruth(lanes_of(a) != lanes_of(b))}; }
NNLIB_INLINE MaskD gt(VecD a, VecD b) { return lt(b, a); }
NNLIB_INLINE MaskD ge(VecD a, VecD b) { return le(b, a); }
NNLIB_INLINE MaskD is_nan(VecD a) { return ne(a, a); }
NNLIB_INLINE MaskD operator&(MaskD a, MaskD b) { return {a.m & b.m}; }
NNLIB_INLINE MaskD operator|(MaskD a, MaskD b) { return {a.m | b.m}; }
NNLIB_INLINE MaskD operator~(MaskD a) { return {~a.m}; }
NNLIB_INLINE VecD select(MaskD m, VecD a, VecD b) { return vec_of(m.m ? lanes_of(a) : lanes_of(b)); }
NNLIB_INLINE bool any(MaskD m) {
  int64_t found = 0;
  for (int k = 0; k < kWidthD; ++k) found |= m.m[k];
  return found != 0;
}

NNLIB_INLINE Mask lanes_below(Vec, int64_t n) { return lt(iota(), set1i(n < kWidth ? int32_t(n) : kWidth)); }
NNLIB_INLINE MaskD lanes_below(VecD, int64_t n) {
  LaneTruth place;
  for (int k = 0; k < kWidthD; ++k) place[k] = k;
  return {LaneTruth(place < n)};
}

NNLIB_INLINE VecD min(VecD a, VecD b) { return select(lt(a, b), a, b); }
NNLIB_INLINE VecD max(VecD a, VecD b) { return select(lt(b, a), a, b); }

NNLIB_INLINE double reduce_max(VecD a) {
  double most = lanes_of(a)[0];
  for (int k = 1; k < kWidthD; ++k) most = lanes_of(a)[k] > most ? lanes_of(a)[k] : most;
  return most;
}
NNLIB_INLINE double reduce_min(VecD a) {
  double least = lanes_of(a)[0];
  for (int k = 1; k < kWidthD; ++k) least = lanes_of(a)[k] < least ? lanes_of(a)[k] : least;
  return least;
}

constexpr uint64_t kSignBit = uint64_t(1) << 63;
NNLIB_INLINE VecD operator-(VecD a) { return from_bits(bits_of(a) ^ kSignBit); }
NNLIB_INLINE VecD neg(VecD a) { return -a; }
NNLIB_INLINE VecD abs(VecD a) { return from_bits(bits_of(a) & ~kSignBit); }
NNLIB_INLINE VecD copysign(VecD magnitude, VecD sign) {
  return from_bits((bits_of(magnitude) & ~kSignBit) | (bits_of(sign) & kSignBit));
}
NNLIB_INLINE VecD fnma(VecD a, VecD b, VecD c) { return fma(-a, b, c); }

#if defined(__AVX512F__)
NNLIB_INLINE VecD round_even(VecD a) { return {_mm512_roundscale_pd(a.v, 0x08)}; }
NNLIB_INLINE VecD floor(VecD a) { return {_mm512_roundscale_pd(a.v, 0x09)}; }
NNLIB_INLINE VecD ceil(VecD a) { return {_mm512_roundscale_pd(a.v, 0x0a)}; }
NNLIB_INLINE VecD trunc(VecD a) { return {_mm512_roundscale_pd(a.v, 0x0b)}; }
#elif defined(__AVX2__)
NNLIB_INLINE VecD round_even(VecD a) { return {_mm256_round_pd(a.v, 0x08)}; }
NNLIB_INLINE VecD floor(VecD a) { return {_mm256_round_pd(a.v, 0x09)}; }
NNLIB_INLINE VecD ceil(VecD a) { return {_mm256_round_pd(a.v, 0x0a)}; }
NNLIB_INLINE VecD trunc(VecD a) { return {_mm256_round_pd(a.v, 0x0b)}; }
#else
// From 2^52 on every double is whole; below it, what 2^52 leaves of a sum is
// whole.
NNLIB_INLINE VecD round_even(VecD a) {
  const VecD large = set1d(4503599627370496.0), x = abs(a);
  return select(lt(x, large), copysign((x + large) - large, a), a);
}
NNLIB_INLINE VecD floor(VecD a) {
  const VecD r = round_even(a);
  return select(gt(r, a), copysign(r - set1d(1), a), r);
}
NNLIB_INLINE VecD ceil(VecD a) { return -floor(-a); }
NNLIB_INLINE VecD trunc(VecD a) { return copysign(floor(abs(a)), a); }
#endif

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
