// Copies between any two strided tensors of equal sizes, and fills.
#include <cstring>

#include "core/parallel.h"
#include "core/shape.h"
#include "core/tensor.h"
#include "kernels/dispatch.h"

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

// memcpy's call costs more than a few values.
template <class T>
void copy_row(T* d, const T* s, int64_t n) {
  constexpr int64_t kGroup = 32 / sizeof(T);
  if (n > 4 * kGroup) {
    std::memcpy(d, s, (size_t)n * sizeof(T));
    return;
  }
  int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) std::memcpy(d + i, s + i, 32);
  for (; i < n; i++) d[i] = s[i];
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
    if constexpr (std::is_same_v<D, S>)
      copy_row(d, s, n);
    else
      kernels::table().convert((int64_t)DtypeOf<S>::value, (int64_t)DtypeOf<D>::value, n, s, d);
    return;
  }
  if (ds == 1 && ss == 0 && n > 0) return fill_row(d, n, one(*s));
  if (ds == 1 && ss == -1) {  // backwards
    int64_t i = 0;
    if constexpr (std::is_same_v<D, S> && sizeof(D) == 4) {
      typedef uint32_t Four __attribute__((vector_size(16)));
      for (; i + 4 <= n; i += 4) {
        Four v;
        std::memcpy(&v, s - i - 3, sizeof v);
        v = __builtin_shuffle(v, Four{3, 2, 1, 0});
        std::memcpy(d + i, &v, sizeof v);
      }
    }
    for (; i < n; i++) d[i] = one(s[-i]);
    return;
  }
  if (ds == 1) {
    constexpr int kGroup = 8;  // gathered first, then stored as one
    int64_t i = 0;
    for (; i + kGroup <= n; i += kGroup) {
      D out[kGroup];
      for (int k = 0; k < kGroup; k++) out[k] = one(s[(i + k) * ss]);
      std::memcpy(d + i, out, sizeof out);
    }
    for (; i < n; i++) d[i] = one(s[i * ss]);
    return;
  }
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

// Offsets of row r of the dimensions [0, outer), and of the rows after it.
struct Rows {
  const Loops& l;
  int outer;
  Dims at;
  int64_t d = 0, s = 0;
  Rows(const Loops& l, int outer, int64_t r) : l(l), outer(outer), at((size_t)outer, 0) {
    for (int k = outer - 1; k >= 0; k--) {
      at[k] = r % l.sizes[k];
      r /= l.sizes[k];
      d += at[k] * l.ds[k];
      s += at[k] * l.ss[k];
    }
  }
  void next() {
    for (int k = outer - 1; k >= 0; k--) {
      d += l.ds[k];
      s += l.ss[k];
      if (++at[k] < l.sizes[k]) return;
      d -= l.ds[k] * l.sizes[k];
      s -= l.ss[k] * l.sizes[k];
      at[k] = 0;
    }
  }
};

// y[j * ldy + i] = x[i * ldx + j]
void transpose(int64_t rows, int64_t cols, const uint8_t* x, int64_t ldx, uint8_t* y, int64_t ldy) {
  kernels::table().transpose_u8(rows, cols, x, ldx, y, ldy);
}
void transpose(int64_t rows, int64_t cols, const uint16_t* x, int64_t ldx, uint16_t* y, int64_t ldy) {
  kernels::table().transpose_u16(rows, cols, x, ldx, y, ldy);
}
void transpose(int64_t rows, int64_t cols, const uint32_t* x, int64_t ldx, uint32_t* y, int64_t ldy) {
  kernels::table().transpose_u32(rows, cols, x, ldx, y, ldy);
}
void transpose(int64_t rows, int64_t cols, const uint64_t* x, int64_t ldx, uint64_t* y, int64_t ldy) {
  kernels::table().transpose_u64(rows, cols, x, ldx, y, ldy);
}
template <class D, class S>
void transpose(int64_t rows, int64_t cols, const S* x, int64_t ldx, D* y, int64_t ldy) {
  for (int64_t j = 0; j < cols; j++) convert_row(y + j * ldy, 1, x + j, ldx, rows);
}

// The inner dimension lies together in the destination, dimension k of the source does: squares of both are
// transposed, or each line of the source would be fetched once for every value.
template <class D, class S>
void copy_transposed(const Loops& l, int k, D* d, const S* s) {
  constexpr int64_t kSide = 64;
  const int64_t cols = l.sizes[(size_t)k], rows = l.sizes.back(), ldx = l.ss.back(), ldy = l.ds[(size_t)k];
  Loops rest;
  int64_t planes = 1;
  for (int i = 0; i + 1 < l.sizes.ssize(); i++) {
    if (i == k) continue;
    rest.sizes.push_back(l.sizes[i]);
    rest.ds.push_back(l.ds[i]);
    rest.ss.push_back(l.ss[i]);
    planes *= l.sizes[i];
  }
  // A narrow side is taken whole, with long runs of the other.
  const int64_t long_side = kSide * kSide;
  const int64_t side = rows < 16 ? long_side / rows : kSide, strips = (cols + side - 1) / side;
  const int64_t run = cols < 16 ? long_side / cols : kSide;
  const int64_t grain = std::max<int64_t>(1, kGrain / (std::min(side, cols) * rows));
  parallel_for(0, planes * strips, grain, [&](int64_t b, int64_t e) {
    Rows plane(rest, rest.sizes.ssize(), b / strips);
    for (int64_t t = b; t < e; t++) {
      const int64_t j = t % strips * side, n = std::min(side, cols - j);
      for (int64_t i = 0; i < rows; i += run)
        transpose(std::min(run, rows - i), n, s + plane.s + i * ldx + j, ldx, d + plane.d + j * ldy + i, ldy);
      if (t % strips == strips - 1) plane.next();
    }
  });
}

// `count` rows of n values. Short ones are not worth a call each.
template <class D, class S>
void copy_rows(int64_t count, int64_t n, D* d, int64_t drow, int64_t ds, const S* s, int64_t srow,
               int64_t ss) {
  if constexpr (std::is_same_v<D, S>) {
    if (n <= 16) {
      for (int64_t r = 0; r < count; r++, d += drow, s += srow)
        for (int64_t i = 0; i < n; i++) d[i * ds] = s[i * ss];
      return;
    }
  }
  for (int64_t r = 0; r < count; r++) convert_row(d + r * drow, ds, s + r * srow, ss, n);
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
  if (ids == 1 && iss != 1 && iss != 0)
    for (int k = outer - 1; k >= 0; k--)
      if (l.ss[k] == 1) return copy_transposed(l, k, d, s);
  int64_t rows = 1;
  for (int i = 0; i < outer; i++) rows *= l.sizes[i];
  parallel_for(0, rows, std::max<int64_t>(1, kGrain / inner), [&](int64_t b, int64_t e) {
    // Runs of rows along the dimension outside them.
    const int64_t m = l.sizes[(size_t)(outer - 1)], dstep = l.ds[(size_t)(outer - 1)],
                  sstep = l.ss[(size_t)(outer - 1)];
    Rows plane(l, outer - 1, b / m);
    for (int64_t r = b; r < e; plane.next()) {
      const int64_t first = r % m, count = std::min(e - r, m - first);
      copy_rows(count, inner, d + plane.d + first * dstep, dstep, ids, s + plane.s + first * sstep, sstep,
                iss);
      r += count;
    }
  });
}

// Of one type: only bits are moved.
void copy_bits(const Loops& l, size_t itemsize, void* d, const void* s) {
  switch (itemsize) {
    case 1:
      return copy_typed(l, (uint8_t*)d, (const uint8_t*)s);
    case 2:
      return copy_typed(l, (uint16_t*)d, (const uint16_t*)s);
    case 4:
      return copy_typed(l, (uint32_t*)d, (const uint32_t*)s);
    default:
      return copy_typed(l, (uint64_t*)d, (const uint64_t*)s);
  }
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
  if (dst.dtype() == src.dtype()) return copy_bits(l, dst.itemsize(), dst.raw(), src.raw());
  dispatch_all(dst.dtype(), [&](auto dt) {
    dispatch_all(src.dtype(), [&](auto st) {
      using D = typename decltype(dt)::type;
      using S = typename decltype(st)::type;
      if constexpr (!std::is_same_v<D, S>) copy_typed(l, (D*)dst.raw(), (const S*)src.raw());
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
      // As bits, which the compiler stores by vectors whatever the type is.
      using Bits =
          std::conditional_t<sizeof(T) == 1, uint8_t,
                             std::conditional_t<sizeof(T) == 2, uint16_t,
                                                std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>>;
      Bits bits;
      std::memcpy(&bits, &v, sizeof bits);
      Bits* p = (Bits*)t.raw();
      parallel_for(0, t.numel(), kGrain, [&](int64_t b, int64_t e) { fill_row(p + b, e - b, bits); });
      return;
    }
    // Through a scalar of stride zero.
    Tensor one = scalar_tensor(value, t.dtype());
    copy_values(t, alias(one, t.sizes(), Dims(t.sizes().size(), 0), 0));
  });
}

}  // namespace nnlib
