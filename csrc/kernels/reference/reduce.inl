// The truth of reduce.inl.
namespace nnlib::kernels::reference {
namespace {

double sum_f32(int64_t n, const float* x) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += x[i];
  return total;
}

void sum_rows_f32(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < cols; ++j) acc[j] += x[r * ld + j];
}

}  // namespace
}  // namespace nnlib::kernels::reference
