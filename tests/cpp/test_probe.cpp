// The kernels of probe.inl, and the rates that are made of them.
#include "core/parallel.h"
#include "harness.h"
#include "ops/drivers/limits.h"

using namespace harness;
using namespace nnlib;
using kernels::Table;

TEST(probes) {
  std::vector<float> x(300);
  fill(x);
  for_each_isa([&](const Table& t, const char* isa) {
    CHECK(t.probe_flops >= 24, isa, " counts ", t.probe_flops, " operations");
    for (int64_t rounds : {0, 1, 7, 100}) {
      const float got = t.probe_fma_f32(rounds, 0.75f), want = truth().probe_fma_f32(rounds, 0.75f);
      CHECK(close(got, want, 1e-5, 0), isa, " after ", rounds, " rounds ", got, " not ", want);
    }
    for (int64_t n : odd_sizes()) {
      for (bool past_caches : {false, true}) {
        Guarded<float> y(n, 3);
        t.probe_copy_f32(n, x.data() + 1, y.data(), past_caches);
        for (int64_t i = 0; i < n; ++i) CHECK(y[i] == x[i + 1], isa, " copy of ", n, " at ", i);
        CHECK(y.intact(), isa, " copy wrote outside");
      }
    }
  });
  covered().insert({"probe_fma_f32", "probe_copy_f32"});
}

TEST(fill) {
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t lines : {0, 1, 2, 3, 17})
      for (bool past_caches : {false, true}) {
        alignas(64) uint64_t y[8 * 18];
        for (uint64_t& word : y) word = 5;
        t.fill_lines(lines, 0x0123456789abcdef, y, past_caches);
        for (int64_t i = 0; i < 8 * 18; ++i)
          CHECK(y[i] == (i < 8 * lines ? 0x0123456789abcdef : 5), isa, " fill of ", lines, " lines at ", i);
      }
  });
  covered().insert("fill_lines");
}

TEST(limits) {
  set_num_threads(2);
  for_each_isa([](const Table& t, const char* isa) {
    for (int threads : {1, 2}) {
      CHECK(drivers::fma_rate(t, threads, 1e-3) > 0, isa, " fma");
      CHECK((drivers::tile_rate(t, threads, 1e-3) > 0) == (t.bf16_rate > 1), isa, " tiles");
      for (int64_t bytes : {int64_t(0), int64_t(100), int64_t(1) << 16})
        CHECK(drivers::copy_rate(t, threads, bytes, false, 1e-3) >= 0, isa, " copy of ", bytes);
    }
  });
}
