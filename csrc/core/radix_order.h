// Orders of values by keys: an unsigned number for each value that sorts as the values do, NaN last and equal
// to NaN, -0 equal to 0. Keys stand beside the places of their values, so that sorting touches the values no
// more.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace nnlib {

inline uint32_t order_key(float x) {
  if (x != x) return UINT32_MAX;
  x += 0.f;  // -0 becomes 0
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u >> 31 ? ~u : u | 0x80000000u;
}
inline uint64_t order_key(double x) {
  if (x != x) return UINT64_MAX;
  x += 0.0;
  uint64_t u;
  std::memcpy(&u, &x, sizeof u);
  return u >> 63 ? ~u : u | (uint64_t(1) << 63);
}
inline uint64_t order_key(int64_t x) { return (uint64_t)x ^ (uint64_t(1) << 63); }

// A key and the place of its value; equal keys are ordered by place.
struct Keyed32 {
  using Key = uint32_t;
  uint64_t both;
  Keyed32() = default;
  Keyed32(Key key, int64_t place) : both((uint64_t)key << 32 | (uint32_t)place) {}
  Key key() const { return (Key)(both >> 32); }
  int64_t place() const { return (int64_t)(uint32_t)both; }
  bool operator<(const Keyed32& o) const { return both < o.both; }
};
struct Keyed64 {
  using Key = uint64_t;
  uint64_t k;
  int64_t p;
  Keyed64() = default;
  Keyed64(Key key, int64_t place) : k(key), p(place) {}
  Key key() const { return k; }
  int64_t place() const { return p; }
  bool operator<(const Keyed64& o) const { return k < o.k || (k == o.k && p < o.p); }
};

// Integers that span less than 2^32, as they mostly do, counted from the smallest.
struct FromLeast {
  int64_t least;
  uint32_t operator()(int64_t x) const { return (uint32_t)(x - least); }
};
struct OwnKey {
  template <class C>
  auto operator()(C x) const {
    return order_key(x);
  }
};

// Calls f with a keyed value and the function that makes keys: fewer than 2^32 values whose keys have 32 bits
// pack into one word.
template <class C, class F>
void with_keyed(int64_t n, const C* x, F&& f) {
  if (n <= (int64_t)UINT32_MAX) {
    if constexpr (sizeof(C) == 4) {
      return f(Keyed32(), OwnKey());
    } else if constexpr (std::is_integral_v<C>) {
      int64_t least = INT64_MAX, most = INT64_MIN;
      for (int64_t i = 0; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
      }
      if ((uint64_t)most - (uint64_t)least <= UINT32_MAX) return f(Keyed32(), FromLeast{least});
    }
  }
  f(Keyed64(), OwnKey());
}

// All values with their keys, into r; the greatest first where `descending`.
template <class K, class C, class MakeKey>
void make_keyed(int64_t n, const C* x, bool descending, const MakeKey& key, K* r) {
  using Key = decltype(key(C()));
  const Key flip = descending ? ~Key(0) : Key(0);
  for (int64_t i = 0; i < n; i++) r[i] = K((Key)(key(x[i]) ^ flip), i);
}
// The same in memory of their own: a short lane's on the stack.
constexpr int64_t kFewKeyed = 256;
template <class K>
class KeyedValues {
 public:
  template <class C, class MakeKey>
  KeyedValues(int64_t n, const C* x, bool descending, const MakeKey& key)
      : many_(n <= kFewKeyed ? 0 : (size_t)n), p_(n <= kFewKeyed ? few_ : many_.data()) {
    make_keyed(n, x, descending, key, p_);
  }
  K* data() { return p_; }
  std::vector<K>& many() { return many_; }  // of more than kFewKeyed

 private:
  K few_[kFewKeyed];
  std::vector<K> many_;
  K* p_;
};

// In order by digits of the keys, the lowest first (LSD radix sort); digits that all keys share are passed
// over.
template <class K>
void radix_sort(std::vector<K>& v) {
  using Key = typename K::Key;
  const int bits = v.size() < 8192 ? 8 : 11;
  const Key mask = ((Key)1 << bits) - 1;
  Key differ = 0;
  for (const K& k : v) differ |= k.key() ^ v[0].key();
  std::vector<K> other(v.size());
  std::vector<uint64_t> start((size_t)mask + 1);
  for (int shift = 0; shift < (int)(8 * sizeof(Key)); shift += bits) {
    if (((differ >> shift) & mask) == 0) continue;
    std::fill(start.begin(), start.end(), 0);
    for (const K& k : v) start[(size_t)((k.key() >> shift) & mask)]++;
    uint64_t total = 0;
    for (uint64_t& s : start) {
      const uint64_t count = s;
      s = total;
      total += count;
    }
    for (const K& k : v) other[start[(size_t)((k.key() >> shift) & mask)]++] = k;
    v.swap(other);
  }
}

// A few values: as many stand before each as come out smaller, counted without branches, which would be
// guessed wrong half of the time.
constexpr int64_t kFewRanked = 16;
template <class C>
struct Ranked {
  using Key = decltype(order_key(C()));
  Key key[kFewRanked];
  int32_t rank[kFewRanked];
  Ranked(int64_t n, const C* x, bool descending) {
    const Key flip = descending ? ~Key(0) : Key(0);
    for (int64_t i = 0; i < n; i++) {
      const Key k = order_key(x[i]) ^ flip;
      int32_t before = (int32_t)i;
      for (int64_t j = 0; j < i; j++) {
        const int32_t later = k < key[j];
        rank[j] += later;
        before -= later;
      }
      key[i] = k;
      rank[i] = before;
    }
  }
  void order(int64_t n, int64_t* places) const {
    for (int64_t i = 0; i < n; i++) places[rank[i]] = i;
  }
};

// Stable order of x, as places.
template <class C>
void stable_order(int64_t n, const C* x, bool descending, int64_t* order) {
  if (n <= kFewRanked) return Ranked<C>(n, x, descending).order(n, order);
  with_keyed(n, x, [&](auto like, auto make_key) {
    using K = decltype(like);
    KeyedValues<K> v(n, x, descending, make_key);
    n <= kFewKeyed ? std::sort(v.data(), v.data() + n) : radix_sort(v.many());
    const K* const sorted = n <= kFewKeyed ? v.data() : v.many().data();
    for (int64_t i = 0; i < n; i++) order[i] = sorted[i].place();
  });
}

// The place of value number k of the stable order.
template <class C>
int64_t place_of_nth(int64_t n, const C* x, int64_t k) {
  int64_t place = 0;
  if (n <= kFewRanked) {
    const Ranked<C> ranked(n, x, false);
    while (ranked.rank[place] != k) place++;
    return place;
  }
  with_keyed(n, x, [&](auto like, auto make_key) {
    using K = decltype(like);
    KeyedValues<K> v(n, x, false, make_key);
    std::nth_element(v.data(), v.data() + k, v.data() + n);
    place = v.data()[k].place();
  });
  return place;
}

}  // namespace nnlib
