// Scores of attention: the running softmax of a block, down its columns, and its gradient.
#pragma once
#include "lane_types.h"
#include "vmath.inl"
#include "vmath_double.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// One column: a row of scores that lies contiguously.
NNLIB_INLINE float exp_of(float x) { return expf(x); }
NNLIB_INLINE double exp_of(double x) { return __builtin_exp(x); }
template <class L>
NNLIB_INLINE typename L::One attention_softmax_row(int64_t n, typename L::type* s, typename L::type* state) {
  using V = typename L::V;
  using One = typename L::One;
  V a = L::splat(state[0]), b = a;
  int64_t i = 0;
  for (; i + 2 * L::kLanes <= n; i += 2 * L::kLanes) {
    a = max(L::get(s + i), a);
    b = max(L::get(s + i + L::kLanes), b);
  }
  for (; i < n; i += L::kLanes) a = select(lanes_below(V(), n - i), max(L::get(s + i, n - i), a), a);
  const One largest = reduce_max(max(a, b));
  const V shift = L::splat(largest == -INFINITY ? One(0) : largest);  // nothing may be looked at yet
  V s0 = L::splat(0), s1 = L::splat(0);
  for (i = 0; i + 2 * L::kLanes <= n; i += 2 * L::kLanes) {
    const V e0 = exp_masked(L::get(s + i) - shift), e1 = exp_masked(L::get(s + i + L::kLanes) - shift);
    L::put(s + i, e0);
    L::put(s + i + L::kLanes, e1);
    s0 = s0 + e0;
    s1 = s1 + e1;
  }
  for (; i < n; i += L::kLanes) {
    const V e = exp_masked(L::get(s + i, n - i) - shift);
    L::put(s + i, e, n - i);
    s0 = s0 + select(lanes_below(V(), n - i), e, L::splat(0));
  }
  const One factor = exp_of(state[0] - (largest == -INFINITY ? One(0) : largest));
  state[1] = state[1] * factor + reduce_add(s0 + s1);
  state[0] = largest;
  return factor;
}

// w <= L::kLanes neighbouring columns (Milakov and Gimelshein, "Online normalizer calculation for softmax",
// 2018).
template <class L>
NNLIB_INLINE void attention_softmax_columns(int64_t n, int64_t width, int64_t w, typename L::type* s,
                                            typename L::type* maxima, typename L::type* sums, int64_t rows,
                                            typename L::type* out) {
  using T = typename L::type;
  using V = typename L::V;
  const auto at = [w](const T* p) { return w == L::kLanes ? L::get(p) : L::get(p, w); };
  const auto put = [w](T* p, V v) {
    if (w == L::kLanes)
      L::put(p, v);
    else
      L::put(p, v, w);
  };
  const V before = at(maxima);
  V a = before, b = before;
  int64_t i = 0;
  for (; i + 2 <= n; i += 2) {
    a = max(at(s + i * width), a);
    b = max(at(s + (i + 1) * width), b);
  }
  if (i < n) a = max(at(s + i * width), a);
  const V top = max(a, b), shift = select(eq(top, L::splat(-INFINITY)), L::splat(0), top);
  V s0 = L::splat(0), s1 = L::splat(0);
  for (i = 0; i + 2 <= n; i += 2) {
    const V e0 = exp_masked(at(s + i * width) - shift), e1 = exp_masked(at(s + (i + 1) * width) - shift);
    put(s + i * width, e0);
    put(s + (i + 1) * width, e1);
    s0 = s0 + e0;
    s1 = s1 + e1;
  }
  if (i < n) {
    const V e = exp_masked(at(s + i * width) - shift);
    put(s + i * width, e);
    s0 = s0 + e;
  }
  const V factor = exp_masked(before - shift);
  put(maxima, top);
  put(sums, fma(at(sums), factor, s0 + s1));
  for (int64_t r = 0; r < rows; ++r) put(out + r * width, at(out + r * width) * factor);
}

template <class L, class T = typename L::type>
NNLIB_INLINE void attention_softmax(int64_t n, int64_t width, T* s, T* state, int64_t rows, T* out) {
  if (width == 1) {
    const T factor = attention_softmax_row<L>(n, s, state);
    for (int64_t r = 0; r < rows; ++r) out[r] *= factor;
    return;
  }
  for (int64_t c = 0; c < width; c += L::kLanes)
    attention_softmax_columns<L>(n, width, width - c < L::kLanes ? width - c : L::kLanes, s + c, state + c,
                                 state + width + c, rows, out + c);
}
void attention_softmax_f32(int64_t n, int64_t width, float* s, float* state, int64_t rows, float* out) {
  attention_softmax<LanesF32>(n, width, s, state, rows, out);
}
void attention_softmax_f64(int64_t n, int64_t width, double* s, double* state, int64_t rows, double* out) {
  attention_softmax<LanesF64>(n, width, s, state, rows, out);
}

// s = e^(s - maximum) * factor: the probabilities, from what each row, or each column, was divided by.
template <class L, class T = typename L::type>
NNLIB_INLINE void attention_probability(int64_t rows, int64_t width, int64_t ld, T* s, const T* maxima,
                                        const T* factors, bool by_column) {
  using V = typename L::V;
  if (by_column) {
    for (int64_t c = 0; c < width; c += L::kLanes) {
      const int64_t w = width - c;
      const V shift = L::get(maxima + c, w), factor = L::get(factors + c, w);
      T* p = s + c;
      for (int64_t r = 0; r < rows; ++r, p += ld) {
        if (w >= L::kLanes)
          L::put(p, exp_masked(L::get(p) - shift) * factor);
        else
          L::put(p, exp_masked(L::get(p, w) - shift) * factor, w);
      }
    }
    return;
  }
  for (int64_t r = 0; r < rows; ++r, s += ld) {
    const V shift = L::splat(maxima[r]), factor = L::splat(factors[r]);
    int64_t i = 0;
    for (; i + L::kLanes <= width; i += L::kLanes) L::put(s + i, exp_masked(L::get(s + i) - shift) * factor);
    if (i < width) L::put(s + i, exp_masked(L::get(s + i, width - i) - shift) * factor, width - i);
  }
}
void attention_probability_f32(int64_t rows, int64_t width, int64_t ld, float* s, const float* maxima,
                               const float* factors, bool by_column) {
  attention_probability<LanesF32>(rows, width, ld, s, maxima, factors, by_column);
}
void attention_probability_f64(int64_t rows, int64_t width, int64_t ld, double* s, const double* maxima,
                               const double* factors, bool by_column) {
  attention_probability<LanesF64>(rows, width, ld, s, maxima, factors, by_column);
}

template <class L, class T = typename L::type>
NNLIB_INLINE void attention_dot(int64_t n, int64_t width, const T* x, const T* y, T* out) {
  for (int64_t c = 0; c < width; c += L::kLanes) {
    const int64_t w = width - c;
    typename L::V sum = L::splat(0);
    for (int64_t i = 0; i < n; ++i)
      sum = fma(L::get(x + i * width + c, w), L::get(y + i * width + c, w), sum);
    L::put(out + c, sum, w);
  }
}
void attention_dot_f32(int64_t n, int64_t width, const float* x, const float* y, float* out) {
  attention_dot<LanesF32>(n, width, x, y, out);
}
void attention_dot_f64(int64_t n, int64_t width, const double* x, const double* y, double* out) {
  attention_dot<LanesF64>(n, width, x, y, out);
}

// What a bool mask adds: four bytes of a query, neighbouring keys, move through the transposition as one
// number.
void attention_mask_f32(int64_t n, int64_t w, const uint8_t* m, int64_t ms, float* s, int64_t ld) {
  constexpr int64_t kKeys = 4 * kWidth;
  const IVec one = set1i(1), minus_infinity = set1i(int32_t(0xff800000));
  for (int64_t c = 0; c < w; c += kWidth) {
    const int64_t queries = w - c < kWidth ? w - c : kWidth;
    for (int64_t i = 0; i < n; i += kKeys) {
      const int64_t keys = n - i < kKeys ? n - i : kKeys;
      Vec r[kWidth];
      IVec all = set1i(0x01010101);
#pragma GCC unroll 16
      for (int q = 0; q < kWidth; ++q) {
        r[q] = as_float(set1i(0x01010101));
        if (q < queries) memcpy(&r[q], m + (c + q) * ms + i, keys == kKeys ? kKeys : size_t(keys));
        all = all & as_int(r[q]);
      }
      if (bits(eq(all, set1i(0x01010101))) == (uint32_t(1) << kWidth) - 1) continue;
      transpose(r);
#pragma GCC unroll 16
      for (int k = 0; k < kWidth; ++k) {
        IVec four = as_int(r[k]);
        for (int64_t b = 4 * k; b < 4 * k + 4 && b < keys; ++b, four = shr_logical<8>(four)) {
          float* to = s + (i + b) * ld + c;
          const Vec added = as_float(((four & one) - one) & minus_infinity);
          if (queries == kWidth)
            store(to, load(to) + added);
          else
            store_n(to, load_n(to, queries) + added, queries);
        }
      }
    }
  }
}

// g = p (g - dot): the gradient of the scores from that of the probabilities; a dot for each row or column.
void attention_grad_f32(int64_t rows, int64_t width, int64_t ld, const float* p, const float* dot, float* g,
                        bool by_column) {
  for (int64_t r = 0; r < rows; ++r, p += ld, g += ld) {
    const Vec of_row = set1(by_column ? 0.f : dot[r]);
    int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth)
      store(g + i, load(p + i) * (load(g + i) - (by_column ? load(dot + i) : of_row)));
    if (i < width) {
      const Vec d = by_column ? load_n(dot + i, width - i) : of_row;
      store_n(g + i, load_n(p + i, width - i) * (load_n(g + i, width - i) - d), width - i);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
