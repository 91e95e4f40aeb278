// Batch, group, layer and RMS normalisation. A "row" is one contiguous run of values that share a mean; a
// kernel named col_* walks one row of values that each have statistics of their own (channels last).
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The first n lanes of v, zero in the others.
NNLIB_INLINE Vec first_lanes(Vec v, int64_t n) {
  return n >= kWidth ? v : select(lt(iota(), set1i(int32_t(n))), v, zero());
}

// Sum over i of f(i, lanes) with four running sums; f gives 0 in lanes past the end.
template <class F>
NNLIB_INLINE float sum_lanes(int64_t n, F f) {
  Vec s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    s0 = s0 + f(i, kWidth);
    s1 = s1 + f(i + kWidth, kWidth);
    s2 = s2 + f(i + 2 * kWidth, kWidth);
    s3 = s3 + f(i + 3 * kWidth, kWidth);
  }
  for (; i < n; i += kWidth) s0 = s0 + f(i, n - i);
  return reduce_add((s0 + s1) + (s2 + s3));
}

NNLIB_INLINE Vec load_any(const float* p, int64_t n) { return n >= kWidth ? load(p) : load_n(p, n); }
NNLIB_INLINE void store_any(float* p, Vec v, int64_t n) { n >= kWidth ? store(p, v) : store_n(p, v, n); }

template <class F>
NNLIB_INLINE void each_lanes(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, kWidth);
  if (i < n) f(i, n - i);
}

float norm_sum_f32(int64_t n, const float* x) {
  return sum_lanes(n,
                   [=](int64_t i, int64_t m) __attribute__((always_inline)) { return load_any(x + i, m); });
}

float norm_square_deviation_f32(int64_t n, const float* x, float mean) {
  const Vec mu = set1(mean);
  return sum_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const Vec d = first_lanes(load_any(x + i, m) - mu, m);
    return d * d;
  });
}

// y = a x + b
void norm_apply_f32(int64_t n, const float* x, float a, float b, float* y) {
  const Vec va = set1(a), vb = set1(b);
  each_lanes(n, [=](int64_t i, int64_t m)
                    __attribute__((always_inline)) { store_any(y + i, fma(va, load_any(x + i, m), vb), m); });
}

// out = { sum g, sum g (x - mean) }
void norm_grad_sums_f32(int64_t n, const float* g, const float* x, float mean, float* out) {
  const Vec mu = set1(mean);
  Vec s0 = zero(), s1 = zero(), t0 = zero(), t1 = zero();
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const Vec g0 = load(g + i), g1 = load(g + i + kWidth);
    s0 = s0 + g0;
    s1 = s1 + g1;
    t0 = fma(g0, load(x + i) - mu, t0);
    t1 = fma(g1, load(x + i + kWidth) - mu, t1);
  }
  for (; i < n; i += kWidth) {
    const Vec g0 = load_any(g + i, n - i);
    s0 = s0 + g0;
    t0 = fma(g0, first_lanes(load_any(x + i, n - i) - mu, n - i), t0);
  }
  out[0] = reduce_add(s0 + s1);
  out[1] = reduce_add(t0 + t1);
}

// gx = a g + b x + c
void norm_grad_f32(int64_t n, const float* g, const float* x, float a, float b, float c, float* gx) {
  const Vec va = set1(a), vb = set1(b), vc = set1(c);
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    store_any(gx + i, fma(va, load_any(g + i, m), fma(vb, load_any(x + i, m), vc)), m);
  });
}

// y = (x - mean) rstd weight + bias; weight and bias may be null.
void norm_affine_f32(int64_t n, const float* x, float mean, float rstd, const float* weight,
                     const float* bias, float* y) {
  const Vec mu = set1(mean), r = set1(rstd);
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    Vec v = (load_any(x + i, m) - mu) * r;
    if (weight) v = v * load_any(weight + i, m);
    if (bias) v = v + load_any(bias + i, m);
    store_any(y + i, v, m);
  });
}

// out = { sum g weight, sum g weight (x - mean) }; weight may be null.
void norm_affine_grad_sums_f32(int64_t n, const float* g, const float* x, const float* weight, float mean,
                               float* out) {
  if (!weight) return norm_grad_sums_f32(n, g, x, mean, out);
  const Vec mu = set1(mean);
  Vec s0 = zero(), s1 = zero(), t0 = zero(), t1 = zero();
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const Vec g0 = load(g + i) * load(weight + i), g1 = load(g + i + kWidth) * load(weight + i + kWidth);
    s0 = s0 + g0;
    s1 = s1 + g1;
    t0 = fma(g0, load(x + i) - mu, t0);
    t1 = fma(g1, load(x + i + kWidth) - mu, t1);
  }
  for (; i < n; i += kWidth) {
    const Vec g0 = load_any(g + i, n - i) * load_any(weight + i, n - i);
    s0 = s0 + g0;
    t0 = fma(g0, first_lanes(load_any(x + i, n - i) - mu, n - i), t0);
  }
  out[0] = reduce_add(s0 + s1);
  out[1] = reduce_add(t0 + t1);
}

// gx = a (g weight + b x + c); weight may be null. What cancels in the bracket is not yet rounded as a
// product with a.
void norm_affine_grad_f32(int64_t n, const float* g, const float* x, const float* weight, float a, float b,
                          float c, float* gx) {
  const Vec va = set1(a), vb = set1(b), vc = set1(c);
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    Vec gw = load_any(g + i, m);
    if (weight) gw = gw * load_any(weight + i, m);
    store_any(gx + i, va * (gw + fma(vb, load_any(x + i, m), vc)), m);
  });
}

// grad_weight += g (x - mean) rstd and grad_bias += g, element by element; either may be null.
void norm_param_grad_f32(int64_t n, const float* g, const float* x, float mean, float rstd,
                         float* grad_weight, float* grad_bias) {
  const Vec mu = set1(mean), r = set1(rstd);
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const Vec gi = load_any(g + i, m);
    if (grad_weight) {
      const Vec xhat = (load_any(x + i, m) - mu) * r;
      store_any(grad_weight + i, fma(gi, xhat, load_any(grad_weight + i, m)), m);
    }
    if (grad_bias) store_any(grad_bias + i, load_any(grad_bias + i, m) + gi, m);
  });
}

// sum += (x - mean)^2, element by element.
void col_square_deviation_f32(int64_t n, const float* x, const float* mean, float* sum) {
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const Vec d = load_any(x + i, m) - load_any(mean + i, m);
    store_any(sum + i, fma(d, d, load_any(sum + i, m)), m);
  });
}

// y = a x + b, element by element.
void col_apply_f32(int64_t n, const float* x, const float* a, const float* b, float* y) {
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    store_any(y + i, fma(load_any(a + i, m), load_any(x + i, m), load_any(b + i, m)), m);
  });
}

// sum_g += g and sum_gx += g (x - mean), element by element.
void col_grad_sums_f32(int64_t n, const float* g, const float* x, const float* mean, float* sum_g,
                       float* sum_gx) {
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const Vec gi = load_any(g + i, m);
    store_any(sum_g + i, load_any(sum_g + i, m) + gi, m);
    store_any(sum_gx + i, fma(gi, load_any(x + i, m) - load_any(mean + i, m), load_any(sum_gx + i, m)), m);
  });
}

// gx = a g + b x + c, element by element.
void col_grad_f32(int64_t n, const float* g, const float* x, const float* a, const float* b, const float* c,
                  float* gx) {
  each_lanes(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const Vec rest = fma(load_any(b + i, m), load_any(x + i, m), load_any(c + i, m));
    store_any(gx + i, fma(load_any(a + i, m), load_any(g + i, m), rest), m);
  });
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
