// Activations with their gradients, softmax rows, bounds, sums of products, and the other reductions, against
// the reference.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

const float kNumbers[][3] = {{0.5f, 2.f, 1.5f}, {0.01f, 1.f, 1.f}, {1.0507010f, 1.6732632f, 1.f}};

std::vector<float> values(int64_t n) {
  std::vector<float> x = {0.f, -0.f, 3.f, -3.f, 0.5f, -0.5f, 20.f, -20.f, 60.f, -60.f, 1e-20f, NAN};
  std::uniform_real_distribution<float> u(-6, 6);
  while (int64_t(x.size()) < n) x.push_back(u(rng()));
  return x;
}

// Of each type: how a value is made, and what may differ.
float made(float x, float, bool) { return x; }
double made(float x, double, bool) { return x; }
uint16_t made(float x, uint16_t, bool brain) { return to_half(x, brain); }
bool agree(float got, float want, double tolerance, bool) {
  return close(got, want, tolerance, tolerance / 2);
}
bool agree(double got, double want, double tolerance, bool) {
  return close(got, want, 1e-14, tolerance * 5e-10);  // the terms of a gradient may cancel
}
bool agree(uint16_t got, uint16_t want, double, bool brain) {
  // Where a result is nearly 0, float's error may be more than a unit of the 16 bits.
  const float g = from_half(got, brain), w = from_half(want, brain);
  return near_half(got, want, brain) || std::fabs(g - w) < 4e-6f;
}
template <class T>
std::vector<T> values_as(const std::vector<float>& x, bool brain) {
  std::vector<T> y;
  for (float v : x) y.push_back(made(v, T(), brain));
  return y;
}

template <class T, class C, class = std::enable_if_t<std::is_floating_point_v<C>>>
bool check(const char* kernel, const char* isa, void (*got)(int64_t, const T*, C, C, C, T*),
           void (*want)(int64_t, const T*, C, C, C, T*)) {
  const bool brain = is_bfloat16(kernel);
  const std::vector<float> values300 = values(300);
  const std::vector<T> x = values_as<T>(values300, brain);
  for (const auto& p : kNumbers) {
    for (int64_t n : odd_sizes()) {
      const T* from = x.data() + (n % 2);
      Guarded<T> y(n), z(n);
      got(n, from, p[0], p[1], p[2], y.data());
      want(n, from, p[0], p[1], p[2], z.data());
      for (int64_t i = 0; i < n; ++i)
        CHECK(agree(y[i], z[i], 2e-6, brain), kernel, " ", isa, " of ", values300[i + n % 2], " is ", y[i],
              " not ", z[i]);
      CHECK(y.intact(), kernel, " ", isa, " wrote outside");
    }
  }
  return true;
}

template <class T, class C, class = std::enable_if_t<std::is_floating_point_v<C>>>
bool check(const char* kernel, const char* isa, void (*got)(int64_t, const T*, const T*, C, C, C, T*),
           void (*want)(int64_t, const T*, const T*, C, C, C, T*)) {
  const bool brain = is_bfloat16(kernel);
  const std::vector<float> values300 = values(300);
  std::vector<float> slopes(300);
  fill(slopes);
  const std::vector<T> x = values_as<T>(values300, brain), g = values_as<T>(slopes, brain);
  for (const auto& p : kNumbers) {
    for (int64_t n : odd_sizes()) {
      Guarded<T> y(n), z(n);
      got(n, g.data(), x.data(), p[0], p[1], p[2], y.data());
      want(n, g.data(), x.data(), p[0], p[1], p[2], z.data());
      for (int64_t i = 0; i < n; ++i)
        CHECK(agree(y[i], z[i], 8e-6, brain), kernel, " ", isa, " at ", values300[i], " is ", y[i], " not ",
              z[i]);
      CHECK(y.intact(), kernel, " ", isa, " wrote outside");
    }
  }
  return true;
}

// The kernel NAME_f32 or NAME_f64 of table k.
#define OF_TYPE(k, name)                    \
  [&] {                                     \
    if constexpr (std::is_same_v<T, float>) \
      return (k).name##_f32;                \
    else                                    \
      return (k).name##_f64;                \
  }()
template <class T>
constexpr double kSoftmaxError = std::is_same_v<T, float> ? 4e-6 : 1e-14;

// Rows of softmax, from x, or from a gradient and a result.
template <class T>
void softmax_rows(const Table& t, const char* isa, int64_t rows, int64_t n) {
  std::vector<T> x(rows * n), g(rows * n);
  fill(x, -8, 8), fill(g);
  auto expect = [&](auto&& call, const char* what) {
    Guarded<T> y(rows * n), z(rows * n);
    call(t, y.data());
    call(truth(), z.data());
    for (int64_t i = 0; i < rows * n; ++i)
      CHECK(close(y[i], z[i], kSoftmaxError<T>, kSoftmaxError<T>), what, " ", isa, " of ", n, " is ", y[i],
            " not ", z[i]);
    CHECK(y.intact(), what, " ", isa, " wrote outside");
  };
  expect([&](const Table& k, T* y) { OF_TYPE(k, softmax_rows)(rows, n, x.data(), y); }, "softmax");
  expect([&](const Table& k, T* y) { OF_TYPE(k, log_softmax_rows)(rows, n, x.data(), y); }, "log_softmax");
  std::vector<T> p(rows * n), q(rows * n);
  OF_TYPE(truth(), softmax_rows)(rows, n, x.data(), p.data());
  OF_TYPE(truth(), log_softmax_rows)(rows, n, x.data(), q.data());
  expect([&](const Table& k, T* y) { OF_TYPE(k, softmax_grad_rows)(rows, n, g.data(), p.data(), y); },
         "softmax gradient");
  expect([&](const Table& k, T* y) { OF_TYPE(k, log_softmax_grad_rows)(rows, n, g.data(), q.data(), y); },
         "log_softmax gradient");
}

// Columns: as rows, with a row of the array longer than the lanes that are asked for.
template <class T>
void softmax_columns(const Table& t, const char* isa, int64_t n, int64_t w) {
  const int64_t ld = w + 3;
  std::vector<T> x(n * ld), g(n * ld), p(n * ld), q(n * ld);
  fill(x, -8, 8), fill(g), fill(p, 0, 1), fill(q, -3, 0);
  if (n > 1 && w > 1) x[0] = -INFINITY, x[ld + 1] = NAN;
  auto expect = [&](auto&& call, const char* what) {
    Guarded<T> y(n * ld), z(n * ld);
    call(t, y.data());
    call(truth(), z.data());
    for (int64_t i = 0; i < n * ld; ++i)
      if (i % ld < w)
        CHECK(close(y[i], z[i], kSoftmaxError<T>, kSoftmaxError<T>), what, " ", isa, " of ", n, "x", w,
              " is ", y[i], " not ", z[i]);
      else
        CHECK(std::memcmp(&y[i], &z[i], sizeof(T)) == 0, what, " ", isa, " wrote past ", w, " lanes");
    CHECK(y.intact(), what, " ", isa, " wrote outside");
  };
  expect([&](const Table& k, T* y) { OF_TYPE(k, softmax_cols)(n, ld, w, x.data(), y); }, "softmax_cols");
  expect([&](const Table& k, T* y) { OF_TYPE(k, log_softmax_cols)(n, ld, w, x.data(), y); },
         "log_softmax_cols");
  expect([&](const Table& k, T* y) { OF_TYPE(k, softmax_grad_cols)(n, ld, w, g.data(), p.data(), y); },
         "softmax_cols gradient");
  expect([&](const Table& k, T* y) { OF_TYPE(k, log_softmax_grad_cols)(n, ld, w, g.data(), q.data(), y); },
         "log_softmax_cols gradient");
}

// Others have tests of their own.
template <class F>
bool check(const char*, const char*, F, F) {
  return false;
}

}  // namespace

TEST(activations) {
  for_each_isa([](const Table& t, const char* isa) {
#define NNLIB_KERNEL(name, ret, args) \
  if (check(#name, isa, t.name, truth().name)) covered().insert(#name);
#include "kernels/kernels.def"
  });
}

TEST(softmax) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int64_t n : odd_sizes()) softmax_rows<float>(t, isa, 3, n), softmax_rows<double>(t, isa, 3, n);
    for (int64_t n : {1, 2, 7})
      for (int64_t w : odd_sizes())
        softmax_columns<float>(t, isa, n, w), softmax_columns<double>(t, isa, n, w);
  });
  for (const char* log : {"", "log_"})
    for (const char* part : {"softmax_", "softmax_grad_"})
      for (const char* end : {"rows_f32", "rows_f64", "cols_f32", "cols_f64"})
        covered().insert(std::string(log) + part + end);
}

TEST(softmax_of_infinities) {
  for_each_isa([](const Table& t, const char* isa) {
    const float x[4] = {-INFINITY, 1.f, -INFINITY, 1.f};
    float y[4];
    t.softmax_rows_f32(1, 4, x, y);
    CHECK(y[0] == 0 && y[1] == 0.5f && y[2] == 0 && y[3] == 0.5f, isa, " ", y[0], " ", y[1]);
    const float none[2] = {-INFINITY, -INFINITY};
    t.softmax_rows_f32(1, 2, none, y);
    CHECK(std::isnan(y[0]) && std::isnan(y[1]), isa, " ", y[0]);
    // One NaN or infinity makes the row NaN, wherever it stands.
    for (int64_t n : {1, 5, 16, 33, 64, 65, 100, 257})
      for (const float bad : {NAN, INFINITY})
        for (int64_t at = 0; at < n; at += 3) {
          std::vector<float> row(n, 1.f), out(n), out_log(n);
          row[at] = bad;
          t.softmax_rows_f32(1, n, row.data(), out.data());
          t.log_softmax_rows_f32(1, n, row.data(), out_log.data());
          CHECK(std::isnan(out[at]) && std::isnan(out_log[at]), isa, " ", bad, " at ", at, " of ", n);
          CHECK(std::isnan(bad) ? std::isnan(out[0]) && std::isnan(out_log[n - 1]) : true, isa, " of ", n);
        }
  });
}

TEST(bounds_and_products) {
  for_each_isa([](const Table& t, const char* isa) {
    const std::vector<float> x = values(300);
    std::vector<float> a(300), b(300);
    fill(a), fill(b, 0.5, 2);
    for (int64_t n : odd_sizes()) {
      Guarded<float> y(n), z(n);
      auto expect = [&](const char* what) {
        for (int64_t i = 0; i < n; ++i)
          CHECK(close(y[i], z[i], 1e-6, 1e-6), what, " ", isa, " of ", x[i], " is ", y[i], " not ", z[i]);
        CHECK(y.intact(), what, " ", isa, " wrote outside");
      };
      t.clamp_f32(n, x.data(), -0.7f, 0.9f, y.data());
      truth().clamp_f32(n, x.data(), -0.7f, 0.9f, z.data());
      expect("clamp");
    }
  });
  covered().insert("clamp_f32");
}

namespace {

template <class T>
void expect_agreement(const std::string& kernel, const char* isa, int64_t n, const std::vector<float>& x,
                      Guarded<T>& got, Guarded<T>& want, bool brain) {
  for (int64_t i = 0; i < n; ++i)
    CHECK(agree(got[i], want[i], 2e-6, brain), kernel, " ", isa, " of ", x[i], " is ", got[i], " not ",
          want[i]);
  CHECK(got.intact(), kernel, " ", isa, " wrote outside");
}

template <class T, class C>
using OfProducts = void (*)(int64_t, const T*, const T*, const T*, C, T*);
template <class T, class C>
using Lerp = void (*)(int64_t, const T*, const T*, const C*, T*);

template <class T, class C>
void check_products(const char* isa, const std::string& type, OfProducts<T, C> mul, OfProducts<T, C> mul0,
                    OfProducts<T, C> div, OfProducts<T, C> div0, Lerp<T, C> lerp, Lerp<T, C> lerp0) {
  const bool brain = type == "bf16";
  const std::vector<float> values300 = values(300);
  std::vector<float> a0(300), b0(300);
  fill(a0), fill(b0, 0.5, 2);
  const std::vector<T> x = values_as<T>(values300, brain), a = values_as<T>(a0, brain),
                       b = values_as<T>(b0, brain);
  std::vector<C> weight(300);
  fill(weight, -1, 2);
  for (int64_t n : odd_sizes()) {
    Guarded<T> y(n), z(n);
    const auto expect = [&](const char* what) {
      expect_agreement(what + type, isa, n, values300, y, z, brain);
    };
    mul(n, x.data(), a.data(), b.data(), C(0.3), y.data());
    mul0(n, x.data(), a.data(), b.data(), C(0.3), z.data());
    expect("addcmul_");
    div(n, x.data(), a.data(), b.data(), C(0.3), y.data());
    div0(n, x.data(), a.data(), b.data(), C(0.3), z.data());
    expect("addcdiv_");
    lerp(n, x.data(), a.data(), weight.data(), y.data());
    lerp0(n, x.data(), a.data(), weight.data(), z.data());
    expect("lerp_");
  }
}

}  // namespace

TEST(products) {
  for_each_isa([](const Table& t, const char* isa) {
    const Table& o = truth();
#define NNLIB_CHECK_PRODUCTS(type)                                                                   \
  covered().insert({"addcmul_" #type, "addcdiv_" #type, "lerp_" #type});                             \
  check_products(isa, #type, t.addcmul_##type, o.addcmul_##type, t.addcdiv_##type, o.addcdiv_##type, \
                 t.lerp_##type, o.lerp_##type)
    NNLIB_CHECK_PRODUCTS(f32);
    NNLIB_CHECK_PRODUCTS(f64);
    NNLIB_CHECK_PRODUCTS(bf16);
    NNLIB_CHECK_PRODUCTS(f16);
#undef NNLIB_CHECK_PRODUCTS
  });
}

namespace {

template <class T>
void check_glu(const char* isa, const std::string& type, void (*glu)(int64_t, const T*, const T*, T*),
               void (*glu0)(int64_t, const T*, const T*, T*),
               void (*grad)(int64_t, const T*, const T*, const T*, T*),
               void (*grad0)(int64_t, const T*, const T*, const T*, T*)) {
  const bool brain = type == "bf16";
  std::vector<float> gates = values(300), a0(300), g0(300);
  fill(a0), fill(g0);
  gates[0] = -INFINITY, gates[1] = INFINITY, gates[2] = NAN, gates[3] = -200, gates[4] = 200;
  const std::vector<T> a = values_as<T>(a0, brain), b = values_as<T>(gates, brain),
                       g = values_as<T>(g0, brain);
  for (int64_t n : odd_sizes()) {
    Guarded<T> y(n), z(n);
    const auto expect = [&](const char* what) { expect_agreement(what + type, isa, n, gates, y, z, brain); };
    glu(n, a.data(), b.data(), y.data());
    glu0(n, a.data(), b.data(), z.data());
    expect("glu_");
    grad(n, g.data(), a.data(), b.data(), y.data());
    grad0(n, g.data(), a.data(), b.data(), z.data());
    expect("glu_grad_");
  }
}

}  // namespace

TEST(gated_linear_units) {
  for_each_isa([](const Table& t, const char* isa) {
    const Table& o = truth();
#define NNLIB_CHECK_GLU(type)                          \
  covered().insert({"glu_" #type, "glu_grad_" #type}); \
  check_glu(isa, #type, t.glu_##type, o.glu_##type, t.glu_grad_##type, o.glu_grad_##type)
    NNLIB_CHECK_GLU(f32);
    NNLIB_CHECK_GLU(f64);
    NNLIB_CHECK_GLU(bf16);
    NNLIB_CHECK_GLU(f16);
#undef NNLIB_CHECK_GLU
  });
}

TEST(squares_and_extremes) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int64_t n : {0, 1, 5, 16, 33, 64, 100, 1025, 5000}) {
      std::vector<float> x(n + 1);
      fill(x);
      const float* p = x.data() + 1;
      CHECK(close(t.sum_squares_f32(n, p, 0.3f), truth().sum_squares_f32(n, p, 0.3f), 1e-5, 0), isa, " ", n);
      const std::vector<double> wide(p, p + n);
      CHECK(close(t.sum_squares_f64(n, wide.data(), 0.3), truth().sum_squares_f64(n, wide.data(), 0.3), 1e-14,
                  0),
            isa, " of doubles ", n);
      for (const bool brain : {true, false}) {
        std::vector<uint16_t> half;
        for (int64_t i = 0; i < n; ++i) half.push_back(to_half(p[i], brain));
        const auto squares = [&](const Table& k) {
          return (brain ? k.sum_squares_bf16 : k.sum_squares_f16)(n, half.data(), 0.3f);
        };
        CHECK(close(squares(t), squares(truth()), 1e-5, 0), isa, " of halves ", n);
      }
      CHECK(t.max_f32(n, p) == truth().max_f32(n, p), isa, " max of ", n);
      CHECK(t.min_f32(n, p) == truth().min_f32(n, p), isa, " min of ", n);
      for (int64_t at = 0; at < n; at += 7) {
        const float was = x[at + 1];
        x[at + 1] = NAN;
        CHECK(std::isnan(t.max_f32(n, p)) && std::isnan(t.min_f32(n, p)), isa, " NaN at ", at, " of ", n);
        x[at + 1] = was;
      }
    }
  });
  covered().insert(
      {"sum_squares_f32", "sum_squares_f64", "sum_squares_bf16", "sum_squares_f16", "max_f32", "min_f32"});
}
