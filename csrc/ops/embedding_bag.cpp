#include <algorithm>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/embedding.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/iterator.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// The bags of one call: what stands in each, padding left out.
struct Bags {
  int64_t count = 0;
  std::vector<int64_t> first;  // of each bag among the places, and one past the last
  Tensor rows;                 // int64, for each place
  Tensor places;               // positions in indices; undefined where they are 0, 1, 2, ...
  bool single = true;          // each bag holds one row: nothing is added up
};

Bags make_bags(const Tensor& indices, const Tensor& offsets, bool include_last_offset, int64_t padding_idx) {
  const Tensor starts = contiguous_values(cast_values(offsets, Dtype::Int64));
  const int64_t n = indices.numel(), given = starts.numel();
  NNLIB_CHECK(given >= 1 || !include_last_offset,
              "include_last_offset: number of offset should be at least 1");
  const int64_t* at = starts.data<int64_t>();
  NNLIB_CHECK(given == 0 || at[0] == 0,
              "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start ",
              "from position 0. However, got ", given ? at[0] : 0);
  NNLIB_CHECK(given == 0 || at[given - 1] <= n, "offsets[-1] can not be greater than input's length(", n,
              ") but got offsets[-1] of ", given ? at[given - 1] : 0);
  Bags b;
  b.count = include_last_offset ? given - 1 : given;
  b.first.assign(at, at + b.count);
  b.first.push_back(include_last_offset ? at[b.count] : given ? n : 0);
  for (int64_t bag = 0; bag < b.count; ++bag)
    NNLIB_CHECK(b.first[size_t(bag)] <= b.first[size_t(bag) + 1], "offsets have to rise, got offsets[", bag,
                "] = ", b.first[size_t(bag)], " before ", b.first[size_t(bag) + 1]);
  const int64_t* p = indices.data<int64_t>();
  std::vector<int64_t> places;
  if (padding_idx >= 0) {
    for (int64_t bag = 0, i = 0; bag <= b.count; ++bag) {
      for (; i < b.first[size_t(bag)]; ++i)
        if (p[i] != padding_idx) places.push_back(i);
      b.first[size_t(bag)] = int64_t(places.size());
    }
  }
  const int64_t used = b.first.back();
  for (int64_t bag = 0; bag <= b.count && b.single; ++bag) b.single = b.first[size_t(bag)] == bag;
  if (padding_idx < 0) {
    b.rows = alias(indices, {used}, {1}, indices.storage_offset());
    return b;
  }
  b.rows = empty({used}, Dtype::Int64);
  b.places = empty({used}, Dtype::Int64);
  std::copy(places.begin(), places.end(), b.places.data<int64_t>());
  for (int64_t i = 0; i < used; ++i) b.rows.data<int64_t>()[i] = p[places[size_t(i)]];
  return b;
}

// f(bag, places) for each bag.
template <class F>
void for_each_bag(const Bags& b, F f) {
  for (int64_t bag = 0; bag < b.count; ++bag)
    f(bag, b.first[size_t(bag)], b.first[size_t(bag) + 1] - b.first[size_t(bag)]);
}

// The bag of each place.
Tensor bag_of_places(const Bags& b) {
  const Tensor of = empty(b.rows.sizes(), Dtype::Int64);
  int64_t* out = of.data<int64_t>();
  for_each_bag(b, [=](int64_t bag, int64_t first, int64_t n) { std::fill_n(out + first, n, bag); });
  return of;
}

// One over the bags' sizes, for each place.
Tensor mean_weights(const Bags& b, Dtype dtype) {
  const Tensor w = empty(b.rows.sizes(), dtype);
  dispatch_floating(dtype, "embedding_bag", [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = w.data<T>();
    for_each_bag(b, [=](int64_t, int64_t first, int64_t n) {
      if (n) std::fill_n(out + first, n, T(compute_t<T>(1.0 / double(n))));
    });
  });
  return w;
}

// out[bag] = the sum of weights[place] * table[row of the place]; weights may be undefined.
Tensor bag_sums(const Bags& b, const Tensor& table, const Tensor& rows, const Tensor& weights) {
  const int64_t d = table.size(1);
  if (b.single && !weights.defined())
    return embedding(rows, detach(table), std::nullopt, std::nullopt, 2, false, false);
  Tensor out = empty({b.count, d}, table.dtype());
  const Tensor src = contiguous_values(table);
  dispatch_floating(table.dtype(), "embedding_bag", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const Tensor factors = weights.defined() ? cast_values(weights, DtypeOf<C>::value) : weights;
    const C* w = weights.defined() ? factors.data<C>() : nullptr;
    drivers::sum_bags<T>(b.count, b.first.data(), d, rows.data<int64_t>(), src.data<T>(), w, out.data<T>());
  });
  return out;
}

Tensor bag_sum(const Bags& b, const Tensor& weight, const Tensor& rows, const Tensor& factors,
               bool scale_grad_by_freq, bool sparse, int64_t padding_idx) {
  Tensor out = bag_sums(b, weight, rows, factors.defined() ? contiguous_values(factors) : factors);
  if (wants_grad(weight, factors)) {
    record(out, "EmbeddingBagBackward0", {weight, factors},
           [weight = save(weight), factors = save(factors), kept_rows = save(rows),
            bag_of = b.single ? Tensor() : bag_of_places(b), scale_grad_by_freq, sparse,
            padding_idx](Backward& ctx, const TensorList& g) {
             const Tensor table = weight.get(ctx), scale = factors.get(ctx), rows = kept_rows.get(ctx);
             // The gradient of each place is its bag's.
             const Tensor of_place =
                 bag_of.defined() ? embedding(bag_of, g[0], std::nullopt, std::nullopt, 2, false, false)
                                  : g[0];
             TensorList grads(2);
             if (ctx.needs(0)) {
               const Tensor scaled = scale.defined() ? mul(of_place, unsqueeze(scale, 1)) : of_place;
               grads[0] = detail::embedding_weight_grad(scaled, rows, table.sizes(), padding_idx,
                                                        scale_grad_by_freq, sparse);
             }
             if (ctx.needs(1)) {
               const Tensor looked_up = embedding(rows, table, std::nullopt, std::nullopt, 2, false, false);
               grads[1] = sum(mul(of_place, looked_up), Dims{1}, false);
             }
             return grads;
           });
  }
  return out;
}

// The same of 16-bit floats: rows that were chosen from are added up in float and rounded once.
template <class T>
void half_max_gradient(const Tensor& chosen, const T* from, const Tensor& out) {
  const int64_t bags = chosen.size(0), d = chosen.size(1);
  const int64_t* at = chosen.data<int64_t>();
  std::vector<int64_t> place((size_t)out.size(0), -1), rows;
  for (int64_t i = 0; i < bags * d; ++i) {
    if (at[i] < 0) continue;
    int64_t& p = place[size_t(at[i] / d)];
    if (p >= 0) continue;
    p = (int64_t)rows.size();
    rows.push_back(at[i] / d);
  }
  std::vector<float> sums(rows.size() * size_t(d), 0.f);
  parallel_for(0, d, bags < 64 ? d : 32, [&](int64_t low, int64_t high) {
    for (int64_t bag = 0; bag < bags; ++bag)
      for (int64_t j = low; j < high; ++j)
        if (const int64_t c = at[bag * d + j]; c >= 0)
          sums[size_t(place[size_t(c / d)] * d + j)] += float(from[bag * d + j]);
  });
  const StoreRow store = store_row(Dtype::Float32, out.dtype());
  parallel_for(0, (int64_t)rows.size(), std::max<int64_t>(1, 32768 / std::max<int64_t>(d, 1)),
               [&](int64_t low, int64_t high) {
                 for (int64_t r = low; r < high; ++r)
                   store(d, sums.data() + r * d, (char*)(out.data<T>() + rows[size_t(r)] * d),
                         (int64_t)sizeof(T));
               });
}

// grad added to the elements that were chosen, in the order of the bags. Threads share the columns.
Tensor max_gradient(const Tensor& chosen, const Dims& sizes, const Tensor& grad) {
  const Tensor from = contiguous_values(detach(grad));
  Tensor out = empty(sizes, grad.dtype());
  fill_values(out, 0);
  const int64_t bags = chosen.size(0), d = chosen.size(1);
  dispatch_floating(out.dtype(), "embedding_bag", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_same_v<T, compute_t<T>>) {
      half_max_gradient(chosen, from.data<T>(), out);
    } else {
      parallel_for(0, d, bags < 64 ? d : 32, [&](int64_t low, int64_t high) {
        for (int64_t bag = 0; bag < bags; ++bag) {
          const int64_t* at = chosen.data<int64_t>() + bag * d;
          for (int64_t j = low; j < high; ++j) {
            if (at[j] < 0) continue;  // an empty bag
            out.data<T>()[at[j]] += from.data<T>()[bag * d + j];
          }
        }
      });
    }
  });
  return out;
}

// The largest value of each column; the gradient goes to the row that had it.
Tensor bag_max(const Bags& b, const Tensor& weight, const Tensor& rows) {
  const int64_t d = weight.size(1);
  Tensor out = empty({b.count, d}, weight.dtype());
  Tensor chosen = empty({b.count, d}, Dtype::Int64);  // element of the weight, -1 in an empty bag
  const Tensor src = contiguous_values(weight);
  dispatch_floating(weight.dtype(), "embedding_bag", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(0, b.count, std::max<int64_t>(1, 4096 / std::max<int64_t>(d, 1)),
                 [&](int64_t from, int64_t to) {
                   for (int64_t bag = from; bag < to; ++bag) {
                     int64_t* best = chosen.data<int64_t>() + bag * d;
                     T* largest = out.data<T>() + bag * d;
                     const int64_t first = b.first[size_t(bag)], last = b.first[size_t(bag) + 1];
                     for (int64_t q = first; q < last; ++q) {
                       const int64_t start = rows.data<int64_t>()[q] * d;
                       const T* row = src.data<T>() + start;
                       for (int64_t j = 0; j < d; ++j) {
                         if (q > first && !(compute_t<T>(row[j]) > compute_t<T>(largest[j]))) continue;
                         largest[j] = row[j];
                         best[j] = start + j;
                       }
                     }
                     if (first == last) {
                       std::fill(largest, largest + d, T(0));
                       std::fill(best, best + d, int64_t(-1));
                     }
                   }
                 });
  });
  if (wants_grad(weight)) {
    record(out, "EmbeddingBagBackward0", {weight},
           [chosen, sizes = weight.sizes()](Backward&, const TensorList& g) {
             if (!(GradMode::enabled() && wants_grad(g[0])))
               return TensorList{max_gradient(chosen, sizes, g[0])};
             // Elements as rows of one value; empty bags go to a row of their own that is cut off.
             const int64_t n = sizes[0] * sizes[1];
             Tensor at = empty({chosen.numel()}, Dtype::Int64);
             for (int64_t i = 0; i < chosen.numel(); ++i) {
               const int64_t c = chosen.data<int64_t>()[i];
               at.data<int64_t>()[i] = c < 0 ? n : c;
             }
             const Tensor flat =
                 embedding_dense_backward(reshape(g[0], {chosen.numel(), 1}), at, n + 1, -1, false);
             return TensorList{reshape(narrow(flat, 0, 0, n), sizes)};
           });
  }
  return out;
}

}  // namespace

Tensor embedding_bag(const Tensor& indices, const Tensor& weight, const Tensor& offsets,
                     bool scale_grad_by_freq, const std::string& mode, bool sparse,
                     const Tensor& per_sample_weights, bool include_last_offset,
                     std::optional<int64_t> padding_idx) {
  NNLIB_CHECK_VALUE(mode == "sum" || mode == "mean" || mode == "max",
                    "mode has to be one of sum, mean or max, got '", mode, "'");
  NNLIB_CHECK(weight.dim() == 2, "'weight' must be 2-D, got ", weight.dim(), "-D");
  NNLIB_CHECK(indices.dim() == 1 && offsets.dim() == 1,
              "embedding_bag: expected indices and offsets of 1 dimension, got ", indices.dim(), " and ",
              offsets.dim());
  NNLIB_CHECK(
      !per_sample_weights.defined() || mode == "sum",
      "embedding_bag: per_sample_weights was not None, but it is only supported for mode='sum' (got mode='",
      mode, "')");
  NNLIB_CHECK(mode != "max" || !sparse, "embedding_bag: max mode does not support sparse weights");
  NNLIB_CHECK(mode != "max" || !scale_grad_by_freq,
              "embedding_bag: max mode does not support scaling the gradient by the frequency");
  const Tensor flat = detail::row_indices(indices, weight.size(0), "embedding_bag");
  const Bags bags = make_bags(flat, offsets, include_last_offset, padding_idx.value_or(-1));
  const Tensor& rows = bags.rows;
  if (mode == "max") return bag_max(bags, weight, rows);
  Tensor factors;
  if (mode == "mean" && !bags.single) factors = mean_weights(bags, weight.dtype());
  if (per_sample_weights.defined()) {
    NNLIB_CHECK(per_sample_weights.sizes() == indices.sizes(),
                "expected per_sample_weights to have the sizes of the "
                "indices, ",
                indices.sizes(), ", but got ", per_sample_weights.sizes());
    NNLIB_CHECK(per_sample_weights.dtype() == weight.dtype(), "expected per_sample_weights (",
                dtype_name(per_sample_weights.dtype()), ") and weight (", dtype_name(weight.dtype()),
                ") to have the same dtype");
    const int64_t used = rows.numel();
    if (bags.places.defined()) {
      const Tensor column = embedding(bags.places, unsqueeze(per_sample_weights, 1), std::nullopt,
                                      std::nullopt, 2, false, false);
      factors = squeeze(column, 1);
    } else {
      factors = used == indices.numel() ? per_sample_weights : narrow(per_sample_weights, 0, 0, used);
    }
  }
  return bag_sum(bags, weight, rows, factors, scale_grad_by_freq, sparse, padding_idx.value_or(-1));
}

}  // namespace nnlib::ops
