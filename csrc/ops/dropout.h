// Dropout (Srivastava et al., 2014) and its kinds. Nothing is dropped where `train` is false or p is 0. The
// numbers come from the default generator's counter-based stream: the same for any number of threads.
#pragma once
#include "autograd/function.h"

namespace nnlib::ops {

// Where in the stream the numbers of a mask stand: it is not kept but drawn again. Every row of `width`
// values begins with counters of its own, so that any part of a row can be drawn alone.
struct DropoutRows {
  uint64_t key = 0, counter = 0;
  uint32_t threshold = 0;
  double scale = 1;  // of what stays
  int64_t width = 0;

  static constexpr int64_t kUnit = 64;  // parts of rows begin at multiples of this
  // out[i] = 0 or `value`, for the n values of a row from `first` on.
  void draw(int64_t row, int64_t first, int64_t n, float value, float* out) const;
};
DropoutRows draw_dropout_rows(int64_t rows, int64_t width, double p);
// The mask itself, zeros and ones: (rows, width) in float32.
Tensor dropout_rows(const DropoutRows& mask, int64_t rows);

// Each value is zero with probability p; the others are divided by 1 - p.
Tensor dropout(const Tensor& input, double p, bool train);
// The same for whole channels of (N, C, ...).
Tensor feature_dropout(const Tensor& input, double p, bool train);
// Values become SELU's lower limit, then all are scaled and shifted: mean and variance stay (Klambauer et
// al., 2017).
Tensor alpha_dropout(const Tensor& input, double p, bool train);
Tensor feature_alpha_dropout(const Tensor& input, double p, bool train);

Tensor dropout_(const Tensor& self, double p, bool train);
Tensor feature_dropout_(const Tensor& self, double p, bool train);
Tensor alpha_dropout_(const Tensor& self, double p, bool train);
Tensor feature_alpha_dropout_(const Tensor& self, double p, bool train);

}  // namespace nnlib::ops
