// Matrix products. 16-bit floats are added up in float; integers wrap around.
#pragma once
#include <string>

#include "autograd/function.h"

namespace nnlib::ops {

// ---- matmul.cpp
Tensor mm(const Tensor& self, const Tensor& mat2);
Tensor bmm(const Tensor& self, const Tensor& mat2);
Tensor mv(const Tensor& self, const Tensor& vec);
Tensor dot(const Tensor& self, const Tensor& tensor);
Tensor outer(const Tensor& self, const Tensor& vec2);
Tensor inner(const Tensor& self, const Tensor& other);
// Of vectors, matrices and batches of them, as NumPy's operator @.
Tensor matmul(const Tensor& self, const Tensor& other);

// ---- addmm.cpp: beta * self + alpha * product; self is not read where beta is 0.
Tensor addmm(const Tensor& self, const Tensor& mat1, const Tensor& mat2, Scalar beta, Scalar alpha);
Tensor addmv(const Tensor& self, const Tensor& mat, const Tensor& vec, Scalar beta, Scalar alpha);
Tensor addr(const Tensor& self, const Tensor& vec1, const Tensor& vec2, Scalar beta, Scalar alpha);
Tensor baddbmm(const Tensor& self, const Tensor& batch1, const Tensor& batch2, Scalar beta, Scalar alpha);
Tensor addbmm(const Tensor& self, const Tensor& batch1, const Tensor& batch2, Scalar beta, Scalar alpha);

// ---- einsum.cpp
Tensor einsum(const std::string& equation, const TensorList& operands);
Tensor tensordot(const Tensor& self, const Tensor& other, const Dims& dims_self, const Dims& dims_other);

// ---- linear.cpp
// y = x W^T + b over the last dimension; bias may be undefined.
Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias);
// y[o] = x1 W[o] x2 + b[o]
Tensor bilinear(const Tensor& input1, const Tensor& input2, const Tensor& weight, const Tensor& bias);

namespace detail {
// out[m, n] = alpha a b + beta out (+ bias for each column). out is contiguous; no history, no checks. The
// packing of a b that will be used again, a weight, may be kept.
void gemm_values(const Tensor& out, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha,
                 const Tensor& bias = Tensor(), bool weight = false);
// The same over a batch; a and b may have a batch stride of 0.
// Whether a matrix lies column after column; and a b in such memory if `columns`: the layout that the
// gradient of such a matrix should have.
bool by_columns(const Tensor& t);
Tensor mm_as(bool columns, const Tensor& a, const Tensor& b);

void batched_gemm_values(const Tensor& out, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha);
void check_same_dtype(const Tensor& a, const Tensor& b, const char* what_a, const char* what_b);
}  // namespace detail

}  // namespace nnlib::ops
