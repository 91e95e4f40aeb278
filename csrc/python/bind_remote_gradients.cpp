// The native side of nnlib.distributed.autograd, in nnlib._C._distributed.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "distributed/remote_gradients.h"
#include "python/bind.h"

namespace py = pybind11;

namespace nnlib::python {

namespace {

using namespace nnlib::distributed;

py::object to_python(const Tensor& t) {
  return t.defined() ? py::reinterpret_steal<py::object>(wrap(t)) : py::none();
}

TensorList to_tensors(const py::sequence& items) {
  TensorList tensors;
  for (const py::handle& item : items) {
    if (!item.is_none() && !is_tensor(item.ptr())) throw py::type_error("expected a Tensor or None");
    tensors.push_back(item.is_none() ? Tensor() : unpack(item.ptr()));
  }
  return tensors;
}

// Calls a Python function with the list of gradients.
RecvRpcBackward::Send make_send(const py::object& f) {
  auto callable = std::make_shared<SharedObject>(f.ptr());
  return [callable](const TensorList& grads) {
    GilAcquire gil;
    py::list list;
    for (const Tensor& g : grads) list.append(to_python(g));
    PyObject* result = PyObject_CallOneArg(callable->get(), list.ptr());
    if (!result) throw_carried();
    Py_DECREF(result);
  };
}

py::list gradients_of(const GradStore& store) {
  py::list pairs;
  for (const auto& [_, entry] : store.entries())
    if (entry.grad.defined()) pairs.append(py::make_tuple(to_python(entry.variable), to_python(entry.grad)));
  return pairs;
}

}  // namespace

void bind_remote_gradients(Binder& b) {
  py::module_ m = py::reinterpret_borrow<py::module_>(b.module()).attr("_distributed");
  m.def(
      "receive_tensors",
      [](const py::sequence& tensors, int64_t worker, int64_t message, const py::object& send) {
        receive_tensors(to_tensors(tensors), worker, message, make_send(send));
      },
      "receive_tensors(tensors, worker, message, send): backward calls send with the list of their "
      "gradients.");
  py::class_<GradStore, std::shared_ptr<GradStore>>(m, "GradStore", "Gradients beside .grad.")
      .def(py::init<>())
      .def("items", &gradients_of, "Pairs of a tensor and its gradient.");
  py::class_<SendRpcBackward>(m, "SendRpcBackward", "Where tensors went out to another process.")
      .def(py::init([](const py::sequence& tensors) { return SendRpcBackward(to_tensors(tensors)); }));
  py::class_<RemotePass>(m, "RemotePass", "This process's share of a backward pass.")
      .def(py::init<std::shared_ptr<GradStore>, bool>())
      .def("announce", &RemotePass::announce,
           "It will be fed once; (worker, message) of what it newly leads to in other processes.")
      .def(
          "feed",
          [](RemotePass& pass, const SendRpcBackward& sent, const py::sequence& grads) {
            TensorList tensors = to_tensors(grads);
            GilRelease nogil;
            pass.feed(sent, std::move(tensors));
          },
          "Runs what these gradients make ready.");
}

}  // namespace nnlib::python
