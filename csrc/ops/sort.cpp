// Sorting along a dimension, and what is chosen by order.
#include <algorithm>
#include <numeric>

#include "core/shape.h"
#include "ops/index.h"
#include "ops/lanes.h"
#include "ops/order.h"
#include "ops/radix_order.h"
#include "ops/reducer.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

template <class T>
inline bool less(T a, T b) {
  return a < b || (b != b && a == a);
}

// Calls f(n, values, order, out_values, out_indices) for each lane; out rows hold `keep` values. f fills
// both.
template <class F>
std::pair<Tensor, Tensor> select_lanes(const Tensor& self, int64_t dim, int64_t keep, const F& f) {
  Dims sizes = self.sizes();
  if (self.dim()) sizes[(size_t)dim] = keep;
  Tensor values = empty(sizes, self.dtype()), indices = empty(sizes, Dtype::Int64);
  if (values.numel() == 0) return {values, indices};
  const int64_t n = self.dim() ? self.sizes()[(size_t)dim] : 1;
  dispatch_compute(self.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    const Dtype c = DtypeOf<C>::value;
    for_each_lane(
        {{&self, c}, {&values, c, true}, {&indices, Dtype::Int64, true}}, dim,
        [&](void* const* rows) {
          std::vector<int64_t> order((size_t)n);
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
  auto r = select_lanes(self, d, n,
                        [&](int64_t count, const auto* x, std::vector<int64_t>& order, auto* v, int64_t* at) {
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
  auto r = select_lanes(
      self, d, k, [&](int64_t count, const auto* x, std::vector<int64_t>& order, auto* v, int64_t* at) {
        // By comparisons, so that of equal values PyTorch's are picked.
        std::iota(order.begin(), order.end(), 0);
        auto before = [&](int64_t a, int64_t b) { return largest ? less(x[b], x[a]) : less(x[a], x[b]); };
        const auto first = order.begin();
        if (k * 64 <= count) {
          std::partial_sort(first, first + k, order.end(), before);
        } else if (k > 0) {
          std::nth_element(first, first + k - 1, order.end(), before);
          if (sorted) std::sort(first, first + k - 1, before);
        }
        emit(k, x, order.data(), v, at);
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
  auto r = select_lanes(self, d, 1,
                        [&](int64_t, const auto* x, std::vector<int64_t>& order, auto* v, int64_t* at) {
                          std::iota(order.begin(), order.end(), 0);
                          quick_select(x, order, k - 1);
                          emit(1, x, order.data() + k - 1, v, at);
                        });
  return one_of_lane(self, r, d, keepdim, "KthvalueBackward0");
}

std::pair<Tensor, Tensor> lane_median(const Tensor& self, int64_t dim, bool skip_nan) {
  return select_lanes(self, dim, 1,
                      [&](int64_t n, const auto* x, std::vector<int64_t>&, auto* v, int64_t* at) {
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
  auto r = select_lanes(
      self, d, 1, [&](int64_t n, const auto* x, std::vector<int64_t>& order, auto* v, int64_t* at) {
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return x[a] < x[b]; });
        int64_t best = 0, run = 0, best_at = order[0];
        for (int64_t i = 0; i < n; i++) {
          run = i > 0 && x[order[(size_t)i]] == x[order[(size_t)i - 1]] ? run + 1 : 1;
          if (run > best) best = run, best_at = order[(size_t)i];
        }
        emit(1, x, &best_at, v, at);
      });
  return one_of_lane(self, r, d, keepdim, "ModeBackward0");
}

}  // namespace nnlib::ops
