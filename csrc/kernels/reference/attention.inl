// The truth of attention.inl.
namespace nnlib::kernels::reference {
namespace {

template <class T>
void running_softmax(int64_t n, int64_t width, T* s, T* state, int64_t rows, T* out) {
  for (int64_t c = 0; c < width; ++c) {
    T largest = state[c];
    for (int64_t i = 0; i < n; ++i) largest = s[i * width + c] > largest ? s[i * width + c] : largest;
    const double shift = largest == -INFINITY ? 0 : largest;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double e = ::exp(s[i * width + c] - shift);
      s[i * width + c] = T(e);
      sum += e;
    }
    const double factor = ::exp(state[c] - shift);
    state[c] = largest;
    state[width + c] = T(state[width + c] * factor + sum);
    for (int64_t r = 0; r < rows; ++r) out[r * width + c] = T(out[r * width + c] * factor);
  }
}
template <class T>
void probabilities(int64_t rows, int64_t width, int64_t ld, T* s, const T* maxima, const T* factors,
                   bool by_column) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      T& x = s[i * ld + j];
      const int64_t at = by_column ? j : i;
      x = T(::exp(double(x) - maxima[at]) * factors[at]);
    }
  }
}
template <class T>
void column_dots(int64_t n, int64_t width, const T* x, const T* y, T* out) {
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += double(x[i * width + c]) * y[i * width + c];
    out[c] = T(sum);
  }
}
#define NNLIB_ATTENTION(suffix, T)                                                                    \
  void attention_softmax_##suffix(int64_t n, int64_t width, T* s, T* state, int64_t rows, T* out) {   \
    running_softmax(n, width, s, state, rows, out);                                                   \
  }                                                                                                   \
  void attention_probability_##suffix(int64_t rows, int64_t width, int64_t ld, T* s, const T* maxima, \
                                      const T* factors, bool by_column) {                             \
    probabilities(rows, width, ld, s, maxima, factors, by_column);                                    \
  }                                                                                                   \
  void attention_dot_##suffix(int64_t n, int64_t width, const T* x, const T* y, T* out) {             \
    column_dots(n, width, x, y, out);                                                                 \
  }
NNLIB_ATTENTION(f32, float)
NNLIB_ATTENTION(f64, double)
#undef NNLIB_ATTENTION

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
