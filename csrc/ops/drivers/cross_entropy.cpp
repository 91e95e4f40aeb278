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
constexpr int64_t kFewClasses = 24;
// Few rows of many classes are split into parts of this size.
constexpr int64_t kFewRows = 16, kPart = 1 << 13;
// Bytes of scores that lanes copy to scratch at a time, and the most examples among them. Long runs of each
// class suit the memory; rows that are turned into lanes stay in the nearest cache.
constexpr int64_t kLaneBytes = 1 << 18, kTurnedBytes = 1 << 15, kMostLanes = 1008;

// The kernels by element type.
#define NNLIB_KERNELS_OF(T, K, suffix)                                                    \
  template <>                                                                             \
  struct KernelsOf<T> {                                                                   \
    using type = K;                                                                       \
    static auto rows() { return kernels::table().cross_entropy_rows_##suffix; }           \
    static auto lanes() { return kernels::table().cross_entropy_lanes_##suffix; }         \
    static auto part() { return kernels::table().cross_entropy_part_##suffix; }           \
    static auto part_grad() { return kernels::table().cross_entropy_part_grad_##suffix; } \
  };
template <class T>
struct KernelsOf;
NNLIB_KERNELS_OF(float, float, f32)
NNLIB_KERNELS_OF(BFloat16, uint16_t, bf16)
NNLIB_KERNELS_OF(Half, uint16_t, f16)
#undef NNLIB_KERNELS_OF

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
  float* losses;

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
void by_rows(const CrossEntropy& c, const Operands<T>& all, bool stream) {
  const int64_t grain = std::max<int64_t>(1, kChunk / c.classes), inner = all.lx.inner;
  parallel_for(0, all.lx.outer * inner, grain, [&](int64_t first, int64_t last) {
    float* exponentials = scratch<Scratch::Scores, float>(c.classes);
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
void by_lanes(const CrossEntropy& c, const Operands<T>& all, bool stream) {
  const bool across = all.lx.inner == 1;  // the examples are those of the outer dimension
  const int64_t n = across ? all.lx.outer : all.lx.inner, outer = across ? 1 : all.lx.outer;
  const auto step = [&](const ExampleLayout& l) { return across ? l.outer_stride : l.inner_stride; };
  const int64_t bytes = step(all.lx) == 1 ? kLaneBytes : kTurnedBytes;
  const int64_t width = std::clamp<int64_t>(bytes / 4 / c.classes / 16 * 16, 16, kMostLanes);
  const int64_t blocks = (n + width - 1) / width;
  parallel_for(0, outer * blocks, 1, [&](int64_t first, int64_t last) {
    float* work = scratch<Scratch::Scores, float>((c.classes + 8) * (width + 31));
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

// float64, one example at a time, by parts that stay in the first-level cache.
void scalar_example(const kernels::CrossEntropyOf<double>& c, const double* x, int64_t xs, int64_t t,
                    const double* p, int64_t ps, double* loss, double* y, int64_t ys) {
  const auto weight = [&](int64_t j) { return c.weight ? c.weight[j] : 1.0; };
  const auto share = [&](int64_t j) { return weight(j) * (p ? c.on * p[j * ps] + c.off : c.off); };
  const bool shared = p || c.off != 0;
  double m = -INFINITY, exponentials = 0, linear = 0, mass = 0;
  const double at_target = p ? 0 : x[t * xs];
  const auto& k = kernels::table();
  constexpr int64_t kCalled = 8;  // classes for which calls pay
  if (xs == 1 && c.classes >= kCalled)
    m = k.max_f64(c.classes, x);
  else
    for (int64_t j = 0; j < c.classes; ++j) m = x[j * xs] > m ? x[j * xs] : m;
  constexpr int64_t kPiece = 256;
  double e[kPiece];
  for (int64_t from = 0; from < c.classes; from += kPiece) {
    const int64_t n = std::min(kPiece, c.classes - from);
    for (int64_t i = 0; i < n; ++i) e[i] = x[(from + i) * xs] - m;
    for (int64_t i = 0; shared && i < n; ++i) {
      const double q = share(from + i);
      linear += q * e[i], mass += q;
    }
    if (n < kCalled) {
      for (int64_t i = 0; i < n; ++i) exponentials += e[i] = std::exp(e[i]);
    } else {
      k.exp_f64(n, e, e);
      exponentials += k.sum_f64(n, e);
    }
    for (int64_t i = 0; y && i < n; ++i) y[(from + i) * ys] = e[i];
  }
  const double log_sum = std::log(exponentials), of_class = p ? 0 : c.on * weight(t);
  *loss = (shared ? mass * log_sum - linear : 0) + (p ? 0 : of_class * (log_sum + (m - at_target)));
  if (!y) return;
  const double by = c.scale * (of_class + mass) / exponentials;
  if (shared)
    for (int64_t j = 0; j < c.classes; ++j) y[j * ys] = by * y[j * ys] - c.scale * share(j);
  else if (ys == 1)
    k.norm_apply_f64(c.classes, y, by, 0, y);
  else
    for (int64_t j = 0; j < c.classes; ++j) y[j * ys] *= by;
  if (!p) y[t * ys] -= c.scale * of_class;
}

}  // namespace

template <class T>
void cross_entropy(const kernels::CrossEntropyOf<compute_t<T>>& c, const ExampleLayout& lx, const T* x,
                   const int64_t* target, const ExampleLayout& lp, const T* p, compute_t<T>* losses,
                   const ExampleLayout& ly, T* y) {
  const int64_t examples = lx.outer * lx.inner;
  if (examples == 0 || c.classes == 0) return;
  if constexpr (std::is_same_v<T, double>) {
    parallel_for(0, examples, std::max<int64_t>(1, 1024 / c.classes), [&](int64_t first, int64_t last) {
      for (int64_t e = first; e < last; ++e) {
        const auto at = [&](const ExampleLayout& l) {
          return e / lx.inner * l.outer_stride + e % lx.inner * l.inner_stride;
        };
        double* const out = y ? y + at(ly) : nullptr;
        if (target && target[e] == c.ignore_index) {
          losses[e] = 0;
          for (int64_t j = 0; out && j < c.classes; ++j) out[j * ly.class_stride] = 0;
          continue;
        }
        scalar_example(c, x + at(lx), lx.class_stride, target ? target[e] : -1, p ? p + at(lp) : nullptr,
                       lp.class_stride, losses + e, out, ly.class_stride);
      }
    });
  } else {
    const Operands<T> all{lx, lp, ly, x, p, y, target, losses};
    const bool stream = y && y != x && examples * c.classes * int64_t(sizeof(T)) > kStreamed;
    const bool rows = lx.class_stride == 1 || c.classes == 1;
    // Lanes run along one dimension.
    const bool lanes = !rows || (c.classes < kFewClasses && (lx.inner == 1 || lx.inner >= 16));
    if (lanes) {
      by_lanes(c, all, stream);
    } else if (examples < kFewRows && c.classes >= 2 * kPart) {
      by_parts(c, all);
    } else {
      by_rows(c, all, stream);
    }
  }
}

template <class C>
double sum_losses(int64_t n, const C* losses) {
  constexpr int64_t kRun = 1 << 13;
  std::vector<double> sums(size_t((n + kRun - 1) / kRun));
  parallel_for(0, n, kRun, [&](int64_t first, int64_t last) {
    double s[4] = {};  // chains that the processor can run side by side
    for (int64_t i = first; i < last; ++i) s[i % 4] += double(losses[i]);
    sums[size_t(first / kRun)] = (s[0] + s[1]) + (s[2] + s[3]);
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
