// Input gradients (and transposed convolutions) the other way round: the product W^T gy gives what each tap
// sends to each output pixel's place, and these are added up where they meet. Best for few input channels,
// whose own products would leave a tile's rows empty, and for taps that never meet, as in patch embeddings.
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_frame.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/gemm.h"

namespace nnlib::drivers::detail {

namespace {

// Times of an element of the weights in multiply-adds. Rows with a stride: an element of the weights for each
// tap up to a limit, as each phase reads other elements of the same lines of the caches; an element of an
// image that is turned round for them; and what columns take longer than their model.
constexpr double kPackedWeight = 60, kTurnedWeight = 28;
constexpr double kStridedWeight = 8, kMostStridedWeight = 150, kTurnedElement = 20, kColumns = 1.4;
// Elements of the product that are held at once, and at most where bands are as narrow as they can be; its
// rows, and the pixels that make it worth a product.
constexpr int64_t kHeld = 192 << 10, kMostHeld = 4 << 20, kRows = 128, kPixels = 256;

void transpose_block(int64_t rows, int64_t cols, const float* x, int64_t ldx, float* y, int64_t ldy) {
  kernels::table().transpose_u32(rows, cols, reinterpret_cast<const uint32_t*>(x), ldx,
                                 reinterpret_cast<uint32_t*>(y), ldy);
}
void transpose_block(int64_t rows, int64_t cols, const double* x, int64_t ldx, double* y, int64_t ldy) {
  kernels::table().transpose_u64(rows, cols, reinterpret_cast<const uint64_t*>(x), ldx,
                                 reinterpret_cast<uint64_t*>(y), ldy);
}
void add_line(int64_t n, const float* x, float* y) { kernels::table().add_f32(n, y, x, y); }
void add_line(int64_t n, const double* x, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// y[(channel * taps + t) * out + o] = w of output channel o: rows that the product reads where they lie.
template <class T>
void turn_weights(const ConvShape& s, const ConvWeights<T>& w, T* y) {
  const int64_t ci = s.in_group(), co = s.out_group(), taps = s.taps();
  const bool whole = w.tap_step == 1 && w.in_step == taps;
  parallel_for(0, s.groups, 1, [&](int64_t first, int64_t last) {
    for (int64_t g = first; g < last; ++g) {
      const T* from = w.data + g * co * w.out_step;
      T* to = y + g * ci * taps * co;
      if (whole) {
        transpose_block(co, ci * taps, from, w.out_step, to, co);
        continue;
      }
      for (int64_t t = 0; t < taps; ++t) {
        if (w.in_step == 1) {
          transpose_block(co, ci, from + t * w.tap_step, w.out_step, to + t * co, taps * co);
          continue;
        }
        for (int64_t c = 0; c < ci; ++c) {
          for (int64_t o = 0; o < co; ++o)
            to[(c * taps + t) * co + o] = from[o * w.out_step + c * w.in_step + t * w.tap_step];
        }
      }
    }
  });
}

// One dimension. Tap k sends output pixel o to the input pixel o * stride + k * dilation - padding, which is
// the (o + shift[k])-th of those with the remainder phase[k].
struct Landing {
  Landing(const ConvShape& s, int d)
      : stride(s.stride[d]), in(s.in[d]), out(s.out[d]), lines((s.in[d] + s.stride[d] - 1) / s.stride[d]) {
    for (int64_t k = 0; k < s.kernel[d]; ++k) {
      const int64_t at = k * s.dilation[d] - s.padding[d], whole = floor_div(at, stride);
      phase.push_back(at - whole * stride);
      shift.push_back(whole);
    }
  }
  // The output pixel that tap k sends to input pixel i, or -1.
  int64_t source(int64_t i, int64_t k) const {
    const int64_t o = i / stride - shift[k];
    return i % stride == phase[k] && o >= 0 && o < out ? o : -1;
  }
  int64_t stride, in, out, lines;
  std::vector<int64_t> phase, shift;
};

// The dimension that is cut into bands, and the channels that are served together.
int banded(const ConvShape& s) {
  return s.in[0] > 1 || s.out[0] > 1 ? 0 : s.in[1] > 1 || s.out[1] > 1 ? 1 : 2;
}
int64_t channels_at_once(const ConvShape& s) {
  return balanced_block(s.in_group(), std::max<int64_t>(1, kRows / s.taps()), 1);
}
// How many lines around its own the taps reach from a band.
int64_t reach_of(const ConvShape& s) {
  const int d = banded(s);
  return (s.kernel[d] - 1) * s.dilation[d] / s.stride[d];
}

// What is computed at once: input pixels [low, high) of one dimension, of images [image, image + images), and
// the output pixels [first, first + count) of that dimension that send something there.
struct Band {
  int64_t image, images, low, high, first, count;
};

template <class T>
class Columns {
 public:
  Columns(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
          const ConvImages& gx)
      : s_(s), gy_(gy), gx_(gx), w_(w), bias_(bias), landing_{Landing(s, 0), Landing(s, 1), Landing(s, 2)} {
    const int64_t ci = s.in_group(), pixels = s.out_pixels();
    along_ = banded(s), channels_ = channels_at_once(s);
    parts_ = (ci + channels_ - 1) / channels_;
    images_ = std::clamp<int64_t>(kPixels / std::max<int64_t>(1, pixels), 1, s.batch);
    inner_ = pixels / s.out[along_];
    const int64_t lines = std::max<int64_t>(1, kHeld / (channels_ * s.taps() * inner_ * images_));
    // What the taps reach over the edges of a band is computed twice.
    const int64_t reach = reach_of(s);
    const int64_t band = std::max(lines - reach, reach + 1) * s.stride[along_];
    bands_ = (s.in[along_] + band - 1) / band;
    band_ = (s.in[along_] + bands_ - 1) / bands_;
    sets_ = (s.batch + images_ - 1) / images_;
  }
  int64_t tasks() const { return sets_ * s_.groups * parts_ * bands_; }
  // Weights are read where they lie if each product has some of its own; otherwise they are turned first.
  bool turns() const { return sets_ * bands_ > 1 || w_.tap_step != 1 || w_.in_step != s_.taps(); }
  void set_turned(const T* weights) { turned_ = weights; }

  void run(int64_t task) const {
    const int64_t part = task % parts_, group = task / parts_ % s_.groups,
                  place = task / (parts_ * s_.groups);
    const int64_t channel = part * channels_, channels = std::min(channels_, s_.in_group() - channel);
    const Band band = band_of(place);
    const int64_t co = s_.out_group(), n = band.images * band.count * inner_;
    T* product = scratch<Scratch::Columns, T>(channels * s_.taps() * n);
    if (n > 0) {
      const int64_t row = channel * s_.taps();
      Strided<T> w{w_.data + group * co * w_.out_step + row, 1, w_.out_step};
      if (turned_) w = {turned_ + (group * s_.in_group() * s_.taps() + row) * co, co, 1};
      gemm<T>(channels * s_.taps(), n, co, 1, w, gradient(band, group, n), 0, product, n);
    }
    const int64_t first_channel = group * s_.in_group() + channel;
    int64_t inside[2] = {s_.in[0], s_.in[1]}, from[2] = {0, 0};
    if (along_ < 2) from[along_] = band.low, inside[along_] = band.high - band.low;
    const int64_t lines = band.images * inside[0] * inside[1];
    const int64_t grain = std::max<int64_t>(1, 16384 / (channels * s_.in[2] * s_.taps()));
    parallel_for(0, lines, grain, [&](int64_t begin, int64_t end) {
      Lines out(*this, band, product, n);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t z = from[0] + i / inside[1] % inside[0], y = from[1] + i % inside[1];
        out.write(i / (inside[0] * inside[1]), z, y, first_channel, channels);
      }
    });
  }

 private:
  Band band_of(int64_t place) const {
    Band b;
    b.image = place / bands_ * images_, b.images = std::min(images_, s_.batch - b.image);
    b.low = place % bands_ * band_, b.high = std::min(s_.in[along_], b.low + band_);
    const int64_t stride = s_.stride[along_], padding = s_.padding[along_],
                  reach = (s_.kernel[along_] - 1) * s_.dilation[along_];
    b.first = std::clamp<int64_t>(-floor_div(reach - b.low - padding, stride), 0, s_.out[along_]);
    const int64_t last = std::min(s_.out[along_], floor_div(b.high - 1 + padding, stride) + 1);
    b.count = std::max<int64_t>(0, last - b.first);
    return b;
  }
  // gy of the band, output channels times pixels: where it lies, or copied.
  Strided<T> gradient(const Band& b, int64_t group, int64_t n) const {
    const int64_t co = s_.out_group(), pixel = b.first * inner_, count = b.count * inner_;
    if (b.images == 1 && gy_.dtype == DtypeOf<T>::value) {
      const char* at = address(gy_, b.image, group * co, pixel);
      return {reinterpret_cast<const T*>(at), channel_step(gy_), pixel_step(gy_)};
    }
    T* copy = scratch<Scratch::ImagesIn, T>(co * n);
    for (int64_t i = 0; i < b.images; ++i)
      read_planes(gy_, b.image + i, group * co, co, pixel, 1, count, copy + i * count, n);
    return {copy, n, 1};
  }

  // One thread's lines of gx: those of all phases along x one after the other, and these in turn.
  class Lines {
   public:
    Lines(const Columns& all, const Band& band, const T* product, int64_t n)
        : all_(all), s_(all.s_), band_(band), product_(product), n_(n) {
      const Landing& x = all.landing_[2];
      phases_ = scratch<Scratch::Sums, T>(x.stride * x.lines);
      direct_ = planes<T>(all.gx_) != nullptr;
      if (all.along_ == 2)
        low_ = band.low, high_ = band.high, first_ = band.first, last_ = first_ + band.count;
      if (all.along_ != 2) high_ = x.in, last_ = x.out;
    }
    void write(int64_t image, int64_t z, int64_t y, int64_t channel, int64_t channels) {
      const int64_t pixel = (z * s_.in[1] + y) * s_.in[2] + low_, length = high_ - low_;
      T* lines = direct_ ? nullptr : scratch<Scratch::Rows, T>(channels * length);
      for (int64_t c = 0; c < channels; ++c) {
        sum(image, z, y, c, all_.bias_ ? all_.bias_[channel + c] : T(0));
        T* to = lines + c * length;
        if (direct_) to = reinterpret_cast<T*>(address(all_.gx_, band_.image + image, channel + c, pixel));
        merge(to);
      }
      if (!direct_)
        write_planes(all_.gx_, band_.image + image, channel, channels, pixel, 1, length, lines, length);
    }

   private:
    // phases_[r * lines + q]: input pixel q * stride + r of the line.
    void sum(int64_t image, int64_t z, int64_t y, int64_t c, T bias) {
      const Landing& x = all_.landing_[2];
      std::fill_n(phases_, x.stride * x.lines, bias);
      const T* taps = product_ + c * s_.taps() * n_ + image * band_.count * all_.inner_;
      for (int64_t i = 0; i < s_.kernel[0]; ++i) {
        const int64_t oz = all_.landing_[0].source(z, i);
        for (int64_t j = 0; oz >= 0 && j < s_.kernel[1]; ++j) {
          const int64_t oy = all_.landing_[1].source(y, j);
          if (oy < 0) continue;
          const int64_t line =
              oz * s_.out[1] + oy - (all_.along_ == 2 ? 0 : band_.first * all_.inner_ / s_.out[2]);
          const T* from = taps + (i * s_.kernel[1] + j) * s_.kernel[2] * n_ + line * s_.out[2] - first_;
          for (int64_t k = 0; k < s_.kernel[2]; ++k, from += n_) {
            const int64_t begin = std::max(first_, -x.shift[k]), end = std::min(last_, x.lines - x.shift[k]);
            if (begin < end)
              add_line(end - begin, from + begin, phases_ + x.phase[k] * x.lines + begin + x.shift[k]);
          }
        }
      }
    }
    void merge(T* to) const {
      const int64_t stride = all_.landing_[2].stride, lines = all_.landing_[2].lines;
      if (stride == 1) {
        std::copy_n(phases_ + low_, high_ - low_, to);
        return;
      }
      // The first and the last pixels may be some of the phases only.
      const int64_t begin = (low_ + stride - 1) / stride, end = std::max(begin, high_ / stride);
      const auto one = [&](int64_t i) { to[i - low_] = phases_[i % stride * lines + i / stride]; };
      for (int64_t i = low_; i < std::min(high_, begin * stride); ++i) one(i);
      transpose_block(stride, end - begin, phases_ + begin, lines, to + begin * stride - low_, stride);
      for (int64_t i = std::max(low_, end * stride); i < high_; ++i) one(i);
    }

    const Columns& all_;
    const ConvShape& s_;
    const Band& band_;
    const T* product_;
    int64_t n_, low_ = 0, high_ = 0, first_ = 0, last_ = 0;
    T* phases_;
    bool direct_;
  };

  const ConvShape& s_;
  const ConvImages &gy_, &gx_;
  const ConvWeights<T> w_;
  const T *turned_ = nullptr, *bias_;
  Landing landing_[3];
  int along_;  // the dimension that is cut into bands
  int64_t channels_, parts_, images_, sets_, inner_, bands_, band_;
};

}  // namespace

// Times of a group and image in multiply-adds of a full tile. A tile of a few rows takes as long as one of
// four, gathering what it multiplies as long as four more; an element of the product that is added up takes
// thirty, and each line of them 500 more. Weights are packed once a call, a phase of strides after the other,
// or turned. With a stride the other way are rows of pixels that have their channels last, maybe only
// meanwhile, whose lanes are channels.
bool columns_suit_input_grad(const ConvShape& s) {
  const double ci = double(s.in_group()), co = double(s.out_group()), taps = double(s.taps());
  double reached = taps, phases = 1;  // by a pixel
  for (int d = 0; d < 3; ++d) {
    reached *= double(s.in[d]) / double(s.stride[d]);
    phases *= double(std::min(s.stride[d], s.kernel[d]));
  }
  const double weights = taps * ci * co / double(std::max<int64_t>(1, s.batch));
  const double lines = double(s.out_pixels()) / double(std::max<int64_t>(1, s.out[2]));
  double columns = taps * ci * (double(s.out_pixels()) * (co + 30) + 500 * lines) + kTurnedWeight * weights;
  double other = reached * co * (std::max(4., ci) + 4) + kPackedWeight * weights;
  if (s.groups == 1 && s.stride[2] > 1) {
    const double nr = double(kernels::table().lines_nr);
    columns *= kColumns;
    other = reached * co * std::ceil(ci / nr) * nr +
            std::min(kMostStridedWeight, kStridedWeight * taps) * phases / taps * weights +
            kTurnedElement * (double(s.in_pixels()) * ci + double(s.out_pixels()) * co);
  }
  if (!(columns > 0 && columns < other)) return false;
  const double least = double(channels_at_once(s)) * taps * double(2 * reach_of(s) + 1) *
                       double(s.out_pixels() / s.out[banded(s)]);
  return least <= double(kMostHeld);
}

template <class T>
void columns_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                        const ConvImages& gx) {
  Columns<T> columns(s, gy, w, bias, gx);
  if (columns.turns()) {
    T* weights = scratch<Scratch::Weights, T>(s.out_channels * s.in_group() * s.taps());
    turn_weights(s, w, weights);
    columns.set_turned(weights);
  }
  const int64_t tasks = columns.tasks();
  if (tasks < num_threads()) {  // each is shared
    for (int64_t t = 0; t < tasks; ++t) columns.run(t);
    return;
  }
  parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) columns.run(t);
  });
}

#define NNLIB_INSTANTIATE(T)                                                                                \
  template void columns_input_grad<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*, \
                                      const ConvImages&);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers::detail
