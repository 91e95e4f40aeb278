// The truth of reduce.inl.
namespace nnlib::kernels::reference {
namespace {

double sum_f32(int64_t n, const float* x) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += x[i];
  return total;
}

double sum_squares_f32(int64_t n, const float* x, float shift) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += (double(x[i]) - shift) * (double(x[i]) - shift);
  return total;
}

float max_f32(int64_t n, const float* x) {
  float m = -INFINITY;
  for (int64_t i = 0; i < n; ++i) m = m != m || m > x[i] ? m : x[i];
  return m;
}
float min_f32(int64_t n, const float* x) {
  float m = INFINITY;
  for (int64_t i = 0; i < n; ++i) m = m != m || m < x[i] ? m : x[i];
  return m;
}

void sum_rows_f32(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < cols; ++j) acc[j] += x[r * ld + j];
}

}  // namespace
}  // namespace nnlib::kernels::reference
