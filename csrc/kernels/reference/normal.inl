// The truth of normal.inl, in double.
namespace nnlib::kernels::reference {
namespace {

void box_muller_f32(int64_t blocks, float* x, float mean, float std) {
  for (int64_t b = 0; b < blocks; ++b, x += 16) {
    for (int j = 0; j < 8; ++j) {
      const double radius = sqrt(-2 * log(1 - double(x[j]))), angle = 6.283185307179586 * double(x[j + 8]);
      x[j] = float(radius * cos(angle) * double(std) + double(mean));
      x[j + 8] = float(radius * sin(angle) * double(std) + double(mean));
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
