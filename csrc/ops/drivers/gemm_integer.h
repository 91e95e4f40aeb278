// Products of matrices of integers, in unsigned arithmetic, since overflow wraps around.
#pragma once
#include <cstdint>

#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers {

// As gemm(), for uint8_t, int8_t, int16_t, int32_t and int64_t.
template <class T>
void integer_gemm(int64_t m, int64_t n, int64_t k, T alpha, Strided<T> a, Strided<T> b, T beta, T* c,
                  int64_t ldc, const T* bias);

}  // namespace nnlib::drivers
