// The truth of conv.inl: sums in double, rounded once.
#pragma once

namespace nnlib::kernels::reference {
namespace {

void depthwise_f32(int64_t rows, int64_t cols, int64_t kh, int64_t kw, const float* x, int64_t row_step,
                   int64_t col_step, int64_t tap_row, int64_t tap_col, const float* w, float bias, float* y,
                   int64_t ldy) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      double sum = bias;
      for (int64_t p = 0; p < kh; ++p) {
        for (int64_t q = 0; q < kw; ++q) {
          sum += double(w[p * kw + q]) * x[i * row_step + j * col_step + p * tap_row + q * tap_col];
        }
      }
      y[i * ldy + j] = float(sum);
    }
  }
}

void depthwise_wgrad_f32(int64_t rows, int64_t cols, int64_t kh, int64_t kw, const float* x, int64_t row_step,
                         int64_t col_step, int64_t tap_row, int64_t tap_col, const float* gy, int64_t ldy,
                         float* gw) {
  for (int64_t p = 0; p < kh; ++p) {
    for (int64_t q = 0; q < kw; ++q) {
      double sum = gw[p * kw + q];
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < cols; ++j) {
          sum += double(gy[i * ldy + j]) * x[i * row_step + j * col_step + p * tap_row + q * tap_col];
        }
      }
      gw[p * kw + q] = float(sum);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
