// Views, copies and everything else that moves values without computing on them.
// Views share memory with their input; in-place changes and gradients go through them.
#pragma once
#include <optional>

#include "autograd/function.h"

namespace nnlib::ops {

// ---- copies (copy.cpp)
Tensor clone(const Tensor& t, std::optional<MemoryFormat> format = std::nullopt);
// A copy of another device, made by its team.
Tensor to_device(const Tensor& t, Device device);
Tensor contiguous(const Tensor& t, MemoryFormat format = MemoryFormat::Contiguous);
// self takes src's values, broadcast and converted.
Tensor copy_(const Tensor& self, const Tensor& src, bool non_blocking = false);
Tensor detach_(const Tensor& t);
// The whole tensor as a view of itself (nnlib::alias has no history).
Tensor alias_view(const Tensor& t);
Tensor as_strided(const Tensor& t, const Dims& sizes, const Dims& strides,
                  std::optional<int64_t> offset = std::nullopt);
Tensor as_strided_backward(const Tensor& g, const Dims& base_sizes, const Dims& base_strides,
                           int64_t base_offset, const Dims& sizes, const Dims& strides, int64_t offset);

// ---- views (view.cpp)
Tensor view(const Tensor& t, const Dims& sizes);
Tensor view_dtype(const Tensor& t, Dtype dtype);
Tensor view_as(const Tensor& t, const Tensor& other);
Tensor reshape(const Tensor& t, const Dims& shape);
Tensor reshape_as(const Tensor& t, const Tensor& other);
Tensor flatten(const Tensor& t, int64_t start_dim = 0, int64_t end_dim = -1);
Tensor unflatten(const Tensor& t, int64_t dim, const Dims& sizes);
Tensor ravel(const Tensor& t);
Tensor transpose(const Tensor& t, int64_t dim0, int64_t dim1);
Tensor t(const Tensor& t);
Tensor numpy_t(const Tensor& t);   // x.T
Tensor matrix_t(const Tensor& t);  // x.mT
Tensor matrix_h(const Tensor& t);  // x.H
Tensor adjoint(const Tensor& t);
Tensor permute(const Tensor& t, const Dims& dims);
Tensor movedim(const Tensor& t, const Dims& source, const Dims& destination);
Tensor squeeze_all(const Tensor& t);
Tensor squeeze(const Tensor& t, int64_t dim);
Tensor squeeze_dims(const Tensor& t, const Dims& dims);
Tensor unsqueeze(const Tensor& t, int64_t dim);
Tensor expand(const Tensor& t, const Dims& sizes, bool implicit = false);
Tensor expand_as(const Tensor& t, const Tensor& other);
Tensor broadcast_to(const Tensor& t, const Dims& sizes);
TensorList broadcast_tensors(const TensorList& tensors);
Tensor select(const Tensor& t, int64_t dim, int64_t index);
Tensor narrow(const Tensor& t, int64_t dim, int64_t start, int64_t length);
Tensor narrow_tensor(const Tensor& t, int64_t dim, const Tensor& start, int64_t length);
Tensor slice(const Tensor& t, int64_t dim = 0, std::optional<int64_t> start = std::nullopt,
             std::optional<int64_t> end = std::nullopt, int64_t step = 1);
Tensor diagonal(const Tensor& t, int64_t offset = 0, int64_t dim1 = 0, int64_t dim2 = 1);
// Windows of `size` along `dim`, `step` apart, as a last dimension (Tensor.unfold).
Tensor unfold(const Tensor& t, int64_t dimension, int64_t size, int64_t step);

// ---- in-place changes of the shape (view_inplace.cpp)
Tensor transpose_(const Tensor& t, int64_t dim0, int64_t dim1);
Tensor t_(const Tensor& t);
Tensor squeeze_all_(const Tensor& t);
Tensor squeeze_(const Tensor& t, int64_t dim);
Tensor squeeze_dims_(const Tensor& t, const Dims& dims);
Tensor unsqueeze_(const Tensor& t, int64_t dim);
Tensor resize_(const Tensor& t, const Dims& sizes, std::optional<MemoryFormat> format = std::nullopt);
Tensor resize_as_(const Tensor& t, const Tensor& other, std::optional<MemoryFormat> format = std::nullopt);
Tensor as_strided_(const Tensor& t, const Dims& sizes, const Dims& strides,
                   std::optional<int64_t> offset = std::nullopt);

// ---- one tensor to several views (split.cpp)
TensorList unbind(const Tensor& t, int64_t dim = 0);
TensorList split(const Tensor& t, int64_t split_size, int64_t dim = 0);
TensorList split_with_sizes(const Tensor& t, const Dims& sizes, int64_t dim = 0);
TensorList chunk(const Tensor& t, int64_t chunks, int64_t dim = 0);
TensorList tensor_split(const Tensor& t, int64_t sections, int64_t dim = 0);
TensorList tensor_split_indices(const Tensor& t, const Dims& indices, int64_t dim = 0);
TensorList tensor_split_tensor(const Tensor& t, const Tensor& indices_or_sections, int64_t dim = 0);
TensorList hsplit(const Tensor& t, int64_t sections);
TensorList hsplit_indices(const Tensor& t, const Dims& indices);
TensorList vsplit(const Tensor& t, int64_t sections);
TensorList vsplit_indices(const Tensor& t, const Dims& indices);
TensorList dsplit(const Tensor& t, int64_t sections);
TensorList dsplit_indices(const Tensor& t, const Dims& indices);

// ---- several tensors to one (join.cpp)
Tensor cat(const TensorList& tensors, int64_t dim = 0);
Tensor stack(const TensorList& tensors, int64_t dim = 0);
Tensor hstack(const TensorList& tensors);
Tensor vstack(const TensorList& tensors);
Tensor dstack(const TensorList& tensors);
Tensor column_stack(const TensorList& tensors);
Tensor block_diag(const TensorList& tensors);
TensorList meshgrid(const TensorList& tensors, const std::string& indexing = "ij");
Tensor cartesian_prod(const TensorList& tensors);
Tensor combinations(const Tensor& t, int64_t r = 2, bool with_replacement = false);
Tensor atleast_1d(const Tensor& t);
Tensor atleast_2d(const Tensor& t);
Tensor atleast_3d(const Tensor& t);

// ---- values in another order (rearrange.cpp, pad.cpp)
Tensor repeat(const Tensor& t, const Dims& repeats);
Tensor tile(const Tensor& t, const Dims& dims);
Tensor repeat_interleave(const Tensor& t, int64_t repeats, std::optional<int64_t> dim = std::nullopt,
                         std::optional<int64_t> output_size = std::nullopt);
Tensor repeat_interleave_tensor(const Tensor& t, const Tensor& repeats,
                                std::optional<int64_t> dim = std::nullopt,
                                std::optional<int64_t> output_size = std::nullopt);
Tensor repeat_interleave_indices(const Tensor& repeats, std::optional<int64_t> output_size = std::nullopt);
Tensor flip(const Tensor& t, const Dims& dims);
Tensor fliplr(const Tensor& t);
Tensor flipud(const Tensor& t);
Tensor rot90(const Tensor& t, int64_t k = 1, const Dims& dims = {0, 1});
Tensor roll(const Tensor& t, const Dims& shifts, const Dims& dims = {});
Tensor tril(const Tensor& t, int64_t diagonal = 0);
Tensor triu(const Tensor& t, int64_t diagonal = 0);
Tensor diag(const Tensor& t, int64_t diagonal = 0);
Tensor diag_embed(const Tensor& t, int64_t offset = 0, int64_t dim1 = -2, int64_t dim2 = -1);
Tensor diagflat(const Tensor& t, int64_t offset = 0);
Tensor trace(const Tensor& t);
Tensor pixel_shuffle(const Tensor& t, int64_t upscale_factor);
Tensor pixel_unshuffle(const Tensor& t, int64_t downscale_factor);
Tensor channel_shuffle(const Tensor& t, int64_t groups);
Tensor one_hot(const Tensor& t, int64_t num_classes = -1);
Tensor constant_pad_nd(const Tensor& t, const Dims& pad, Scalar value = 0);
// Zeros after the end of each dimension, up to `sizes`.
Tensor constant_pad_to(const Tensor& t, const Dims& sizes);
Tensor pad(const Tensor& t, const Dims& pad, const std::string& mode = "constant",
           std::optional<double> value = std::nullopt);

}  // namespace nnlib::ops
