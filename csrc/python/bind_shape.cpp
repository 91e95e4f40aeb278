// Views, copies, joining and rearranging: csrc/ops/shape.h.
#include "ops/shape.h"

#include "python/bind.h"

namespace nnlib::python {

namespace {

constexpr int kBoth = kFunction | kMethod;

Tensor contiguous(const Tensor& t, std::optional<MemoryFormat> format) {
  return ops::contiguous(t, format.value_or(MemoryFormat::Contiguous));
}
Tensor rot90(const Tensor& t, int64_t k, const std::optional<Dims>& dims) {
  return ops::rot90(t, k, dims.value_or(Dims{0, 1}));
}
Tensor expand_as_needed(const Tensor& t, const Dims& size) { return ops::expand(t, size); }

void bind_views(Binder& b) {
  b.def<&ops::view_dtype>("view(Tensor input, dtype dtype) -> Tensor", kMethod,
                          "view(dtype): the same bytes read as another type.");
  b.def<&ops::view>("view(Tensor input, int[] size) -> Tensor", kMethod, R"(
view(*size): the same memory in another shape; one size may be -1. RuntimeError where only a copy could do it.

>>> nnlib.arange(6).view(2, -1)
tensor([[0, 1, 2],
        [3, 4, 5]]))");
  b.def<&ops::view_as>("view_as(Tensor input, Tensor other) -> Tensor", kMethod,
                       "view_as(other): view(other.size()).");
  b.def<&ops::reshape>("reshape(Tensor input, int[] shape) -> Tensor", kBoth, R"(
reshape(input, shape): a view of the new shape where there is one, a copy otherwise; one size may be -1.

>>> nnlib.reshape(nnlib.arange(4), (2, 2))
tensor([[0, 1],
        [2, 3]]))");
  b.def<&ops::reshape_as>("reshape_as(Tensor input, Tensor other) -> Tensor", kMethod,
                          "reshape_as(other): reshape(other.size()).");
  b.def<&ops::flatten>("flatten(Tensor input, int start_dim=0, int end_dim=-1) -> Tensor", kBoth,
                       "flatten(input, start_dim=0, end_dim=-1): these dimensions as one.");
  b.def<&ops::unflatten>("unflatten(Tensor input, int dim, int[1] sizes) -> Tensor", kBoth,
                         "unflatten(input, dim, sizes): one dimension as several; one size may be -1.");
  b.def<&ops::ravel>("ravel(Tensor input) -> Tensor", kBoth,
                     "ravel(input): all elements in one dimension, contiguous.");
  b.def<&ops::transpose>("transpose(Tensor input, int dim0, int dim1) -> Tensor", kBoth, R"(
transpose(input, dim0, dim1): a view with the two dimensions swapped.

>>> nnlib.zeros(2, 3).transpose(0, 1).shape
torch.Size([3, 2]))");
  b.def<&ops::transpose>("swapaxes(Tensor input, int axis0, int axis1) -> Tensor", kBoth,
                         "NumPy's name of transpose.");
  b.def<&ops::transpose>("swapdims(Tensor input, int dim0, int dim1) -> Tensor", kBoth,
                         "Another name of transpose.");
  b.def<&ops::t>("t(Tensor input) -> Tensor", kBoth,
                 "t(input): a matrix transposed; vectors and scalars as they are.");
  b.def<&ops::numpy_t>("T(Tensor input) -> Tensor", kProperty, "All dimensions in reverse order.");
  b.def<&ops::matrix_t>("mT(Tensor input) -> Tensor", kProperty, "The last two dimensions swapped.");
  b.def<&ops::matrix_h>("H(Tensor input) -> Tensor", kProperty,
                        "A matrix transposed (real numbers are their conjugates).");
  b.def<&ops::adjoint>("mH(Tensor input) -> Tensor", kProperty, "The last two dimensions swapped.");
  b.def<&ops::adjoint>("adjoint(Tensor input) -> Tensor", kBoth,
                       "adjoint(input): the last two dimensions swapped.");
  b.def<&ops::permute>("permute(Tensor input, int[] dims) -> Tensor", kBoth, R"(
permute(input, dims): a view with the dimensions in this order.

>>> nnlib.zeros(2, 3, 5).permute(2, 0, 1).shape
torch.Size([5, 2, 3]))");
  for (const char* s : {"movedim(Tensor input, int[1] source, int[1] destination) -> Tensor",
                        "moveaxis(Tensor input, int[1] source, int[1] destination) -> Tensor"})
    b.def<&ops::movedim>(s, kBoth,
                         "movedim(input, source, destination): dimensions moved, the others in order.");
  b.def<&ops::squeeze_all>(
      "squeeze(Tensor input) -> Tensor", kBoth,
      "squeeze(input, dim): without dimensions of size one; of `dim` (or dims) alone where given.");
  b.def<&ops::squeeze>("squeeze(Tensor input, int dim) -> Tensor", kBoth, "");
  b.def<&ops::squeeze_dims>("squeeze(Tensor input, int[] dim) -> Tensor", kBoth, "");
  b.def<&ops::unsqueeze>("unsqueeze(Tensor input, int dim) -> Tensor", kBoth,
                         "unsqueeze(input, dim): a dimension of size one put in at dim.");
  b.def<&ops::expand>("expand(Tensor input, int[] size, *, bool implicit=False) -> Tensor", kMethod, R"(
expand(*size): a view that repeats dimensions of size one; -1 keeps a size. Its elements share memory.

>>> nnlib.tensor([[1], [2]]).expand(2, 3)
tensor([[1, 1, 1],
        [2, 2, 2]]))");
  b.def<&ops::expand_as>("expand_as(Tensor input, Tensor other) -> Tensor", kMethod,
                         "expand_as(other): expand(other.size()).");
  b.def<&expand_as_needed>("broadcast_to(Tensor input, int[] size) -> Tensor", kBoth,
                           "broadcast_to(input, size): a view of this shape by repetition.");
  b.def<&ops::broadcast_tensors>("broadcast_tensors(Tensor[] tensors) -> Tensor[]", kPrivate, "");
  b.def<&ops::select>("select(Tensor input, int dim, int index) -> Tensor", kBoth,
                      "select(input, dim, index): a view without dim, at this index.");
  b.def<&ops::narrow>("narrow(Tensor input, int dim, int start, int length) -> Tensor", kBoth, R"(
narrow(input, dim, start, length): a view of a part of one dimension.

>>> nnlib.arange(5).narrow(0, 1, 3)
tensor([1, 2, 3]))");
  b.def<&ops::narrow_tensor>("narrow(Tensor input, int dim, Tensor start, int length) -> Tensor", kBoth, "");
  b.def<&ops::diagonal>(
      "diagonal(Tensor input, int offset=0, int dim1=0, int dim2=1) -> Tensor", kBoth,
      "diagonal(input, offset=0, dim1=0, dim2=1): a view of a diagonal, as last dimension.");
  b.def<&ops::unfold>("unfold(Tensor input, int dimension, int size, int step) -> Tensor", kMethod, R"(
unfold(dimension, size, step): windows of one dimension as a view, the window as last dimension.

>>> nnlib.arange(5).unfold(0, 3, 2)
tensor([[0, 1, 2],
        [2, 3, 4]]))");
  b.def<&ops::as_strided>(
      "as_strided(Tensor input, int[] size, int[] stride, int? storage_offset=None) -> Tensor", kBoth,
      "as_strided(input, size, stride, storage_offset=None): any view of the storage; strides in elements.");
}

void bind_inplace_views(Binder& b) {
  b.def<&ops::transpose_>("transpose_(Tensor input, int dim0, int dim1) -> Tensor", kMethod,
                          "transpose in place.");
  b.def<&ops::transpose_>("swapaxes_(Tensor input, int axis0, int axis1) -> Tensor", kMethod,
                          "transpose in place.");
  b.def<&ops::transpose_>("swapdims_(Tensor input, int dim0, int dim1) -> Tensor", kMethod,
                          "transpose in place.");
  b.def<&ops::t_>("t_(Tensor input) -> Tensor", kMethod, "t in place.");
  b.def<&ops::squeeze_all_>("squeeze_(Tensor input) -> Tensor", kMethod, "squeeze in place.");
  b.def<&ops::squeeze_>("squeeze_(Tensor input, int dim) -> Tensor", kMethod, "");
  b.def<&ops::squeeze_dims_>("squeeze_(Tensor input, int[] dim) -> Tensor", kMethod, "");
  b.def<&ops::unsqueeze_>("unsqueeze_(Tensor input, int dim) -> Tensor", kMethod, "unsqueeze in place.");
  b.def<&ops::as_strided_>(
      "as_strided_(Tensor input, int[] size, int[] stride, int? storage_offset=None) -> Tensor", kMethod,
      "as_strided in place.");
  b.def<&ops::resize_>(
      "resize_(Tensor input, int[] size, *, memory_format? memory_format=None) -> Tensor", kMethod,
      "resize_(*size): takes this shape, with more memory where it is needed; new elements are unset.");
  b.def<&ops::resize_as_>(
      "resize_as_(Tensor input, Tensor other, *, memory_format? memory_format=None) -> Tensor", kMethod,
      "resize_as_(other): resize_(other.size()).");
}

void bind_copies(Binder& b) {
  b.def<&ops::clone>("clone(Tensor input, *, memory_format? memory_format=None) -> Tensor", kBoth,
                     "clone(input): a copy in memory of its own; gradients flow through it.");
  b.def<&contiguous>(
      "contiguous(Tensor input, *, memory_format? memory_format=None) -> Tensor", kMethod,
      "contiguous(): the tensor itself where it lies densely in this order, a copy otherwise.");
  b.def<&ops::copy_>(
      "copy_(Tensor input, Operand src, bool non_blocking=False) -> Tensor", kMethod,
      "copy_(src): takes src's values, broadcast and converted to this dtype. Returns the tensor.");
  b.def<&nnlib::detach>("detach(Tensor input) -> Tensor", kBoth,
                        "detach(input): the same memory without history.");
  b.def<&ops::detach_>("detach_(Tensor input) -> Tensor", kBoth,
                       "detach_(input): drops the history of the tensor itself.");
}

void bind_splits(Binder& b) {
  b.def<&ops::unbind>("unbind(Tensor input, int dim=0) -> Tensor[]", kBoth,
                      "unbind(input, dim=0): a tuple of views, one an index of dim.");
  b.def<&ops::split>("split(Tensor tensor, int split_size_or_sections, int dim=0) -> Tensor[]", kFunction, R"(
split(tensor, split_size_or_sections, dim=0): a tuple of views of this length (the last may be shorter) or lengths.

>>> nnlib.split(nnlib.arange(5), 2)
(tensor([0, 1]), tensor([2, 3]), tensor([4])))");
  b.def<&ops::split_with_sizes>("split(Tensor tensor, int[] split_size_or_sections, int dim=0) -> Tensor[]",
                                kFunction, "");
  b.def<&ops::split>("split(Tensor input, int split_size, int dim=0) -> Tensor[]", kMethod,
                     "split(split_size, dim=0): a tuple of views of this length, or of these lengths.");
  b.def<&ops::split_with_sizes>("split(Tensor input, int[] split_size, int dim=0) -> Tensor[]", kMethod, "");
  b.def<&ops::split_with_sizes>("split_with_sizes(Tensor input, int[] split_sizes, int dim=0) -> Tensor[]",
                                kBoth,
                                "split_with_sizes(input, split_sizes, dim=0): views of these lengths.");
  b.def<&ops::chunk>(
      "chunk(Tensor input, int chunks, int dim=0) -> Tensor[]", kBoth,
      "chunk(input, chunks, dim=0): at most so many views of equal length; the last may be shorter.");
  b.def<&ops::tensor_split>(
      "tensor_split(Tensor input, int sections, int dim=0) -> Tensor[]", kBoth,
      "tensor_split(input, indices_or_sections, dim=0): so many nearly equal parts, or cuts at indices.");
  b.def<&ops::tensor_split_indices>("tensor_split(Tensor input, int[] indices, int dim=0) -> Tensor[]", kBoth,
                                    "");
  b.def<&ops::tensor_split_tensor>(
      "tensor_split(Tensor input, Tensor tensor_indices_or_sections, int dim=0) -> Tensor[]", kBoth, "");
  b.def<&ops::hsplit>("hsplit(Tensor input, int sections) -> Tensor[]", kBoth, "tensor_split along columns.");
  b.def<&ops::hsplit_indices>("hsplit(Tensor input, int[] indices) -> Tensor[]", kBoth, "");
  b.def<&ops::vsplit>("vsplit(Tensor input, int sections) -> Tensor[]", kBoth, "tensor_split along rows.");
  b.def<&ops::vsplit_indices>("vsplit(Tensor input, int[] indices) -> Tensor[]", kBoth, "");
  b.def<&ops::dsplit>("dsplit(Tensor input, int sections) -> Tensor[]", kBoth,
                      "tensor_split along the third dimension.");
  b.def<&ops::dsplit_indices>("dsplit(Tensor input, int[] indices) -> Tensor[]", kBoth, "");
}

void bind_joins(Binder& b) {
  for (const char* s :
       {"cat(Tensor[] tensors, int dim=0) -> Tensor", "concat(Tensor[] tensors, int dim=0) -> Tensor",
        "concatenate(Tensor[] tensors, int dim=0) -> Tensor"})
    b.def<&ops::cat>(s, kFunction | kIntoOut, R"(
cat(tensors, dim=0): the tensors one after the other along dim; their other sizes must agree.

>>> nnlib.cat([nnlib.tensor([1, 2]), nnlib.tensor([3])])
tensor([1, 2, 3]))");
  b.def<&ops::stack>("stack(Tensor[] tensors, int dim=0) -> Tensor", kFunction | kIntoOut, R"(
stack(tensors, dim=0): tensors of one shape along a new dimension.

>>> nnlib.stack([nnlib.tensor([1, 2]), nnlib.tensor([3, 4])], 1)
tensor([[1, 3],
        [2, 4]]))");
  b.def<&ops::hstack>("hstack(Tensor[] tensors) -> Tensor", kFunction | kIntoOut,
                      "hstack(tensors): cat along columns.");
  b.def<&ops::vstack>("vstack(Tensor[] tensors) -> Tensor", kFunction | kIntoOut,
                      "vstack(tensors): cat along rows.");
  b.def<&ops::vstack>("row_stack(Tensor[] tensors) -> Tensor", kFunction | kIntoOut,
                      "row_stack(tensors): cat along rows.");
  b.def<&ops::dstack>("dstack(Tensor[] tensors) -> Tensor", kFunction | kIntoOut,
                      "dstack(tensors): cat along the third dimension.");
  b.def<&ops::column_stack>("column_stack(Tensor[] tensors) -> Tensor", kFunction | kIntoOut,
                            "column_stack(tensors): vectors as columns of a matrix.");
  b.def<&ops::block_diag>("block_diag(Tensor[] tensors) -> Tensor", kPrivate, "");
  b.def<&ops::meshgrid>("meshgrid(Tensor[] tensors, *, str indexing=\"ij\") -> Tensor[]", kPrivate, "");
  b.def<&ops::cartesian_prod>("cartesian_prod(Tensor[] tensors) -> Tensor", kPrivate, "");
  b.def<&ops::combinations>(
      "combinations(Tensor input, int r=2, bool with_replacement=False) -> Tensor", kFunction,
      "combinations(input, r=2, with_replacement=False): rows of r elements of a vector, in order.");
  b.def<&ops::atleast_1d>("atleast_1d(Tensor input) -> Tensor", kPrivate, "");
  b.def<&ops::atleast_2d>("atleast_2d(Tensor input) -> Tensor", kPrivate, "");
  b.def<&ops::atleast_3d>("atleast_3d(Tensor input) -> Tensor", kPrivate, "");
}

void bind_rearranged(Binder& b) {
  b.def<&ops::repeat>("repeat(Tensor input, int[] repeats) -> Tensor", kMethod, R"(
repeat(*repeats): the tensor so many times along each dimension, copied.

>>> nnlib.tensor([1, 2]).repeat(2, 2)
tensor([[1, 2, 1, 2],
        [1, 2, 1, 2]]))");
  b.def<&ops::tile>("tile(Tensor input, int[] dims) -> Tensor", kBoth,
                    "tile(input, dims): repeat with missing dimensions 1.");
  b.def<&ops::repeat_interleave_indices>(
      "repeat_interleave(Tensor repeats, *, int? output_size=None) -> Tensor", kFunction, "");
  b.def<&ops::repeat_interleave>(
      "repeat_interleave(Tensor input, int repeats, int? dim=None, *, int? output_size=None) -> Tensor",
      kBoth, "repeat_interleave(input, repeats, dim=None): each element so many times, one after the other.");
  b.def<&ops::repeat_interleave_tensor>(
      "repeat_interleave(Tensor input, Tensor repeats, int? dim=None, *, int? output_size=None) -> Tensor",
      kBoth, "");
  b.def<&ops::flip>("flip(Tensor input, int[1] dims) -> Tensor", kBoth,
                    "flip(input, dims): these dimensions in reverse order.");
  b.def<&ops::fliplr>("fliplr(Tensor input) -> Tensor", kBoth, "fliplr(input): columns in reverse order.");
  b.def<&ops::flipud>("flipud(Tensor input) -> Tensor", kBoth, "flipud(input): rows in reverse order.");
  b.def<&rot90>("rot90(Tensor input, int k=1, int[]? dims=None) -> Tensor", kBoth,
                "rot90(input, k=1, dims=(0, 1)): k quarter turns in the plane of two dimensions, from the "
                "first to the second.");
  b.def<&ops::roll>(
      "roll(Tensor input, int[1] shifts, int[1] dims=[]) -> Tensor", kBoth,
      "roll(input, shifts, dims=()): elements moved along, those that fall out come in in front.");
  b.def<&ops::tril>("tril(Tensor input, int diagonal=0) -> Tensor", kBoth | kInplace | kIntoOut,
                    "tril(input, diagonal=0): zeros above this diagonal of the last two dimensions.");
  b.def<&ops::triu>("triu(Tensor input, int diagonal=0) -> Tensor", kBoth | kInplace | kIntoOut,
                    "triu(input, diagonal=0): zeros below this diagonal of the last two dimensions.");
  b.def<&ops::diag>(
      "diag(Tensor input, int diagonal=0) -> Tensor", kBoth | kIntoOut,
      "diag(input, diagonal=0): a vector as the diagonal of a matrix, or a matrix's diagonal as a vector.");
  b.def<&ops::diag_embed>(
      "diag_embed(Tensor input, int offset=0, int dim1=-2, int dim2=-1) -> Tensor", kBoth,
      "diag_embed(input, offset=0, dim1=-2, dim2=-1): the last dimension as a diagonal of zeros.");
  b.def<&ops::diagflat>("diagflat(Tensor input, int offset=0) -> Tensor", kBoth,
                        "diagflat(input, offset=0): all elements as the diagonal of a matrix.");
  b.def<&ops::trace>("trace(Tensor input) -> Tensor", kBoth, "trace(input): the sum of a matrix's diagonal.");
  b.def<&ops::pixel_shuffle>("pixel_shuffle(Tensor input, int upscale_factor) -> Tensor", kFunction, R"(
pixel_shuffle(input, upscale_factor): (*, C r^2, H, W) to (*, C, H r, W r). Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", 2016.)");
  b.def<&ops::pixel_unshuffle>("pixel_unshuffle(Tensor input, int downscale_factor) -> Tensor", kFunction,
                               "pixel_unshuffle(input, downscale_factor): the inverse of pixel_shuffle.");
  b.def<&ops::channel_shuffle>("channel_shuffle(Tensor input, int groups) -> Tensor", kFunction, R"(
channel_shuffle(input, groups): channels of all groups dealt out in turn. Zhang et al., "ShuffleNet", 2018.)");
  b.def<&ops::one_hot>("one_hot(Tensor tensor, int num_classes=-1) -> Tensor", kPrivate, R"(
one_hot(tensor, num_classes=-1): a new last dimension with a 1 at the class and 0 elsewhere; -1 takes the largest + 1.)");
  b.def<&ops::constant_pad_nd>(
      "constant_pad_nd(Tensor input, int[] pad, Scalar value=0) -> Tensor", kFunction,
      "constant_pad_nd(input, pad, value=0): pairs of paddings, the last dimension first.");
  b.def<&ops::pad>("pad(Tensor input, int[] pad, str mode=\"constant\", float? value=None) -> Tensor",
                   kPrivate, R"(
pad(input, pad, mode="constant", value=None): pairs of paddings, the last dimension first. Modes constant, reflect,
replicate, circular.)");
}

}  // namespace

void bind_shape(Binder& b) {
  bind_views(b);
  bind_inplace_views(b);
  bind_copies(b);
  bind_splits(b);
  bind_joins(b);
  bind_rearranged(b);
}

}  // namespace nnlib::python
