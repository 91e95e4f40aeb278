// How vectors of each element type are read and written, for kernels written once for all of them:
//   type, V, kLanes    an element, the vector it is computed in, and that vector's lanes
//   One                a single value of the compute type: 16-bit floats are computed in float
//   get(p) get(p, n)   the vector at p, or its first n lanes
//   put(p, v) put(p, v, n)
//   splat(x) value(p)  x in every lane; the element at p as One
#pragma once
#include "vec_double.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// x in every lane.
template <class V>
NNLIB_INLINE V all_lanes(double x);
template <>
NNLIB_INLINE Vec all_lanes<Vec>(double x) {
  return set1(float(x));
}
template <>
NNLIB_INLINE VecD all_lanes<VecD>(double x) {
  return set1d(x);
}

template <class T>
constexpr int64_t kLanes = VecFor<T>::width;

// The first n lanes of v, zero in the others.
template <class V>
NNLIB_INLINE V first_lanes(V v, int64_t n) {
  return select(lanes_below(v, n), v, all_lanes<V>(0));
}
// A vector of float or double, or its first n lanes.
template <class T>
NNLIB_INLINE VecOf<T> load_any(const T* p, int64_t n) {
  return n >= kLanes<T> ? load(p) : load_n(p, n);
}
template <class T>
NNLIB_INLINE void store_any(T* p, VecOf<T> v, int64_t n) {
  n >= kLanes<T> ? store(p, v) : store_n(p, v, n);
}

struct LanesF32 {
  using type = float;
  using One = float;
  using V = Vec;
  static constexpr int64_t kLanes = kWidth;
  static NNLIB_INLINE Vec get(const float* p) { return load(p); }
  static NNLIB_INLINE Vec get(const float* p, int64_t n) { return load_n(p, n); }
  static NNLIB_INLINE void put(float* p, Vec a) { store(p, a); }
  static NNLIB_INLINE void put(float* p, Vec a, int64_t n) { store_n(p, a, n); }
  static NNLIB_INLINE Vec splat(float x) { return set1(x); }
  static NNLIB_INLINE float value(const float* p) { return *p; }
};
struct LanesBf16 {
  static constexpr bool kBf16 = true;
  using type = uint16_t;
  using One = float;
  using V = Vec;
  static constexpr int64_t kLanes = kWidth;
  static NNLIB_INLINE Vec get(const uint16_t* p) { return load_bf16(p); }
  static NNLIB_INLINE Vec get(const uint16_t* p, int64_t n) { return load_bf16_n(p, n); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a) { store_bf16(p, a); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a, int64_t n) { store_bf16_n(p, a, n); }
  static NNLIB_INLINE Vec splat(float x) { return set1(x); }
  static NNLIB_INLINE float value(const uint16_t* p) {
    const uint32_t bits = uint32_t(*p) << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
  }
};
struct LanesF16 {
  static constexpr bool kBf16 = false;
  using type = uint16_t;
  using One = float;
  using V = Vec;
  static constexpr int64_t kLanes = kWidth;
  static NNLIB_INLINE Vec get(const uint16_t* p) { return load_f16(p); }
  static NNLIB_INLINE Vec get(const uint16_t* p, int64_t n) { return load_f16_n(p, n); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a) { store_f16(p, a); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a, int64_t n) { store_f16_n(p, a, n); }
  static NNLIB_INLINE Vec splat(float x) { return set1(x); }
  static NNLIB_INLINE float value(const uint16_t* p) {
    float lanes[kWidth];
    store(lanes, load_f16_n(p, 1));
    return lanes[0];
  }
};
struct LanesF64 {
  using type = double;
  using One = double;
  using V = VecD;
  static constexpr int64_t kLanes = kWidthD;
  static NNLIB_INLINE VecD get(const double* p) { return load_d(p); }
  static NNLIB_INLINE VecD get(const double* p, int64_t n) { return load_dn(p, n); }
  static NNLIB_INLINE void put(double* p, VecD a) { store_d(p, a); }
  static NNLIB_INLINE void put(double* p, VecD a, int64_t n) { store_dn(p, a, n); }
  static NNLIB_INLINE VecD splat(double x) { return set1d(x); }
  static NNLIB_INLINE double value(const double* p) { return *p; }
};

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
