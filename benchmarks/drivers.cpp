// The drivers around the kernels, on one thread and on two, with the instruction set in use.
#include "core/parallel.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/embedding.h"
#include "ops/drivers/gemm.h"
#include "report.h"

namespace nnlib::benchmarks {

using namespace nnlib::drivers;

namespace {

template <class F>
void on_threads(const std::string& name, F run) {
  for (int threads : {1, 2}) {
    benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(),
                                 [run, threads](benchmark::State& state) {
                                   set_num_threads(threads);
                                   run(state, threads);
                                 })
        ->UseRealTime();
  }
}

std::vector<float> values(int64_t n) {
  std::vector<float> x(size_t(std::max<int64_t>(n, 1)));
  uint32_t state = 1;
  for (float& v : x) v = float((state = state * 1664525u + 1013904223u) >> 8) / float(1 << 24) - 0.5f;
  return x;
}

template <class F>
void report_flops(benchmark::State& state, double flops, int threads, F f) {
  report(state, {flops, 0}, limits(kernels::table()), threads, f);
}

void register_gemm() {
  const int64_t shapes[][4] = {{1024, 1024, 1024, 0}, {1024, 1024, 1024, 1}, {256, 256, 256, 0},
                               {64, 64, 64, 0},       {64, 1024, 1024, 1},   {8, 1024, 1024, 1},
                               {1, 1024, 1024, 1}};
  for (const auto& s : shapes) {
    const int64_t m = s[0], n = s[1], k = s[2];
    const bool turned = s[3];
    const std::string name =
        "gemm_f32/" + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
    on_threads(name + (turned ? "/BT" : ""), [=](benchmark::State& state, int threads) {
      const std::vector<float> a = values(m * k), b = values(k * n);
      std::vector<float> c(size_t(m * n));
      const Strided<float> right = turned ? Strided<float>{b.data(), 1, k} : Strided<float>{b.data(), n, 1};
      report_flops(state, 2.0 * double(m * n * k), threads,
                   [&] { gemm<float>(m, n, k, 1, {a.data(), k, 1}, right, 0, c.data(), n); });
    });
  }
}

void register_conv() {
  struct Named {
    const char* name;
    ConvShape shape;
  };
  const Named convs[] = {
      {"3x3/64x56x56", {16, 64, 64, 1, {1, 56, 56}, {1, 3, 3}, {1, 56, 56}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}}},
      {"1x1/256x56x56",
       {8, 256, 64, 1, {1, 56, 56}, {1, 1, 1}, {1, 56, 56}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}}},
      {"7x7s2/3x224x224",
       {4, 3, 64, 1, {1, 224, 224}, {1, 7, 7}, {1, 112, 112}, {1, 2, 2}, {0, 3, 3}, {1, 1, 1}}},
      {"3x3/512x7x7", {16, 512, 512, 1, {1, 7, 7}, {1, 3, 3}, {1, 7, 7}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}}},
      {"3x3/32x8x8", {64, 32, 64, 1, {1, 8, 8}, {1, 3, 3}, {1, 8, 8}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}}},
      {"depthwise/128x56x56",
       {8, 128, 128, 128, {1, 56, 56}, {1, 3, 3}, {1, 56, 56}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}}},
  };
  for (const Named& c : convs) {
    const ConvShape s = c.shape;
    const int64_t nx = s.batch * s.in_channels * s.in_pixels(),
                  ny = s.batch * s.out_channels * s.out_pixels();
    const int64_t nw = s.out_channels * s.in_group() * s.taps();
    const double flops = 2.0 * double(ny * s.in_group() * s.taps());
    const std::string name = std::string("/") + c.name;
    const auto input = [s](const float* x) {
      return ConvImages{x, Dtype::Float32, false, s.in_channels, s.in_pixels()};
    };
    const auto output = [s](const float* y) {
      return ConvImages{y, Dtype::Float32, false, s.out_channels, s.out_pixels()};
    };
    const auto weights = [s](const float* w) {
      return ConvWeights<float>{w, s.in_group() * s.taps(), s.taps(), 1};
    };
    on_threads("conv_forward" + name, [=](benchmark::State& state, int threads) {
      const std::vector<float> x = values(nx), w = values(nw), bias = values(s.out_channels);
      std::vector<float> y(static_cast<size_t>(ny));
      report_flops(state, flops, threads, [&] {
        conv_forward<float>(s, input(x.data()), weights(w.data()), bias.data(), output(y.data()));
      });
    });
    on_threads("conv_input_grad" + name, [=](benchmark::State& state, int threads) {
      const std::vector<float> g = values(ny), w = values(nw);
      std::vector<float> gx(static_cast<size_t>(nx));
      report_flops(state, flops, threads, [&] {
        conv_input_grad<float>(s, output(g.data()), weights(w.data()), nullptr, input(gx.data()));
      });
    });
    on_threads("conv_weight_grad" + name, [=](benchmark::State& state, int threads) {
      const std::vector<float> x = values(nx), g = values(ny);
      std::vector<float> gw(static_cast<size_t>(nw));
      report_flops(state, flops, threads,
                   [&] { conv_weight_grad<float>(s, input(x.data()), output(g.data()), gw.data()); });
    });
  }
}

void register_embedding() {
  const int64_t d = 512, table = 10000, looked_up = 8192;
  on_threads("embedding_gradient", [=](benchmark::State& state, int) {
    const std::vector<float> g = values(looked_up * d);
    std::vector<float> gw(size_t(table * d));
    std::vector<int64_t> indices(static_cast<size_t>(looked_up));
    for (int64_t i = 0; i < looked_up; ++i) indices[size_t(i)] = i * 7919 % table;
    for (auto _ : state) {
      const Groups groups = group_by_index(looked_up, indices.data(), -1);
      scatter_add_rows<float>(groups, table, d, g.data(), nullptr, gw.data());
    }
    state.SetBytesProcessed(4 * state.iterations() * (looked_up + table) * d);
  });
}

}  // namespace

void register_drivers() {
  register_gemm();
  register_conv();
  register_embedding();
}

}  // namespace nnlib::benchmarks
