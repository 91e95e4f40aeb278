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

template <class T, class F>
void fold(int64_t count, int ranks, const void* const* sources, int copies, void* const* outs, bool average,
          F combine) {
  using A = typename Wide<T>::type;
  A sums[kBlock];
  const A divisor = static_cast<A>(average ? ranks : 1);
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    const auto source = [&](int rank) { return static_cast<const T*>(sources[rank]) + begin; };
    const T* first = source(0);
    if (ranks == 1) {
      for (int64_t i = 0; i < n; ++i) sums[i] = Wide<T>::load(first[i]);
    } else {
      const T* second = source(1);
      for (int64_t i = 0; i < n; ++i) sums[i] = combine(Wide<T>::load(first[i]), Wide<T>::load(second[i]));
    }
    for (int r = 2; r < ranks; ++r) {
      const T* next = source(r);
      for (int64_t i = 0; i < n; ++i) sums[i] = combine(sums[i], Wide<T>::load(next[i]));
    }
    T* to = static_cast<T*>(outs[0]) + begin;
    if constexpr (std::is_floating_point_v<A>) {
      for (int64_t i = 0; i < n; ++i) Wide<T>::store(sums[i] / divisor, to + i);
    } else {
      for (int64_t i = 0; i < n; ++i) Wide<T>::store(sums[i], to + i);
    }
    for (int c = 1; c < copies; ++c) std::memcpy(static_cast<T*>(outs[c]) + begin, to, n * sizeof(T));
  }
}

template <class T>
bool reduce(ReduceOp op, int64_t count, int ranks, const void* const* sources, int copies,
            void* const* outs) {
  using A = typename Wide<T>::type;
  auto run = [&](auto combine) {
    fold<T>(count, ranks, sources, copies, outs, op == ReduceOp::Avg, combine);
    return true;
  };
  switch (op) {
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
    if (op == ReduceOp::BAnd) return run([](A a, A b) { return static_cast<A>(a & b); });
    if (op == ReduceOp::BOr) return run([](A a, A b) { return static_cast<A>(a | b); });
    if (op == ReduceOp::BXor) return run([](A a, A b) { return static_cast<A>(a ^ b); });
  }
  return false;
}

struct Entry {
  int64_t bytes;
  bool (*reduce)(ReduceOp, int64_t, int, const void* const*, int, void* const*);
};

// In the order of core/dtype.h.
constexpr Entry kTypes[] = {
    {1, reduce<bool>},    {1, reduce<uint8_t>}, {1, reduce<int8_t>},   {2, reduce<int16_t>},
    {4, reduce<int32_t>}, {8, reduce<int64_t>}, {2, reduce<HalfBits>}, {2, reduce<BFloatBits>},
    {4, reduce<float>},   {8, reduce<double>},
};
constexpr int32_t kTypeCount = sizeof(kTypes) / sizeof(kTypes[0]);

}  // namespace

bool reduce_ranks(int32_t dtype, ReduceOp op, int64_t count, int ranks, const void* const* sources,
                  int copies, void* const* outs) {
  if (dtype < 0 || dtype >= kTypeCount || ranks < 1 || copies < 1) return false;
  return kTypes[dtype].reduce(op, count, ranks, sources, copies, outs);
}

int64_t element_size(int32_t dtype) { return dtype < 0 || dtype >= kTypeCount ? 0 : kTypes[dtype].bytes; }

}  // namespace nnlib::distributed
