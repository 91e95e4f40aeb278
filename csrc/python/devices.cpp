#include "python/devices.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <set>

#include "autograd/function.h"
#include "ops/shape.h"
#include "python/random.h"

namespace py = pybind11;

namespace nnlib::python {

namespace {

// Operators that take tensors of several devices; they run on that of the first.
bool mixes_devices(const std::string& name) {
  static const std::set<std::string> names = {"copy_",       "expand_as", "is_same_size", "reshape_as",
                                              "result_type", "type_as",   "view_as"};
  // Optimizer steps take the parameters of all devices in one call.
  return name.compare(0, 6, "_fused") == 0 || names.count(name);
}

TensorList tensors_in(const py::sequence& sequence) {
  TensorList tensors;
  for (py::handle t : sequence) {
    NNLIB_CHECK_TYPE(is_tensor(t.ptr()), "expected Tensors, got ", Py_TYPE(t.ptr())->tp_name);
    tensors.push_back(unpack(t.ptr()));
  }
  return tensors;
}

}  // namespace

void join_devices(Device& common, const Tensor& t, bool mixes) {
  const Device d = t.device();
  if (d.index < 0) return;
  NNLIB_CHECK(mixes || common.goes_with(d),
              "Expected all tensors to be on the same device, but found at least two devices, cpu:",
              common.index, " and cpu:", d.index, "!");
  if (common.index < 0) common = d;
}

Device device_of_call(const std::string& name, const Overload& o, PyObject* const* slots) {
  Device common;
  const bool mixes = mixes_devices(name);
  for (size_t i = 0; i < o.params.size(); i++) {
    PyObject* value = slots[i];
    const Kind kind = o.params[i].kind;
    if (value && value != Py_None && kind == Kind::Device) {
      // Where the result is to be says who makes it.
      const Device wanted = to_device(value);
      require_device(wanted);
      if (wanted.index >= 0) return wanted;
    }
    if (!value || (kind != Kind::Tensor && kind != Kind::Operand && kind != Kind::Tensors)) continue;
    if (is_tensor(value)) {
      join_devices(common, unpack(value), mixes);
    } else if (kind == Kind::Tensors && (PyList_Check(value) || PyTuple_Check(value))) {
      for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(value); k++) {
        PyObject* item = PySequence_Fast_GET_ITEM(value, k);
        if (is_tensor(item)) join_devices(common, unpack(item), mixes);
      }
    }
  }
  return common;
}

void put_on(const Tensor& t, Device device) {
  require_device(device);
  t.impl()->device = device;
}

void init_devices(PyObject* module) {
  py::module_ m = py::reinterpret_borrow<py::module_>(module);
  m.def("set_device_partition", &set_device_partition, py::arg("n"),
        "set_device_partition(n): divides this machine's cores into n devices, cpu:0 to cpu:n-1, each with a "
        "team "
        "of threads of its own; 0: one for each NUMA node, as at the start.");
  m.def("_device_count", &device_count);
  m.def("_require_device", [](int index) { require_device(Device{(int16_t)index}); });
  m.def("_device_cores", &device_cores);
  m.def("_device_threads", [](int index) {
    require_device(Device{(int16_t)index});
    return device_threads(index);
  });
  m.def("_put_on_device", [](py::handle t, int index) {
    NNLIB_CHECK_TYPE(is_tensor(t.ptr()), "expected a Tensor, got ", Py_TYPE(t.ptr())->tp_name);
    put_on(unpack(t.ptr()), Device{(int16_t)index});
  });
  m.def("_copies_on", [](py::sequence tensors, int index) {
    TensorList all = tensors_in(tensors);
    require_device(Device{(int16_t)index});
    {
      py::gil_scoped_release nogil;
      NoGradGuard guard;
      for (Tensor& t : all) t = basic_ops().to_device(t, Device{(int16_t)index});
    }
    py::list copies;
    for (const Tensor& t : all) copies.append(py::reinterpret_steal<py::object>(wrap(t)));
    return copies;
  });
  m.def("_gather_on", [](py::sequence tensors, int64_t dim, int index) {
    TensorList all = tensors_in(tensors);
    require_device(Device{(int16_t)index});
    Tensor r;
    {
      py::gil_scoped_release nogil;
      DeviceScope scope(Device{(int16_t)index});
      bool scalars = true;
      for (const Tensor& t : all) scalars = scalars && t.dim() == 0;
      r = scalars ? ops::stack(all, 0) : ops::cat(all, dim);
    }
    return py::reinterpret_steal<py::object>(wrap(r));
  });
  m.def("_thread_team", [] { return (int)t_device.team; });
  m.def("_set_thread_team", &set_thread_team,
        "The calling thread computes on a device's team; gives the last.");
  m.def("_pin_thread", &pin_thread);
  m.def("_default_generator",
        [] { return py::reinterpret_steal<py::object>(generator_object(default_generator())); });
}

}  // namespace nnlib::python
