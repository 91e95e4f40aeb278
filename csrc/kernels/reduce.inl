// Sums. A fixed order of additions: lanes, then blocks, so that the result depends on the sizes alone.
#pragma once
#include "vec.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

constexpr int64_t kSumBlock = 64 * kWidth;

// Sums of four vectors are what the lanes add up: a quarter of the roundings, and two chains hide the latency
// of an addition. n <= kSumBlock.
NNLIB_INLINE Vec sum_of_four(const float* x) {
  return (load(x) + load(x + kWidth)) + (load(x + 2 * kWidth) + load(x + 3 * kWidth));
}
NNLIB_INLINE float sum_block(int64_t n, const float* x) {
  Vec a = zero(), b = zero();
  int64_t i = 0;
  for (; i + 8 * kWidth <= n; i += 8 * kWidth) {
    a = a + sum_of_four(x + i);
    b = b + sum_of_four(x + i + 4 * kWidth);
  }
  for (; i < n; i += kWidth) a = a + load_n(x + i, n - i);
  return reduce_add(a + b);
}

double sum_f32(int64_t n, const float* x) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kSumBlock) total += sum_block(n - i < kSumBlock ? n - i : kSumBlock, x + i);
  return total;
}

double sum_squares_f32(int64_t n, const float* x, float shift) {
  const Vec s = set1(shift);
  double total = 0;
  for (int64_t from = 0; from < n; from += kSumBlock) {
    const int64_t end = n - from < kSumBlock ? n : from + kSumBlock;
    Vec a = zero(), b = zero();
    int64_t i = from;
    for (; i + 2 * kWidth <= end; i += 2 * kWidth) {
      const Vec p = load(x + i) - s, q = load(x + i + kWidth) - s;
      a = fma(p, p, a);
      b = fma(q, q, b);
    }
    for (; i < end; i++) total += double(x[i] - shift) * double(x[i] - shift);
    total += reduce_add(a + b);
  }
  return total;
}

template <class F>
NNLIB_INLINE float extreme(int64_t n, const float* x, float start, F f) {
  Vec a = set1(start), b = set1(start);
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    a = f(a, load(x + i));
    b = f(b, load(x + i + kWidth));
  }
  float lanes[kWidth];
  store(lanes, f(a, b));
  for (int64_t half = kWidth / 2; half > 0; half /= 2)
    for (int64_t k = 0; k < half; k++) lanes[k] = f(lanes[k], lanes[k + half]);
  float r = lanes[0];
  for (; i < n; i++) r = f(r, x[i]);
  return r;
}
struct Largest {
  NNLIB_INLINE Vec operator()(Vec a, Vec b) const { return max_nan(a, b); }
  NNLIB_INLINE float operator()(float a, float b) const { return a != a || a > b ? a : b; }
};
struct Smallest {
  NNLIB_INLINE Vec operator()(Vec a, Vec b) const { return min_nan(a, b); }
  NNLIB_INLINE float operator()(float a, float b) const { return a != a || a < b ? a : b; }
};
float max_f32(int64_t n, const float* x) { return extreme(n, x, -INFINITY, Largest()); }
float min_f32(int64_t n, const float* x) { return extreme(n, x, INFINITY, Smallest()); }

// Columns j to j + kVecs * kWidth, of which the last vector has n values.
template <int kVecs>
NNLIB_INLINE void sum_columns(int64_t rows, int64_t n, const float* x, int64_t ld, double* acc) {
  const auto get = [=](const float* p, int v) {
    return v + 1 < kVecs ? load(p + v * kWidth) : load_n(p + v * kWidth, n);
  };
  for (int64_t r0 = 0; r0 < rows; r0 += 16) {
    const int64_t r1 = rows - r0 < 16 ? rows : r0 + 16;
    Vec a[kVecs], b[kVecs];
    for (int v = 0; v < kVecs; ++v) a[v] = b[v] = zero();
    int64_t r = r0;
    for (; r + 2 <= r1; r += 2) {
      for (int v = 0; v < kVecs; ++v) {
        a[v] = a[v] + get(x + r * ld, v);
        b[v] = b[v] + get(x + (r + 1) * ld, v);
      }
    }
    if (r < r1)
      for (int v = 0; v < kVecs; ++v) a[v] = a[v] + get(x + r * ld, v);
    float part[kVecs * kWidth];
    for (int v = 0; v < kVecs; ++v) store(part + v * kWidth, a[v] + b[v]);
    for (int64_t k = 0; k < (kVecs - 1) * kWidth + n; k++) acc[k] += part[k];
  }
}
void sum_rows_f32(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  int64_t j = 0;
  for (; j + 4 * kWidth <= cols; j += 4 * kWidth) sum_columns<4>(rows, kWidth, x + j, ld, acc + j);
  for (; j < cols; j += kWidth)
    sum_columns<1>(rows, cols - j < kWidth ? cols - j : kWidth, x + j, ld, acc + j);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
