// The truth of conv.inl and conv_lines.inl: sums in double, rounded once.
#pragma once

namespace nnlib::kernels::reference {
namespace {

constexpr int64_t direct_mr = 4, lines_mr = 4, lines_nr = 8, lines_ld = 64;

void depthwise_f32(int64_t rows, int64_t cols, int64_t taps, const int64_t* offset, const float* x,
                   int64_t row_step, const float* w, float bias, float* y, int64_t ldy) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      double sum = bias;
      for (int64_t t = 0; t < taps; ++t) sum += double(w[t]) * x[offset[t] + i * row_step + j];
      y[i * ldy + j] = float(sum);
    }
  }
}

void plane_dots_f32(int64_t m, int64_t n, int64_t rows, int64_t cols, const float* g, int64_t g_step,
                    int64_t g_row, const float* x, const int64_t* offset, int64_t x_row, float* sum,
                    int64_t ld) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double total = sum[i * ld + j];
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          total += double(g[i * g_step + r * g_row + c]) * x[offset[j] + r * x_row + c];
        }
      }
      sum[i * ld + j] = float(total);
    }
  }
}

void conv_direct_f32(int64_t kc, const float* a, int64_t lda, const int64_t* offset, const float* x,
                     int64_t vectors, const int64_t* vector, float* c, int64_t ldc, int64_t m,
                     const float* row_bias, bool accumulate) {
  for (int64_t v = 0; v < vectors; ++v, vector += 3) {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < vector[2]; ++j) {
        float* p = c + i * ldc + vector[1] + j;
        double sum = accumulate ? *p : row_bias ? row_bias[i] : 0;
        for (int64_t k = 0; k < kc; ++k) sum += double(a[k * lda + i]) * x[vector[0] + offset[k] + j];
        *p = float(sum);
      }
    }
  }
}

void frame_dots_f32(int64_t m, int64_t n, const int64_t* offset, int64_t runs, const int64_t* run,
                    const float* x, const float* g, int64_t ldg, float* sum, int64_t ld, bool accumulate) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double total = accumulate ? sum[i * ld + j] : 0;
      const float* from = g + j;
      for (int64_t q = 0; q < runs; ++q) {
        for (int64_t k = 0; k < run[2 * q + 1]; ++k, from += ldg)
          total += double(*from) * x[offset[i] + run[2 * q] + k];
      }
      sum[i * ld + j] = float(total);
    }
  }
}

void conv_gather_f32(int64_t lines, const int64_t* offset, int64_t pieces, const int64_t* piece,
                     const float* x, float* y, int64_t ldy) {
  for (int64_t i = 0; i < lines; ++i) {
    float* dst = y + i * ldy;
    for (int64_t p = 0; p < pieces; ++p) {
      for (int64_t j = 0; j < piece[2 * p + 1]; ++j) *dst++ = x[offset[i] + piece[2 * p] + j];
    }
  }
}

void conv_frame_f32(int64_t rows, int64_t low, int64_t n, int64_t high, int64_t step, const float* x,
                    int64_t x_row, float* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r) {
    float* dst = y + r * y_row;
    for (int64_t i = 0; i < low; ++i) *dst++ = 0;
    for (int64_t i = 0; i < n; ++i) *dst++ = x[r * x_row + i * step];
    for (int64_t i = 0; i < high; ++i) *dst++ = 0;
  }
}

void conv_merge_f32(const float* even, const float* odd, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    y[2 * i] = even[i];
    y[2 * i + 1] = odd[i];
  }
}

void lines_tile_f32(int64_t kc, const float* a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                    int64_t n, const float* bias, bool accumulate) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < kc; ++k) sum += double(a[i * lines_ld + k]) * b[k * ldb + j];
      float* p = c + i * ldc + j;
      *p = float(accumulate ? *p + sum : bias ? bias[j] + sum : sum);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
