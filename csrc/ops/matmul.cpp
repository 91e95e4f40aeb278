#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/gemm.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace detail {

namespace {

template <class F>
void dispatch_product(Dtype d, F&& f) {
  NNLIB_CHECK_AS(NotImplementedError, d != Dtype::Bool, "\"addmm_impl_cpu_\" not implemented for 'Bool'");
  if (is_floating(d)) {
    dispatch_floating(d, "addmm_impl_cpu_", f);
  } else {
    dispatch_integral(d, "addmm_impl_cpu_", f);
  }
}

template <class T>
drivers::Strided<T> operand(const Tensor& t) {
  const int64_t d = t.dim();
  return {static_cast<const T*>(t.raw()), t.stride(d - 2), t.stride(d - 1)};
}

}  // namespace

void gemm_values(const Tensor& out, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha,
                 const Tensor& bias, bool weight) {
  if (out.numel() == 0) return;
  dispatch_product(out.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    drivers::Strided<T> right = operand<T>(b);
    if (weight) right.weight = b.storage().get();
    drivers::gemm<T>(a.size(0), b.size(1), a.size(1), alpha.to<C>(), operand<T>(a), right, beta.to<C>(),
                     static_cast<T*>(out.raw()), out.size(1),
                     bias.defined() ? static_cast<const T*>(bias.raw()) : nullptr);
  });
}

void batched_gemm_values(const Tensor& out, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  if (out.numel() == 0) return;
  dispatch_product(out.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    drivers::batched_gemm<T>(a.size(0), a.size(1), b.size(2), a.size(2), alpha.to<C>(), operand<T>(a),
                             a.stride(0), operand<T>(b), b.stride(0), beta.to<C>(),
                             static_cast<T*>(out.raw()), out.size(2), out.size(1) * out.size(2));
  });
}

bool by_columns(const Tensor& t) {
  return !t.is_contiguous() && t.stride(0) == 1 && t.stride(1) == t.size(0);
}
Tensor mm_as(bool columns, const Tensor& a, const Tensor& b) {
  return columns ? t(mm(t(b), t(a))) : mm(a, b);
}

void check_same_dtype(const Tensor& a, const Tensor& b, const char* what_a, const char* what_b) {
  NNLIB_CHECK(a.dtype() == b.dtype(), "expected ", what_a, " and ", what_b,
              " to have the same dtype, but got: ", dtype_legacy_name(a.dtype()),
              " != ", dtype_legacy_name(b.dtype()));
}

}  // namespace detail

Tensor mm(const Tensor& a, const Tensor& b) {
  NNLIB_CHECK(a.dim() == 2, "self must be a matrix, got a tensor of ", a.dim(), " dimensions");
  NNLIB_CHECK(b.dim() == 2, "mat2 must be a matrix, got a tensor of ", b.dim(), " dimensions");
  NNLIB_CHECK(a.size(1) == b.size(0), "mat1 and mat2 shapes cannot be multiplied (", a.size(0), "x",
              a.size(1), " and ", b.size(0), "x", b.size(1), ")");
  detail::check_same_dtype(a, b, "m1", "m2");
  Tensor out = empty({a.size(0), b.size(1)}, a.dtype());
  const bool recorded = wants_grad(a, b);
  detail::gemm_values(out, a, b, 0, 1, Tensor(), !recorded);
  if (recorded) {
    record(out, "MmBackward0", {a, b},
           [a = save(a), b = save(b), a_turned = detail::by_columns(a), b_turned = detail::by_columns(b)](
               Backward& ctx, const TensorList& g) {
             return TensorList{
                 make_gradient(ctx, 0, [&] { return detail::mm_as(a_turned, g[0], t(b.get(ctx))); }),
                 make_gradient(ctx, 1, [&] { return detail::mm_as(b_turned, t(a.get(ctx)), g[0]); })};
           });
  }
  return out;
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  NNLIB_CHECK(a.dim() == 3, "batch1 must be a 3D tensor, got a tensor of ", a.dim(), " dimensions");
  NNLIB_CHECK(b.dim() == 3, "batch2 must be a 3D tensor, got a tensor of ", b.dim(), " dimensions");
  NNLIB_CHECK(a.size(0) == b.size(0) && a.size(2) == b.size(1),
              "Expected size for first two dimensions of batch2 tensor to be: [", a.size(0), ", ", a.size(2),
              "] but got: [", b.size(0), ", ", b.size(1), "].");
  detail::check_same_dtype(a, b, "batch1", "batch2");
  Tensor out = empty({a.size(0), a.size(1), b.size(2)}, a.dtype());
  detail::batched_gemm_values(out, a, b, 0, 1);
  if (wants_grad(a, b)) {
    record(out, "BmmBackward0", {a, b}, [a = save(a), b = save(b)](Backward& ctx, const TensorList& g) {
      return TensorList{ctx.needs(0) ? bmm(g[0], transpose(b.get(ctx), 1, 2)) : Tensor(),
                        ctx.needs(1) ? bmm(transpose(a.get(ctx), 1, 2), g[0]) : Tensor()};
    });
  }
  return out;
}

Tensor mv(const Tensor& a, const Tensor& x) {
  NNLIB_CHECK(a.dim() == 2 && x.dim() == 1, "vector + matrix @ vector expected, got ", a.dim(), ", ",
              x.dim());
  NNLIB_CHECK(a.size(1) == x.size(0), "size mismatch, got input (", a.size(0), "), mat (", a.size(0), "x",
              a.size(1), "), vec (", x.size(0), ")");
  return squeeze(mm(a, unsqueeze(x, 1)), 1);
}

namespace {

// By chunks whose sums are added in order; false where the values do not lie
// together.
bool dot_values(const Tensor& out, const Tensor& a, const Tensor& b) {
  constexpr int64_t kChunk = 16384;
  const int64_t n = a.numel(), chunks = (n + kChunk - 1) / kChunk;
  if ((a.dtype() != Dtype::Float32 && a.dtype() != Dtype::Float64) || !a.is_contiguous() ||
      !b.is_contiguous())
    return false;
  const auto& k = kernels::table();
  const auto run = [&](auto* y, const auto* x, const auto* z, auto kernel) {
    std::vector<double> part((size_t)chunks);
    parallel_for(0, chunks, 2, [&](int64_t first, int64_t end) {
      for (int64_t c = first; c < end; c++) {
        std::remove_reference_t<decltype(*y)> sum = 0;
        const int64_t m = std::min(kChunk, n - c * kChunk);
        kernel(1, m, x + c * kChunk, m, z + c * kChunk, &sum);
        part[(size_t)c] = sum;
      }
    });
    double total = 0;
    for (double p : part) total += p;
    *y = (std::remove_reference_t<decltype(*y)>)total;
  };
  if (a.dtype() == Dtype::Float32)
    run(out.data<float>(), a.data<float>(), b.data<float>(), k.gemv_dot_f32);
  else
    run(out.data<double>(), a.data<double>(), b.data<double>(), k.gemv_dot_f64);
  return true;
}

}  // namespace

Tensor dot(const Tensor& a, const Tensor& b) {
  NNLIB_CHECK(a.dim() == 1 && b.dim() == 1, "1D tensors expected, but got ", a.dim(), "D and ", b.dim(),
              "D tensors");
  NNLIB_CHECK(a.dtype() == b.dtype(), "dot : expected both vectors to have same dtype, but found ",
              dtype_legacy_name(a.dtype()), " and ", dtype_legacy_name(b.dtype()));
  NNLIB_CHECK(a.numel() == b.numel(), "inconsistent tensor size, expected tensor [", a.numel(), "] and src [",
              b.numel(), "] to have the same number of elements, but got ", a.numel(), " and ", b.numel(),
              " elements respectively");
  Tensor out = empty({}, a.dtype());
  if (!dot_values(out, a, b)) {
    const Tensor matrix = alias(out, {1, 1}, {1, 1}, out.storage_offset());
    detail::gemm_values(matrix, alias(a, {1, a.numel()}, {a.numel(), a.stride(0)}, a.storage_offset()),
                        alias(b, {b.numel(), 1}, {b.stride(0), 1}, b.storage_offset()), 0, 1);
  }
  if (wants_grad(a, b)) {
    record(out, "DotBackward0", {a, b}, [a = save(a), b = save(b)](Backward& ctx, const TensorList& g) {
      return TensorList{ctx.needs(0) ? mul(g[0], b.get(ctx)) : Tensor(),
                        ctx.needs(1) ? mul(g[0], a.get(ctx)) : Tensor()};
    });
  }
  return out;
}

Tensor outer(const Tensor& a, const Tensor& b) {
  NNLIB_CHECK(a.dim() == 1, "outer: Expected 1-D argument self, but got ", a.dim(), "-D");
  NNLIB_CHECK(b.dim() == 1, "outer: Expected 1-D argument vec2, but got ", b.dim(), "-D");
  return mul(unsqueeze(a, 1), b);
}

Tensor inner(const Tensor& a, const Tensor& b) {
  if (a.dim() == 0 || b.dim() == 0) return mul(a, b);
  NNLIB_CHECK(a.size(-1) == b.size(-1),
              "inner() the last dimension must match on both input tensors but got shapes ", a.sizes(),
              " and ", b.sizes());
  return tensordot(a, b, {-1}, {-1});
}

namespace {

Dims batch_sizes(const Tensor& t) { return Dims(t.sizes().data(), t.sizes().size() - 2); }

// A batch as one dimension: (d0, d1, ..., n, m) to (b, n, m).
Tensor flat_batch(const Tensor& t, const Dims& batch, int64_t count) {
  Dims sizes = batch;
  sizes.push_back(t.size(-2));
  sizes.push_back(t.size(-1));
  return reshape(expand(t, sizes), {count, t.size(-2), t.size(-1)});
}

Dims broadcast_batches(const Tensor& a, const Tensor& b) {
  const Dims x = batch_sizes(a), y = batch_sizes(b);
  const size_t n = std::max(x.size(), y.size());
  Dims out(n, 1);
  for (size_t i = 0; i < n; ++i) {
    const int64_t s = i < x.size() ? x[x.size() - 1 - i] : 1, r = i < y.size() ? y[y.size() - 1 - i] : 1;
    NNLIB_CHECK(s == r || s == 1 || r == 1, "The size of tensor a (", s,
                ") must match the size of tensor b (", r, ") at non-singleton dimension ", n - 1 - i);
    out[n - 1 - i] = s == 1 ? r : s;
  }
  return out;
}

// A batch of matrices times one matrix is one product of more rows.
Tensor rows_times_matrix(const Tensor& a, const Tensor& b) {
  Dims sizes = a.sizes();
  const int64_t k = sizes.back();
  NNLIB_CHECK(k == b.size(0), "mat1 and mat2 shapes cannot be multiplied (", k ? a.numel() / k : 0, "x", k,
              " and ", b.size(0), "x", b.size(1), ")");
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < sizes.size(); ++i) rows *= sizes[i];
  sizes.back() = b.size(1);
  return reshape(mm(reshape(a, {rows, k}), b), sizes);
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  const int64_t da = a.dim(), db = b.dim();
  NNLIB_CHECK(da > 0 && db > 0, "both arguments to matmul need to be at least 1D, but they are ", da,
              "D and ", db, "D");
  if (da == 1 && db == 1) return dot(a, b);
  if (da == 2 && db == 2) return mm(a, b);
  if (da == 2 && db == 1) return mv(a, b);
  if (da == 1) return squeeze(matmul(unsqueeze(a, 0), b), -2);
  if (db == 1) return squeeze(rows_times_matrix(a, unsqueeze(b, 1)), -1);
  if (db == 2) return rows_times_matrix(a, b);
  NNLIB_CHECK(a.size(-1) == b.size(-2), "Expected size for first two dimensions of batch2 tensor to be: [",
              b.numel() / std::max<int64_t>(1, b.size(-2) * b.size(-1)), ", ", a.size(-1), "] but got: [",
              b.numel() / std::max<int64_t>(1, b.size(-2) * b.size(-1)), ", ", b.size(-2), "].");
  const Dims batch = broadcast_batches(a, b);
  int64_t count = 1;
  for (int64_t s : batch) count *= s;
  Dims sizes = batch;
  sizes.push_back(a.size(-2));
  sizes.push_back(b.size(-1));
  return reshape(bmm(flat_batch(a, batch, count), flat_batch(b, batch, count)), sizes);
}

}  // namespace nnlib::ops
