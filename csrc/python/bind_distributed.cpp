// nnlib._C._distributed: the reducer and its buckets, as nnlib/nn/parallel/distributed.py uses them.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "distributed/reducer.h"
#include "python/bind.h"

namespace py = pybind11;

namespace nnlib::python {

namespace {

using namespace nnlib::distributed;

constexpr const char* kCapsule = "nnlib.distributed.Queue";  // as src/_comm.pyx names it

py::object to_python(const Tensor& t) { return py::reinterpret_steal<py::object>(wrap(t)); }
py::list to_python(const TensorList& tensors) {
  py::list list;
  for (const Tensor& t : tensors) list.append(to_python(t));
  return list;
}
Tensor to_tensor(const py::handle& o) {
  if (!is_tensor(o.ptr())) throw py::type_error("expected a Tensor");
  return unpack(o.ptr());
}

// `memory` is None or a writable buffer that all ranks of the node see.
std::shared_ptr<Group> make_queue_group(const py::capsule& capsule, int size, const py::object& memory) {
  void* queue = PyCapsule_GetPointer(capsule.ptr(), kCapsule);
  if (!queue) throw py::error_already_set();
  Arena arena;
  if (!memory.is_none()) {
    const py::buffer_info info = py::reinterpret_borrow<py::buffer>(memory).request(true);
    arena = {static_cast<char*>(info.ptr), static_cast<size_t>(info.size * info.itemsize),
             std::make_shared<SharedObject>(memory.ptr())};
  }
  return std::make_shared<QueueGroup>(*static_cast<std::shared_ptr<Queue>*>(queue), size, std::move(arena));
}

// What a communication hook gets. The bucket's memory stays alive with it.
struct GradBucket {
  size_t index;
  bool last;
  Tensor flat, buffer;  // the bucket's memory, and what the hook sees of it
  TensorList gradients, parameters;
  std::shared_ptr<Job> job;

  void finish(const py::object& result) {
    Tensor t = to_tensor(result);
    NNLIB_CHECK(t.numel() == flat.numel(),
                "a communication hook must return as many values as the bucket has: expected ", flat.numel(),
                ", got ", t.numel());
    if (t.raw() != flat.raw()) {
      py::gil_scoped_release nogil;
      const Tensor dense = contiguous_values(t);
      copy_values(flat, alias(dense, flat.sizes(), flat.strides(), dense.storage_offset()));
    }
    job->finish();
  }
};

// A Python callable that may be dropped and called on any thread.
using Callable = std::shared_ptr<SharedObject>;

template <class... Args>
py::object call(const Callable& f, const Args&... args) {
  PyObject* result = PyObject_CallFunctionObjArgs(f->get(), args.ptr()..., nullptr);
  if (!result) throw_carried();
  return py::reinterpret_steal<py::object>(result);
}

CommHook make_hook(const TensorList& parameters, const py::object& f) {
  auto callable = std::make_shared<SharedObject>(f.ptr());
  return [parameters, callable](Bucket& bucket, bool is_last) {
    GilAcquire gil;
    auto job = std::make_shared<Job>();
    GradBucket view{bucket.index, is_last, bucket.flat, bucket.flat, {}, {}, job};
    for (const Slot& slot : bucket.slots) {
      view.gradients.push_back(slot.view);
      view.parameters.push_back(parameters[slot.parameter]);
    }
    call(callable, py::cast(std::move(view)));
    return job;
  };
}

SparseAverage make_sparse_average(const py::object& f) {
  auto callable = std::make_shared<SharedObject>(f.ptr());
  return [callable](const Tensor& grad, const Tensor& parameter) {
    GilAcquire gil;
    py::object result = call(callable, to_python(grad), to_python(parameter));
    return result.is_none() ? Tensor() : to_tensor(result);
  };
}

void bind_reducer(py::module_& m) {
  py::class_<Reducer, std::shared_ptr<Reducer>>(m, "Reducer", "Averages gradients while backward runs.")
      .def(py::init([](const py::object& parameters, std::vector<std::string> names, std::vector<bool> sparse,
                       const Assignment& assignment, std::shared_ptr<Group> group, bool find_unused,
                       bool static_graph, bool bucket_view, bool skip_unused) {
             return Reducer::create(tensors_value(parameters.ptr()), std::move(names), std::move(sparse),
                                    assignment, std::move(group),
                                    {find_unused, static_graph, bucket_view, skip_unused});
           }),
           py::arg("parameters"), py::arg("names"), py::arg("sparse"), py::arg("assignment"),
           py::arg("group"), py::arg("find_unused"), py::arg("static_graph"), py::arg("bucket_view"),
           py::arg("skip_unused") = false)
      .def(
          "prepare_for_backward",
          [](Reducer& r, const py::object& outputs, int64_t forwards) {
            r.prepare_for_backward(tensors_value(outputs.ptr()), forwards);
          },
          py::arg("outputs"), py::arg("forwards") = 0,
          "The next backward is averaged; outputs are searched for unused parameters where that was asked "
          "for. The ranks compare `forwards`, unless it is 0.")
      .def("awaits_backward", &Reducer::awaits_backward,
           "Whether no gradient has come since prepare_for_backward.")
      .def("expect_nothing", &Reducer::expect_nothing, "The next backward is local.")
      .def("check_finished", &Reducer::check_finished,
           "Raises when the last backward left gradients unreduced.")
      .def("shadow_pass", &Reducer::shadow_pass, py::call_guard<py::gil_scoped_release>(),
           "Takes part in another rank's pass with zeros.")
      .def("set_divisor", &Reducer::set_divisor, "What sums are divided by; 0 for the number of ranks.")
      .def("arrivals_known", &Reducer::arrivals_known)
      .def("graph_known", &Reducer::graph_known)
      .def("arrival_order", &Reducer::arrival_order, "Parameters in the order in which their gradients came.")
      .def("rebuild", &Reducer::rebuild, "Other buckets, in a group of their own.")
      .def("buckets_started", &Reducer::buckets_started)
      .def(
          "stats",
          [](const Reducer& r) {
            const PassStats& s = r.stats();
            py::dict d;
            d["buckets"] = s.buckets;
            d["bytes"] = s.bytes;
            d["copied"] = s.copied;
            d["communicating"] = s.communicating;
            d["waited"] = s.waited;
            return d;
          },
          "What the last averaged pass cost.")
      .def(
          "bucket_sizes",
          [](const Reducer& r) {
            std::vector<int64_t> sizes;
            for (const Bucket& b : r.buckets()) sizes.push_back(b.sparse ? 0 : b.flat.nbytes());
            return sizes;
          },
          "Bytes of each bucket, in the order in which they are averaged.")
      .def("set_comm_hook",
           [](Reducer& r, const py::object& f) { r.set_comm_hook(make_hook(r.parameters(), f)); })
      .def("set_sparse_average",
           [](Reducer& r, const py::object& f) { r.set_sparse_average(make_sparse_average(f)); });
}

void bind_bucket(py::module_& m) {
  py::class_<GradBucket>(m, "GradBucket", "The gradients that a communication hook is called for.")
      .def(
          "index", [](const GradBucket& b) { return b.index; },
          "The bucket's position; all ranks have the same buckets.")
      .def(
          "buffer", [](const GradBucket& b) { return to_python(b.buffer); },
          "The gradients as one flat tensor.")
      .def(
          "gradients", [](const GradBucket& b) { return to_python(b.gradients); },
          "The gradients one by one: views of the buffer, shaped as the parameters.")
      .def(
          "parameters", [](const GradBucket& b) { return to_python(b.parameters); },
          "The parameters in the bucket.")
      .def(
          "is_last", [](const GradBucket& b) { return b.last; },
          "Whether this is the last bucket of the pass.")
      .def(
          "set_buffer",
          [](GradBucket& b, const py::object& t) {
            b.buffer = to_tensor(t);
            NNLIB_CHECK(b.buffer.numel() == b.flat.numel(), "set_buffer expected ", b.flat.numel(),
                        " values, got ", b.buffer.numel());
          },
          "Replaces the tensor that buffer() gives, for hooks that work on another dtype.")
      .def("_finish", &GradBucket::finish)
      .def("_fail", [](const GradBucket& b, std::string why) { b.job->fail(std::move(why)); });
}

}  // namespace

void bind_distributed(Binder& b) {
  py::module_ parent = py::reinterpret_borrow<py::module_>(b.module());
  py::module_ m = parent.def_submodule("_distributed", "The native side of nnlib.distributed.");
  py::class_<Group, std::shared_ptr<Group>>(m, "Group");
  m.def("QueueGroup", &make_queue_group, py::arg("queue"), py::arg("size"), py::arg("memory") = py::none(),
        "A group whose collectives go into the queue of that capsule.");
  m.def(
      "assign_buckets",
      [](const py::object& parameters, const std::vector<size_t>& order, const std::vector<bool>& sparse,
         const std::vector<int64_t>& limits) {
        return assign_buckets(tensors_value(parameters.ptr()), order, sparse, limits);
      },
      "assign_buckets(parameters, order, sparse, limits): which parameters travel together.");
  m.def(
      "arena_bytes",
      [](const py::object& parameters, const std::vector<bool>& sparse, const Assignment& assignment) {
        size_t bytes = 0;
        const TensorList tensors = tensors_value(parameters.ptr());
        for (const std::vector<size_t>& members : assignment) {
          if (sparse[members.front()]) continue;
          for (size_t p : members) bytes += tensors[p].nbytes();
          bytes = (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
        }
        return bytes;
      },
      "arena_bytes(parameters, sparse, assignment): memory that the buckets take.");
  bind_reducer(m);
  bind_bucket(m);
}

}  // namespace nnlib::python
