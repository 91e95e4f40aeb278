// Medians and quantiles.
#include <cmath>
#include <tuple>

#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/order.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

std::pair<Tensor, Tensor> median_of(const Tensor& self, int64_t dim, bool keepdim, bool skip_nan,
                                    const char* node) {
  const int64_t d = wrap_dim(dim, self.dim());
  NNLIB_CHECK_AS(NotImplementedError, self.dtype() != Dtype::Bool,
                 "\"median_cpu\" not implemented for 'Bool'");
  NNLIB_CHECK_INDEX(self.dim() == 0 || self.sizes()[(size_t)d] > 0, "median(): Expected reduction dim ", d,
                    " to have non-zero size.");
  Tensor values, indices;
  {
    NoGradGuard guard;
    const Tensor x = self.dim() ? self : reshape(self, {1});
    std::tie(values, indices) = lane_median(detach(x), d, skip_nan);
    if (!keepdim || self.dim() == 0) values = squeeze(values, d), indices = squeeze(indices, d);
    values = basic_ops().clone(values);
  }
  if (wants_grad(self)) {
    record(values, node, {self},
           [at = save(indices), sizes = self.sizes(), d, keepdim](Backward& ctx, const TensorList& g) {
             if (sizes.empty()) return TensorList{g[0]};
             Tensor zeros = empty(sizes, g[0].dtype());
             fill_values(zeros, 0);
             const Tensor i = at.get(ctx);
             return TensorList{keepdim ? scatter(zeros, d, i, g[0])
                                       : scatter(zeros, d, unsqueeze(i, d), unsqueeze(g[0], d))};
           });
  }
  return {values, indices};
}

// Of all values; equal ones share the gradient.
Tensor median_all(const Tensor& self, bool skip_nan, const char* node) {
  Tensor out;
  {
    NoGradGuard guard;
    if (self.numel() == 0) {
      out = scalar_tensor(is_floating(self.dtype()) ? Scalar((double)NAN) : Scalar(0), self.dtype());
    } else {
      out = median_of(reshape(self, {-1}), 0, false, skip_nan, node).first;
    }
  }
  if (wants_grad(self)) {
    record(out, node, {self}, [x = save(self), y = save_output(out)](Backward& ctx, const TensorList& g) {
      const Tensor v = x.get(ctx), r = y.get(ctx);
      const Tensor at = cast(r.item().to_double() != r.item().to_double() ? isnan(v) : eq(v, r), v.dtype());
      return TensorList{at * (g[0] / sum(at))};
    });
  }
  return out;
}

Tensor quantile_of(const Tensor& self, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                   const std::string& interpolation, bool skip_nan) {
  NNLIB_CHECK(self.numel() > 0, "quantile() input tensor must be non-empty");
  NNLIB_CHECK(q.dim() <= 1, "quantile() q must be a scalar or 1D tensor");
  NNLIB_CHECK(self.dtype() == Dtype::Float32 || self.dtype() == Dtype::Float64,
              "quantile() input tensor must be either float or double dtype");
  NNLIB_CHECK(q.is_wrapped_number() || q.dtype() == self.dtype(),
              "quantile() q tensor must be same dtype as the input tensor");
  NNLIB_CHECK(interpolation == "linear" || interpolation == "lower" || interpolation == "higher" ||
                  interpolation == "midpoint" || interpolation == "nearest",
              "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got ",
              interpolation);
  const int64_t d = dim ? wrap_dim(*dim, self.dim()) : 0;
  // The reduced dimension last.
  Tensor x = !dim ? reshape(self, {-1}) : self.dim() == 0 ? reshape(self, {1}) : transpose(self, d, -1);
  const Tensor qs = reshape(cast(q, self.dtype()), {-1});
  NNLIB_CHECK(!any(logical_or(lt(qs, wrapped_number(0)), gt(qs, wrapped_number(1))), std::nullopt, false)
                   .item()
                   .to_bool(),
              "quantile() q values must be in the range [0, 1]");
  const Tensor sorted = sort(x, -1, false, true).first;
  const int64_t n = sorted.size(-1), last = sorted.dim() - 1;
  const Tensor valid = sum(logical_not(isnan(sorted)), Dims{last}, true), all = wrapped_number(n);
  Tensor top = skip_nan ? clamp_min(valid - Scalar(1), wrapped_number(0)) : wrapped_number(n - 1);
  Tensor ranks = mul(qs, cast(top, self.dtype()));  // (..., number of q)
  // A NaN among the values stands last and is the result.
  if (!skip_nan) ranks = where(lt(valid, all), wrapped_number((double)(n - 1)), ranks);
  if (interpolation == "lower") ranks = floor(ranks);
  if (interpolation == "higher") ranks = ceil(ranks);
  if (interpolation == "nearest") ranks = round(ranks, 0);
  const Tensor place = detach(ranks), below = cast(floor(place), Dtype::Int64),
               above = cast(ceil(place), Dtype::Int64);
  Tensor weight = ranks - cast(below, self.dtype());
  if (interpolation == "midpoint")
    weight = where(gt(weight, wrapped_number(0)), wrapped_number(0.5), wrapped_number(0.0));
  weight = cast(weight, self.dtype());
  Tensor low = gather(sorted, last, below);
  Tensor r = interpolation == "linear" || interpolation == "midpoint"
                 ? lerp(low, gather(sorted, last, above), weight)
                 : low;
  if (keepdim && !dim) {
    Dims sizes((size_t)self.dim(), 1);
    sizes.push_back(r.size(-1));
    r = reshape(r, sizes);
  } else if (keepdim && self.dim()) {
    r = transpose(unsqueeze(r, -2), d - self.dim() - 1,
                  -2);  // the other dimensions, one of size 1 at d, q last
  } else if (dim && self.dim() > 1 && d != self.dim() - 1) {
    // transpose put the last dimension in d's place: it goes back to the end.
    r = movedim(r, Dims{d}, Dims{r.dim() - 2});
  }
  r = movedim(r, Dims{-1}, Dims{0});
  return q.dim() == 0 ? squeeze(r, 0) : r;
}

}  // namespace

Tensor median(const Tensor& self) { return median_all(self, false, "MedianBackward0"); }
Tensor nanmedian(const Tensor& self) { return median_all(self, true, "NanmedianBackward0"); }
std::pair<Tensor, Tensor> median_dim(const Tensor& self, int64_t dim, bool keepdim) {
  return median_of(self, dim, keepdim, false, "MedianBackward1");
}
std::pair<Tensor, Tensor> nanmedian_dim(const Tensor& self, int64_t dim, bool keepdim) {
  return median_of(self, dim, keepdim, true, "NanmedianBackward1");
}
Tensor quantile(const Tensor& self, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation) {
  return quantile_of(self, q, dim, keepdim, interpolation, false);
}
Tensor nanquantile(const Tensor& self, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                   const std::string& interpolation) {
  return quantile_of(self, q, dim, keepdim, interpolation, true);
}

}  // namespace nnlib::ops
