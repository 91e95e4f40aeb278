// z = f(x, y) over rows that lie apart, for every element type: what broadcasting and slicing make of two
// operands. A row's operand may be one value for all of it, or have steps.
#pragma once
#include "integers.h"
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
NNLIB_ROWS(div_trunc, trunc(a / b))
#undef NNLIB_ROWS
#undef NNLIB_ROWS_OF

// With a number.
#define NNLIB_ROWS(suffix, lanes)                                                                          \
  void scaled_add_rows_##suffix(double c, int64_t rows, int64_t n, const void* x, int64_t x_row,           \
                                int64_t x_step, const void* y, int64_t y_row, int64_t y_step, void* z,     \
                                int64_t z_row) {                                                           \
    const lanes::V by = lanes::splat(lanes::One(c));                                                       \
    rows2<lanes>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row,                                    \
                 [by](lanes::V a, lanes::V b) { return fma(by, b, a); });                                  \
  }                                                                                                        \
  /* From the nearer end. */                                                                               \
  void lerp_rows_##suffix(double c, int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step, \
                          const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {          \
    const lanes::One weight = lanes::One(c);                                                               \
    const bool near = weight < lanes::One(0.5) && weight > lanes::One(-0.5);                               \
    const lanes::V by = lanes::splat(near ? weight : weight - 1);                                          \
    rows2<lanes>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row,                                    \
                 [by, near](lanes::V a, lanes::V b) { return fma(by, b - a, near ? a : b); });             \
  }
NNLIB_ROWS(f32, LanesF32)
NNLIB_ROWS(f64, LanesF64)
NNLIB_ROWS(bf16, LanesBf16)
NNLIB_ROWS(f16, LanesF16)
#undef NNLIB_ROWS

// n values with steps between them, or one n times, side by side.
template <class T>
__attribute__((noinline)) void bring_together(int64_t n, const T* p, int64_t step, T* to) {
  if (step == 0) {
    const T v = *p;
    for (int64_t i = 0; i < n; ++i) to[i] = v;
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = p[i * step];
  }
}

// Comparisons by one plain loop over values that lie together; others are brought together, some at a time. A
// value that stands for all is a C.
template <class T, class C, class R, class F>
NNLIB_INLINE void plain_rows(int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step,
                             const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row, F f) {
  constexpr int64_t kSome = 256;
  T some_x[kSome], some_y[kSome];
  const bool single_x = x_row == 0 && x_step == 0, single_y = y_row == 0 && y_step == 0;
  const T one_x = single_x ? T(*static_cast<const C*>(x)) : T(0);
  const T one_y = single_y ? T(*static_cast<const C*>(y)) : T(0);
  const int64_t some = x_step == 1 && y_step == 1 ? n : kSome;
  for (int64_t r = 0; r < rows; ++r) {
    const T* p = single_x ? &one_x : static_cast<const T*>(x) + r * x_row;
    const T* q = single_y ? &one_y : static_cast<const T*>(y) + r * y_row;
    for (int64_t from = 0; from < n; from += some) {
      const int64_t m = n - from < some ? n - from : some;
      const T *a = p + from * x_step, *b = q + from * y_step;
      if (x_step != 1) {
        if (x_step != 0 || from == 0) bring_together(m, a, x_step, some_x);
        a = some_x;
      }
      if (y_step != 1) {
        if (y_step != 0 || from == 0) bring_together(m, b, y_step, some_y);
        b = some_y;
      }
      R* to = static_cast<R*>(z) + r * z_row + from;
#pragma GCC ivdep
      for (int64_t i = 0; i < m; ++i) to[i] = R(f(a[i], b[i]));
    }
  }
}

// One operation on m integers of type T that lie together, each beside its own y or all beside one.
template <class T>
struct IntegerLoops {
  using Loop = void (*)(int64_t m, const T* x, const T* y, int64_t c, T* z);
  Loop each, one;
  bool symmetric;
};

template <class T, class U, class F>
void integer_loop(int64_t m, const T* x, const T* y, int64_t c, T* z) {
#pragma GCC ivdep
  for (int64_t i = 0; i < m; ++i) z[i] = F::of(x[i], y[i], U(c));
}
template <class T, class U, class F>
void integer_loop_of_one(int64_t m, const T* x, const T* y, int64_t c, T* z) {
  const T b = *y;
#pragma GCC ivdep
  for (int64_t i = 0; i < m; ++i) z[i] = F::of(x[i], b, U(c));
}

// U, unsigned and of 32 bits at least, is what nothing overflows in.
#define NNLIB_INTEGER(name, expression)                         \
  struct name {                                                 \
    template <class T, class U>                                 \
    static NNLIB_INLINE T of(T p, T q, [[maybe_unused]] U c) {  \
      [[maybe_unused]] constexpr U kBits = 8 * sizeof(T);       \
      [[maybe_unused]] constexpr U kLast = kBits - (T(-1) < 0); \
      [[maybe_unused]] const U a = U(p), b = U(q);              \
      return T(expression);                                     \
    }                                                           \
  };
NNLIB_INTEGER(IntegerAdd, a + b)
NNLIB_INTEGER(IntegerSub, a - b)
NNLIB_INTEGER(IntegerMul, a* b)
NNLIB_INTEGER(IntegerMax, p > q ? p : q)
NNLIB_INTEGER(IntegerMin, p < q ? p : q)
NNLIB_INTEGER(IntegerAnd, a& b)
NNLIB_INTEGER(IntegerOr, a | b)
NNLIB_INTEGER(IntegerXor, a ^ b)
NNLIB_INTEGER(IntegerShiftLeft, b < kBits ? a << (b & (8 * sizeof(U) - 1)) : 0)
NNLIB_INTEGER(IntegerShiftRight, p >> (b < kLast ? b : kLast))
NNLIB_INTEGER(IntegerSign, a ^ ((a ^ b) & (U(1) << (kBits - 1))))
NNLIB_INTEGER(IntegerScaledAdd, a + c * b)
#undef NNLIB_INTEGER

// Shifts by one number, which small integers take on vectors of their own: as a product, and by what is seen
// to be less than their bits.
template <class T, class U>
void shift_left_by_one(int64_t m, const T* x, const T* y, int64_t, T* z) {
  constexpr U kBits = 8 * sizeof(T);
  const U by = U(*y), factor = by < kBits ? U(1) << (by & (8 * sizeof(U) - 1)) : 0;
  if (sizeof(T) < 4 || factor == 0) {
#pragma GCC ivdep
    for (int64_t i = 0; i < m; ++i) z[i] = T(U(x[i]) * factor);
    return;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < m; ++i) z[i] = T(U(x[i]) << by);
}
template <class T, class U>
void shift_right_by_one(int64_t m, const T* x, const T* y, int64_t, T* z) {
  constexpr U kBits = 8 * sizeof(T), kLast = kBits - 1;
  const U by = U(*y);
  const int shift = int((by < kLast ? by : kLast) & kLast);
  const T mask = T(-1) < 0 || by < kBits ? T(-1) : T(0);
#pragma GCC ivdep
  for (int64_t i = 0; i < m; ++i) z[i] = T((x[i] >> shift) & mask);
}

// Integers are divided as floats, which processors do in a fraction of the time and on vectors. Whole numbers
// of less than a quarter of the significand are kept as the last bits of `half`, which so rounds quotients
// too.
template <int kBytes>
struct DividedAs {
  using Float = float;
  using Bits = int32_t;
  static constexpr Float half = 0x1.8p23f;
};
template <>
struct DividedAs<4> {
  using Float = double;
  using Bits = int64_t;
  static constexpr Float half = 0x1.8p52;
};
template <>
struct DividedAs<8> : DividedAs<4> {};

template <class T>
NNLIB_INLINE typename DividedAs<sizeof(T)>::Float as_divided(T v) {
  using D = DividedAs<sizeof(T)>;
  if constexpr (sizeof(T) < 8) return typename D::Float(v);
  const typename D::Float half = D::half;
  typename D::Bits bits;
  memcpy(&bits, &half, sizeof bits);
  bits = typename D::Bits(uint64_t(bits) + uint64_t(v));
  typename D::Float f;
  memcpy(&f, &bits, sizeof f);
  return f - half;
}
template <class T>
NNLIB_INLINE void divide_near(int64_t m, const T* x, const T* y, int64_t c, T* z) {
  using D = DividedAs<sizeof(T)>;
  using F = typename D::Float;
  const T* sign = c & kDown ? y : x;  // of the rest
  const bool rest = c & kRest;
  const F half = D::half;
  typename D::Bits none;
  memcpy(&none, &half, sizeof none);
#pragma GCC ivdep
  for (int64_t i = 0; i < m; ++i) {
    const F a = as_divided(x[i]), given = as_divided(y[i]), b = given == 0 ? F(1) : given;
    const F s = as_divided(sign[i]), q = (a / b + half) - half, r = a - q * b;
    // The quotient was rounded to the nearest: the rest may want one step more.
    const F step = s * b < 0 ? F(-1) : F(1), d = r * s < 0 ? step : F(0);
    const F v = (rest ? r + d * b : q - d) + half;
    typename D::Bits bits;
    memcpy(&bits, &v, sizeof bits);
    z[i] = T(bits - none);
  }
}
template <class T>
NNLIB_INLINE bool divides_exactly(int64_t, const T*, const T*) {
  return true;
}
NNLIB_INLINE bool divides_exactly(int64_t m, const int64_t* x, const int64_t* y) {
  constexpr uint64_t kLimit = uint64_t(1) << 51;
  uint64_t large = 0;
  for (int64_t i = 0; i < m; ++i)
    large |= ((uint64_t(x[i]) + kLimit) >> 52) | ((uint64_t(y[i]) + kLimit) >> 52);
  return large == 0;
}
template <class T>
void integer_quotients(int64_t m, const T* x, const T* y, int64_t c, T* z) {
  if (divides_exactly(m, x, y)) return divide_near(m, x, y, c, z);
  for (int64_t i = 0; i < m; ++i) {
    const T a = x[i], b = y[i] == 0 ? T(1) : y[i], s = c & kDown ? y[i] : a;
    T q = b == T(-1) ? T(0 - uint64_t(a)) : T(a / b), r = T(uint64_t(a) - uint64_t(q) * uint64_t(b));
    if (r != 0 && (r < 0) != (s < 0)) {
      const bool up = (s < 0) != (b < 0);
      q = up ? q + 1 : q - 1, r = up ? r - b : r + b;
    }
    z[i] = c & kRest ? r : q;
  }
}
template <class T>
void integer_quotients_by_one(int64_t m, const T* x, const T* y, int64_t c, T* z) {
  constexpr int64_t kSome = 256;
  T same[kSome];
  for (T& v : same) v = *y;
  for (int64_t i = 0; i < m; i += kSome)
    integer_quotients(m - i < kSome ? m - i : kSome, x + i, same, c, z + i);
}

template <class T, class U>
IntegerLoops<T> integer_loops(int64_t how) {
#define NNLIB_CASE(name, symmetric) \
  case k##name:                     \
    return {integer_loop<T, U, name>, integer_loop_of_one<T, U, name>, symmetric};
  switch (how) {
    NNLIB_CASE(IntegerAdd, true)
    NNLIB_CASE(IntegerSub, false)
    NNLIB_CASE(IntegerMul, true)
    NNLIB_CASE(IntegerMax, true)
    NNLIB_CASE(IntegerMin, true)
    NNLIB_CASE(IntegerAnd, true)
    NNLIB_CASE(IntegerOr, true)
    NNLIB_CASE(IntegerXor, true)
    case kIntegerShiftLeft:
      return {integer_loop<T, U, IntegerShiftLeft>, shift_left_by_one<T, U>, false};
    case kIntegerShiftRight:
      return {integer_loop<T, U, IntegerShiftRight>, shift_right_by_one<T, U>, false};
      NNLIB_CASE(IntegerSign, false)
    case kIntegerDivide:
      return {integer_quotients<T>, integer_quotients_by_one<T>, false};
    default:
      NNLIB_CASE(IntegerScaledAdd, false)
  }
#undef NNLIB_CASE
}

template <class T>
struct IntegerWalk {
  const T* p;
  int64_t row, step;
  T single;  // where one value stands for all
  IntegerWalk(const void* x, int64_t row, int64_t step)
      : p(static_cast<const T*>(x)), row(row), step(step), single(0) {
    if (row == 0 && step == 0) single = T(*static_cast<const int64_t*>(x)), p = nullptr;
  }
  const T* at(int64_t r) const { return p ? p + r * row : &single; }
};

// Values that do not lie together are brought together, some at a time.
template <class T, class U>
void integer_rows_of(int64_t how, int64_t c, int64_t rows, int64_t n, IntegerWalk<T> x, IntegerWalk<T> y,
                     T* z, int64_t z_row) {
  constexpr int64_t kSome = 256;
  T some_x[kSome], some_y[kSome];
  const IntegerLoops<T> loops = integer_loops<T, U>(how);
  if (loops.symmetric && x.step == 0 && y.step != 0) {
    const IntegerWalk<T> other = x;
    x = y, y = other;
  }
  const int64_t some = x.step == 1 && (y.step == 0 || y.step == 1) ? n : kSome;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t from = 0; from < n; from += some) {
      const int64_t m = n - from < some ? n - from : some;
      const T *a = x.at(r) + from * x.step, *b = y.at(r) + from * y.step;
      if (x.step != 1) {
        bring_together(m, a, x.step, some_x);
        a = some_x;
      }
      if (y.step != 0 && y.step != 1) {
        bring_together(m, b, y.step, some_y);
        b = some_y;
      }
      (y.step == 0 ? loops.one : loops.each)(m, a, b, c, z + r * z_row + from);
    }
  }
}
void integer_rows(int64_t how, int64_t type, int64_t c, int64_t rows, int64_t n, const void* x, int64_t x_row,
                  int64_t x_step, const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
#define NNLIB_AS(T, U)                                                                                       \
  integer_rows_of<T, U>(how, c, rows, n, IntegerWalk<T>(x, x_row, x_step), IntegerWalk<T>(y, y_row, y_step), \
                        static_cast<T*>(z), z_row)
  switch (type) {
    case 0:
    case 1:
      return NNLIB_AS(uint8_t, uint32_t);
    case 2:
      return NNLIB_AS(int8_t, uint32_t);
    case 3:
      return NNLIB_AS(int16_t, uint32_t);
    case 4:
      return NNLIB_AS(int32_t, uint32_t);
    default:
      return NNLIB_AS(int64_t, uint64_t);
  }
#undef NNLIB_AS
}

template <class T, class C>
void compare_as(int64_t how, int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step,
                const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
  const auto by = [&](auto f) {
    plain_rows<T, C, uint8_t>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row, f);
  };
  switch (how) {
    case 0:
      return by([](T a, T b) { return a == b; });
    case 1:
      return by([](T a, T b) { return a != b; });
    case 2:
      return by([](T a, T b) { return a < b; });
    default:
      return by([](T a, T b) { return a <= b; });
  }
}
void compare_rows(int64_t how, int64_t type, int64_t rows, int64_t n, const void* x, int64_t x_row,
                  int64_t x_step, const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
  switch (type) {
    case 4:
      return compare_as<int32_t, int64_t>(how, rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row);
    case 5:
      return compare_as<int64_t, int64_t>(how, rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row);
    case 8:
      return compare_as<float, float>(how, rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row);
    default:
      return compare_as<double, double>(how, rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row);
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
