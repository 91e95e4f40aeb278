// Products with an addend.
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

void check_scalars(const Tensor& self, Scalar beta, Scalar alpha) {
  if (is_floating(self.dtype())) return;
  NNLIB_CHECK(!beta.is_floating(),
              "For integral input tensors, argument beta must not be a floating point number.");
  NNLIB_CHECK(!alpha.is_floating(),
              "For integral input tensors, argument alpha must not be a floating point number.");
}

bool is_one(Scalar s) { return s.to_double() == 1; }
bool is_zero(Scalar s) { return s.to_double() == 0; }
Tensor times(const Tensor& t, Scalar s) { return is_one(s) ? t : t * s; }

// New memory of these sizes that holds self, broadcast, unless *beta is 0; times *beta, which becomes 1,
// where that rounds no further.
Tensor addend(const Tensor& self, const Dims& sizes, Scalar* beta) {
  Tensor out = empty(sizes, self.dtype());
  const Tensor whole = [&] {
    NoGradGuard guard;
    return expand(detach(self), sizes);
  }();
  if (is_zero(*beta)) return out;
  if (is_one(*beta) || (self.dtype() != Dtype::Float32 && self.dtype() != Dtype::Float64)) {
    copy_values(out, whole);
    return out;
  }
  NoGradGuard guard;
  const Tensor scaled = whole * *beta;
  *beta = 1;
  return scaled.is_contiguous() ? scaled : contiguous_values(scaled);
}

}  // namespace

Tensor addmm(const Tensor& self, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  NNLIB_CHECK(a.dim() == 2, "mat1 must be a matrix, got ", a.dim(), "-D tensor");
  NNLIB_CHECK(b.dim() == 2, "mat2 must be a matrix, got ", b.dim(), "-D tensor");
  NNLIB_CHECK(a.size(1) == b.size(0), "mat1 and mat2 shapes cannot be multiplied (", a.size(0), "x",
              a.size(1), " and ", b.size(0), "x", b.size(1), ")");
  detail::check_same_dtype(a, b, "m1", "m2");
  NNLIB_CHECK(self.dtype() == a.dtype(), "self and mat2 must have the same dtype, but got ",
              dtype_legacy_name(self.dtype()), " and ", dtype_legacy_name(a.dtype()));
  const Dims sizes = {a.size(0), b.size(1)};
  const bool recorded = wants_grad(self, a, b);
  Tensor out;
  if (self.dim() == 1 && self.size(0) == sizes[1] && self.is_contiguous() && is_one(beta)) {
    out = empty(sizes, a.dtype());
    detail::gemm_values(out, a, b, 0, alpha, self, !recorded);
  } else {
    Scalar rest = beta;
    out = addend(self, sizes, &rest);
    detail::gemm_values(out, a, b, rest, alpha, Tensor(), !recorded);
  }
  if (recorded) {
    record(out, "AddmmBackward0", {self, a, b},
           [from = self.sizes(), a = save(a), b = save(b), a_turned = detail::by_columns(a),
            b_turned = detail::by_columns(b), beta, alpha](Backward& ctx, const TensorList& g) {
             return TensorList{
                 ctx.needs(0) ? times(sum_to_size(g[0], from), beta) : Tensor(),
                 ctx.needs(1) ? times(detail::mm_as(a_turned, g[0], t(b.get(ctx))), alpha) : Tensor(),
                 ctx.needs(2) ? times(detail::mm_as(b_turned, t(a.get(ctx)), g[0]), alpha) : Tensor()};
           });
  }
  return out;
}

Tensor baddbmm(const Tensor& self, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  NNLIB_CHECK(a.dim() == 3, "batch1 must be a 3D tensor");
  NNLIB_CHECK(b.dim() == 3, "batch2 must be a 3D tensor");
  NNLIB_CHECK(a.size(0) == b.size(0) && a.size(2) == b.size(1),
              "Expected size for first two dimensions of batch2 tensor to be: [", a.size(0), ", ", a.size(2),
              "] but got: [", b.size(0), ", ", b.size(1), "].");
  detail::check_same_dtype(a, b, "batch1", "batch2");
  NNLIB_CHECK(self.dtype() == a.dtype(),
              "Input dtypes must be the same, got: input: ", dtype_legacy_name(self.dtype()),
              ", batch1: ", dtype_legacy_name(a.dtype()), ", batch2: ", dtype_legacy_name(b.dtype()));
  Scalar rest = beta;
  Tensor out = addend(self, {a.size(0), a.size(1), b.size(2)}, &rest);
  detail::batched_gemm_values(out, a, b, rest, alpha);
  if (wants_grad(self, a, b)) {
    record(out, "BaddbmmBackward0", {self, a, b},
           [from = self.sizes(), a = save(a), b = save(b), beta, alpha](Backward& ctx, const TensorList& g) {
             return TensorList{
                 ctx.needs(0) ? times(sum_to_size(g[0], from), beta) : Tensor(),
                 ctx.needs(1) ? times(bmm(g[0], transpose(b.get(ctx), 1, 2)), alpha) : Tensor(),
                 ctx.needs(2) ? times(bmm(transpose(a.get(ctx), 1, 2), g[0]), alpha) : Tensor()};
           });
  }
  return out;
}

// The sum over the batch is a longer inner dimension.
Tensor addbmm(const Tensor& self, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  NNLIB_CHECK(a.dim() == 3, "batch1 must be a 3D tensor");
  NNLIB_CHECK(b.dim() == 3, "batch2 must be a 3D tensor");
  NNLIB_CHECK(a.size(0) == b.size(0), "batch1 and batch2 must have same number of batches, got ", a.size(0),
              " and ", b.size(0));
  NNLIB_CHECK(a.size(2) == b.size(1), "Incompatible matrix sizes for bmm (", a.size(1), "x", a.size(2),
              " and ", b.size(1), "x", b.size(2), ")");
  const int64_t k = a.size(0) * a.size(2);
  return addmm(self, reshape(transpose(a, 0, 1), {a.size(1), k}), reshape(b, {k, b.size(2)}), beta, alpha);
}

Tensor addmv(const Tensor& self, const Tensor& mat, const Tensor& vec, Scalar beta, Scalar alpha) {
  NNLIB_CHECK(mat.dim() == 2 && vec.dim() == 1 && self.dim() <= 1, "vector + matrix @ vector expected, got ",
              self.dim(), ", ", mat.dim(), ", ", vec.dim());
  NNLIB_CHECK(mat.size(1) == vec.size(0) && (self.numel() == 1 || self.size(0) == mat.size(0)),
              "size mismatch, got input (", self.numel(), "), mat (", mat.size(0), "x", mat.size(1),
              "), vec (", vec.size(0), ")");
  const Tensor column = unsqueeze(expand(self, {mat.size(0)}), 1);
  return squeeze(addmm(column, mat, unsqueeze(vec, 1), beta, alpha), 1);
}

Tensor addr(const Tensor& self, const Tensor& vec1, const Tensor& vec2, Scalar beta, Scalar alpha) {
  NNLIB_CHECK(vec1.dim() == 1 && vec2.dim() == 1, "addr: Expected 1-D argument vec1 and vec2, but got ",
              vec1.dim(), "-D and ", vec2.dim(), "-D");
  check_scalars(self, beta, alpha);
  const Tensor product = times(outer(vec1, vec2), alpha);
  if (is_zero(beta)) return product;
  return add(times(expand(self, product.sizes()), beta), product);
}

}  // namespace nnlib::ops
