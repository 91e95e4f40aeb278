// Comparisons, logic and bits. None has a gradient.
#include <cmath>

#include "kernels/dispatch.h"
#include "ops/binary_kernels.h"
#include "ops/elementwise.h"
#include "ops/iterator.h"

namespace nnlib::ops {

namespace {

// A bool from two operands in the common type.
template <class F>
void compare_into(const Tensor& out, const Tensor& a, const Tensor& b, const F& f) {
  Tensor x = a, y = b;
  dispatch_own(
      result_type(a, b),
      [&](auto tag) { map_values<typename decltype(tag)::type, bool>(out, kCheap, f, x, y); }, x, y);
}
template <class F>
Tensor compare(const Tensor& a, const Tensor& b, const F& f) {
  const Tensor out = make_output(broadcast_sizes({a, b}), Dtype::Bool, {&a, &b});
  compare_into(out, a, b, f);
  return out;
}

// The comparisons that the kernel knows, by its numbers.
enum How : int64_t { kEqual, kDifferent, kLess, kAtMost };
template <class F>
void compare_into(const Tensor& out, How how, const Tensor& a, const Tensor& b, const F& f) {
  const Dtype type = result_type(a, b);
  const bool known = type == Dtype::Int32 || type == Dtype::Int64 || type == compute_dtype(type);
  if (known && for_each_rows2(
                   out, a, b, type,
                   [=](int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step, const void* y,
                       int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
                     kernels::table().compare_rows((int64_t)how, (int64_t)type, rows, n, x, x_row, x_step, y,
                                                   y_row, y_step, z, z_row);
                   },
                   kCheap))
    return;
  compare_into(out, a, b, f);
}
Tensor compare_by(How how, const Tensor& a, const Tensor& b, bool swapped = false) {
  const Tensor out = make_output(broadcast_sizes({a, b}), Dtype::Bool, {&a, &b});
  const Tensor &x = swapped ? b : a, &y = swapped ? a : b;
  switch (how) {
    case kEqual:
      compare_into(out, how, x, y, [](auto p, auto q) { return p == q; });
      break;
    case kDifferent:
      compare_into(out, how, x, y, [](auto p, auto q) { return p != q; });
      break;
    case kLess:
      compare_into(out, how, x, y, [](auto p, auto q) { return p < q; });
      break;
    case kAtMost:
      compare_into(out, how, x, y, [](auto p, auto q) { return p <= q; });
  }
  return out;
}
// A bool from the operands' own truth.
template <class F>
Tensor logical(const Tensor& a, const Tensor& b, const F& f) {
  Tensor out = make_output(broadcast_sizes({a, b}), Dtype::Bool, {&a, &b});
  map_values<bool>(out, kCheap, f, a, b);
  return out;
}
template <class F>
Tensor predicate(const Tensor& a, const F& f) {
  Tensor out = make_output(a.sizes(), Dtype::Bool, {&a});
  dispatch_compute(a.dtype(),
                   [&](auto tag) { map_values<typename decltype(tag)::type, bool>(out, kCheap, f, a); });
  return out;
}
Tensor bitwise(const char* name, const Tensor& a, const Tensor& b, bool bools,
               kernels::IntegerOperation how) {
  const Dtype common = result_type(a, b);
  if (is_floating(common) || (common == Dtype::Bool && !bools))
    throw NotImplementedError(
        concat("\"", name, "_cpu\" not implemented for '", dtype_legacy_name(common), "'"));
  Tensor out = make_output(broadcast_sizes({a, b}), common, {&a, &b});
  run_integer_rows(out, a, b, common, how);
  return out;
}

}  // namespace

Tensor eq(const Tensor& a, const Tensor& b) { return compare_by(kEqual, a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare_by(kDifferent, a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare_by(kLess, a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare_by(kAtMost, a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare_by(kLess, a, b, true); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare_by(kAtMost, a, b, true); }

bool equal(const Tensor& a, const Tensor& b) {
  if (a.sizes() != b.sizes()) return false;
  if (a.numel() == 0) return true;
  bool same = true;
  // Written by any thread, only ever to false.
  const Tensor differs = ne(a, b);
  const bool* p = (const bool*)differs.raw();
  for (int64_t i = 0; i < differs.numel() && same; i++) same = !p[i];
  return same;
}

Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  NNLIB_CHECK(a.dtype() == b.dtype(), dtype_legacy_name(a.dtype()), " did not match ",
              dtype_legacy_name(b.dtype()));
  NNLIB_CHECK(rtol >= 0, "rtol must be greater than or equal to zero, but got ", rtol);
  NNLIB_CHECK(atol >= 0, "atol must be greater than or equal to zero, but got ", atol);
  return compare(a, b, [=](auto x, auto y) {
    using T = decltype(x);
    if (x == y) return true;
    if constexpr (std::is_floating_point_v<T>) {
      if (equal_nan && x != x && y != y) return true;
      const T gap = std::abs(x - y), allowed = (T)atol + std::abs((T)rtol * y);
      return std::isfinite(gap) && gap <= allowed;
    } else {
      return std::abs((double)x - (double)y) <= atol + std::abs(rtol * (double)y);
    }
  });
}
bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  const Tensor close = isclose(a, b, rtol, atol, equal_nan);
  const bool* p = (const bool*)close.raw();
  for (int64_t i = 0; i < close.numel(); i++)
    if (!p[i]) return false;
  return true;
}

Tensor logical_and(const Tensor& a, const Tensor& b) {
  return logical(a, b, [](bool x, bool y) { return x && y; });
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  return logical(a, b, [](bool x, bool y) { return x || y; });
}
Tensor logical_xor(const Tensor& a, const Tensor& b) {
  return logical(a, b, [](bool x, bool y) { return x != y; });
}
Tensor logical_not(const Tensor& a) {
  if (a.dtype() != Dtype::Bool) return eq(a, wrapped_number(0));
  Tensor out = make_output(a.sizes(), Dtype::Bool, {&a});
  map_values<bool>(out, kCheap, [](bool x) { return !x; }, a);
  return out;
}

Tensor bitwise_and(const Tensor& a, const Tensor& b) {
  return bitwise("bitwise_and", a, b, true, kernels::kIntegerAnd);
}
Tensor bitwise_or(const Tensor& a, const Tensor& b) {
  return bitwise("bitwise_or", a, b, true, kernels::kIntegerOr);
}
Tensor bitwise_xor(const Tensor& a, const Tensor& b) {
  return bitwise("bitwise_xor", a, b, true, kernels::kIntegerXor);
}
Tensor bitwise_left_shift(const Tensor& a, const Tensor& b) {
  return bitwise("lshift", a, b, false, kernels::kIntegerShiftLeft);
}
Tensor bitwise_right_shift(const Tensor& a, const Tensor& b) {
  return bitwise("rshift", a, b, false, kernels::kIntegerShiftRight);
}
Tensor bitwise_not(const Tensor& a) {
  if (a.dtype() == Dtype::Bool) return logical_not(a);
  if (is_floating(a.dtype()))
    throw NotImplementedError(
        concat("\"bitwise_not_cpu\" not implemented for '", dtype_legacy_name(a.dtype()), "'"));
  Tensor out = make_output(a.sizes(), a.dtype(), {&a});
  Tensor x = a;
  dispatch_own(
      a.dtype(),
      [&](auto tag) {
        using T = typename decltype(tag)::type;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
          map_values<T>(out, kCheap, [](T v) { return (T)~v; }, x);
      },
      x);
  return out;
}

Tensor isnan(const Tensor& a) {
  return predicate(a, [](auto x) { return x != x; });
}
Tensor isinf(const Tensor& a) {
  return predicate(a, [](auto x) { return std::isinf((double)x); });
}
Tensor isfinite(const Tensor& a) {
  return predicate(a, [](auto x) { return std::isfinite((double)x); });
}
Tensor isposinf(const Tensor& a) {
  return predicate(a, [](auto x) { return (double)x == INFINITY; });
}
Tensor isneginf(const Tensor& a) {
  return predicate(a, [](auto x) { return (double)x == -INFINITY; });
}
Tensor signbit(const Tensor& a) {
  return predicate(a, [](auto x) { return std::signbit(x); });
}

}  // namespace nnlib::ops
