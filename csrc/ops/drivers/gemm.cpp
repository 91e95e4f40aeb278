#include "ops/drivers/gemm.h"

#include <cmath>
#include <type_traits>

#include "core/parallel.h"
#include "ops/drivers/gemm_bf16.h"
#include "ops/drivers/gemm_integer.h"
#include "ops/drivers/gemm_plan.h"

namespace nnlib::drivers {

namespace {

template <class T>
constexpr bool is_kernel_type = std::is_same_v<T, float> || std::is_same_v<T, double>;
template <class T>
constexpr bool is_half_type = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

int usable_threads(int64_t multiplications) {
  return multiplications < kSerialProduct || in_parallel_region() ? 1 : num_threads();
}

// Rows x columns of equal shares of C, one a thread, that read as little of A and B as possible.
struct Grid {
  int64_t row_block, col_block, rows, cols;
};
Grid share(int64_t m, int64_t n, int64_t mr, int64_t nr, int threads) {
  Grid best{};
  double best_cost = INFINITY;
  for (int64_t r = 1; r <= threads; ++r) {
    const int64_t c = threads / r;
    const int64_t row_block = ((m + r - 1) / r + mr - 1) / mr * mr,
                  col_block = ((n + c - 1) / c + nr - 1) / nr * nr;
    const int64_t rows = (m + row_block - 1) / row_block, cols = (n + col_block - 1) / col_block;
    // The time of the largest share, packing counted as some multiplications an element.
    const double cost = double(row_block) * col_block + 16.0 * (row_block + col_block);
    if (cost < best_cost) {
      best_cost = cost;
      best = {row_block, col_block, rows, cols};
    }
  }
  return best;
}

template <class T, class F>
void for_shares(int64_t m, int64_t n, int64_t k, F block) {
  const TileKernel<compute_t<T>> tile = tile_kernel<compute_t<T>>();
  const Grid g = share(m, n, tile.mr, tile.nr, usable_threads(m * n * k));
  parallel_for(0, g.rows * g.cols, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      const int64_t i = s / g.cols * g.row_block, j = s % g.cols * g.col_block;
      block(i, j, std::min(g.row_block, m - i), std::min(g.col_block, n - j));
    }
  });
}

template <class T>
void scale_rows(int64_t m, int64_t n, T beta, T* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] *= beta;
  }
}

void to_float(int64_t n, const BFloat16* x, float* y) {
  kernels::table().bf16_to_f32(n, reinterpret_cast<const uint16_t*>(x), y);
}
void to_float(int64_t n, const Half* x, float* y) {
  kernels::table().f16_to_f32(n, reinterpret_cast<const uint16_t*>(x), y);
}
void from_float(int64_t n, const float* x, BFloat16* y) {
  kernels::table().f32_to_bf16(n, x, reinterpret_cast<uint16_t*>(y));
}
void from_float(int64_t n, const float* x, Half* y) {
  kernels::table().f32_to_f16(n, x, reinterpret_cast<uint16_t*>(y));
}

// One share of C on one thread, summed in float and rounded once at the end.
template <class T>
void half_share(int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
                compute_t<T> beta, T* c, int64_t ldc, const T* bias) {
  using C = compute_t<T>;
  const TileKernel<C> tile = tile_kernel<C>();
  const auto pack_a = [&](int64_t i, int64_t rows, int64_t p, int64_t kc, C* dst) {
    pack_panel(tile.mr, rows, kc, a.data + i * a.rs + p * a.cs, a.rs, a.cs, alpha, dst);
  };
  const auto pack_b = [&](int64_t j, int64_t cols, int64_t p, int64_t kc, C* dst) {
    pack_panel(tile.nr, cols, kc, b.data + p * b.rs + j * b.cs, b.cs, b.rs, C(1), dst);
  };
  float* sum = scratch<Scratch::Output, float>(m * n + n);
  float* wide_bias = bias ? sum + m * n : nullptr;
  if (bias) to_float(n, bias, wide_bias);
  if (beta != 0) {
    for (int64_t i = 0; i < m; ++i) to_float(n, c + i * ldc, sum + i * n);
    scale_rows(m, n, beta, sum, n);
  }
  gemm_block(m, n, k, pack_a, pack_b, sum, n, static_cast<const float*>(wide_bias), beta != 0);
  for (int64_t i = 0; i < m; ++i) from_float(n, sum + i * n, c + i * ldc);
}

void dot_kernel(int64_t m, int64_t k, const BFloat16* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_dot_bf16(m, k, reinterpret_cast<const uint16_t*>(a), lda, x, y);
}
void dot_kernel(int64_t m, int64_t k, const Half* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_dot_f16(m, k, reinterpret_cast<const uint16_t*>(a), lda, x, y);
}
void axpy_kernel(int64_t n, int64_t k, const BFloat16* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_axpy_bf16(n, k, reinterpret_cast<const uint16_t*>(a), lda, x, y);
}
void axpy_kernel(int64_t n, int64_t k, const Half* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_axpy_f16(n, k, reinterpret_cast<const uint16_t*>(a), lda, x, y);
}
void dot_kernel(int64_t m, int64_t k, const float* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_dot_f32(m, k, a, lda, x, y);
}
void dot_kernel(int64_t m, int64_t k, const double* a, int64_t lda, const double* x, double* y) {
  kernels::table().gemv_dot_f64(m, k, a, lda, x, y);
}
void axpy_kernel(int64_t n, int64_t k, const float* a, int64_t lda, const float* x, float* y) {
  kernels::table().gemv_axpy_f32(n, k, a, lda, x, y);
}
void axpy_kernel(int64_t n, int64_t k, const double* a, int64_t lda, const double* x, double* y) {
  kernels::table().gemv_axpy_f64(n, k, a, lda, x, y);
}

// y = M x for rows of at most kNarrow elements that lie together: no vector would be full. y is in the
// compute type.
constexpr int64_t kNarrow = 8;
template <int K, class T>
void narrow_rows_of(int64_t m, const T* a, int64_t lda, const compute_t<T>* x, compute_t<T>* y) {
  for (int64_t i = 0; i < m; ++i, a += lda) {
    compute_t<T> sum = 0;
#pragma GCC unroll 8
    for (int j = 0; j < K; ++j) sum += compute_t<T>(a[j]) * x[j];
    y[i] = sum;
  }
}
template <class T, int K = 1>
void narrow_rows(int64_t m, int64_t k, const T* a, int64_t lda, const compute_t<T>* x, compute_t<T>* y) {
  if (k == K) return narrow_rows_of<K>(m, a, lda, x, y);
  if constexpr (K < kNarrow) narrow_rows<T, K + 1>(m, k, a, lda, x, y);
}

// Vectors that a matrix of 16-bit floats is multiplied with where it lies: from more on, packing it pays.
constexpr int64_t kFewVectors = 4;

// The matrix times `count` vectors, y[i * row_step + r * vector_step] for row i and vector r; false where
// packing is better. The bias has an element for each row or for each vector.
template <class T>
bool half_vectors(int64_t count, int64_t rows, int64_t k, float alpha, Strided<T> mat, Strided<T> vectors,
                  float beta, T* y, int64_t row_step, int64_t vector_step, const T* bias, bool bias_of_rows) {
  const bool narrow = k > 0 && k <= kNarrow && mat.cs == 1 && mat.rs == k;
  if (count > kFewVectors || (mat.cs != 1 && (mat.rs != 1 || count > 1))) return false;
  if (k < 16 && (count > 1 || rows < 16 || !(narrow || mat.cs != 1))) return false;
  float* x = scratch<Scratch::Vector, float>(count * (k + rows));
  float* out = x + count * k;
  for (int64_t r = 0; r < count; ++r) {
    if (vectors.cs == 1 && alpha == 1) {
      to_float(k, vectors.data + r * vectors.rs, x + r * k);
      continue;
    }
    for (int64_t i = 0; i < k; ++i)
      x[r * k + i] = alpha * float(vectors.data[r * vectors.rs + i * vectors.cs]);
  }
  const int64_t unit = 64, shares = 2 * num_threads(), enough = std::max<int64_t>(1, kSerialProduct / 8 / k);
  const int64_t grain = (std::max(enough, (rows + shares - 1) / shares) + unit - 1) / unit * unit;
  const int64_t near = std::max<int64_t>(4, 8192 / k / 4 * 4);  // rows that stay in the first-level cache
  parallel_for(0, rows, grain, [&](int64_t first, int64_t last) {
    const T* part = mat.data + first * mat.rs;
    if (mat.cs != 1) return axpy_kernel(last - first, k, part, mat.cs, x, out + first);
    if (narrow) {
      constexpr int64_t kSome = 128;
      float wide[kSome * kNarrow];
      for (int64_t i = first; i < last; i += kSome) {
        const int64_t some = std::min(kSome, last - i);
        to_float(some * k, mat.data + i * k, wide);
        narrow_rows(some, k, wide, k, x, out + i);
      }
      return;
    }
    for (int64_t i = first; i < last; i += near) {
      for (int64_t r = 0; r < count; ++r)
        dot_kernel(std::min(near, last - i), k, mat.data + i * mat.rs, mat.rs, x + r * k, out + r * rows + i);
    }
  });
  for (int64_t r = 0; r < count; ++r) {
    if (!bias && beta == 0 && row_step == 1) {
      from_float(rows, out + r * rows, y + r * vector_step);
      continue;
    }
    for (int64_t i = 0; i < rows; ++i) {
      float value = out[r * rows + i] + (bias ? float(bias[bias_of_rows ? i : r]) : 0);
      T* to = y + i * row_step + r * vector_step;
      if (beta != 0) value += beta * float(*to);
      *to = T(value);
    }
  }
  return true;
}

// y = alpha M x + beta y (+ bias), y of step incy, the bias of step incb; false where M has unit stride
// neither way.
template <class T>
bool gemv(int64_t m, int64_t k, T alpha, Strided<T> mat, const T* x, int64_t incx, T beta, T* y, int64_t incy,
          const T* bias, int64_t incb) {
  if (mat.cs != 1 && mat.rs != 1) return false;
  const bool as_is = alpha == 1 && beta == 0 && !bias && incy == 1;
  T* room = scratch<Scratch::Vector, T>(k + m);
  T* out = as_is ? y : room;
  const T* v = x;
  if (incx != 1) {
    T* copy = room + m;
    for (int64_t i = 0; i < k; ++i) copy[i] = x[i * incx];
    v = copy;
  }
  // Memory sets the pace here, not multiplications. Long shares let it stream.
  const int64_t elements = kSerialProduct / 8, unit = 64, shares = 2 * num_threads();
  const int64_t enough = std::max<int64_t>(1, elements / std::max<int64_t>(k, 1));
  const int64_t grain = (std::max(enough, (m + shares - 1) / shares) + unit - 1) / unit * unit;
  parallel_for(0, m, grain, [&](int64_t first, int64_t last) {
    const T* part = mat.data + first * mat.rs;
    if (mat.cs == 1 && k > 0 && k <= kNarrow) {
      narrow_rows(last - first, k, part, mat.rs, v, out + first);
    } else if (mat.cs == 1) {
      dot_kernel(last - first, k, part, mat.rs, v, out + first);
    } else {
      axpy_kernel(last - first, k, part, mat.cs, v, out + first);
    }
  });
  for (int64_t i = 0; i < m && !as_is; ++i) {
    T value = alpha * out[i];
    if (bias) value += bias[i * incb];
    y[i * incy] = beta == 0 ? value : value + beta * y[i * incy];
  }
  return true;
}

// Products of a few numbers, whose plan would take longer than they do.
constexpr int64_t kTinyProduct = 128;
template <class T>
void tiny_gemm(int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b,
               compute_t<T> beta, T* c, int64_t ldc) {
  using C = compute_t<T>;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      C sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += C(a.data[i * a.rs + p * a.cs]) * C(b.data[p * b.rs + j * b.cs]);
      T& to = c[i * ldc + j];
      to = T(beta == 0 ? alpha * sum : alpha * sum + beta * C(to));
    }
  }
}

// C = a b for a column a and a contiguous row b; false where there is no kernel for it.
bool outer(int64_t m, int64_t n, Strided<float> a, Strided<float> b, float* c, int64_t ldc) {
  if (b.cs != 1) return false;
  const int64_t large = 4 << 20;  // elements that no cache keeps until they are read again
  parallel_for(0, m, std::max<int64_t>(1, kSerialProduct / 16 / n), [&](int64_t first, int64_t last) {
    kernels::table().outer_f32(last - first, n, a.data + first * a.rs, a.rs, b.data, c + first * ldc, ldc,
                               m * n > large);
  });
  return true;
}
bool outer(int64_t, int64_t, Strided<double>, Strided<double>, double*, int64_t) { return false; }

}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a, Strided<T> b, compute_t<T> beta,
          T* c, int64_t ldc, const T* bias) {
  if (m <= 0 || n <= 0) return;
  if constexpr (is_kernel_type<T> || is_half_type<T>) {
    if (gemm_by_tiles<T>(m, n, k, alpha, a, b, beta, c, ldc, bias)) return;
  }
  if constexpr (is_kernel_type<T>) {
    if (n == 1 && gemv(m, k, alpha, a, b.data, b.rs, beta, c, ldc, bias, 0)) return;
    if (m == 1 && gemv(n, k, alpha, Strided<T>{b.data, b.cs, b.rs}, a.data, a.cs, beta, c, 1, bias, 1))
      return;
    if (k == 1 && alpha == 1 && beta == 0 && !bias && outer(m, n, a, b, c, ldc)) return;
    GemmPlan<T>(m, n, k, alpha, a, b).run(a.data, b.data, beta, c, ldc, bias, a.weight, b.weight);
  } else if constexpr (is_half_type<T>) {
    const Strided<T> columns{b.data, b.cs, b.rs};
    if (m <= n && half_vectors<T>(m, n, k, alpha, columns, a, beta, c, 1, ldc, bias, true)) return;
    if (half_vectors<T>(n, m, k, alpha, a, columns, beta, c, ldc, 1, bias, false)) return;
    for_shares<T>(m, n, k, [&](int64_t i, int64_t j, int64_t rows, int64_t cols) {
      half_share<T>(rows, cols, k, alpha, {a.data + i * a.rs, a.rs, a.cs}, {b.data + j * b.cs, b.rs, b.cs},
                    beta, c + i * ldc + j, ldc, bias ? bias + j : nullptr);
    });
  } else {
    integer_gemm(m, n, k, alpha, a, b, beta, c, ldc, bias);
  }
}

template <class T>
void batched_gemm(int64_t batch, int64_t m, int64_t n, int64_t k, compute_t<T> alpha, Strided<T> a,
                  int64_t a_batch, Strided<T> b, int64_t b_batch, compute_t<T> beta, T* c, int64_t ldc,
                  int64_t c_batch) {
  if (batch <= 0 || m <= 0 || n <= 0) return;
  // One matrix for the whole batch: a product of more rows.
  if (b_batch == 0 && a_batch == m * a.rs && c_batch == m * ldc) {
    return gemm<T>(batch * m, n, k, alpha, a, b, beta, c, ldc);
  }
  const auto each = [&](auto one) {
    const int64_t work = std::max<int64_t>(1, m * n * std::max<int64_t>(1, k));
    if (batch < num_threads() && work > kSerialProduct) {
      for (int64_t p = 0; p < batch; ++p) one(p);  // large products: each is shared among the threads
      return;
    }
    parallel_for(0, batch, std::max<int64_t>(1, kSerialProduct / 4 / work), [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p) one(p);
    });
  };
  if constexpr (is_kernel_type<T> || is_half_type<T>) {
    if (m * n * k <= kTinyProduct) {
      return each([&](int64_t p) {
        tiny_gemm<T>(m, n, k, alpha, {a.data + p * a_batch, a.rs, a.cs}, {b.data + p * b_batch, b.rs, b.cs},
                     beta, c + p * c_batch, ldc);
      });
    }
  }
  if constexpr (is_kernel_type<T>) {
    if (m > 1 && n > 1 && k > 1 && !takes_tiles<T>(m, n, k)) {
      const GemmPlan<T> plan(m, n, k, alpha, a, b);
      return each([&](int64_t p) {
        plan.run(a.data + p * a_batch, b.data + p * b_batch, beta, c + p * c_batch, ldc, nullptr, nullptr,
                 nullptr);
      });
    }
  }
  each([&](int64_t p) {
    gemm<T>(m, n, k, alpha, {a.data + p * a_batch, a.rs, a.cs}, {b.data + p * b_batch, b.rs, b.cs}, beta,
            c + p * c_batch, ldc);
  });
}

#define NNLIB_INSTANTIATE(T)                                                                               \
  template void gemm<T>(int64_t, int64_t, int64_t, compute_t<T>, Strided<T>, Strided<T>, compute_t<T>, T*, \
                        int64_t, const T*);                                                                \
  template void batched_gemm<T>(int64_t, int64_t, int64_t, int64_t, compute_t<T>, Strided<T>, int64_t,     \
                                Strided<T>, int64_t, compute_t<T>, T*, int64_t, int64_t);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
NNLIB_INSTANTIATE(Half)
NNLIB_INSTANTIATE(BFloat16)
NNLIB_INSTANTIATE(uint8_t)
NNLIB_INSTANTIATE(int8_t)
NNLIB_INSTANTIATE(int16_t)
NNLIB_INSTANTIATE(int32_t)
NNLIB_INSTANTIATE(int64_t)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::drivers
