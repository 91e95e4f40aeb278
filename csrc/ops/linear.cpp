// The affine maps of nn.Linear and nn.Bilinear.
#include "ops/linear.h"

#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

int64_t rows_of(const Tensor& x) {
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < x.dim(); ++i) rows *= x.size(i);
  return rows;
}

void check_linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  NNLIB_CHECK(x.dim() > 0, "both arguments to linear need to be at least 1D, but they are 0D and ", w.dim(),
              "D");
  NNLIB_CHECK(w.dim() == 2 || w.dim() == 1, "linear: weight must have 1 or 2 dimensions, got ", w.dim());
  NNLIB_CHECK(x.dtype() == w.dtype(), "mat1 and mat2 must have the same dtype, but got ",
              dtype_legacy_name(x.dtype()), " and ", dtype_legacy_name(w.dtype()));
  const int64_t in = w.size(-1), out = w.dim() == 2 ? w.size(0) : 1;
  NNLIB_CHECK(x.size(-1) == in, "mat1 and mat2 shapes cannot be multiplied (", rows_of(x), "x", x.size(-1),
              " and ", in, "x", out, ")");
  if (!bias.defined()) return;
  NNLIB_CHECK(bias.dtype() == x.dtype(), "self and mat2 must have the same dtype, but got ",
              dtype_legacy_name(bias.dtype()), " and ", dtype_legacy_name(x.dtype()));
}

const char* backward_name(const Tensor& x, const Tensor& bias) {
  if (x.dim() == 2) return bias.defined() ? "AddmmBackward0" : "MmBackward0";
  return bias.defined() ? "ViewBackward0" : "UnsafeViewBackward0";
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  check_linear(x, w, bias);
  if (w.dim() == 1) {
    const Tensor y = matmul(x, w);
    return bias.defined() ? add(y, bias) : y;
  }
  const int64_t in = w.size(1), out_features = w.size(0), rows = rows_of(x);
  if (bias.defined() && (bias.dim() != 1 || bias.numel() != out_features)) {
    return add(linear(x, w, Tensor()), bias);  // a bias that broadcasts
  }
  Dims sizes = x.sizes();
  sizes.back() = out_features;
  Tensor out = empty(sizes, x.dtype());
  {
    const Tensor flat = contiguous_values(x), b = bias.defined() ? contiguous_values(bias) : bias;
    const bool strided = x.dim() == 2;  // any matrix is taken as it lies
    const Tensor a = strided ? x : alias(flat, {rows, in}, {in, 1}, flat.storage_offset());
    const Tensor turned = alias(w, {in, out_features}, {w.stride(1), w.stride(0)}, w.storage_offset());
    detail::gemm_values(alias(out, {rows, out_features}, {out_features, 1}, out.storage_offset()), a, turned,
                        0, 1, b, true);
  }
  if (wants_grad(x, w, bias)) {
    record(out, backward_name(x, bias), {x, w, bias},
           [x = save(x), w = save(w), rows, in, out_features](Backward& ctx, const TensorList& g) {
             const Tensor flat = reshape(g[0], {rows, out_features}), input = x.get(ctx);
             TensorList grads(3);
             if (ctx.needs(0)) grads[0] = reshape(mm(flat, w.get(ctx)), input.sizes());
             grads[1] = make_gradient(ctx, 1, [&] { return mm(t(flat), reshape(input, {rows, in})); });
             grads[2] = make_gradient(ctx, 2, [&] { return sum(flat, Dims{0}, false); });
             return grads;
           });
  }
  return out;
}

Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& w, const Tensor& bias) {
  NNLIB_CHECK(w.dim() == 3, "bilinear(): weight must be a 3D tensor, got ", w.dim(), "D");
  NNLIB_CHECK(x1.dim() == x2.dim(), "bilinear(): input dimensions do not match: got ", x1.dim(), " and ",
              x2.dim());
  for (int64_t i = 0; i + 1 < x1.dim(); ++i) {
    NNLIB_CHECK(x1.size(i) == x2.size(i), "bilinear(): input batch dimensions do not match at dim ", i,
                ": got ", x1.size(i), " and ", x2.size(i));
  }
  NNLIB_CHECK(x1.size(-1) == w.size(1), "bilinear(): input1 size does not match weight size: got ",
              x1.size(-1), " but expected ", w.size(1));
  NNLIB_CHECK(x2.size(-1) == w.size(2), "bilinear(): input2 size does not match weight size: got ",
              x2.size(-1), " but expected ", w.size(2));
  NNLIB_CHECK(!bias.defined() || bias.size(0) == w.size(0),
              "bilinear(): bias size does not match weight size: got ", bias.defined() ? bias.size(0) : 0,
              " but expected ", w.size(0));
  const int64_t rows = rows_of(x1), out = w.size(0), n1 = w.size(1), n2 = w.size(2);
  const Tensor left = mm(reshape(x1, {rows, n1}), reshape(transpose(w, 0, 1), {n1, out * n2}));
  const Tensor y = bmm(reshape(left, {rows, out, n2}), reshape(x2, {rows, n2, 1}));
  Dims sizes = x1.sizes();
  sizes.back() = out;
  const Tensor shaped = reshape(y, sizes);
  return bias.defined() ? add(shaped, bias) : shaped;
}

}  // namespace nnlib::ops
