// Padding: with a constant, or with values of the input itself (reflect, replicate, circular).
#include <algorithm>
#include <cstring>
#include <memory>

#include "core/bytes.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"
#include "ops/creation.h"
#include "ops/iterator.h"
#include "ops/shape.h"

namespace nnlib::ops {

Tensor constant_pad_nd(const Tensor& x, const Dims& pad, Scalar value) {
  NNLIB_CHECK(pad.size() % 2 == 0, "Length of pad must be even but instead it equals ", pad.size());
  const int64_t padded = (int64_t)pad.size() / 2;
  NNLIB_CHECK(
      padded <= x.dim(),
      "Length of pad should be no more than twice the number of dimensions of the input. Pad length is ",
      pad.size(), " while the input has ", x.dim(), " dimensions.");
  Dims sizes(x.sizes()), kept(x.sizes());
  int64_t from = x.storage_offset(), to = 0;
  for (int64_t i = 0; i < padded; i++) {
    const int64_t d = x.dim() - 1 - i, before = pad[2 * i], after = pad[2 * i + 1], n = sizes[d];
    sizes[d] = n + before + after;
    NNLIB_CHECK(sizes[d] >= 0, "The input size ", n, ", plus negative padding ", before, " and ", after,
                " resulted in a negative output size, which is invalid. Check dimension ", d,
                " of your input.");
    kept[d] = std::max<int64_t>(0, n + std::min<int64_t>(before, 0) + std::min<int64_t>(after, 0));
    from += std::max<int64_t>(-before, 0) * x.strides()[d];
  }
  const bool last = !x.is_contiguous() && x.is_contiguous(MemoryFormat::ChannelsLast);
  Tensor r = empty(sizes, x.dtype(), last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
  if (kept != sizes) fill_values(r, value);
  for (int64_t i = 0; i < padded; i++) {
    const int64_t d = x.dim() - 1 - i;
    to += std::max<int64_t>(pad[2 * i], 0) * r.strides()[d];
  }
  if (count(kept) > 0 && r.numel() > 0)
    copy_values(nnlib::alias(r, kept, r.strides(), to), nnlib::alias(x, kept, x.strides(), from));
  if (wants_grad(x))
    record(r, "ConstantPadNdBackward0", {x}, [pad](Backward&, const TensorList& g) {
      Dims back(pad);
      for (int64_t& p : back) p = -p;
      return TensorList{constant_pad_nd(g[0], back, 0)};
    });
  return r;
}

Tensor constant_pad_to(const Tensor& x, const Dims& sizes) {
  Dims pad;
  for (int64_t d = x.dim() - 1; d >= 0; d--) {
    pad.push_back(0);
    pad.push_back(sizes[d] - x.sizes()[d]);
  }
  return constant_pad_nd(x, pad, 0);
}

namespace {

// For each of the last dimensions: which input index an output index shows.
struct PadMaps {
  std::vector<std::vector<int64_t>> maps;  // in order of the dimensions
  const char* name;                        // of the backward step
};

Tensor pad_backward(const Tensor& g, const Dims& sizes, const std::shared_ptr<PadMaps>& m);

// Calls row(output row, input row) for every line of the last dimension of one plane.
template <class F>
void for_rows(const PadMaps& m, const Dims& out, const Dims& in, F row) {
  const int64_t k = (int64_t)m.maps.size(), n = (int64_t)out.size();
  Dims at((size_t)k, 0);
  int64_t rows = 1;
  for (int64_t i = n - k; i < n - 1; i++) rows *= out[i];
  for (int64_t r = 0; r < rows; r++) {
    int64_t rest = r, from = 0, scale = 1;
    for (int64_t i = k - 2; i >= 0; i--) {
      from += m.maps[i][rest % out[n - k + i]] * scale;
      rest /= out[n - k + i];
      scale *= in[n - k + i];
    }
    row(r, from);
  }
}

int64_t plane_size(const Dims& sizes, size_t k) {
  int64_t n = 1;
  for (size_t i = sizes.size() - k; i < sizes.size(); i++) n *= sizes[i];
  return n;
}

// The longest part of a map that walks on by one: most of a row is a plain copy.
std::pair<int64_t, int64_t> longest_run(const std::vector<int64_t>& map) {
  int64_t begin = 0, end = 0;
  for (int64_t i = 0, n = (int64_t)map.size(); i < n;) {
    int64_t j = i + 1;
    while (j < n && map[j] == map[j - 1] + 1) j++;
    if (j - i > end - begin) begin = i, end = j;
    i = j;
  }
  return {begin, end};
}

// Where all dimensions behind the channels are padded and the channels lie last, an element of a plane is a
// line of channels.
struct PadLayout {
  MemoryFormat format = MemoryFormat::Contiguous;
  int64_t inner = 1;
  PadLayout(const Tensor& x, size_t k) {
    if ((size_t)x.dim() != k + 2 || k < 2 || x.is_contiguous() || !is_channels_last(x.sizes(), x.strides()))
      return;
    format = k == 2 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d;
    inner = x.size(1);
  }
};

Tensor pad_mapped(const Tensor& x, const std::shared_ptr<PadMaps>& m) {
  const size_t k = m->maps.size();
  Dims sizes(x.sizes());
  for (size_t i = 0; i < k; i++) sizes[sizes.size() - k + i] = (int64_t)m->maps[i].size();
  const PadLayout layout(x, k);
  const Tensor in = layout.inner > 1 ? x : contiguous_values(x);
  Tensor r = empty(sizes, x.dtype(), layout.format);
  const int64_t n = layout.inner, po = n * plane_size(sizes, k), pi = n * plane_size(x.sizes(), k);
  const int64_t planes = po ? r.numel() / po : 0, wo = sizes.back(), wi = n * x.sizes().back();
  const auto [run, run_end] = longest_run(m->maps[k - 1]);
  dispatch_all(x.dtype(), [&, run = run, run_end = run_end](auto tag) {
    using T = typename decltype(tag)::type;
    T* o = (T*)r.raw();
    const T* p = (const T*)in.raw();
    parallel_for(0, planes, std::max<int64_t>(1, 16384 / std::max<int64_t>(po, 1)),
                 [&](int64_t b, int64_t e) {
                   for (int64_t c = b; c < e; c++)
                     for_rows(*m, sizes, x.sizes(), [&](int64_t to, int64_t from) {
                       T* d = o + c * po + to * wo * n;
                       const T* s = p + c * pi + from * wi;
                       const int64_t* w = m->maps[k - 1].data();
                       const auto one = [&](int64_t j) {
                         if (n == 1)
                           d[j] = s[w[j]];
                         else
                           std::memcpy(d + j * n, s + w[j] * n, (size_t)n * sizeof(T));
                       };
                       for (int64_t j = 0; j < run; j++) one(j);
                       if (run < run_end)
                         copy_bytes(d + run * n, s + w[run] * n, (size_t)((run_end - run) * n) * sizeof(T));
                       for (int64_t j = run_end; j < wo; j++) one(j);
                     });
                 });
  });
  if (wants_grad(x))
    record(r, m->name, {x}, [m, from = x.sizes()](Backward& ctx, const TensorList& g) {
      return TensorList{flat_gradient(ctx, 0, pad_backward(g[0], from, m))};
    });
  return r;
}

// y += x
void add_run(int64_t n, const float* x, float* y) { kernels::table().add_f32(n, x, y, y); }
void add_run(int64_t n, const double* x, double* y) {
  for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

Tensor pad_backward(const Tensor& g, const Dims& sizes, const std::shared_ptr<PadMaps>& m) {
  const size_t k = m->maps.size();
  const PadLayout layout(g, k);
  const Tensor in = layout.inner > 1 ? g : contiguous_values(g);
  Tensor r = empty(sizes, g.dtype(), layout.format);
  const int64_t n = layout.inner, po = n * plane_size(g.sizes(), k), pi = n * plane_size(sizes, k);
  const int64_t planes = pi ? r.numel() / pi : 0, wo = g.sizes().back(), wi = n * sizes.back();
  const auto [run, run_end] = longest_run(m->maps[k - 1]);
  dispatch_floating(g.dtype(), "pad_backward", [&, run = run, run_end = run_end](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    constexpr bool kNarrow = !std::is_same_v<T, C>;  // 16-bit floats are added up in float
    T* o = (T*)r.raw();
    const T* p = (const T*)in.raw();
    const int64_t* w = m->maps[k - 1].data();
    const LoadRow load = load_row(g.dtype(), DtypeOf<C>::value);
    const StoreRow store = store_row(DtypeOf<C>::value, g.dtype());
    parallel_for(0, planes, std::max<int64_t>(1, 16384 / std::max<int64_t>(po, 1)),
                 [&](int64_t b, int64_t e) {
                   std::vector<C> wide((size_t)(kNarrow ? pi : 0)), line((size_t)(kNarrow ? wo * n : 0));
                   for (int64_t c = b; c < e; c++) {
                     C* const sum = kNarrow ? wide.data() : (C*)(o + c * pi);
                     std::fill(sum, sum + pi, C(0));
                     for_rows(*m, g.sizes(), sizes, [&](int64_t from, int64_t to) {
                       const T* s = p + c * po + from * wo * n;
                       if (kNarrow) load(wo * n, (const char*)s, (int64_t)sizeof(T), line.data());
                       const C* x = kNarrow ? line.data() : (const C*)s;
                       C* d = sum + to * wi;
                       const auto add = [n, d, w, x](int64_t j, int64_t end) {
                         for (; j < end; j++)
                           for (int64_t i = 0; i < n; i++) d[w[j] * n + i] += x[j * n + i];
                       };
                       add(0, run);
                       if (run < run_end) add_run((run_end - run) * n, x + run * n, d + w[run] * n);
                       add(run_end, wo);
                     });
                     if (kNarrow) store(pi, sum, (char*)(o + c * pi), (int64_t)sizeof(T));
                   }
                 });
  });
  if (wants_grad(g))
    record(r, "PadBackwardBackward0", {g},
           [m](Backward&, const TensorList& gg) { return TensorList{pad_mapped(gg[0], m)}; });
  return r;
}

}  // namespace

Tensor pad(const Tensor& x, const Dims& pad, const std::string& mode, std::optional<double> value) {
  NNLIB_CHECK(pad.size() % 2 == 0, "Padding length must be divisible by 2");
  if (mode == "constant") return constant_pad_nd(x, pad, Scalar(value.value_or(0.0)));
  NNLIB_CHECK(!value || *value == 0, "Padding mode \"", mode, "\" doesn't take in value argument");
  const bool reflect = mode == "reflect", replicate = mode == "replicate";
  NNLIB_CHECK_AS(NotImplementedError, reflect || replicate || mode == "circular",
                 "Unrecognised padding mode ", mode);
  const int64_t k = (int64_t)pad.size() / 2;
  NNLIB_CHECK_AS(NotImplementedError, k >= 1 && k <= 3 && (x.dim() == k + 1 || x.dim() == k + 2),
                 "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now, got a ",
                 x.dim(), "D input with ", pad.size(), " padding values");
  for (int64_t i = x.dim() - k - 1; i < x.dim(); i++)
    NNLIB_CHECK(x.sizes()[i] > 0, "Expected ", x.dim(),
                "D tensor with possibly 0 batch size and other non-zero dimensions "
                "for input, but got: ",
                x.sizes());
  auto m = std::make_shared<PadMaps>();
  static const char* const kNames[2][3] = {
      {"ReflectionPad1DBackward0", "ReflectionPad2DBackward0", "ReflectionPad3DBackward0"},
      {"ReplicationPad1DBackward0", "ReplicationPad2DBackward0", "ReplicationPad3DBackward0"}};
  m->name = reflect || replicate ? kNames[replicate][k - 1] : "CircularPadBackward0";
  for (int64_t i = 0; i < k; i++) {
    const int64_t d = x.dim() - k + i, n = x.sizes()[d], before = pad[2 * (k - 1 - i)],
                  after = pad[2 * (k - 1 - i) + 1];
    const int64_t out = n + before + after;
    NNLIB_CHECK(out >= (replicate || reflect ? 1 : 0), "input (size ", n, " at dimension ", d,
                ") is too small: calculated output size is ", out);
    NNLIB_CHECK(!reflect || (before < n && after < n),
                "Argument #4: Padding size should be less than the corresponding input "
                "dimension, but got: padding (",
                before, ", ", after, ") at dimension ", d, " of input ", x.sizes());
    NNLIB_CHECK(reflect || replicate || (before <= n && after <= n),
                "Padding value causes wrapping around more than once.");
    std::vector<int64_t> map((size_t)out);
    // Circular padding repeats what negative padding has left.
    const int64_t first = std::max<int64_t>(-before, 0), left = n - first - std::max<int64_t>(-after, 0);
    NNLIB_CHECK(reflect || replicate || left > 0 || out == 0, "circular padding of (", before, ", ", after,
                ") leaves nothing of dimension ", d, " with size ", n, " to repeat");
    for (int64_t j = 0; j < out; j++) {
      int64_t at = j - before;
      if (reflect)
        at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
      else if (replicate)
        at = std::min(std::max<int64_t>(at, 0), n - 1);
      else
        at = first + (((j - std::max<int64_t>(before, 0)) % left) + left) % left;
      map[j] = at;
    }
    m->maps.push_back(std::move(map));
  }
  return pad_mapped(x, m);
}

}  // namespace nnlib::ops
