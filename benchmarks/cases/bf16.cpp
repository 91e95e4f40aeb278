// Blocks of bfloat16 numbers, those of float32 numbers split into bfloat16 parts, and their products. On
// processors without instructions for them these are plain loops that nothing calls.
#include "cases/cases.h"

namespace nnlib::benchmarks {

void add_bf16(Cases& cases) {
  const Table& t = cases.t;
  cases.add("bf16_begin", "", {0, 64}, [&t] { t.bf16_begin(), t.bf16_end(); });
  cases.add("bf16_end", "", {0, 64}, [&t] { t.bf16_begin(), t.bf16_end(); });
  const Work pack{0, 4.0 * 1024};
  for (const bool turned : {false, true}) {
    const int64_t rs = turned ? 1 : 64, cs = turned ? 64 : 1;
    const char* name = turned ? "turned" : "";
    cases.add("bf16_pack_rows", name, pack, [&t, rs, cs] {
      uint32_t range[2] = {0xffffffff, 0};
      t.bf16_pack_rows(32, 32, input_half(), rs, cs, output_half(), range);
    });
    cases.add("bf16_pack_pairs", name, pack, [&t, rs, cs] {
      uint32_t range[2] = {0xffffffff, 0};
      t.bf16_pack_pairs(32, 32, input_half(), rs, cs, output_half(), range);
    });
  }
  static const std::vector<int64_t> lines = [] {
    std::vector<int64_t> at(32);
    for (int64_t i = 0; i < 32; ++i) at[i] = i * 80;
    return at;
  }();
  static const int64_t pieces[] = {0, 16, 18, 16};
  cases.add("bf16_gather_rows", "", pack,
            [&t] { t.bf16_gather_rows(32, lines.data(), 2, pieces, input_half(), output_half()); });
  cases.add("bf16_gather_pairs", "", pack,
            [&t] { t.bf16_gather_pairs(32, lines.data(), 2, pieces, input_half(), output_half()); });
  for (int64_t parts = 1; parts <= 3; ++parts) {
    const std::string name = std::to_string(parts) + " parts";
    const Work split{0, 1024 * (4 + 2.0 * double(parts))};
    cases.add("bf16_split_rows", name, split, [&t, parts] {
      uint32_t range[2] = {0xffffffff, 0};
      t.bf16_split_rows(parts, input(0), 32, output_half(), range);
    });
    cases.add("bf16_split_pairs", name, split, [&t, parts] {
      uint32_t range[2] = {0xffffffff, 0};
      t.bf16_split_pairs(parts, input(0), 32, output_half(), range);
    });
    const int64_t steps = 4;
    cases.add("bf16_tile_f32", name, {2.0 * 32 * 32 * 32 * double(steps), 0}, [&t, parts] {
      t.bf16_begin();
      t.bf16_tile_f32(steps, parts, input_half(), input_half(), output(0), 32, 32, 32, nullptr, false,
                      nullptr, 0);
      t.bf16_end();
    });
  }
}

}  // namespace nnlib::benchmarks
