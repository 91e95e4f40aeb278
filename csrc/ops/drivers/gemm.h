// Matrix products on strided operands, shared among threads. Any number of threads gives the same bits.
#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers {

// C = alpha A B + beta C, or with a bias (beta must be 0) C = alpha A B + bias for each column.
// A is m x k, B is k x n, both strided anyhow; C is m x n with rows of ldc elements and unit column stride.
// Where beta is 0, C is not read. 16-bit floats are added up in float and rounded once; integers wrap around.
// T: float, double, Half, BFloat16, uint8_t, int8_t, int16_t, int32_t, int64_t.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b, compute_t<T> beta,
          T* c, int64_t ldc, const T* bias = nullptr);

// `batch` independent products; matrix p of each operand lies p times its batch stride further on.
template <class T>
void batched_gemm(int64_t batch, int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a,
                  int64_t a_batch, Strided<T> b, int64_t b_batch, compute_t<T> beta, T* c, int64_t ldc,
                  int64_t c_batch);

// Products of fewer multiplications than this run on one thread: waking another takes about as long.
constexpr int64_t kSerialProduct = 1 << 20;

}  // namespace nnlib::drivers
