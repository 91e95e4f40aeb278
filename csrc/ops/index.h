// Reading and writing elements by index: advanced indexing, index_* operators, gather and scatter, masks,
// searching. Every index is checked before anything is written.
#pragma once
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

// f(TypeTag<an unsigned integer of `size` bytes>), for what moves elements without looking at them.
template <class F>
void dispatch_size(size_t size, F f) {
  switch (size) {
    case 1:
      return f(TypeTag<uint8_t>{});
    case 2:
      return f(TypeTag<uint16_t>{});
    case 4:
      return f(TypeTag<uint32_t>{});
    default:
      return f(TypeTag<uint64_t>{});
  }
}

// ---- advanced indexing (index.cpp). Undefined entries stand for a full slice.
Tensor index(const Tensor& x, const TensorList& indices);
Tensor index_put_(const Tensor& self, const TensorList& indices, const Tensor& values,
                  bool accumulate = false);
Tensor index_put(const Tensor& self, const TensorList& indices, const Tensor& values,
                 bool accumulate = false);

// ---- one vector of indices along one dimension (index_dim.cpp)
Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);
Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha = 1);
Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source);
Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, Scalar value);
Tensor index_fill_tensor(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& value);
Tensor index_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source,
                    const std::string& reduce, bool include_self = true);

// ---- an index for every element (gather.cpp)
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index, bool sparse_grad = false);
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
Tensor scatter_value(const Tensor& x, int64_t dim, const Tensor& index, Scalar value);
// reduce is "add" or "multiply".
Tensor scatter_src_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                          const std::string& reduce);
Tensor scatter_value_reduce(const Tensor& x, int64_t dim, const Tensor& index, Scalar value,
                            const std::string& reduce);
Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
// reduce is "sum", "prod", "mean", "amax" or "amin".
Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self = true);
Tensor take(const Tensor& x, const Tensor& index);
Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim = std::nullopt);
Tensor put(const Tensor& x, const Tensor& index, const Tensor& source, bool accumulate = false);

// ---- masks (mask.cpp)
Tensor nonzero(const Tensor& x);
TensorList nonzero_tuple(const Tensor& x);
Tensor argwhere(const Tensor& x);
Tensor masked_select(const Tensor& x, const Tensor& mask);
Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source);

// ---- finding and counting (count.cpp)
Tensor isin(const Tensor& elements, const Tensor& test_elements, bool assume_unique = false,
            bool invert = false);
std::tuple<Tensor, Tensor, Tensor> unique_all(const Tensor& x, bool return_inverse, bool return_counts);
std::tuple<Tensor, Tensor, Tensor> unique_dim(const Tensor& x, int64_t dim, bool return_inverse,
                                              bool return_counts);
std::tuple<Tensor, Tensor, Tensor> unique_consecutive(const Tensor& x, bool return_inverse,
                                                      bool return_counts, std::optional<int64_t> dim);
Tensor bincount(const Tensor& x, const Tensor& weights = Tensor(), int64_t minlength = 0);
Tensor histc(const Tensor& x, int64_t bins = 100, Scalar min = 0, Scalar max = 0);
Tensor searchsorted(const Tensor& sorted_sequence, const Tensor& input, bool out_int32 = false,
                    bool right = false, const std::optional<std::string>& side = std::nullopt,
                    const Tensor& sorter = Tensor());
Tensor bucketize(const Tensor& input, const Tensor& boundaries, bool out_int32 = false, bool right = false);

}  // namespace nnlib::ops
