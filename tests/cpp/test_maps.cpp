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
