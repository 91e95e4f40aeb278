// Rows of attention scores: the running softmax of a block and its gradient.
#pragma once
#include "vec.h"
#include "vmath.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// state = { maximum so far, sum of exponentials so far }. s becomes e^(s - new maximum); returns the factor
// by which what was made with the old maximum has to be multiplied (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018).
float attention_softmax_f32(int64_t n, float* s, float* state) {
  Vec m = set1(state[0]);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) m = max(load(s + i), m);
  if (i < n) m = select(lt(iota(), set1i(int32_t(n - i))), max(load_n(s + i, n - i), m), m);
  const float largest = reduce_max(m);
  if (largest == -INFINITY) {  // nothing may be looked at yet
    for (int64_t j = 0; j < n; j += kWidth) store_n(s + j, zero(), n - j);
    return 1.f;
  }
  const Vec shift = set1(largest);
  Vec s0 = zero(), s1 = zero();
  for (i = 0; i + 2 * kWidth <= n; i += 2 * kWidth) {
    const Vec a = exp(load(s + i) - shift), b = exp(load(s + i + kWidth) - shift);
    store(s + i, a);
    store(s + i + kWidth, b);
    s0 = s0 + a;
    s1 = s1 + b;
  }
  for (; i < n; i += kWidth) {
    const Vec a = exp(load_n(s + i, n - i) - shift);
    store_n(s + i, a, n - i);
    s0 = s0 + select(lt(iota(), set1i(n - i < kWidth ? int32_t(n - i) : kWidth)), a, zero());
  }
  const float factor = expf(state[0] - largest);
  state[1] = state[1] * factor + reduce_add(s0 + s1);
  state[0] = largest;
  return factor;
}

// s = e^(s - log_sum): the probabilities, from the logarithm of the row's sum of exponentials.
void attention_probability_f32(int64_t n, float* s, float log_sum) {
  const Vec shift = set1(log_sum);
  for (int64_t i = 0; i < n; i += kWidth) store_n(s + i, exp(load_n(s + i, n - i) - shift), n - i);
}

// grad = scale p (grad - dot): the gradient of the scores from that of the probabilities.
void attention_grad_f32(int64_t n, const float* p, float dot, float scale, float* grad) {
  const Vec d = set1(dot), f = set1(scale);
  for (int64_t i = 0; i < n; i += kWidth) {
    store_n(grad + i, f * load_n(p + i, n - i) * (load_n(grad + i, n - i) - d), n - i);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
