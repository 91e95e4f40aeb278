// What a cross-entropy is, as plain data that its kernels and their callers share.
#pragma once
#include <stdint.h>

namespace nnlib::kernels {

// The loss of an example with class t, class weights w and smoothing e over C classes, lse = ln sum_j e^x_j:
//
//   loss = on w_t (lse - x_t) + sum_j q_j (lse - x_j),   q_j = off w_j,   on = 1 - e, off = e / C
//   d loss / d x_j = (on w_t + sum_i q_i) softmax_j - q_j - [j = t] on w_t
//
// Where the target is a probability p_j for each class, there is no t and q_j = w_j (on p_j + off).
template <class T>
struct CrossEntropyOf {
  int64_t classes, ignore_index;
  const T* weight;  // one for each class; null: all 1
  T on, off, weight_sum;
  T scale;  // what the gradient is multiplied by
};
using CrossEntropy = CrossEntropyOf<float>;

}  // namespace nnlib::kernels
