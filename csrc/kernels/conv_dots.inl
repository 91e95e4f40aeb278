// Convolution of many channels to few, images with their channels last: lanes are the elements that a line of
// taps sees of a pixel, which lie side by side.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr int kDotSums = 24;
#else
constexpr int kDotSums = 12;
#endif

// P pixels, R results.
template <int P, int R>
__attribute__((noinline)) void line_dots(int64_t lines, const int64_t* place, int64_t length, const float* x,
                                         int64_t x_step, const float* w, int64_t w_step, const float* bias,
                                         float* y, int64_t y_step) {
  Vec acc[P][R];
#pragma GCC unroll 24
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) acc[p][r] = zero();
  }
  for (int64_t s = 0; s < lines; ++s) {
    const float *from = x + place[2 * s], *row = w + place[2 * s + 1];
    const auto add = [&](int64_t k, auto read) {
      Vec wv[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) wv[r] = read(row + r * w_step + k);
#pragma GCC unroll 24
      for (int p = 0; p < P; ++p) {
        const Vec value = read(from + p * x_step + k);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) acc[p][r] = fma(wv[r], value, acc[p][r]);
      }
    };
    int64_t k = 0;
    for (; k + kWidth <= length; k += kWidth) add(k, [](const float* q) { return load(q); });
    if (k < length) add(k, [&](const float* q) { return load_n(q, length - k); });
  }
#pragma GCC unroll 24
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) y[p * y_step + r] = (bias ? bias[r] : 0.f) + reduce_add(acc[p][r]);
  }
}

// P pixels at a time, of which the last may be computed twice; of fewer, half as many.
template <int P, int R>
NNLIB_INLINE void pixel_line_dots(int64_t cols, int64_t lines, const int64_t* place, int64_t length,
                                  const float* x, int64_t x_step, const float* w, int64_t w_step,
                                  const float* bias, float* y, int64_t y_step) {
  if constexpr (P > 1) {
    if (cols < P)
      return pixel_line_dots<P / 2, R>(cols, lines, place, length, x, x_step, w, w_step, bias, y, y_step);
  }
  for (int64_t j = 0; j < cols; j += P) {
    const int64_t i = j + P <= cols ? j : cols - P;
    line_dots<P, R>(lines, place, length, x + i * x_step, x_step, w, w_step, bias, y + i * y_step, y_step);
  }
}

template <int N>
struct DotResults {
  static constexpr int count = N;
};
// Calls f(first, DotResults<count>()) for blocks of results that are about as many.
template <class F>
NNLIB_INLINE void for_dot_results(int64_t results, F f) {
  const int64_t blocks = (results + 3) / 4;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t r = results * b / blocks, count = results * (b + 1) / blocks - r;
    if (count == 4) f(r, DotResults<4>());
    if (count == 3) f(r, DotResults<3>());
    if (count == 2) f(r, DotResults<2>());
    if (count == 1) f(r, DotResults<1>());
  }
}

void line_dots_f32(int64_t cols, int64_t results, int64_t lines, const int64_t* place, int64_t length,
                   const float* x, int64_t x_step, const float* w, int64_t w_step, const float* bias,
                   float* y, int64_t y_step) {
  constexpr int64_t pixels = 48;  // that a block's weights serve while they are near
  const int64_t parts = (cols + pixels - 1) / pixels;
  for (int64_t p = 0; p < parts; ++p) {
    const int64_t j = cols * p / parts, m = cols * (p + 1) / parts - j;
    for_dot_results(results, [&](int64_t r, auto n) {
      constexpr int R = decltype(n)::count;
      pixel_line_dots<kDotSums / R, R>(m, lines, place, length, x + j * x_step, x_step, w + r * w_step,
                                       w_step, bias ? bias + r : nullptr, y + j * y_step + r, y_step);
    });
  }
}

// R results times V vectors of a line, of n elements.
template <int R, int V>
__attribute__((noinline)) void line_sums(int64_t cols, int64_t n, const float* x, int64_t x_step,
                                         const float* g, int64_t g_step, float* sum, int64_t sum_step) {
  constexpr int64_t last = (V - 1) * kWidth;
  Vec acc[R][V];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 24
    for (int v = 0; v < V; ++v) acc[r][v] = zero();
  }
  const auto add = [&](auto read) {
    for (int64_t j = 0; j < cols; ++j, x += x_step, g += g_step) {
      Vec value[V];
#pragma GCC unroll 24
      for (int v = 0; v + 1 < V; ++v) value[v] = load(x + v * kWidth);
      value[V - 1] = read(x + last);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Vec gv = set1(g[r]);
#pragma GCC unroll 24
        for (int v = 0; v < V; ++v) acc[r][v] = fma(gv, value[v], acc[r][v]);
      }
    }
  };
  const bool whole = n == V * kWidth;
  if (whole) {
    add([](const float* q) { return load(q); });
  } else {
    add([&](const float* q) { return load_n(q, n - last); });
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r, sum += sum_step) {
#pragma GCC unroll 24
    for (int v = 0; v + 1 < V; ++v) store(sum + v * kWidth, load(sum + v * kWidth) + acc[r][v]);
    if (whole) {
      store(sum + last, load(sum + last) + acc[r][V - 1]);
    } else {
      store_n(sum + last, load_n(sum + last, n - last) + acc[r][V - 1], n - last);
    }
  }
}

// line_sums of v <= V vectors.
template <int R, int V>
NNLIB_INLINE void some_line_sums(int64_t v, int64_t cols, int64_t n, const float* x, int64_t x_step,
                                 const float* g, int64_t g_step, float* sum, int64_t sum_step) {
  if constexpr (V > 1) {
    if (v < V) return some_line_sums<R, V - 1>(v, cols, n, x, x_step, g, g_step, sum, sum_step);
  }
  line_sums<R, V>(cols, n, x, x_step, g, g_step, sum, sum_step);
}

void line_sums_f32(int64_t cols, int64_t results, int64_t lines, const int64_t* place, int64_t length,
                   const float* x, int64_t x_step, const float* g, int64_t g_step, float* sum,
                   int64_t sum_step) {
  const int64_t vectors = (length + kWidth - 1) / kWidth;
  for (int64_t s = 0; s < lines; ++s) {
    for_dot_results(results, [&](int64_t r, auto n) {
      constexpr int R = decltype(n)::count, V = kDotSums / (R > 1 ? R : 2);
      const int64_t pieces = (vectors + V - 1) / V;
      for (int64_t i = 0; i < pieces; ++i) {
        const int64_t v = vectors * i / pieces, end = vectors * (i + 1) / pieces, k = v * kWidth,
                      rest = end == vectors ? length - k : (end - v) * kWidth;
        some_line_sums<R, V>(end - v, cols, rest, x + place[2 * s] + k, x_step, g + r, g_step,
                             sum + r * sum_step + place[2 * s + 1] + k, sum_step);
      }
    });
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
