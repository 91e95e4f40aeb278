// When Winograd's algorithm is taken, and with which tiles.
#include "ops/drivers/conv_winograd.h"
#include "ops/drivers/conv_winograd_lift.h"

namespace nnlib::drivers::detail {

namespace {

enum class Wanted { Output, InputGrad, WeightGrad };

// Elements of transformed tiles that caches near a core hold.
constexpr double kMostNear = 1.6e6;

// Times of a group of channels, in multiply-adds of a product that keeps the registers full. The factors were
// measured on AVX2 (benchmarks/NOTES.md); on wider vectors everything is quicker by about as much.
double winograd_cost(const ConvShape& s, int64_t size, Wanted wanted, bool last) {
  const bool back = wanted == Wanted::InputGrad;
  const WinoSteps steps(s);
  const WinoTiles tiles(back ? turned(s) : plain_of(s), size);
  const int64_t lanes = kernels::table().wino_lanes,
                panel = steps.count() > 1 && back ? kernels::table().wino_nr : lanes;
  const double x = double((s.in_group() + panel - 1) / panel * panel * steps.count()),
               y = double((s.out_group() + lanes - 1) / lanes * lanes);
  const int64_t positions = tiles.positions();
  const double read = back ? y : x;
  // Tiles of all remainders that do not stay in a core's cache are waited for, and so are their kernels.
  const bool own = wino_own_tiles(int64_t(read), int64_t(back ? x : y), tiles) > 0,
             far = steps.count() > 1 && !own;
  // So are many tiles of images with the channels last, whose product reads them where they lie.
  const bool large =
      last && !own && wanted != Wanted::WeightGrad && double(tiles.count() * positions) * read > kMostNear;
  const double moved = far ? 600 : large ? 1500 : 0;
  // An element of the kernels; of gradients it goes the other way, of remainders it is read from others.
  double filter = steps.count() > 1 || wanted == Wanted::WeightGrad ? 44 : 24;
  if (far) filter = 100;
  // For a tile of 36 positions; one of 16 costs as much less.
  const double products = 36 * x * y * steps.share(size + tiles.halo()),
               transforms = (300 + moved) * read + 220 * (back ? x : y) + (back && far ? moved * x : 0),
               filters = filter * double(steps.taps * steps.taps) * x * y;
  return double(positions) / 36 * (double(tiles.count()) * (products + transforms) + filters);
}
// Of a matrix product, which leaves taps that see padding out where lines of it are many. An element of the
// weights costs it little, as their packing may be kept; of weight gradients it is a result.
double gemm_cost(const ConvShape& s, Wanted wanted) {
  double seen = s.seen(0) * s.seen(1);
  if (s.dilation[1] > 1 || s.dilation[2] > 1) seen *= s.seen(2);
  const double pixels = double(s.batch * s.out_pixels()) * seen,
               packing = wanted == Wanted::WeightGrad ? 28 : 8;
  return double(s.taps()) * (pixels + packing) * double(s.in_group()) * double(s.out_group());
}

// The larger rounding errors have to gain this much.
constexpr double kWorth = 1.2;

// An element that is moved in lifting, and the elements of an image that may be.
constexpr double kMoved = 60;
constexpr int64_t kMostLifted = int64_t(1) << 23;

struct Best {
  int64_t size = 0;
  double gain = 1;
};

// Products of rows of images with the channels last take this much of the time of gathered ones, where there
// is a stride.
constexpr double kRows = 0.82;

Best best(const ConvShape& s, Wanted wanted, bool last) {
  if (!winograd()) return {};
  if (!Lift::possible(s)) return {};
  const Lift lift(s, wanted == Wanted::InputGrad);
  const ConvShape& plain = lift.plain;
  const int64_t in = lift.x.same(false) ? 0 : lift.x.elements(),
                out = lift.y.same(false) ? 0 : lift.y.elements();
  if (std::max(in, out) > kMostLifted) return {};
  const int64_t weights = lift.same_weights() ? 0 : lift.weights_size();
  const double moved = kMoved * double((in + out) * s.batch + weights) / double(s.groups);
  const int64_t taps = WinoSteps(plain).taps;
  if (!WinoSteps::suit(plain) || taps < 2 || taps > 5) return {};
  double least = winograd_cost(plain, 7 - taps, wanted, last);
  int64_t size = 7 - taps;
  if (taps == 3 && winograd_cost(plain, 2, wanted, last) <= least)
    least = winograd_cost(plain, 2, wanted, last), size = 2;
  const double product = gemm_cost(s, wanted) * (last && s.stride[1] * s.stride[2] > 1 ? kRows : 1);
  const double gain = product / (least + moved);
  if (gain <= kWorth) return {};
  return {size, gain};
}

}  // namespace

int64_t winograd_size(const ConvShape& s, bool last) { return best(s, Wanted::Output, last).size; }
int64_t winograd_input_grad_size(const ConvShape& s, bool last) {
  return best(s, Wanted::InputGrad, last).size;
}
int64_t winograd_weight_grad_size(const ConvShape& s, bool last) {
  return best(s, Wanted::WeightGrad, last).size;
}
double winograd_gain(const ConvShape& s, bool last) { return best(s, Wanted::Output, last).gain; }
double winograd_weight_grad_gain(const ConvShape& s, bool last) {
  return best(s, Wanted::WeightGrad, last).gain;
}
double winograd_input_grad_gain(const ConvShape& s, bool last) {
  return best(s, Wanted::InputGrad, last).gain;
}

}  // namespace nnlib::drivers::detail
