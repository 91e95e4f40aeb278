// The kernels of conv.inl, and the drivers against the definition of convolution.
#include "core/parallel.h"
#include "harness.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_tiles.h"
#include "ops/drivers/gemm_bf16.h"

using namespace harness;
using namespace nnlib::drivers;
using nnlib::kernels::Table;
using namespace nnlib;

TEST(depthwise_kernels) {
  std::vector<float> x(8000), w(25), g(16000);
  fill(x), fill(w), fill(g);
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t rows : {0, 1, 2, 3, 4, 5, 6, 7, 8, 13}) {
      for (int64_t cols : {1, 3, 4, 8, 15, 16, 17, 33, 40, 75, 140}) {
        for (int64_t taps : {1, 2, 4, 5, 9, 13, 25}) {
          const int64_t ld = cols + 7, ldy = cols + 1, m = taps % 7, step = rows * ldy;
          std::vector<int64_t> offset(taps);
          for (int64_t k = 0; k < taps; ++k) offset[k] = k % 5 * ld + k * 3 % 7;
          Guarded<float> a(rows * ldy), b(rows * ldy), ga(m * taps), gb(m * taps);
          fill(a), fill(ga);
          b = a, gb = ga;
          const auto forward = [&](const Table& u, Guarded<float>& y) {
            u.depthwise_f32(rows, cols, taps, offset.data(), x.data() + 1, ld, w.data(), 0.5f, y.data(), ldy);
          };
          const auto backward = [&](const Table& u, Guarded<float>& sum) {
            u.plane_dots_f32(m, taps, rows, cols, g.data(), step, ldy, x.data() + 1, offset.data(), ld,
                             sum.data(), taps);
          };
          forward(t, a), forward(truth(), b), backward(t, ga), backward(truth(), gb);
          for (int64_t i = 0; i < rows * ldy; ++i)
            CHECK(close(a[i], b[i], 1e-5, 1e-5), isa, " depthwise ", cols);
          for (int64_t i = 0; i < m * taps; ++i) CHECK(close(ga[i], gb[i], 1e-4, 1e-4), isa, " dots ", cols);
          CHECK(a.intact() && ga.intact(), isa, " wrote outside");
        }
      }
    }
  });
  covered().insert({"depthwise_f32", "plane_dots_f32"});
}

TEST(conv_line_kernels) {
  std::vector<float> x(3000);
  fill(x);
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t n : {0, 1, 3, 7, 8, 15, 16, 17, 32, 33, 50, 75}) {
      for (int64_t step : {1, 2, 3, 4, 5, 6, 7, 9}) {
        for (int64_t low : {0, 2, 19}) {
          const int64_t row = low + n + 5;
          Guarded<float> a(2 * row), b(2 * row);
          // Exactly what is read: the last element is the last of its array.
          const std::vector<float> src(x.begin(), x.begin() + (n > 0 ? 70 + (n - 1) * step + 1 : 0));
          t.conv_frame_f32(2, low, n, 5, step, src.data(), 70, a.data(), row);
          truth().conv_frame_f32(2, low, n, 5, step, src.data(), 70, b.data(), row);
          for (int64_t i = 0; i < 2 * row; ++i) CHECK(a[i] == b[i], isa, " frame ", n, " step ", step);
          CHECK(a.intact(), isa, " wrote outside");
        }
      }
      Guarded<float> a(2 * n), b(2 * n);
      t.conv_merge_f32(x.data(), x.data() + 100, n, a.data());
      truth().conv_merge_f32(x.data(), x.data() + 100, n, b.data());
      for (int64_t i = 0; i < 2 * n; ++i) CHECK(a[i] == b[i], isa, " merge ", n);
      CHECK(a.intact(), isa, " wrote outside");
    }
    const int64_t width = t.lines_nr / 2;
    const int64_t offset[] = {5, 300, 7, 120};
    for (int64_t pieces : {0, 1, 2, 3, 4, 5, 6, 7, 9}) {
      std::vector<int64_t> piece;
      int64_t n = 0;
      for (int64_t p = 0; p < pieces; ++p) {
        piece.push_back(p * 37 % 90);
        piece.push_back(p % 3 == 0 ? width : 1 + p % width);
        n += piece.back();
      }
      Guarded<float> a(4 * n + width), b(4 * n + width);
      t.conv_gather_f32(4, offset, pieces, piece.data(), x.data(), a.data(), n);
      truth().conv_gather_f32(4, offset, pieces, piece.data(), x.data(), b.data(), n);
      for (int64_t i = 0; i < 4 * n; ++i) CHECK(a[i] == b[i], isa, " gather ", i);
      CHECK(a.intact(), isa, " wrote outside");
    }
  });
  covered().insert({"conv_frame_f32", "conv_merge_f32", "conv_gather_f32"});
}

TEST(conv_layout_kernels) {
  std::vector<float> x(4000);
  fill(x);
  std::vector<uint16_t> b16(4000), f16(4000);
  for (size_t i = 0; i < x.size(); ++i) b16[i] = BFloat16(x[i]).bits, f16[i] = Half(x[i]).bits;
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t channels : {0, 1, 2, 3, 4, 8, 15, 16, 17, 33}) {
      for (int64_t n : {0, 1, 5, 8, 16, 19, 40}) {
        const int64_t wide = channels + 2, line = n + 3;
        Guarded<float> planes(channels * line);
        Guarded<float> pixels(n * wide);
        Guarded<uint16_t> words(n * wide);
        const auto same = [&](auto& got, auto run) {
          for (int64_t i = 0; i < got.size(); ++i) got[i] = 7;
          auto want = got;
          run(t, got.data()), run(truth(), want.data());
          for (int64_t i = 0; i < got.size(); ++i)
            CHECK(got[i] == want[i], isa, " layout ", channels, "x", n);
          CHECK(got.intact(), isa, " wrote outside");
        };
        const float* p = x.data();
        for (const int64_t step : {wide, channels}) {  // apart, and one after the other
          same(planes,
               [&](const Table& u, float* y) { u.planes_from_pixels_f32(channels, n, p, step, y, line); });
        }
        same(planes, [&](const Table& u, float* y) {
          u.planes_from_pixels_bf16(channels, n, b16.data(), wide, y, line);
        });
        same(planes, [&](const Table& u, float* y) {
          u.planes_from_pixels_f16(channels, n, f16.data(), wide, y, line);
        });
        same(pixels,
             [&](const Table& u, float* y) { u.pixels_from_planes_f32(channels, n, p, line, y, wide); });
        same(words,
             [&](const Table& u, uint16_t* y) { u.pixels_from_planes_bf16(channels, n, p, line, y, wide); });
        same(words,
             [&](const Table& u, uint16_t* y) { u.pixels_from_planes_f16(channels, n, p, line, y, wide); });
      }
    }
  });
  covered().insert({"planes_from_pixels_f32", "planes_from_pixels_bf16", "planes_from_pixels_f16",
                    "pixels_from_planes_f32", "pixels_from_planes_bf16", "pixels_from_planes_f16"});
}

TEST(spread_pixels) {
  const int64_t lanes = truth().pixel_lanes;
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t channels : {1, 3, 7, 8, 16, 21, 64}) {
      for (int64_t span : {1, 2, 7, 8, 15, 16, 64}) {
        for (int64_t n : {0, 1, 7, 8, 9, 21}) {
          for (int64_t sets : {1, 3}) {
            const int64_t step = channels + 2, room = n * lanes + 3;
            std::vector<float> x(n * step);
            fill(x);
            std::vector<int32_t> index(sets * lanes);
            for (size_t i = 0; i < index.size(); ++i) {
              const int64_t high = std::min(span, channels),
                            from = (channels - high) * int64_t(i / lanes) / 2;
              index[i] = int32_t(from + int64_t(i * 7 % 11) % high);
            }
            // Exactly the pixels that exist: a sanitizer sees whether more is read.
            const std::vector<float> exact(x.begin(), x.begin() + (n == 0 ? 0 : (n - 1) * step + channels));
            Guarded<float> a(sets * room), b(sets * room);
            fill(a);
            b = a;
            t.spread_pixels_f32(n, channels, exact.data(), step, sets, index.data(), a.data(), room);
            truth().spread_pixels_f32(n, channels, x.data(), step, sets, index.data(), b.data(), room);
            for (int64_t i = 0; i < sets * room; ++i)
              CHECK(a[i] == b[i], isa, " channels ", channels, " span ", span, " of ", n);
            CHECK(a.intact(), isa, " wrote outside");
          }
        }
      }
    }
  });
  covered().insert({"spread_pixels_f32"});
}

TEST(depthwise_pixel_kernels) {
  const int64_t lanes = truth().pixel_lanes;
  std::vector<float> x(40000), w(25 * 16), bias(16), g(20000);
  fill(x), fill(w), fill(bias), fill(g);
  for_each_isa([&](const Table& t, const char* isa) {
    CHECK(t.pixel_lanes == lanes, isa);
    for (int64_t rows : {0, 1, 3}) {
      for (int64_t cols : {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 19, 29}) {
        for (int64_t taps : {0, 1, 9, 13, 25}) {
          for (int64_t channels : {1, 5, 16}) {
            const int64_t line = cols + 6, step = channels + 1, row = cols * step + 2;
            std::vector<int64_t> offset(taps);
            for (int64_t k = 0; k < taps; ++k) offset[k] = k % 5 * line + k * 3 % 7;
            Guarded<float> a(rows * row), b(rows * row), sa(taps * lanes), sb(taps * lanes);
            fill(a), fill(sa);
            b = a, sb = sa;
            const auto run = [&](const Table& u, Guarded<float>& y, Guarded<float>& sum) {
              u.depthwise_pixels_f32(rows, cols, channels, taps, offset.data(), x.data(), line, w.data(),
                                     bias.data(), y.data(), row, step);
              u.pixel_dots_f32(taps, rows, cols, g.data(), cols * 20, 20, x.data(), offset.data(), line,
                               sum.data());
            };
            run(t, a, sa), run(truth(), b, sb);
            for (int64_t i = 0; i < rows * row; ++i)
              CHECK(close(a[i], b[i], 1e-5, 1e-5), isa, " pixels ", cols);
            for (int64_t i = 0; i < taps * lanes; ++i)
              CHECK(close(sa[i], sb[i], 1e-4, 1e-4), isa, " dots ", cols);
            CHECK(a.intact() && sa.intact(), isa, " wrote outside");
          }
        }
      }
    }
  });
  covered().insert({"depthwise_pixels_f32", "pixel_dots_f32"});
}

TEST(depthwise_last) {
  const int64_t lanes = truth().pixel_lanes, block = 51 * lanes;
  std::vector<float> x(60000), g(8000), w(3 * block);
  fill(x), fill(g), fill(w);
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t cols : {0, 1, 2, 3, 6, 7, 8, 13, 14, 15, 29, 57}) {
      for (int64_t taps : {0, 1, 2, 9, 10, 25, 49}) {
        for (int64_t channels : {lanes, lanes + 1, 2 * lanes + 5, 3 * lanes}) {
          std::vector<int64_t> place;
          for (int64_t k = 0; k < taps; ++k)
            place.push_back(k * 331 % 2000), place.push_back((k + 1) * lanes);
          const int64_t step = channels + 3, lines = taps + cols % 2 * 50;
          Guarded<float> a(cols * step), b(cols * step), sums(3 * block), other(3 * block);
          fill(a), b = a, fill(sums), other = sums;
          const auto run = [&](const Table& u, Guarded<float>& y, Guarded<float>& sum) {
            u.depthwise_last_f32(cols, channels, taps, place.data(), x.data(), 2 * channels, w.data(), block,
                                 y.data(), step, false, x.data(), lines);
            u.depthwise_last_dots_f32(cols, channels, taps, place.data(), x.data(), 2 * channels, g.data(),
                                      step, sum.data(), block, x.data(), lines);
          };
          run(t, a, sums), run(truth(), b, other);
          for (int64_t i = 0; i < cols * step; ++i) CHECK(close(a[i], b[i], 1e-5, 1e-5), isa, " last ", cols);
          for (int64_t i = 0; i < 3 * block; ++i)
            CHECK(close(sums[i], other[i], 1e-5, 1e-4), isa, " dots ", cols, " ", taps, " ", channels);
          CHECK(a.intact() && sums.intact(), isa, " wrote outside");
        }
      }
    }
    // Past the caches.
    std::vector<float> room(9 * 2 * lanes + 16), kept(9 * 2 * lanes);
    float* y = room.data() + (64 - reinterpret_cast<uintptr_t>(room.data()) % 64) % 64 / sizeof(float);
    const int64_t place[] = {0, lanes, 5, 2 * lanes};
    t.depthwise_last_f32(9, 2 * lanes, 2, place, x.data(), 3, w.data(), block, y, 2 * lanes, true, nullptr,
                         0);
    truth().depthwise_last_f32(9, 2 * lanes, 2, place, x.data(), 3, w.data(), block, kept.data(), 2 * lanes,
                               false, nullptr, 0);
    for (int64_t i = 0; i < 9 * 2 * lanes; ++i) CHECK(close(y[i], kept[i], 1e-5, 1e-5), isa, " past ", i);
  });
  covered().insert({"depthwise_last_f32", "depthwise_last_dots_f32"});
}

TEST(conv_stretches) {
  std::vector<float> x(20000), g(20000), w(3 * 80 * 64);
  fill(x), fill(g), fill(w);
  for_each_isa([&](const Table& t, const char* isa) {
    const int64_t nr = t.lines_nr, ld = nr, size = 80 * ld;
    for (int64_t cols : {0, 1, 2, 5, 6, 7, 11, 12, 13, 25, 30, 49}) {
      for (int64_t length : {0, 1, 3, 9, 13, 24}) {
        for (int64_t n : {int64_t(1), nr / 2 - 1, nr / 2, nr / 2 + 1, nr - 1, nr}) {
          const int64_t block[] = {0, 0, n, 5, n, n / 2 + 1, 7, n + n / 2 + 1, n};
          const int64_t place[] = {0, ld, 411, (1 + length) * ld, 33, (1 + 2 * length) * ld};
          const int64_t step = 3 * n + 4;
          Guarded<float> a(cols * step), b(cols * step), sums(3 * size), other(3 * size);
          fill(a), b = a, fill(sums), other = sums;
          const auto run = [&](const Table& u, Guarded<float>& y, Guarded<float>& sum) {
            u.stretches_f32(cols, 3, block, 3, place, length, x.data(), 17, w.data(), size, ld, y.data(),
                            step, x.data(), length);
            u.stretch_dots_f32(cols, 3, block, 3, place, length, x.data(), 17, g.data(), step, sum.data(),
                               size, ld, x.data(), cols);
          };
          run(t, a, sums), run(truth(), b, other);
          for (int64_t i = 0; i < cols * step; ++i)
            CHECK(close(a[i], b[i], 1e-5, 1e-4), isa, " stretches ", cols, " ", length, " ", n);
          for (int64_t i = 0; i < 3 * size; ++i) {
            // What lanes past a block's channels hold is of no account.
            if (i % ld < block[i / size * 3 + 2])
              CHECK(close(sums[i], other[i], 1e-5, 1e-4), isa, " dots ", cols, " ", length, " ", n);
          }
          CHECK(a.intact() && sums.intact(), isa, " wrote outside");
        }
      }
    }
  });
  covered().insert({"stretches_f32", "stretch_dots_f32"});
}

TEST(conv_dots) {
  std::vector<float> x(20000), g(1000), w(4000), bias(16);
  fill(x), fill(g), fill(w), fill(bias);
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t cols : {0, 1, 2, 3, 7, 12, 25, 49}) {
      for (int64_t length : {0, 1, 7, 8, 21, 24, 67}) {
        for (int64_t results : {1, 2, 3, 4, 5, 8, 11}) {
          const int64_t place[] = {0, 2, 411, 2 + length, 33, 2 + 2 * length}, size = 3 * length + 3,
                        step = results + 2;
          Guarded<float> a(cols * step), b(cols * step), sums(results * size), other(results * size);
          fill(a), b = a, fill(sums), other = sums;
          const auto run = [&](const Table& u, Guarded<float>& y, Guarded<float>& sum) {
            u.line_dots_f32(cols, results, 3, place, length, x.data(), 17, w.data(), size,
                            length == 7 ? nullptr : bias.data(), y.data(), step);
            u.line_sums_f32(cols, results, 3, place, length, x.data(), 17, g.data(), step, sum.data(), size);
          };
          run(t, a, sums), run(truth(), b, other);
          for (int64_t i = 0; i < cols * step; ++i)
            CHECK(close(a[i], b[i], 1e-5, 1e-4), isa, " dots ", cols, " ", length, " ", results);
          for (int64_t i = 0; i < results * size; ++i)
            CHECK(close(sums[i], other[i], 1e-5, 1e-4), isa, " sums ", cols, " ", length, " ", results);
          CHECK(a.intact() && sums.intact(), isa, " wrote outside");
        }
      }
    }
  });
  covered().insert({"line_dots_f32", "line_sums_f32"});
}

namespace {

// The pixels of x and y that each tap of the kernel brings together.
struct Pair {
  int64_t x, y;
};
std::vector<std::vector<Pair>> pairs_of_taps(const ConvShape& s) {
  std::vector<std::vector<Pair>> pairs(s.taps());
  for (int64_t tap = 0; tap < s.taps(); ++tap) {
    const int64_t k[3] = {tap / (s.kernel[1] * s.kernel[2]), tap / s.kernel[2] % s.kernel[1],
                          tap % s.kernel[2]};
    for (int64_t y = 0; y < s.out_pixels(); ++y) {
      const int64_t at[3] = {y / (s.out[1] * s.out[2]), y / s.out[2] % s.out[1], y % s.out[2]};
      int64_t x = 0;
      bool inside = true;
      for (int d = 0; d < 3; ++d) {
        const int64_t i = at[d] * s.stride[d] - s.padding[d] + k[d] * s.dilation[d];
        inside = inside && i >= 0 && i < s.in[d];
        x = x * s.in[d] + i;
      }
      if (inside) pairs[tap].push_back({x, y});
    }
  }
  return pairs;
}

// The definition: every product of the convolution is added to y, to gx and to gw.
void add_products(const ConvShape& s, const double* x, const double* w, const double* gy, double* y,
                  double* gx, double* gw) {
  const auto pairs = pairs_of_taps(s);
  for (int64_t plane = 0; plane < s.batch * s.out_channels; ++plane) {
    const int64_t n = plane / s.out_channels, o = plane % s.out_channels;
    for (int64_t c = 0; c < s.in_group(); ++c) {
      const int64_t from = (n * s.in_channels + o / s.out_group() * s.in_group() + c) * s.in_pixels();
      for (int64_t tap = 0; tap < s.taps(); ++tap) {
        const int64_t iw = (o * s.in_group() + c) * s.taps() + tap, to = plane * s.out_pixels();
        double sum = 0;
        for (const Pair& p : pairs[tap]) {
          y[to + p.y] += x[from + p.x] * w[iw];
          gx[from + p.x] += gy[to + p.y] * w[iw];
          sum += gy[to + p.y] * x[from + p.x];
        }
        gw[iw] += sum;
      }
    }
  }
}

// Images in a layout and type, from and to planes.
template <class T>
struct Stored {
  Stored(int64_t channels_, int64_t pixels_, int64_t count, Dtype dtype_, bool last_)
      : channels(channels_),
        pixels(pixels_),
        dtype(dtype_),
        last(last_),
        bytes(count * size_of(dtype_), size_of(dtype_)) {}
  static int size_of(Dtype d) { return d == Dtype::Float64 ? 8 : d == Dtype::Float32 ? 4 : 2; }
  int64_t at(int64_t i) const {
    const int64_t image = i / (channels * pixels), c = i / pixels % channels, p = i % pixels;
    return last ? (image * pixels + p) * channels + c : i;
  }
  void set(int64_t i, T v) {
    if (dtype == Dtype::BFloat16) {
      reinterpret_cast<BFloat16*>(bytes.data())[at(i)] = BFloat16(float(v));
    } else if (dtype == Dtype::Float16) {
      reinterpret_cast<Half*>(bytes.data())[at(i)] = Half(float(v));
    } else {
      reinterpret_cast<T*>(bytes.data())[at(i)] = v;
    }
  }
  T get(int64_t i) {
    if (dtype == Dtype::BFloat16) return T(float(reinterpret_cast<BFloat16*>(bytes.data())[at(i)]));
    if (dtype == Dtype::Float16) return T(float(reinterpret_cast<Half*>(bytes.data())[at(i)]));
    return reinterpret_cast<T*>(bytes.data())[at(i)];
  }
  ConvImages images() { return {bytes.data(), dtype, last, channels, pixels}; }
  int64_t channels, pixels;
  Dtype dtype;
  bool last;
  Guarded<char> bytes;
};

// In every layout of the images and the weights, and on 1, 2 and 3 threads; `rounding` is that of the dtype.
template <class T>
void check_conv(ConvShape s, double eps, Dtype dtype, double rounding) {
  for (int d = 0; d < 3; ++d) {
    s.out[d] = (s.in[d] + 2 * s.padding[d] - s.dilation[d] * (s.kernel[d] - 1) - 1) / s.stride[d] + 1;
  }
  const int64_t nx = s.batch * s.in_channels * s.in_pixels(), ny = s.batch * s.out_channels * s.out_pixels();
  const int64_t nw = s.out_channels * s.in_group() * s.taps();
  std::vector<T> x(nx), w(nw), turned(nw), gy(ny), bias(s.out_channels), bias_in(s.in_channels);
  fill(x), fill(w), fill(gy), fill(bias), fill(bias_in);
  {  // values of the dtype
    Stored<T> sx(s.in_channels, s.in_pixels(), nx, dtype, false),
        sg(s.out_channels, s.out_pixels(), ny, dtype, false);
    for (int64_t i = 0; i < nx; ++i) sx.set(i, x[i]), x[i] = sx.get(i);
    for (int64_t i = 0; i < ny; ++i) sg.set(i, gy[i]), gy[i] = sg.get(i);
    Stored<T> sw(1, 1, nw, dtype, false);
    for (int64_t i = 0; i < nw; ++i) sw.set(i, w[i]), w[i] = sw.get(i);
  }
  const int64_t ci = s.in_group(), taps = s.taps();
  for (int64_t i = 0; i < nw; ++i) turned[i / (ci * taps) * ci * taps + i % taps * ci + i / taps % ci] = w[i];
  std::vector<double> y0(ny), gx0(nx), gw0(nw), gb0(s.out_channels);
  for (int64_t i = 0; i < ny; ++i) y0[i] = bias[i / s.out_pixels() % s.out_channels];
  for (int64_t i = 0; i < nx; ++i) gx0[i] = bias_in[i / s.in_pixels() % s.in_channels];
  for (int64_t i = 0; i < ny; ++i) gb0[i / s.out_pixels() % s.out_channels] += gy[i];
  const auto wide = [](const std::vector<T>& v) { return std::vector<double>(v.begin(), v.end()); };
  add_products(s, wide(x).data(), wide(w).data(), wide(gy).data(), y0.data(), gx0.data(), gw0.data());
  for (int layout = 0; layout < 8; ++layout) {
    const bool x_last = layout & 1, y_last = layout & 2, w_last = layout & 4;
    const ConvWeights<T> weights = w_last ? ConvWeights<T>{turned.data(), ci * taps, 1, ci}
                                          : ConvWeights<T>{w.data(), ci * taps, taps, 1};
    Stored<T> in(s.in_channels, s.in_pixels(), nx, dtype, x_last),
        grad(s.out_channels, s.out_pixels(), ny, dtype, y_last);
    for (int64_t i = 0; i < nx; ++i) in.set(i, x[i]);
    for (int64_t i = 0; i < ny; ++i) grad.set(i, gy[i]);
    std::vector<T> first;
    for (int threads : {1, 2, 3}) {
      nnlib::set_num_threads(threads);
      Stored<T> y(s.out_channels, s.out_pixels(), ny, dtype, y_last),
          gx(s.in_channels, s.in_pixels(), nx, dtype, x_last);
      Guarded<T> gw(nw), gb(s.out_channels);
      conv_forward(s, in.images(), weights, bias.data(), y.images());
      conv_input_grad(s, grad.images(), weights, bias_in.data(), gx.images());
      conv_weight_grad(s, in.images(), grad.images(), gw.data());
      conv_bias_grad(s, grad.images(), gb.data());
      std::vector<T> all;
      const auto compare = [&](const char* what, auto get, double relative, const std::vector<double>& want) {
        for (int64_t i = 0; i < int64_t(want.size()); ++i) {
          const T got = get(i);
          all.push_back(got);
          if (threads > 1) continue;  // the same bits, as is checked below
          CHECK(close(double(got), want[i], eps + relative, eps * 100), what, " in ", s.in[0], "x", s.in[1],
                "x", s.in[2], " kernel ", s.kernel[0], "x", s.kernel[1], "x", s.kernel[2], " groups ",
                s.groups, " layout ", layout, " ", int(dtype), " at ", i, ": ", got, " not ", want[i]);
        }
      };
      compare("y", [&](int64_t i) { return y.get(i); }, rounding, y0);
      compare("gx", [&](int64_t i) { return gx.get(i); }, rounding, gx0);
      compare("gw", [&](int64_t i) { return gw[i]; }, 0, gw0);
      compare("gb", [&](int64_t i) { return gb[i]; }, 0, gb0);
      CHECK(y.bytes.intact() && gx.bytes.intact() && gw.intact() && gb.intact(), "wrote outside");
      if (threads == 1) first = all;
      CHECK(first == all, "bits differ on ", threads, " threads");
    }
  }
}

const ConvShape kShapes[] = {
    // batch, Ci, Co, groups, in, kernel, out, stride, padding, dilation
    {2, 3, 5, 1, {1, 9, 11}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {3, 8, 17, 1, {1, 8, 8}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {7, 4, 6, 1, {1, 3, 3}, {1, 1, 1}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},  // pointwise across images
    {2, 33, 20, 1, {1, 20, 20}, {1, 1, 1}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
    {2, 60, 9, 1, {1, 7, 7}, {1, 3, 3}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},  // several blocks of k
    {2, 4, 6, 2, {1, 10, 7}, {1, 3, 2}, {}, {1, 2, 3}, {0, 2, 0}, {1, 2, 1}},
    {1, 2, 2, 1, {1, 12, 12}, {1, 2, 2}, {}, {1, 3, 3}, {0, 0, 0}, {1, 1, 1}},  // pixels that no tap reaches
    {2, 2, 3, 1, {1, 9, 9}, {1, 3, 3}, {}, {1, 2, 2}, {0, 2, 2}, {1, 2, 2}},    // dilation = stride
    {2, 2, 3, 1, {1, 17, 15}, {1, 3, 3}, {}, {1, 4, 4}, {0, 3, 3}, {1, 6, 6}},  // a common divisor
    {2, 6, 6, 6, {1, 13, 19}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},  // depthwise
    {2, 5, 10, 5, {1, 8, 9}, {1, 5, 3}, {}, {1, 2, 2}, {0, 2, 0}, {1, 1, 2}},
    {2, 4, 5, 1, {1, 1, 50}, {1, 1, 5}, {}, {1, 1, 2}, {0, 0, 4}, {1, 1, 1}},  // one dimension
    {2, 3, 4, 1, {5, 6, 7}, {3, 2, 3}, {}, {2, 1, 2}, {1, 0, 1}, {1, 2, 1}},   // three dimensions
    {2, 2, 2, 2, {4, 5, 6}, {2, 2, 2}, {}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {40, 2, 3, 1, {1, 8, 8}, {1, 3, 3}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},  // several chunks of the batch
    {1, 3, 20, 1, {1, 32, 48}, {1, 16, 16}, {}, {1, 16, 16}, {0, 0, 0}, {1, 1, 1}},  // patches
    {2, 6, 6, 6, {1, 15, 18}, {1, 5, 5}, {}, {1, 2, 2}, {0, 2, 2}, {1, 1, 1}},       // depthwise, a stride
    {2, 4, 4, 4, {1, 13, 13}, {1, 3, 3}, {}, {1, 3, 2}, {0, 4, 1}, {1, 2, 3}},       // and dilation
    {2, 8, 12, 4, {1, 9, 9}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},        // small groups
    {1, 3, 4, 1, {1, 1, 9000}, {1, 1, 9}, {}, {1, 1, 1}, {0, 0, 4}, {1, 1, 1}},      // parts of a line
    {1, 2, 2, 2, {1, 1, 9000}, {1, 1, 9}, {}, {1, 1, 2}, {0, 0, 4}, {1, 1, 1}},
    {9, 40, 5, 1, {8, 3, 8}, {1, 2, 3}, {}, {1, 1, 4}, {1, 2, 2}, {1, 2, 1}},  // more channels than a frame
    {2, 3, 17, 1, {1, 30, 30}, {1, 11, 11}, {}, {1, 4, 4}, {0, 2, 2}, {1, 1, 1}},
    {3, 37, 37, 37, {1, 7, 7}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},  // depthwise, channels left
                                                                                 // over
    {1, 16, 16, 16, {3, 40, 41}, {3, 3, 2}, {}, {1, 2, 1}, {1, 1, 1}, {1, 1, 2}},
    {3, 48, 64, 1, {1, 16, 18}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},  // Winograd
    {2, 24, 600, 1, {1, 9, 9}, {1, 1, 1}, {}, {1, 2, 2}, {0, 0, 0}, {1, 1, 1}},   // 1x1 with a stride, many
                                                                                  // rows
    // Planes that are turned round for their strides: short lines, groups, three dimensions.
    {3, 20, 24, 1, {1, 9, 10}, {1, 3, 3}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {2, 48, 32, 2, {1, 11, 23}, {1, 3, 3}, {}, {1, 3, 3}, {0, 1, 1}, {1, 1, 1}},
    {2, 16, 24, 1, {4, 5, 6}, {2, 2, 2}, {}, {2, 2, 2}, {0, 0, 0}, {1, 1, 1}},
    // Input gradients by columns: taps that do not meet, bands of lines, of a line and of planes, several
    // images at once.
    {5, 3, 33, 1, {1, 26, 35}, {1, 8, 8}, {}, {1, 8, 8}, {0, 0, 0}, {1, 1, 1}},
    {2, 3, 8, 1, {1, 90, 90}, {1, 7, 7}, {}, {1, 2, 2}, {0, 3, 3}, {1, 1, 1}},
    {1, 1, 7, 1, {1, 1, 50000}, {1, 1, 40}, {}, {1, 1, 3}, {0, 0, 11}, {1, 1, 1}},
    {4, 5, 6, 1, {3, 4, 5}, {2, 2, 2}, {}, {2, 2, 2}, {0, 0, 0}, {1, 1, 1}},
    {6, 40, 12, 2, {1, 4, 4}, {1, 4, 4}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
    // Depthwise on small planes: strides, kernels larger than the plane, lines that see padding alone.
    {2, 20, 20, 20, {1, 14, 13}, {1, 7, 7}, {}, {1, 2, 2}, {0, 3, 3}, {1, 1, 1}},
    {2, 19, 19, 19, {1, 7, 7}, {1, 9, 9}, {}, {1, 1, 1}, {0, 4, 4}, {1, 1, 1}},
    {1, 33, 33, 33, {1, 5, 6}, {1, 3, 3}, {}, {1, 1, 2}, {0, 4, 1}, {1, 1, 1}},
    {2, 17, 17, 17, {2, 5, 6}, {2, 3, 3}, {}, {1, 2, 3}, {1, 1, 1}, {1, 2, 1}},
    // 1x1: images of one pixel, few channels.
    {5, 20, 7, 1, {1, 1, 1}, {1, 1, 1}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
    {3, 30, 4, 1, {1, 9, 7}, {1, 1, 1}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
    {3, 30, 1, 1, {1, 9, 7}, {1, 1, 1}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
    {2, 48, 80, 2, {1, 16, 13}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},  // Winograd in groups
    // Depthwise where whole blocks of channels lie in images: borders wider than the plane, strides,
    // dilation.
    {2, 32, 32, 32, {1, 13, 21}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {2, 48, 48, 48, {1, 14, 13}, {1, 7, 7}, {}, {1, 2, 2}, {0, 3, 3}, {1, 1, 1}},
    {3, 16, 16, 16, {1, 4, 3}, {1, 5, 5}, {}, {1, 1, 1}, {0, 2, 2}, {1, 1, 1}},
    {1, 16, 16, 16, {1, 20, 9}, {1, 3, 2}, {}, {1, 3, 2}, {0, 4, 1}, {1, 2, 3}},
    {1, 32, 32, 32, {1, 1, 70}, {1, 1, 9}, {}, {1, 1, 1}, {0, 0, 4}, {1, 1, 1}},
    // Few channels a group in lanes: other numbers of them on both sides, strides, planes, several bands.
    {2, 24, 24, 8, {1, 11, 9}, {1, 3, 3}, {}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {2, 64, 64, 16, {1, 13, 12}, {1, 3, 3}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {1, 80, 20, 20, {1, 9, 10}, {1, 3, 2}, {}, {1, 2, 1}, {0, 1, 0}, {1, 1, 1}},
    {2, 18, 72, 18, {1, 30, 20}, {1, 3, 3}, {}, {1, 2, 1}, {0, 2, 1}, {1, 2, 1}},
    {1, 32, 48, 16, {3, 6, 7}, {2, 3, 3}, {}, {2, 1, 2}, {1, 1, 1}, {1, 1, 1}},
    {5, 32, 32, 8, {1, 70, 11}, {1, 3, 3}, {}, {1, 1, 1}, {0, 4, 1}, {1, 1, 1}},
    // Phases of strides as products of rows: copied and in place, without a tap, dilated, in groups.
    {2, 20, 24, 1, {1, 11, 13}, {1, 3, 3}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {1, 40, 72, 1, {1, 9, 11}, {1, 3, 2}, {}, {1, 2, 3}, {0, 1, 1}, {1, 1, 1}},
    {2, 16, 70, 1, {1, 7, 8}, {1, 1, 1}, {}, {1, 2, 2}, {0, 0, 0}, {1, 1, 1}},
    {1, 16, 24, 1, {5, 6, 7}, {3, 2, 3}, {}, {2, 1, 2}, {1, 1, 1}, {1, 1, 1}},
    {1, 16, 66, 1, {1, 9, 12}, {1, 3, 3}, {}, {1, 2, 1}, {0, 2, 2}, {1, 2, 2}},
    {2, 32, 40, 2, {1, 8, 9}, {1, 2, 2}, {}, {1, 2, 2}, {0, 0, 1}, {1, 1, 1}},
    // Groups of few channels: frames that all phases share, tiles of several heights, phases without a tap
    // and
    // along one dimension only, three dimensions, several bands.
    {2, 24, 24, 3, {1, 15, 14}, {1, 3, 3}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {1, 39, 26, 13, {1, 9, 10}, {1, 2, 2}, {}, {1, 3, 3}, {0, 0, 0}, {1, 1, 1}},
    {2, 22, 14, 2, {1, 7, 30}, {1, 3, 5}, {}, {1, 1, 2}, {0, 1, 2}, {1, 1, 2}},
    {1, 10, 20, 2, {5, 6, 7}, {3, 3, 2}, {}, {2, 2, 2}, {1, 1, 0}, {1, 1, 1}},
    {1, 16, 36, 2, {1, 60, 41}, {1, 3, 3}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {1, 10, 10, 2, {1, 5, 1}, {1, 3, 1}, {}, {1, 2, 3}, {0, 1, 0}, {1, 1, 1}},
    // 1x1, small images of many channels; weights that are far apart, many columns of a weight gradient.
    {3, 6, 66, 1, {1, 13, 17}, {1, 4, 4}, {}, {1, 4, 4}, {0, 0, 0}, {1, 1, 1}},  // patches of several images
    {9, 16, 65, 1, {1, 1, 653}, {1, 1, 5}, {}, {1, 1, 5}, {0, 0, 0}, {1, 1, 1}},
    {2, 8, 64, 1, {5, 6, 9}, {2, 3, 4}, {}, {2, 3, 4}, {0, 0, 0}, {1, 1, 1}},
    {25, 65, 66, 1, {1, 7, 7}, {1, 1, 1}, {}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
    {3, 20, 270, 1, {1, 5, 6}, {1, 3, 3}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {1, 60, 9, 1, {1, 1, 600}, {1, 1, 3}, {}, {1, 1, 1}, {0, 0, 1}, {1, 1, 1}},  // a line far from L1
    // Many channels to few, the channels last: dilation, strides, patches, groups.
    {2, 40, 3, 1, {1, 9, 14}, {1, 3, 3}, {}, {1, 1, 1}, {0, 2, 2}, {1, 2, 2}},
    {2, 5, 33, 1, {1, 14, 19}, {1, 3, 4}, {}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {3, 20, 11, 1, {1, 12, 24}, {1, 4, 4}, {}, {1, 4, 4}, {0, 0, 0}, {1, 1, 1}},
    {1, 32, 8, 8, {1, 13, 26}, {1, 3, 3}, {}, {1, 3, 3}, {0, 1, 1}, {1, 1, 1}},
};

}  // namespace

TEST(conv_drivers) {
  for (const ConvShape& s : kShapes) {
    check_conv<float>(s, 2e-5, Dtype::Float32, 0);
    check_conv<float>(s, 2e-5, Dtype::BFloat16, 1. / 256);
    check_conv<float>(s, 2e-5, Dtype::Float16, 1. / 2048);
    check_conv<double>(s, 1e-13, Dtype::Float64, 0);
  }
}

// On a processor without instructions for it, by plain loops that round where these do.
TEST(conv_by_blocks_of_bfloat16) {
  set_always_tiles(true);
  for (const ConvShape& s : kShapes) check_conv<float>(s, 2e-5, Dtype::BFloat16, 1. / 256);
  set_always_tiles(false);
}

TEST(conv_blocks_of_bfloat16_are_chosen_where_they_pay) {
  const int64_t rate = kernels::table().bf16_rate;
  using nnlib::drivers::detail::tiles_pay;
  CHECK(tiles_pay(Dtype::BFloat16, 64, 576, 1024) == (rate > 1), "many channels");
  CHECK(!tiles_pay(Dtype::BFloat16, 1, 9, 1024), "one channel");
  CHECK(!tiles_pay(Dtype::BFloat16, 64, 0, 1024), "nothing to sum");
  CHECK(!tiles_pay(Dtype::Float16, 64, 576, 1024) && !tiles_pay(Dtype::Float32, 64, 576, 1024),
        "other types");
  CHECK(!tiles_pay(Dtype::BFloat16, 64, 576, 1024, 100), "something else is quicker by far");
}

// More images than are read at once.
TEST(winograd_of_images) {
  const ConvShape s{3, 2, 2, 1, {1, 520, 512}, {1, 3, 3}, {1, 520, 512}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}};
  const int64_t n = s.batch * s.in_channels * s.in_pixels();
  std::vector<float> x(n), g(n), w(36), y(n), gx(n), gw(36);
  fill(x), fill(g), fill(w);
  const ConvWeights<float> weights{w.data(), 18, 9, 1};
  CHECK(nnlib::drivers::detail::winograd_forward(s, 4, x.data(), w.data(), nullptr, y.data()), "finite");
  CHECK(nnlib::drivers::detail::winograd_input_grad(s, 4, g.data(), w.data(), nullptr, gx.data()), "finite");
  CHECK(nnlib::drivers::detail::winograd_weight_grad(s, 4, x.data(), g.data(), gw.data()), "finite");
  Stored<float> in(2, s.in_pixels(), n, Dtype::Float32, true), grad = in, out = in, back = in;
  for (int64_t i = 0; i < n; ++i) in.set(i, x[i]), grad.set(i, g[i]);
  std::vector<float> sums(36);
  CHECK(nnlib::drivers::detail::winograd_images_forward(s, 4, in.images(), weights, nullptr, out.images()),
        "finite");
  CHECK(nnlib::drivers::detail::winograd_images_input_grad(s, 4, grad.images(), weights, nullptr,
                                                           back.images()),
        "finite");
  CHECK(nnlib::drivers::detail::winograd_images_weight_grad(s, 4, in.images(), grad.images(), sums.data()),
        "finite");
  for (int64_t i = 0; i < n; ++i) {
    CHECK(close(out.get(i), y[i], 1e-5f, 1e-5f), "y at ", i);
    CHECK(close(back.get(i), gx[i], 1e-5f, 1e-5f), "gx at ", i);
  }
  for (int64_t i = 0; i < 36; ++i) CHECK(close(sums[i], gw[i], 1e-3f, 0.05f), "gw at ", i);
  in.set(n - 1, INFINITY);
  CHECK(!nnlib::drivers::detail::winograd_images_forward(s, 4, in.images(), weights, nullptr, out.images()),
        "not finite");
}

TEST(conv_choice) {
  CHECK(choose_conv(kShapes[0]).algorithm == ConvAlgorithm::ImplicitGemm, "3x3");
  ConvShape pointwise = kShapes[3], depthwise = kShapes[9];
  for (int d = 0; d < 3; ++d) pointwise.out[d] = pointwise.in[d], depthwise.out[d] = depthwise.in[d];
  CHECK(choose_conv(pointwise).algorithm == ConvAlgorithm::Pointwise, "1x1");
  CHECK(choose_conv(depthwise).algorithm == ConvAlgorithm::Depthwise, "depthwise");
}
