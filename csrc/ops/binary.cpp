// Sums, differences, products and quotients, with their forms that write into self.
#include "ops/binary_kernels.h"
#include "ops/elementwise.h"
#include "ops/sparse_math.h"

namespace nnlib::ops {

void check_result_fits(const Tensor& self, const Dims& sizes, Dtype result) {
  NNLIB_CHECK(self.sizes() == sizes, "output with shape ", self.sizes(),
              " doesn't match the broadcast shape ", sizes);
  NNLIB_CHECK(can_cast(result, self.dtype()), "result type ", dtype_legacy_name(result),
              " can't be cast to the desired output type ", dtype_legacy_name(self.dtype()));
}

void run_integer_rows(const Tensor& out, const Tensor& a, const Tensor& b, Dtype common,
                      kernels::IntegerOperation how, int64_t c) {
  const auto kernel = kernels::table().integer_rows;
  // A bool's result is the truth of an integer's; its byte's bits are as good.
  const bool bits = how == kernels::kIntegerAnd || how == kernels::kIntegerOr || how == kernels::kIntegerXor;
  const Dtype type = out.dtype() == common && (common != Dtype::Bool || bits) ? common : Dtype::Int64;
  const Tensor x = single_in_type(a, type), y = single_in_type(b, type);
  if (out.dtype() == type &&
      for_each_rows2(out, x, y, type, [=](auto... rows) { kernel(how, int64_t(type), c, rows...); }, kCheap))
    return;
  const bool kept = out.dtype() == type && x.dtype() == type && y.dtype() == type;
  const Dtype own = kept ? type : Dtype::Int64;
  for_each_row(out, own, {{&x, own}, {&y, own}}, [=](int64_t n, const void* const* in, void* o) {
    kernel(how, int64_t(own), c, 1, n, in[0], n, 1, in[1], n, 1, o, n);
  });
}

namespace {

void check_alpha(Dtype common, Scalar alpha) {
  NNLIB_CHECK(!alpha.is_bool() || common == Dtype::Bool, "Boolean alpha only supported for Boolean results.");
  NNLIB_CHECK(is_floating(common) || !alpha.is_floating(),
              "For integral input tensors, argument alpha must not be a floating point number.");
}
void check_no_bool(const Tensor& self, const Tensor& other) {
  const bool a = self.dtype() == Dtype::Bool, b = other.dtype() == Dtype::Bool;
  NNLIB_CHECK(
      !(a && b),
      "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
      "operator instead.");
  NNLIB_CHECK(!(a || b),
              "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
              "invert a mask, "
              "use the `~` or `logical_not()` operator instead.");
}

// out = self + alpha * other.
void run_add(const Tensor& out, const Tensor& self, const Tensor& other, Dtype common, Scalar alpha) {
  const auto& k = kernels::table();
  const double a = alpha.to_double();
  if (a == 1) {
    run_binary<true>(out, self, other, common, NNLIB_BINARY_KERNELS_OF_ALL(add, kIntegerAdd),
                     [](auto x, auto y) { return x + y; });
  } else if (a == -1) {
    run_binary<true>(out, self, other, common, NNLIB_BINARY_KERNELS_OF_ALL(sub, kIntegerSub),
                     [](auto x, auto y) { return x - y; });
  } else if (out.dtype() == common &&
             run_with_number(out, self, other, a, NNLIB_NUMBER_KERNELS(scaled_add))) {
    return;
  } else if (compute_dtype(common) == Dtype::Float32) {
    for_each_row(out, Dtype::Float32, {{&self, Dtype::Float32}, {&other, Dtype::Float32}},
                 [&](int64_t n, const void* const* in, void* o) {
                   k.axpy_f32(n, (float)a, (const float*)in[1], (const float*)in[0], (float*)o);
                 });
  } else if (is_floating(common)) {
    run_binary<true>(out, self, other, common, nullptr,
                     [a](auto x, auto y) { return x + (decltype(x))a * y; });
  } else {
    run_integer_rows(out, self, other, common, kernels::kIntegerScaledAdd, alpha.to_int());
  }
}

Scalar negated(Scalar s) {
  return s.is_floating() ? Scalar(-s.to_double()) : Scalar((int64_t)-(uint64_t)s.to_int());  // wraps
}
bool is_one(Scalar s) { return s.to_double() == 1; }
Tensor scaled(const Tensor& g, Scalar s) { return is_one(s) ? g : g * s; }

// Gradients of self + alpha * other.
auto add_backward(Scalar alpha) {
  return [alpha](Backward& ctx, const TensorList& g) {
    return TensorList{g[0], ctx.needs(1) ? scaled(g[0], alpha) : Tensor()};
  };
}

Tensor add_named(const Tensor& self, const Tensor& other, Scalar alpha, const char* name) {
  if (self.is_sparse() || other.is_sparse()) return sparse_add(self, other, alpha);
  const Dtype common = result_type(self, other);
  check_alpha(common, alpha);
  const bool same = self.sizes() == other.sizes();  // most are: no list is made of them
  Tensor out = make_output(same ? self.sizes() : broadcast_sizes({self, other}), common, {&self, &other});
  run_add(out, self, other, common, alpha);
  if (wants_grad(self, other)) record(out, name, {self, other}, add_backward(alpha));
  return out;
}
Tensor add_named_(const Tensor& self, const Tensor& other, Scalar alpha, const char* name) {
  if (self.is_sparse() || other.is_sparse()) return sparse_add_(self, other, alpha);
  const Dtype common = result_type(self, other);
  check_alpha(common, alpha);
  check_inplace(self, wants_grad_one(other));
  check_result_fits(self, broadcast_sizes({self, other}), common);
  check_no_partial_overlap(self, other);
  run_add(self, self, other, common, alpha);
  mark_changed(self);
  if (wants_grad(self, other)) record_inplace(self, name, {self, other}, add_backward(alpha));
  return self;
}

const auto kMul = [](auto x, auto y) { return x * y; };
const auto kDiv = [](auto x, auto y) { return x / y; };

auto mul_backward(Saved a, Saved b) {
  return [a, b](Backward& ctx, const TensorList& g) {
    return TensorList{ctx.needs(0) ? g[0] * b.get(ctx) : Tensor(),
                      ctx.needs(1) ? g[0] * a.get(ctx) : Tensor()};
  };
}
auto div_backward(Saved a, Saved b) {
  return [a, b](Backward& ctx, const TensorList& g) {
    const Tensor y = b.get(ctx);
    return TensorList{ctx.needs(0) ? g[0] / y : Tensor(),
                      ctx.needs(1) ? -g[0] * ((a.get(ctx) / y) / y) : Tensor()};
  };
}
Saved save_if(bool wanted, const Tensor& t) { return wanted ? save(t) : Saved(); }

}  // namespace

Tensor add(const Tensor& self, const Tensor& other, Scalar alpha) {
  return add_named(self, other, alpha, "AddBackward0");
}
Tensor sub(const Tensor& self, const Tensor& other, Scalar alpha) {
  check_no_bool(self, other);
  check_alpha(result_type(self, other), alpha);
  return add_named(self, other, negated(alpha), "SubBackward0");
}
Tensor rsub(const Tensor& self, const Tensor& other, Scalar alpha) {
  check_no_bool(self, other);
  check_alpha(result_type(self, other), alpha);
  Tensor scaled_self = is_one(alpha) ? self : mul(self, wrapped_number(alpha));
  return add_named(other, scaled_self, Scalar(-1),
                   other.is_wrapped_number() ? "RsubBackward1" : "RsubBackward0");
}
Tensor add_(const Tensor& self, const Tensor& other, Scalar alpha) {
  return add_named_(self, other, alpha, "AddBackward0");
}
Tensor sub_(const Tensor& self, const Tensor& other, Scalar alpha) {
  check_no_bool(self, other);
  check_alpha(result_type(self, other), alpha);
  return add_named_(self, other, negated(alpha), "SubBackward0");
}

Tensor mul(const Tensor& self, const Tensor& other) {
  if (self.is_sparse() || other.is_sparse()) return sparse_scale(self, other, false);
  Tensor out = binary<true>(self, other, result_type(self, other),
                            NNLIB_BINARY_KERNELS_OF_ALL(mul, kIntegerMul), kMul);
  if (wants_grad(self, other))
    record(out, "MulBackward0", {self, other},
           mul_backward(save_if(other.requires_grad(), self), save_if(self.requires_grad(), other)));
  return out;
}
Tensor mul_(const Tensor& self, const Tensor& other) {
  if (self.is_sparse()) return sparse_assign_(self, sparse_scale(self, other, false));
  if (wants_grad(other)) return assign_inplace(self, [&](const Tensor& s) { return mul(s, other); }, true);
  check_inplace(self);
  const bool recording = wants_grad(self);
  Tensor factor = recording && other.is_same(self) ? before_change(self, true) : other;
  binary_into<true>(self, other, result_type(self, other), NNLIB_BINARY_KERNELS_OF_ALL(mul, kIntegerMul),
                    kMul);
  mark_changed(self);
  if (recording) record_inplace(self, "MulBackward0", {self, factor}, mul_backward(Saved(), save(factor)));
  return self;
}

Tensor div(const Tensor& self, const Tensor& other) {
  if (self.is_sparse()) return sparse_scale(self, other, true);
  Tensor out =
      binary<true>(self, other, to_floating(result_type(self, other)), NNLIB_BINARY_KERNELS(div), kDiv);
  if (wants_grad(self, other))
    record(out, "DivBackward0", {self, other},
           div_backward(save_if(other.requires_grad(), self), save(other)));
  return out;
}
Tensor div_(const Tensor& self, const Tensor& other) {
  if (self.is_sparse()) return sparse_assign_(self, sparse_scale(self, other, true));
  if (wants_grad(other)) return assign_inplace(self, [&](const Tensor& s) { return div(s, other); }, true);
  check_inplace(self);
  binary_into<true>(self, other, to_floating(result_type(self, other)), NNLIB_BINARY_KERNELS(div), kDiv);
  mark_changed(self);
  if (wants_grad(self))
    record_inplace(self, "DivBackward0", {self, other}, div_backward(Saved(), save(other)));
  return self;
}

}  // namespace nnlib::ops
