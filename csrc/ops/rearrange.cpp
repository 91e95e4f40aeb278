// Values in another order or several times: repeat, flip, roll, triangles, diagonals, pixel shuffles,
// one-hot.
#include <cstring>

#include "core/parallel.h"
#include "core/shape.h"
#include "ops/creation.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {
constexpr int64_t kGrain = 16384;

// An alias that walks the given dimensions backwards. Only for reading: views have no negative strides.
Tensor reversed(const Tensor& x, const Dims& dims) {
  Dims strides(x.strides());
  int64_t offset = x.storage_offset();
  for (int64_t d : dims) {
    offset += (x.sizes()[d] - 1) * strides[d];
    strides[d] = -strides[d];
  }
  return nnlib::alias(x, x.sizes(), strides, offset);
}

// Of results that keep the channels of an image last.
MemoryFormat image_format(const Tensor& x) {
  const bool last =
      x.dim() == 4 && x.numel() > 0 && !x.is_contiguous() && x.is_contiguous(MemoryFormat::ChannelsLast);
  return last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
}
}  // namespace

Tensor repeat(const Tensor& x, const Dims& repeats) {
  const int64_t lead = (int64_t)repeats.size() - x.dim();
  NNLIB_CHECK(lead >= 0,
              "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor");
  Dims sizes, from, strides, wide;  // pairs (repeat, size) of each dimension
  for (int64_t i = 0; i < (int64_t)repeats.size(); i++) {
    NNLIB_CHECK(repeats[i] >= 0, "Trying to create tensor with negative dimension: repeats are ", repeats);
    const int64_t n = i < lead ? 1 : x.sizes()[i - lead], s = i < lead ? 0 : x.strides()[i - lead];
    sizes.push_back(n * repeats[i]);
    for (auto [a, b] : {std::pair<int64_t, int64_t>{repeats[i], 0}, {n, s}}) {
      wide.push_back(a);
      strides.push_back(b);
    }
  }
  Tensor r = empty(sizes, x.dtype());
  if (r.numel())
    copy_values(nnlib::alias(r, wide, contiguous_strides(wide), 0),
                nnlib::alias(x, wide, strides, x.storage_offset()));
  if (wants_grad(x))
    record(r, "RepeatBackward0", {x}, [wide, from = x.sizes()](Backward&, const TensorList& g) {
      if (count(wide) == 0) return TensorList{zeros(from, g[0].dtype())};
      Dims dims;
      for (int64_t i = 0; i < wide.ssize(); i += 2) dims.push_back(i);
      Tensor t = reshape(g[0], wide);
      return TensorList{reshape(dims.empty() ? t : basic_ops().sum(t, dims, false), from)};
    });
  return r;
}

Tensor tile(const Tensor& x, const Dims& dims) {
  Dims repeats((size_t)std::max<int64_t>(0, x.dim() - (int64_t)dims.size()), 1);
  for (int64_t d : dims) repeats.push_back(d);
  return repeat(x, repeats);
}

Tensor repeat_interleave(const Tensor& x, int64_t repeats, std::optional<int64_t> dim,
                         std::optional<int64_t> output_size) {
  NNLIB_CHECK(repeats >= 0, "Repeats must be non-negative");
  if (!dim) return repeat_interleave(flatten(x), repeats, 0, output_size);
  Tensor in = x.dim() == 0 ? reshape(x, {1}) : x;
  const int64_t d = wrap_dim(*dim, in.dim()), total = in.sizes()[d] * repeats;
  NNLIB_CHECK(!output_size || *output_size == total, "repeat_interleave: Invalid output_size, expected ",
              total, " but got ", output_size.value_or(0));
  Dims wide(in.sizes());
  wide.insert(d + 1, repeats);
  return flatten(clone(expand(unsqueeze(in, d + 1), wide), MemoryFormat::Contiguous), d, d + 1);
}

Tensor repeat_interleave_indices(const Tensor& repeats, std::optional<int64_t> output_size) {
  NNLIB_CHECK(repeats.dim() == 1, "repeat_interleave only accept 1D vector as repeat");
  NNLIB_CHECK(repeats.dtype() == Dtype::Int64 || repeats.dtype() == Dtype::Int32,
              "repeats has to be Long or Int tensor, but got ", dtype_legacy_name(repeats.dtype()));
  Tensor counts = contiguous_values(cast_values(repeats, Dtype::Int64));
  const int64_t* n = counts.data<int64_t>();
  int64_t total = 0;
  for (int64_t i = 0; i < counts.numel(); i++) {
    NNLIB_CHECK(n[i] >= 0, "repeats can not be negative");
    total += n[i];
  }
  NNLIB_CHECK(!output_size || *output_size == total, "allocated size does not match required size: expected ",
              total, ", got ", output_size.value_or(0));
  Tensor r = empty({total}, Dtype::Int64);
  int64_t* p = r.data<int64_t>();
  for (int64_t i = 0; i < counts.numel(); i++) p = std::fill_n(p, n[i], i);
  return r.dtype() == repeats.dtype() ? r : cast_values(r, repeats.dtype());
}

Tensor repeat_interleave_tensor(const Tensor& x, const Tensor& repeats, std::optional<int64_t> dim,
                                std::optional<int64_t> output_size) {
  if (!dim) return repeat_interleave_tensor(flatten(x), repeats, 0, output_size);
  Tensor in = x.dim() == 0 ? reshape(x, {1}) : x;
  const int64_t d = wrap_dim(*dim, in.dim()), n = in.sizes()[d];
  NNLIB_CHECK(repeats.dim() <= 1, "repeats must be 0-dim or 1-dim tensor");
  NNLIB_CHECK(repeats.numel() == 1 || repeats.numel() == n,
              "repeats must have the same size as input along dim, but got repeats.size(0) = ",
              repeats.numel(), " and input.size(", d, ") = ", n);
  Tensor counts = repeats.numel() == 1 ? expand(reshape(repeats, {1}), {n}) : repeats;
  return index_select(in, d, repeat_interleave_indices(counts, output_size));
}

Tensor flip(const Tensor& x, const Dims& dims) {
  const Dims which = wrap_dims(dims, x.dim());
  Tensor r = empty_like(x);
  if (x.numel()) copy_values(r, x.dim() ? reversed(x, which) : x);
  if (wants_grad(x))
    record(r, "FlipBackward0", {x},
           [which](Backward&, const TensorList& g) { return TensorList{flip(g[0], which)}; });
  return r;
}

Tensor fliplr(const Tensor& x) {
  NNLIB_CHECK(x.dim() >= 2, "Input must be >= 2-d.");
  return flip(x, {1});
}
Tensor flipud(const Tensor& x) {
  NNLIB_CHECK(x.dim() >= 1, "Input must be >= 1-d.");
  return flip(x, {0});
}

Tensor rot90(const Tensor& x, int64_t k, const Dims& dims) {
  NNLIB_CHECK(dims.size() == 2, "expected total rotation dims == 2, but got dims = ", dims.size());
  NNLIB_CHECK(x.dim() >= 2, "expected total dims >= 2, but got total dims = ", x.dim());
  NNLIB_CHECK(dims[0] != dims[1] && std::abs(dims[0] - dims[1]) != x.dim(),
              "expected rotation dims to be different, but got dim0 = ", dims[0], " and dim1 = ", dims[1]);
  const int64_t a = wrap_dim(dims[0], x.dim()), b = wrap_dim(dims[1], x.dim()), turns = ((k % 4) + 4) % 4;
  Tensor r;
  {
    NoGradGuard guard;
    if (turns == 0) r = clone(x, MemoryFormat::Contiguous);
    if (turns == 1) r = transpose(flip(x, {b}), a, b);
    if (turns == 2) r = flip(x, {a, b});
    if (turns == 3) r = transpose(flip(x, {a}), a, b);
    r = turns % 2 ? detach(r) : r;
  }
  if (wants_grad(x))
    record(r, "Rot90Backward0", {x},
           [k, dims](Backward&, const TensorList& g) { return TensorList{rot90(g[0], -k, dims)}; });
  return r;
}

namespace {
// Moves values by `by` places along each dimension from d on: what leaves at the end comes in at the start.
void roll_values(const Tensor& r, const Tensor& x, const Dims& by, int64_t d) {
  while (d < x.dim() && by[d] == 0) d++;
  if (d == x.dim()) return copy_values(r, x);
  const int64_t s = by[d], rest = x.sizes()[d] - s;
  roll_values(narrow(r, d, s, rest), narrow(x, d, 0, rest), by, d + 1);
  roll_values(narrow(r, d, 0, s), narrow(x, d, rest, s), by, d + 1);
}
}  // namespace

Tensor roll(const Tensor& x, const Dims& shifts, const Dims& dims) {
  NNLIB_CHECK(!shifts.empty(), "`shifts` required");
  if (dims.empty() && shifts.size() == 1)
    return view(roll(contiguous(reshape(x, {-1})), shifts, {0}), x.sizes());
  NNLIB_CHECK(shifts.size() == dims.size(), "shifts and dimensions must align. shifts: ", shifts.size(),
              ", dims:", dims.size());
  // A few dimensions at a time: each doubles the number of blocks.
  constexpr int64_t kAtOnce = 3;
  Tensor r = x;
  MemoryFormat format = image_format(x);
  for (int64_t i = 0; i < dims.ssize(); i += kAtOnce) {
    Tensor from = r;
    Dims by((size_t)x.dim(), 0);
    for (int64_t k = i; k < std::min<int64_t>(i + kAtOnce, dims.ssize()); k++) {
      const int64_t d = wrap_dim(dims[k], x.dim(), false), n = std::max<int64_t>(1, x.sizes()[d]);
      by[d] = (by[d] + shifts[k] % n + n) % n;
      if (shifts[k] % n == 0) format = MemoryFormat::Contiguous;  // as PyTorch's joins with nothing are
    }
    r = empty(x.sizes(), x.dtype(), format);
    NoGradGuard guard;
    if (x.numel()) roll_values(r, from, by, 0);
  }
  if (wants_grad(x))
    record(r, "RollBackward0", {x}, [shifts, dims](Backward&, const TensorList& g) {
      Dims back(shifts);
      for (int64_t& s : back) s = -s;
      return TensorList{roll(g[0], back, dims)};
    });
  return r;
}

namespace {
Tensor triangle(const Tensor& x, int64_t k, bool lower) {
  const char* name = lower ? "tril" : "triu";
  NNLIB_CHECK(x.dim() >= 2, name, ": input tensor must have at least 2 dimensions");
  Tensor r = contiguous_values(x);
  if (r.is_same(x)) {
    r = empty(x.sizes(), x.dtype());
    copy_values(r, x);
  }
  const int64_t cols = x.sizes().back(), rows = x.sizes()[x.sizes().size() - 2];
  const int64_t all = cols ? r.numel() / cols : 0, size = (int64_t)x.itemsize();
  char* p = (char*)r.raw();
  parallel_for(0, all, std::max<int64_t>(1, kGrain / std::max<int64_t>(cols, 1)), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++) {
      const int64_t edge = std::min(cols, std::max<int64_t>(0, i % rows + k + (lower ? 1 : 0)));
      const int64_t from = lower ? edge : 0, to = lower ? cols : edge;
      std::memset(p + (i * cols + from) * size, 0, (size_t)((to - from) * size));
    }
  });
  if (wants_grad(x))
    record(r, lower ? "TrilBackward0" : "TriuBackward0", {x},
           [k, lower](Backward&, const TensorList& g) { return TensorList{triangle(g[0], k, lower)}; });
  return r;
}
}  // namespace

Tensor tril(const Tensor& x, int64_t diagonal) { return triangle(x, diagonal, true); }
Tensor triu(const Tensor& x, int64_t diagonal) { return triangle(x, diagonal, false); }

Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  const int64_t a = wrap_dim(dim1, x.dim() + 1), b = wrap_dim(dim2, x.dim() + 1);
  NNLIB_CHECK(a != b, "diagonal dimensions cannot be identical ", dim1, ", ", dim2);
  const int64_t n = x.size(-1) + std::abs(offset);
  Dims sizes(x.sizes());
  sizes.pop_back();
  sizes.insert(std::min(a, b), n);
  sizes.insert(std::max(a, b), n);
  Tensor r = zeros(sizes, x.dtype());
  {
    NoGradGuard guard;
    copy_values(diagonal(r, offset, a, b), x);
  }
  if (wants_grad(x))
    record(r, "DiagEmbedBackward0", {x},
           [=](Backward&, const TensorList& g) { return TensorList{diagonal(g[0], offset, a, b)}; });
  return r;
}

Tensor diag(const Tensor& x, int64_t k) {
  NNLIB_CHECK(x.dim() == 1 || x.dim() == 2, "diag(): Supports 1D or 2D tensors. Got ", x.dim(), "D");
  return x.dim() == 1 ? diag_embed(x, k, 0, 1) : clone(diagonal(x, k), MemoryFormat::Contiguous);
}

Tensor diagflat(const Tensor& x, int64_t offset) { return diag(reshape(contiguous(x), {-1}), offset); }

Tensor trace(const Tensor& x) {
  NNLIB_CHECK(x.dim() == 2, "trace: expected a matrix, but got tensor with dim ", x.dim());
  NNLIB_CHECK_AS(NotImplementedError, x.dtype() != Dtype::Bool, "\"trace\" not implemented for 'Bool'");
  return basic_ops().sum(diagonal(x), {0}, false);
}

namespace {
// (..., c * f * f, h, w) <-> (..., c, h * f, w * f). `gather` goes from left to right.
Tensor shuffle_pixels(const Tensor& x, int64_t f, bool gather) {
  const char* name = gather ? "pixel_shuffle" : "pixel_unshuffle";
  NNLIB_CHECK(x.dim() >= 3, name, " expects input to have at least 3 dimensions, but got input with ",
              x.dim(), " dimension(s)");
  NNLIB_CHECK(f > 0, name, " expects a positive ", gather ? "upscale_factor" : "downscale_factor",
              ", but got ", f);
  const int64_t c = x.size(-3), h = x.size(-2), w = x.size(-1);
  NNLIB_CHECK(f < (int64_t(1) << 31), name, " got a factor of ", f, ", more than memory can hold");
  if (gather)
    NNLIB_CHECK(c % (f * f) == 0,
                "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                "upscale_factor, but input.size(-3)=",
                c, " is not divisible by ", f * f);
  else
    NNLIB_CHECK(h % f == 0 && w % f == 0,
                "pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
                "input.size(-2)=",
                h, ", input.size(-1)=", w, " and downscale_factor=", f);
  Dims lead(x.sizes());
  for (int i = 0; i < 3; i++) lead.pop_back();
  int64_t n = 1;
  for (int64_t s : lead) n *= s;
  Tensor r;
  {
    NoGradGuard guard;
    Dims six = gather ? Dims{n, c / (f * f), f, f, h, w} : Dims{n, c, h / f, f, w / f, f};
    const Dims image = gather ? Dims{c / (f * f), h * f, w * f} : Dims{c * f * f, h / f, w / f};
    const bool last = image_format(x) == MemoryFormat::ChannelsLast;
    Dims order = gather ? Dims{0, 1, 4, 2, 5, 3} : Dims{0, 1, 3, 5, 2, 4};
    if (last) order = gather ? Dims{0, 4, 2, 5, 3, 1} : Dims{0, 2, 4, 1, 3, 5};
    for (int i : last ? Dims{1, 2, 0} : Dims{0, 1, 2}) lead.push_back(image[i]);
    r = reshape(clone(permute(reshape(x, six), order), MemoryFormat::Contiguous), lead);
    r = detach(last ? permute(r, {0, 3, 1, 2}) : r);
  }
  if (wants_grad(x))
    record(
        r, gather ? "PixelShuffleBackward0" : "PixelUnshuffleBackward0", {x},
        [f, gather](Backward&, const TensorList& g) { return TensorList{shuffle_pixels(g[0], f, !gather)}; });
  return r;
}
}  // namespace

Tensor pixel_shuffle(const Tensor& x, int64_t factor) { return shuffle_pixels(x, factor, true); }
Tensor pixel_unshuffle(const Tensor& x, int64_t factor) { return shuffle_pixels(x, factor, false); }

Tensor channel_shuffle(const Tensor& x, int64_t groups) {
  NNLIB_CHECK(x.dim() > 2, "channel_shuffle expects input with > 2 dims, but got input with sizes ",
              x.sizes());
  NNLIB_CHECK(groups > 0,
              "Number of groups to divide channels in must be positive. Value of groups:", groups);
  const int64_t c = x.sizes()[1];
  NNLIB_CHECK(c % groups == 0, "Number of channels must be divisible by groups. Got ", c, " channels and ",
              groups, " groups.");
  Tensor r;
  {
    NoGradGuard guard;
    Tensor cut = reshape(x, {x.sizes()[0], groups, c / groups, -1});
    r = detach(view(clone(transpose(cut, 1, 2), MemoryFormat::Contiguous), x.sizes()));
  }
  if (wants_grad(x))
    record(r, "ChannelShuffleBackward0", {x}, [back = c / groups](Backward&, const TensorList& g) {
      return TensorList{channel_shuffle(g[0], back)};
    });
  return r;
}

Tensor one_hot(const Tensor& x, int64_t num_classes) {
  NNLIB_CHECK(x.dtype() == Dtype::Int64, "one_hot is only applicable to index tensor of type LongTensor.");
  NNLIB_CHECK(x.numel() > 0 || num_classes > 0, "Can not infer total number of classes from empty tensor.");
  Tensor classes = contiguous_values(x);
  const int64_t* c = classes.data<int64_t>();
  int64_t top = -1;
  for (int64_t i = 0; i < x.numel(); i++) {
    NNLIB_CHECK(c[i] >= 0, "Class values must be non-negative.");
    top = std::max(top, c[i]);
  }
  if (num_classes == -1) num_classes = top + 1;
  NNLIB_CHECK(num_classes > 0, "num_classes should be positive");
  NNLIB_CHECK(top < num_classes, "Class values must be smaller than num_classes.");
  Dims sizes(x.sizes());
  sizes.push_back(num_classes);
  Tensor r = zeros(sizes, Dtype::Int64);
  int64_t* p = r.data<int64_t>();
  for (int64_t i = 0; i < x.numel(); i++) p[i * num_classes + c[i]] = 1;
  return r;
}

}  // namespace nnlib::ops
