// Copies between any two strided tensors of equal sizes, and fills.
#include <cstring>

#include "core/bytes.h"
#include "core/fill.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "core/tensor.h"
#include "kernels/dispatch.h"

namespace nnlib {

namespace {

constexpr int64_t kGrain = 32768;

// memcpy's call costs more than a few values.
template <class T>
void copy_row(T* d, const T* s, int64_t n) {
  constexpr int64_t kGroup = 32 / sizeof(T);
  if (n > 4 * kGroup) {
    copy_bytes(d, s, (size_t)n * sizeof(T));
    return;
  }
  int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) std::memcpy(d + i, s + i, 32);
  if (i < n && n >= kGroup)
    std::memcpy(d + n - kGroup, s + n - kGroup, 32);
  else
    for (; i < n; i++) d[i] = s[i];
}

// n values with steps ds and ss between them.
template <class T>
void copy_strided(T* d, int64_t ds, const T* s, int64_t ss, int64_t n) {
  if (ds == 1 && ss == 1) return copy_row(d, s, n);
  if (ds == 1 && ss == 0 && n > 0) return fill_run(d, n, *s);
  if (ds == 1 && ss == -1) {  // backwards
    int64_t i = 0;
    if constexpr (sizeof(T) > 1) {
      typedef T Vec __attribute__((vector_size(16)));
      constexpr int64_t kLanes = 16 / sizeof(T);
      Vec turned, v, w;
      for (int k = 0; k < kLanes; k++) turned[k] = (T)(kLanes - 1 - k);
      for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        std::memcpy(&v, s - i - kLanes + 1, sizeof v);
        std::memcpy(&w, s - i - 2 * kLanes + 1, sizeof w);
        v = __builtin_shuffle(v, turned);
        w = __builtin_shuffle(w, turned);
        std::memcpy(d + i, &v, sizeof v);
        std::memcpy(d + i + kLanes, &w, sizeof w);
      }
    }
    for (; i < n; i++) d[i] = s[-i];
    return;
  }
  int64_t i = 0;
  if (ds == 1 && ss == 2) {
    typedef T Vec __attribute__((vector_size(16)));
    constexpr int64_t kLanes = 16 / sizeof(T);
    Vec evens, low, high;
    for (int k = 0; k < kLanes; k++) evens[k] = (T)(2 * k);
    for (; i + kLanes < n; i += kLanes) {  // reads one value more than it takes: never the last group
      std::memcpy(&low, s + 2 * i, sizeof low);
      std::memcpy(&high, s + 2 * i + kLanes, sizeof high);
      low = __builtin_shuffle(low, high, evens);
      std::memcpy(d + i, &low, sizeof low);
    }
  }
  for (; i + 4 <= n; i += 4) {  // four loads do not wait for the stores between them
    const T v0 = s[i * ss], v1 = s[(i + 1) * ss], v2 = s[(i + 2) * ss], v3 = s[(i + 3) * ss];
    d[i * ds] = v0;
    d[(i + 1) * ds] = v1;
    d[(i + 2) * ds] = v2;
    d[(i + 3) * ds] = v3;
  }
  for (; i < n; i++) d[i * ds] = s[i * ss];
}

}  // namespace

void copy_apart(int64_t item, int64_t n, const void* from, int64_t step, void* to) {
  switch (item) {
    case 1:
      return copy_strided((uint8_t*)to, 1, (const uint8_t*)from, step, n);
    case 2:
      return copy_strided((uint16_t*)to, 1, (const uint16_t*)from, step, n);
    case 4:
      return copy_strided((uint32_t*)to, 1, (const uint32_t*)from, step, n);
    default:
      return copy_strided((uint64_t*)to, 1, (const uint64_t*)from, step, n);
  }
}

namespace {

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

// The inner dimension lies together in the destination, dimension k of the source does: squares of both are
// transposed by f(rows, cols, offset in s, its line, offset in d, its line), or each line of the source would
// be fetched once for every value. No square has more than kSquare values.
constexpr int64_t kSide = 64, kSquare = kSide * kSide;
template <class F>
void for_each_square(const Loops& l, int k, F f) {
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
  const int64_t side = rows < 16 ? kSquare / rows : kSide, strips = (cols + side - 1) / side;
  const int64_t run = cols < 16 ? kSquare / cols : kSide;
  const int64_t grain = std::max<int64_t>(1, kGrain / (std::min(side, cols) * rows));
  parallel_for(0, planes * strips, grain, [&](int64_t b, int64_t e) {
    Rows plane(rest, rest.sizes.ssize(), b / strips);
    for (int64_t t = b; t < e; t++) {
      const int64_t j = t % strips * side, n = std::min(side, cols - j);
      for (int64_t i = 0; i < rows; i += run)
        f(std::min(run, rows - i), n, plane.s + i * ldx + j, ldx, plane.d + j * ldy + i, ldy);
      if (t % strips == strips - 1) plane.next();
    }
  });
}

// f(count, offset in d, its step, offset in s, its step) for runs of rows of the inner dimension along the
// one outside it.
template <class F>
void for_each_run(const Loops& l, F f) {
  const int outer = l.sizes.ssize() - 1;
  int64_t rows = 1;
  for (int i = 0; i < outer; i++) rows *= l.sizes[i];
  parallel_for(0, rows, std::max<int64_t>(1, kGrain / l.sizes.back()), [&](int64_t b, int64_t e) {
    const int64_t m = l.sizes[(size_t)(outer - 1)], dstep = l.ds[(size_t)(outer - 1)],
                  sstep = l.ss[(size_t)(outer - 1)];
    Rows plane(l, outer - 1, b / m);
    for (int64_t r = b; r < e; plane.next()) {
      const int64_t first = r % m, count = std::min(e - r, m - first);
      f(count, plane.d + first * dstep, dstep, plane.s + first * sstep, sstep);
      r += count;
    }
  });
}

// The dimension outside the inner one that lies together in the source where the inner one does so in the
// destination alone; -1: none, or squares so narrow and short that each is not worth a call.
int turned_dim(const Loops& l) {
  constexpr int64_t kNarrow = 3, kShort = 32;
  if (l.ds.back() != 1 || l.ss.back() == 1 || l.ss.back() == 0) return -1;
  for (int k = l.sizes.ssize() - 2; k >= 0; k--)
    if (l.ss[k] == 1) return l.sizes[k] <= kNarrow && l.sizes.back() <= kShort ? -1 : k;
  return -1;
}

// `count` rows of `size` bytes, kStep <= size: the last step of a row may write some bytes again.
template <int kStep>
void copy_short_rows(int64_t count, int64_t size, char* d, int64_t drow, const char* s, int64_t srow) {
  for (int64_t r = 0; r < count; r++, d += drow, s += srow) {
    for (int64_t i = 0; i + kStep < size; i += kStep) std::memcpy(d + i, s + i, kStep);
    std::memcpy(d + size - kStep, s + size - kStep, kStep);
  }
}

// `count` rows of n values. Short ones are not worth a call each.
template <class T>
void copy_rows(int64_t count, int64_t n, T* d, int64_t drow, int64_t ds, const T* s, int64_t srow,
               int64_t ss) {
  if (n <= 16) {
    const int64_t size = n * (int64_t)sizeof(T);
    if (ds == 1 && ss == 1 && size >= 8) {
      const auto rows = size >= 16 ? copy_short_rows<16> : copy_short_rows<8>;
      return rows(count, size, (char*)d, drow * (int64_t)sizeof(T), (const char*)s,
                  srow * (int64_t)sizeof(T));
    }
    for (int64_t r = 0; r < count; r++, d += drow, s += srow)
      for (int64_t i = 0; i < n; i++) d[i * ds] = s[i * ss];
    return;
  }
  for (int64_t r = 0; r < count; r++) copy_strided(d + r * drow, ds, s + r * srow, ss, n);
}

template <class T>
void copy_typed(const Loops& l, T* d, const T* s) {
  const int64_t inner = l.sizes.back(), ids = l.ds.back(), iss = l.ss.back();
  if (l.sizes.ssize() == 1)
    return parallel_for(0, inner, kGrain, [&](int64_t b, int64_t e) {
      copy_strided(d + b * ids, ids, s + b * iss, iss, e - b);
    });
  if (const int k = turned_dim(l); k >= 0)
    return for_each_square(l, k,
                           [&](int64_t rows, int64_t cols, int64_t x, int64_t ldx, int64_t y, int64_t ldy) {
                             transpose(rows, cols, s + x, ldx, d + y, ldy);
                           });
  for_each_run(l, [&](int64_t count, int64_t y, int64_t dstep, int64_t x, int64_t sstep) {
    copy_rows(count, inner, d + y, dstep, ids, s + x, sstep, iss);
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

// Values of one item size, with steps between rows and between values.
struct Values {
  char* p;
  int64_t itemsize, row, step;
  char* at(int64_t offset) const { return p + offset * itemsize; }
};

void copy_rows(int64_t count, int64_t n, const Values& d, const Values& s) {
  const auto run = [&](auto one) {
    using T = decltype(one);
    copy_rows(count, n, (T*)d.p, d.row, d.step, (const T*)s.p, s.row, s.step);
  };
  switch (s.itemsize) {
    case 1:
      return run(uint8_t());
    case 2:
      return run(uint16_t());
    case 4:
      return run(uint32_t());
    default:
      return run(uint64_t());
  }
}

// From one type to another. The kernel converts values that lie together: others pass through two short
// blocks.
class Conversion {
 public:
  Conversion(const Tensor& dst, const Tensor& src)
      : to_((int64_t)dst.dtype()),
        from_((int64_t)src.dtype()),
        dsize_((int64_t)dst.itemsize()),
        ssize_((int64_t)src.itemsize()),
        d_((char*)dst.raw()),
        s_((char*)src.raw()) {}

  void operator()(const Loops& l) const {
    const int64_t inner = l.sizes.back(), ids = l.ds.back(), iss = l.ss.back();
    if (l.sizes.ssize() == 1)
      return parallel_for(0, inner, kGrain, [&](int64_t b, int64_t e) {
        convert_row(e - b, {d_ + b * ids * dsize_, dsize_, 0, ids}, {s_ + b * iss * ssize_, ssize_, 0, iss});
      });
    if (const int k = turned_dim(l); k >= 0)
      return for_each_square(
          l, k, [&](int64_t rows, int64_t cols, int64_t x, int64_t ldx, int64_t y, int64_t ldy) {
            convert_square(rows, cols, {s_ + x * ssize_, ssize_, ldx, 1}, {d_ + y * dsize_, dsize_, ldy, 1});
          });
    for_each_run(l, [&](int64_t count, int64_t y, int64_t dstep, int64_t x, int64_t sstep) {
      convert_rows(count, inner, {d_ + y * dsize_, dsize_, dstep, ids},
                   {s_ + x * ssize_, ssize_, sstep, iss});
    });
  }

 private:
  static constexpr int64_t kBlock = 512;

  void convert(int64_t n, const void* s, void* d) const { kernels::table().convert(from_, to_, n, s, d); }

  void convert_row(int64_t n, const Values& d, const Values& s) const {
    if (d.step == 1 && s.step == 1) return convert(n, s.p, d.p);
    for (int64_t i = 0; i < n; i += kBlock)
      convert_block(1, std::min(kBlock, n - i), {d.at(i * d.step), dsize_, 0, d.step},
                    {s.at(i * s.step), ssize_, 0, s.step});
  }

  // Several short rows in one go.
  void convert_rows(int64_t count, int64_t n, const Values& d, const Values& s) const {
    const bool together = d.step == 1 && s.step == 1;
    const int64_t some = together && n >= 64 ? 1 : std::max<int64_t>(1, kBlock / n);
    for (int64_t r = 0; r < count; r += some) {
      const Values to{d.at(r * d.row), dsize_, d.row, d.step}, from{s.at(r * s.row), ssize_, s.row, s.step};
      if (some == 1)
        convert_row(n, to, from);
      else
        convert_block(std::min(some, count - r), n, to, from);
    }
  }

  void convert_block(int64_t count, int64_t n, const Values& d, const Values& s) const {
    alignas(64) char gathered[kBlock * 8], converted[kBlock * 8];
    const bool direct = d.step == 1 && (d.row == n || count == 1);
    copy_rows(count, n, {gathered, ssize_, n, 1}, s);
    convert(count * n, gathered, direct ? d.p : converted);
    if (!direct) copy_rows(count, n, d, {converted, dsize_, n, 1});
  }

  // d[j][i] = s[i][j]
  void convert_square(int64_t rows, int64_t cols, const Values& s, const Values& d) const {
    alignas(64) char turned[kSquare * 8];
    const auto run = [&](auto one) {
      using T = decltype(one);
      transpose(rows, cols, (const T*)s.p, s.row, (T*)turned, rows);
    };
    if (ssize_ == 1)
      run(uint8_t());
    else if (ssize_ == 2)
      run(uint16_t());
    else if (ssize_ == 4)
      run(uint32_t());
    else
      run(uint64_t());
    convert_rows(cols, rows, d, {turned, ssize_, rows, 1});
  }

  int64_t to_, from_, dsize_, ssize_;
  char *d_, *s_;
};

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
  Conversion(dst, src)(l);
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
      const bool past_caches = t.numel() * int64_t(sizeof bits) > kPastCaches;
      parallel_for(0, t.numel(), kGrain,
                   [&](int64_t b, int64_t e) { fill_run(p + b, e - b, bits, past_caches); });
      return;
    }
    // Through a scalar of stride zero.
    Tensor one = scalar_tensor(value, t.dtype());
    copy_values(t, alias(one, t.sizes(), Dims(t.sizes().size(), 0), 0));
  });
}

}  // namespace nnlib
