// Matrix products.
#include "ops/linear.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

constexpr int kBoth = kFunction | kMethod | kIntoOut;
constexpr int kAll = kBoth | kInplace;

Tensor multi_dot(const TensorList& tensors) {
  NNLIB_CHECK(tensors.size() >= 2, "multi_dot(): expected at least 2 tensors but got ", tensors.size());
  Tensor product = tensors[0];
  for (size_t i = 1; i < tensors.size(); ++i) product = ops::matmul(product, tensors[i]);
  return product;
}

}  // namespace

void bind_linear(Binder& b) {
  b.def<ops::matmul>(
      "matmul(Tensor input, Tensor other)", kBoth,
      "The product of two vectors, matrices or batches of matrices; batches broadcast. Two vectors "
      "(n) give a number, (n, m) and (m) a vector (n), (..., n, m) and (..., m, p) matrices (..., n, p). "
      "Sums over k run in order of k, with fused multiply-adds where the processor has them; see "
      "Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication.");
  b.def<ops::matmul>("__matmul__(Tensor self, Tensor other)", kMethod, "The operator @: see matmul().");
  b.def<ops::mm>("mm(Tensor input, Tensor mat2)", kBoth,
                 "The product (n, p) of the matrices (n, m) and (m, p).");
  b.def<ops::bmm>("bmm(Tensor input, Tensor mat2)", kBoth,
                  "The products (b, n, p) of the matrices in the batches (b, n, m) and (b, m, p).");
  b.def<ops::mv>("mv(Tensor input, Tensor vec)", kBoth,
                 "The product (n) of a matrix (n, m) and a vector (m).");
  b.def<ops::dot>("dot(Tensor input, Tensor tensor)", kBoth,
                  "The sum of the products of two vectors of equal size.");
  b.def<ops::dot>("vdot(Tensor input, Tensor other)", kBoth, "The same as dot() for real numbers.");
  b.def<ops::inner>(
      "inner(Tensor input, Tensor other)", kBoth,
      "The sum of products over the last dimension of both: (..., m) and (...', m) give (..., ...').");
  b.def<ops::outer>("outer(Tensor input, Tensor vec2)", kBoth,
                    "The products input[i] vec2[j] of two vectors, (n, m).");
  b.def<ops::outer>("ger(Tensor input, Tensor vec2)", kBoth, "An older name of outer().");
  b.def<ops::addmm>(
      "addmm(Tensor input, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1)", kAll,
      "beta * input + alpha * (mat1 @ mat2); input broadcasts to (n, p), and is not read where beta is 0.");
  b.def<ops::addmv>("addmv(Tensor input, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1)", kAll,
                    "beta * input + alpha * (mat @ vec).");
  b.def<ops::addr>("addr(Tensor input, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1)", kAll,
                   "beta * input + alpha * outer(vec1, vec2).");
  b.def<ops::baddbmm>("baddbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)",
                      kAll, "beta * input + alpha * bmm(batch1, batch2); input broadcasts to (b, n, p).");
  b.def<ops::addbmm>("addbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)",
                     kAll, "beta * input + alpha * the sum over the batch of bmm(batch1, batch2).");
  b.def<ops::einsum>(
      "einsum(str equation, Tensor[] operands)", kFunction,
      "The sum of products that the subscripts describe, e.g. einsum('bik,bkj->bij', [x, y]). Letters "
      "that the output lacks are summed over, a letter twice in one operand is its diagonal, '...' "
      "stands for dimensions that broadcast. Operands are contracted from left to right.");
  b.def<ops::tensordot>(
      "tensordot(Tensor input, Tensor other, int[] dims_self, int[] dims_other)", kFunction,
      "The sum of products over the listed dimensions of both; the others follow, input's first.");
  b.def<multi_dot>(
      "linalg_multi_dot(Tensor[] tensors)", kFunction | kPrivate | kOut,
      "The product of two or more matrices, from left to right; the first and last may be vectors.");
  b.def<multi_dot>("chain_matmul(Tensor[] matrices)", kFunction,
                   "The product of the matrices, from left to right.");
  b.def<ops::linear>(
      "linear(Tensor input, Tensor weight, Tensor? bias=None)", kFunction | kOut,
      "input @ weight.T + bias over the last dimension: (..., in) and (out, in) give (..., out).");
  b.def<ops::bilinear>(
      "bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None)", kFunction,
      "y[o] = input1 @ weight[o] @ input2 + bias[o]: (..., n1), (..., n2), (out, n1, n2) give "
      "(..., out).");
}

}  // namespace nnlib::python
