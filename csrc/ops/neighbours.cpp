// Differences of neighbours along a dimension, and the trapezoid rule.
#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/order.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

Tensor diff(const Tensor& self, int64_t n, int64_t dim, const Tensor& prepend, const Tensor& append) {
  NNLIB_CHECK(self.dim() >= 1, "diff expects input to be at least one-dimensional");
  NNLIB_CHECK(n >= 0, "order must be non-negative but got ", n);
  const int64_t d = wrap_dim(dim, self.dim());
  for (const Tensor* t : {&prepend, &append})
    NNLIB_CHECK(!t->defined() || t->dim() == self.dim(),
                "diff expects prepend or append to be the same dimension as input");
  if (n == 0) return basic_ops().clone(self);
  TensorList parts;
  for (const Tensor* t : {&prepend, &self, &append})
    if (t->defined()) parts.push_back(*t);
  Tensor x = parts.size() == 1 ? self : cat(parts, d);
  n = std::min(n, x.size(d));
  if (n == 0) return basic_ops().clone(x);
  for (; n > 0; n--) {
    const int64_t m = x.size(d) - 1;
    const Tensor a = narrow(x, d, 1, m), b = narrow(x, d, 0, m);
    x = x.dtype() == Dtype::Bool ? logical_xor(a, b) : a - b;
  }
  return x;
}

namespace {

// (y[i] + y[i + 1]) * dx[i]: twice the area of each trapezoid.
Tensor double_areas(const Tensor& y, const Tensor& dx, int64_t d) {
  const int64_t m = y.size(d) - 1;
  return (narrow(y, d, 1, m) + narrow(y, d, 0, m)) * dx;
}

// The widths between the points x, laid along dimension d of y.
Tensor widths(const Tensor& y, const Tensor& x, int64_t d) {
  NNLIB_CHECK(x.dim() >= 1, "trapezoid: expected x to have dimensions, got a 0-dimensional tensor");
  Tensor points = x;
  if (x.dim() == 1 && y.dim() > 1) {
    NNLIB_CHECK(x.size(0) == y.size(d), "trapezoid: There must be one `x` value for each sample point");
    Dims sizes((size_t)y.dim(), 1);
    sizes[(size_t)d] = x.size(0);
    points = reshape(x, sizes);
  } else if (x.dim() < y.dim()) {
    Dims sizes((size_t)(y.dim() - x.dim()), 1);
    for (int64_t s : x.sizes()) sizes.push_back(s);
    points = reshape(x, sizes);
  }
  return diff(points, 1, d - y.dim(), {}, {});
}

Tensor trapezoid_of(const Tensor& y, const Tensor& dx, int64_t d) {
  return sum(double_areas(y, dx, d), Dims{d}, false) / Scalar(2);
}
Tensor empty_area(const Tensor& y, int64_t d) { return sum(y, Dims{d}, false) * Scalar(0.0); }
Tensor cumulative_of(const Tensor& y, const Tensor& dx, int64_t d) {
  return cumsum(double_areas(y, dx, d), d, std::nullopt) / Scalar(2);
}

void check_samples(const Tensor& y) {
  NNLIB_CHECK(y.dtype() != Dtype::Bool,
              "trapezoid: received a bool input for `x` or `y`, but bool is not supported");
}

}  // namespace

Tensor trapezoid(const Tensor& y, Scalar dx, int64_t dim) {
  check_samples(y);
  const int64_t d = wrap_dim(dim, y.dim());
  return y.size(d) == 0 ? empty_area(y, d) : trapezoid_of(y, wrapped_number(dx), d);
}
Tensor trapezoid_x(const Tensor& y, const Tensor& x, int64_t dim) {
  check_samples(y);
  const int64_t d = wrap_dim(dim, y.dim());
  return y.size(d) == 0 ? empty_area(y, d) : trapezoid_of(y, widths(y, x, d), d);
}
Tensor cumulative_trapezoid(const Tensor& y, Scalar dx, int64_t dim) {
  check_samples(y);
  const int64_t d = wrap_dim(dim, y.dim());
  return y.size(d) == 0 ? y : cumulative_of(y, wrapped_number(dx), d);
}
Tensor cumulative_trapezoid_x(const Tensor& y, const Tensor& x, int64_t dim) {
  check_samples(y);
  const int64_t d = wrap_dim(dim, y.dim());
  return y.size(d) == 0 ? y : cumulative_of(y, widths(y, x, d), d);
}

}  // namespace nnlib::ops
