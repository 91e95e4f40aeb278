// The errors that vmath.inl and trig.inl state, over the whole range of float: every 4099th of the 2^32
// patterns, which meets each exponent, subnormals, infinities and NaN of both signs.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

std::vector<float> patterns() {
  std::vector<float> x = {0.f, -0.f, INFINITY, -INFINITY, NAN, 88.72284f, -103.97208f, 1e-45f, -1e-45f};
  for (uint64_t b = 0; b < (uint64_t(1) << 32); b += 4099) {
    const uint32_t u = uint32_t(b);
    float v;
    std::memcpy(&v, &u, 4);
    x.push_back(v);
  }
  return x;
}

// Units in the last place between a float and a double that is not rounded.
double error_of(float got, double want) {
  const float rounded = float(want);
  if (std::isnan(rounded) || std::isnan(got)) return std::isnan(rounded) && std::isnan(got) ? 0 : INFINITY;
  if (std::isinf(rounded) || std::isinf(got)) return got == rounded ? 0 : INFINITY;
  int exponent;
  std::frexp(rounded, &exponent);
  return std::fabs(double(got) - want) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

struct Function {
  const char* name;
  void (*Table::*kernel)(int64_t, const float*, float*);
  double (*truth)(double);
  double bound;  // ulp
};
const Function kFunctions[] = {
    {"exp", &Table::exp_f32, std::exp, 2},
    {"exp2", &Table::exp2_f32, std::exp2, 2},
    {"expm1", &Table::expm1_f32, std::expm1, 2},
    {"log", &Table::log_f32, std::log, 1},
    {"log2", &Table::log2_f32, std::log2, 2},
    {"log1p", &Table::log1p_f32, std::log1p, 2},
    {"tanh", &Table::tanh_f32, std::tanh, 2},
    {"erf", &Table::erf_f32, std::erf, 2},
    {"sigmoid", &Table::sigmoid_f32, [](double x) { return 1 / (1 + std::exp(-x)); }, 3},
    {"sin", &Table::sin_f32, std::sin, 2},
    {"cos", &Table::cos_f32, std::cos, 3},
    {"tan", &Table::tan_f32, std::tan, 4},
    {"asin", &Table::asin_f32, std::asin, 3},
    {"acos", &Table::acos_f32, std::acos, 2},
    {"atan", &Table::atan_f32, std::atan, 3},
    {"sinh", &Table::sinh_f32, std::sinh, 3},
    {"cosh", &Table::cosh_f32, std::cosh, 2},
    {"log10", &Table::log10_f32, std::log10, 2},
    {"asinh", &Table::asinh_f32, std::asinh, 3},
    {"acosh", &Table::acosh_f32, std::acosh, 3},
    {"atanh", &Table::atanh_f32, std::atanh, 3},
    {"erfc", &Table::erfc_f32, std::erfc, 4},
    {"lgamma", &Table::lgamma_f32, [](double x) { return std::lgamma(x); }, 0.51},
};

}  // namespace

TEST(errors_over_all_floats) {
  const std::vector<float> x = patterns();
  const int64_t n = int64_t(x.size());
  std::vector<float> y(x.size());
  for (const Function& f : kFunctions) {
    std::vector<double> want(x.size());
    for (int64_t i = 0; i < n; ++i) want[i] = f.truth(x[i]);
    for_each_isa([&](const Table& t, const char* isa) {
      (t.*f.kernel)(n, x.data(), y.data());
      double worst = 0;
      int64_t at = 0;
      for (int64_t i = 0; i < n; ++i) {
        const double e = error_of(y[i], want[i]);
        if (e > worst) worst = e, at = i;
      }
      CHECK(worst <= f.bound, f.name, " ", isa, " is ", worst, " ulp off at ", x[at], ": ", y[at], " not ",
            want[at]);
    });
  }
}

// Pairs over many scales: pow is rounded once, atan2 has three and a half units, fmod and remainder are
// exact.
TEST(functions_of_two) {
  std::vector<float> a, b;
  std::uniform_real_distribution<float> u(-12, 12);
  std::uniform_int_distribution<int> scale(-20, 20);
  for (int i = 0; i < 100000; ++i) {
    a.push_back(std::ldexp(u(rng()), scale(rng())));
    const float other = u(rng());
    b.push_back(i % 3 == 0 ? std::ldexp(other, scale(rng())) : i % 3 == 1 ? std::round(other) : other);
  }
  const int64_t n = int64_t(a.size());
  std::vector<float> y(a.size());
  for_each_isa([&](const Table& t, const char* isa) {
    const auto compare = [&](const char* name, void (*kernel)(int64_t, const float*, const float*, float*),
                             double (*want)(double, double), double bound) {
      kernel(n, a.data(), b.data(), y.data());
      for (int64_t i = 0; i < n; ++i) {
        const double w = want(a[i], b[i]);
        CHECK(error_of(y[i], w) <= bound, name, " ", isa, " of ", a[i], ", ", b[i], " is ", y[i], " not ", w);
      }
    };
    compare("pow", t.pow_f32, std::pow, 0.51);
    compare("atan2", t.atan2_f32, std::atan2, 3.5);
    compare("hypot", t.hypot_f32, std::hypot, 0.51);
    compare("fmod", t.fmod_f32, std::fmod, 0);
    compare(
        "remainder", t.remainder_f32,
        [](double p, double q) {
          const float r = float(std::fmod(p, q));
          return double(r != 0 && (q < 0) != (r < 0) ? r + float(q) : r);
        },
        0);
  });
}

// The inverse of erf by halving, for 0 <= x < 1.
long double inverse_of_erf(long double x) {
  if (x < 1e-9L) return x * 0.88622692545275801364908374L;
  long double low = 0, high = 6.2L;
  for (int step = 0; step < 110; ++step) {
    const long double middle = (low + high) / 2;
    (x < 0.5L ? std::erf(middle) < x : std::erfc(middle) > 1 - x) ? low = middle : high = middle;
  }
  return low;
}

// In double, against long double: evenly over a range, and over its scales.
TEST(errors_of_doubles) {
  struct Range {
    const char* name;
    void (*Table::*kernel)(int64_t, const double*, double*);
    long double (*truth)(long double);
    double low, high, bound;
  };
  const Range ranges[] = {
      {"tan", &Table::tan_f64, std::tan, -1000, 1000, 3},
      {"tan", &Table::tan_f64, std::tan, -9e5, 9e5, 3},
      {"asin", &Table::asin_f64, std::asin, -1, 1, 1},
      {"acos", &Table::acos_f64, std::acos, -1, 1, 1},
      {"sinh", &Table::sinh_f64, std::sinh, -3, 3, 3},
      {"sinh", &Table::sinh_f64, std::sinh, -710.4, 710.4, 3},
      {"cosh", &Table::cosh_f64, std::cosh, -710.4, 710.4, 3},
      {"log10", &Table::log10_f64, std::log10, 0, 3, 1},
      {"log10", &Table::log10_f64, std::log10, 0, 1e308, 1},
      {"asinh", &Table::asinh_f64, std::asinh, -1e12, 1e12, 3},
      {"acosh", &Table::acosh_f64, std::acosh, 1, 3, 3},
      {"acosh", &Table::acosh_f64, std::acosh, 1, 1e12, 3},
      {"atanh", &Table::atanh_f64, std::atanh, -1, 1, 3},
      {"erfc", &Table::erfc_f64, std::erfc, -6, 26, 5},
      {"erfinv", &Table::erfinv_f64, inverse_of_erf, 0, 1, 4},
  };
  for (const Range& r : ranges) {
    const int64_t n = 4000;
    std::vector<double> x, y((size_t)n);
    std::uniform_real_distribution<double> u(0, 1);
    for (int64_t i = 0; i < n; ++i) {
      const double part = i % 2 ? u(rng()) : std::pow(10, -12 * u(rng()));
      x.push_back(i % 4 < 2 ? r.low + (r.high - r.low) * part : r.high - (r.high - r.low) * part);
    }
    for_each_isa([&](const Table& t, const char* isa) {
      (t.*r.kernel)(n, x.data(), y.data());
      for (int64_t i = 0; i < n; ++i) {
        const long double want = r.truth(x[i]);
        const double size = std::fabs(double(want)), unit = std::nextafter(size, INFINITY) - size;
        CHECK(std::isinf(size) ? y[i] == double(want) : double(std::fabs(y[i] - want)) <= r.bound * unit,
              r.name, " ", isa, " of ", x[i], " is ", y[i], " not ", double(want));
      }
    });
  }
}

// |x|^y over bases of all scales, within a unit and a tenth; C's function is the reference's.
TEST(powers_of_doubles) {
  std::vector<double> x, y;
  std::uniform_real_distribution<double> u(0, 1);
  for (int i = 0; i < 30000; ++i) {
    const double scale = i % 3 ? 60 : 1400;
    x.push_back(std::exp(scale * (u(rng()) - 0.5)));
    const double most = std::fmin(700 / std::fabs(std::log(x.back())), 1e3);
    y.push_back(i % 2 ? most * (2 * u(rng()) - 1) : 2 * u(rng()) - 1);
  }
  std::vector<double> z(x.size());
  for_each_isa([&](const Table& t, const char* isa) {
    t.pow_f64(int64_t(x.size()), x.data(), y.data(), z.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const long double want = std::pow((long double)x[i], (long double)y[i]);
      const double unit = std::nextafter(double(want), INFINITY) - double(want);
      CHECK(double(std::fabs(z[i] - want)) <= 1.1 * unit, "pow ", isa, " of ", x[i], ", ", y[i], " is ", z[i],
            " not ", double(want));
    }
  });
}

// gelu and its slope: both sides keep their digits, absolutely near 0 and relatively far out.
TEST(gelu_over_its_range) {
  for_each_isa([](const Table& t, const char* isa) {
    for (float x = -14; x < 14; x += 0.0037f) {
      float y, s;
      const float one = 1;
      t.gelu_act_f32(1, &x, 0, 0, 0, &y);
      t.gelu_grad_f32(1, &one, &x, 0, 0, 0, &s);
      const double cdf = 0.5 * std::erfc(-x / std::sqrt(2.0));
      const double slope = cdf + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
      CHECK(std::fabs(y - x * cdf) <= 1e-38 + 4e-7 * std::fabs(x), isa, " of ", x, " is ", y);
      CHECK(std::fabs(y - x * cdf) <= 1e-38 + 1e-5 * std::fabs(x * cdf), isa, " of ", x, " is ", y);
      CHECK(std::fabs(s - slope) <= 6e-7, isa, " slope at ", x, " is ", s, " not ", slope);
    }
  });
}
