// How binary operators run: a float32 row kernel, and scalar functions for double and int64.
#pragma once
#include <optional>

#include "kernels/dispatch.h"
#include "ops/iterator.h"

namespace nnlib::ops {

using KernelBinary = void (*)(int64_t, const float*, const float*, float*);
using KernelBinaryF64 = void (*)(int64_t, const double*, const double*, double*);

// The kernels of an operator: over contiguous values, and over rows of each type; those that there are.
struct BinaryKernels {
  KernelBinary f32 = nullptr;
  KernelBinaryF64 f64 = nullptr;
  Rows2 rows_f32 = nullptr, rows_f64 = nullptr, rows_bf16 = nullptr, rows_f16 = nullptr;
  std::optional<kernels::IntegerOperation> integers;

  BinaryKernels(KernelBinary f32, KernelBinaryF64 f64 = nullptr) : f32(f32), f64(f64) {}
  BinaryKernels(KernelBinary f32, Rows2 rows_f32, Rows2 rows_f64, Rows2 rows_bf16, Rows2 rows_f16)
      : f32(f32), rows_f32(rows_f32), rows_f64(rows_f64), rows_bf16(rows_bf16), rows_f16(rows_f16) {}
  BinaryKernels with_integers(kernels::IntegerOperation how) const {
    BinaryKernels all = *this;
    all.integers = how;
    return all;
  }
  Rows2 rows(Dtype d) const {
    switch (d) {
      case Dtype::Float32:
        return rows_f32;
      case Dtype::Float64:
        return rows_f64;
      case Dtype::BFloat16:
        return rows_bf16;
      case Dtype::Float16:
        return rows_f16;
      default:
        return nullptr;
    }
  }
};
#define NNLIB_BINARY_KERNELS(name)                                                   \
  BinaryKernels(kernels::table().name##_f32, kernels::table().name##_rows_f32,       \
                kernels::table().name##_rows_f64, kernels::table().name##_rows_bf16, \
                kernels::table().name##_rows_f16)
#define NNLIB_BINARY_KERNELS_OF_ALL(name, integers) \
  NNLIB_BINARY_KERNELS(name).with_integers(kernels::integers)

// out = f(c, a, b) by the kernel of out's type that takes a number. False, and nothing done, where the type
// has none or the operands are not for it.
inline bool run_with_number(const Tensor& out, const Tensor& a, const Tensor& b, double c, NumberRows2 f32,
                            NumberRows2 f64, NumberRows2 bf16, NumberRows2 f16) {
  const Dtype d = out.dtype();
  if (!is_floating(d)) return false;
  const NumberRows2 kernel = d == Dtype::Float32    ? f32
                             : d == Dtype::Float64  ? f64
                             : d == Dtype::BFloat16 ? bf16
                                                    : f16;
  return for_each_rows2(out, a, b, d, [=](auto... rows) { kernel(c, rows...); }, kCheap);
}
#define NNLIB_NUMBER_KERNELS(name)                                                                       \
  kernels::table().name##_rows_f32, kernels::table().name##_rows_f64, kernels::table().name##_rows_bf16, \
      kernels::table().name##_rows_f16

// out = x (how) y, c: the number of how, on integers and bools of the common type, which wrap: by the kernel
// in that type where out has it, otherwise in int64.
void run_integer_rows(const Tensor& out, const Tensor& a, const Tensor& b, Dtype common,
                      kernels::IntegerOperation how, int64_t c = 0);
// A single value in `common`: a number that does not fit the type of a computation wraps before it, not
// after.
inline Tensor single_in_type(const Tensor& t, Dtype common) {
  return t.numel() == 1 ? cast_values(t, common) : t;
}

template <class F>
void run_integers(const Tensor& out, const Tensor& a, const Tensor& b, Dtype common, const F& f,
                  int64_t grain) {
  // A bool's result is the truth of an integer's, and a result of another type comes from the widest.
  if (common == Dtype::Bool || out.dtype() != common) return map_values<int64_t>(out, grain, f, a, b);
  Tensor x = single_in_type(a, common), y = single_in_type(b, common);
  dispatch_own(
      common,
      [&](auto tag) {
        using T = typename decltype(tag)::type;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) map_values<T>(out, grain, f, x, y);
      },
      x, y);
}

// out = f(a, b) computed in the compute type of `common`, small integers in their own; float32 by the kernel
// where there is one.
template <bool FloatOnly = false, class F>
void run_binary(const Tensor& out, const Tensor& a, const Tensor& b, Dtype common,
                const BinaryKernels& kernel, const F& f, int64_t grain = kCheap) {
  const Rows2 rows = out.dtype() == common ? kernel.rows(common) : nullptr;
  if (rows && for_each_rows2(out, a, b, common, rows, grain)) return;
  if (kernel.integers && !is_floating(common)) return run_integer_rows(out, a, b, common, *kernel.integers);
  const Dtype c = compute_dtype(common);
  if (c == Dtype::Float32) {
    if (kernel.f32)
      for_each_row(
          out, c, {{&a, c}, {&b, c}},
          [&](int64_t n, const void* const* in, void* o) {
            kernel.f32(n, (const float*)in[0], (const float*)in[1], (float*)o);
          },
          grain);
    else
      map_values<float>(out, grain, f, a, b);
  } else if (c == Dtype::Float64) {
    if (kernel.f64)
      for_each_row(
          out, c, {{&a, c}, {&b, c}},
          [&](int64_t n, const void* const* in, void* o) {
            kernel.f64(n, (const double*)in[0], (const double*)in[1], (double*)o);
          },
          grain);
    else
      map_values<double>(out, grain, f, a, b);
  } else {
    if constexpr (FloatOnly)
      throw_message<NotImplementedError>("not implemented for '", dtype_legacy_name(common), "'");
    else
      run_integers(out, a, b, common, f, grain);
  }
}

// The same into a new tensor of type `common`.
template <bool FloatOnly = false, class F>
Tensor binary(const Tensor& a, const Tensor& b, Dtype common, const BinaryKernels& kernel, const F& f,
              int64_t grain = kCheap) {
  Tensor out = make_output(broadcast_sizes({a, b}), common, {&a, &b});
  run_binary<FloatOnly>(out, a, b, common, kernel, f, grain);
  return out;
}

// The checks of an operator that writes into self a result of the given type and sizes, computed from
// `other`.
void check_result_fits(const Tensor& self, const Dims& sizes, Dtype result);

// self = f(self, other) in self's own memory; no history.
template <bool FloatOnly = false, class F>
void binary_into(const Tensor& self, const Tensor& other, Dtype common, const BinaryKernels& kernel,
                 const F& f, int64_t grain = kCheap) {
  check_result_fits(self, broadcast_sizes({self, other}), common);
  check_no_partial_overlap(self, other);
  run_binary<FloatOnly>(self, self, other, common, kernel, f, grain);
}

}  // namespace nnlib::ops
