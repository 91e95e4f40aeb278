// Finding and counting values: isin, unique, bincount, histc, searchsorted.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "core/radix_order.h"
#include "core/search.h"
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// NaN after every number, so that the order is one.
template <class C>
bool before(C a, C b) {
  if constexpr (std::is_floating_point_v<C>) return a < b || (b != b && a == a);
  return a < b;
}

// Numbers the groups of equal items of an order: inverse[order[i]] = group. Returns the first item of each
// group.
template <class Same>
std::vector<int64_t> group(const std::vector<int64_t>& order, int64_t* inverse, Same same) {
  std::vector<int64_t> starts;
  for (size_t i = 0; i < order.size(); i++) {
    if (i == 0 || !same(order[i - 1], order[i])) starts.push_back((int64_t)i);
    if (inverse) inverse[order[i]] = (int64_t)starts.size() - 1;
  }
  return starts;
}

Tensor counts_of(const std::vector<int64_t>& starts, int64_t total) {
  Tensor r = empty({(int64_t)starts.size()}, Dtype::Int64);
  int64_t* p = r.data<int64_t>();
  for (size_t i = 0; i < starts.size(); i++)
    p[i] = (i + 1 < starts.size() ? starts[i + 1] : total) - starts[i];
  return r;
}

// The first value of each run of equal ones.
Tensor first_of_runs(const Tensor& in) {
  const int64_t n = in.numel();
  Tensor all = empty({n}, in.dtype());
  int64_t runs = 0;
  dispatch_all(in.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* p = (const T*)in.raw();
    T* o = (T*)all.raw();
    // A value that begins no run is written too, where the next beginning takes its place.
    for (int64_t i = 0; i < n; i++) {
      o[runs] = p[i];
      runs += i == 0 || !((C)p[i - 1] == (C)p[i]);
    }
  });
  Tensor out = empty({runs}, in.dtype());
  copy_values(out, nnlib::alias(all, {runs}, {1}, 0));
  return out;
}

std::tuple<Tensor, Tensor, Tensor> unique_values(const Tensor& x, bool sorted, bool want_inverse,
                                                 bool want_counts) {
  Tensor in = contiguous_values(detach(x));
  const int64_t n = in.numel();
  if (!sorted && !want_inverse && !want_counts) return {first_of_runs(in), Tensor(), Tensor()};
  std::vector<int64_t> order((size_t)n);
  std::iota(order.begin(), order.end(), 0);
  Tensor values, inverse = want_inverse ? empty(x.sizes(), Dtype::Int64) : Tensor();
  std::vector<int64_t> starts;
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* p = (const T*)in.raw();
    if (sorted) {
      using W = std::conditional_t<std::is_floating_point_v<C>, C, int64_t>;
      const std::vector<W> wide(p, p + n);
      stable_order(n, wide.data(), false, order.data());
    }
    starts = group(order, want_inverse ? inverse.data<int64_t>() : nullptr,
                   [p](int64_t a, int64_t b) { return (C)p[a] == (C)p[b]; });
    values = empty({(int64_t)starts.size()}, x.dtype());
    for (size_t i = 0; i < starts.size(); i++) ((T*)values.raw())[i] = p[order[starts[i]]];
  });
  return {values, inverse, want_counts ? counts_of(starts, n) : Tensor()};
}

// Slices along d as rows; equal slices are grouped.
std::tuple<Tensor, Tensor, Tensor> unique_slices(const Tensor& x, int64_t dim, bool sorted, bool want_inverse,
                                                 bool want_counts) {
  const int64_t d = wrap_dim(dim, x.dim());
  NNLIB_CHECK(x.dim() > 0, "There are 0 dimensions in the tensor, unique_dim needs at least one");
  const int64_t n = x.sizes()[d];
  NNLIB_CHECK(n > 0 || x.numel() == 0, "unique_dim: dimension ", d, " is empty");
  NoGradGuard guard;
  Tensor moved = contiguous_values(movedim(detach(x), {d}, {0}));
  const int64_t width = n ? moved.numel() / n : 0;
  std::vector<int64_t> order((size_t)n), starts;
  std::iota(order.begin(), order.end(), 0);
  Tensor inverse = want_inverse ? empty({n}, Dtype::Int64) : Tensor();
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* p = (const T*)moved.raw();
    if (sorted)
      std::stable_sort(order.begin(), order.end(), [=](int64_t a, int64_t b) {
        return std::lexicographical_compare(p + a * width, p + (a + 1) * width, p + b * width,
                                            p + (b + 1) * width,
                                            [](T u, T v) { return before<C>((C)u, (C)v); });
      });
    starts = group(order, want_inverse ? inverse.data<int64_t>() : nullptr, [=](int64_t a, int64_t b) {
      return std::equal(p + a * width, p + (a + 1) * width, p + b * width,
                        [](T u, T v) { return (C)u == (C)v; });
    });
  });
  Tensor firsts = empty({(int64_t)starts.size()}, Dtype::Int64);
  for (size_t i = 0; i < starts.size(); i++) firsts.data<int64_t>()[i] = order[starts[i]];
  return {index_select(detach(x), d, firsts), inverse, want_counts ? counts_of(starts, n) : Tensor()};
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> unique_all(const Tensor& x, bool return_inverse, bool return_counts) {
  return unique_values(x, true, return_inverse, return_counts);
}
std::tuple<Tensor, Tensor, Tensor> unique_dim(const Tensor& x, int64_t dim, bool return_inverse,
                                              bool return_counts) {
  return unique_slices(x, dim, true, return_inverse, return_counts);
}
std::tuple<Tensor, Tensor, Tensor> unique_consecutive(const Tensor& x, bool return_inverse,
                                                      bool return_counts, std::optional<int64_t> dim) {
  return dim ? unique_slices(x, *dim, false, return_inverse, return_counts)
             : unique_values(x, false, return_inverse, return_counts);
}

Tensor isin(const Tensor& elements, const Tensor& test_elements, bool, bool invert) {
  const Dtype common = promote(elements.dtype(), test_elements.dtype());
  Tensor e = contiguous_values(cast_values(detach(elements), common));
  Tensor t = contiguous_values(cast_values(detach(test_elements), common));
  Tensor r = empty(elements.sizes(), Dtype::Bool);
  bool* o = r.data<bool>();
  dispatch_all(common, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T *p = (const T*)e.raw(), *q = (const T*)t.raw();
    std::vector<C> pool;
    for (int64_t i = 0; i < t.numel(); i++)
      if ((C)q[i] == (C)q[i]) pool.push_back((C)q[i]);
    std::sort(pool.begin(), pool.end());
    parallel_for(0, e.numel(), 4096, [&](int64_t b, int64_t end) {
      for (int64_t i = b; i < end; i++)
        o[i] = ((C)p[i] == (C)p[i] && std::binary_search(pool.begin(), pool.end(), (C)p[i])) != invert;
    });
  });
  return r;
}

Tensor bincount(const Tensor& x, const Tensor& weights, int64_t minlength) {
  NNLIB_CHECK(minlength >= 0, "minlength should be >= 0");
  NNLIB_CHECK_AS(NotImplementedError, is_integral(x.dtype(), false), "\"bincount_cpu\" not implemented for '",
                 dtype_legacy_name(x.dtype()), "'");
  if (x.dim() == 1 && x.numel() == 0) return zeros({minlength}, Dtype::Int64);
  Tensor in = contiguous_values(cast_values(x, Dtype::Int64));
  const int64_t* p = in.data<int64_t>();
  int64_t top = -1, low = 0;
  for (int64_t i = 0, n = in.numel(); i < n; i++) {
    top = std::max(top, p[i]);
    low = std::min(low, p[i]);
  }
  NNLIB_CHECK(x.dim() == 1 && low >= 0, "bincount only supports 1-d non-negative integral inputs.");
  const int64_t bins = std::max(minlength, top + 1);
  if (!weights.defined()) {
    Tensor r = zeros({bins}, Dtype::Int64);
    int64_t* counts = r.data<int64_t>();
    for (int64_t i = 0, n = in.numel(); i < n; i++) counts[p[i]]++;
    return r;
  }
  NNLIB_CHECK(weights.dim() == 1 && weights.numel() == x.numel(),
              "weights should be 1-d and have the same length as input");
  const Dtype d = weights.dtype() == Dtype::Float32 ? Dtype::Float32 : Dtype::Float64;
  Tensor w = contiguous_values(cast_values(detach(weights), d)), r = zeros({bins}, d);
  dispatch_floating(d, "bincount", [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < in.numel(); i++) {
      T& o = ((T*)r.raw())[p[i]];
      o = (T)((compute_t<T>)o + (compute_t<T>)((const T*)w.raw())[i]);
    }
  });
  return r;
}

Tensor histc(const Tensor& x, int64_t bins, Scalar min, Scalar max) {
  NNLIB_CHECK(bins > 0, "torch.histogram(): bins must be > 0, but got ", bins, " for dimension 0");
  Tensor in = contiguous_values(detach(x)), r = zeros({bins}, x.dtype());
  dispatch_floating(x.dtype(), "histogram_cpu", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* p = (const T*)in.raw();
    C low = min.to<C>(), high = max.to<C>();
    if (low == high && in.numel()) {
      low = high = (C)p[0];
      for (int64_t i = 0; i < in.numel(); i++) {
        low = std::min(low, (C)p[i]);
        high = std::max(high, (C)p[i]);
      }
    }
    if (low == high) {
      low -= 1;
      high += 1;
    }
    NNLIB_CHECK(std::isfinite((double)low) && std::isfinite((double)high), "torch.histogram(): range of [",
                (double)low, ", ", (double)high, "] is not finite");
    NNLIB_CHECK(low < high, "torch.histogram(): max must be larger than min, got [", (double)low, ", ",
                (double)high, "]");
    std::vector<int64_t> counts((size_t)bins, 0);
    for (int64_t i = 0; i < in.numel(); i++) {
      const C v = (C)p[i];
      if (!(v >= low && v <= high)) continue;
      counts[std::min<int64_t>(bins - 1, (int64_t)((v - low) / (high - low) * (C)bins))]++;
    }
    for (int64_t i = 0; i < bins; i++) ((T*)r.raw())[i] = (T)(C)counts[i];
  });
  return r;
}

Tensor searchsorted(const Tensor& sorted, const Tensor& input, bool out_int32, bool right,
                    const std::optional<std::string>& side, const Tensor& sorter) {
  if (side) {
    NNLIB_CHECK(*side == "left" || *side == "right",
                "torch.searchsorted(): side can only be 'left' or 'right' but got ", *side);
    NNLIB_CHECK(!(right && *side == "left"),
                "torch.searchsorted(): side and right can't be set to opposites, got side of left "
                "while right was True");
    right = *side == "right";
  }
  NNLIB_CHECK(sorted.dim() > 0,
              "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension");
  bool fits = sorted.dim() == 1 || (input.dim() == sorted.dim());
  for (int64_t i = 0; fits && sorted.dim() > 1 && i + 1 < sorted.dim(); i++)
    fits = sorted.sizes()[i] == input.sizes()[i];
  NNLIB_CHECK(fits,
              "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
              "boundaries "
              "tensor and input value tensor must match, but we got boundaries tensor ",
              sorted.sizes(), " and input value tensor ", input.sizes());
  NNLIB_CHECK(!sorter.defined() || (sorter.sizes() == sorted.sizes() && sorter.dtype() == Dtype::Int64),
              "torch.searchsorted(): boundary and sorter must have the same size and sorter the dtype long, "
              "but got boundary tensor ",
              sorted.sizes(), " and sorter ", sorter.defined() ? sorter.sizes() : Dims());
  const Dtype common = promote(sorted.dtype(), input.dtype());
  Tensor s = contiguous_values(cast_values(detach(sorted), common)),
         v = contiguous_values(cast_values(detach(input), common));
  Tensor order = sorter.defined() ? contiguous_values(sorter) : Tensor();
  const int64_t n = sorted.sizes().back(), per = sorted.dim() == 1 ? v.numel() : input.sizes().back();
  const int64_t* w = order.defined() ? order.data<int64_t>() : nullptr;
  for (int64_t i = 0; w && i < order.numel(); i++)
    NNLIB_CHECK_INDEX(w[i] >= 0 && w[i] < n, "torch.searchsorted(): sorter index out of range: ", w[i]);
  Tensor r = empty(input.sizes(), Dtype::Int64);
  int64_t* o = r.data<int64_t>();
  dispatch_all(common, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T *p = (const T*)s.raw(), *q = (const T*)v.raw();
    parallel_for(0, v.numel(), 2048, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) {
        const int64_t row = sorted.dim() == 1 ? 0 : i / per * n;
        const C x = (C)q[i];
        const T* const among = p + row;
        const auto find = [&](auto at) {
          return right ? count_passing(n, [=](int64_t k) { return !((C)among[at(k)] > x); })
                       : count_passing(n, [=](int64_t k) { return !((C)among[at(k)] >= x); });
        };
        o[i] = w ? find([own = w + row](int64_t k) { return own[k]; }) : find([](int64_t k) { return k; });
      }
    });
  });
  return out_int32 ? cast_values(r, Dtype::Int32) : r;
}

Tensor bucketize(const Tensor& input, const Tensor& boundaries, bool out_int32, bool right) {
  NNLIB_CHECK(boundaries.dim() == 1, "boundaries tensor must be 1 dimension, but got dim(", boundaries.dim(),
              ")");
  return searchsorted(boundaries, input, out_int32, right);
}

}  // namespace nnlib::ops
