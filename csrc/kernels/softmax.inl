// Rows of softmax and of its logarithm, and their gradients from the result y. Short rows stay in registers,
// others in the cache between passes; sums are kept in one vector per step, so that the order of additions
// depends on n alone.
#pragma once
#include "norm.inl"
#include "vmath.inl"
#include "vmath_double.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The largest value of a row; a NaN is left to the sum that follows.
template <class T>
NNLIB_INLINE T softmax_max(int64_t n, const T* x) {
  const VecOf<T> low = splat(T(-INFINITY));
  VecOf<T> a = low, b = low, c = low, d = low;
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>) {
    a = max(load(x + i), a);
    b = max(load(x + i + kLanes<T>), b);
    c = max(load(x + i + 2 * kLanes<T>), c);
    d = max(load(x + i + 3 * kLanes<T>), d);
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) a = max(load(x + i), a);
  if (i < n) b = max(select(lanes_below(low, n - i), load_n(x + i, n - i), low), b);
  return reduce_max(max(max(a, b), max(c, d)));
}

// f(i, left) gives lanes with anything past the end; their sum over the row.
template <class T, class F>
NNLIB_INLINE T softmax_sum(int64_t n, F f) {
  VecOf<T> a = splat(T(0)), b = splat(T(0)), c = splat(T(0)), d = splat(T(0));
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>) {
    a = a + f(i, kLanes<T>);
    b = b + f(i + kLanes<T>, kLanes<T>);
    c = c + f(i + 2 * kLanes<T>, kLanes<T>);
    d = d + f(i + 3 * kLanes<T>, kLanes<T>);
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) a = a + f(i, kLanes<T>);
  if (i < n) b = b + first_lanes(f(i, n - i), n - i);
  return reduce_add((a + b) + (c + d));
}
template <class T, class F>
NNLIB_INLINE void softmax_each(int64_t n, F f) {
  int64_t i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    f(i, kLanes<T>);
    f(i + kLanes<T>, kLanes<T>);
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) f(i, kLanes<T>);
  if (i < n) f(i, n - i);
}
template <class T>
NNLIB_INLINE VecOf<T> softmax_load(const T* p, int64_t n) {
  return n == kLanes<T> ? load(p) : load_n(p, n);
}
template <class T>
NNLIB_INLINE void softmax_store(T* p, VecOf<T> v, int64_t n) {
  if (n == kLanes<T>)
    store(p, v);
  else
    store_n(p, v, n);
}

// Rows of V vectors, the last of them not full perhaps, without a pass over memory in between.
template <int V, bool Log, class T>
NNLIB_INLINE void softmax_short(int64_t rows, int64_t n, const T* x, T* y) {
  const int64_t last = n - (V - 1) * kLanes<T>;
  const VecOf<T> low = splat(T(-INFINITY));
  const auto inside = lanes_below(low, last);
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    VecOf<T> v[V], e[V];
    for (int k = 0; k < V - 1; k++) v[k] = load(x + k * kLanes<T>);
    v[V - 1] = select(inside, load_n(x + (V - 1) * kLanes<T>, last), low);
    VecOf<T> top = v[0];
    for (int k = 1; k < V; k++) top = max(v[k], top);
    top = splat(reduce_max(top));
    for (int k = 0; k < V; k++) e[k] = exp_masked(v[k] - top);
    e[V - 1] = select(inside, e[V - 1], splat(T(0)));
    VecOf<T> sum = e[0];
    for (int k = 1; k < V; k++) sum = sum + e[k];
    const VecOf<T> total = splat(reduce_add(sum));
    const VecOf<T> by = Log ? log(total) : splat(T(1)) / total;
    for (int k = 0; k < V; k++) {
      const VecOf<T> out = Log ? (v[k] - top) - by : e[k] * by;
      if (k < V - 1)
        store(y + k * kLanes<T>, out);
      else
        store_n(y + k * kLanes<T>, out, last);
    }
  }
}
template <bool Log, class T>
NNLIB_INLINE bool softmax_if_short(int64_t rows, int64_t n, const T* x, T* y) {
  if (n <= 0 || n > 4 * kLanes<T>) return n <= 0;
  if (n <= kLanes<T>) {
    softmax_short<1, Log>(rows, n, x, y);
  } else if (n <= 2 * kLanes<T>) {
    softmax_short<2, Log>(rows, n, x, y);
  } else if (n <= 3 * kLanes<T>) {
    softmax_short<3, Log>(rows, n, x, y);
  } else {
    softmax_short<4, Log>(rows, n, x, y);
  }
  return true;
}

template <class T>
void softmax_rows(int64_t rows, int64_t n, const T* x, T* y) {
  if (softmax_if_short<false>(rows, n, x, y)) return;
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    const VecOf<T> m = splat(softmax_max(n, x));
    const T total = softmax_sum<T>(n, [&](int64_t i, int64_t left) {
      const VecOf<T> e = exp_masked(softmax_load(x + i, left) - m);
      softmax_store(y + i, e, left);
      return e;
    });
    const VecOf<T> scale = splat(T(1) / total);
    softmax_each<T>(
        n, [&](int64_t i, int64_t left) { softmax_store(y + i, softmax_load(y + i, left) * scale, left); });
  }
}

template <class T>
void log_softmax_rows(int64_t rows, int64_t n, const T* x, T* y) {
  if (softmax_if_short<true>(rows, n, x, y)) return;
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    const VecOf<T> m = splat(softmax_max(n, x));
    const T total =
        softmax_sum<T>(n, [&](int64_t i, int64_t left) { return exp_masked(softmax_load(x + i, left) - m); });
    const VecOf<T> shift = log(splat(total));
    softmax_each<T>(n, [&](int64_t i, int64_t left) {
      softmax_store(y + i, (softmax_load(x + i, left) - m) - shift, left);
    });
  }
}

template <class T>
void softmax_grad_rows(int64_t rows, int64_t n, const T* g, const T* y, T* out) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, out += n) {
    const VecOf<T> total = splat(softmax_sum<T>(
        n, [&](int64_t i, int64_t left) { return softmax_load(g + i, left) * softmax_load(y + i, left); }));
    softmax_each<T>(n, [&](int64_t i, int64_t left) {
      softmax_store(out + i, (softmax_load(g + i, left) - total) * softmax_load(y + i, left), left);
    });
  }
}

template <class T>
void log_softmax_grad_rows(int64_t rows, int64_t n, const T* g, const T* y, T* out) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, out += n) {
    const VecOf<T> total =
        splat(softmax_sum<T>(n, [&](int64_t i, int64_t left) { return softmax_load(g + i, left); }));
    softmax_each<T>(n, [&](int64_t i, int64_t left) {
      softmax_store(out + i, fnma(exp_below(softmax_load(y + i, left)), total, softmax_load(g + i, left)),
                    left);
    });
  }
}

// ---- along columns: w neighbouring lanes of n rows, `ld` apart, in strips of vectors

// y = softmax of each column of x, or its logarithm.
template <bool Log, int V, class T>
NNLIB_INLINE void softmax_strip(int64_t n, int64_t ld, int64_t w, const T* x, T* y) {
  VecOf<T> m[V], s[V];
  const auto at = [w](const T* p, int k) { return V > 1 ? load(p + k * kLanes<T>) : load_n(p, w); };
  const auto put = [w](T* p, int k, VecOf<T> v) {
    if (V > 1)
      store(p + k * kLanes<T>, v);
    else
      store_n(p, v, w);
  };
  for (int k = 0; k < V; k++) m[k] = splat(T(-INFINITY)), s[k] = splat(T(0));
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < V; k++) m[k] = max(at(x + i * ld, k), m[k]);
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < V; k++) {
      const VecOf<T> e = exp_masked(at(x + i * ld, k) - m[k]);
      if (!Log) put(y + i * ld, k, e);
      s[k] = s[k] + e;
    }
  for (int k = 0; k < V; k++) s[k] = Log ? log(s[k]) : splat(T(1)) / s[k];
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < V; k++)
      put(y + i * ld, k, Log ? (at(x + i * ld, k) - m[k]) - s[k] : at(y + i * ld, k) * s[k]);
}
template <bool Log, class T>
NNLIB_INLINE void softmax_strips(int64_t n, int64_t ld, int64_t w, const T* x, T* y) {
  int64_t j = 0;
  for (; j + 4 * kLanes<T> <= w; j += 4 * kLanes<T>)
    softmax_strip<Log, 4>(n, ld, 4 * kLanes<T>, x + j, y + j);
  for (; j < w; j += kLanes<T>) softmax_strip<Log, 1>(n, ld, w - j, x + j, y + j);
}
template <class T>
void softmax_cols(int64_t n, int64_t ld, int64_t w, const T* x, T* y) {
  softmax_strips<false>(n, ld, w, x, y);
}
template <class T>
void log_softmax_cols(int64_t n, int64_t ld, int64_t w, const T* x, T* y) {
  softmax_strips<true>(n, ld, w, x, y);
}

// The gradient of each column from that of the result, g, and the result, y.
template <bool Log, class T>
NNLIB_INLINE void softmax_grad_strips(int64_t n, int64_t ld, int64_t w, const T* g, const T* y, T* out) {
  for (int64_t j = 0; j < w; j += kLanes<T>) {
    const int64_t left = w - j < kLanes<T> ? w - j : kLanes<T>;
    VecOf<T> s = splat(T(0));
    for (int64_t i = 0; i < n; i++) {
      const VecOf<T> gi = softmax_load(g + i * ld + j, left);
      s = Log ? s + gi : fma(gi, softmax_load(y + i * ld + j, left), s);
    }
    for (int64_t i = 0; i < n; i++) {
      const VecOf<T> gi = softmax_load(g + i * ld + j, left), yi = softmax_load(y + i * ld + j, left);
      softmax_store(out + i * ld + j, Log ? fnma(exp_below(yi), s, gi) : (gi - s) * yi, left);
    }
  }
}
template <class T>
void softmax_grad_cols(int64_t n, int64_t ld, int64_t w, const T* g, const T* y, T* out) {
  softmax_grad_strips<false>(n, ld, w, g, y, out);
}
template <class T>
void log_softmax_grad_cols(int64_t n, int64_t ld, int64_t w, const T* g, const T* y, T* out) {
  softmax_grad_strips<true>(n, ld, w, g, y, out);
}

#define NNLIB_EACH(name)                     \
  constexpr auto* name##_f32 = &name<float>; \
  constexpr auto* name##_f64 = &name<double>;
NNLIB_EACH(softmax_rows)
NNLIB_EACH(log_softmax_rows)
NNLIB_EACH(softmax_grad_rows)
NNLIB_EACH(log_softmax_grad_rows)
NNLIB_EACH(softmax_cols)
NNLIB_EACH(log_softmax_cols)
NNLIB_EACH(softmax_grad_cols)
NNLIB_EACH(log_softmax_grad_cols)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
