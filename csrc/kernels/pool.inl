// Pooling. As in PyTorch the first of equal values is the maximum, and a NaN wins over everything before it.
#pragma once
#include "vec_lanes.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// b takes a's place where it is larger or NaN.
NNLIB_INLINE void keep_larger(Vec* a, IVec* at, Vec b, IVec b_at) {
  const Mask m = lt(*a, b) | is_nan(b);
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

template <int kVecs, bool kPlaces, class Load>
NNLIB_INLINE void pool_max_part(int64_t taps, const int64_t* offset, const int32_t* place, Load get,
                                Vec* best, IVec* at) {
  for (int v = 0; v < kVecs; ++v) {
    best[v] = get(offset[0], v);
    if (kPlaces) at[v] = set1i(place[0]);
  }
  for (int64_t t = 1; t < taps; ++t) {
    for (int v = 0; v < kVecs; ++v) {
      const Vec b = get(offset[t], v);
      if (kPlaces)
        keep_larger(&best[v], &at[v], b, set1i(place[t]));
      else
        best[v] = select(lt(best[v], b) | is_nan(b), b, best[v]);
    }
  }
}

template <bool kPlaces>
NNLIB_INLINE void pool_max_line(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place,
                                int64_t step, const float* x, float* y, int64_t* at) {
  constexpr int kVecs = 2;
  Vec best[kVecs];
  IVec where[kVecs];
  int32_t places[kWidth];
  const auto put = [&](int64_t i, IVec w, int64_t m) {
    store_i(places, w);
    for (int64_t k = 0; k < m; ++k) at[i + k] = places[k] + step * (i + k);
  };
  int64_t i = 0;
  for (; i + kVecs * kWidth <= n; i += kVecs * kWidth) {
    const float* from = x + i;
    pool_max_part<kVecs, kPlaces>(
        taps, offset, place, [=](int64_t o, int v) { return load(from + o + v * kWidth); }, best, where);
    for (int v = 0; v < kVecs; ++v) {
      store(y + i + v * kWidth, best[v]);
      if (kPlaces) put(i + v * kWidth, where[v], kWidth);
    }
  }
  for (; i < n; i += kWidth) {
    const float* from = x + i;
    const int64_t m = n - i < kWidth ? n - i : kWidth;
    pool_max_part<1, kPlaces>(
        taps, offset, place, [=](int64_t o, int) { return load_n(from + o, m); }, best, where);
    store_n(y + i, best[0], m);
    if (kPlaces) put(i, where[0], m);
  }
}

void pool_max_f32(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place, int64_t step,
                  const float* x, float* y, int64_t* at) {
  if (at)
    pool_max_line<true>(n, taps, offset, place, step, x, y, at);
  else
    pool_max_line<false>(n, taps, offset, place, step, x, y, at);
}

void pool_sum_f32(int64_t n, int64_t taps, const int64_t* offset, const float* x, float* y) {
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    Vec a = zero(), b = zero();
    for (int64_t t = 0; t < taps; ++t) {
      a = a + load(x + offset[t] + i);
      b = b + load(x + offset[t] + i + kWidth);
    }
    store(y + i, a);
    store(y + i + kWidth, b);
  }
  for (; i < n; i += kWidth) {
    Vec a = zero();
    for (int64_t t = 0; t < taps; ++t) a = a + load_n(x + offset[t] + i, n - i);
    store_n(y + i, a, n - i);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
