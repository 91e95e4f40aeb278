#include "python/storage.h"

#include <cstring>

#include "core/tensor.h"
#include "python/py_tensor.h"
#include "python/types.h"

namespace nnlib::python {
namespace {

struct PyStorage {
  PyObject_HEAD Ref<Storage> s;
};

extern PyTypeObject storage_type;

const Ref<Storage>& unpack_storage(PyObject* o) {
  NNLIB_CHECK_TYPE(PyObject_TypeCheck(o, &storage_type), "expected an UntypedStorage, got ",
                   Py_TYPE(o)->tp_name);
  return ((PyStorage*)o)->s;
}

PyObject* wrap_storage(Ref<Storage> s) {
  auto* self = (PyStorage*)checked(storage_type.tp_alloc(&storage_type, 0));
  new (&self->s) Ref<Storage>(std::move(s));
  return (PyObject*)self;
}

size_t byte_count(PyObject* o) {
  const Py_ssize_t n = PyNumber_AsSsize_t(o, PyExc_OverflowError);
  if (n == -1 && PyErr_Occurred()) throw PythonErrorSet();
  NNLIB_CHECK(n >= 0, "expected a storage of zero or more bytes, got ", n);
  return (size_t)n;
}

PyObject* storage_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"nbytes", nullptr};
    PyObject* nbytes = nullptr;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:UntypedStorage", (char**)names, &nbytes))
      return nullptr;
    return wrap_storage(Ref<Storage>(new Storage(nbytes ? byte_count(nbytes) : 0)));
  });
}

void storage_dealloc(PyObject* self) {
  ((PyStorage*)self)->s.~Ref();
  Py_TYPE(self)->tp_free(self);
}

PyObject* storage_nbytes(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(((PyStorage*)self)->s->nbytes());
}

PyObject* storage_data_ptr(PyObject* self, PyObject*) {
  ((PyStorage*)self)->s->expose();
  return PyLong_FromVoidPtr(((PyStorage*)self)->s->data());
}

PyObject* storage_clone(PyObject* self, PyObject*) {
  return guarded([&] {
    const Ref<Storage>& from = ((PyStorage*)self)->s;
    Ref<Storage> copy(new Storage(from->nbytes()));
    if (from->nbytes()) std::memcpy(copy->data(), from->data(), from->nbytes());
    return wrap_storage(std::move(copy));
  });
}

PyObject* storage_cdata(PyObject* self, void*) { return PyLong_FromVoidPtr(((PyStorage*)self)->s.get()); }

PyObject* storage_device(PyObject*, void*) {
  return guarded([] { return device_object(Device{}); });
}

Py_ssize_t storage_length(PyObject* self) { return (Py_ssize_t)((PyStorage*)self)->s->nbytes(); }

int storage_get_buffer(PyObject* self, Py_buffer* view, int flags) {
  Storage& s = *((PyStorage*)self)->s;
  s.expose();
  static char nothing;
  return PyBuffer_FillInfo(view, self, s.nbytes() ? s.data() : &nothing, (Py_ssize_t)s.nbytes(),
                           !s.writable(), flags);
}

// A storage on `nbytes` bytes of somebody's memory from `offset` on; the somebody is kept alive.
PyObject* storage_from_buffer(PyObject*, PyObject* args) {
  return guarded([&]() -> PyObject* {
    PyObject *owner, *offset_object, *nbytes_object;
    if (!PyArg_ParseTuple(args, "OOO:_from_buffer", &owner, &offset_object, &nbytes_object)) return nullptr;
    const size_t offset = byte_count(offset_object), nbytes = byte_count(nbytes_object);
    auto view = std::make_unique<Py_buffer>();
    const int writable = PyObject_GetBuffer(owner, view.get(), PyBUF_WRITABLE) == 0;
    if (!writable) {
      PyErr_Clear();
      if (PyObject_GetBuffer(owner, view.get(), PyBUF_SIMPLE) < 0) return nullptr;
    }
    const auto length = (size_t)view->len;
    if (offset > length || nbytes > length - offset) {
      PyBuffer_Release(view.get());
      throw Error(
          concat("expected ", nbytes, " bytes from byte ", offset, " on, but the buffer has ", length));
    }
    char* data = (char*)view->buf + offset;
    Py_buffer* held = view.release();
    auto let_go = [held] {
      if (!Py_IsInitialized()) return;
      GilAcquire gil;
      PyBuffer_Release(held);
      delete held;
    };
    return wrap_storage(Ref<Storage>(new Storage(data, nbytes, let_go, writable)));
  });
}

Dims dims_of(PyObject* o, const char* name) {
  Object items = owned(PySequence_Tuple(o));
  Dims dims;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
    const int64_t v = PyLong_AsLongLong(PyTuple_GET_ITEM(items.get(), i));
    if (v == -1 && PyErr_Occurred()) throw PythonErrorSet();
    NNLIB_CHECK(v >= 0, "expected ", name, " of zero or more, got ", v);
    dims.push_back(v);
  }
  return dims;
}

PyObject* from_storage_function(PyObject*, PyObject* args) {
  return guarded([&]() -> PyObject* {
    PyObject *storage, *dtype, *sizes_object, *strides_object;
    long long offset;
    if (!PyArg_ParseTuple(args, "OOLOO:_from_storage", &storage, &dtype, &offset, &sizes_object,
                          &strides_object))
      return nullptr;
    const Dims sizes = dims_of(sizes_object, "sizes"), strides = dims_of(strides_object, "strides");
    return wrap(from_storage(unpack_storage(storage), to_dtype(dtype), sizes, strides, offset));
  });
}

PyObject* untyped_storage_function(PyObject*, PyObject* tensor) {
  return guarded([&] {
    NNLIB_CHECK_TYPE(is_tensor(tensor), "expected a Tensor, got ", Py_TYPE(tensor)->tp_name);
    const Tensor& t = unpack(tensor);
    NNLIB_CHECK_AS(NotImplementedError, !t.is_sparse(), "Cannot access storage of SparseTensorImpl");
    return wrap_storage(t.storage());
  });
}

PyMethodDef storage_methods[] = {
    {"nbytes", storage_nbytes, METH_NOARGS, "How many bytes the storage holds."},
    {"size", storage_nbytes, METH_NOARGS, "How many bytes the storage holds."},
    {"data_ptr", storage_data_ptr, METH_NOARGS, "The address of the first byte."},
    {"clone", storage_clone, METH_NOARGS, "A storage of its own with the same bytes."},
    {"_from_buffer", storage_from_buffer, METH_VARARGS | METH_STATIC,
     "_from_buffer(owner, offset, nbytes): a storage on part of the memory of owner."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef storage_getset[] = {
    {"_cdata", storage_cdata, nullptr, "Identifies the memory: equal for all objects of one storage.",
     nullptr},
    {"device", storage_device, nullptr, "The device that holds the memory.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyBufferProcs storage_buffer = {storage_get_buffer, nullptr};

PySequenceMethods make_sequence() {
  PySequenceMethods m{};
  m.sq_length = storage_length;
  return m;
}
PySequenceMethods storage_sequence = make_sequence();

PyTypeObject make_storage_type() {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = "nnlib._C.UntypedStorage";
  t.tp_doc =
      "UntypedStorage(nbytes=0)\n\nA block of memory that tensors share. Offers its bytes through the buffer "
      "protocol.";
  t.tp_basicsize = sizeof(PyStorage);
  t.tp_flags = Py_TPFLAGS_DEFAULT;
  t.tp_new = storage_new;
  t.tp_dealloc = storage_dealloc;
  t.tp_methods = storage_methods;
  t.tp_getset = storage_getset;
  t.tp_as_buffer = &storage_buffer;
  t.tp_as_sequence = &storage_sequence;
  return t;
}
PyTypeObject storage_type = make_storage_type();

PyMethodDef functions[] = {
    {"_from_storage", from_storage_function, METH_VARARGS,
     "_from_storage(storage, dtype, offset, size, stride): a tensor on a storage; RuntimeError where an "
     "element would "
     "lie outside it."},
    {"_untyped_storage", untyped_storage_function, METH_O, "The storage of a strided tensor."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void init_storage(PyObject* module) {
  if (PyType_Ready(&storage_type) < 0 || PyModule_AddFunctions(module, functions) < 0 ||
      PyModule_AddObjectRef(module, "UntypedStorage", (PyObject*)&storage_type) < 0)
    throw PythonErrorSet();
}

}  // namespace nnlib::python
