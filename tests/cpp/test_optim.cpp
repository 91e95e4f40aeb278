// The kernels of optim.inl: every array of n values, every scalar, against the reference.
#include <tuple>
#include <utility>

#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

// An argument of one call: arrays keep a copy each for the kernel and for the reference.
template <class A>
struct Argument;
template <>
struct Argument<float*> {
  explicit Argument(int64_t n) : got(n), want(n) { fill(got, 0.01, 2), want = got; }
  float* kernel() { return got.data(); }
  float* reference() { return want.data(); }
  void compare(const char* what) {
    for (int64_t i = 0; i < got.size(); ++i) {
      // The centred second moment cancels: the scale of the differences is the arrays', not the result's.
      CHECK(close(got[i], want[i], 2e-5, 5e-4), what, " value ", i, ": ", got[i], " not ", want[i]);
    }
    CHECK(got.intact(), what, " wrote outside");
  }
  Guarded<float> got, want;
};
template <>
struct Argument<const float*> {
  explicit Argument(int64_t n) : x(n) { fill(x); }
  const float* kernel() { return x.data(); }
  const float* reference() { return x.data(); }
  void compare(const char*) {}
  Guarded<float> x;
};
template <class A>
struct Scalar {
  explicit Scalar(A v) : value(v) {}
  A kernel() { return value; }
  A reference() { return value; }
  void compare(const char*) {}
  A value;
};
template <>
struct Argument<float> : Scalar<float> {
  explicit Argument(int64_t) : Scalar(0.05f + 0.4f * float(rng()() % 1000) / 1000) {}
};
template <>
struct Argument<bool> : Scalar<bool> {
  explicit Argument(int64_t) : Scalar(rng()() % 2 == 0) {}
};

template <class... A>
void check(const char* name, const char* isa, void (*got)(int64_t, A...), void (*want)(int64_t, A...)) {
  for (int64_t n : odd_sizes()) {
    std::tuple<Argument<A>...> args{Argument<A>(n)...};
    std::apply([&](auto&... a) { got(n, a.kernel()...), want(n, a.reference()...); }, args);
    const std::string what = std::string(name) + " " + isa;
    std::apply([&](auto&... a) { (a.compare(what.c_str()), ...); }, args);
  }
  covered().insert(name);
}

}  // namespace

TEST(optimizer_steps) {
  for_each_isa([](const Table& t, const char* isa) {
    check("sgd_f32", isa, t.sgd_f32, truth().sgd_f32);
    check("sgd_momentum_f32", isa, t.sgd_momentum_f32, truth().sgd_momentum_f32);
    check("adam_f32", isa, t.adam_f32, truth().adam_f32);
    check("adagrad_f32", isa, t.adagrad_f32, truth().adagrad_f32);
    check("rmsprop_f32", isa, t.rmsprop_f32, truth().rmsprop_f32);
  });
}
