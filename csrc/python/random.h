// nnlib.Generator.
#pragma once
#include "core/generator.h"
#include "python/object.h"

namespace nnlib::python {

void init_random(PyObject* module);
PyObject* generator_object(const Ref<Generator>& g);

}  // namespace nnlib::python
