// Winograd's convolution of 3x3 kernels: transforms of tiles, and the products between them. After Lavin and
// Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. Lanes are channels.
//
// A tile of m x m outputs (m = 4 or 2) is A^T [(G g G^T) . (B^T d B)] A, summed over the input channels,
// where d is the (m + 2) x (m + 2) input under it and g the kernel. F(2x2) uses the points 0, 1, -1 and
// infinity, F(4x4) the points 0, +-5/8, +-3/2 and infinity, whose rounding errors are half those of the usual
// 0, +-1, +-2.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Rows (tiles) of a product and its width in vectors of output channels.
#if defined(__AVX512F__)
constexpr int kWinoRows = 14, kWinoVecs = 2;
#elif defined(__AVX2__)
constexpr int kWinoRows = 6, kWinoVecs = 2;
#elif defined(__aarch64__)
constexpr int kWinoRows = 6, kWinoVecs = 4;
#else
constexpr int kWinoRows = 4, kWinoVecs = 2;
#endif
// Of a sum over tiles, whose rows are input channels: a vector of them is served in one or two.
constexpr int kSumRows = kWidth < 8 ? kWidth : kWidth / 2, kSumVecs = kWinoRows == 4 ? 2 : 3;
constexpr int64_t wino_lanes = kWidth, wino_mr = kWinoRows, wino_nr = kWinoVecs * kWidth;
// What a core keeps in its second-level cache: elements of the transformed tiles of a block.
#if defined(__AVX512F__)
constexpr int64_t wino_block = 192 << 10;
#else
constexpr int64_t wino_block = 64 << 10;
#endif

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

// ---- between planes and channels in lanes

void wino_frame_f32(int64_t channels, int64_t rows, int64_t low, int64_t n, int64_t high, const float* x,
                    int64_t x_channel, int64_t x_row, float* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    float* dst = y;
    for (int64_t i = 0; i < low; ++i, dst += kWidth) store(dst, zero());
    for (int64_t i = 0; i < n; i += kWidth) {
      const int64_t some = n - i < kWidth ? n - i : kWidth;
      Vec v[kWidth];
#pragma GCC unroll 16
      for (int c = 0; c < kWidth; ++c) {
        const float* src = x + c * x_channel + i;
        v[c] = c >= channels ? zero() : some == kWidth ? load(src) : load_n(src, some);
      }
      transpose(v);
      if (some == kWidth) {
#pragma GCC unroll 16
        for (int j = 0; j < kWidth; ++j) store(dst + j * kWidth, v[j]);
      } else {
        for (int j = 0; j < some; ++j) store(dst + j * kWidth, v[j]);
      }
      dst += some * kWidth;
    }
    for (int64_t i = 0; i < high; ++i, dst += kWidth) store(dst, zero());
  }
}

void wino_unframe_f32(int64_t channels, int64_t rows, int64_t n, const float* x, int64_t x_row, float* y,
                      int64_t y_channel, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    for (int64_t i = 0; i < n; i += kWidth) {
      const int64_t some = n - i < kWidth ? n - i : kWidth;
      Vec v[kWidth];
#pragma GCC unroll 16
      for (int j = 0; j < kWidth; ++j) v[j] = j < some ? load(x + (i + j) * kWidth) : zero();
      transpose(v);
      float* dst = y + i;
      if (some == kWidth && channels == kWidth) {
#pragma GCC unroll 16
        for (int c = 0; c < kWidth; ++c) store(dst + c * y_channel, v[c]);
      } else {
        for (int64_t c = 0; c < channels; ++c) store_n(dst + c * y_channel, v[c], some);
      }
    }
  }
}

// ---- transforms of tiles

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

// ---- products

// C[R, V vectors] (+)= A B. Element (k, row i) of A is a[k / D * lda + i * D + k % D], where D > 1, else a[k
// * lda + i]; vector v of row k of B is at b + k * ldb + v * b_vec. Rows past m are computed from what stands
// there, not stored.
template <int R, int V, int D>
__attribute__((noinline)) void wino_product(int64_t kc, const float* a, int64_t lda, const float* b,
                                            int64_t ldb, int64_t b_vec, float* c, int64_t ldc, int64_t m,
                                            bool accumulate) {
  Vec acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[i][v] = zero();
  }
  for (int64_t k = 0; k < kc; k += D, a += lda) {
    const float* end = a + (kc - k < D ? kc - k : D);
    for (const float* p = a; p < end; ++p, b += ldb) {
      Vec bv[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) bv[v] = load(b + v * b_vec);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const Vec ai = set1(p[i * D]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] = fma(ai, bv[v], acc[i][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    if (i >= m) break;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* p = c + i * ldc + v * kWidth;
      store(p, accumulate ? acc[i][v] + load(p) : acc[i][v]);
    }
  }
}

template <int V>
NNLIB_INLINE void wino_rows(int64_t kc, const float* a, const float* b, float* c, int64_t ldc, int64_t m,
                            bool accumulate) {
  constexpr int all = kWinoRows, eight = all < 8 ? all : 8, four = all < 4 ? all : 4, D = kWidth;
  const int64_t lda = m * D;
  if (m > eight) return wino_product<all, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  if (m > four) return wino_product<eight, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  if (m > 2) return wino_product<four, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  if (m > 1) return wino_product<2, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
  wino_product<1, V, D>(kc, a, lda, b, wino_nr, D, c, ldc, m, accumulate);
}

void wino_tile_f32(int64_t kc, const float* a, const float* b, float* c, int64_t ldc, int64_t m, int64_t n,
                   bool accumulate) {
  if (m <= 0 || n <= 0) return;
  if (n <= kWidth) return wino_rows<1>(kc, a, b, c, ldc, m, accumulate);
  wino_rows<kWinoVecs>(kc, a, b, c, ldc, m, accumulate);
}

template <int V>
NNLIB_INLINE void wino_sums(int64_t kc, const float* a, const float* b, int64_t b_vec, float* c, int64_t ldc,
                            bool accumulate) {
  for (int i = 0; i < kWidth; i += kSumRows) {
    wino_product<kSumRows, V, 1>(kc, a + i, kWidth, b, kWidth, b_vec, c + i * ldc, ldc, kSumRows, accumulate);
  }
}

void wino_outer_f32(int64_t kc, const float* a, const float* b, int64_t b_vec, int64_t vectors, float* c,
                    int64_t ldc, bool accumulate) {
  for (; vectors > 0; vectors -= kSumVecs, b += kSumVecs * b_vec, c += kSumVecs * kWidth) {
    if (vectors >= kSumVecs) {
      wino_sums<kSumVecs>(kc, a, b, b_vec, c, ldc, accumulate);
    } else if (vectors == 2) {
      wino_sums<2>(kc, a, b, b_vec, c, ldc, accumulate);
    } else {
      wino_sums<1>(kc, a, b, b_vec, c, ldc, accumulate);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
