// The kernels of normalisation, pooling and dropout against the reference, at odd sizes and alignments.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

template <class T>
void expect(Guarded<T>& got, Guarded<T>& want, const char* kernel, const char* isa, double rtol) {
  for (int64_t i = 0; i < got.size(); ++i) {
    CHECK(close(got[i], want[i], rtol, rtol), kernel, " ", isa, " at ", i, " of ", got.size(), " is ", got[i],
          " not ", want[i]);
  }
  CHECK(got.intact(), kernel, " ", isa, " wrote past its ", got.size(), " values");
}

// Runs a kernel of every table and the reference on outputs that start with the same values.
#define COMPARE(kernel, outputs, ...)                                   \
  do {                                                                  \
    covered().insert(#kernel);                                          \
    Guarded<float> got(outputs, 3), want(outputs, 3);                   \
    fill(got);                                                          \
    for (int64_t i = 0; i < got.size(); ++i) want[i] = got[i];          \
    const auto call = [&](const Table& t, float* out) { __VA_ARGS__; }; \
    call(table, got.data());                                            \
    call(truth(), want.data());                                         \
    expect(got, want, #kernel, isa, 1e-5 * (1 + double(n) / 16));       \
  } while (0)

// The kernels of one type: names end in its suffix.
#define COMPARE_NORM(name, outputs, call)                           \
  do {                                                              \
    covered().insert({#name "_f32", #name "_f64"});                 \
    Guarded<T> got(outputs, 3), want(outputs, 3);                   \
    fill(got);                                                      \
    for (int64_t i = 0; i < got.size(); ++i) want[i] = got[i];      \
    const auto run = [&](const Table& t, T* out) {                  \
      const auto kernel = [&](auto... args) {                       \
        if constexpr (std::is_same_v<T, float>)                     \
          return t.name##_f32(args...);                             \
        else                                                        \
          return t.name##_f64(args...);                             \
      };                                                            \
      call;                                                         \
    };                                                              \
    run(table, got.data());                                         \
    run(truth(), want.data());                                      \
    expect(got, want, #name, isa, rounding * (1 + double(n) / 16)); \
  } while (0)

template <class T>
void norm_kernels(const Table& table, const char* isa, int64_t n, bool affine) {
  const double rounding = std::is_same_v<T, float> ? 1e-5 : 2e-14;
  Guarded<T> xs(n), gs(n), ws(n), bs(n), cs(n);
  for (auto* a : {&xs, &gs, &ws, &bs, &cs}) fill(*a);
  const T *x = xs.data(), *g = gs.data(), *w = ws.data(), *b = bs.data(), *c = cs.data();
  const T *weight = affine ? w : nullptr, *bias = affine ? b : nullptr;
  const T mean = T(0.3), rstd = T(1.2), p = T(1.7), q = T(-0.4), r = T(0.2);
  COMPARE_NORM(norm_sum, 1, out[0] = kernel(n, x));
  COMPARE_NORM(norm_square_deviation, 1, out[0] = kernel(n, x, mean));
  COMPARE_NORM(norm_apply, n, kernel(n, x, p, q, out));
  COMPARE_NORM(norm_grad_sums, 2, kernel(n, g, x, mean, out));
  COMPARE_NORM(norm_grad, n, kernel(n, g, x, p, q, r, out));
  COMPARE_NORM(norm_affine, n, kernel(n, x, mean, rstd, weight, bias, out));
  COMPARE_NORM(norm_affine_grad_sums, 2, kernel(n, g, x, weight, mean, out));
  COMPARE_NORM(norm_affine_grad, n, kernel(n, g, x, weight, p, q, r, out));
  COMPARE_NORM(norm_param_grad, 2 * n, kernel(n, g, x, mean, rstd, affine ? out : nullptr, out + n));
  COMPARE_NORM(col_sum, n, kernel(n, x, out));
  COMPARE_NORM(col_square_deviation, n, kernel(n, x, w, out));
  COMPARE_NORM(col_apply, n, kernel(n, x, w, b, out));
  COMPARE_NORM(col_grad_sums, 2 * n, kernel(n, g, x, w, out, out + n));
  COMPARE_NORM(col_grad, n, kernel(n, g, x, w, b, c, out));
}

// The kernels that take 16-bit floats as they are.
struct HalfNorms {
  decltype(Table::norm_apply_bf16) apply;
  decltype(Table::col_apply_bf16) col_apply;
  decltype(Table::col_sum_bf16) sum;
  decltype(Table::col_square_deviation_bf16) deviation;
  HalfNorms(const Table& t, bool brain)
      : apply(brain ? t.norm_apply_bf16 : t.norm_apply_f16),
        col_apply(brain ? t.col_apply_bf16 : t.col_apply_f16),
        sum(brain ? t.col_sum_bf16 : t.col_sum_f16),
        deviation(brain ? t.col_square_deviation_bf16 : t.col_square_deviation_f16) {}
};
void half_norm_kernels(const Table& table, const char* isa, int64_t n, bool brain) {
  for (const char* name : {"norm_apply", "col_apply", "col_sum", "col_square_deviation"})
    covered().insert(std::string(name) + (brain ? "_bf16" : "_f16"));
  Guarded<float> values(n), w(n), b(n);
  fill(values), fill(w), fill(b);
  Guarded<uint16_t> x(n), y(n, 3), y0(n, 3);
  for (int64_t i = 0; i < n; ++i) x[i] = to_half(values[i], brain);
  const HalfNorms got(table, brain), want(truth(), brain);
  const auto same = [&](const char* name) {
    for (int64_t i = 0; i < n; ++i)
      CHECK(near_half(y[i], y0[i], brain), name, " ", isa, " at ", i, " of ", n, " is ",
            from_half(y[i], brain), " not ", from_half(y0[i], brain));
    CHECK(y.intact(), name, " ", isa, " wrote past its ", n, " values");
  };
  got.apply(n, x.data(), 1.7f, -0.4f, y.data()), want.apply(n, x.data(), 1.7f, -0.4f, y0.data());
  same("norm_apply of 16 bits");
  got.col_apply(n, x.data(), w.data(), b.data(), y.data());
  want.col_apply(n, x.data(), w.data(), b.data(), y0.data());
  same("col_apply of 16 bits");
  Guarded<float> s(n, 3), s0(n, 3);
  fill(s);
  for (int64_t i = 0; i < n; ++i) s0[i] = s[i];
  got.sum(n, x.data(), s.data()), want.sum(n, x.data(), s0.data());
  expect(s, s0, "col_sum of 16 bits", isa, 1e-6);
  got.deviation(n, x.data(), w.data(), s.data()), want.deviation(n, x.data(), w.data(), s0.data());
  expect(s, s0, "col_square_deviation of 16 bits", isa, 1e-5);
}

void attention_kernels(const Table& table, const char* isa, int64_t n, int64_t width) {
  const int64_t size = n * width, ld = width + 3, apart = n * ld;
  Guarded<float> p(apart), shift(std::max(n, width)), factor(std::max(n, width));
  fill(p), fill(shift), fill(factor);
  for (bool by_column : {false, true}) {
    COMPARE(attention_probability_f32, apart,
            t.attention_probability_f32(n, width, ld, out, shift.data(), factor.data(), by_column));
    COMPARE(attention_grad_f32, apart,
            t.attention_grad_f32(n, width, ld, p.data(), shift.data(), out, by_column));
  }
  Guarded<float> y(size);
  fill(y);
  COMPARE(attention_dot_f32, width, t.attention_dot_f32(n, width, p.data(), y.data(), out));
  std::vector<uint8_t> mask(width * (n + 5));
  for (uint8_t& m : mask) m = rng()() % 4 != 0;
  COMPARE(attention_mask_f32, apart, t.attention_mask_f32(n, width, mask.data(), n + 5, out, ld));
  std::fill(mask.begin(), mask.end() - 1, 1);  // the last lies behind the keys
  COMPARE(attention_mask_f32, apart, t.attention_mask_f32(n, width, mask.data(), n + 5, out, ld));
  // Scores, then the state, then three rows made of earlier scores. The state is -infinity at first; a column
  // may have seen nothing yet, and one holds NaN.
  for (const float first : {-INFINITY, 1.f}) {
    COMPARE(attention_softmax_f32, size + 5 * width, float* state = out + size;
            for (int64_t c = 0; c < width; ++c) state[c] = first, state[width + c] = first > 0 ? 2.f : 0.f;
            for (int64_t i = 0; i < n; ++i) out[i * width] = -INFINITY;
            if (n > 1 && width > 2) out[width + 1] = NAN;
            t.attention_softmax_f32(n, width, out, state, 3, state + 2 * width));
  }
}

// In double, where NaN and -infinity go as in float.
void attention_in_double(const Table& t, const char* isa, int64_t n, int64_t width) {
  const int64_t size = n * width;
  std::vector<double> s(size_t(size + 5 * width)), shift(size_t(std::max(n, width))), factor(shift.size());
  for (std::vector<double>* v : {&s, &shift, &factor}) fill(*v);
  for (int64_t i = 0; i < n; ++i) s[size_t(i * width)] = -INFINITY;
  const auto same = [&](const char* name, const Guarded<double>& y, const Guarded<double>& y0) {
    for (size_t i = 0; i < s.size(); ++i)
      CHECK(close(y[int64_t(i)], y0[int64_t(i)], 1e-13, 1e-300) ||
                (std::isnan(y[int64_t(i)]) && std::isnan(y0[int64_t(i)])),
            name, " ", isa, " ", n, " x ", width, " at ", i, ": ", y[int64_t(i)], " not ", y0[int64_t(i)]);
    CHECK(y.intact(), name, " ", isa, " wrote outside");
  };
  for (const double first : {-double(INFINITY), 1.0}) {
    Guarded<double> y(size + 5 * width), y0(size + 5 * width);
    for (int64_t i = 0; i < size + 5 * width; ++i) y[i] = s[size_t(i)];
    for (int64_t c = 0; c < width; ++c) y[size + c] = first, y[size + width + c] = first > 0 ? 2 : 0;
    for (int64_t i = 0; i < size + 5 * width; ++i) y0[i] = y[i];
    const auto run = [&](const Table& table, double* p) {
      table.attention_softmax_f64(n, width, p, p + size, 3, p + size + 2 * width);
    };
    run(t, y.data()), run(truth(), y0.data());
    same("attention_softmax_f64", y, y0);
  }
  for (bool by_column : {false, true}) {
    Guarded<double> y(size + 5 * width), y0(size + 5 * width);
    for (int64_t i = 0; i < size + 5 * width; ++i) y[i] = y0[i] = s[size_t(i)];
    t.attention_probability_f64(n, width, width, y.data(), shift.data(), factor.data(), by_column);
    truth().attention_probability_f64(n, width, width, y0.data(), shift.data(), factor.data(), by_column);
    same("attention_probability_f64", y, y0);
  }
  Guarded<double> y(size + 5 * width), y0(size + 5 * width);
  fill(y), y0 = y;
  std::vector<double> a((size_t)size), b((size_t)size);
  fill(a), fill(b);
  t.attention_dot_f64(n, width, a.data(), b.data(), y.data());
  truth().attention_dot_f64(n, width, a.data(), b.data(), y0.data());
  for (int64_t c = 0; c < width; ++c)
    CHECK(std::fabs(y[c] - y0[c]) <= 1e-13, "attention_dot_f64 ", isa, " ", n, " x ", width, " at ", c);
  CHECK(y.intact(), "attention_dot_f64 ", isa, " wrote outside");
}

}  // namespace

TEST(attention) {
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : {0, 1, 2, 5, 33, 64, 131})
      for (int64_t width : {1, 3, 8, 16, 24, 32, 37})
        attention_kernels(table, isa, n, width), attention_in_double(table, isa, n, width);
    for (int64_t n : odd_sizes()) attention_kernels(table, isa, n, 1), attention_in_double(table, isa, n, 1);
  });
  covered().insert({"attention_softmax_f64", "attention_probability_f64", "attention_dot_f64"});
}

TEST(norm) {
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes()) {
      for (bool affine : {false, true}) {
        norm_kernels<float>(table, isa, n, affine);
        norm_kernels<double>(table, isa, n, affine);
      }
      for (bool brain : {false, true}) half_norm_kernels(table, isa, n, brain);
    }
  });
}

TEST(max_pool_2x2) {
  covered().insert("max_pool_2x2_f32");
  covered().insert("max_pool_2x2_grad_f32");
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes()) {
      Guarded<float> upper(2 * n), lower(2 * n), y(n), y0(n), g(n);
      Guarded<uint8_t> at(n), at0(n);
      fill(upper);
      fill(lower);
      fill(g);
      // Ties and NaN: the first of equals, the last NaN.
      for (int64_t i = 0; i + 4 < 2 * n; i += 5) {
        lower[i] = upper[i];
        upper[i + 1] = NAN;
        if (i % 2) lower[i + 1] = NAN;
      }
      table.max_pool_2x2_f32(n, upper.data(), lower.data(), y.data(), at.data());
      truth().max_pool_2x2_f32(n, upper.data(), lower.data(), y0.data(), at0.data());
      expect(y, y0, "max_pool_2x2_f32", isa, 0);
      for (int64_t i = 0; i < n; ++i) CHECK(at[i] == at0[i], isa, " place ", i, " of ", n);
      CHECK(at.intact(), isa, " wrote past its places");
      Guarded<float> gu(2 * n), gl(2 * n), gu0(2 * n), gl0(2 * n);
      table.max_pool_2x2_grad_f32(n, g.data(), at.data(), gu.data(), gl.data());
      truth().max_pool_2x2_grad_f32(n, g.data(), at.data(), gu0.data(), gl0.data());
      expect(gu, gu0, "max_pool_2x2_grad_f32", isa, 0);
      expect(gl, gl0, "max_pool_2x2_grad_f32", isa, 0);
    }
  });
}

namespace {

// as(v): the element that stands for a float.
template <class T, class S, class F>
void check_pool_lines(const char* isa, const std::string& type,
                      void (*const (&max)[2])(int64_t, int64_t, const int64_t*, const int32_t*, int64_t,
                                              const T*, T*, int32_t*),
                      void (*const (&back)[2])(int64_t, int64_t, const int64_t*, int32_t, const T*,
                                               const int32_t*, T*),
                      void (*const (&mean)[2])(int64_t, int64_t, const int64_t*, const T*, S, S*), F as) {
  for (int64_t n : odd_sizes()) {
    for (int64_t taps : {1, 2, 9}) {
      Guarded<float> values(n + 40);
      fill(values);
      for (int64_t i = 0; i < n + 40; i += 7) values[i] = i % 2 ? NAN : 0.25f;
      Guarded<T> x(n + 40), y(n), y0(n);
      for (int64_t i = 0; i < n + 40; ++i) x[i] = as(values[i]);
      Guarded<S> s(n), s0(n);
      Guarded<int32_t> at(n), at0(n), kept(n + 40);
      std::vector<int64_t> offset;
      std::vector<int32_t> place;
      for (int64_t t = 0; t < taps; ++t) {
        offset.push_back(t * 13 % 40);
        place.push_back(int32_t(100 - 3 * t));
      }
      max[1](n, taps, offset.data(), place.data(), 3, x.data(), y0.data(), at0.data());
      for (int32_t* places : {at.data(), (int32_t*)nullptr}) {
        for (int64_t i = 0; i < n; ++i) y[i] = T(0);
        max[0](n, taps, offset.data(), place.data(), 3, x.data(), y.data(), places);
        expect(y, y0, ("pool_max_" + type).c_str(), isa, 0);
      }
      for (int64_t i = 0; i < n; ++i)
        CHECK(at[i] == at0[i], isa, " pool_max_", type, " place ", i, " of ", n, " is ", at[i]);
      CHECK(at.intact(), isa, " pool_max_", type, " wrote past its places");
      for (int64_t i = 0; i < n + 40; ++i) kept[i] = int32_t(i % 3), x[i] = as(float(i % 11) - 5.25f);
      back[0](n, taps, offset.data(), 1, x.data(), kept.data(), y.data());
      back[1](n, taps, offset.data(), 1, x.data(), kept.data(), y0.data());
      expect(y, y0, ("pool_max_grad_" + type).c_str(), isa, 0);
      for (int64_t i = 0; i < n + 40; ++i) x[i] = as(values[i]);
      mean[0](n, taps, offset.data(), x.data(), S(3), s.data());
      mean[1](n, taps, offset.data(), x.data(), S(3), s0.data());
      expect(s, s0, ("pool_mean_" + type).c_str(), isa, 0);
    }
  }
}

}  // namespace

TEST(pool_lines) {
  for_each_isa([](const Table& t, const char* isa) {
    const Table& o = truth();
#define NNLIB_CHECK_POOL(type, as)                                                   \
  covered().insert({"pool_max_" #type, "pool_max_grad_" #type, "pool_mean_" #type}); \
  check_pool_lines(isa, #type, {t.pool_max_##type, o.pool_max_##type},               \
                   {t.pool_max_grad_##type, o.pool_max_grad_##type},                 \
                   {t.pool_mean_##type, o.pool_mean_##type}, [](float v) { return as; })
    NNLIB_CHECK_POOL(f32, v);
    NNLIB_CHECK_POOL(f64, double(v));
    NNLIB_CHECK_POOL(bf16, to_half(v, true));
    NNLIB_CHECK_POOL(f16, to_half(v, false));
#undef NNLIB_CHECK_POOL
  });
}

TEST(sample_points) {
  covered().insert("sample_points_f32");
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes())
      for (int64_t taps : {1, 4, 16}) {
        const int64_t ld = n + 3;
        Guarded<float> x(50), y(n), y0(n);
        std::vector<float> weight(size_t(taps * ld));
        std::vector<int32_t> at(size_t(taps * ld));
        fill(x), fill(weight);
        x[0] = NAN;  // nobody's
        for (size_t i = 0; i < at.size(); ++i)
          at[i] = i % 5 == 3 ? -1 - int32_t(i % 2) : 1 + int32_t(i * 37 % 49);
        table.sample_points_f32(n, taps, at.data(), weight.data(), ld, x.data(), y.data());
        truth().sample_points_f32(n, taps, at.data(), weight.data(), ld, x.data(), y0.data());
        expect(y, y0, "sample_points_f32", isa, 1e-5);
      }
  });
}

TEST(sample_pixels) {
  covered().insert("sample_pixels_f32");
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t channels : odd_sizes())
      for (int64_t taps : {1, 4, 8, 16}) {
        const int64_t n = 7, ld = n + 2, ldx = channels + 3, ldy = channels + 1;
        Guarded<float> x(20 * ldx), y(n * ldy), y0(n * ldy);
        std::vector<float> weight(size_t(taps * ld));
        std::vector<int32_t> at(size_t(taps * ld));
        fill(x), fill(weight), fill(y);
        for (int64_t i = 0; i < n * ldy; ++i) y0[i] = y[i];  // what lies between the rows stays
        for (int64_t c = 0; c < ldx; ++c) x[c] = NAN;        // nobody's
        for (size_t i = 0; i < at.size(); ++i)
          at[i] = i % 9 == 3 ? -1 - int32_t(i % 2) : 1 + int32_t(i * 37 % 19);
        table.sample_pixels_f32(n, taps, at.data(), weight.data(), ld, channels, x.data(), ldx, y.data(),
                                ldy);
        truth().sample_pixels_f32(n, taps, at.data(), weight.data(), ld, channels, x.data(), ldx, y0.data(),
                                  ldy);
        expect(y, y0, "sample_pixels_f32", isa, 1e-5);
      }
  });
}

TEST(grid_points) {
  covered().insert({"grid_points_f32", "point_dots_f32"});
  using nnlib::kernels::GridImage;
  for_each_isa([](const Table& table, const char* isa) {
    for (const auto method : {GridImage::Bilinear, GridImage::Nearest, GridImage::Bicubic})
      for (const auto border : {GridImage::Zeros, GridImage::Border, GridImage::Reflection})
        for (const bool align : {false, true})
          for (int64_t dims : {2, 3})
            for (int64_t n : {1, 7, 8, 16, 33, 64}) {
              if (method == GridImage::Bicubic && dims == 3) continue;
              const GridImage image{method, border, align, dims, {dims == 3 ? 4 : 1, 5, n == 7 ? 1 : 9}};
              const int64_t taps = method == GridImage::Nearest   ? 1
                                   : method == GridImage::Bicubic ? 16
                                                                  : 1 << dims,
                            ld = 64;
              std::vector<float> grid(size_t(n * dims));
              fill(grid, -1.9f, 1.9f);
              if (n == 33) grid[0] = NAN, grid[3] = INFINITY, grid[5] = -1e30f, grid[8] = 1, grid[9] = -1;
              std::vector<int32_t> at(size_t(taps * ld)), want_at(at);
              std::vector<float> w(at.size()), want_w(at.size()), s(3 * at.size()), want_s(s.size());
              const bool inside =
                  table.grid_points_f32(&image, n, grid.data(), at.data(), w.data(), s.data(), ld);
              CHECK(inside == truth().grid_points_f32(&image, n, grid.data(), want_at.data(), want_w.data(),
                                                      want_s.data(), ld),
                    isa, " inside");
              std::vector<float> x(180), g(static_cast<size_t>(n)), dots(at.size()), want_dots(at.size());
              fill(x), fill(g);
              table.point_dots_f32(n, taps, at.data(), ld, g.data(), x.data(), dots.data());
              truth().point_dots_f32(n, taps, at.data(), ld, g.data(), x.data(), want_dots.data());
              for (int64_t t = 0; t < taps; ++t)
                for (int64_t i = 0; i < n; ++i) {
                  const size_t k = size_t(t * ld + i);
                  CHECK(at[k] == want_at[k], isa, " place ", at[k], " not ", want_at[k], " at ",
                        grid[size_t(i * dims)]);
                  CHECK(close(w[k], want_w[k], 1e-5, 2e-6), isa, " weight ", w[k], " not ", want_w[k]);
                  CHECK(close(dots[k], want_dots[k], 1e-6, 1e-6), isa, " dot ", k);
                  for (size_t d = 0; d < 3; ++d) {
                    const size_t q = d * at.size() + k;
                    CHECK(close(s[q], want_s[q], 1e-5, 2e-5), isa, " slope ", s[q], " not ", want_s[q]);
                  }
                }
            }
  });
}

TEST(grid_plane) {
  covered().insert({"grid_plane_f32", "grid_plane_grad_f32"});
  using nnlib::kernels::GridImage;
  for_each_isa([](const Table& table, const char* isa) {
    for (const auto method : {GridImage::Bilinear, GridImage::Nearest})
      for (const auto border : {GridImage::Zeros, GridImage::Border, GridImage::Reflection})
        for (const bool align : {false, true})
          for (int64_t n : {1, 7, 8, 16, 33, 64}) {
            const GridImage image{method, border, align, 2, {1, n == 16 ? 1 : 5, n == 7 ? 2 : 9}};
            const int64_t channels = 3, area = image.size[1] * image.size[2], ld = n + 2;
            // Points mostly inside in whole vectors, and far outside.
            const float reach = n == 64 ? 0.7f : 1.9f;
            Guarded<float> grid(2 * n), x(channels * area), y(channels * ld), y0(channels * ld),
                g(channels * ld), gg(2 * n), gg0(2 * n);
            fill(grid, -reach, reach), fill(x), fill(y), fill(g);
            for (int64_t i = 0; i < channels * ld; ++i) y0[i] = y[i];  // what lies between the rows stays
            if (n == 33) grid[0] = NAN, grid[3] = INFINITY, grid[5] = -1e30f, grid[8] = 1, grid[9] = -1;
            table.grid_plane_f32(&image, n, grid.data(), channels, x.data(), area, y.data(), ld);
            truth().grid_plane_f32(&image, n, grid.data(), channels, x.data(), area, y0.data(), ld);
            expect(y, y0, "grid_plane_f32", isa, 1e-5);
            if (method == GridImage::Nearest) continue;
            table.grid_plane_grad_f32(&image, n, grid.data(), channels, x.data(), area, g.data(), ld,
                                      gg.data());
            truth().grid_plane_grad_f32(&image, n, grid.data(), channels, x.data(), area, g.data(), ld,
                                        gg0.data());
            for (int64_t i = 0; i < 2 * n; ++i)
              CHECK(close(gg[i], gg0[i], 1e-4, 1e-4), isa, " gradient ", gg[i], " not ", gg0[i], " at ",
                    grid[i]);
          }
  });
}

template <class T>
void check_transpose(const char* isa, void (*kernel)(int64_t, int64_t, const T*, int64_t, T*, int64_t)) {
  for (int64_t rows : {0, 1, 2, 3, 4, 5, 15, 16, 33, 64, 70})
    for (int64_t cols : {0, 1, 2, 3, 4, 5, 15, 16, 33, 64, 70}) {
      const int64_t ldx = cols + 3, ldy = rows + 2;
      std::vector<T> x(size_t(rows * ldx + 1));
      for (size_t i = 0; i < x.size(); ++i) x[i] = T(i * 2654435761u + (i << 40));
      Guarded<T> y(cols * ldy);
      for (int64_t i = 0; i < cols * ldy; ++i) y[i] = T(77);
      kernel(rows, cols, x.data(), ldx, y.data(), ldy);
      for (int64_t j = 0; j < cols; ++j)
        for (int64_t i = 0; i < ldy; ++i)
          CHECK(y[j * ldy + i] == (i < rows ? x[size_t(i * ldx + j)] : T(77)), isa, " transpose_u",
                8 * sizeof(T), " ", rows, "x", cols, " at ", i, ", ", j);
      CHECK(y.intact(), isa, " transpose_u", 8 * sizeof(T), " wrote outside");
    }
}
TEST(transpose) {
  covered().insert({"transpose_u8", "transpose_u16", "transpose_u32", "transpose_u64"});
  for_each_isa([](const Table& table, const char* isa) {
    check_transpose(isa, table.transpose_u8);
    check_transpose(isa, table.transpose_u16);
    check_transpose(isa, table.transpose_u32);
    check_transpose(isa, table.transpose_u64);
  });
}

TEST(dropout) {
  covered().insert("dropout_f32");
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes()) {
      for (uint64_t counter : {uint64_t(0), uint64_t(0xfffffff0u), uint64_t(7) << 32}) {
        Guarded<float> x(n), y(n), y0(n);
        fill(x);
        table.dropout_f32(n, x.data(), y.data(), 0x60000000u, 1.6f, 0x123456789abcdef0u, counter);
        truth().dropout_f32(n, x.data(), y0.data(), 0x60000000u, 1.6f, 0x123456789abcdef0u, counter);
        expect(y, y0, "dropout_f32", isa, 0);
      }
    }
  });
  // The share that is dropped, and that different keys and counters give different numbers.
  const int64_t n = 1 << 16;
  std::vector<float> ones(n, 1.f), a(n), b(n), c(n);
  truth().dropout_f32(n, ones.data(), a.data(), 0x40000000u, 1.f, 1, 0);
  truth().dropout_f32(n, ones.data(), b.data(), 0x40000000u, 1.f, 2, 0);
  truth().dropout_f32(n, ones.data(), c.data(), 0x40000000u, 1.f, 1, n / 4);
  int64_t kept = 0, same_key = 0, same_counter = 0;
  for (int64_t i = 0; i < n; ++i) {
    kept += a[i] != 0;
    same_key += a[i] == b[i];
    same_counter += a[i] == c[i];
  }
  CHECK(std::fabs(kept / double(n) - 0.75) < 0.01, "kept ", kept, " of ", n);
  CHECK(std::fabs(same_key / double(n) - 0.625) < 0.01, "equal ", same_key, " of ", n);
  CHECK(std::fabs(same_counter / double(n) - 0.625) < 0.01, "equal ", same_counter, " of ", n);
}

TEST(box_muller) {
  covered().insert("box_muller_f32");
  std::vector<float> first, uniform(16 * 40);
  fill(uniform, 0, 1);
  for (size_t i = 0; i < uniform.size(); i += 37) uniform[i] = 0;
  for_each_isa([&](const Table& table, const char* isa) {
    for (int64_t blocks : {0, 1, 3, 40}) {
      Guarded<float> x(16 * blocks), y(16 * blocks);
      for (int64_t i = 0; i < 16 * blocks; ++i) x[i] = y[i] = uniform[i];
      table.box_muller_f32(blocks, x.data(), 0.5f, 2.f);
      truth().box_muller_f32(blocks, y.data(), 0.5f, 2.f);
      expect(x, y, "box_muller_f32", isa, 4e-6);
      if (blocks != 40) continue;
      // The bits are those of every other instruction set.
      const std::vector<float> bits(x.data(), x.data() + 16 * blocks);
      if (first.empty()) first = bits;
      CHECK(first == bits, isa, " differs from the other instruction sets");
    }
  });
}
