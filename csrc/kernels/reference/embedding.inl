// The truth of embedding.inl: sums in double, rounded once.
#pragma once

#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

void gather_rows_past(int64_t count, int64_t bytes, const int64_t* rows, const char* src, char* dst) {
  for (int64_t i = 0; i < count * bytes; ++i) dst[i] = src[rows[i / bytes] * bytes + i % bytes];
}

#define NNLIB_DEFINE(suffix, T, One, get, put)                                                            \
  void sum_rows_indexed_##suffix(int64_t count, int64_t d, const int64_t* rows, const T* src, int64_t ld, \
                                 const One* weights, T* y) {                                              \
    for (int64_t j = 0; j < d; ++j) {                                                                     \
      double sum = 0;                                                                                     \
      for (int64_t q = 0; q < count; ++q)                                                                 \
        sum += double(weights ? weights[q] : 1) * get(src[rows[q] * ld + j]);                             \
      y[j] = put(One(sum));                                                                               \
    }                                                                                                     \
  }
NNLIB_DEFINE(f32, float, float, , )
NNLIB_DEFINE(f64, double, double, , )
NNLIB_DEFINE(bf16, uint16_t, float, from_bf16, to_bf16)
NNLIB_DEFINE(f16, uint16_t, float, from_f16, to_f16)
#undef NNLIB_DEFINE

}  // namespace
}  // namespace nnlib::kernels::reference
