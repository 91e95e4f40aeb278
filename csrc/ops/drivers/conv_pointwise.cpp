// 1x1 convolutions of stride 1, and weight gradients of patches, as products of matrices that lie in memory:
// the channels of an image are rows of its pixels or, with channels last, the pixels of all images are rows
// of channels.
#include <algorithm>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/gemm.h"
#include "ops/drivers/gemm_bf16.h"
#include "ops/drivers/gemm_block.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

namespace {

// Pixels of an image that make a product worth its passes over the gradient, where there are more.
constexpr int64_t kLeastPixels = 128;
// So few output channels that a product reads the images where they lie; so few pixels that weights are
// better the operand in panels, which products weigh.
constexpr int64_t kFewChannels = 24, kFewPixels = 64;
// So few input channels that several tiles of output channels read the images together.
constexpr int64_t kFewRead = 64;
// Channels that make copying small images side by side worth it, and the pixels of a copy.
constexpr int64_t kManyChannels = 64, kCopiedPixels = 1024;
// Pixels of a patch's line that make copying lines worth it.
constexpr int64_t kPatchLine = 4;
// Of a strip of pixels whose sums stay in the first-level cache, and the channels whose lines pass along it
// together: as many streams of memory as a processor follows, and not a line of each of all channels.
constexpr int64_t kStrip = 1024, kStreams = 16;
constexpr int64_t kStreamed = 1 << 16;  // elements that are worth waking a thread
// Partial sums of weight gradients: how many, of how many elements together, and the pixels of one at least.
constexpr int64_t kChunks = 32, kPartialSums = int64_t(1) << 21, kChunkPixels = 1024;

// Calls product(i) for i < count, by one thread each or one after the other with all threads: a product has
// the same bits either way.
template <class F>
void for_products(int64_t count, F product) {
  if (count < num_threads()) {
    for (int64_t i = 0; i < count; ++i) product(i);
    return;
  }
  parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) product(i);
  });
}

// y[c * batch * pixels + i * pixels + p] = x[i][c][p]: the pixels of all images side by side.
template <class T>
void side_by_side(int64_t batch, int64_t channels, int64_t pixels, const T* x, T* y) {
  parallel_for(0, channels, std::max<int64_t>(1, 16384 / (batch * pixels)), [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      for (int64_t i = 0; i < batch; ++i)
        std::copy_n(x + (i * channels + c) * pixels, pixels, y + (c * batch + i) * pixels);
    }
  });
}

// Kernels that meet each pixel of the image at most once, by lines of pixels.
bool patches(const ConvShape& s) {
  for (int d = 0; d < 3; ++d) {
    if (s.stride[d] != s.kernel[d] || s.padding[d] != 0 || (s.dilation[d] != 1 && s.kernel[d] > 1))
      return false;
  }
  return s.kernel[2] >= kPatchLine;
}

// y[p * Ci * taps + k]: the patches of images [0, batch), as rows.
template <class T>
void patch_rows(const ConvShape& s, int64_t batch, const T* x, T* y) {
  const int64_t k = s.in_channels * s.taps(), lines = s.kernel[0] * s.kernel[1], n = s.kernel[2];
  parallel_for(0, batch * s.out[0] * s.out[1], 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t image = row / (s.out[0] * s.out[1]), z = row / s.out[1] % s.out[0], v = row % s.out[1];
      for (int64_t q = 0; q < s.in_channels * lines; ++q) {
        const int64_t plane =
            (image * s.in_channels + q / lines) * s.in[0] + z * s.kernel[0] + q % lines / s.kernel[1];
        const T* from = x + (plane * s.in[1] + v * s.kernel[1] + q % s.kernel[1]) * s.in[2];
        T* to = y + row * s.out[2] * k + q * n;
        for (int64_t p = 0; p < s.out[2]; ++p) std::copy_n(from + p * n, n, to + p * k);
      }
    }
  });
}

// The weight gradient of many channels on small images or of patches, as products over the pixels of several
// images that are copied.
template <class T>
void copied_weight_grad(const ConvShape& s, const T* x, const T* gy, T* gw) {
  const int64_t pixels = s.out_pixels(), co = s.out_channels, ci = s.in_channels, rows = ci * s.taps();
  const int64_t some = std::clamp<int64_t>(kCopiedPixels / pixels, 1, s.batch),
                parts = (s.batch + some - 1) / some;
  T* from = scratch<Scratch::ImagesIn, T>(rows * some * pixels);
  T* grad = scratch<Scratch::ImagesOut, T>(co * some * pixels);
  for (int64_t p = 0; p < parts; ++p) {
    const int64_t first = s.batch * p / parts, images = s.batch * (p + 1) / parts - first,
                  k = images * pixels;
    side_by_side(images, co, pixels, gy + first * co * pixels, grad);
    Strided<T> b{from, 1, k};
    if (s.taps() == 1) {
      side_by_side(images, ci, pixels, x + first * ci * pixels, from);
    } else {
      patch_rows(s, images, x + first * ci * s.in_pixels(), from);
      b = {from, rows, 1};
    }
    gemm<T>(co, rows, k, 1, {grad, k, 1}, b, p > 0 ? 1 : 0, gw, rows);
  }
}

// y[j] = the sum of w[k] x[k * ldx + j] (+ the bias) for j < n.
void weighted_sum(int64_t n, int64_t k, const float* x, int64_t ldx, const float* w, const float* bias,
                  float* y) {
  kernels::table().gemv_axpy_f32(n, k, x, ldx, w, y);
  if (bias) kernels::table().add_rows_f32(1, n, y, n, 1, bias, 0, 0, y, n);
}
void weighted_sum(int64_t n, int64_t k, const double* x, int64_t ldx, const double* w, const double* bias,
                  double* y) {
  kernels::table().gemv_axpy_f64(n, k, x, ldx, w, y);
  if (bias) kernels::table().add_rows_f64(1, n, y, n, 1, bias, 0, 0, y, n);
}

// y = w x (+ bias) of few output channels: the images are read once, and how quickly they come sets the time.
template <class T>
void stream_images(int64_t batch, int64_t pixels, int64_t ci, const T* x, int64_t co, const Strided<T>& w,
                   const T* bias, T* y) {
  const TileKernel<T> tile = tile_kernel<T>();
  const int64_t nr = tile.nr, strips = (pixels + kStrip - 1) / kStrip, whole = pixels / nr * nr;
  const int64_t step = co == 1 ? 1 : tile.mr, panels = (co + step - 1) / step;
  T* packed = scratch<Scratch::Weights, T>(panels * step * ci);
  for (int64_t p = 0; p < panels; ++p)
    pack_panel(step, std::min(step, co - p * step), ci, w.data + p * step * w.rs, w.rs, w.cs, T(1),
               packed + p * step * ci);
  // Channels [k, k + kc) of some pixels, by all panels while they are near.
  const auto multiply = [&](int64_t k, int64_t kc, const T* from, int64_t ld, int64_t n, T* to) {
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t c = p * step;
      tile.run(kc, packed + c * ci + k * step, from, ld, to + c * pixels, pixels, std::min(step, co - c), n,
               bias ? bias + c : nullptr, nullptr, k > 0);
    }
  };
  const int64_t grain = std::max<int64_t>(1, kStreamed / (ci * std::min(pixels, kStrip)));
  parallel_for(0, batch * strips, grain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t begin = t % strips * kStrip, end = std::min(begin + kStrip, pixels);
      const T* from = x + t / strips * ci * pixels;
      T* to = y + t / strips * co * pixels;
      if (co == 1) {
        weighted_sum(end - begin, ci, from + begin, pixels, packed, bias, to + begin);
        continue;
      }
      for (int64_t k = 0; k < ci; k += kStreams) {
        const int64_t kc = std::min(kStreams, ci - k);
        for (int64_t j = begin; j < std::min(end, whole); j += nr)
          multiply(k, kc, from + k * pixels + j, pixels, nr, to + j);
      }
      if (end <= whole) continue;
      // Tiles read whole vectors: what is left of each line is copied.
      T* rest = scratch<Scratch::PanelsB, T>(nr * ci);
      pack_panel(nr, end - whole, ci, from + whole, 1, pixels, T(1), rest);
      multiply(0, ci, rest, nr, end - whole, to + whole);
    }
  });
}

}  // namespace

template <class T>
bool pointwise_suits(const ConvShape& s, const ConvImages& a, const ConvImages& b) {
  return s.pointwise() && s.groups == 1 && a.channels_last == b.channels_last &&
         a.dtype == DtypeOf<T>::value && b.dtype == a.dtype;
}

template <class T>
bool pointwise_product(int64_t batch, int64_t pixels, int64_t from_channels, const T* x, int64_t to_channels,
                       const Strided<T>& w, const T* bias, T* y) {
  if (to_channels > kFewChannels && batch * pixels > kFewPixels &&
      !takes_tiles<T>(to_channels, pixels, from_channels))
    return false;
  const bool few =
      to_channels <= tile_kernel<T>().mr || (to_channels <= kFewChannels && from_channels <= kFewRead);
  if (few && pixels > kFewPixels && !takes_tiles<T>(to_channels, pixels, from_channels)) {
    stream_images(batch, pixels, from_channels, x, to_channels, w, bias, y);
    return true;
  }
  for_products(batch, [&](int64_t i) {
    T* out = y + i * to_channels * pixels;
    for (int64_t c = 0; bias && c < to_channels; ++c) std::fill_n(out + c * pixels, pixels, bias[c]);
    gemm<T>(to_channels, pixels, from_channels, 1, w, {x + i * from_channels * pixels, pixels, 1},
            bias ? 1 : 0, out, pixels);
  });
  return true;
}

// The sum over the batch is cut into chunks that depend on the shape alone; their sums are added in order.
template <class T>
bool pointwise_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy, T* gw) {
  const int64_t pixels = s.out_pixels(), all = s.batch * pixels, ci = s.in_channels, co = s.out_channels;
  const bool last = x.channels_last;
  const int64_t rows = ci * s.taps();
  if (s.groups == 1 && patches(s) && planes<T>(x) && planes<T>(gy) && std::min(rows, co) >= kManyChannels) {
    copied_weight_grad(s, planes<T>(x), planes<T>(gy), gw);
    return true;
  }
  if (!pointwise_suits<T>(s, x, gy)) return false;
  const T *from = static_cast<const T*>(x.data), *grad = static_cast<const T*>(gy.data);
  if (!last && s.batch > 1 && pixels < kLeastPixels) {
    if (std::min(ci, co) < kManyChannels) return false;
    copied_weight_grad(s, from, grad, gw);
    return true;
  }
  const int64_t size = co * ci, most = last ? all / kChunkPixels : s.batch;
  const int64_t chunks = std::clamp<int64_t>(std::min(most, kPartialSums / size), 1, kChunks);
  T* sums = chunks == 1 ? gw : scratch<Scratch::Sums, T>(chunks * size);
  for_products(chunks, [&](int64_t c) {
    T* sum = sums + c * size;
    if (last) {
      const int64_t first = all * c / chunks, count = all * (c + 1) / chunks - first;
      gemm<T>(co, ci, count, 1, {grad + first * co, 1, co}, {from + first * ci, ci, 1}, 0, sum, ci);
      return;
    }
    const int64_t first = s.batch * c / chunks, last = s.batch * (c + 1) / chunks;
    for (int64_t i = first; i < last; ++i) {
      gemm<T>(co, ci, pixels, 1, {grad + i * co * pixels, pixels, 1}, {from + i * ci * pixels, 1, pixels},
              i > first ? 1 : 0, sum, ci);
    }
  });
  if (chunks == 1) return true;
  parallel_for(0, size, 4096, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      T sum = sums[i];
      for (int64_t c = 1; c < chunks; ++c) sum += sums[c * size + i];
      gw[i] = sum;
    }
  });
  return true;
}

#define NNLIB_INSTANTIATE(T)                                                                          \
  template bool pointwise_suits<T>(const ConvShape&, const ConvImages&, const ConvImages&);           \
  template bool pointwise_product<T>(int64_t, int64_t, int64_t, const T*, int64_t, const Strided<T>&, \
                                     const T*, T*);                                                   \
  template bool pointwise_weight_grad<T>(const ConvShape&, const ConvImages&, const ConvImages&, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers::detail
