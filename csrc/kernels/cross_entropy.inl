// Rows of a cross-entropy: losses, and the gradient in the same pass over memory. A row is read once from
// memory; its exponentials wait in scratch, in the nearest cache that holds them.
#pragma once
#include "cross_entropy.h"
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The element types of scores; arithmetic is in float.
struct ScoresF32 {
  using type = float;
  static NNLIB_INLINE Vec get(const float* p) { return load(p); }
  static NNLIB_INLINE Vec get(const float* p, int64_t n) { return load_n(p, n); }
  static NNLIB_INLINE void put(float* p, Vec a) { store(p, a); }
  static NNLIB_INLINE void put(float* p, Vec a, int64_t n) { store_n(p, a, n); }
};
struct ScoresBf16 {
  using type = uint16_t;
  static NNLIB_INLINE Vec get(const uint16_t* p) { return load_bf16(p); }
  static NNLIB_INLINE Vec get(const uint16_t* p, int64_t n) { return load_bf16_n(p, n); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a) { store_bf16(p, a); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a, int64_t n) { store_bf16_n(p, a, n); }
};
struct ScoresF16 {
  using type = uint16_t;
  static NNLIB_INLINE Vec get(const uint16_t* p) { return load_f16(p); }
  static NNLIB_INLINE Vec get(const uint16_t* p, int64_t n) { return load_f16_n(p, n); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a) { store_f16(p, a); }
  static NNLIB_INLINE void put(uint16_t* p, Vec a, int64_t n) { store_f16_n(p, a, n); }
};
template <class S>
NNLIB_INLINE float get_one(const typename S::type* p) {
  return reduce_add(S::get(p, 1));
}
template <>
NNLIB_INLINE float get_one<ScoresF32>(const float* p) {
  return *p;
}
template <class S>
NNLIB_INLINE void put_one(typename S::type* p, float x) {
  S::put(p, set1(x), 1);
}
template <>
NNLIB_INLINE void put_one<ScoresF32>(float* p, float x) {
  *p = x;
}

NNLIB_INLINE Mask first_lanes(int64_t n) { return lt(iota(), set1i(n < kWidth ? int32_t(n) : kWidth)); }

// How the share q_j of each class is made.
enum class Share { None, Even, Weighted, Given };

template <class S, Share K>
NNLIB_INLINE Vec share_of(const CrossEntropy& c, const typename S::type* p, int64_t i, int64_t k) {
  if (K == Share::Even) return set1(c.off);
  const bool whole = k >= kWidth;
  const Vec w = !c.weight ? set1(1.f) : whole ? load(c.weight + i) : load_n(c.weight + i, k);
  if (K == Share::Weighted) return w * set1(c.off);
  return w * fma(set1(c.on), whole ? S::get(p + i) : S::get(p + i, k), set1(c.off));
}

// The largest value; NaN is left to the sum that follows.
template <class S>
NNLIB_INLINE float largest(int64_t n, const typename S::type* x) {
  Vec m[4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) m[v] = set1(-INFINITY);
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) m[v] = max(S::get(x + i + v * kWidth), m[v]);
  }
  for (; i + kWidth <= n; i += kWidth) m[0] = max(S::get(x + i), m[0]);
  if (i < n) m[1] = max(select(first_lanes(n - i), S::get(x + i, n - i), m[1]), m[1]);
  return reduce_max(max(max(m[0], m[1]), max(m[2], m[3])));
}

struct RowSums {
  float exponentials, linear, mass;  // sum e^(x - m), sum q (x - m), sum q
};

// The sums of a row whose largest value is m; e (may be null) takes the exponentials. Each step also asks for
// the values at `next`, which the caller wants afterwards (may be null).
template <class S, Share K>
NNLIB_INLINE RowSums row_sums(const CrossEntropy& c, int64_t n, const typename S::type* x,
                              const typename S::type* p, float m, float* e, const typename S::type* next) {
  const Vec shift = set1(m);
  Vec a = zero(), b = zero(), linear = zero(), mass = zero();
  const auto step = [&](int64_t i) {
    const Vec d = S::get(x + i) - shift, y = exp_below(d);
    if (e) store(e + i, y);
    if (K != Share::None) {
      const Vec q = share_of<S, K>(c, p, i, kWidth);
      linear = fma(q, d, linear);
      if (K != Share::Even) mass = mass + q;
    }
    return y;
  };
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    if (next) prefetch(next + i);
    a = a + step(i);
    b = b + step(i + kWidth);
  }
  if (i + kWidth <= n) {
    a = a + step(i);
    i += kWidth;
  }
  if (i < n) {
    const int64_t k = n - i;
    const Mask in = first_lanes(k);
    const Vec d = select(in, S::get(x + i, k) - shift, zero()), y = select(in, exp_below(d), zero());
    if (e) store_n(e + i, y, k);
    b = b + y;
    if (K != Share::None) {
      const Vec q = select(in, share_of<S, K>(c, p, i, k), zero());
      linear = fma(q, d, linear);
      if (K != Share::Even) mass = mass + q;
    }
  }
  return {reduce_add(a + b), reduce_add(linear), K == Share::Even ? c.off * float(n) : reduce_add(mass)};
}

// y[i] = k e[i] - scale q_i for first <= i < last; streaming takes whole cache lines of float past the
// caches.
template <class S, Share K>
NNLIB_INLINE void put_gradient(const CrossEntropy& c, int64_t first, int64_t last, const float* e,
                               const typename S::type* p, float k, typename S::type* y, bool streaming) {
  const Vec factor = set1(k), scale = set1(c.scale);
  const auto value = [&](int64_t i, int64_t left) {
    const Vec g = factor * (left >= kWidth ? load(e + i) : load_n(e + i, left));
    return K == Share::None ? g : fnma(scale, share_of<S, K>(c, p, i, left), g);
  };
  int64_t i = first;
  if constexpr (sizeof(typename S::type) == sizeof(float)) {
    if (streaming) {
      constexpr int64_t kLine = 64 / sizeof(float);
      const int64_t ahead = first + int64_t((0 - uintptr_t(y + first)) % 64 / sizeof(float));
      for (const int64_t head = ahead < last ? ahead : last; i < head; i += kWidth)
        store_n(y + i, value(i, head - i), head - i);
      if (i > ahead) i = ahead;
      for (; i + kLine <= last; i += kLine) {
#pragma GCC unroll 16
        for (int64_t v = 0; v < kLine; v += kWidth) stream(y + i + v, value(i + v, kWidth));
      }
    }
  }
  for (; i + kWidth <= last; i += kWidth) S::put(y + i, value(i, kWidth));
  if (i < last) S::put(y + i, value(i, last - i), last - i);
}

// The whole gradient row, at its class t (-1: none) less d. The line of t is not streamed.
template <class S, Share K>
NNLIB_INLINE void gradient_row(const CrossEntropy& c, const float* e, const typename S::type* p, float k,
                               int64_t t, float d, typename S::type* y, bool streaming) {
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
  const float share = K == Share::None ? 0.f : c.off * (c.weight ? c.weight[t] : 1.f);
  put_one<S>(y + t, k * e[t] - c.scale * share - d);
}

template <class S, Share K>
void cross_entropy_rows(const CrossEntropy& c, const int64_t* target, int64_t rows, const typename S::type* x,
                        int64_t ldx, const typename S::type* p, int64_t ldp, float* loss, typename S::type* y,
                        int64_t ldy, float* e, bool streaming) {
  const int64_t n = c.classes;
  for (int64_t r = 0; r < rows; ++r, x += ldx, p += K == Share::Given ? ldp : 0) {
    const int64_t t = K == Share::Given ? -1 : target[r];
    typename S::type* out = y ? y + r * ldy : nullptr;
    if (K != Share::Given && t == c.ignore_index) {
      loss[r] = 0;
      if (out) memset(out, 0, size_t(n) * sizeof *out);
      continue;
    }
    const float m = largest<S>(n, x);
    const RowSums s = row_sums<S, K>(c, n, x, p, m, out ? e : nullptr, r + 1 < rows ? x + ldx : nullptr);
    const float log_sum = logf(s.exponentials);
    const float of_class = K == Share::Given ? 0.f : c.on * (c.weight ? c.weight[t] : 1.f);
    float l = K == Share::Given ? 0.f : of_class * (log_sum + (m - get_one<S>(x + t)));
    if (K != Share::None) l += s.mass * log_sum - s.linear;
    loss[r] = l;
    if (out) {
      const float whole = of_class + (K == Share::None ? 0.f : s.mass);
      gradient_row<S, K>(c, e, p, c.scale * whole / s.exponentials, t, c.scale * of_class, out, streaming);
    }
  }
  if (y && streaming) fence();
}

// One function for each way of sharing.
template <class S, class... A>
NNLIB_INLINE void cross_entropy_rows_any(const CrossEntropy* c, const int64_t* target, A... rest) {
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
  const RowSums s = p            ? row_sums<S, Share::Given>(c, n, x, p, m, nullptr, nullptr)
                    : c.off == 0 ? row_sums<S, Share::None>(c, n, x, p, m, nullptr, nullptr)
                                 : row_sums<S, Share::Weighted>(c, n, x, p, m, nullptr, nullptr);
  sums[0] = m, sums[1] = s.exponentials, sums[2] = s.linear, sums[3] = s.mass;
}

template <class S, Share K>
NNLIB_INLINE void part_grad(const CrossEntropy& c, int64_t n, const typename S::type* x,
                            const typename S::type* p, float m, float k, typename S::type* y) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t left = n - i;
    const bool whole = left >= kWidth;
    Vec g = set1(k) * exp_below((whole ? S::get(x + i) : S::get(x + i, left)) - set1(m));
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

#define NNLIB_DEFINE(suffix, S)                                                                          \
  void cross_entropy_rows_##suffix(const CrossEntropy* c, int64_t rows, const S::type* x, int64_t ldx,   \
                                   const int64_t* target, const S::type* p, int64_t ldp, float* loss,    \
                                   S::type* y, int64_t ldy, float* scratch, bool stream) {               \
    cross_entropy_rows_any<S>(c, target, rows, x, ldx, p, ldp, loss, y, ldy, scratch, stream);           \
  }                                                                                                      \
  void cross_entropy_part_##suffix(const CrossEntropy* c, int64_t n, const S::type* x, const S::type* p, \
                                   float* sums) {                                                        \
    cross_entropy_part<S>(*c, n, x, p, sums);                                                            \
  }                                                                                                      \
  void cross_entropy_part_grad_##suffix(const CrossEntropy* c, int64_t n, const S::type* x,              \
                                        const S::type* p, float m, float k, S::type* y) {                \
    cross_entropy_part_grad<S>(*c, n, x, p, m, k, y);                                                    \
  }
NNLIB_DEFINE(f32, ScoresF32)
NNLIB_DEFINE(bf16, ScoresBf16)
NNLIB_DEFINE(f16, ScoresF16)
#undef NNLIB_DEFINE

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
