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
  static int64_t run[2 * kRows];
  for (int64_t r = 0; r < kRows; ++r) run[2 * r] = r * kRow, run[2 * r + 1] = kCols;
  cases.add("frame_dots_f32", "9 rows", {2.0 * double(kTaps * width * kRows * kCols), 0}, [&t, width] {
    t.frame_dots_f32(kTaps, width, taps(), kRows, run, input(0), input(1), width, output(0), width, false);
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

// Channels that lie side by side in a pixel.
template <class T>
void add_layout(Cases& cases, const std::string& type,
                void (*planes)(int64_t, int64_t, const T*, int64_t, float*, int64_t),
                void (*pixels)(int64_t, int64_t, const float*, int64_t, T*, int64_t), const T* from, T* to) {
  const int64_t channels = 32, n = kCols;
  const double bytes = double(channels * n) * (sizeof(T) + sizeof(float));
  cases.add(("planes_from_pixels_" + type).c_str(), "32x56", {0, bytes},
            [=] { planes(channels, n, from, channels, output(0), n); });
  cases.add(("pixels_from_planes_" + type).c_str(), "32x56", {0, bytes},
            [=] { pixels(channels, n, input(0), n, to, channels); });
}

void add_pixels(Cases& cases) {
  const Table& t = cases.t;
  const int64_t lanes = t.pixel_lanes, rows = 2, cols = 28;
  const Work work{2.0 * double(rows * cols * kTaps * lanes), 8.0 * double(rows * cols * lanes)};
  cases.add("depthwise_pixels_f32", "2x28/3x3", work, [=, &t] {
    t.depthwise_pixels_f32(rows, cols, lanes, kTaps, taps(), input(0), kRow, input(1), input(2), output(0),
                           cols * lanes, lanes);
  });
  // The same pixels in an image of `lanes` channels.
  std::vector<int64_t> places;
  for (int64_t k = 0; k < kTaps; ++k) places.push_back(taps()[k] * lanes), places.push_back((k + 1) * lanes);
  cases.add("depthwise_last_f32", "56/3x3", work, [=, &t] {
    t.depthwise_last_f32(rows * cols, lanes, kTaps, places.data(), input(0), lanes, input(1), 0, output(0),
                         lanes, false, nullptr, 0);
  });
  cases.add("depthwise_last_dots_f32", "56/3x3", work, [=, &t] {
    t.depthwise_last_dots_f32(rows * cols, lanes, kTaps, places.data(), input(0), lanes, input(1), lanes,
                              output(0), 0, nullptr, 0);
  });
  cases.add("pixel_dots_f32", "2x28/3x3", work, [=, &t] {
    t.pixel_dots_f32(kTaps, rows, cols, input(0), cols * lanes, lanes, input(1), taps(), kRow, output(0));
  });
  // Two groups of eight channels.
  const std::vector<int64_t> groups = {0, 0, 8, 8, 8, 8};
  std::vector<int64_t> stretches;
  for (int64_t k = 0; k < kTaps; ++k)
    stretches.push_back(taps()[k] * lanes), stretches.push_back((8 * k + 1) * t.lines_nr);
  const Work of_groups{8 * work.flops, work.bytes};
  cases.add("stretches_f32", "56/3x3", of_groups, [=, &t] {
    t.stretches_f32(rows * cols, 2, groups.data(), kTaps, stretches.data(), 8, input(0), lanes, input(1), 0,
                    t.lines_nr, output(0), lanes, nullptr, 0);
  });
  cases.add("stretch_dots_f32", "56/3x3", of_groups, [=, &t] {
    t.stretch_dots_f32(rows * cols, 2, groups.data(), kTaps, stretches.data(), 8, input(0), lanes, input(1),
                       lanes, output(0), 0, t.lines_nr, nullptr, 0);
  });
  // Three results of all channels that the three lines of taps see.
  constexpr int64_t kLines = 3, kResults = 3;
  const int64_t seen = kTaps / kLines * lanes;
  std::vector<int64_t> lines;
  for (int64_t k = 0; k < kLines; ++k) lines.push_back(k * kRow * lanes), lines.push_back(k * seen);
  const Work of_lines{2.0 * double(rows * cols * kResults * kTaps * lanes), work.bytes / 2};
  cases.add("line_dots_f32", "56x3/3x3", of_lines, [=, &t] {
    t.line_dots_f32(rows * cols, kResults, kLines, lines.data(), seen, input(0), lanes, input(1),
                    kTaps * lanes, nullptr, output(0), kResults);
  });
  cases.add("line_sums_f32", "56x3/3x3", of_lines, [=, &t] {
    t.line_sums_f32(rows * cols, kResults, kLines, lines.data(), seen, input(0), lanes, input(1), kResults,
                    output(0), kTaps * lanes);
  });
  // Groups of four channels, each of which sees all four.
  constexpr int64_t kGroup = 4;
  std::vector<int32_t> index(size_t(kGroup * lanes));
  for (size_t i = 0; i < index.size(); ++i)
    index[i] = int32_t(i) % int32_t(lanes) / 4 * 4 + int32_t(i) / int32_t(lanes);
  cases.add("spread_pixels_f32", "56x4", {0, double(cols * 2) * 4 * double(lanes + kGroup * lanes)}, [=, &t] {
    t.spread_pixels_f32(2 * cols, lanes, input(0), lanes, kGroup, index.data(), output(0), 2 * cols * lanes);
  });
  add_layout(cases, "f32", t.planes_from_pixels_f32, t.pixels_from_planes_f32, input(0), output(1));
  add_layout(cases, "bf16", t.planes_from_pixels_bf16, t.pixels_from_planes_bf16, input_half(),
             output_half());
  add_layout(cases, "f16", t.planes_from_pixels_f16, t.pixels_from_planes_f16, input_half(), output_half());
}

}  // namespace

void add_conv(Cases& cases) {
  add_depthwise(cases);
  add_lines(cases);
  add_pixels(cases);
}

}  // namespace nnlib::benchmarks
