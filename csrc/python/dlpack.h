// DLPack, the exchange of tensors between libraries without a copy:
// https://dmlc.github.io/dlpack/latest/c_api.html
#pragma once
#include "python/object.h"

namespace nnlib::python {

void init_dlpack(PyObject* module);

}  // namespace nnlib::python
