// Rows of softmax and of its logarithm, and their gradients from the result y. Short rows stay in registers,
// others in the cache between passes; sums are kept in one vector per step, so that the order of additions
// depends on n alone.
#pragma once
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

NNLIB_INLINE Mask first_lanes_of(int64_t n) { return lt(iota(), set1i(n < kWidth ? int32_t(n) : kWidth)); }

// The largest value of a row; a NaN is left to the sum that follows.
NNLIB_INLINE float softmax_max(int64_t n, const float* x) {
  const Vec low = set1(-INFINITY);
  Vec a = low, b = low, c = low, d = low;
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    a = max(load(x + i), a);
    b = max(load(x + i + kWidth), b);
    c = max(load(x + i + 2 * kWidth), c);
    d = max(load(x + i + 3 * kWidth), d);
  }
  for (; i + kWidth <= n; i += kWidth) a = max(load(x + i), a);
  if (i < n) b = max(select(first_lanes_of(n - i), load_n(x + i, n - i), low), b);
  return reduce_max(max(max(a, b), max(c, d)));
}

// f(i, left) gives lanes with anything past the end; their sum over the row.
template <class F>
NNLIB_INLINE float softmax_sum(int64_t n, F f) {
  Vec a = zero(), b = zero(), c = zero(), d = zero();
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    a = a + f(i, (int64_t)kWidth);
    b = b + f(i + kWidth, (int64_t)kWidth);
    c = c + f(i + 2 * kWidth, (int64_t)kWidth);
    d = d + f(i + 3 * kWidth, (int64_t)kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) a = a + f(i, (int64_t)kWidth);
  if (i < n) b = b + select(first_lanes_of(n - i), f(i, n - i), zero());
  return reduce_add((a + b) + (c + d));
}
template <class F>
NNLIB_INLINE void softmax_each(int64_t n, F f) {
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    f(i, (int64_t)kWidth);
    f(i + kWidth, (int64_t)kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) f(i, (int64_t)kWidth);
  if (i < n) f(i, n - i);
}
NNLIB_INLINE Vec softmax_load(const float* p, int64_t n) { return n == kWidth ? load(p) : load_n(p, n); }
NNLIB_INLINE void softmax_store(float* p, Vec v, int64_t n) {
  if (n == kWidth)
    store(p, v);
  else
    store_n(p, v, n);
}

// Rows of V vectors, the last of them not full perhaps, without a pass over memory in between.
template <int V, bool Log>
NNLIB_INLINE void softmax_short(int64_t rows, int64_t n, const float* x, float* y) {
  const int64_t last = n - (V - 1) * kWidth;
  const Mask inside = first_lanes_of(last);
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    Vec v[V], e[V];
    for (int k = 0; k < V - 1; k++) v[k] = load(x + k * kWidth);
    v[V - 1] = select(inside, load_n(x + (V - 1) * kWidth, last), set1(-INFINITY));
    Vec top = v[0];
    for (int k = 1; k < V; k++) top = max(v[k], top);
    top = set1(reduce_max(top));
    for (int k = 0; k < V; k++) e[k] = exp_below(v[k] - top);
    e[V - 1] = select(inside, e[V - 1], zero());
    Vec sum = e[0];
    for (int k = 1; k < V; k++) sum = sum + e[k];
    const Vec total = set1(reduce_add(sum));
    const Vec by = Log ? log(total) : set1(1.f) / total;
    for (int k = 0; k < V; k++) {
      const Vec out = Log ? (v[k] - top) - by : e[k] * by;
      if (k < V - 1)
        store(y + k * kWidth, out);
      else
        store_n(y + k * kWidth, out, last);
    }
  }
}
template <bool Log>
NNLIB_INLINE bool softmax_if_short(int64_t rows, int64_t n, const float* x, float* y) {
  if (n <= 0 || n > 4 * kWidth) return n <= 0;
  if (n <= kWidth) {
    softmax_short<1, Log>(rows, n, x, y);
  } else if (n <= 2 * kWidth) {
    softmax_short<2, Log>(rows, n, x, y);
  } else if (n <= 3 * kWidth) {
    softmax_short<3, Log>(rows, n, x, y);
  } else {
    softmax_short<4, Log>(rows, n, x, y);
  }
  return true;
}

void softmax_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  if (softmax_if_short<false>(rows, n, x, y)) return;
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    const Vec m = set1(softmax_max(n, x));
    const float total = softmax_sum(n, [&](int64_t i, int64_t left) {
      const Vec e = exp_below(softmax_load(x + i, left) - m);
      softmax_store(y + i, e, left);
      return e;
    });
    const Vec scale = set1(1.f / total);
    softmax_each(
        n, [&](int64_t i, int64_t left) { softmax_store(y + i, softmax_load(y + i, left) * scale, left); });
  }
}

void log_softmax_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  if (softmax_if_short<true>(rows, n, x, y)) return;
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    const Vec m = set1(softmax_max(n, x));
    const float total =
        softmax_sum(n, [&](int64_t i, int64_t left) { return exp_below(softmax_load(x + i, left) - m); });
    const Vec shift = log(set1(total));
    softmax_each(n, [&](int64_t i, int64_t left) {
      softmax_store(y + i, (softmax_load(x + i, left) - m) - shift, left);
    });
  }
}

void softmax_grad_rows_f32(int64_t rows, int64_t n, const float* g, const float* y, float* out) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, out += n) {
    const Vec total = set1(softmax_sum(
        n, [&](int64_t i, int64_t left) { return softmax_load(g + i, left) * softmax_load(y + i, left); }));
    softmax_each(n, [&](int64_t i, int64_t left) {
      softmax_store(out + i, (softmax_load(g + i, left) - total) * softmax_load(y + i, left), left);
    });
  }
}

void log_softmax_grad_rows_f32(int64_t rows, int64_t n, const float* g, const float* y, float* out) {
  for (int64_t r = 0; r < rows; r++, g += n, y += n, out += n) {
    const Vec total =
        set1(softmax_sum(n, [&](int64_t i, int64_t left) { return softmax_load(g + i, left); }));
    softmax_each(n, [&](int64_t i, int64_t left) {
      softmax_store(out + i, fnma(exp_below(softmax_load(y + i, left)), total, softmax_load(g + i, left)),
                    left);
    });
  }
}

// ---- along columns: w neighbouring lanes of n rows, `ld` apart, in strips of vectors

// y = softmax of each column of x, or its logarithm.
template <bool Log, int V>
NNLIB_INLINE void softmax_strip(int64_t n, int64_t ld, int64_t w, const float* x, float* y) {
  Vec m[V], s[V];
  const auto at = [w](const float* p, int k) { return V > 1 ? load(p + k * kWidth) : load_n(p, w); };
  const auto put = [w](float* p, int k, Vec v) {
    if (V > 1)
      store(p + k * kWidth, v);
    else
      store_n(p, v, w);
  };
  for (int k = 0; k < V; k++) m[k] = set1(-INFINITY), s[k] = zero();
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < V; k++) m[k] = max(at(x + i * ld, k), m[k]);
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < V; k++) {
      const Vec e = exp_below(at(x + i * ld, k) - m[k]);
      if (!Log) put(y + i * ld, k, e);
      s[k] = s[k] + e;
    }
  for (int k = 0; k < V; k++) s[k] = Log ? log(s[k]) : set1(1.f) / s[k];
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < V; k++)
      put(y + i * ld, k, Log ? (at(x + i * ld, k) - m[k]) - s[k] : at(y + i * ld, k) * s[k]);
}
template <bool Log>
NNLIB_INLINE void softmax_strips(int64_t n, int64_t ld, int64_t w, const float* x, float* y) {
  int64_t j = 0;
  for (; j + 4 * kWidth <= w; j += 4 * kWidth) softmax_strip<Log, 4>(n, ld, 4 * kWidth, x + j, y + j);
  for (; j < w; j += kWidth) softmax_strip<Log, 1>(n, ld, w - j, x + j, y + j);
}
void softmax_cols_f32(int64_t n, int64_t ld, int64_t w, const float* x, float* y) {
  softmax_strips<false>(n, ld, w, x, y);
}
void log_softmax_cols_f32(int64_t n, int64_t ld, int64_t w, const float* x, float* y) {
  softmax_strips<true>(n, ld, w, x, y);
}

// The gradient of each column from that of the result, g, and the result, y.
template <bool Log>
NNLIB_INLINE void softmax_grad_strips(int64_t n, int64_t ld, int64_t w, const float* g, const float* y,
                                      float* out) {
  for (int64_t j = 0; j < w; j += kWidth) {
    const int64_t left = w - j < kWidth ? w - j : kWidth;
    Vec s = zero();
    for (int64_t i = 0; i < n; i++) {
      const Vec gi = softmax_load(g + i * ld + j, left);
      s = Log ? s + gi : fma(gi, softmax_load(y + i * ld + j, left), s);
    }
    for (int64_t i = 0; i < n; i++) {
      const Vec gi = softmax_load(g + i * ld + j, left), yi = softmax_load(y + i * ld + j, left);
      softmax_store(out + i * ld + j, Log ? fnma(exp_below(yi), s, gi) : (gi - s) * yi, left);
    }
  }
}
void softmax_grad_cols_f32(int64_t n, int64_t ld, int64_t w, const float* g, const float* y, float* out) {
  softmax_grad_strips<false>(n, ld, w, g, y, out);
}
void log_softmax_grad_cols_f32(int64_t n, int64_t ld, int64_t w, const float* g, const float* y, float* out) {
  softmax_grad_strips<true>(n, ld, w, g, y, out);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
