// Rows of softmax and of its logarithm, and their gradients from the result y. A row stays in the cache
// between passes; sums of a row are kept in one vector per step, so that the order of additions depends on n
// alone.
#pragma once
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

NNLIB_INLINE float softmax_max(int64_t n, const float* x) {
  Vec m = set1(-INFINITY);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) m = max_nan(m, load(x + i));
  if (i < n) {
    const Mask in = mask_from_bits((1u << (n - i)) - 1);
    m = max_nan(m, select(in, load_n(x + i, n - i), set1(-INFINITY)));
  }
  return any(is_nan(m)) ? NAN : reduce_max(m);
}

// The sum of f over the row; f(i, left) gives lanes with zeros past the end.
template <class F>
NNLIB_INLINE float softmax_sum(int64_t n, F f) {
  Vec a = zero(), b = zero();
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    a = a + f(i, (int64_t)kWidth);
    b = b + f(i + kWidth, (int64_t)kWidth);
  }
  for (; i < n; i += kWidth) {
    const int64_t left = n - i < kWidth ? n - i : kWidth;
    const Mask in = mask_from_bits(left == kWidth ? uint32_t((uint64_t(1) << kWidth) - 1) : (1u << left) - 1);
    a = a + select(in, f(i, left), zero());
  }
  return reduce_add(a + b);
}

void softmax_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    const Vec m = set1(softmax_max(n, x));
    const float total = softmax_sum(n, [&](int64_t i, int64_t left) {
      const Vec e = exp(load_n(x + i, left) - m);
      store_n(y + i, e, left);
      return e;
    });
    const Vec scale = set1(1.f / total);
    for (int64_t i = 0; i < n; i += kWidth) store_n(y + i, load_n(y + i, n - i) * scale, n - i);
  }
}

void log_softmax_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    const Vec m = set1(softmax_max(n, x));
    const float total = softmax_sum(n, [&](int64_t i, int64_t left) { return exp(load_n(x + i, left) - m); });
    const Vec shift = log(set1(total));
    for (int64_t i = 0; i < n; i += kWidth) store_n(y + i, (load_n(x + i, n - i) - m) - shift, n - i);
  }
}

void softmax_grad_rows_f32(int64_t rows, int64_t n, const float* g, const float* y, float* out) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, out += n) {
    const Vec total = set1(
        softmax_sum(n, [&](int64_t i, int64_t left) { return load_n(g + i, left) * load_n(y + i, left); }));
    for (int64_t i = 0; i < n; i += kWidth)
      store_n(out + i, (load_n(g + i, n - i) - total) * load_n(y + i, n - i), n - i);
  }
}

void log_softmax_grad_rows_f32(int64_t rows, int64_t n, const float* g, const float* y, float* out) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, out += n) {
    const Vec total = set1(softmax_sum(n, [&](int64_t i, int64_t left) { return load_n(g + i, left); }));
    for (int64_t i = 0; i < n; i += kWidth)
      store_n(out + i, fnma(exp(load_n(y + i, n - i)), total, load_n(g + i, n - i)), n - i);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
