// The kernels of winograd.inl against the reference, and its drivers against the definition and against the
// matrix product.
#include "core/parallel.h"
#include "harness.h"
#include "ops/drivers/conv.h"

using namespace harness;
using namespace nnlib::drivers;
using nnlib::kernels::Table;

namespace {

// The reference table has lanes and panels of its own, so what it computes is brought to those of t, lane by
// lane: a line of t's pixel vectors becomes lanes / 4 lines of the reference's.
struct Lanes {
  explicit Lanes(const Table& t) : n(t.wino_lanes), each(truth().wino_lanes) {}
  int64_t n, each;
  // Pixels of lanes [first, first + each) of x.
  std::vector<float> part(const float* x, int64_t pixels, int64_t first) const {
    std::vector<float> out(pixels * each);
    for (int64_t i = 0; i < pixels * each; ++i) out[i] = x[i / each * n + first + i % each];
    return out;
  }
};

constexpr double kEps = 1e-5;

// Sizes of tiles and of the kernels that they serve.
struct Kind {
  int64_t size, taps;
};
constexpr Kind kKinds[] = {{2, 3}, {5, 2}, {4, 3}, {3, 4}, {2, 5}};

}  // namespace

TEST(wino_lines) {
  for_each_isa([&](const Table& t, const char* isa) {
    const int64_t lanes = t.wino_lanes;
    for (int64_t channels : {int64_t(0), int64_t(1), lanes / 2, lanes - 1, lanes}) {
      for (int64_t n : {0, 1, 3, 7, 8, 15, 16, 17, 33}) {
        for (int64_t low : {0, 2}) {
          const int64_t rows = 3, high = 1, cols = low + n + high, x_row = n + 2, x_channel = rows * x_row;
          // Exactly what is read.
          std::vector<float> x(channels && n ? (channels - 1) * x_channel + (rows - 1) * x_row + n : 0);
          fill(x);
          Guarded<float> y(rows * cols * lanes), back(channels * x_channel);
          fill(back);
          const std::vector<float> before(back.data(), back.data() + back.size());
          t.wino_frame_f32(channels, rows, low, n, high, x.data(), x_channel, x_row, y.data(), cols * lanes);
          for (int64_t i = 0; i < y.size(); ++i) {
            const int64_t c = i % lanes, col = i / lanes % cols, row = i / lanes / cols;
            const bool inside = c < channels && col >= low && col < low + n;
            const float want = inside ? x[c * x_channel + row * x_row + col - low] : 0;
            CHECK(y[i] == want, isa, " frame ", channels, " channels, ", n, " pixels, at ", i);
          }
          t.wino_unframe_f32(channels, rows, n, y.data() + low * lanes, cols * lanes, back.data(), x_channel,
                             x_row);
          for (int64_t i = 0; i < back.size(); ++i) {
            const float want = i % x_row < n ? x[i] : before[i];
            CHECK(back[i] == want, isa, " unframe ", channels, " channels, ", n, " pixels, at ", i);
          }
          CHECK(y.intact() && back.intact(), isa, " wrote outside");
        }
      }
    }
  });
  covered().insert({"wino_frame_f32", "wino_unframe_f32"});
}

TEST(wino_transforms) {
  for_each_isa([&](const Table& t, const char* isa) {
    const Lanes lanes(t);
    const int64_t n = lanes.n, each = lanes.each;
    for (const auto [size, k] : kKinds) {
      const int64_t side = size + k - 1, positions = side * side, all = k * k;
      for (int64_t tiles : {0, 1, 2, 7, 8, 9, 17}) {
        for (const int64_t apart : {1, 2}) {  // pixels of a remainder modulo 2 too
          const int64_t cols = (tiles * size + k - 1) * apart, step = tiles * n + 16;
          std::vector<float> x(side * cols * n), m(positions * step), bias(n);
          fill(x), fill(m), fill(bias);
          Guarded<float> v(positions * step), g(positions * step), y(size * (cols + 1) * n),
              taps(tiles * all * n);
          fill(v), g = v, fill(y);
          t.wino_input_f32(size, k, tiles, x.data(), cols * n, apart * n, v.data(), step, n);
          t.wino_grad_f32(size, k, tiles, x.data(), cols * n, g.data(), step, n);
          const bool finite = t.wino_output_f32(size, k, tiles, m.data(), step, n, bias.data(), y.data(),
                                                cols * n, apart * n);
          const bool whole = t.wino_weight_f32(size, k, tiles, m.data(), step, n, taps.data());
          CHECK(finite && whole, isa, " says that a finite value is not");
          for (int64_t first = 0; first < n; first += each) {
            const auto some = lanes.part(x.data(), side * cols, first);
            const auto products = lanes.part(m.data(), positions * step / n, first);
            const int64_t step0 = step / n * each;
            std::vector<float> v0(positions * step0), g0 = v0, y0(size * (cols + 1) * each),
                                                      taps0(tiles * all * each);
            truth().wino_input_f32(size, k, tiles, some.data(), cols * each, apart * each, v0.data(), step0,
                                   each);
            truth().wino_grad_f32(size, k, tiles, some.data(), cols * each, g0.data(), step0, each);
            truth().wino_output_f32(size, k, tiles, products.data(), step0, each, bias.data() + first,
                                    y0.data(), cols * each, apart * each);
            truth().wino_weight_f32(size, k, tiles, products.data(), step0, each, taps0.data());
            const auto compare = [&](const char* what, Guarded<float>& got, int64_t rows, int64_t row,
                                     int64_t used, const std::vector<float>& want, int64_t between = 1) {
              for (int64_t i = 0; i < rows * used * each; ++i) {
                const int64_t r = i / (used * each), pixel = r * (row / n) + i / each % used * between,
                              lane = i % each;
                CHECK(close(got[pixel * n + first + lane], want[pixel * each + lane], kEps, kEps * 10), isa,
                      " ", what, " of F(", size, ", ", k, "), ", tiles, " tiles");
              }
            };
            compare("input", v, positions, step, tiles, v0), compare("grad", g, positions, step, tiles, g0);
            compare("output", y, size, cols * n, tiles * size, y0, apart),
                compare("weight", taps, 1, n, tiles * all, taps0);
          }
          CHECK(v.intact() && g.intact() && y.intact() && taps.intact(), isa, " wrote outside");
          if (tiles == 0) continue;
          for (const float bad : {INFINITY, -INFINITY, NAN}) {
            m[positions / 2 * step + n / 2] = bad;
            CHECK(
                !t.wino_output_f32(size, k, tiles, m.data(), step, n, nullptr, y.data(), cols * n, apart * n),
                isa, " misses ", bad);
            CHECK(!t.wino_weight_f32(size, k, tiles, m.data(), step, n, taps.data()), isa, " misses ", bad);
          }
        }
      }
      // Panels have different widths, so the definition stands in for the reference, which is tested too.
      for (const Table* table : {&t, &truth()}) {
        const int64_t nr = table->wino_nr, kc = 5, step = kc * nr + 16;
        std::vector<float> g(kc * all * nr), one(all * truth().wino_nr);
        fill(g);
        for (const bool flip : {false, true}) {
          Guarded<float> u(positions * step);
          table->wino_filter_f32(size, k, kc, g.data(), flip, u.data(), step);
          for (int64_t i = 0; i < kc * nr; ++i) {
            for (int64_t tap = 0; tap < all; ++tap) {
              one[(flip ? all - 1 - tap : tap) * truth().wino_nr] = g[(i / nr * all + tap) * nr + i % nr];
            }
            std::vector<float> want(positions * truth().wino_nr);
            truth().wino_filter_f32(size, k, 1, one.data(), false, want.data(), truth().wino_nr);
            for (int64_t p = 0; p < positions; ++p) {
              CHECK(close(u[p * step + i], want[p * truth().wino_nr], kEps, kEps), isa, " filter ", i);
            }
          }
          CHECK(u.intact(), isa, " wrote outside");
        }
      }
    }
  });
  covered().insert(
      {"wino_input_f32", "wino_grad_f32", "wino_output_f32", "wino_weight_f32", "wino_filter_f32"});
}

// A kernel, computed and turned back, is what it was: the transforms belong together.
TEST(wino_identity) {
  const Table& t = truth();
  for (const auto [size, k] : kKinds) {
    const int64_t side = size + k - 1, lanes = t.wino_lanes, nr = t.wino_nr;
    std::vector<float> x(side * side * lanes), g(k * k * nr), v(side * side * lanes), u(side * side * nr),
        y(size * size * lanes);
    fill(x), fill(g);
    t.wino_input_f32(size, k, 1, x.data(), side * lanes, lanes, v.data(), lanes, lanes);
    t.wino_filter_f32(size, k, 1, g.data(), false, u.data(), nr);
    for (int64_t i = 0; i < side * side * lanes; ++i) v[i] *= u[i / lanes * nr];
    t.wino_output_f32(size, k, 1, v.data(), lanes, lanes, nullptr, y.data(), size * lanes, lanes);
    for (int64_t i = 0; i < size * size * lanes; ++i) {
      double want = 0;
      for (int64_t tap = 0; tap < k * k; ++tap) {
        const int64_t row = i / lanes / size + tap / k, col = i / lanes % size + tap % k;
        want += double(x[(row * side + col) * lanes + i % lanes]) * g[tap * nr];
      }
      CHECK(close(double(y[i]), want, kEps, kEps), "F(", size, ", ", k, ") at ", i);
    }
  }
}

TEST(wino_products) {
  for_each_isa([&](const Table& t, const char* isa) {
    const int64_t lanes = t.wino_lanes, mr = t.wino_mr, nr = t.wino_nr;
    for (int64_t kc : {int64_t(0), int64_t(1), lanes - 1, lanes, 2 * lanes + 3}) {
      for (const bool accumulate : {false, true}) {
        for (int64_t m = 0; m <= mr; ++m) {
          for (int64_t n : {int64_t(1), lanes, lanes + 1, nr}) {
            const int64_t blocks = (kc + lanes - 1) / lanes, ldc = nr + 5;
            std::vector<float> a((blocks * m + mr) * lanes), b(kc * nr);
            fill(a), fill(b);
            Guarded<float> c(m * ldc);
            fill(c);
            const std::vector<float> before(c.data(), c.data() + c.size());
            t.wino_tile_f32(kc, a.data(), b.data(), c.data(), ldc, m, n, accumulate);
            for (int64_t i = 0; i < m * ldc; ++i) {
              const int64_t row = i / ldc, col = i % ldc;
              double want = accumulate ? before[i] : 0;
              for (int64_t k = 0; k < kc && col < nr; ++k) {
                want += double(a[(k / lanes * m + row) * lanes + k % lanes]) * b[k * nr + col];
              }
              if (col < n) CHECK(close(double(c[i]), want, kEps, kEps * 10), isa, " tile ", m, "x", n);
              if (col >= nr) CHECK(c[i] == before[i], isa, " tile ", m, "x", n, " writes past its columns");
            }
            CHECK(c.intact(), isa, " wrote outside");
          }
        }
        for (int64_t vectors = 0; vectors <= 7; ++vectors) {
          const int64_t b_vec = kc * lanes + 3, ldc = vectors * lanes + 5;
          std::vector<float> a(kc * lanes), b(vectors * b_vec);
          fill(a), fill(b);
          Guarded<float> c(lanes * ldc);
          fill(c);
          const std::vector<float> before(c.data(), c.data() + c.size());
          t.wino_outer_f32(kc, a.data(), b.data(), b_vec, vectors, c.data(), ldc, accumulate);
          for (int64_t i = 0; i < lanes * ldc; ++i) {
            const int64_t row = i / ldc, col = i % ldc;
            double want = accumulate || col >= vectors * lanes ? before[i] : 0;
            for (int64_t k = 0; k < kc && col < vectors * lanes; ++k) {
              want += double(a[k * lanes + row]) * b[col / lanes * b_vec + k * lanes + col % lanes];
            }
            CHECK(close(double(c[i]), want, kEps, kEps * 10), isa, " outer ", vectors);
          }
          CHECK(c.intact(), isa, " wrote outside");
        }
      }
    }
  });
  covered().insert({"wino_tile_f32", "wino_outer_f32"});
}

namespace {

// A kernel of `taps` squared.
ConvShape square(int64_t taps, int64_t batch, int64_t ci, int64_t co, int64_t h, int64_t w, int64_t padding,
                 int64_t groups = 1) {
  return {batch,
          ci,
          co,
          groups,
          {1, h, w},
          {1, taps, taps},
          {1, h + 2 * padding - taps + 1, w + 2 * padding - taps + 1},
          {1, 1, 1},
          {0, padding, padding},
          {1, 1, 1}};
}
ConvShape conv3x3(int64_t batch, int64_t ci, int64_t co, int64_t h, int64_t w, int64_t padding) {
  return square(3, batch, ci, co, h, w, padding);
}

void check_winograd(const ConvShape& s, int64_t size) {
  const int64_t nx = s.batch * s.in_channels * s.in_pixels(), ny = s.batch * s.out_channels * s.out_pixels();
  const int64_t nw = s.out_channels * s.in_group() * s.taps();
  std::vector<double> x(nx), w(nw), g(ny), b(s.out_channels), y(ny), gx(nx), gw(nw);
  fill(x), fill(w), fill(g), fill(b);
  std::vector<float> xf(x.begin(), x.end()), wf(w.begin(), w.end()), gf(g.begin(), g.end()),
      bf(b.begin(), b.end());
  x.assign(xf.begin(), xf.end()), w.assign(wf.begin(), wf.end()), g.assign(gf.begin(), gf.end());
  b.assign(bf.begin(), bf.end());
  const auto input = [&s](const double* v) {
    return ConvImages{v, nnlib::Dtype::Float64, false, s.in_channels, s.in_pixels()};
  };
  const auto output = [&s](const double* v) {
    return ConvImages{v, nnlib::Dtype::Float64, false, s.out_channels, s.out_pixels()};
  };
  const ConvWeights<double> weights{w.data(), s.in_group() * s.taps(), s.taps(), 1};
  conv_forward<double>(s, input(x.data()), weights, b.data(), output(y.data()));
  conv_input_grad<double>(s, output(g.data()), weights, nullptr, input(gx.data()));
  conv_weight_grad<double>(s, input(x.data()), output(g.data()), gw.data());
  std::vector<float> first;
  for (int threads : {1, 2, 3}) {
    nnlib::set_num_threads(threads);
    Guarded<float> yf(ny), gxf(nx), gwf(nw);
    CHECK(detail::winograd_forward(s, size, xf.data(), wf.data(), bf.data(), yf.data()), "forward gives up");
    CHECK(detail::winograd_input_grad(s, size, gf.data(), wf.data(), nullptr, gxf.data()),
          "input_grad gives up");
    CHECK(detail::winograd_weight_grad(s, size, xf.data(), gf.data(), gwf.data()), "weight_grad gives up");
    std::vector<float> all;
    const auto compare = [&](const char* what, Guarded<float>& got, const std::vector<double>& want) {
      double error = 0, norm = 0;
      for (int64_t i = 0; i < got.size(); ++i) {
        error += (got[i] - want[i]) * (got[i] - want[i]), norm += want[i] * want[i];
        all.push_back(got[i]);
      }
      CHECK(error <= norm * 4e-6 * 4e-6, what, " of F(", size, ", ", s.kernel[1], "), ", s.in_channels,
            " to ", s.out_channels, " channels, ", s.in[1], "x", s.in[2], ": ", std::sqrt(error / norm));
      CHECK(got.intact(), what, " wrote outside");
    };
    compare("y", yf, y), compare("gx", gxf, gx), compare("gw", gwf, gw);
    if (threads == 1) first = all;
    CHECK(first == all, "bits differ on ", threads, " threads");
  }
}

}  // namespace

TEST(wino_drivers) {
  for (const auto [size, k] : kKinds) {
    check_winograd(square(k, 2, 3, 5, 9, 11, 1), size);
    check_winograd(square(k, 1, 8, 8, 4, 4, k - 1), size);
    check_winograd(square(k, 3, 16, 24, 7, 7, 1), size);
    check_winograd(square(k, 2, 17, 33, 17, 23, 1), size);
    check_winograd(square(k, 1, 5, 7, 6, 150, 2), size);      // more tiles in a row than a part has
    check_winograd(square(k, 2, 12, 20, 8, 8, 1, 2), size);   // groups
    check_winograd(square(k, 1, 96, 72, 7, 7, 1, 24), size);  // shared among the threads
    check_winograd(square(k, 4, 20, 16, 28, 28, 0), size);    // blocks of tiles
    check_winograd(square(k, 2, 300, 40, 9, 9, 1), size);     // several depths
    check_winograd(square(k, 1, 4, 4, 3, 3, k), size);        // more padding than a kernel reaches
    // Stages for several blocks, of images and of gradients.
    check_winograd(square(k, 2, 150, 24, 40, 40, 1), size);
    check_winograd(square(k, 2, 24, 150, 40, 40, 1), size);
  }
}

TEST(wino_choice) {
  const ConvShape large = conv3x3(8, 64, 64, 56, 56, 1), few = conv3x3(8, 3, 64, 56, 56, 1);
  CHECK(choose_conv(large).algorithm == ConvAlgorithm::Winograd, "64 channels");
  CHECK(choose_conv(few).algorithm == ConvAlgorithm::ImplicitGemm, "3 channels");
  CHECK(detail::winograd_size(conv3x3(8, 256, 256, 2, 2, 1)) != 4, "2x2 pixels in tiles of 4x4");
  CHECK(detail::winograd_size(square(5, 8, 32, 64, 28, 28, 2)) == 2, "5x5");
  CHECK(detail::winograd_size(square(7, 8, 32, 64, 28, 28, 3)) == 0, "7x7 of stride 1");
  CHECK(detail::winograd_size(square(1, 8, 32, 64, 28, 28, 0)) == 0, "1x1");
  ConvShape first{4, 3, 64, 1, {1, 224, 224}, {1, 7, 7}, {1, 112, 112}, {1, 2, 2}, {0, 3, 3}, {1, 1, 1}};
  CHECK(detail::winograd_size(first) == 3, "7x7 of stride 2");
  ConvShape strided{4, 64, 64, 1, {1, 56, 56}, {1, 5, 5}, {1, 28, 28}, {1, 2, 2}, {0, 2, 2}, {1, 1, 1}};
  CHECK(detail::winograd_size(strided) == 4 && detail::winograd_input_grad_size(strided) == 4 &&
            detail::winograd_weight_grad_size(strided, true) == 4,
        "5x5 of stride 2");
  first.dilation[1] = 2;
  CHECK(detail::winograd_size(first) == 0 && detail::winograd_input_grad_size(first) == 0 &&
            detail::winograd_weight_grad_size(first) == 0,
        "a stride and a dilation in one dimension");
  set_winograd(false);
  CHECK(choose_conv(large).algorithm == ConvAlgorithm::ImplicitGemm, "switched off");
  set_winograd(true);
}
