#include "ops/embedding.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/embedding.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sparse.h"

namespace nnlib::ops {

namespace detail {

Tensor row_indices(const Tensor& indices, int64_t rows, const char* op) {
  NNLIB_CHECK(indices.dtype() == Dtype::Int64 || indices.dtype() == Dtype::Int32,
              "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, "
              "Int; but got ",
              "torch.", dtype_legacy_name(indices.dtype()), "Tensor instead (while checking arguments for ",
              op, ")");
  const Tensor flat = contiguous_values(cast_values(indices, Dtype::Int64));
  const int64_t* p = flat.data<int64_t>();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    NNLIB_CHECK_INDEX(p[i] >= 0 && p[i] < rows, "index out of range in self: index ", p[i], " at position ",
                      i, ", but the weight has ", rows, " rows");
  }
  return flat;
}

Tensor gather_row_values(const Tensor& weight, const Tensor& indices) {
  const Tensor table = contiguous_values(weight);
  const int64_t d = weight.size(1);
  Tensor out = empty({indices.numel(), d}, weight.dtype());
  drivers::gather_rows(indices.numel(), d * int64_t(weight.itemsize()), indices.data<int64_t>(), table.raw(),
                       out.raw());
  return out;
}

namespace {

// The gradient with respect to the rows that were looked up, of the places that are not padding. Without
// padding among them it is a view of what came from above.
Tensor sparse_weight_grad(const Tensor& grad, const Tensor& indices, const Dims& weight_sizes,
                          int64_t padding_idx) {
  const int64_t count = indices.numel(), d = weight_sizes[1], *p = indices.data<int64_t>();
  const Tensor flat = contiguous_values(reshape(detach(grad), {count, d}));
  const int64_t n = padding_idx < 0 ? count : count - std::count(p, p + count, padding_idx);
  if (n == count)
    return make_sparse(alias(indices, {1, n}, {n, 1}, indices.storage_offset()), flat, weight_sizes, false);
  std::vector<int64_t> places;
  for (int64_t i = 0; i < count; ++i) {
    if (p[i] != padding_idx) places.push_back(i);
  }
  Tensor rows = empty({1, n}, Dtype::Int64), values = empty({n, d}, grad.dtype());
  for (int64_t i = 0; i < n; ++i) rows.data<int64_t>()[i] = p[places[size_t(i)]];
  drivers::gather_rows(n, d * int64_t(grad.itemsize()), places.data(), flat.raw(), values.raw());
  return make_sparse(rows, values, weight_sizes, false);
}

}  // namespace

Tensor embedding_weight_grad(const Tensor& grad, const Tensor& indices, const Dims& weight_sizes,
                             int64_t padding_idx, bool scale_grad_by_freq, bool sparse) {
  if (!sparse)
    return embedding_dense_backward(grad, indices, weight_sizes[0], padding_idx, scale_grad_by_freq);
  NNLIB_CHECK(!scale_grad_by_freq,
              "embedding_backward: scale_grad_by_freq not supported with sparse gradients");
  return sparse_weight_grad(grad, indices, weight_sizes, padding_idx);
}

}  // namespace detail

Tensor embedding(const Tensor& indices, const Tensor& weight, std::optional<int64_t> padding_idx,
                 std::optional<double> max_norm, double norm_type, bool scale_grad_by_freq, bool sparse) {
  NNLIB_CHECK(weight.dim() == 2, "'weight' must be 2-D, got ", weight.dim(), "-D");
  const Tensor flat = detail::row_indices(indices, weight.size(0), "embedding");
  if (max_norm) embedding_renorm_(weight, flat, *max_norm, norm_type);
  Dims sizes = indices.sizes();
  sizes.push_back(weight.size(1));
  const Tensor rows = detail::gather_row_values(weight, flat);
  Tensor out = alias(rows, sizes, empty(sizes, weight.dtype()).strides(), rows.storage_offset());
  if (wants_grad(weight)) {
    record(out, "EmbeddingBackward0", {weight},
           [flat = save(flat), sizes = weight.sizes(), padding = padding_idx.value_or(-1), scale_grad_by_freq,
            sparse](Backward& ctx, const TensorList& g) {
             return TensorList{make_gradient(ctx, 0, [&] {
               return detail::embedding_weight_grad(g[0], flat.get(ctx), sizes, padding, scale_grad_by_freq,
                                                    sparse);
             })};
           });
  }
  return out;
}

Tensor embedding_dense_backward(const Tensor& grad, const Tensor& indices, int64_t count, int64_t padding_idx,
                                bool scale_grad_by_freq) {
  const Tensor flat = detail::row_indices(indices, count, "embedding_dense_backward");
  const int64_t n = flat.numel(), d = grad.size(-1);
  const drivers::Groups groups = drivers::group_by_index(n, flat.data<int64_t>(), padding_idx);
  Tensor weights;  // one over how often the index occurs, for each place
  Tensor out = empty({count, d}, grad.dtype());
  const Tensor src = contiguous_values(grad);
  dispatch_floating(grad.dtype(), "embedding_dense_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    C* share = nullptr;
    if (scale_grad_by_freq) {
      weights = empty({n}, DtypeOf<C>::value);
      fill_values(weights, 0);
      share = weights.data<C>();
      for (size_t v = 0; v < groups.rows.size(); ++v) {
        const int64_t first = groups.start[v], last = groups.start[v + 1];
        for (int64_t q = first; q < last; ++q) share[groups.places[size_t(q)]] = C(1) / C(last - first);
      }
    }
    drivers::scatter_add_rows<T>(groups, count, d, src.data<T>(), share, out.data<T>());
  });
  if (wants_grad(grad)) {
    record(out, "EmbeddingDenseBackward0", {grad},
           [flat, sizes = grad.sizes(), weights, padding_idx, n](Backward&, const TensorList& g) {
             Tensor rows = embedding(flat, g[0], std::nullopt, std::nullopt, 2, false, false);
             const Dtype dtype = g[0].dtype();
             if (weights.defined())
               rows = mul(rows, cast_values(alias(weights, {n, 1}, {1, 1}, weights.storage_offset()), dtype));
             if (padding_idx >= 0) {
               Tensor keep = empty({n, 1}, dtype);
               for (int64_t i = 0; i < n; ++i) {
                 fill_values(alias(keep, {}, {}, keep.storage_offset() + i),
                             flat.data<int64_t>()[i] == padding_idx ? 0 : 1);
               }
               rows = mul(rows, keep);
             }
             return TensorList{reshape(rows, sizes)};
           });
  }
  return out;
}

Tensor embedding_renorm_(const Tensor& weight, const Tensor& indices, double max_norm, double norm_type) {
  NNLIB_CHECK(weight.dim() == 2, "'weight' must be 2-D, got ", weight.dim(), "-D");
  const Tensor flat = detail::row_indices(indices, weight.size(0), "embedding_renorm_");
  // Each row that occurs, once.
  std::vector<bool> seen(size_t(weight.size(0)), false);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const int64_t row = flat.data<int64_t>()[i];
    if (!seen[size_t(row)]) rows.push_back(row);
    seen[size_t(row)] = true;
  }
  const int64_t d = weight.size(1), rs = weight.stride(0), cs = weight.stride(1);
  dispatch_floating(weight.dtype(), "embedding_renorm_", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const bool in_place = std::is_same_v<T, C> && cs == 1;
    parallel_for(0, int64_t(rows.size()), std::max<int64_t>(1, 16384 / std::max<int64_t>(d, 1)),
                 [&](int64_t first, int64_t last) {
                   std::vector<C> copy(in_place ? 0 : size_t(d));
                   for (int64_t i = first; i < last; ++i) {
                     T* p = weight.data<T>() + rows[size_t(i)] * rs;
                     C* values = copy.data();
                     if constexpr (std::is_same_v<T, C>) values = in_place ? p : values;
                     if (!in_place)
                       for (int64_t j = 0; j < d; ++j) values[j] = C(p[j * cs]);
                     const double norm = row_norm(d, values, norm_type);
                     if (!(norm > max_norm)) continue;
                     const double scale = max_norm / (norm + 1e-7);
                     if constexpr (std::is_same_v<T, float>) {
                       if (in_place) {  // -0 keeps the signs of zeros
                         kernels::table().norm_apply_f32(d, p, float(scale), -0.0f, p);
                         continue;
                       }
                     }
                     for (int64_t j = 0; j < d; ++j) p[j * cs] = T(C(double(values[j]) * scale));
                   }
                 });
  });
  mark_changed(weight);
  return weight;
}

}  // namespace nnlib::ops
