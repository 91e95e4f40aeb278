// Splitting float32 numbers into bfloat16 parts, and products of the parts. On processors without tiles these
// are plain loops that nothing calls.
#include "cases/cases.h"

namespace nnlib::benchmarks {

void add_bf16(Cases& cases) {
  const Table& t = cases.t;
  cases.add("bf16_begin", "", {0, 64}, [&t] { t.bf16_begin(), t.bf16_end(); });
  cases.add("bf16_end", "", {0, 64}, [&t] { t.bf16_begin(), t.bf16_end(); });
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
