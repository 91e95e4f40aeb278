#include "ops/drivers/conv.h"

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/conv_tiles.h"
#include "ops/drivers/gemm.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers {

double ConvShape::seen(int d) const {
  int64_t inside = 0;
  for (int64_t k = 0; k < kernel[d]; ++k) {
    const int64_t at = k * dilation[d] - padding[d];
    const int64_t first = at < 0 ? (stride[d] - 1 - at) / stride[d] : 0,
                  end = in[d] > at ? (in[d] - 1 - at) / stride[d] + 1 : 0;
    inside += std::max<int64_t>(0, std::min(out[d], end) - first);
  }
  return double(inside) / double(std::max<int64_t>(1, kernel[d] * out[d]));
}

namespace {

std::atomic<bool> winograd_on{true};

// The share of a vector's lanes that n elements in a row use.
double filled(int64_t n, int64_t width) { return double(n) / double((n + width - 1) / width * width); }

// Whether the results of a group fill at most half of the lanes of Winograd's products.
bool leaves_lanes_empty(int64_t channels) { return 2 * channels <= kernels::table().wino_nr; }

// Weight gradients as sums over planes (lanes are pixels of a line), rather than as a matrix product (lanes
// are output channels): the better by how many lanes work and how often sums are taken across them.
bool planes_suit_weight_grad(const ConvShape& s) {
  const int64_t width = kernels::table().lines_nr / 2, co = s.out_group();
  const double product = 0.8 * filled(co, width);
  const double steps = double(s.out[1]) * double((s.out[2] + width - 1) / width);
  const double reuse = co >= 4 ? 0.5 : 0.3, planes = reuse * filled(s.out[2], width) * steps / (steps + 10);
  return planes > product;
}

// Whether lanes are to be channels, in a convolution of few channels a group. Planes of fewer pixels than
// this are turned round for it: handling each alone takes longer, of lines that fill few vectors. So are
// their inputs, up to this. Many taps are worth turning larger ones.
constexpr int64_t kFewChannels = 4, kSmallPlane = 512, kSmallInput = 1024, kShortLine = 48, kManyTaps = 25;
bool pixels_suit(const ConvShape& s, const ConvImages& a, const ConvImages& b) {
  const int64_t some = std::min(s.in_channels, s.out_channels), most = std::max(s.in_group(), s.out_group());
  if (most > kFewChannels || (most > 1 && (s.groups == 1 || some < 16))) return false;
  if (a.channels_last && b.channels_last) return true;
  const int64_t times = s.taps() >= kManyTaps ? 2 : 1;
  return planes<float>(a) && planes<float>(b) && some >= 16 && s.out[2] <= kShortLine &&
         s.out_pixels() <= times * kSmallPlane && s.in_pixels() <= times * kSmallInput;
}

// Whether the phases of a stride are so little work each that they should share a frame of gy.
constexpr int64_t kFewInGroup = 32;
bool groups_suit_input_grad(const ConvShape& s, const ConvImages& gx) {
  return s.groups > 1 && s.stride[2] > 1 && planes<float>(gx) &&
         std::max(s.in_group(), s.out_group()) <= kFewInGroup;
}

// Images of one channel or one pixel lie in both layouts: they are said to be in the other images' one.
struct Agreeing {
  Agreeing(const ConvImages& x, const ConvImages& y) : a(x), b(y) {
    const auto either = [](const ConvImages& t) { return t.channels == 1 || t.pixels == 1; };
    if (either(a) && either(b)) {
      a.channels_last = b.channels_last = a.channels > 1 || b.channels > 1;
    } else if (either(a)) {
      a.channels_last = b.channels_last;
    } else if (either(b)) {
      b.channels_last = a.channels_last;
    }
  }
  ConvImages a, b;
};

// y = x w (+ bias) where the images are matrices in memory, x with `from` channels and y with `to`; false
// where they are not, or a gathered product is quicker. w: `to` times `from`.
template <class T>
bool multiply_pixels(const ConvShape& s, const ConvImages& x, int64_t from, const ConvImages& y, int64_t to,
                     const Strided<T>& w, const T* bias) {
  if (!detail::pointwise_suits<T>(s, x, y)) return false;
  const T* in = static_cast<const T*>(x.data);
  T* out = static_cast<T*>(const_cast<void*>(y.data));
  if (!x.channels_last) {
    return detail::pointwise_product(s.batch, s.out_pixels(), from, in, to, w, bias, out);
  }
  gemm<T>(s.batch * s.out_pixels(), to, from, T(1), {in, from, 1}, {w.data, w.cs, w.rs, w.weight}, T(0), out,
          to, bias);
  return true;
}

}  // namespace

bool winograd() { return winograd_on.load(std::memory_order_relaxed); }
void set_winograd(bool on) { winograd_on.store(on, std::memory_order_relaxed); }

ConvChoice choose_conv(const ConvShape& s, bool last) {
  if (s.in_group() == 1 && s.out_group() <= 4) {
    return {ConvAlgorithm::Depthwise,
            "one input channel a group: a matrix of few rows would only be gathered"};
  }
  if (s.pointwise())
    return {ConvAlgorithm::Pointwise, "1x1, stride 1: the images are the matrix, nothing to gather"};
  if (detail::winograd_size(s, last) > 0)
    return {ConvAlgorithm::Winograd,
            "a small square kernel, enough channels and pixels: fewer multiplications"};
  return {ConvAlgorithm::ImplicitGemm, "the im2col matrix is gathered block by block while it is multiplied"};
}

namespace {

// What is left where there is nothing to add up: the bias, or zeros.
template <class T>
void sums_of_nothing(int64_t images, int64_t pixels, int64_t channels, const T* bias, const ConvImages& y) {
  const std::vector<T> zeros(size_t(channels), T(0));
  for (int64_t i = 0; i < images * pixels; ++i)
    write_planes(y, i / pixels, 0, channels, i % pixels, 1, 1, bias ? bias : zeros.data(), 1);
}

}  // namespace

namespace detail {

template <class T>
void any_forward(const ConvShape& s, const ConvImages& images, const ConvWeights<T>& w, const T* bias,
                 const ConvImages& out, bool winograd) {
  const Agreeing layouts(images, out);
  const ConvImages &x = layouts.a, &y = layouts.b;
  if (s.batch * s.out_channels * s.out_pixels() == 0) return;
  if (s.in_group() * s.in_pixels() == 0)
    return sums_of_nothing<T>(s.batch, s.out_pixels(), s.out_channels, bias, y);
  if (detail::depth_forward(s, x, w, bias, y)) return;
  if constexpr (std::is_same_v<T, float>) {
    if (detail::depthwise_last_forward(s, x, w, bias, y)) return;
    if (detail::dots_suit_forward(s, x, y, winograd)) return detail::dots_forward(s, x, w, bias, y);
    const bool direct = detail::stretches_suit_forward(s, x, y);
    if (!direct && pixels_suit(s, x, y)) return detail::pixels_forward(s, x, w, bias, y);
    const ConvAlgorithm algorithm = choose_conv(s, y.channels_last).algorithm;
    if (algorithm == ConvAlgorithm::Depthwise) return detail::depthwise_forward(s, x, w, bias, y);
    if (detail::tiles_suit_forward(s, x)) return detail::gemm_forward(s, x, w, bias, y);
    if (direct && leaves_lanes_empty(s.out_group())) return detail::stretches_forward(s, x, w, bias, y);
    if (winograd && algorithm == ConvAlgorithm::Winograd &&
        detail::winograd_images_forward(s, detail::winograd_size(s, y.channels_last), x, w, bias, y)) {
      return;
    }
    if (direct) return detail::stretches_forward(s, x, w, bias, y);
    if (detail::turned_forward(s, x, w, bias, y)) return;
  }
  if (multiply_pixels<T>(s, x, s.in_channels, y, s.out_channels, {w.data, w.out_step, w.in_step, w.owner},
                         bias))
    return;
  if (detail::rows_suit<T>(s, x, y)) return detail::rows_forward(s, x, w, bias, y);
  detail::gemm_forward(s, x, w, bias, y);
}

template <class T>
void any_input_grad(const ConvShape& s, const ConvImages& grad, const ConvWeights<T>& w, const T* bias,
                    const ConvImages& out, bool winograd) {
  const Agreeing layouts(grad, out);
  const ConvImages &gy = layouts.a, &gx = layouts.b;
  if (s.batch * s.in_channels * s.in_pixels() == 0) return;
  if (s.out_group() * s.out_pixels() == 0)
    return sums_of_nothing<T>(s.batch, s.in_pixels(), s.in_channels, bias, gx);
  if (detail::depth_input_grad(s, gy, w, bias, gx)) return;
  if constexpr (std::is_same_v<T, float>) {
    if (detail::depthwise_last_input_grad(s, gy, w, bias, gx)) return;
    if (detail::dots_suit_input_grad(s, gy, gx, winograd)) return detail::dots_input_grad(s, gy, w, bias, gx);
    if (pixels_suit(s, gy, gx)) return detail::pixels_input_grad(s, gy, w, bias, gx);
    if (s.in_group() == 1 && s.out_group() == 1) return detail::depthwise_input_grad(s, gy, w, bias, gx);
    if (detail::tiles_suit_input_grad(s, gy)) return detail::gemm_input_grad(s, gy, w, bias, gx);
    const bool direct = detail::stretches_suit_input_grad(s, gy, gx);
    if (direct && leaves_lanes_empty(s.in_group())) return detail::stretches_input_grad(s, gy, w, bias, gx);
    const int64_t size = winograd ? detail::winograd_input_grad_size(s, gx.channels_last) : 0;
    if (size > 0 && detail::winograd_images_input_grad(s, size, gy, w, bias, gx)) return;
    if (direct) return detail::stretches_input_grad(s, gy, w, bias, gx);
    if (detail::turned_input_grad(s, gy, w, bias, gx)) return;
  }
  if (multiply_pixels<T>(s, gy, s.out_channels, gx, s.in_channels, {w.data, w.in_step, w.out_step, w.owner},
                         bias))
    return;
  if (detail::rows_input_grad(s, gy, w, bias, gx)) return;
  if constexpr (std::is_same_v<T, float>) {
    if (groups_suit_input_grad(s, gx)) return detail::groups_input_grad(s, gy, w, bias, gx);
  }
  if (detail::columns_suit_input_grad(s)) return detail::columns_input_grad(s, gy, w, bias, gx);
  detail::gemm_input_grad(s, gy, w, bias, gx);
}

}  // namespace detail

template <class T>
void conv_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                  const ConvImages& y) {
  detail::any_forward(s, x, w, bias, y, true);
}
template <class T>
void conv_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                     const ConvImages& gx) {
  detail::any_input_grad(s, gy, w, bias, gx, true);
}

template <class T>
void conv_weight_grad(const ConvShape& s, const ConvImages& images, const ConvImages& grad, T* gw) {
  const Agreeing layouts(images, grad);
  const ConvImages &x = layouts.a, &gy = layouts.b;
  const int64_t size = s.out_channels * s.in_group() * s.taps(), pixels = s.batch * s.out_pixels();
  if (size == 0) return;
  if (pixels * s.in_pixels() == 0) {
    std::fill(gw, gw + size, T(0));
    return;
  }
  if (detail::depth_weight_grad(s, x, gy, gw)) return;
  if constexpr (std::is_same_v<T, float>) {
    if (detail::depthwise_last_weight_grad(s, x, gy, gw)) return;
    if (detail::dots_suit_weight_grad(s, x, gy)) return detail::dots_weight_grad(s, x, gy, gw);
    if (pixels_suit(s, x, gy)) return detail::pixels_weight_grad(s, x, gy, gw);
    if (detail::tiles_suit_weight_grad(s, x, gy)) return detail::gemm_weight_grad(s, x, gy, gw);
    const int64_t tile = detail::winograd_weight_grad_size(s, x.channels_last);
    if (tile > 0 && detail::winograd_images_weight_grad(s, tile, x, gy, gw)) return;
    if (detail::stretches_suit_weight_grad(s, x, gy)) return detail::stretches_weight_grad(s, x, gy, gw);
    if (detail::turned_weight_grad(s, x, gy, gw)) return;
    if (planes_suit_weight_grad(s) && !x.channels_last && !gy.channels_last &&
        !detail::pointwise_suits<T>(s, x, gy))
      return detail::planes_weight_grad(s, x, gy, gw);
  }
  if (detail::pointwise_weight_grad(s, x, gy, gw)) return;
  detail::gemm_weight_grad(s, x, gy, gw);
}

template <class T>
void conv_bias_grad(const ConvShape& s, const ConvImages& gy, T* gb) {
  const int64_t pixels = s.out_pixels(), some = 16;
  const T* whole = planes<T>(gy);
  const int64_t part = whole ? pixels : std::min<int64_t>(pixels, 256);
  const std::vector<T> ones(part, T(1));
  const int64_t grain = std::max<int64_t>(1, 16384 / some / std::max<int64_t>(1, s.batch * pixels));
  parallel_for(0, (s.out_channels + some - 1) / some, grain, [&](int64_t first, int64_t last) {
    T sums[some];
    T* read = whole ? nullptr : scratch<Scratch::Output, T>(some * part);
    for (int64_t c = first * some; c < std::min(last * some, s.out_channels); c += some) {
      const int64_t n = std::min(some, s.out_channels - c);
      double total[some] = {};
      for (int64_t image = 0; image < s.batch; ++image) {
        for (int64_t p = 0; p < pixels; p += part) {
          const int64_t count = std::min(part, pixels - p);
          if (!whole) read_planes(gy, image, c, n, p, 1, count, read, part);
          const T* g = whole ? whole + (image * s.out_channels + c) * pixels : read;
          if constexpr (std::is_same_v<T, float>) {
            kernels::table().gemv_dot_f32(n, count, g, part, ones.data(), sums);
          } else {
            kernels::table().gemv_dot_f64(n, count, g, part, ones.data(), sums);
          }
          for (int64_t i = 0; i < n; ++i) total[i] += sums[i];
        }
      }
      for (int64_t i = 0; i < n; ++i) gb[c + i] = T(total[i]);
    }
  });
}

#define NNLIB_INSTANTIATE(T)                                                                             \
  template void conv_forward<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*,    \
                                const ConvImages&);                                                      \
  template void conv_input_grad<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*, \
                                   const ConvImages&);                                                   \
  template void conv_weight_grad<T>(const ConvShape&, const ConvImages&, const ConvImages&, T*);         \
  template void conv_bias_grad<T>(const ConvShape&, const ConvImages&, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
template void detail::any_forward<float>(const ConvShape&, const ConvImages&, const ConvWeights<float>&,
                                         const float*, const ConvImages&, bool);
template void detail::any_input_grad<float>(const ConvShape&, const ConvImages&, const ConvWeights<float>&,
                                            const float*, const ConvImages&, bool);
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers
