// The truth of conv_layout.inl and conv_last.inl.
#pragma once
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

constexpr int64_t pixel_lanes = 16;

void planes_from_pixels_f32(int64_t channels, int64_t n, const float* x, int64_t x_step, float* y,
                            int64_t y_step) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[c * y_step + i] = x[i * x_step + c];
  }
}
void planes_from_pixels_bf16(int64_t channels, int64_t n, const uint16_t* x, int64_t x_step, float* y,
                             int64_t y_step) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[c * y_step + i] = from_bf16(x[i * x_step + c]);
  }
}
void planes_from_pixels_f16(int64_t channels, int64_t n, const uint16_t* x, int64_t x_step, float* y,
                            int64_t y_step) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[c * y_step + i] = from_f16(x[i * x_step + c]);
  }
}
void pixels_from_planes_f32(int64_t channels, int64_t n, const float* x, int64_t x_step, float* y,
                            int64_t y_step) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[i * y_step + c] = x[c * x_step + i];
  }
}
void pixels_from_planes_bf16(int64_t channels, int64_t n, const float* x, int64_t x_step, uint16_t* y,
                             int64_t y_step) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[i * y_step + c] = to_bf16(x[c * x_step + i]);
  }
}
void pixels_from_planes_f16(int64_t channels, int64_t n, const float* x, int64_t x_step, uint16_t* y,
                            int64_t y_step) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < n; ++i) y[i * y_step + c] = to_f16(x[c * x_step + i]);
  }
}

void spread_pixels_f32(int64_t n, int64_t, const float* x, int64_t x_step, int64_t sets, const int32_t* index,
                       float* y, int64_t y_set) {
  for (int64_t s = 0; s < sets; ++s) {
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t c = 0; c < pixel_lanes; ++c)
        y[s * y_set + p * pixel_lanes + c] = x[p * x_step + index[s * pixel_lanes + c]];
    }
  }
}

void depthwise_last_f32(int64_t cols, int64_t channels, int64_t taps, const int64_t* place, int64_t,
                        const int64_t*, const float* x, int64_t x_step, const float* w, int64_t w_block,
                        float* y, int64_t y_step) {
  for (int64_t j = 0; j < cols; ++j) {
    for (int64_t c = 0; c < channels; ++c) {
      const float* own = w + c / pixel_lanes * w_block + c % pixel_lanes;
      double sum = own[0];
      for (int64_t t = 0; t < taps; ++t)
        sum += double(own[place[2 * t + 1]]) * x[j * x_step + place[2 * t] + c];
      y[j * y_step + c] = float(sum);
    }
  }
}
void depthwise_pixels_f32(int64_t rows, int64_t cols, int64_t channels, int64_t taps, const int64_t* offset,
                          const float* x, int64_t row_step, const float* w, const float* bias, float* y,
                          int64_t y_row, int64_t y_step) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < cols; ++j) {
      for (int64_t c = 0; c < channels; ++c) {
        double sum = bias[c];
        for (int64_t t = 0; t < taps; ++t)
          sum += double(w[t * pixel_lanes + c]) * x[(offset[t] + r * row_step + j) * pixel_lanes + c];
        y[r * y_row + j * y_step + c] = float(sum);
      }
    }
  }
}

void pixel_dots_f32(int64_t taps, int64_t rows, int64_t cols, const float* g, int64_t g_row, int64_t g_step,
                    const float* x, const int64_t* offset, int64_t row_step, float* sum) {
  for (int64_t t = 0; t < taps; ++t) {
    for (int64_t c = 0; c < pixel_lanes; ++c) {
      double total = sum[t * pixel_lanes + c];
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < cols; ++j)
          total +=
              double(g[r * g_row + j * g_step + c]) * x[(offset[t] + r * row_step + j) * pixel_lanes + c];
      }
      sum[t * pixel_lanes + c] = float(total);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
