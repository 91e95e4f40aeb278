// The truth of cross_entropy.inl and cross_entropy_lanes.inl, in double.
#pragma once

#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

// The scores of one example and their partner probabilities, as functions of the class.
template <class C, class X, class P>
struct Example {
  const CrossEntropyOf<C>& c;
  int64_t n;
  X x;
  P p;
  bool given;
  double m = -INFINITY, exponentials = 0, linear = 0, mass = 0;

  double weight(int64_t j) const { return c.weight ? c.weight[j] : 1.0; }
  double share(int64_t j) const { return weight(j) * (given ? double(c.on) * p(j) + c.off : double(c.off)); }
  void sum() {
    for (int64_t j = 0; j < n; ++j) m = x(j) > m ? x(j) : m;
    for (int64_t j = 0; j < n; ++j) {
      exponentials += ::exp(x(j) - m);
      if (given || c.off != 0) linear += share(j) * (x(j) - m);
      mass += share(j);
    }
  }
};

template <class C, class T, class Get, class Put>
void cross_entropy_examples(const CrossEntropyOf<C>& c, int64_t count, const T* x, int64_t xc, int64_t xl,
                            const int64_t* target, const T* p, int64_t pc, int64_t pl, C* loss, T* y,
                            int64_t yc, int64_t yl, Get get, Put put) {
  for (int64_t i = 0; i < count; ++i) {
    const auto score = [&](int64_t j) { return double(get(x[i * xl + j * xc])); };
    const auto given = [&](int64_t j) { return double(get(p[i * pl + j * pc])); };
    const bool ignored = target && target[i] == c.ignore_index;
    Example<C, decltype(score), decltype(given)> e{c, c.classes, score, given, !target};
    e.sum();
    const double of_class = target && !ignored ? c.on * e.weight(target[i]) : 0;
    double l = e.mass * ::log(e.exponentials) - e.linear;
    if (target && !ignored) l += of_class * (::log(e.exponentials) + (e.m - score(target[i])));
    loss[i] = ignored ? 0 : C(l);
    for (int64_t j = 0; y && j < c.classes; ++j) {
      double g = (of_class + e.mass) * ::exp(score(j) - e.m) / e.exponentials - e.share(j);
      if (target && target[i] == j) g -= of_class;
      y[i * yl + j * yc] = put(ignored ? C(0) : C(c.scale * g));
    }
  }
}

template <class T, class Get>
void cross_entropy_part(const CrossEntropy& c, int64_t n, const T* x, const T* p, float* sums, Get get) {
  const auto score = [&](int64_t j) { return double(get(x[j])); };
  const auto given = [&](int64_t j) { return double(get(p[j])); };
  Example<float, decltype(score), decltype(given)> e{c, n, score, given, p != nullptr};
  e.sum();
  sums[0] = float(e.m), sums[1] = float(e.exponentials), sums[2] = float(e.linear);
  sums[3] = float(e.mass);
}

template <class T, class Get, class Put>
void cross_entropy_part_grad(const CrossEntropy& c, int64_t n, const T* x, const T* p, float m, float k, T* y,
                             Get get, Put put) {
  const auto score = [&](int64_t j) { return double(get(x[j])); };
  const auto given = [&](int64_t j) { return double(get(p[j])); };
  const Example<float, decltype(score), decltype(given)> e{c, n, score, given, p != nullptr};
  for (int64_t j = 0; j < n; ++j) y[j] = put(float(k * ::exp(score(j) - m) - c.scale * e.share(j)));
}

template <class T>
T itself(T x) {
  return x;
}

#define NNLIB_DEFINE_EXAMPLES(suffix, T, C, get, put)                                                      \
  void cross_entropy_rows_##suffix(const CrossEntropyOf<C>* c, int64_t rows, const T* x, int64_t ldx,      \
                                   const int64_t* target, const T* p, int64_t ldp, C* loss, T* y,          \
                                   int64_t ldy, C*, bool) {                                                \
    cross_entropy_examples(*c, rows, x, 1, ldx, target, p, 1, ldp, loss, y, 1, ldy, get, put);             \
  }                                                                                                        \
  void cross_entropy_lanes_##suffix(const CrossEntropyOf<C>* c, int64_t n, const T* x, int64_t xc,         \
                                    int64_t xl, const int64_t* target, const T* p, int64_t pc, int64_t pl, \
                                    C* loss, T* y, int64_t yc, int64_t yl, C*, bool) {                     \
    cross_entropy_examples(*c, n, x, xc, xl, target, p, pc, pl, loss, y, yc, yl, get, put);                \
  }
#define NNLIB_DEFINE(suffix, T, get, put)                                                                   \
  NNLIB_DEFINE_EXAMPLES(suffix, T, float, get, put)                                                         \
  void cross_entropy_part_##suffix(const CrossEntropy* c, int64_t n, const T* x, const T* p, float* sums) { \
    cross_entropy_part(*c, n, x, p, sums, get);                                                             \
  }                                                                                                         \
  void cross_entropy_part_grad_##suffix(const CrossEntropy* c, int64_t n, const T* x, const T* p, float m,  \
                                        float k, T* y) {                                                    \
    cross_entropy_part_grad(*c, n, x, p, m, k, y, get, put);                                                \
  }
NNLIB_DEFINE(f32, float, itself<float>, itself<float>)
NNLIB_DEFINE(bf16, uint16_t, from_bf16, to_bf16)
NNLIB_DEFINE(f16, uint16_t, from_f16, to_f16)
NNLIB_DEFINE_EXAMPLES(f64, double, double, itself<double>, itself<double>)
#undef NNLIB_DEFINE
#undef NNLIB_DEFINE_EXAMPLES

}  // namespace
}  // namespace nnlib::kernels::reference
