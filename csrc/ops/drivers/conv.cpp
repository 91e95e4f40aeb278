#include "ops/drivers/conv.h"

#include <memory>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv_gather.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers {

namespace {

// Columns (pixels) that a task takes at once: its packed part of the im2col matrix stays in the second-level
// cache.
constexpr int64_t kColumns = 256;
constexpr int64_t kMaxPanel = 64;
// Multiplications that are worth waking a thread.
constexpr int64_t kSerialConv = 1 << 20;

bool is_pointwise(const ConvShape& s) {
  for (int i = 0; i < 3; ++i) {
    if (s.kernel[i] != 1 || s.stride[i] != 1 || s.padding[i] != 0 || s.out[i] != s.in[i]) return false;
  }
  return true;
}

// A panel of nr columns of rows [k0, k0 + kc) of the im2col matrix, for each panel of the block.
template <class T>
void pack_columns(const ConvShape& s, bool pointwise, const T* x, int64_t group, int64_t k0, int64_t kc,
                  int64_t column, int64_t columns, int64_t nr, T* dst) {
  const int64_t panels = (columns + nr - 1) / nr, pixels = s.out_pixels();
  if (pointwise) {  // the matrix is the image itself
    for (int64_t j = 0; j < columns; j += nr) {
      const int64_t n = std::min(nr, columns - j), image = (column + j) / pixels,
                    pixel = (column + j) % pixels;
      if (pixel + n <= pixels) {
        const T* src = x + (image * s.in_channels + group * s.in_group() + k0) * pixels + pixel;
        pack_panel(nr, n, kc, src, 1, pixels, T(1), dst + j * kc);
        continue;
      }
      for (int64_t k = 0; k < kc; ++k) {
        T* row = dst + j * kc + k * nr;
        gather_row(s, x, group, k0 + k, pixel_of(s, column + j), n, row);
        std::fill(row + n, row + nr, T(0));
      }
    }
    return;
  }
  alignas(64) T row[kColumns + kMaxPanel];
  std::fill(row + columns, row + panels * nr, T(0));
  const Pixel start = pixel_of(s, column);
  for (int64_t k = 0; k < kc; ++k) {
    gather_row(s, x, group, k0 + k, start, columns, row);
    for (int64_t j = 0; j < panels; ++j) std::copy(row + j * nr, row + (j + 1) * nr, dst + (j * kc + k) * nr);
  }
}

// The weights of all groups in panels, made once a call: [group][block of k][panel of rows][k][mr].
template <class T>
struct PackedWeights {
  PackedWeights(const ConvShape& s, const T* w, const TileKernel<T>& tile)
      : k(s.in_group() * s.taps()),
        kc(balanced_block(k, tile.kc, 1)),
        panels((s.out_group() + tile.mr - 1) / tile.mr),
        mr(tile.mr),
        data(scratch<Scratch::Weights, T>(s.groups * panels * mr * k)) {
    const int64_t rows = s.out_group();
    parallel_for(0, s.groups * panels, std::max<int64_t>(1, 8192 / (mr * k)),
                 [&](int64_t first, int64_t last) {
                   for (int64_t p = first; p < last; ++p) {
                     const int64_t group = p / panels, i = p % panels * mr;
                     for (int64_t k0 = 0; k0 < k; k0 += kc) {
                       const int64_t depth = std::min(kc, k - k0);
                       pack_panel(mr, std::min(mr, rows - i), depth, w + (group * rows + i) * k + k0, k, 1,
                                  T(1), panel(group, k0, depth, p % panels));
                     }
                   }
                 });
  }
  T* panel(int64_t group, int64_t k0, int64_t depth, int64_t p) const {
    return data + group * panels * mr * k + k0 * panels * mr + p * mr * depth;
  }
  int64_t k, kc, panels, mr;
  T* data;
};

// One block of columns of one group: y = W im2col(x) + bias.
template <class T>
void forward_block(const ConvShape& s, bool pointwise, const TileKernel<T>& tile,
                   const PackedWeights<T>& weights, const T* x, const T* bias, T* y, int64_t group,
                   int64_t column, int64_t columns) {
  const int64_t rows = s.out_group(), pixels = s.out_pixels(), nr = tile.nr, mr = tile.mr;
  T* b = scratch<Scratch::PanelsB, T>(weights.kc * (kColumns + kMaxPanel));
  T* straddling = scratch<Scratch::Output, T>(mr * nr);
  for (int64_t k0 = 0; k0 < weights.k; k0 += weights.kc) {
    const int64_t kc = std::min(weights.kc, weights.k - k0);
    pack_columns(s, pointwise, x, group, k0, kc, column, columns, nr, b);
    for (int64_t i = 0; i < rows; i += mr) {
      const T* a = weights.panel(group, k0, kc, i / mr);
      const int64_t m = std::min(mr, rows - i);
      const T* row_bias = bias ? bias + group * rows + i : nullptr;
      for (int64_t j = 0; j < columns; j += nr) {
        const int64_t n = std::min(nr, columns - j), pixel = (column + j) % pixels;
        const auto line = [&](int64_t image) {
          return y + (image * s.out_channels + group * rows + i) * pixels;
        };
        if (pixel + n <= pixels) {
          T* c = line((column + j) / pixels) + pixel;
          tile.run(kc, a, b + j * kc, nr, c, pixels, m, n, row_bias, nullptr, k0 > 0);
          continue;
        }
        // The panel lies in two or more images: go through a tile of its own.
        const auto copy = [&](bool out) {
          for_stretches(s, column + j, n, [&](int64_t image, int64_t first, int64_t offset, int64_t len) {
            for (int64_t r = 0; r < m; ++r) {
              T *inner = straddling + r * nr + offset, *outer = line(image) + r * pixels + first;
              std::copy(out ? inner : outer, (out ? inner : outer) + len, out ? outer : inner);
            }
          });
        };
        if (k0 > 0) copy(false);
        tile.run(kc, a, b + j * kc, nr, straddling, nr, m, n, row_bias, nullptr, k0 > 0);
        copy(true);
      }
    }
  }
}

template <class T>
void gemm_forward(const ConvShape& s, const T* x, const T* w, const T* bias, T* y) {
  const TileKernel<T> tile = tile_kernel<T>();
  const bool pointwise = is_pointwise(s);
  const PackedWeights<T> weights(s, w, tile);
  const int64_t columns = s.batch * s.out_pixels();
  // Small problems in smaller blocks, so that every thread has some.
  const int64_t share = (columns * s.groups + num_threads() - 1) / num_threads();
  const int64_t block =
      std::clamp((share + tile.nr - 1) / tile.nr * tile.nr, tile.nr, kColumns / tile.nr * tile.nr);
  const int64_t blocks = (columns + block - 1) / block;
  const int64_t work = s.out_group() * weights.k * block;
  const int64_t grain = std::max<int64_t>(1, kSerialConv / std::max<int64_t>(1, work));
  parallel_for(0, blocks * s.groups, grain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t group = t % s.groups, column = t / s.groups * block;
      forward_block(s, pointwise, tile, weights, x, bias, y, group, column,
                    std::min(block, columns - column));
    }
  });
}

// w[Co, Ci / g, taps] as the weights of the convolution that goes the other way, [Ci, Co / g, chosen taps
// flipped].
template <class T>
std::unique_ptr<T[]> turned_weights(const ConvShape& s, const T* w, const int64_t (&first)[3],
                                    const int64_t (&step)[3], const int64_t (&count)[3]) {
  const int64_t ci = s.in_group(), co = s.out_group(), chosen = count[0] * count[1] * count[2];
  std::unique_ptr<T[]> turned(new T[s.in_channels * co * chosen]);
  parallel_for(0, s.in_channels, std::max<int64_t>(1, 16384 / (co * chosen)), [&](int64_t from, int64_t to) {
    T* dst = turned.get() + from * co * chosen;
    for (int64_t c = from; c < to; ++c) {
      for (int64_t o = 0; o < co; ++o) {
        const T* filter = w + ((c / ci * co + o) * ci + c % ci) * s.taps();
        for (int64_t z = count[0] - 1; z >= 0; --z) {
          for (int64_t y = count[1] - 1; y >= 0; --y) {
            for (int64_t x = count[2] - 1; x >= 0; --x) {
              const int64_t kz = first[0] + z * step[0], ky = first[1] + y * step[1],
                            kx = first[2] + x * step[2];
              *dst++ = filter[(kz * s.kernel[1] + ky) * s.kernel[2] + kx];
            }
          }
        }
      }
    }
  });
  return turned;
}

// The input pixels i with (i + padding) % stride == r, in one dimension: which taps reach them, and the
// ordinary convolution of gy that gives them.
struct Phase {
  int64_t first_pixel, pixels, first_tap, tap_step, taps, padding, dilation;
};
Phase phase_of(const ConvShape& s, int d, int64_t r) {
  const int64_t stride = s.stride[d], dilation = s.dilation[d], padding = s.padding[d];
  Phase p{};
  p.first_pixel = ((r - padding) % stride + stride) % stride;
  p.pixels = p.first_pixel < s.in[d] ? (s.in[d] - p.first_pixel + stride - 1) / stride : 0;
  // Tap k reaches these pixels when k * dilation = r + stride * e; then the output pixel is q - e.
  int64_t second = -1;
  p.first_tap = -1;
  for (int64_t k = 0; k < s.kernel[d]; ++k) {
    if ((k * dilation - r) % stride != 0) continue;
    if (p.first_tap < 0) p.first_tap = k;
    if (p.taps == 1) second = k;
    ++p.taps;
  }
  if (p.taps == 0) return p;
  p.tap_step = second < 0 ? 1 : second - p.first_tap;
  p.dilation = second < 0 ? 1 : p.tap_step * dilation / stride;
  const int64_t shift = (p.first_tap * dilation - r) / stride, q0 = (p.first_pixel + padding - r) / stride;
  p.padding = shift + (p.taps - 1) * p.dilation - q0;
  return p;
}

// Writes the pixels of one phase, y[N, Ci, *pixels] (null: the bias alone), into their places in gx.
template <class T>
void scatter_phase(const ConvShape& s, const Phase (&p)[3], const T* y, const T* bias, T* gx) {
  const int64_t pixels = p[0].pixels * p[1].pixels * p[2].pixels;
  parallel_for(0, s.batch * s.in_channels, std::max<int64_t>(1, 8192 / pixels),
               [&](int64_t first, int64_t last) {
                 for (int64_t plane = first; plane < last; ++plane) {
                   const T* src = y ? y + plane * pixels : nullptr;
                   const T fixed = bias ? bias[plane % s.in_channels] : T(0);
                   for (int64_t z = 0; z < p[0].pixels; ++z) {
                     for (int64_t line = 0; line < p[1].pixels; ++line) {
                       const int64_t at_z = p[0].first_pixel + z * s.stride[0],
                                     at_y = p[1].first_pixel + line * s.stride[1];
                       T* dst = gx + ((plane * s.in[0] + at_z) * s.in[1] + at_y) * s.in[2] + p[2].first_pixel;
                       for (int64_t i = 0; i < p[2].pixels; ++i) dst[i * s.stride[2]] = src ? *src++ : fixed;
                     }
                   }
                 }
               });
}

}  // namespace

ConvChoice choose_conv(const ConvShape& s) {
  if (s.in_group() == 1 && s.out_group() <= 4 && s.kernel[0] == 1 && s.in[0] == 1 && s.stride[0] == 1 &&
      s.padding[0] == 0 && s.out[0] == 1) {
    return {ConvAlgorithm::Depthwise,
            "one input channel a group: a matrix of few rows would only be gathered"};
  }
  if (is_pointwise(s))
    return {ConvAlgorithm::Pointwise, "1x1, stride 1: the images are the matrix, nothing to gather"};
  return {ConvAlgorithm::ImplicitGemm, "the im2col matrix is packed block by block while it is multiplied"};
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
    if (choose_conv(s).algorithm == ConvAlgorithm::Depthwise)
      return detail::depthwise_forward(s, x, w, bias, y);
  }
  gemm_forward(s, x, w, bias, y);
}

// A stride of s leaves s phases of input pixels in each dimension, which different taps reach: each phase is
// an ordinary convolution of gy with stride 1, and no product with a zero is computed.
template <class T>
void conv_input_grad(const ConvShape& s, const T* gy, const T* w, const T* bias, T* gx) {
  if (s.batch * s.in_channels * s.in_pixels() == 0) return;
  const bool whole = s.stride[0] == 1 && s.stride[1] == 1 && s.stride[2] == 1;
  std::vector<T> part;
  const int64_t phases = s.stride[0] * s.stride[1] * s.stride[2];
  for (int64_t f = 0; f < phases; ++f) {
    const int64_t r[3] = {f / (s.stride[1] * s.stride[2]), f / s.stride[2] % s.stride[1], f % s.stride[2]};
    const Phase p[3] = {phase_of(s, 0, r[0]), phase_of(s, 1, r[1]), phase_of(s, 2, r[2])};
    const int64_t pixels = p[0].pixels * p[1].pixels * p[2].pixels, taps = p[0].taps * p[1].taps * p[2].taps;
    if (pixels == 0) continue;
    if (taps == 0) {
      scatter_phase<T>(s, p, nullptr, bias, gx);
      continue;
    }
    ConvShape back{s.batch, s.out_channels, s.in_channels, s.groups, {}, {}, {}, {1, 1, 1}, {}, {}};
    int64_t first[3], step[3], count[3];
    for (int d = 0; d < 3; ++d) {
      back.in[d] = s.out[d], back.kernel[d] = p[d].taps, back.out[d] = p[d].pixels;
      back.padding[d] = p[d].padding, back.dilation[d] = p[d].dilation;
      first[d] = p[d].first_tap, step[d] = p[d].tap_step, count[d] = p[d].taps;
    }
    const std::unique_ptr<T[]> turned = turned_weights(s, w, first, step, count);
    if (whole) return conv_forward(back, gy, turned.get(), bias, gx);
    part.resize(s.batch * s.in_channels * pixels);
    conv_forward(back, gy, turned.get(), bias, part.data());
    scatter_phase(s, p, part.data(), bias, gx);
  }
}

namespace {

// One chunk of the batch's pixels and one block of columns (channel, tap): part[Co / g, columns] = gy
// im2col(x)^T.
template <class T>
void weight_grad_block(const ConvShape& s, const TileKernel<T>& tile, const T* x, const T* gy, int64_t group,
                       int64_t pixel0, int64_t pixel1, int64_t column, int64_t columns, T* part, int64_t ld) {
  const int64_t rows = s.out_group(), pixels = s.out_pixels(), mr = tile.mr, nr = tile.nr;
  const int64_t kc_max = std::max<int64_t>(1, balanced_block(pixel1 - pixel0, tile.kc, 1));
  T* a = scratch<Scratch::PanelsA, T>(mr * kc_max);
  T* b = scratch<Scratch::PanelsB, T>(kc_max * (columns + nr));
  T* lines = scratch<Scratch::Columns, T>(nr * kc_max);
  for (int64_t k0 = pixel0; k0 < pixel1; k0 += kc_max) {
    const int64_t kc = std::min(kc_max, pixel1 - k0);
    const Pixel start = pixel_of(s, k0);
    for (int64_t j = 0; j < columns; j += nr) {
      const int64_t n = std::min(nr, columns - j);
      for (int64_t q = 0; q < n; ++q) gather_row(s, x, group, column + j + q, start, kc, lines + q * kc);
      pack_panel(nr, n, kc, lines, kc, 1, T(1), b + j * kc);
    }
    for (int64_t i = 0; i < rows; i += mr) {
      const int64_t m = std::min(mr, rows - i);
      for_stretches(s, k0, kc, [&](int64_t image, int64_t pixel, int64_t offset, int64_t len) {
        const T* src = gy + (image * s.out_channels + group * rows + i) * pixels + pixel;
        pack_panel(mr, m, len, src, pixels, 1, T(1), a + offset * mr);
      });
      for (int64_t j = 0; j < columns; j += nr) {
        tile.run(kc, a, b + j * kc, nr, part + i * ld + column + j, ld, m, std::min(nr, columns - j), nullptr,
                 nullptr, k0 > pixel0);
      }
    }
  }
}

}  // namespace

// The sum over the batch is cut into a number of chunks that depends on the shape alone; their partial sums
// are added in order.
template <class T>
void conv_weight_grad(const ConvShape& s, const T* x, const T* gy, T* gw) {
  const int64_t size = s.out_channels * s.in_group() * s.taps(), pixels = s.batch * s.out_pixels();
  if (size == 0) return;
  if (pixels == 0) {
    std::fill(gw, gw + size, T(0));
    return;
  }
  if constexpr (std::is_same_v<T, float>) {
    if (choose_conv(s).algorithm == ConvAlgorithm::Depthwise)
      return detail::depthwise_weight_grad(s, x, gy, gw);
  }
  const TileKernel<T> tile = tile_kernel<T>();
  const int64_t ld = s.in_group() * s.taps();
  const int64_t block = std::max(tile.nr, kColumns / tile.nr * tile.nr), blocks = (ld + block - 1) / block;
  const int64_t wanted = (32 + s.groups * blocks - 1) / (s.groups * blocks), most = (int64_t(1) << 23) / size;
  const int64_t chunks = std::clamp<int64_t>(std::min(wanted, most), 1, (pixels + 1023) / 1024);
  const int64_t per_chunk = (pixels + chunks - 1) / chunks;
  std::unique_ptr<T[]> parts(chunks > 1 ? new T[chunks * size] : nullptr);
  T* const out = chunks > 1 ? parts.get() : gw;
  const int64_t rows = s.out_group();
  parallel_for(0, chunks * s.groups * blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t chunk = t / (s.groups * blocks), group = t / blocks % s.groups,
                    column = t % blocks * block;
      const int64_t from = std::min(pixels, chunk * per_chunk), to = std::min(pixels, from + per_chunk);
      T* part = out + chunk * size + group * rows * ld;
      const int64_t columns = std::min(block, ld - column);
      if (from == to) {  // rounding up the chunks' size has left this one empty
        for (int64_t i = 0; i < rows; ++i) std::fill_n(part + i * ld + column, columns, T(0));
      } else {
        weight_grad_block(s, tile, x, gy, group, from, to, column, columns, part, ld);
      }
    }
  });
  if (chunks == 1) return;
  parallel_for(0, size, 4096, [&](int64_t first, int64_t last) {
    std::copy(out + first, out + last, gw + first);
    for (int64_t c = 1; c < chunks; ++c) {
      for (int64_t i = first; i < last; ++i) gw[i] += out[c * size + i];
    }
  });
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
