// The kernels of optim.inl: every array of n values, every scalar, against the reference.
#include <tuple>
#include <utility>

#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

template <class A>
struct Scalar {
  explicit Scalar(A v) : value(v) {}
  A kernel() { return value; }
  A reference() { return value; }
  void compare(const char*) {}
  A value;
};
// An argument of one call: arrays keep a copy each for the kernel and for the reference.
template <class A>
struct Argument : Scalar<A> {
  explicit Argument(int64_t) : Scalar<A>(A(0.05) + A(0.4) * A(rng()() % 1000) / 1000) {}
};
template <class T>
struct Argument<T*> {
  explicit Argument(int64_t n) : got(n), want(n) { fill(got, 0.01, 2), want = got; }
  T* kernel() { return got.data(); }
  T* reference() { return want.data(); }
  void compare(const char* what) {
    const double part = sizeof(T) == 8 ? 1e-8 : 1;
    for (int64_t i = 0; i < got.size(); ++i) {
      // The centred second moment cancels: the scale of the differences is the arrays', not the result's.
      CHECK(close(got[i], want[i], T(2e-5 * part), T(5e-4 * part)), what, " value ", i, ": ", got[i], " not ",
            want[i]);
    }
    CHECK(got.intact(), what, " wrote outside");
  }
  Guarded<T> got, want;
};
template <class T>
struct Argument<const T*> {
  explicit Argument(int64_t n) : x(n) { fill(x); }
  const T* kernel() { return x.data(); }
  const T* reference() { return x.data(); }
  void compare(const char*) {}
  Guarded<T> x;
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
#define NNLIB_CHECK_STEP(name)                                \
  check(#name "_f32", isa, t.name##_f32, truth().name##_f32); \
  check(#name "_f64", isa, t.name##_f64, truth().name##_f64);
    NNLIB_CHECK_STEP(sgd)
    NNLIB_CHECK_STEP(sgd_momentum)
    NNLIB_CHECK_STEP(adam)
    NNLIB_CHECK_STEP(adagrad)
    NNLIB_CHECK_STEP(rmsprop)
    NNLIB_CHECK_STEP(adamax)
    NNLIB_CHECK_STEP(nadam)
    NNLIB_CHECK_STEP(radam)
    NNLIB_CHECK_STEP(adadelta)
    NNLIB_CHECK_STEP(asgd)
    NNLIB_CHECK_STEP(rprop)
  });
}
