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

// The running averages of a gradient and of its square that Adam and its relatives keep; fresh1 and fresh2
// are 1 - beta.
template <class T>
struct Averages {
  VecOf<T> f1, b2, f2;
  Averages(T fresh1, T beta2, T fresh2) : f1(splat(fresh1)), b2(splat(beta2)), f2(splat(fresh2)) {}
  template <class Io>
  NNLIB_INLINE VecOf<T> mean(Io io, T* m, VecOf<T> grad) const {
    const VecOf<T> old = io.get(m), now = fma(f1, grad - old, old);
    io.put(m, now);
    return now;
  }
  template <class Io>
  NNLIB_INLINE VecOf<T> square(Io io, T* v, VecOf<T> grad) const {
    const VecOf<T> now = fma(f2 * grad, grad, b2 * io.get(v));
    io.put(v, now);
    return now;
  }
};

// shrink multiplies the parameter first (decoupled decay); root_scale is 1 / sqrt(1 - beta2^t); vmax may be
// null.
template <class T>
void adam(int64_t n, T* p, const T* g, T* m, T* v, T* vmax, T sign, T decay, T shrink, T fresh1, T beta2,
          T fresh2, T lr, T root_scale, T eps) {
  using V = VecOf<T>;
  const V s = splat(sign), keep = splat(shrink), rate = splat(lr), scale = splat(root_scale), e = splat(eps);
  const Averages<T> average(fresh1, beta2, fresh2);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i) * keep, grad = penalized(decay, w, s * io.get(g + i));
    const V mean = average.mean(io, m + i, grad);
    V square = average.square(io, v + i, grad);
    if (vmax) {
      square = max_nan(io.get(vmax + i), square);
      io.put(vmax + i, square);
    }
    io.put(p + i, fnma(rate, mean / fma(sqrt(square), scale, e), w));
  });
}

// u is a running maximum of the gradient's size; lr holds the correction of the mean.
template <class T>
void adamax(int64_t n, T* p, const T* g, T* m, T* u, T sign, T decay, T fresh1, T beta2, T eps, T lr) {
  using V = VecOf<T>;
  const V s = splat(sign), rate = splat(lr), e = splat(eps);
  const Averages<T> average(fresh1, beta2, 0);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    const V mean = average.mean(io, m + i, grad), size = max_nan(average.b2 * io.get(u + i), abs(grad) + e);
    io.put(u + i, size);
    io.put(p + i, fnma(rate, mean / size, w));
  });
}

// lr_g and lr_m are the rates of the gradient and of its mean, corrections included.
template <class T>
void nadam(int64_t n, T* p, const T* g, T* m, T* v, T sign, T decay, T shrink, T fresh1, T beta2, T fresh2,
           T lr_g, T lr_m, T root_scale, T eps) {
  using V = VecOf<T>;
  const V s = splat(sign), keep = splat(shrink), of_g = splat(lr_g), of_m = splat(lr_m);
  const V scale = splat(root_scale), e = splat(eps);
  const Averages<T> average(fresh1, beta2, fresh2);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i) * keep, grad = penalized(decay, w, s * io.get(g + i));
    const V change = fma(of_m, average.mean(io, m + i, grad), of_g * grad);
    io.put(p + i, w - change / fma(sqrt(average.square(io, v + i, grad)), scale, e));
  });
}

// lr holds all corrections. Only a rectified step is divided by the root of the squares.
template <class T>
void radam(int64_t n, T* p, const T* g, T* m, T* v, T sign, T decay, T shrink, T fresh1, T beta2, T fresh2,
           T lr, T eps, bool rectified) {
  using V = VecOf<T>;
  const V s = splat(sign), keep = splat(shrink), rate = splat(lr), e = splat(eps);
  const Averages<T> average(fresh1, beta2, fresh2);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i) * keep, grad = penalized(decay, w, s * io.get(g + i));
    const V mean = average.mean(io, m + i, grad), square = average.square(io, v + i, grad);
    io.put(p + i, fnma(rate, rectified ? mean / (sqrt(square) + e) : mean, w));
  });
}

// v and u are running averages of squared gradients and of squared changes; fresh is 1 - rho.
template <class T>
void adadelta(int64_t n, T* p, const T* g, T* v, T* u, T sign, T decay, T rho, T fresh, T eps, T lr) {
  using V = VecOf<T>;
  const V s = splat(sign), rate = splat(lr), e = splat(eps);
  const Averages<T> average(0, rho, fresh);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    const V root = sqrt(average.square(io, v + i, grad) + e);
    const V change = sqrt(io.get(u + i) + e) / root * grad;
    average.square(io, u + i, change);
    io.put(p + i, fnma(rate, change, w));
  });
}

// ax follows the parameter: it is the parameter itself where mu is 1, as the first time.
template <class T>
void asgd(int64_t n, T* p, const T* g, T* ax, T sign, T decay, T shrink, T lr, T mu) {
  using V = VecOf<T>;
  const V s = splat(sign), keep = splat(shrink), rate = splat(lr), share = splat(mu);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V w = io.get(p + i), grad = penalized(decay, w, s * io.get(g + i));
    const V now = fnma(rate, grad, w * keep), old = io.get(ax + i);
    io.put(p + i, now);
    io.put(ax + i, mu != 1 ? fma(share, now - old, old) : now);
  });
}

// Each element's own step size grows by `more` while the gradient keeps its sign; where that changed it
// shrinks by `less`, the element stays, and the gradient counts as 0 next time.
template <class T>
void rprop(int64_t n, T* p, const T* g, T* prev, T* size, T sign, T less, T more, T least, T most) {
  using V = VecOf<T>;
  const V s = splat(sign), zero = splat(T(0)), one = splat(T(1));
  const V down = splat(less), up = splat(more), low = splat(least), high = splat(most);
  each_vector<T>(n, [&](int64_t i, auto io) {
    const V grad = s * io.get(g + i), agreement = grad * io.get(prev + i);
    const auto turned = lt(agreement, zero);
    const V factor = select(turned, down, select(lt(zero, agreement), up, one));
    const V step = min_nan(max_nan(io.get(size + i) * factor, low), high);
    const V kept = select(turned, zero, grad);
    const V way = select(lt(zero, kept), one, select(lt(kept, zero), splat(T(-1)), zero));
    io.put(size + i, step);
    io.put(prev + i, kept);
    io.put(p + i, fnma(way, step, io.get(p + i)));
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
NNLIB_EACH(adamax)
NNLIB_EACH(nadam)
NNLIB_EACH(radam)
NNLIB_EACH(adadelta)
NNLIB_EACH(asgd)
NNLIB_EACH(rprop)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
