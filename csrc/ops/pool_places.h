// Values that move between planes by an index for each: what max pooling, its gradient and its inverse are
// made of.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "autograd/function.h"

namespace nnlib::ops {

// Places within planes: int32, or int64 where a plane has more values than these count.
inline Dtype place_type(int64_t in_plane) { return in_plane < INT32_MAX ? Dtype::Int32 : Dtype::Int64; }
// Where they are written; may be of no tensor.
struct Places {
  Places() = default;
  explicit Places(const Tensor& t)
      : data(static_cast<char*>(t.raw())),
        size(t.dtype() == Dtype::Int64 ? sizeof(int64_t) : sizeof(int32_t)) {}
  explicit operator bool() const { return data != nullptr; }
  Places from(int64_t i) const {
    Places p = *this;
    if (data) p.data += i * size;
    return p;
  }
  void set(int64_t i, int64_t place) const {
    if (size == sizeof(int64_t))
      reinterpret_cast<int64_t*>(data)[i] = place;
    else
      reinterpret_cast<int32_t*>(data)[i] = static_cast<int32_t>(place);
  }
  // Null where there are none; the caller knows that planes are small.
  int32_t* narrow() const { return reinterpret_cast<int32_t*>(data); }
  char* data = nullptr;
  int64_t size = 0;
};
// Where they are read, by one thread.
class PlaceReader {
 public:
  explicit PlaceReader(const Tensor& t) : data_(t.raw()), wide_(t.dtype() == Dtype::Int64) {}
  // Places [from, from + n), until the next call.
  const int64_t* read(int64_t from, int64_t n) {
    if (wide_) return static_cast<const int64_t*>(data_) + from;
    if (int64_t(buffer_.size()) < n) buffer_.resize(size_t(n));
    const int32_t* p = static_cast<const int32_t*>(data_) + from;
    std::copy(p, p + n, buffer_.data());
    return buffer_.data();
  }

 private:
  const void* data_;
  bool wide_;
  std::vector<int64_t> buffer_;
};

// out[plane][indices[plane][i]] += (or =, where not `accumulate`) x[plane][i], zero elsewhere; differentiable
// in x. `planes` leading planes; sizes are the result's. Indices are int32 or int64.
Tensor scatter_places(const Tensor& x, const Tensor& indices, const Dims& sizes, int64_t planes,
                      bool accumulate, const char* name);
// out[plane][i] = x[plane][indices[plane][i]], in the sizes of `indices`; differentiable in x.
Tensor gather_places(const Tensor& x, const Tensor& indices, int64_t planes, const char* name);

}  // namespace nnlib::ops
