// Values of an image at the points of a grid: the places and weights of the taps around each point, and sums
// over them. The lanes are points.
#pragma once
#include "grid.h"
#include "vec_double.h"
#include "vec_lanes.h"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// The taps of points along one axis: places (-1: outside), weights, and these differentiated by the grid's
// value.
struct AxisLanes {
  IVec at[4];
  Vec weight[4], slope[4];
};

// Coordinates, and their derivative by the grid's value.
struct Places {
  Vec x, slope;
};

// Reflects at low and low + span.
NNLIB_INLINE Places reflect(Places p, float low, float span) {
  if (span == 0) return {zero(), zero()};
  const Vec from = set1(low), x = p.x - from, a = abs(x), flips = floor(a / set1(span));
  const Vec rest = fnma(flips, set1(span), a), half = flips * set1(0.5f);
  const Mask odd = ne(floor(half), half);
  const Vec slope = select(lt(x, zero()), -p.slope, p.slope);
  return {select(odd, set1(span) - rest, rest) + from, select(odd, -slope, slope)};
}

NNLIB_INLINE Places into_image(const GridImage& s, int64_t size, Places p) {
  if (s.border == GridImage::Reflection)
    p = s.align_corners ? reflect(p, 0, float(size - 1)) : reflect(p, -0.5f, float(size));
  if (s.border != GridImage::Zeros) {
    const Vec last = set1(float(size - 1));
    const Mask above = gt(p.x, zero()), within = above & lt(p.x, last);
    p.x = select(within, p.x, select(above, last, zero()));
    p.slope = select(within, p.slope, zero());
  }
  // What does not fit an index lies outside of every image, NaN too.
  p.x = select(le(abs(p.x), set1(1e9f)), p.x, set1(-100.f));
  return p;
}
NNLIB_INLINE IVec place_or_none(IVec i, int64_t size) {
  return select(lt(i, set1i(size < INT32_MAX ? int32_t(size) : INT32_MAX)) & ~lt(i, set1i(0)), i, set1i(-1));
}

// Keys' cubic convolution kernel (1981), a = -0.75, at distances d of at most 1 and from 1 to 2, and its
// derivative.
NNLIB_INLINE void cubic_near(Vec d, Vec by, Vec* w, Vec* slope) {
  const float a = -0.75f;
  const Vec x = abs(d);
  *w = fma(fma(set1(a + 2), x, set1(-(a + 3))) * x, x, set1(1.f));
  *slope = copysign(set1(1.f), d) * (fma(set1(3 * (a + 2)), x, set1(-2 * (a + 3))) * x) * by;
}
NNLIB_INLINE void cubic_far(Vec d, Vec by, Vec* w, Vec* slope) {
  const float a = -0.75f;
  const Vec x = abs(d);
  *w = fma(fma(fma(set1(a), x, set1(-5 * a)), x, set1(8 * a)), x, set1(-4 * a));
  *slope = copysign(set1(1.f), d) * fma(fma(set1(3 * a), x, set1(-10 * a)), x, set1(8 * a)) * by;
}

// Where values of the grid point to along an axis, not yet brought into the image.
NNLIB_INLINE Places places_of(const GridImage& s, int64_t size, Vec v) {
  const float half = float(s.align_corners ? size - 1 : size) * 0.5f;
  return {(v + set1(1.f)) * set1(half) - set1(s.align_corners ? 0.f : 0.5f), set1(half)};
}

NNLIB_INLINE void axis_lanes(const GridImage& s, int64_t size, Vec v, AxisLanes* a) {
  Places p = places_of(s, size, v);
  if (s.method == GridImage::Bicubic) {
    const Vec first = floor(p.x), t = p.x - first;
    for (int k = 0; k < 4; ++k) {
      const Places at = into_image(s, size, {first + set1(float(k - 1)), zero()});
      a->at[k] = place_or_none(trunc_int(at.x), size);
    }
    cubic_far(t + set1(1.f), p.slope, &a->weight[0], &a->slope[0]);
    cubic_near(t, p.slope, &a->weight[1], &a->slope[1]);
    cubic_near(t - set1(1.f), p.slope, &a->weight[2], &a->slope[2]);
    cubic_far(t - set1(2.f), p.slope, &a->weight[3], &a->slope[3]);
    return;
  }
  p = into_image(s, size, p);
  if (s.method == GridImage::Nearest) {
    a->at[0] = place_or_none(to_int(p.x), size);
    a->weight[0] = set1(1.f);
    a->slope[0] = zero();
    return;
  }
  const Vec first = floor(p.x), part = p.x - first;
  const IVec i = trunc_int(first);
  a->at[0] = place_or_none(i, size);
  a->at[1] = place_or_none(i + set1i(1), size);
  a->weight[0] = set1(1.f) - part;
  a->weight[1] = part;
  a->slope[0] = -p.slope;
  a->slope[1] = p.slope;
}

bool grid_points_f32(const GridImage* image, int64_t n, const float* grid, int32_t* at, float* weight,
                     float* slope, int64_t ld) {
  const GridImage& s = *image;
  const int taps = s.method == GridImage::Nearest ? 1 : s.method == GridImage::Bicubic ? 4 : 2;
  const bool flat = s.dims == 2;
  const int depth = flat ? 1 : taps, count = depth * taps * taps;
  const IVec height = set1i(int32_t(s.size[1])), width = set1i(int32_t(s.size[2]));
  bool inside = true;
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t m = n - i < kWidth ? n - i : kWidth;
    Vec value[3];
    if (flat && m == kWidth) {
      split_pairs(load(grid + 2 * i), load(grid + 2 * i + kWidth), &value[0], &value[1]);
    } else {
      float t[3][kWidth] = {};
      for (int64_t q = 0; q < m; ++q)
        for (int64_t d = 0; d < s.dims; ++d) t[d][q] = grid[(i + q) * s.dims + d];
      for (int64_t d = 0; d < s.dims; ++d) value[d] = load(t[d]);
    }
    AxisLanes axis[3];  // x, y, z
    for (int64_t d = 0; d < s.dims; ++d) axis_lanes(s, s.size[2 - d], value[d], &axis[d]);
    if (flat) axis[2].at[0] = set1i(0), axis[2].weight[0] = set1(1.f), axis[2].slope[0] = zero();
    const Mask lanes = lanes_below(zero(), m);
    const AxisLanes &x = axis[0], &y = axis[1], &z = axis[2];
    int t = 0;
    for (int kz = 0; kz < depth; ++kz)
      for (int ky = 0; ky < taps; ++ky) {
        const IVec row = (z.at[kz] * height + y.at[ky]) * width, outer = y.at[ky] | z.at[kz];
        const Vec wzy = z.weight[kz] * y.weight[ky];
        for (int kx = 0; kx < taps; ++kx, ++t) {
          const Mask out = lt(x.at[kx] | outer, set1i(0));
          inside = inside & !any(out & lanes);
          store_i(at + t * ld + i, select(out, set1i(-1), row + x.at[kx]));
          store(weight + t * ld + i, select(out, zero(), wzy * x.weight[kx]));
          if (!slope) continue;
          float* const by = slope + t * ld + i;
          const int64_t next = count * ld;
          store(by, select(out, zero(), wzy * x.slope[kx]));
          store(by + next, select(out, zero(), z.weight[kz] * y.slope[ky] * x.weight[kx]));
          store(by + 2 * next, select(out, zero(), z.slope[kz] * y.weight[ky] * x.weight[kx]));
        }
      }
  }
  return inside;
}

// The four pixels around points of a plane whose lines have two values at least: two beside each other in
// either line, moved to the nearest such pair where one of them lies outside.
struct PlaneTaps {
  IVec top, bottom;
  // Of the way from one pixel to the next, and its derivative by the grid's value.
  Vec x, y, slope_x, slope_y;
  bool inside;
  // Where a line's pair was moved, and which pixels are inside.
  Mask before, after, left, right, above, below;

  NNLIB_INLINE void find(const GridImage& s, Places px, Places py) {
    const Vec first_x = floor(px.x), first_y = floor(py.x);
    const IVec i = trunc_int(first_x), j = trunc_int(first_y);
    x = px.x - first_x, y = py.x - first_y, slope_x = px.slope, slope_y = py.slope;
    const IVec none = set1i(0), one = set1i(1), width = set1i(int32_t(s.size[2])),
               last = set1i(int32_t(s.size[2] - 2)), bottom_line = set1i(int32_t(s.size[1] - 1));
    before = lt(i, none), after = lt(last, i);
    const Mask high = lt(j, none), low = lt(bottom_line, j + one);
    inside = !any(before | after | high | low);
    if (inside) {
      top = j * width + i;
      bottom = top + width;
      return;
    }
    const IVec at = select(before, none, select(after, last, i));
    const Mask far_left = lt(i, set1i(-1)), far_right = lt(last + one, i);
    left = ~(before | far_right), right = ~(after | far_left);
    above = ~(high | lt(bottom_line, j)), below = ~(low | lt(j, set1i(-1)));
    top = select(above, j, none) * width + at;
    bottom = select(below, j + one, none) * width + at;
  }
  // Top left, top right, bottom left, bottom right; 0 outside.
  NNLIB_INLINE void values(const float* plane, Vec (&v)[4]) const {
    gather_pairs(plane, top, &v[0], &v[1]);
    gather_pairs(plane, bottom, &v[2], &v[3]);
    if (inside) return;
    for (int k = 0; k < 4; k += 2) {
      const Mask line = k ? below : above;
      const Vec a = select(after, v[k + 1], v[k]), b = select(before, v[k], v[k + 1]);
      v[k] = select(line & left, a, zero());
      v[k + 1] = select(line & right, b, zero());
    }
  }
};

// Calls f(i, m, x, y) for the values of the grid of each m points.
template <class F>
NNLIB_INLINE void each_points(int64_t n, const float* grid, F f) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t m = n - i < kWidth ? n - i : kWidth;
    Vec a, b, x, y;
    if (m == kWidth) {
      a = load(grid + 2 * i), b = load(grid + 2 * i + kWidth);
    } else {
      a = load_n(grid + 2 * i, 2 * m), b = load_n(grid + 2 * i + kWidth, 2 * m - kWidth);
    }
    split_pairs(a, b, &x, &y);
    f(i, m, x, y);
  }
}

void grid_plane_f32(const GridImage* image, int64_t n, const float* grid, int64_t channels, const float* x,
                    int64_t ldx, float* y, int64_t ldy) {
  const GridImage s = *image;
  if (s.method == GridImage::Nearest)
    return each_points(n, grid, [=](int64_t i, int64_t m, Vec vx, Vec vy) __attribute__((always_inline)) {
      const IVec px = to_int(into_image(s, s.size[2], places_of(s, s.size[2], vx)).x),
                 py = to_int(into_image(s, s.size[1], places_of(s, s.size[1], vy)).x);
      const IVec none = set1i(0), width = set1i(int32_t(s.size[2])), height = set1i(int32_t(s.size[1]));
      const Mask in = lt(px, width) & lt(py, height) & ~lt(px | py, none);
      const IVec at = select(in, py, none) * width + select(in, px, none);
      for (int64_t c = 0; c < channels; ++c) {
        const Vec v = select(in, gather(x + c * ldx, at), zero());
        if (m == kWidth)
          store(y + c * ldy + i, v);
        else
          store_n(y + c * ldy + i, v, m);
      }
    });
  each_points(n, grid, [=](int64_t i, int64_t m, Vec vx, Vec vy) __attribute__((always_inline)) {
    const Places px = places_of(s, s.size[2], vx), py = places_of(s, s.size[1], vy);
    PlaneTaps taps;
    taps.find(s, into_image(s, s.size[2], px), into_image(s, s.size[1], py));
    const Vec one = set1(1.f);
    const Vec w[] = {(one - taps.y) * (one - taps.x), (one - taps.y) * taps.x, taps.y * (one - taps.x),
                     taps.y * taps.x};
    // Between places that are no numbers, or infinite, lies nothing.
    const Vec start = s.border == GridImage::Zeros ? (px.x - px.x) + (py.x - py.x) : zero();
    for (int64_t c = 0; c < channels; ++c) {
      Vec v[4];
      taps.values(x + c * ldx, v);
      const Vec sum = fma(w[3], v[3], fma(w[2], v[2], fma(w[1], v[1], fma(w[0], v[0], start))));
      if (m == kWidth)
        store(y + c * ldy + i, sum);
      else
        store_n(y + c * ldy + i, sum, m);
    }
  });
}

void grid_plane_grad_f32(const GridImage* image, int64_t n, const float* grid, int64_t channels,
                         const float* x, int64_t ldx, const float* g, int64_t ldg, float* gg) {
  const GridImage s = *image;
  each_points(n, grid, [=](int64_t i, int64_t m, Vec vx, Vec vy) __attribute__((always_inline)) {
    PlaneTaps taps;
    taps.find(s, into_image(s, s.size[2], places_of(s, s.size[2], vx)),
              into_image(s, s.size[1], places_of(s, s.size[1], vy)));
    Vec dot[4] = {zero(), zero(), zero(), zero()};
    for (int64_t c = 0; c < channels; ++c) {
      Vec v[4];
      taps.values(x + c * ldx, v);
      const Vec by = m == kWidth ? load(g + c * ldg + i) : load_n(g + c * ldg + i, m);
      for (int k = 0; k < 4; ++k) dot[k] = fma(by, v[k], dot[k]);
    }
    const Vec top = dot[1] - dot[0], bottom = dot[3] - dot[2], left = dot[2] - dot[0],
              right = dot[3] - dot[1];
    Vec a, b;
    merge_pairs(taps.slope_x * fma(taps.y, bottom - top, top), taps.slope_y * fma(taps.x, right - left, left),
                &a, &b);
    if (m == kWidth) {
      store(gg + 2 * i, a), store(gg + 2 * i + kWidth, b);
    } else {
      store_n(gg + 2 * i, a, 2 * m), store_n(gg + 2 * i + kWidth, b, 2 * m - kWidth);
    }
  });
}

// x at the places of n lanes; 0 where there is none.
NNLIB_INLINE Vec at_places(const float* x, const int32_t* at, int64_t n, Mask* outside) {
  const IVec place = n == kWidth ? load_i(at) : load_in(at, n), none = set1i(0);
  *outside = lt(place, none);
  return select(*outside, zero(), gather(x, select(*outside, none, place)));
}

// Whether the second places of kWidth lanes follow on the first, all inside: as those of a line of taps do.
NNLIB_INLINE bool in_pairs(IVec first, IVec second) {
  return !any(lt(first, set1i(0)) | ~eq(second, first + set1i(1)));
}

void sample_points_f32(int64_t n, int64_t taps, const int32_t* at, const float* weight, int64_t ld,
                       const float* x, float* y) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t m = n - i < kWidth ? n - i : kWidth;
    Vec sum = zero();
    for (int64_t t = 0; t < taps; ++t) {
      if (m == kWidth && t + 1 < taps) {
        const IVec place = load_i(at + t * ld + i);
        if (in_pairs(place, load_i(at + (t + 1) * ld + i))) {
          Vec u, v;
          gather_pairs(x, place, &u, &v);
          sum = fma(load(weight + t * ld + i), u, sum);
          sum = fma(load(weight + ++t * ld + i), v, sum);
          continue;
        }
      }
      Mask outside;
      const Vec v = at_places(x, at + t * ld + i, m, &outside);
      sum = fma(select(outside, zero(), load_n(weight + t * ld + i, m)), v, sum);
    }
    store_n(y + i, sum, m);
  }
}

// The lanes are channels: the taps' values lie beside each other, one load where other layouts need a gather.
// taps(c, m): the sum over the taps of m channels from c on.
template <class F>
NNLIB_INLINE void pixel_sums(int64_t channels, float* y, F taps) {
  int64_t c = 0;
  for (; c + kWidth <= channels; c += kWidth) store(y + c, taps(c, kWidth));
  if (c < channels) store_n(y + c, taps(c, channels - c), channels - c);
}
void sample_pixels_f32(int64_t n, int64_t taps, const int32_t* at, const float* weight, int64_t ld,
                       int64_t channels, const float* x, int64_t ldx, float* y, int64_t ldy) {
  constexpr int kMost = 16;
  const auto get = [](const float* p, int64_t m)
                       __attribute__((always_inline)) { return m == kWidth ? load(p) : load_n(p, m); };
  for (int64_t i = 0; i < n; ++i, ++at, ++weight, y += ldy) {
    if (taps == 4 && (at[0] | at[ld] | at[2 * ld] | at[3 * ld]) >= 0) {
      const float *p = x + at[0] * ldx, *q = x + at[ld] * ldx, *r = x + at[2 * ld] * ldx,
                  *s = x + at[3 * ld] * ldx;
      const Vec a = set1(weight[0]), b = set1(weight[ld]), d = set1(weight[2 * ld]), e = set1(weight[3 * ld]);
      pixel_sums(channels, y, [=](int64_t c, int64_t m) __attribute__((always_inline)) {
        return fma(e, get(s + c, m), fma(d, get(r + c, m), fma(b, get(q + c, m), a * get(p + c, m))));
      });
      continue;
    }
    if (taps == 1 && at[0] >= 0) {
      const float* const p = x + at[0] * ldx;
      const Vec a = set1(weight[0]);
      pixel_sums(channels, y,
                 [=](int64_t c, int64_t m) __attribute__((always_inline)) { return a * get(p + c, m); });
      continue;
    }
    const float* from[kMost];
    float by[kMost];
    int64_t inside = 0;
    for (int64_t t = 0; t < taps; ++t) {
      const int32_t place = at[t * ld];
      from[inside] = x + place * ldx;
      by[inside] = weight[t * ld];
      inside += place >= 0;
    }
    pixel_sums(channels, y, [&](int64_t c, int64_t m) __attribute__((always_inline)) {
      Vec sum = zero();
      for (int64_t k = 0; k < inside; ++k) sum = fma(set1(by[k]), get(from[k] + c, m), sum);
      return sum;
    });
  }
}

void point_dots_f32(int64_t n, int64_t taps, const int32_t* at, int64_t ld, const float* g, const float* x,
                    float* sum) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t m = n - i < kWidth ? n - i : kWidth;
    const Vec by = load_n(g + i, m);
    for (int64_t t = 0; t < taps; ++t) {
      if (m == kWidth && t + 1 < taps) {
        const IVec place = load_i(at + t * ld + i);
        if (in_pairs(place, load_i(at + (t + 1) * ld + i))) {
          Vec u, v;
          gather_pairs(x, place, &u, &v);
          float *const first = sum + t * ld + i, *const second = first + ld;
          store(first, fma(by, u, load(first)));
          store(second, fma(by, v, load(second)));
          ++t;
          continue;
        }
      }
      Mask outside;
      const Vec v = at_places(x, at + t * ld + i, m, &outside);
      float* const to = sum + t * ld + i;
      store_n(to, select(outside, load_n(to, m), fma(by, v, load_n(to, m))), m);
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
