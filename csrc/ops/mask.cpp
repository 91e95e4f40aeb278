// Masks: where they are true, and what stands there.
#include "core/parallel.h"
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace nnlib::ops {

Tensor nonzero(const Tensor& x) {
  Tensor mask = contiguous_values(x.dtype() == Dtype::Bool ? x : cast_values(x, Dtype::Bool));
  const bool* m = mask.data<bool>();
  const int64_t n = x.numel(), dims = x.dim();
  // Counted in chunks, then written from each chunk's own start.
  constexpr int64_t kChunk = 32768;
  std::vector<int64_t> start((size_t)((n + kChunk - 1) / kChunk + 1), 0);
  parallel_for(0, n, kChunk, [&](int64_t b, int64_t e) {
    int64_t c = 0;
    for (int64_t i = b; i < e; i++) c += m[i];
    start[b / kChunk + 1] = c;
  });
  for (size_t i = 1; i < start.size(); i++) start[i] += start[i - 1];
  Tensor r = empty({start.back(), dims}, Dtype::Int64);
  int64_t* p = r.data<int64_t>();
  const Dims sizes = x.sizes();
  parallel_for(0, n, kChunk, [&](int64_t b, int64_t e) {
    int64_t* row = p + start[b / kChunk] * dims;
    const int64_t last = dims ? sizes[dims - 1] : 1;
    std::vector<int64_t> outer((size_t)dims);  // coordinates of a run along the last dimension
    for (int64_t i = b; i < e;) {
      int64_t rest = i / last;
      for (int64_t d = dims - 2; d >= 0; d--) {
        outer[d] = rest % sizes[d];
        rest /= sizes[d];
      }
      constexpr int64_t kRun = 256;
      const int64_t first = i % last, n = std::min({last - first, e - i, kRun});
      int64_t found[kRun], count = 0;  // without a branch that values of no order would mislead
      for (int64_t k = 0; k < n; k++) {
        found[count] = first + k;
        count += m[i + k];
      }
      for (int64_t k = 0; k < count && dims; k++, row += dims) {
        for (int64_t d = 0; d < dims - 1; d++) row[d] = outer[d];
        row[dims - 1] = found[k];
      }
      i += n;
    }
  });
  return r;
}

TensorList nonzero_tuple(const Tensor& x) { return unbind(nonzero(x.dim() == 0 ? reshape(x, {1}) : x), 1); }

Tensor argwhere(const Tensor& x) { return nonzero(x); }

namespace {

// Calls f(position in x, position among the selected) for each true element of a contiguous mask.
template <class F>
int64_t for_selected(const Tensor& mask, F f) {
  const bool* m = mask.data<bool>();
  int64_t k = 0;
  for (int64_t i = 0; i < mask.numel(); i++)
    if (m[i]) f(i, k++);
  return k;
}

Tensor check_mask(const Tensor& mask, const char* name) {
  NNLIB_CHECK(mask.dtype() == Dtype::Bool, name, ": expected BoolTensor for mask");
  return mask;
}

}  // namespace

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check_mask(mask, "masked_select");
  const Dims sizes = broadcast_shapes(x.sizes(), mask.sizes());
  Tensor m, in;
  {
    NoGradGuard guard;
    m = contiguous_values(expand(mask, sizes));
    in = contiguous_values(expand(x, sizes));
  }
  const int64_t n = for_selected(m, [](int64_t, int64_t) {});
  Tensor r = empty({n}, x.dtype());
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_selected(m, [o = (T*)r.raw(), p = (const T*)in.raw()](int64_t i, int64_t k) { o[k] = p[i]; });
  });
  if (wants_grad(x))
    record(r, "MaskedSelectBackward0", {x},
           [m = m.storage() == mask.storage() ? detach(clone(m)) : m](Backward&, const TensorList& g) {
             return TensorList{masked_scatter(zeros(m.sizes(), g[0].dtype()), m, g[0])};
           });
  return r;
}

Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source) {
  check_mask(mask, "masked_scatter");
  NNLIB_CHECK(x.dtype() == source.dtype(),
              "masked_scatter: expected self and source to have same dtypes but got ",
              dtype_legacy_name(x.dtype()), " and ", dtype_legacy_name(source.dtype()));
  const Dims sizes = broadcast_shapes(x.sizes(), mask.sizes());
  Tensor m, r = empty(sizes, x.dtype()), s = contiguous_values(source);
  {
    NoGradGuard guard;
    m = contiguous_values(expand(mask, sizes));
    copy_values(r, expand(x, sizes));
  }
  const int64_t n = for_selected(m, [](int64_t, int64_t) {});
  NNLIB_CHECK(n <= source.numel(), "Number of elements of source < number of ones in mask");
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_selected(m, [o = (T*)r.raw(), p = (const T*)s.raw()](int64_t i, int64_t k) { o[i] = p[k]; });
  });
  if (wants_grad(x, source))
    record(r, "MaskedScatterBackward0", {x, source},
           [m = m.storage() == mask.storage() ? detach(clone(m)) : m, from = source.sizes()](
               Backward& ctx, const TensorList& g) {
             Tensor gs;
             if (ctx.needs(1)) {
               // Elements of source past the last true one took no part.
               gs = masked_select(g[0], m);
               gs = reshape(constant_pad_nd(gs, {0, count(from) - gs.numel()}), from);
             }
             return TensorList{ctx.needs(0) ? masked_fill(g[0], m, wrapped_number(0)) : Tensor(), gs};
           });
  return r;
}

}  // namespace nnlib::ops
