// Devices in Python: which one an operator's call is for, and the functions behind nnlib.cpu.
#pragma once
#include "python/bind.h"

namespace nnlib::python {

// The device of the call's tensors. RuntimeError where they are on different ones, unless the operator only
// moves values or looks at sizes.
Device device_of_call(const std::string& name, const Overload& o, PyObject* const* slots);
// The same for loose tensors.
void join_devices(Device& common, const Tensor& t, bool mixes = false);

// Marks a new tensor as one of a device, which must be there.
void put_on(const Tensor& t, Device device);

void init_devices(PyObject* module);

}  // namespace nnlib::python
