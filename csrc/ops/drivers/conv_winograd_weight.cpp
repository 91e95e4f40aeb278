// Weight gradients of convolutions of stride 1 by the transpose of Winograd's algorithm: transformed
// tiles of x and of gy are multiplied and summed over the tiles at each position, and the sums transformed to
// the taps.
#include <atomic>

#include "core/parallel.h"
#include "ops/drivers/conv_winograd.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers::detail {

namespace {

// Tiles whose products are summed at once, and the elements of transformed tiles in the cache that the cores
// share.
constexpr int64_t kTiles = 256, kShared = int64_t(1) << 22;

// The gradient for one group of channels.
class WinoWeight {
 public:
  WinoWeight(const ConvShape& s, int64_t size) : s_(s), t_(kernels::table()), tiles_(s, size) {
    ci_ = s.in_group(), co_ = s.out_group();
    in_vecs_ = (ci_ + t_.wino_lanes - 1) / t_.wino_lanes,
    out_vecs_ = (co_ + t_.wino_lanes - 1) / t_.wino_lanes;
    const int64_t most = kShared / (tiles_.positions() * (in_vecs_ + out_vecs_) * t_.wino_lanes);
    block_ = balanced_block(tiles_.count(), std::clamp<int64_t>(most, 16, kTiles), 1);
    step_ = wino_step(block_ * t_.wino_lanes);
  }

  // False where a value is not finite: gw is then to be computed in another way.
  bool run(const float* x, bool x_last, const float* gy, bool gy_last, float* gw) {
    x_ = {x, x_last, s_.in_channels, s_.in[1], s_.in[2]};
    gy_ = {gy, gy_last, s_.out_channels, s_.out[1], s_.out[2]};
    for (int64_t g = 0; g < s_.groups && finite_; ++g) {
      in_ = g * ci_, out_ = g * co_, gw_ = gw + g * ci_ * co_ * s_.taps();
      sum_tiles();
    }
    return finite_;
  }

 private:
  // A task of sums: vectors of input and of output channels.
  static constexpr int64_t kIn = 2, kOut = 6;

  void sum_tiles() {
    const int64_t positions = tiles_.positions(), lanes = t_.wino_lanes;
    const int64_t in_tasks = (in_vecs_ + kIn - 1) / kIn, out_tasks = (out_vecs_ + kOut - 1) / kOut;
    const int64_t columns = kOut * lanes, sums = wino_step(kIn * lanes * columns), all = positions * sums;
    const bool once = block_ >= tiles_.count();
    // Transformed tiles, [vector of channels][position][tile][lane]: those of x, then those of gy.
    float* v = scratch<Scratch::Tiles, float>((in_vecs_ + out_vecs_) * positions * step_);
    float* kept = once ? nullptr : scratch<Scratch::Sums, float>(in_tasks * out_tasks * all);
    for (int64_t from = 0; from < tiles_.count(); from += block_) {
      const int64_t to = std::min(tiles_.count(), from + block_), count = to - from;
      const int64_t some = std::min<int64_t>(64, count), cuts = (count + some - 1) / some;
      const int64_t grain = std::max<int64_t>(1, 8192 / (positions * some));
      parallel_for(0, (in_vecs_ + out_vecs_) * cuts, grain, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t at = from + i % cuts * some, vec = i / cuts;
          float* dst = v + vec * positions * step_ + (at - from) * lanes;
          if (vec < in_vecs_) {
            transform(true, vec, at, std::min(to, at + some), dst);
          } else {
            transform(false, vec - in_vecs_, at, std::min(to, at + some), dst);
          }
        }
      });
      parallel_for(0, in_tasks * out_tasks, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t in = i / out_tasks * kIn, out = i % out_tasks * kOut;
          const int64_t ins = std::min(kIn, in_vecs_ - in), outs = std::min(kOut, out_vecs_ - out);
          float* sum = once ? scratch<Scratch::Products, float>(all) : kept + i * all;
          const float *a = v + in * positions * step_, *b = v + (in_vecs_ + out) * positions * step_;
          for (int64_t p = 0; p < positions; ++p) {
            for (int64_t c = 0; c < ins; ++c) {
              t_.wino_outer_f32(count, a + (c * positions + p) * step_, b + p * step_, positions * step_,
                                outs, sum + p * sums + c * lanes * columns, columns, from > 0);
            }
          }
          if (to == tiles_.count()) finish(in, ins, out, outs, sum, sums, columns);
        }
      });
    }
  }

  // A vector of channels of the tiles [from, to) of x (`input`) or of gy.
  void transform(bool input, int64_t vec, int64_t from, int64_t to, float* v) const {
    const int64_t lanes = t_.wino_lanes, size = tiles_.size, halo = input ? tiles_.halo() : 0;
    const int64_t channels = std::min(lanes, (input ? ci_ : co_) - vec * lanes);
    const WinoImages<const float>& images = input ? x_ : gy_;
    const int64_t channel = (input ? in_ : out_) + vec * lanes;
    for_parts(tiles_, from, to, wino_part_tiles(tiles_), [&](const WinoPart& part) {
      const int64_t rows = part.rows * size + halo, cols = part.cols * size + halo;
      float* lines = scratch<Scratch::Padded, float>(rows * cols * lanes);
      wino_lines(images, part.image, channel, channels, part.y * size - (input ? tiles_.padding[0] : 0),
                 part.x * size - (input ? tiles_.padding[1] : 0), rows, cols, lines);
      for (int64_t r = 0; r < part.rows; ++r) {
        const float* line = lines + r * size * cols * lanes;
        float* dst = v + (part.first - from + r * part.cols) * lanes;
        if (input) {
          t_.wino_input_f32(size, tiles_.taps, part.cols, line, cols * lanes, dst, step_, lanes);
        } else {
          t_.wino_grad_f32(size, tiles_.taps, part.cols, line, cols * lanes, dst, step_, lanes);
        }
      }
    });
  }

  // Taps of the kernels between some input and some output channels.
  void finish(int64_t in, int64_t ins, int64_t out, int64_t outs, const float* sum, int64_t step,
              int64_t columns) {
    const int64_t lanes = t_.wino_lanes, n = std::min(ins * lanes, ci_ - in * lanes);
    const int64_t count = s_.taps();
    float* taps = scratch<Scratch::Rows, float>(n * count * lanes);
    bool finite = true;
    for (int64_t k = 0; k < outs; ++k) {
      const int64_t channel = (out + k) * lanes;
      finite &= t_.wino_weight_f32(tiles_.size, tiles_.taps, n, sum + k * lanes, step, columns, taps);
      t_.wino_unframe_f32(std::min(lanes, co_ - channel), 1, n * count, taps, 0,
                          gw_ + (channel * ci_ + in * lanes) * count, ci_ * count, 0);
    }
    if (!finite) finite_ = false;
  }

  const ConvShape& s_;
  const kernels::Table& t_;
  WinoTiles tiles_;
  int64_t ci_, co_, in_vecs_, out_vecs_, block_, step_;
  WinoImages<const float> x_{}, gy_{};
  int64_t in_ = 0, out_ = 0;  // a group's first channels
  float* gw_ = nullptr;
  std::atomic<bool> finite_{true};
};

}  // namespace

bool winograd_weight_grad(const ConvShape& s, int64_t size, const float* x, const float* gy, float* gw,
                          bool x_last, bool gy_last) {
  return WinoWeight(s, size).run(x, x_last, gy, gy_last, gw);
}

}  // namespace nnlib::drivers::detail
