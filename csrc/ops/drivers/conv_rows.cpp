// Convolutions of images that have their channels last as products of rows: what a tap line sees of a pixel
// is one stretch of memory, so that lines of pixels are the rows of a matrix that needs no packing. Where
// such a stretch is short, a few pixels' stretches are copied side by side.
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_layout.h"
#include "ops/drivers/conv_phases.h"
#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers::detail {

namespace {

// Elements of a stretch that is worth a product of its own; elements of the rows that are copied together;
// pixels of a task; elements of the padded lines of a task; elements that a copy may run over.
constexpr int64_t kStretch = 64, kCopied = 4096, kTaskPixels = 512, kLines = 96 << 10, kOver = 8;
// Channels whose weights are packed for all panels in turn.
constexpr int64_t kTogether = 16;
// Multiplications that are worth waking a thread.
constexpr int64_t kSerialConv = 1 << 20;

void rows_kernel(int64_t m, int64_t n, int64_t kc, const float* a, int64_t rs, const float* b, int64_t ldb,
                 float* c, int64_t ldc, const float* bias, bool add) {
  kernels::table().sgemm_rows(m, n, kc, a, rs, 1, b, ldb, 0, c, ldc, bias, add, false);
}
void rows_kernel(int64_t m, int64_t n, int64_t kc, const double* a, int64_t rs, const double* b, int64_t ldb,
                 double* c, int64_t ldc, const double* bias, bool add) {
  kernels::table().dgemm_rows(m, n, kc, a, rs, 1, b, ldb, 0, c, ldc, bias, add, false);
}

// y[i * y_step + j] = x[i * x_step + j] for i < rows and j < n, and a few elements more.
template <int V, class T>
void copy_stretches(int64_t rows, const T* x, int64_t x_step, T* y, int64_t y_step) {
  for (int64_t i = 0; i < rows; ++i, x += x_step, y += y_step) std::memcpy(y, x, V * 32);
}
template <class T>
void copy_stretches(int64_t rows, int64_t n, const T* x, int64_t x_step, T* y, int64_t y_step) {
  constexpr int64_t some = 32 / sizeof(T);
  for (int64_t j = 0; j < n; j += 4 * some, x += 4 * some, y += 4 * some) {
    const int64_t rest = n - j;
    if (rest <= some) {
      copy_stretches<1>(rows, x, x_step, y, y_step);
    } else if (rest <= 2 * some) {
      copy_stretches<2>(rows, x, x_step, y, y_step);
    } else if (rest <= 3 * some) {
      copy_stretches<3>(rows, x, x_step, y, y_step);
    } else {
      copy_stretches<4>(rows, x, x_step, y, y_step);
    }
  }
}

// Where results are written: those of the first pixel, and the distances of images, planes, lines and pixels.
template <class T>
struct Target {
  T* data;
  int64_t image, plane, line, pixel;
  T* at(const ConvShape& s, int64_t plane_of_batch, int64_t y) const {
    return data + plane_of_batch / s.out[0] * image + plane_of_batch % s.out[0] * plane + y * line;
  }
};
template <class T>
Target<T> whole_images(const ConvShape& s, const ConvImages& y) {
  const int64_t pixel = s.out_channels, line = s.out[2] * pixel, plane = s.out[1] * line;
  return {static_cast<T*>(const_cast<void*>(y.data)), s.out[0] * plane, plane, line, pixel};
}

// Tiles of a few output channels would leave lanes idle; planes have none there.
template <class T>
bool lanes_full(int64_t channels) {
  const int64_t half = tile_kernel<T>().nr / 2;
  return channels * 4 >= (channels + half - 1) / half * half * 3;
}
template <class T>
bool rows_of(const ConvImages& t) {
  return t.channels_last && t.dtype == DtypeOf<T>::value;
}

template <class T>
class RowProduct {
 public:
  RowProduct(const ConvShape& s, const ConvImages& x, const T* bias, const Target<T>& y)
      : s_(s), x_(static_cast<const T*>(x.data)), bias_(bias), y_(y), tile_(tile_kernel<T>()) {
    panels_ = (s.out_group() + tile_.nr - 1) / tile_.nr;
    depth_ = s.in_group() * s.taps();
    joined_ = s.groups == 1 && s.dilation[2] == 1;  // the taps of a line see one stretch
    stretch_ = s.in_group() * (joined_ ? s.kernel[2] : 1);
    copied_ = s.groups > 1 || stretch_ < kStretch;
    // Pixels of the input that the taps of a line see, from -padding on.
    width_ = (s.out[2] - 1) * s.stride[2] + (s.kernel[2] - 1) * s.dilation[2] + 1;
    framed_ = copied_ || (joined_ && (s.padding[2] != 0 || width_ > s.in[2]));
  }
  int64_t panel_size() const { return depth_ * tile_.nr; }

  // Panels of nr output channels: [group][panel][tap][input channel][nr].
  void pack(const Weights<T>& w) {
    const int64_t size = s_.groups * panels_ * panel_size();
    weights_ = form_.get(PackedKind::ConvRows, w, {s_.groups, s_.out_group(), s_.in_group(), tile_.nr}, size,
                         scratch<Scratch::Weights, T>(size), [&](T* dst) { pack_panels(w, dst); });
  }

  void pack_panels(const Weights<T>& w, T* dst) const {
    const int64_t nr = tile_.nr, ci = s_.in_group(), co = s_.out_group();
    const std::vector<int64_t>& taps = w.tap;
    bool whole = w.cs == 1;  // the elements of a row follow each other
    for (size_t t = 0; t < taps.size(); ++t) whole = whole && taps[t] == int64_t(t) * ci;
    const int64_t grain = std::max<int64_t>(1, 16384 / panel_size());
    parallel_for(0, s_.groups * panels_, grain, [&](int64_t first, int64_t last) {
      const auto pack = [&](int64_t p, int64_t k, int64_t depth, int64_t from, int64_t step) {
        const int64_t j = p % panels_ * nr;
        pack_panel(nr, std::min(nr, co - j), depth, w.w + p / panels_ * w.group + j * w.rs + from, w.rs, step,
                   T(1), dst + p * panel_size() + k * nr);
      };
      for (int64_t p = first; p < last && whole; ++p) pack(p, 0, depth_, 0, 1);
      // Weights far apart along k: those of a few channels are read for all panels.
      for (int64_t c = 0; c < ci && !whole; c += kTogether) {
        for (int64_t p = first; p < last; ++p) {
          for (size_t t = 0; t < taps.size(); ++t) {
            pack(p, int64_t(t) * ci + c, std::min(kTogether, ci - c), taps[t] + c * w.cs, w.cs);
          }
        }
      }
    });
  }

  void run() const {
    const int64_t threads = num_threads(), lines = s_.batch * s_.out[0] * s_.out[1];
    // Bands of lines of one plane each, whose padded lines stay in the second-level cache.
    const int64_t share = std::max<int64_t>(1, lines / (2 * threads));
    const int64_t fit = std::max<int64_t>(
        1, kLines / (width_ * s_.in_channels * s_.stride[1] * (copied_ ? s_.kernel[0] : 1)));
    const int64_t some = std::max<int64_t>(1, kTaskPixels / s_.out[2]);
    const int64_t band = std::min({share, fit, some, s_.out[1]}), bands = (s_.out[1] + band - 1) / band;
    const int64_t work = s_.out_channels * depth_ * band * s_.out[2];
    parallel_for(0, s_.batch * s_.out[0] * bands,
                 std::max<int64_t>(1, kSerialConv / std::max<int64_t>(1, work)),
                 [&](int64_t first, int64_t last) {
                   for (int64_t t = first; t < last; ++t) {
                     const int64_t y = t % bands * band;
                     const int64_t count = std::min(band, s_.out[1] - y);
                     copied_ ? by_copies(t / bands, y, count) : in_place(t / bands, y, count);
                   }
                 });
  }

 private:
  const T* panel(int64_t p) const { return weights_ + p * panel_size(); }

  // Lines [first, first + count) of plane `plane` of the batch's outputs.
  void in_place(int64_t plane, int64_t first, int64_t count) const {
    const int64_t nr = tile_.nr, c = s_.in_channels, ow = s_.out[2], co = s_.out_channels;
    const int64_t image = plane / s_.out[0], oz = plane % s_.out[0];
    const int64_t low = first * s_.stride[1] - s_.padding[1];
    const int64_t high = low + (count - 1) * s_.stride[1] + (s_.kernel[1] - 1) * s_.dilation[1] + 1;
    const int64_t line = (framed_ ? width_ : s_.in[2]) * c;
    const int64_t parts = joined_ ? 1 : s_.kernel[2];
    T* out = y_.at(s_, plane, first);
    std::vector<char> begun(size_t(panels_ * count), 0);  // lines of a panel that hold something
    const auto fill = [&](int64_t p, int64_t r) {
      T* to = out + r * y_.line;
      for (int64_t i = 0; i < ow; ++i, to += y_.pixel) {
        for (int64_t q = p * nr; q < std::min(co, (p + 1) * nr); ++q) to[q] = bias_ ? bias_[q] : T(0);
      }
    };
    for (int64_t kz = 0; kz < s_.kernel[0]; ++kz) {
      const int64_t iz = oz * s_.stride[0] - s_.padding[0] + kz * s_.dilation[0];
      if (iz < 0 || iz >= s_.in[0]) continue;
      const T* from = x_ + (image * s_.in[0] + iz) * s_.in[1] * s_.in[2] * c;
      if (framed_)
        from = padded(from, std::max<int64_t>(low, 0), std::min(high, s_.in[1]),
                      padding(std::max<int64_t>(1, high - low)));
      const int64_t origin = framed_ ? std::max<int64_t>(low, 0) : 0;
      for (int64_t p = 0; p < panels_; ++p) {
        const int64_t j = p * nr, n = std::min(nr, co - j);
        for (int64_t ky = 0; ky < s_.kernel[1]; ++ky) {
          const T* b = panel(p) + (kz * s_.kernel[1] + ky) * s_.kernel[2] * s_.in_group() * nr;
          for (int64_t kx = 0; kx < parts; ++kx, b += stretch_ * nr) {
            // Pixels [begin, end) of a line see this stretch, all of them in padded lines.
            const int64_t at = kx * s_.dilation[2] - (framed_ ? 0 : s_.padding[2]), step = s_.stride[2];
            const int64_t begin = at < 0 ? (-at + step - 1) / step : 0;
            const int64_t end =
                framed_ ? ow : std::min(ow, at < s_.in[2] ? (s_.in[2] - 1 - at) / step + 1 : 0);
            if (begin >= end) continue;
            for (int64_t r = 0; r < count; ++r) {
              const int64_t iy = low + r * s_.stride[1] + ky * s_.dilation[1];
              if (iy < 0 || iy >= s_.in[1]) continue;
              char& line_begun = begun[size_t(p * count + r)];
              if (!line_begun && end - begin < ow) fill(p, r), line_begun = true;
              const T* a = from + (iy - origin) * line + (begin * step + at) * c;
              T* to = out + r * y_.line + begin * y_.pixel + j;
              for (int64_t k = 0; k < stretch_; k += tile_.kc) {
                rows_kernel(end - begin, n, std::min(tile_.kc, stretch_ - k), a + k, step * c, b + k * nr, nr,
                            to, y_.pixel, bias_ ? bias_ + j : nullptr, line_begun || k > 0);
              }
              line_begun = true;
            }
          }
        }
      }
    }
    for (int64_t i = 0; i < panels_ * count; ++i) {  // lines that see nothing need their bias too
      if (!begun[size_t(i)]) fill(i / count, i % count);
    }
  }
  // Lines [low, high) of a plane with the zeros that the taps see at their sides.
  const T* padded(const T* plane, int64_t low, int64_t high, T* dst) const {
    const int64_t c = s_.in_channels, from = std::max<int64_t>(0, -s_.padding[2]);
    const int64_t left = std::clamp<int64_t>(s_.padding[2], 0, width_);
    const int64_t n = std::clamp<int64_t>(s_.in[2] - from, 0, width_ - left);
    T* to = dst;
    for (int64_t y = low; y < high; ++y, to += width_ * c) {
      std::fill_n(to, left * c, T(0));
      std::copy_n(plane + (y * s_.in[2] + from) * c, n * c, to + left * c);
      std::fill_n(to + (left + n) * c, (width_ - left - n) * c, T(0));
    }
    return dst;
  }

  // Where a band's padded lines lie, a plane's after the other.
  int64_t plane_size(int64_t lines) const { return lines * width_ * s_.in_channels; }
  T* padding(int64_t lines) const {
    return scratch<Scratch::Padded, T>((copied_ ? s_.kernel[0] : 1) * plane_size(lines) + 4 * kOver);
  }

  // Lines from `first` of planes a tap apart, the first plane's beginning at `at`.
  struct Held {
    const T* data;
    int64_t first, at, plane, line;
  };
  // The lines [from, to) of an image that the taps of plane oz see: where they lie, if no tap sees padding
  // beside them and copies do not run over; otherwise padded.
  Held hold(int64_t image, int64_t oz, int64_t from, int64_t to) const {
    const int64_t line = s_.in[2] * s_.in_channels, plane = s_.in[1] * line,
                  z = oz * s_.stride[0] - s_.padding[0];
    const T* x = x_ + image * s_.in[0] * plane;
    if (s_.padding[2] == 0 && width_ <= s_.in[2] && stretch_ % kOver == 0)
      return {x, 0, z * plane, s_.dilation[0] * plane, line};
    T* lines = padding(to - from);
    for (int64_t kz = 0; kz < s_.kernel[0]; ++kz) {
      const int64_t iz = z + kz * s_.dilation[0];
      if (iz >= 0 && iz < s_.in[0]) padded(x + iz * plane, from, to, lines + kz * plane_size(to - from));
    }
    return {lines, from, 0, plane_size(to - from), width_ * s_.in_channels};
  }

  // Lines [first, first + count) of a plane as in_place, by copies of what a few pixels see.
  void by_copies(int64_t plane, int64_t first, int64_t count) const {
    const int64_t ow = s_.out[2], image = plane / s_.out[0], oz = plane % s_.out[0];
    const int64_t low = first * s_.stride[1] - s_.padding[1];
    const int64_t from = std::clamp<int64_t>(low, 0, s_.in[1]),
                  to = std::clamp<int64_t>(
                      low + (count - 1) * s_.stride[1] + (s_.kernel[1] - 1) * s_.dilation[1] + 1, from,
                      s_.in[1]);
    const Held lines = hold(image, oz, from, to);
    const int64_t step = depth_ + 4 * kOver, most = std::max<int64_t>(12, kCopied / depth_);
    // Lines at once, where they follow each other.
    const int64_t whole = y_.line == ow * y_.pixel ? std::max<int64_t>(1, most / ow) : 1;
    for (int64_t r = 0; r < count; r += whole) {
      const int64_t some = std::min(whole, count - r), part = some > 1 ? ow : most;
      for (int64_t x = 0; x < ow; x += part) {
        const int64_t cols = std::min(part, ow - x);
        T* rows = scratch<Scratch::PanelsA, T>(some * cols * step);
        for (int64_t g = 0; g < s_.groups; ++g) {
          for (int64_t i = 0; i < some; ++i) {
            copy_line(lines, g * s_.in_group(), oz, first + r + i, x, cols, rows + i * cols * step, step);
          }
          multiply(rows, step, g, y_.at(s_, plane, first + r) + x * y_.pixel, some * cols);
        }
      }
    }
  }
  void copy_line(const Held& lines, int64_t channel, int64_t oz, int64_t oy, int64_t x, int64_t cols, T* to,
                 int64_t step) const {
    const int64_t c = s_.in_channels, parts = joined_ ? 1 : s_.kernel[2];
    for (int64_t kz = 0; kz < s_.kernel[0]; ++kz) {
      const int64_t iz = oz * s_.stride[0] - s_.padding[0] + kz * s_.dilation[0];
      for (int64_t ky = 0; ky < s_.kernel[1]; ++ky) {
        const int64_t iy = oy * s_.stride[1] - s_.padding[1] + ky * s_.dilation[1];
        const bool inside = iz >= 0 && iz < s_.in[0] && iy >= 0 && iy < s_.in[1];
        const int64_t at =
            lines.at + kz * lines.plane + (iy - lines.first) * lines.line + x * s_.stride[2] * c;
        for (int64_t kx = 0; kx < parts; ++kx, to += stretch_) {
          if (inside) {
            copy_stretches(cols, stretch_, lines.data + at + channel + kx * s_.dilation[2] * c,
                           s_.stride[2] * c, to, step);
          } else {
            for (int64_t i = 0; i < cols; ++i) std::fill_n(to + i * step, stretch_, T(0));
          }
        }
      }
    }
  }
  void multiply(const T* rows, int64_t step, int64_t group, T* pixels, int64_t count) const {
    const int64_t nr = tile_.nr, co = s_.out_group();
    for (int64_t p = 0; p < panels_; ++p) {
      const int64_t j = p * nr, n = std::min(nr, co - j);
      T* to = pixels + group * co + j;
      const T* bias = bias_ ? bias_ + group * co + j : nullptr;
      for (int64_t k = 0; k < depth_; k += tile_.kc) {
        rows_kernel(count, n, std::min(tile_.kc, depth_ - k), rows + k, step,
                    panel(group * panels_ + p) + k * nr, nr, to, y_.pixel, k == 0 ? bias : nullptr, k > 0);
      }
    }
  }

  const ConvShape& s_;
  const T* x_;
  const T* bias_;
  Target<T> y_;
  TileKernel<T> tile_;
  const T* weights_ = nullptr;
  PackedForm<T> form_;
  int64_t panels_, depth_, stretch_, width_;
  bool joined_, copied_, framed_;
};

}  // namespace

template <class T>
bool rows_suit(const ConvShape& s, const ConvImages& x, const ConvImages& y) {
  return lanes_full<T>(s.out_group()) && rows_of<T>(x) && rows_of<T>(y);
}

template <class T>
void rows_forward(const ConvShape& s, const ConvImages& x, const ConvWeights<T>& w, const T* bias,
                  const ConvImages& y) {
  RowProduct<T> product(s, x, bias, whole_images<T>(s, y));
  product.pack(Weights<T>(s, w));
  product.run();
}

namespace {

// The pixels of a phase that no tap reaches.
template <class T>
void fill_phase(const ConvShape& part, const T* bias, const Target<T>& to) {
  constexpr int64_t serial = 1 << 16;  // elements
  const int64_t channels = part.out_channels, cols = part.out[2];
  parallel_for(0, part.batch * part.out[0] * part.out[1], std::max<int64_t>(1, serial / (cols * channels)),
               [&](int64_t first, int64_t last) {
                 for (int64_t r = first; r < last; ++r) {
                   T* at = to.at(part, r / part.out[1], r % part.out[1]);
                   for (int64_t i = 0; i < cols; ++i, at += to.pixel)
                     bias ? void(std::copy_n(bias, channels, at)) : void(std::fill_n(at, channels, T(0)));
                 }
               });
}

}  // namespace

// A phase of pixels after the other, each written to its own pixels of gx.
template <class T>
bool rows_input_grad(const ConvShape& s, const ConvImages& gy, const ConvWeights<T>& w, const T* bias,
                     const ConvImages& gx) {
  if (!lanes_full<T>(s.in_group()) || !rows_of<T>(gy) || !rows_of<T>(gx)) return false;
  const int64_t pixel = s.in_channels, line = s.in[2] * pixel, plane = s.in[1] * line;
  T* whole = static_cast<T*>(const_cast<void*>(gx.data));
  for (int64_t r = 0; r < s.stride[0] * s.stride[1] * s.stride[2]; ++r) {
    const Back<T> back(s, w, phase_of(s, 0, r / (s.stride[1] * s.stride[2])),
                       phase_of(s, 1, r / s.stride[2] % s.stride[1]), phase_of(s, 2, r % s.stride[2]));
    const ConvShape& part = back.shape;
    if (s.batch * part.out_pixels() == 0) continue;
    const Target<T> to{whole + back.phase[0].first_pixel * plane + back.phase[1].first_pixel * line +
                           back.phase[2].first_pixel * pixel,
                       s.in[0] * plane, s.stride[0] * plane, s.stride[1] * line, s.stride[2] * pixel};
    if (back.weights.tap.empty()) {
      fill_phase(part, bias, to);
      continue;
    }
    RowProduct<T> product(part, gy, bias, to);
    product.pack(back.weights);
    product.run();
  }
  return true;
}

#define NNLIB_INSTANTIATE(T)                                                                             \
  template bool rows_suit<T>(const ConvShape&, const ConvImages&, const ConvImages&);                    \
  template void rows_forward<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*,    \
                                const ConvImages&);                                                      \
  template bool rows_input_grad<T>(const ConvShape&, const ConvImages&, const ConvWeights<T>&, const T*, \
                                   const ConvImages&);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers::detail
