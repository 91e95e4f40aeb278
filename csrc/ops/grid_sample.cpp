// Values of an image at the points of a grid (Jaderberg et al., "Spatial transformer networks", 2015). Along
// each axis a point has a few taps: places in the image with a weight and the weight's derivative by the
// point's coordinate.
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace nnlib::ops {

namespace {

using Image = kernels::GridImage;

struct Sampling : Image {
  int64_t batch, channels, points;
  int64_t area() const { return size[0] * size[1] * size[2]; }
};

template <class C>
struct Coordinate {
  C x, slope;  // slope: derivative by the grid's value
};

template <class C>
Coordinate<C> clip(Coordinate<C> c, int64_t size) {
  const C last = (C)(size - 1);
  if (!(c.x > 0)) return {0, 0};
  if (c.x >= last) return {last, 0};
  return c;
}

// The largest whole number that is not above x; the processor's conversion serves what fits.
template <class C>
C whole_below(C x) {
  if (!(std::abs(x) < C(1e9))) return std::floor(x);
  const C whole = (C)(int32_t)x;
  return whole > x ? whole - 1 : whole;
}

// Reflects at low / 2 and high / 2.
template <class C>
Coordinate<C> reflect(Coordinate<C> c, int64_t low, int64_t high) {
  if (low == high) return {0, 0};
  const C from = (C)low / 2, span = (C)(high - low) / 2;
  C x = c.x - from, sign = 1;
  if (x < 0) {
    x = -x;
    sign = -1;
  }
  if (x < span) return {x + from, c.slope * sign};
  const C extra = std::fmod(x, span), flips = std::floor(x / span);
  if (std::fmod(flips, C(2)) == 0) return {extra + from, c.slope * sign};
  return {span - extra + from, -c.slope * sign};
}

template <class C>
Coordinate<C> into_image(Coordinate<C> c, const Sampling& s, int64_t size) {
  if (s.border == Image::Reflection)
    c = s.align_corners ? reflect(c, 0, 2 * (size - 1)) : reflect(c, -1, 2 * size - 1);
  if (s.border != Image::Zeros) c = clip(c, size);
  // What does not fit an index lies outside of every image, NaN too.
  if (!(std::abs(c.x) <= C(1e9))) c = {-100, c.slope};
  return c;
}

// The nearest whole number, the even one of two: adding a power of two without fractions and taking it away.
template <class C>
C nearest_whole(C x) {
  constexpr C large = std::is_same_v<C, float> ? C(8388608) : C(4503599627370496.0);
  const C m = std::abs(x), whole = m < large ? (m + large) - large : m;
  return x < 0 ? -whole : whole;
}

template <class C>
int64_t checked(int64_t i, int64_t size) {
  return i >= 0 && i < size ? i : -1;
}

// Keys' cubic convolution kernel (1981), a = -0.75, and its derivative, at distance x. NaN of NaN.
template <class C>
C cubic(C x) {
  const C a = C(-0.75);
  x = std::abs(x);
  return x <= 1   ? ((a + 2) * x - (a + 3)) * x * x + 1
         : x < 2  ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
         : x >= 2 ? C(0)
                  : x;
}
template <class C>
C cubic_slope(C x) {
  const C a = C(-0.75), sign = x < 0 ? C(-1) : C(1);
  x = std::abs(x);
  return sign * (x <= 1  ? (3 * (a + 2) * x - 2 * (a + 3)) * x
                 : x < 2 ? (3 * a * x - 10 * a) * x + 8 * a
                         : C(0));
}

template <class C>
Coordinate<C> coordinate(C v, const Sampling& s, int64_t size) {
  return s.align_corners ? Coordinate<C>{(v + 1) / 2 * (C)(size - 1), (C)(size - 1) / 2}
                         : Coordinate<C>{((v + 1) * (C)size - 1) / 2, (C)size / 2};
}

constexpr int64_t kPoints = 64;  // of a block

// The taps of some points along one axis, tap by tap.
template <class C>
struct AxisTaps {
  int32_t at[4][kPoints];
  C weight[4][kPoints], slope[4][kPoints];

  // Values of the grid in [-1, 1], `step` apart.
  void find(const Sampling& s, int64_t size, int64_t n, const C* grid, int64_t step) {
    if (s.method == Image::Bicubic) return find_cubic(s, size, n, grid, step);
    C x[kPoints];
    C *const by = slope[1], inside = (C)(size - 1);
    for (int64_t p = 0; p < n; p++) {
      const Coordinate<C> c = coordinate(grid[p * step], s, size);
      x[p] = c.x;
      by[p] = c.slope;
    }
    if (s.border == Image::Reflection)
      for (int64_t p = 0; p < n; p++) {
        const Coordinate<C> c = s.align_corners ? reflect<C>({x[p], by[p]}, 0, 2 * (size - 1))
                                                : reflect<C>({x[p], by[p]}, -1, 2 * size - 1);
        x[p] = c.x;
        by[p] = c.slope;
      }
    if (s.border != Image::Zeros)
      for (int64_t p = 0; p < n; p++) {
        const bool within = (x[p] > 0) & (x[p] < inside);
        const C end = x[p] > 0 ? inside : C(0);
        x[p] = within ? x[p] : end;
        by[p] = within ? by[p] : C(0);
      }
    // What does not fit an index lies outside of every image, NaN too.
    for (int64_t p = 0; p < n; p++) x[p] = std::abs(x[p]) <= C(1e9) ? x[p] : C(-100);
    const int32_t end = (int32_t)std::min<int64_t>(size, INT32_MAX);
    if (s.method == Image::Nearest) {
      for (int64_t p = 0; p < n; p++) {
        const int32_t i = (int32_t)nearest_whole(x[p]);
        at[0][p] = (i >= 0) & (i < end) ? i : -1;
        weight[0][p] = 1;
        slope[0][p] = 0;
      }
      return;
    }
    for (int64_t p = 0; p < n; p++) {
      const int32_t towards_zero = (int32_t)x[p];
      const int32_t i = (C)towards_zero > x[p] ? towards_zero - 1 : towards_zero, j = i + 1;
      const C part = x[p] - (C)i;
      at[0][p] = (i >= 0) & (i < end) ? i : -1;
      at[1][p] = (j >= 0) & (j < end) ? j : -1;
      weight[0][p] = 1 - part;
      weight[1][p] = part;
      slope[0][p] = -by[p];
    }
  }
  void find_cubic(const Sampling& s, int64_t size, int64_t n, const C* grid, int64_t step) {
    for (int64_t p = 0; p < n; p++) {
      const Coordinate<C> c = coordinate(grid[p * step], s, size);
      const C first = whole_below(c.x);
      for (int k = 0; k < 4; k++) {
        const C place = into_image<C>({first - 1 + (C)k, 0}, s, size).x, distance = c.x - first + 1 - (C)k;
        at[k][p] = (int32_t)checked<C>((int64_t)place, size);
        weight[k][p] = cubic(distance);
        slope[k][p] = cubic_slope(distance) * c.slope;
      }
    }
  }
};

// The taps of some points, tap by tap: place in a plane, weight, and the weight's derivatives along x, y, z.
// A tap that lies outside has the place -1 and no weight.
template <class C, int kTaps>
struct PointBlock {
  int64_t n = 0;
  bool all_inside = true;
  int32_t at[kTaps][kPoints];
  C weight[kTaps][kPoints], slope[3][kTaps][kPoints];
  AxisTaps<C> axis[3];

  void find(const Sampling& s, const C* grid, int64_t count, bool slopes) {
    n = count;
    if constexpr (std::is_same_v<C, float>) {
      all_inside = kernels::table().grid_points_f32(&s, n, grid, at[0], weight[0],
                                                    slopes ? slope[0][0] : nullptr, kPoints);
    } else {
      find_taps(s, grid, slopes);
    }
  }
  void find_taps(const Sampling& s, const C* grid, bool slopes) {
    constexpr int taps = kTaps == 1 ? 1 : kTaps == 16 ? 4 : 2, depth = kTaps == 8 ? 2 : 1;
    for (int64_t i = 0; i < s.dims; i++)  // x, y, z
      axis[2 - i].find(s, s.size[2 - i], n, grid + i, s.dims);
    const int32_t height = (int32_t)s.size[1], width = (int32_t)s.size[2];
    int32_t outside = 0;
    int t = 0;
    for (int i = 0; i < depth; i++)
      for (int j = 0; j < taps; j++)
        for (int k = 0; k < taps; k++, t++) {
          const AxisTaps<C>&a = axis[0], &b = axis[1], &c = axis[2];
          const bool flat = s.dims == 2;
          for (int64_t p = 0; p < n; p++) {
            const int32_t z = flat ? 0 : a.at[i][p], y = b.at[j][p], x = c.at[k][p];
            const C wz = flat ? C(1) : a.weight[i][p];
            const bool in = (x | y | z) >= 0;
            outside |= x | y | z;
            at[t][p] = in ? (z * height + y) * width + x : -1;
            weight[t][p] = in ? wz * b.weight[j][p] * c.weight[k][p] : C(0);
          }
          if (!slopes) continue;
          for (int64_t p = 0; p < n; p++) {
            const C wz = flat ? C(1) : a.weight[i][p];
            const bool in = at[t][p] >= 0;
            slope[0][t][p] = in ? wz * b.weight[j][p] * c.slope[k][p] : C(0);
            slope[1][t][p] = in ? wz * b.slope[j][p] * c.weight[k][p] : C(0);
            slope[2][t][p] = in && !flat ? a.slope[i][p] * b.weight[j][p] * c.weight[k][p] : C(0);
          }
        }
    all_inside = outside >= 0;
  }
  // Interpolation between places that are no numbers, or infinite, gives NaN as in PyTorch: such points, of
  // which all taps lie outside, get one that gives it. Images get no gradient from them.
  void mark_numberless(const Sampling& s, const C* grid) {
    if (all_inside || s.border != Image::Zeros || s.method == Image::Nearest) return;
    for (int64_t p = 0; p < n; p++)
      for (int64_t d = 0; d < s.dims; d++)
        if (!std::isfinite(coordinate(grid[p * s.dims + d], s, s.size[2 - d]).x)) {
          at[0][p] = 0;
          weight[0][p] = std::numeric_limits<C>::quiet_NaN();
        }
  }
  // The value at tap t of point p; 0 outside.
  C value(const C* plane, int t, int64_t p) const {
    return all_inside || at[t][p] >= 0 ? plane[at[t][p]] : C(0);
  }
};

// Calls f(block of points, sample, first point) for blocks of every sample's points.
template <class T, int kTaps, class F>
void for_each_block(const Sampling& s, const T* grid, bool slopes, F f) {
  const int64_t blocks = (s.points + kPoints - 1) / kPoints;
  const int64_t grain = std::max<int64_t>(1, 16384 / (kPoints * kTaps * (s.channels + 8)));
  parallel_for(0, s.batch * blocks, grain, [&](int64_t first, int64_t end) {
    PointBlock<T, kTaps> block;
    for (int64_t i = first; i < end; i++) {
      const int64_t n = i / blocks, p = i % blocks * kPoints;
      const T* from = grid + (n * s.points + p) * s.dims;
      block.find(s, from, std::min(kPoints, s.points - p), slopes);
      if (!slopes) block.mark_numberless(s, from);
      f(block, n, p);
    }
  });
}

// Whether kernels go from the points of a plane to its values at once; elsewhere taps are listed in between.
template <class T, int kTaps>
bool at_once(const Sampling& s) {
  return std::is_same_v<T, float> && s.dims == 2 && (kTaps == 1 || (kTaps == 4 && s.size[2] > 1));
}
// Calls f(sample, first point, points) for pieces of every sample's points.
template <class F>
void for_each_piece(const Sampling& s, F f) {
  const int64_t piece = std::max<int64_t>(kPoints, 4096 / (s.channels + 1) / kPoints * kPoints);
  const int64_t pieces = (s.points + piece - 1) / piece;
  parallel_for(0, s.batch * pieces, 1, [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      const int64_t p = i % pieces * piece;
      f(i / pieces, p, std::min(piece, s.points - p));
    }
  });
}

template <class T, int kTaps>
void sample(const Sampling& s, const T* x, const T* grid, T* y) {
  if constexpr (std::is_same_v<T, float>)
    if (at_once<T, kTaps>(s))
      return for_each_piece(s, [&](int64_t n, int64_t first, int64_t count) {
        kernels::table().grid_plane_f32(&s, count, grid + (n * s.points + first) * 2, s.channels,
                                        x + n * s.channels * s.area(), s.area(),
                                        y + n * s.channels * s.points + first, s.points);
      });
  for_each_block<T, kTaps>(s, grid, false, [&](const PointBlock<T, kTaps>& block, int64_t n, int64_t first) {
    for (int64_t k = 0; k < s.channels; k++) {
      const T* plane = x + (n * s.channels + k) * s.area();
      T* to = y + (n * s.channels + k) * s.points + first;
      if constexpr (std::is_same_v<T, float>) {
        kernels::table().sample_points_f32(block.n, kTaps, block.at[0], block.weight[0], kPoints, plane, to);
        continue;
      }
      for (int64_t p = 0; p < block.n; p++) {
        T sum = 0;
        for (int t = 0; t < kTaps; t++) sum += block.weight[t][p] * block.value(plane, t, p);
        to[p] = sum;
      }
    }
  });
}

// The same of images with the channels last: a point's channels are summed side by side and then turned
// round.
template <int kTaps>
void sample_last(const Sampling& s, const float* x, const float* grid, float* y) {
  constexpr int64_t kStrip = 64;  // channels at a time
  for_each_block<float, kTaps>(
      s, grid, false, [&](const PointBlock<float, kTaps>& block, int64_t n, int64_t first) {
        float sums[kPoints * kStrip];
        for (int64_t k = 0; k < s.channels; k += kStrip) {
          const int64_t m = std::min(kStrip, s.channels - k);
          kernels::table().sample_pixels_f32(block.n, kTaps, block.at[0], block.weight[0], kPoints, m,
                                             x + n * s.area() * s.channels + k, s.channels, sums, m);
          kernels::table().transpose_u32(block.n, m, (const uint32_t*)sums, m,
                                         (uint32_t*)y + (n * s.channels + k) * s.points + first, s.points);
        }
      });
}

// Channels that are worth turning planes round; fewer are gathered from each plane.
int64_t last_channels(int64_t taps) { return taps == 1 ? 32 : taps == 4 ? 16 : 8; }

// The image with its channels last, where that pays: it has them so, or its points are many enough to turn it
// round for. Undefined elsewhere.
Tensor channels_last(const Sampling& s, int64_t taps, const Tensor& input) {
  const MemoryFormat last = s.dims == 2 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d;
  if (input.dtype() != Dtype::Float32 || s.channels < 2) return Tensor();
  if (input.is_contiguous(last)) return input;
  return s.channels >= last_channels(taps) && s.area() <= 4 * taps * s.points ? clone(detach(input), last)
                                                                              : Tensor();
}

// The grid's gradient: each point's own.
template <class T, int kTaps>
void sample_backward_grid(const Sampling& s, const T* g, const T* x, const T* grid, T* gg) {
  using C = T;
  if (kTaps == 1) {
    std::fill(gg, gg + s.batch * s.points * s.dims, T(0));
    return;
  }
  if constexpr (std::is_same_v<T, float>)
    if (at_once<T, kTaps>(s))
      return for_each_piece(s, [&](int64_t n, int64_t first, int64_t count) {
        kernels::table().grid_plane_grad_f32(
            &s, count, grid + (n * s.points + first) * 2, s.channels, x + n * s.channels * s.area(), s.area(),
            g + n * s.channels * s.points + first, s.points, gg + (n * s.points + first) * 2);
      });
  for_each_block<T, kTaps>(s, grid, true, [&](const PointBlock<T, kTaps>& block, int64_t n, int64_t first) {
    C dot[kTaps][kPoints] = {};
    for (int64_t k = 0; k < s.channels; k++) {
      const T* plane = x + (n * s.channels + k) * s.area();
      const T* from = g + (n * s.channels + k) * s.points + first;
      if constexpr (std::is_same_v<T, float>) {
        kernels::table().point_dots_f32(block.n, kTaps, block.at[0], kPoints, from, plane, dot[0]);
        continue;
      }
      for (int t = 0; t < kTaps; t++) {
        const int32_t* at = block.at[t];
        if (block.all_inside)
          for (int64_t p = 0; p < block.n; p++) dot[t][p] += from[p] * plane[at[p]];
        else
          for (int64_t p = 0; p < block.n; p++) dot[t][p] += at[p] >= 0 ? from[p] * plane[at[p]] : C(0);
      }
    }
    for (int64_t p = 0; p < block.n; p++)
      for (int64_t d = 0; d < s.dims; d++) {
        C sum = 0;
        for (int t = 0; t < kTaps; t++)
          if (block.at[t][p] >= 0) sum += dot[t][p] * block.slope[d][t][p];
        gg[(n * s.points + first + p) * s.dims + d] = sum;
      }
  });
}

// The image's gradient: planes of their own, whose points may share places and come in order.
template <class T, int kTaps>
void sample_backward_image(const Sampling& s, const T* g, const T* grid, T* gx) {
  constexpr int64_t kPlanes = 16;  // that share the search for taps
  const int64_t groups = (s.channels + kPlanes - 1) / kPlanes, area = s.area();
  parallel_for(0, s.batch * groups, 1, [&](int64_t begin, int64_t end) {
    PointBlock<T, kTaps> block;
    for (int64_t i = begin; i < end; i++) {
      const int64_t k0 = i % groups * kPlanes, planes = std::min(kPlanes, s.channels - k0);
      const int64_t n = i / groups, plane = n * s.channels + k0;
      std::fill(gx + plane * area, gx + (plane + planes) * area, T(0));
      for (int64_t first = 0; first < s.points; first += kPoints) {
        block.find(s, grid + (n * s.points + first) * s.dims, std::min(kPoints, s.points - first), false);
        for (int64_t k = 0; k < planes; k++) {
          const T* from = g + (plane + k) * s.points + first;
          T* to = gx + (plane + k) * area;
          for (int t = 0; t < kTaps; t++) {
            const int32_t* at = block.at[t];
            const T* weight = block.weight[t];
            if (block.all_inside)
              for (int64_t p = 0; p < block.n; p++) to[at[p]] += weight[p] * from[p];
            else
              for (int64_t p = 0; p < block.n; p++)
                if (at[p] >= 0) to[at[p]] += weight[p] * from[p];
          }
        }
      }
    }
  });
}

template <class F>
void dispatch_32_or_64(Dtype d, const char* name, F f) {
  if (d == Dtype::Float32) return f(TypeTag<float>{});
  if (d == Dtype::Float64) return f(TypeTag<double>{});
  throw_message<NotImplementedError>("\"", name, "\" not implemented for '", dtype_legacy_name(d), "'");
}

// Calls f with the number of taps of a point as a constant.
template <class F>
void dispatch_taps(const Sampling& s, F f) {
  if (s.method == Image::Nearest) return f(std::integral_constant<int, 1>());
  if (s.method == Image::Bicubic) return f(std::integral_constant<int, 16>());
  return s.dims == 3 ? f(std::integral_constant<int, 8>()) : f(std::integral_constant<int, 4>());
}

Sampling sampling_of(const Tensor& input, const Tensor& grid, const std::string& mode,
                     const std::string& padding, bool align_corners) {
  NNLIB_CHECK_VALUE(
      mode == "bilinear" || mode == "nearest" || mode == "bicubic",
      "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '", mode,
      "'");
  NNLIB_CHECK_VALUE(padding == "zeros" || padding == "border" || padding == "reflection",
                    "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
                    "'reflection', but got: '",
                    padding, "'");
  NNLIB_CHECK((input.dim() == 4 || input.dim() == 5) && input.dim() == grid.dim(),
              "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got "
              "input with sizes ",
              input.sizes(), " and grid with sizes ", grid.sizes());
  NNLIB_CHECK(input.dtype() == grid.dtype(),
              "grid_sampler(): expected input and grid to have same dtype, but input has ",
              dtype_name(input.dtype()), " and grid has ", dtype_name(grid.dtype()));
  NNLIB_CHECK(input.size(0) == grid.size(0),
              "grid_sampler(): expected grid and input to have same batch size, but got input with sizes ",
              input.sizes(), " and grid with sizes ", grid.sizes());
  NNLIB_CHECK(grid.size(-1) == input.dim() - 2, "grid_sampler(): expected grid to have size ",
              input.dim() - 2, " in last dimension, but got grid with sizes ", grid.sizes());
  NNLIB_CHECK(mode != "bicubic" || input.dim() == 4,
              "grid_sampler(): bicubic interpolation only supports 4D input");
  Sampling s;
  s.method = mode == "bilinear" ? Image::Bilinear : mode == "nearest" ? Image::Nearest : Image::Bicubic;
  s.border = padding == "zeros" ? Image::Zeros : padding == "border" ? Image::Border : Image::Reflection;
  s.align_corners = align_corners;
  s.dims = input.dim() - 2;
  s.batch = input.size(0);
  s.channels = input.size(1);
  s.points = 1;
  for (int64_t i = 0; i < 3; i++) s.size[i] = i + s.dims >= 3 ? input.size(i - 3) : 1;
  for (int64_t d = 1; d < grid.dim() - 1; d++) s.points *= grid.size(d);
  for (int64_t i = 3 - s.dims; i < 3; i++)
    NNLIB_CHECK(s.size[i] > 0,
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes ",
                input.sizes());
  NNLIB_CHECK(s.area() <= INT32_MAX, "grid_sampler(): images of more than 2^31 - 1 values are not supported");
  return s;
}

// A gradient that has no derivative of its own.
void record_end(const Tensor& t, const TensorList& inputs) {
  if (!t.defined() || !wants_grad(inputs)) return;
  record(t, "NotImplemented", inputs, [](Backward&, const TensorList&) -> TensorList {
    throw NotImplementedError("derivative for grid_sampler_backward is not implemented");
  });
}

}  // namespace

Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& mode,
                   const std::string& padding_mode, bool align_corners) {
  const Sampling s = sampling_of(input, grid, mode, padding_mode, align_corners);
  if (is_reduced_float(input.dtype()))
    return cast(grid_sample(cast(input, Dtype::Float32), cast(grid, Dtype::Float32), mode, padding_mode,
                            align_corners),
                input.dtype());
  Dims sizes = grid.sizes();
  sizes.pop_back();
  sizes.insert(1, s.channels);
  const Tensor points = contiguous_values(grid);
  Tensor out = empty(sizes, input.dtype());
  dispatch_32_or_64(input.dtype(), "grid_sampler", [&](auto tag) {
    using T = typename decltype(tag)::type;
    dispatch_taps(s, [&](auto taps) {
      constexpr int kTaps = decltype(taps)::value;
      if constexpr (std::is_same_v<T, float>)
        if (const Tensor x = channels_last(s, kTaps, input); x.defined())
          return sample_last<kTaps>(s, x.data<float>(), points.data<float>(), out.data<float>());
      const Tensor x = contiguous_values(input);
      sample<T, kTaps>(s, x.data<T>(), points.data<T>(), out.data<T>());
    });
  });
  if (wants_grad(input, grid)) {
    record(out, s.dims == 2 ? "GridSampler2DBackward0" : "GridSampler3DBackward0", {input, grid},
           [saved_x = save(input), saved_grid = save(grid), s](Backward& ctx, const TensorList& grads) {
             const Tensor input = saved_x.get(ctx), grid = saved_grid.get(ctx);
             const Tensor x = contiguous_values(input), points = contiguous_values(grid),
                          g = contiguous_values(grads[0]);
             TensorList r(2);
             if (ctx.needs(0)) r[0] = empty(x.sizes(), x.dtype());
             if (ctx.needs(1)) r[1] = empty(points.sizes(), points.dtype());
             dispatch_32_or_64(x.dtype(), "grid_sampler_backward", [&](auto tag) {
               using T = typename decltype(tag)::type;
               dispatch_taps(s, [&](auto taps) {
                 constexpr int kTaps = decltype(taps)::value;
                 const T *gv = g.data<T>(), *at = points.data<T>();
                 if (r[0].defined()) sample_backward_image<T, kTaps>(s, gv, at, r[0].data<T>());
                 if (r[1].defined()) sample_backward_grid<T, kTaps>(s, gv, x.data<T>(), at, r[1].data<T>());
               });
             });
             for (const Tensor& t : r) record_end(t, {grads[0], input, grid});
             return r;
           });
  }
  return out;
}

Tensor affine_grid_generator(const Tensor& theta, const Dims& size, bool align_corners) {
  const int dims = size.ssize() - 2;
  NNLIB_CHECK_VALUE(dims == 2 || dims == 3,
                    "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
                    "respectively. Got size ",
                    size);
  NNLIB_CHECK_VALUE(
      theta.dim() == 3 && theta.size(0) == size[0] && theta.size(1) == dims && theta.size(2) == dims + 1,
      "Expected a batch of affine matrices of shape ", size[0], "x", dims, "x", dims + 1, " for size ", size,
      ". Got ", theta.sizes(), ".");
  for (int64_t v : size) NNLIB_CHECK_VALUE(v > 0, "Expected non-zero, positive output size. Got ", size);
  Dims grid{1};
  for (int i = 0; i < dims; i++) grid.push_back(size[2 + (size_t)i]);
  // Coordinates x, y, (z), 1 of each place.
  TensorList parts;
  for (int i = 0; i < dims; i++) {
    const int64_t n = size[size.size() - 1 - (size_t)i];
    Tensor line = n > 1 ? linspace(Scalar(-1), Scalar(1), n, theta.dtype()) : zeros({1}, theta.dtype());
    if (!align_corners) line = line * Scalar((double)(n - 1) / (double)n);
    Dims shape((size_t)dims + 1, 1);
    shape[(size_t)(dims - i)] = n;
    parts.push_back(expand(reshape(line, shape), grid));
  }
  parts.push_back(ones(grid, theta.dtype()));
  const int64_t points = parts[0].numel();
  const Tensor base = expand(reshape(stack(parts, -1), {1, points, dims + 1}), {size[0], points, dims + 1});
  Dims out = grid;
  out[0] = size[0];
  out.push_back(dims);
  return reshape(bmm(base, transpose(theta, 1, 2)), out);
}

}  // namespace nnlib::ops
