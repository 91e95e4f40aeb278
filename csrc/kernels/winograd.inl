// Winograd's convolution of 3x3 kernels: transforms of tiles. After Lavin and Gray, "Fast algorithms for
// convolutional neural networks", CVPR 2016. Lanes are channels.
//
// A tile of m x m outputs (m = 4 or 2) is A^T [(G g G^T) . (B^T d B)] A, summed over the input channels,
// where d is the (m + 2) x (m + 2) input under it and g the kernel. F(2x2) uses the points 0, 1, -1 and
// infinity, F(4x4) the points 0, +-5/8, +-3/2 and infinity, whose rounding errors are half those of the usual
// 0, +-1, +-2.
#pragma once
#include "vec.h"
#include "winograd_tile.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// One dimension of each transform. kTile inputs, kOut outputs, three taps.
struct Wino4 {
  static constexpr int kOut = 4, kTile = 6;
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  static NNLIB_INLINE void input(const Vec (&d)[6], Vec (&o)[6]) {
    const Vec product = set1(aa * bb), sum = set1(aa + bb), va = set1(a), vb = set1(b);
    const Vec even_a = fnma(set1(bb), d[2], d[4]), odd_a = fnma(set1(bb), d[1], d[3]);
    const Vec even_b = fnma(set1(aa), d[2], d[4]), odd_b = fnma(set1(aa), d[1], d[3]);
    o[0] = fma(product, d[0], fnma(sum, d[2], d[4]));
    o[1] = fma(va, odd_a, even_a), o[2] = fnma(va, odd_a, even_a);
    o[3] = fma(vb, odd_b, even_b), o[4] = fnma(vb, odd_b, even_b);
    o[5] = fma(product, d[1], fnma(sum, d[3], d[5]));
  }
  static NNLIB_INLINE void filter(const Vec (&g)[3], Vec (&o)[6]) {
    constexpr float na = 1 / (2 * aa * (aa - bb)), nb = 1 / (2 * bb * (bb - aa));
    const Vec even_a = fma(set1(na), g[0], set1(na * aa) * g[2]), odd_a = set1(na * a) * g[1];
    const Vec even_b = fma(set1(nb), g[0], set1(nb * bb) * g[2]), odd_b = set1(nb * b) * g[1];
    o[0] = set1(1 / (aa * bb)) * g[0];
    o[1] = even_a + odd_a, o[2] = even_a - odd_a;
    o[3] = even_b + odd_b, o[4] = even_b - odd_b;
    o[5] = g[2];
  }
  static NNLIB_INLINE void output(const Vec (&m)[6], Vec (&o)[4]) {
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    o[0] = m[0] + even_a + even_b;
    o[1] = fma(set1(a), odd_a, set1(b) * odd_b);
    o[2] = fma(set1(aa), even_a, set1(bb) * even_b);
    o[3] = fma(set1(aa * a), odd_a, fma(set1(bb * b), odd_b, m[5]));
  }
  // The transposes of output and filter.
  static NNLIB_INLINE void grad(const Vec (&g)[4], Vec (&o)[6]) {
    const Vec even_a = fma(set1(aa), g[2], g[0]), odd_a = fma(set1(aa * a), g[3], set1(a) * g[1]);
    const Vec even_b = fma(set1(bb), g[2], g[0]), odd_b = fma(set1(bb * b), g[3], set1(b) * g[1]);
    o[0] = g[0];
    o[1] = even_a + odd_a, o[2] = even_a - odd_a;
    o[3] = even_b + odd_b, o[4] = even_b - odd_b;
    o[5] = g[3];
  }
  static NNLIB_INLINE void weight(const Vec (&s)[6], Vec (&o)[3]) {
    constexpr float na = 1 / (2 * aa * (aa - bb)), nb = 1 / (2 * bb * (bb - aa));
    const Vec even_a = s[1] + s[2], odd_a = s[1] - s[2], even_b = s[3] + s[4], odd_b = s[3] - s[4];
    o[0] = fma(set1(1 / (aa * bb)), s[0], fma(set1(na), even_a, set1(nb) * even_b));
    o[1] = fma(set1(na * a), odd_a, set1(nb * b) * odd_b);
    o[2] = fma(set1(na * aa), even_a, fma(set1(nb * bb), even_b, s[5]));
  }
};

struct Wino2 {
  static constexpr int kOut = 2, kTile = 4;
  static NNLIB_INLINE void input(const Vec (&d)[4], Vec (&o)[4]) {
    o[0] = d[0] - d[2], o[1] = d[1] + d[2], o[2] = d[2] - d[1], o[3] = d[3] - d[1];
  }
  static NNLIB_INLINE void filter(const Vec (&g)[3], Vec (&o)[4]) {
    const Vec half = set1(0.5f), even = half * (g[0] + g[2]), odd = half * g[1];
    o[0] = g[0], o[1] = even + odd, o[2] = even - odd, o[3] = g[2];
  }
  static NNLIB_INLINE void output(const Vec (&m)[4], Vec (&o)[2]) {
    o[0] = m[0] + (m[1] + m[2]), o[1] = (m[1] - m[2]) + m[3];
  }
  static NNLIB_INLINE void grad(const Vec (&g)[2], Vec (&o)[4]) {
    o[0] = g[0], o[1] = g[0] + g[1], o[2] = g[0] - g[1], o[3] = g[1];
  }
  static NNLIB_INLINE void weight(const Vec (&s)[4], Vec (&o)[3]) {
    const Vec half = set1(0.5f), even = half * (s[1] + s[2]);
    o[0] = s[0] + even, o[1] = half * (s[1] - s[2]), o[2] = even + s[3];
  }
};

// Tiles whose columns are transformed together: neighbours share them.
constexpr int kWinoRun = 8;

template <class W>
NNLIB_INLINE void wino_input(int64_t tiles, const float* x, int64_t x_row, float* y, int64_t y_step,
                             int64_t y_tile) {
  constexpr int P = W::kTile;
  Vec column[W::kOut * kWinoRun + 2][P];
  for (int64_t t0 = 0; t0 < tiles; t0 += kWinoRun) {
    const int64_t some = tiles - t0 < kWinoRun ? tiles - t0 : kWinoRun;
    for (int64_t i = 0; i < W::kOut * some + 2; ++i) {
      Vec d[P];
#pragma GCC unroll 6
      for (int r = 0; r < P; ++r) d[r] = load(x + r * x_row + i * kWidth);
      W::input(d, column[i]);
    }
    for (int64_t t = 0; t < some; ++t, y += y_tile) {
      const Vec(*from)[P] = column + W::kOut * t;
#pragma GCC unroll 6
      for (int r = 0; r < P; ++r) {
        Vec d[P], o[P];
#pragma GCC unroll 6
        for (int i = 0; i < P; ++i) d[i] = from[i][r];
        W::input(d, o);
#pragma GCC unroll 6
        for (int i = 0; i < P; ++i) store(y + (r * P + i) * y_step, o[i]);
      }
    }
    x += W::kOut * some * kWidth;
  }
}

template <class W>
NNLIB_INLINE bool wino_output(int64_t tiles, const float* x, int64_t x_step, int64_t x_tile,
                              const float* bias, float* y, int64_t y_row) {
  constexpr int P = W::kTile, M = W::kOut;
  const Vec b = bias ? load(bias) : zero();
  Vec bad = zero();
  for (int64_t t = 0; t < tiles; ++t, x += x_tile, y += M * kWidth) {
    Vec column[P][M];
#pragma GCC unroll 6
    for (int j = 0; j < P; ++j) {
      Vec m[P];
#pragma GCC unroll 6
      for (int i = 0; i < P; ++i) m[i] = load(x + (i * P + j) * x_step);
      W::output(m, column[j]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) {
      Vec m[P], o[M];
#pragma GCC unroll 6
      for (int j = 0; j < P; ++j) m[j] = column[j][i];
      W::output(m, o);
#pragma GCC unroll 4
      for (int j = 0; j < M; ++j) {
        bad = fma(o[j], zero(), bad);  // NaN once there is one or an infinity
        store(y + i * y_row + j * kWidth, o[j] + b);
      }
    }
  }
  return !any(is_nan(bad));
}

template <class W>
NNLIB_INLINE void wino_filter(int64_t kc, const float* x, bool flip, float* y, int64_t y_step) {
  constexpr int P = W::kTile;
  const int64_t first = flip ? 8 * wino_nr : 0, tap = flip ? -wino_nr : wino_nr;
  for (int64_t c = 0; c < kc; ++c, x += 9 * wino_nr, y += wino_nr) {
    for (int64_t v = 0; v < wino_nr; v += kWidth) {
      Vec column[3][P];
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
        Vec g[3];
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) g[i] = load(x + first + (i * 3 + j) * tap + v);
        W::filter(g, column[j]);
      }
#pragma GCC unroll 6
      for (int i = 0; i < P; ++i) {
        const Vec g[3] = {column[0][i], column[1][i], column[2][i]};
        Vec o[P];
        W::filter(g, o);
#pragma GCC unroll 6
        for (int j = 0; j < P; ++j) store(y + (i * P + j) * y_step + v, o[j]);
      }
    }
  }
}

template <class W>
NNLIB_INLINE void wino_grad(int64_t tiles, const float* x, int64_t x_row, float* y, int64_t y_step,
                            int64_t y_tile) {
  constexpr int P = W::kTile, M = W::kOut;
  for (int64_t t = 0; t < tiles; ++t, x += M * kWidth, y += y_tile) {
    Vec column[M][P];
#pragma GCC unroll 4
    for (int j = 0; j < M; ++j) {
      Vec g[M];
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) g[i] = load(x + i * x_row + j * kWidth);
      W::grad(g, column[j]);
    }
#pragma GCC unroll 6
    for (int i = 0; i < P; ++i) {
      Vec g[M], o[P];
#pragma GCC unroll 4
      for (int j = 0; j < M; ++j) g[j] = column[j][i];
      W::grad(g, o);
#pragma GCC unroll 6
      for (int j = 0; j < P; ++j) store(y + (i * P + j) * y_step, o[j]);
    }
  }
}

template <class W>
NNLIB_INLINE bool wino_weight(int64_t n, const float* x, int64_t x_step, int64_t x_row, float* y) {
  constexpr int P = W::kTile;
  Vec bad = zero();
  for (int64_t c = 0; c < n; ++c, x += x_row, y += 9 * kWidth) {
    Vec column[P][3];
#pragma GCC unroll 6
    for (int j = 0; j < P; ++j) {
      Vec s[P];
#pragma GCC unroll 6
      for (int i = 0; i < P; ++i) s[i] = load(x + (i * P + j) * x_step);
      W::weight(s, column[j]);
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      Vec s[P], o[3];
#pragma GCC unroll 6
      for (int j = 0; j < P; ++j) s[j] = column[j][i];
      W::weight(s, o);
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
        bad = fma(o[j], zero(), bad);
        store(y + (i * 3 + j) * kWidth, o[j]);
      }
    }
  }
  return !any(is_nan(bad));
}

void wino_input_f32(int64_t size, int64_t tiles, const float* x, int64_t x_row, float* y, int64_t y_step,
                    int64_t y_tile) {
  if (size == 4) return wino_input<Wino4>(tiles, x, x_row, y, y_step, y_tile);
  wino_input<Wino2>(tiles, x, x_row, y, y_step, y_tile);
}
bool wino_output_f32(int64_t size, int64_t tiles, const float* x, int64_t x_step, int64_t x_tile,
                     const float* bias, float* y, int64_t y_row) {
  if (size == 4) return wino_output<Wino4>(tiles, x, x_step, x_tile, bias, y, y_row);
  return wino_output<Wino2>(tiles, x, x_step, x_tile, bias, y, y_row);
}
void wino_filter_f32(int64_t size, int64_t kc, const float* x, bool flip, float* y, int64_t y_step) {
  if (size == 4) return wino_filter<Wino4>(kc, x, flip, y, y_step);
  wino_filter<Wino2>(kc, x, flip, y, y_step);
}
void wino_grad_f32(int64_t size, int64_t tiles, const float* x, int64_t x_row, float* y, int64_t y_step,
                   int64_t y_tile) {
  if (size == 4) return wino_grad<Wino4>(tiles, x, x_row, y, y_step, y_tile);
  wino_grad<Wino2>(tiles, x, x_row, y, y_step, y_tile);
}
bool wino_weight_f32(int64_t size, int64_t n, const float* x, int64_t x_step, int64_t x_row, float* y) {
  if (size == 4) return wino_weight<Wino4>(n, x, x_step, x_row, y);
  return wino_weight<Wino2>(n, x, x_step, x_row, y);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
