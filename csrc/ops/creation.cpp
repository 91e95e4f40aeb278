// New tensors of given values: constants, ranges, the identity.
#include "ops/creation.h"

#include <cmath>

#include "core/parallel.h"
#include "core/shape.h"

namespace nnlib::ops {

namespace {

constexpr int64_t kGrain = 32768;

// p[i] = at(i), b <= i < e.
template <class T, class F>
void fill_range(int64_t b, int64_t e, T* p, const F& at) {
  // Places of 32 bits: plain x86-64 turns no others into doubles on vectors.
  if (e <= INT32_MAX)
    for (int32_t i = (int32_t)b; i < (int32_t)e; i++) p[i] = (T)at(i);
  else
    for (int64_t i = b; i < e; i++) p[i] = (T)at(i);
}

// Fills a new vector of n elements with f(i), computed in the type that `tag` names.
template <class F>
Tensor fill_by_index(int64_t n, Dtype dtype, F f) {
  Tensor r = empty({n}, dtype);
  dispatch_all(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* p = (T*)r.raw();
    auto at = f(tag);
    parallel_for(0, n, kGrain, [&](int64_t b, int64_t e) { fill_range(b, e, p, at); });
  });
  return r;
}

int64_t steps_between(Scalar start, Scalar end, Scalar step, Dtype dtype, bool inclusive) {
  const double s = step.to_double();
  NNLIB_CHECK(s != 0, "step must be nonzero");
  NNLIB_CHECK(std::isfinite(start.to_double()) && std::isfinite(end.to_double()),
              "unsupported range: ", start.to_double(), " -> ", end.to_double());
  double n;
  if (dtype == Dtype::Int64) {
    const int64_t d = end.to_int() - start.to_int(), k = step.to_int();
    NNLIB_CHECK(k != 0, "step must be nonzero");
    NNLIB_CHECK((k > 0 && d >= 0) || (k < 0 && d <= 0),
                "upper bound and lower bound inconsistent with step sign");
    n = (double)((d + k + (k > 0 ? -1 : 1)) / k);
    if (inclusive) n = (double)(d / k + 1);
  } else {
    const double d = end.to_double() - start.to_double();
    NNLIB_CHECK((s > 0 && d >= 0) || (s < 0 && d <= 0),
                "upper bound and lower bound inconsistent with step sign");
    n = inclusive ? std::floor(d / s) + 1 : std::ceil(d / s);
  }
  NNLIB_CHECK(n >= 0 && n < 1e18, "invalid size, possible overflow?");
  return (int64_t)n;
}

Tensor progression(Scalar start, Scalar step, int64_t n, Dtype dtype) {
  return fill_by_index(n, dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    // Floats are counted in double, as PyTorch's accumulation type does.
    using A = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
    return [a = start.to<A>(), s = step.to<A>()](auto i) { return (compute_t<T>)(a + s * (A)i); };
  });
}

}  // namespace

Tensor zeros(const Dims& sizes, Dtype dtype) { return full(sizes, 0, dtype); }
Tensor ones(const Dims& sizes, Dtype dtype) { return full(sizes, 1, dtype); }
Tensor full(const Dims& sizes, Scalar value, Dtype dtype) {
  Tensor r = empty(sizes, dtype);
  fill_values(r, value);
  return r;
}
Tensor zeros_like(const Tensor& like) { return full_like(like, 0); }
Tensor ones_like(const Tensor& like) { return full_like(like, 1); }
Tensor full_like(const Tensor& like, Scalar value) {
  Tensor r = empty_like(like);
  fill_values(r, value);
  return r;
}

Tensor arange(Scalar start, Scalar end, Scalar step, Dtype dtype) {
  return progression(start, step, steps_between(start, end, step, dtype, false), dtype);
}

Tensor range(Scalar start, Scalar end, Scalar step, Dtype dtype) {
  return progression(start, step, steps_between(start, end, step, dtype, true), dtype);
}

Tensor linspace(Scalar start, Scalar end, int64_t steps, Dtype dtype) {
  NNLIB_CHECK(steps >= 0, "number of steps must be non-negative");
  if (steps == 1) return full({1}, start, dtype);
  Tensor r = empty({steps}, dtype);
  dispatch_all(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    // Integers step by a double; each half counts from its own end, so that both ends are exact. A float's
    // product with a step is exact in double: no call of fma is needed.
    using S = std::conditional_t<std::is_integral_v<T>, double, C>;
    const S a = (S)start.to<C>(), b = (S)end.to<C>(), step = (b - a) / (S)(steps - 1);
    T* const p = (T*)r.raw();
    const auto from = [=](S first, int64_t place) {
      return [=](auto i) -> C {
        const auto k = i - (decltype(i))place;
        if constexpr (std::is_same_v<S, float>)
          return (float)((double)k * step + first);
        else
          return (C)std::fma((S)k, step, first);
      };
    };
    const int64_t half = steps / 2;
    parallel_for(0, steps, kGrain, [&](int64_t begin, int64_t stop) {
      fill_range(begin, std::min(stop, half), p, from(a, 0));
      fill_range(std::max(begin, half), stop, p, from(b, steps - 1));
    });
  });
  return r;
}

Tensor logspace(Scalar start, Scalar end, int64_t steps, double base, Dtype dtype) {
  NNLIB_CHECK(steps >= 0, "number of steps must be non-negative");
  return fill_by_index(steps, dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    // Integers start from whole exponents and go on by a float.
    constexpr bool whole = std::is_integral_v<T>;
    const double a = whole ? (double)start.to_int() : start.to_double();
    const double b = whole ? (double)end.to_int() : end.to_double();
    const double exact = steps > 1 ? (b - a) / (double)(steps - 1) : 0,
                 step = whole ? (double)(float)exact : exact;
    return [=](int64_t i) -> C {
      const double x =
          i < steps / 2 || steps == 1 ? a + step * (double)i : b - step * (double)(steps - i - 1);
      return (C)std::pow(base, x);
    };
  });
}

Tensor eye(int64_t n, int64_t m, Dtype dtype) {
  NNLIB_CHECK(n >= 0, "n must be greater or equal to 0, got ", n);
  NNLIB_CHECK(m >= 0, "m must be greater or equal to 0, got ", m);
  Tensor r = zeros({n, m}, dtype);
  const int64_t k = std::min(n, m);
  if (k > 0) fill_values(nnlib::alias(r, {k}, {m + 1}, 0), 1);
  return r;
}

namespace {
Tensor triangle_indices(int64_t rows, int64_t cols, int64_t offset, Dtype dtype, bool lower) {
  NNLIB_CHECK(rows >= 0, "row must be non-negative, got ", rows);
  NNLIB_CHECK(cols >= 0, "col must be non-negative, got ", cols);
  NNLIB_CHECK(dtype == Dtype::Int32 || dtype == Dtype::Int64,
              "only int32 and int64 indices are supported, got ", dtype_name(dtype));
  // Beyond the corners nothing changes, so that no sum below overflows.
  offset = std::clamp(offset, -rows, cols);
  auto first = [&](int64_t i) { return lower ? 0 : std::clamp<int64_t>(i + offset, 0, cols); };
  auto last = [&](int64_t i) { return lower ? std::clamp<int64_t>(i + offset + 1, 0, cols) : cols; };
  // The rows that hold a place at all: others may be as many as there are numbers.
  const int64_t begin = lower ? std::min(rows, -std::min<int64_t>(0, offset)) : 0;
  using Wide = __int128;  // sums of sizes
  const int64_t end = cols == 0 ? begin : lower ? rows : (int64_t)std::min<Wide>(rows, (Wide)cols - offset);
  // Rows of `cols` places, and others that have one less than their neighbour: lower ends, or upper begins,
  // with the full ones.
  const int64_t full = lower
                           ? (int64_t)std::max<Wide>(0, end - std::max<Wide>(begin, (Wide)cols - offset - 1))
                           : std::clamp<int64_t>(-offset, begin, end) - begin;
  const int64_t ramp = end - begin - full, at = lower ? begin : begin + full;
  Wide places = (Wide)full * cols;
  if (ramp > 0) {
    const int64_t until = at + ramp - 1;
    places += ((Wide)last(at) - first(at) + last(until) - first(until)) * ramp / 2;
  }
  NNLIB_CHECK(places < (int64_t(1) << 59), "too many indices for ", rows, " rows and ", cols, " columns");
  const int64_t n = (int64_t)places;
  Tensor r = empty({2, n}, dtype);
  dispatch_integral(dtype, "triangle_indices", [&](auto tag) {
    using T = typename decltype(tag)::type;
    T *row = (T*)r.raw(), *col = row + n;
    for (int64_t i = begin; i < end; i++)
      for (int64_t j = first(i); j < last(i); j++) {
        *row++ = (T)i;
        *col++ = (T)j;
      }
  });
  return r;
}
}  // namespace

Tensor tril_indices(int64_t row, int64_t col, int64_t offset, Dtype dtype) {
  return triangle_indices(row, col, offset, dtype, true);
}
Tensor triu_indices(int64_t row, int64_t col, int64_t offset, Dtype dtype) {
  return triangle_indices(row, col, offset, dtype, false);
}

}  // namespace nnlib::ops
