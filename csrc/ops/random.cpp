// Filling tensors with random numbers as PyTorch's CPU generator draws them
// (aten/src/ATen/core/DistributionsHelper.h, aten/src/ATen/native/cpu/DistributionTemplates.h): one
// generator, one thread, the order of the tensor's memory.
#include "ops/random.h"

#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/elementwise.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

constexpr double kPi = 3.141592653589793238462643383279502884;

struct Locked {
  explicit Locked(const Ref<Generator>& g) : gen(g ? *g : *default_generator()), lock(gen.mutex) {}
  Generator& gen;
  std::lock_guard<std::mutex> lock;
};

// The dimensions of t in the order in which those of `like` lie in memory.
Tensor in_memory_order(const Tensor& t, const Tensor& like) {
  NoGradGuard guard;
  Dims order((size_t)like.dim(), 0);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return like.strides()[a] > like.strides()[b]; });
  return permute(t, order);
}

// The elements of t in the order of their memory, each by a draw, which gives a D; tensors of other types
// take those values converted.
template <class D, class Draw>
void fill_serial(const Tensor& t, Draw draw) {
  const int64_t n = t.numel();
  if (!t.is_contiguous()) {
    const Tensor ordered = in_memory_order(t, t), drawn = empty(ordered.sizes(), DtypeOf<D>::value);
    fill_serial<D>(drawn, draw);
    return copy_values(ordered, drawn);
  }
  if (t.dtype() == DtypeOf<D>::value) {
    D* p = (D*)t.raw();
    for (int64_t i = 0; i < n; i++) p[i] = draw();
    return;
  }
  constexpr int64_t kChunk = 1024;
  D drawn[kChunk];
  for (int64_t i = 0; i < n; i += kChunk) {
    const int64_t count = std::min(kChunk, n - i);
    for (int64_t k = 0; k < count; k++) drawn[k] = draw();
    kernels::table().convert((int64_t)DtypeOf<D>::value, (int64_t)t.dtype(), count, drawn,
                             (char*)t.raw() + i * t.itemsize());
  }
}

// One draw of 32 bits for a float and the 16-bit floats, 64 bits for a double.
template <class T>
compute_t<T> uniform01(Generator& g) {
  if constexpr (std::is_same_v<T, double>)
    return g.uniform_double();
  else
    return g.uniform_float();
}

// Sixteen uniforms to sixteen normals: eight pairs (j, j + 8).
void normals_of_16(double* x, double mean, double std) {
  for (int j = 0; j < 8; j++) {
    const double radius = std::sqrt(-2 * std::log(1 - x[j])), theta = 2.0 * kPi * x[j + 8];
    x[j] = std::fma(radius * std::cos(theta), std, mean);
    x[j + 8] = std::fma(radius * std::sin(theta), std, mean);
  }
}
void to_normals(double* x, int64_t blocks, double mean, double std) {
  for (int64_t i = 0; i < blocks; i++) normals_of_16(x + i * 16, mean, std);
}
void to_normals(float* x, int64_t blocks, double mean, double std) {
  kernels::table().box_muller_f32(blocks, x, (float)mean, (float)std);
}

// n >= 16 numbers. The last sixteen are drawn again where n is no multiple of sixteen; the 16-bit floats do
// not draw their first values at all.
template <class C>
void normal_fill(C* x, int64_t n, double mean, double std, bool draw_rest, Generator& g) {
  const int64_t whole = n / 16 * 16;
  for (int64_t i = 0; i < (draw_rest ? n : whole); i++) x[i] = uniform01<C>(g);
  parallel_for(0, n / 16, 256, [&](int64_t b, int64_t e) { to_normals(x + b * 16, e - b, mean, std); });
  if (n == whole) return;
  for (int64_t i = n - 16; i < n; i++) x[i] = uniform01<C>(g);
  to_normals(x + n - 16, 1, mean, std);
}

template <class T>
void normal_fill(const Tensor& t, double mean, double std, Generator& g) {
  if constexpr (std::is_same_v<T, compute_t<T>>) {
    normal_fill((T*)t.raw(), t.numel(), mean, std, true, g);
  } else {
    Tensor wide = empty(t.sizes(), Dtype::Float32);
    normal_fill(wide.data<float>(), t.numel(), mean, std, false, g);
    copy_values(t, wide);
  }
}

// The change is counted, and the old values' gradient ends here.
Tensor done(const Tensor& self, const char* name) {
  mark_changed(self);
  if (wants_grad(self))
    record_inplace(self, name, {self}, [](Backward&, const TensorList&) { return TensorList{Tensor()}; });
  return self;
}

template <class T>
void check_limits(double low, double high, const char* name) {
  const double top = (double)std::numeric_limits<compute_t<T>>::max();
  NNLIB_CHECK(low >= -top && low <= top, name, ": from is out of bounds for ", dtype_name(DtypeOf<T>::value));
  NNLIB_CHECK(high >= -top && high <= top, name, ": to is out of bounds for ", dtype_name(DtypeOf<T>::value));
}

// From double draws, whatever the tensor's type is.
template <class Draw>
Tensor fill_from_double(const Tensor& self, const char* what, const char* name,
                        const Ref<Generator>& generator, Draw draw) {
  check_inplace(self);
  {
    Locked l(generator);
    fill_serial<double>(self, [&] { return draw(l.gen); });
  }
  return done(self, name);
}

}  // namespace

Tensor uniform_(const Tensor& self, double from, double to, const Ref<Generator>& generator) {
  NNLIB_CHECK(from <= to, "uniform_ expects to return a [from, to) range, but found from=", from,
              " > to=", to);
  check_inplace(self);
  {
    Locked l(generator);
    dispatch_floating(self.dtype(), "check_uniform_bounds", [&](auto tag) {
      using T = typename decltype(tag)::type;
      using C = compute_t<T>;
      check_limits<T>(from, to, "uniform_");
      const C a = (C)from, range = (C)to - a;
      const T low = (T)(C)from, high = (T)(C)to;
      // Rounding may reach `to`, which stands outside.
      fill_serial<C>(self, [&] {
        const C v = (C)(T)(uniform01<T>(l.gen) * range + a);
        return v == (C)high ? (C)low : v;
      });
    });
  }
  return done(self, "UniformBackward0");
}

Tensor normal_(const Tensor& self, double mean, double std, const Ref<Generator>& generator) {
  NNLIB_CHECK(std >= 0, "normal expects std >= 0.0, but found std ", std);
  check_inplace(self);
  {
    Locked l(generator);
    dispatch_floating(self.dtype(), "normal_kernel_cpu", [&](auto tag) {
      using T = typename decltype(tag)::type;
      if (self.numel() >= 16 && self.is_contiguous())
        normal_fill<T>(self, mean, std, l.gen);
      else
        fill_serial<double>(self, [&] { return std::fma(next_normal(l.gen), std, mean); });
    });
  }
  return done(self, "NormalBackward0");
}

Tensor exponential_(const Tensor& self, double lambd, const Ref<Generator>& generator) {
  NNLIB_CHECK(lambd > 0, "exponential_ expects lambda > 0.0, but found lambda=", lambd);
  return fill_from_double(self, "exponential_", "ExponentialBackward0", generator,
                          [&](Generator& g) { return -1.0 / lambd * std::log1p(-g.uniform_double()); });
}

Tensor log_normal_(const Tensor& self, double mean, double std, const Ref<Generator>& generator) {
  NNLIB_CHECK(std > 0, "log_normal_ expects std > 0.0, but found std=", std);
  return fill_from_double(self, "log_normal_", "LogNormalBackward0", generator,
                          [&](Generator& g) { return std::exp(std::fma(next_normal(g), std, mean)); });
}

Tensor cauchy_(const Tensor& self, double median, double sigma, const Ref<Generator>& generator) {
  NNLIB_CHECK(sigma > 0, "cauchy_ expects sigma > 0.0, but found sigma=", sigma);
  return fill_from_double(self, "cauchy_", "CauchyBackward0", generator, [&](Generator& g) {
    return median + sigma * std::tan(kPi * (g.uniform_double() - 0.5));
  });
}

Tensor geometric_(const Tensor& self, double p, const Ref<Generator>& generator) {
  NNLIB_CHECK(p > 0 && p < 1, "geometric_ expects p to be in (0, 1), but got p=", p);
  check_inplace(self);
  {
    Locked l(generator);
    const double log_of_rest = std::log1p(-p);
    fill_serial<double>(self, [&] { return std::ceil(std::log(l.gen.uniform_double()) / log_of_rest); });
  }
  return done(self, "GeometricBackward0");
}

Tensor bernoulli_p_(const Tensor& self, double p, const Ref<Generator>& generator) {
  NNLIB_CHECK(p >= 0 && p <= 1, "bernoulli_ expects p to be in [0, 1], but got p=", p);
  check_inplace(self);
  {
    Locked l(generator);
    fill_serial<bool>(self, [&] { return l.gen.uniform_double() < p; });
  }
  return done(self, "BernoulliBackward0");
}

Tensor bernoulli_tensor_(const Tensor& self, const Tensor& p, const Ref<Generator>& generator) {
  check_inplace(self);
  {
    NoGradGuard guard;
    const Tensor probs = expand(p, self.sizes());
    Locked l(generator);
    dispatch_floating(p.dtype(), "bernoulli_tensor_cpu_p_", [&](auto tag) {
      using C = compute_t<typename decltype(tag)::type>;
      const Tensor wide = contiguous(cast(in_memory_order(probs, self), DtypeOf<C>::value));
      const C* q = wide.data<C>();
      for (int64_t i = 0, n = wide.numel(); i < n; i++)
        NNLIB_CHECK(q[i] >= 0 && q[i] <= 1, "Expected p_in >= 0 && p_in <= 1 to be true, but got p=", q[i]);
      fill_serial<bool>(self, [&] { return uniform01<C>(l.gen) < *q++; });
    });
  }
  return done(self, "BernoulliBackward0");
}

namespace {

// Digits that T holds exactly: 2^digits is the largest value of random_ for floats.
template <class T>
constexpr int kDigits = std::is_same_v<T, Half>       ? 11
                        : std::is_same_v<T, BFloat16> ? 8
                                                      : std::numeric_limits<T>::digits;

// base + draw % range, from 64 bits where 32 would be visibly uneven. A range of 0 stands for all 2^64
// values.
void fill_range(const Tensor& self, uint64_t range, int64_t base, Generator& g) {
  if (range != 0 && range < (1ull << 28)) {
    const uint32_t small = (uint32_t)range;
    return fill_serial<int64_t>(self, [&] { return (int64_t)(g.random() % small) + base; });
  }
  fill_serial<int64_t>(self, [&] {
    const uint64_t v = g.random64();
    return (int64_t)(range ? v % range + (uint64_t)base : v);
  });
}

// The least and the greatest integer that random_ may give in this type.
std::pair<int64_t, int64_t> integer_limits(Dtype d) {
  return dispatch_all(d, [](auto tag) -> std::pair<int64_t, int64_t> {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>)
      return {(int64_t)std::numeric_limits<T>::min(), (int64_t)std::numeric_limits<T>::max()};
    else
      return {-(int64_t(1) << kDigits<T>), int64_t(1) << kDigits<T>};
  });
}

}  // namespace

Tensor random_(const Tensor& self, const Ref<Generator>& generator) {
  check_inplace(self);
  {
    Locked l(generator);
    const Dtype d = self.dtype();
    const uint64_t range = (uint64_t)integer_limits(d).second + 1;  // floats hold their greatest one too
    if (d == Dtype::Int64 || d == Dtype::Float64)
      fill_serial<int64_t>(self, [&] { return (int64_t)(l.gen.random64() % range); });
    else
      fill_serial<int64_t>(self, [&] { return (int64_t)(l.gen.random() % range); });
  }
  return done(self, "RandomBackward0");
}

Tensor random_to_(const Tensor& self, int64_t to, const Ref<Generator>& generator) {
  return random_from_to_(self, 0, to, generator);
}

Tensor random_from_to_(const Tensor& self, int64_t from, std::optional<int64_t> to,
                       const Ref<Generator>& generator) {
  check_inplace(self);
  const auto [low, high] = integer_limits(self.dtype());
  if (to) {
    NNLIB_CHECK(from < *to, "random_ expects 'from' to be less than 'to', but got from=", from,
                " >= to=", *to);
    if (!is_floating(self.dtype())) {
      NNLIB_CHECK(from >= low && from <= high, "from is out of bounds for ", dtype_name(self.dtype()));
      NNLIB_CHECK(*to - 1 >= low && *to - 1 <= high, "to - 1 is out of bounds for ",
                  dtype_name(self.dtype()));
    }
  } else {
    NNLIB_CHECK(from >= low && from <= high, "from is out of bounds for ", dtype_name(self.dtype()));
  }
  const uint64_t range = to ? (uint64_t)*to - (uint64_t)from : (uint64_t)high - (uint64_t)from + 1;
  {
    Locked l(generator);
    fill_range(self, range, from, l.gen);
  }
  return done(self, "RandomBackward0");
}

}  // namespace nnlib::ops
