#include "distributed/rank_reduce.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace nnlib::distributed {
namespace {

constexpr int64_t kBlock = 2048;  // elements summed at a time: the accumulators stay in the first-level cache

struct HalfBits {
  uint16_t bits;
};
struct BFloatBits {
  uint16_t bits;
};

float widen(HalfBits h) {
  uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000) << 16, magnitude = h.bits & 0x7fff, bits;
  if (magnitude >= 0x7c00) {
    bits = sign | 0x7f800000 | (magnitude & 0x3ff) << 13;
  } else {
    // Shifted into a float's fields the exponent is 112 too small; a multiplication puts it right and
    // normalises subnormal numbers on the way.
    uint32_t shifted = magnitude << 13;
    float value;
    std::memcpy(&value, &shifted, 4);
    value *= 0x1p112f;
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

float widen(BFloatBits b) {
  uint32_t bits = static_cast<uint32_t>(b.bits) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

void narrow(float value, HalfBits* out) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    out->bits = static_cast<uint16_t>(sign | 0x7e00);
  } else if (magnitude >= 0x477ff000) {  // rounds to 65536 or more
    out->bits = static_cast<uint16_t>(sign | 0x7c00);
  } else if (magnitude < 0x38800000) {  // subnormal: adding 0.5 leaves the rounded mantissa in the low bits
    float positive;
    std::memcpy(&positive, &magnitude, 4);
    positive += 0.5f;
    std::memcpy(&bits, &positive, 4);
    out->bits = static_cast<uint16_t>(sign | (bits - 0x3f000000));
  } else {
    uint32_t odd = magnitude >> 13 & 1;
    out->bits = static_cast<uint16_t>(sign | (magnitude - 0x38000000 + 0xfff + odd) >> 13);
  }
}

void narrow(float value, BFloatBits* out) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    out->bits = static_cast<uint16_t>(bits >> 16 | 0x40);
  } else {
    out->bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

// The type in which T is summed.
template <class T>
struct Wide {
  using type = T;
  static T load(T x) { return x; }
  static void store(T x, T* out) { *out = x; }
};
template <>
struct Wide<HalfBits> {
  using type = float;
  static float load(HalfBits x) { return widen(x); }
  static void store(float x, HalfBits* out) { narrow(x, out); }
};
template <>
struct Wide<BFloatBits> {
  using type = float;
  static float load(BFloatBits x) { return widen(x); }
  static void store(float x, BFloatBits* out) { narrow(x, out); }
};

// Signed sums wrap around as PyTorch's do, which C++ only promises for unsigned numbers.
template <class A>
A wrap_add(A a, A b) {
  if constexpr (std::is_integral_v<A> && !std::is_same_v<A, bool>) {
    using U = std::make_unsigned_t<A>;
    return static_cast<A>(static_cast<U>(a) + static_cast<U>(b));
  } else {
    return a + b;
  }
}
template <class A>
A wrap_multiply(A a, A b) {
  if constexpr (std::is_same_v<A, bool>) {
    return a && b;
  } else if constexpr (std::is_integral_v<A>) {
    return static_cast<A>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  } else {
    return a * b;
  }
}

// The sum of some ranks' block of `n` values, into `sums`.
template <class In, class A, class F>
void sum_block(int64_t begin, int64_t n, int ranks, const void* const* sources, A* sums, F combine) {
  const auto source = [&](int rank) { return static_cast<const In*>(sources[rank]) + begin; };
  const In* first = source(0);
  if (ranks == 1) {
    for (int64_t i = 0; i < n; ++i) sums[i] = Wide<In>::load(first[i]);
  } else {
    const In* second = source(1);
    for (int64_t i = 0; i < n; ++i) sums[i] = combine(Wide<In>::load(first[i]), Wide<In>::load(second[i]));
  }
  for (int r = 2; r < ranks; ++r) {
    const In* next = source(r);
    for (int64_t i = 0; i < n; ++i) sums[i] = combine(sums[i], Wide<In>::load(next[i]));
  }
}

template <class In, class Out, class F>
void fold(const RankSum& sum, int64_t count, const void* const* sources, int copies, void* const* outs,
          F combine) {
  using A = typename Wide<In>::type;
  A sums[kBlock], more[kBlock];
  const bool average = sum.op == ReduceOp::Avg && sum.form != Form::Partial;
  const A divisor = static_cast<A>(average ? sum.divisor : 1);
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    const void* const* next = sources;
    for (int g = 0; g < sum.groups; ++g) {
      A* into = g == 0 ? sums : more;
      sum_block<In>(begin, n, sum.sizes[g], next, into, combine);
      next += sum.sizes[g];
      if (g == 0) continue;
      for (int64_t i = 0; i < n; ++i) sums[i] = combine(sums[i], more[i]);
    }
    Out* to = static_cast<Out*>(outs[0]) + begin;
    if constexpr (std::is_floating_point_v<A>) {
      for (int64_t i = 0; i < n; ++i) Wide<Out>::store(sums[i] / divisor, to + i);
    } else {
      for (int64_t i = 0; i < n; ++i) Wide<Out>::store(sums[i], to + i);
    }
    for (int c = 1; c < copies; ++c) std::memcpy(static_cast<Out*>(outs[c]) + begin, to, n * sizeof(Out));
  }
}

template <class In, class Out>
bool reduce(const RankSum& sum, int64_t count, const void* const* sources, int copies, void* const* outs) {
  using A = typename Wide<In>::type;
  auto run = [&](auto combine) {
    fold<In, Out>(sum, count, sources, copies, outs, combine);
    return true;
  };
  switch (sum.op) {
    case ReduceOp::Avg:
      if (!std::is_floating_point_v<A>) return false;
      [[fallthrough]];
    case ReduceOp::Sum:
      return run([](A a, A b) { return static_cast<A>(wrap_add<A>(a, b)); });
    case ReduceOp::Product:
      return run([](A a, A b) { return static_cast<A>(wrap_multiply<A>(a, b)); });
    // A NaN on any rank stays one, as in torch.minimum and torch.maximum.
    case ReduceOp::Min:
      return run([](A a, A b) { return (a != a || a < b) ? a : b; });
    case ReduceOp::Max:
      return run([](A a, A b) { return (a != a || a > b) ? a : b; });
    default:
      break;
  }
  if constexpr (std::is_integral_v<A>) {
    if (sum.op == ReduceOp::BAnd) return run([](A a, A b) { return static_cast<A>(a & b); });
    if (sum.op == ReduceOp::BOr) return run([](A a, A b) { return static_cast<A>(a | b); });
    if (sum.op == ReduceOp::BXor) return run([](A a, A b) { return static_cast<A>(a ^ b); });
  }
  return false;
}

template <class T>
bool reduce_in_form(const RankSum& sum, int64_t count, const void* const* sources, int copies,
                    void* const* outs) {
  using A = typename Wide<T>::type;
  if (sum.form == Form::Partial) return reduce<T, A>(sum, count, sources, copies, outs);
  if (sum.form == Form::Final) return reduce<A, T>(sum, count, sources, copies, outs);
  return reduce<T, T>(sum, count, sources, copies, outs);
}

struct Entry {
  int64_t bytes, wide_bytes;
  bool (*reduce)(const RankSum&, int64_t, const void* const*, int, void* const*);
};
template <class T>
constexpr Entry entry() {
  return {sizeof(T), sizeof(typename Wide<T>::type), reduce_in_form<T>};
}

// In the order of core/dtype.h.
constexpr Entry kTypes[] = {
    entry<bool>(),    entry<uint8_t>(),  entry<int8_t>(),     entry<int16_t>(), entry<int32_t>(),
    entry<int64_t>(), entry<HalfBits>(), entry<BFloatBits>(), entry<float>(),   entry<double>(),
};
constexpr int32_t kTypeCount = sizeof(kTypes) / sizeof(kTypes[0]);

}  // namespace

bool reduce_ranks(const RankSum& sum, int64_t count, const void* const* sources, int copies,
                  void* const* outs) {
  if (sum.dtype < 0 || sum.dtype >= kTypeCount || sum.groups < 1 || copies < 1) return false;
  for (int g = 0; g < sum.groups; ++g)
    if (sum.sizes[g] < 1) return false;
  return kTypes[sum.dtype].reduce(sum, count, sources, copies, outs);
}

bool reduce_ranks(int32_t dtype, ReduceOp op, int64_t count, int ranks, const void* const* sources,
                  int copies, void* const* outs) {
  return reduce_ranks(RankSum{dtype, op, Form::Whole, ranks, 1, &ranks}, count, sources, copies, outs);
}

int64_t element_size(int32_t dtype) { return dtype < 0 || dtype >= kTypeCount ? 0 : kTypes[dtype].bytes; }
int64_t wide_element_size(int32_t dtype) {
  return dtype < 0 || dtype >= kTypeCount ? 0 : kTypes[dtype].wide_bytes;
}

}  // namespace nnlib::distributed
