// The truth of distance.inl.
namespace nnlib::kernels::reference {
namespace {

void square_distances_f32(int64_t rows, int64_t cols, int64_t m, const float* a, const float* b, int64_t ldb,
                          float* y, int64_t ldy) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < m; ++k) {
        const double d = double(a[i * m + k]) - b[k * ldb + j];
        sum += d * d;
      }
      y[i * ldy + j] = float(sum);
    }
  }
}

template <class T>
void distances_of(int64_t how, int64_t cols, int64_t m, const T* a, const T* b, int64_t ldb, T* y) {
  for (int64_t j = 0; j < cols; ++j) {
    double s = 0;
    for (int64_t k = 0; k < m; ++k) {
      const T d = a[k] - b[k * ldb + j], size = d < 0 ? -d : d;
      s = how == 0                   ? s + (d != 0)
          : how == 1                 ? s + size
          : how == 2                 ? s + double(d) * d
          : size != size || size > s ? size
                                     : s;
    }
    y[j] = T(s);
  }
}
void distances_f32(int64_t how, int64_t cols, int64_t m, const float* a, const float* b, int64_t ldb,
                   float* y) {
  distances_of(how, cols, m, a, b, ldb, y);
}
void distances_f64(int64_t how, int64_t cols, int64_t m, const double* a, const double* b, int64_t ldb,
                   double* y) {
  distances_of(how, cols, m, a, b, ldb, y);
}
template <class T>
T slopes(bool largest, int64_t n, T a, const T* b, const T* dist, const T* g) {
  double s = 0;
  for (int64_t j = 0; j < n; ++j) {
    const T d = a - b[j], size = d < 0 ? -d : d;
    if (!largest || size == dist[j]) s += double(g[j]) * ((d > 0) - (d < 0));
  }
  return T(s);
}
float distance_slopes_f32(bool largest, int64_t n, float a, const float* b, const float* dist,
                          const float* g) {
  return slopes(largest, n, a, b, dist, g);
}
double distance_slopes_f64(bool largest, int64_t n, double a, const double* b, const double* dist,
                           const double* g) {
  return slopes(largest, n, a, b, dist, g);
}

}  // namespace
}  // namespace nnlib::kernels::reference
