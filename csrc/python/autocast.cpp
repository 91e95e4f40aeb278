#include "python/autocast.h"

#include <sstream>
#include <unordered_map>

#include "python/types.h"

namespace nnlib::python {

namespace {

// ---- which operator

// pad(input, pad, mode, value): PyTorch lists reflection over one and two dimensions, and replication.
CastPolicy pad_policy(PyObject* const* slots) {
  const std::string mode = string_value(slots[2]);
  const size_t numbers = PySequence_Check(slots[1]) ? size_t(PySequence_Size(slots[1])) : 1;
  return mode == "replicate" || (mode == "reflect" && numbers <= 4) ? CastPolicy::Float32 : CastPolicy::None;
}
// einsum(equation, operands): of one operand nothing is multiplied.
CastPolicy einsum_policy(PyObject* const* slots) {
  return PySequence_Size(slots[1]) > 1 ? CastPolicy::Lower : CastPolicy::None;
}
// tensordot(input, other, dims, dims): nothing is left of either where all is summed over, as in a product by
// elements.
CastPolicy tensordot_policy(PyObject* const* slots) {
  const int64_t dims = PySequence_Check(slots[2]) ? PySequence_Size(slots[2]) : 1;
  const bool all = dims == unpack(slots[0]).dim() && dims == unpack(slots[1]).dim();
  return all ? CastPolicy::None : CastPolicy::Lower;
}
// inner(input, other): of two vectors that is such a sum, with a number a product by elements.
CastPolicy inner_policy(PyObject* const* slots) {
  const int64_t a = unpack(slots[0]).dim(), b = unpack(slots[1]).dim();
  return a == 0 || b == 0 || a + b == 2 ? CastPolicy::None : CastPolicy::Lower;
}
// matrix_power(input, n): an inverse and its powers are taken in float32.
CastPolicy power_policy(PyObject* const* slots) {
  const int64_t n = int_value(slots[1]);
  return n > 1 ? CastPolicy::Lower : n < 0 ? CastPolicy::Float32 : CastPolicy::None;
}
// local_response_norm(input, ...) is a three-dimensional pooling of images and volumes.
CastPolicy response_policy(PyObject* const* slots) {
  return unpack(slots[0]).dim() > 3 ? CastPolicy::Float32 : CastPolicy::None;
}

// Recurrent layers that PyTorch computes step by step, with arguments (input, hx, ...) or (data, batch_sizes,
// hx, ...): a float32 state stays one.
CastPolicy state_policy(PyObject* const* slots) {
  PyObject* hx = is_tensor(slots[1]) && !is_floating(unpack(slots[1]).dtype()) ? slots[2] : slots[1];
  if (PyList_Check(hx) || PyTuple_Check(hx)) {
    if (PySequence_Fast_GET_SIZE(hx) == 0) return CastPolicy::None;
    hx = PySequence_Fast_GET_ITEM(hx, 0);
  }
  const bool wide = is_tensor(hx) && unpack(hx).dtype() == Dtype::Float32;
  return wide ? CastPolicy::Float32 : CastPolicy::Lower;
}

// PyTorch's lists for CPUs (aten/src/ATen/autocast_mode.cpp), under the names that operators have here.
const std::unordered_map<std::string, CastRule>& cast_rules() {
  static const auto* const rules = [] {
    auto* r = new std::unordered_map<std::string, CastRule>;
    const auto all = [&](CastRule rule, const char* names) {
      std::istringstream words(names);
      for (std::string name; words >> name;) (*r)[name] = rule;
    };
    all({CastPolicy::Lower},
        "conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d mm bmm matmul "
        "__matmul__ linear addmm addbmm baddbmm chain_matmul linalg_multi_dot "
        "affine_grid_generator prelu scaled_dot_product_attention _masked_attention lstm rnn_tanh rnn_relu "
        "rnn_tanh_cell "
        "rnn_relu_cell");
    all({CastPolicy::Lower, einsum_policy}, "einsum");
    all({CastPolicy::Lower, tensordot_policy}, "tensordot");
    all({CastPolicy::Lower, inner_policy}, "inner");
    all({CastPolicy::Lower, power_policy}, "matrix_power linalg_matrix_power");
    all({CastPolicy::Lower, state_policy}, "gru gru_cell lstm_cell lstm_packed");
    all({CastPolicy::Float32},
        "adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d max_pool3d max_unpool2d max_unpool3d "
        "fractional_max_pool2d fractional_max_pool3d grid_sample cdist prod quantile nanquantile trace "
        "binary_cross_entropy binary_cross_entropy_with_logits cross_entropy huber_loss kl_div l1_loss "
        "mse_loss nll_loss smooth_l1_loss cholesky inverse linalg_cholesky linalg_eigh linalg_inv linalg_qr "
        "linalg_solve linalg_svd linalg_svdvals");
    all({CastPolicy::Float32, pad_policy}, "pad");
    all({CastPolicy::Float32, response_policy}, "local_response_norm");
    all({CastPolicy::Promote}, "cat concat concatenate stack index_copy");
    return r;
  }();
  return *rules;
}

// ---- casting arguments

template <class F>
void for_each_tensor(const Overload& o, PyObject* const* slots, F f) {
  for (size_t i = 0; i < o.params.size(); ++i) {
    if (!slots[i]) continue;
    if (is_tensor(slots[i])) {
      f(unpack(slots[i]));
    } else if (o.params[i].kind == Kind::Tensors && (PyList_Check(slots[i]) || PyTuple_Check(slots[i]))) {
      PyObject** items = PySequence_Fast_ITEMS(slots[i]);
      for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(slots[i]); ++k) {
        if (is_tensor(items[k])) f(unpack(items[k]));
      }
    }
  }
}

// The type that the call's tensors are cast to; false where they stay as they are.
bool cast_target(const Overload& o, PyObject* const* slots, Dtype* to) {
  const CastPolicy policy = o.cast_rule.choose ? o.cast_rule.choose(slots) : o.cast_rule.policy;
  if (policy == CastPolicy::None) return false;
  *to = policy == CastPolicy::Lower ? autocast_dtype() : Dtype::Float32;
  if (policy != CastPolicy::Promote) return true;
  bool wide = false;
  for_each_tensor(o, slots, [&](const Tensor& t) {
    wide = wide || (autocast_eligible(t) && t.dtype() == Dtype::Float32);
  });
  return wide;
}

Object cast_object(PyObject* o, Dtype to) {
  if (!is_tensor(o)) return Object::borrow(o);
  const Tensor& t = unpack(o);
  if (!autocast_eligible(t) || t.dtype() == to) return Object::borrow(o);
  const auto cast = [&] {
    GilRelease nogil;
    return autocast_to(t, to);
  };
  return owned(wrap(cast()));
}

Object cast_list(PyObject* o, Dtype to) {
  Object list = owned(PySequence_List(o));
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.get()); ++i) {
    Object item = cast_object(PyList_GET_ITEM(list.get(), i), to);
    PyList_SetItem(list.get(), i, item.release());
  }
  return list;
}

// ---- the switches

AutocastDevice device_of(PyObject* o, const char* function, int position) {
  NNLIB_CHECK_TYPE(PyUnicode_Check(o), function, "(): argument 'device_type' (position ", position,
                   ") must be str, not ", Py_TYPE(o)->tp_name);
  const std::string name = string_value(o);
  if (name == "cpu") return AutocastDevice::Cpu;
  NNLIB_CHECK(name == "cuda", "Expected one of cpu, cuda device type at start of device string: ", name);
  return AutocastDevice::Cuda;
}
auto& switches_of(AutocastDevice d) { return t_autocast.device[int(d)]; }

bool bool_of(PyObject* o, const char* function, int position) {
  NNLIB_CHECK_TYPE(PyBool_Check(o), function, "(): argument 'enabled' (position ", position,
                   ") must be bool, not ", Py_TYPE(o)->tp_name);
  return o == Py_True;
}

void check_arguments(const char* function, Py_ssize_t n, Py_ssize_t least, Py_ssize_t most) {
  NNLIB_CHECK_TYPE(n >= least && n <= most, function, "() takes ", least == most ? "" : "up to ", most,
                   " positional arguments, got ", n);
}

// Without a device type the older functions mean CUDA.
PyObject* is_enabled(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&] {
    check_arguments("is_autocast_enabled", n, 0, 1);
    const AutocastDevice d = n ? device_of(args[0], "is_autocast_enabled", 1) : AutocastDevice::Cuda;
    return PyBool_FromLong(switches_of(d).enabled);
  });
}
PyObject* set_enabled(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    check_arguments("set_autocast_enabled", n, 1, 2);
    const AutocastDevice d = n == 2 ? device_of(args[0], "set_autocast_enabled", 1) : AutocastDevice::Cuda;
    switches_of(d).enabled = bool_of(args[n - 1], "set_autocast_enabled", int(n));
    Py_RETURN_NONE;
  });
}
PyObject* get_dtype(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&] {
    check_arguments("get_autocast_dtype", n, 1, 1);
    return dtype_object(switches_of(device_of(args[0], "get_autocast_dtype", 1)).dtype);
  });
}
PyObject* set_dtype(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    check_arguments("set_autocast_dtype", n, 2, 2);
    const AutocastDevice d = device_of(args[0], "set_autocast_dtype", 1);
    NNLIB_CHECK_TYPE(is_dtype(args[1]),
                     "set_autocast_dtype(): argument 'dtype' (position 2) must be torch.dtype, not ",
                     Py_TYPE(args[1])->tp_name);
    switches_of(d).dtype = to_dtype(args[1]);
    Py_RETURN_NONE;
  });
}
PyObject* is_available(PyObject*, PyObject* device) {
  return guarded([&] {
    device_of(device, "_is_autocast_available", 1);
    Py_RETURN_TRUE;
  });
}
PyObject* is_cache_enabled(PyObject*, PyObject*) { return PyBool_FromLong(t_autocast.cache_enabled); }
PyObject* set_cache_enabled(PyObject*, PyObject* on) {
  if (!PyBool_Check(on))
    return PyErr_Format(PyExc_TypeError, "enabled must be a bool (got %s)", Py_TYPE(on)->tp_name);
  t_autocast.cache_enabled = on == Py_True;
  Py_RETURN_NONE;
}
PyObject* increment_nesting(PyObject*, PyObject*) { return PyLong_FromLongLong(++t_autocast.nesting); }
PyObject* decrement_nesting(PyObject*, PyObject*) { return PyLong_FromLongLong(--t_autocast.nesting); }
PyObject* clear_cache(PyObject*, PyObject*) {
  return guarded([]() -> PyObject* {
    clear_autocast_cache();
    Py_RETURN_NONE;
  });
}

#define NNLIB_FAST(f) (PyCFunction)(void (*)()) f, METH_FASTCALL
PyMethodDef functions[] = {
    {"is_autocast_enabled", NNLIB_FAST(is_enabled),
     "is_autocast_enabled(device_type='cuda'): whether this thread is in an autocast region of the device "
     "type."},
    {"set_autocast_enabled", NNLIB_FAST(set_enabled),
     "set_autocast_enabled(device_type, enabled): switches autocast on this thread; nnlib.autocast also "
     "switches back."},
    {"get_autocast_dtype", NNLIB_FAST(get_dtype),
     "get_autocast_dtype(device_type): the 16-bit type of autocast; bfloat16 for 'cpu' unless it was set."},
    {"set_autocast_dtype", NNLIB_FAST(set_dtype),
     "set_autocast_dtype(device_type, dtype): the 16-bit type of autocast on this thread."},
    {"_is_autocast_available", is_available, METH_O, nullptr},
    {"is_autocast_cache_enabled", is_cache_enabled, METH_NOARGS, "Whether the casts of weights are kept."},
    {"set_autocast_cache_enabled", set_cache_enabled, METH_O,
     "set_autocast_cache_enabled(enabled): whether the casts of weights are kept, on this thread."},
    {"autocast_increment_nesting", increment_nesting, METH_NOARGS,
     "Enters a region; gives how many this thread is in."},
    {"autocast_decrement_nesting", decrement_nesting, METH_NOARGS,
     "Leaves a region; gives how many this thread is in."},
    {"clear_autocast_cache", clear_cache, METH_NOARGS, "Forgets the casts of weights that are kept."},
    {nullptr, nullptr, 0, nullptr}};
#undef NNLIB_FAST

}  // namespace

CastRule cast_rule(const std::string& name, const Overload& o) {
  // PyTorch computes an LSTM of padded sequences as a whole, of packed ones step by step.
  const bool packed = name == "lstm" && o.params.size() > 1 && o.params[1].name == "batch_sizes";
  const auto it = cast_rules().find(packed ? "lstm_packed" : name);
  return it == cast_rules().end() ? CastRule{} : it->second;
}

PyObject* invoke_autocast(const Overload& o, PyObject** slots) {
  Dtype to;
  if (!cast_target(o, slots, &to)) return o.invoke(o, slots);
  std::vector<Object> held(o.params.size());
  for (size_t i = 0; i < o.params.size(); ++i) {
    if (!slots[i]) continue;
    const bool list =
        o.params[i].kind == Kind::Tensors && (PyList_Check(slots[i]) || PyTuple_Check(slots[i]));
    held[i] = list ? cast_list(slots[i], to) : cast_object(slots[i], to);
    slots[i] = held[i].get();
  }
  return o.invoke(o, slots);
}

void init_autocast(PyObject* module) { PyModule_AddFunctions(module, functions); }

}  // namespace nnlib::python
