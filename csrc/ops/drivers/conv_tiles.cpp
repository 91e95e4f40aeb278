#include "ops/drivers/conv_tiles.h"

#include <algorithm>
#include <numeric>

#include "core/parallel.h"
#include "ops/drivers/conv_winograd.h"
#include "ops/drivers/gemm_bf16.h"

namespace nnlib::drivers::detail {

namespace {

// Multiplications of float32 in the time that gathering a number takes, in bfloat16 and in float32.
constexpr double kGatherTile = 6, kGatherFloat = 4;
// Lines of im2col(x) to aim for at once, elements of a frame, and of gathered blocks that stay in the
// second-level cache.
constexpr int64_t kLines = 512, kMostFrame = 1 << 20, kNearBlocks = 1 << 17;

const uint16_t* words_of(const BFloat16* x) { return reinterpret_cast<const uint16_t*>(x); }

}  // namespace

bool tiles_pay(Dtype images, int64_t rows, int64_t k, int64_t pixels, double gain) {
  if (images != Dtype::BFloat16 || k == 0) return false;
  if (always_tiles()) return true;
  const int64_t rate = kernels::table().bf16_rate;
  if (rate <= 1) return false;
  const double lines = double(tile_blocks(k) * kTileSide), sums = double(tile_blocks(rows) * kTileSide);
  const double rim = double(tile_blocks(pixels) * kTileSide) / double(pixels);
  const double tiles = rim * lines * (sums / double(rate) + kGatherTile);
  return tiles * std::max(1.0, gain) < double(k) * (double(rows) + kGatherFloat);
}

bool tiles_suit_forward(const ConvShape& s, const ConvImages& x) {
  return tiles_pay(x.dtype, s.out_group(), s.in_group() * s.taps(), s.batch * s.out_pixels(),
                   winograd_gain(s));
}
bool tiles_suit_input_grad(const ConvShape& s, const ConvImages& gy) {
  const int64_t strides = s.stride[0] * s.stride[1] * s.stride[2];
  return tiles_pay(gy.dtype, s.in_group(), std::max<int64_t>(1, s.out_group() * s.taps() / strides),
                   s.batch * s.in_pixels(), winograd_input_grad_gain(s));
}
bool tiles_suit_weight_grad(const ConvShape& s, const ConvImages& x, const ConvImages& gy) {
  return gy.dtype == x.dtype && tiles_pay(x.dtype, s.out_group(), s.in_group() * s.taps(),
                                          s.batch * s.out_pixels(), winograd_gain(s));
}

// ---- weights

void TileWeights::pack_block(const Weights<float>& w, const float* src, int64_t n, int64_t k0, int64_t depth,
                             uint16_t* to) const {
  const auto split = kernels::table().bf16_split_rows;
  uint32_t range[2] = {0xffffffff, 0};
  if (w.rows_contiguous && n == kTileSide && depth == kTileSide) return split(1, src + k0, w.rs, to, range);
  alignas(64) float staging[kTileBlock] = {};
  for (int64_t q = 0; q < depth; ++q) {
    const float* from = src + (k0 + q) / taps_ * w.cs + w.tap[(k0 + q) % taps_];
    for (int64_t r = 0; r < n; ++r) staging[r * kTileSide + q] = from[r * w.rs];
  }
  split(1, staging, kTileSide, to, range);
}

void TileWeights::pack(const Weights<float>& w, int64_t groups, uint16_t* dst) {
  data_ = dst;
  const int64_t blocks = tile_blocks(rows_);
  parallel_for(
      0, groups * blocks, std::max<int64_t>(1, 8192 / (kTileSide * k_)), [&](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
          const int64_t group = p / blocks, i = p % blocks * kTileSide;
          const float* src = w.w + group * w.group + i * w.rs;
          for (int64_t k0 = 0; k0 < k_; k0 += kc_) {
            uint16_t* to = const_cast<uint16_t*>(rows(group, k0, p % blocks));
            const int64_t end = std::min(k_, k0 + kc_);
            for (int64_t k = k0; k < end; k += kTileSide, to += kTileBlock)
              pack_block(w, src, std::min(kTileSide, rows_ - i), k, std::min(kTileSide, end - k), to);
          }
        }
      });
}

int64_t tile_channels(const ConvShape& s, int64_t frame) {
  // Whole blocks of lines.
  const int64_t unit = kTileSide / std::gcd(s.taps(), kTileSide);
  const int64_t some = balanced_block(s.in_group(), std::max(unit, kLines / s.taps()), unit);
  return std::clamp<int64_t>(kMostFrame / std::max<int64_t>(1, frame), 1, std::min(some, s.in_group()));
}

// ---- W im2col(x)

void TileProduct::list_offsets(int64_t k0, int64_t kc) {
  const int64_t taps = s_.taps();
  offsets_.clear();
  for (int64_t c = 0; c < kc / taps; ++c) {
    for (int64_t t = 0; t < taps; ++t) offsets_.push_back(c * frame_.channel_size() + frame_.tap(t));
  }
}

void TileProduct::gather(const BFloat16* framed, int64_t block, int64_t kc, uint16_t* b) const {
  const int64_t at = starts_[block], pieces = (starts_[block + 1] - at) / 2;
  for (int64_t k = 0; k < kc; k += kTileSide, b += kTileBlock) {
    kernels::table().bf16_gather_pairs(std::min(kTileSide, kc - k), offsets_.data() + k, pieces,
                                       pieces_.data() + at, words_of(framed), b);
  }
}

void TileProduct::pack_image(const ConvImages& x, int64_t image, int64_t channel, int64_t pixel, int64_t n,
                             int64_t kc, uint16_t* b) const {
  uint32_t range[2] = {0xffffffff, 0};
  for (int64_t k = 0; k < kc; k += kTileSide, b += kTileBlock) {
    kernels::table().bf16_pack_pairs(n, std::min(kTileSide, kc - k),
                                     words(address(x, image, channel + k, pixel)), channel_step(x),
                                     pixel_step(x), b, range);
  }
}

void TileProduct::run(const ConvImages& x, const float* bias, int64_t group, int64_t pixel, int64_t count,
                      float* c, int64_t ldc) {
  const int64_t rows = s_.out_group(), k = s_.in_group() * s_.taps(), pixels = s_.out_pixels();
  const bool in_place = s_.pointwise() && pixel / pixels == (pixel + count - 1) / pixels;
  if (!in_place && frame_.place(pixel, count)) {
    pieces_.clear(), starts_.assign(1, 0);
    for (int64_t j = 0; j < count; j += kTileSide) {
      frame_.pieces(pixel + j, std::min(kTileSide, count - j), &pieces_);
      starts_.push_back(int64_t(pieces_.size()));
    }
  }
  for (int64_t r = 0; bias && r < rows; ++r) std::fill_n(c + r * ldc, count, bias[group * rows + r]);
  const kernels::Table& t = kernels::table();
  for (int64_t k0 = 0; k0 < k; k0 += weights_.kc()) {
    const int64_t kc = std::min(weights_.kc(), k - k0), steps = weights_.steps(k0),
                  block = steps * kTileBlock;
    const int64_t channel = group * s_.in_group() + k0 / s_.taps();
    const BFloat16* framed = nullptr;
    if (!in_place) {
      framed = frame_.framed<BFloat16>(x, channel, kc / s_.taps());
      list_offsets(k0, kc);
    }
    const int64_t near = std::max<int64_t>(1, kNearBlocks / block) * kTileSide;
    for (int64_t first = 0; first < count; first += near) {
      const int64_t last = std::min(count, first + near);
      uint16_t* b = scratch<Scratch::TilesB, uint16_t>(tile_blocks(last - first) * block);
      for (int64_t j = first; j < last; j += kTileSide) {
        uint16_t* to = b + (j - first) / kTileSide * block;
        if (in_place) {
          pack_image(x, pixel / pixels, channel, pixel % pixels + j, std::min(kTileSide, last - j), kc, to);
        } else {
          gather(framed, j / kTileSide, kc, to);
        }
      }
      const TileState tiles;
      for (int64_t i = 0; i < rows; i += kTileSide) {
        const uint16_t* a = weights_.rows(group, k0, i / kTileSide);
        for (int64_t j = first; j < last; j += kTileSide) {
          t.bf16_tile_f32(steps, 1, a, b + (j - first) / kTileSide * block, c + i * ldc + j, ldc,
                          std::min(kTileSide, rows - i), std::min(kTileSide, last - j), nullptr,
                          bias || k0 > 0, nullptr, 0);
        }
      }
    }
  }
}

// ---- im2col(x) gy^T

namespace {

// Pixels by output channels of one group, a block of 32 by 32: the pixels may belong to several images.
void pack_grad(const ConvShape& s, const ConvImages& gy, int64_t channel, int64_t channels, int64_t first,
               int64_t count, uint16_t* b) {
  const kernels::Table& t = kernels::table();
  uint32_t range[2] = {0xffffffff, 0};
  const int64_t pixels = s.out_pixels();
  if (first / pixels == (first + count - 1) / pixels) {
    const char* from = address(gy, first / pixels, channel, first % pixels);
    return t.bf16_pack_pairs(channels, count, words(from), pixel_step(gy), channel_step(gy), b, range);
  }
  uint16_t staging[kTileBlock];
  for_stretches(s, first, count, [&](int64_t image, int64_t pixel, int64_t offset, int64_t len) {
    const uint16_t* from = words(address(gy, image, channel, pixel));
    for (int64_t i = 0; i < len; ++i) {
      for (int64_t c = 0; c < channels; ++c)
        staging[(offset + i) * kTileSide + c] = from[i * pixel_step(gy) + c * channel_step(gy)];
    }
  });
  t.bf16_pack_pairs(channels, count, staging, kTileSide, 1, b, range);
}

}  // namespace

void sum_pixels_by_tiles(const ConvShape& s, ConvFrame& frame, const ConvImages& x, const ConvImages& gy,
                         int64_t group, int64_t channel, int64_t channels, int64_t first, int64_t count,
                         bool add, float* sum) {
  const kernels::Table& t = kernels::table();
  const int64_t rows = channels * s.taps(), co = s.out_group(), steps = tile_blocks(count),
                block = steps * kTileBlock;
  uint16_t* a = scratch<Scratch::TilesA, uint16_t>(block);
  uint16_t* b = scratch<Scratch::TilesB, uint16_t>(tile_blocks(co) * block);
  for (int64_t j = 0; j < co; j += kTileSide) {
    for (int64_t p = 0; p < count; p += kTileSide) {
      pack_grad(s, gy, group * co + j, std::min(kTileSide, co - j), first + p, std::min(kTileSide, count - p),
                b + j / kTileSide * block + p / kTileSide * kTileBlock);
    }
  }
  frame.place(first, count);
  const BFloat16* framed = frame.framed<BFloat16>(x, group * s.in_group() + channel, channels);
  std::vector<int64_t> pieces, starts = {0};
  for (int64_t p = 0; p < count; p += kTileSide) {
    frame.pieces(first + p, std::min(kTileSide, count - p), &pieces);
    starts.push_back(int64_t(pieces.size()));
  }
  int64_t offsets[kTileSide];
  const TileState tiles;
  for (int64_t i = 0; i < rows; i += kTileSide) {
    const int64_t m = std::min(kTileSide, rows - i);
    for (int64_t r = 0; r < m; ++r) offsets[r] = frame.row(i + r, 0);
    for (int64_t p = 0; p < steps; ++p) {
      t.bf16_gather_rows(m, offsets, (starts[p + 1] - starts[p]) / 2, pieces.data() + starts[p],
                         words_of(framed), a + p * kTileBlock);
    }
    for (int64_t j = 0; j < co; j += kTileSide) {
      t.bf16_tile_f32(steps, 1, a, b + j / kTileSide * block, sum + i * co + j, co, m,
                      std::min(kTileSide, co - j), nullptr, add, nullptr, 0);
    }
  }
}

}  // namespace nnlib::drivers::detail
