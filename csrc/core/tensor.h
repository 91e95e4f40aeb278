// The tensor: a handle on a counted TensorImpl, which describes a strided part of a Storage.
// Nothing here records gradients; csrc/autograd does.
#pragma once
#include <memory>
#include <vector>

#include "core/device.h"
#include "core/dims.h"
#include "core/dtype.h"
#include "core/scalar.h"
#include "core/storage.h"

struct _object;  // PyObject

namespace nnlib {

class Tensor;

enum class MemoryFormat { Contiguous, Preserve, ChannelsLast, ChannelsLast3d };

// What autograd keeps with a tensor; defined in autograd/variable.h.
struct AutogradMeta;
struct AutogradMetaDeleter {
  void operator()(AutogradMeta* m) const;
};

// Coordinate format: indices (sparse_dim, nnz) int64 and values (nnz, dense sizes...).
struct SparseData;
struct SparseDataDeleter {
  void operator()(SparseData* m) const;
};

// Whether tensors that this thread makes now are inference tensors.
extern thread_local bool t_inference;

struct TensorImpl : RefCounted {
  Ref<Storage> storage;
  Dims sizes, strides;
  int64_t offset = 0;  // in elements
  int64_t numel = 0;
  Dtype dtype = Dtype::Float32;
  Device device{t_device.tensors};
  bool contiguous = true;
  bool wrapped_number = false;   // a Python number made a tensor: its dtype is weak in promotion
  bool inference = t_inference;  // made under inference_mode: neither versions nor gradients
  bool python_owned_by_core = false;
  // Alias of `.data`: counts its own versions.
  std::unique_ptr<std::atomic<uint32_t>> own_version;
  std::unique_ptr<AutogradMeta, AutogradMetaDeleter> autograd;
  std::unique_ptr<SparseData, SparseDataDeleter> sparse;
  _object* pyobj = nullptr;  // the one Python object of this tensor

  void set_geometry(const Dims& new_sizes, const Dims& new_strides);
  std::atomic<uint32_t>& version_counter() { return own_version ? *own_version : storage->version; }

 protected:
  void destroy() override;
};

// Set by the Python layer: frees the Python object of a tensor whose last C++ handle is gone.
extern void (*release_python_object)(TensorImpl*);

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ref<TensorImpl> p) : p_(std::move(p)) {}

  bool defined() const { return (bool)p_; }
  explicit operator bool() const = delete;
  TensorImpl* impl() const { return p_.get(); }
  const Ref<TensorImpl>& ref() const { return p_; }
  bool is_same(const Tensor& o) const { return p_ == o.p_; }
  void reset() { p_ = nullptr; }

  int64_t dim() const { return p_->sizes.ssize(); }
  const Dims& sizes() const { return p_->sizes; }
  const Dims& strides() const { return p_->strides; }
  int64_t size(int64_t d) const;
  int64_t stride(int64_t d) const;
  int64_t numel() const { return p_->numel; }
  Dtype dtype() const { return p_->dtype; }
  Device device() const { return p_->device; }
  size_t itemsize() const { return nnlib::itemsize(p_->dtype); }
  int64_t nbytes() const { return numel() * (int64_t)itemsize(); }
  int64_t storage_offset() const { return p_->offset; }
  const Ref<Storage>& storage() const { return p_->storage; }
  bool is_contiguous() const { return p_->contiguous; }
  bool is_contiguous(MemoryFormat f) const;
  bool is_floating_point() const { return is_floating(p_->dtype); }
  bool is_sparse() const { return (bool)p_->sparse; }
  SparseData& sparse() const { return *p_->sparse; }
  bool is_wrapped_number() const { return p_->wrapped_number; }
  uint32_t version() const { return p_->version_counter().load(std::memory_order_relaxed); }
  void bump_version() const {
    if (p_->storage) p_->storage->writes.fetch_add(1, std::memory_order_release);
    if (!p_->inference) p_->version_counter().fetch_add(1, std::memory_order_relaxed);
  }

  void* raw() const { return (char*)p_->storage->data() + p_->offset * (int64_t)itemsize(); }
  // The first element; the type must be the tensor's.
  template <class T>
  T* data() const {
    NNLIB_CHECK(DtypeOf<T>::value == p_->dtype, "expected scalar type ", dtype_legacy_name(DtypeOf<T>::value),
                " but found ", dtype_legacy_name(p_->dtype));
    return (T*)raw();
  }
  // The value of a tensor of one element.
  Scalar item() const;

  bool requires_grad() const;

 private:
  Ref<TensorImpl> p_;
};

using TensorList = std::vector<Tensor>;

struct SparseData {
  Tensor indices, values;
  int64_t sparse_dim = 0;
  bool coalesced = false;
};

// While one lives, the next new tensor of exactly the place's sizes, strides and dtype that this thread makes
// lies in the place's memory. Nothing happens where the place is undefined.
class Destination {
 public:
  explicit Destination(Tensor place);
  ~Destination();
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;
  // Gives t the place's memory if it is such a tensor and the first.
  static bool take(TensorImpl& t);
  bool taken() const { return taken_; }

 private:
  Tensor place_;
  Destination* before_;
  bool taken_ = false;
};

// New memory, its values unset. Strided like memory_format says.
Tensor empty(const Dims& sizes, Dtype dtype, MemoryFormat format = MemoryFormat::Contiguous);
Tensor empty_strided(const Dims& sizes, const Dims& strides, Dtype dtype);
// Sizes and dense strides of `like` (its order of dimensions where it is dense, contiguous otherwise).
Tensor empty_like(const Tensor& like);
Tensor empty_like(const Tensor& like, Dtype dtype);
// A tensor of zero dimensions.
Tensor scalar_tensor(Scalar value, Dtype dtype);
// A Python number as an operand: int64, the default float or bool, weak in promotion.
Tensor wrapped_number(Scalar value);
// A tensor on the same storage, without history.
Tensor alias(const Tensor& t);
Tensor alias(const Tensor& t, const Dims& sizes, const Dims& strides, int64_t offset);
// A tensor on a storage of one's own; checks that every element lies inside.
Tensor from_storage(Ref<Storage> storage, Dtype dtype, const Dims& sizes, const Dims& strides,
                    int64_t offset);
// The strided dimensions must lie in the storage: RuntimeError otherwise.
void check_in_bounds(const Storage& storage, Dtype dtype, const Dims& sizes, const Dims& strides,
                     int64_t offset);

// Copies values, converting the type, for any strides; sizes must be equal. No history, no version.
void copy_values(const Tensor& dst, const Tensor& src);
// The tensor itself where it is contiguous, else a contiguous copy. No history.
Tensor contiguous_values(const Tensor& t);
// The values in another type (the tensor itself where it has that type). No history.
Tensor cast_values(const Tensor& t, Dtype dtype);
void fill_values(const Tensor& t, Scalar value);

}  // namespace nnlib
