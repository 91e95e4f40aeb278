#include "ops/drivers/gemm_integer.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/gemm.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers {

namespace {

// An element of C from its sum. U: unsigned, of the sum.
template <class T, class U>
void put(U sum, U alpha, U beta, T& c, const T* bias) {
  U value = alpha * sum + (bias ? U(*bias) : U(0));
  if (beta != 0) value += beta * U(c);
  c = T(value);
}

// Row by row: few columns or multiplications, and integers of 64 bits, of which few processors multiply
// vectors.
template <class T, class U>
void by_rows(int64_t m, int64_t n, int64_t k, T alpha, Strided<T> a, Strided<T> b, T beta, T* c, int64_t ldc,
             const T* bias) {
  const int64_t grain = std::max<int64_t>(1, kSerialProduct / std::max<int64_t>(1, n * k));
  parallel_for(0, m, grain, [&](int64_t first, int64_t last) {
    U* sum = scratch<Scratch::Output, U>(n);
    for (int64_t i = first; i < last; ++i) {
      std::fill(sum, sum + n, U(0));
      for (int64_t p = 0; p < k; ++p) {
        const U x = U(a.data[i * a.rs + p * a.cs]);
        const T* row = b.data + p * b.rs;
        for (int64_t j = 0; j < n; ++j) sum[j] += x * U(row[j * b.cs]);
      }
      for (int64_t j = 0; j < n; ++j)
        put<T, U>(sum[j], U(alpha), U(beta), c[i * ldc + j], bias ? bias + j : nullptr);
    }
  });
}

// All of B in panels of columns, and rows of A, in 32 bits: narrower sums are the low bits of wider ones.
template <class T>
void by_panels(int64_t m, int64_t n, int64_t k, T alpha, Strided<T> a, Strided<T> b, T beta, T* c,
               int64_t ldc, const T* bias) {
  const int64_t nr = kernels::table().gemm_u32_nr, panels = (n + nr - 1) / nr;
  uint32_t* const packed = scratch<Scratch::PanelsB, uint32_t>(panels * nr * k);
  parallel_for(0, panels, std::max<int64_t>(1, kSerialProduct / 64 / (nr * k)),
               [&](int64_t first, int64_t last) {
                 for (int64_t s = first; s < last; ++s) {
                   const int64_t columns = std::min(nr, n - s * nr);
                   uint32_t* to = packed + s * nr * k;
                   for (int64_t p = 0; p < k; ++p, to += nr) {
                     const T* from = b.data + p * b.rs + s * nr * b.cs;
                     for (int64_t j = 0; j < columns; ++j) to[j] = uint32_t(from[j * b.cs]);
                     std::fill(to + columns, to + nr, 0u);
                   }
                 }
               });
  const int64_t most = 64;  // rows at a time
  const int64_t grain = std::clamp<int64_t>(kSerialProduct / (n * k) / 4 * 4, 4, most);
  parallel_for(0, m, grain, [&](int64_t first, int64_t last) {
    const int64_t rows = last - first;
    uint32_t* const x = scratch<Scratch::PanelsA, uint32_t>(rows * k);
    uint32_t* const sum = scratch<Scratch::Output, uint32_t>(rows * nr);
    for (int64_t i = 0; i < rows; ++i) {
      const T* from = a.data + (first + i) * a.rs;
      for (int64_t p = 0; p < k; ++p) x[i * k + p] = uint32_t(from[p * a.cs]);
    }
    for (int64_t s = 0; s < panels; ++s) {
      kernels::table().gemm_panel_u32(rows, k, x, k, packed + s * nr * k, sum);
      const int64_t columns = std::min(nr, n - s * nr);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          const int64_t column = s * nr + j;
          put<T, uint32_t>(sum[i * nr + j], uint32_t(alpha), uint32_t(beta), c[(first + i) * ldc + column],
                           bias ? bias + column : nullptr);
        }
      }
    }
  });
}

// Panels of fewer columns, or of so few multiplications, are not worth their packing.
constexpr int64_t kPanelColumns = 4, kPanelProduct = 512;

}  // namespace

template <class T>
void integer_gemm(int64_t m, int64_t n, int64_t k, T alpha, Strided<T> a, Strided<T> b, T beta, T* c,
                  int64_t ldc, const T* bias) {
  if constexpr (sizeof(T) == 8) {
    by_rows<T, uint64_t>(m, n, k, alpha, a, b, beta, c, ldc, bias);
  } else if (m >= 4 && n >= kPanelColumns && m * n * k >= kPanelProduct) {
    by_panels<T>(m, n, k, alpha, a, b, beta, c, ldc, bias);
  } else {
    by_rows<T, uint32_t>(m, n, k, alpha, a, b, beta, c, ldc, bias);
  }
}

#define NNLIB_INTEGER_GEMM(T)                                                                         \
  template void integer_gemm<T>(int64_t, int64_t, int64_t, T, Strided<T>, Strided<T>, T, T*, int64_t, \
                                const T*);
NNLIB_INTEGER_GEMM(uint8_t)
NNLIB_INTEGER_GEMM(int8_t)
NNLIB_INTEGER_GEMM(int16_t)
NNLIB_INTEGER_GEMM(int32_t)
NNLIB_INTEGER_GEMM(int64_t)

}  // namespace nnlib::drivers
