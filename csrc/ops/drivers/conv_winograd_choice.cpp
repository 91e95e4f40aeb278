// When Winograd's algorithm is taken, and with which tiles.
#include "ops/drivers/conv_winograd.h"

namespace nnlib::drivers::detail {

namespace {

bool is_winograd(const ConvShape& s) {
  if (s.kernel[0] != 1 || s.in[0] != 1 || s.out[0] != 1 || s.padding[0] != 0) return false;
  for (int d = 1; d < 3; ++d) {
    if (s.kernel[d] != 3 || s.stride[d] != 1 || s.dilation[d] != 1 || s.out[d] == 0) return false;
  }
  return true;
}

// Times of a group of channels, in multiply-adds of a product that keeps the registers full. The factors were
// measured on AVX2 (benchmarks/NOTES.md); on wider vectors everything is quicker by about as much.
double winograd_cost(const ConvShape& s, int64_t size) {
  const WinoTiles tiles(s, size);
  const int64_t lanes = kernels::table().wino_lanes;
  const double in = double((s.in_group() + lanes - 1) / lanes * lanes),
               out = double((s.out_group() + lanes - 1) / lanes * lanes);
  // For a tile of 36 positions; one of 16 costs as much less.
  const double products = 36 * in * out, transforms = 300 * in + 220 * out, filters = 400 * in * out;
  return double(tiles.positions()) / 36 * (double(tiles.count()) * (products + transforms) + filters);
}
double gemm_cost(const ConvShape& s) {
  const double pixels = double(s.batch * s.out_pixels()), packing = 250;
  return (9 * pixels + packing) * double(s.in_group()) * double(s.out_group());
}

// The larger rounding errors have to gain this much.
constexpr double kWorth = 1.2;

int64_t best_size(const ConvShape& s) {
  if (!winograd() || !is_winograd(s)) return 0;
  const double small = winograd_cost(s, 2), large = winograd_cost(s, 4);
  if (std::min(small, large) * kWorth >= gemm_cost(s)) return 0;
  return small < large ? 2 : 4;
}

double gain(const ConvShape& s) {
  const int64_t size = best_size(s);
  return size > 0 ? gemm_cost(s) / winograd_cost(s, size) : 1;
}

}  // namespace

int64_t winograd_size(const ConvShape& s) { return best_size(s); }
int64_t winograd_input_grad_size(const ConvShape& s) { return best_size(turned(s)); }
int64_t winograd_weight_grad_size(const ConvShape& s) { return best_size(s); }
double winograd_gain(const ConvShape& s) { return gain(s); }
double winograd_input_grad_gain(const ConvShape& s) { return gain(turned(s)); }

}  // namespace nnlib::drivers::detail
