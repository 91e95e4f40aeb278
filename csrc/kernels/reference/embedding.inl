// The truth of embedding.inl: sums in double, rounded once.
#pragma once

namespace nnlib::kernels::reference {
namespace {

void sum_rows_indexed_f32(int64_t count, int64_t d, const int64_t* rows, const float* src, int64_t ld,
                          const float* weights, float* y) {
  for (int64_t j = 0; j < d; ++j) {
    double sum = 0;
    for (int64_t q = 0; q < count; ++q) sum += double(weights ? weights[q] : 1) * src[rows[q] * ld + j];
    y[j] = float(sum);
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
