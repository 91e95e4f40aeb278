// Convolution as a matrix product, W im2col(x), whose right side is gathered a block of pixels at a time and
// never held whole. After Dukhan, "The indirect convolution algorithm", 2019, in that addresses are looked up
// rather than computed; here lines are.
#include <optional>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_frame.h"
#include "ops/drivers/conv_phases.h"
#include "ops/drivers/conv_tiles.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers::detail {

namespace {

// Pixels whose gathered part of the matrix stays in the second-level cache, and pixels of a task: as many as
// share a frame.
constexpr int64_t kPixels = 256, kTaskPixels = 1024;
// Elements of a frame: those that a task is made larger for, and those that a block of k is made smaller for.
constexpr int64_t kFrame = 1 << 17, kMostFrame = 1 << 20;
// Elements that stay in the first-level cache beside a panel of weights.
constexpr int64_t kNearFrame = 6 << 10;
// Elements of a block of weights that stay in the second-level cache while pixels pass straight from a frame,
// rows of weights that are so few that this is the better way if the frame stays near, and panels of rows if
// it does not: each reads it again.
constexpr int64_t kNearWeights = 32 << 10, kFewRows = 48, kFewPanels = 2;
// Channels whose weights are packed for all panels of rows in turn.
constexpr int64_t kTogether = 16;
// Elements of a panel's channel that are worth asking for ahead.
constexpr int64_t kAhead = 256;
// Bytes of panels that stay in the first-level cache while the weights stream past them.
constexpr int64_t kNearPanels = 32 << 10;
// Multiplications that are worth waking a thread.
constexpr int64_t kSerialConv = 1 << 20;

// How a matrix of W times im2col(x) is computed.
template <class T>
struct Plan {
  Plan(const ConvShape& shape, Dtype images) : s(shape), tile(tile_kernel<T>()) {
    rows = s.out_group(), k = s.in_group() * s.taps();
    pointwise = s.pointwise();
    tiles = std::is_same_v<T, float> && tiles_pay(images, rows, k, s.batch * s.out_pixels());
    const int64_t width = kernels::table().lines_nr / 2;
    // Straight from the frame, lanes past the end of a line idle. The gathered panel costs about as much as
    // four rows of products.
    const double filled = double(s.out[2]) / double((s.out[2] + width - 1) / width * width);
    direct = std::is_same_v<T, float> && !pointwise && (rows <= 8 ? s.out[2] > 3 : filled > 0.92);
    const int64_t taps = s.taps();
    set_panels();
    if (k == 0) return;
    int64_t channels = std::max<int64_t>(1, tile.kc / taps);
    ConvFrame frame(s);
    const int64_t least = frame_size(frame, kPixels);
    channels = std::clamp<int64_t>(kMostFrame / least, 1, channels);
    kc = taps <= tile.kc ? balanced_block(s.in_group(), channels, 1) * taps : balanced_block(k, tile.kc, 1);
    if (tiles) kc = tile_channels(s, least) * taps;
    channels = (kc + taps - 1) / taps;
    // Whole lines of vectors whose part of the frame stays in the first-level cache while the rows pass.
    const int64_t line = (s.out[2] + width - 1) / width, some = std::max<int64_t>(1, kPixels / width / line);
    vectors = kPixels / width;
    bool near = false;
    int64_t part = 0;  // of a line that is longer
    if (direct && line > vectors) {
      frame.place(0, s.out[2]);
      part = kNearFrame * line / (channels * frame.channel_size()) / 6 * 6;
      near = part > 0;
    }
    for (int64_t lines = some; lines > 0 && direct && line <= vectors; lines /= 2) {
      frame.place(0, std::min(lines, s.out[1]) * s.out[2]);
      const bool odd = lines * line % 2 == 1 && line < 8;  // tiles are two vectors wide
      if (odd || channels * frame.channel_size() > kNearFrame) continue;
      vectors = lines * line, near = true;
      break;
    }
    // Many rows: frames and weights that do not stay near cost more than gathering, which they share.
    if (direct && (near ? rows > kFewRows && rows * kc > kNearWeights : panels > kFewPanels)) {
      direct = false;
      set_panels();
    }
    if (direct && line > vectors) vectors = std::clamp<int64_t>(part, 6, vectors);
    pixels = kPixels;
    while (!pointwise && pixels < kTaskPixels && channels * frame_size(frame, 2 * pixels) <= kFrame)
      pixels *= 2;
  }
  void set_panels() {
    mr = direct ? kernels::table().direct_mr : tile.mr;
    step = mr > 8 && row_cost(8) * 21 < row_cost(mr) * 20 ? 8 : mr;
    panels = (rows + step - 1) / step;
  }
  // Multiply-adds a column and line of A, as time: tiles of one and two rows wait for their sums.
  int64_t row_cost(int64_t height) const {
    const int64_t rest = rows % height;
    return rows / height * height + (rest == 0 ? 0 : rest <= 4 ? 4 : rest <= 8 ? 8 : height);
  }
  int64_t frame_size(ConvFrame& frame, int64_t most) const {
    const PixelBlocks blocks(s, most, 1);
    frame.place(blocks.first(0), blocks.size(0));
    return frame.channel_size();
  }
  const ConvShape& s;
  TileKernel<T> tile;
  bool pointwise, direct, tiles;  // tiles: of bfloat16
  // Panels of the weights have room for mr rows and hold `step`; kc lines are taken at once.
  int64_t rows, k, mr, step, panels, kc = 0;
  int64_t pixels = kPixels;  // of a task
  int64_t vectors = 1;       // that are multiplied at once straight from the frame
};

// The weights of all groups in panels, made once a call: [group][block of k][panel of rows][k][mr].
template <class T>
class PackedWeights {
 public:
  explicit PackedWeights(const Plan<T>& plan)
      : k_(plan.k), kc_(plan.kc), mr_(plan.mr), step_(plan.step), rows_(plan.rows), panels_(plan.panels) {
    if (plan.tiles) tiles_.emplace(plan.rows, plan.k, plan.s.taps(), plan.kc / plan.s.taps());
  }
  // In elements of T.
  int64_t size(int64_t groups) const {
    return tiles_ ? tiles_->size(groups) / int64_t(sizeof(T) / sizeof(uint16_t))
                  : groups * panels_ * mr_ * k_;
  }
  const TileWeights* tiles() const { return tiles_ ? &*tiles_ : nullptr; }

  // room: for what is not kept.
  void pack(const Weights<T>& w, int64_t groups, T* room) {
    if constexpr (std::is_same_v<T, float>) {
      if (tiles_) return tiles_->pack(w, groups, reinterpret_cast<uint16_t*>(room));
    }
    data_ = form_.get(PackedKind::ConvPanels, w, {groups, rows_, k_, kc_, mr_, step_}, size(groups), room,
                      [&](T* dst) { pack_panels(w, groups, dst); });
  }
  const T* panel(int64_t group, int64_t k0, int64_t depth, int64_t p) const {
    return data_ + place(group, k0, depth, p);
  }

 private:
  int64_t place(int64_t group, int64_t k0, int64_t depth, int64_t p) const {
    return group * panels_ * mr_ * k_ + k0 * panels_ * mr_ + p * mr_ * depth;
  }
  void pack_panels(const Weights<T>& w, int64_t groups, T* dst) const {
    const int64_t grain = std::max<int64_t>(1, 8192 / (mr_ * k_));
    // Weights whose rows are not contiguous lie far apart along k: some lines of all panels are read
    // together.
    const int64_t some = w.rows_contiguous ? kc_ : kTogether * int64_t(w.tap.size());
    parallel_for(0, groups * panels_, grain, [&](int64_t first, int64_t last) {
      for (int64_t k0 = 0; k0 < k_; k0 += kc_) {
        const int64_t depth = std::min(kc_, k_ - k0);
        for (int64_t k = 0; k < depth; k += some) {
          for (int64_t p = first; p < last; ++p) {
            const int64_t group = p / panels_, i = p % panels_ * step_, n = std::min(step_, rows_ - i);
            pack_rows(w, w.w + group * w.group + i * w.rs, n, k0 + k, std::min(some, depth - k),
                      dst + place(group, k0, depth, p % panels_) + k * mr_);
          }
        }
      }
    });
  }
  void pack_rows(const Weights<T>& w, const T* src, int64_t n, int64_t k0, int64_t depth, T* to) const {
    if (w.rows_contiguous) return pack_panel(mr_, n, depth, src + k0, w.rs, 1, T(1), to);
    const int64_t taps = int64_t(w.tap.size());
    if (taps == 1 && (w.rs == 1 || w.cs == 1))
      return pack_panel(mr_, n, depth, src + k0 * w.cs + w.tap[0], w.rs, w.cs, T(1), to);
    // A channel after the other: all its taps of a row lie close together.
    if (n < mr_) std::fill(to, to + depth * mr_, T(0));
    for (int64_t q = k0; q < k0 + depth;) {
      const int64_t channel = q / taps, first = q - channel * taps,
                    some = std::min(taps - first, k0 + depth - q);
      const T* from = src + channel * w.cs;
      pack_taps(w, n, from, first, some, to);
      q += some, to += some * mr_;
    }
  }
  // Taps [first, first + taps) of n rows. Counts that the compiler knows take a third of the time.
  void pack_taps(const Weights<T>& w, int64_t n, const T* from, int64_t first, int64_t taps, T* to) const {
    // The next panel's part of this channel.
    for (int64_t i = n * w.rs; i < 2 * n * w.rs && n * w.rs <= kAhead; i += 64 / int64_t(sizeof(T)))
      __builtin_prefetch(from + i);
    if (n == 6) return pack_some<6>(w, n, from, first, taps, to);
    if (n == 8) return pack_some<8>(w, n, from, first, taps, to);
    if (n == 14) return pack_some<14>(w, n, from, first, taps, to);
    pack_some<0>(w, n, from, first, taps, to);
  }
  template <int N>
  void pack_some(const Weights<T>& w, int64_t n, const T* from, int64_t first, int64_t taps, T* to) const {
    const int64_t rows = N > 0 ? N : n;
    for (int64_t t = 0; t < taps; ++t, to += mr_) {
      const T* tap = from + w.tap[size_t(first + t)];
#pragma GCC unroll 14
      for (int64_t r = 0; r < rows; ++r) to[r] = tap[r * w.rs];
    }
  }
  int64_t k_, kc_, mr_, step_, rows_, panels_;
  const T* data_ = nullptr;
  PackedForm<T> form_;
  std::optional<TileWeights> tiles_;
};

// One thread's work on blocks of pixels of one group each: C = W im2col(x) + bias, C with rows of ldc.
template <class T>
class BlockProduct {
 public:
  BlockProduct(const Plan<T>& plan, const PackedWeights<T>& weights)
      : plan_(plan), s_(plan.s), weights_(weights), frame_(plan.s) {
    if (weights.tiles()) tiles_.emplace(plan.s, *weights.tiles());
  }

  void run(const ConvImages& x, const T* bias, int64_t group, int64_t pixel, int64_t count, T* c,
           int64_t ldc) {
    if constexpr (std::is_same_v<T, float>) {
      if (tiles_) return tiles_->run(x, bias, group, pixel, count, c, ldc);
    }
    const int64_t pixels = s_.out_pixels();
    const bool in_place = plan_.pointwise && pixel / pixels == (pixel + count - 1) / pixels;
    if (!in_place && frame_.place(pixel, count)) {
      pieces_.clear(), starts_.assign(1, 0);
      if (plan_.direct) {
        frame_.pieces(pixel, count, &pieces_);
        list_vectors();
      } else {
        for (int64_t j = 0; j < count; j += plan_.tile.nr) {
          frame_.pieces(pixel + j, std::min(plan_.tile.nr, count - j), &pieces_);
          starts_.push_back(int64_t(pieces_.size()));
        }
      }
    }
    const T* row_bias = bias ? bias + group * plan_.rows : nullptr;
    for (int64_t k0 = 0; k0 < plan_.k; k0 += plan_.kc) {
      const int64_t kc = std::min(plan_.kc, plan_.k - k0);
      const T* framed = in_place ? nullptr : fill_frame(x, group, k0, kc);
      if (plan_.direct) {
        if constexpr (std::is_same_v<T, float>) multiply_direct(framed, row_bias, group, k0, kc, c, ldc);
        continue;
      }
      const int64_t step = kPixels / plan_.tile.nr * plan_.tile.nr;  // panels are whole
      for (int64_t j = 0; j < count; j += step) {
        const int64_t n = std::min(step, count - j);
        T* b = scratch<Scratch::PanelsB, T>((n + plan_.tile.nr - 1) / plan_.tile.nr * kc * plan_.tile.nr +
                                            kLineSlack);
        if (in_place) {
          pack_image(x, pixel / pixels, group * s_.in_group() + k0, pixel % pixels + j, kc, n, b);
        } else {
          gather(framed, j, n, kc, b);
        }
        multiply(b, row_bias, group, k0, kc, n, c + j, ldc);
      }
    }
  }

 private:
  // The channels of rows [k0, k0 + kc) of im2col(x), and where these rows begin.
  const T* fill_frame(const ConvImages& x, int64_t group, int64_t k0, int64_t kc) {
    const int64_t taps = s_.taps(), channel = k0 / taps, channels = (k0 + kc - 1) / taps - channel + 1;
    const T* framed = frame_.framed<T>(x, group * s_.in_group() + channel, channels);
    offsets_.clear();
    for (int64_t c = channel; c < channel + channels; ++c) {
      const int64_t from = std::max(k0, c * taps) - c * taps,
                    to = std::min(k0 + kc, (c + 1) * taps) - c * taps;
      for (int64_t t = from; t < to; ++t)
        offsets_.push_back((c - channel) * frame_.channel_size() + frame_.tap(t));
    }
    return framed;
  }

  void list_vectors() {
    vectors_.clear();
    int64_t to = 0;
    for (size_t p = 0; p < pieces_.size(); p += 2) {
      vectors_.push_back(pieces_[p]);
      vectors_.push_back(to);
      vectors_.push_back(pieces_[p + 1]);
      to += pieces_[p + 1];
    }
  }

  void multiply_direct(const float* framed, const float* bias, int64_t group, int64_t k0, int64_t kc,
                       float* c, int64_t ldc) {
    const int64_t vectors = int64_t(vectors_.size()) / 3, at_once = plan_.vectors;
    for (int64_t v = 0; v < vectors; v += at_once) {
      for (int64_t i = 0, p = 0; i < plan_.rows; i += plan_.step, ++p) {
        kernels::table().conv_direct_f32(kc, weights_.panel(group, k0, kc, p), plan_.mr, offsets_.data(),
                                         framed, std::min(at_once, vectors - v), vectors_.data() + 3 * v,
                                         c + i * ldc, ldc, std::min(plan_.step, plan_.rows - i),
                                         bias ? bias + i : nullptr, k0 > 0);
      }
    }
  }

  // Panels of nr columns each. A last line is followed by the next panel, which is written later, or by
  // slack.
  void gather(const T* framed, int64_t first, int64_t count, int64_t kc, T* b) const {
    const int64_t nr = plan_.tile.nr;
    for (int64_t j = 0; j < count; j += nr, b += kc * nr) {
      if (count - j < nr) std::fill(b, b + kc * nr, T(0));  // lanes that are not stored should hold numbers
      const int64_t at = starts_[(first + j) / nr], pieces = (starts_[(first + j) / nr + 1] - at) / 2;
      gather_lines(kc, offsets_.data(), pieces, pieces_.data() + at, framed, b, nr);
    }
  }
  void pack_image(const ConvImages& x, int64_t image, int64_t channel, int64_t pixel, int64_t kc,
                  int64_t count, T* b) const {
    // A few lines at a time along all panels: memory is read in longer streams.
    const int64_t nr = plan_.tile.nr, some = x.channels_last ? kc : 8;
    for (int64_t k = 0; k < kc; k += some) {
      for (int64_t j = 0; j < count; j += nr) {
        pack_images(x, nr, std::min(nr, count - j), std::min(some, kc - k),
                    address(x, image, channel + k, pixel + j), pixel_step(x), channel_step(x),
                    b + j * kc + k * nr);
      }
    }
  }

  // A few panels of pixels, as many as stay in the first-level cache, pass over all rows of weights.
  void multiply(const T* b, const T* bias, int64_t group, int64_t k0, int64_t kc, int64_t count, T* c,
                int64_t ldc) const {
    const int64_t nr = plan_.tile.nr;
    const int64_t near = std::max<int64_t>(1, kNearPanels / (kc * nr * int64_t(sizeof(T)))) * nr;
    for (int64_t first = 0; first < count; first += near) {
      const int64_t last = std::min(count, first + near);
      for (int64_t i = 0, p = 0; i < plan_.rows; i += plan_.step, ++p) {
        const T* a = weights_.panel(group, k0, kc, p);
        for (int64_t j = first; j < last; j += nr) {
          plan_.tile.run(kc, a, b + j * kc, nr, c + i * ldc + j, ldc, std::min(plan_.step, plan_.rows - i),
                         std::min(nr, count - j), bias ? bias + i : nullptr, nullptr, k0 > 0);
        }
      }
    }
  }

  const Plan<T>& plan_;
  const ConvShape& s_;
  const PackedWeights<T>& weights_;
  ConvFrame frame_;
  std::optional<TileProduct> tiles_;
  std::vector<int64_t> pieces_, starts_, offsets_, vectors_;
};

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

// Elements of the output that are turned round at once where its layout or type is another.
constexpr int64_t kTurned = 1 << 16;

template <class T>
void correlate(const ConvShape& s, const Weights<T>& w, const ConvImages& x, const T* bias,
               const ConvImages& y) {
  const Plan<T> plan(s, x.dtype);
  PackedWeights<T> weights(plan);
  weights.pack(w, s.groups, scratch<Scratch::Weights, T>(weights.size(s.groups)));
  T* whole = const_cast<T*>(planes<T>(y));
  const int64_t pixels = s.out_pixels(), rows = plan.rows;
  int64_t most = whole ? plan.pixels : std::min(plan.pixels, std::max(kPixels / 2, kTurned / rows));
  // Groups beside each other share lines of the cache.
  if (s.groups > 1 && (x.channels_last || y.channels_last)) most = std::min(most, kPixels);
  const PixelBlocks blocks = blocks_of(s, most, plan.tile.nr);
  LoopLocal<BlockProduct<T>> products;
  for_blocks(blocks, s.groups, rows * plan.k, [&](int64_t from, int64_t to) {
    BlockProduct<T>& product = products.get(plan, weights);
    for (int64_t t = from; t < to; ++t) {
      const int64_t group = t % s.groups, first = blocks.first(t / s.groups),
                    count = blocks.size(t / s.groups);
      if (whole && first / pixels == (first + count - 1) / pixels) {
        T* c = whole + (first / pixels * s.out_channels + group * rows) * pixels + first % pixels;
        product.run(x, bias, group, first, count, c, pixels);
        continue;
      }
      T* c = scratch<Scratch::Output, T>(rows * count);
      product.run(x, bias, group, first, count, c, count);
      for_stretches(s, first, count, [&](int64_t image, int64_t pixel, int64_t offset, int64_t len) {
        write_planes(y, image, group * rows, rows, pixel, 1, len, c + offset, count);
      });
    }
  });
}

// Lines of planes that no tap reaches.
template <class T>
void fill_lines(const ConvShape& s, const T* bias, const Phase& z, const Phase& y, const ConvImages& gx) {
  T* whole = const_cast<T*>(planes<T>(gx));
  parallel_for(0, s.batch * s.in_channels, 16, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      for (int64_t i = 0; i < z.pixels * y.pixels; ++i) {
        const int64_t line = (z.first_pixel + i / y.pixels * s.stride[0]) * s.in[1] + y.first_pixel +
                             i % y.pixels * s.stride[1];
        std::fill_n(whole + (p * s.in[0] * s.in[1] + line) * s.in[2], s.in[2],
                    bias ? bias[p % s.in_channels] : T(0));
      }
    }
  });
}

// All phases along x of one phase along z and y: they share lines of gx, which are written whole.
template <class T>
void input_grad_lines(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                      const Phase& z, const Phase& y, const ConvImages& gx) {
  if (z.pixels * y.pixels == 0) return;
  const int64_t stride = s.stride[2], width = (s.in[2] + stride - 1) / stride;
  std::vector<Back<T>> backs;
  for (int64_t r = 0; r < stride; ++r) {
    backs.emplace_back(s, w, z, y, phase_of(s, 2, r));
    backs.back().shape.out[2] = width;  // the same for all; what lies outside is not stored
    if (backs.back().weights.tap.empty()) backs.back().shape.kernel[2] = 0;
  }
  std::vector<Plan<T>> plans;
  std::vector<PackedWeights<T>> packed;
  int64_t size = 0, work = 0, most = std::min(kTaskPixels, (int64_t(1) << 19) / (s.in_group() * stride));
  for (const Back<T>& back : backs) {
    plans.emplace_back(back.shape, gy.dtype);
    packed.emplace_back(plans.back());
    size += packed.back().size(s.groups);
    work += plans.back().rows * plans.back().k;
    if (plans.back().k > 0) most = std::min(most, plans.back().pixels);
  }
  if (work == 0 && planes<T>(gx)) return fill_lines<T>(s, bias, z, y, gx);
  T* panels = scratch<Scratch::Weights, T>(size);
  for (int64_t r = 0; r < stride; ++r) {
    if (plans[r].k == 0) continue;
    packed[r].pack(backs[r].weights, s.groups, panels);
    panels += packed[r].size(s.groups);
  }
  T* whole = const_cast<T*>(planes<T>(gx));
  const int64_t rows = s.in_group();
  const ConvShape& all = backs[0].shape;
  const PixelBlocks blocks = blocks_of(all, most, plans[0].tile.nr);
  LoopLocal<std::vector<BlockProduct<T>>> local;
  for_blocks(blocks, s.groups, work, [&](int64_t from, int64_t to) {
    std::vector<BlockProduct<T>>& products = local.get();
    for (int64_t r = int64_t(products.size()); r < stride; ++r) products.emplace_back(plans[r], packed[r]);
    std::vector<const T*> sources(stride);
    for (int64_t t = from; t < to; ++t) {
      const int64_t group = t % s.groups, first = blocks.first(t / s.groups),
                    count = blocks.size(t / s.groups);
      T* c = scratch<Scratch::Output, T>(stride * rows * count);
      for (int64_t r = 0; r < stride; ++r) {
        if (plans[r].k == 0) {
          for (int64_t row = 0; row < rows; ++row) {
            std::fill_n(c + (r * rows + row) * count, count, bias ? bias[group * rows + row] : T(0));
          }
          continue;
        }
        products[r].run(gy, bias, group, first, count, c + r * rows * count, count);
      }
      for_stretches(all, first, count, [&](int64_t image, int64_t pixel, int64_t offset, int64_t len) {
        while (len > 0) {  // line by line
          const int64_t x0 = pixel % width, line = pixel / width, n = std::min(len, width - x0);
          const int64_t at_z = z.first_pixel + line / y.pixels * s.stride[0],
                        at_y = y.first_pixel + line % y.pixels * s.stride[1];
          const int64_t at = (at_z * s.in[1] + at_y) * s.in[2] + x0 * stride,
                        length = std::min(s.in[2] - x0 * stride, n * stride);
          for (int64_t r = 0; r < stride && gx.channels_last; ++r) {
            const int64_t f = backs[r].phase[2].first_pixel;
            write_planes(gx, image, group * rows, rows, at + f, stride, (length - f + stride - 1) / stride,
                         c + r * rows * count + offset, count);
          }
          for (int64_t row = 0; row < rows && !gx.channels_last; ++row) {
            for (int64_t r = 0; r < stride; ++r)
              sources[backs[r].phase[2].first_pixel] = c + (r * rows + row) * count + offset;
            const int64_t channel = group * rows + row;
            T* merged = whole ? whole + (image * s.in_channels + channel) * s.in_pixels() + at
                              : scratch<Scratch::Rows, T>(length);
            merge_phases(stride, length, n, sources.data(), merged);
            if (!whole) write_planes(gx, image, channel, 1, at, 1, length, merged, length);
          }
          pixel += n, offset += n, len -= n;
        }
      });
    }
  });
}

}  // namespace

template <class T>
void gemm_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                  const ConvImages& y) {
  correlate<T>(s, Weights<T>(s, w), x, bias, y);
}

template <class T>
void gemm_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                     const ConvImages& gx) {
  if (s.stride[0] == 1 && s.stride[1] == 1 && s.stride[2] == 1) {
    const Back<T> back(s, w, phase_of(s, 0, 0), phase_of(s, 1, 0), phase_of(s, 2, 0));
    return correlate<T>(back.shape, back.weights, gy, bias, gx);
  }
  for (int64_t r = 0; r < s.stride[0] * s.stride[1]; ++r) {
    input_grad_lines(s, gy, w, bias, phase_of(s, 0, r / s.stride[1]), phase_of(s, 1, r % s.stride[1]), gx);
  }
}

#define NNLIB_INSTANTIATE(T)                                                                             \
  template void gemm_forward<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*,    \
                                const ConvImages&);                                                      \
  template void gemm_input_grad<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*, \
                                   const ConvImages&);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers::detail
