// Products of float32 numbers split into bfloat16 parts, on AMX tiles: 32 x 32 of C in four tiles, two of A,
// two of B.
#pragma once
#include "bf16_avx512.inl"

namespace nnlib::kernels::NNLIB_ISA_NS {
namespace {

// A tile instruction makes 8192 products in 16 cycles, two of AVX-512's multiply-adds 32 a cycle.
constexpr int64_t bf16_rate = 16;

void bf16_begin() {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } config __attribute__((aligned(64)));
  memset(&config, 0, sizeof config);
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    config.bytes[t] = 64;
    config.rows[t] = 16;
  }
  __asm__ volatile("" ::"r"(&config) : "memory");  // g++ 12 drops the stores else
  _tile_loadconfig(&config);
}
void bf16_end() { _tile_release(); }

// Tiles 0 to 3 hold C, 4 and 5 part p of A's rows, 6 and 7 part q of B's columns. Macros: g++ wants the
// tiles' numbers as literals.
#define NNLIB_TILES_A(p)              \
  _tile_loadd(4, a + (p) * 1024, 64); \
  _tile_loadd(5, a + (p) * 1024 + 512, 64)
#define NNLIB_TILES_B(q)              \
  _tile_loadd(6, b + (q) * 1024, 64); \
  _tile_loadd(7, b + (q) * 1024 + 512, 64)
#define NNLIB_TILES_MULTIPLY() \
  _tile_dpbf16ps(0, 4, 6);     \
  _tile_dpbf16ps(1, 4, 7);     \
  _tile_dpbf16ps(2, 5, 6);     \
  _tile_dpbf16ps(3, 5, 7)

// One block of k. Small products come first as far as each operand is then loaded once or twice.
template <int parts>
inline __attribute__((always_inline)) void multiply_step(const uint16_t* a, const uint16_t* b) {
  if constexpr (parts == 3) {
    NNLIB_TILES_A(2);
    NNLIB_TILES_B(0);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_A(1);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_B(1);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_A(0);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_B(0);
    NNLIB_TILES_MULTIPLY();
    NNLIB_TILES_B(2);
    NNLIB_TILES_MULTIPLY();
  } else {
    if constexpr (parts == 2) {
      NNLIB_TILES_A(1);
      NNLIB_TILES_B(0);
      NNLIB_TILES_MULTIPLY();
      NNLIB_TILES_A(0);
      NNLIB_TILES_MULTIPLY();
      NNLIB_TILES_B(1);
    } else {
      NNLIB_TILES_A(0);
      NNLIB_TILES_B(0);
    }
    NNLIB_TILES_MULTIPLY();
  }
}

template <int parts>
void multiply(int64_t steps, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc, const char* ahead,
              int64_t lines_ahead) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int64_t a_step = (lines_ahead + steps - 1) / steps;
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t q = s * a_step; q < (s + 1) * a_step && q < lines_ahead; ++q)
      _mm_prefetch(ahead + q * 64, _MM_HINT_T1);
    multiply_step<parts>(a + s * parts * 1024, b + s * parts * 1024);
  }
  const int64_t bytes = ldc * int64_t(sizeof(float));
  float* const lower = c + 16 * ldc;
  _tile_stored(0, c, bytes);
  _tile_stored(1, c + 16, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + 16, bytes);
}

#undef NNLIB_TILES_A
#undef NNLIB_TILES_B
#undef NNLIB_TILES_MULTIPLY

void bf16_tile_f32(int64_t steps, int64_t parts, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc,
                   int64_t m, int64_t n, const float* bias, bool accumulate, const void* ahead,
                   int64_t lines_ahead) {
  const auto run = parts == 1 ? multiply<1> : parts == 2 ? multiply<2> : multiply<3>;
  const char* from = static_cast<const char*>(ahead);
  for (int64_t i = 0; i < m; ++i) {  // there by the time that the products are summed
    _mm_prefetch(reinterpret_cast<const char*>(c + i * ldc), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(c + i * ldc + n - 1), _MM_HINT_T0);
  }
  if (m == 32 && n == 32 && !accumulate && !bias) return run(steps, a, b, c, ldc, from, lines_ahead);
  alignas(64) float sum[1024];
  run(steps, a, b, sum, 32, from, lines_ahead);
  finish_block(sum, c, ldc, m, n, bias, accumulate);
}

}  // namespace
}  // namespace nnlib::kernels::NNLIB_ISA_NS
