#include "ops/reducer.h"

#include <algorithm>

#include "autograd/function.h"
#include "core/parallel.h"
#include "core/shape.h"

namespace nnlib::ops {

std::vector<bool> reduced_mask(const Tensor& self, const std::optional<Dims>& dims) {
  const size_t n = self.sizes().size();
  if (!dims || dims->empty()) return std::vector<bool>(n, true);
  std::vector<bool> mask(n, false);
  for (int64_t d : wrap_dims(*dims, self.dim()))
    if ((size_t)d < n) mask[(size_t)d] = true;
  return mask;
}

Dims reduced_sizes(const Tensor& self, const std::vector<bool>& mask, bool keepdim) {
  Dims out;
  for (size_t i = 0; i < mask.size(); i++) {
    if (!mask[i])
      out.push_back(self.sizes()[i]);
    else if (keepdim)
      out.push_back(1);
  }
  return out;
}

int64_t contiguous_row(const Tensor& self, const std::vector<bool>& mask, int64_t* apart) {
  int64_t n = 1, step = 0;
  size_t i = mask.size();
  for (; i > 0 && mask[i - 1]; i--) {
    if (self.sizes()[i - 1] != 1 && self.strides()[i - 1] != n) return 0;
    n *= self.sizes()[i - 1];
  }
  for (int64_t next = 0; i > 0; i--) {
    if (mask[i - 1]) return 0;
    if (self.sizes()[i - 1] == 1) continue;
    if (self.strides()[i - 1] == 0) return 0;
    if (next == 0)
      step = next = self.strides()[i - 1];
    else if (self.strides()[i - 1] != next)
      return 0;
    next *= self.sizes()[i - 1];
  }
  if (apart) *apart = step;
  return apart || step == 0 || step == n ? n : 0;
}

Tensor Straightened::place(const Tensor& out) const {
  return own_order ? alias(out, sizes, contiguous_strides(sizes), out.storage_offset())
                   : empty(sizes, out.dtype());
}
void Straightened::deliver(const Tensor& place, const Tensor& out) const {
  if (!own_order)
    copy_values(alias(out, kept_sizes, contiguous_strides(kept_sizes), out.storage_offset()),
                alias(place, kept_sizes, kept_strides, place.storage_offset()));
}

std::optional<Straightened> straighten(const Tensor& self, const std::vector<bool>& mask, Straighten how) {
  if (self.is_contiguous() || self.numel() == 0) return std::nullopt;
  const auto size = [&](int64_t d) { return self.sizes()[(size_t)d]; };
  const auto stride = [&](int64_t d) { return self.strides()[(size_t)d]; };
  std::vector<int64_t> order;
  Straightened r;
  int64_t last = -1, reduced = 0;
  bool changed = false;
  for (int64_t d = 0; d < self.dim(); d++) {
    if (size(d) == 1) continue;
    reduced += mask[(size_t)d];
    if (!mask[(size_t)d] || stride(d) != 0 || how == Straighten::kKeepRepeats) {
      if (mask[(size_t)d] || stride(d) != 0) {
        changed |= last >= 0 && stride(d) > stride(last);
        order.push_back(last = d);
        continue;
      }
      r.own_order = false;  // results are repeated
    } else {
      r.repeats *= size(d);
    }
    changed = true;
  }
  if (how == Straighten::kPlaces && reduced > 1) return std::nullopt;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return stride(a) > stride(b); });
  Dims sizes, strides, to((size_t)self.dim(), 0);
  for (int64_t d : order) {
    sizes.push_back(size(d));
    strides.push_back(stride(d));
    r.mask.push_back(mask[(size_t)d]);
  }
  r.self = alias(self, sizes, strides, self.storage_offset());
  const bool apart = !order.empty() && stride(order.back()) != 1;
  const bool pack = !r.self.is_contiguous() && (apart || how == Straighten::kPlaces);
  if (!changed && !pack) return std::nullopt;
  if (pack) r.self = contiguous_values(r.self);
  // Results in the order of the memory, and where each of out's dimensions is among them.
  last = -1;
  for (int64_t d : order) {
    if (mask[(size_t)d]) continue;
    r.own_order &= d > last;
    last = d;
    r.sizes.push_back(size(d));
  }
  const Dims steps = contiguous_strides(r.sizes);
  size_t at = 0;
  for (int64_t d : order)
    if (!mask[(size_t)d]) to[(size_t)d] = steps[at++];
  for (int64_t d = 0; d < self.dim(); d++) {
    if (mask[(size_t)d]) continue;
    r.kept_sizes.push_back(size(d));
    r.kept_strides.push_back(to[(size_t)d]);
  }
  return r;
}

int64_t reduced_count(const Tensor& self, const std::vector<bool>& mask) {
  int64_t n = 1;
  for (size_t i = 0; i < mask.size(); i++)
    if (mask[i]) n *= self.sizes()[i];
  return n;
}

Dims mask_dims(const std::vector<bool>& mask) {
  Dims d;
  for (size_t i = 0; i < mask.size(); i++)
    if (mask[i]) d.push_back((int64_t)i);
  return d;
}

Tensor restore_dims(const Tensor& t, const std::vector<bool>& mask, bool keepdim) {
  if (keepdim) return t;
  Dims sizes;
  for (size_t i = 0, j = 0; i < mask.size(); i++) sizes.push_back(mask[i] ? 1 : t.sizes()[j++]);
  return sizes == t.sizes() ? t : basic_ops().view(t, sizes);
}

namespace {

constexpr int64_t kStage = 512;      // values brought into a buffer at a time
constexpr int64_t kTile = 16;        // neighbouring outputs that go together, so that they share cache lines
constexpr int64_t kSplit = 1 << 16;  // reductions longer than this are cut into chunks ...
constexpr int64_t kChunk = 1 << 15;  // ... of this many values, where there are few outputs

struct Job {
  const Reduction& r;
  const char* base;
  int64_t item, compute_item;
  bool same;
  LoadRow load;
  Part kept, reduced;

  // Values [from, to) of `n` neighbouring outputs whose elements start at src[k].
  void gather(Acc* acc, const char* const* src, int64_t n, int64_t from, int64_t to) const {
    alignas(64) char buffer[kStage * 8];
    const int64_t inner = reduced.strides.back();
    const bool direct = same && (inner == item || reduced.count == 1);
    Cursor cursor(reduced.sizes);
    cursor.seek(from);
    for (int64_t at = from; at < to;) {
      if (direct && (cursor.left() >= kStage || reduced.sizes.size() == 1)) {
        const int64_t m = std::min(to - at, cursor.left()), offset = cursor.offset(reduced.strides);
        for (int64_t k = 0; k < n; k++) r.row(acc[k], m, src[k] + offset, at);
        cursor.advance(m);
        at += m;
        continue;
      }
      const int64_t m = std::min(to - at, kStage);
      Cursor next = cursor;
      for (int64_t k = 0; k < n; k++) {
        next = cursor;
        for (int64_t done = 0; done < m;) {
          const int64_t piece = std::min(m - done, next.left());
          load(piece, src[k] + next.offset(reduced.strides), inner, buffer + done * compute_item);
          next.advance(piece);
          done += piece;
        }
        r.row(acc[k], m, buffer, at);
      }
      cursor = next;
      at += m;
    }
  }
};

}  // namespace

void reduce(const Tensor& self, const std::vector<bool>& mask, const Reduction& r,
            FunctionRef<void(int64_t index, const Acc&)> finish) {
  Job j{r,
        nullptr,
        (int64_t)self.itemsize(),
        (int64_t)itemsize(r.compute),
        self.dtype() == r.compute,
        load_row(self.dtype(), r.compute),
        {},
        {}};
  std::vector<size_t> order;
  for (size_t i = 0; i < mask.size(); i++) {
    if (mask[i])
      order.push_back(i);
    else
      j.kept.add(self.sizes()[i], self.strides()[i] * j.item);
  }
  if (!r.ordered)
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return self.strides()[a] > self.strides()[b]; });
  for (size_t i : order) j.reduced.add(self.sizes()[i], self.strides()[i] * j.item);
  j.kept.close();
  j.reduced.close();
  const int64_t outputs = j.kept.count, n = j.reduced.count;
  if (outputs == 0) return;
  if (n == 0) {
    for (int64_t o = 0; o < outputs; o++) finish(o, r.init);
    return;
  }
  j.base = (const char*)self.raw();
  auto source = [&](int64_t output) {
    Cursor c(j.kept.sizes);
    c.seek(output);
    return j.base + c.offset(j.kept.strides);
  };
  if (n > kSplit && outputs < 64) {
    const int64_t chunks = (n + kChunk - 1) / kChunk;
    std::vector<Acc> parts((size_t)(outputs * chunks), r.init);
    parallel_for(0, outputs * chunks, 1, [&](int64_t b, int64_t e) {
      for (int64_t k = b; k < e; k++) {
        const char* src = source(k / chunks);
        const int64_t from = k % chunks * kChunk;
        j.gather(&parts[(size_t)k], &src, 1, from, std::min(n, from + kChunk));
      }
    });
    for (int64_t o = 0; o < outputs; o++) {
      Acc acc = parts[(size_t)(o * chunks)];
      for (int64_t c = 1; c < chunks; c++) r.merge(acc, parts[(size_t)(o * chunks + c)]);
      finish(o, acc);
    }
    return;
  }
  if (j.reduced.sizes.size() == 1 && (j.reduced.strides.back() == j.item || n == 1)) {
    // Each output's values lie together.
    constexpr int64_t kLong = 2048;
    parallel_for(0, outputs, std::max<int64_t>(1, kChunk / n), [&](int64_t b, int64_t e) {
      alignas(64) char buffer[kLong * 8];
      Cursor c(j.kept.sizes);
      c.seek(b);
      for (int64_t o = b; o < e; o++, c.advance(1)) {
        Acc acc = r.init;
        const char* x = j.base + c.offset(j.kept.strides);
        if (j.same) r.row(acc, n, x, 0);
        for (int64_t i = 0; !j.same && i < n; i += kLong) {
          const int64_t m = std::min(kLong, n - i);
          j.load(m, x + i * j.item, j.item, buffer);
          r.row(acc, m, buffer, i);
        }
        finish(o, acc);
      }
    });
    return;
  }
  const bool tiled = std::abs(j.kept.strides.back()) < std::abs(j.reduced.strides.back());
  const int64_t tile = tiled ? kTile : 1;
  const int64_t grain = std::max<int64_t>(1, kChunk / (n * tile)) * tile;
  parallel_for(0, outputs, grain, [&](int64_t b, int64_t e) {
    for (int64_t o = b; o < e; o += tile) {
      Acc acc[kTile];
      const char* src[kTile];
      const int64_t m = std::min(tile, e - o);
      Cursor c(j.kept.sizes);
      c.seek(o);
      for (int64_t k = 0; k < m; k++) {
        acc[k] = r.init;
        src[k] = j.base + c.offset(j.kept.strides);
        c.advance(1);
      }
      j.gather(acc, src, m, 0, n);
      for (int64_t k = 0; k < m; k++) finish(o + k, acc[k]);
    }
  });
}

}  // namespace nnlib::ops
