// Autocast at the entry of operators: which operator casts its arguments to what.
#pragma once
#include "ops/autocast.h"
#include "python/bind.h"

namespace nnlib::python {

// The rule of an operator's overload. Lower casts to the region's type, Float32 to float32, Promote to
// float32 where one of the arguments is float32.
CastRule cast_rule(const std::string& name, const Overload& o);

inline bool autocasts(const Overload& o) {
  return o.cast_rule.policy != CastPolicy::None && autocast_enabled();
}
// o.invoke with arguments cast as the region wants them.
PyObject* invoke_autocast(const Overload& o, PyObject** slots);

void init_autocast(PyObject* module);

}  // namespace nnlib::python
