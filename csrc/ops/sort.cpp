// Sorting along a dimension, and what is chosen by order.
#include <algorithm>
#include <memory>
#include <numeric>

#include "core/radix_order.h"
#include "core/shape.h"
#include "ops/drivers/scratch.h"
#include "ops/index.h"
#include "ops/lanes.h"
#include "ops/order.h"
#include "ops/reducer.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

template <class T>
inline bool less(T a, T b) {
  return a < b || (b != b && a == a);
}

// The dimension `from` becomes number `to`; values lie in the order of the dimensions.
Tensor moved_dim(const Tensor& t, int64_t from, int64_t to) {
  Dims sizes = t.sizes(), strides = t.strides();
  const int64_t size = sizes[(size_t)from], stride = strides[(size_t)from];
  sizes.erase((size_t)from);
  strides.erase((size_t)from);
  sizes.insert((size_t)to, size);
  strides.insert((size_t)to, stride);
  return contiguous_values(alias(t, sizes, strides, t.storage_offset()));
}

// Calls f(n, values, order, out_values, out_indices) for each lane; out rows hold `keep` values. f fills
// both. order() gives n indices to work with.
template <class F>
std::pair<Tensor, Tensor> select_lanes(const Tensor& self, int64_t dim, int64_t keep, const F& f) {
  if (const int64_t last = self.dim() - 1; dim < last && self.numel() > 0) {
    // Lanes are turned round once instead of being read and written value by value.
    const auto r = select_lanes(moved_dim(self, dim, last), last, keep, f);
    return {moved_dim(r.first, last, dim), moved_dim(r.second, last, dim)};
  }
  Dims sizes = self.sizes();
  if (self.dim()) sizes[(size_t)dim] = keep;
  Tensor values = empty(sizes, self.dtype()), indices = empty(sizes, Dtype::Int64);
  if (values.numel() == 0) return {values, indices};
  const int64_t n = self.dim() ? self.sizes()[(size_t)dim] : 1;
  dispatch_compute(self.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    const Dtype c = DtypeOf<C>::value;
    drivers::LoopLocal<std::vector<int64_t>> orders;
    for_each_lane(
        {{&self, c}, {&values, c, true}, {&indices, Dtype::Int64, true}}, dim,
        [&](void* const* rows) {
          std::vector<int64_t> own;  // of a long lane: not kept for the next
          const auto order = [&]() -> std::vector<int64_t>& {
            constexpr int64_t kKept = 1 << 16;
            if (n <= kKept) return orders.get((size_t)n);
            own.resize((size_t)n);
            return own;
          };
          f(n, (const C*)rows[0], order, (C*)rows[1], (int64_t*)rows[2]);
        },
        8);
  });
  return {values, indices};
}

template <class C>
void emit(int64_t count, const C* x, const int64_t* order, C* values, int64_t* indices) {
  for (int64_t i = 0; i < count; i++) {
    indices[i] = order[i];
    values[i] = x[order[i]];
  }
}

// Brings the k-th smallest to place k: Hoare's selection with the median of three as pivot ("Numerical
// Recipes", chapter 8). Which of equal values it picks is PyTorch's choice too.
template <class C>
void quick_select(const C* x, std::vector<int64_t>& order, int64_t k) {
  auto above = [&](int64_t a, int64_t b) { return less(x[order[(size_t)b]], x[order[(size_t)a]]); };
  auto exchange = [&](int64_t a, int64_t b) { std::swap(order[(size_t)a], order[(size_t)b]); };
  int64_t low = 0, high = (int64_t)order.size() - 1;
  while (high > low + 1) {
    exchange((low + high) >> 1, low + 1);
    if (above(low + 1, high)) exchange(low + 1, high);
    if (above(low, high)) exchange(low, high);
    if (above(low + 1, low)) exchange(low + 1, low);
    int64_t i = low + 1, j = high;
    for (;;) {
      do i++;
      while (above(low, i));
      do j--;
      while (above(j, low));
      if (j < i) break;
      exchange(i, j);
    }
    exchange(low, j);
    if (j <= k) low = i;
    if (j >= k) high = j - 1;
  }
  if (high == low + 1 && above(low, high)) exchange(low, high);
}

// ---- the k first of a lane

// n elements, not initialised.
template <class T>
std::unique_ptr<T[]> room(int64_t n) {
  return std::unique_ptr<T[]>(new T[(size_t)n]);
}

template <class C>
struct Placed {
  C value;
  int64_t at;
};

// Whether a stands before b.
template <bool largest, class C>
struct Before {
  bool operator()(C a, C b) const { return largest ? less(b, a) : less(a, b); }
  bool operator()(const Placed<C>& a, const Placed<C>& b) const { return (*this)(a.value, b.value); }
};

// std::partial_sort's heap of the k first, into heap, which has room for one more: the same steps, so that of
// equal values the same are picked, but values that the heap's last stands before are passed over many at a
// time.
template <bool largest, class C>
void heap_select(int64_t n, const C* x, int64_t k, Placed<C>* heap) {
  const Before<largest, C> before;
  for (int64_t i = 0; i < k; i++) heap[i] = {x[i], i};
  std::make_heap(heap, heap + k, before);
  constexpr int64_t kPart = 32;
  for (int64_t i = k; i < n; i += kPart) {
    const int64_t end = std::min(n, i + kPart);
    const C last = heap[0].value;
    if (end - i == kPart && last == last) {
      int beyond = 0;
      for (int64_t j = 0; j < kPart; j++) beyond |= largest ? !(x[i + j] <= last) : x[i + j] < last;
      if (!beyond) continue;
    }
    for (int64_t j = i; j < end; j++) {
      if (!before(x[j], heap[0].value)) continue;
      heap[k] = {x[j], j};
      std::pop_heap(heap, heap + k + 1, before);
    }
  }
}

template <class C>
void emit(int64_t count, const Placed<C>* from, C* values, int64_t* indices) {
  for (int64_t i = 0; i < count; i++) {
    values[i] = from[i].value;
    indices[i] = from[i].at;
  }
}

// The first, false where an equal value leaves a choice.
template <bool largest, class C>
bool only_first(int64_t n, const C* x, C* value, int64_t* index) {
  const Before<largest, C> before;
  int64_t at = 0;
  bool only = true;
  for (int64_t i = 1; i < n; i++) {
    const bool better = before(x[i], x[at]);
    only = better || (only && before(x[at], x[i]));
    at = better ? i : at;
  }
  *value = x[at];
  *index = at;
  return only;
}

// The k first by the value of the k-th, in order; false where equal values leave a choice.
template <bool largest, class C>
bool distinct_select(int64_t n, const C* x, int64_t k, C* values, int64_t* indices) {
  const C last = x[place_of_nth(n, x, largest ? n - k : k - 1)];
  if (last != last) return false;
  const auto kept = room<C>(n + 1);
  const auto places = room<int64_t>(n + 1), order = room<int64_t>(k);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) {
    kept[count] = x[i];
    places[count] = i;
    count += largest ? !(x[i] < last) : x[i] <= last;
  }
  if (count != k) return false;
  stable_order(k, kept.get(), largest, order.get());
  const Before<largest, C> before;
  bool distinct = true;
  for (int64_t i = 0; i < k; i++) {
    values[i] = kept[order[i]];
    indices[i] = places[order[i]];
    distinct &= i == 0 || before(values[i - 1], values[i]);
  }
  return distinct;
}

// The same of a few values.
template <class C>
bool ranked_select(int64_t n, const C* x, int64_t k, bool largest, C* values, int64_t* indices) {
  const Ranked<C> ranked(n, x, largest);
  int64_t order[kFewRanked] = {};
  ranked.order(n, order);
  bool distinct = true;
  for (int64_t i = 0; i < k; i++) {
    values[i] = x[order[i]];
    indices[i] = order[i];
    distinct &= i + 1 == n || ranked.key[order[i]] != ranked.key[order[i + 1]];
  }
  return distinct;
}

// A few of a short lane, by insertion into what was found so far; false where equal values leave a choice.
template <bool largest, class C>
bool insert_select(int64_t n, const C* x, int64_t k, C* values, int64_t* indices) {
  const Before<largest, C> before;
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) {
    if (count == k && !before(x[i], values[k - 1])) continue;
    int64_t at = count < k ? count++ : k - 1;
    for (; at > 0 && before(x[i], values[at - 1]); at--) {
      values[at] = values[at - 1];
      indices[at] = indices[at - 1];
    }
    values[at] = x[i];
    indices[at] = i;
  }
  bool distinct = true;
  for (int64_t i = 1; i < k; i++) distinct &= before(values[i - 1], values[i]);
  int64_t chosen = 0;
  for (int64_t i = 0; i < n; i++) chosen += !before(values[k - 1], x[i]);
  return distinct && chosen == k;
}

// Of equal values PyTorch's are picked, which takes them by std::partial_sort where they are few, by
// std::nth_element otherwise.
template <bool largest, class C>
void top_of_lane(int64_t n, const C* x, int64_t k, bool sorted, bool mostly_distinct, C* values,
                 int64_t* indices) {
  constexpr int64_t kShort = 128;  // below it the second look costs more than it saves
  constexpr int64_t kFew = 8;
  if (k == 0) return;
  const Before<largest, C> before;
  const bool few = k * 64 <= n;
  if (k == 1 && only_first<largest>(n, x, values, indices)) return;
  if (n <= kFewRanked && sorted && ranked_select(n, x, k, largest, values, indices)) return;
  if (!few && mostly_distinct && sorted && n >= kShort && distinct_select<largest>(n, x, k, values, indices))
    return;
  if (!std::is_integral_v<C> && sorted && k <= kFew && n > kFewRanked && n < kShort &&
      insert_select<largest>(n, x, k, values, indices))
    return;
  const auto room_for_chosen = room<Placed<C>>(few ? k + 1 : n);
  Placed<C>* const chosen = room_for_chosen.get();
  if (few) {
    heap_select<largest>(n, x, k, chosen);
    std::sort_heap(chosen, chosen + k, before);
  } else {
    for (int64_t i = 0; i < n; i++) chosen[i] = {x[i], i};
    std::nth_element(chosen, chosen + k - 1, chosen + n, before);
    if (sorted) std::sort(chosen, chosen + k - 1, before);
  }
  emit(k, chosen, values, indices);
}

// The gradients go back to where the chosen values stood. `drop`: dim of size one was removed from the
// result.
void record_choice(const Tensor& self, const Tensor& values, const Tensor& indices, int64_t dim, bool drop,
                   const char* node) {
  if (!wants_grad(self)) return;
  record(values, node, {self},
         [at = save(indices), sizes = self.sizes(), dim, drop](Backward& ctx, const TensorList& g) {
           if (sizes.empty()) return TensorList{g[0]};
           Tensor zeros = empty(sizes, g[0].dtype());
           fill_values(zeros, 0);
           const Tensor i = at.get(ctx);
           return TensorList{drop ? scatter(zeros, dim, unsqueeze(i, dim), unsqueeze(g[0], dim))
                                  : scatter(zeros, dim, i, g[0])};
         });
}

// One value a lane, its dimension dropped unless kept.
std::pair<Tensor, Tensor> one_of_lane(const Tensor& self, std::pair<Tensor, Tensor> r, int64_t dim,
                                      bool keepdim, const char* node) {
  if (!keepdim && self.dim()) {
    Dims sizes = r.first.sizes();
    sizes.erase((size_t)dim);
    NoGradGuard guard;
    r = {alias(r.first, sizes, contiguous_strides(sizes), 0),
         alias(r.second, sizes, contiguous_strides(sizes), 0)};
  }
  record_choice(self, r.first, r.second, dim, !keepdim && self.dim() > 0, node);
  return r;
}

void check_lane(const Tensor& self, int64_t dim, const char* name) {
  NNLIB_CHECK_INDEX(self.dim() == 0 || self.sizes()[(size_t)dim] > 0, name, "(): Expected reduction dim ",
                    dim, " to have non-zero size.");
}

}  // namespace

std::pair<Tensor, Tensor> sort(const Tensor& self, int64_t dim, bool descending, bool stable) {
  const int64_t d = wrap_dim(dim, self.dim());
  const int64_t n = self.dim() ? self.sizes()[(size_t)d] : 1;
  auto r =
      select_lanes(self, d, n, [&](int64_t count, const auto* x, const auto& indices, auto* v, int64_t* at) {
        if (count <= kFewRanked) {
          const Ranked<std::decay_t<decltype(*x)>> ranked(count, x, descending);
          for (int64_t i = 0; i < count; i++) {
            v[ranked.rank[i]] = x[i];
            at[ranked.rank[i]] = i;
          }
          return;
        }
        std::vector<int64_t>& order = indices();
        // Always stable, which the unstable form may be.
        stable_order(count, x, descending, order.data());
        emit(count, x, order.data(), v, at);
      });
  record_choice(self, r.first, r.second, d, false, "SortBackward0");
  return r;
}
Tensor argsort(const Tensor& self, int64_t dim, bool descending, bool stable) {
  NoGradGuard guard;
  return sort(self, dim, descending, stable).second;
}
Tensor msort(const Tensor& self) { return sort(self, 0).first; }

std::pair<Tensor, Tensor> topk(const Tensor& self, int64_t k, int64_t dim, bool largest, bool sorted) {
  const int64_t d = wrap_dim(dim, self.dim());
  const int64_t n = self.dim() ? self.sizes()[(size_t)d] : 1;
  NNLIB_CHECK(self.dtype() != Dtype::Bool, "topk does not support bool dtypes on CPU");
  NNLIB_CHECK(k >= 0 && k <= n, "selected index k out of range");
  if (!self.dim()) k = 1;  // what has no dimension to be empty along has its element
  // Values of 16 bits and whole numbers are often equal.
  const bool mostly_distinct = self.dtype() == Dtype::Float32 || self.dtype() == Dtype::Float64;
  auto r = select_lanes(self, d, k, [&](int64_t count, const auto* x, const auto&, auto* v, int64_t* at) {
    largest ? top_of_lane<true>(count, x, k, sorted, mostly_distinct, v, at)
            : top_of_lane<false>(count, x, k, sorted, mostly_distinct, v, at);
  });
  record_choice(self, r.first, r.second, d, false, "TopkBackward0");
  return r;
}

std::pair<Tensor, Tensor> kthvalue(const Tensor& self, int64_t k, int64_t dim, bool keepdim) {
  const int64_t d = wrap_dim(dim, self.dim());
  NNLIB_CHECK_AS(NotImplementedError, self.dtype() != Dtype::Bool,
                 "\"kthvalue_cpu\" not implemented for 'Bool'");
  check_lane(self, d, "kthvalue");
  NNLIB_CHECK(k >= 1 && k <= (self.dim() ? self.sizes()[(size_t)d] : 1),
              "kthvalue(): selected number k out of range for dimension ", d);
  auto r = select_lanes(self, d, 1, [&](int64_t n, const auto* x, const auto& indices, auto* v, int64_t* at) {
    if (n <= kFewRanked) {
      const Ranked<std::decay_t<decltype(*x)>> ranked(n, x, false);
      const int64_t place = std::find(ranked.rank, ranked.rank + n, (int32_t)(k - 1)) - ranked.rank;
      // Of equal values the selection's choice.
      if (std::count(ranked.key, ranked.key + n, ranked.key[place]) == 1) return emit(1, x, &place, v, at);
    }
    std::vector<int64_t>& order = indices();
    std::iota(order.begin(), order.end(), 0);
    quick_select(x, order, k - 1);
    emit(1, x, order.data() + k - 1, v, at);
  });
  return one_of_lane(self, r, d, keepdim, "KthvalueBackward0");
}

std::pair<Tensor, Tensor> lane_median(const Tensor& self, int64_t dim, bool skip_nan) {
  return select_lanes(self, dim, 1, [&](int64_t n, const auto* x, const auto&, auto* v, int64_t* at) {
    int64_t valid = 0;
    for (int64_t i = 0; i < n; i++) valid += x[i] == x[i];
    const int64_t middle = std::max<int64_t>(0, valid - 1) / 2;
    const int64_t place = place_of_nth(n, x, valid < n && !skip_nan ? valid : middle);
    emit(1, x, &place, v, at);
  });
}

std::pair<Tensor, Tensor> mode(const Tensor& self, int64_t dim, bool keepdim) {
  const int64_t d = wrap_dim(dim, self.dim());
  check_lane(self, d, "mode");
  auto r = select_lanes(self, d, 1, [&](int64_t n, const auto* x, const auto&, auto* v, int64_t* at) {
    using C = std::decay_t<decltype(*x)>;
    Placed<C> few[kFewRanked] = {};
    const auto many = n > kFewRanked ? room<Placed<C>>(n) : nullptr;
    Placed<C>* const sorted = many ? many.get() : few;
    if (n <= kFewRanked) {
      const Ranked<C> ranked(n, x, false);
      for (int64_t i = 0; i < n; i++) sorted[ranked.rank[i]] = {x[i], i};
    } else {
      for (int64_t i = 0; i < n; i++) sorted[i] = {x[i], i};
      std::sort(sorted, sorted + n, Before<false, C>());
    }
    int64_t best = 0, run = 0;
    const Placed<C>* chosen = sorted;
    for (int64_t i = 0; i < n; i++) {
      run = i > 0 && sorted[i].value == sorted[i - 1].value ? run + 1 : 1;
      if (run > best) best = run, chosen = sorted + i;
    }
    emit(1, chosen, v, at);
  });
  return one_of_lane(self, r, d, keepdim, "ModeBackward0");
}

}  // namespace nnlib::ops
