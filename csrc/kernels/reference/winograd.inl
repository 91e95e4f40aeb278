// The truth of winograd.inl and winograd_tile.inl: the transforms as products with their matrices, in double,
// rounded once.
#pragma once

namespace nnlib::kernels::reference {
namespace {

constexpr int64_t wino_lanes = 4, wino_mr = 4, wino_nr = 8, wino_block = 1 << 14;

constexpr double kA = 0.625, kB = 1.5, kNA = 2 * kA * kA * (kA * kA - kB * kB),
                 kNB = 2 * kB * kB * (kB * kB - kA * kA);
// The points of a tile but for infinity, what the values of a kernel there are divided by, and B^T.
struct WinoPoints {
  int64_t tile;
  double point[5], scale[5], input[6][6];
};
constexpr WinoPoints kWinoSix = {6,
                                 {0, kA, -kA, kB, -kB},
                                 {kA * kA * kB * kB, kNA, kNA, kNB, kNB},
                                 {{kA * kA * kB * kB, 0, -kA * kA - kB * kB, 0, 1, 0},
                                  {0, -kA * kB * kB, -kB * kB, kA, 1, 0},
                                  {0, kA * kB * kB, -kB * kB, -kA, 1, 0},
                                  {0, -kB * kA * kA, -kA * kA, kB, 1, 0},
                                  {0, kB * kA * kA, -kA * kA, -kB, 1, 0},
                                  {0, kA * kA * kB * kB, 0, -kA * kA - kB * kB, 0, 1}}};
constexpr WinoPoints kWinoFour = {
    4, {0, 1, -1}, {1, 2, 2}, {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}}};

struct WinoMatrices {
  WinoMatrices(int64_t size, int64_t k) : p(size + k == 5 ? kWinoFour : kWinoSix), tile(p.tile), taps(k) {}
  double input(int64_t i, int64_t j) const { return p.input[i][j]; }
  double filter(int64_t i, int64_t j) const { return value(i, j, taps) / (i < tile - 1 ? p.scale[i] : 1); }
  // A.
  double output(int64_t i, int64_t j) const { return value(i, j, tile + 1 - taps); }
  // x^j at point i, of a polynomial of n coefficients.
  double value(int64_t i, int64_t j, int64_t n) const {
    if (i == tile - 1) return j == n - 1;
    double x = 1;
    for (int64_t q = 0; q < j; ++q) x *= p.point[i];
    return x;
  }
  const WinoPoints& p;
  int64_t tile, taps;
};

// y = M x M^T for M of `to` rows and `from` columns, from the left, then from the right; get(i, j) and put(i,
// j, value).
template <class M, class Get, class Put>
void wino_transform(int64_t to, int64_t from, M m, Get get, Put put) {
  double matrix[6][6], half[6][6];
  for (int64_t i = 0; i < to; ++i) {
    for (int64_t r = 0; r < from; ++r) matrix[i][r] = m(i, r);
  }
  for (int64_t i = 0; i < to; ++i) {
    for (int64_t c = 0; c < from; ++c) {
      half[i][c] = 0;
      for (int64_t r = 0; r < from; ++r) half[i][c] += matrix[i][r] * get(r, c);
    }
  }
  for (int64_t i = 0; i < to; ++i) {
    for (int64_t j = 0; j < to; ++j) {
      double sum = 0;
      for (int64_t c = 0; c < from; ++c) sum += half[i][c] * matrix[j][c];
      put(i, j, float(sum));
    }
  }
}

void wino_frame_f32(int64_t channels, int64_t rows, int64_t low, int64_t n, int64_t high, const float* x,
                    int64_t x_channel, int64_t x_row, float* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < low + n + high; ++i) {
      for (int64_t c = 0; c < wino_lanes; ++c) {
        const bool inside = i >= low && i < low + n && c < channels;
        y[r * y_row + i * wino_lanes + c] = inside ? x[c * x_channel + r * x_row + i - low] : 0;
      }
    }
  }
}

void wino_unframe_f32(int64_t channels, int64_t rows, int64_t n, const float* x, int64_t x_row, float* y,
                      int64_t y_channel, int64_t y_row) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < n; ++i) y[c * y_channel + r * y_row + i] = x[r * x_row + i * wino_lanes + c];
    }
  }
}

void wino_input_f32(int64_t size, int64_t taps, int64_t tiles, const float* x, int64_t x_row, int64_t x_pixel,
                    float* y, int64_t y_step, int64_t y_tile) {
  const WinoMatrices m(size, taps);
  for (int64_t t = 0; t < tiles * wino_lanes; ++t) {
    const float* from = x + t / wino_lanes * size * x_pixel + t % wino_lanes;
    float* to = y + t / wino_lanes * y_tile + t % wino_lanes;
    wino_transform(
        m.tile, m.tile, [&](int64_t i, int64_t j) { return m.input(i, j); },
        [&](int64_t r, int64_t c) { return from[r * x_row + c * x_pixel]; },
        [&](int64_t i, int64_t j, float v) { to[(i * (m.tile) + j) * y_step] = v; });
  }
}

void wino_grad_f32(int64_t size, int64_t taps, int64_t tiles, const float* x, int64_t x_row, float* y,
                   int64_t y_step, int64_t y_tile) {
  const WinoMatrices m(size, taps);
  for (int64_t t = 0; t < tiles * wino_lanes; ++t) {
    const float* from = x + t / wino_lanes * size * wino_lanes + t % wino_lanes;
    float* to = y + t / wino_lanes * y_tile + t % wino_lanes;
    wino_transform(
        m.tile, size, [&](int64_t i, int64_t j) { return m.output(i, j); },
        [&](int64_t r, int64_t c) { return from[r * x_row + c * wino_lanes]; },
        [&](int64_t i, int64_t j, float v) { to[(i * (m.tile) + j) * y_step] = v; });
  }
}

void wino_filter_f32(int64_t size, int64_t taps, int64_t kc, const float* x, bool flip, float* y,
                     int64_t y_step) {
  const WinoMatrices m(size, taps);
  const int64_t all = taps * taps;
  for (int64_t t = 0; t < kc * wino_nr; ++t) {
    const float* from = x + t / wino_nr * all * wino_nr + t % wino_nr;
    wino_transform(
        m.tile, taps, [&](int64_t i, int64_t j) { return m.filter(i, j); },
        [&](int64_t r, int64_t c) {
          return from[(flip ? all - 1 - (r * taps + c) : r * taps + c) * wino_nr];
        },
        [&](int64_t i, int64_t j, float v) { y[(i * (m.tile) + j) * y_step + t] = v; });
  }
}

bool wino_output_f32(int64_t size, int64_t taps, int64_t tiles, const float* x, int64_t x_step,
                     int64_t x_tile, const float* bias, float* y, int64_t y_row, int64_t y_pixel) {
  const WinoMatrices m(size, taps);
  bool finite = true;
  for (int64_t t = 0; t < tiles * wino_lanes; ++t) {
    const int64_t lane = t % wino_lanes;
    const float* from = x + t / wino_lanes * x_tile + lane;
    float* to = y + t / wino_lanes * size * y_pixel + lane;
    wino_transform(
        size, m.tile, [&](int64_t i, int64_t j) { return m.output(j, i); },
        [&](int64_t r, int64_t c) { return from[(r * (m.tile) + c) * x_step]; },
        [&](int64_t i, int64_t j, float v) {
          finite = finite && isfinite(v);
          to[i * y_row + j * y_pixel] = v + (bias ? bias[lane] : 0);
        });
  }
  return finite;
}

bool wino_weight_f32(int64_t size, int64_t taps, int64_t n, const float* x, int64_t x_step, int64_t x_row,
                     float* y) {
  const WinoMatrices m(size, taps);
  bool finite = true;
  for (int64_t t = 0; t < n * wino_lanes; ++t) {
    const float* from = x + t / wino_lanes * x_row + t % wino_lanes;
    float* to = y + t / wino_lanes * taps * taps * wino_lanes + t % wino_lanes;
    wino_transform(
        taps, m.tile, [&](int64_t i, int64_t j) { return m.filter(j, i); },
        [&](int64_t r, int64_t c) { return from[(r * (m.tile) + c) * x_step]; },
        [&](int64_t i, int64_t j, float v) {
          finite = finite && isfinite(v);
          to[(i * taps + j) * wino_lanes] = v;
        });
  }
  return finite;
}

void wino_tile_f32(int64_t kc, const float* a, const float* b, float* c, int64_t ldc, int64_t m, int64_t n,
                   bool accumulate) {
  const int64_t columns = (n + wino_lanes - 1) / wino_lanes * wino_lanes;
  double sums[wino_nr];
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < columns; ++j) sums[j] = accumulate ? c[i * ldc + j] : 0;
    for (int64_t k = 0; k < kc; ++k) {
      const double x = a[(k / wino_lanes * m + i) * wino_lanes + k % wino_lanes];
      for (int64_t j = 0; j < columns; ++j) sums[j] += x * b[k * wino_nr + j];
    }
    for (int64_t j = 0; j < columns; ++j) c[i * ldc + j] = float(sums[j]);
  }
}

void wino_outer_f32(int64_t kc, const float* a, const float* b, int64_t b_vec, int64_t vectors, float* c,
                    int64_t ldc, bool accumulate) {
  for (int64_t i = 0; i < wino_lanes; ++i) {
    for (int64_t j = 0; j < vectors * wino_lanes; ++j) {
      double sum = accumulate ? c[i * ldc + j] : 0;
      const float* column = b + j / wino_lanes * b_vec + j % wino_lanes;
      for (int64_t k = 0; k < kc; ++k) sum += double(a[k * wino_lanes + i]) * column[k * wino_lanes];
      c[i * ldc + j] = float(sum);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
