#include "python/tensor_attrs.h"

#include "autograd/function.h"
#include "core/shape.h"
#include "ops/shape.h"
#include "python/autograd.h"
#include "python/bind.h"
#include "python/interchange.h"

namespace nnlib::python {

namespace {

// ---- attributes

#define NNLIB_GETTER(name, expr)          \
  PyObject* name(PyObject* self, void*) { \
    return guarded([&]() -> PyObject* {   \
      const Tensor& t = unpack(self);     \
      (void)t;                            \
      return expr;                        \
    });                                   \
  }
NNLIB_GETTER(get_shape, size_object(t.sizes()))
NNLIB_GETTER(get_dtype, dtype_object(t.dtype()))
NNLIB_GETTER(get_device, device_object(t.device()))
NNLIB_GETTER(get_layout, layout_object(t.is_sparse()))
NNLIB_GETTER(get_ndim, PyLong_FromLongLong(t.dim()))
NNLIB_GETTER(get_itemsize, PyLong_FromSize_t(t.itemsize()))
NNLIB_GETTER(get_nbytes, PyLong_FromLongLong(t.nbytes()))
NNLIB_GETTER(get_requires_grad, PyBool_FromLong(t.requires_grad()))
NNLIB_GETTER(get_is_leaf, PyBool_FromLong(is_leaf(t)))
NNLIB_GETTER(get_grad, wrap(grad_of(t)))
NNLIB_GETTER(get_grad_fn, node_object(grad_fn(t)))
NNLIB_GETTER(get_data, wrap(data_alias(t)))
NNLIB_GETTER(get_version, PyLong_FromUnsignedLong(t.version()))
NNLIB_GETTER(get_output_nr,
             PyLong_FromUnsignedLong(t.impl()->autograd ? t.impl()->autograd->output_index : 0))
NNLIB_GETTER(get_base, is_view(t) ? wrap(t.impl()->autograd->view->base) : wrap(Tensor()))
NNLIB_GETTER(get_is_sparse, PyBool_FromLong(t.is_sparse()))
NNLIB_GETTER(get_retains_grad, PyBool_FromLong(t.impl()->autograd&& t.impl()->autograd->retains_grad))
NNLIB_GETTER(get_true, PyBool_FromLong(1))
NNLIB_GETTER(get_false, PyBool_FromLong(0))
#undef NNLIB_GETTER

const Tensor& tensor_value(PyObject* value, const char* what) {
  NNLIB_CHECK_TYPE(value && is_tensor(value), "assigned ", what, " expected to be a Tensor but got ",
                   value ? Py_TYPE(value)->tp_name : "nothing");
  return unpack(value);
}
int set_requires_grad_attr(PyObject* self, PyObject* value, void*) {
  return guarded_int([&] {
    NNLIB_CHECK_TYPE(value && PyBool_Check(value), "requires_grad must be a bool");
    set_requires_grad(unpack(self), value == Py_True);
    return 0;
  });
}
int set_grad_attr(PyObject* self, PyObject* value, void*) {
  return guarded_int([&] {
    set_grad(unpack(self), !value || value == Py_None ? Tensor() : tensor_value(value, "grad"));
    return 0;
  });
}
int set_data_attr(PyObject* self, PyObject* value, void*) {
  return guarded_int([&] {
    set_data(unpack(self), tensor_value(value, "data"));
    return 0;
  });
}

PyGetSetDef getset[] = {
    {"shape", get_shape, nullptr, "the sizes, as a Size", nullptr},
    {"dtype", get_dtype, nullptr, "the type of the elements", nullptr},
    {"device", get_device, nullptr, "where the values live", nullptr},
    {"layout", get_layout, nullptr, "strided or sparse_coo", nullptr},
    {"ndim", get_ndim, nullptr, "the number of dimensions", nullptr},
    {"itemsize", get_itemsize, nullptr, "bytes of an element", nullptr},
    {"nbytes", get_nbytes, nullptr, "bytes of all elements", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad_attr,
     "whether gradients are computed for this tensor", nullptr},
    {"is_leaf", get_is_leaf, nullptr, "whether no recorded operator computed it", nullptr},
    {"grad", get_grad, set_grad_attr, "the accumulated gradient, or None", nullptr},
    {"_grad", get_grad, set_grad_attr, "the accumulated gradient, or None", nullptr},
    {"grad_fn", get_grad_fn, nullptr, "the node that computes this tensor's gradient further, or None",
     nullptr},
    {"data", get_data, set_data_attr, "the values without history", nullptr},
    {"_version", get_version, nullptr, "how often the memory was changed in place", nullptr},
    {"output_nr", get_output_nr, nullptr, "which output of grad_fn this is", nullptr},
    {"_base", get_base, nullptr, "the tensor that this one is a view of, or None", nullptr},
    {"is_sparse", get_is_sparse, nullptr, "whether the layout is sparse_coo", nullptr},
    {"retains_grad", get_retains_grad, nullptr, "whether this non-leaf keeps its .grad", nullptr},
    {"is_cpu", get_true, nullptr, "always True", nullptr},
    {"is_cuda", get_false, nullptr, "always False", nullptr},
    {"is_meta", get_false, nullptr, "always False", nullptr},
    {"is_mkldnn", get_false, nullptr, "always False", nullptr},
    {"is_mps", get_false, nullptr, "always False", nullptr},
    {"is_nested", get_false, nullptr, "always False", nullptr},
    {"is_quantized", get_false, nullptr, "always False", nullptr},
    {"is_sparse_csr", get_false, nullptr, "always False", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

// ---- methods

Dims sizes_of(const Tensor& t) { return t.sizes(); }

PyObject* size_method(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"dim", nullptr};
  PyObject* dim = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &dim)) return nullptr;
  return guarded([&] {
    const Tensor& t = unpack(self);
    return dim == Py_None ? size_object(sizes_of(t)) : PyLong_FromLongLong(t.size(int_value(dim)));
  });
}
PyObject* stride_method(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"dim", nullptr};
  PyObject* dim = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &dim)) return nullptr;
  return guarded([&] {
    const Tensor& t = unpack(self);
    if (dim != Py_None) return PyLong_FromLongLong(t.stride(int_value(dim)));
    Object tuple = owned(PyTuple_New((Py_ssize_t)t.dim()));
    for (size_t i = 0; i < t.strides().size(); i++)
      PyTuple_SET_ITEM(tuple.get(), (Py_ssize_t)i, PyLong_FromLongLong(t.strides()[i]));
    return tuple.release();
  });
}

#define NNLIB_NOARGS(name, expr)              \
  PyObject* name(PyObject* self, PyObject*) { \
    return guarded([&]() -> PyObject* {       \
      const Tensor& t = unpack(self);         \
      (void)t;                                \
      return expr;                            \
    });                                       \
  }
NNLIB_NOARGS(dim_method, PyLong_FromLongLong(t.dim()))
NNLIB_NOARGS(numel_method, PyLong_FromLongLong(t.numel()))
NNLIB_NOARGS(element_size_method, PyLong_FromSize_t(t.itemsize()))
NNLIB_NOARGS(storage_offset_method, PyLong_FromLongLong(t.storage_offset()))
NNLIB_NOARGS(data_ptr_method,
             (t.storage()->expose(), PyLong_FromVoidPtr(t.storage()->data() ? t.raw() : nullptr)))
NNLIB_NOARGS(item_method, scalar_object(t.item()))
NNLIB_NOARGS(tolist_method, tensor_to_list(t))
NNLIB_NOARGS(is_floating_method, PyBool_FromLong(is_floating(t.dtype())))
NNLIB_NOARGS(is_complex_method, PyBool_FromLong(0))
NNLIB_NOARGS(is_signed_method, PyBool_FromLong(t.dtype() != Dtype::Bool && t.dtype() != Dtype::UInt8))
NNLIB_NOARGS(is_inference_method, PyBool_FromLong(t.impl()->inference))
NNLIB_NOARGS(is_view_method, PyBool_FromLong(is_view(t)))
NNLIB_NOARGS(detach_method, wrap(detach(t)))
NNLIB_NOARGS(retain_grad_method, (retain_grad(t), wrap(Tensor())))
NNLIB_NOARGS(bump_version_method, (t.bump_version(), wrap(Tensor())))
#undef NNLIB_NOARGS

PyObject* is_contiguous_method(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"memory_format", nullptr};
  PyObject* format = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &format)) return nullptr;
  return guarded([&] {
    return PyBool_FromLong(
        unpack(self).is_contiguous(format ? to_memory_format(format) : MemoryFormat::Contiguous));
  });
}
PyObject* numpy_method(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"force", nullptr};
  int force = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$p", const_cast<char**>(names), &force)) return nullptr;
  return guarded([&] { return tensor_to_numpy(self, force); });
}
PyObject* requires_grad_method(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"requires_grad", nullptr};
  int on = 1;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p", const_cast<char**>(names), &on)) return nullptr;
  return guarded([&] {
    set_requires_grad(unpack(self), on);
    Py_INCREF(self);
    return self;
  });
}

// to(dtype), to(device), to(device, dtype), to(other), each with non_blocking, copy and memory_format.
PyObject* to_method(PyObject* self, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = unpack(self);
    Dtype dtype = t.dtype();
    Device device = t.device();
    bool copy = false;
    std::optional<MemoryFormat> format;
    int flag = 0;  // non_blocking, then copy, by position
    auto take = [&](PyObject* o) {
      if (PyBool_Check(o)) {
        if (flag++ == 1) copy = o == Py_True;
      } else if (o == Py_None) {
      } else if (is_tensor(o)) {
        dtype = unpack(o).dtype();
        device = unpack(o).device();
      } else if (is_dtype(o)) {
        dtype = to_dtype(o);
      } else if (is_memory_format(o)) {
        format = to_memory_format(o);
      } else {
        device = to_device(o);
      }
    };
    const Py_ssize_t n = PyTuple_GET_SIZE(args);
    NNLIB_CHECK_TYPE(
        n || (kwargs && PyDict_Size(kwargs)),
        "to() received an invalid combination of arguments: a dtype, a device or a tensor is expected");
    for (Py_ssize_t i = 0; i < n; i++) take(PyTuple_GET_ITEM(args, i));
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    while (kwargs && PyDict_Next(kwargs, &pos, &key, &value)) {
      const std::string name = string_value(key);
      if (name == "copy")
        copy = PyObject_IsTrue(value);
      else if (name == "dtype" || name == "device" || name == "other" || name == "memory_format" ||
               name == "tensor")
        take(value);
      else
        NNLIB_CHECK_TYPE(name == "non_blocking", "to() got an unexpected keyword argument '", name, "'");
    }
    if (format && *format == MemoryFormat::Preserve) format.reset();
    const bool same_format = !format || t.is_contiguous(*format);
    if (dtype == t.dtype() && device == t.device() && same_format && !copy) {
      Py_INCREF(self);
      return self;
    }
    Tensor r;
    {
      GilRelease nogil;
      if (device != t.device()) {
        r = basic_ops().to_device(dtype == t.dtype() ? t : basic_ops().cast(t, dtype), device);
      } else {
        DeviceScope scope(device);
        r = dtype == t.dtype() ? (same_format || copy ? basic_ops().clone(t) : t)
                               : basic_ops().cast(t, dtype);
      }
      if (!same_format) r = ops::clone(r, format);
    }
    return wrap(r);
  });
}

PyObject* make_subclass(PyObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"cls", "data", "require_grad", nullptr};
  PyObject *cls, *data;
  int on = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|p", const_cast<char**>(names), &cls, &data, &on))
    return nullptr;
  return guarded([&] {
    NNLIB_CHECK_TYPE(PyType_Check(cls) && PyType_IsSubtype((PyTypeObject*)cls, &TensorBaseType),
                     "cls must be a type that derives from Tensor");
    NNLIB_CHECK_TYPE(is_tensor(data), "_make_subclass: expected a Tensor, got ", Py_TYPE(data)->tp_name);
    Tensor t = detach(unpack(data));
    if (on) set_requires_grad(t, true);
    return wrap_as((PyTypeObject*)cls, t);
  });
}

PyObject* is_same_size_method(PyObject* self, PyObject* other) {
  return guarded(
      [&] { return PyBool_FromLong(unpack(self).sizes() == tensor_value(other, "other").sizes()); });
}
PyObject* is_set_to_method(PyObject* self, PyObject* other) {
  return guarded([&] {
    const Tensor &a = unpack(self), &b = tensor_value(other, "tensor");
    return PyBool_FromLong(a.storage() == b.storage() && a.storage_offset() == b.storage_offset() &&
                           a.sizes() == b.sizes() && a.strides() == b.strides());
  });
}

#define NNLIB_KW(f) (PyCFunction)(void (*)()) f, METH_VARARGS | METH_KEYWORDS
PyMethodDef methods[] = {
    {"size", NNLIB_KW(size_method), "size(dim=None): the sizes, or that of one dimension."},
    {"stride", NNLIB_KW(stride_method), "stride(dim=None): elements between neighbours of a dimension."},
    {"dim", dim_method, METH_NOARGS, "The number of dimensions."},
    {"ndimension", dim_method, METH_NOARGS, "The number of dimensions."},
    {"numel", numel_method, METH_NOARGS, "The number of elements."},
    {"nelement", numel_method, METH_NOARGS, "The number of elements."},
    {"element_size", element_size_method, METH_NOARGS, "Bytes of an element."},
    {"storage_offset", storage_offset_method, METH_NOARGS,
     "Elements between the storage's start and the first element."},
    {"data_ptr", data_ptr_method, METH_NOARGS, "The address of the first element."},
    {"item", item_method, METH_NOARGS, "The value of a tensor of one element as a Python number."},
    {"tolist", tolist_method, METH_NOARGS, "The values as nested lists of Python numbers."},
    {"is_floating_point", is_floating_method, METH_NOARGS, "Whether the dtype is a floating-point type."},
    {"is_complex", is_complex_method, METH_NOARGS, "Always False."},
    {"is_conj", is_complex_method, METH_NOARGS, "Always False."},
    {"is_neg", is_complex_method, METH_NOARGS, "Always False."},
    {"is_signed", is_signed_method, METH_NOARGS, "Whether the dtype holds negative numbers."},
    {"is_inference", is_inference_method, METH_NOARGS, "Whether it was made under inference_mode."},
    {"_is_view", is_view_method, METH_NOARGS, "Whether it is a view of another tensor."},
    {"detach", detach_method, METH_NOARGS, "The same memory without history."},
    {"retain_grad", retain_grad_method, METH_NOARGS, "Keeps the gradient of a non-leaf in .grad."},
    {"_bump_version", bump_version_method, METH_NOARGS, "Counts an in-place change that was made outside."},
    {"is_contiguous", NNLIB_KW(is_contiguous_method), "is_contiguous(memory_format=contiguous_format)"},
    {"numpy", NNLIB_KW(numpy_method),
     "numpy(*, force=False): a NumPy array on the same memory. RuntimeError when it requires grad."},
    {"requires_grad_", NNLIB_KW(requires_grad_method),
     "requires_grad_(requires_grad=True): sets the flag and returns the tensor."},
    {"to", NNLIB_KW(to_method),
     "to(dtype | device | other, ...): the tensor in another type; itself when nothing changes."},
    {"_make_subclass", (PyCFunction)(void (*)())make_subclass, METH_VARARGS | METH_KEYWORDS | METH_STATIC,
     "_make_subclass(cls, data, require_grad=False)"},
    {"is_same_size", is_same_size_method, METH_O, "Whether the sizes are equal."},
    {"is_set_to", is_set_to_method, METH_O, "Whether both describe the same part of the same storage."},
    {nullptr, nullptr, 0, nullptr}};
#undef NNLIB_KW

}  // namespace

void add_tensor_attrs(PyTypeObject* type) {
  for (PyGetSetDef* g = getset; g->name; g++) {
    Object d = owned(PyDescr_NewGetSet(type, g));
    PyDict_SetItemString(type->tp_dict, g->name, d.get());
  }
  for (PyMethodDef* m = methods; m->ml_name; m++) {
    Object d = m->ml_flags & METH_STATIC ? owned(PyStaticMethod_New(owned(PyCFunction_New(m, nullptr)).get()))
                                         : owned(PyDescr_NewMethod(type, m));
    PyDict_SetItemString(type->tp_dict, m->ml_name, d.get());
  }
  PyType_Modified(type);
}

}  // namespace nnlib::python
