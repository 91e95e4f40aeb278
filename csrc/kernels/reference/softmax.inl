// The truth of softmax.inl, in double.
namespace nnlib::kernels::reference {
namespace {

template <class T>
double softmax_largest(int64_t n, const T* x) {
  double m = -INFINITY;
  for (int64_t i = 0; i < n; ++i) m = x[i] > m || x[i] != x[i] ? x[i] : m;
  return m;
}

template <class T>
void softmax_rows(int64_t rows, int64_t n, const T* x, T* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const double m = softmax_largest(n, x);
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i] - m);
    for (int64_t i = 0; i < n; ++i) y[i] = T(::exp(x[i] - m) / total);
  }
}

template <class T>
void log_softmax_rows(int64_t rows, int64_t n, const T* x, T* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const double m = softmax_largest(n, x);
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i] - m);
    for (int64_t i = 0; i < n; ++i) y[i] = T(x[i] - m - ::log(total));
  }
}

template <class T>
void softmax_grad_rows(int64_t rows, int64_t n, const T* g, const T* y, T* out) {
  for (int64_t r = 0; r < rows; ++r, g += n, y += n, out += n) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += double(g[i]) * y[i];
    for (int64_t i = 0; i < n; ++i) out[i] = T((g[i] - total) * y[i]);
  }
}

template <class T>
void log_softmax_grad_rows(int64_t rows, int64_t n, const T* g, const T* y, T* out) {
  for (int64_t r = 0; r < rows; ++r, g += n, y += n, out += n) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += g[i];
    for (int64_t i = 0; i < n; ++i) out[i] = T(g[i] - ::exp(double(y[i])) * total);
  }
}

template <class T>
void softmax_cols(int64_t n, int64_t ld, int64_t w, const T* x, T* y) {
  for (int64_t j = 0; j < w; ++j) {
    double m = -INFINITY, total = 0;
    for (int64_t i = 0; i < n; ++i) m = x[i * ld + j] > m ? x[i * ld + j] : m;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i * ld + j] - m);
    for (int64_t i = 0; i < n; ++i) y[i * ld + j] = T(::exp(x[i * ld + j] - m) / total);
  }
}

template <class T>
void log_softmax_cols(int64_t n, int64_t ld, int64_t w, const T* x, T* y) {
  for (int64_t j = 0; j < w; ++j) {
    double m = -INFINITY, total = 0;
    for (int64_t i = 0; i < n; ++i) m = x[i * ld + j] > m ? x[i * ld + j] : m;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i * ld + j] - m);
    for (int64_t i = 0; i < n; ++i) y[i * ld + j] = T(x[i * ld + j] - m - ::log(total));
  }
}

template <class T>
void softmax_grad_cols(int64_t n, int64_t ld, int64_t w, const T* g, const T* y, T* out) {
  for (int64_t j = 0; j < w; ++j) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += double(g[i * ld + j]) * y[i * ld + j];
    for (int64_t i = 0; i < n; ++i) out[i * ld + j] = T((g[i * ld + j] - total) * y[i * ld + j]);
  }
}

template <class T>
void log_softmax_grad_cols(int64_t n, int64_t ld, int64_t w, const T* g, const T* y, T* out) {
  for (int64_t j = 0; j < w; ++j) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += g[i * ld + j];
    for (int64_t i = 0; i < n; ++i) out[i * ld + j] = T(g[i * ld + j] - ::exp(double(y[i * ld + j])) * total);
  }
}

#define NNLIB_EACH(name)                     \
  constexpr auto* name##_f32 = &name<float>; \
  constexpr auto* name##_f64 = &name<double>;
NNLIB_EACH(softmax_rows)
NNLIB_EACH(log_softmax_rows)
NNLIB_EACH(softmax_grad_rows)
NNLIB_EACH(log_softmax_grad_rows)
NNLIB_EACH(softmax_cols)
NNLIB_EACH(log_softmax_cols)
NNLIB_EACH(softmax_grad_cols)
NNLIB_EACH(log_softmax_grad_cols)
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::reference
