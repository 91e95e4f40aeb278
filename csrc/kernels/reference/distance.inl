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

}  // namespace
}  // namespace nnlib::kernels::reference
