// Convolutions of bfloat16 images as products of bfloat16 blocks: the matrix im2col(x) is gathered from a
// frame, 32 lines by 32 pixels at a time, straight into the layout of the instructions.
#pragma once
#include <cstdint>
#include <vector>

#include "core/dtype.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_frame.h"
#include "ops/drivers/conv_phases.h"

namespace nnlib::drivers::detail {

// Whether blocks of bfloat16 are quicker than a product in float32 that is gathered as it is multiplied, for
// each pixel `rows` sums of k products. `gain`: how many times quicker another algorithm is than that
// product.
bool tiles_pay(Dtype images, int64_t rows, int64_t k, int64_t pixels, double gain = 1);
// The same for a convolution in one of its three directions, Winograd's algorithm considered.
bool tiles_suit_forward(const ConvShape& s, const ConvImages& x);
bool tiles_suit_input_grad(const ConvShape& s, const ConvImages& gy);
bool tiles_suit_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy);

constexpr int64_t kTileSide = 32, kTileBlock = kTileSide * kTileSide;
inline int64_t tile_blocks(int64_t n) { return (n + kTileSide - 1) / kTileSide; }

// The weights of all groups in blocks: [group][channels of a frame][rows][k].
class TileWeights {
 public:
  // `channels` at a time, of `taps` lines each.
  TileWeights(int64_t rows, int64_t k, int64_t taps, int64_t channels)
      : rows_(rows), k_(k), taps_(taps), kc_(channels * taps) {}
  int64_t kc() const { return kc_; }
  int64_t size(int64_t groups) const { return groups * group_size(); }
  void pack(const Weights<float>& w, int64_t groups, uint16_t* dst);
  // The blocks of 32 rows for the lines from k0 on.
  const uint16_t* rows(int64_t group, int64_t k0, int64_t block) const {
    return data_ + group * group_size() + k0 / kc_ * part_size() + block * steps(k0) * kTileBlock;
  }
  int64_t steps(int64_t k0) const { return tile_blocks(std::min(kc_, k_ - k0)); }

 private:
  int64_t part_size() const { return tile_blocks(rows_) * tile_blocks(kc_) * kTileBlock; }
  int64_t group_size() const { return (k_ + kc_ - 1) / kc_ * part_size(); }
  void pack_block(const Weights<float>& w, const float* src, int64_t n, int64_t k0, int64_t depth,
                  uint16_t* to) const;
  int64_t rows_, k_, taps_, kc_;
  uint16_t* data_ = nullptr;
};

// Channels whose frame is made at once.
int64_t tile_channels(const ConvShape& s, int64_t frame);

// One thread's work on blocks of pixels of one group each: C = W im2col(x) + bias, C with rows of ldc.
class TileProduct {
 public:
  TileProduct(const ConvShape& s, const TileWeights& weights) : s_(s), weights_(weights), frame_(s) {}
  void run(const ConvImages& x, const float* bias, int64_t group, int64_t pixel, int64_t count, float* c,
           int64_t ldc);

 private:
  void list_offsets(int64_t k0, int64_t kc);
  void gather(const BFloat16* framed, int64_t block, int64_t kc, uint16_t* b) const;
  void pack_image(const ConvImages& x, int64_t image, int64_t channel, int64_t pixel, int64_t n, int64_t kc,
                  uint16_t* b) const;

  const ConvShape& s_;
  const TileWeights& weights_;
  ConvFrame frame_;
  std::vector<int64_t> pieces_, starts_, offsets_;
};

// sum[rows, Co / g], or what is added to it, of the pixels [first, first + count): rows of `channels` whole
// channels from `channel` of a group on.
void sum_pixels_by_tiles(const ConvShape& s, ConvFrame& frame, const ConvImages& x, const ConvImages& gy,
                         int64_t group, int64_t channel, int64_t channels, int64_t first, int64_t count,
                         bool add, float* sum);

}  // namespace nnlib::drivers::detail
