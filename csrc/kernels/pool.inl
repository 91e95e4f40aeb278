// Pooling. As in PyTorch the first of equal values is the maximum, and a NaN wins over everything before it.
#pragma once
#include "lane_types.h"
#include "vec_lanes.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Places of a vector's lanes: as many bits as a lane has.
struct PlacesD {
  LaneTruth v;
};
typedef int32_t HalfPlaces __attribute__((vector_size(kVecBytes / 2)));
NNLIB_INLINE PlacesD select(MaskD m, PlacesD a, PlacesD b) { return {m.m ? a.v : b.v}; }
NNLIB_INLINE MaskD eq(PlacesD a, PlacesD b) { return {LaneTruth(a.v == b.v)}; }
NNLIB_INLINE IVec all_places(Vec, int32_t at) { return set1i(at); }
NNLIB_INLINE PlacesD all_places(VecD, int32_t at) { return {LaneTruth{} + int64_t(at)}; }
NNLIB_INLINE IVec read_places(Vec, const int32_t* p, int64_t n) {
  return n == kWidth ? load_i(p) : load_in(p, n);
}
NNLIB_INLINE PlacesD read_places(VecD, const int32_t* p, int64_t n) {
  HalfPlaces half{};
  if (n == kWidthD)
    memcpy(&half, p, sizeof half);
  else
    for (int64_t k = 0; k < n; ++k) half[k] = p[k];
  return {__builtin_convertvector(half, LaneTruth)};
}
// at[first + k] = the place of lane k + step * (first + k)
NNLIB_INLINE void write_places(IVec w, int64_t n, int64_t step, int64_t first, int32_t* at) {
  const IVec places = w + set1i(int32_t(step * first)) + iota() * set1i(int32_t(step));
  n == kWidth ? store_i(at + first, places) : store_in(at + first, places, n);
}
NNLIB_INLINE void write_places(PlacesD w, int64_t n, int64_t step, int64_t first, int32_t* at) {
  for (int64_t k = 0; k < n; ++k) at[first + k] = int32_t(w.v[k] + step * (first + k));
}

// b takes a's place where it is larger or NaN.
template <class V, class P>
NNLIB_INLINE void keep_larger(V* a, P* at, V b, P b_at) {
  const auto m = lt(*a, b) | is_nan(b);
  *a = select(m, b, *a);
  *at = select(m, b_at, *at);
}

// ---- windows of 2x2 with stride 2: the place of a window's maximum is a byte, 0 1 in the upper row, 2 3 in
// the lower one

// n windows of the rows `upper` and `lower` (2n values each).
void max_pool_2x2_f32(int64_t n, const float* upper, const float* lower, float* y, uint8_t* place) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t m = n - i < kWidth ? n - i : kWidth, first = 2 * m < kWidth ? 2 * m : kWidth,
                  second = 2 * m - first;
    Vec u0, u1, l0, l1;
    const float *u = upper + 2 * i, *l = lower + 2 * i;
    split_pairs(load_n(u, first), load_n(u + first, second), &u0, &u1);
    split_pairs(load_n(l, first), load_n(l + first, second), &l0, &l1);
    IVec at = set1i(0);
    // A NaN that stands first stays: nothing is larger than it, and only another NaN replaces it.
    keep_larger(&u0, &at, u1, set1i(1));
    keep_larger(&u0, &at, l0, set1i(2));
    keep_larger(&u0, &at, l1, set1i(3));
    store_n(y + i, u0, m);
    store_u8_n(place + i, at, m);
  }
}

// The gradient: each window's g at its place, zero elsewhere.
void max_pool_2x2_grad_f32(int64_t n, const float* g, const uint8_t* place, float* upper, float* lower) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t m = n - i < kWidth ? n - i : kWidth, first = 2 * m < kWidth ? 2 * m : kWidth,
                  second = 2 * m - first;
    const Vec gi = load_n(g + i, m);
    const IVec at = load_u8_n(place + i, m);
    Vec a, b;
    merge_pairs(select(eq(at, set1i(0)), gi, zero()), select(eq(at, set1i(1)), gi, zero()), &a, &b);
    store_n(upper + 2 * i, a, first);
    store_n(upper + 2 * i + first, b, second);
    merge_pairs(select(eq(at, set1i(2)), gi, zero()), select(eq(at, set1i(3)), gi, zero()), &a, &b);
    store_n(lower + 2 * i, a, first);
    store_n(lower + 2 * i + first, b, second);
  }
}

// ---- any windows: lines of values that share their taps. Lanes are neighbouring windows or channels.

template <class L, int kVecs, bool kPlaces, class P, class Load>
NNLIB_INLINE void pool_max_part(int64_t taps, const int64_t* offset, const int32_t* place, Load get,
                                typename L::V* best, P* at) {
  using V = typename L::V;
  for (int v = 0; v < kVecs; ++v) {
    best[v] = get(offset[0], v);
    if (kPlaces) at[v] = all_places(best[v], place[0]);
  }
  for (int64_t t = 1; t < taps; ++t) {
    for (int v = 0; v < kVecs; ++v) {
      const V b = get(offset[t], v);
      if (kPlaces)
        keep_larger(&best[v], &at[v], b, all_places(b, place[t]));
      else
        best[v] = max_nan(b, best[v]);
    }
  }
}

template <class L, bool kPlaces>
NNLIB_INLINE void pool_max_line(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place,
                                int64_t step, const typename L::type* x, typename L::type* y, int32_t* at) {
  constexpr int kVecs = 2;
  constexpr int64_t w = L::kLanes;
  typename L::V best[kVecs];
  decltype(all_places(best[0], 0)) where[kVecs];
  int64_t i = 0;
  for (; i + kVecs * w <= n; i += kVecs * w) {
    const auto* from = x + i;
    pool_max_part<L, kVecs, kPlaces>(
        taps, offset, place, [=](int64_t o, int v) { return L::get(from + o + v * w); }, best, where);
    for (int v = 0; v < kVecs; ++v) {
      L::put(y + i + v * w, best[v]);
      if (kPlaces) write_places(where[v], w, step, i + v * w, at);
    }
  }
  for (; i < n; i += w) {
    const auto* from = x + i;
    const int64_t m = n - i < w ? n - i : w;
    pool_max_part<L, 1, kPlaces>(
        taps, offset, place, [=](int64_t o, int) { return L::get(from + o, m); }, best, where);
    L::put(y + i, best[0], m);
    if (kPlaces) write_places(where[0], m, step, i, at);
  }
}

template <class L>
NNLIB_INLINE void pool_max(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place, int64_t step,
                           const typename L::type* x, typename L::type* y, int32_t* at) {
  if (at)
    pool_max_line<L, true>(n, taps, offset, place, step, x, y, at);
  else
    pool_max_line<L, false>(n, taps, offset, place, step, x, y, at);
}

// Lanes are channels of one pixel.
template <class L>
NNLIB_INLINE void pool_max_grad(int64_t n, int64_t windows, const int64_t* offset, int32_t place,
                                const typename L::type* g, const int32_t* at, typename L::type* y) {
  constexpr int64_t w = L::kLanes;
  for (int64_t i = 0; i < n; i += w) {
    const int64_t m = n - i < w ? n - i : w;
    const typename L::V none = L::splat(0);
    const auto wanted = all_places(none, place);
    typename L::V sum = none;
    for (int64_t t = 0; t < windows; ++t) {
      const int64_t o = offset[t] + i;
      const auto hit = eq(read_places(none, at + o, m), wanted);
      sum = sum + select(hit, m == w ? L::get(g + o) : L::get(g + o, m), none);
    }
    m == w ? L::put(y + i, sum) : L::put(y + i, sum, m);
  }
}

// kVecs sums side by side: each waits for its last addition.
template <class L, int kVecs>
NNLIB_INLINE int64_t pool_mean_part(int64_t i, int64_t n, int64_t taps, const int64_t* offset,
                                    const typename L::type* x, typename L::V by, typename L::One* y) {
  constexpr int64_t w = L::kLanes;
  for (; i + kVecs * w <= n; i += kVecs * w) {
    typename L::V sum[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) sum[v] = L::splat(0);
    for (int64_t t = 0; t < taps; ++t) {
      const auto* from = x + offset[t] + i;
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sum[v] = sum[v] + L::get(from + v * w);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) store(y + i + v * w, sum[v] / by);
  }
  return i;
}

template <class L>
NNLIB_INLINE void pool_mean(int64_t n, int64_t taps, const int64_t* offset, const typename L::type* x,
                            typename L::One divisor, typename L::One* y) {
  constexpr int64_t w = L::kLanes;
  const typename L::V by = L::splat(divisor);
  int64_t i = pool_mean_part<L, 8>(0, n, taps, offset, x, by, y);
  i = pool_mean_part<L, 2>(i, n, taps, offset, x, by, y);
  for (; i < n; i += w) {
    const int64_t m = n - i < w ? n - i : w;
    typename L::V a = L::splat(0);
    for (int64_t t = 0; t < taps; ++t) a = a + L::get(x + offset[t] + i, m);
    store_n(y + i, a / by, m);
  }
}

#define NNLIB_EACH(suffix, L)                                                                                \
  void pool_max_##suffix(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place, int64_t step, \
                         const L::type* x, L::type* y, int32_t* at) {                                        \
    pool_max<L>(n, taps, offset, place, step, x, y, at);                                                     \
  }                                                                                                          \
  void pool_max_grad_##suffix(int64_t n, int64_t windows, const int64_t* offset, int32_t place,              \
                              const L::type* g, const int32_t* at, L::type* y) {                             \
    pool_max_grad<L>(n, windows, offset, place, g, at, y);                                                   \
  }                                                                                                          \
  void pool_mean_##suffix(int64_t n, int64_t taps, const int64_t* offset, const L::type* x, L::One divisor,  \
                          L::One* y) {                                                                       \
    pool_mean<L>(n, taps, offset, x, divisor, y);                                                            \
  }
NNLIB_EACH(f32, LanesF32)
NNLIB_EACH(f64, LanesF64)
NNLIB_EACH(bf16, LanesBf16)
NNLIB_EACH(f16, LanesF16)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
