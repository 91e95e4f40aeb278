// Kernels over rows and over indexed rows, and those whose size is not a number of values.
#include "cases/cases.h"

namespace nnlib::benchmarks {

namespace {

constexpr int64_t kRows = 8, kCols = 512;
constexpr double kValues = double(kRows * kCols);

// Rows and columns of softmax in one float type.
#define NNLIB_SOFTMAX_CASES(type, size, in, out)                                              \
  cases.add("softmax_rows_" #type, "8x512", {0, 2 * size * kValues},                          \
            [&t] { t.softmax_rows_##type(kRows, kCols, in(0), out(0)); });                    \
  cases.add("log_softmax_rows_" #type, "8x512", {0, 2 * size * kValues},                      \
            [&t] { t.log_softmax_rows_##type(kRows, kCols, in(0), out(0)); });                \
  cases.add("softmax_grad_rows_" #type, "8x512", {0, 3 * size * kValues},                     \
            [&t] { t.softmax_grad_rows_##type(kRows, kCols, in(0), in(1), out(0)); });        \
  cases.add("log_softmax_grad_rows_" #type, "8x512", {0, 3 * size * kValues},                 \
            [&t] { t.log_softmax_grad_rows_##type(kRows, kCols, in(0), in(1), out(0)); });    \
  cases.add("softmax_cols_" #type, "8x512", {0, 2 * size * kValues},                          \
            [&t] { t.softmax_cols_##type(kRows, kCols, kCols, in(0), out(0)); });             \
  cases.add("log_softmax_cols_" #type, "8x512", {0, 2 * size * kValues},                      \
            [&t] { t.log_softmax_cols_##type(kRows, kCols, kCols, in(0), out(0)); });         \
  cases.add("softmax_grad_cols_" #type, "8x512", {0, 3 * size * kValues},                     \
            [&t] { t.softmax_grad_cols_##type(kRows, kCols, kCols, in(0), in(1), out(0)); }); \
  cases.add("log_softmax_grad_cols_" #type, "8x512", {0, 3 * size * kValues},                 \
            [&t] { t.log_softmax_grad_cols_##type(kRows, kCols, kCols, in(0), in(1), out(0)); });
void add_softmax(Cases& cases) {
  const Table& t = cases.t;
  NNLIB_SOFTMAX_CASES(f32, 4, input, output)
  NNLIB_SOFTMAX_CASES(f64, 8, input_f64, output_f64)
}

// Losses and gradients of kRows examples of kCols classes in one element type. Scratch lies behind the
// losses.
template <class T, class C, class Rows, class Lanes>
void add_cross_entropy(Cases& cases, const std::string& type, const T* x, T* y, C* loss, Rows rows,
                       Lanes lanes) {
  static const kernels::CrossEntropyOf<C> c{kCols, -100, nullptr, 1, 0, C(kCols), 1};
  const double size = sizeof(T);
  C* const scratch = loss + kRows;
  cases.add(("cross_entropy_rows_" + type).c_str(), "8x512", {0, 2 * size * kValues},
            [=] { rows(&c, kRows, x, kCols, zeros(), nullptr, 0, loss, y, kCols, scratch, false); });
  cases.add(("cross_entropy_lanes_" + type).c_str(), "512x8", {0, 2 * size * kValues}, [=] {
    lanes(&c, kRows, x, kRows, 1, zeros(), nullptr, 0, 0, loss, y, kRows, 1, scratch, false);
  });
}
template <class T, class Part, class PartGrad>
void add_cross_entropy_parts(Cases& cases, const std::string& type, const T* x, T* y, Part part,
                             PartGrad part_grad) {
  static const kernels::CrossEntropy c{kCols, -100, nullptr, 1, 0, float(kCols), 1};
  const double size = sizeof(T);
  float* const sums = output(1);
  cases.add(("cross_entropy_part_" + type).c_str(), "512", {0, size * kCols},
            [=] { part(&c, kCols, x, nullptr, sums); });
  cases.add(("cross_entropy_part_grad_" + type).c_str(), "512", {0, 2 * size * kCols},
            [=] { part_grad(&c, kCols, x, nullptr, 1, 1, y); });
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
            [&t] { t.attention_probability_f32(128, 32, 32, output(0), input(0), input(1), true); });
  cases.add("attention_softmax_f64", "128x16", {0, 8 * kValues}, [&t] {
    double state[32] = {};
    t.attention_softmax_f64(128, 16, output_f64(0), state, 0, nullptr);
  });
  cases.add("attention_probability_f64", "128x16", {0, 8 * kValues}, [&t] {
    t.attention_probability_f64(128, 16, 16, output_f64(0), input_f64(0), input_f64(1), true);
  });
  cases.add("attention_dot_f32", "128x32", {2 * kValues, 8 * kValues},
            [&t] { t.attention_dot_f32(128, 32, input(0), input(1), output(0)); });
  cases.add("attention_dot_f64", "128x16", {kValues, 8 * kValues},
            [&t] { t.attention_dot_f64(128, 16, input_f64(0), input_f64(1), output_f64(0)); });
  cases.add("attention_mask_f32", "128x32", {0, 9 * kValues}, [&t] {
    t.attention_mask_f32(128, 32, reinterpret_cast<const uint8_t*>(input_half()), 128, output(0), 32);
  });
  cases.add("attention_grad_f32", "128x32", {0, 12 * kValues},
            [&t] { t.attention_grad_f32(128, 32, 32, input(0), input(1), output(0), true); });
}

template <class T>
void add_transpose(Cases& cases, const char* name,
                   void (*kernel)(int64_t, int64_t, const T*, int64_t, T*, int64_t)) {
  const T* x = reinterpret_cast<const T*>(input_f64(0));
  T* y = reinterpret_cast<T*>(output_f64(0));
  cases.add(name, "32x32", {0, 2.0 * sizeof(T) * 32 * 32}, [=] { kernel(32, 32, x, 32, y, 32); });
}

// Kernels that there are for each element type.
void add_types(Cases& cases) {
  const Table& t = cases.t;
#define NNLIB_ROWS(name, type, T, x, y, z)                                     \
  cases.add(#name "_rows_" #type, "8x512", {kValues, 3 * sizeof(T) * kValues}, \
            [&t] { t.name##_rows_##type(kRows, kCols, x, kCols, 1, y, kCols, 1, z, kCols); });
#define NNLIB_NUMBER_ROWS(name, type, T, x, y, z)                              \
  cases.add(#name "_rows_" #type, "8x512", {kValues, 3 * sizeof(T) * kValues}, \
            [&t] { t.name##_rows_##type(0.3, kRows, kCols, x, kCols, 1, y, kCols, 1, z, kCols); });
#define NNLIB_TYPE(type, T, x, y, z)                              \
  NNLIB_ROWS(add, type, T, x, y, z)                               \
  NNLIB_ROWS(sub, type, T, x, y, z)                               \
  NNLIB_ROWS(mul, type, T, x, y, z)                               \
  NNLIB_ROWS(div, type, T, x, y, z)                               \
  NNLIB_ROWS(maximum, type, T, x, y, z)                           \
  NNLIB_ROWS(minimum, type, T, x, y, z)                           \
  NNLIB_ROWS(prelu, type, T, x, y, z)                             \
  NNLIB_ROWS(div_trunc, type, T, x, y, z)                         \
  NNLIB_NUMBER_ROWS(scaled_add, type, T, x, y, z)                 \
  NNLIB_NUMBER_ROWS(lerp, type, T, x, y, z)                       \
  cases.add("sum_rows_" #type, "8x512", {0, sizeof(T) * kValues}, \
            [&t] { t.sum_rows_##type(kRows, kCols, x, kCols, output_f64(1)); });
  NNLIB_TYPE(f32, float, input(0), input(1), output(0))
  NNLIB_TYPE(f64, double, input_f64(0), input_f64(1), output_f64(0))
  NNLIB_TYPE(bf16, uint16_t, input_half(), input_half(), output_half())
  NNLIB_TYPE(f16, uint16_t, input_half(), input_half(), output_half())
#undef NNLIB_TYPE
#undef NNLIB_NUMBER_ROWS
#undef NNLIB_ROWS
  cases.add("convert", "2048 of float32 to int64", {0, 12.0 * 2048},
            [&t] { t.convert(8, 5, 2048, input(0), output_f64(2)); });
  cases.add("prod_rows_f32", "8x512", {kValues, 4 * kValues},
            [&t] { t.prod_rows_f32(kRows, kCols, input(0), kCols, output_f64(1)); });
  cases.add("prod_rows_f64", "8x512", {kValues, 8 * kValues},
            [&t] { t.prod_rows_f64(kRows, kCols, input_f64(0), kCols, output_f64(1)); });
  for (const bool product : {false, true})
    cases.add(product ? "prod_rows_i64" : "sum_rows_i64", "4x512", {0, 8.0 * 2048}, [&t, product] {
      (product ? t.prod_rows_i64 : t.sum_rows_i64)(4, kCols, zeros(), kCols, (uint64_t*)output_f64(1));
    });
  cases.add("sum_short_rows_f32", "512x8", {kValues, 4 * kValues},
            [&t] { t.sum_short_rows_f32(kCols, kRows, input(0), output(0)); });
  cases.add("max_short_rows_f32", "512x8", {0, 4 * kValues},
            [&t] { t.max_short_rows_f32(kCols, kRows, input(0), output(0), nullptr); });
  cases.add("min_short_rows_f32", "512x8", {0, 4 * kValues},
            [&t] { t.min_short_rows_f32(kCols, kRows, input(0), output(0), nullptr); });
  cases.add("square_distances_f32", "8x64 of 32", {3.0 * 8 * 64 * 32, 0},
            [&t] { t.square_distances_f32(8, 64, 32, input(0), input(1), 64, output(0), 64); });
  cases.add("distances_f32", "largest of 64 of 32", {3.0 * 64 * 32, 0},
            [&t] { t.distances_f32(3, 64, 32, input(0), input(1), 64, output(0)); });
  cases.add("distances_f64", "sums of 64 of 32", {2.0 * 64 * 32, 0},
            [&t] { t.distances_f64(1, 64, 32, input_f64(0), input_f64(1), 64, output_f64(0)); });
  cases.add("distance_slopes_f32", "512", {4.0 * kCols, 0},
            [&t] { (void)t.distance_slopes_f32(true, kCols, 0.5f, input(0), input(1), input(2)); });
  cases.add("distance_slopes_f64", "512", {4.0 * kCols, 0}, [&t] {
    (void)t.distance_slopes_f64(false, kCols, 0.5, input_f64(0), input_f64(1), input_f64(2));
  });
  cases.add("sum_i64", "2048", {0, 8.0 * 2048}, [&t] { (void)t.sum_i64(2048, zeros()); });
  cases.add("extreme_int", "2048 int64", {0, 8.0 * 2048},
            [&t] { (void)t.extreme_int(5, true, 2048, zeros()); });
  cases.add("clamp_i64", "2048", {0, 16.0 * 2048},
            [&t] { t.clamp_i64(2048, zeros(), -1, 1, (int64_t*)output_f64(1)); });
  for (const int64_t type : {1, 3, 4, 5}) {
    static const char* const names[] = {"", "uint8", "", "int16", "int32", "int64"};
    const double size = type == 1 ? 1 : double(1 << (type - 2));
    for (const int64_t how :
         {nnlib::kernels::kIntegerAdd, nnlib::kernels::kIntegerMul, nnlib::kernels::kIntegerShiftLeft})
      cases.add("integer_rows", std::string(names[type]) + " " + std::to_string(how), {0, 2 * size * kValues},
                [&t, type, how] {
                  t.integer_rows(how, type, 0, kRows, kCols, input_f64(0), kCols, 1, input_f64(1), 1, 0,
                                 output_f64(0), kCols);
                });
  }
  for (const int64_t type : {4, 5, 8, 9}) {
    static const char* const names[] = {"int32", "int64", "", "", "float32", "float64"};
    cases.add("compare_rows", names[type - 4], {0, (type % 4 ? 9 : 5) * kValues}, [&t, type] {
      t.compare_rows(2, type, kRows, kCols, input_f64(0), kCols, 1, input_f64(1), kCols, 1, output_f64(0),
                     kCols);
    });
  }
}

}  // namespace

void add_rows(Cases& cases) {
  const Table& t = cases.t;
  add_softmax(cases);
#define NNLIB_CROSS_ENTROPY_CASES(type, in, out)                                   \
  add_cross_entropy(cases, #type, in, out, output(1), t.cross_entropy_rows_##type, \
                    t.cross_entropy_lanes_##type);                                 \
  add_cross_entropy_parts(cases, #type, in, out, t.cross_entropy_part_##type,      \
                          t.cross_entropy_part_grad_##type);
  NNLIB_CROSS_ENTROPY_CASES(f32, input(0), output(0))
  NNLIB_CROSS_ENTROPY_CASES(bf16, input_half(), output_half())
  NNLIB_CROSS_ENTROPY_CASES(f16, input_half(), output_half())
#undef NNLIB_CROSS_ENTROPY_CASES
  add_cross_entropy(cases, "f64", input_f64(0), output_f64(0), output_f64(1), t.cross_entropy_rows_f64,
                    t.cross_entropy_lanes_f64);
  add_attention(cases);
  const int64_t* taps = zeros();
#define NNLIB_POOL_CASES(type, size, in, out, sums)                                                 \
  cases.add("pool_mean_" #type, "9 taps, 512", {0, 10.0 * size * kCols},                            \
            [&t, taps] { t.pool_mean_##type(kCols, 9, taps, in, 4, sums); });                       \
  cases.add("pool_max_" #type, "9 taps, 512", {0, 10.0 * size * kCols}, [&t, taps] {                \
    t.pool_max_##type(kCols, 9, taps, reinterpret_cast<const int32_t*>(taps), 1, in, out, nullptr); \
  });                                                                                               \
  cases.add("pool_max_grad_" #type, "4 windows, 512", {0, (5.0 * size + 16) * kCols}, [&t, taps] {  \
    t.pool_max_grad_##type(kCols, 4, taps, 0, in, reinterpret_cast<const int32_t*>(taps), out);     \
  });
  NNLIB_POOL_CASES(f32, 4, input(0), output(0), output(0))
  NNLIB_POOL_CASES(f64, 8, input_f64(0), output_f64(0), output_f64(0))
  NNLIB_POOL_CASES(bf16, 2, input_half(), output_half(), output(0))
  NNLIB_POOL_CASES(f16, 2, input_half(), output_half(), output(0))
#undef NNLIB_POOL_CASES
  cases.add("sample_points_f32", "4 taps, 512", {8.0 * kCols, 36.0 * kCols}, [&t, taps] {
    t.sample_points_f32(kCols, 4, reinterpret_cast<const int32_t*>(taps), input(0), kCols, input(1),
                        output(0));
  });
  cases.add("sample_pixels_f32", "4 taps, 8 points, 64 channels", {8.0 * 512, 4.0 * 512}, [&t, taps] {
    t.sample_pixels_f32(8, 4, reinterpret_cast<const int32_t*>(taps), input(0), 8, 64, input(1), 64,
                        output(0), 64);
  });
  cases.add("point_dots_f32", "4 taps, 512", {8.0 * kCols, 36.0 * kCols}, [&t, taps] {
    t.point_dots_f32(kCols, 4, reinterpret_cast<const int32_t*>(taps), kCols, input(0), input(1), output(0));
  });
  static const kernels::GridImage image{
      kernels::GridImage::Bilinear, kernels::GridImage::Zeros, false, 2, {1, 32, 32}};
  cases.add("grid_points_f32", "4 taps, 512", {0, 40.0 * kCols}, [&t] {
    t.grid_points_f32(&image, kCols, input(0), reinterpret_cast<int32_t*>(output(0)), output(1), nullptr,
                      kCols);
  });
  cases.add("grid_plane_f32", "bilinear, 512 points", {0, 20.0 * kCols},
            [&t] { t.grid_plane_f32(&image, kCols, input(0), 1, input(1), 0, output(0), 0); });
  cases.add("grid_plane_grad_f32", "512 points", {0, 28.0 * kCols},
            [&t] { t.grid_plane_grad_f32(&image, kCols, input(0), 1, input(1), 0, input(0), 0, output(0)); });
  add_transpose(cases, "transpose_u8", t.transpose_u8);
  add_transpose(cases, "transpose_u16", t.transpose_u16);
  add_transpose(cases, "transpose_u32", t.transpose_u32);
  add_transpose(cases, "transpose_u64", t.transpose_u64);
  add_types(cases);
  cases.add("gather_rows_past", "8 rows of 512", {0, 8 * kValues}, [&t] {
    t.gather_rows_past(kRows, 4 * kCols, zeros(), reinterpret_cast<const char*>(input(0)),
                       reinterpret_cast<char*>(output(0)));
  });
  cases.add("sum_rows_indexed_f32", "8 rows of 512", {0, 4 * kValues},
            [&t] { t.sum_rows_indexed_f32(kRows, kCols, zeros(), input(0), kCols, nullptr, output(0)); });
  cases.add("sum_rows_indexed_f64", "8 rows of 512", {0, 8 * kValues}, [&t] {
    t.sum_rows_indexed_f64(kRows, kCols, zeros(), input_f64(0), kCols, nullptr, output_f64(0));
  });
  cases.add("sum_rows_indexed_bf16", "8 rows of 512", {0, 2 * kValues}, [&t] {
    t.sum_rows_indexed_bf16(kRows, kCols, zeros(), input_half(), kCols, nullptr, output_half());
  });
  cases.add("sum_rows_indexed_f16", "8 rows of 512", {0, 2 * kValues}, [&t] {
    t.sum_rows_indexed_f16(kRows, kCols, zeros(), input_half(), kCols, nullptr, output_half());
  });
  cases.add("box_muller_f32", "128 blocks", {0, 8.0 * 128 * 16}, [&t] {
    // In place: the values have to be uniform each time.
    t.probe_copy_f32(128 * 16, input(0), output(0), false);
    t.box_muller_f32(128, output(0), 0, 1);
  });
  // Where a line of the cache begins.
  void* line = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(output(0)) + 63) / 64 * 64);
  cases.add("fill_lines", "128 lines", {0, 64.0 * 128},
            [&t, line] { t.fill_lines(128, 0x3f0000003f000000, line, true); });
  for (bool past_caches : {false, true}) {
    cases.add("probe_copy_f32", past_caches ? "past the caches" : "2048", {0, 8.0 * 2048},
              [&t, past_caches] { t.probe_copy_f32(2048, input(0), output(0), past_caches); });
  }
}

}  // namespace nnlib::benchmarks
