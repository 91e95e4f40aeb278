// How functions of one operand run: a float32 row kernel, and scalar functions
// for double and int64.
#pragma once
#include "kernels/dispatch.h"
#include "ops/iterator.h"

namespace nnlib::ops {

using KernelUnary = void (*)(int64_t, const float*, float*);
using KernelUnaryF64 = void (*)(int64_t, const double*, double*);
using KernelUnary16 = void (*)(int64_t, const uint16_t*, uint16_t*);

// The kernels of a function, those that there are. Without one for a 16-bit
// type, float32's serves it.
struct UnaryKernels {
  KernelUnary f32 = nullptr;
  KernelUnaryF64 f64 = nullptr;
  KernelUnary16 bf16 = nullptr, f16 = nullptr;

  UnaryKernels(KernelUnary f32) : f32(f32) {}
  UnaryKernels(KernelUnary f32, KernelUnaryF64 f64) : f32(f32), f64(f64) {}
  UnaryKernels(KernelUnary f32, KernelUnaryF64 f64, KernelUnary16 bf16, KernelUnary16 f16)
      : f32(f32), f64(f64), bf16(bf16), f16(f16) {}
};
#define NNLIB_UNARY_KERNELS(name)                                                                      \
  UnaryKernels(kernels::table().name##_f32, kernels::table().name##_f64, kernels::table().name##_bf16, \
               kernels::table().name##_f16)
#define NNLIB_FLOAT_KERNELS(name) UnaryKernels(kernels::table().name##_f32, kernels::table().name##_f64)

// out = kernel(x), both in the kernel's type or converted to it.
template <class T, class K>
void run_unary_kernel(const Tensor& out, const Tensor& x, Dtype type, K kernel, int64_t grain) {
  for_each_row(
      out, type, {{&x, type}},
      [&](int64_t n, const void* const* in, void* o) { kernel(n, (const T*)in[0], (T*)o); }, grain);
}

// out = f(x) in the compute type of out, by a kernel where there is one.
template <bool FloatOnly, class F>
void run_unary(const Tensor& out, const Tensor& x, Dtype type, const UnaryKernels& kernel, const F& f,
               int64_t grain) {
  const Dtype c = compute_dtype(type);
  const bool kept = x.dtype() == type && out.dtype() == type;
  if (c == Dtype::Float32) {
    if (kept && type == Dtype::BFloat16 && kernel.bf16)
      run_unary_kernel<uint16_t>(out, x, type, kernel.bf16, grain);
    else if (kept && type == Dtype::Float16 && kernel.f16)
      run_unary_kernel<uint16_t>(out, x, type, kernel.f16, grain);
    else if (kernel.f32)
      run_unary_kernel<float>(out, x, c, kernel.f32, grain);
    else
      map_values<float>(out, grain, f, x);
  } else if (c == Dtype::Float64) {
    if (kernel.f64)
      run_unary_kernel<double>(out, x, c, kernel.f64, grain);
    else
      map_values<double>(out, grain, f, x);
  } else if constexpr (!FloatOnly) {
    // Integers in their own type; a bool is the truth of an integer's result.
    if (kept && type != Dtype::Bool)
      dispatch_integral(type, "",
                        [&](auto tag) { map_values<typename decltype(tag)::type>(out, grain, f, x); });
    else
      map_values<int64_t>(out, grain, f, x);
  }
}

}  // namespace nnlib::ops
