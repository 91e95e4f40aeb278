// The kernels of convolutions on a plane of an image.
#include "cases/cases.h"

namespace nnlib::benchmarks {

namespace {

constexpr int64_t kRows = 16, kCols = 56, kRow = 64, kTaps = 9;

// Where the taps of a 3x3 window lie in rows of kRow values.
const int64_t* taps() {
  static const int64_t offset[kTaps] = {0,           1, 2, kRow, kRow + 1, kRow + 2, 2 * kRow, 2 * kRow + 1,
                                        2 * kRow + 2};
  return offset;
}

void add_depthwise(Cases& cases) {
  const Table& t = cases.t;
  const double products = double(kRows * kCols * kTaps);
  cases.add("depthwise_f32", "16x56/3x3", {2 * products, 8.0 * kRows * kCols}, [&t] {
    t.depthwise_f32(kRows, kCols, kTaps, taps(), input(0), kRow, input(1), 0.5f, output(0), kRow);
  });
  cases.add("plane_dots_f32", "16x56/3x3", {2 * products, 8.0 * kRows * kCols}, [&t] {
    t.plane_dots_f32(1, kTaps, kRows, kCols, input(0), 0, kRow, input(1), taps(), kRow, output(0), kTaps);
  });
}

void add_lines(Cases& cases) {
  const Table& t = cases.t;
  const int64_t kc = 72, vectors = 6, width = t.lines_nr / 2;
  static int64_t offset[kc], vector[3 * vectors];
  for (int64_t k = 0; k < kc; ++k) offset[k] = k / kTaps * 200 + taps()[k % kTaps];
  for (int64_t v = 0; v < vectors; ++v) {
    vector[3 * v] = vector[3 * v + 1] = v * width, vector[3 * v + 2] = width;
  }
  const double flops = 2.0 * double(kc * t.direct_mr * vectors * width);
  cases.add("conv_direct_f32", "72 taps", {flops, 0}, [&t] {
    t.conv_direct_f32(kc, input(0), t.direct_mr, offset, input(1), vectors, vector, output(0), 1000,
                      t.direct_mr, nullptr, false);
  });
  cases.add("lines_tile_f32", "", {2.0 * double(t.lines_mr * t.lines_nr * t.lines_ld), 0}, [&t] {
    t.lines_tile_f32(t.lines_ld, input(0), input(1), t.lines_nr, output(0), t.lines_nr, t.lines_mr,
                     t.lines_nr, nullptr, false);
  });
  static int64_t piece[2 * vectors];
  for (int64_t v = 0; v < vectors; ++v) piece[2 * v] = v * kRow, piece[2 * v + 1] = width;
  cases.add("conv_gather_f32", "16 lines", {0, 8.0 * double(16 * vectors * width)}, [&t, width] {
    t.conv_gather_f32(16, offset, vectors, piece, input(0), output(0), vectors * width);
  });
  for (int64_t step : {1, 2}) {
    cases.add("conv_frame_f32", "16x56/step " + std::to_string(step), {0, 8.0 * kRows * kCols}, [&t, step] {
      t.conv_frame_f32(kRows, 1, kCols, 1, step, input(0), 2 * kRow, output(0), kRow);
    });
  }
  cases.add("conv_merge_f32", "1024", {0, 16.0 * 1024},
            [&t] { t.conv_merge_f32(input(0), input(1), 1024, output(0)); });
}

// A line of 56 pixels of 64 channels, and such a window of pixels as a depthwise kernel sees.
void add_layouts(Cases& cases) {
  const Table& t = cases.t;
  const int64_t n = kCols, channels = 64;
  const double wide = 8.0 * n * channels, narrow = 6.0 * n * channels;
  cases.add("planes_from_pixels_f32", "64x56", {0, wide},
            [&t] { t.planes_from_pixels_f32(channels, n, input(0), channels, output(0), n); });
  cases.add("planes_from_pixels_bf16", "64x56", {0, narrow},
            [&t] { t.planes_from_pixels_bf16(channels, n, input_half(), channels, output(0), n); });
  cases.add("planes_from_pixels_f16", "64x56", {0, narrow},
            [&t] { t.planes_from_pixels_f16(channels, n, input_half(), channels, output(0), n); });
  cases.add("pixels_from_planes_f32", "64x56", {0, wide},
            [&t] { t.pixels_from_planes_f32(channels, n, input(0), n, output(0), channels); });
  cases.add("pixels_from_planes_bf16", "64x56", {0, narrow},
            [&t] { t.pixels_from_planes_bf16(channels, n, input(0), n, output_half(), channels); });
  cases.add("pixels_from_planes_f16", "64x56", {0, narrow},
            [&t] { t.pixels_from_planes_f16(channels, n, input(0), n, output_half(), channels); });
  const int64_t rows = 4, lanes = t.pixel_lanes, all = rows * kCols * lanes;
  const Work work{2.0 * double(all * kTaps), 8.0 * double(all)};
  cases.add("depthwise_pixels_f32", "4x56/3x3", work, [&t, lanes] {
    t.depthwise_pixels_f32(rows, kCols, lanes, kTaps, taps(), input(0), kRow, input(1), input(2), output(0),
                           kCols * lanes, lanes);
  });
  cases.add("pixel_dots_f32", "4x56/3x3", work, [&t, lanes] {
    t.pixel_dots_f32(kTaps, rows, kCols, input(0), kCols * lanes, lanes, input(1), taps(), kRow, output(0));
  });
}

}  // namespace

void add_conv(Cases& cases) {
  add_depthwise(cases);
  add_lines(cases);
  add_layouts(cases);
}

}  // namespace nnlib::benchmarks
