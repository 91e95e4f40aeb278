// Cross-entropies whose examples are the lanes of the vectors: classes that lie apart in memory, as those of
// an image's pixels do, and rows too short to fill vectors. The scores of a block are copied to scratch once,
// class by class, where no two classes fall on the same cache sets, and are worked on there.
#pragma once
#include "conv_layout.inl"
#include "cross_entropy.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

NNLIB_INLINE Vec and_bits(Vec a, Vec b) { return as_float(as_int(a) & as_int(b)); }
NNLIB_INLINE VecD and_bits(VecD a, VecD b) { return from_bits(bits_of(a) & bits_of(b)); }
NNLIB_INLINE Mask same_bits(Vec a, Vec b) { return eq(as_int(a), as_int(b)); }
NNLIB_INLINE MaskD same_bits(VecD a, VecD b) { return {LaneTruth(bits_of(a) == bits_of(b))}; }
// The integer i as the bits of a lane.
template <class One>
NNLIB_INLINE One lane_index(int64_t i) {
  One x;
  memcpy(&x, &i, sizeof x);  // its low half for a float
  return x;
}

// What is kept for each example, in arrays of `pad` values behind the scores.
template <class One>
struct LaneState {
  One *highest, *exponentials, *linear, *mass;  // as RowSums
  One *factor, *of_class;                       // of the gradient; zero for ignored examples
  One* keep;                                    // bits: all ones, zero for ignored examples
  One* target;                                  // bits: the class; -1: none
};
template <class One>
NNLIB_INLINE LaneState<One> lane_state(One* at, int64_t pad) {
  return {at, at + pad, at + 2 * pad, at + 3 * pad, at + 4 * pad, at + 5 * pad, at + 6 * pad, at + 7 * pad};
}

template <class One>
NNLIB_INLINE void fill_lanes(int64_t pad, One value, One* y) {
  for (int64_t i = 0; i < pad; i += VecFor<One>::width) store(y + i, splat(value));
}

// The values of n examples, class by class, in scratch; lanes of the padding are 0.
template <class S, class One = typename S::One>
NNLIB_INLINE void copy_lanes(int64_t classes, int64_t n, int64_t pad, const typename S::type* x,
                             int64_t class_stride, int64_t lane_stride, One* to) {
  for (int64_t j = 0; lane_stride == 1 && j < classes; ++j) {
    const typename S::type* const from = x + j * class_stride;
    One* const row = to + j * pad;
    for (int64_t i = 0; i < pad; i += S::kLanes)
      store(row + i, i + S::kLanes <= n ? S::get(from + i) : S::get(from + i, n - i));
  }
  if (lane_stride == 1) return;
  for (int64_t j = 0; j < classes; ++j)
    for (int64_t i = n; i < pad; ++i) to[j * pad + i] = 0;
  if constexpr (sizeof(One) == sizeof(float)) {
    if (class_stride == 1) return planes_of<S>(classes, n, x, lane_stride, to, pad);
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < classes; ++j) to[j * pad + i] = S::value(x + i * lane_stride + j * class_stride);
  }
}
// And back.
template <class S, class One = typename S::One>
NNLIB_INLINE void put_back(int64_t classes, int64_t n, int64_t pad, const One* from, typename S::type* y,
                           int64_t class_stride, int64_t lane_stride) {
  if constexpr (sizeof(One) == sizeof(float)) {
    if (class_stride == 1) return pixels_of<S>(classes, n, from, pad, y, lane_stride);
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < classes; ++j)
      put_one<S>(y + i * lane_stride + j * class_stride, from[j * pad + i]);
  }
}

// The share of class j for the examples whose probabilities of it, if they are given, are at p.
template <class S, Share K, class One = typename S::One>
NNLIB_INLINE typename S::V lane_share(const SpecOf<S>& c, int64_t j, const One* p) {
  const One w = c.weight ? c.weight[j] : 1;
  if (K != Share::Given) return splat(c.off * w);
  return splat(w) * fma(splat(c.on), load(p), splat(c.off));
}

// The sums over the classes of V vectors of examples; the exponentials take the scores' place where `keep`.
// Many classes are summed in runs, whose sums are then added: one long chain would round too often.
template <class S, Share K, int V, class One = typename S::One>
NNLIB_INLINE void sum_lanes(const SpecOf<S>& c, const LaneState<One>& s, int64_t pad, int64_t first,
                            One* scores, const One* p, bool keep) {
  using Lanes = typename S::V;
  constexpr int64_t kRun = 64;
  const auto add_to = [first](One* sums, int v, Lanes a) {
    One* const at = sums + first + v * S::kLanes;
    store(at, load(at) + a);
  };
  Lanes highest[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) highest[v] = splat(-One(INFINITY));
  for (int64_t j = 0; j < c.classes; ++j) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) highest[v] = max(load(scores + j * pad + first + v * S::kLanes), highest[v]);
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) store(s.highest + first + v * S::kLanes, highest[v]);
  for (int64_t from = 0; from < c.classes; from += kRun) {
    const int64_t to = from + kRun < c.classes ? from + kRun : c.classes;
    Lanes exponentials[V], linear[V], mass[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) exponentials[v] = linear[v] = mass[v] = splat(One(0));
    for (int64_t j = from; j < to; ++j) {
      One* const at = scores + j * pad + first;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Lanes d = load(at + v * S::kLanes) - highest[v], e = exp_masked(d);
        if (keep) store(at + v * S::kLanes, e);
        exponentials[v] = exponentials[v] + e;
        if (K != Share::None) {
          const Lanes q = lane_share<S, K>(c, j, p + j * pad + first + v * S::kLanes);
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

// The gradient of class j for the examples.
template <class S, Share K, class One = typename S::One>
NNLIB_INLINE void put_lanes(const SpecOf<S>& c, const LaneState<One>& s, int64_t n, int64_t j, const One* e,
                            const One* p, One* y, bool streaming) {
  using V = typename S::V;
  const V class_of = splat(lane_index<One>(j));
  const auto value = [&](int64_t i) {  // past n there is room in scratch
    V g = load(s.factor + i) * load(e + i);
    if (K != Share::None) g = fnma(splat(c.scale), lane_share<S, K>(c, j, p + i), g);
    if (K != Share::Given)
      g = g - select(same_bits(load(s.target + i), class_of), load(s.of_class + i), splat(One(0)));
    return and_bits(g, load(s.keep + i));
  };
  int64_t i = 0;
  if (streaming) {
    constexpr int64_t kLine = 64 / sizeof(One);
    const int64_t ahead = int64_t((0 - uintptr_t(y)) % 64 / sizeof(One)), head = ahead < n ? ahead : n;
    for (; i < head; i += S::kLanes) store_n(y + i, value(i), head - i);
    for (i = head; i + kLine <= n; i += kLine) {
#pragma GCC unroll 4
      for (int64_t v = 0; v < kLine; v += S::kLanes) stream(y + i + v, value(i + v));
    }
  }
  for (; i + S::kLanes <= n; i += S::kLanes) store(y + i, value(i));
  if (i < n) store_n(y + i, value(i), n - i);
}

// What is computed once the scores are in scratch, in floats or doubles: losses, and the gradient, which goes
// to y or, where that is null, into the scores' place.
template <class S, Share K, class One = typename S::One>
void lanes_of_scores(const SpecOf<S>& c, const int64_t* target, int64_t n, int64_t pad, One* scores,
                     One* loss, bool gradient, One* y, int64_t y_class_stride, bool streaming) {
  using V = typename S::V;
  const LaneState<One> s = lane_state(scores + c.classes * pad, pad);
  const One* const given = s.target + pad;

  // Each target's score, before the exponentials take its place.
  fill_lanes<One>(pad, 0, s.factor);
  fill_lanes<One>(pad, 0, s.of_class);
  fill_lanes<One>(pad, lane_index<One>(-1), s.keep);
  fill_lanes<One>(pad, lane_index<One>(-1), s.target);
  for (int64_t i = 0; K != Share::Given && i < n; ++i) {
    const int64_t t = target[i];
    if (t == c.ignore_index) {
      s.keep[i] = 0;
      continue;
    }
    s.target[i] = lane_index<One>(t);
    s.of_class[i] = c.weight ? c.on * c.weight[t] : c.on;
    s.factor[i] = scores[t * pad + i];
  }

  fill_lanes<One>(pad, 0, s.exponentials);
  fill_lanes<One>(pad, 0, s.linear);
  fill_lanes<One>(pad, K == Share::None || K == Share::Given ? 0 : c.off * c.weight_sum, s.mass);
  constexpr int kRest = 16 / S::kLanes < 4 ? int(16 / S::kLanes) : 4;  // pad is a multiple of 16
  int64_t group = 0;
  for (; group + 4 * S::kLanes <= pad; group += 4 * S::kLanes)
    sum_lanes<S, K, 4>(c, s, pad, group, scores, given, gradient);
  for (; kRest < 4 && group < pad; group += kRest * S::kLanes)
    sum_lanes<S, K, kRest>(c, s, pad, group, scores, given, gradient);

  for (int64_t i = 0; i < pad; i += S::kLanes) {
    const V log_sum = log(load(s.exponentials + i)), of_class = load(s.of_class + i), mass = load(s.mass + i);
    V l =
        K == Share::Given ? splat(One(0)) : of_class * (log_sum + (load(s.highest + i) - load(s.factor + i)));
    if (K != Share::None) l = l + (mass * log_sum - load(s.linear + i));
    store_n(loss + i, and_bits(l, load(s.keep + i)), n - i);
    const V whole = K == Share::None ? of_class : of_class + mass;
    store(s.factor + i, splat(c.scale) * whole / load(s.exponentials + i));
    store(s.of_class + i, splat(c.scale) * of_class);
  }
  for (int64_t j = 0; gradient && j < c.classes; ++j) {
    One* const e = scores + j * pad;
    put_lanes<S, K>(c, s, n, j, e, given + j * pad, y ? y + j * y_class_stride : e, streaming && y);
  }
}

// 16-bit scores are computed with as floats: S tells how they are read and written, C how they are computed.
template <class S, class C, class One = typename S::One>
void cross_entropy_lanes(const SpecOf<S>& c, int64_t n, const typename S::type* x, int64_t class_stride,
                         int64_t lane_stride, const int64_t* target, const typename S::type* p,
                         int64_t p_class_stride, int64_t p_lane_stride, One* loss, typename S::type* y,
                         int64_t y_class_stride, int64_t y_lane_stride, One* scratch, bool streaming) {
  // An odd number of cache lines: classes then fall on different sets.
  const int64_t pad = ((n + 15) / 16 | 1) * 16;
  One* const given = scratch + (c.classes + 8) * pad;  // behind the scores and their state
  copy_lanes<S>(c.classes, n, pad, x, class_stride, lane_stride, scratch);
  if (!target) copy_lanes<S>(c.classes, n, pad, p, p_class_stride, p_lane_stride, given);
  One* direct = nullptr;
  if constexpr (sizeof(*y) == sizeof(One)) direct = y_lane_stride == 1 ? y : nullptr;
  // One function for each way of sharing; an even share is a weighted one here.
  const auto run = !target      ? lanes_of_scores<C, Share::Given>
                   : c.off == 0 ? lanes_of_scores<C, Share::None>
                                : lanes_of_scores<C, Share::Weighted>;
  run(c, target, n, pad, scratch, loss, y != nullptr, direct, y_class_stride, streaming);
  if (y && y_lane_stride != 1) {
    put_back<S>(c.classes, n, pad, scratch, y, y_class_stride, y_lane_stride);
  } else if (y && !direct) {
    for (int64_t j = 0; j < c.classes; ++j) {
      for (int64_t i = 0; i < n; i += S::kLanes)
        S::put(y + j * y_class_stride + i, load(scratch + j * pad + i), n - i);
    }
  }
  if (streaming) fence();
}

#define NNLIB_DEFINE(suffix, S, C)                                                                           \
  void cross_entropy_lanes_##suffix(                                                                         \
      const SpecOf<S>* c, int64_t n, const S::type* x, int64_t class_stride, int64_t lane_stride,            \
      const int64_t* target, const S::type* p, int64_t p_class_stride, int64_t p_lane_stride, S::One* loss,  \
      S::type* y, int64_t y_class_stride, int64_t y_lane_stride, S::One* scratch, bool stream) {             \
    cross_entropy_lanes<S, C>(*c, n, x, class_stride, lane_stride, target, p, p_class_stride, p_lane_stride, \
                              loss, y, y_class_stride, y_lane_stride, scratch, stream);                      \
  }
NNLIB_DEFINE(f32, LanesF32, LanesF32)
NNLIB_DEFINE(bf16, LanesBf16, LanesF32)
NNLIB_DEFINE(f16, LanesF16, LanesF32)
NNLIB_DEFINE(f64, LanesF64, LanesF64)
#undef NNLIB_DEFINE

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
