// Kernels of two operands over rows of every type (rows.inl), and the reductions of every type.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

double value_of(float x, bool) { return x; }
double value_of(double x, bool) { return x; }
double value_of(uint16_t h, bool brain) { return from_half(h, brain); }
template <class T, class = std::enable_if_t<std::is_integral_v<T>>>
double value_of(T x, bool) {
  return double(x);
}
template <class T>
T stored(double x, bool brain) {
  if constexpr (std::is_same_v<T, uint16_t>)
    return to_half(float(x), brain);
  else
    return std::is_integral_v<T>
               ? T(int64_t(x == x && std::abs(x) < 10 ? x * (std::abs(x) < 1 ? 70 : 1e9) : 7))
               : T(x);
}

template <class T>
std::vector<T> some_values(int64_t n, bool brain) {
  static const double special[] = {0, -0.0, 1, INFINITY, -INFINITY, NAN, 1e-6, -1e-6};
  std::uniform_real_distribution<double> u(-3, 3);
  std::vector<T> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(stored<T>(i % 11 == 3 ? special[i / 11 % 8] : u(rng()), brain));
  return x;
}

// Operands that run, stand still along rows or altogether, or have steps, rows that touch or lie apart.
template <class T, class One, class Got, class Want>
void check_rows(const char* name, const char* isa, Got got, Want want, bool brain, double near = 0) {
  struct Walk {
    int64_t row, step;
  };
  for (const int64_t n : {0, 1, 3, 4, 7, 8, 13, 16, 33, 70}) {
    for (const Walk x : {Walk{n + 2, 1}, Walk{1, 0}, Walk{0, 0}, Walk{2 * n, 2}, Walk{0, 1}, Walk{1, 3}}) {
      for (const Walk y : {Walk{n, 1}, Walk{1, 0}, Walk{0, 0}, Walk{3 * n, 3}}) {
        const int64_t rows = 3, z_row = n + 1;
        const auto length = [&](Walk w) {
          return 1 + (rows - 1) * w.row + std::max<int64_t>(0, n - 1) * w.step;
        };
        const std::vector<T> a = some_values<T>(length(x), brain), b = some_values<T>(length(y), brain);
        const One one_a = One(1.7), one_b = One(-0.3);
        const void* px = x.row || x.step ? static_cast<const void*>(a.data()) : &one_a;
        const void* py = y.row || y.step ? static_cast<const void*>(b.data()) : &one_b;
        Guarded<T> z(rows * z_row), z0(rows * z_row);
        got(rows, n, px, x.row, x.step, py, y.row, y.step, z.data(), z_row);
        want(rows, n, px, x.row, x.step, py, y.row, y.step, z0.data(), z_row);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t i = 0; i < z_row; ++i) {
            const double g = value_of(z[r * z_row + i], brain), w = value_of(z0[r * z_row + i], brain);
            CHECK(g == w || (g != g && w != w) || std::abs(g - w) <= near * std::max(1.0, std::abs(w)), name,
                  " ", isa, " row ", r, " value ", i, " of ", n, ", steps ", x.step, " and ", y.step, ": ", g,
                  " not ", w);
          }
        }
        CHECK(z.intact(), name, " ", isa, " wrote past its rows");
      }
    }
  }
}

// The same rows, compared: equal values are among them.
template <class T, class One>
void check_comparison(const Table& t, const char* isa, int64_t how, int64_t type) {
  for (const int64_t n : {0, 1, 5, 8, 33, 70}) {
    for (const int64_t x_step : {0, 1, 2}) {
      for (const int64_t y_step : {0, 1, 3}) {
        const int64_t rows = 3, row = 3 * n + 1;
        std::vector<T> a, b;
        for (int64_t i = 0; i < rows * row; ++i) {
          a.push_back(T(int(rng()() % 5) - 2));
          b.push_back(T(int(rng()() % 5) - 2));
          if (type > 5 && i % 7 == 0) a.back() = T(NAN);
        }
        const One one = One(1);
        const bool single = y_step == 0 && n % 2 == 1;
        const void* y = single ? static_cast<const void*>(&one) : b.data();
        Guarded<uint8_t> z(rows * row), z0(rows * row);
        std::fill_n(z.data(), rows * row, 9), std::fill_n(z0.data(), rows * row, 9);
        t.compare_rows(how, type, rows, n, a.data(), row, x_step, y, single ? 0 : row, y_step, z.data(), row);
        truth().compare_rows(how, type, rows, n, a.data(), row, x_step, y, single ? 0 : row, y_step,
                             z0.data(), row);
        for (int64_t i = 0; i < rows * row; ++i)
          CHECK(z[i] == z0[i], isa, " comparison ", how, " of type ", type, ", ", n, " values, steps ",
                x_step, " and ", y_step, " at ", i);
        CHECK(z.intact(), isa, " compare_rows wrote past its rows");
      }
    }
  }
}

template <class T>
std::vector<T> sum_values(int64_t n, bool brain) {
  std::uniform_real_distribution<double> u(-2, 2);
  std::vector<T> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(stored<T>(u(rng()), brain));
  return x;
}

template <class T, class R, class Rows>
void check_reductions(const char* isa, const char* type, bool brain, double rtol,
                      double (*sum)(int64_t, const T*), double (*sum0)(int64_t, const T*),
                      R (*max)(int64_t, const T*), R (*max0)(int64_t, const T*), R (*min)(int64_t, const T*),
                      R (*min0)(int64_t, const T*), Rows sum_rows, Rows sum_rows0) {
  for (int64_t n : {0, 1, 3, 5, 16, 33, 63, 64, 100, 511, 513, 1025, 5000}) {
    std::vector<T> x = sum_values<T>(n + 1, brain);
    const T* p = x.data() + 1;
    CHECK(close(sum(n, p), sum0(n, p), rtol, 1e-3), isa, " sum of ", n, " ", type);
    CHECK(max(n, p) == max0(n, p), isa, " max of ", n, " ", type);
    CHECK(min(n, p) == min0(n, p), isa, " min of ", n, " ", type);
    for (int64_t at = 0; at < n; at += 7) {
      const T was = x[at + 1];
      x[at + 1] = stored<T>(NAN, brain);
      CHECK(std::isnan(max(n, p)) && std::isnan(min(n, p)), isa, " NaN at ", at, " of ", n, " ", type);
      x[at + 1] = was;
    }
  }
  for (int64_t rows : {0, 1, 2, 17, 33}) {
    for (int64_t cols : odd_sizes()) {
      const std::vector<T> x = sum_values<T>(rows * (cols + 2) + 1, brain);
      Guarded<double> a(cols), b(cols);
      fill(a), b = a;
      sum_rows(rows, cols, x.data(), cols + 2, a.data());
      sum_rows0(rows, cols, x.data(), cols + 2, b.data());
      for (int64_t j = 0; j < cols; ++j)
        CHECK(close(a[j], b[j], rtol, 1e-4), isa, " sum_rows ", rows, "x", cols, " ", type);
      CHECK(a.intact(), isa, " sum_rows wrote outside");
    }
  }
}

}  // namespace

#define NNLIB_EACH_TYPE(X, name) \
  X(name, f32, float, float)     \
  X(name, f64, double, double) X(name, bf16, uint16_t, float) X(name, f16, uint16_t, float)

TEST(rows_of_two_operands) {
  for_each_isa([](const Table& t, const char* isa) {
#define NNLIB_CHECK_ROWS(name, type, T, One)                                                      \
  check_rows<T, One>(#name "_rows_" #type, isa, t.name##_rows_##type, truth().name##_rows_##type, \
                     std::string(#type) == "bf16");                                               \
  covered().insert(#name "_rows_" #type);
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, add)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, sub)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, mul)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, div)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, maximum)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, minimum)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, prelu)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, div_trunc)
#undef NNLIB_CHECK_ROWS
  });
}

// Where the processor has no fused multiplication, products are rounded.
TEST(rows_of_two_operands_and_a_number) {
  for_each_isa([](const Table& t, const char* isa) {
#define NNLIB_CHECK_ROWS(name, type, T, One)                                                   \
  for (double c : {0.3, -0.7, 1.0})                                                            \
    check_rows<T, One>(                                                                        \
        #name "_rows_" #type, isa, [&t, c](auto... a) { t.name##_rows_##type(c, a...); },      \
        [c](auto... a) { truth().name##_rows_##type(c, a...); }, std::string(#type) == "bf16", \
        sizeof(T) == 2   ? 1e-2                                                                \
        : sizeof(T) == 4 ? 2e-6                                                                \
                         : 1e-14);                                                             \
  covered().insert(#name "_rows_" #type);
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, scaled_add)
    NNLIB_EACH_TYPE(NNLIB_CHECK_ROWS, lerp)
#undef NNLIB_CHECK_ROWS
  });
}

template <class T>
void check_integers(const Table& t, const char* isa, int64_t type) {
  for (int64_t how = nnlib::kernels::kIntegerAdd; how <= nnlib::kernels::kIntegerDivide; ++how) {
    for (int64_t c : {-3, 0, 2, 3}) {
      if (c >= 0 && how != nnlib::kernels::kIntegerDivide) break;
      const auto with = [=](auto kernel) { return [=](auto... rows) { kernel(how, type, c, rows...); }; };
      const std::string name = "integer_rows " + std::to_string(how) + " of type " + std::to_string(type);
      check_rows<T, int64_t>(name.c_str(), isa, with(t.integer_rows), with(truth().integer_rows), false);
    }
  }
}
// Types by core/dtype.h's numbers: uint8, int8, int16, int32, int64.
TEST(rows_of_integers) {
  for_each_isa([](const Table& t, const char* isa) {
    check_integers<uint8_t>(t, isa, 1);
    check_integers<int8_t>(t, isa, 2);
    check_integers<int16_t>(t, isa, 3);
    check_integers<int32_t>(t, isa, 4);
    check_integers<int64_t>(t, isa, 5);
  });
  covered().insert("integer_rows");
}

TEST(comparisons_of_rows) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int64_t how = 0; how < 4; ++how) {
      check_comparison<int32_t, int64_t>(t, isa, how, 4);
      check_comparison<int64_t, int64_t>(t, isa, how, 5);
      check_comparison<float, float>(t, isa, how, 8);
      check_comparison<double, double>(t, isa, how, 9);
    }
  });
  covered().insert("compare_rows");
}

TEST(reductions_of_each_type) {
  for_each_isa([](const Table& t, const char* isa) {
    const Table& o = truth();
#define NNLIB_CHECK_REDUCTIONS(rtol, type, T, One)                                                \
  check_reductions<T>(isa, #type, std::string(#type) == "bf16", rtol, t.sum_##type, o.sum_##type, \
                      t.max_##type, o.max_##type, t.min_##type, o.min_##type, t.sum_rows_##type,  \
                      o.sum_rows_##type);                                                         \
  for (const char* name : {"sum_", "max_", "min_", "sum_rows_"}) covered().insert(std::string(name) + #type);
    NNLIB_EACH_TYPE(NNLIB_CHECK_REDUCTIONS, 1e-5)
    for (int64_t n : {0, 1, 3, 31, 32, 33, 100, 1000}) {
      std::vector<int64_t> x(size_t(n) + 1);
      for (int64_t& v : x) v = int64_t(uint64_t(rng()()) * uint64_t(rng()()) * 7);  // sums wrap
      const int64_t* p = x.data() + 1;
      CHECK(t.sum_i64(n, p) == o.sum_i64(n, p), isa, " sum of ", n, " integers");
    }
  });
  covered().insert("sum_i64");
}

// Types by core/dtype.h's numbers: bool, uint8, int8, int16, int32, int64.
TEST(extremes_of_integers) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int64_t type = 0; type <= 5; ++type)
      for (int64_t n : odd_sizes())
        for (bool max : {false, true}) {
          const int64_t bytes = n * (type < 3 ? 1 : int64_t(1) << (type - 2));
          Guarded<uint8_t> x(bytes, 8);
          for (int64_t i = 0; i < bytes; ++i) x[i] = uint8_t(type ? rng()() : rng()() % 2);
          if (n == 0) continue;
          const int64_t got = t.extreme_int(type, max, n, x.data());
          const int64_t want = truth().extreme_int(type, max, n, x.data());
          CHECK(got == want, isa, " extreme_int ", type, " of ", n, " is ", got, " not ", want);
        }
  });
  covered().insert("extreme_int");
}

TEST(products_and_short_rows) {
  for_each_isa([](const Table& t, const char* isa) {
    const Table& o = truth();
    for (int64_t n : {0, 1, 5, 31, 32, 33, 64, 100, 300}) {
      std::vector<float> x(size_t(n) + 1);
      fill(x, 0.9, 1.1);
      CHECK(close(t.prod_f32(n, x.data() + 1), o.prod_f32(n, x.data() + 1), 1e-13, 0), isa, " product of ",
            n);
      std::vector<float> y(size_t(7 * (n + 2)));
      fill(y);
      Guarded<double> a(n), b(n);
      fill(a), b = a;
      t.prod_rows_f32(7, n, y.data(), n + 2, a.data());
      o.prod_rows_f32(7, n, y.data(), n + 2, b.data());
      for (int64_t j = 0; j < n; ++j) CHECK(close(a[j], b[j], 1e-13, 0), isa, " products of ", n, " columns");
      CHECK(a.intact(), isa, " prod_rows wrote outside");
      const std::vector<double> wide(y.begin(), y.end());
      std::vector<double> near(size_t(n) + 1);
      fill(near, 0.9, 1.1);
      CHECK(close(t.prod_f64(n, near.data() + 1), o.prod_f64(n, near.data() + 1), 1e-13, 0), isa,
            " product of ", n);
      t.prod_rows_f64(7, n, wide.data(), n + 2, a.data());
      o.prod_rows_f64(7, n, wide.data(), n + 2, b.data());
      for (int64_t j = 0; j < n; ++j) CHECK(close(a[j], b[j], 1e-13, 0), isa, " products of ", n, " columns");
      CHECK(a.intact(), isa, " prod_rows of doubles wrote outside");
      std::vector<int64_t> whole(y.size());
      for (int64_t& v : whole) v = int64_t(rng()() * rng()());
      Guarded<uint64_t> sum(n), sum0(n), product(n), product0(n);
      for (int64_t j = 0; j < n; ++j) sum[j] = sum0[j] = product[j] = product0[j] = rng()();
      t.sum_rows_i64(7, n, whole.data(), n + 2, sum.data());
      o.sum_rows_i64(7, n, whole.data(), n + 2, sum0.data());
      t.prod_rows_i64(7, n, whole.data(), n + 2, product.data());
      o.prod_rows_i64(7, n, whole.data(), n + 2, product0.data());
      for (int64_t j = 0; j < n; ++j)
        CHECK(sum[j] == sum0[j] && product[j] == product0[j], isa, " integers of column ", j, " of ", n);
      CHECK(sum.intact() && product.intact(), isa, " rows of integers wrote outside");
      Guarded<int64_t> bounded(n);
      const int64_t low = -(int64_t(1) << 40), high = int64_t(1) << 61;
      t.clamp_i64(n, whole.data(), low, high, bounded.data());
      for (int64_t j = 0; j < n; ++j)
        CHECK(bounded[j] == std::min(std::max(whole[j], low), high), isa, " clamp of ", whole[j]);
      CHECK(bounded.intact(), isa, " clamp_i64 wrote outside");
    }
    for (int64_t rows : {0, 1, 3, 8, 16, 21, 40}) {
      for (int64_t n : {1, 2, 3, 7, 8, 10, 24, 64}) {
        std::vector<float> x(size_t(rows * n));
        for (float& v : x) v = float(int(rng()() % 9) - 4);  // with ties
        for (size_t i = 5; i < x.size(); i += 37) x[i] = NAN;
        Guarded<float> y(rows), y0(rows);
        t.sum_short_rows_f32(rows, n, x.data(), y.data());
        o.sum_short_rows_f32(rows, n, x.data(), y0.data());
        for (int64_t r = 0; r < rows; ++r) CHECK(ulps(y[r], y0[r]) <= 0, isa, " sum of row ", r, " of ", n);
        for (bool max : {true, false}) {
          Guarded<int64_t> at(rows), at0(rows);
          (max ? t.max_short_rows_f32 : t.min_short_rows_f32)(rows, n, x.data(), y.data(), at.data());
          (max ? o.max_short_rows_f32 : o.min_short_rows_f32)(rows, n, x.data(), y0.data(), at0.data());
          for (int64_t r = 0; r < rows; ++r) {
            CHECK(ulps(y[r], y0[r]) <= 0, isa, " extreme of row ", r, " of ", n, ": ", y[r], " not ", y0[r]);
            CHECK(at[r] == at0[r], isa, " place in row ", r, " of ", n, ": ", at[r], " not ", at0[r]);
          }
          CHECK(y.intact() && at.intact(), isa, " short rows wrote outside");
        }
      }
    }
  });
  covered().insert({"prod_f32", "prod_f64", "prod_rows_f32", "prod_rows_f64", "prod_rows_i64", "sum_rows_i64",
                    "clamp_i64", "sum_short_rows_f32", "max_short_rows_f32", "min_short_rows_f32"});
}

template <class T>
void check_distances(const char* isa, void (*got)(int64_t, int64_t, int64_t, const T*, const T*, int64_t, T*),
                     void (*want)(int64_t, int64_t, int64_t, const T*, const T*, int64_t, T*),
                     T (*slopes)(bool, int64_t, T, const T*, const T*, const T*),
                     T (*slopes0)(bool, int64_t, T, const T*, const T*, const T*)) {
  const auto whole = [](int64_t n) {
    std::vector<T> x;
    for (int64_t i = 0; i < n; ++i) x.push_back(T(int(rng()() % 7) - 3));  // with zeros and ties
    return x;
  };
  for (const int64_t cols : odd_sizes()) {
    const int64_t m = 6, ldb = cols + 3;
    const std::vector<T> a = whole(m), g = whole(cols);
    std::vector<T> b = whole(m * ldb);
    if (cols > 2) b[2] = T(NAN);
    for (int64_t how = 0; how < 4; ++how) {
      Guarded<T> y(cols), y0(cols);
      got(how, cols, m, a.data(), b.data(), ldb, y.data());
      want(how, cols, m, a.data(), b.data(), ldb, y0.data());
      for (int64_t j = 0; j < cols; ++j)
        CHECK(y[j] == y0[j] || (y[j] != y[j] && y0[j] != y0[j]), isa, " distance ", how, " of column ", j,
              " of ", cols, ": ", y[j], " not ", y0[j]);
      CHECK(y.intact(), isa, " distances wrote outside");
    }
    Guarded<T> far(cols);
    want(3, cols, m, a.data(), b.data(), ldb, far.data());
    for (const bool largest : {false, true})
      CHECK(slopes(largest, cols, a[0], b.data(), far.data(), g.data()) ==
                slopes0(largest, cols, a[0], b.data(), far.data(), g.data()),
            isa, " slopes of ", cols, " distances");
  }
}
TEST(distances_of_columns) {
  for_each_isa([](const Table& t, const char* isa) {
    const Table& o = truth();
    check_distances<float>(isa, t.distances_f32, o.distances_f32, t.distance_slopes_f32,
                           o.distance_slopes_f32);
    check_distances<double>(isa, t.distances_f64, o.distances_f64, t.distance_slopes_f64,
                            o.distance_slopes_f64);
  });
  covered().insert({"distances_f32", "distances_f64", "distance_slopes_f32", "distance_slopes_f64"});
}

TEST(square_distances) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int64_t rows : {0, 1, 4, 7}) {
      for (int64_t cols : odd_sizes()) {
        const int64_t m = 5, ldb = cols + 3, ldy = cols + 2;
        std::vector<float> a(size_t(rows * m)), b(size_t(m * ldb));
        fill(a), fill(b);
        Guarded<float> y(rows * ldy), y0(rows * ldy);
        for (int64_t i = 0; i < rows * ldy; ++i) y[i] = y0[i] = 1;
        t.square_distances_f32(rows, cols, m, a.data(), b.data(), ldb, y.data(), ldy);
        truth().square_distances_f32(rows, cols, m, a.data(), b.data(), ldb, y0.data(), ldy);
        for (int64_t i = 0; i < rows * ldy; ++i)
          CHECK(close(y[i], y0[i], 1e-5, 0), isa, " distance ", i, " of ", rows, " x ", cols);
        CHECK(y.intact(), isa, " square_distances wrote outside");
      }
    }
  });
  covered().insert("square_distances_f32");
}
