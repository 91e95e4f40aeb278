// Gives autograd the operators that it is built on.
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

struct ShapeBasics {
  ShapeBasics() {
    BasicOps& b = basic_ops();
    b.view = reshape;
    b.clone = [](const Tensor& t) { return clone(t); };
    b.to_device = to_device;
    b.copy_ = [](const Tensor& self, const Tensor& src) { return copy_(self, src); };
    b.as_strided = [](const Tensor& t, const Dims& sizes, const Dims& strides, int64_t offset) {
      return as_strided(t, sizes, strides, offset);
    };
    b.as_strided_backward = as_strided_backward;
  }
} g_shape_basics;

struct ElementwiseBasics {
  ElementwiseBasics() {
    BasicOps& b = basic_ops();
    b.add = [](const Tensor& x, const Tensor& y) { return add(x, y); };
    b.add_into = [](const Tensor& self, const Tensor& other) {
      NoGradGuard guard;
      add_(self, other, Scalar(1));
    };
    b.sum = [](const Tensor& x, const Dims& dims, bool keepdim) { return sum(x, dims, keepdim); };
    b.cast = cast;
  }
} g_elementwise_basics;

}  // namespace

}  // namespace nnlib::ops
