// The truth of reduce.inl.
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

#define NNLIB_REDUCTIONS(suffix, T, One, get)                                               \
  double sum_##suffix(int64_t n, const T* x) {                                              \
    double total = 0;                                                                       \
    for (int64_t i = 0; i < n; ++i) total += get(x[i]);                                     \
    return total;                                                                           \
  }                                                                                         \
  One max_##suffix(int64_t n, const T* x) {                                                 \
    One m = -INFINITY;                                                                      \
    for (int64_t i = 0; i < n; ++i) m = m != m || m > get(x[i]) ? m : get(x[i]);            \
    return m;                                                                               \
  }                                                                                         \
  One min_##suffix(int64_t n, const T* x) {                                                 \
    One m = INFINITY;                                                                       \
    for (int64_t i = 0; i < n; ++i) m = m != m || m < get(x[i]) ? m : get(x[i]);            \
    return m;                                                                               \
  }                                                                                         \
  void sum_rows_##suffix(int64_t rows, int64_t cols, const T* x, int64_t ld, double* acc) { \
    for (int64_t r = 0; r < rows; ++r)                                                      \
      for (int64_t j = 0; j < cols; ++j) acc[j] += get(x[r * ld + j]);                      \
  }
NNLIB_REDUCTIONS(f32, float, float, float)
NNLIB_REDUCTIONS(f64, double, double, double)
NNLIB_REDUCTIONS(bf16, uint16_t, float, from_bf16)
NNLIB_REDUCTIONS(f16, uint16_t, float, from_f16)
#undef NNLIB_REDUCTIONS

int64_t sum_i64(int64_t n, const int64_t* x) {
  uint64_t total = 0;
  for (int64_t i = 0; i < n; ++i) total += uint64_t(x[i]);
  return int64_t(total);
}
// Element i of integers of a type, by core/dtype.h's numbers.
int64_t integer_at(int64_t type, const void* x, int64_t i) {
  switch (type) {
    case 2:
      return ((const int8_t*)x)[i];
    case 3:
      return ((const int16_t*)x)[i];
    case 4:
      return ((const int32_t*)x)[i];
    case 5:
      return ((const int64_t*)x)[i];
    default:
      return ((const uint8_t*)x)[i];
  }
}
int64_t larger_or_smaller(bool max, int64_t a, int64_t b) { return max == (a > b) ? a : b; }
int64_t extreme_int(int64_t type, bool max, int64_t n, const void* x) {
  int64_t m = integer_at(type, x, 0);
  for (int64_t i = 1; i < n; ++i) m = larger_or_smaller(max, m, integer_at(type, x, i));
  return m;
}

template <class T>
double square_sum(int64_t n, const T* x, T shift) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += (double(x[i]) - shift) * (double(x[i]) - shift);
  return total;
}
double sum_squares_f32(int64_t n, const float* x, float shift) { return square_sum(n, x, shift); }
double sum_squares_f64(int64_t n, const double* x, double shift) { return square_sum(n, x, shift); }
template <float (*get)(uint16_t)>
double half_square_sum(int64_t n, const uint16_t* x, float shift) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += (double(get(x[i])) - shift) * (double(get(x[i])) - shift);
  return total;
}
double sum_squares_bf16(int64_t n, const uint16_t* x, float shift) {
  return half_square_sum<from_bf16>(n, x, shift);
}
double sum_squares_f16(int64_t n, const uint16_t* x, float shift) {
  return half_square_sum<from_f16>(n, x, shift);
}

template <class T, class A>
void multiply_rows(int64_t rows, int64_t cols, const T* x, int64_t ld, A* acc) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < cols; ++j) acc[j] *= A(x[r * ld + j]);
}
template <class T>
double product_of(int64_t n, const T* x) {
  double total = 1;
  multiply_rows(n, 1, x, 1, &total);
  return total;
}
double prod_f32(int64_t n, const float* x) { return product_of(n, x); }
double prod_f64(int64_t n, const double* x) { return product_of(n, x); }
void prod_rows_f32(int64_t rows, int64_t cols, const float* x, int64_t ld, double* acc) {
  multiply_rows(rows, cols, x, ld, acc);
}
void prod_rows_f64(int64_t rows, int64_t cols, const double* x, int64_t ld, double* acc) {
  multiply_rows(rows, cols, x, ld, acc);
}
void prod_rows_i64(int64_t rows, int64_t cols, const int64_t* x, int64_t ld, uint64_t* acc) {
  multiply_rows(rows, cols, x, ld, acc);
}
void sum_rows_i64(int64_t rows, int64_t cols, const int64_t* x, int64_t ld, uint64_t* acc) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < cols; ++j) acc[j] += uint64_t(x[r * ld + j]);
}
void clamp_i64(int64_t n, const int64_t* x, int64_t low, int64_t high, int64_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] > high ? high : x[i] < low ? low : x[i];
}
void sum_short_rows_f32(int64_t rows, int64_t n, const float* x, float* y) {
  for (int64_t r = 0; r < rows; ++r) y[r] = float(sum_f32(n, x + r * n));
}
// The first place of the extreme of a row.
int64_t place_of(int64_t n, const float* x, float extreme) {
  int64_t j = 0;
  while (j + 1 < n && !(x[j] == extreme || x[j] != x[j])) ++j;
  return j;
}
void max_short_rows_f32(int64_t rows, int64_t n, const float* x, float* y, int64_t* at) {
  for (int64_t r = 0; r < rows; ++r) {
    y[r] = max_f32(n, x + r * n);
    if (at) at[r] = place_of(n, x + r * n, y[r]);
  }
}
void min_short_rows_f32(int64_t rows, int64_t n, const float* x, float* y, int64_t* at) {
  for (int64_t r = 0; r < rows; ++r) {
    y[r] = min_f32(n, x + r * n);
    if (at) at[r] = place_of(n, x + r * n, y[r]);
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
