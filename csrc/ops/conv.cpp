#include "ops/conv.h"

#include <algorithm>
#include <memory>

#include "ops/drivers/conv.h"
#include "ops/drivers/packed_cache.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

using drivers::ConvShape;

// ---- values

Dtype compute_type(Dtype dtype) {
  NNLIB_CHECK_AS(NotImplementedError, dtype != Dtype::Bool, "\"slow_conv_cpu\" not implemented for 'Bool'");
  return is_reduced_float(dtype) || dtype == Dtype::Float32 ? Dtype::Float32 : Dtype::Float64;
}
// Calls f with the type in which values of `dtype` are computed. Integers go through double, exact up to
// 2^53.
template <class F>
void in_float(Dtype dtype, F f) {
  if (compute_type(dtype) == Dtype::Float64) {
    f(TypeTag<double>{});
  } else {
    f(TypeTag<float>{});
  }
}

// Whether channels are last, where that differs from the usual order.
bool last(const Tensor& t, int dims) {
  const MemoryFormat format = dims == 5 ? MemoryFormat::ChannelsLast3d : MemoryFormat::ChannelsLast;
  return dims >= 4 && t.dim() == dims && !t.is_contiguous() && t.is_contiguous(format);
}

// Images in a layout and type that the drivers read; other ones are copied.
Tensor readable(const Tensor& t) {
  const Tensor x = is_floating(t.dtype()) ? t : cast_values(t, Dtype::Float64);
  return last(x, int(x.dim())) ? x : contiguous_values(x);
}
drivers::ConvImages images(const Tensor& t) {
  int64_t pixels = 1;
  for (int64_t d = 2; d < t.dim(); ++d) pixels *= t.size(d);
  return {t.raw(), t.dtype(), last(t, int(t.dim())), t.size(1), pixels};
}

// A weight in the compute type and in a layout that the drivers read. Of 16 bits it is kept as packings are,
// and its own packings with it; one that asks for gradients changes soon.
Tensor cast_weight(const Tensor& t, Dtype dtype) {
  const auto make = [&] {
    const Tensor value = cast_values(t, dtype);
    return last(value, int(value.dim())) ? value : contiguous_values(value);
  };
  if (!is_reduced_float(t.dtype()) || (t.requires_grad() && GradMode::enabled())) return make();
  drivers::PackedKey key{drivers::PackedKind::Cast, {t.storage_offset(), int64_t(t.dtype())}};
  std::copy(t.sizes().begin(), t.sizes().end(), key.part.begin() + 2);
  std::copy(t.strides().begin(), t.strides().end(), key.part.begin() + 8);
  const drivers::Packed kept =
      drivers::kept_form(*t.storage(), key, t.numel() * int64_t(sizeof(float)),
                         [&]() -> drivers::Packed { return std::make_shared<const Tensor>(make()); });
  return kept ? *static_cast<const Tensor*>(kept.get()) : make();
}

// A weight or bias in the compute type.
struct Parameter {
  Parameter(const Tensor& t, Dtype dtype) {
    if (!t.defined()) return;
    value = cast_weight(t, compute_type(dtype));
    owner = value.storage().get();
  }
  template <class T>
  const T* data() const {
    return value.defined() ? static_cast<const T*>(value.raw()) : nullptr;
  }
  template <class T>
  drivers::ConvWeights<T> weights(const ConvShape& s) const {
    if (last(value, int(value.dim()))) return {data<T>(), s.in_group() * s.taps(), 1, s.in_group(), owner};
    return {data<T>(), s.in_group() * s.taps(), s.taps(), 1, owner};
  }
  Tensor value;
  Storage* owner = nullptr;
};

int spatial_dims(const Tensor& w) { return int(w.dim()) - 2; }

Dims plane_sizes(int64_t batch, int64_t channels, const int64_t (&spatial)[3], int n) {
  Dims sizes = {batch, channels};
  for (int i = 3 - n; i < 3; ++i) sizes.push_back(spatial[i]);
  return sizes;
}

// An output for operands x and w: in channels-last order where one of these is, as PyTorch gives it. as_last:
// also where x has one channel or pixel, so that its order says nothing.
Tensor output(const Dims& sizes, const Tensor& x, const Tensor& w, bool as_last) {
  const int dims = int(w.dim());
  const Dtype dtype = is_floating(x.dtype()) ? x.dtype() : Dtype::Float64;
  const drivers::ConvImages in = images(x);
  const bool either = as_last && dims >= 4 && (in.channels == 1 || in.pixels == 1);
  if (!last(x, dims) && !last(w, dims) && !either) return empty(sizes, dtype);
  return empty(sizes, dtype, dims == 5 ? MemoryFormat::ChannelsLast3d : MemoryFormat::ChannelsLast);
}

// ---- three products, each the gradient of the others
//
// y = F(x, w), gx = T(g, w) and gw = W(x, g) are linear in both arguments, and the gradients of each are the
// other two: every order of differentiation stays among them.

// as_last: the order of the images that the result is a gradient of.
Tensor conv_f(const ConvShape& s, const Tensor& x, const Tensor& w, const Tensor& bias, bool as_last = false);
Tensor conv_t(const ConvShape& s, const Tensor& g, const Tensor& w, const Tensor& bias, bool as_last = false);
Tensor conv_w(const ConvShape& s, const Tensor& x, const Tensor& g, const Dims& weight_sizes);

Tensor bias_grad(const ConvShape& s, const Tensor& g, bool of_input_channels) {
  // Sums of columns read images with the channels last in their order.
  const bool last = g.dim() > 1 && g.strides()[1] == 1 && g.sizes()[1] >= 8;
  if (GradMode::enabled() || of_input_channels || last) {
    Dims dims = {0};
    for (int64_t d = 2; d < g.dim(); ++d) dims.push_back(d);
    return sum(g, dims, false);
  }
  const Tensor in = readable(g), out = empty({s.out_channels}, compute_type(g.dtype()));
  in_float(g.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    drivers::conv_bias_grad<T>(s, images(in), static_cast<T*>(out.raw()));
  });
  return cast_values(out, g.dtype());
}

Tensor conv_f(const ConvShape& s, const Tensor& x, const Tensor& w, const Tensor& bias, bool as_last) {
  const Dtype dtype = x.dtype();
  const Parameter weight(w, dtype), offset(bias, dtype);
  const Tensor in = readable(x);
  Tensor out = output(plane_sizes(s.batch, s.out_channels, s.out, spatial_dims(w)), x, w, as_last);
  in_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    drivers::conv_forward<T>(s, images(in), weight.weights<T>(s), offset.data<T>(), images(out));
  });
  out = cast_values(out, dtype);
  if (wants_grad(x, w, bias)) {
    record(
        out, "ConvolutionBackward0", {x, w, bias},
        [s, x = save(x), w = save(w), as_last = last(x, int(x.dim()))](Backward& ctx, const TensorList& g) {
          const Tensor weight = w.get(ctx);
          return TensorList{
              ctx.needs(0) ? conv_t(s, g[0], weight, Tensor(), as_last) : Tensor(),
              make_gradient(ctx, 1, [&] { return conv_w(s, x.get(ctx), g[0], weight.sizes()); }),
              make_gradient(ctx, 2, [&] { return bias_grad(s, g[0], false); })};
        });
  }
  return out;
}

Tensor conv_t(const ConvShape& s, const Tensor& g, const Tensor& w, const Tensor& bias, bool as_last) {
  const Dtype dtype = g.dtype();
  const Parameter weight(w, dtype), offset(bias, dtype);
  const Tensor in = readable(g);
  Tensor out = output(plane_sizes(s.batch, s.in_channels, s.in, spatial_dims(w)), g, w, as_last);
  in_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    drivers::conv_input_grad<T>(s, images(in), weight.weights<T>(s), offset.data<T>(), images(out));
  });
  out = cast_values(out, dtype);
  if (wants_grad(g, w, bias)) {
    record(
        out, "ConvolutionBackward0", {g, w, bias},
        [s, g = save(g), w = save(w), as_last = last(g, int(g.dim()))](Backward& ctx, const TensorList& h) {
          const Tensor weight = w.get(ctx);
          return TensorList{
              ctx.needs(0) ? conv_f(s, h[0], weight, Tensor(), as_last) : Tensor(),
              make_gradient(ctx, 1, [&] { return conv_w(s, h[0], g.get(ctx), weight.sizes()); }),
              make_gradient(ctx, 2, [&] { return bias_grad(s, h[0], true); })};
        });
  }
  return out;
}

Tensor conv_w(const ConvShape& s, const Tensor& x, const Tensor& g, const Dims& weight_sizes) {
  const Dtype dtype = x.dtype();
  const Tensor in = readable(x), grad = readable(g);
  Tensor out = empty(weight_sizes, compute_type(dtype));
  in_float(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    drivers::conv_weight_grad<T>(s, images(in), images(grad), static_cast<T*>(out.raw()));
  });
  out = cast_values(out, dtype);
  if (wants_grad(x, g)) {
    record(out, "ConvolutionBackwardBackward0", {x, g},
           [s, x = save(x), g = save(g)](Backward& ctx, const TensorList& v) {
             return TensorList{ctx.needs(0) ? conv_t(s, g.get(ctx), v[0], Tensor()) : Tensor(),
                               ctx.needs(1) ? conv_f(s, x.get(ctx), v[0], Tensor()) : Tensor()};
           });
  }
  return out;
}

// ---- checks

void check_arguments(const Tensor& x, const Tensor& w, const Tensor& bias, const Dims& stride,
                     const Dims& padding, const Dims& dilation, const Dims& output_padding, bool transposed,
                     int64_t groups) {
  const int n = spatial_dims(w);
  NNLIB_CHECK(n >= 1 && n <= 3, "expected a convolution weight of 3, 4 or 5 dimensions, got ", w.sizes());
  const auto count = [n](const Dims& d, const char* what) {
    NNLIB_CHECK(int(d.size()) == n, "expected ", what, " to be a single integer value or a list of ", n,
                " values to match the convolution dimensions, but got ", what, "=", d);
    for (int64_t v : d)
      NNLIB_CHECK(v <= INT32_MAX, what, " is out of range: ", d);  // products do not overflow
  };
  count(stride, "stride");
  count(padding, "padding");
  count(dilation, "dilation");
  for (int i = 0; i < n; ++i) {
    NNLIB_CHECK(padding[i] >= 0, "negative padding is not supported");
    NNLIB_CHECK(stride[i] > 0, "non-positive stride is not supported");
    NNLIB_CHECK(dilation[i] > 0, "dilation should be greater than zero");
  }
  NNLIB_CHECK(groups > 0, "non-positive groups is not supported");
  if (transposed) {
    count(output_padding, "output_padding");
    for (int i = 0; i < n; ++i) {
      NNLIB_CHECK(output_padding[i] >= 0, "negative output_padding is not supported");
      NNLIB_CHECK(output_padding[i] < stride[i] || output_padding[i] < dilation[i],
                  "output padding must be smaller than either stride or dilation, but got output_padding=",
                  output_padding, ", stride=", stride, ", dilation=", dilation);
    }
  }
  NNLIB_CHECK(x.dtype() == w.dtype(), "Input type (", dtype_name(x.dtype()), ") and weight type (",
              dtype_name(w.dtype()), ") should be the same");
  if (bias.defined()) {
    NNLIB_CHECK(x.dtype() == bias.dtype(), "Input type (", dtype_name(x.dtype()), ") and bias type (",
                dtype_name(bias.dtype()), ") should be the same");
  }
}

void check_channels(const Tensor& x, const Tensor& w, const Tensor& bias, bool transposed, int64_t groups) {
  NNLIB_CHECK(w.size(0) >= groups && w.size(0) % groups == 0, "Given groups=", groups,
              ", expected weight to be divisible by ", groups, " at dimension 0, but got weight of size ",
              w.sizes(), " instead");
  const int64_t channels = transposed ? w.size(0) : w.size(1) * groups;
  NNLIB_CHECK(x.size(1) == channels, "Given ", transposed ? "transposed=1" : concat("groups=", groups),
              ", weight of size ", w.sizes(), ", expected input", x.sizes(), " to have ", channels,
              " channels, but got ", x.size(1), " channels instead");
  const int64_t out = transposed ? w.size(1) * groups : w.size(0);
  NNLIB_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == out), "Given ",
              transposed ? "transposed=1, " : "", "weight of size ", w.sizes(),
              ", expected bias to be 1-dimensional with ", out, " elements, but got bias of size ",
              bias.defined() ? bias.sizes() : Dims{}, " instead");
}

std::string by(const int64_t (&sizes)[3], int n) {
  std::string s;
  for (int i = 3 - n; i < 3; ++i) s += (i > 3 - n ? " x " : "") + std::to_string(sizes[i]);
  return s;
}

// The ordinary convolution that this is, or is the input gradient of. `high` is the padding after the input.
ConvShape shape_of(const Tensor& x, const Tensor& w, const Dims& stride, const Dims& padding,
                   const Dims& high, const Dims& dilation, bool transposed, const Dims& output_padding,
                   int64_t groups) {
  const int n = spatial_dims(w);
  ConvShape s{x.size(0), 0, 0, groups, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}};
  s.out_channels = w.size(0);
  s.in_channels = w.size(1) * groups;
  int64_t padded[3] = {1, 1, 1};
  bool fits = true;
  for (int i = 0; i < n; ++i) {
    const int d = 3 - n + i;
    s.kernel[d] = w.size(2 + i), s.stride[d] = stride[i], s.padding[d] = padding[i],
    s.dilation[d] = dilation[i];
    const int64_t reach = dilation[i] * (s.kernel[d] - 1) + 1;
    if (transposed) {
      s.out[d] = x.size(2 + i);
      const __int128 in =
          __int128(s.out[d] - 1) * stride[i] - padding[i] - high[i] + reach + output_padding[i];
      NNLIB_CHECK(in < int64_t(1) << 60, "the result of a convolution of sizes ", x.sizes(), " with stride ",
                  stride, " is larger than memory can be");
      s.in[d] = (int64_t)in;
      fits = fits && s.in[d] >= 0;
    } else {
      s.in[d] = x.size(2 + i);
      padded[d] = s.in[d] + padding[i] + high[i];
      s.out[d] = (padded[d] - reach) / stride[i] + 1;
      fits = fits && padded[d] >= reach;
    }
    NNLIB_CHECK(s.kernel[d] > 0, "kernel size should be greater than zero, but got weight of size ",
                w.sizes());
  }
  if (transposed) {
    NNLIB_CHECK(fits, "Given input size per channel: (", by(s.out, n),
                "). Calculated output size per channel: (", by(s.in, n), "). Output size is too small");
  }
  int64_t reach[3];
  for (int d = 0; d < 3; ++d) reach[d] = s.dilation[d] * (s.kernel[d] - 1) + 1;
  NNLIB_CHECK(transposed || fits, "Calculated padded input size per channel: (", by(padded, n),
              "). Kernel size: (", by(reach, n), "). Kernel size can't be greater than actual input size");
  return s;
}

Tensor run(const Tensor& input, const Tensor& w, const Tensor& bias, const Dims& stride, const Dims& padding,
           const Dims& high, const Dims& dilation, bool transposed, const Dims& output_padding,
           int64_t groups) {
  check_arguments(input, w, bias, stride, padding, dilation, output_padding, transposed, groups);
  const int n = spatial_dims(w);
  const char* name = transposed ? "conv_transpose" : "conv";
  NNLIB_CHECK(input.dim() == n + 1 || input.dim() == n + 2, "Expected ", n + 1, "D (unbatched) or ", n + 2,
              "D (batched) input to ", name, n, "d, but got input of size: ", input.sizes());
  const bool batched = input.dim() == n + 2;
  const Tensor x = batched ? input : unsqueeze(input, 0);
  check_channels(x, w, bias, transposed, groups);
  const ConvShape s = shape_of(x, w, stride, padding, high, dilation, transposed, output_padding, groups);
  Tensor y = transposed ? conv_t(s, x, w, bias) : conv_f(s, x, w, bias);
  return batched ? y : squeeze(y, 0);
}

}  // namespace

Tensor convolution(const Tensor& input, const Tensor& weight, const Tensor& bias, const Dims& stride,
                   const Dims& padding, const Dims& dilation, bool transposed, const Dims& output_padding,
                   int64_t groups) {
  return run(input, weight, bias, stride, padding, padding, dilation, transposed, output_padding, groups);
}

// An odd total goes to the end, as in PyTorch.
Tensor convolution_mode(const Tensor& input, const Tensor& weight, const Tensor& bias, const Dims& stride,
                        const std::string& padding, const Dims& dilation, int64_t groups) {
  const size_t n = weight.dim() > 2 ? size_t(weight.dim()) - 2 : 1;
  Dims low(n, 0), high(n, 0);
  NNLIB_CHECK(padding == "same" || padding == "valid", "Invalid padding string: '", padding, "'");
  if (padding == "same") {
    NNLIB_CHECK(dilation.size() == n && weight.dim() > 2, "conv: dilation ", dilation,
                " does not fit a weight of size ", weight.sizes());
    for (size_t i = 0; i < n; ++i) {
      NNLIB_CHECK(i >= stride.size() || stride[i] == 1,
                  "padding='same' is not supported for strided convolutions");
      const int64_t total = dilation[i] * (weight.size(int64_t(i) + 2) - 1);
      low[i] = total / 2;
      high[i] = total - low[i];
    }
  }
  return run(input, weight, bias, stride, low, high, dilation, false, Dims(n, 0), groups);
}

}  // namespace nnlib::ops
