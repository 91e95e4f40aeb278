// The Python object of a tensor. There is one for each TensorImpl; object and tensor keep each other alive:
// while Python holds the object, it owns a reference on the tensor; when Python lets go of it but C++ still
// holds the tensor, the tensor owns the object, so that its class and attributes are there when it comes
// back.
#pragma once
#include "core/tensor.h"
#include "python/object.h"

namespace nnlib::python {

struct PyTensor {
  PyObject_HEAD Tensor t;  // a counted reference only while `strong`
  PyObject* dict;
  PyObject* weakrefs;
  bool strong;
};

extern PyTypeObject TensorBaseType;

void init_tensor_type(PyObject* module);

inline bool is_tensor(PyObject* o) { return PyObject_TypeCheck(o, &TensorBaseType); }
// The tensor of an object that is one.
inline const Tensor& unpack(PyObject* o) {
  const Tensor& t = ((PyTensor*)o)->t;
  if (!t.defined()) throw Error("the tensor of this object is gone");
  return t;
}
// The object of a tensor, a new reference; None for an undefined one.
PyObject* wrap(const Tensor& t);
// A new object of a subclass for a tensor that has none yet.
PyObject* wrap_as(PyTypeObject* type, const Tensor& t);
// The class of new tensors: nnlib.Tensor.
PyTypeObject* tensor_class();

}  // namespace nnlib::python
