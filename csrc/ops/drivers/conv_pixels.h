// What convolutions whose lanes are channels have in common: which channels lanes see, and their weights.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"

namespace nnlib::drivers::detail {

inline int64_t lanes() { return kernels::table().pixel_lanes; }
inline int64_t blocks_of(int64_t channels) { return (channels + lanes() - 1) / lanes(); }
// The first channel of a block, of blocks that are whole: the last may share channels with the one before.
inline int64_t whole_block(int64_t channels, int64_t block) {
  return std::min(block * lanes(), channels - lanes());
}

// The channels that the lanes of results see: sets of them, of a set one for each lane.
class LaneSources {
 public:
  // A group of `to` channels of the result sees `from` channels.
  LaneSources(int64_t channels, int64_t from, int64_t to) : sets_(from), from_(from), to_(to) {
    if (same()) return;
    const int64_t width = lanes();
    for (int64_t c = 0; c < channels; c += width) {
      for (int64_t s = 0; s < sets_; ++s) {
        for (int64_t q = 0; q < width; ++q) {  // what lanes past the channels hold is of no account
          const int64_t channel = std::min(c + q, channels - 1);
          index_.push_back(int32_t(channel / to_ * from_ + s - first(c)));
        }
      }
    }
  }
  int64_t sets() const { return sets_; }
  // Whether each lane sees its own channel.
  bool same() const { return from_ == 1 && to_ == 1; }
  // What n channels of the result from `channel` on see.
  int64_t first(int64_t channel) const { return channel / to_ * from_; }
  int64_t count(int64_t channel, int64_t n) const { return first(channel + n - 1) + from_ - first(channel); }
  const int32_t* index(int64_t channel) const { return index_.data() + channel * sets_; }
  // The place of a tap of a set among all: those of a line of taps lie side by side.
  int64_t place(int64_t tap, int64_t set, int64_t line) const {
    return (tap / line * sets_ + set) * line + tap % line;
  }

 private:
  int64_t sets_, from_, to_;
  std::vector<int32_t> index_;
};

// The bias and then the taps of each block of channels of the result, lanes() side by side: tap t of set i of
// channel c of group g is w[g * group + c * result_step + i * set_step + t * tap_step]. whole: blocks are
// whole_block's.
class PixelWeights {
 public:
  PixelWeights(const ConvShape& s, const LaneSources& sources, int64_t channels, const float* w,
               int64_t group, int64_t result_step, int64_t set_step, int64_t tap_step, const float* bias,
               bool whole = false)
      : width_(lanes()),
        block_((s.taps() * sources.sets() + 1) * width_),
        values_(size_t(blocks_of(channels) * block_)) {
    const int64_t of_group = channels / s.groups;
    for (int64_t b = 0; b < blocks_of(channels); ++b) {
      const int64_t first = whole ? whole_block(channels, b) : b * width_,
                    n = std::min(width_, channels - first);
      if (sources.same() && tap_step == 1) {  // a row of taps for each channel
        float* to = values_.data() + b * block_;
        if (bias) std::copy_n(bias + first, n, to);
        kernels::table().transpose_u32(n, s.taps(), reinterpret_cast<const uint32_t*>(w + first * group),
                                       group, reinterpret_cast<uint32_t*>(to + width_), width_);
        continue;
      }
      for (int64_t q = 0; q < n; ++q) {
        const int64_t c = first + q;
        float* to = values_.data() + b * block_ + q;
        const float* from = w + c / of_group * group + c % of_group * result_step;
        if (bias) to[0] = bias[c];
        for (int64_t t = 0; t < s.taps(); ++t) {
          for (int64_t i = 0; i < sources.sets(); ++i)
            to[(sources.place(t, i, s.kernel[2]) + 1) * width_] = from[i * set_step + t * tap_step];
        }
      }
    }
  }
  const float* bias(int64_t channel) const { return values_.data() + channel / width_ * block_; }
  const float* taps(int64_t channel) const { return bias(channel) + width_; }
  const float* blocks() const { return values_.data(); }
  int64_t block() const { return block_; }

 private:
  int64_t width_, block_;
  std::vector<float> values_;
};

}  // namespace nnlib::drivers::detail
