// The truth of rows.inl: one value after the other, in float for 16-bit types.
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

template <class One, class T, class Get>
One operand_of(const void* x, int64_t row, int64_t step, int64_t r, int64_t i, Get get) {
  if (row == 0 && step == 0) return *static_cast<const One*>(x);
  return get(static_cast<const T*>(x)[r * row + i * step]);
}

template <class One, class T, class Get, class Put, class F>
void rows2(int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step, const void* y,
           int64_t y_row, int64_t y_step, void* z, int64_t z_row, Get get, Put put, F f) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      const One a = operand_of<One, T>(x, x_row, x_step, r, i, get);
      const One b = operand_of<One, T>(y, y_row, y_step, r, i, get);
      static_cast<T*>(z)[r * z_row + i] = put(f(a, b));
    }
  }
}

template <class T>
T same_value(T x) {
  return x;
}

#define NNLIB_ROWS_OF(name, suffix, One, T, get, put, expression)                                   \
  void name##_rows_##suffix(int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step,  \
                            const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) { \
    rows2<One, T>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row, get, put,                  \
                  [](One a, One b) { return One(expression); });                                    \
  }
#define NNLIB_ROWS(name, expression)                                                           \
  NNLIB_ROWS_OF(name, f32, float, float, same_value<float>, same_value<float>, expression)     \
  NNLIB_ROWS_OF(name, f64, double, double, same_value<double>, same_value<double>, expression) \
  NNLIB_ROWS_OF(name, bf16, float, uint16_t, from_bf16, to_bf16, expression)                   \
  NNLIB_ROWS_OF(name, f16, float, uint16_t, from_f16, to_f16, expression)
NNLIB_ROWS(add, a + b)
NNLIB_ROWS(sub, a - b)
NNLIB_ROWS(mul, a* b)
NNLIB_ROWS(div, a / b)
NNLIB_ROWS(maximum, a != a || a > b ? a : b)
NNLIB_ROWS(minimum, a != a || a < b ? a : b)
NNLIB_ROWS(prelu, a > 0 ? a : b * a)
NNLIB_ROWS(div_trunc, a / b < 0 ? -std::floor(-(a / b)) : std::floor(a / b))
#undef NNLIB_ROWS
#undef NNLIB_ROWS_OF

// With a number.
#define NNLIB_ROWS(suffix, One, T, get, put)                                                               \
  void scaled_add_rows_##suffix(double c, int64_t rows, int64_t n, const void* x, int64_t x_row,           \
                                int64_t x_step, const void* y, int64_t y_row, int64_t y_step, void* z,     \
                                int64_t z_row) {                                                           \
    rows2<One, T>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row, get, put,                         \
                  [c](One a, One b) { return std::fma(One(c), b, a); });                                   \
  }                                                                                                        \
  void lerp_rows_##suffix(double c, int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step, \
                          const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {          \
    rows2<One, T>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row, get, put, [c](One a, One b) {     \
      return One(c) < One(0.5) && One(c) > One(-0.5) ? std::fma(One(c), b - a, a)                          \
                                                     : std::fma(One(c) - 1, b - a, b);                     \
    });                                                                                                    \
  }
NNLIB_ROWS(f32, float, float, same_value<float>, same_value<float>)
NNLIB_ROWS(f64, double, double, same_value<double>, same_value<double>)
NNLIB_ROWS(bf16, float, uint16_t, from_bf16, to_bf16)
NNLIB_ROWS(f16, float, uint16_t, from_f16, to_f16)
#undef NNLIB_ROWS

inline int64_t integer_of(int64_t how, int64_t bits, int64_t last, int64_t c, int64_t p, int64_t q) {
  const uint64_t a = uint64_t(p), b = uint64_t(q);
  switch (how) {
    case kIntegerAdd:
      return int64_t(a + b);
    case kIntegerSub:
      return int64_t(a - b);
    case kIntegerMul:
      return int64_t(a * b);
    case kIntegerMax:
      return p > q ? p : q;
    case kIntegerMin:
      return p < q ? p : q;
    case kIntegerAnd:
      return p & q;
    case kIntegerOr:
      return p | q;
    case kIntegerXor:
      return p ^ q;
    case kIntegerShiftLeft:
      return q < 0 || q >= bits ? 0 : int64_t(a << q);
    case kIntegerShiftRight:
      return p >> (q < 0 || q > last ? last : q);
    case kIntegerSign: {
      const uint64_t sign = uint64_t(1) << (bits - 1);
      return int64_t((a & ~sign) | (b & sign));
    }
    case kIntegerDivide: {
      const int64_t by = q == 0 ? 1 : q;
      int64_t quotient = by == -1 ? int64_t(0 - a) : p / by;
      int64_t rest = by == -1 ? 0 : p % by;
      if (c & kDown && rest != 0 && (rest < 0) != (by < 0)) quotient--, rest += by;
      return c & kRest ? rest : quotient;
    }
    default:
      return int64_t(a + uint64_t(c) * b);
  }
}
// A value that stands for all is an int64.
template <class T>
void integer_rows_of(int64_t how, int64_t c, int64_t rows, int64_t n, const void* x, int64_t x_row,
                     int64_t x_step, const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
  const auto get = [](T v) { return int64_t(v); };
  const auto put = [](int64_t v) { return T(v); };
  constexpr int64_t kBits = 8 * sizeof(T), kLast = kBits - (T(-1) < T(0));
  rows2<int64_t, T>(rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row, get, put,
                    [=](int64_t p, int64_t q) { return integer_of(how, kBits, kLast, c, T(p), T(q)); });
}
void integer_rows(int64_t how, int64_t type, int64_t c, int64_t rows, int64_t n, const void* x, int64_t x_row,
                  int64_t x_step, const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
  const auto of = type < 2    ? integer_rows_of<uint8_t>
                  : type == 2 ? integer_rows_of<int8_t>
                  : type == 3 ? integer_rows_of<int16_t>
                  : type == 4 ? integer_rows_of<int32_t>
                              : integer_rows_of<int64_t>;
  of(how, c, rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row);
}

template <class T, class C>
void compare_as(int64_t how, int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step,
                const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
  const auto get = [](T v) { return C(v); };
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      const C a = operand_of<C, T>(x, x_row, x_step, r, i, get),
              b = operand_of<C, T>(y, y_row, y_step, r, i, get);
      static_cast<uint8_t*>(z)[r * z_row + i] = how == 0   ? a == b
                                                : how == 1 ? a != b
                                                : how == 2 ? a < b
                                                           : a <= b;
    }
  }
}
void compare_rows(int64_t how, int64_t type, int64_t rows, int64_t n, const void* x, int64_t x_row,
                  int64_t x_step, const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row) {
  const auto compare = type == 4   ? compare_as<int32_t, int64_t>
                       : type == 5 ? compare_as<int64_t, int64_t>
                       : type == 8 ? compare_as<float, float>
                                   : compare_as<double, double>;
  compare(how, rows, n, x, x_row, x_step, y, y_row, y_step, z, z_row);
}

}  // namespace
}  // namespace nnlib::kernels::reference
