// The truth of conv_dots.inl, conv_layout.inl, conv_last.inl and conv_stretches.inl.
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

// Calls f(channel, block, place in the block) for each channel, in blocks of which the last may overlap.
template <class F>
void for_channel_blocks(int64_t channels, F f) {
  for (int64_t b = 0; b * pixel_lanes < channels; ++b) {
    const int64_t last = channels - pixel_lanes, first = b * pixel_lanes < last ? b * pixel_lanes : last;
    for (int64_t q = 0; q < pixel_lanes; ++q) f(first + q, b, q);
  }
}
void depthwise_last_f32(int64_t cols, int64_t channels, int64_t taps, const int64_t* place, const float* x,
                        int64_t x_step, const float* w, int64_t w_block, float* y, int64_t y_step, bool,
                        const float*, int64_t) {
  for_channel_blocks(channels, [&](int64_t c, int64_t block, int64_t q) {
    const float* own = w + block * w_block + q;
    for (int64_t j = 0; j < cols; ++j) {
      double sum = own[0];
      for (int64_t t = 0; t < taps; ++t)
        sum += double(own[place[2 * t + 1]]) * x[j * x_step + place[2 * t] + c];
      y[j * y_step + c] = float(sum);
    }
  });
}
void depthwise_last_dots_f32(int64_t cols, int64_t channels, int64_t taps, const int64_t* place,
                             const float* x, int64_t x_step, const float* g, int64_t g_step, float* sum,
                             int64_t sum_block, const float*, int64_t) {
  for_channel_blocks(channels, [&](int64_t c, int64_t block, int64_t q) {
    for (int64_t t = 0; t < taps; ++t) {
      float* to = sum + block * sum_block + place[2 * t + 1] + q;
      double total = *to;
      for (int64_t j = 0; j < cols; ++j)
        total += double(g[j * g_step + c]) * x[j * x_step + place[2 * t] + c];
      *to = float(total);
    }
  });
}
void stretches_f32(int64_t cols, int64_t blocks, const int64_t* block, int64_t stretches,
                   const int64_t* place, int64_t length, const float* x, int64_t x_step, const float* w,
                   int64_t w_block, int64_t ld, float* y, int64_t y_step, const float*, int64_t) {
  for (int64_t b = 0; b < blocks; ++b, block += 3, w += w_block) {
    for (int64_t j = 0; j < cols; ++j) {
      for (int64_t c = 0; c < block[2]; ++c) {
        double sum = w[c];
        for (int64_t s = 0; s < stretches; ++s) {
          for (int64_t k = 0; k < length; ++k)
            sum += double(w[place[2 * s + 1] + k * ld + c]) * x[j * x_step + block[0] + place[2 * s] + k];
        }
        y[j * y_step + block[1] + c] = float(sum);
      }
    }
  }
}
void stretch_dots_f32(int64_t cols, int64_t blocks, const int64_t* block, int64_t stretches,
                      const int64_t* place, int64_t length, const float* x, int64_t x_step, const float* g,
                      int64_t g_step, float* sum, int64_t sum_block, int64_t ld, const float*, int64_t) {
  for (int64_t b = 0; b < blocks; ++b, block += 3, sum += sum_block) {
    for (int64_t s = 0; s < stretches; ++s) {
      for (int64_t k = 0; k < length; ++k) {
        for (int64_t c = 0; c < block[2]; ++c) {
          double total = sum[place[2 * s + 1] + k * ld + c];
          for (int64_t j = 0; j < cols; ++j)
            total += double(g[j * g_step + block[1] + c]) * x[j * x_step + block[0] + place[2 * s] + k];
          sum[place[2 * s + 1] + k * ld + c] = float(total);
        }
      }
    }
  }
}
void line_dots_f32(int64_t cols, int64_t results, int64_t lines, const int64_t* place, int64_t length,
                   const float* x, int64_t x_step, const float* w, int64_t w_step, const float* bias,
                   float* y, int64_t y_step) {
  for (int64_t j = 0; j < cols; ++j) {
    for (int64_t r = 0; r < results; ++r) {
      double total = bias ? bias[r] : 0;
      for (int64_t s = 0; s < lines; ++s) {
        for (int64_t k = 0; k < length; ++k)
          total += double(w[r * w_step + place[2 * s + 1] + k]) * x[j * x_step + place[2 * s] + k];
      }
      y[j * y_step + r] = float(total);
    }
  }
}
void line_sums_f32(int64_t cols, int64_t results, int64_t lines, const int64_t* place, int64_t length,
                   const float* x, int64_t x_step, const float* g, int64_t g_step, float* sum,
                   int64_t sum_step) {
  for (int64_t s = 0; s < lines; ++s) {
    for (int64_t r = 0; r < results; ++r) {
      for (int64_t k = 0; k < length; ++k) {
        double total = sum[r * sum_step + place[2 * s + 1] + k];
        for (int64_t j = 0; j < cols; ++j)
          total += double(g[j * g_step + r]) * x[j * x_step + place[2 * s] + k];
        sum[r * sum_step + place[2 * s + 1] + k] = float(total);
      }
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
