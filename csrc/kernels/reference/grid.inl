// The truth of grid.inl, a point at a time. Places are found in float, in the order of the kernels'
// operations: a rounding more or less would choose another tap.
#pragma once

namespace nnlib::kernels::reference {
namespace {

struct Place {
  float x;
  double slope;
};

Place into_image(const GridImage& s, int64_t size, Place p) {
  if (s.border == GridImage::Reflection) {
    const float low = s.align_corners ? 0.f : -0.5f, span = float(s.align_corners ? size - 1 : size);
    const float from = p.x - low, a = ::fabsf(from);
    if (span == 0) {
      p = {0, 0};
    } else {
      const float flips = ::floorf(a / span), rest = float(double(a) - double(flips) * span);
      const bool odd = ::fmodf(flips, 2) != 0;
      p = {(odd ? span - rest : rest) + low, (odd != (from < 0)) ? -p.slope : p.slope};
    }
  }
  if (s.border != GridImage::Zeros) {
    const float last = float(size - 1);
    if (!(p.x > 0))
      p = {0, 0};
    else if (!(p.x < last))
      p = {last, 0};
  }
  if (!(::fabsf(p.x) <= 1e9f)) p.x = -100;
  return p;
}

struct AxisTap {
  int64_t at;
  double weight, slope;
};
double cubic(double d) {
  const double a = -0.75, x = ::fabs(d);
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}
double cubic_slope(double d) {
  const double a = -0.75, x = ::fabs(d), sign = d < 0 ? -1 : 1;
  return sign * (x <= 1 ? (3 * (a + 2) * x - 2 * (a + 3)) * x : (3 * a * x - 10 * a) * x + 8 * a);
}
// Tap k of a value of the grid.
AxisTap axis_tap(const GridImage& s, int64_t size, float v, int k) {
  const float half = float(s.align_corners ? size - 1 : size) * 0.5f;
  Place p{(v + 1) * half - (s.align_corners ? 0.f : 0.5f), half};
  const auto placed = [size](double at, double weight, double slope) {
    return AxisTap{at >= 0 && at < double(size) ? int64_t(at) : -1, weight, slope};
  };
  if (s.method == GridImage::Bicubic) {
    const float first = ::floorf(p.x);
    const double distance = double(p.x) - first + 1 - k;
    return placed(into_image(s, size, {first + float(k - 1), 0}).x, cubic(distance),
                  cubic_slope(distance) * p.slope);
  }
  p = into_image(s, size, p);
  if (s.method == GridImage::Nearest) return placed(::nearbyintf(p.x), 1, 0);
  const float first = ::floorf(p.x), part = p.x - first;
  return k ? placed(first + 1, part, p.slope) : placed(first, 1 - part, -p.slope);
}

bool grid_points_f32(const GridImage* s, int64_t n, const float* grid, int32_t* at, float* weight,
                     float* slope, int64_t ld) {
  const int taps = s->method == GridImage::Nearest ? 1 : s->method == GridImage::Bicubic ? 4 : 2;
  const bool flat = s->dims == 2;
  const int count = (flat ? 1 : taps) * taps * taps;
  bool inside = true;
  for (int64_t i = 0; i < n; ++i) {
    const float* v = grid + i * s->dims;
    for (int t = 0; t < count; ++t) {
      const AxisTap x = axis_tap(*s, s->size[2], v[0], t % taps),
                    y = axis_tap(*s, s->size[1], v[1], t / taps % taps),
                    z = flat ? AxisTap{0, 1, 0} : axis_tap(*s, s->size[0], v[2], t / (taps * taps));
      const bool out = x.at < 0 || y.at < 0 || z.at < 0;
      inside = inside && !out;
      const int64_t to = t * ld + i, next = count * ld;
      at[to] = out ? -1 : int32_t((z.at * s->size[1] + y.at) * s->size[2] + x.at);
      weight[to] = out ? 0 : float(x.weight * y.weight * z.weight);
      if (!slope) continue;
      slope[to] = out ? 0 : float(x.slope * y.weight * z.weight);
      slope[to + next] = out ? 0 : float(x.weight * y.slope * z.weight);
      slope[to + 2 * next] = out ? 0 : float(x.weight * y.weight * z.slope);
    }
  }
  return inside;
}

void sample_points_f32(int64_t n, int64_t taps, const int32_t* at, const float* weight, int64_t ld,
                       const float* x, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t t = 0; t < taps; ++t)
      if (at[t * ld + i] >= 0) sum += double(weight[t * ld + i]) * x[at[t * ld + i]];
    y[i] = float(sum);
  }
}

void sample_pixels_f32(int64_t n, int64_t taps, const int32_t* at, const float* weight, int64_t ld,
                       int64_t channels, const float* x, int64_t ldx, float* y, int64_t ldy) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (int64_t t = 0; t < taps; ++t)
        if (at[t * ld + i] >= 0) sum += double(weight[t * ld + i]) * x[at[t * ld + i] * ldx + c];
      y[i * ldy + c] = float(sum);
    }
}

void point_dots_f32(int64_t n, int64_t taps, const int32_t* at, int64_t ld, const float* g, const float* x,
                    float* sum) {
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t i = 0; i < n; ++i)
      if (at[t * ld + i] >= 0) sum[t * ld + i] = float(sum[t * ld + i] + double(g[i]) * x[at[t * ld + i]]);
}

void grid_plane_f32(const GridImage* s, int64_t n, const float* grid, int64_t channels, const float* x,
                    int64_t ldx, float* y, int64_t ldy) {
  for (int64_t i = 0; i < n; ++i) {
    int32_t at[4];
    float weight[4];
    grid_points_f32(s, 1, grid + 2 * i, at, weight, nullptr, 1);
    const bool nothing = s->border == GridImage::Zeros && s->method != GridImage::Nearest &&
                         !(::isfinite(grid[2 * i]) && ::isfinite(grid[2 * i + 1]));
    for (int64_t c = 0; c < channels; ++c) {
      sample_points_f32(1, s->method == GridImage::Nearest ? 1 : 4, at, weight, 1, x + c * ldx,
                        y + c * ldy + i);
      if (nothing) y[c * ldy + i] = NAN;
    }
  }
}

void grid_plane_grad_f32(const GridImage* s, int64_t n, const float* grid, int64_t channels, const float* x,
                         int64_t ldx, const float* g, int64_t ldg, float* gg) {
  for (int64_t i = 0; i < n; ++i) {
    int32_t at[4];
    float weight[4], slope[3 * 4], dot[4] = {};
    grid_points_f32(s, 1, grid + 2 * i, at, weight, slope, 1);
    for (int64_t c = 0; c < channels; ++c) point_dots_f32(1, 4, at, 1, g + c * ldg + i, x + c * ldx, dot);
    for (int64_t d = 0; d < 2; ++d) {
      double sum = 0;
      for (int64_t t = 0; t < 4; ++t) sum += double(dot[t]) * slope[d * 4 + t];
      gg[2 * i + d] = float(sum);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
