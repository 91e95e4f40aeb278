// Conversions between element types, in blocks that the compiler makes vectors of.
#pragma once
#include "gemm.inl"
#include "vec_double.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int64_t kConverted = 1024;  // values of a block, where one is checked or goes through float
constexpr double kWholes =
    6755399441055744.0;  // 1.5 * 2^52: a sum with it has a whole number in its low bits
constexpr int64_t kWholesBits = 0x4338000000000000;

// Types in the order of their numbers: bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32,
// float64. Four of them are converted into each other; the small ones go through the one that holds their
// values.
enum ElementType : int64_t { kBool, kU8, kI8, kI16, kI32, kI64, kF16, kBf16, kF32, kF64 };
NNLIB_INLINE ElementType wide_type(ElementType t) {
  return t < kI32 ? kI32 : t == kF16 || t == kBf16 ? kF32 : t;
}

template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;
template <class C>
constexpr bool kIsFloat = kSame<C, float> || kSame<C, double>;

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
      int64_t k = 0;
      for (; k + kWidthD <= n; k += kWidthD) {
        typedef S Values __attribute__((vector_size(sizeof(S) * kWidthD)));
        Values v;
        memcpy(&v, x + k, sizeof v);
        const VecD whole = trunc(vec_of(__builtin_convertvector(v, LaneDoubles)));
        const LaneBits bits = bits_of(whole + set1d(kWholes)) - uint64_t(kWholesBits);
        memcpy(y + k, &bits, sizeof bits);
      }
      for (; k < n; ++k) y[k] = D(x[k]);
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
    int64_t k = 0;
    for (; k + kWidthD <= n; k += kWidthD) {
      LaneBits bits;
      memcpy(&bits, x + k, sizeof bits);
      const LaneDoubles v = lanes_of(from_bits(bits + uint64_t(kWholesBits))) - kWholes;
      typedef D Result __attribute__((vector_size(sizeof(D) * kWidthD)));
      const Result r = __builtin_convertvector(v, Result);
      memcpy(y + k, &r, sizeof r);
    }
    for (; k < n; ++k) y[k] = D(x[k]);
    return;
  }
#endif
  for (int64_t k = 0; k < n; ++k) y[k] = D(x[k]);
}

template <class S, class D>
void convert_wide(int64_t n, const void* from, void* to) {
  const S* __restrict x = static_cast<const S*>(from);
  D* __restrict y = static_cast<D*>(to);
  if constexpr ((kIsFloat<S> && !kIsFloat<D>) || (kSame<S, int64_t> && kIsFloat<D>)) {
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
template <class S, class D>
void convert_small(int64_t n, const void* from, void* to) {
  const S* __restrict x = static_cast<const S*>(from);
  D* __restrict y = static_cast<D*>(to);
  for (int64_t i = 0; i < n; ++i) y[i] = D(x[i]);
}
template <class S>
void truth_of(int64_t n, const void* from, void* to) {
  const S* __restrict x = static_cast<const S*>(from);
  uint8_t* __restrict y = static_cast<uint8_t*>(to);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] != 0;
}

void widen(ElementType from, int64_t n, const void* x, void* y) {
  switch (from) {
    case kI8:
      return convert_small<int8_t, int32_t>(n, x, y);
    case kI16:
      return convert_small<int16_t, int32_t>(n, x, y);
    case kF16:
      return f16_to_f32(n, static_cast<const uint16_t*>(x), static_cast<float*>(y));
    case kBf16:
      return bf16_to_f32(n, static_cast<const uint16_t*>(x), static_cast<float*>(y));
    default:
      return convert_small<uint8_t, int32_t>(n, x, y);
  }
}
// From wide_type(to), or to bool from any wide type.
void narrow(ElementType from, ElementType to, int64_t n, const void* x, void* y) {
  switch (to) {
    case kBool:
      return from == kI32   ? truth_of<int32_t>(n, x, y)
             : from == kI64 ? truth_of<int64_t>(n, x, y)
             : from == kF32 ? truth_of<float>(n, x, y)
                            : truth_of<double>(n, x, y);
    case kI16:
      return convert_small<int32_t, int16_t>(n, x, y);
    case kF16:
      return f32_to_f16(n, static_cast<const float*>(x), static_cast<uint16_t*>(y));
    case kBf16:
      return f32_to_bf16(n, static_cast<const float*>(x), static_cast<uint16_t*>(y));
    default:
      return convert_small<int32_t, uint8_t>(n, x, y);
  }
}
template <class S>
NNLIB_INLINE void convert_wide_from(ElementType to, int64_t n, const void* x, void* y) {
  switch (to) {
    case kI32:
      return convert_wide<S, int32_t>(n, x, y);
    case kI64:
      return convert_wide<S, int64_t>(n, x, y);
    case kF32:
      return convert_wide<S, float>(n, x, y);
    default:
      return convert_wide<S, double>(n, x, y);
  }
}
void convert_between(ElementType from, ElementType to, int64_t n, const void* x, void* y) {
  switch (from) {
    case kI32:
      return convert_wide_from<int32_t>(to, n, x, y);
    case kI64:
      return convert_wide_from<int64_t>(to, n, x, y);
    case kF32:
      return convert_wide_from<float>(to, n, x, y);
    default:
      return convert_wide_from<double>(to, n, x, y);
  }
}

// Bytes of an element.
NNLIB_INLINE int64_t bytes_of(ElementType t) {
  return t <= kI8 ? 1 : t == kI16 || t == kF16 || t == kBf16 ? 2 : t == kI32 || t == kF32 ? 4 : 8;
}

void convert(int64_t from, int64_t to, int64_t n, const void* x, void* y) {
  const ElementType source = ElementType(from), result = ElementType(to);
  if (source <= kU8 && result == kF32) return convert_small<uint8_t, float>(n, x, y);  // images and masks
  if (n <= 0) return;
  if (source <= kU8 && result == kU8) return void(memcpy(y, x, size_t(n)));
  if (source == kU8 && result == kBool) return truth_of<uint8_t>(n, x, y);
  if (source <= kU8 && result == kI64) return convert_small<uint8_t, int64_t>(n, x, y);
  const ElementType read = wide_type(source), written = result == kBool ? read : wide_type(result);
  if (source == read && written == result) return convert_between(read, written, n, x, y);
  if (source == read && written == read) return narrow(read, result, n, x, y);
  if (written == result && written == read) return widen(source, n, x, y);
  int64_t wide[kConverted], other[kConverted];
  const char* p = static_cast<const char*>(x);
  char* q = static_cast<char*>(y);
  for (int64_t i = 0; i < n; i += kConverted) {
    const int64_t m = n - i < kConverted ? n - i : kConverted;
    const void* values = p + i * bytes_of(source);
    void* const end = q + i * bytes_of(result);
    if (source != read) {
      widen(source, m, values, wide);
      values = wide;
    }
    if (read != written) {
      void* const between = written == result ? end : other;
      convert_between(read, written, m, values, between);
      values = between;
    }
    if (written != result) narrow(written, result, m, values, end);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
