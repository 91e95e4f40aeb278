// Max pooling with a 2x2 window and stride 2. The place of a window's maximum is a byte: 0 1 in the upper
// row, 2 3 in the lower one. As in PyTorch the first of equal values wins, and a NaN wins over everything
// before it.
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

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
