// Convolution as a matrix product, W im2col(x), whose right side is gathered a block of pixels at a time and
// never held whole. After Dukhan, "The indirect convolution algorithm", 2019, in that addresses are looked up
// rather than computed; here lines are.
#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_frame.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers::detail {

namespace {

// Pixels that a task takes at once: its gathered part of the matrix stays in the second-level cache.
constexpr int64_t kPixels = 256;
// Multiplications that are worth waking a thread.
constexpr int64_t kSerialConv = 1 << 20;
// Elements of the frames that a task holds at once, one channel at least.
constexpr int64_t kFrameElements = 1 << 17;

bool is_pointwise(const ConvShape& s) {
  for (int i = 0; i < 3; ++i) {
    if (s.kernel[i] != 1 || s.stride[i] != 1 || s.padding[i] != 0 || s.out[i] != s.in[i]) return false;
  }
  return true;
}

// The left side: element (row, channel * taps + t) of group g is w[g * group + row * rs + channel * cs +
// tap[t]]. Without `tap`, rows are contiguous.
template <class T>
struct Weights {
  const T* w;
  int64_t group, rs, cs;
  std::vector<int64_t> tap;
};

// The weights of all groups in panels, made once a call: [group][block of k][panel of rows][k][mr].
template <class T>
class PackedWeights {
 public:
  // Where `s` is the convolution that the weights are for.
  PackedWeights(const ConvShape& s, const TileKernel<T>& tile)
      : mr(tile.mr), rows(s.out_group()), k(s.in_group() * s.taps()), panels((rows + mr - 1) / mr) {
    const int64_t taps = s.taps();
    if (k == 0) return;
    kc = taps <= tile.kc ? balanced_block(s.in_group(), tile.kc / taps, 1) * taps
                         : balanced_block(k, tile.kc, 1);
  }
  int64_t size(int64_t groups) const { return groups * panels * mr * k; }

  void pack(const Weights<T>& w, int64_t groups, T* dst) {
    data = dst;
    parallel_for(0, groups * panels, std::max<int64_t>(1, 8192 / (mr * k)), [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p) {
        const int64_t group = p / panels, i = p % panels * mr, n = std::min(mr, rows - i);
        const T* src = w.w + group * w.group + i * w.rs;
        for (int64_t k0 = 0; k0 < k; k0 += kc) {
          const int64_t depth = std::min(kc, k - k0);
          T* to = panel(group, k0, depth, p % panels);
          if (w.tap.empty()) {
            pack_panel(mr, n, depth, src + k0, w.rs, 1, T(1), to);
          } else if (w.tap.size() == 1) {
            pack_panel(mr, n, depth, src + k0 * w.cs + w.tap[0], w.rs, w.cs, T(1), to);
          } else {
            const int64_t taps = int64_t(w.tap.size());
            for (int64_t q = k0; q < k0 + depth; ++q, to += mr) {
              const T* from = src + q / taps * w.cs + w.tap[q % taps];
              for (int64_t r = 0; r < n; ++r) to[r] = from[r * w.rs];
              std::fill(to + n, to + mr, T(0));
            }
          }
        }
      }
    });
  }
  T* panel(int64_t group, int64_t k0, int64_t depth, int64_t p) const {
    return data + group * panels * mr * k + k0 * panels * mr + p * mr * depth;
  }
  int64_t mr, rows, k, panels, kc = 0;
  T* data = nullptr;
};

// What a thread needs again and again.
template <class T>
struct Workspace {
  explicit Workspace(const ConvShape& s) : frame(s) {}
  ConvFrame frame;
  std::vector<int64_t> pieces, starts, offsets;
};

// Rows [k0, k0 + kc) of the matrix for the pixels of ws.frame, in panels of nr columns with slack between
// them.
template <class T>
void gather_panels(const ConvShape& s, Workspace<T>& ws, const T* x, int64_t group, int64_t k0, int64_t kc,
                   int64_t count, int64_t nr, T* b) {
  const int64_t taps = s.taps(), size = ws.frame.channel_size();
  if (count % nr != 0) {  // lanes that are computed and not stored should hold numbers
    T* last = b + count / nr * (kc * nr + kLineSlack);
    std::fill(last, last + kc * nr, T(0));
  }
  for (int64_t k = k0; k < k0 + kc;) {
    const int64_t channel = k / taps;
    int64_t channels = (k0 + kc - 1) / taps - channel + 1;
    channels = std::min(channels, std::max<int64_t>(1, kFrameElements / size));
    const int64_t end = std::min(k0 + kc, (channel + channels) * taps);
    T* framed = scratch<Scratch::Padded, T>(channels * size + kLineSlack);
    ws.frame.fill(x, group * s.in_group() + channel, channels, framed);
    std::fill_n(framed + channels * size, kLineSlack, T(0));
    ws.offsets.clear();
    for (int64_t row = k; row < end; ++row) ws.offsets.push_back(ws.frame.row(row, channel));
    for (int64_t p = 0; p * nr < count; ++p) {
      const int64_t first = ws.starts[p], pieces = (ws.starts[p + 1] - first) / 2;
      gather_lines(end - k, ws.offsets.data(), pieces, ws.pieces.data() + first, framed,
                   b + p * (kc * nr + kLineSlack) + (k - k0) * nr, nr);
    }
    k = end;
  }
}

// The rows of a group of W im2col(x) + bias for `count` pixels from `pixel` on, C with rows of ldc.
template <class T>
void product_block(const ConvShape& s, const TileKernel<T>& tile, const PackedWeights<T>& weights,
                   Workspace<T>& ws, const T* x, const T* bias, int64_t group, int64_t pixel, int64_t count,
                   T* c, int64_t ldc) {
  const int64_t nr = tile.nr, mr = tile.mr, pixels = s.out_pixels(), panels = (count + nr - 1) / nr;
  T* b = scratch<Scratch::PanelsB, T>(panels * (weights.kc * nr + kLineSlack));
  const bool in_place = is_pointwise(s) && pixel / pixels == (pixel + count - 1) / pixels;
  if (!in_place) {
    ws.frame.place(pixel, count);
    ws.pieces.clear();
    ws.starts.assign(1, 0);
    for (int64_t j = 0; j < count; j += nr) {
      ws.frame.pieces(pixel + j, std::min(nr, count - j), &ws.pieces);
      ws.starts.push_back(int64_t(ws.pieces.size()));
    }
  }
  for (int64_t k0 = 0; k0 < weights.k; k0 += weights.kc) {
    const int64_t kc = std::min(weights.kc, weights.k - k0), panel = kc * nr + kLineSlack;
    if (in_place) {
      const T* src =
          x + (pixel / pixels * s.in_channels + group * s.in_group() + k0) * pixels + pixel % pixels;
      for (int64_t j = 0; j < count; j += nr)
        pack_panel(nr, std::min(nr, count - j), kc, src + j, 1, pixels, T(1), b + j / nr * panel);
    } else {
      gather_panels(s, ws, x, group, k0, kc, count, nr, b);
    }
    for (int64_t i = 0; i < weights.rows; i += mr) {
      const T* a = weights.panel(group, k0, kc, i / mr);
      const int64_t m = std::min(mr, weights.rows - i);
      for (int64_t j = 0; j < count; j += nr) {
        tile.run(kc, a, b + j / nr * panel, nr, c + i * ldc + j, ldc, m, std::min(nr, count - j),
                 bias ? bias + group * weights.rows + i : nullptr, nullptr, k0 > 0);
      }
    }
  }
}

// Blocks small enough that every thread has some.
PixelBlocks blocks_of(const ConvShape& s, int64_t most, int64_t nr) {
  const int64_t share = (s.batch * s.out_pixels() * s.groups + num_threads() - 1) / num_threads();
  return PixelBlocks(s, std::clamp(share, nr, std::max(nr, most / nr * nr)), nr);
}

template <class F>
void for_blocks(const PixelBlocks& blocks, int64_t groups, int64_t work, F f) {
  const int64_t grain = std::max<int64_t>(1, kSerialConv / std::max<int64_t>(1, work * blocks.block));
  parallel_for(0, blocks.count * groups, grain, f);
}

template <class T>
void correlate(const ConvShape& s, const Weights<T>& w, const T* x, const T* bias, T* y) {
  const TileKernel<T> tile = tile_kernel<T>();
  PackedWeights<T> weights(s, tile);
  weights.pack(w, s.groups, scratch<Scratch::Weights, T>(weights.size(s.groups)));
  const PixelBlocks blocks = blocks_of(s, kPixels, tile.nr);
  const int64_t pixels = s.out_pixels(), rows = weights.rows;
  for_blocks(blocks, s.groups, rows * weights.k, [&](int64_t from, int64_t to) {
    Workspace<T> ws(s);
    for (int64_t t = from; t < to; ++t) {
      const int64_t group = t % s.groups, first = blocks.first(t / s.groups),
                    count = blocks.size(t / s.groups);
      const auto place = [&](int64_t image, int64_t pixel) {
        return y + (image * s.out_channels + group * rows) * pixels + pixel;
      };
      if (first / pixels == (first + count - 1) / pixels) {
        product_block(s, tile, weights, ws, x, bias, group, first, count,
                      place(first / pixels, first % pixels), pixels);
        continue;
      }
      T* c = scratch<Scratch::Output, T>(rows * count);  // parts of several images
      product_block(s, tile, weights, ws, x, bias, group, first, count, c, count);
      for_stretches(s, first, count, [&](int64_t image, int64_t pixel, int64_t offset, int64_t len) {
        T* dst = place(image, pixel);
        for (int64_t r = 0; r < rows; ++r) std::copy_n(c + r * count + offset, len, dst + r * pixels);
      });
    }
  });
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

// The convolution of gy that gives one phase of the input's pixels, `out` of them, and its weights.
template <class T>
struct Back {
  Back(const ConvShape& s, const T* w, const Phase& z, const Phase& y, const Phase& x)
      : phase{z, y, x},
        shape{s.batch, s.out_channels, s.in_channels, s.groups, {}, {}, {}, {1, 1, 1}, {}, {}} {
    for (int d = 0; d < 3; ++d) {
      shape.in[d] = s.out[d], shape.kernel[d] = phase[d].taps, shape.out[d] = phase[d].pixels;
      shape.padding[d] = phase[d].padding, shape.dilation[d] = phase[d].dilation;
    }
    weights = {w, s.out_group() * s.in_group() * s.taps(), s.taps(), s.in_group() * s.taps(), {}};
    for (int64_t c = z.taps - 1; c >= 0; --c) {
      for (int64_t b = y.taps - 1; b >= 0; --b) {
        for (int64_t a = x.taps - 1; a >= 0; --a) {
          const int64_t k[3] = {z.first_tap + c * z.tap_step, y.first_tap + b * y.tap_step,
                                x.first_tap + a * x.tap_step};
          weights.tap.push_back((k[0] * s.kernel[1] + k[1]) * s.kernel[2] + k[2]);
        }
      }
    }
  }
  Phase phase[3];
  ConvShape shape;
  Weights<T> weights;
};

// All phases along x of one phase along z and y: they share lines of gx, which are written whole.
template <class T>
void input_grad_lines(const ConvShape& s, const T* gy, const T* w, const T* bias, const Phase& z,
                      const Phase& y, T* gx) {
  if (z.pixels * y.pixels == 0) return;
  const TileKernel<T> tile = tile_kernel<T>();
  const int64_t stride = s.stride[2], width = (s.in[2] + stride - 1) / stride;
  std::vector<Back<T>> backs;
  std::vector<PackedWeights<T>> packed;
  int64_t size = 0, work = 0;
  for (int64_t r = 0; r < stride; ++r) {
    backs.emplace_back(s, w, z, y, phase_of(s, 2, r));
    backs.back().shape.out[2] = width;  // the same for all; what lies outside is not stored
    if (backs.back().weights.tap.empty()) backs.back().shape.kernel[2] = 0;
    packed.emplace_back(backs.back().shape, tile);
    size += packed.back().size(s.groups);
    work += packed.back().rows * packed.back().k;
  }
  T* panels = scratch<Scratch::Weights, T>(size);
  for (int64_t r = 0; r < stride; ++r) {
    if (packed[r].k == 0) continue;
    packed[r].pack(backs[r].weights, s.groups, panels);
    panels += packed[r].size(s.groups);
  }
  const int64_t rows = s.in_group();
  const ConvShape& all = backs[0].shape;
  const PixelBlocks blocks = blocks_of(all, std::min(kPixels, (int64_t(1) << 19) / (rows * stride)), tile.nr);
  for_blocks(blocks, s.groups, work, [&](int64_t from, int64_t to) {
    std::vector<Workspace<T>> ws;
    for (const Back<T>& b : backs) ws.emplace_back(b.shape);
    std::vector<const T*> sources(stride);
    for (int64_t t = from; t < to; ++t) {
      const int64_t group = t % s.groups, first = blocks.first(t / s.groups),
                    count = blocks.size(t / s.groups);
      T* c = scratch<Scratch::Output, T>(stride * rows * count);
      for (int64_t r = 0; r < stride; ++r) {
        if (packed[r].k == 0) {
          for (int64_t row = 0; row < rows; ++row) {
            std::fill_n(c + (r * rows + row) * count, count, bias ? bias[group * rows + row] : T(0));
          }
          continue;
        }
        product_block(backs[r].shape, tile, packed[r], ws[r], gy, bias, group, first, count,
                      c + r * rows * count, count);
      }
      for_stretches(all, first, count, [&](int64_t image, int64_t pixel, int64_t offset, int64_t len) {
        while (len > 0) {  // line by line
          const int64_t x0 = pixel % width, line = pixel / width, n = std::min(len, width - x0);
          const int64_t at_z = z.first_pixel + line / y.pixels * s.stride[0],
                        at_y = y.first_pixel + line % y.pixels * s.stride[1];
          for (int64_t row = 0; row < rows; ++row) {
            const int64_t channel = group * rows + row;
            T* dst = gx + (((image * s.in_channels + channel) * s.in[0] + at_z) * s.in[1] + at_y) * s.in[2];
            for (int64_t r = 0; r < stride; ++r) {
              const Phase& p = backs[r].phase[2];
              sources[p.first_pixel] = c + (r * rows + row) * count + offset;
            }
            merge_phases(stride, s.in[2] - x0 * stride, n, sources.data(), dst + x0 * stride);
          }
          pixel += n, offset += n, len -= n;
        }
      });
    }
  });
}

}  // namespace

template <class T>
void gemm_forward(const ConvShape& s, const T* x, const T* w, const T* bias, T* y) {
  const int64_t k = s.in_group() * s.taps();
  correlate<T>(s, {w, s.out_group() * k, k, s.taps(), {}}, x, bias, y);
}

// A stride of s leaves s phases of input pixels in each dimension, which different taps reach: each phase is
// an ordinary convolution of gy with stride 1, and no product with a zero is computed.
template <class T>
void gemm_input_grad(const ConvShape& s, const T* gy, const T* w, const T* bias, T* gx) {
  if (s.stride[0] == 1 && s.stride[1] == 1 && s.stride[2] == 1) {
    const Back<T> back(s, w, phase_of(s, 0, 0), phase_of(s, 1, 0), phase_of(s, 2, 0));
    return correlate<T>(back.shape, back.weights, gy, bias, gx);
  }
  for (int64_t r = 0; r < s.stride[0] * s.stride[1]; ++r) {
    input_grad_lines(s, gy, w, bias, phase_of(s, 0, r / s.stride[1]), phase_of(s, 1, r % s.stride[1]), gx);
  }
}

#define NNLIB_INSTANTIATE(T)                                                         \
  template void gemm_forward<T>(const ConvShape&, const T*, const T*, const T*, T*); \
  template void gemm_input_grad<T>(const ConvShape&, const T*, const T*, const T*, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers::detail
