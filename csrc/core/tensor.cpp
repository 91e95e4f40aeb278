#include "core/tensor.h"

#include "core/shape.h"

namespace nnlib {

void (*release_python_object)(TensorImpl*) = nullptr;
thread_local bool t_inference = false;

void SparseDataDeleter::operator()(SparseData* m) const { delete m; }

void TensorImpl::set_geometry(const Dims& new_sizes, const Dims& new_strides) {
  numel = count(new_sizes);
  sizes = new_sizes;
  strides = new_strides;
  contiguous = nnlib::is_contiguous(sizes, strides);
}

void TensorImpl::destroy() {
  if (python_owned_by_core) release_python_object(this);
  delete this;
}

int64_t Tensor::size(int64_t d) const { return p_->sizes[wrap_dim(d, dim(), false)]; }
int64_t Tensor::stride(int64_t d) const { return p_->strides[wrap_dim(d, dim(), false)]; }

bool Tensor::is_contiguous(MemoryFormat f) const {
  if (f == MemoryFormat::ChannelsLast) return dim() == 4 && is_channels_last(sizes(), strides());
  if (f == MemoryFormat::ChannelsLast3d) return dim() == 5 && is_channels_last(sizes(), strides());
  return p_->contiguous;
}

Scalar Tensor::item() const {
  NNLIB_CHECK(numel() == 1, "a Tensor with ", numel(), " elements cannot be converted to Scalar");
  NNLIB_CHECK_AS(NotImplementedError, !is_sparse(),
                 "the value of a sparse tensor: to_dense() gives a dense one");
  return dispatch_all(dtype(), [&](auto tag) -> Scalar {
    using T = typename decltype(tag)::type;
    T v = *(const T*)raw();
    if constexpr (std::is_same_v<T, bool>)
      return Scalar(v);
    else if constexpr (std::is_integral_v<T>)
      return Scalar((int64_t)v);
    else
      return Scalar((double)v);
  });
}

static thread_local Destination* t_destination = nullptr;

Destination::Destination(Tensor place) : place_(std::move(place)), before_(t_destination) {
  NNLIB_CHECK(!place_.defined() || place_.storage_offset() == 0, "a place begins with its storage");
  t_destination = this;
}
Destination::~Destination() { t_destination = before_; }

bool Destination::take(TensorImpl& t) {
  if (!t_destination || !t_destination->place_.defined()) return false;
  const Tensor& place = t_destination->place_;
  if (place.dtype() != t.dtype || place.sizes() != t.sizes || place.strides() != t.strides) return false;
  t.storage = place.storage();
  t_destination->place_.reset();
  return t_destination->taken_ = true;
}

static void give_memory(TensorImpl& t, size_t bytes) {
  if (!Destination::take(t)) t.storage = make_ref<Storage>(bytes);
}

Tensor empty_strided(const Dims& sizes, const Dims& strides, Dtype dtype) {
  NNLIB_CHECK(sizes.size() == strides.size(), "mismatch in length of strides and shape: ", strides.size(),
              " and ", sizes.size());
  auto p = make_ref<TensorImpl>();
  p->dtype = dtype;
  p->set_geometry(sizes, strides);
  int64_t last = 0;
  if (p->numel) {
    for (size_t i = 0; i < sizes.size(); i++) {
      NNLIB_CHECK(strides[i] >= 0, "as_strided: Negative strides are not supported, got ", strides);
      last += (sizes[i] - 1) * strides[i];
    }
    last++;
  }
  give_memory(*p, (size_t)last * itemsize(dtype));
  return Tensor(std::move(p));
}

Tensor empty(const Dims& sizes, Dtype dtype, MemoryFormat format) {
  bool last = format == MemoryFormat::ChannelsLast || format == MemoryFormat::ChannelsLast3d;
  auto p = make_ref<TensorImpl>();
  p->dtype = dtype;
  p->numel = count(sizes);
  p->sizes = sizes;
  if (last) {
    NNLIB_CHECK(sizes.size() == (format == MemoryFormat::ChannelsLast ? 4u : 5u), "required rank ",
                format == MemoryFormat::ChannelsLast ? 4 : 5, " tensor to use channels_last format, got ",
                sizes.size(), " dimensions");
    p->strides = channels_last_strides(sizes);
    p->contiguous = is_contiguous(p->sizes, p->strides);
  } else {
    p->strides = contiguous_strides(sizes);
  }
  give_memory(*p, (size_t)p->numel * itemsize(dtype));
  return Tensor(std::move(p));
}

Tensor empty_like(const Tensor& like) { return empty_like(like, like.dtype()); }

Tensor empty_like(const Tensor& like, Dtype dtype) {
  if (like.is_contiguous() || !is_non_overlapping_and_dense(like.sizes(), like.strides())) {
    if (!like.is_contiguous() && like.is_contiguous(MemoryFormat::ChannelsLast))
      return empty(like.sizes(), dtype, MemoryFormat::ChannelsLast);
    return empty(like.sizes(), dtype);
  }
  return empty_strided(like.sizes(), like.strides(), dtype);
}

Tensor scalar_tensor(Scalar value, Dtype dtype) {
  Tensor t = empty({}, dtype);
  dispatch_all(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    *(T*)t.raw() = (T)value.to<C>();
  });
  return t;
}

Tensor wrapped_number(Scalar value) {
  Tensor t = scalar_tensor(value, value.kind());
  t.impl()->wrapped_number = true;
  return t;
}

namespace {

Tensor share(const Tensor& t, const Dims& sizes, const Dims& strides, int64_t offset) {
  auto p = make_ref<TensorImpl>();
  p->storage = t.storage();
  p->dtype = t.dtype();
  p->device = t.device();
  p->offset = offset;
  p->inference = t.impl()->inference;
  p->set_geometry(sizes, strides);
  return Tensor(std::move(p));
}

}  // namespace

Tensor alias(const Tensor& t, const Dims& sizes, const Dims& strides, int64_t offset) {
  NNLIB_CHECK_AS(NotImplementedError, !t.is_sparse(),
                 "a view of a sparse tensor is not possible; to_dense() gives a dense one");
  return share(t, sizes, strides, offset);
}

Tensor alias(const Tensor& t) {
  Tensor r = share(t, t.sizes(), t.strides(), t.storage_offset());
  if (t.is_sparse()) {
    r.impl()->sparse.reset(new SparseData(t.sparse()));
    r.impl()->contiguous = false;
  }
  return r;
}

void check_in_bounds(const Storage& storage, Dtype dtype, const Dims& sizes, const Dims& strides,
                     int64_t offset) {
  NNLIB_CHECK(sizes.size() == strides.size(), "mismatch in length of strides and shape: ", strides.size(),
              " and ", sizes.size());
  NNLIB_CHECK(offset >= 0, "Tensor: invalid storage offset ", offset);
  if (count(sizes) == 0) return;
  int64_t last = offset;
  bool fits = true;
  for (size_t i = 0; i < sizes.size(); i++) {
    NNLIB_CHECK(strides[i] >= 0,
                "as_strided: Negative strides are not supported at the moment, got strides: ", strides);
    int64_t step;
    fits = fits && !__builtin_mul_overflow(sizes[i] - 1, strides[i], &step) &&
           !__builtin_add_overflow(last, step, &last);
  }
  fits = fits && last < (int64_t)(storage.nbytes() / itemsize(dtype));
  NNLIB_CHECK(fits, "setStorage: sizes ", sizes, ", strides ", strides, ", storage offset ", offset,
              ", and itemsize ", itemsize(dtype), " are out of bounds for storage of size ",
              storage.nbytes());
}

Tensor from_storage(Ref<Storage> storage, Dtype dtype, const Dims& sizes, const Dims& strides,
                    int64_t offset) {
  check_in_bounds(*storage, dtype, sizes, strides, offset);
  auto p = make_ref<TensorImpl>();
  p->storage = std::move(storage);
  p->dtype = dtype;
  p->offset = offset;
  p->set_geometry(sizes, strides);
  return Tensor(std::move(p));
}

}  // namespace nnlib
