// Cross-entropies whose classes lie apart in memory, as those of an image's pixels do: the examples are the
// lanes of the vectors. The scores of a block are copied to scratch once, where no two classes fall on the
// same cache sets, and are worked on there.
#pragma once
#include "cross_entropy.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// What is kept for each example, in arrays of `pad` floats behind the scores.
struct LaneState {
  float *highest, *exponentials, *linear, *mass;  // as RowSums
  float *factor, *of_class;                       // of the gradient; zero for ignored examples
  int32_t* keep;                                  // all ones, zero for ignored examples
  int32_t* target;                                // -1: none
};
NNLIB_INLINE LaneState lane_state(float* at, int64_t pad) {
  LaneState s;
  float** const fields[] = {&s.highest, &s.exponentials, &s.linear, &s.mass, &s.factor, &s.of_class};
  for (float** f : fields) {
    *f = at;
    at += pad;
  }
  s.keep = reinterpret_cast<int32_t*>(at);
  s.target = reinterpret_cast<int32_t*>(at + pad);
  return s;
}

NNLIB_INLINE void fill_lanes(int64_t pad, float value, float* y) {
  for (int64_t i = 0; i < pad; i += kWidth) store(y + i, set1(value));
}

// Scores into scratch, and the largest of each example. Lanes of the padding read as 0.
template <class S>
NNLIB_INLINE void copy_scores(int64_t classes, int64_t n, int64_t pad, const typename S::type* x,
                              int64_t class_stride, int64_t lane_stride, float* scores, float* highest) {
  fill_lanes(pad, -INFINITY, highest);
  if (lane_stride != 1) {
    for (int64_t j = 0; j < classes; ++j) fill_lanes(pad, 0, scores + j * pad);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < classes; ++j)
        scores[j * pad + i] = get_one<S>(x + i * lane_stride + j * class_stride);
    }
  }
  for (int64_t j = 0; j < classes; ++j) {
    float* to = scores + j * pad;
    const typename S::type* from = x + j * class_stride;
    for (int64_t i = 0; i < pad; i += kWidth) {
      const Vec v = lane_stride != 1  ? load(to + i)
                    : i + kWidth <= n ? S::get(from + i)
                                      : S::get(from + i, n - i);
      if (lane_stride == 1) store(to + i, v);
      store(highest + i, max(v, load(highest + i)));
    }
  }
}

// The share of class j in kWidth examples from i on.
template <class S, Share K>
NNLIB_INLINE Vec lane_share(const CrossEntropy& c, int64_t n, const typename S::type* p, int64_t class_stride,
                            int64_t lane_stride, int64_t j, int64_t i) {
  const float w = c.weight ? c.weight[j] : 1.f;
  if (K != Share::Given) return set1(c.off * w);
  const typename S::type* at = p + j * class_stride + i * lane_stride;
  Vec given;
  if (lane_stride == 1) {
    given = i + kWidth <= n ? S::get(at) : S::get(at, n - i);
  } else {
    float t[kWidth] = {};
    for (int64_t l = 0; l < kWidth && i + l < n; ++l) t[l] = get_one<S>(at + l * lane_stride);
    given = load(t);
  }
  return set1(w) * fma(set1(c.on), given, set1(c.off));
}

// The sums over the classes of V vectors of examples; the exponentials take the scores' place where `keep`.
// Many classes are summed in runs, whose sums are then added: one long chain would round too often.
template <class S, Share K, int V>
NNLIB_INLINE void sum_lanes(const CrossEntropy& c, const LaneState& s, int64_t n, int64_t pad, int64_t first,
                            float* scores, const typename S::type* p, int64_t class_stride,
                            int64_t lane_stride, bool keep) {
  constexpr int64_t kRun = 64;
  const auto add_to = [first](float* sums, int v, Vec a) {
    float* const at = sums + first + v * kWidth;
    store(at, load(at) + a);
  };
  for (int64_t from = 0; from < c.classes; from += kRun) {
    const int64_t to = from + kRun < c.classes ? from + kRun : c.classes;
    Vec highest[V], exponentials[V], linear[V], mass[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      highest[v] = load(s.highest + first + v * kWidth);
      exponentials[v] = linear[v] = mass[v] = zero();
    }
    for (int64_t j = from; j < to; ++j) {
      float* const at = scores + j * pad + first;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec d = load(at + v * kWidth) - highest[v], e = exp_below(d);
        if (keep) store(at + v * kWidth, e);
        exponentials[v] = exponentials[v] + e;
        if (K != Share::None) {
          const Vec q = lane_share<S, K>(c, n, p, class_stride, lane_stride, j, first + v * kWidth);
          linear[v] = fma(q, d, linear[v]);
          if (K == Share::Given) mass[v] = mass[v] + q;
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      add_to(s.exponentials, v, exponentials[v]);
      if (K != Share::None) add_to(s.linear, v, linear[v]);
      if (K == Share::Given) add_to(s.mass, v, mass[v]);
    }
  }
}

// The gradient of class j for examples first .. last - 1.
template <class S, class Out, Share K>
NNLIB_INLINE void put_lanes(const CrossEntropy& c, const LaneState& s, int64_t n, int64_t j, const float* e,
                            const typename S::type* p, int64_t class_stride, int64_t lane_stride,
                            typename Out::type* y, bool streaming) {
  const IVec class_of = set1i(int32_t(j));
  const auto value = [&](int64_t i, int64_t left) {
    const bool whole = left >= kWidth;
    const auto get = [&](const float* a) { return whole ? load(a + i) : load_n(a + i, left); };
    const auto get_i = [&](const int32_t* a) { return whole ? load_i(a + i) : load_in(a + i, left); };
    Vec g = get(s.factor) * get(e);
    if (K != Share::None)
      g = fnma(set1(c.scale), lane_share<S, K>(c, n, p, class_stride, lane_stride, j, i), g);
    if (K != Share::Given) g = g - select(eq(get_i(s.target), class_of), get(s.of_class), zero());
    return as_float(as_int(g) & get_i(s.keep));
  };
  int64_t i = 0;
  if constexpr (sizeof(*y) == sizeof(float)) {
    if (streaming) {
      constexpr int64_t kLine = 64 / sizeof(float);
      const int64_t ahead = int64_t((0 - uintptr_t(y)) % 64 / sizeof(float)), head = ahead < n ? ahead : n;
      for (; i < head; i += kWidth) store_n(y + i, value(i, head - i), head - i);
      for (i = head; i + kLine <= n; i += kLine) {
#pragma GCC unroll 4
        for (int64_t v = 0; v < kLine; v += kWidth) stream(y + i + v, value(i + v, kWidth));
      }
    }
  }
  for (; i + kWidth <= n; i += kWidth) Out::put(y + i, value(i, kWidth));
  if (i < n) Out::put(y + i, value(i, n - i), n - i);
}

template <class S, Share K>
void cross_entropy_lanes(const CrossEntropy& c, const int64_t* target, int64_t n, const typename S::type* x,
                         int64_t class_stride, int64_t lane_stride, const typename S::type* p,
                         int64_t p_class_stride, int64_t p_lane_stride, float* loss, typename S::type* y,
                         int64_t y_class_stride, int64_t y_lane_stride, float* scratch, bool streaming) {
  // An odd number of cache lines: classes then fall on different sets.
  const int64_t pad = ((n + 15) / 16 | 1) * 16;
  float* const scores = scratch;
  const LaneState s = lane_state(scratch + c.classes * pad, pad);
  copy_scores<S>(c.classes, n, pad, x, class_stride, lane_stride, scores, s.highest);

  // Each target's score, before the exponentials take its place.
  for (int64_t i = 0; i < pad; ++i) {
    const int64_t t = K == Share::Given || i >= n ? -1 : target[i];
    const bool ignored = K != Share::Given && i < n && t == c.ignore_index;
    s.keep[i] = ignored ? 0 : -1;
    s.target[i] = ignored ? -1 : int32_t(t);
    const bool counts = K != Share::Given && i < n && !ignored;
    s.of_class[i] = counts ? c.on * (c.weight ? c.weight[t] : 1.f) : 0.f;
    s.factor[i] = counts ? s.highest[i] - scores[t * pad + i] : 0.f;
  }

  fill_lanes(pad, 0, s.exponentials);
  fill_lanes(pad, 0, s.linear);
  fill_lanes(pad, K == Share::None || K == Share::Given ? 0 : c.off * c.weight_sum, s.mass);
  int64_t group = 0;
  for (; group + 4 * kWidth <= pad; group += 4 * kWidth) {
    sum_lanes<S, K, 4>(c, s, n, pad, group, scores, p, p_class_stride, p_lane_stride, y != nullptr);
  }
  for (; group < pad; group += kWidth) {
    sum_lanes<S, K, 1>(c, s, n, pad, group, scores, p, p_class_stride, p_lane_stride, y != nullptr);
  }

  for (int64_t i = 0; i < pad; i += kWidth) {
    const Vec log_sum = log(load(s.exponentials + i)), of_class = load(s.of_class + i),
              mass = load(s.mass + i);
    const IVec keep = load_i(s.keep + i);
    Vec l = K == Share::Given ? zero() : of_class * (log_sum + load(s.factor + i));
    if (K != Share::None) l = l + (mass * log_sum - load(s.linear + i));
    store_n(loss + i, as_float(as_int(l) & keep), n - i);
    const Vec whole = K == Share::None ? of_class : of_class + mass;
    store(s.factor + i, set1(c.scale) * whole / load(s.exponentials + i));
    store(s.of_class + i, set1(c.scale) * of_class);
  }
  if (!y) return;
  for (int64_t j = 0; j < c.classes; ++j) {
    float* const e = scores + j * pad;
    if (y_lane_stride == 1) {
      put_lanes<S, S, K>(c, s, n, j, e, p, p_class_stride, p_lane_stride, y + j * y_class_stride, streaming);
    } else {
      put_lanes<S, ScoresF32, K>(c, s, n, j, e, p, p_class_stride, p_lane_stride, e, false);
    }
  }
  if (y_lane_stride != 1) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < c.classes; ++j)
        put_one<S>(y + i * y_lane_stride + j * y_class_stride, scores[j * pad + i]);
    }
  }
  if (streaming) fence();
}

// One function for each way of sharing.
template <class S, class... A>
NNLIB_INLINE void cross_entropy_lanes_any(const CrossEntropy* c, const int64_t* target, A... rest) {
  if (!target) {
    cross_entropy_lanes<S, Share::Given>(*c, target, rest...);
  } else if (c->off == 0) {
    cross_entropy_lanes<S, Share::None>(*c, target, rest...);
  } else if (!c->weight) {
    cross_entropy_lanes<S, Share::Even>(*c, target, rest...);
  } else {
    cross_entropy_lanes<S, Share::Weighted>(*c, target, rest...);
  }
}

#define NNLIB_DEFINE(suffix, S)                                                                              \
  void cross_entropy_lanes_##suffix(                                                                         \
      const CrossEntropy* c, int64_t n, const S::type* x, int64_t class_stride, int64_t lane_stride,         \
      const int64_t* target, const S::type* p, int64_t p_class_stride, int64_t p_lane_stride, float* loss,   \
      S::type* y, int64_t y_class_stride, int64_t y_lane_stride, float* scratch, bool stream) {              \
    cross_entropy_lanes_any<S>(c, target, n, x, class_stride, lane_stride, p, p_class_stride, p_lane_stride, \
                               loss, y, y_class_stride, y_lane_stride, scratch, stream);                     \
  }
NNLIB_DEFINE(f32, ScoresF32)
NNLIB_DEFINE(bf16, ScoresBf16)
NNLIB_DEFINE(f16, ScoresF16)
#undef NNLIB_DEFINE

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
