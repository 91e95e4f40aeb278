// Convolution of few channels a group whose lanes are channels: a pixel of a frame is pixel_lanes channels
// side by side.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int64_t pixel_lanes = 16;
constexpr int kPixelVecs = pixel_lanes / kWidth;
// As many pixels as registers hold beside a tap: a tap is read once for all of them. Eight accumulators hide
// the latency of the additions; twelve leave registers for what they are made of.
#if defined(__AVX512F__)
constexpr int kPixelsAtOnce = 14;
#elif defined(__AVX2__)
constexpr int kPixelsAtOnce = 7;
#else
constexpr int kPixelsAtOnce = 2;
#endif
constexpr int kTapsAtOnce = 12 / kPixelVecs;

// One vector of lanes of n pixels.
template <class Read>
NNLIB_INLINE void spread_lanes(int64_t n, const float* x, int64_t x_step, float* y, Read read) {
  for (int64_t p = 0; p < n; ++p) store(y + p * pixel_lanes, read(x + p * x_step));
}

void spread_pixels_f32(int64_t n, int64_t channels, const float* x, int64_t x_step, int64_t sets,
                       const int32_t* index, float* y, int64_t y_set) {
  constexpr int64_t some = 8;  // pixels that are read again for each set
  for (int64_t p = 0; p < n; p += some) {
    const int64_t pixels = n - p < some ? n - p : some;
    const float* from = x + p * x_step;
    for (int64_t i = some; i < 2 * some && p + i < n; ++i) prefetch(from + i * x_step);
    for (int64_t s = 0; s < sets; ++s) {
      for (int v = 0; v < kPixelVecs; ++v) {
        const int32_t* lane = index + s * pixel_lanes + v * kWidth;
        float* to = y + s * y_set + p * pixel_lanes + v * kWidth;
        int32_t low = lane[0], high = lane[0];
        for (int q = 1; q < kWidth; ++q) {
          low = lane[q] < low ? lane[q] : low;
          high = lane[q] > high ? lane[q] : high;
        }
        // A vector of x that holds all lanes, and does not reach past its channels.
        if (low + kWidth > channels) low = int32_t(channels - kWidth);
        if (low >= 0 && high < low + kWidth) {
          const IVec at = load_i(lane) - set1i(low);
          spread_lanes(pixels, from + low, x_step, to, [&](const float* q) { return permute(load(q), at); });
        } else {
          const IVec at = load_i(lane);
          spread_lanes(pixels, from, x_step, to, [&](const float* q) { return gather(q, at); });
        }
      }
    }
  }
}

template <int P>
__attribute__((noinline)) void pixel_sums(int64_t channels, int64_t taps, const int64_t* offset,
                                          const float* x, const float* w, const float* bias, float* y,
                                          int64_t y_step) {
  Vec acc[P][kPixelVecs];
#pragma GCC unroll 14
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v) acc[p][v] = load(bias + v * kWidth);
  }
  for (int64_t t = 0; t < taps; ++t, w += pixel_lanes) {
    const float* from = x + offset[t] * pixel_lanes;
    Vec wv[kPixelVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v) wv[v] = load(w + v * kWidth);
#pragma GCC unroll 14
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < kPixelVecs; ++v)
        acc[p][v] = fma(wv[v], load(from + p * pixel_lanes + v * kWidth), acc[p][v]);
    }
  }
#pragma GCC unroll 14
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v)
      store_n(y + p * y_step + v * kWidth, acc[p][v], channels - v * kWidth);
  }
}

// pixel_sums of p <= P pixels.
template <int P>
NNLIB_INLINE void some_pixels(int64_t p, int64_t channels, int64_t taps, const int64_t* offset,
                              const float* x, const float* w, const float* bias, float* y, int64_t y_step) {
  if constexpr (P > 1) {
    if (p < P) return some_pixels<P - 1>(p, channels, taps, offset, x, w, bias, y, y_step);
  }
  pixel_sums<P>(channels, taps, offset, x, w, bias, y, y_step);
}

void depthwise_pixels_f32(int64_t rows, int64_t cols, int64_t channels, int64_t taps, const int64_t* offset,
                          const float* x, int64_t row_step, const float* w, const float* bias, float* y,
                          int64_t y_row, int64_t y_step) {
  // Parts of about the same width: a few pixels alone would wait for their sums.
  const int64_t parts = (cols + kPixelsAtOnce - 1) / kPixelsAtOnce;
  for (int64_t r = 0; r < rows; ++r, x += row_step * pixel_lanes, y += y_row) {
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t j = cols * p / parts, n = cols * (p + 1) / parts - j;
      some_pixels<kPixelsAtOnce>(n, channels, taps, offset, x + j * pixel_lanes, w, bias, y + j * y_step,
                                 y_step);
    }
  }
}

// The same for P pixels where they lie in an image, x_step apart. past: y is stored past the caches.
template <int P>
__attribute__((noinline)) void image_sums(int64_t taps, const int64_t* place, const float* x, int64_t x_step,
                                          const float* w, float* y, int64_t y_step, bool past) {
  Vec acc[P][kPixelVecs];
#pragma GCC unroll 14
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v) acc[p][v] = load(w + v * kWidth);
  }
  for (int64_t t = 0; t < taps; ++t) {
    const float *from = x + place[2 * t], *tap = w + place[2 * t + 1];
    Vec wv[kPixelVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v) wv[v] = load(tap + v * kWidth);
#pragma GCC unroll 14
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < kPixelVecs; ++v)
        acc[p][v] = fma(wv[v], load(from + p * x_step + v * kWidth), acc[p][v]);
    }
  }
  if (past) {
#pragma GCC unroll 14
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < kPixelVecs; ++v) stream(y + p * y_step + v * kWidth, acc[p][v]);
    }
    return;
  }
#pragma GCC unroll 14
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v) store(y + p * y_step + v * kWidth, acc[p][v]);
  }
}

// image_sums of p <= P pixels.
template <int P>
NNLIB_INLINE void some_of_image(int64_t p, int64_t taps, const int64_t* place, const float* x, int64_t x_step,
                                const float* w, float* y, int64_t y_step, bool past) {
  if constexpr (P > 1) {
    if (p < P) return some_of_image<P - 1>(p, taps, place, x, x_step, w, y, y_step, past);
  }
  image_sums<P>(taps, place, x, x_step, w, y, y_step, past);
}

// Lines of the caches that are fetched from memory a few at each of `steps` steps.
struct Ahead {
  Ahead(const float* from, int64_t lines, int64_t steps)
      : at(from), stop(from + lines * line), each(steps > 0 ? (lines + steps - 1) / steps : 0) {}
  NNLIB_INLINE void step() {
    for (int64_t i = 0; i < each && at < stop; ++i, at += line) prefetch(at);
  }
  static constexpr int64_t line = 64 / sizeof(float);
  const float *at, *stop;
  int64_t each;
};

// Calls f(first pixel, pixels, first channel, block) for at most `some` pixels with all of their channels
// after the other: memory is read in its order.
template <class F>
NNLIB_INLINE void for_image_parts(int64_t cols, int64_t some, int64_t channels, const float* ahead,
                                  int64_t lines, F f) {
  const int64_t parts = (cols + some - 1) / some, blocks = (channels + pixel_lanes - 1) / pixel_lanes;
  Ahead next(ahead, lines, parts * blocks);
  for (int64_t p = 0; p < parts; ++p) {
    const int64_t j = cols * p / parts, n = cols * (p + 1) / parts - j;
    for (int64_t b = 0; b < blocks; ++b) {
      next.step();
      // The last block may share channels with the one before.
      const int64_t c = b * pixel_lanes, last = channels - pixel_lanes;
      f(j, n, c < last ? c : last, b);
    }
  }
}

void depthwise_last_f32(int64_t cols, int64_t channels, int64_t taps, const int64_t* place, const float* x,
                        int64_t x_step, const float* w, int64_t w_block, float* y, int64_t y_step, bool past,
                        const float* ahead, int64_t lines) {
  for_image_parts(cols, kPixelsAtOnce, channels, ahead, lines,
                  [&](int64_t j, int64_t n, int64_t c, int64_t block) {
                    some_of_image<kPixelsAtOnce>(n, taps, place, x + j * x_step + c, x_step,
                                                 w + block * w_block, y + j * y_step + c, y_step, past);
                  });
  if (past) fence();
}

// For N taps the products of n pixels of g and x, added up. One vector of channels after the other: then
// more taps share what is read of g.
template <int N>
__attribute__((noinline)) void image_dots(int64_t n, const int64_t* place, const float* x, int64_t x_step,
                                          const float* g, int64_t g_step, float* sum) {
  for (int v = 0; v < kPixelVecs; ++v) {
    Vec acc[N];
    const float* from[N];
#pragma GCC unroll 9
    for (int t = 0; t < N; ++t) {
      acc[t] = zero();
      from[t] = x + place[2 * t] + v * kWidth;
    }
    const float* line = g + v * kWidth;
    for (int64_t j = 0, at = 0; j < n; ++j, at += x_step, line += g_step) {
      const Vec gv = load(line);
#pragma GCC unroll 9
      for (int t = 0; t < N; ++t) acc[t] = fma(gv, load(from[t] + at), acc[t]);
    }
#pragma GCC unroll 9
    for (int t = 0; t < N; ++t) {
      float* to = sum + place[2 * t + 1] + v * kWidth;
      store(to, load(to) + acc[t]);
    }
  }
}

// image_dots of n <= N taps.
template <int N>
NNLIB_INLINE void some_dots(int64_t n, int64_t pixels, const int64_t* place, const float* x, int64_t x_step,
                            const float* g, int64_t g_step, float* sum) {
  if constexpr (N > 1) {
    if (n < N) return some_dots<N - 1>(n, pixels, place, x, x_step, g, g_step, sum);
  }
  image_dots<N>(pixels, place, x, x_step, g, g_step, sum);
}

void depthwise_last_dots_f32(int64_t cols, int64_t channels, int64_t taps, const int64_t* place,
                             const float* x, int64_t x_step, const float* g, int64_t g_step, float* sum,
                             int64_t sum_block, const float* ahead, int64_t lines) {
  constexpr int64_t some = 9, pixels = 28;  // taps: as pointers fit into registers
  const int64_t groups = (taps + some - 1) / some;
  for_image_parts(cols, pixels, channels, ahead, lines, [&](int64_t j, int64_t n, int64_t c, int64_t block) {
    for (int64_t q = 0; q < groups; ++q) {
      const int64_t t = taps * q / groups, count = taps * (q + 1) / groups - t;
      some_dots<some>(count, n, place + 2 * t, x + j * x_step + c, x_step, g + j * g_step + c, g_step,
                      sum + block * sum_block);
    }
  });
}

template <int N>
NNLIB_INLINE void pixel_dots(int64_t rows, int64_t cols, const float* g, int64_t g_row, int64_t g_step,
                             const float* x, const int64_t* offset, int64_t row_step, float* sum) {
  Vec acc[N][kPixelVecs];
  const float* from[N];
#pragma GCC unroll 12
  for (int t = 0; t < N; ++t) {
    from[t] = x + offset[t] * pixel_lanes;
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v) acc[t][v] = load(sum + t * pixel_lanes + v * kWidth);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float* line = g + r * g_row;
    int64_t at = r * row_step * pixel_lanes;
    for (int64_t j = 0; j < cols; ++j, line += g_step, at += pixel_lanes) {
      Vec gv[kPixelVecs];
#pragma GCC unroll 4
      for (int v = 0; v < kPixelVecs; ++v) gv[v] = load(line + v * kWidth);
#pragma GCC unroll 12
      for (int t = 0; t < N; ++t) {
#pragma GCC unroll 4
        for (int v = 0; v < kPixelVecs; ++v)
          acc[t][v] = fma(gv[v], load(from[t] + at + v * kWidth), acc[t][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (int t = 0; t < N; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < kPixelVecs; ++v) store(sum + t * pixel_lanes + v * kWidth, acc[t][v]);
  }
}

void pixel_dots_f32(int64_t taps, int64_t rows, int64_t cols, const float* g, int64_t g_row, int64_t g_step,
                    const float* x, const int64_t* offset, int64_t row_step, float* sum) {
  int64_t t = 0;
  for (; t + kTapsAtOnce <= taps; t += kTapsAtOnce)
    pixel_dots<kTapsAtOnce>(rows, cols, g, g_row, g_step, x, offset + t, row_step, sum + t * pixel_lanes);
  for (; t + 3 <= taps; t += 3)
    pixel_dots<3>(rows, cols, g, g_row, g_step, x, offset + t, row_step, sum + t * pixel_lanes);
  for (; t < taps; ++t)
    pixel_dots<1>(rows, cols, g, g_row, g_step, x, offset + t, row_step, sum + t * pixel_lanes);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
