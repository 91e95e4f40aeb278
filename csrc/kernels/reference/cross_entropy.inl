// The truth of cross_entropy.inl, in double.
#pragma once

namespace nnlib::kernels::reference {
namespace {

float logsumexp_f32(int64_t n, const float* x) {
  double m = -INFINITY;
  for (int64_t i = 0; i < n; ++i) m = x[i] > m ? x[i] : m;
  if (m - m != 0) m = 0;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += ::exp(x[i] - m);
  return float(::log(sum) + m);
}

void softmax_grad_f32(int64_t n, const float* x, float lse, float scale, float shift, const float* w,
                      float* y, bool) {
  for (int64_t i = 0; i < n; ++i)
    y[i] = float(scale * ::exp(double(x[i]) - lse) - double(shift) * (w ? w[i] : 1));
}

}  // namespace
}  // namespace nnlib::kernels::reference
