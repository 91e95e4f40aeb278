// Calls in the order of arguments that operators once had.
#pragma once
#include <string>

#include "python/object.h"

namespace nnlib::python {

// x.add_(2, y) for x.add_(y, alpha=2), and its like: calls `callable` with the factors by name, after a
// warning. Null, without an error, where the arguments are no such call.
PyObject* call_in_older_order(PyObject* callable, const std::string& name, PyObject* const* args, size_t n);

}  // namespace nnlib::python
