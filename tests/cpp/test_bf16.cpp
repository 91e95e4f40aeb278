// Products of numbers split into bfloat16 parts: the kernels against the reference, the driver against sums
// in double.
#include "core/parallel.h"
#include "harness.h"
#include "ops/drivers/gemm.h"
#include "ops/drivers/gemm_bf16.h"
#include "ops/drivers/packed_cache.h"

using namespace harness;
using namespace nnlib;
using kernels::Table;

namespace {

constexpr double kUnit = 1.0 / (1 << 24);

float random_magnitude(int low, int high) {
  std::uniform_int_distribution<int> exponent(low, high);
  std::uniform_real_distribution<double> mantissa(1, 2);
  const double x = std::ldexp(mantissa(rng()), exponent(rng()));
  return float(rng()() % 2 ? x : -x);
}

double wide(uint16_t bits) {
  BFloat16 x;
  x.bits = bits;
  return float(x);
}

}  // namespace

TEST(bf16_split) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int kind = 0; kind < 3; ++kind) {
      const int64_t ldx = kind == 1 ? 32 : 45;
      std::vector<float> x(31 * ldx + 32);
      for (float& v : x) v = kind == 0 ? random_magnitude(-20, 20) : random_magnitude(-149, 120);
      if (kind == 2) x[17] = 0, x[100] = -0.0f, x[31 * ldx + 31] = INFINITY;
      for (int64_t parts = 1; parts <= 3; ++parts) {
        for (int pairs = 0; pairs < 2; ++pairs) {
          Guarded<uint16_t> got(parts * 1024), want(parts * 1024);
          uint32_t range[2] = {0xffffffff, 0}, true_range[2] = {0xffffffff, 0};
          (pairs ? t.bf16_split_pairs : t.bf16_split_rows)(parts, x.data(), ldx, got.data(), range);
          (pairs ? truth().bf16_split_pairs : truth().bf16_split_rows)(parts, x.data(), ldx, want.data(),
                                                                       true_range);
          for (int64_t i = 0; i < parts * 1024; ++i) {
            const bool nan = (want[i] & 0x7fff) > 0x7f80 && (got[i] & 0x7fff) > 0x7f80;
            CHECK(got[i] == want[i] || nan, isa, " split ", parts, pairs ? " pairs " : " rows ", i);
          }
          CHECK(range[0] == true_range[0] && range[1] == true_range[1], isa, " range");
          CHECK(got.intact(), isa, " split wrote outside");
        }
      }
    }
  });
  covered().insert({"bf16_split_rows", "bf16_split_pairs"});
}

TEST(bf16_pack) {
  const uint16_t special[] = {0, 0x8000, 0x7f80, 0x7fc0, 0x0001, 0x807f};
  std::vector<uint16_t> x(40 * 64);
  for (uint16_t& v : x) v = rng()() % 5 ? BFloat16(random_magnitude(-90, 90)).bits : special[rng()() % 6];
  std::vector<uint16_t> zeros(x.size());
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t n : {0, 1, 2, 3, 15, 16, 17, 31, 32}) {
      for (int64_t kc : {0, 1, 2, 7, 8, 16, 21, 31, 32}) {
        const int64_t steps[][2] = {{1, 40}, {40, 1}, {3, 70}, {1, 1}, {33, 2}};
        for (const auto& [rs, cs] : steps) {
          for (int pairs = 0; pairs < 2; ++pairs) {
            const bool nothing = n == 3 && kc == 7;
            // Exactly what is read: the last element is the last of its array.
            const int64_t last =
                n && kc ? (pairs ? (kc - 1) * rs + (n - 1) * cs : (n - 1) * rs + (kc - 1) * cs) : -1;
            const std::vector<uint16_t> src((nothing ? zeros : x).begin(),
                                            (nothing ? zeros : x).begin() + last + 1);
            Guarded<uint16_t> got(1024), want(1024);
            uint32_t range[2] = {0xffffffff, 0}, true_range[2] = {0xffffffff, 0};
            (pairs ? t.bf16_pack_pairs : t.bf16_pack_rows)(n, kc, src.data(), rs, cs, got.data(), range);
            (pairs ? truth().bf16_pack_pairs : truth().bf16_pack_rows)(n, kc, src.data(), rs, cs, want.data(),
                                                                       true_range);
            for (int64_t i = 0; i < 1024; ++i)
              CHECK(got[i] == want[i], isa, pairs ? " pairs " : " rows ", n, "x", kc, " at ", i);
            CHECK(range[0] == true_range[0] && range[1] == true_range[1], isa, " range ", n, "x", kc);
            CHECK(got.intact(), isa, " pack wrote outside");
          }
        }
      }
    }
  });
  covered().insert({"bf16_pack_rows", "bf16_pack_pairs"});
}

TEST(bf16_gather) {
  std::vector<uint16_t> x(4000);
  for (uint16_t& v : x) v = uint16_t(rng()());
  std::vector<int64_t> offset(32);
  for (int64_t i = 0; i < 32; ++i) offset[i] = i * 113 % 29 * 100 + i;
  const std::vector<std::vector<int64_t>> cuts = {
      {}, {32}, {1}, {7, 7, 7, 7, 4}, {16, 16}, {5, 20}, {3, 1, 28}, {8, 8, 8, 8}, {13}};
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t lines : {0, 1, 2, 3, 16, 31, 32}) {
      for (const std::vector<int64_t>& lengths : cuts) {
        std::vector<int64_t> piece;
        for (int64_t n : lengths) piece.push_back(int64_t(piece.size()) * 31 % 50), piece.push_back(n);
        int64_t size = 0;  // exactly what is read
        for (size_t q = 0; q < lengths.size(); ++q)
          for (int64_t i = 0; i < lines; ++i) size = std::max(size, offset[i] + piece[2 * q] + lengths[q]);
        const std::vector<uint16_t> src(x.begin(), x.begin() + size);
        for (int pairs = 0; pairs < 2; ++pairs) {
          Guarded<uint16_t> got(1024), want(1024);
          (pairs ? t.bf16_gather_pairs : t.bf16_gather_rows)(lines, offset.data(), int64_t(lengths.size()),
                                                             piece.data(), src.data(), got.data());
          (pairs ? truth().bf16_gather_pairs : truth().bf16_gather_rows)(
              lines, offset.data(), int64_t(lengths.size()), piece.data(), src.data(), want.data());
          for (int64_t i = 0; i < 1024; ++i)
            CHECK(got[i] == want[i], isa, pairs ? " pairs " : " rows ", lines, " pieces ", lengths.size(),
                  " at ", i);
          CHECK(got.intact(), isa, " gather wrote outside");
        }
      }
    }
  });
  covered().insert({"bf16_gather_rows", "bf16_gather_pairs"});
}

// What the instructions do to infinities, NaN and numbers under 2^-126: these may count as 0.
TEST(bf16_tile_special_numbers) {
  for_each_isa([](const Table& t, const char* isa) {
    std::vector<uint16_t> rows(1024), columns(1024);
    for (int64_t i = 0; i < 1024; ++i) {
      rows[i] = BFloat16(random_magnitude(-3, 3)).bits, columns[i] = BFloat16(random_magnitude(-3, 3)).bits;
    }
    for (int64_t k = 0; k < 32; ++k)
      rows[64 + k] = 0x0013, rows[96 + k] = BFloat16(std::ldexp(1.0f, -125)).bits;
    rows[0] = 0x7f80, rows[32] = 0x7fc0;  // (0, 0) infinity, (1, 0) NaN, row 2 subnormal, row 3 tiny
    for (int64_t k = 0; k < 32; ++k) columns[k * 32 + 5] = BFloat16(std::ldexp(1.0f, -100)).bits;
    alignas(64) uint16_t a[1024], b[1024];
    uint32_t range[2] = {0xffffffff, 0};
    t.bf16_pack_rows(32, 32, rows.data(), 32, 1, a, range);
    t.bf16_pack_pairs(32, 32, columns.data(), 32, 1, b, range);
    float got[1024], want[1024];
    t.bf16_begin();
    t.bf16_tile_f32(1, 1, a, b, got, 32, 32, 32, nullptr, false, nullptr, 0);
    t.bf16_end();
    truth().bf16_tile_f32(1, 1, a, b, want, 32, 32, 32, nullptr, false, nullptr, 0);
    for (int64_t i = 0; i < 1024; ++i) {
      if (std::isnan(want[i]) || std::isinf(want[i])) {
        CHECK(std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i], isa, " at ", i, ": ", got[i]);
        continue;
      }
      double size = 0;
      for (int64_t k = 0; k < 32 && i >= 64; ++k) {
        size += std::fabs(wide(rows[i / 32 * 32 + k]) * wide(columns[k * 32 + i % 32]));
      }
      // 32 products, each of which may lose a factor or itself below 2^-126.
      const double bound = i / 32 == 2  ? 32 * std::ldexp(16.0, -126)
                           : i / 32 < 2 ? 1e-4
                                        : 40 * kUnit * size + 32 * std::ldexp(1.0, -126);
      CHECK(std::fabs(double(got[i]) - want[i]) <= bound, isa, " at ", i / 32, ",", i % 32, ": ", got[i],
            " not ", want[i]);
    }
  });
}

TEST(bf16_tile) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int64_t parts = 1; parts <= 3; ++parts) {
      for (int64_t steps : {1, 3}) {
        std::vector<uint16_t> a(steps * parts * 1024), b(a.size());
        std::vector<float> x(1024);
        uint32_t range[2];
        for (int64_t s = 0; s < steps; ++s) {
          fill(x);
          t.bf16_split_rows(parts, x.data(), 32, a.data() + s * parts * 1024, range);
          fill(x);
          t.bf16_split_pairs(parts, x.data(), 32, b.data() + s * parts * 1024, range);
        }
        const int64_t ldc = 37;
        std::vector<float> bias(32);
        fill(bias);
        for (int way = 0; way < 6; ++way) {
          const int64_t m = way % 3 == 0 ? 32 : way == 1 ? 17 : 5, n = way % 3 == 0 ? 32 : way == 1 ? 3 : 29;
          const bool add = way >= 3;
          const float* with = way % 2 ? bias.data() : nullptr;
          Guarded<float> got(31 * ldc + 32);
          fill(got);
          Guarded<float> want = got;
          t.bf16_begin();
          t.bf16_tile_f32(steps, parts, a.data(), b.data(), got.data(), ldc, m, n, with, add, a.data(), 5);
          t.bf16_end();
          truth().bf16_tile_f32(steps, parts, a.data(), b.data(), want.data(), ldc, m, n, with, add, nullptr,
                                0);
          for (int64_t i = 0; i < 31 * ldc + 32; ++i) {  // beside C nothing changes
            const bool inside = i / ldc < m && i % ldc < n;
            const double bound = inside ? double(20 + 6 * steps) * kUnit * 4 * 32 * double(steps) : 0;
            CHECK(std::fabs(double(got[i]) - want[i]) <= bound, isa, " tile of ", parts, " at ", i / ldc, ",",
                  i % ldc, ": ", got[i], " not ", want[i]);
          }
          CHECK(got.intact(), isa, " tile wrote outside C");
        }
      }
    }
  });
  covered().insert({"bf16_begin", "bf16_end", "bf16_tile_f32"});
}

namespace {

struct Problem {
  int64_t m, n, k;
  bool a_turned = false, b_turned = false;
  float alpha = 1, beta = 0;
  bool bias = false;
};

// What `parts` may be wrong by, as a multiple of the sum of magnitudes.
double bound_of(int parts, int64_t k) {
  return double(k + 4) * kUnit + (parts == 3 ? 0 : parts == 2 ? std::ldexp(1, -14) : std::ldexp(1, -6));
}

template <class T>
T narrow(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return T(x);
  }
}

template <class T>
std::vector<T> multiply(int parts, const Problem& p, const std::vector<float>& a, const std::vector<float>& b,
                        const std::vector<float>& c, const std::vector<float>& bias, int64_t ldc) {
  std::vector<T> ta, tb, tc, tbias;
  for (float x : a) ta.push_back(narrow<T>(x));
  for (float x : b) tb.push_back(narrow<T>(x));
  for (float x : c) tc.push_back(narrow<T>(x));
  for (float x : bias) tbias.push_back(narrow<T>(x));
  const drivers::Strided<T> sa{ta.data(), p.a_turned ? 1 : p.k, p.a_turned ? p.m : 1};
  const drivers::Strided<T> sb{tb.data(), p.b_turned ? 1 : p.n, p.b_turned ? p.k : 1};
  drivers::gemm_in_parts<T>(parts, p.m, p.n, p.k, p.alpha, sa, sb, p.beta, tc.data(), ldc,
                            p.bias ? tbias.data() : nullptr);
  return tc;
}

// Element by element against the sum in double; the bound is componentwise.
template <class T>
void check_product(const char* what, int parts, const Problem& p, const std::vector<float>& a,
                   const std::vector<float>& b, double extra = 0) {
  const int64_t ldc = p.n + 2;
  std::vector<float> c(p.m * ldc), bias(p.n);
  fill(c), fill(bias);
  if (!std::is_same_v<T, float>) {
    for (float& x : c) x = float(T(x));
    for (float& x : bias) x = float(T(x));
  }
  const std::vector<T> got = multiply<T>(parts, p, a, b, c, bias, ldc);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double want = (p.beta != 0 ? double(p.beta) * c[i * ldc + j] : 0) + (p.bias ? bias[j] : 0);
      double size = std::fabs(want);
      for (int64_t k = 0; k < p.k; ++k) {
        const double x = double(a[p.a_turned ? k * p.m + i : i * p.k + k]) * p.alpha;
        const double y = b[p.b_turned ? j * p.k + k : k * p.n + j];
        want += x * y;
        size += std::fabs(x * y);
      }
      const double value = double(float(got[i * ldc + j]));
      if (std::isnan(want) || std::isinf(want) || std::fabs(want) > 3.5e38) {
        CHECK(std::isnan(want) ? std::isnan(value) : std::isinf(value) && (value > 0) == (want > 0), what,
              " ", parts, " parts at ", i, ",", j, ": ", value, " not ", want);
        continue;
      }
      const double bound = bound_of(parts, p.k) * size + extra * std::fabs(want) + 1e-44;
      CHECK(std::fabs(value - want) <= bound, what, " ", parts, " parts at ", i, ",", j, ": ", value, " not ",
            want, " bound ", bound);
    }
  }
  for (int64_t i = 0; i < p.m; ++i)
    CHECK(float(got[i * ldc + p.n]) == c[i * ldc + p.n], what, " wrote beside C");
}

}  // namespace

TEST(bf16_driver) {
  const Problem problems[] = {{32, 32, 32},
                              {33, 65, 70, true},
                              {64, 31, 33, false, true, 0.5f, 1},
                              {1, 100, 600, false, true, 1, 0, true},
                              {70, 1, 515, true, true, -2, 0.25f},
                              {40, 1030, 32, false, false, 1, 0, true},
                              {1030, 33, 40, true, false, 1, 1}};
  for (const Problem& p : problems) {
    std::vector<float> a(p.m * p.k), b(p.k * p.n);
    fill(a), fill(b);
    for (int parts = 1; parts <= 3; ++parts) check_product<float>("driver", parts, p, a, b);
    for (float& x : a) x = float(BFloat16(x));
    for (float& x : b) x = float(BFloat16(x));
    // The products of bfloat16 numbers are exact, and so is one part; the result is rounded to 8 bits.
    check_product<BFloat16>("bfloat16", 1, p, a, b, std::ldexp(1, -8));
  }
}

// A weight's kept packing gives the bits of one that is made for the call, from either side.
template <class T>
void check_kept(int parts, const Problem& p) {
  const auto weight = make_ref<Storage>(p.k * p.n * sizeof(T));
  T* w = static_cast<T*>(weight->data());
  std::vector<float> numbers(p.m * p.k);
  std::vector<T> x, bias(p.n, T(0.5f));
  fill(numbers);
  for (float v : numbers) x.push_back(narrow<T>(v));
  for (int64_t i = 0; i < p.k * p.n; ++i) w[i] = narrow<T>(random_magnitude(-4, 0));
  w[p.k * p.n / 2] = T(1e-38f);  // its blocks leave the range
  // C = x w, or its transpose with the weight on the left.
  const auto product = [&](bool left, Storage* kept) {
    const drivers::Strided<T> rows{x.data(), p.k, 1}, columns{x.data(), 1, p.k};
    const drivers::Strided<T> right{w, p.n, 1, kept}, turned{w, 1, p.n, kept};
    std::vector<T> c(p.m * p.n);
    if (left) {
      drivers::gemm_in_parts<T>(parts, p.n, p.m, p.k, 1, turned, columns, 0, c.data(), p.m, nullptr);
    } else {
      drivers::gemm_in_parts<T>(parts, p.m, p.n, p.k, 1, rows, right, 0, c.data(), p.n, bias.data());
    }
    return c;
  };
  for (bool left : {false, true}) {
    drivers::drop_packed();
    const std::vector<T> want = product(left, nullptr);
    for (int call = 0; call < 3; ++call) {
      const std::vector<T> got = product(left, weight.get());
      CHECK(std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0, parts, " parts, call ", call,
            left ? ", left" : ", right");
      CHECK((drivers::packed_bytes() > 0) == (call > 0), "kept after call ", call);
    }
    w[0] = T(left ? 32.0f : 64.0f), weight->writes++;
    const std::vector<T> got = product(left, weight.get()), now = product(left, nullptr);
    CHECK(now != want, "the change is not seen");
    CHECK(std::memcmp(got.data(), now.data(), now.size() * sizeof(T)) == 0, "an old packing was used");
  }
}

TEST(bf16_kept_weights) {
  for (const Problem& p : {Problem{40, 70, 600}, Problem{1030, 33, 40}, Problem{33, 1100, 64}}) {
    for (int parts = 1; parts <= 3; ++parts) check_kept<float>(parts, p);
    check_kept<BFloat16>(1, p);
  }
}

TEST(bf16_hard_numbers) {
  const Problem p{65, 70, 96, false, true};
  const auto with = [&](const char* what, auto change) {
    std::vector<float> a(p.m * p.k), b(p.k * p.n);
    fill(a), fill(b);
    change(a, b);
    const drivers::TileCounts before = drivers::tile_counts();
    for (int parts = 1; parts <= 3; ++parts) check_product<float>(what, parts, p, a, b);
    const drivers::TileCounts after = drivers::tile_counts();
    return drivers::TileCounts{after.split - before.split, after.whole - before.whole};
  };
  using Numbers = std::vector<float>&;
  CHECK(with("plain", [](Numbers, Numbers) {}).whole == 0, "plain numbers are split");
  CHECK(with("zeros", [](Numbers a, Numbers) { std::fill(a.begin(), a.end(), 0.0f); }).whole == 0,
        "zeros are split");
  with("wide", [](Numbers a, Numbers b) {
    for (float& x : a) x = random_magnitude(-45, 60);
    for (float& x : b) x = random_magnitude(-45, 50);
  });
  const auto everything = with("everything", [](Numbers a, Numbers b) {
    for (float& x : a) x = random_magnitude(-149, 60);
    for (float& x : b) x = random_magnitude(-149, 60);
  });
  CHECK(everything.split == 0, "numbers of all sizes are not split");
  const auto one = with("subnormal", [](Numbers a, Numbers) { a[5] = 1e-40f; });
  CHECK(one.whole > 0 && one.split > 0, "one number turns its own blocks away, no others");
  with("tiny products", [](Numbers a, Numbers b) {
    for (float& x : a) x = random_magnitude(-60, -50);
    for (float& x : b) x = random_magnitude(-60, -50);
  });
  with("infinities", [](Numbers a, Numbers b) { a[0] = INFINITY, a[700] = -INFINITY, b[3] = INFINITY; });
  with("nan", [](Numbers a, Numbers b) { a[0] = NAN, b[500] = NAN; });
  with("largest", [](Numbers a, Numbers b) {
    a[0] = 3.4028234e38f, a[1] = 3.4e38f;
    for (float& x : b) x *= 0.25f;
  });
  with("overflow", [](Numbers a, Numbers b) {
    for (float& x : a) x = 1e30f;
    for (float& x : b) x = 1e20f;
  });
  with("cancellation", [&](Numbers a, Numbers b) {  // each sum but for its last term is exactly 0
    for (int64_t i = 0; i < p.m; ++i) {
      for (int64_t k = 0; k + 1 < p.k; k += 2) a[i * p.k + k + 1] = -a[i * p.k + k];
      a[i * p.k + p.k - 1] *= 1.0f + float(kUnit) * 2;
    }
    for (int64_t j = 0; j < p.n; ++j) {
      for (int64_t k = 0; k + 1 < p.k; k += 2) b[j * p.k + k + 1] = b[j * p.k + k];
    }
  });
}

namespace {

void compare_errors(int64_t depth) {
  const Problem p{48, 48, depth};
  std::vector<float> a(p.m * p.k), b(p.k * p.n), c(p.m * p.n), plain(p.m * p.n);
  fill(a), fill(b);
  const std::vector<float> split = multiply<float>(3, p, a, b, c, {}, p.n);
  // Too small for tiles to pay.
  drivers::gemm<float>(p.m, p.n, p.k, 1, {a.data(), p.k, 1}, {b.data(), p.n, 1}, 0, plain.data(), p.n);
  double split_error = 0, plain_error = 0;
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double want = 0;
      for (int64_t k = 0; k < p.k; ++k) want += double(a[i * p.k + k]) * b[k * p.n + j];
      split_error += std::pow(split[i * p.n + j] - want, 2);
      plain_error += std::pow(plain[i * p.n + j] - want, 2);
    }
  }
  CHECK(split_error <= plain_error, "depth ", depth, ": rms ", std::sqrt(split_error), " against ",
        std::sqrt(plain_error));
}

}  // namespace

TEST(bf16_six_products_are_as_good_as_float32) {
  // At twice the rate of float32's they are never chosen, and need not be.
  if (kernels::table().bf16_rate == 2) return;
  for (int64_t depth : {128, 200, 1024, 4096}) compare_errors(depth);
}

TEST(bf16_threads_give_the_same_bits) {
  const Problem p{100, 300, 600};
  std::vector<float> a(p.m * p.k), b(p.k * p.n), c(p.m * p.n), bias(p.n);
  fill(a), fill(b);
  a[7] = 1e-42f;  // some blocks by either way
  const int before = num_threads();
  std::vector<float> first;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const std::vector<float> got = multiply<float>(3, p, a, b, c, bias, p.n);
    if (first.empty()) first = got;
    CHECK(std::memcmp(first.data(), got.data(), got.size() * sizeof(float)) == 0, threads, " threads");
  }
  set_num_threads(before);
}

TEST(bf16_is_chosen_where_it_pays) {
  const int64_t n = 512;
  std::vector<float> a(n * n, 1), b(n * n, 1), c(n * n);
  const bool tiles = kernels::table().bf16_rate > 1;
  drivers::set_float32_matmul_precision(drivers::MatmulPrecision::Medium);
  const int64_t before = drivers::tile_counts().split;
  drivers::gemm<float>(n, n, n, 1, {a.data(), n, 1}, {b.data(), n, 1}, 0, c.data(), n);
  CHECK((drivers::tile_counts().split > before) == tiles,
        "a large product takes the tiles where there are some");
  const int64_t after = drivers::tile_counts().split;
  drivers::gemm<float>(2, 3, n, 1, {a.data(), n, 1}, {b.data(), 3, 1}, 0, c.data(), 3);
  CHECK(drivers::tile_counts().split == after, "a small one does not");
  drivers::set_float32_matmul_precision(drivers::MatmulPrecision::High);
  const int64_t third = drivers::tile_counts().split;
  drivers::gemm<float>(n, n, n, 1, {a.data(), n, 1}, {b.data(), n, 1}, 0, c.data(), n);
  CHECK((drivers::tile_counts().split > third) == (kernels::table().bf16_rate > 3),
        "three products are taken where they are quicker than one of float32");
  drivers::set_float32_matmul_precision(drivers::MatmulPrecision::Highest);
  CHECK(c[0] == float(n), "the sum of ones is ", c[0]);
}
