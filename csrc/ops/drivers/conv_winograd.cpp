// Convolutions by Winograd's algorithm, and their input gradients, which are such convolutions of the
// output's gradient with the kernels turned around and transposed.
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
// The same of remainders, not all of which count at a position.
constexpr int64_t kRemaindersDepth = 256;
// Elements of transformed inputs and products of all threads together, in the cache that they share.
constexpr int64_t kShared = int64_t(1) << 22;
// Elements of transformed kernels that are made once in stages: where there are so many panels' widths of
// tiles, reading all of them takes less time than reading the tiles of all remainders for each panel. And
// elements of a position's tiles in the second-level cache.
constexpr int64_t kStageFilters = int64_t(1) << 22, kManyTiles = 4, kNearTiles = int64_t(96) << 10;

// y = x * w for one group of channels, or `back` from y's gradient to x's, which are called y and x too.
//
// Channels of x are held in vectors of lanes: [chunk][remainder][vector of the chunk], so that the remainders
// that count at a position follow each other in each chunk, and a chunk is what products add up at once.
// Channels of y are columns of products in panels: [remainder down][panel of channels][remainder across].
class WinoConv {
 public:
  // w is [out][in][tap]; with `w_last` the taps come before the last of these dimensions. Backwards w is
  // [in][out][tap] from here, and turned around.
  WinoConv(const ConvShape& s, int64_t size, bool back, bool w_last)
      : t_(kernels::table()),
        steps_(s),
        s_(back ? turned(s) : plain_of(s)),
        tiles_(s_, size),
        back_(back),
        w_last_(w_last) {
    ci_ = s_.in_group(), co_ = s_.out_group();
    for (int d = 0; d < 2; ++d) {
      in_step_[d] = back ? 1 : steps_.step[d], out_step_[d] = back ? steps_.step[d] : 1;
      cut_[d] = back ? s.padding[d + 1] - first_place(s, d + 1) * s.stride[d + 1] : 0;
      edge_[d] = back ? s.in[d + 1] : s.out[d + 1];
    }
    remainders_ = in_step_[0] * in_step_[1];
    in_vecs_ = (ci_ + t_.wino_lanes - 1) / t_.wino_lanes,
    out_vecs_ = (co_ + t_.wino_lanes - 1) / t_.wino_lanes;
    all_in_vecs_ = in_vecs_ * remainders_;
    rows_ = remainders_ == 1 ? ci_ : all_in_vecs_ * t_.wino_lanes;
    const int64_t depth = remainders_ > 1 ? kRemaindersDepth : kDepth;
    chunk_ = std::max<int64_t>(1, depth / t_.wino_lanes / remainders_);
    panels_ = (co_ + t_.wino_nr - 1) / t_.wino_nr * out_step_[0] * out_step_[1];
  }

  // Groups [first, last). False where a value is not finite: y is then to be computed in another way.
  bool run(int64_t first, int64_t last, const float* x, bool x_last, const float* w, const float* bias,
           float* y, bool y_last) {
    x_ = {x, x_last, s_.in_channels, s_.in[1], s_.in[2]};
    y_ = {y, y_last, s_.out_channels, edge_[0], edge_[1]};
    for (int64_t g = first; g < last && finite_; ++g) {
      in_ = g * ci_, out_ = g * co_;
      w_ = w + g * ci_ * co_ * taps(), bias_ = bias ? bias + g * co_ : nullptr;
      const int64_t own = wino_own_tiles(all_in_vecs_ * t_.wino_lanes, panels_ * t_.wino_nr, tiles_);
      if (own > 0) {
        in_blocks(own);
      } else {
        in_stages();
      }
    }
    return finite_;
  }

 private:
  int64_t taps() const { return steps_.kernel[0] * steps_.kernel[1]; }
  int64_t filter_step(int64_t depth) const { return wino_step(depth * t_.wino_nr); }
  int64_t input_step(int64_t tiles) const { return wino_step(tiles * all_in_vecs_ * t_.wino_lanes); }
  // Vectors of the chunk that begins with vector c, its rows and those before it.
  int64_t vectors(int64_t c) const { return std::min(chunk_, in_vecs_ - c); }
  int64_t rows_before(int64_t c) const { return c * remainders_ * t_.wino_lanes; }
  int64_t rows_of(int64_t c) const { return std::min(rows_, rows_before(c + vectors(c))) - rows_before(c); }
  // Panels that make whole lines, and how many of them are multiplied at once; a panel's output channels.
  int64_t panels_at_once() const { return std::max<int64_t>(1, 2 / out_step_[1]) * out_step_[1]; }
  int64_t panel_channel(int64_t p) const {
    return p / out_step_[1] % (panels_ / (out_step_[0] * out_step_[1])) * t_.wino_nr;
  }
  int64_t panel_channels(int64_t p) const { return std::min(t_.wino_nr, co_ - panel_channel(p)); }
  int64_t panel_down(int64_t p) const { return p / (panels_ / out_step_[0]); }

  // Every core takes blocks of tiles through all stages.
  void in_blocks(int64_t own) {
    const int64_t positions = tiles_.positions(), nr = t_.wino_nr, step = filter_step(rows_),
                  panel = positions * step;
    const float* filters = all_filters(panel, step);
    const int64_t count = tiles_.count(), threads = num_threads();
    int64_t blocks = (count + own - 1) / own;
    if (blocks < 8 * threads) blocks = (blocks + threads - 1) / threads * threads;  // none idle at the end
    const int64_t block = ((count + blocks - 1) / blocks + t_.wino_mr - 1) / t_.wino_mr * t_.wino_mr;
    const int64_t some = panels_at_once(), columns = some * nr;
    parallel_for(0, (count + block - 1) / block, 1, [&](int64_t first, int64_t last) {
      const int64_t in_step = input_step(block), out_step = wino_step(block * columns);
      float* v = scratch<Scratch::Tiles, float>(positions * in_step + t_.wino_mr * t_.wino_lanes);
      float* m = scratch<Scratch::Products, float>(positions * out_step);
      for (int64_t b = first; b < last; ++b) {
        const int64_t from = b * block, to = std::min(count, from + block);
        for (int64_t c = 0; c < in_vecs_ * in_step_[0]; ++c)
          transform_input(c, from, to, from, to, v, in_step);
        for (int64_t j = 0; j < panels_; j += some) {
          const int64_t end = std::min(panels_, j + some);
          for (int64_t q = 0; q < positions; ++q) {
            for (int64_t p = j; p < end; ++p) {
              const float* u = filters + p * panel + q * step;
              for (int64_t c = 0; c < in_vecs_; c += chunk_)
                multiply(p, c, q, v + q * in_step, u + rows_before(c) * nr, 0, to - from, to - from,
                         m + q * out_step + (p - j) * nr, columns);
            }
          }
          for (int64_t p = j; p < end; p += out_step_[1]) {
            transform_panel(p, from, to, m + (p - j) * nr, out_step, columns);
          }
        }
      }
    });
  }

  // All cores together do each stage for as many tiles as suit the cache that they share.
  void in_stages() {
    const int64_t positions = tiles_.positions(), nr = t_.wino_nr, columns = panels_ * nr;
    const int64_t most = kShared / (positions * (all_in_vecs_ * t_.wino_lanes + columns));
    const int64_t block = balanced_block(tiles_.count(), std::max(most, 4 * t_.wino_mr), t_.wino_mr);
    const int64_t in_step = input_step(block), out_step = wino_step(block * columns);
    float* v = scratch<Scratch::Tiles, float>(positions * in_step + t_.wino_mr * t_.wino_lanes);
    float* m = scratch<Scratch::Products, float>(positions * out_step);
    const int64_t panel = positions * filter_step(rows_);
    const bool by_position =
        remainders_ > 1 && panels_ * panel <= kStageFilters && tiles_.count() >= kManyTiles * nr;
    const float* filters = by_position ? all_filters(panel, filter_step(rows_)) : nullptr;
    for (int64_t from = 0; from < tiles_.count(); from += block) {
      const int64_t to = std::min(tiles_.count(), from + block), count = to - from;
      // A task is a vector of channels of some tiles.
      const int64_t some = std::min<int64_t>(64, count), cuts = (count + some - 1) / some;
      const int64_t inputs = in_vecs_ * in_step_[0];
      parallel_for(0, inputs * cuts, grain(positions * some), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t at = from + i % cuts * some;
          transform_input(i / cuts, at, std::min(to, at + some), from, to, v, in_step);
        }
      });
      const auto product = [&](int64_t p, int64_t c, int64_t q, const float* u, int64_t at, int64_t end) {
        multiply(p, c, q, v + q * in_step, u, at, end, count, m + q * out_step + p * nr, columns);
      };
      by_position ? multiply_positions(count, filters, panel, filter_step(rows_), product)
                  : multiply_panels(count, product);
      const int64_t across = out_step_[1];
      parallel_for(0, panels_ / across * cuts, grain(2 * positions * some), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t at = from + i % cuts * some, p = i / cuts * across;
          transform_panel(p, at, std::min(to, at + some), m + (at - from) * columns + p * nr, out_step,
                          columns);
        }
      });
    }
  }

  // Calls product(panel, chunk, position, its kernels, first tile, end). A task is a panel of kernels, which
  // it transforms, and so many tiles that this does not count.
  template <class F>
  void multiply_panels(int64_t count, F product) const {
    const int64_t positions = tiles_.positions();
    const int64_t few = std::max<int64_t>(1, 3 * num_threads() / panels_);
    const int64_t share = balanced_block(count, std::max<int64_t>(96, (count + few - 1) / few), t_.wino_mr);
    const int64_t shares = (count + share - 1) / share;
    parallel_for(0, panels_ * shares, grain(positions * rows_ * (share + 4)),
                 [&](int64_t first, int64_t last) {
                   float* u = scratch<Scratch::Filters, float>(positions * filter_step(rows_of(0)));
                   for (int64_t i = first; i < last; ++i) {
                     const int64_t p = i / shares, at = i % shares * share;
                     for (int64_t c = 0; c < in_vecs_; c += chunk_) {
                       const int64_t step = filter_step(rows_of(c));
                       transform_filters(p, c, u, step);
                       for (int64_t q = 0; q < positions; ++q)
                         product(p, c, q, u + q * step, at, std::min(count, at + share));
                     }
                   }
                 });
  }
  // The same where all kernels are transformed. A task is a position and so many tiles that stay near while
  // all panels pass.
  template <class F>
  void multiply_positions(int64_t count, const float* filters, int64_t panel, int64_t step, F product) const {
    const int64_t near = std::max(t_.wino_mr, kNearTiles / rows_),
                  share = balanced_block(count, near, t_.wino_mr), shares = (count + share - 1) / share;
    parallel_for(0, tiles_.positions() * shares, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t q = i / shares, at = i % shares * share;
        for (int64_t p = 0; p < panels_; ++p) {
          for (int64_t c = 0; c < in_vecs_; c += chunk_)
            product(p, c, q, filters + p * panel + q * step + rows_before(c) * t_.wino_nr, at,
                    std::min(count, at + share));
        }
      }
    });
  }

  // Of all panels, [panel][position][row][wino_nr].
  const float* all_filters(int64_t panel, int64_t step) {
    float* filters = scratch<Scratch::Weights, float>(panels_ * panel);
    parallel_for(0, panels_, 1, [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p) {
        for (int64_t c = 0; c < in_vecs_; c += chunk_)
          transform_filters(p, c, filters + p * panel + rows_before(c) * t_.wino_nr, step);
      }
    });
    return filters;
  }

  // Tasks of so many operations on vectors that are worth a turn of their own.
  static int64_t grain(int64_t operations) { return std::max<int64_t>(1, 8192 / operations); }

  // The kernels of a panel and of the chunk that begins with vector c, [position][row of the chunk][wino_nr].
  void transform_filters(int64_t panel, int64_t c, float* u, int64_t step) const {
    const int64_t nr = t_.wino_nr, each = steps_.taps * steps_.taps, k = c * t_.wino_lanes;
    const int64_t depth = std::min(ci_ - k, vectors(c) * t_.wino_lanes);
    float* g = scratch<Scratch::PanelsB, float>(remainders_ * depth * each * nr);
    if (steps_.count() == 1) {
      pack_filters(panel_channel(panel), panel_channels(panel), k, depth, g);
      t_.wino_filter_f32(tiles_.size, steps_.taps, depth, g, back_, u, step);
      return;
    }
    float* packed = scratch<Scratch::Sums, float>(depth * taps() * nr);
    pack_filters(panel_channel(panel), panel_channels(panel), k, depth, packed);
    std::fill_n(g, remainders_ * depth * each * nr, 0.f);
    const auto place = [&](int64_t y, int64_t x, float* to) {
      steps_.for_taps(y, x, [&](int64_t from, int64_t tap) {
        for (int64_t i = 0; i < depth; ++i)
          std::copy_n(packed + (i * taps() + from) * nr, nr, to + (i * each + tap) * nr);
      });
    };
    if (back_) {
      place(panel_down(panel), panel % out_step_[1], g);
      t_.wino_filter_f32(tiles_.size, steps_.taps, depth, g, true, u, step);
      return;
    }
    const int64_t held = vectors(c) * t_.wino_lanes;  // rows of a remainder
    for (int64_t y = 0; y < in_step_[0]; ++y) {
      for (int64_t x = 0; x < in_step_[1]; ++x) {
        const int64_t number = steps_.number(y, x);
        place(y, x, g + number * depth * each * nr);
        float* rows = u + number * held * nr;
        t_.wino_filter_f32(tiles_.size, steps_.taps, depth, g + number * depth * each * nr, false, rows,
                           step);
        for (int64_t p = 0; p < tiles_.positions() && depth < held; ++p)
          std::fill_n(rows + p * step + depth * nr, (held - depth) * nr, 0.f);
      }
    }
  }

  // All taps between the input channels [k, k + depth) and output channels from j on: [depth][tap][wino_nr].
  void pack_filters(int64_t j, int64_t n, int64_t k, int64_t depth, float* g) const {
    const int64_t nr = t_.wino_nr, taps = this->taps();
    if (back_ && w_last_) {
      t_.pack_f32(nr, n, depth * taps, w_ + k * taps * co_ + j, 1, co_, 1.f, g);
    } else if (w_last_) {
      float* lines = scratch<Scratch::Rows, float>(depth * nr);
      for (int64_t t = 0; t < taps; ++t) {
        t_.pack_f32(nr, n, depth, w_ + (j * taps + t) * ci_ + k, ci_ * taps, 1, 1.f, lines);
        for (int64_t i = 0; i < depth; ++i) std::copy_n(lines + i * nr, nr, g + (i * taps + t) * nr);
      }
    } else if (back_) {
      // Rows far apart in memory: asked for ahead. Taps that whole vectors leave over are copied singly.
      const int64_t rest = taps % t_.wino_lanes, whole = rest <= 2 ? taps - rest : taps, ahead = 6;
      for (int64_t i = 0; i < depth; ++i) {
        const float* from = w_ + ((k + i) * co_ + j) * taps;
        float* to = g + i * taps * nr;
        for (int64_t q = 0; i + ahead < depth && q < n * taps; q += 16)
          __builtin_prefetch(from + ahead * co_ * taps + q);
        t_.pack_f32(nr, n, whole, from, taps, 1, 1.f, to);
        for (int64_t t = whole; t < taps; ++t) {
          for (int64_t r = 0; r < nr; ++r) to[t * nr + r] = r < n ? from[r * taps + t] : 0.f;
        }
      }
    } else {
      t_.pack_f32(nr, n, depth * taps, w_ + (j * ci_ + k) * taps, ci_ * taps, 1, 1.f, g);
    }
  }

  // A vector of channels, of all remainders across, of the tiles [from, to), which are some of those [begin,
  // end) that v holds: [position][group of wino_mr tiles][vector][tile][lane]. `part`: the vector and the
  // remainder down.
  void transform_input(int64_t part, int64_t from, int64_t to, int64_t begin, int64_t end, float* v,
                       int64_t step) const {
    const int64_t lanes = t_.wino_lanes, mr = t_.wino_mr, size = tiles_.size;
    const int64_t vec = part / in_step_[0], down = part % in_step_[0], across = in_step_[1];
    const int64_t channels = std::min(lanes, ci_ - vec * lanes), chunk = vec / chunk_ * chunk_;
    const int64_t most = std::max<int64_t>(1, wino_part_tiles(tiles_) / across);
    for_parts(tiles_, from, to, most, [&](const WinoPart& part) {
      const int64_t rows = part.rows * size + tiles_.halo(),
                    cols = (part.cols * size + tiles_.halo()) * across;
      float* lines = scratch<Scratch::Padded, float>(rows * cols * lanes);
      wino_lines(x_, part.image, in_ + vec * lanes, channels,
                 part.y * size * in_step_[0] + down - s_.padding[1], part.x * size * across - s_.padding[2],
                 in_step_[0], rows, cols, lines);
      for (int64_t i = 0; i < part.rows * part.cols;) {
        const int64_t tile = part.first + i - begin, x = i % part.cols, first = tile / mr * mr;
        const int64_t of_group = std::min(mr, end - begin - first);
        const int64_t n = std::min(part.cols - x, first + of_group - tile);
        for (int64_t q = 0; q < across; ++q) {
          const int64_t held = chunk * remainders_ + steps_.number(down, q) * vectors(chunk) + vec - chunk;
          const int64_t at = remainders_ == 1 ? vec : held;
          t_.wino_input_f32(size, tiles_.taps, n,
                            lines + (i / part.cols * size * cols + x * size * across + q) * lanes,
                            cols * lanes, across * lanes,
                            v + (first * all_in_vecs_ + at * of_group + tile - first) * lanes, step, lanes);
        }
        i += n;
      }
    });
  }

  // The products of the chunk that begins with vector c and of a panel for the tiles [from, to) of `count` at
  // one position: those of the remainders that count there.
  void multiply(int64_t panel, int64_t c, int64_t position, const float* v, const float* u, int64_t from,
                int64_t to, int64_t count, float* m, int64_t ldm) const {
    const int64_t lanes = t_.wino_lanes, mr = t_.wino_mr, n = panel_channels(panel);
    const int64_t side = tiles_.size + tiles_.halo(), last = back_ ? 0 : side - 1;
    const auto counting = steps_.counting(position / side == last, position % side == last);
    int64_t low = 0, high = rows_of(c);
    if (back_) {
      const int64_t number = steps_.number(panel_down(panel), panel % out_step_[1]);
      if (number < counting.first || number >= counting.second) {
        for (int64_t i = from; i < to && c == 0; ++i) std::fill_n(m + i * ldm, n, 0.f);
        return;
      }
    } else if (remainders_ > 1) {
      low = counting.first * vectors(c) * lanes, high = counting.second * vectors(c) * lanes;
    }
    for (int64_t i = from; i < to; i += mr) {
      const int64_t of_group = std::min(mr, count - i);
      t_.wino_tile_f32(high - low, v + i * all_in_vecs_ * lanes + (rows_before(c) + low) * of_group,
                       u + low * t_.wino_nr, m + i * ldm, ldm, of_group, n, c > 0);
    }
  }

  // The output channels of the panels of all remainders across from `panel` on, of the tiles [from, to),
  // whose products begin at m.
  void transform_panel(int64_t panel, int64_t from, int64_t to, const float* m, int64_t step, int64_t ldm) {
    for (int64_t q = 0; q < panel_channels(panel); q += t_.wino_lanes)
      transform_output(panel_down(panel), panel_channel(panel) + q, from, to, m + q, step, ldm);
  }
  // A vector of output channels from `channel` on.
  void transform_output(int64_t down, int64_t channel, int64_t from, int64_t to, const float* m, int64_t step,
                        int64_t ldm) {
    const int64_t lanes = t_.wino_lanes, size = tiles_.size, channels = std::min(lanes, co_ - channel);
    const int64_t stride = out_step_[0], across = out_step_[1], width = y_.width;
    float* bias = nullptr;
    if (bias_) {
      bias = scratch<Scratch::Vector, float>(lanes);
      std::fill(std::copy_n(bias_ + channel, channels, bias), bias + lanes, 0.f);
    }
    bool finite = true;
    const int64_t most = std::max<int64_t>(1, wino_part_tiles(tiles_) / across);
    for_parts(tiles_, from, to, most, [&](const WinoPart& part) {
      const int64_t cols = part.cols * size * across, line = cols * lanes;
      float* lines = scratch<Scratch::Padded, float>(part.rows * size * line);
      for (int64_t r = 0; r < part.rows; ++r) {
        for (int64_t q = 0; q < across; ++q) {
          const float* products = m + (part.first - from + r * part.cols) * ldm + q * t_.wino_nr;
          finite &= t_.wino_output_f32(size, tiles_.taps, part.cols, products, step, ldm, bias,
                                       lines + r * size * line + q * lanes, line, across * lanes);
        }
      }
      // Rows and columns of the lines that are pixels; the first would be pixel (y, x).
      const int64_t y = part.y * size * stride + down - cut_[0], x = part.x * size * across - cut_[1];
      const int64_t top = y < 0 ? (-y + stride - 1) / stride : 0, left = x < 0 ? -x : 0;
      const int64_t rows = std::min(part.rows * size, (edge_[0] - y + stride - 1) / stride) - top;
      const int64_t n = std::min(cols, edge_[1] - x) - left;
      if (rows <= 0 || n <= 0) return;
      const float* pixels = lines + top * line + left * lanes;
      float* to = y_.at(part.image, out_ + channel, y + top * stride, x + left);
      if (y_.last) {
        for (int64_t r = 0; r < rows; ++r)
          copy_lanes(channels, n, pixels + r * line, lanes, to + r * stride * width * y_.channels,
                     y_.channels);
      } else {
        t_.wino_unframe_f32(channels, rows, n, pixels, line, to, y_.height * width, stride * width);
      }
    });
    if (!finite) finite_ = false;
  }

  const kernels::Table& t_;
  const WinoSteps steps_;
  const ConvShape s_;  // the plain convolution of one remainder's channels
  const WinoTiles tiles_;
  const bool back_, w_last_;
  int64_t ci_, co_, in_vecs_, out_vecs_, all_in_vecs_, remainders_, rows_, chunk_, panels_;
  // Row r of remainder q of y is pixel r * out_step_ + q - cut_, below edge_.
  int64_t in_step_[2], out_step_[2], cut_[2], edge_[2];
  WinoImages<const float> x_{};
  WinoImages<float> y_{};
  int64_t in_ = 0, out_ = 0;  // a group's first channels
  const float *w_ = nullptr, *bias_ = nullptr;
  std::atomic<bool> finite_{true};
};

}  // namespace

bool winograd_forward(const ConvShape& s, int64_t size, const float* x, const float* w, const float* bias,
                      float* y, bool x_last, bool y_last, bool w_last) {
  return wino_groups(s, [&](int64_t first, int64_t last) {
    return WinoConv(s, size, false, w_last).run(first, last, x, x_last, w, bias, y, y_last);
  });
}

bool winograd_input_grad(const ConvShape& s, int64_t size, const float* gy, const float* w, const float* bias,
                         float* gx, bool gy_last, bool gx_last, bool w_last) {
  return wino_groups(s, [&](int64_t first, int64_t last) {
    return WinoConv(s, size, true, w_last).run(first, last, gy, gy_last, w, bias, gx, gx_last);
  });
}

}  // namespace nnlib::drivers::detail
