// Signatures of operators: their text, and which Python objects a parameter takes.
#pragma once
#include "python/bind.h"

namespace nnlib::python {

// "add(Tensor input, Operand other, *, Scalar alpha=1) -> Tensor"
Overload parse_signature(const char* text, std::string* name);
bool accepts(const Param& p, PyObject* o);
std::string kind_name(const Param& p);

}  // namespace nnlib::python
