// Pooling.
#include "ops/pool.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_pool(Binder& b) {
  b.def<ops::max_pool1d>(
      "max_pool1d(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, int[1] "
      "dilation=1, bool ceil_mode=False) -> Tensor",
      kFunction,
      R"(The maximum of each window over the last 1 dimension of input (N, C, ...) or (C, ...).

stride is kernel_size where not given; padding counts as minus infinity, at most half of the window; ceil_mode keeps a
last window that reaches over the edge. Raises RuntimeError for sizes that do not fit.)");
  b.def<ops::max_pool1d_with_indices>(
      "max_pool1d_with_indices(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, "
      "int[1] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
      kFunction | kPrivate,
      R"(max_pool1d and the flat place of each maximum in its channel (int64). The first of equal values counts, and NaN wins.)");
  b.def<ops::adaptive_max_pool1d>(
      "adaptive_max_pool1d(Tensor input, int[1] output_size) -> (Tensor, Tensor)", kFunction,
      R"(The maxima, and their places, of windows that cut the input into output_size parts of nearly equal length.)");
  b.def<ops::adaptive_avg_pool1d>(
      "adaptive_avg_pool1d(Tensor input, int[1] output_size) -> Tensor", kFunction,
      R"(The means of windows that cut the input into output_size parts of nearly equal length.)");
  b.def<ops::avg_pool1d>(
      "avg_pool1d(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, bool "
      "ceil_mode=False, bool count_include_pad=True) -> Tensor",
      kFunction,
      R"(The mean of each window over the last 1 dimension of input (N, C, ...) or (C, ...).

Padding is zero, and counts in the divisor unless count_include_pad is false. Raises
RuntimeError for sizes that do not fit.)");
  b.def<ops::max_pool2d>(
      "max_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] "
      "dilation=1, bool ceil_mode=False) -> Tensor",
      kFunction,
      R"(The maximum of each window over the last 2 dimensions of input (N, C, ...) or (C, ...).

stride is kernel_size where not given; padding counts as minus infinity, at most half of the window; ceil_mode keeps a
last window that reaches over the edge. Raises RuntimeError for sizes that do not fit.)");
  b.def<ops::max_pool2d_with_indices>(
      "max_pool2d_with_indices(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, "
      "int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
      kFunction | kPrivate,
      R"(max_pool2d and the flat place of each maximum in its channel (int64). The first of equal values counts, and NaN wins.)");
  b.def<ops::adaptive_max_pool2d>(
      "adaptive_max_pool2d(Tensor input, int[2] output_size) -> (Tensor, Tensor)", kFunction | kPrivate,
      R"(The maxima, and their places, of windows that cut the input into output_size parts of nearly equal length.)");
  b.def<ops::adaptive_avg_pool2d>(
      "adaptive_avg_pool2d(Tensor input, int[2] output_size) -> Tensor", kFunction | kPrivate,
      R"(The means of windows that cut the input into output_size parts of nearly equal length.)");
  b.def<ops::avg_pool2d>(
      "avg_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, bool "
      "ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
      kFunction | kOut | kPrivate,
      R"(The mean of each window over the last 2 dimensions of input (N, C, ...) or (C, ...).

Padding is zero, and counts in the divisor unless count_include_pad is false; divisor_override stands for the divisor. Raises
RuntimeError for sizes that do not fit.)");
  b.def<ops::max_pool3d>(
      "max_pool3d(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, int[3] "
      "dilation=1, bool ceil_mode=False) -> Tensor",
      kFunction,
      R"(The maximum of each window over the last 3 dimensions of input (N, C, ...) or (C, ...).

stride is kernel_size where not given; padding counts as minus infinity, at most half of the window; ceil_mode keeps a
last window that reaches over the edge. Raises RuntimeError for sizes that do not fit.)");
  b.def<ops::max_pool3d_with_indices>(
      "max_pool3d_with_indices(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, "
      "int[3] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
      kFunction | kPrivate,
      R"(max_pool3d and the flat place of each maximum in its channel (int64). The first of equal values counts, and NaN wins.)");
  b.def<ops::adaptive_max_pool3d>(
      "adaptive_max_pool3d(Tensor input, int[3] output_size) -> (Tensor, Tensor)", kFunction | kPrivate,
      R"(The maxima, and their places, of windows that cut the input into output_size parts of nearly equal length.)");
  b.def<ops::adaptive_avg_pool3d>(
      "adaptive_avg_pool3d(Tensor input, int[3] output_size) -> Tensor", kFunction | kPrivate,
      R"(The means of windows that cut the input into output_size parts of nearly equal length.)");
  b.def<ops::avg_pool3d>(
      "avg_pool3d(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, bool "
      "ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
      kFunction | kOut | kPrivate,
      R"(The mean of each window over the last 3 dimensions of input (N, C, ...) or (C, ...).

Padding is zero, and counts in the divisor unless count_include_pad is false; divisor_override stands for the divisor. Raises
RuntimeError for sizes that do not fit.)");
  b.def<ops::max_unpool2d>(
      "max_unpool2d(Tensor input, Tensor indices, int[2] output_size) -> Tensor", kFunction | kPrivate,
      R"(Puts each value where max_pool2d_with_indices took it from, zero elsewhere. Raises RuntimeError for an index that is out of range.)");
  b.def<ops::fractional_max_pool2d>(
      "fractional_max_pool2d(Tensor input, int[2] kernel_size, int[2] output_size, Tensor random_samples) -> "
      "(Tensor, Tensor)",
      kFunction | kPrivate,
      R"(Maxima, and their places, of windows at pseudo-random places, drawn from random_samples (N, C, 2) in [0, 1).

Graham, "Fractional max-pooling", 2014.)");
  b.def<ops::max_unpool3d>(
      "max_unpool3d(Tensor input, Tensor indices, int[3] output_size) -> Tensor", kFunction | kPrivate,
      R"(Puts each value where max_pool3d_with_indices took it from, zero elsewhere. Raises RuntimeError for an index that is out of range.)");
  b.def<ops::fractional_max_pool3d>(
      "fractional_max_pool3d(Tensor input, int[3] kernel_size, int[3] output_size, Tensor random_samples) -> "
      "(Tensor, Tensor)",
      kFunction | kPrivate,
      R"(Maxima, and their places, of windows at pseudo-random places, drawn from random_samples (N, C, 3) in [0, 1).

Graham, "Fractional max-pooling", 2014.)");
}

}  // namespace nnlib::python
