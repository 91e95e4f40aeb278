// Convolution of images with their channels last, read where they lie: what some taps see of a pixel is a
// stretch of memory, each element of which is multiplied by a row of weights. Lanes are channels of the
// result.
#pragma once
#include "conv_last.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// Accumulators: pixels, or elements of a stretch, times vectors of lanes.
#if defined(__AVX512F__)
constexpr int kStretchSums = 24;
#else
constexpr int kStretchSums = 12;
#endif

// P pixels, V vectors of n lanes.
template <int P, int V>
__attribute__((noinline)) void stretch_sums(int64_t n, int64_t stretches, const int64_t* place,
                                            int64_t length, const float* x, int64_t x_step, const float* w,
                                            int64_t ld, float* y, int64_t y_step) {
  constexpr int G =
      (P + 2) / 3;  // a pointer for three pixels: an address is one of them and x_step or twice that
  Vec acc[P][V];
#pragma GCC unroll 24
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[p][v] = load(w + v * kWidth);
  }
  for (int64_t s = 0; s < stretches; ++s) {
    const float* from[G];
#pragma GCC unroll 8
    for (int i = 0; i < G; ++i) from[i] = x + place[2 * s] + 3 * i * x_step;
    const float *row = w + place[2 * s + 1], *end = row + length * ld;
    for (; row < end; row += ld) {
      Vec wv[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) wv[v] = load(row + v * kWidth);
#pragma GCC unroll 24
      for (int p = 0; p < P; ++p) {
        const Vec value = set1(from[p / 3][p % 3 * x_step]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) acc[p][v] = fma(wv[v], value, acc[p][v]);
      }
#pragma GCC unroll 8
      for (int i = 0; i < G; ++i) ++from[i];
    }
  }
#pragma GCC unroll 24
  for (int p = 0; p < P; ++p) {
    if (n == V * kWidth) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store(y + p * y_step + v * kWidth, acc[p][v]);
    } else {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store_n(y + p * y_step + v * kWidth, acc[p][v], n - v * kWidth);
    }
  }
}

// stretch_sums of p <= P pixels.
template <int P, int V>
NNLIB_INLINE void some_stretches(int64_t p, int64_t n, int64_t stretches, const int64_t* place,
                                 int64_t length, const float* x, int64_t x_step, const float* w, int64_t ld,
                                 float* y, int64_t y_step) {
  if constexpr (P > 1) {
    if (p < P) return some_stretches<P - 1, V>(p, n, stretches, place, length, x, x_step, w, ld, y, y_step);
  }
  stretch_sums<P, V>(n, stretches, place, length, x, x_step, w, ld, y, y_step);
}

void stretches_f32(int64_t cols, int64_t blocks, const int64_t* block, int64_t stretches,
                   const int64_t* place, int64_t length, const float* x, int64_t x_step, const float* w,
                   int64_t w_block, int64_t ld, float* y, int64_t y_step, const float* ahead, int64_t lines) {
  constexpr int one = kStretchSums, two = kStretchSums / 2;
  constexpr int64_t pixels = 48;  // that a block's weights serve while they are near
  const int64_t parts = (cols + pixels - 1) / pixels;
  Ahead next(ahead, lines, parts * blocks);
  for (int64_t p = 0; p < parts; ++p) {
    const int64_t first = cols * p / parts, m = cols * (p + 1) / parts - first;
    for (int64_t b = 0; b < blocks; ++b) {
      next.step();
      const int64_t n = block[3 * b + 2], some = n > kWidth ? two : one, chunks = (m + some - 1) / some;
      const float* weights = w + b * w_block;
      for (int64_t i = 0; i < chunks; ++i) {
        const int64_t j = m * i / chunks, count = m * (i + 1) / chunks - j;
        const float* from = x + (first + j) * x_step + block[3 * b];
        float* to = y + (first + j) * y_step + block[3 * b + 1];
        if (n > kWidth) {
          some_stretches<two, 2>(count, n, stretches, place, length, from, x_step, weights, ld, to, y_step);
        } else {
          some_stretches<one, 1>(count, n, stretches, place, length, from, x_step, weights, ld, to, y_step);
        }
      }
    }
  }
}

// K elements of a stretch, V vectors of n lanes of g, of `cols` pixels.
template <int K, int V>
__attribute__((noinline)) void stretch_dots(int64_t cols, int64_t n, const float* x, int64_t x_step,
                                            const float* g, int64_t g_step, float* sum, int64_t ld) {
  Vec acc[K][V];
#pragma GCC unroll 24
  for (int k = 0; k < K; ++k) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[k][v] = zero();
  }
  const auto add = [&](auto read) {
    for (int64_t j = 0; j < cols; ++j, x += x_step, g += g_step) {
      Vec gv[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) gv[v] = read(g + v * kWidth, n - v * kWidth);
#pragma GCC unroll 24
      for (int k = 0; k < K; ++k) {
        const Vec value = set1(x[k]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) acc[k][v] = fma(gv[v], value, acc[k][v]);
      }
    }
  };
  if (n == V * kWidth) {
    add([](const float* p, int64_t) { return load(p); });
  } else {
    add([](const float* p, int64_t rest) { return load_n(p, rest); });
  }
#pragma GCC unroll 24
  for (int k = 0; k < K; ++k) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      float* to = sum + k * ld + v * kWidth;
      store(to, load(to) + acc[k][v]);
    }
  }
}

template <int K, int V>
NNLIB_INLINE void some_stretch_dots(int64_t k, int64_t cols, int64_t n, const float* x, int64_t x_step,
                                    const float* g, int64_t g_step, float* sum, int64_t ld) {
  if constexpr (K > 1) {
    if (k < K) return some_stretch_dots<K - 1, V>(k, cols, n, x, x_step, g, g_step, sum, ld);
  }
  stretch_dots<K, V>(cols, n, x, x_step, g, g_step, sum, ld);
}

void stretch_dots_f32(int64_t cols, int64_t blocks, const int64_t* block, int64_t stretches,
                      const int64_t* place, int64_t length, const float* x, int64_t x_step, const float* g,
                      int64_t g_step, float* sum, int64_t sum_block, int64_t ld, const float* ahead,
                      int64_t lines) {
  constexpr int64_t pixels = 28;
  constexpr int one = kStretchSums, two = kStretchSums / 2;
  const int64_t parts = (cols + pixels - 1) / pixels;
  Ahead next(ahead, lines, parts * blocks);
  for (int64_t p = 0; p < parts; ++p) {
    const int64_t j = cols * p / parts, m = cols * (p + 1) / parts - j;
    for (int64_t b = 0; b < blocks; ++b) {
      next.step();
      const int64_t n = block[3 * b + 2], some = n > kWidth ? two : one, pieces = (length + some - 1) / some;
      const float* gradient = g + j * g_step + block[3 * b + 1];
      for (int64_t s = 0; s < stretches; ++s) {
        for (int64_t i = 0; i < pieces; ++i) {
          const int64_t k = length * i / pieces, count = length * (i + 1) / pieces - k;
          const float* from = x + j * x_step + block[3 * b] + place[2 * s] + k;
          float* to = sum + b * sum_block + place[2 * s + 1] + k * ld;
          if (n > kWidth) {
            some_stretch_dots<two, 2>(count, m, n, from, x_step, gradient, g_step, to, ld);
          } else {
            some_stretch_dots<one, 1>(count, m, n, from, x_step, gradient, g_step, to, ld);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
