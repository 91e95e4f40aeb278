// z = f(x, y) over rows that lie apart, for every element type: what broadcasting and slicing make of two
// operands. A row's operand may be one value for all of it, or have steps.
#pragma once
#include "lane_types.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// m values, `step` elements apart.
template <class L>
NNLIB_INLINE typename L::V get_apart(const typename L::type* p, int64_t step, int64_t m) {
  typename L::type near[L::kLanes] = {};
  if (m >= L::kLanes)
    for (int64_t k = 0; k < L::kLanes; ++k) near[k] = p[k * step];
  else
    for (int64_t k = 0; k < m; ++k) near[k] = p[k * step];
  return L::get(near);
}

// One operand along its row.
template <class L>
struct RowOperand {
  const typename L::type* p;
  int64_t step;
  typename L::V all;  // where step is 0
  RowOperand(const void* x, int64_t row, int64_t step, int64_t r)
      : p(static_cast<const typename L::type*>(x) + r * row), step(step), all(L::splat(0)) {
    if (step == 0) all = L::splat(row == 0 ? *static_cast<const typename L::One*>(x) : L::value(p));
  }
  NNLIB_INLINE typename L::V any(int64_t i, int64_t m) const {
    if (step == 0) return all;
    return step == 1 ? L::get(p + i, m) : get_apart<L>(p + i * step, step, m);
  }
};

template <class L, class X, class Y, class F>
NNLIB_INLINE void whole_row(int64_t n, typename L::type* z, X x, Y y, F f) {
  constexpr int64_t w = L::kLanes;
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    const typename L::V a = f(x(i), y(i)), b = f(x(i + w), y(i + w));
    L::put(z + i, a);
    L::put(z + i + w, b);
  }
  if (i + w <= n) {
    L::put(z + i, f(x(i), y(i)));
    i += w;
  }
}

template <class L, class F>
NNLIB_INLINE void rows2(int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step, const void* y,
                        int64_t y_row, int64_t y_step, void* z, int64_t z_row, F f) {
  constexpr int64_t w = L::kLanes;
  for (int64_t r = 0; r < rows; ++r) {
    const RowOperand<L> a(x, x_row, x_step, r), b(y, y_row, y_step, r);
    auto* to = static_cast<typename L::type*>(z) + r * z_row;
    const auto one_a = [&](int64_t) { return a.all; };
    const auto one_b = [&](int64_t) { return b.all; };
    const auto run_a = [&](int64_t i) { return L::get(a.p + i); };
    const auto run_b = [&](int64_t i) { return L::get(b.p + i); };
    if (x_step == 1 && y_step == 1) {
      whole_row<L>(n, to, run_a, run_b, f);
    } else if (x_step == 1 && y_step == 0) {
      whole_row<L>(n, to, run_a, one_b, f);
    } else if (x_step == 0 && y_step == 1) {
      whole_row<L>(n, to, one_a, run_b, f);
    } else {
      for (int64_t i = 0; i + w <= n; i += w) L::put(to + i, f(a.any(i, w), b.any(i, w)));
    }
    if (const int64_t i = n / w * w; i < n) L::put(to + i, f(a.any(i, n - i), b.any(i, n - i)), n - i);
  }
}

#define NNLIB_ROWS_OF(name, suffix, lanes, expression)                                              \
  void name##_rows_##suffix(int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step,  \
                            const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) { \
    rows2<lanes>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row,                             \
                 [](lanes::V a, lanes::V b) { return expression; });                                \
  }
#define NNLIB_ROWS(name, expression)               \
  NNLIB_ROWS_OF(name, f32, LanesF32, expression)   \
  NNLIB_ROWS_OF(name, f64, LanesF64, expression)   \
  NNLIB_ROWS_OF(name, bf16, LanesBf16, expression) \
  NNLIB_ROWS_OF(name, f16, LanesF16, expression)
NNLIB_ROWS(add, a + b)
NNLIB_ROWS(sub, a - b)
NNLIB_ROWS(mul, a* b)
NNLIB_ROWS(div, a / b)
NNLIB_ROWS(maximum, max_nan(a, b))
NNLIB_ROWS(minimum, min_nan(a, b))
NNLIB_ROWS(prelu, select(gt(a, all_lanes<decltype(a)>(0)), a, b* a))
#undef NNLIB_ROWS
#undef NNLIB_ROWS_OF

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
