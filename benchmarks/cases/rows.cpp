// Kernels over rows and over indexed rows, and those whose size is not a number of values.
#include "cases/cases.h"

namespace nnlib::benchmarks {

namespace {

constexpr int64_t kRows = 8, kCols = 512;
constexpr double kValues = double(kRows * kCols);

void add_softmax(Cases& cases) {
  const Table& t = cases.t;
  cases.add("softmax_rows_f32", "8x512", {0, 8 * kValues},
            [&t] { t.softmax_rows_f32(kRows, kCols, input(0), output(0)); });
  cases.add("log_softmax_rows_f32", "8x512", {0, 8 * kValues},
            [&t] { t.log_softmax_rows_f32(kRows, kCols, input(0), output(0)); });
  cases.add("softmax_grad_rows_f32", "8x512", {0, 12 * kValues},
            [&t] { t.softmax_grad_rows_f32(kRows, kCols, input(0), input(1), output(0)); });
  cases.add("log_softmax_grad_rows_f32", "8x512", {0, 12 * kValues},
            [&t] { t.log_softmax_grad_rows_f32(kRows, kCols, input(0), input(1), output(0)); });
  cases.add("softmax_cols_f32", "8x512", {0, 8 * kValues},
            [&t] { t.softmax_cols_f32(kRows, kCols, kCols, input(0), output(0)); });
  cases.add("log_softmax_cols_f32", "8x512", {0, 8 * kValues},
            [&t] { t.log_softmax_cols_f32(kRows, kCols, kCols, input(0), output(0)); });
  cases.add("softmax_grad_cols_f32", "8x512", {0, 12 * kValues},
            [&t] { t.softmax_grad_cols_f32(kRows, kCols, kCols, input(0), input(1), output(0)); });
  cases.add("log_softmax_grad_cols_f32", "8x512", {0, 12 * kValues},
            [&t] { t.log_softmax_grad_cols_f32(kRows, kCols, kCols, input(0), input(1), output(0)); });
  cases.add("softmax_grad_f32", "4096", {0, 8.0 * 4096},
            [&t] { t.softmax_grad_f32(4096, input(0), 1, 1, 0, nullptr, output(0), false); });
}

// 128 keys by 32 queries. The scores are changed in place, and soon all the same: that costs what others
// cost.
void add_attention(Cases& cases) {
  const Table& t = cases.t;
  cases.add("attention_softmax_f32", "128x32", {0, 8 * kValues}, [&t] {
    float state[64] = {};
    t.attention_softmax_f32(128, 32, output(0), state, 0, nullptr);
  });
  cases.add("attention_probability_f32", "128x32", {0, 8 * kValues},
            [&t] { t.attention_probability_f32(128, 32, output(0), input(0)); });
  cases.add("attention_grad_f32", "128x32", {0, 12 * kValues},
            [&t] { t.attention_grad_f32(128, 32, input(0), input(1), output(0)); });
}

}  // namespace

void add_rows(Cases& cases) {
  const Table& t = cases.t;
  add_softmax(cases);
  add_attention(cases);
  cases.add("sum_rows_f32", "8x512", {0, 4 * kValues},
            [&t] { t.sum_rows_f32(kRows, kCols, input(0), kCols, output_f64(0)); });
  cases.add("sum_rows_indexed_f32", "8 rows of 512", {0, 4 * kValues},
            [&t] { t.sum_rows_indexed_f32(kRows, kCols, zeros(), input(0), kCols, nullptr, output(0)); });
  cases.add("box_muller_f32", "128 blocks", {0, 8.0 * 128 * 16}, [&t] {
    // In place: the values have to be uniform each time.
    t.probe_copy_f32(128 * 16, input(0), output(0), false);
    t.box_muller_f32(128, output(0), 0, 1);
  });
  for (bool past_caches : {false, true}) {
    cases.add("probe_copy_f32", past_caches ? "past the caches" : "2048", {0, 8.0 * 2048},
              [&t, past_caches] { t.probe_copy_f32(2048, input(0), output(0), past_caches); });
  }
}

}  // namespace nnlib::benchmarks
