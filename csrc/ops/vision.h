// Resampling, sampling at points, and windows as columns. Inputs are (N, C, ...).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "autograd/function.h"

namespace nnlib::ops {

// ---- interpolate.cpp. mode: nearest, nearest-exact, linear, bilinear, bicubic or trilinear. `scales` (where
// given) are used for the map of coordinates in place of the ratio of the sizes.
Tensor interpolate(const Tensor& input, const Dims& size, const std::optional<std::vector<double>>& scales,
                   const std::string& mode, bool align_corners, bool antialias);

// ---- grid_sample.cpp. mode: bilinear, nearest or bicubic; padding_mode: zeros, border or reflection.
Tensor grid_sample(const Tensor& input, const Tensor& grid, const std::string& mode,
                   const std::string& padding_mode, bool align_corners);
// The grid of an affine map theta (N, 2, 3) or (N, 3, 4) for an image of the given size.
Tensor affine_grid_generator(const Tensor& theta, const Dims& size, bool align_corners);

// ---- fold.cpp: windows of (N, C, H, W) or (C, H, W) as columns (N, C * kh * kw, L), and the sum of columns
// back.
Tensor im2col(const Tensor& input, const Dims& kernel_size, const Dims& dilation, const Dims& padding,
              const Dims& stride);
Tensor col2im(const Tensor& input, const Dims& output_size, const Dims& kernel_size, const Dims& dilation,
              const Dims& padding, const Dims& stride);

}  // namespace nnlib::ops
