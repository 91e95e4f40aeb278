// The truth of softmax.inl, in double.
namespace nnlib::kernels::reference {
namespace {

double softmax_largest(int64_t n, const float* x) {
  double m = -INFINITY;
  for (int64_t i = 0; i < n; ++i) m = x[i] > m || x[i] != x[i] ? x[i] : m;
  return m;
}

void softmax_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const double m = softmax_largest(n, x);
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i] - m);
    for (int64_t i = 0; i < n; ++i) y[i] = float(::exp(x[i] - m) / total);
  }
}

void log_softmax_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const double m = softmax_largest(n, x);
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i] - m);
    for (int64_t i = 0; i < n; ++i) y[i] = float(x[i] - m - ::log(total));
  }
}

void softmax_grad_rows_f32(int64_t rows, int64_t n, const float* g, const float* y, float* out) {
  for (int64_t r = 0; r < rows; ++r, g += n, y += n, out += n) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += double(g[i]) * y[i];
    for (int64_t i = 0; i < n; ++i) out[i] = float((g[i] - total) * y[i]);
  }
}

void log_softmax_grad_rows_f32(int64_t rows, int64_t n, const float* g, const float* y, float* out) {
  for (int64_t r = 0; r < rows; ++r, g += n, y += n, out += n) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += g[i];
    for (int64_t i = 0; i < n; ++i) out[i] = float(g[i] - ::exp(double(y[i])) * total);
  }
}

void softmax_cols_f32(int64_t n, int64_t ld, int64_t w, const float* x, float* y) {
  for (int64_t j = 0; j < w; ++j) {
    double m = -INFINITY, total = 0;
    for (int64_t i = 0; i < n; ++i) m = x[i * ld + j] > m ? x[i * ld + j] : m;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i * ld + j] - m);
    for (int64_t i = 0; i < n; ++i) y[i * ld + j] = float(::exp(x[i * ld + j] - m) / total);
  }
}

void log_softmax_cols_f32(int64_t n, int64_t ld, int64_t w, const float* x, float* y) {
  for (int64_t j = 0; j < w; ++j) {
    double m = -INFINITY, total = 0;
    for (int64_t i = 0; i < n; ++i) m = x[i * ld + j] > m ? x[i * ld + j] : m;
    for (int64_t i = 0; i < n; ++i) total += ::exp(x[i * ld + j] - m);
    for (int64_t i = 0; i < n; ++i) y[i * ld + j] = float(x[i * ld + j] - m - ::log(total));
  }
}

void softmax_grad_cols_f32(int64_t n, int64_t ld, int64_t w, const float* g, const float* y, float* out) {
  for (int64_t j = 0; j < w; ++j) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += double(g[i * ld + j]) * y[i * ld + j];
    for (int64_t i = 0; i < n; ++i) out[i * ld + j] = float((g[i * ld + j] - total) * y[i * ld + j]);
  }
}

void log_softmax_grad_cols_f32(int64_t n, int64_t ld, int64_t w, const float* g, const float* y, float* out) {
  for (int64_t j = 0; j < w; ++j) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += g[i * ld + j];
    for (int64_t i = 0; i < n; ++i)
      out[i * ld + j] = float(g[i * ld + j] - ::exp(double(y[i * ld + j])) * total);
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
