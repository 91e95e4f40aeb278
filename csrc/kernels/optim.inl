// Optimizer steps over contiguous arrays: one pass that reads the gradient and updates parameter and state.
// Each first makes the gradient sign * g + decay * p (sign is -1 to maximize, decay the L2 penalty). Pointers
// that may be null say which variant is wanted. The formulas are PyTorch's single-tensor ones.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// A whole vector, or the last elements of the arrays.
struct Whole {
  NNLIB_INLINE Vec get(const float* x) const { return load(x); }
  NNLIB_INLINE void put(float* x, Vec v) const { store(x, v); }
};
struct Rest {
  int64_t n;
  NNLIB_INLINE Vec get(const float* x) const { return load_n(x, n); }
  NNLIB_INLINE void put(float* x, Vec v) const { store_n(x, v, n); }
};

// f(i, io) for each vector of n elements.
template <class F>
NNLIB_INLINE void each_vector(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, Whole{});
  if (i < n) f(i, Rest{n - i});
}

// A factor of 0 has to leave infinite parameters alone.
NNLIB_INLINE Vec penalized(float decay, Vec w, Vec g) { return decay != 0 ? fma(set1(decay), w, g) : g; }

void sgd_f32(int64_t n, float* p, const float* g, float sign, float decay, float lr) {
  const Vec s = set1(sign), rate = set1(lr);
  each_vector(n, [&](int64_t i, auto io) {
    const Vec w = io.get(p + i);
    io.put(p + i, fnma(rate, penalized(decay, w, s * io.get(g + i)), w));
  });
}

void sgd_momentum_f32(int64_t n, float* p, const float* g, float* buf, float sign, float decay, float lr,
                      float momentum, float fresh, bool first, bool nesterov) {
  const Vec s = set1(sign), rate = set1(lr), mu = set1(momentum), share = set1(fresh);
  each_vector(n, [&](int64_t i, auto io) {
    const Vec w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    const Vec b = first ? grad : fma(mu, io.get(buf + i), share * grad);
    io.put(buf + i, b);
    io.put(p + i, fnma(rate, nesterov ? fma(mu, b, grad) : b, w));
  });
}

// shrink multiplies the parameter first (decoupled decay); fresh1 and fresh2 are 1 - beta; root_scale is
// 1 / sqrt(1 - beta2^t); vmax may be null.
void adam_f32(int64_t n, float* p, const float* g, float* m, float* v, float* vmax, float sign, float decay,
              float shrink, float fresh1, float beta2, float fresh2, float lr, float root_scale, float eps) {
  const Vec s = set1(sign), keep = set1(shrink), f1 = set1(fresh1), b2 = set1(beta2);
  const Vec f2 = set1(fresh2), rate = set1(lr), scale = set1(root_scale), e = set1(eps);
  each_vector(n, [&](int64_t i, auto io) {
    const Vec w = io.get(p + i) * keep, grad = penalized(decay, w, s * io.get(g + i));
    const Vec old = io.get(m + i), mean = fma(f1, grad - old, old);
    Vec square = fma(f2 * grad, grad, b2 * io.get(v + i));
    io.put(m + i, mean);
    io.put(v + i, square);
    if (vmax) {
      square = max_nan(io.get(vmax + i), square);
      io.put(vmax + i, square);
    }
    io.put(p + i, fnma(rate, mean / fma(sqrt(square), scale, e), w));
  });
}

void adagrad_f32(int64_t n, float* p, const float* g, float* sum, float sign, float decay, float lr,
                 float eps) {
  const Vec s = set1(sign), rate = set1(lr), e = set1(eps);
  each_vector(n, [&](int64_t i, auto io) {
    const Vec w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    const Vec total = fma(grad, grad, io.get(sum + i));
    io.put(sum + i, total);
    io.put(p + i, fnma(rate, grad / (sqrt(total) + e), w));
  });
}

// mean is null unless centered, buf unless there is momentum; fresh is 1 - alpha.
void rmsprop_f32(int64_t n, float* p, const float* g, float* v, float* mean, float* buf, float sign,
                 float decay, float alpha, float fresh, float eps, float momentum, float lr) {
  const Vec s = set1(sign), a = set1(alpha), f = set1(fresh), e = set1(eps);
  const Vec mu = set1(momentum), rate = set1(lr);
  each_vector(n, [&](int64_t i, auto io) {
    const Vec w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    Vec square = fma(f * grad, grad, a * io.get(v + i));
    io.put(v + i, square);
    if (mean) {
      const Vec old = io.get(mean + i), now = fma(f, grad - old, old);
      io.put(mean + i, now);
      square = fnma(now, now, square);
    }
    Vec change = grad / (sqrt(square) + e);
    if (buf) {
      change = fma(mu, io.get(buf + i), change);
      io.put(buf + i, change);
    }
    io.put(p + i, fnma(rate, change, w));
  });
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
