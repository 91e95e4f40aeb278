// Resampling, sampling at points, windows as columns, and distances.
#include "ops/distance.h"
#include "ops/vision.h"
#include "python/bind.h"

namespace nnlib::python {

void bind_vision(Binder& b) {
  b.def<ops::interpolate>(
      "interpolate(Tensor input, int[] size, float[]? scales, str mode, bool align_corners, bool antialias) "
      "-> Tensor",
      kFunction | kPrivate,
      R"(input (N, C, ...) resampled to the given size.

mode is nearest, nearest-exact, linear (one dimension), bilinear, bicubic (two) or trilinear (three). align_corners maps the
centers of the corner values onto each other; scales, where given, stand for the ratio of the sizes; antialias widens the
filter of bilinear and bicubic where the image shrinks. Raises ValueError or NotImplementedError for what does not fit.

Keys, "Cubic convolution interpolation", 1981.)");
  b.def<ops::grid_sample>(
      "grid_sample(Tensor input, Tensor grid, str mode=\"bilinear\", str padding_mode=\"zeros\", bool "
      "align_corners=False) -> "
      "Tensor",
      kFunction | kPrivate,
      R"(Values of input (N, C, H, W) at grid (N, h, w, 2), whose x and y run from -1 to 1; (N, C, D, H, W) and (N, d, h, w, 3) too.

mode is bilinear, nearest or bicubic; padding_mode, for points outside: zeros, border or reflection.
Jaderberg et al., "Spatial transformer networks", 2015.)");
  b.def<ops::affine_grid_generator>(
      "affine_grid_generator(Tensor theta, int[] size, bool align_corners) -> Tensor", kFunction,
      R"(The grid for grid_sample of affine maps theta (N, 2, 3) or (N, 3, 4) to an image of `size`.)");
  b.def<ops::im2col>(
      "im2col(Tensor input, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor",
      kFunction | kPrivate,
      R"(The windows of input (N, C, H, W) as columns (N, C * kh * kw, L); (C, H, W) too.)");
  b.def<ops::col2im>(
      "col2im(Tensor input, int[2] output_size, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] "
      "stride) -> Tensor",
      kFunction | kPrivate,
      R"(The sum of the columns of im2col at the places that they came from: (N, C, H, W).)");
  b.def<ops::cosine_similarity>(
      "cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-8) -> Tensor", kFunction,
      R"(The cosine of the angle between x1 and x2 along dim; norms are held above eps.

    >>> nnlib.cosine_similarity(nnlib.tensor([1., 0.]), nnlib.tensor([1., 1.]), dim=0)
    tensor(0.7071))");
  b.def<ops::pairwise_distance>(
      "pairwise_distance(Tensor x1, Tensor x2, float p=2.0, float eps=1e-6, bool keepdim=False) -> Tensor",
      kFunction, R"(The p-norm of x1 - x2 + eps over the last dimension.)");
  b.def<ops::cdist>(
      "cdist(Tensor x1, Tensor x2, float p=2.0, str? compute_mode=None) -> Tensor", kFunction,
      R"(p-norm distances of all rows of x1 (..., P, M) from all rows of x2 (..., R, M): (..., P, R).

compute_mode takes PyTorch's three names; differences are always taken element by element, the precise way. Raises RuntimeError
for a negative p or rows of different lengths, ValueError for another compute_mode.)");
  b.def<ops::pdist>("pdist(Tensor input, float p=2.0) -> Tensor", kFunction,
                    R"(p-norm distances of the rows i < j of input (N, M): (N * (N - 1) / 2).)");
}

}  // namespace nnlib::python
