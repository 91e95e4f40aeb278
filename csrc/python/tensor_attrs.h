// Attributes and methods of tensors that are not operators.
#pragma once
#include "python/object.h"

namespace nnlib::python {

// Called when the type is ready.
void add_tensor_attrs(PyTypeObject* type);

}  // namespace nnlib::python
