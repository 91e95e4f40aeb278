// Conversions between element types, in blocks that the compiler makes vectors of.
#pragma once
#include "gemm.inl"
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int64_t kConverted = 256;  // values of a block, where one is checked or goes through float
constexpr double kWholes =
    6755399441055744.0;  // 1.5 * 2^52: a sum with it has a whole number in its low bits
constexpr int64_t kWholesBits = 0x4338000000000000;

// An element type that is computed with as it is stored, a truth, and the 16-bit floats.
template <class Stored>
struct PlainElement {
  using T = Stored;
};
struct BoolElement {
  using T = uint8_t;
};
struct F16Element {
  using T = uint16_t;
  static NNLIB_INLINE void read(int64_t n, const uint16_t* x, float* y) { f16_to_f32(n, x, y); }
  static NNLIB_INLINE void write(int64_t n, const float* x, uint16_t* y) { f32_to_f16(n, x, y); }
};
struct Bf16Element {
  using T = uint16_t;
  static NNLIB_INLINE void read(int64_t n, const uint16_t* x, float* y) { bf16_to_f32(n, x, y); }
  static NNLIB_INLINE void write(int64_t n, const float* x, uint16_t* y) { f32_to_bf16(n, x, y); }
};

template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;
template <class C>
constexpr bool kIsFloat = kSame<C, float> || kSame<C, double>;
template <class E>
constexpr bool kIsHalf = kSame<E, F16Element> || kSame<E, Bf16Element>;

// Whether |x| < 2^power for all of them, which no NaN is. Looked at as integers, for the compiler's vectors.
NNLIB_INLINE bool all_below(int64_t n, const float* x, int power) {
  const int32_t bound = (127 + power) << 23;
  int32_t beyond = 0;
  for (int64_t k = 0; k < n; ++k) {
    int32_t bits;
    memcpy(&bits, x + k, 4);
    beyond |= bound - 1 - (bits & 0x7fffffff);
  }
  return beyond >= 0;
}
NNLIB_INLINE bool all_below(int64_t n, const double* x, int power) {
  const int64_t bound = int64_t(1023 + power) << 52;
  int64_t beyond = 0;
  for (int64_t k = 0; k < n; ++k) {
    int64_t bits;
    memcpy(&bits, x + k, 8);
    beyond |= bound - 1 - (bits & 0x7fffffffffffffff);
  }
  return beyond >= 0;
}
NNLIB_INLINE bool all_below(int64_t n, const int64_t* x, int power) {
  const uint64_t bound = uint64_t(1) << power;
  uint64_t beyond = 0;
  for (int64_t k = 0; k < n; ++k) beyond |= uint64_t(x[k]) + bound;
  return beyond >> (power + 1) == 0;
}

// Floats to whole numbers, n <= kConverted. Through int64, so that the small types wrap; where all are small,
// by what has vectors.
template <class S, class D>
NNLIB_INLINE void to_whole(int64_t n, const S* __restrict x, D* __restrict y) {
  if constexpr (kSame<D, int64_t>) {
#if defined(__AVX2__)
    if (all_below(n, x, 51)) {
      double shifted[kConverted];
      int64_t bits[kConverted];
      for (int64_t k = 0; k < n; ++k) shifted[k] = __builtin_trunc(double(x[k])) + kWholes;
      memcpy(bits, shifted, size_t(n) * 8);
      for (int64_t k = 0; k < n; ++k) y[k] = bits[k] - kWholesBits;
      return;
    }
#endif
  } else if (all_below(n, x, 31)) {
    for (int64_t k = 0; k < n; ++k) y[k] = D(int32_t(x[k]));
    return;
  }
  for (int64_t k = 0; k < n; ++k) y[k] = D(int64_t(x[k]));
}

// int64 to floats, n <= kConverted.
template <class D>
NNLIB_INLINE void from_whole(int64_t n, const int64_t* __restrict x, D* __restrict y) {
#if defined(__AVX2__)
  if (all_below(n, x, 51)) {
    int64_t bits[kConverted];
    double shifted[kConverted];
    for (int64_t k = 0; k < n; ++k) bits[k] = x[k] + kWholesBits;
    memcpy(shifted, bits, size_t(n) * 8);
    for (int64_t k = 0; k < n; ++k) y[k] = D(shifted[k] - kWholes);
    return;
  }
#endif
  for (int64_t k = 0; k < n; ++k) y[k] = D(x[k]);
}

template <class From, class To>
NNLIB_INLINE void convert_values(int64_t n, const void* from, void* to) {
  const auto* __restrict x = static_cast<const typename From::T*>(from);
  auto* __restrict y = static_cast<typename To::T*>(to);
  using S = typename From::T;
  using D = typename To::T;
  if constexpr (kIsHalf<From> && kSame<To, PlainElement<float>>) {
    From::read(n, x, y);
  } else if constexpr (kIsHalf<To> && kSame<From, PlainElement<float>>) {
    To::write(n, x, y);
  } else if constexpr (kIsHalf<From> || kIsHalf<To>) {
    float part[kConverted];
    for (int64_t i = 0; i < n; i += kConverted) {
      const int64_t m = n - i < kConverted ? n - i : kConverted;
      if constexpr (kIsHalf<From>)
        From::read(m, x + i, part);
      else
        convert_values<From, PlainElement<float>>(m, x + i, part);
      if constexpr (kIsHalf<To>)
        To::write(m, part, y + i);
      else
        convert_values<PlainElement<float>, To>(m, part, y + i);
    }
  } else if constexpr (kSame<To, BoolElement>) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] != 0;
  } else if constexpr ((kIsFloat<S> && !kIsFloat<D>) || (kSame<S, int64_t> && kIsFloat<D>)) {
    for (int64_t i = 0; i < n; i += kConverted) {
      const int64_t m = n - i < kConverted ? n - i : kConverted;
      if constexpr (kIsFloat<S>)
        to_whole(m, x + i, y + i);
      else
        from_whole(m, x + i, y + i);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = D(x[i]);
  }
}

template <class From>
NNLIB_INLINE void convert_to(int64_t to, int64_t n, const void* x, void* y) {
  switch (to) {
    case 0:
      return convert_values<From, BoolElement>(n, x, y);
    case 1:
      return convert_values<From, PlainElement<uint8_t>>(n, x, y);
    case 2:
      return convert_values<From, PlainElement<int8_t>>(n, x, y);
    case 3:
      return convert_values<From, PlainElement<int16_t>>(n, x, y);
    case 4:
      return convert_values<From, PlainElement<int32_t>>(n, x, y);
    case 5:
      return convert_values<From, PlainElement<int64_t>>(n, x, y);
    case 6:
      return convert_values<From, F16Element>(n, x, y);
    case 7:
      return convert_values<From, Bf16Element>(n, x, y);
    case 8:
      return convert_values<From, PlainElement<float>>(n, x, y);
    default:
      return convert_values<From, PlainElement<double>>(n, x, y);
  }
}

void convert(int64_t from, int64_t to, int64_t n, const void* x, void* y) {
  switch (from) {
    case 0:
      return convert_to<BoolElement>(to, n, x, y);
    case 1:
      return convert_to<PlainElement<uint8_t>>(to, n, x, y);
    case 2:
      return convert_to<PlainElement<int8_t>>(to, n, x, y);
    case 3:
      return convert_to<PlainElement<int16_t>>(to, n, x, y);
    case 4:
      return convert_to<PlainElement<int32_t>>(to, n, x, y);
    case 5:
      return convert_to<PlainElement<int64_t>>(to, n, x, y);
    case 6:
      return convert_to<F16Element>(to, n, x, y);
    case 7:
      return convert_to<Bf16Element>(to, n, x, y);
    case 8:
      return convert_to<PlainElement<float>>(to, n, x, y);
    default:
      return convert_to<PlainElement<double>>(to, n, x, y);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
