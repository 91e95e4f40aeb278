// Sums. A fixed order of additions: lanes, then blocks, so that the result depends on the sizes alone.
#pragma once
#include "lane_types.h"
#include "vec_lanes.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// A block is 64 vectors. Sums of four vectors are what the lanes add up: a quarter of the roundings, and two
// chains hide the latency of an addition.
template <class L>
NNLIB_INLINE typename L::V sum_of_four(const typename L::type* x) {
  constexpr int64_t w = L::kLanes;
  return (L::get(x) + L::get(x + w)) + (L::get(x + 2 * w) + L::get(x + 3 * w));
}
template <class L>
NNLIB_INLINE typename L::One sum_block(int64_t n, const typename L::type* x) {
  constexpr int64_t w = L::kLanes;
  typename L::V a = L::splat(0), b = L::splat(0);
  int64_t i = 0;
  for (; i + 8 * w <= n; i += 8 * w) {
    a = a + sum_of_four<L>(x + i);
    b = b + sum_of_four<L>(x + i + 4 * w);
  }
  for (; i < n; i += w) a = a + L::get(x + i, n - i);
  return reduce_add(a + b);
}
template <class L>
NNLIB_INLINE double sum_blocks(int64_t n, const typename L::type* x) {
  constexpr int64_t block = 64 * L::kLanes;
  double total = 0;
  for (int64_t i = 0; i < n; i += block) total += sum_block<L>(n - i < block ? n - i : block, x + i);
  return total;
}
double sum_f32(int64_t n, const float* x) { return sum_blocks<LanesF32>(n, x); }
double sum_f64(int64_t n, const double* x) { return sum_blocks<LanesF64>(n, x); }
double sum_bf16(int64_t n, const uint16_t* x) { return sum_blocks<LanesBf16>(n, x); }
double sum_f16(int64_t n, const uint16_t* x) { return sum_blocks<LanesF16>(n, x); }

template <class L>
NNLIB_INLINE double sum_squares(int64_t n, const typename L::type* x, typename L::One shift) {
  constexpr int64_t w = L::kLanes, block = 64 * w;
  using V = typename L::V;
  const V s = L::splat(shift);
  double total = 0;
  for (int64_t from = 0; from < n; from += block) {
    const int64_t end = n - from < block ? n : from + block;
    V a = L::splat(0), b = a;
    int64_t i = from;
    for (; i + 2 * w <= end; i += 2 * w) {
      const V p = L::get(x + i) - s, q = L::get(x + i + w) - s;
      a = fma(p, p, a);
      b = fma(q, q, b);
    }
    for (; i < end; i++) {
      const typename L::One v = L::value(x + i) - shift;
      total += double(v) * double(v);
    }
    total += reduce_add(a + b);
  }
  return total;
}
double sum_squares_f32(int64_t n, const float* x, float shift) { return sum_squares<LanesF32>(n, x, shift); }
double sum_squares_f64(int64_t n, const double* x, double shift) {
  return sum_squares<LanesF64>(n, x, shift);
}

double sum_squares_bf16(int64_t n, const uint16_t* x, float shift) {
  return sum_squares<LanesBf16>(n, x, shift);
}
double sum_squares_f16(int64_t n, const uint16_t* x, float shift) {
  return sum_squares<LanesF16>(n, x, shift);
}

struct Largest {
  template <class V>
  NNLIB_INLINE V operator()(V a, V b) const {
    if constexpr (__is_class(V))
      return max_nan(a, b);
    else
      return a != a || a > b ? a : b;
  }
  template <class V>
  static NNLIB_INLINE auto across(V a) {
    return reduce_max(a);
  }
};
struct Smallest {
  template <class V>
  NNLIB_INLINE V operator()(V a, V b) const {
    if constexpr (__is_class(V))
      return min_nan(a, b);
    else
      return a != a || a < b ? a : b;
  }
  template <class V>
  static NNLIB_INLINE auto across(V a) {
    return reduce_min(a);
  }
};

template <class L, class F>
NNLIB_INLINE typename L::One extreme(int64_t n, const typename L::type* x, typename L::One start, F f) {
  constexpr int64_t w = L::kLanes;
  typename L::V a = L::splat(start), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    a = f(a, L::get(x + i));
    b = f(b, L::get(x + i + w));
    c = f(c, L::get(x + i + 2 * w));
    d = f(d, L::get(x + i + 3 * w));
  }
  for (; i + w <= n; i += w) a = f(a, L::get(x + i));
  if (i < n && n >= w) {  // values that are looked at twice change nothing
    b = f(b, L::get(x + n - w));
    i = n;
  }
  a = f(f(a, b), f(c, d));
  typename L::One r = any(is_nan(a)) ? reduce_add(a) : f.across(a);
  for (; i < n; i++) r = f(r, L::value(x + i));
  return r;
}
float max_f32(int64_t n, const float* x) { return extreme<LanesF32>(n, x, -INFINITY, Largest()); }
float min_f32(int64_t n, const float* x) { return extreme<LanesF32>(n, x, INFINITY, Smallest()); }
double max_f64(int64_t n, const double* x) { return extreme<LanesF64>(n, x, -INFINITY, Largest()); }
double min_f64(int64_t n, const double* x) { return extreme<LanesF64>(n, x, INFINITY, Smallest()); }
float max_bf16(int64_t n, const uint16_t* x) { return extreme<LanesBf16>(n, x, -INFINITY, Largest()); }
float min_bf16(int64_t n, const uint16_t* x) { return extreme<LanesBf16>(n, x, INFINITY, Smallest()); }
float max_f16(int64_t n, const uint16_t* x) { return extreme<LanesF16>(n, x, -INFINITY, Largest()); }
float min_f16(int64_t n, const uint16_t* x) { return extreme<LanesF16>(n, x, INFINITY, Smallest()); }

// Integers: plain loops with as many chains as the compiler needs for vectors.
template <class T, class A, class F>
NNLIB_INLINE A fold_integers(int64_t n, const T* x, A start, F f) {
  constexpr int64_t kChains = sizeof(A) == 8 ? 16 : 32;
  A part[kChains];
  for (int64_t k = 0; k < kChains; k++) part[k] = start;
  int64_t i = 0;
  for (; i + kChains <= n; i += kChains)
    for (int64_t k = 0; k < kChains; k++) part[k] = f(part[k], A(x[i + k]));
  for (; i < n; i++) part[0] = f(part[0], A(x[i]));
  for (int64_t half = kChains / 2; half > 0; half /= 2)
    for (int64_t k = 0; k < half; k++) part[k] = f(part[k], part[k + half]);
  return part[0];
}
// The extreme of n integers of one type.
template <class T>
NNLIB_INLINE int64_t extreme_of(bool max, int64_t n, const T* x) {
  constexpr T low = T(-1) < T(0) ? T(T(1) << (8 * sizeof(T) - 1)) : T(0), high = T(~low);
  if (max) return fold_integers(n, x, low, [](T a, T b) { return a > b ? a : b; });
  return fold_integers(n, x, high, [](T a, T b) { return a < b ? a : b; });
}
int64_t extreme_int(int64_t type, bool max, int64_t n, const void* x) {
  switch (type) {
    case 0:
    case 1:
      return extreme_of(max, n, (const uint8_t*)x);
    case 2:
      return extreme_of(max, n, (const int8_t*)x);
    case 3:
      return extreme_of(max, n, (const int16_t*)x);
    case 4:
      return extreme_of(max, n, (const int32_t*)x);
    default:
      return extreme_of(max, n, (const int64_t*)x);
  }
}
void clamp_i64(int64_t n, const int64_t* x, int64_t low, int64_t high, int64_t* y) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t v = x[i] < low ? low : x[i];
    y[i] = v > high ? high : v;
  }
}
// Wraps.
int64_t sum_i64(int64_t n, const int64_t* x) {
  return int64_t(fold_integers(n, x, uint64_t(0), [](uint64_t a, uint64_t b) { return a + b; }));
}

// Up to 16 rows of columns j to j + kVecs * lanes, of which the last vector has n values.
template <class L, int kVecs>
NNLIB_INLINE void sum_columns(int64_t rows, int64_t n, const typename L::type* x, int64_t ld, double* acc) {
  constexpr int64_t w = L::kLanes;
  using V = typename L::V;
  const auto get = [=](const typename L::type* p, int v) {
    return v + 1 < kVecs || n == w ? L::get(p + v * w) : L::get(p + v * w, n);
  };
  V a[kVecs], b[kVecs];
  for (int v = 0; v < kVecs; ++v) a[v] = b[v] = L::splat(0);
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    for (int v = 0; v < kVecs; ++v) {
      a[v] = a[v] + get(x + r * ld, v);
      b[v] = b[v] + get(x + (r + 1) * ld, v);
    }
  }
  if (r < rows)
    for (int v = 0; v < kVecs; ++v) a[v] = a[v] + get(x + r * ld, v);
  typename L::One part[kVecs * w];
  for (int v = 0; v < kVecs; ++v) store(part + v * w, a[v] + b[v]);
  if (n == w)
    for (int64_t k = 0; k < kVecs * w; k++) acc[k] += part[k];
  else
    for (int64_t k = 0; k < (kVecs - 1) * w + n; k++) acc[k] += part[k];
}
// A group of rows after the other, so that memory is read in few long streams.
template <class L>
NNLIB_INLINE void sum_rows(int64_t rows, int64_t cols, const typename L::type* x, int64_t ld, double* acc) {
  constexpr int64_t w = L::kLanes;
  for (int64_t r = 0; r < rows; r += 16, x += 16 * ld) {
    const int64_t m = rows - r < 16 ? rows - r : 16;
    int64_t j = 0;
    for (; j + 4 * w <= cols; j += 4 * w) sum_columns<L, 4>(m, w, x + j, ld, acc + j);
    for (; j < cols; j += w) sum_columns<L, 1>(m, cols - j < w ? cols - j : w, x + j, ld, acc + j);
  }
}
void sum_rows_f32(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  sum_rows<LanesF32>(rows, cols, x, ld, acc);
}
void sum_rows_f64(int64_t rows, int64_t cols, const double* x, int64_t ld, double* acc) {
  sum_rows<LanesF64>(rows, cols, x, ld, acc);
}
void sum_rows_bf16(int64_t rows, int64_t cols, const uint16_t* x, int64_t ld, double* acc) {
  sum_rows<LanesBf16>(rows, cols, x, ld, acc);
}
void sum_rows_f16(int64_t rows, int64_t cols, const uint16_t* x, int64_t ld, double* acc) {
  sum_rows<LanesF16>(rows, cols, x, ld, acc);
}

// Products of floats, in double: chains that the compiler makes vectors of.
template <class T>
NNLIB_INLINE double product(int64_t n, const T* x) {
  constexpr int64_t kChains = 16;
  double part[kChains];
  for (int64_t k = 0; k < kChains; k++) part[k] = 1;
  int64_t i = 0;
  for (; i + kChains <= n; i += kChains)
    for (int64_t k = 0; k < kChains; k++) part[k] *= double(x[i + k]);
  for (int64_t k = 0; i < n; i++, k++) part[k] *= double(x[i]);
  for (int64_t half = kChains / 2; half > 0; half /= 2)
    for (int64_t k = 0; k < half; k++) part[k] *= part[k + half];
  return part[0];
}
double prod_f32(int64_t n, const float* x) { return product(n, x); }
double prod_f64(int64_t n, const double* x) { return product(n, x); }

// acc[j] = f(acc[j], values of column j), with the accumulators of some columns in registers.
template <class A, class T, class F>
NNLIB_INLINE void fold_rows(int64_t rows, int64_t cols, const T* x, int64_t ld, A* acc, F f) {
  constexpr int64_t kCols = 32;
  int64_t j = 0;
  for (; j + kCols <= cols; j += kCols) {
    A part[kCols];
    for (int64_t k = 0; k < kCols; k++) part[k] = acc[j + k];
    for (int64_t r = 0; r < rows; r++)
      for (int64_t k = 0; k < kCols; k++) part[k] = f(part[k], A(x[r * ld + j + k]));
    for (int64_t k = 0; k < kCols; k++) acc[j + k] = part[k];
  }
  for (int64_t r = 0; r < rows; r++)
    for (int64_t k = j; k < cols; k++) acc[k] = f(acc[k], A(x[r * ld + k]));
}
void prod_rows_f32(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  fold_rows(rows, cols, x, ld, acc, [](double a, double b) { return a * b; });
}
void prod_rows_f64(int64_t rows, int64_t cols, const double* x, int64_t ld, double* acc) {
  fold_rows(rows, cols, x, ld, acc, [](double a, double b) { return a * b; });
}
// Wrap.
void prod_rows_i64(int64_t rows, int64_t cols, const int64_t* x, int64_t ld, uint64_t* acc) {
  fold_rows(rows, cols, x, ld, acc, [](uint64_t a, uint64_t b) { return a * b; });
}
void sum_rows_i64(int64_t rows, int64_t cols, const int64_t* x, int64_t ld, uint64_t* acc) {
  fold_rows(rows, cols, x, ld, acc, [](uint64_t a, uint64_t b) { return a + b; });
}

// Short rows: a lane for each of kWidth rows, whose values are gathered. `rest`
// does the rows that are left.
template <class Step, class Rest>
NNLIB_INLINE void each_short_row(int64_t rows, int64_t n, const float* x, Step step, Rest rest) {
  const IVec places = iota() * set1i(int32_t(n));
  int64_t r = 0;
  for (; r + kWidth <= rows; r += kWidth) step(r, x + r * n, places);
  for (; r < rows; r++) rest(r, x + r * n);
}
void sum_short_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  each_short_row(
      rows, n, x,
      [=](int64_t r, const float* p, IVec places) {
        Vec a = zero(), b = zero();
        int64_t j = 0;
        for (; j + 2 <= n; j += 2) {
          Vec u, v;
          gather_pairs(p + j, places, &u, &v);
          a = a + u;
          b = b + v;
        }
        if (j < n) a = a + gather(p + j, places);
        store(y + r, a + b);
      },
      [=](int64_t r, const float* p) {
        float a = 0, b = 0;
        int64_t j = 0;
        for (; j + 2 <= n; j += 2) {
          a += p[j];
          b += p[j + 1];
        }
        if (j < n) a += p[j];
        y[r] = a + b;
      });
}
template <bool Max>
NNLIB_INLINE void extreme_short_rows(int64_t rows, int64_t n, const float* x, float* y, int64_t* at) {
  each_short_row(
      rows, n, x,
      [=](int64_t r, const float* p, IVec places) {
        Vec best = gather(p, places);
        IVec place = set1i(0);
        for (int64_t j = 1; j < n; j++) {
          const Vec v = gather(p + j, places);
          const Mask wins = ((Max ? gt(v, best) : lt(v, best)) | is_nan(v)) & ~is_nan(best);
          best = select(wins, v, best);
          place = select(wins, set1i(int32_t(j)), place);
        }
        store(y + r, best);
        if (at) {
          int32_t lanes[kWidth];
          store_i(lanes, place);
          for (int64_t k = 0; k < kWidth; k++) at[r + k] = lanes[k];
        }
      },
      [=](int64_t r, const float* p) {
        int64_t place = 0;
        for (int64_t j = 1; j < n; j++)
          if (p[place] == p[place] && (p[j] != p[j] || (Max ? p[j] > p[place] : p[j] < p[place]))) place = j;
        y[r] = p[place];
        if (at) at[r] = place;
      });
}
void max_short_rows_f32(int64_t rows, int64_t n, const float* x, float* y, int64_t* at) {
  extreme_short_rows<true>(rows, n, x, y, at);
}
void min_short_rows_f32(int64_t rows, int64_t n, const float* x, float* y, int64_t* at) {
  extreme_short_rows<false>(rows, n, x, y, at);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
