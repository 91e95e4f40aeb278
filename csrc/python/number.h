// The number, mapping, sequence and comparison protocols of tensors: each slot calls the operator of its
// name.
#pragma once
#include "python/object.h"

namespace nnlib::python {

PyNumberMethods* tensor_as_number();
PyMappingMethods* tensor_as_mapping();
PySequenceMethods* tensor_as_sequence();
PyObject* tensor_richcompare(PyObject* a, PyObject* b, int op);

}  // namespace nnlib::python
