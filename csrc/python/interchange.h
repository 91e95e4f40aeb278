// Tensors from and to other objects: Python's numbers and lists, NumPy, the buffer protocol, DLPack.
#pragma once
#include "core/tensor.h"
#include "python/object.h"

namespace nnlib::python {

PyBufferProcs* tensor_as_buffer();
// Tensor(...) and its subclasses: sizes, a sequence, a tensor.
PyObject* construct_tensor(PyTypeObject* type, PyObject* args, PyObject* kwargs);
// A tensor of its own memory with the values of numbers, nested sequences, arrays or tensors. Without a dtype
// it is inferred: bool, int64, the default float, or the array's.
Tensor tensor_from_object(PyObject* data, const Dtype* dtype);
// Whether o offers its memory (NumPy arrays and all else of the buffer protocol).
bool has_buffer(PyObject* o);
// A tensor on the memory of o.
Tensor tensor_from_buffer(PyObject* o);
// A NumPy array on the tensor's memory.
PyObject* tensor_to_numpy(PyObject* self, bool force);
PyObject* tensor_to_list(const Tensor& t);
PyObject* scalar_object(Scalar s);
void init_interchange(PyObject* module);

}  // namespace nnlib::python
