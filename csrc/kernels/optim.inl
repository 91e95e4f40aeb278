// Optimizer steps over contiguous arrays: one pass that reads the gradient and updates parameter and state.
// Each first makes the gradient sign * g + decay * p (sign is -1 to maximize, decay the L2 penalty). Pointers
// that may be null say which variant is wanted. The formulas are PyTorch's single-tensor ones.
#pragma once
#include "vec_double.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// A whole vector, or the last elements of the arrays.
template <class T>
struct Whole {
  NNLIB_INLINE VecOf<T> get(const T* x) const { return load(x); }
  NNLIB_INLINE void put(T* x, VecOf<T> v) const { store(x, v); }
};
template <class T>
struct Rest {
  int64_t n;
  NNLIB_INLINE VecOf<T> get(const T* x) const { return load_n(x, n); }
  NNLIB_INLINE void put(T* x, VecOf<T> v) const { store_n(x, v, n); }
};

// f(i, io) for each vector of n elements.
template <class T, class F>
NNLIB_INLINE void each_vector(int64_t n, F f) {
  int64_t i = 0;
  for (; i + VecFor<T>::width <= n; i += VecFor<T>::width) f(i, Whole<T>{});
  if (i < n) f(i, Rest<T>{n - i});
}

// A factor of 0 has to leave infinite parameters alone.
template <class T>
NNLIB_INLINE VecOf<T> penalized(T decay, VecOf<T> w, VecOf<T> g) {
  return decay != 0 ? fma(splat(decay), w, g) : g;
}

template <class T>
void sgd(int64_t n, T* p, const T* g, T sign, T decay, T lr) {
  using V = VecOf<T>;
  const V s = splat(sign), rate = splat(lr);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i);
    io.put(p + i, fnma(rate, penalized(decay, w, s * io.get(g + i)), w));
  });
}

template <class T>
void sgd_momentum(int64_t n, T* p, const T* g, T* buf, T sign, T decay, T lr, T momentum, T fresh, bool first,
                  bool nesterov) {
  using V = VecOf<T>;
  const V s = splat(sign), rate = splat(lr), mu = splat(momentum), share = splat(fresh);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    const V b = first ? grad : fma(mu, io.get(buf + i), share * grad);
    io.put(buf + i, b);
    io.put(p + i, fnma(rate, nesterov ? fma(mu, b, grad) : b, w));
  });
}

// shrink multiplies the parameter first (decoupled decay); fresh1 and fresh2 are 1 - beta; root_scale is
// 1 / sqrt(1 - beta2^t); vmax may be null.
template <class T>
void adam(int64_t n, T* p, const T* g, T* m, T* v, T* vmax, T sign, T decay, T shrink, T fresh1, T beta2,
          T fresh2, T lr, T root_scale, T eps) {
  using V = VecOf<T>;
  const V s = splat(sign), keep = splat(shrink), f1 = splat(fresh1), b2 = splat(beta2);
  const V f2 = splat(fresh2), rate = splat(lr), scale = splat(root_scale), e = splat(eps);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i) * keep, grad = penalized(decay, w, s * io.get(g + i));
    const V old = io.get(m + i), mean = fma(f1, grad - old, old);
    V square = fma(f2 * grad, grad, b2 * io.get(v + i));
    io.put(m + i, mean);
    io.put(v + i, square);
    if (vmax) {
      square = max_nan(io.get(vmax + i), square);
      io.put(vmax + i, square);
    }
    io.put(p + i, fnma(rate, mean / fma(sqrt(square), scale, e), w));
  });
}

template <class T>
void adagrad(int64_t n, T* p, const T* g, T* sum, T sign, T decay, T lr, T eps) {
  using V = VecOf<T>;
  const V s = splat(sign), rate = splat(lr), e = splat(eps);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    const V total = fma(grad, grad, io.get(sum + i));
    io.put(sum + i, total);
    io.put(p + i, fnma(rate, grad / (sqrt(total) + e), w));
  });
}

// mean is null unless centered, buf unless there is momentum; fresh is 1 - alpha.
template <class T>
void rmsprop(int64_t n, T* p, const T* g, T* v, T* mean, T* buf, T sign, T decay, T alpha, T fresh, T eps,
             T momentum, T lr) {
  using V = VecOf<T>;
  const V s = splat(sign), a = splat(alpha), f = splat(fresh), e = splat(eps);
  const V mu = splat(momentum), rate = splat(lr);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    V square = fma(f * grad, grad, a * io.get(v + i));
    io.put(v + i, square);
    if (mean) {
      const V old = io.get(mean + i), now = fma(f, grad - old, old);
      io.put(mean + i, now);
      square = fnma(now, now, square);
    }
    V change = grad / (sqrt(square) + e);
    if (buf) {
      change = fma(mu, io.get(buf + i), change);
      io.put(buf + i, change);
    }
    io.put(p + i, fnma(rate, change, w));
  });
}

#define NNLIB_EACH(name)                     \
  constexpr auto* name##_f32 = &name<float>; \
  constexpr auto* name##_f64 = &name<double>;
NNLIB_EACH(sgd)
NNLIB_EACH(sgd_momentum)
NNLIB_EACH(adam)
NNLIB_EACH(adagrad)
NNLIB_EACH(rmsprop)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
