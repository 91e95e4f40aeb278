// The truth of transpose.inl.
namespace nnlib::kernels::reference {
namespace {

#define NNLIB_TRANSPOSE(bits)                                                              \
  void transpose_u##bits(int64_t rows, int64_t cols, const uint##bits##_t* x, int64_t ldx, \
                         uint##bits##_t* y, int64_t ldy) {                                 \
    for (int64_t i = 0; i < rows; ++i)                                                     \
      for (int64_t j = 0; j < cols; ++j) y[j * ldy + i] = x[i * ldx + j];                  \
  }
NNLIB_TRANSPOSE(8)
NNLIB_TRANSPOSE(16)
NNLIB_TRANSPOSE(32)
NNLIB_TRANSPOSE(64)
#undef NNLIB_TRANSPOSE

}  // namespace
}  // namespace nnlib::kernels::reference
