#include "ops/drivers/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/half.h"
#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers {

namespace {

using kernels::CrossEntropy;

// Scores that are worth a thread.
constexpr int64_t kChunk = 1 << 14;
// Gradients larger than this leave the caches before anything reads them.
constexpr int64_t kStreamed = int64_t(1) << 23;
// Rows of fewer classes fill vectors badly; their examples become the lanes.
constexpr int64_t kFewClasses = 48;
// Few rows of many classes are split into parts of this size.
constexpr int64_t kFewRows = 16, kPart = 1 << 13;
// Bytes of scores that lanes copy to scratch at a time, and the most examples among them. Long runs of each
// class suit the memory; rows that are turned into lanes stay in the nearest cache.
constexpr int64_t kLaneBytes = 1 << 18, kTurnedBytes = 1 << 15, kMostLanes = 1008;

// The kernels by element type.
#define NNLIB_KERNELS_OF(T, K, suffix, parts)                                     \
  template <>                                                                     \
  struct KernelsOf<T> {                                                           \
    using type = K;                                                               \
    static auto rows() { return kernels::table().cross_entropy_rows_##suffix; }   \
    static auto lanes() { return kernels::table().cross_entropy_lanes_##suffix; } \
    parts                                                                         \
  };
#define NNLIB_PARTS_OF(suffix)                                                \
  static auto part() { return kernels::table().cross_entropy_part_##suffix; } \
  static auto part_grad() { return kernels::table().cross_entropy_part_grad_##suffix; }
template <class T>
struct KernelsOf;
NNLIB_KERNELS_OF(float, float, f32, NNLIB_PARTS_OF(f32))
NNLIB_KERNELS_OF(BFloat16, uint16_t, bf16, NNLIB_PARTS_OF(bf16))
NNLIB_KERNELS_OF(Half, uint16_t, f16, NNLIB_PARTS_OF(f16))
NNLIB_KERNELS_OF(double, double, f64, )
#undef NNLIB_KERNELS_OF
#undef NNLIB_PARTS_OF

template <class T>
using SpecOf = kernels::CrossEntropyOf<compute_t<T>>;

template <class T>
const typename KernelsOf<T>::type* raw(const T* p) {
  return reinterpret_cast<const typename KernelsOf<T>::type*>(p);
}
template <class T>
typename KernelsOf<T>::type* raw(T* p) {
  return reinterpret_cast<typename KernelsOf<T>::type*>(p);
}

// The pointers of a call; at(o, i) is those of example i of o.
template <class T>
struct Operands {
  const ExampleLayout &lx, &lp, &ly;
  const T *x, *p;
  T* y;
  const int64_t* target;
  compute_t<T>* losses;

  Operands at(int64_t o, int64_t i) const {
    const auto offset = [&](const ExampleLayout& l) { return o * l.outer_stride + i * l.inner_stride; };
    const int64_t e = o * lx.inner + i;
    return {lx,
            lp,
            ly,
            x + offset(lx),
            p ? p + offset(lp) : p,
            y ? y + offset(ly) : y,
            target ? target + e : target,
            losses + e};
  }
};

// Examples whose classes are adjacent.
template <class T>
void by_rows(const SpecOf<T>& c, const Operands<T>& all, bool stream) {
  const int64_t grain = std::max<int64_t>(1, kChunk / c.classes), inner = all.lx.inner;
  parallel_for(0, all.lx.outer * inner, grain, [&](int64_t first, int64_t last) {
    auto* const exponentials = scratch<Scratch::Scores, compute_t<T>>(c.classes);
    for (int64_t e = first; e < last;) {  // runs of one stride
      const int64_t o = e / inner, i = e % inner;
      const bool across = inner == 1;
      const int64_t run = across ? last - e : std::min(last - e, inner - i);
      const auto step = [&](const ExampleLayout& l) { return across ? l.outer_stride : l.inner_stride; };
      const Operands<T> at = all.at(o, i);
      KernelsOf<T>::rows()(&c, run, raw(at.x), step(all.lx), at.target, raw(at.p), step(all.lp), at.losses,
                           raw(at.y), step(all.ly), exponentials, stream);
      e += run;
    }
  });
}

// Examples that are adjacent, or that have few classes.
template <class T>
void by_lanes(const SpecOf<T>& c, const Operands<T>& all, bool stream) {
  const bool across = all.lx.inner == 1;  // the examples are those of the outer dimension
  const int64_t n = across ? all.lx.outer : all.lx.inner, outer = across ? 1 : all.lx.outer;
  const auto step = [&](const ExampleLayout& l) { return across ? l.outer_stride : l.inner_stride; };
  const int64_t bytes = step(all.lx) == 1 ? kLaneBytes : kTurnedBytes;
  const int64_t rows = all.p ? 2 * c.classes : c.classes;
  const int64_t width =
      std::clamp<int64_t>(bytes / int64_t(sizeof(compute_t<T>)) / rows / 16 * 16, 16, kMostLanes);
  const int64_t blocks = (n + width - 1) / width;
  parallel_for(0, outer * blocks, 1, [&](int64_t first, int64_t last) {
    auto* const work = scratch<Scratch::Scores, compute_t<T>>((rows + 8) * (width + 31));
    for (int64_t b = first; b < last; ++b) {
      const int64_t i = b % blocks * width, count = std::min(width, n - i);
      const Operands<T> at = across ? all.at(i, 0) : all.at(b / blocks, i);
      KernelsOf<T>::lanes()(&c, count, raw(at.x), all.lx.class_stride, step(all.lx), at.target, raw(at.p),
                            all.lp.class_stride, step(all.lp), at.losses, raw(at.y), all.ly.class_stride,
                            step(all.ly), work, stream);
    }
  });
}

// Few rows of many classes: their parts' sums, then the gradient's parts.
template <class T>
void by_parts(const CrossEntropy& c, const Operands<T>& all) {
  const int64_t rows = all.lx.outer * all.lx.inner, n = c.classes, parts = (n + kPart - 1) / kPart;
  std::vector<float> sums(size_t(4 * rows * parts)), highest(static_cast<size_t>(rows)),
      factor(static_cast<size_t>(rows));
  const auto each_part = [&](auto f) {
    parallel_for(0, rows * parts, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        const int64_t row = b / parts, from = b % parts * kPart;
        Operands<T> at = all.at(row / all.lx.inner, row % all.lx.inner);
        if (at.target && *at.target == c.ignore_index && !at.y) continue;
        CrossEntropy part = c;
        if (c.weight) part.weight += from;
        f(part, row, b, std::min(kPart, n - from), at, from);
      }
    });
  };
  each_part(
      [&](const CrossEntropy& part, int64_t, int64_t b, int64_t count, const Operands<T>& at, int64_t from) {
        KernelsOf<T>::part()(&part, count, raw(at.x + from), at.p ? raw(at.p + from) : nullptr,
                             sums.data() + 4 * b);
      });
  for (int64_t row = 0; row < rows; ++row) {
    const float* of = sums.data() + 4 * row * parts;
    float m = -INFINITY;
    for (int64_t b = 0; b < parts; ++b) m = of[4 * b] > m ? of[4 * b] : m;
    double exponentials = 0, linear = 0, mass = 0;
    const bool shared = c.off != 0 || all.p;
    for (int64_t b = 0; b < parts; ++b) {
      const float* s = of + 4 * b;
      mass += s[3];
      if (s[0] == -INFINITY && m > -INFINITY) {  // -infinities alone: its sums are NaN
        if (shared) linear = -INFINITY;
        continue;
      }
      exponentials += double(s[1]) * std::exp(double(s[0]) - m);
      if (shared) linear += double(s[2]) + double(s[3]) * (double(s[0]) - m);
    }
    const Operands<T> at = all.at(row / all.lx.inner, row % all.lx.inner);
    const bool ignored = at.target && *at.target == c.ignore_index;
    const double log_sum = std::log(exponentials);
    double of_class = 0, loss = mass * log_sum - linear;
    if (at.target && !ignored) {
      of_class = double(c.on) * (c.weight ? c.weight[*at.target] : 1.f);
      loss += of_class * (log_sum + m - float(at.x[*at.target]));
    }
    *at.losses = ignored ? 0.f : float(loss);
    highest[size_t(row)] = m;
    factor[size_t(row)] = float(c.scale * (of_class + mass) / exponentials);
  }
  if (!all.y) return;
  each_part([&](const CrossEntropy& part, int64_t row, int64_t, int64_t count, const Operands<T>& at,
                int64_t from) {
    if (at.target && *at.target == c.ignore_index) {
      std::fill(at.y + from, at.y + from + count, T(0));
      return;
    }
    const float m = highest[size_t(row)], k = factor[size_t(row)];
    const T* p = at.p ? at.p + from : nullptr;
    const float at_target = at.target ? float(at.x[*at.target]) : 0.f;
    KernelsOf<T>::part_grad()(&part, count, raw(at.x + from), raw(p), m, k, raw(at.y + from));
    if (!at.target || *at.target < from || *at.target >= from + count) return;
    const int64_t t = *at.target;
    const float w = c.weight ? c.weight[t] : 1.f;
    at.y[t] = T(k * std::exp(at_target - m) - c.scale * c.off * w - c.scale * c.on * w);
  });
}

}  // namespace

template <class T>
void cross_entropy(const kernels::CrossEntropyOf<compute_t<T>>& c, const ExampleLayout& lx, const T* x,
                   const int64_t* target, const ExampleLayout& lp, const T* p, compute_t<T>* losses,
                   const ExampleLayout& ly, T* y) {
  const int64_t examples = lx.outer * lx.inner;
  if (examples == 0 || c.classes == 0) return;
  const Operands<T> all{lx, lp, ly, x, p, y, target, losses};
  const bool stream = y && y != x && examples * c.classes * int64_t(sizeof(T)) > kStreamed;
  const bool rows = lx.class_stride == 1 || c.classes == 1;
  // Lanes run along one dimension.
  if (!rows || (c.classes < kFewClasses && (lx.inner == 1 || lx.inner >= 16)))
    return by_lanes(c, all, stream);
  if constexpr (!std::is_same_v<T, double>) {
    if (examples < kFewRows && c.classes >= 2 * kPart) return by_parts(c, all);
  }
  by_rows(c, all, stream);
}

template <class C>
double sum_losses(int64_t n, const C* losses) {
  constexpr int64_t kRun = 1 << 13;
  std::vector<double> sums(size_t((n + kRun - 1) / kRun));
  parallel_for(0, n, kRun, [&](int64_t first, int64_t last) {
    double s[8] = {};  // chains that the processor can run side by side
    int64_t i = first;
    for (; i + 8 <= last; i += 8) {
#pragma GCC unroll 8
      for (int64_t k = 0; k < 8; ++k) s[k] += double(losses[i + k]);
    }
    for (; i < last; ++i) s[i % 8] += double(losses[i]);
    sums[size_t(first / kRun)] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  });
  double total = 0;
  for (const double s : sums) total += s;
  return total;
}
template double sum_losses<float>(int64_t, const float*);
template double sum_losses<double>(int64_t, const double*);

#define NNLIB_INSTANTIATE(T)                                                                              \
  template void cross_entropy<T>(const kernels::CrossEntropyOf<compute_t<T>>&, const ExampleLayout&,      \
                                 const T*, const int64_t*, const ExampleLayout&, const T*, compute_t<T>*, \
                                 const ExampleLayout&, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
NNLIB_INSTANTIATE(Half)
NNLIB_INSTANTIATE(BFloat16)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers
