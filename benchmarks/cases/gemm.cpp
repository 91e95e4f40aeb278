// Tiles of matrix products on panels in the first-level cache, packing, and matrix times vector.
#include "cases/cases.h"

namespace nnlib::benchmarks {

namespace {

std::string sizes(int64_t m, int64_t n, int64_t k) {
  return std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
}

void add_tiles(Cases& cases) {
  const Table& t = cases.t;
  const int64_t kc = 256;
  const double flops = 2.0 * double(kc * t.sgemm_mr * t.sgemm_nr);
  cases.add("sgemm_tile", sizes(t.sgemm_mr, t.sgemm_nr, kc), {flops, 0}, [&t, kc] {
    t.sgemm_tile(kc, input(0), input(1), t.sgemm_nr, output(0), t.sgemm_nr, t.sgemm_mr, t.sgemm_nr, nullptr,
                 nullptr, false);
  });
  const double flops64 = 2.0 * double(kc * t.dgemm_mr * t.dgemm_nr);
  cases.add("dgemm_tile", sizes(t.dgemm_mr, t.dgemm_nr, kc), {flops64, 0, true}, [&t, kc] {
    t.dgemm_tile(kc, input_f64(0), input_f64(1), t.dgemm_nr, output_f64(0), t.dgemm_nr, t.dgemm_mr,
                 t.dgemm_nr, nullptr, nullptr, false);
  });
}

// Packing of a panel whose rows, and whose columns, are contiguous.
template <class T, class C, class Kernel>
void add_pack(Cases& cases, const char* name, Kernel pack, int64_t width, const T* from, C* to) {
  const int64_t kc = 64;
  const double bytes = double(width * kc) * (sizeof(T) + sizeof(C));
  cases.add(name, sizes(width, kc, 0) + "/rows", {0, bytes},
            [=] { pack(width, width, kc, from, kc, 1, C(1), to); });
  cases.add(name, sizes(width, kc, 0) + "/columns", {0, bytes},
            [=] { pack(width, width, kc, from, 1, width, C(1), to); });
}

// Eight panels from rows that fill a page each.
template <class Kernel, class T>
void add_pack_panels(Cases& cases, const char* name, Kernel pack, int64_t width, const T* from, T* to) {
  const int64_t kc = 16, n = 8 * width;
  cases.add(name, sizes(width, n, kc), {0, 2.0 * double(n * kc) * sizeof(T)},
            [=] { pack(width, width, n, kc, from, 4096 / int64_t(sizeof(T)), T(1), to, width * kc); });
}

void add_gemv(Cases& cases) {
  const Table& t = cases.t;
  const int64_t m = 16, k = 256;
  const double n = double(m * k);
  cases.add("gemv_dot_f32", sizes(m, 1, k), {2 * n, 4 * n},
            [=, &t] { t.gemv_dot_f32(m, k, input(0), k, input(1), output(0)); });
  cases.add("gemv_dot_f64", sizes(m, 1, k), {2 * n, 8 * n, true},
            [=, &t] { t.gemv_dot_f64(m, k, input_f64(0), k, input_f64(1), output_f64(0)); });
  cases.add("gemv_axpy_f32", sizes(1, k, m), {2 * n, 4 * n},
            [=, &t] { t.gemv_axpy_f32(k, m, input(0), k, input(1), output(0)); });
  cases.add("gemv_axpy_f64", sizes(1, k, m), {2 * n, 8 * n, true},
            [=, &t] { t.gemv_axpy_f64(k, m, input_f64(0), k, input_f64(1), output_f64(0)); });
  const std::string across = sizes(m, 1, k), along = sizes(1, k, m);
  const Work half{2 * n, 2 * n};
  cases.add("gemv_dot_bf16", across, half,
            [=, &t] { t.gemv_dot_bf16(m, k, input_half(), k, input(1), output(0)); });
  cases.add("gemv_dot_f16", across, half,
            [=, &t] { t.gemv_dot_f16(m, k, input_half(), k, input(1), output(0)); });
  cases.add("gemv_axpy_bf16", along, half,
            [=, &t] { t.gemv_axpy_bf16(k, m, input_half(), k, input(1), output(0)); });
  cases.add("gemv_axpy_f16", along, half,
            [=, &t] { t.gemv_axpy_f16(k, m, input_half(), k, input(1), output(0)); });
}

// Small products without packing.
template <class T, class Rows, class Dots>
void add_small(Cases& cases, const std::string& prefix, const std::string& type, Rows rows, Dots dots,
               int64_t nr, const T* a, const T* b, T* c) {
  const int64_t m = 32, k = 64;
  const bool doubles = sizeof(T) == 8;
  cases.add((prefix + "gemm_rows").c_str(), sizes(m, nr, k), {2.0 * double(m * nr * k), 0, doubles},
            [=] { rows(m, nr, k, a, k, 1, b, nr, 0, c, nr, nullptr, false, false); });
  cases.add(("gemm_dots_" + type).c_str(), sizes(8, 8, 128), {2.0 * 8 * 8 * 128, 0, doubles},
            [=] { dots(8, 8, 128, a, 128, b, 128, c, 8, 1); });
}

}  // namespace

void add_gemm(Cases& cases) {
  const Table& t = cases.t;
  add_tiles(cases);
  add_pack(cases, "pack_f32", t.pack_f32, t.sgemm_nr, input(0), output(0));
  add_pack(cases, "pack_f64", t.pack_f64, t.dgemm_nr, input_f64(0), output_f64(0));
  add_pack(cases, "pack_bf16", t.pack_bf16, t.sgemm_nr, input_half(), output(0));
  add_pack(cases, "pack_f16", t.pack_f16, t.sgemm_nr, input_half(), output(0));
  add_pack_panels(cases, "pack_panels_f32", t.pack_panels_f32, t.sgemm_mr, input(0), output(0));
  add_pack_panels(cases, "pack_panels_f64", t.pack_panels_f64, t.dgemm_mr, input_f64(0), output_f64(0));
  add_gemv(cases);
  add_small(cases, "s", "f32", t.sgemm_rows, t.gemm_dots_f32, t.sgemm_nr, input(0), input(1), output(0));
  add_small(cases, "d", "f64", t.dgemm_rows, t.gemm_dots_f64, t.dgemm_nr, input_f64(0), input_f64(1),
            output_f64(0));
  for (bool past_cache : {false, true}) {
    cases.add("outer_f32", past_cache ? "8x512/past the caches" : "8x512", {0, 4.0 * 8 * 512},
              [&t, past_cache] { t.outer_f32(8, 512, input(0), 1, input(1), output(0), 512, past_cache); });
  }
  cases.add("gemm_panel_u32", "8x128", {2.0 * 8 * 128 * double(t.gemm_u32_nr), 0}, [&t] {
    t.gemm_panel_u32(8, 128, reinterpret_cast<const uint32_t*>(input(0)), 128,
                     reinterpret_cast<const uint32_t*>(input(1)), reinterpret_cast<uint32_t*>(output(0)));
  });
  const double flops = 1000.0 * double(t.probe_flops);
  cases.add("probe_fma_f32", "1000", {flops, 0}, [&t] { (void)t.probe_fma_f32(1000, 0.5f); });
}

}  // namespace nnlib::benchmarks
