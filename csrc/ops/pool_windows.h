// Where the windows of a pooling operator lie. One- and two-dimensional pooling is three-dimensional pooling
// with axes of one element, so every operator has one loop.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace nnlib::ops {

// Window o of an axis covers start(o), start(o) + step, ... below end(o); count(o) is what it adds to the
// divisor of a mean. Windows of a stride are computed, not listed: there are as many as a line has values.
struct Axis {
  int64_t in = 1, out = 1, step = 1;
  int64_t stride = 1, padding = 0, reach = 1;  // of windows that are not listed
  bool counts_padding = false;
  std::vector<int64_t> starts, ends;  // of those that are
  bool listed() const { return !starts.empty(); }
  int64_t start(int64_t o) const {
    if (listed()) return starts[size_t(o)];
    const int64_t at = o * stride - padding;
    return at < 0 ? at + (step - 1 - at) / step * step : at;
  }
  int64_t end(int64_t o) const {
    if (listed()) return ends[size_t(o)];
    const int64_t at = o * stride - padding + reach;
    return at < in ? at : in;
  }
  int64_t count(int64_t o) const {
    if (counts_padding) return std::min(reach, in + 2 * padding - o * stride);
    return std::max<int64_t>(0, end(o) - start(o));
  }
};

struct Windows {
  Axis axis[3];              // depth, height, width
  int64_t planes = 1;        // samples times channels
  Dims in_sizes, out_sizes;  // of the whole tensors
  int64_t divisor = 0;       // of every mean, where not 0
  int64_t in_plane() const { return axis[0].in * axis[1].in * axis[2].in; }
  int64_t out_plane() const { return axis[0].out * axis[1].out * axis[2].out; }
};
using SharedWindows = std::shared_ptr<const Windows>;

struct PoolArgs {
  const char* name;  // of the operator, for messages
  int dims;          // 1, 2 or 3
  Dims kernel, stride, padding, dilation;
  bool ceil_mode = false, count_include_pad = true;
  int64_t divisor = 0;
};

// Windows of a kernel that is moved by a stride; checks everything.
SharedWindows sliding_windows(const Tensor& input, PoolArgs args);
// Windows that cut each axis into output_size parts of nearly equal length.
SharedWindows adaptive_windows(const Tensor& input, const char* name, int dims, Dims output_size);
// An error unless input is (N, C, ...) or (C, ...) with `dims` axes at the end, none of them (but N) empty.
void check_pool_input(const Tensor& input, const char* name, int dims);
// A list of `dims` numbers; one number stands for all.
Dims pool_list(const Dims& given, int dims, const char* name, const char* what);

// Where the maximum of window (od, oh, ow) is looked for first: a place of the plane also where the window
// holds none, as dilated windows may that lie in the padding.
inline int64_t first_place(const Axis* axis, int64_t od, int64_t oh, int64_t ow) {
  const auto at = [](const Axis& a, int64_t o) { return std::min(a.start(o), a.in - 1); };
  return (at(axis[0], od) * axis[1].in + at(axis[1], oh)) * axis[2].in + at(axis[2], ow);
}

// Planes a chunk of work has, when each costs `cost` steps.
inline int64_t planes_per_chunk(int64_t cost) { return cost >= 32768 ? 1 : 32768 / (cost < 1 ? 1 : cost); }

}  // namespace nnlib::ops
