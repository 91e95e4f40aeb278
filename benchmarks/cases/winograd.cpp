// Winograd's transforms of a row of F(4x4, 3x3) tiles, and the products between them.
#include "cases/cases.h"

namespace nnlib::benchmarks {

namespace {

constexpr int64_t kSize = 4, kTaps = 3, kTiles = 7, kPositions = (kSize + 2) * (kSize + 2),
                  kOut = kTiles * kSize, kIn = kOut + 2;
constexpr double kFloat = sizeof(float);

void add_transforms(Cases& cases) {
  const Table& t = cases.t;
  const int64_t lanes = t.wino_lanes, row = kIn * lanes, step = kTiles * lanes;
  const double tiles = kFloat * double(kPositions * step), out = kFloat * double(kSize * kOut * lanes);
  const double in = kFloat * double((kSize + 2) * row);
  cases.add("wino_input_f32", "7 tiles", {0, in + tiles}, [=, &t] {
    t.wino_input_f32(kSize, kTaps, kTiles, input(0), row, lanes, output(0), step, lanes);
  });
  cases.add("wino_grad_f32", "7 tiles", {0, out + tiles},
            [=, &t] { t.wino_grad_f32(kSize, kTaps, kTiles, input(0), row, output(0), step, lanes); });
  cases.add("wino_output_f32", "7 tiles", {0, out + tiles}, [=, &t] {
    (void)t.wino_output_f32(kSize, kTaps, kTiles, input(0), step, lanes, nullptr, output(0), row, lanes);
  });
  cases.add("wino_weight_f32", "7 kernels", {0, tiles + kFloat * double(9 * step)},
            [=, &t] { (void)t.wino_weight_f32(kSize, kTaps, kTiles, input(0), step, lanes, output(0)); });
  const int64_t kc = 4, nr = t.wino_nr;
  cases.add("wino_filter_f32", "4 channels", {0, kFloat * double((9 + kPositions) * kc * nr)},
            [=, &t] { t.wino_filter_f32(kSize, kTaps, kc, input(0), false, output(0), kc * nr); });
}

void add_lines(Cases& cases) {
  const Table& t = cases.t;
  const int64_t lanes = t.wino_lanes, rows = 4, n = kOut, plane = rows * n, line = (n + 2) * lanes;
  const double bytes = 2 * kFloat * double(lanes * plane);
  cases.add("wino_frame_f32", "4 rows of 28", {0, bytes},
            [=, &t] { t.wino_frame_f32(lanes, rows, 1, n, 1, input(0), plane, n, output(0), line); });
  cases.add("wino_unframe_f32", "4 rows of 28", {0, bytes},
            [=, &t] { t.wino_unframe_f32(lanes, rows, n, input(0), line, output(0), plane, n); });
}

void add_products(Cases& cases) {
  const Table& t = cases.t;
  const int64_t kc = 64, lanes = t.wino_lanes, vectors = 3;
  cases.add("wino_tile_f32", "64 channels", {2.0 * double(kc * t.wino_mr * t.wino_nr), 0}, [=, &t] {
    t.wino_tile_f32(kc, input(0), input(1), output(0), t.wino_nr, t.wino_mr, t.wino_nr, false);
  });
  cases.add("wino_outer_f32", "64 tiles", {2.0 * double(kc * lanes * vectors * lanes), 0}, [=, &t] {
    t.wino_outer_f32(kc, input(0), input(1), kc * lanes, vectors, output(0), vectors * lanes, false);
  });
}

}  // namespace

void add_winograd(Cases& cases) {
  add_transforms(cases);
  add_lines(cases);
  add_products(cases);
}

}  // namespace nnlib::benchmarks
