// The cross product.
#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/linalg.h"
#include "ops/shape.h"

namespace nnlib::ops {

Tensor linalg_cross(const Tensor& a, const Tensor& b, int64_t dim) {
  NNLIB_CHECK(a.dim() == b.dim(), "linalg.cross: inputs must have the same number of dimensions.");
  const int64_t d = wrap_dim(dim, a.dim(), false);
  NNLIB_CHECK(a.sizes()[d] == 3 && b.sizes()[d] == 3, "linalg.cross: inputs dimension ", dim,
              " must have length 3. Got ", a.sizes()[d], " and ", b.sizes()[d]);
  const Dims sizes = broadcast_shapes(a.sizes(), b.sizes());
  auto part = [&](const Tensor& t, int64_t i) { return select(t, d, i); };
  Tensor r, ea = expand(a, sizes), eb = expand(b, sizes);
  {
    NoGradGuard guard;
    TensorList rows;
    for (int64_t i = 0; i < 3; i++) {
      const int64_t j = (i + 1) % 3, k = (i + 2) % 3;
      rows.push_back(part(ea, j) * part(eb, k) - part(ea, k) * part(eb, j));
    }
    r = stack(rows, d);
  }
  if (wants_grad(ea, eb))
    record(r, "LinalgCrossBackward0", {ea, eb},
           [a = save(ea), b = save(eb), d](Backward& ctx, const TensorList& g) {
             return TensorList{ctx.needs(0) ? linalg_cross(b.get(ctx), g[0], d) : Tensor(),
                               ctx.needs(1) ? linalg_cross(g[0], a.get(ctx), d) : Tensor()};
           });
  return r;
}

Tensor cross(const Tensor& a, const Tensor& b, std::optional<int64_t> dim) {
  if (dim) return linalg_cross(a, b, *dim);
  for (int64_t d = 0; d < a.dim(); d++)
    if (a.sizes()[d] == 3) return linalg_cross(a, b, d);
  throw Error("no dimension of size 3 in input");
}

}  // namespace nnlib::ops
