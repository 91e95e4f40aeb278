// Reductions whose outputs lie beside each other: whole rows are folded into a row of accumulators, so that
// memory is read in its order and neighbouring outputs share a vector. Short runs that are reduced are turned
// round for it: a call for each of them would cost more than its values.
#pragma once
#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "ops/reducer.h"

namespace nnlib::ops {

namespace detail {

// Few columns whose rows follow one another: as many rows side by side as make wide ones.
template <int64_t kStrip, class C, class A, class Fold, class Merge, class Finish>
void reduce_narrow_columns(int64_t rows, int64_t cols, const C* x, A init, const Fold& fold,
                           const Merge& merge, const Finish& finish) {
  const int64_t side = kStrip / cols, width = side * cols, tall = rows / side;
  const int64_t chunk = 65536 / width / 16 * 16, chunks = (tall + chunk - 1) / chunk;
  std::vector<A> parts((size_t)(chunks * width), init);
  parallel_for(0, chunks, 1, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; k++)
      fold(std::min(chunk, tall - k * chunk), width, x + k * chunk * width, width, parts.data() + k * width);
  });
  A* acc = parts.data();
  for (int64_t k = 1; k < chunks; k++) merge(width, acc, acc + k * width);
  for (int64_t s = 1; s < side; s++) merge(cols, acc, acc + s * cols);
  fold(rows - tall * side, cols, x + tall * width, cols, acc);
  finish(0, cols, acc);
}

}  // namespace detail

// Folds `rows` rows of `cols` values, ld apart, into acc: fold(rows, cols, x, ld, acc). merge(cols, acc,
// other): other stands for rows after those of acc. finish(first, cols, acc): the outputs from number `first`
// on. False, and nothing done, where the innermost kept dimension is not contiguous (nor what is reduced one
// short run) or too short to pay.
template <class C, class A, class Fold, class Merge, class Finish>
bool reduce_columns(const Tensor& self, const std::vector<bool>& mask, A init, const Fold& fold,
                    const Merge& merge, const Finish& finish) {
  constexpr int64_t kLoadStrip = 256, kMostStrip = 1024;  // accumulators at a time
  constexpr int64_t kLoadRows = 16;  // rows brought into another type, or turned round, at a time
  constexpr int64_t kShort = 32;     // values of a run that is turned round
  const int64_t item = (int64_t)self.itemsize();
  Part kept, reduced;
  for (size_t i = 0; i < mask.size(); i++)
    (mask[i] ? reduced : kept).add(self.sizes()[i], self.strides()[i] * item);
  kept.close();
  reduced.close();
  const int64_t cols = kept.sizes.back(), rows = reduced.count;
  const int64_t across = kept.strides.back();
  const bool turned =
      across != item && reduced.sizes.size() == 1 && reduced.strides[0] == item && rows <= kShort;
  if ((across != item && !turned) || cols < 2 || rows < 2 || kept.count == 0) return false;
  const bool same = self.dtype() == DtypeOf<C>::value && !turned;
  const LoadRow load = load_row(self.dtype(), DtypeOf<C>::value);
  const char* base = (const char*)self.raw();
  const bool touching =
      sizeof(C) >= 2 && reduced.sizes.size() == 1 && reduced.strides[0] == cols * item && kept.count == cols;
  if (same && touching && cols <= kLoadStrip / 4 && rows >= 1024 / cols) {
    detail::reduce_narrow_columns<kLoadStrip>(rows, cols, (const C*)base, init, fold, merge, finish);
    return true;
  }
  if (cols < 8) return false;
  const int64_t strip = same ? kMostStrip : kLoadStrip;
  const int64_t strips = (cols + strip - 1) / strip, tasks = kept.count / cols * strips;
  const int64_t width = std::min(cols, strip);
  // Few long columns are cut into chunks of rows.
  const int64_t chunk = tasks < 16 ? std::max<int64_t>(16, 65536 / width) / 16 * 16 : rows;
  const int64_t chunks = (rows + chunk - 1) / chunk;

  // Rows [r, end) of task t into acc.
  const auto gather = [&](int64_t t, int64_t r, int64_t end, A* acc) {
    const int64_t c0 = t % strips * strip, n = std::min(strip, cols - c0);
    Cursor outer(kept.sizes), at(reduced.sizes);
    outer.seek(t / strips * cols);
    at.seek(r);
    const char* from = base + outer.offset(kept.strides) + c0 * across;
    const int64_t step = reduced.strides.back();
    std::fill(acc, acc + n, init);
    while (r < end) {
      const char* x = from + at.offset(reduced.strides);
      int64_t m = std::min(end - r, at.left());
      if (same && step % item == 0) {
        fold(m, n, (const C*)x, step / item, acc);
      } else {
        m = std::min(m, kLoadRows);
        alignas(64) C buffer[kLoadRows * kLoadStrip];
        for (int64_t i = 0; i < m; i++) load(n, x + i * step, across, buffer + i * kLoadStrip);
        fold(m, n, buffer, kLoadStrip, acc);
      }
      r += m;
      at.advance(m);
    }
  };
  const auto first_output = [&](int64_t t) { return t / strips * cols + t % strips * strip; };
  const auto columns = [&](int64_t t) { return std::min(strip, cols - t % strips * strip); };
  if (chunks == 1) {
    parallel_for(0, tasks, std::max<int64_t>(1, 32768 / (rows * width)), [&](int64_t b, int64_t e) {
      A acc[kMostStrip];
      for (int64_t t = b; t < e; t++) {
        gather(t, 0, rows, acc);
        finish(first_output(t), columns(t), acc);
      }
    });
    return true;
  }
  std::vector<A> parts((size_t)(tasks * chunks * width));
  parallel_for(0, tasks * chunks, 1, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; k++) {
      const int64_t r = k % chunks * chunk;
      gather(k / chunks, r, std::min(rows, r + chunk), parts.data() + k * width);
    }
  });
  for (int64_t t = 0; t < tasks; t++) {
    A* acc = parts.data() + t * chunks * width;
    for (int64_t c = 1; c < chunks; c++) merge(columns(t), acc, acc + c * width);
    finish(first_output(t), columns(t), acc);
  }
  return true;
}

}  // namespace nnlib::ops
