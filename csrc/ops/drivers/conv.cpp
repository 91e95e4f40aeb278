#include "ops/drivers/conv.h"

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers {

namespace {

std::atomic<bool> winograd_on{true};

bool is_pointwise(const ConvShape& s) {
  for (int i = 0; i < 3; ++i) {
    if (s.kernel[i] != 1 || s.stride[i] != 1 || s.padding[i] != 0 || s.out[i] != s.in[i]) return false;
  }
  return true;
}

// The share of a vector's lanes that n elements in a row use.
double filled(int64_t n, int64_t width) { return double(n) / double((n + width - 1) / width * width); }

// Weight gradients as sums over planes (lanes are pixels of a line), rather than as a matrix product (lanes
// are output channels): the better by how many lanes work and how often sums are taken across them.
bool planes_suit_weight_grad(const ConvShape& s) {
  const int64_t width = kernels::table().lines_nr / 2, co = s.out_group();
  const double product = 0.8 * filled(co, width);
  const double steps = double(s.out[1]) * double((s.out[2] + width - 1) / width);
  const double reuse = co >= 4 ? 0.5 : 0.3, planes = reuse * filled(s.out[2], width) * steps / (steps + 10);
  return planes > product;
}

}  // namespace

bool winograd() { return winograd_on.load(std::memory_order_relaxed); }
void set_winograd(bool on) { winograd_on.store(on, std::memory_order_relaxed); }

ConvChoice choose_conv(const ConvShape& s) {
  if (s.in_group() == 1 && s.out_group() <= 4) {
    return {ConvAlgorithm::Depthwise,
            "one input channel a group: a matrix of few rows would only be gathered"};
  }
  if (is_pointwise(s))
    return {ConvAlgorithm::Pointwise, "1x1, stride 1: the images are the matrix, nothing to gather"};
  if (detail::winograd_size(s) > 0)
    return {ConvAlgorithm::Winograd, "3x3, stride 1, enough channels and pixels: fewer multiplications"};
  return {ConvAlgorithm::ImplicitGemm, "the im2col matrix is gathered block by block while it is multiplied"};
}

template <class T>
void conv_forward(const ConvShape& s, const T* x, const T* w, const T* bias, T* y) {
  if (s.batch * s.out_channels * s.out_pixels() == 0) return;
  if (s.in_group() == 0) {  // a sum of nothing
    const int64_t pixels = s.out_pixels();
    for (int64_t i = 0; i < s.batch * s.out_channels; ++i) {
      std::fill_n(y + i * pixels, pixels, bias ? bias[i % s.out_channels] : T(0));
    }
    return;
  }
  if constexpr (std::is_same_v<T, float>) {
    const ConvAlgorithm algorithm = choose_conv(s).algorithm;
    if (algorithm == ConvAlgorithm::Depthwise) return detail::depthwise_forward(s, x, w, bias, y);
    if (algorithm == ConvAlgorithm::Winograd &&
        detail::winograd_forward(s, detail::winograd_size(s), x, w, bias, y)) {
      return;
    }
  }
  detail::gemm_forward(s, x, w, bias, y);
}

template <class T>
void conv_input_grad(const ConvShape& s, const T* gy, const T* w, const T* bias, T* gx) {
  if (s.batch * s.in_channels * s.in_pixels() == 0) return;
  if constexpr (std::is_same_v<T, float>) {
    if (s.in_group() == 1 && s.out_group() == 1) return detail::depthwise_input_grad(s, gy, w, bias, gx);
    const int64_t size = detail::winograd_input_grad_size(s);
    if (size > 0 && detail::winograd_input_grad(s, size, gy, w, bias, gx)) return;
  }
  detail::gemm_input_grad(s, gy, w, bias, gx);
}

template <class T>
void conv_weight_grad(const ConvShape& s, const T* x, const T* gy, T* gw) {
  const int64_t size = s.out_channels * s.in_group() * s.taps(), pixels = s.batch * s.out_pixels();
  if (size == 0) return;
  if (pixels == 0) {
    std::fill(gw, gw + size, T(0));
    return;
  }
  if constexpr (std::is_same_v<T, float>) {
    const int64_t size = detail::winograd_weight_grad_size(s);
    if (size > 0 && detail::winograd_weight_grad(s, size, x, gy, gw)) return;
    if (planes_suit_weight_grad(s)) return detail::planes_weight_grad(s, x, gy, gw);
  }
  detail::gemm_weight_grad(s, x, gy, gw);
}

template <class T>
void conv_bias_grad(const ConvShape& s, const T* gy, T* gb) {
  const int64_t pixels = s.out_pixels(), stride = s.out_channels * pixels;
  const std::vector<T> ones(pixels, T(1));
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, s.batch * pixels));
  parallel_for(0, s.out_channels, grain, [&](int64_t first, int64_t last) {
    T* sums = scratch<Scratch::Rows, T>(s.batch);
    for (int64_t c = first; c < last; ++c) {
      if constexpr (std::is_same_v<T, float>) {
        kernels::table().gemv_dot_f32(s.batch, pixels, gy + c * pixels, stride, ones.data(), sums);
      } else {
        kernels::table().gemv_dot_f64(s.batch, pixels, gy + c * pixels, stride, ones.data(), sums);
      }
      double total = 0;
      for (int64_t n = 0; n < s.batch; ++n) total += sums[n];
      gb[c] = T(total);
    }
  });
}

#define NNLIB_INSTANTIATE(T)                                                            \
  template void conv_forward<T>(const ConvShape&, const T*, const T*, const T*, T*);    \
  template void conv_input_grad<T>(const ConvShape&, const T*, const T*, const T*, T*); \
  template void conv_weight_grad<T>(const ConvShape&, const T*, const T*, T*);          \
  template void conv_bias_grad<T>(const ConvShape&, const T*, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers
