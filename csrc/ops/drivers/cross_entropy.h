// Cross-entropies of many examples, shared among threads. Any number of threads gives the same bits.
#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "kernels/cross_entropy.h"

namespace nnlib::drivers {

// Where the scores of outer x inner examples lie, in elements.
struct ExampleLayout {
  int64_t outer, inner;
  int64_t outer_stride, inner_stride, class_stride;
};

// losses[i] and, where y is not null, the gradient of its scores, for the examples in order; c says what is
// computed. target null: p has probabilities, laid out as `lp`. x, p and y share outer and inner; where the
// classes of x are adjacent, those of p and y are too. T: float, double, Half, BFloat16 (in float).
template <class T>
void cross_entropy(const kernels::CrossEntropyOf<compute_t<T>>& c, const ExampleLayout& lx, const T* x,
                   const int64_t* target, const ExampleLayout& lp, const T* p, compute_t<T>* losses,
                   const ExampleLayout& ly, T* y);

// The sum of n losses, in an order that n alone fixes.
template <class C>
double sum_losses(int64_t n, const C* losses);

}  // namespace nnlib::drivers
