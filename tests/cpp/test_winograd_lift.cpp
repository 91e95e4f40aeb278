// Convolutions with strides, dilations or three dimensions by Winograd's algorithm, against the definition.
#include "core/parallel.h"
#include "harness.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/conv_winograd_lift.h"

using namespace harness;
using namespace nnlib::drivers;
using nnlib::BFloat16;
using nnlib::Dtype;
using nnlib::Half;

namespace {

// Of an axis.
struct Axis {
  int64_t in, kernel, stride, padding, dilation;
  int64_t out() const { return (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1; }
};

ConvShape shape(int64_t batch, int64_t ci, int64_t co, int64_t groups, const Axis& z, const Axis& y,
                const Axis& x) {
  return {batch,
          ci,
          co,
          groups,
          {z.in, y.in, x.in},
          {z.kernel, y.kernel, x.kernel},
          {z.out(), y.out(), x.out()},
          {z.stride, y.stride, x.stride},
          {z.padding, y.padding, x.padding},
          {z.dilation, y.dilation, x.dilation}};
}

constexpr Axis kFlat = {1, 1, 1, 0, 1};

// Floats in order N, C, pixel as images of some type and layout.
struct Images {
  Images(const Images&) = delete;
  Images(int64_t n, int64_t channels, int64_t pixels, Dtype dtype, bool last)
      : count(n * channels * pixels),
        view{nullptr, dtype, last, channels, pixels},
        floats(count),
        words(count) {
    view.data = dtype == Dtype::Float32 ? static_cast<void*>(floats.data()) : words.data();
  }
  int64_t at(int64_t i) const {
    const int64_t image = i / (view.channels * view.pixels), c = i / view.pixels % view.channels,
                  p = i % view.pixels;
    return view.channels_last ? (image * view.pixels + p) * view.channels + c : i;
  }
  void set(int64_t i, float v) {
    floats[at(i)] = v;
    words[at(i)] = BFloat16(v).bits;
  }
  float get(int64_t i) {
    if (view.dtype == Dtype::Float32) return floats[at(i)];
    BFloat16 v;
    v.bits = words[at(i)];
    return float(v);
  }
  bool intact() const { return floats.intact() && words.intact(); }
  int64_t count;
  ConvImages view;
  Guarded<float> floats;
  Guarded<uint16_t> words;
};

void check(const ConvShape& s, int64_t size) {
  CHECK(detail::Lift::possible(s), "can be lifted");
  const int64_t nx = s.batch * s.in_channels * s.in_pixels(), ny = s.batch * s.out_channels * s.out_pixels();
  const int64_t k = s.in_group() * s.taps(), nw = s.out_channels * k;
  std::vector<float> xf(nx), wf(nw), gf(ny), bf(s.out_channels), bxf(s.in_channels);
  fill(xf), fill(wf), fill(gf), fill(bf), fill(bxf);
  for (float& v : xf) v = float(BFloat16(v));
  for (float& v : gf) v = float(BFloat16(v));
  const std::vector<double> x(xf.begin(), xf.end()), w(wf.begin(), wf.end()), g(gf.begin(), gf.end()),
      b(bf.begin(), bf.end()), bx(bxf.begin(), bxf.end());
  std::vector<double> y(ny), gx(nx), gw(nw);
  const auto input = [&s](const double* v) {
    return ConvImages{v, Dtype::Float64, false, s.in_channels, s.in_pixels()};
  };
  const auto output = [&s](const double* v) {
    return ConvImages{v, Dtype::Float64, false, s.out_channels, s.out_pixels()};
  };
  const ConvWeights<double> weights{w.data(), k, s.taps(), 1};
  conv_forward<double>(s, input(x.data()), weights, b.data(), output(y.data()));
  conv_input_grad<double>(s, output(g.data()), weights, bx.data(), input(gx.data()));
  conv_weight_grad<double>(s, input(x.data()), output(g.data()), gw.data());
  for (const Dtype dtype : {Dtype::Float32, Dtype::BFloat16}) {
    for (const bool last : {false, true}) {
      std::vector<float> first;
      for (const int threads : {1, 3}) {
        nnlib::set_num_threads(threads);
        Images in(s.batch, s.in_channels, s.in_pixels(), dtype, last),
            back(s.batch, s.in_channels, s.in_pixels(), dtype, last);
        Images grad(s.batch, s.out_channels, s.out_pixels(), dtype, last),
            out(s.batch, s.out_channels, s.out_pixels(), dtype, last);
        for (int64_t i = 0; i < nx; ++i) in.set(i, xf[i]);
        for (int64_t i = 0; i < ny; ++i) grad.set(i, gf[i]);
        Guarded<float> sums(nw);
        const ConvWeights<float> kernels{wf.data(), k, s.taps(), 1};
        CHECK(detail::winograd_images_forward(s, size, in.view, kernels, bf.data(), out.view), "forward");
        CHECK(detail::winograd_images_input_grad(s, size, grad.view, kernels, bxf.data(), back.view),
              "input");
        CHECK(detail::winograd_images_weight_grad(s, size, in.view, grad.view, sums.data()), "weight");
        std::vector<float> all;
        const auto compare = [&](const char* what, auto get, const std::vector<double>& want, double most) {
          double error = 0, norm = 0;
          for (size_t i = 0; i < want.size(); ++i) {
            const float got = get(int64_t(i));
            error += (got - want[i]) * (got - want[i]), norm += want[i] * want[i];
            all.push_back(got);
          }
          CHECK(error <= norm * most * most, what, last ? " last" : "", " kernel ", s.kernel[1], "x",
                s.kernel[2], " stride ", s.stride[1], ": ", std::sqrt(error / norm));
        };
        const double most = dtype == Dtype::Float32 ? 4e-6 : 4e-3;
        compare("y", [&](int64_t i) { return out.get(i); }, y, most);
        compare("gx", [&](int64_t i) { return back.get(i); }, gx, most);
        compare("gw", [&](int64_t i) { return sums[i]; }, gw, 4e-6);
        CHECK(in.intact() && grad.intact() && out.intact() && back.intact() && sums.intact(),
              "wrote outside");
        if (threads == 1) first = all;
        CHECK(first == all, "bits differ between threads");
      }
    }
  }
}

}  // namespace

TEST(wino_lift) {
  check(shape(2, 3, 10, 1, kFlat, {23, 7, 2, 3, 1}, {26, 7, 2, 3, 1}), 3);
  check(shape(1, 3, 9, 1, kFlat, {40, 11, 4, 2, 1}, {37, 11, 4, 2, 1}), 4);
  check(shape(2, 5, 6, 1, kFlat, {11, 3, 2, 1, 1}, {18, 4, 2, 0, 1}), 5);
  check(shape(2, 18, 20, 1, kFlat, {13, 5, 3, 0, 1}, {12, 4, 3, 2, 1}),
        5);  // pixels that no tap sees at the end
  check(shape(2, 4, 6, 2, kFlat, {14, 6, 2, 2, 1}, {14, 6, 2, 2, 1}), 4);
  check(shape(2, 9, 17, 1, kFlat, {15, 3, 1, 2, 2}, {14, 3, 1, 2, 2}), 4);
  check(shape(1, 4, 4, 1, kFlat, {9, 3, 1, 6, 6}, {8, 3, 1, 6, 6}), 2);  // remainders without a pixel inside
  check(shape(2, 4, 8, 2, kFlat, {15, 3, 1, 3, 3}, {16, 3, 1, 3, 3}), 4);
  check(shape(1, 6, 5, 1, kFlat, {17, 5, 2, 2, 1}, {15, 3, 1, 2, 2}), 4);  // a stride and a dilation
  check(shape(2, 6, 7, 1, kFlat, {12, 3, 1, 1, 1}, {13, 5, 1, 2, 1}), 2);  // not square
  check(shape(2, 17, 9, 1, {5, 3, 1, 1, 1}, {9, 3, 1, 1, 1}, {10, 3, 1, 1, 1}), 4);
  check(shape(2, 4, 6, 2, {6, 3, 2, 1, 1}, {9, 3, 2, 1, 1}, {10, 3, 2, 1, 1}), 5);
  check(shape(1, 3, 4, 1, {9, 3, 1, 2, 2}, {8, 3, 1, 2, 2}, {7, 3, 1, 2, 2}), 4);
  check(shape(1, 3, 4, 1, {7, 1, 2, 0, 1}, {8, 3, 1, 1, 1}, {7, 3, 1, 1, 1}), 4);  // planes that no tap sees
  check(shape(2, 3, 4, 1, {2, 1, 1, 1, 1}, {8, 3, 1, 1, 1}, {7, 3, 1, 1, 1}), 4);  // planes that see nothing
  check(shape(2, 2, 4, 1, {3, 5, 1, 2, 1}, {8, 4, 1, 1, 1}, {9, 4, 1, 1, 1}), 3);
  // Remainders read where they lie: of channels that fill lanes.
  check(shape(2, 16, 10, 1, kFlat, {23, 3, 2, 1, 1}, {26, 3, 2, 1, 1}), 5);
  check(shape(1, 14, 33, 1, kFlat, {15, 7, 2, 3, 1}, {14, 7, 2, 3, 1}), 3);
  check(shape(2, 24, 24, 2, kFlat, {12, 4, 2, 1, 1}, {13, 4, 2, 1, 1}), 5);
  check(shape(2, 8, 17, 1, kFlat, {19, 5, 3, 4, 1}, {17, 5, 3, 0, 1}), 5);
  check(shape(2, 16, 8, 1, kFlat, {19, 7, 3, 1, 1}, {29, 9, 3, 4, 1}), 4);
  check(shape(2, 16, 8, 1, kFlat, {19, 5, 2, 2, 1}, {18, 5, 2, 2, 1}), 2);     // tiles of 4 x 4
  check(shape(2, 8, 8, 1, kFlat, {14, 3, 1, 1, 1}, {15, 5, 2, 2, 1}), 4);      // a stride across alone
  check(shape(1, 150, 40, 1, kFlat, {9, 3, 2, 1, 1}, {9, 3, 2, 1, 1}), 5);     // several chunks
  check(shape(2, 152, 150, 1, kFlat, {72, 3, 2, 0, 1}, {71, 3, 2, 5, 1}), 5);  // stages for several blocks
  check(shape(2, 16, 16, 1, kFlat, {57, 3, 2, 1, 1}, {58, 3, 2, 1, 1}), 5);    // blocks of tiles
  check(shape(3, 2, 2, 1, kFlat, {1027, 4, 2, 1, 1}, {1024, 4, 2, 1, 1}), 5);  // one image at once
}

TEST(wino_lift_not_finite) {
  const ConvShape s = shape(1, 2, 2, 1, kFlat, {12, 6, 2, 2, 1}, {12, 6, 2, 2, 1});
  Images in(1, 2, 144, Dtype::Float32, false), out(1, 2, 36, Dtype::Float32, false);
  std::vector<float> w(2 * 2 * 36, 1.f);
  in.set(77, INFINITY);
  const ConvWeights<float> weights{w.data(), 72, 36, 1};
  CHECK(!detail::winograd_images_forward(s, 4, in.view, weights, nullptr, out.view), "an infinity");
}
