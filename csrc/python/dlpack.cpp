#include "python/dlpack.h"

#include "autograd/variable.h"
#include "core/shape.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

// The structures of the DLPack C interface, as its documentation lays them out.
struct DLDevice {
  int32_t device_type, device_id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};
constexpr int32_t kCpu = 1;
enum Code : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

DLDataType dl_type(Dtype d) {
  const uint8_t bits = (uint8_t)(8 * itemsize(d));
  if (d == Dtype::Bool) return {kBool, 8, 1};
  if (d == Dtype::UInt8) return {kUInt, 8, 1};
  if (d == Dtype::BFloat16) return {kBfloat, 16, 1};
  return {is_floating(d) ? kFloat : kInt, bits, 1};
}

Dtype from_dl_type(DLDataType t) {
  for (int i = 0; i < kNumDtypes; i++) {
    const DLDataType d = dl_type((Dtype)i);
    if (d.code == t.code && d.bits == t.bits && t.lanes == 1) return (Dtype)i;
  }
  throw_message<Error>("DLPack: no dtype for code ", (int)t.code, " with ", (int)t.bits, " bits and ",
                       t.lanes, " lanes");
}

struct Exported {
  Tensor tensor;
  Dims sizes, strides;
  DLManagedTensor managed;
};

void release_unconsumed(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, "dltensor")) return;  // somebody took it over
  auto* m = (DLManagedTensor*)PyCapsule_GetPointer(capsule, "dltensor");
  m->deleter(m);
}

PyObject* to_dlpack(PyObject*, PyObject* o) {
  return guarded([&] {
    NNLIB_CHECK_TYPE(is_tensor(o), "to_dlpack: expected a Tensor, got ", Py_TYPE(o)->tp_name);
    const Tensor& t = unpack(o);
    NNLIB_CHECK_AS(Error, !t.is_sparse(), "Can't export tensors with layout other than torch.strided");
    if (t.requires_grad()) {
      PyErr_SetString(PyExc_BufferError, "Can't export tensors that require gradient, use tensor.detach()");
      throw PythonErrorSet();
    }
    t.storage()->expose();
    auto* e = new Exported{detach(t), t.sizes(), t.strides(), {}};
    e->managed.dl_tensor = {
        t.raw(), {kCpu, 0}, (int32_t)t.dim(), dl_type(t.dtype()), e->sizes.data(), e->strides.data(), 0};
    e->managed.manager_ctx = e;
    e->managed.deleter = [](DLManagedTensor* m) { delete (Exported*)m->manager_ctx; };
    return checked(PyCapsule_New(&e->managed, "dltensor", release_unconsumed));
  });
}

PyObject* from_dlpack(PyObject*, PyObject* o) {
  return guarded([&] {
    Object capsule =
        PyCapsule_CheckExact(o) ? Object::borrow(o) : owned(PyObject_CallMethod(o, "__dlpack__", nullptr));
    NNLIB_CHECK(
        PyCapsule_IsValid(capsule.get(), "dltensor"),
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once");
    auto* m = (DLManagedTensor*)PyCapsule_GetPointer(capsule.get(), "dltensor");
    const DLTensor& d = m->dl_tensor;
    NNLIB_CHECK(d.device.device_type == kCpu, "DLPack: the tensor lives on device type ",
                d.device.device_type, ", nnlib reads memory of the CPU (1) only");
    NNLIB_CHECK(d.ndim >= 0 && d.ndim <= 64, "DLPack: ", d.ndim, " dimensions");
    const Dims sizes(d.shape, (size_t)d.ndim);
    const Dims strides = d.strides ? Dims(d.strides, (size_t)d.ndim) : contiguous_strides(sizes);
    const Dtype dtype = from_dl_type(d.dtype);
    int64_t last = 0;
    for (size_t i = 0; i < sizes.size(); i++) {
      NNLIB_CHECK(strides[i] >= 0, "DLPack: negative strides are not supported, got ", strides);
      last += (sizes[i] - 1) * strides[i];
    }
    const size_t bytes = count(sizes) ? (size_t)(last + 1) * itemsize(dtype) : 0;
    auto storage = make_ref<Storage>((char*)d.data + d.byte_offset, bytes, [m] {
      if (m->deleter) m->deleter(m);
    });
    Tensor t = from_storage(storage, dtype, sizes, strides, 0);
    PyCapsule_SetName(capsule.get(), "used_dltensor");
    return wrap(t);
  });
}

PyMethodDef functions[] = {{"_to_dlpack", to_dlpack, METH_O, "A DLPack capsule on the tensor's memory."},
                           {"from_dlpack", from_dlpack, METH_O,
                            "from_dlpack(ext_tensor) -> Tensor\n\nA tensor on the memory of an object with "
                            "__dlpack__ or of a DLPack capsule."},
                           {nullptr, nullptr, 0, nullptr}};

}  // namespace

void init_dlpack(PyObject* module) { PyModule_AddFunctions(module, functions); }

}  // namespace nnlib::python
