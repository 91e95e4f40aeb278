// x[key] and x[key] = value.
#pragma once
#include "core/tensor.h"
#include "python/object.h"

namespace nnlib::python {

PyObject* tensor_getitem(const Tensor& self, PyObject* key);
int tensor_setitem(const Tensor& self, PyObject* key, PyObject* value);

}  // namespace nnlib::python
