// Every kernel of kernels.def whose signature says that it maps float arrays elementwise, against the
// reference.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

std::vector<float> interesting_values() {
  std::vector<float> x = {0.f,  -0.f,  1.f,   -1.f,   0.5f,  -0.5f,  1e-40f,   -1e-40f,   1e-6f, -1e-6f,
                          88.f, -88.f, 88.9f, -104.f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN,   3e38f};
  std::uniform_real_distribution<float> u(-12, 12);
  while (x.size() < 515) x.push_back(u(rng()));
  return x;
}

// Three units allow for what vmath.inl states; a mapping of two arguments is a single rounding.
using Map1 = void (*)(int64_t, const float*, float*);
bool check(const char* kernel, const char* isa, Map1 got, Map1 want) {
  const std::vector<float> values = interesting_values();
  for (int64_t n : odd_sizes()) {
    for (int64_t from : {int64_t(0), int64_t(values.size()) - n}) {
      Guarded<float> y(n), z(n);
      got(n, values.data() + from, y.data());
      want(n, values.data() + from, z.data());
      for (int64_t i = 0; i < n; ++i) {
        CHECK(ulps(y[i], z[i]) <= 3, kernel, " ", isa, " of ", values[from + i], " is ", y[i], " not ", z[i]);
      }
      CHECK(y.intact(), kernel, " ", isa, " wrote past its ", n, " values");
    }
  }
  return true;
}

using Map2 = void (*)(int64_t, const float*, const float*, float*);
bool check(const char* kernel, const char* isa, Map2 got, Map2 want) {
  const std::vector<float> values = interesting_values();
  for (int64_t n : odd_sizes()) {
    Guarded<float> y(n), z(n);
    const float* a = values.data() + 1;
    const float* b = values.data() + values.size() - n;
    got(n, a, b, y.data());
    want(n, a, b, z.data());
    for (int64_t i = 0; i < n; ++i) {
      CHECK(ulps(y[i], z[i]) <= 3, kernel, " ", isa, " of ", a[i], ", ", b[i], " is ", y[i], " not ", z[i]);
    }
    CHECK(y.intact(), kernel, " ", isa, " wrote past its ", n, " values");
  }
  return true;
}

// In double the same: the reference is C's, which is within one unit itself.
using Map1F64 = void (*)(int64_t, const double*, double*);
bool check(const char* kernel, const char* isa, Map1F64 got, Map1F64 want) {
  std::vector<double> values = {0.,     -0.,      1.,        -1.,      0.5,
                                -0.5,   1e-310,   -1e-310,   1e-6,     -1e-6,
                                709.,   -709.,    709.9,     -746.,    1e300,
                                -1e300, INFINITY, -INFINITY, NAN,      1e308,
                                37.,    -37.3,    1e9,       -123456., 4503599627370497.5};
  std::uniform_real_distribution<double> u(-12, 12);
  while (values.size() < 515) values.push_back(u(rng()));
  for (int64_t n : odd_sizes()) {
    for (int64_t from : {int64_t(0), int64_t(values.size()) - n}) {
      Guarded<double> y(n), z(n);
      got(n, values.data() + from, y.data());
      want(n, values.data() + from, z.data());
      // digamma crosses zero between -1/0, -2, -3 ..., where what its sum loses counts.
      const double lost = std::string(kernel) == "digamma_f64" ? 8e-15 : 0;
      for (int64_t i = 0; i < n; ++i)
        CHECK(ulps(y[i], z[i]) <= 4 || std::fabs(y[i] - z[i]) <= lost, kernel, " ", isa, " of ",
              values[from + i], " is ", y[i], " not ", z[i]);
      CHECK(y.intact(), kernel, " ", isa, " wrote past its ", n, " values");
    }
  }
  return true;
}

using Map2F64 = void (*)(int64_t, const double*, const double*, double*);
bool check(const char* kernel, const char* isa, Map2F64 got, Map2F64 want) {
  std::vector<double> values = {0.,     -0.,    1.,       -1.,       3.,  -7.,   1e-310,
                                1e-5,   -1e300, 1.7e308,  -1.79e308, 0.5, 1e17,  -4503599627370497.5,
                                5e-324, 37.3,   INFINITY, -INFINITY, NAN, 1e-200};
  std::uniform_real_distribution<double> u(-12, 12);
  while (values.size() < 90) values.push_back(u(rng()));
  // Every value with every other.
  std::vector<double> a, b;
  for (double x : values)
    for (double y : values) a.push_back(x), b.push_back(y);
  std::vector<int64_t> sizes = odd_sizes();
  sizes.push_back(int64_t(a.size()));
  for (int64_t n : sizes) {
    Guarded<double> y(n), z(n);
    got(n, a.data(), b.data(), y.data());
    want(n, a.data(), b.data(), z.data());
    for (int64_t i = 0; i < n; ++i)
      CHECK(ulps(y[i], z[i]) <= 3, kernel, " ", isa, " of ", a[i], ", ", b[i], " is ", y[i], " not ", z[i]);
    CHECK(y.intact(), kernel, " ", isa, " wrote past its ", n, " values");
  }
  return true;
}

using Map1Half = void (*)(int64_t, const uint16_t*, uint16_t*);
bool check(const char* kernel, const char* isa, Map1Half got, Map1Half want) {
  const bool brain = is_bfloat16(kernel);
  std::vector<uint16_t> values;
  for (float x : interesting_values()) values.push_back(to_half(x, brain));
  for (int64_t n : odd_sizes()) {
    for (int64_t from : {int64_t(0), int64_t(values.size()) - n}) {
      Guarded<uint16_t> y(n), z(n);
      got(n, values.data() + from, y.data());
      want(n, values.data() + from, z.data());
      for (int64_t i = 0; i < n; ++i)
        CHECK(near_half(y[i], z[i], brain), kernel, " ", isa, " of ", from_half(values[from + i], brain),
              " is ", from_half(y[i], brain), " not ", from_half(z[i], brain));
      CHECK(y.intact(), kernel, " ", isa, " wrote past its ", n, " values");
    }
  }
  return true;
}

// Other signatures have tests of their own.
template <class F>
bool check(const char*, const char*, F, F) {
  return false;
}

}  // namespace

TEST(elementwise_maps) {
  for_each_isa([](const Table& t, const char* isa) {
#define NNLIB_KERNEL(name, ret, args) \
  if (check(#name, isa, t.name, truth().name)) covered().insert(#name);
#include "kernels/kernels.def"
  });
}
