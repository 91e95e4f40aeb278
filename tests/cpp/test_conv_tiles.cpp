// The tiles of conv_direct.inl and conv_lines.inl.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

TEST(conv_direct) {
  std::vector<float> x(3000), a(200 * 16), bias(16);
  fill(x), fill(a), fill(bias);
  for_each_isa([&](const Table& t, const char* isa) {
    const int64_t mr = t.direct_mr, width = t.lines_nr / 2;
    for (int64_t kc : {0, 1, 9, 200}) {
      std::vector<int64_t> offset;
      for (int64_t k = 0; k < kc; ++k) offset.push_back(k * 13 % 500);
      for (int64_t m = 0; m <= mr; ++m) {
        for (int64_t vectors : {0, 1, 2, 3, 5, 6, 7, 13}) {
          std::vector<int64_t> vector;
          int64_t n = 0;
          for (int64_t v = 0; v < vectors; ++v) {
            const int64_t some = v % 2 == 0 ? width : 1 + v % width;
            vector.insert(vector.end(), {v * 97 % 800, n, some});
            n += some;
          }
          for (int mode = 0; mode < 3; ++mode) {
            Guarded<float> c(m * (n + 3)), d(m * (n + 3));
            fill(c);
            d = c;
            const auto run = [&](const Table& u, Guarded<float>& out) {
              u.conv_direct_f32(kc, a.data(), 16, offset.data(), x.data(), vectors, vector.data(), out.data(),
                                n + 3, m, mode == 1 ? bias.data() : nullptr, mode == 2);
            };
            run(t, c), run(truth(), d);
            for (int64_t i = 0; i < m * (n + 3); ++i)
              CHECK(close(c[i], d[i], 1e-5f, 1e-4f), isa, " direct ", m);
            CHECK(c.intact(), isa, " wrote outside");
          }
        }
      }
    }
  });
  covered().insert("conv_direct_f32");
}

TEST(conv_frame_dots) {
  std::vector<float> x(3000), g(200 * 40);
  fill(x), fill(g);
  for_each_isa([&](const Table& t, const char* isa) {
    const int64_t nr = t.lines_nr;
    const std::vector<std::vector<int64_t>> lists = {
        {}, {7, 1}, {3, 29, 33, 29, 500, 30}, {0, 8, 100, 0, 20, 150}};
    for (const std::vector<int64_t>& runs : lists) {
      for (int64_t m : {0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13, 25, 72}) {
        std::vector<int64_t> offset;
        for (int64_t i = 0; i < m; ++i) offset.push_back(i * 31 % 900);
        for (int64_t n : {int64_t(0), int64_t(1), nr / 2, nr / 2 + 1, nr - 1, nr}) {
          for (bool add : {false, true}) {
            Guarded<float> a(m * (n + 2)), b(m * (n + 2));
            fill(a);
            b = a;
            const auto run = [&](const Table& u, Guarded<float>& out) {
              u.frame_dots_f32(m, n, offset.data(), int64_t(runs.size()) / 2, runs.data(), x.data(), g.data(),
                               40, out.data(), n + 2, add);
            };
            run(t, a), run(truth(), b);
            for (int64_t i = 0; i < m * (n + 2); ++i)
              CHECK(close(a[i], b[i], 1e-5f, 1e-4f), isa, " frame_dots ", m, "x", n);
            CHECK(a.intact(), isa, " wrote outside");
          }
        }
      }
    }
  });
  covered().insert("frame_dots_f32");
}

TEST(conv_lines_tile) {
  for_each_isa([&](const Table& t, const char* isa) {
    const int64_t mr = t.lines_mr, nr = t.lines_nr, ld = t.lines_ld;
    std::vector<float> a(mr * ld), b(ld * nr), bias(nr);
    fill(a), fill(b), fill(bias);
    for (int64_t kc : {int64_t(0), int64_t(1), int64_t(7), ld}) {
      for (int64_t m = 0; m <= mr; ++m) {
        for (int64_t n : {int64_t(0), int64_t(1), nr / 2, nr / 2 + 1, nr - 1, nr}) {
          for (int mode = 0; mode < 3; ++mode) {
            Guarded<float> c(m * (nr + 3));
            fill(c);
            const std::vector<float> before(c.data(), c.data() + c.size());
            t.lines_tile_f32(kc, a.data(), b.data(), nr, c.data(), nr + 3, m, n,
                             mode == 1 ? bias.data() : nullptr, mode == 2);
            for (int64_t i = 0; i < m; ++i) {
              for (int64_t j = 0; j < nr + 3; ++j) {
                const double old = before[i * (nr + 3) + j];
                double want = mode == 2 ? old : mode == 1 && j < n ? bias[j] : 0;
                for (int64_t k = 0; k < kc && j < n; ++k) want += double(a[i * ld + k]) * b[k * nr + j];
                if (j >= n) want = old;
                CHECK(close(double(c[i * (nr + 3) + j]), want, 1e-5, 1e-4), isa, " lines_tile ", m, "x", n);
              }
            }
            CHECK(c.intact(), isa, " wrote outside");
          }
        }
      }
    }
  });
  covered().insert("lines_tile_f32");
}
