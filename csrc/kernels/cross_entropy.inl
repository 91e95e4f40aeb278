// One row of a cross-entropy: its normaliser, and the gradient from it.
#pragma once
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The largest value of a row; NaN is left to the sum that follows. -infinity for n = 0.
NNLIB_INLINE float row_max(int64_t n, const float* x) {
  const Vec low = set1(-INFINITY);
  Vec a = low, b = low;
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    a = max(load(x + i), a);
    b = max(load(x + i + kWidth), b);
  }
  for (; i < n; i += kWidth) {
    const Vec inside =
        select(lt(iota(), set1i(n - i < kWidth ? int32_t(n - i) : kWidth)), load_n(x + i, n - i), low);
    a = max(inside, a);
  }
  return reduce_max(max(a, b));
}

float logsumexp_f32(int64_t n, const float* x) {
  const float m = row_max(n, x);
  // All -infinity: x - m would be NaN; infinity: the sum is infinite.
  const Vec shift = set1(m - m == 0 ? m : 0.f);
  Vec a = zero(), b = zero();
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    a = a + exp(load(x + i) - shift);
    b = b + exp(load(x + i + kWidth) - shift);
  }
  for (; i < n; i += kWidth) {
    const Mask inside = lt(iota(), set1i(n - i < kWidth ? int32_t(n - i) : kWidth));
    a = a + select(inside, exp(load_n(x + i, n - i) - shift), zero());
  }
  return logf(reduce_add(a + b)) + (m - m == 0 ? m : 0.f);
}

template <bool Weighted>
NNLIB_INLINE void softmax_grad(int64_t n, const float* x, float lse, float scale, float shift, const float* w,
                               float* y, bool streaming) {
  const Vec l = set1(lse), s = set1(scale), d = set1(shift);
  const auto value = [&](int64_t i, int64_t k) {
    const Vec e = s * exp((k >= kWidth ? load(x + i) : load_n(x + i, k)) - l);
    return Weighted ? fnma(d, k >= kWidth ? load(w + i) : load_n(w + i, k), e) : e - d;
  };
  int64_t i = 0;
  if (streaming) {  // stores past the caches want aligned addresses
    const int64_t ahead = int64_t((0 - uintptr_t(y)) % kVecBytes / sizeof(float));
    const int64_t head = ahead < n ? ahead : n;
    store_n(y, value(0, head), head);
    for (i = head; i + kWidth <= n; i += kWidth) stream(y + i, value(i, kWidth));
    fence();
  }
  for (; i + kWidth <= n; i += kWidth) store(y + i, value(i, kWidth));
  if (i < n) store_n(y + i, value(i, n - i), n - i);
}

void softmax_grad_f32(int64_t n, const float* x, float lse, float scale, float shift, const float* w,
                      float* y, bool stream) {
  if (w) {
    softmax_grad<true>(n, x, lse, scale, shift, w, y, stream);
  } else {
    softmax_grad<false>(n, x, lse, scale, shift, w, y, stream);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
