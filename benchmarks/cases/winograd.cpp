// The kernels of Winograd's convolution, on a row of tiles of 4x4 pixels.
#include "cases/cases.h"

namespace nnlib::benchmarks {

void add_winograd(Cases& cases) {
  const Table& t = cases.t;
  constexpr int64_t kTiles = 8, kPixels = 4 * kTiles, kDepth = 64, kSize = 4, kPositions = 36;
  const int64_t lanes = t.wino_lanes, line = (kPixels + 2) * lanes, step = kTiles * lanes + 16;
  const double pixels = double(kPixels * lanes), products = double(kPositions * kTiles * lanes);
  cases.add("wino_frame_f32", "6x32", {0, 8 * 6 * pixels},
            [=, &t] { t.wino_frame_f32(lanes, 6, 1, kPixels, 1, input(0), 1000, kPixels, output(0), line); });
  cases.add("wino_unframe_f32", "4x32", {0, 8 * 4 * pixels},
            [=, &t] { t.wino_unframe_f32(lanes, 4, kPixels, input(0), line, output(0), 1000, kPixels); });
  cases.add("wino_input_f32", "8 tiles", {0, 4 * (6 * pixels + products)},
            [=, &t] { t.wino_input_f32(kSize, kTiles, input(0), line, output(0), step, lanes); });
  cases.add("wino_grad_f32", "8 tiles", {0, 4 * (4 * pixels + products)},
            [=, &t] { t.wino_grad_f32(kSize, kTiles, input(0), line, output(0), step, lanes); });
  cases.add("wino_output_f32", "8 tiles", {0, 4 * (4 * pixels + products)},
            [=, &t] { t.wino_output_f32(kSize, kTiles, input(0), step, lanes, nullptr, output(0), line); });
  cases.add("wino_weight_f32", "8 kernels", {0, 4 * (9 * double(kTiles * lanes) + products)},
            [=, &t] { t.wino_weight_f32(kSize, kTiles, input(0), step, lanes, output(0)); });
  const int64_t panel = kTiles * t.wino_nr;
  cases.add("wino_filter_f32", "8 kernels", {0, 4.0 * (9 + kPositions) * double(panel)},
            [=, &t] { t.wino_filter_f32(kSize, kTiles, input(0), false, output(0), panel + 16); });
  cases.add("wino_tile_f32", "64 channels", {2.0 * double(kDepth * t.wino_mr * t.wino_nr), 0}, [=, &t] {
    t.wino_tile_f32(kDepth, input(0), input(1), output(0), t.wino_nr, t.wino_mr, t.wino_nr, false);
  });
  cases.add("wino_outer_f32", "64 tiles", {2.0 * double(kDepth * lanes * 6 * lanes), 0}, [=, &t] {
    t.wino_outer_f32(kDepth, input(0), input(1), kDepth * lanes, 6, output(0), 6 * lanes, false);
  });
}

}  // namespace nnlib::benchmarks
