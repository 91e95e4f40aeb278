// Batch, group, layer and RMS normalisation. A "row" is one contiguous run of values that share a mean; a
// kernel named col_* walks one row of values that each have statistics of their own (channels last).
#pragma once
#include "lane_types.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Sum over i of f(i, lanes) with four running sums; f gives 0 in lanes past the end.
template <class T, class F>
NNLIB_INLINE T sum_lanes(int64_t n, F f) {
  VecOf<T> s0 = splat(T(0)), s1 = splat(T(0)), s2 = splat(T(0)), s3 = splat(T(0));
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>) {
    s0 = s0 + f(i, kLanes<T>);
    s1 = s1 + f(i + kLanes<T>, kLanes<T>);
    s2 = s2 + f(i + 2 * kLanes<T>, kLanes<T>);
    s3 = s3 + f(i + 3 * kLanes<T>, kLanes<T>);
  }
  for (; i < n; i += kLanes<T>) s0 = s0 + f(i, n - i);
  return reduce_add((s0 + s1) + (s2 + s3));
}

template <class T, class F>
NNLIB_INLINE void each_lanes(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) f(i, kLanes<T>);
  if (i < n) f(i, n - i);
}

// The same for arrays of any element type (lane_types.h).
template <class L>
NNLIB_INLINE typename L::V get_any(const typename L::type* p, int64_t n) {
  return n >= L::kLanes ? L::get(p) : L::get(p, n);
}
template <class L>
NNLIB_INLINE void put_any(typename L::type* p, typename L::V v, int64_t n) {
  n >= L::kLanes ? L::put(p, v) : L::put(p, v, n);
}

template <class T>
T norm_sum(int64_t n, const T* x) {
  return sum_lanes<T>(
      n, [=](int64_t i, int64_t m) __attribute__((always_inline)) { return load_any(x + i, m); });
}

template <class T>
T norm_square_deviation(int64_t n, const T* x, T mean) {
  const VecOf<T> mu = splat(mean);
  return sum_lanes<T>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const VecOf<T> d = first_lanes(load_any(x + i, m) - mu, m);
    return d * d;
  });
}

// y = a x + b
template <class L, class T = typename L::type, class One = typename L::One>
void norm_apply(int64_t n, const T* x, One a, One b, T* y) {
  const typename L::V va = L::splat(a), vb = L::splat(b);
  each_lanes<One>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    put_any<L>(y + i, fma(va, get_any<L>(x + i, m), vb), m);
  });
}

// out = { sum g, sum g (x - mean) }
template <class T>
void norm_grad_sums(int64_t n, const T* g, const T* x, T mean, T* out) {
  const VecOf<T> mu = splat(mean);
  VecOf<T> s0 = splat(T(0)), s1 = splat(T(0)), t0 = splat(T(0)), t1 = splat(T(0));
  int64_t i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    const VecOf<T> g0 = load(g + i), g1 = load(g + i + kLanes<T>);
    s0 = s0 + g0;
    s1 = s1 + g1;
    t0 = fma(g0, load(x + i) - mu, t0);
    t1 = fma(g1, load(x + i + kLanes<T>) - mu, t1);
  }
  for (; i < n; i += kLanes<T>) {
    const VecOf<T> g0 = load_any(g + i, n - i);
    s0 = s0 + g0;
    t0 = fma(g0, first_lanes(load_any(x + i, n - i) - mu, n - i), t0);
  }
  out[0] = reduce_add(s0 + s1);
  out[1] = reduce_add(t0 + t1);
}

// gx = a g + b x + c
template <class T>
void norm_grad(int64_t n, const T* g, const T* x, T a, T b, T c, T* gx) {
  const VecOf<T> va = splat(a), vb = splat(b), vc = splat(c);
  each_lanes<T>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    store_any(gx + i, fma(va, load_any(g + i, m), fma(vb, load_any(x + i, m), vc)), m);
  });
}

// y = (x - mean) rstd weight + bias; weight and bias may be null.
template <class T>
void norm_affine(int64_t n, const T* x, T mean, T rstd, const T* weight, const T* bias, T* y) {
  const VecOf<T> mu = splat(mean), r = splat(rstd);
  each_lanes<T>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    VecOf<T> v = (load_any(x + i, m) - mu) * r;
    if (weight) v = v * load_any(weight + i, m);
    if (bias) v = v + load_any(bias + i, m);
    store_any(y + i, v, m);
  });
}

// out = { sum g weight, sum g weight (x - mean) }; weight may be null.
template <class T>
void norm_affine_grad_sums(int64_t n, const T* g, const T* x, const T* weight, T mean, T* out) {
  if (!weight) return norm_grad_sums(n, g, x, mean, out);
  const VecOf<T> mu = splat(mean);
  VecOf<T> s0 = splat(T(0)), s1 = splat(T(0)), t0 = splat(T(0)), t1 = splat(T(0));
  int64_t i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    const VecOf<T> g0 = load(g + i) * load(weight + i),
                   g1 = load(g + i + kLanes<T>) * load(weight + i + kLanes<T>);
    s0 = s0 + g0;
    s1 = s1 + g1;
    t0 = fma(g0, load(x + i) - mu, t0);
    t1 = fma(g1, load(x + i + kLanes<T>) - mu, t1);
  }
  for (; i < n; i += kLanes<T>) {
    const VecOf<T> g0 = load_any(g + i, n - i) * load_any(weight + i, n - i);
    s0 = s0 + g0;
    t0 = fma(g0, first_lanes(load_any(x + i, n - i) - mu, n - i), t0);
  }
  out[0] = reduce_add(s0 + s1);
  out[1] = reduce_add(t0 + t1);
}

// gx = a (g weight + b x + c); weight may be null. What cancels in the bracket is not yet rounded as a
// product with a.
template <class T>
void norm_affine_grad(int64_t n, const T* g, const T* x, const T* weight, T a, T b, T c, T* gx) {
  const VecOf<T> va = splat(a), vb = splat(b), vc = splat(c);
  each_lanes<T>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    VecOf<T> gw = load_any(g + i, m);
    if (weight) gw = gw * load_any(weight + i, m);
    store_any(gx + i, va * (gw + fma(vb, load_any(x + i, m), vc)), m);
  });
}

// grad_weight += g (x - mean) rstd and grad_bias += g, element by element; either may be null.
template <class T>
void norm_param_grad(int64_t n, const T* g, const T* x, T mean, T rstd, T* grad_weight, T* grad_bias) {
  const VecOf<T> mu = splat(mean), r = splat(rstd);
  each_lanes<T>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const VecOf<T> gi = load_any(g + i, m);
    if (grad_weight) {
      const VecOf<T> xhat = (load_any(x + i, m) - mu) * r;
      store_any(grad_weight + i, fma(gi, xhat, load_any(grad_weight + i, m)), m);
    }
    if (grad_bias) store_any(grad_bias + i, load_any(grad_bias + i, m) + gi, m);
  });
}

// sum += x, element by element.
template <class L, class T = typename L::type, class One = typename L::One>
void col_sum(int64_t n, const T* x, One* sum) {
  each_lanes<One>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    store_any(sum + i, load_any(sum + i, m) + get_any<L>(x + i, m), m);
  });
}

// sum += (x - mean)^2, element by element.
template <class L, class T = typename L::type, class One = typename L::One>
void col_square_deviation(int64_t n, const T* x, const One* mean, One* sum) {
  each_lanes<One>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const typename L::V d = get_any<L>(x + i, m) - load_any(mean + i, m);
    store_any(sum + i, fma(d, d, load_any(sum + i, m)), m);
  });
}

// y = a x + b, element by element.
template <class L, class T = typename L::type, class One = typename L::One>
void col_apply(int64_t n, const T* x, const One* a, const One* b, T* y) {
  each_lanes<One>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    put_any<L>(y + i, fma(load_any(a + i, m), get_any<L>(x + i, m), load_any(b + i, m)), m);
  });
}

// sum_g += g and sum_gx += g (x - mean), element by element.
template <class T>
void col_grad_sums(int64_t n, const T* g, const T* x, const T* mean, T* sum_g, T* sum_gx) {
  each_lanes<T>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const VecOf<T> gi = load_any(g + i, m);
    store_any(sum_g + i, load_any(sum_g + i, m) + gi, m);
    store_any(sum_gx + i, fma(gi, load_any(x + i, m) - load_any(mean + i, m), load_any(sum_gx + i, m)), m);
  });
}

// gx = a g + b x + c, element by element.
template <class T>
void col_grad(int64_t n, const T* g, const T* x, const T* a, const T* b, const T* c, T* gx) {
  each_lanes<T>(n, [=](int64_t i, int64_t m) __attribute__((always_inline)) {
    const VecOf<T> rest = fma(load_any(b + i, m), load_any(x + i, m), load_any(c + i, m));
    store_any(gx + i, fma(load_any(a + i, m), load_any(g + i, m), rest), m);
  });
}

#define NNLIB_EACH(name)                     \
  constexpr auto* name##_f32 = &name<float>; \
  constexpr auto* name##_f64 = &name<double>;
NNLIB_EACH(norm_sum)
NNLIB_EACH(norm_square_deviation)
NNLIB_EACH(norm_grad_sums)
NNLIB_EACH(norm_grad)
NNLIB_EACH(norm_affine)
NNLIB_EACH(norm_affine_grad_sums)
NNLIB_EACH(norm_affine_grad)
NNLIB_EACH(norm_param_grad)
NNLIB_EACH(col_grad_sums)
NNLIB_EACH(col_grad)
#undef NNLIB_EACH
#define NNLIB_EACH(name)                          \
  constexpr auto* name##_f32 = &name<LanesF32>;   \
  constexpr auto* name##_f64 = &name<LanesF64>;   \
  constexpr auto* name##_bf16 = &name<LanesBf16>; \
  constexpr auto* name##_f16 = &name<LanesF16>;
NNLIB_EACH(norm_apply)
NNLIB_EACH(col_sum)
NNLIB_EACH(col_square_deviation)
NNLIB_EACH(col_apply)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
