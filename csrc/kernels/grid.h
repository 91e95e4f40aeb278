// An image whose values at points are asked for, as plain data that the kernels and their callers share.
#pragma once
#include <stdint.h>

namespace nnlib::kernels {

struct GridImage {
  enum Method { Bilinear, Nearest, Bicubic } method;
  enum Border { Zeros, Border, Reflection } border;
  bool align_corners;
  int64_t dims;     // 2 or 3
  int64_t size[3];  // depth, height, width; the first is 1 for two dimensions
};

}  // namespace nnlib::kernels
