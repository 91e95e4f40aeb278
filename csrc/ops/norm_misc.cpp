// Normalisations made from other operators.
#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

// Krizhevsky, Sutskever and Hinton, 2012: x / (k + alpha mean of x^2 over `size` neighbouring channels)^beta.
Tensor local_response_norm(const Tensor& input, int64_t size, double alpha, double beta, double k) {
  NNLIB_CHECK_VALUE(input.dim() >= 3, "Expected 3D or higher dimensionality input (got ", input.dim(),
                    " dimensions)");
  if (input.numel() == 0) return input;
  const int64_t n = input.size(0), c = input.size(1), rest = input.numel() / (n * c);
  const Tensor squares = reshape(input * input, {n, 1, c, rest});
  const Tensor padded = constant_pad_nd(squares, {0, 0, size / 2, (size - 1) / 2});
  const Tensor means =
      reshape(avg_pool2d(padded, {size, 1}, Dims{1, 1}, {0, 0}, false, true, std::nullopt), input.sizes());
  return input / pow(means * Scalar(alpha) + Scalar(k), wrapped_number(Scalar(beta)));
}

Tensor normalize(const Tensor& input, double p, int64_t dim, double eps) {
  const Tensor length = vector_norm(input, Scalar(p), Dims{dim}, true, std::nullopt);
  return input / expand_as(clamp(length, Scalar(eps), std::nullopt), input);
}

}  // namespace nnlib::ops
