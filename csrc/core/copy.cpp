// Copies between any two strided tensors of equal sizes, and fills.
#include <cstring>

#include "core/parallel.h"
#include "core/shape.h"
#include "core/tensor.h"

namespace nnlib {

namespace {

constexpr int64_t kGrain = 32768;

// Groups of a known size become vector instructions.
template <class T>
void fill_row(T* p, int64_t n, T v) {
  constexpr int kGroup = 64 / sizeof(T);
  int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup)
    for (int k = 0; k < kGroup; k++) p[i + k] = v;
  for (; i < n; i++) p[i] = v;
}

template <class D, class S>
void convert_row(D* d, int64_t ds, const S* s, int64_t ss, int64_t n) {
  auto one = [](S v) -> D {
    if constexpr (std::is_same_v<D, S>)
      return v;
    else if constexpr (std::is_same_v<D, bool>)
      return (compute_t<S>)v != 0;
    else if constexpr (std::is_integral_v<D> && std::is_floating_point_v<compute_t<S>>)
      return (
          D)(int64_t)(compute_t<S>)v;  // through int64, so that the small types wrap as they do in PyTorch
    else
      return (D)(compute_t<D>)(compute_t<S>)v;
  };
  if (ds == 1 && ss == 1) {
    if constexpr (std::is_same_v<D, S>) {
      std::memcpy(d, s, (size_t)n * sizeof(D));
    } else {
      // Groups of a known size become vector instructions.
      constexpr int kGroup = 16;
      int64_t i = 0;
      for (; i + kGroup <= n; i += kGroup) {
        S in[kGroup];
        D out[kGroup];
        std::memcpy(in, s + i, sizeof in);
        for (int k = 0; k < kGroup; k++) out[k] = one(in[k]);
        std::memcpy(d + i, out, sizeof out);
      }
      for (; i < n; i++) d[i] = one(s[i]);
    }
    return;
  }
  if (ds == 1 && ss == 0 && n > 0) return fill_row(d, n, one(*s));
  for (int64_t i = 0; i < n; i++) d[i * ds] = one(s[i * ss]);
}

// Merges neighbouring dimensions that are contiguous in both and drops those of size one; the inner one is
// last.
struct Loops {
  Dims sizes, ds, ss;
};
Loops simplify(const Tensor& dst, const Tensor& src) {
  const int n = (int)dst.dim();
  std::vector<int> order;
  for (int i = 0; i < n; i++)
    if (dst.sizes()[i] != 1) order.push_back(i);
  // The destination is written in the order of its memory.
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return dst.strides()[a] > dst.strides()[b]; });
  Loops l;
  for (int i : order) {
    int64_t size = dst.sizes()[i], d = dst.strides()[i], s = src.strides()[i];
    if (!l.sizes.empty() && l.ds.back() == d * size && l.ss.back() == s * size) {
      l.sizes.back() *= size;
      l.ds.back() = d;
      l.ss.back() = s;
    } else {
      l.sizes.push_back(size);
      l.ds.push_back(d);
      l.ss.push_back(s);
    }
  }
  if (l.sizes.empty()) {
    l.sizes.push_back(1);
    l.ds.push_back(1);
    l.ss.push_back(1);
  }
  return l;
}

template <class D, class S>
void copy_typed(const Loops& l, D* d, const S* s) {
  const int outer = l.sizes.ssize() - 1;
  const int64_t inner = l.sizes.back(), ids = l.ds.back(), iss = l.ss.back();
  if (outer == 0) {
    parallel_for(0, inner, kGrain,
                 [&](int64_t b, int64_t e) { convert_row(d + b * ids, ids, s + b * iss, iss, e - b); });
    return;
  }
  // A transposed matrix goes in square tiles, or each line of the source is fetched once per element.
  int64_t rows = 1;
  for (int i = 0; i < outer; i++) rows *= l.sizes[i];
  const bool tiled = ids == 1 && iss != 1 && l.ss[outer - 1] == 1;
  if (tiled) {
    const int64_t m = l.sizes[outer - 1], mds = l.ds[outer - 1];
    constexpr int64_t kTile = 32;
    const int64_t planes = rows / m, strips = (m + kTile - 1) / kTile;
    parallel_for(0, planes * strips, std::max<int64_t>(1, kGrain / (kTile * inner)),
                 [&](int64_t b, int64_t e) {
                   for (int64_t j = b; j < e; j++) {
                     int64_t rest = j / strips, doff = 0, soff = 0;
                     for (int k = outer - 2; k >= 0; k--) {
                       const int64_t at = rest % l.sizes[k];
                       rest /= l.sizes[k];
                       doff += at * l.ds[k];
                       soff += at * l.ss[k];
                     }
                     const int64_t r0 = j % strips * kTile, r1 = std::min(m, r0 + kTile);
                     for (int64_t c0 = 0; c0 < inner; c0 += kTile) {
                       const int64_t c1 = std::min(inner, c0 + kTile);
                       for (int64_t r = r0; r < r1; r++)
                         convert_row(d + doff + r * mds + c0, 1, s + soff + r + c0 * iss, iss, c1 - c0);
                     }
                   }
                 });
    return;
  }
  parallel_for(0, rows, std::max<int64_t>(1, kGrain / inner), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; r++) {
      int64_t rest = r, doff = 0, soff = 0;
      for (int k = outer - 1; k >= 0; k--) {
        const int64_t at = rest % l.sizes[k];
        rest /= l.sizes[k];
        doff += at * l.ds[k];
        soff += at * l.ss[k];
      }
      convert_row(d + doff, ids, s + soff, iss, inner);
    }
  });
}

}  // namespace

namespace {
void check_dense(const Tensor& t) {
  NNLIB_CHECK_AS(
      NotImplementedError, !t.is_sparse(),
      "expected a dense tensor but got a sparse one, which this operator does not take; to_dense() gives a "
      "dense one");
}
}  // namespace

void copy_values(const Tensor& dst, const Tensor& src) {
  check_dense(dst);
  check_dense(src);
  NNLIB_CHECK(dst.sizes() == src.sizes(), "copy_values: sizes ", dst.sizes(), " and ", src.sizes(),
              " differ");
  if (dst.numel() == 0) return;
  if (dst.raw() == src.raw() && dst.dtype() == src.dtype() && dst.strides() == src.strides()) return;
  Loops l = simplify(dst, src);
  dispatch_all(dst.dtype(), [&](auto dt) {
    dispatch_all(src.dtype(), [&](auto st) {
      copy_typed(l, (typename decltype(dt)::type*)dst.raw(), (const typename decltype(st)::type*)src.raw());
    });
  });
}

Tensor contiguous_values(const Tensor& t) {
  if (t.is_contiguous()) return t;
  Tensor r = empty(t.sizes(), t.dtype());
  copy_values(r, t);
  return r;
}

Tensor cast_values(const Tensor& t, Dtype dtype) {
  if (t.dtype() == dtype) return t;
  Tensor r = empty_like(t, dtype);
  copy_values(r, t);
  return r;
}

void fill_values(const Tensor& t, Scalar value) {
  check_dense(t);
  if (t.numel() == 0) return;
  dispatch_all(t.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T v = (T)value.to<compute_t<T>>();
    if (t.is_contiguous()) {
      T* p = (T*)t.raw();
      parallel_for(0, t.numel(), kGrain, [&](int64_t b, int64_t e) { fill_row(p + b, e - b, v); });
      return;
    }
    // Through a scalar of stride zero.
    Tensor one = scalar_tensor(value, t.dtype());
    copy_values(t, alias(one, t.sizes(), Dims(t.sizes().size(), 0), 0));
  });
}

}  // namespace nnlib
