// Convolutions of stride 1 by Winograd's algorithm, and their input gradients, which are such
// convolutions of the output's gradient with the kernels turned around and transposed.
//
// Every output is one chain of operations that the shape alone fixes; how tiles, channels and threads share
// the work does not change its bits.
#include <atomic>

#include "core/parallel.h"
#include "ops/drivers/conv_winograd.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers::detail {

namespace {

// Input channels whose products are summed at once: as many transformed kernels as a second-level cache
// holds.
constexpr int64_t kDepth = 128;
// Elements of transformed inputs and products of all threads together, in the cache that they share.
constexpr int64_t kShared = int64_t(1) << 22;
// Elements of transformed kernels that are made once for all blocks of tiles and read again for each.
constexpr int64_t kFilters = int64_t(1) << 20;

// y = x * w for one group of channels.
class WinoConv {
 public:
  // `flip`: w is [in][out][tap] and turned around, else [out][in][tap]; with `w_last` the taps come before
  // the last of these dimensions.
  WinoConv(const ConvShape& s, int64_t size, bool flip, bool w_last)
      : s_(s), t_(kernels::table()), tiles_(s, size), flip_(flip), w_last_(w_last) {
    ci_ = s.in_group(), co_ = s.out_group();
    in_vecs_ = (ci_ + t_.wino_lanes - 1) / t_.wino_lanes,
    out_vecs_ = (co_ + t_.wino_lanes - 1) / t_.wino_lanes;
    panels_ = (co_ + t_.wino_nr - 1) / t_.wino_nr;
  }

  // False where a value is not finite: y is then to be computed in another way.
  bool run(const float* x, bool x_last, const float* w, const float* bias, float* y, bool y_last) {
    x_ = {x, x_last, s_.in_channels, s_.in[1], s_.in[2]};
    y_ = {y, y_last, s_.out_channels, s_.out[1], s_.out[2]};
    for (int64_t g = 0; g < s_.groups && finite_; ++g) {
      in_ = g * ci_, out_ = g * co_;
      w_ = w + g * ci_ * co_ * s_.taps(), bias_ = bias ? bias + g * co_ : nullptr;
      // Tiles that a core takes through all stages in its own cache, where enough blocks of them make up for
      // reading all transformed kernels for each.
      const int64_t own =
          t_.wino_block / (tiles_.positions() * in_vecs_ * t_.wino_lanes) / t_.wino_mr * t_.wino_mr;
      if (filter_step(ci_) * tiles_.positions() * panels_ <= kFilters && own >= 2 * t_.wino_mr &&
          tiles_.count() >= own * 2) {
        in_blocks(own);
      } else {
        in_stages();
      }
    }
    return finite_;
  }

 private:
  int64_t filter_step(int64_t depth) const { return wino_step(depth * t_.wino_nr); }
  int64_t input_step(int64_t tiles) const { return wino_step(tiles * in_vecs_ * t_.wino_lanes); }

  // Every core takes blocks of tiles through all stages.
  void in_blocks(int64_t own) {
    const int64_t positions = tiles_.positions(), panel = positions * filter_step(ci_);
    float* filters = scratch<Scratch::Weights, float>(panels_ * panel);
    parallel_for(0, panels_, 1, [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p) transform_filters(p, 0, ci_, filters + p * panel);
    });
    const int64_t count = tiles_.count(), threads = num_threads();
    int64_t blocks = (count + own - 1) / own;
    if (blocks < 8 * threads) blocks = (blocks + threads - 1) / threads * threads;  // none idle at the end
    const int64_t block = ((count + blocks - 1) / blocks + t_.wino_mr - 1) / t_.wino_mr * t_.wino_mr;
    const int64_t columns = 2 * t_.wino_nr;  // output channels at a time
    parallel_for(0, (count + block - 1) / block, 1, [&](int64_t first, int64_t last) {
      const int64_t in_step = input_step(block), out_step = wino_step(block * columns);
      float* v = scratch<Scratch::Tiles, float>(positions * in_step + t_.wino_mr * t_.wino_lanes);
      float* m = scratch<Scratch::Products, float>(positions * out_step);
      for (int64_t b = first; b < last; ++b) {
        const int64_t from = b * block, to = std::min(count, from + block);
        for (int64_t c = 0; c < in_vecs_; ++c) transform_input(c, from, to, from, to, v, in_step);
        for (int64_t j = 0; j < co_; j += columns) {
          const int64_t n = std::min(columns, co_ - j);
          for (int64_t p = 0; p < positions; ++p) {
            for (int64_t q = 0; q < n; q += t_.wino_nr) {
              const float* u = filters + (j + q) / t_.wino_nr * panel + p * filter_step(ci_);
              multiply(0, ci_, v + p * in_step, u, 0, to - from, to - from, m + p * out_step + q, columns,
                       std::min(t_.wino_nr, n - q));
            }
          }
          for (int64_t q = 0; q < n; q += t_.wino_lanes) {
            transform_output((j + q) / t_.wino_lanes, from, to, m + q, out_step, columns);
          }
        }
      }
    });
  }

  // All cores together do each stage for as many tiles as suit the cache that they share.
  void in_stages() {
    const int64_t positions = tiles_.positions(), columns = out_vecs_ * t_.wino_lanes;
    const int64_t most = kShared / (positions * (in_vecs_ * t_.wino_lanes + columns));
    const int64_t block = balanced_block(tiles_.count(), std::max(most, 4 * t_.wino_mr), t_.wino_mr);
    const int64_t in_step = input_step(block), out_step = wino_step(block * columns);
    float* v = scratch<Scratch::Tiles, float>(positions * in_step + t_.wino_mr * t_.wino_lanes);
    float* m = scratch<Scratch::Products, float>(positions * out_step);
    for (int64_t from = 0; from < tiles_.count(); from += block) {
      const int64_t to = std::min(tiles_.count(), from + block), count = to - from;
      // A task is a vector of channels of some tiles.
      const int64_t some = std::min<int64_t>(64, count), cuts = (count + some - 1) / some;
      parallel_for(0, in_vecs_ * cuts, grain(positions * some), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t at = from + i % cuts * some;
          transform_input(i / cuts, at, std::min(to, at + some), from, to, v, in_step);
        }
      });
      // A task is a panel of kernels, which it transforms, and so many tiles that this does not count.
      const int64_t few = std::max<int64_t>(1, 3 * num_threads() / panels_);
      const int64_t share = balanced_block(count, std::max<int64_t>(96, (count + few - 1) / few), t_.wino_mr);
      const int64_t shares = (count + share - 1) / share;
      parallel_for(
          0, panels_ * shares, grain(positions * ci_ * (share + 4)), [&](int64_t first, int64_t last) {
            float* u = scratch<Scratch::Filters, float>(positions * filter_step(std::min(ci_, kDepth)));
            for (int64_t i = first; i < last; ++i) {
              const int64_t p = i / shares, at = i % shares * share,
                            n = std::min(t_.wino_nr, co_ - p * t_.wino_nr);
              for (int64_t k = 0; k < ci_; k += kDepth) {
                const int64_t depth = std::min(kDepth, ci_ - k);
                transform_filters(p, k, depth, u);
                for (int64_t q = 0; q < positions; ++q) {
                  multiply(k, depth, v + q * in_step, u + q * filter_step(depth), at,
                           std::min(count, at + share), count, m + q * out_step + p * t_.wino_nr, columns, n);
                }
              }
            }
          });
      parallel_for(0, out_vecs_ * cuts, grain(positions * some), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t at = from + i % cuts * some, c = i / cuts;
          transform_output(c, at, std::min(to, at + some), m + (at - from) * columns + c * t_.wino_lanes,
                           out_step, columns);
        }
      });
    }
  }

  // Tasks of so many operations on vectors that are worth a turn of their own.
  static int64_t grain(int64_t operations) { return std::max<int64_t>(1, 8192 / operations); }

  // Kernels [k, k + depth) of a panel of output channels, [position][depth][wino_nr].
  void transform_filters(int64_t panel, int64_t k, int64_t depth, float* u) const {
    const int64_t nr = t_.wino_nr, j = panel * nr, n = std::min(nr, co_ - j), taps = s_.taps();
    float* g = scratch<Scratch::PanelsB, float>(depth * taps * nr);
    if (flip_ && w_last_) {
      t_.pack_f32(nr, n, depth * taps, w_ + k * taps * co_ + j, 1, co_, 1.f, g);
    } else if (w_last_) {
      float* lines = scratch<Scratch::Rows, float>(depth * nr);
      for (int64_t t = 0; t < taps; ++t) {
        t_.pack_f32(nr, n, depth, w_ + (j * taps + t) * ci_ + k, ci_ * taps, 1, 1.f, lines);
        for (int64_t i = 0; i < depth; ++i) std::copy_n(lines + i * nr, nr, g + (i * taps + t) * nr);
      }
    } else if (flip_) {
      for (int64_t i = 0; i < depth; ++i) {
        t_.pack_f32(nr, n, taps, w_ + ((k + i) * co_ + j) * taps, taps, 1, 1.f, g + i * taps * nr);
      }
    } else {
      t_.pack_f32(nr, n, depth * taps, w_ + (j * ci_ + k) * taps, ci_ * taps, 1, 1.f, g);
    }
    t_.wino_filter_f32(tiles_.size, tiles_.taps, depth, g, flip_, u, filter_step(depth));
  }

  // A vector of channels of the tiles [from, to), which are some of those [begin, end) that v holds:
  // [position][group of wino_mr tiles][vector of channels][tile][lane].
  void transform_input(int64_t vec, int64_t from, int64_t to, int64_t begin, int64_t end, float* v,
                       int64_t step) const {
    const int64_t lanes = t_.wino_lanes, mr = t_.wino_mr, size = tiles_.size;
    const int64_t channels = std::min(lanes, ci_ - vec * lanes);
    for_parts(tiles_, from, to, wino_part_tiles(tiles_), [&](const WinoPart& part) {
      const int64_t rows = part.rows * size + tiles_.halo(), cols = part.cols * size + tiles_.halo();
      float* lines = scratch<Scratch::Padded, float>(rows * cols * lanes);
      wino_lines(x_, part.image, in_ + vec * lanes, channels, part.y * size - tiles_.padding[0],
                 part.x * size - tiles_.padding[1], rows, cols, lines);
      for (int64_t i = 0; i < part.rows * part.cols;) {
        const int64_t tile = part.first + i - begin, x = i % part.cols, first = tile / mr * mr;
        const int64_t of_group = std::min(mr, end - begin - first);
        const int64_t n = std::min(part.cols - x, first + of_group - tile);
        t_.wino_input_f32(size, tiles_.taps, n, lines + (i / part.cols * cols + x) * size * lanes,
                          cols * lanes, v + (first * in_vecs_ + vec * of_group + tile - first) * lanes, step,
                          lanes);
        i += n;
      }
    });
  }

  // n columns of products of the tiles [from, to) of `count` at one position.
  void multiply(int64_t k, int64_t depth, const float* v, const float* u, int64_t from, int64_t to,
                int64_t count, float* m, int64_t ldm, int64_t n) const {
    const int64_t lanes = t_.wino_lanes, mr = t_.wino_mr;
    for (int64_t i = from; i < to; i += mr) {
      const int64_t of_group = std::min(mr, count - i);
      for (int64_t d = 0; d < depth; d += kDepth) {
        t_.wino_tile_f32(std::min(kDepth, depth - d), v + i * in_vecs_ * lanes + (k + d) * of_group,
                         u + d * t_.wino_nr, m + i * ldm, ldm, of_group, n, k + d > 0);
      }
    }
  }

  // A vector of output channels of the tiles [from, to), whose products begin at m.
  void transform_output(int64_t vec, int64_t from, int64_t to, const float* m, int64_t step, int64_t ldm) {
    const int64_t lanes = t_.wino_lanes, size = tiles_.size, channels = std::min(lanes, co_ - vec * lanes);
    float* bias = nullptr;
    if (bias_) {
      bias = scratch<Scratch::Vector, float>(lanes);
      std::fill(std::copy_n(bias_ + vec * lanes, channels, bias), bias + lanes, 0.f);
    }
    bool finite = true;
    for_parts(tiles_, from, to, wino_part_tiles(tiles_), [&](const WinoPart& part) {
      const int64_t line = part.cols * size * lanes;
      float* lines = scratch<Scratch::Padded, float>(part.rows * size * line);
      for (int64_t r = 0; r < part.rows; ++r) {
        const float* products = m + (part.first - from + r * part.cols) * ldm;
        finite &= t_.wino_output_f32(size, tiles_.taps, part.cols, products, step, ldm, bias,
                                     lines + r * size * line, line);
      }
      const int64_t top = part.y * size, left = part.x * size, height = tiles_.out[0], width = tiles_.out[1];
      const int64_t rows = std::min(part.rows * size, height - top),
                    cols = std::min(part.cols * size, width - left);
      float* to = y_.at(part.image, out_ + vec * lanes, top, left);
      if (y_.last) {
        for (int64_t r = 0; r < rows; ++r)
          copy_lanes(channels, cols, lines + r * line, lanes, to + r * width * y_.channels, y_.channels);
      } else {
        t_.wino_unframe_f32(channels, rows, cols, lines, line, to, height * width, width);
      }
    });
    if (!finite) finite_ = false;
  }

  const ConvShape& s_;
  const kernels::Table& t_;
  WinoTiles tiles_;
  bool flip_, w_last_;
  int64_t ci_, co_, in_vecs_, out_vecs_, panels_;
  WinoImages<const float> x_{};
  WinoImages<float> y_{};
  int64_t in_ = 0, out_ = 0;  // a group's first channels
  const float *w_ = nullptr, *bias_ = nullptr;
  std::atomic<bool> finite_{true};
};

}  // namespace

bool winograd_forward(const ConvShape& s, int64_t size, const float* x, const float* w, const float* bias,
                      float* y, bool x_last, bool y_last, bool w_last) {
  return WinoConv(s, size, false, w_last).run(x, x_last, w, bias, y, y_last);
}

bool winograd_input_grad(const ConvShape& s, int64_t size, const float* gy, const float* w, const float* bias,
                         float* gx, bool gy_last, bool gx_last, bool w_last) {
  const ConvShape back = turned(s);
  return WinoConv(back, size, true, w_last).run(gy, gy_last, w, bias, gx, gx_last);
}

}  // namespace nnlib::drivers::detail
