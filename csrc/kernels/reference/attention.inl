// The truth of attention.inl.
namespace nnlib::kernels::reference {
namespace {

void attention_softmax_f32(int64_t n, int64_t width, float* s, float* state, int64_t rows, float* out) {
  for (int64_t c = 0; c < width; ++c) {
    float largest = state[c];
    for (int64_t i = 0; i < n; ++i) largest = s[i * width + c] > largest ? s[i * width + c] : largest;
    const double shift = largest == -INFINITY ? 0 : largest;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double e = ::exp(s[i * width + c] - shift);
      s[i * width + c] = float(e);
      sum += e;
    }
    const double factor = ::exp(state[c] - shift);
    state[c] = largest;
    state[width + c] = float(state[width + c] * factor + sum);
    for (int64_t r = 0; r < rows; ++r) out[r * width + c] = float(out[r * width + c] * factor);
  }
}

void attention_probability_f32(int64_t rows, int64_t width, int64_t ld, float* s, const float* maxima,
                               const float* factors, bool by_column) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      float& x = s[i * ld + j];
      const int64_t at = by_column ? j : i;
      x = float(::exp(double(x) - maxima[at]) * factors[at]);
    }
  }
}

void attention_dot_f32(int64_t n, int64_t width, const float* x, const float* y, float* out) {
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += double(x[i * width + c]) * y[i * width + c];
    out[c] = float(sum);
  }
}

void attention_mask_f32(int64_t n, int64_t w, const uint8_t* m, int64_t ms, float* s, int64_t ld) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < w; ++j) s[i * ld + j] += m[j * ms + i] ? 0.f : -INFINITY;
}

void attention_grad_f32(int64_t rows, int64_t width, int64_t ld, const float* p, const float* dot, float* g,
                        bool by_column) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      const int64_t at = i * ld + j;
      g[at] = float(double(p[at]) * (double(g[at]) - dot[by_column ? j : i]));
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
