// Python's dtype, device, layout, memory_format and Size.
#pragma once
#include <optional>

#include "core/tensor.h"
#include "python/object.h"

namespace nnlib::python {

void init_types(PyObject* module);

PyObject* dtype_object(Dtype d);  // new reference
bool is_dtype(PyObject* o);
// A dtype object, or Python's float, int or bool; an error otherwise.
Dtype to_dtype(PyObject* o);
PyObject* device_object(Device d);
bool is_device(PyObject* o);
bool is_device_like(PyObject* o);  // a device or a string
Device to_device(PyObject* o);     // from an object, a string ("cpu", "cpu:1") or a number
PyObject* memory_format_object(MemoryFormat f);
bool is_memory_format(PyObject* o);
MemoryFormat to_memory_format(PyObject* o);
PyObject* layout_object(bool sparse);
bool is_layout(PyObject* o);
bool is_sparse_layout(PyObject* o);
PyObject* size_object(const Dims& d);

}  // namespace nnlib::python
