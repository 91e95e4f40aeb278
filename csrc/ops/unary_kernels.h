// How functions of one operand run: a float32 row kernel, and scalar functions for double and int64.
#pragma once
#include "kernels/dispatch.h"
#include "ops/iterator.h"

namespace nnlib::ops {

using KernelUnary = void (*)(int64_t, const float*, float*);

// out = f(x) in the compute type of out; float32 by the kernel where there is one.
template <bool FloatOnly, class F>
void run_unary(const Tensor& out, const Tensor& x, Dtype type, KernelUnary kernel, const F& f,
               int64_t grain) {
  const Dtype c = compute_dtype(type);
  if (c == Dtype::Float32) {
    if (kernel)
      for_each_row(
          out, c, {{&x, c}},
          [&](int64_t n, const void* const* in, void* o) { kernel(n, (const float*)in[0], (float*)o); },
          grain);
    else
      map_values<float>(out, grain, f, x);
  } else if (c == Dtype::Float64) {
    map_values<double>(out, grain, f, x);
  } else if constexpr (!FloatOnly) {
    map_values<int64_t>(out, grain, f, x);
  }
}

}  // namespace nnlib::ops
