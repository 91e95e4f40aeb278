#include "ops/reducer.h"

#include <algorithm>
#include <numeric>

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

int64_t contiguous_row(const Tensor& self, const std::vector<bool>& mask) {
  if (!self.is_contiguous()) return 0;
  int64_t n = 1;
  size_t i = mask.size();
  for (; i > 0 && mask[i - 1]; i--) n *= self.sizes()[i - 1];
  for (; i > 0; i--)
    if (mask[i - 1]) return 0;
  return n;
}

std::vector<int64_t> memory_order(const Tensor& self) {
  std::vector<int64_t> order((size_t)self.dim());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return self.strides()[(size_t)a] > self.strides()[(size_t)b];
  });
  return order;
}

Tensor in_order(const Tensor& self, const std::vector<int64_t>& order) {
  Dims sizes, strides;
  for (int64_t d : order) {
    sizes.push_back(self.sizes()[(size_t)d]);
    strides.push_back(self.strides()[(size_t)d]);
  }
  return alias(self, sizes, strides, self.storage_offset());
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
