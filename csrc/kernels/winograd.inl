// Winograd's convolution of small square kernels: transforms of tiles. After Lavin and Gray, "Fast algorithms
// for convolutional neural networks", CVPR 2016. Lanes are channels.
//
// A tile of m x m outputs is A^T [(G g G^T) . (B^T d B)] A, summed over the input channels, where d is the
// input under it, of m + r - 1 rows and columns, and g the kernel of r x r taps. Tiles of 4 x 4 inputs use
// the points 0, 1, -1 and infinity, tiles of 6 x 6 the points 0, +-5/8, +-3/2 and infinity, whose rounding
// errors are half those of the usual 0, +-1, +-2. B depends on the points alone, so a tile of 6 serves
// kernels of 2 to 5 taps.
#pragma once
#include "vec.h"
#include "winograd_tile.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// One dimension of each transform. kTile inputs, kOut outputs, kTaps taps.
template <int Taps>
struct WinoSix {
  static constexpr int kTile = 6, kTaps = Taps, kOut = kTile + 1 - Taps;
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  static constexpr float na = 1 / (2 * aa * (aa - bb)), nb = 1 / (2 * bb * (bb - aa));
  static constexpr float a_power[5] = {1, a, aa, aa * a, aa * aa}, b_power[5] = {1, b, bb, bb * b, bb * bb};

  static NNLIB_INLINE void input(const Vec (&d)[6], Vec (&o)[6]) {
    const Vec product = set1(aa * bb), sum = set1(aa + bb), va = set1(a), vb = set1(b);
    const Vec even_a = fnma(set1(bb), d[2], d[4]), odd_a = fnma(set1(bb), d[1], d[3]);
    const Vec even_b = fnma(set1(aa), d[2], d[4]), odd_b = fnma(set1(aa), d[1], d[3]);
    o[0] = fma(product, d[0], fnma(sum, d[2], d[4]));
    o[1] = fma(va, odd_a, even_a), o[2] = fnma(va, odd_a, even_a);
    o[3] = fma(vb, odd_b, even_b), o[4] = fnma(vb, odd_b, even_b);
    o[5] = fma(product, d[1], fnma(sum, d[3], d[5]));
  }
  // The values of a polynomial of N coefficients at the points, each pair scaled.
  template <int N>
  static NNLIB_INLINE void values(const Vec (&c)[N], float zero_scale, float a_scale, float b_scale,
                                  Vec (&o)[6]) {
    Vec even_a = set1(a_scale) * c[0], odd_a = set1(a_scale * a) * c[1];
    Vec even_b = set1(b_scale) * c[0], odd_b = set1(b_scale * b) * c[1];
#pragma GCC unroll 5
    for (int i = 2; i < N; i += 2) {
      even_a = fma(set1(a_scale * a_power[i]), c[i], even_a);
      even_b = fma(set1(b_scale * b_power[i]), c[i], even_b);
    }
#pragma GCC unroll 5
    for (int i = 3; i < N; i += 2) {
      odd_a = fma(set1(a_scale * a_power[i]), c[i], odd_a);
      odd_b = fma(set1(b_scale * b_power[i]), c[i], odd_b);
    }
    o[0] = set1(zero_scale) * c[0];
    o[1] = even_a + odd_a, o[2] = even_a - odd_a;
    o[3] = even_b + odd_b, o[4] = even_b - odd_b;
    o[5] = c[N - 1];
  }
  // The transpose.
  template <int N>
  static NNLIB_INLINE void sums(const Vec (&m)[6], float zero_scale, float a_scale, float b_scale,
                                Vec (&o)[N]) {
    const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
#pragma GCC unroll 5
    for (int i = 0; i < N; ++i) {
      o[i] = fma(set1(a_scale * a_power[i]), i % 2 ? odd_a : even_a,
                 set1(b_scale * b_power[i]) * (i % 2 ? odd_b : even_b));
    }
    o[0] = fma(set1(zero_scale), m[0], o[0]);
    o[N - 1] = o[N - 1] + m[5];
  }
  static NNLIB_INLINE void filter(const Vec (&g)[Taps], Vec (&o)[6]) { values(g, 1 / (aa * bb), na, nb, o); }
  static NNLIB_INLINE void weight(const Vec (&s)[6], Vec (&o)[Taps]) { sums(s, 1 / (aa * bb), na, nb, o); }
  static NNLIB_INLINE void output(const Vec (&m)[6], Vec (&o)[kOut]) { sums(m, 1, 1, 1, o); }
  static NNLIB_INLINE void grad(const Vec (&g)[kOut], Vec (&o)[6]) { values(g, 1, 1, 1, o); }
};

struct WinoFour {
  static constexpr int kTile = 4, kTaps = 3, kOut = 2;
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

// `out`: how far apart the tiles are.
template <class W>
NNLIB_INLINE void wino_input(int64_t out, int64_t tiles, const float* x, int64_t x_row, int64_t x_pixel,
                             float* y, int64_t y_step, int64_t y_tile) {
  constexpr int P = W::kTile;
  Vec column[(P - 1) * kWinoRun + 1][P];  // for two taps, the most
  for (int64_t t0 = 0; t0 < tiles; t0 += kWinoRun) {
    const int64_t some = tiles - t0 < kWinoRun ? tiles - t0 : kWinoRun;
    for (int64_t i = 0; i < out * (some - 1) + P; ++i) {
      Vec d[P];
#pragma GCC unroll 6
      for (int r = 0; r < P; ++r) d[r] = load(x + r * x_row + i * x_pixel);
      W::input(d, column[i]);
    }
    for (int64_t t = 0; t < some; ++t, y += y_tile) {
      const Vec(*from)[P] = column + out * t;
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
    x += out * some * x_pixel;
  }
}

template <class W>
NNLIB_INLINE bool wino_output(int64_t tiles, const float* x, int64_t x_step, int64_t x_tile,
                              const float* bias, float* y, int64_t y_row, int64_t y_pixel) {
  constexpr int P = W::kTile, M = W::kOut;
  const Vec b = bias ? load(bias) : zero();
  Vec bad = zero();
  for (int64_t t = 0; t < tiles; ++t, x += x_tile, y += M * y_pixel) {
    Vec column[P][M];
#pragma GCC unroll 6
    for (int j = 0; j < P; ++j) {
      Vec m[P];
#pragma GCC unroll 6
      for (int i = 0; i < P; ++i) m[i] = load(x + (i * P + j) * x_step);
      W::output(m, column[j]);
    }
#pragma GCC unroll 5
    for (int i = 0; i < M; ++i) {
      Vec m[P], o[M];
#pragma GCC unroll 6
      for (int j = 0; j < P; ++j) m[j] = column[j][i];
      W::output(m, o);
#pragma GCC unroll 5
      for (int j = 0; j < M; ++j) {
        bad = fma(o[j], zero(), bad);  // NaN once there is one or an infinity
        store(y + i * y_row + j * y_pixel, o[j] + b);
      }
    }
  }
  return !any(is_nan(bad));
}

template <class W>
NNLIB_INLINE void wino_filter(int64_t kc, const float* x, bool flip, float* y, int64_t y_step) {
  constexpr int P = W::kTile, K = W::kTaps;
  const int64_t first = flip ? (K * K - 1) * wino_nr : 0, tap = flip ? -wino_nr : wino_nr;
  for (int64_t c = 0; c < kc; ++c, x += K * K * wino_nr, y += wino_nr) {
    for (int64_t v = 0; v < wino_nr; v += kWidth) {
      Vec column[K][P];
#pragma GCC unroll 5
      for (int j = 0; j < K; ++j) {
        Vec g[K];
#pragma GCC unroll 5
        for (int i = 0; i < K; ++i) g[i] = load(x + first + (i * K + j) * tap + v);
        W::filter(g, column[j]);
      }
#pragma GCC unroll 6
      for (int i = 0; i < P; ++i) {
        Vec g[K], o[P];
#pragma GCC unroll 5
        for (int j = 0; j < K; ++j) g[j] = column[j][i];
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
#pragma GCC unroll 5
    for (int j = 0; j < M; ++j) {
      Vec g[M];
#pragma GCC unroll 5
      for (int i = 0; i < M; ++i) g[i] = load(x + i * x_row + j * kWidth);
      W::grad(g, column[j]);
    }
#pragma GCC unroll 6
    for (int i = 0; i < P; ++i) {
      Vec g[M], o[P];
#pragma GCC unroll 5
      for (int j = 0; j < M; ++j) g[j] = column[j][i];
      W::grad(g, o);
#pragma GCC unroll 6
      for (int j = 0; j < P; ++j) store(y + (i * P + j) * y_step, o[j]);
    }
  }
}

template <class W>
NNLIB_INLINE bool wino_weight(int64_t n, const float* x, int64_t x_step, int64_t x_row, float* y) {
  constexpr int P = W::kTile, K = W::kTaps;
  Vec bad = zero();
  for (int64_t c = 0; c < n; ++c, x += x_row, y += K * K * kWidth) {
    Vec column[P][K];
#pragma GCC unroll 6
    for (int j = 0; j < P; ++j) {
      Vec s[P];
#pragma GCC unroll 6
      for (int i = 0; i < P; ++i) s[i] = load(x + (i * P + j) * x_step);
      W::weight(s, column[j]);
    }
#pragma GCC unroll 5
    for (int i = 0; i < K; ++i) {
      Vec s[P], o[K];
#pragma GCC unroll 6
      for (int j = 0; j < P; ++j) s[j] = column[j][i];
      W::weight(s, o);
#pragma GCC unroll 5
      for (int j = 0; j < K; ++j) {
        bad = fma(o[j], zero(), bad);
        store(y + (i * K + j) * kWidth, o[j]);
      }
    }
  }
  return !any(is_nan(bad));
}

// f(the one dimension of F(size, taps)).
template <class F>
NNLIB_INLINE auto wino_with(int64_t size, int64_t taps, F f) {
  if (size + taps == WinoFour::kTile + 1) return f(WinoFour());
  switch (taps) {
    case 2:
      return f(WinoSix<2>());
    case 4:
      return f(WinoSix<4>());
    case 5:
      return f(WinoSix<5>());
    default:
      return f(WinoSix<3>());
  }
}

void wino_input_f32(int64_t size, int64_t taps, int64_t tiles, const float* x, int64_t x_row, int64_t x_pixel,
                    float* y, int64_t y_step, int64_t y_tile) {
  if (size + taps == WinoFour::kTile + 1) {
    return wino_input<WinoFour>(size, tiles, x, x_row, x_pixel, y, y_step, y_tile);
  }
  wino_input<WinoSix<3>>(size, tiles, x, x_row, x_pixel, y, y_step, y_tile);
}
bool wino_output_f32(int64_t size, int64_t taps, int64_t tiles, const float* x, int64_t x_step,
                     int64_t x_tile, const float* bias, float* y, int64_t y_row, int64_t y_pixel) {
  return wino_with(size, taps, [=](auto w) {
    return wino_output<decltype(w)>(tiles, x, x_step, x_tile, bias, y, y_row, y_pixel);
  });
}
void wino_filter_f32(int64_t size, int64_t taps, int64_t kc, const float* x, bool flip, float* y,
                     int64_t y_step) {
  wino_with(size, taps, [=](auto w) { wino_filter<decltype(w)>(kc, x, flip, y, y_step); });
}
void wino_grad_f32(int64_t size, int64_t taps, int64_t tiles, const float* x, int64_t x_row, float* y,
                   int64_t y_step, int64_t y_tile) {
  wino_with(size, taps, [=](auto w) { wino_grad<decltype(w)>(tiles, x, x_row, y, y_step, y_tile); });
}
bool wino_weight_f32(int64_t size, int64_t taps, int64_t n, const float* x, int64_t x_step, int64_t x_row,
                     float* y) {
  return wino_with(size, taps, [=](auto w) { return wino_weight<decltype(w)>(n, x, x_step, x_row, y); });
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
