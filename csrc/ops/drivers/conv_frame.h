// A part of the input in a frame of zeros, so that what a tap sees of a row of output pixels is one
// contiguous stretch: pixels are sorted by their remainder modulo the stride, and only remainders that some
// tap reaches are kept.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"

namespace nnlib::drivers {

// One dimension. Tap t of output pixel o reads the input pixel (o + shift[t] + low) * stride +
// residue[slot[t]].
struct ConvAxis {
  ConvAxis(const ConvShape& s, int d) : stride(s.stride[d]), in(s.in[d]) {
    int64_t high = 0;
    for (int64_t k = 0; k < s.kernel[d]; ++k) {
      const int64_t at = k * s.dilation[d] - s.padding[d];
      const int64_t r = (at % stride + stride) % stride, whole = (at - r) / stride;
      if (std::find(residue.begin(), residue.end(), r) == residue.end()) residue.push_back(r);
      shift.push_back(whole), slot.push_back(r);
      low = k == 0 ? whole : std::min(low, whole);
      high = k == 0 ? whole : std::max(high, whole);
    }
    halo = high - low;
    for (int64_t& q : shift) q -= low;
    std::sort(residue.begin(), residue.end());  // neighbours in the input are neighbours in a frame
    for (int64_t& r : slot) r = std::lower_bound(residue.begin(), residue.end(), r) - residue.begin();
  }
  int64_t stride, in, low = 0, halo = 0;
  std::vector<int64_t> residue, slot, shift;
  int64_t slots() const { return int64_t(residue.size()); }
};

// Rows of `n` elements `step` apart between zeros, and lines in pieces: see kernels.def.
inline void frame_rows(int64_t rows, int64_t low, int64_t n, int64_t high, int64_t step, const float* x,
                       int64_t x_row, float* y, int64_t y_row) {
  kernels::table().conv_frame_f32(rows, low, n, high, step, x, x_row, y, y_row);
}
inline void frame_rows(int64_t rows, int64_t low, int64_t n, int64_t high, int64_t step, const double* x,
                       int64_t x_row, double* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    std::fill_n(y, low, 0.);
    for (int64_t i = 0; i < n; ++i) y[low + i] = x[i * step];
    std::fill_n(y + low + n, high, 0.);
  }
}
inline void frame_rows(int64_t rows, int64_t low, int64_t n, int64_t high, int64_t step, const BFloat16* x,
                       int64_t x_row, BFloat16* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    std::fill_n(y, low, BFloat16());
    if (step == 1) std::copy_n(x, n, y + low);
    for (int64_t i = 0; i < n && step != 1; ++i) y[low + i] = x[i * step];
    std::fill_n(y + low + n, high, BFloat16());
  }
}
// y[r * y_row + p * y_phase + i] = x[r * x_row + i * step + p]: phases that lie side by side, all at once by
// transposition where they are so many, or where they are all that a line holds, in lines of some pixels: one
// after the other reads each cache line again for each of them. The first `more` have a pixel more than n.
constexpr int64_t kLeastPhases = 4, kLeastDealt = 16;
inline void phases_of_rows(int64_t rows, int64_t phases, int64_t n, int64_t more, int64_t step,
                           const float* x, int64_t x_row, float* y, int64_t y_row, int64_t y_phase) {
  for (int64_t r = 0; r < rows; ++r, x += x_row, y += y_row) {
    kernels::table().planes_from_pixels_f32(phases, n, x, step, y, y_phase);
    for (int64_t p = 0; p < more; ++p) y[p * y_phase + n] = x[n * step + p];
  }
}
inline void gather_lines(int64_t lines, const int64_t* offset, int64_t pieces, const int64_t* piece,
                         const float* x, float* y, int64_t ldy) {
  kernels::table().conv_gather_f32(lines, offset, pieces, piece, x, y, ldy);
}
inline void gather_lines(int64_t lines, const int64_t* offset, int64_t pieces, const int64_t* piece,
                         const double* x, double* y, int64_t ldy) {
  for (int64_t i = 0; i < lines; ++i) {
    double* dst = y + i * ldy;
    for (int64_t p = 0; p < pieces; ++p) {
      dst = std::copy_n(x + offset[i] + piece[2 * p], piece[2 * p + 1], dst);
    }
  }
}
// y[i * phases + f] = x[f][i] for i < n, where that is less than `size`.
inline void merge_phases(int64_t phases, int64_t size, int64_t n, const float* const* x, float* y) {
  int64_t done = 0;
  if (phases == 2) {
    done = std::min(n, size / 2);
    kernels::table().conv_merge_f32(x[0], x[1], done, y);
  }
  for (int64_t f = 0; f < phases; ++f) {
    for (int64_t i = done; i < n && i * phases + f < size; ++i) y[i * phases + f] = x[f][i];
  }
}
inline void merge_phases(int64_t phases, int64_t size, int64_t n, const double* const* x, double* y) {
  for (int64_t f = 0; f < phases; ++f) {
    for (int64_t i = 0; i < n && i * phases + f < size; ++i) y[i * phases + f] = x[f][i];
  }
}
// What a vector may read or write past the end of a line.
constexpr int64_t kLineSlack = 64;

// The taps of a convolution, and the frame that serves some of its output pixels.
class ConvFrame {
 public:
  explicit ConvFrame(const ConvShape& s)
      : s_(s), id_(next_id()), axis_{ConvAxis(s, 0), ConvAxis(s, 1), ConvAxis(s, 2)}, tap_(s.taps()) {}

  // Serves the pixels [pixel, pixel + count), counted through the whole batch. False where these are the
  // pixels of the last placement, maybe of another image: everything but fill() is as it was.
  bool place(int64_t pixel, int64_t count) {
    const int64_t pixels = s_.out_pixels(), last = pixel + count - 1;
    image_ = pixel / pixels;
    if (count == placed_count_ && pixel % pixels == placed_pixel_) return false;
    placed_count_ = count, placed_pixel_ = pixel % pixels;
    kept_ = nullptr;
    images_ = last / pixels - image_ + 1;
    // A part of a line, of a plane or of an image, each with the whole of what is inside it.
    const int64_t inner[3] = {s_.out[1] * s_.out[2], s_.out[2], 1};
    bool whole = images_ > 1;
    for (int d = 0; d < 3; ++d) {
      const int64_t from = pixel % pixels / inner[d] % s_.out[d], to = last % pixels / inner[d] % s_.out[d];
      first_[d] = whole ? 0 : from;
      size_[d] = whole ? s_.out[d] : to - from + 1;
      whole = whole || size_[d] > 1;
      length_[d] = size_[d] + axis_[d].halo;
    }
    line_ = axis_[2].slots() * length_[2];
    plane_ = axis_[1].slots() * length_[1] * line_;
    frame_ = axis_[0].slots() * length_[0] * plane_;
    for (int64_t t = 0; t < s_.taps(); ++t) {
      const int64_t k[3] = {t / (s_.kernel[1] * s_.kernel[2]), t / s_.kernel[2] % s_.kernel[1],
                            t % s_.kernel[2]};
      int64_t at[3];
      for (int d = 0; d < 3; ++d) at[d] = axis_[d].slot[k[d]] * length_[d] + axis_[d].shift[k[d]];
      tap_[t] = at[0] * plane_ + at[1] * line_ + at[2];
    }
    for (int d = 0; d < 3; ++d) {
      inside_[d].clear();
      for (int64_t slot = 0; slot < axis_[d].slots(); ++slot) inside_[d].push_back(inside(d, slot));
    }
    return true;
  }
  // Elements of a channel, kLineSlack not counted.
  int64_t channel_size() const { return images_ * frame_; }
  int64_t line_size() const { return line_; }
  int64_t tap(int64_t t) const { return tap_[t]; }
  const int64_t* taps() const { return tap_.data(); }
  // Row `row` of the im2col matrix of a group, when the frame begins with channel `channel` of the group.
  int64_t row(int64_t row, int64_t channel) const {
    return (row / s_.taps() - channel) * channel_size() + tap_[row % s_.taps()];
  }

  // The frame of `channels` channels from `channel` (of all groups) on, with kLineSlack elements behind it,
  // in this thread's working memory.
  template <class T>
  const T* framed(const ConvImages& x, int64_t channel, int64_t channels) {
    const int64_t size = channels * channel_size();
    bool kept;
    T* dst = room<T>(size, &kept);
    fill(x, channel, channels, dst, kept);
    if (!kept) std::fill_n(dst + size, kLineSlack, T(0));
    return dst;
  }
  // Working memory for a frame of `size` elements. `kept`: the last frame in it was this one at the same
  // place, so that the zeros around the pixels are as it left them.
  template <class T>
  T* room(int64_t size, bool* kept) {
    static thread_local uint64_t last = 0;  // a thread may serve several loops in turn
    T* dst = scratch<Scratch::Frame, T>(size + kLineSlack);
    *kept = last == id_ && dst == kept_ && size <= kept_size_;
    last = id_;
    if (!*kept) kept_ = dst, kept_size_ = size;
    return dst;
  }
  // Calls f(image, pixel, at, n) for the stretches of n input pixels, a stride apart, that lie at `at` of a
  // channel's frame.
  template <class F>
  void for_lines(F f) const {
    for (int64_t i = 0; i < images_; ++i) {
      int64_t planes = i * frame_;
      for (const Inside& z : inside_[0]) {
        for (int64_t p = z.low; p < z.high; ++p) {
          const int64_t iz = z.input + (p - z.low) * axis_[0].stride;
          int64_t lines = planes + p * plane_;
          for (const Inside& y : inside_[1]) {
            for (int64_t q = y.low; q < y.high; ++q) {
              const int64_t iy = y.input + (q - y.low) * axis_[1].stride;
              int64_t at = lines + q * line_;
              for (const Inside& v : inside_[2]) {
                f(image_ + i, (iz * s_.in[1] + iy) * s_.in[2] + v.input, at + v.low, v.high - v.low);
                at += length_[2];
              }
            }
            lines += length_[1] * line_;
          }
        }
        planes += length_[0] * plane_;
      }
    }
  }

  // The stretches of the frame that hold `count` pixels from `pixel` on, as (from, length) pairs: a vector at
  // most.
  void pieces(int64_t pixel, int64_t count, std::vector<int64_t>* out) const {
    const int64_t width = kernels::table().lines_nr / 2;
    const int64_t pixels = s_.out_pixels();
    int64_t image = pixel / pixels - image_, rest = pixel % pixels;
    int64_t z = rest / (s_.out[1] * s_.out[2]), y = rest / s_.out[2] % s_.out[1], x = rest % s_.out[2];
    while (count > 0) {
      const int64_t n = std::min(count, s_.out[2] - x);
      const int64_t from =
          image * frame_ + (z - first_[0]) * plane_ + (y - first_[1]) * line_ + x - first_[2];
      for (int64_t i = 0; i < n; i += width) {
        out->push_back(from + i);
        out->push_back(std::min(width, n - i));
      }
      count -= n;
      x = 0;
      if (++y < s_.out[1]) continue;
      y = 0;
      if (++z < s_.out[0]) continue;
      z = 0, ++image;
    }
  }

 private:
  static uint64_t next_id() {
    static std::atomic<uint64_t> frames{0};
    return ++frames;
  }
  // The places [low, high) of a slot's line that are input pixels, and the first of these pixels.
  struct Inside {
    int64_t low, high, input;
  };
  Inside inside(int d, int64_t slot) const {
    const int64_t stride = axis_[d].stride, length = length_[d];
    const int64_t from = (first_[d] + axis_[d].low) * stride + axis_[d].residue[slot];  // at place 0
    const auto up = [stride](int64_t n) { return n > 0 ? (n + stride - 1) / stride : 0; };
    const int64_t low = std::min(up(-from), length);
    return {low, std::clamp(up(s_.in[d] - from), low, length), from + low * stride};
  }

  template <class T>
  void fill(const ConvImages& x, int64_t channel, int64_t channels, T* dst, bool kept) const {
    if (const T* values = planes<T>(x)) {
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t i = 0; i < images_; ++i, dst += frame_) {
          fill_plane(values + ((image_ + i) * s_.in_channels + channel + c) * s_.in_pixels(), dst, kept);
        }
      }
      return;
    }
    if (!kept) std::fill_n(dst, channels * channel_size(), T(0));
    for_lines([&](int64_t image, int64_t pixel, int64_t at, int64_t n) {
      read_planes(x, image, channel, channels, pixel, axis_[2].stride, n, dst + at, channel_size());
    });
  }

  template <class T>
  void fill_plane(const T* x, T* dst, bool kept) const {
    for (const Inside& z : inside_[0]) {
      if (!kept) std::fill_n(dst, z.low * plane_, T(0));
      for (int64_t i = z.low; i < z.high; ++i) {
        fill_lines(x + (z.input + (i - z.low) * axis_[0].stride) * s_.in[1] * s_.in[2], dst + i * plane_,
                   kept);
      }
      if (!kept) std::fill_n(dst + z.high * plane_, (length_[0] - z.high) * plane_, T(0));
      dst += length_[0] * plane_;
    }
  }
  template <class T>
  void fill_lines(const T* x, T* dst, bool kept) const {
    const int64_t row = s_.in[2];
    // Lines that follow each other here as there are one.
    const bool joined = axis_[1].stride == 1 && axis_[2].stride == 1 && line_ == row &&
                        inside_[2].size() == 1 && inside_[2][0].high - inside_[2][0].low == row;
    for (const Inside& y : inside_[1]) {
      if (!kept) std::fill_n(dst, y.low * line_, T(0));
      T* lines = dst + y.low * line_;
      if (joined) std::copy_n(x + y.input * row, (y.high - y.low) * row, lines);
      for (size_t i = 0; i < inside_[2].size() && !joined;) {
        const Inside& at = inside_[2][i];
        const int64_t n = at.high - at.low, skipped = kept ? at.low : 0, phases = side_by_side(i),
                      height = y.high - y.low, x_row = axis_[1].stride * row;
        const T* from = x + y.input * row + at.input;
        if constexpr (std::is_same_v<T, float>) {
          const int64_t all = inside_[2][i + size_t(phases) - 1].high - at.low;  // of each phase
          if (dealt_out(phases, all)) {
            for (int64_t r = 0; r < height && !kept && all < length_[2]; ++r)
              std::fill_n(lines + r * line_, phases * length_[2], T(0));
            int64_t more = 0;
            while (more < phases && inside_[2][i + size_t(more)].high - at.low > all) ++more;
            phases_of_rows(height, phases, all, more, axis_[2].stride, from, x_row, lines + at.low, line_,
                           length_[2]);
            i += size_t(phases), lines += phases * length_[2];
            continue;
          }
        }
        frame_rows(height, at.low - skipped, n, kept ? 0 : length_[2] - at.high, axis_[2].stride, from, x_row,
                   lines + skipped, line_);
        ++i, lines += length_[2];
      }
      if (!kept) std::fill_n(dst + y.high * line_, (length_[1] - y.high) * line_, T(0));
      dst += length_[1] * line_;
    }
  }

  // Slots along x, from i on, whose pixels lie side by side in the input, the last of a line maybe without
  // the later slots.
  int64_t side_by_side(size_t i) const {
    const Inside& at = inside_[2][i];
    int64_t n = 1;
    for (; i + size_t(n) < inside_[2].size(); ++n) {
      const Inside& next = inside_[2][i + size_t(n)];
      if (next.low != at.low || next.high < at.high - 1 || next.input != at.input + n) break;
    }
    return n;
  }
  // Whether slots whose pixels lie side by side, n of each, are made at once.
  bool dealt_out(int64_t slots, int64_t n) const {
    return slots >= kLeastPhases || (slots > 1 && slots == axis_[2].stride && n >= kLeastDealt);
  }

  const ConvShape& s_;
  uint64_t id_;
  ConvAxis axis_[3];
  std::vector<int64_t> tap_;
  int64_t image_ = 0, images_ = 0, first_[3] = {}, size_[3] = {}, length_[3] = {};
  int64_t line_ = 0, plane_ = 0, frame_ = 0, placed_pixel_ = 0, placed_count_ = 0;
  std::vector<Inside> inside_[3];
  const void* kept_ = nullptr;
  int64_t kept_size_ = 0;
};

// Consecutive output pixels that a task takes at once, `most` or a little more: parts of a line, a plane, an
// image or the batch, the smallest of these that is large enough. Images of `enough` pixels are not mixed.
struct PixelBlocks {
  PixelBlocks(const ConvShape& s, int64_t most, int64_t unit, int64_t enough = 256) {
    all = s.batch * s.out_pixels();
    span = s.out_pixels() >= enough ? s.out_pixels() : all;
    for (int64_t size : {s.out_pixels(), s.out[1] * s.out[2], s.out[2]}) {
      if (size >= most) span = size;
    }
    const int64_t parts = (span + most - 1) / most;
    block = std::max(unit, ((span + parts - 1) / parts + unit - 1) / unit * unit);
    per_span = (span + block - 1) / block;
    count = span ? all / span * per_span : 0;
  }
  int64_t first(int64_t i) const { return i / per_span * span + i % per_span * block; }
  int64_t size(int64_t i) const { return std::min(block, span - i % per_span * block); }
  int64_t all, span, block, per_span, count;
};

// Calls f(image, pixel, offset, len) for the stretches of one image each that make up `count` pixels from
// `first` on.
template <class F>
void for_stretches(const ConvShape& s, int64_t first, int64_t count, F f) {
  const int64_t pixels = s.out_pixels();
  for (int64_t done = 0; done < count;) {
    const int64_t pixel = (first + done) % pixels, len = std::min(count - done, pixels - pixel);
    f((first + done) / pixels, pixel, done, len);
    done += len;
  }
}

}  // namespace nnlib::drivers
