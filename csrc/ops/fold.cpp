// Windows as columns and back. Each is the transpose of the other, so each is the other's gradient.
#include "core/parallel.h"
#include "ops/pool_windows.h"
#include "ops/vision.h"

namespace nnlib::ops {

namespace {

struct Windows2d {
  int64_t kernel[2], dilation[2], padding[2], stride[2];
  int64_t size[2], count[2];  // of the image; windows along each dimension
};

Windows2d windows(const Dims& size, const Dims& kernel, const Dims& dilation, const Dims& padding,
                  const Dims& stride, const char* name) {
  Windows2d w;
  const Dims k = pool_list(kernel, 2, name, "kernel_size"), d = pool_list(dilation, 2, name, "dilation");
  const Dims p = pool_list(padding, 2, name, "padding"), s = pool_list(stride, 2, name, "stride");
  for (int i = 0; i < 2; i++) {
    NNLIB_CHECK(k[i] > 0, name, ": kernel size should be greater than zero, but got ", k);
    NNLIB_CHECK(d[i] > 0, name, ": dilation should be greater than zero, but got ", d);
    NNLIB_CHECK(p[i] >= 0, name, ": padding should be non-negative, but got ", p);
    NNLIB_CHECK(s[i] > 0, name, ": stride should be greater than zero, but got ", s);
    w.kernel[i] = k[i];
    w.dilation[i] = d[i];
    w.padding[i] = p[i];
    w.stride[i] = s[i];
    w.size[i] = size[i];
    const int64_t room = size[i] + 2 * p[i] - (d[i] * (k[i] - 1) + 1);
    w.count[i] = room < 0 ? 0 : room / s[i] + 1;
  }
  NNLIB_CHECK(w.count[0] > 0 && w.count[1] > 0, "Given input with spatial size ", size, ", kernel_size=", k,
              ", dilation=", d, ", padding=", p, ", calculated shape of the array of sliding blocks as ",
              Dims{w.count[0], w.count[1]}, ", but its components must be at least one.");
  return w;
}

// Calls f(place in the plane or -1 in the padding, place in the plane's columns) for all values of a plane's
// windows.
template <class F>
void each_value(const Windows2d& w, F f) {
  int64_t column = 0;
  for (int64_t i = 0; i < w.kernel[0]; i++) {
    for (int64_t j = 0; j < w.kernel[1]; j++) {
      for (int64_t a = 0; a < w.count[0]; a++) {
        const int64_t y = a * w.stride[0] - w.padding[0] + i * w.dilation[0];
        const bool row_inside = y >= 0 && y < w.size[0];
        for (int64_t b = 0; b < w.count[1]; b++) {
          const int64_t x = b * w.stride[1] - w.padding[1] + j * w.dilation[1];
          f(row_inside && x >= 0 && x < w.size[1] ? y * w.size[1] + x : -1, column++);
        }
      }
    }
  }
}

struct Sizes {
  Dims image, columns;  // of the whole tensors
  int64_t planes;
};

Tensor to_columns(const Tensor& input, const Windows2d& w, const Sizes& s);

Tensor from_columns(const Tensor& input, const Windows2d& w, const Sizes& s) {
  const Tensor x = contiguous_values(input);
  Tensor out = empty(s.image, x.dtype());
  const int64_t plane = w.size[0] * w.size[1], columns = s.planes ? x.numel() / s.planes : 0;
  dispatch_floating(x.dtype(), "col2im", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    parallel_for(0, s.planes, planes_per_chunk(columns), [&](int64_t first, int64_t end) {
      std::vector<C> sums((size_t)plane);
      for (int64_t p = first; p < end; p++) {
        std::fill(sums.begin(), sums.end(), C(0));
        const T* from = x.data<T>() + p * columns;
        each_value(w, [&](int64_t at, int64_t column) {
          if (at >= 0) sums[(size_t)at] += (C)from[column];
        });
        T* to = out.data<T>() + p * plane;
        for (int64_t i = 0; i < plane; i++) to[i] = (T)sums[(size_t)i];
      }
    });
  });
  if (wants_grad(input)) {
    record(out, "Col2ImBackward0", {input},
           [w, s](Backward&, const TensorList& g) { return TensorList{to_columns(g[0], w, s)}; });
  }
  return out;
}

Tensor to_columns(const Tensor& input, const Windows2d& w, const Sizes& s) {
  const Tensor x = contiguous_values(input);
  Tensor out = empty(s.columns, x.dtype());
  const int64_t plane = w.size[0] * w.size[1], columns = s.planes ? out.numel() / s.planes : 0;
  dispatch_floating(x.dtype(), "im2col", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(0, s.planes, planes_per_chunk(columns), [&](int64_t first, int64_t end) {
      for (int64_t p = first; p < end; p++) {
        const T* from = x.data<T>() + p * plane;
        T* to = out.data<T>() + p * columns;
        each_value(w, [&](int64_t at, int64_t column) { to[column] = at >= 0 ? from[at] : T(0); });
      }
    });
  });
  if (wants_grad(input)) {
    record(out, "Im2ColBackward0", {input},
           [w, s](Backward&, const TensorList& g) { return TensorList{from_columns(g[0], w, s)}; });
  }
  return out;
}

}  // namespace

Tensor im2col(const Tensor& input, const Dims& kernel_size, const Dims& dilation, const Dims& padding,
              const Dims& stride) {
  check_pool_input(input, "im2col", 2);
  const int64_t batch = input.dim() == 4 ? input.size(0) : 1, channels = input.size(-3);
  const Windows2d w =
      windows({input.size(-2), input.size(-1)}, kernel_size, dilation, padding, stride, "im2col");
  Dims columns{channels * w.kernel[0] * w.kernel[1], w.count[0] * w.count[1]};
  if (input.dim() == 4) columns.insert(0, batch);
  return to_columns(input, w, {input.sizes(), columns, batch * channels});
}

Tensor col2im(const Tensor& input, const Dims& output_size, const Dims& kernel_size, const Dims& dilation,
              const Dims& padding, const Dims& stride) {
  NNLIB_CHECK(
      input.dim() == 2 || input.dim() == 3,
      "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size, but got: ", input.sizes());
  const Dims size = pool_list(output_size, 2, "col2im", "output_size");
  NNLIB_CHECK(size[0] > 0 && size[1] > 0, "col2im: expected output_size to be greater than zero, but got ",
              size);
  const Windows2d w = windows(size, kernel_size, dilation, padding, stride, "col2im");
  const int64_t area = w.kernel[0] * w.kernel[1], rows = input.size(-2);
  NNLIB_CHECK(rows % area == 0,
              "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
              "input.size(1)=",
              rows, " and kernel_size=", kernel_size);
  NNLIB_CHECK(
      input.size(-1) == w.count[0] * w.count[1], "Given output_size=", size, ", kernel_size=", kernel_size,
      ", dilation=", dilation, ", padding=", padding, ", stride=", stride,
      ", expected size of input's dimension 2 to match the calculated number of sliding blocks ", w.count[0],
      " * ", w.count[1], " = ", w.count[0] * w.count[1], ", but got input.size(2)=", input.size(-1));
  const int64_t batch = input.dim() == 3 ? input.size(0) : 1, channels = rows / area;
  Dims image{channels, size[0], size[1]};
  if (input.dim() == 3) image.insert(0, batch);
  return from_columns(input, w, {image, input.sizes(), batch * channels});
}

}  // namespace nnlib::ops
