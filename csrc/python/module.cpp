// The module nnlib._C.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/allocator.h"
#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/conv.h"
#include "ops/drivers/gemm_bf16.h"
#include "ops/drivers/limits.h"
#include "ops/drivers/packed_cache.h"
#include "python/autocast.h"
#include "python/autograd.h"
#include "python/bind.h"
#include "python/devices.h"
#include "python/interchange.h"
#include "python/random.h"
#include "python/storage.h"

namespace py = pybind11;

namespace nnlib::python {

#define NNLIB_ROOM(name) void bind_##name(Binder& b);
#include "python/rooms.def"
#undef NNLIB_ROOM

namespace {

std::vector<std::string> isa_names() {
  kernels::Isa all[kernels::kIsaCount];
  const int count = kernels::available_isas(all);
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(kernels::isa_name(all[i]));
  return names;
}

const kernels::Table& named_table(const std::string& name) {
  for (int i = 0; i < kernels::kIsaCount; ++i) {
    const kernels::Table* t = kernels::table_for(kernels::Isa(i));
    if (t && name == kernels::isa_name(kernels::Isa(i))) return *t;
  }
  throw_message<ValueError>("the instruction set '", name, "' does not run here");
}

// For nnlib.bench. Without the GIL: a measurement takes as long as it was told to.
void bind_limits(py::module_& m) {
  m.def("_isas", &isa_names, "The instruction sets that run here, the best last.");
  m.def(
      "_fma_rate",
      [](const std::string& isa, int threads, double seconds) {
        const kernels::Table& table = named_table(isa);
        py::gil_scoped_release release;
        return drivers::fma_rate(table, threads, seconds);
      },
      py::arg("isa"), py::arg("threads"), py::arg("seconds"),
      "Measured float32 operations a second of multiply-adds on registers.");
  m.def(
      "_tile_rate",
      [](const std::string& isa, int threads, double seconds) {
        const kernels::Table& table = named_table(isa);
        py::gil_scoped_release release;
        return drivers::tile_rate(table, threads, seconds);
      },
      py::arg("isa"), py::arg("threads"), py::arg("seconds"),
      "Measured operations a second of products of bfloat16 on tiles; 0 without them.");
  m.def(
      "_copy_rate",
      [](const std::string& isa, int threads, int64_t bytes, bool past_caches, double seconds) {
        const kernels::Table& table = named_table(isa);
        py::gil_scoped_release release;
        return drivers::copy_rate(table, threads, bytes, past_caches, seconds);
      },
      py::arg("isa"), py::arg("threads"), py::arg("bytes"), py::arg("past_caches"), py::arg("seconds"),
      "Measured bytes a second, read and written, of copies of arrays of so many bytes.");
}

void bind_settings(py::module_& m) {
  m.def("get_num_threads", &num_threads, "Threads that an operator of this thread may use.");
  m.def("set_num_threads", &set_num_threads,
        "set_num_threads(n): the most threads that an operator may use.");
  m.def(
      "get_default_dtype", [] { return py::reinterpret_steal<py::object>(dtype_object(default_dtype())); },
      "The dtype of new floating-point tensors.");
  m.def(
      "set_default_dtype", [](py::object d) { set_default_dtype(to_dtype(d.ptr())); },
      "set_default_dtype(d): the dtype of new floating-point tensors.");
  m.def("_allocator_stats", [] {
    const AllocatorStats s = allocator_stats();
    py::dict d;
    d["allocated"] = s.allocated;
    d["peak_allocated"] = s.peak_allocated;
    d["cached"] = s.cached;
    d["system_calls"] = s.system_calls;
    return d;
  });
  m.def("_reset_peak_allocated", &reset_peak_allocated);
  m.def("_winograd", &drivers::winograd);
  m.def("_set_winograd", &drivers::set_winograd);
  m.def(
      "empty_cache",
      [] {
        drivers::drop_packed();
        empty_cache();
      },
      "Gives the memory that is kept for reuse back to the system.");
  m.def("_set_packed_limit", &drivers::set_packed_limit);
  m.def("_packed_limit", &drivers::packed_limit);
  m.def("_packed_bytes", &drivers::packed_bytes);
  m.def("_set_cache_limit", &set_cache_limit);
  m.def("_cache_limit", &cache_limit);
  m.def("_float32_matmul_precision", [] { return int(drivers::float32_matmul_precision()); });
  m.def("_set_float32_matmul_precision",
        [](int p) { drivers::set_float32_matmul_precision(drivers::MatmulPrecision(p)); });
  m.def("_always_bf16_tiles", &drivers::always_tiles);
  m.def("_set_always_bf16_tiles", &drivers::set_always_tiles);
  m.def("_bf16_tile_counts", [] {
    const drivers::TileCounts c = drivers::tile_counts();
    return py::make_tuple(c.split, c.whole);
  });
  m.def(
      "_isa", [] { return std::string(kernels::isa_name(kernels::active_isa())); },
      "The instruction set of the kernels in use.");
}

}  // namespace

}  // namespace nnlib::python

PYBIND11_MODULE(_C, m) {
  using namespace nnlib;
  using namespace nnlib::python;
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      std::rethrow_exception(p);
    } catch (const Error&) {
      set_python_error();
    }
  });
  try {
    init_types(m.ptr());
    init_bind(m.ptr());
    init_tensor_type(m.ptr());
    init_autograd(m.ptr());
    init_autocast(m.ptr());
    init_random(m.ptr());
    init_interchange(m.ptr());
    init_storage(m.ptr());
    Binder b(m.ptr());
#define NNLIB_ROOM(name) bind_##name(b);
#include "python/rooms.def"
#undef NNLIB_ROOM
  } catch (const PythonErrorSet&) {
    throw py::error_already_set();
  }
  bind_settings(m);
  init_devices(m.ptr());
  bind_limits(m);
}
