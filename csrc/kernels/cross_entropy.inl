// Rows of a cross-entropy: losses, and the gradient in the same pass over memory. A row is read once from
// memory; its exponentials wait in scratch, in the nearest cache that holds them.
#pragma once
#include "cross_entropy.h"
#include "lane_types.h"
#include "vmath.inl"
#include "vmath_double.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// x in the first place of p alone.
template <class S>
NNLIB_INLINE void put_one(typename S::type* p, typename S::One x) {
  S::put(p, splat(x), 1);
}
template <>
NNLIB_INLINE void put_one<LanesF32>(float* p, float x) {
  *p = x;
}
template <>
NNLIB_INLINE void put_one<LanesF64>(double* p, double x) {
  *p = x;
}
NNLIB_INLINE float natural_log(float x) { return logf(x); }
NNLIB_INLINE double natural_log(double x) { return __builtin_log(x); }

template <class S>
using SpecOf = CrossEntropyOf<typename S::One>;

// How the share q_j of each class is made.
enum class Share { None, Even, Weighted, Given };

template <class S, Share K>
NNLIB_INLINE typename S::V share_of(const SpecOf<S>& c, const typename S::type* p, int64_t i, int64_t k) {
  using One = typename S::One;
  if (K == Share::Even) return splat(c.off);
  const bool whole = k >= S::kLanes;
  const typename S::V w = !c.weight ? splat(One(1)) : whole ? load(c.weight + i) : load_n(c.weight + i, k);
  if (K == Share::Weighted) return w * splat(c.off);
  return w * fma(splat(c.on), whole ? S::get(p + i) : S::get(p + i, k), splat(c.off));
}

// The largest value; NaN is left to the sum that follows.
template <class S>
NNLIB_INLINE typename S::One largest(int64_t n, const typename S::type* x) {
  typename S::V m[4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) m[v] = splat(-typename S::One(INFINITY));
  int64_t i = 0;
  for (; i + 4 * S::kLanes <= n; i += 4 * S::kLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) m[v] = max(S::get(x + i + v * S::kLanes), m[v]);
  }
  for (; i + S::kLanes <= n; i += S::kLanes) m[0] = max(S::get(x + i), m[0]);
  if (i < n) m[1] = max(select(lanes_below(m[1], n - i), S::get(x + i, n - i), m[1]), m[1]);
  return reduce_max(max(max(m[0], m[1]), max(m[2], m[3])));
}

template <class One>
struct RowSums {
  One exponentials, linear, mass;  // sum e^(x - m), sum q (x - m), sum q
};

// The sums of a row whose largest value is m; e (may be null) takes the exponentials. Each step also asks for
// the values at `next`, which the caller wants afterwards (may be null).
template <class S, Share K, class One = typename S::One>
NNLIB_INLINE RowSums<One> row_sums(const SpecOf<S>& c, int64_t n, const typename S::type* x,
                                   const typename S::type* p, One m, One* e, const typename S::type* next) {
  using V = typename S::V;
  const V shift = splat(m), none = splat(One(0));
  V a = none, b = none, linear = none, mass = none;
  const auto step = [&](int64_t i) {
    const V d = S::get(x + i) - shift, y = exp_masked(d);
    if (e) store(e + i, y);
    if (K != Share::None) {
      const V q = share_of<S, K>(c, p, i, S::kLanes);
      linear = fma(q, d, linear);
      if (K != Share::Even) mass = mass + q;
    }
    return y;
  };
  int64_t i = 0;
  for (; i + 2 * S::kLanes <= n; i += 2 * S::kLanes) {
    if (next) prefetch(next + i);
    a = a + step(i);
    b = b + step(i + S::kLanes);
  }
  if (i + S::kLanes <= n) {
    a = a + step(i);
    i += S::kLanes;
  }
  if (i < n) {
    const int64_t k = n - i;
    const auto in = lanes_below(shift, k);
    const V d = select(in, S::get(x + i, k) - shift, none), y = select(in, exp_masked(d), none);
    if (e) store_n(e + i, y, k);
    b = b + y;
    if (K != Share::None) {
      const V q = select(in, share_of<S, K>(c, p, i, k), none);
      linear = fma(q, d, linear);
      if (K != Share::Even) mass = mass + q;
    }
  }
  return {reduce_add(a + b), reduce_add(linear), K == Share::Even ? c.off * One(n) : reduce_add(mass)};
}

// y[i] = k e[i] - scale q_i for first <= i < last; streaming takes whole cache lines of float past the
// caches.
template <class S, Share K, class One = typename S::One>
NNLIB_INLINE void put_gradient(const SpecOf<S>& c, int64_t first, int64_t last, const One* e,
                               const typename S::type* p, One k, typename S::type* y, bool streaming) {
  using V = typename S::V;
  const V factor = splat(k), scale = splat(c.scale);
  const auto value = [&](int64_t i, int64_t left) {
    const V g = factor * (left >= S::kLanes ? load(e + i) : load_n(e + i, left));
    return K == Share::None ? g : fnma(scale, share_of<S, K>(c, p, i, left), g);
  };
  int64_t i = first;
  if constexpr (sizeof(typename S::type) == sizeof(One)) {
    if (streaming) {
      constexpr int64_t kLine = 64 / sizeof(One);
      const int64_t ahead = first + int64_t((0 - uintptr_t(y + first)) % 64 / sizeof(One));
      for (const int64_t head = ahead < last ? ahead : last; i < head; i += S::kLanes)
        store_n(y + i, value(i, head - i), head - i);
      if (i > ahead) i = ahead;
      for (; i + kLine <= last; i += kLine) {
#pragma GCC unroll 16
        for (int64_t v = 0; v < kLine; v += S::kLanes) stream(y + i + v, value(i + v, S::kLanes));
      }
    }
  }
  for (; i + S::kLanes <= last; i += S::kLanes) S::put(y + i, value(i, S::kLanes));
  if (i < last) S::put(y + i, value(i, last - i), last - i);
}

// The whole gradient row, at its class t (-1: none) less d. The line of t is not streamed.
template <class S, Share K, class One = typename S::One>
NNLIB_INLINE void gradient_row(const SpecOf<S>& c, const One* e, const typename S::type* p, One k, int64_t t,
                               One d, typename S::type* y, bool streaming) {
  const int64_t n = c.classes;
  if (t < 0) {
    put_gradient<S, K>(c, 0, n, e, p, k, y, streaming);
    return;
  }
  int64_t from = 0, to = n;
  if (streaming) {
    constexpr int64_t kLine = 64 / sizeof(typename S::type);
    const int64_t within = int64_t(uintptr_t(y + t) % 64 / sizeof(typename S::type));
    from = t > within ? t - within : 0;
    to = t - within + kLine < n ? t - within + kLine : n;
    put_gradient<S, K>(c, 0, from, e, p, k, y, true);
    put_gradient<S, K>(c, to, n, e, p, k, y, true);
  }
  put_gradient<S, K>(c, from, to, e, p, k, y, false);
  const One share = K == Share::None ? 0 : c.off * (c.weight ? c.weight[t] : 1);
  put_one<S>(y + t, k * e[t] - c.scale * share - d);
}

template <class S, Share K, class One = typename S::One>
void cross_entropy_rows(const SpecOf<S>& c, const int64_t* target, int64_t rows, const typename S::type* x,
                        int64_t ldx, const typename S::type* p, int64_t ldp, One* loss, typename S::type* y,
                        int64_t ldy, One* e, bool streaming) {
  const int64_t n = c.classes;
  for (int64_t r = 0; r < rows; ++r, x += ldx, p += K == Share::Given ? ldp : 0) {
    const int64_t t = K == Share::Given ? -1 : target[r];
    typename S::type* out = y ? y + r * ldy : nullptr;
    if (K != Share::Given && t == c.ignore_index) {
      loss[r] = 0;
      if (out) memset(out, 0, size_t(n) * sizeof *out);
      continue;
    }
    const One m = largest<S>(n, x);
    const RowSums<One> s = row_sums<S, K>(c, n, x, p, m, out ? e : nullptr, r + 1 < rows ? x + ldx : nullptr);
    const One log_sum = natural_log(s.exponentials);
    const One of_class = K == Share::Given ? 0 : c.on * (c.weight ? c.weight[t] : 1);
    One l = K == Share::Given ? 0 : of_class * (log_sum + (m - S::value(x + t)));
    if (K != Share::None) l += s.mass * log_sum - s.linear;
    loss[r] = l;
    if (out) {
      const One whole = of_class + (K == Share::None ? 0 : s.mass);
      gradient_row<S, K>(c, e, p, c.scale * whole / s.exponentials, t, c.scale * of_class, out, streaming);
    }
  }
  if (y && streaming) fence();
}

// One function for each way of sharing.
template <class S, class... A>
NNLIB_INLINE void cross_entropy_rows_any(const SpecOf<S>* c, const int64_t* target, A... rest) {
  if (!target) {
    cross_entropy_rows<S, Share::Given>(*c, target, rest...);
  } else if (c->off == 0) {
    cross_entropy_rows<S, Share::None>(*c, target, rest...);
  } else if (!c->weight) {
    cross_entropy_rows<S, Share::Even>(*c, target, rest...);
  } else {
    cross_entropy_rows<S, Share::Weighted>(*c, target, rest...);
  }
}

// p null: no probabilities.
template <class S>
NNLIB_INLINE void cross_entropy_part(const CrossEntropy& c, int64_t n, const typename S::type* x,
                                     const typename S::type* p, float* sums) {
  const float m = largest<S>(n, x);
  float* const none = nullptr;
  const RowSums<float> s = p            ? row_sums<S, Share::Given>(c, n, x, p, m, none, nullptr)
                           : c.off == 0 ? row_sums<S, Share::None>(c, n, x, p, m, none, nullptr)
                                        : row_sums<S, Share::Weighted>(c, n, x, p, m, none, nullptr);
  sums[0] = m, sums[1] = s.exponentials, sums[2] = s.linear, sums[3] = s.mass;
}

template <class S, Share K>
NNLIB_INLINE void part_grad(const CrossEntropy& c, int64_t n, const typename S::type* x,
                            const typename S::type* p, float m, float k, typename S::type* y) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t left = n - i;
    const bool whole = left >= kWidth;
    Vec g = set1(k) * exp_masked((whole ? S::get(x + i) : S::get(x + i, left)) - set1(m));
    if (K != Share::None) g = fnma(set1(c.scale), share_of<S, K>(c, p, i, left), g);
    whole ? S::put(y + i, g) : S::put(y + i, g, left);
  }
}
template <class S>
NNLIB_INLINE void cross_entropy_part_grad(const CrossEntropy& c, int64_t n, const typename S::type* x,
                                          const typename S::type* p, float m, float k, typename S::type* y) {
  if (p) {
    part_grad<S, Share::Given>(c, n, x, p, m, k, y);
  } else if (c.off == 0) {
    part_grad<S, Share::None>(c, n, x, p, m, k, y);
  } else {
    part_grad<S, Share::Weighted>(c, n, x, p, m, k, y);
  }
}

#define NNLIB_DEFINE_ROWS(suffix, S)                                                                   \
  void cross_entropy_rows_##suffix(const SpecOf<S>* c, int64_t rows, const S::type* x, int64_t ldx,    \
                                   const int64_t* target, const S::type* p, int64_t ldp, S::One* loss, \
                                   S::type* y, int64_t ldy, S::One* scratch, bool stream) {            \
    cross_entropy_rows_any<S>(c, target, rows, x, ldx, p, ldp, loss, y, ldy, scratch, stream);         \
  }
#define NNLIB_DEFINE(suffix, S)                                                                          \
  NNLIB_DEFINE_ROWS(suffix, S)                                                                           \
  void cross_entropy_part_##suffix(const CrossEntropy* c, int64_t n, const S::type* x, const S::type* p, \
                                   float* sums) {                                                        \
    cross_entropy_part<S>(*c, n, x, p, sums);                                                            \
  }                                                                                                      \
  void cross_entropy_part_grad_##suffix(const CrossEntropy* c, int64_t n, const S::type* x,              \
                                        const S::type* p, float m, float k, S::type* y) {                \
    cross_entropy_part_grad<S>(*c, n, x, p, m, k, y);                                                    \
  }
NNLIB_DEFINE(f32, LanesF32)
NNLIB_DEFINE(bf16, LanesBf16)
NNLIB_DEFINE(f16, LanesF16)
NNLIB_DEFINE_ROWS(f64, LanesF64)
#undef NNLIB_DEFINE_ROWS
#undef NNLIB_DEFINE

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
