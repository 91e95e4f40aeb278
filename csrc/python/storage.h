// nnlib._C.UntypedStorage: the memory of tensors as a Python object, for saving, loading and copying.
#pragma once
#include "python/object.h"

namespace nnlib::python {

void init_storage(PyObject* module);

}  // namespace nnlib::python
