#include "ops/pool_windows.h"

#include <algorithm>

namespace nnlib::ops {

Dims pool_list(const Dims& given, int dims, const char* name, const char* what) {
  for (int64_t v : given)  // so that no product of two of them overflows
    NNLIB_CHECK(v >= INT32_MIN && v <= INT32_MAX, name, ": ", what, " is out of range: ", given);
  if (given.size() == 1) return Dims((size_t)dims, given[0]);
  NNLIB_CHECK(given.ssize() == dims, name, ": ", what, " must either be a single int, or a tuple of ", dims,
              " ints, got ", given);
  return given;
}

void check_pool_input(const Tensor& input, const char* name, int dims) {
  const int64_t d = input.dim();
  NNLIB_CHECK(d == dims + 1 || d == dims + 2, name, ": Expected ", dims + 1, "D or ", dims + 2,
              "D (batch mode) tensor with optional 0 dim batch size for input, but got: ", input.sizes());
  for (int64_t i = d - dims - 1; i < d; i++)
    NNLIB_CHECK(input.size(i) > 0, name,
                ": Expected input to have non-zero size for non-batch dimensions, but input has sizes ",
                input.sizes(), " with dimension ", i, " being empty");
}

namespace {

Windows windows_of(const Tensor& input, int dims) {
  Windows w;
  w.in_sizes = input.sizes();
  w.out_sizes = input.sizes();
  for (int64_t i = 0; i < input.dim() - dims; i++) w.planes *= input.size(i);
  return w;
}

void set_axis(Windows& w, int dims, int i, Axis axis) {
  w.out_sizes[w.out_sizes.size() - (size_t)dims + (size_t)i] = axis.out;
  w.axis[3 - dims + i] = std::move(axis);
}

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

Axis sliding_axis(int64_t in, const PoolArgs& a, int i) {
  const int64_t k = a.kernel[i], s = a.stride[i], p = a.padding[i], d = a.dilation[i],
                reach = d * (k - 1) + 1;
  Axis axis;
  axis.in = in;
  axis.step = d;
  axis.out = floor_div(in + 2 * p - reach + (a.ceil_mode ? s - 1 : 0), s) + 1;
  // The last window must start inside the input or its left padding.
  if (a.ceil_mode && (axis.out - 1) * s >= in + p) axis.out--;
  axis.stride = s, axis.padding = p, axis.reach = reach;
  axis.counts_padding = a.count_include_pad;
  return axis;
}

void check_positive(const Dims& list, const char* name, const char* what) {
  for (int64_t v : list) NNLIB_CHECK(v > 0, name, ": ", what, " should be greater than zero, but got ", list);
}

}  // namespace

SharedWindows sliding_windows(const Tensor& input, PoolArgs a) {
  a.kernel = pool_list(a.kernel, a.dims, a.name, "kernel_size");
  a.stride = a.stride.empty() ? a.kernel : pool_list(a.stride, a.dims, a.name, "stride");
  a.padding = pool_list(a.padding, a.dims, a.name, "padding");
  a.dilation =
      a.dilation.empty() ? Dims((size_t)a.dims, 1) : pool_list(a.dilation, a.dims, a.name, "dilation");
  check_positive(a.kernel, a.name, "kernel size");
  for (int64_t s : a.stride) NNLIB_CHECK(s != 0, a.name, ": stride should not be zero");
  check_positive(a.stride, a.name, "stride");
  check_positive(a.dilation, a.name, "dilation");
  for (int i = 0; i < a.dims; i++) {
    const int64_t p = a.padding[i], reach = a.dilation[i] * (a.kernel[i] - 1) + 1;
    NNLIB_CHECK(p >= 0, a.name, ": pad must be non-negative, but got pad: ", p);
    NNLIB_CHECK(p <= reach / 2, a.name,
                ": pad should be at most half of effective kernel size, but got pad=", p,
                ", kernel_size=", a.kernel[i], " and dilation=", a.dilation[i]);
  }
  check_pool_input(input, a.name, a.dims);
  Windows w = windows_of(input, a.dims);
  w.divisor = a.divisor;
  for (int i = 0; i < a.dims; i++) set_axis(w, a.dims, i, sliding_axis(input.size(i - a.dims), a, i));
  for (int i = 0; i < a.dims; i++)
    NNLIB_CHECK(w.axis[3 - a.dims + i].out >= 1, a.name, ": Given input size: ", input.sizes(),
                ". Calculated output size: ", w.out_sizes, ". Output size is too small");
  return std::make_shared<const Windows>(std::move(w));
}

SharedWindows adaptive_windows(const Tensor& input, const char* name, int dims, Dims output_size) {
  output_size = pool_list(output_size, dims, name, "output_size");
  for (int64_t o : output_size)
    NNLIB_CHECK(o >= 0, name, ": elements of output_size must be greater than or equal to 0 but received ",
                output_size);
  // The windows of an axis are listed one by one.
  for (int64_t o : output_size)
    NNLIB_CHECK(o <= int64_t(1) << 28, name, ": elements of output_size may be at most 2^28 but received ",
                output_size);
  check_pool_input(input, name, dims);
  Windows w = windows_of(input, dims);
  for (int i = 0; i < dims; i++) {
    Axis axis;
    axis.in = input.size(i - dims);
    axis.out = output_size[i];
    for (int64_t o = 0; o < axis.out; o++) {
      axis.starts.push_back(o * axis.in / axis.out);
      axis.ends.push_back(((o + 1) * axis.in + axis.out - 1) / axis.out);
    }
    set_axis(w, dims, i, std::move(axis));
  }
  return std::make_shared<const Windows>(std::move(w));
}

}  // namespace nnlib::ops
