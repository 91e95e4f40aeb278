// Scores of attention: the running softmax of a block, down its columns, and its gradient.
#pragma once
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// One column: a row of scores that lies contiguously.
NNLIB_INLINE float attention_softmax_row(int64_t n, float* s, float* state) {
  Vec a = set1(state[0]), b = a;
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    a = max(load(s + i), a);
    b = max(load(s + i + kWidth), b);
  }
  for (; i < n; i += kWidth)
    a = select(lt(iota(), set1i(n - i < kWidth ? int32_t(n - i) : kWidth)), max(load_n(s + i, n - i), a), a);
  const float largest = reduce_max(max(a, b));
  const Vec shift = set1(largest == -INFINITY ? 0.f : largest);  // nothing may be looked at yet
  Vec s0 = zero(), s1 = zero();
  for (i = 0; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const Vec e0 = exp_masked(load(s + i) - shift), e1 = exp_masked(load(s + i + kWidth) - shift);
    store(s + i, e0);
    store(s + i + kWidth, e1);
    s0 = s0 + e0;
    s1 = s1 + e1;
  }
  for (; i < n; i += kWidth) {
    const Vec e = exp_masked(load_n(s + i, n - i) - shift);
    store_n(s + i, e, n - i);
    s0 = s0 + select(lt(iota(), set1i(n - i < kWidth ? int32_t(n - i) : kWidth)), e, zero());
  }
  const float factor = expf(state[0] - (largest == -INFINITY ? 0.f : largest));
  state[1] = state[1] * factor + reduce_add(s0 + s1);
  state[0] = largest;
  return factor;
}

// w <= kWidth neighbouring columns (Milakov and Gimelshein, "Online normalizer calculation for softmax",
// 2018).
NNLIB_INLINE void attention_softmax_columns(int64_t n, int64_t width, int64_t w, float* s, float* maxima,
                                            float* sums, int64_t rows, float* out) {
  const auto at = [w](const float* p) { return w == kWidth ? load(p) : load_n(p, w); };
  const auto put = [w](float* p, Vec v) {
    if (w == kWidth)
      store(p, v);
    else
      store_n(p, v, w);
  };
  const Vec before = at(maxima);
  Vec a = before, b = before;
  int64_t i = 0;
  for (; i + 2 <= n; i += 2) {
    a = max(at(s + i * width), a);
    b = max(at(s + (i + 1) * width), b);
  }
  if (i < n) a = max(at(s + i * width), a);
  const Vec top = max(a, b), shift = select(eq(top, set1(-INFINITY)), zero(), top);
  Vec s0 = zero(), s1 = zero();
  for (i = 0; i + 2 <= n; i += 2) {
    const Vec e0 = exp_masked(at(s + i * width) - shift), e1 = exp_masked(at(s + (i + 1) * width) - shift);
    put(s + i * width, e0);
    put(s + (i + 1) * width, e1);
    s0 = s0 + e0;
    s1 = s1 + e1;
  }
  if (i < n) {
    const Vec e = exp_masked(at(s + i * width) - shift);
    put(s + i * width, e);
    s0 = s0 + e;
  }
  const Vec factor = exp_masked(before - shift);
  put(maxima, top);
  put(sums, fma(at(sums), factor, s0 + s1));
  for (int64_t r = 0; r < rows; ++r) put(out + r * width, at(out + r * width) * factor);
}

void attention_softmax_f32(int64_t n, int64_t width, float* s, float* state, int64_t rows, float* out) {
  if (width == 1) {
    const float factor = attention_softmax_row(n, s, state);
    for (int64_t r = 0; r < rows; ++r) out[r] *= factor;
    return;
  }
  for (int64_t c = 0; c < width; c += kWidth)
    attention_softmax_columns(n, width, width - c < kWidth ? width - c : kWidth, s + c, state + c,
                              state + width + c, rows, out + c);
}

// s = e^(s - maximum) * factor: the probabilities, from what each row, or each column, was divided by.
void attention_probability_f32(int64_t rows, int64_t width, int64_t ld, float* s, const float* maxima,
                               const float* factors, bool by_column) {
  if (by_column) {
    for (int64_t c = 0; c < width; c += kWidth) {
      const int64_t w = width - c;
      const Vec shift = load_n(maxima + c, w), factor = load_n(factors + c, w);
      float* p = s + c;
      for (int64_t r = 0; r < rows; ++r, p += ld) {
        if (w >= kWidth)
          store(p, exp_masked(load(p) - shift) * factor);
        else
          store_n(p, exp_masked(load_n(p, w) - shift) * factor, w);
      }
    }
    return;
  }
  for (int64_t r = 0; r < rows; ++r, s += ld) {
    const Vec shift = set1(maxima[r]), factor = set1(factors[r]);
    int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth) store(s + i, exp_masked(load(s + i) - shift) * factor);
    if (i < width) store_n(s + i, exp_masked(load_n(s + i, width - i) - shift) * factor, width - i);
  }
}

void attention_dot_f32(int64_t n, int64_t width, const float* x, const float* y, float* out) {
  for (int64_t c = 0; c < width; c += kWidth) {
    const int64_t w = width - c;
    Vec sum = zero();
    for (int64_t i = 0; i < n; ++i)
      sum = fma(load_n(x + i * width + c, w), load_n(y + i * width + c, w), sum);
    store_n(out + c, sum, w);
  }
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
