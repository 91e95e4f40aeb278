// The kernels of gemm.inl and the driver over them.
#include "core/half.h"
#include "core/parallel.h"
#include "harness.h"
#include "ops/drivers/gemm.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

template <class T, class Tile, class Pack>
void check_tiles(const char* isa, int64_t mr, int64_t nr, Tile tile, Pack pack, double eps) {
  for (int64_t kc : {0, 1, 2, 7, 40}) {
    for (int64_t m = 1; m <= mr; ++m) {
      for (int64_t n : {int64_t(1), int64_t(2), nr / 2, nr / 2 + 1, nr - 1, nr}) {
        if (n < 1 || n > nr) continue;
        std::vector<T> a(m * kc + 1), b(kc * n + 1), bias(n), row_bias(m), pa(mr * kc + 1), pb(nr * kc + 1);
        fill(a), fill(b), fill(bias), fill(row_bias);
        pack(mr, m, kc, a.data(), kc, 1, T(1), pa.data());
        pack(nr, n, kc, b.data(), 1, n, T(1), pb.data());
        for (int mode = 0; mode < 3; ++mode) {  // overwrite, with biases, accumulate
          const int64_t ldc = n + 3;
          Guarded<T> c(m * ldc);
          fill(c);
          const Guarded<T> old = c;
          tile(kc, pa.data(), pb.data(), nr, c.data(), ldc, m, n, mode == 1 ? row_bias.data() : nullptr,
               mode == 1 ? bias.data() : nullptr, mode == 2);
          Guarded<T> before = old;
          for (int64_t i = 0; i < m; ++i) {
            for (int64_t j = 0; j < ldc; ++j) {
              double want = before[i * ldc + j], size = 4;
              if (j < n) {
                want = mode == 1   ? double(bias[j]) + row_bias[i]
                       : mode == 2 ? double(before[i * ldc + j])
                                   : 0;
                for (int64_t k = 0; k < kc; ++k) want += double(a[i * kc + k]) * b[k * n + j];
                size += 4 * kc;
              }
              CHECK(close(double(c[i * ldc + j]), want, 0, eps * size), isa, " tile ", m, "x", n, "x", kc,
                    " at ", i, ",", j, ": ", c[i * ldc + j], " not ", want);
            }
          }
          CHECK(c.intact(), isa, " tile wrote outside C");
        }
      }
    }
  }
}

// One pack kernel against the reference: both unit strides and none.
template <class S, class T, class Pack>
void check_pack(const char* isa, const char* kernel, Pack got, Pack want, const std::vector<S>& src) {
  for (int64_t width : {1, 4, 6, 14, 16, 32}) {
    for (int64_t n : {int64_t(1), width / 2, width}) {
      for (int64_t kc : {0, 1, 5, 16, 19}) {
        const int64_t strides[][2] = {{1, 40}, {21, 1}, {3, 50}};
        for (const auto& s : strides) {
          Guarded<T> a(width * kc), b(width * kc);
          got(width, n, kc, src.data(), s[0], s[1], T(1.5), a.data());
          want(width, n, kc, src.data(), s[0], s[1], T(1.5), b.data());
          for (int64_t i = 0; i < width * kc; ++i) {
            CHECK(close(a[i], b[i], 0, 0), isa, " ", kernel, " width ", width, " n ", n, " kc ", kc, " rs ",
                  s[0]);
          }
          CHECK(a.intact(), isa, " ", kernel, " wrote outside");
        }
      }
    }
  }
}

// Rows into panels: full and low ones, rows that lie next to each other, overlap and lie apart.
template <class T, class Pack>
void check_pack_panels(const char* isa, Pack got, Pack want, const std::vector<T>& src) {
  for (int64_t width : {1, 4, 6, 14, 16, 32}) {
    for (int64_t each : {(width + 1) / 2, width}) {
      for (int64_t n : {int64_t(0), int64_t(1), each, 3 * each + each / 2, int64_t(50)}) {
        for (int64_t kc : {0, 1, 2, 4, 5, 9, 19}) {
          for (int64_t ld : {int64_t(0), int64_t(3), n, n + 13}) {
            const int64_t panel = width * kc + 5, room = (n + each - 1) / each * panel;
            // No longer than what may be read.
            const std::vector<T> rows(src.begin(), src.begin() + (kc > 0 ? (kc - 1) * ld + n : 0));
            Guarded<T> a(room), b(room);
            got(width, each, n, kc, rows.data(), ld, T(1.5), a.data(), panel);
            want(width, each, n, kc, rows.data(), ld, T(1.5), b.data(), panel);
            for (int64_t i = 0; i < room; ++i) {
              CHECK(close(a[i], b[i], 0, 0), isa, " pack_panels width ", width, " each ", each, " n ", n,
                    " kc ", kc, " ld ", ld, " at ", i);
            }
            CHECK(a.intact(), isa, " pack_panels wrote outside");
          }
        }
      }
    }
  }
}

template <class T, class Gemv>
void check_gemv(const char* isa, Gemv got, Gemv want, double eps) {
  for (int64_t m : {0, 1, 3, 4, 9, 130, 257}) {
    for (int64_t k : {0, 1, 5, 16, 33, 100}) {
      const int64_t lda = std::max(m, k) + 1;
      std::vector<T> a(lda * lda), x(k + 1);
      fill(a), fill(x);
      Guarded<T> y(m), z(m);
      got(m, k, a.data(), lda, x.data(), y.data());
      want(m, k, a.data(), lda, x.data(), z.data());
      for (int64_t i = 0; i < m; ++i)
        CHECK(close(y[i], z[i], eps, eps * (1 + 4 * k)), isa, " gemv ", m, "x", k);
      CHECK(y.intact(), isa, " gemv wrote outside");
    }
  }
}

template <class T, class Rows>
void check_rows(const char* isa, int64_t mr, int64_t nr, Rows got, Rows want, int64_t want_nr, double eps) {
  for (int64_t kc : {0, 1, 7, 30}) {
    for (int64_t m : {int64_t(1), int64_t(2), int64_t(5), mr - 1, mr, mr + 1, 2 * mr + 3, 5 * mr}) {
      for (int64_t n : {int64_t(1), nr / 2, nr / 2 + 1, nr - 1, nr, nr + 1, 3 * nr - 2, 3 * nr}) {
        for (int mode = 0; mode < 12; ++mode) {
          const bool columns = mode & 1, turned = mode & 2, accumulate = mode >= 8;
          const bool biased = mode >= 4 && mode < 8;
          const int64_t across = m + 2, along = kc + 3, ldb = nr + 1, b_step = kc * ldb + 2,
                        ldc = (turned ? m : n) + 3;
          std::vector<T> a(std::max(m * along, kc * across) + 1), b(3 * b_step), bias(std::max(m, n));
          fill(a), fill(b), fill(bias);
          Guarded<T> c((turned ? n : m) * ldc);
          fill(c);
          Guarded<T> truth = c;
          const int64_t rs = columns ? 1 : along, cs = columns ? across : 1;
          got(m, n, kc, a.data(), rs, cs, b.data(), ldb, b_step, c.data(), ldc,
              biased ? bias.data() : nullptr, accumulate, turned);
          // The truth's panels have another width: one after the other, each as neighbouring columns.
          for (int64_t j = 0; j < n; j += nr) {
            want(m, std::min(nr, n - j), kc, a.data(), rs, cs, b.data() + j / nr * b_step, ldb, want_nr,
                 truth.data() + (turned ? j * ldc : j), ldc,
                 biased ? bias.data() + (turned ? 0 : j) : nullptr, accumulate, turned);
          }
          for (int64_t i = 0; i < (turned ? n : m) * ldc; ++i) {
            CHECK(close(double(c[i]), double(truth[i]), eps, eps * double(4 + 4 * kc)), isa, " rows ", m, "x",
                  n, "x", kc, " mode ", mode, " at ", i, ": ", c[i], " not ", truth[i]);
          }
          CHECK(c.intact(), isa, " rows wrote outside C");
        }
      }
    }
  }
}

template <class T, class Dots>
void check_dots(const char* isa, Dots got, Dots want, double eps) {
  for (int64_t m : {0, 1, 2, 3, 4, 5, 7, 9}) {
    for (int64_t n : {0, 1, 3, 4, 13, 30}) {
      for (int64_t k : {0, 1, 7, 16, 45}) {
        std::vector<T> a(m * (k + 1) + 1), b(n * (k + 2) + 1);
        fill(a), fill(b);
        for (bool turned : {false, true}) {
          Guarded<T> x(m * n), y(m * n);
          for (auto& [f, to] : {std::pair<Dots, Guarded<T>*>{got, &x}, {want, &y}}) {
            f(m, n, k, a.data(), k + 1, b.data(), k + 2, to->data(), turned ? 1 : n, turned ? m : 1);
          }
          for (int64_t i = 0; i < m * n; ++i)
            CHECK(close(double(x[i]), double(y[i]), eps, eps * double(1 + 4 * k)), isa, " dots ", m, "x", n,
                  "x", k);
          CHECK(x.intact(), isa, " dots wrote outside");
        }
      }
    }
  }
}

template <class S, class T>
void check_conversion(const char* isa, const char* kernel, void (*got)(int64_t, const S*, T*),
                      void (*want)(int64_t, const S*, T*), const std::vector<S>& x) {
  for (int64_t n : {int64_t(0), int64_t(1), int64_t(7), int64_t(17), int64_t(x.size())}) {
    Guarded<T> a(n), b(n);
    got(n, x.data(), a.data());
    want(n, x.data(), b.data());
    for (int64_t i = 0; i < n; ++i) {
      const bool nan = a[i] != a[i] && b[i] != b[i];
      CHECK(nan || std::memcmp(&a[i], &b[i], sizeof(T)) == 0, isa, " ", kernel, " of ", x[i], ": ", a[i],
            " not ", b[i]);
    }
    CHECK(a.intact(), isa, " ", kernel, " wrote outside");
  }
}

}  // namespace

TEST(gemm_tiles) {
  for_each_isa([](const Table& t, const char* isa) {
    check_tiles<float>(isa, t.sgemm_mr, t.sgemm_nr, t.sgemm_tile, t.pack_f32, 1e-7);
    check_tiles<double>(isa, t.dgemm_mr, t.dgemm_nr, t.dgemm_tile, t.pack_f64, 1e-15);
  });
  covered().insert({"sgemm_tile", "dgemm_tile"});
}

TEST(gemm_rows) {
  for_each_isa([](const Table& t, const char* isa) {
    check_rows<float>(isa, t.sgemm_mr, t.sgemm_nr, t.sgemm_rows, truth().sgemm_rows, truth().sgemm_nr, 1e-6);
    check_rows<double>(isa, t.dgemm_mr, t.dgemm_nr, t.dgemm_rows, truth().dgemm_rows, truth().dgemm_nr,
                       1e-14);
  });
  covered().insert({"sgemm_rows", "dgemm_rows"});
}

TEST(gemm_dots) {
  for_each_isa([](const Table& t, const char* isa) {
    check_dots<float>(isa, t.gemm_dots_f32, truth().gemm_dots_f32, 1e-6);
    check_dots<double>(isa, t.gemm_dots_f64, truth().gemm_dots_f64, 1e-14);
  });
  covered().insert({"gemm_dots_f32", "gemm_dots_f64"});
}

TEST(outer) {
  std::vector<float> x(20), y(100);
  fill(x), fill(y);
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t n : {0, 1, 5, 16, 33, 100}) {
      for (int mode = 0; mode < 8; ++mode) {
        const int64_t incx = 1 + (mode & 1), skew = mode / 2;
        Guarded<float> c(8 * (n + 3) + skew), want = c;
        t.outer_f32(8, n, x.data(), incx, y.data(), c.data() + skew, n + 3, mode % 3 == 0);
        truth().outer_f32(8, n, x.data(), incx, y.data(), want.data() + skew, n + 3, false);
        for (int64_t i = 0; i < 8 * n; ++i) {
          const int64_t at = skew + i / n * (n + 3) + i % n;
          CHECK(c[at] == want[at], isa, " outer of ", n, " at ", i);
        }
        CHECK(c.intact(), isa, " outer wrote outside");
      }
    }
  });
  covered().insert("outer_f32");
}

TEST(gemm_of_integers) {
  for_each_isa([&](const Table& t, const char* isa) {
    const int64_t nr = t.gemm_u32_nr;
    for (int64_t m : {0, 1, 3, 4, 5, 9}) {
      for (int64_t k : {0, 1, 2, 7, 33}) {
        const int64_t lda = k + 2;
        std::vector<uint32_t> a(m * lda + 1), b(k * nr + 1);
        uint32_t state = 12345;  // numbers whose products overflow
        for (uint32_t& x : a) x = state = state * 1664525u + 1013904223u;
        for (uint32_t& x : b) x = state = state * 1664525u + 1013904223u;
        Guarded<uint32_t> c(m * nr);
        t.gemm_panel_u32(m, k, a.data(), lda, b.data(), c.data());
        for (int64_t i = 0; i < m * nr; ++i) {
          uint64_t sum = 0;
          for (int64_t p = 0; p < k; ++p) sum += uint64_t(a[i / nr * lda + p]) * b[p * nr + i % nr];
          CHECK(c[i] == uint32_t(sum), isa, " integers of ", m, " x ", k, " at ", i);
        }
        CHECK(c.intact(), isa, " integers wrote outside");
      }
    }
  });
  covered().insert("gemm_panel_u32");
}

TEST(pack) {
  std::vector<float> f(2000);
  std::vector<double> d(2000);
  std::vector<uint16_t> h(2000);
  fill(f), fill(d);
  for (auto& x : h) x = uint16_t(0x3c00 + rng()() % 0x800);
  for_each_isa([&](const Table& t, const char* isa) {
    check_pack<float, float>(isa, "pack_f32", t.pack_f32, truth().pack_f32, f);
    check_pack<double, double>(isa, "pack_f64", t.pack_f64, truth().pack_f64, d);
    check_pack<uint16_t, float>(isa, "pack_bf16", t.pack_bf16, truth().pack_bf16, h);
    check_pack<uint16_t, float>(isa, "pack_f16", t.pack_f16, truth().pack_f16, h);
  });
  covered().insert({"pack_f32", "pack_f64", "pack_bf16", "pack_f16"});
}

TEST(pack_panels) {
  std::vector<float> f(2500);
  std::vector<double> d(2500);
  fill(f), fill(d);
  for_each_isa([&](const Table& t, const char* isa) {
    check_pack_panels<float>(isa, t.pack_panels_f32, truth().pack_panels_f32, f);
    check_pack_panels<double>(isa, t.pack_panels_f64, truth().pack_panels_f64, d);
  });
  covered().insert({"pack_panels_f32", "pack_panels_f64"});
}

namespace {

template <class H, class Gemv>
void check_half_gemv(const char* isa, Gemv got, Gemv want) {
  for (int64_t m : {0, 1, 3, 4, 9, 130}) {
    for (int64_t k : {0, 1, 5, 16, 33, 100}) {
      const int64_t lda = std::max(m, k) + 1;
      std::vector<float> x(k + 1), values(lda * lda);
      fill(values), fill(x);
      std::vector<uint16_t> a;
      for (float v : values) a.push_back(H(v).bits);
      Guarded<float> y(m), z(m);
      got(m, k, a.data(), lda, x.data(), y.data());
      want(m, k, a.data(), lda, x.data(), z.data());
      for (int64_t i = 0; i < m; ++i)
        CHECK(close(y[i], z[i], 1e-6, 1e-6 * (1 + 4 * k)), isa, " gemv of 16 bits ", m, "x", k);
      CHECK(y.intact(), isa, " gemv wrote outside");
    }
  }
}

}  // namespace

TEST(gemv_of_16_bits) {
  for_each_isa([](const Table& t, const char* isa) {
    check_half_gemv<nnlib::BFloat16>(isa, t.gemv_dot_bf16, truth().gemv_dot_bf16);
    check_half_gemv<nnlib::BFloat16>(isa, t.gemv_axpy_bf16, truth().gemv_axpy_bf16);
    check_half_gemv<nnlib::Half>(isa, t.gemv_dot_f16, truth().gemv_dot_f16);
    check_half_gemv<nnlib::Half>(isa, t.gemv_axpy_f16, truth().gemv_axpy_f16);
  });
  covered().insert({"gemv_dot_bf16", "gemv_axpy_bf16", "gemv_dot_f16", "gemv_axpy_f16"});
}

TEST(gemv) {
  for_each_isa([](const Table& t, const char* isa) {
    check_gemv<float>(isa, t.gemv_dot_f32, truth().gemv_dot_f32, 1e-6);
    check_gemv<float>(isa, t.gemv_axpy_f32, truth().gemv_axpy_f32, 1e-6);
    check_gemv<double>(isa, t.gemv_dot_f64, truth().gemv_dot_f64, 1e-14);
    check_gemv<double>(isa, t.gemv_axpy_f64, truth().gemv_axpy_f64, 1e-14);
  });
  covered().insert({"gemv_dot_f32", "gemv_axpy_f32", "gemv_dot_f64", "gemv_axpy_f64"});
}

TEST(sixteen_bit_conversions) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = uint16_t(i);
  std::vector<float> f = {0.f,     -0.f,    INFINITY, -INFINITY,     NAN,  65504.f,
                          65519.f, 65520.f, 1e-8f,    2.9802322e-8f, 3e38f};
  for (int i = 0; i < 20000; ++i) {
    const uint32_t u = uint32_t(rng()());
    float x;
    std::memcpy(&x, &u, 4);
    f.push_back(x);
    f.push_back(std::ldexp(float(u) / 4e9f, int(u % 40) - 26));
  }
  for_each_isa([&](const Table& t, const char* isa) {
    check_conversion(isa, "bf16_to_f32", t.bf16_to_f32, truth().bf16_to_f32, all);
    check_conversion(isa, "f16_to_f32", t.f16_to_f32, truth().f16_to_f32, all);
    // A NaN keeps its payload on some processors: any NaN will do.
    std::vector<uint16_t> a(f.size()), b(f.size());
    for (bool bf : {true, false}) {
      (bf ? t.f32_to_bf16 : t.f32_to_f16)(int64_t(f.size()), f.data(), a.data());
      (bf ? truth().f32_to_bf16 : truth().f32_to_f16)(int64_t(f.size()), f.data(), b.data());
      for (size_t i = 0; i < f.size(); ++i) {
        const uint16_t special = bf ? 0x7f80 : 0x7c00;
        const bool nan = std::isnan(f[i]) && (a[i] & 0x7fff) > special;
        CHECK(nan || a[i] == b[i], isa, bf ? " bf16" : " f16", " of ", f[i], ": ", a[i], " not ", b[i]);
      }
    }
  });
  covered().insert({"bf16_to_f32", "f16_to_f32", "f32_to_bf16", "f32_to_f16"});
}

namespace {

using namespace nnlib;
using namespace nnlib::drivers;

// The driver in the table that is in use, all layouts, with alpha, beta and bias.
template <class T>
void check_gemm(int64_t m, int64_t n, int64_t k, bool ta, bool tb, double alpha, double beta, bool with_bias,
                double eps, int64_t step = 1) {
  std::vector<T> a(m * k * step + 1), b(k * n * step + 1), bias(n);
  const auto random = [](std::vector<T>& x) {
    for (auto& v : x) v = T(float(int(rng()() % 9) - 4));
  };
  random(a), random(b), random(bias);
  const Strided<T> sa = ta ? Strided<T>{a.data(), step, m * step} : Strided<T>{a.data(), k * step, step};
  const Strided<T> sb = tb ? Strided<T>{b.data(), step, k * step} : Strided<T>{b.data(), n * step, step};
  const int64_t ldc = n + 2;
  std::vector<T> c(m * ldc + 1), first;
  random(c);
  const std::vector<T> old = c;
  for (int threads : {1, 2, 3}) {
    c = old;
    set_num_threads(threads);
    gemm<T>(m, n, k, compute_t<T>(alpha), sa, sb, compute_t<T>(beta), c.data(), ldc,
            with_bias ? bias.data() : nullptr);
    if (threads == 1) first = c;
    CHECK(std::memcmp(first.data(), c.data(), c.size() * sizeof(T)) == 0, "bits differ on ", threads,
          " threads");
  }
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < ldc; ++j) {
      double want = double(old[i * ldc + j]);
      if (j < n) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p)
          sum += double(a[i * sa.rs + p * sa.cs]) * double(b[p * sb.rs + j * sb.cs]);
        want = alpha * sum + (beta != 0 ? beta * want : 0) + (with_bias ? double(bias[j]) : 0);
      }
      CHECK(close(double(c[i * ldc + j]), want, eps, eps * 8), "gemm ", m, "x", n, "x", k, " at ", i, ",", j,
            ": ", double(c[i * ldc + j]), " not ", want);
    }
  }
}

}  // namespace

TEST(gemm_driver) {
  const int64_t shapes[][3] = {{1, 1, 1},    {3, 5, 7},     {1, 40, 33},   {40, 1, 33},    {17, 33, 0},
                               {0, 4, 4},    {65, 70, 500}, {150, 70, 90}, {2, 50, 64},    {7, 90, 130},
                               {80, 3, 200}, {9, 40, 1},    {100, 64, 3},  {37, 129, 255}, {20, 1500, 800}};
  for (const auto& s : shapes) {
    for (int layout = 0; layout < 4; ++layout) {
      const bool ta = layout & 1, tb = layout & 2;
      check_gemm<float>(s[0], s[1], s[2], ta, tb, 1, 0, true, 1e-6);
      check_gemm<double>(s[0], s[1], s[2], ta, tb, 0.5, 2, false, 1e-14);
      check_gemm<int64_t>(s[0], s[1], s[2], ta, tb, 2, 1, false, 0);
    }
    check_gemm<float>(s[0], s[1], s[2], false, true, 0.5, -1.5, false, 1e-6);
    check_gemm<float>(s[0], s[1], s[2], true, true, 1, 1, false, 1e-6, 3);
    check_gemm<double>(s[0], s[1], s[2], false, false, 2, 0, true, 1e-14, 2);
    check_gemm<BFloat16>(s[0], s[1], s[2], false, true, 1, 1, false, 8e-3);
    check_gemm<Half>(s[0], s[1], s[2], true, false, 1, 0, true, 1e-3);
    check_gemm<int32_t>(s[0], s[1], s[2], false, false, 1, 0, true, 0);
  }
}

TEST(gemm_with_beta_zero_does_not_read_c) {
  float a[4] = {1, 2, 3, 4}, c[4] = {NAN, NAN, NAN, NAN};
  gemm<float>(2, 2, 2, 1, {a, 2, 1}, {a, 2, 1}, 0, c, 2);
  CHECK(c[0] == 7 && c[1] == 10 && c[2] == 15 && c[3] == 22, c[0]);
}

TEST(batched_gemm) {
  const int64_t batch = 5, m = 4, n = 6, k = 3;
  std::vector<float> a(batch * m * k), b(k * n), c(batch * m * n);
  fill(a), fill(b);
  batched_gemm<float>(batch, m, n, k, 1, {a.data(), k, 1}, m * k, {b.data(), n, 1}, 0, 0, c.data(), n, m * n);
  for (int64_t p = 0; p < batch * m; ++p) {
    for (int64_t j = 0; j < n; ++j) {
      double want = 0;
      for (int64_t q = 0; q < k; ++q) want += double(a[p * k + q]) * b[q * n + j];
      CHECK(close(double(c[p * n + j]), want, 1e-5, 1e-5), "row ", p);
    }
  }
}
