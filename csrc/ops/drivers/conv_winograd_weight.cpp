// Weight gradients of convolutions by the transpose of Winograd's algorithm: transformed
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

// The gradient for one group of channels. Vectors of x's channels are held [vector][remainder].
class WinoWeight {
 public:
  WinoWeight(const ConvShape& s, int64_t size)
      : s_(s), t_(kernels::table()), steps_(s), tiles_(plain_of(s), size) {
    ci_ = s.in_group(), co_ = s.out_group();
    remainders_ = steps_.count();
    in_vecs_ = (ci_ + t_.wino_lanes - 1) / t_.wino_lanes * remainders_,
    out_vecs_ = (co_ + t_.wino_lanes - 1) / t_.wino_lanes;
    in_task_ = remainders_ == 1 ? kIn : remainders_;
    const int64_t most = kShared / (tiles_.positions() * (in_vecs_ + out_vecs_) * t_.wino_lanes);
    block_ = balanced_block(tiles_.count(), std::clamp<int64_t>(most, 16, kTiles), 1);
    step_ = wino_step(block_ * t_.wino_lanes);
  }

  // Groups [first, last). False where a value is not finite: gw is then to be computed in another way.
  bool run(int64_t first, int64_t last, const float* x, bool x_last, const float* gy, bool gy_last,
           float* gw) {
    x_ = {x, x_last, s_.in_channels, s_.in[1], s_.in[2]};
    gy_ = {gy, gy_last, s_.out_channels, s_.out[1], s_.out[2]};
    for (int64_t g = first; g < last && finite_; ++g) {
      in_ = g * ci_, out_ = g * co_, gw_ = gw + g * ci_ * co_ * s_.taps();
      sum_tiles();
    }
    return finite_;
  }

 private:
  // A task of sums: vectors of input and of output channels. All remainders of a vector belong to one.
  static constexpr int64_t kIn = 2, kOut = 6;

  void sum_tiles() {
    const int64_t positions = tiles_.positions(), lanes = t_.wino_lanes;
    const int64_t in_tasks = (in_vecs_ + in_task_ - 1) / in_task_, out_tasks = (out_vecs_ + kOut - 1) / kOut;
    const int64_t columns = kOut * lanes, sums = wino_step(in_task_ * lanes * columns),
                  all = positions * sums;
    const bool once = block_ >= tiles_.count();
    // Transformed tiles, [vector of channels][position][tile][lane]: those of x, then those of gy.
    float* v = scratch<Scratch::Tiles, float>((in_vecs_ + out_vecs_) * positions * step_);
    float* kept = once ? nullptr : scratch<Scratch::Sums, float>(in_tasks * out_tasks * all);
    for (int64_t from = 0; from < tiles_.count(); from += block_) {
      const int64_t to = std::min(tiles_.count(), from + block_), count = to - from;
      const int64_t some = std::min<int64_t>(64, count), cuts = (count + some - 1) / some;
      const int64_t grain = std::max<int64_t>(1, 8192 / (positions * some));
      const int64_t inputs = in_vecs_ / steps_.step[1];  // all remainders across at once
      parallel_for(0, (inputs + out_vecs_) * cuts, grain, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t at = from + i % cuts * some, part = i / cuts, end = std::min(to, at + some);
          float* dst = v + (at - from) * lanes;
          if (part < inputs) {
            transform_input(part / steps_.step[0], part % steps_.step[0], at, end, dst);
          } else {
            const int64_t vec = part - inputs;
            transform_grad(vec, at, end, dst + (in_vecs_ + vec) * positions * step_);
          }
        }
      });
      parallel_for(0, in_tasks * out_tasks, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t in = i / out_tasks * in_task_, out = i % out_tasks * kOut;
          const int64_t ins = std::min(in_task_, in_vecs_ - in), outs = std::min(kOut, out_vecs_ - out);
          float* sum = once ? scratch<Scratch::Products, float>(all) : kept + i * all;
          const float *a = v + in * positions * step_, *b = v + (in_vecs_ + out) * positions * step_;
          for (int64_t p = 0; p < positions; ++p) {
            for (int64_t c = 0; c < ins; ++c) {
              float* at = sum + p * sums + c * lanes * columns;
              if (!counts(c, p)) {
                if (from == 0) std::fill_n(at, lanes * columns, 0.f);
                continue;
              }
              t_.wino_outer_f32(count, a + (c * positions + p) * step_, b + p * step_, positions * step_,
                                outs, at, columns, from > 0);
            }
          }
          if (to == tiles_.count()) finish(in, ins, out, outs, sum, sums, columns);
        }
      });
    }
  }

  // Whether a remainder of a task has a tap that counts at a position.
  bool counts(int64_t c, int64_t position) const {
    if (remainders_ == 1) return true;
    const int64_t side = tiles_.size + tiles_.halo();
    const auto counting = steps_.counting(position / side == side - 1, position % side == side - 1);
    return c >= counting.first && c < counting.second;
  }

  // A vector of channels of the tiles [from, to) of x, of all remainders across.
  void transform_input(int64_t vec, int64_t down, int64_t from, int64_t to, float* v) const {
    const int64_t lanes = t_.wino_lanes, size = tiles_.size, across = steps_.step[1];
    const int64_t most = std::max<int64_t>(1, wino_part_tiles(tiles_) / across);
    for_parts(tiles_, from, to, most, [&](const WinoPart& part) {
      const int64_t rows = part.rows * size + tiles_.halo(),
                    cols = (part.cols * size + tiles_.halo()) * across;
      float* lines = scratch<Scratch::Padded, float>(rows * cols * lanes);
      wino_lines(x_, part.image, in_ + vec * lanes, std::min(lanes, ci_ - vec * lanes),
                 part.y * size * steps_.step[0] + down - s_.padding[1],
                 part.x * size * across - s_.padding[2], steps_.step[0], rows, cols, lines);
      for (int64_t r = 0; r < part.rows; ++r) {
        for (int64_t q = 0; q < across; ++q) {
          t_.wino_input_f32(size, tiles_.taps, part.cols, lines + (r * size * cols + q) * lanes, cols * lanes,
                            across * lanes,
                            v + (vec * remainders_ + steps_.number(down, q)) * tiles_.positions() * step_ +
                                (part.first - from + r * part.cols) * lanes,
                            step_, lanes);
        }
      }
    });
  }
  void transform_grad(int64_t vec, int64_t from, int64_t to, float* v) const {
    const int64_t lanes = t_.wino_lanes, size = tiles_.size;
    for_parts(tiles_, from, to, wino_part_tiles(tiles_), [&](const WinoPart& part) {
      const int64_t rows = part.rows * size, cols = part.cols * size;
      float* lines = scratch<Scratch::Padded, float>(rows * cols * lanes);
      wino_lines(gy_, part.image, out_ + vec * lanes, std::min(lanes, co_ - vec * lanes), part.y * size,
                 part.x * size, 1, rows, cols, lines);
      for (int64_t r = 0; r < part.rows; ++r) {
        t_.wino_grad_f32(size, tiles_.taps, part.cols, lines + r * size * cols * lanes, cols * lanes,
                         v + (part.first - from + r * part.cols) * lanes, step_, lanes);
      }
    });
  }

  // Taps of the kernels between some input and some output channels.
  void finish(int64_t in, int64_t ins, int64_t out, int64_t outs, const float* sum, int64_t step,
              int64_t columns) {
    const int64_t lanes = t_.wino_lanes, channel_in = in / remainders_ * lanes;
    const int64_t n = std::min(ins / remainders_ * lanes, ci_ - channel_in);
    const int64_t count = s_.taps(), each = tiles_.taps * tiles_.taps;
    float* taps = scratch<Scratch::Rows, float>(n * (count + (remainders_ > 1 ? each : 0)) * lanes);
    bool finite = true;
    for (int64_t k = 0; k < outs; ++k) {
      const int64_t channel = (out + k) * lanes;
      if (remainders_ == 1) {
        finite &= t_.wino_weight_f32(tiles_.size, tiles_.taps, n, sum + k * lanes, step, columns, taps);
      }
      for (int64_t r = 0; r < remainders_ && remainders_ > 1; ++r) {
        const int64_t y = r / steps_.step[1], x = r % steps_.step[1];
        float* own = taps + n * count * lanes;
        finite &=
            t_.wino_weight_f32(tiles_.size, tiles_.taps, n,
                               sum + steps_.number(y, x) * lanes * columns + k * lanes, step, columns, own);
        steps_.for_taps(y, x, [&](int64_t tap, int64_t from) {
          for (int64_t c = 0; c < n; ++c)
            std::copy_n(own + (c * each + from) * lanes, lanes, taps + (c * count + tap) * lanes);
        });
      }
      t_.wino_unframe_f32(std::min(lanes, co_ - channel), 1, n * count, taps, 0,
                          gw_ + (channel * ci_ + channel_in) * count, ci_ * count, 0);
    }
    if (!finite) finite_ = false;
  }

  const ConvShape& s_;
  const kernels::Table& t_;
  const WinoSteps steps_;
  const WinoTiles tiles_;
  int64_t ci_, co_, remainders_, in_task_, in_vecs_, out_vecs_, block_, step_;
  WinoImages<const float> x_{}, gy_{};
  int64_t in_ = 0, out_ = 0;  // a group's first channels
  float* gw_ = nullptr;
  std::atomic<bool> finite_{true};
};

}  // namespace

bool winograd_weight_grad(const ConvShape& s, int64_t size, const float* x, const float* gy, float* gw,
                          bool x_last, bool gy_last) {
  return wino_groups(s, [&](int64_t first, int64_t last) {
    return WinoWeight(s, size).run(first, last, x, x_last, gy, gy_last, gw);
  });
}

}  // namespace nnlib::drivers::detail
