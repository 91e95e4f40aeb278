// The truth of attention.inl.
namespace nnlib::kernels::reference {
namespace {

float attention_softmax_f32(int64_t n, float* s, float* state) {
  float largest = state[0];
  for (int64_t i = 0; i < n; ++i) largest = s[i] > largest ? s[i] : largest;
  if (largest == -INFINITY) {
    for (int64_t i = 0; i < n; ++i) s[i] = 0;
    return 1;
  }
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double e = ::exp(double(s[i]) - largest);
    s[i] = float(e);
    sum += e;
  }
  const double factor = ::exp(double(state[0]) - largest);
  state[1] = float(state[1] * factor + sum);
  state[0] = largest;
  return float(factor);
}

void attention_probability_f32(int64_t n, float* s, float log_sum) {
  for (int64_t i = 0; i < n; ++i) s[i] = float(::exp(double(s[i]) - log_sum));
}

void attention_grad_f32(int64_t n, const float* p, float dot, float scale, float* grad) {
  for (int64_t i = 0; i < n; ++i) grad[i] = float(double(scale) * p[i] * (double(grad[i]) - dot));
}

}  // namespace
}  // namespace nnlib::kernels::reference
