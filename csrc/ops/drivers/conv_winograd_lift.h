// Convolutions with strides, dilations or three dimensions as plain ones: of stride 1 in two dimensions.
//
// Output pixel o of a convolution of stride s sees the input pixels of each remainder modulo s through every
// s-th tap, as a plain convolution does: remainders become channels, whose sum is wanted. With dilation d,
// output pixels of one remainder see input pixels of one: remainders become images. In the first of three
// dimensions each tap becomes channels, and each plane of outputs an image.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"

namespace nnlib::drivers::detail {

// Images in planes of the plain convolution: place q of remainder p is pixel q * step + p - padding.
struct LiftedImages {
  int64_t channels, size[3];  // of the images themselves
  int64_t step[2], padding[2], place[2];
  bool in_batch[2];  // remainders are images, or channels
  // Plane oz of the outputs and tap k meet at plane oz * z_step + k * z_tap - z_padding.
  int64_t planes, taps, z_step, z_tap, z_padding;

  int64_t phases() const { return step[0] * step[1]; }
  int64_t batch() const { return planes * (in_batch[0] ? step[0] : 1) * (in_batch[1] ? step[1] : 1); }
  int64_t elements() const { return planes * taps * phases() * channels * place[0] * place[1]; }
  // Whether the plain convolution's images are these, as they lie. With the channels last an image's planes
  // are images.
  bool same(bool last) const {
    const bool whole =
        planes == size[0] && taps == 1 && z_padding == 0 && (planes == 1 || (last && z_step == 1));
    return whole && phases() == 1 && place[0] == size[1] && place[1] == size[2];
  }
  int64_t lifted_channels() const { return elements() / (batch() * place[0] * place[1]); }
  int64_t at(int64_t image, int64_t plane, int64_t tap, int64_t channel, int64_t py, int64_t px) const;
  // Between channels.
  int64_t channel_step() const { return lifted_channels() / channels * place[0] * place[1]; }

  // Whether each pixel has one place, with all its channels: then floats that have their channels last may
  // stay so.
  bool keeps_pixels() const {
    const bool whole = planes == size[0] && taps == 1 && z_step == 1 && z_padding == 0;
    return whole && (step[0] == 1 || in_batch[0]) && (step[1] == 1 || in_batch[1]);
  }
  bool stays_last(const ConvImages& t) const {
    return t.channels_last && t.dtype == Dtype::Float32 && keeps_pixels();
  }
  void read(const ConvImages& x, int64_t first, int64_t count, float* to) const;
  // What the plain convolution gave is added up where it belongs, with bias[channel], which may be null.
  void write(const float* from, int64_t first, int64_t count, const float* bias, const ConvImages& y) const;

 private:
  void read_phases(const ConvImages& x, int64_t image, int64_t z, int64_t channel, int64_t n,
                   float* to) const;
  template <class F>
  void for_pixels(const ConvImages& t, int64_t first, int64_t count, F f) const;
};

struct Lift {
  // `whole`: all input pixels get a place, also those that no tap sees.
  Lift(const ConvShape& s, bool whole);
  // Whether there is a plain convolution for it.
  static bool possible(const ConvShape& s);
  static bool is_plain(const ConvShape& s);
  // The convolution of the output's gradient that is the input's, if there is one that can be lifted and is
  // not plain.
  std::optional<ConvShape> turned_whole() const;

  const ConvShape& s;
  LiftedImages x, y;
  ConvShape plain;
  // The weights of the plain convolution, contiguous, out of those of s; and the gradient the other way.
  int64_t weights_size() const { return plain.out_channels * plain.in_group() * plain.taps(); }
  bool same_weights() const { return plain.taps() == s.taps() && plain.in_channels == s.in_channels; }
  void read_weights(const ConvWeights<float>& w, float* to) const;
  void write_weights(const float* from, float* gw) const;

 private:
  std::vector<int64_t> weight_places() const;
  template <class F>
  void for_outputs(F f) const;
};

}  // namespace nnlib::drivers::detail
