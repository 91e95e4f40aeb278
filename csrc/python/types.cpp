#include "python/types.h"

#include <cstdlib>
#include <cstring>
#include <limits>

namespace nnlib::python {

namespace {

// dtype, layout and memory_format are all a closed set of named constants.
struct Constant {
  PyObject_HEAD int value;
  const char* name;
};

// As PyTorch prints: programs say `import nnlib as torch`, and their expected output says torch.float32.
PyObject* constant_repr(PyObject* self) { return PyUnicode_FromFormat("torch.%s", ((Constant*)self)->name); }
// Constants are singletons: pickling and copying give the same object back.
PyObject* constant_reduce(PyObject* self, PyObject*) { return PyUnicode_FromString(((Constant*)self)->name); }

PyMethodDef constant_methods[] = {{"__reduce__", constant_reduce, METH_NOARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};

Dtype value_of(PyObject* self) { return (Dtype)((Constant*)self)->value; }
PyObject* dtype_is_floating(PyObject* self, void*) { return PyBool_FromLong(is_floating(value_of(self))); }
PyObject* dtype_is_complex(PyObject*, void*) { Py_RETURN_FALSE; }
PyObject* dtype_is_signed(PyObject* self, void*) {
  return PyBool_FromLong(value_of(self) != Dtype::Bool && value_of(self) != Dtype::UInt8);
}
PyObject* dtype_itemsize(PyObject* self, void*) { return PyLong_FromSize_t(itemsize(value_of(self))); }
PyGetSetDef dtype_getset[] = {
    {"is_floating_point", dtype_is_floating, nullptr, "whether it is a floating-point type", nullptr},
    {"is_complex", dtype_is_complex, nullptr, "always False: there are no complex types", nullptr},
    {"is_signed", dtype_is_signed, nullptr, "whether it holds negative numbers", nullptr},
    {"itemsize", dtype_itemsize, nullptr, "bytes of an element", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyTypeObject make_constant_type(const char* name, const char* doc, PyGetSetDef* getset) {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = name;
  t.tp_basicsize = sizeof(Constant);
  t.tp_flags = Py_TPFLAGS_DEFAULT;
  t.tp_doc = doc;
  t.tp_repr = constant_repr;
  t.tp_methods = constant_methods;
  t.tp_getset = getset;
  return t;
}

PyTypeObject DtypeType = make_constant_type("nnlib.dtype", "The type of a tensor's elements.", dtype_getset);
PyTypeObject LayoutType = make_constant_type("nnlib.layout", "How a tensor's values lie in memory.", nullptr);
PyTypeObject FormatType =
    make_constant_type("nnlib.memory_format", "The order of a tensor's dimensions in memory.", nullptr);

PyObject* g_dtypes[kNumDtypes];
PyObject* g_layouts[2];
PyObject* g_formats[4];

PyObject* make_constant(PyTypeObject* type, int value, const char* name) {
  Constant* c = PyObject_New(Constant, type);
  c->value = value;
  c->name = name;
  return (PyObject*)c;
}

// ---- device

struct DeviceObject {
  PyObject_HEAD Device device;
};

std::string device_text(Device d) { return d.index < 0 ? "cpu" : concat("cpu:", d.index); }

PyObject* device_repr(PyObject* self) {
  Device d = ((DeviceObject*)self)->device;
  return d.index < 0 ? PyUnicode_FromString("device(type='cpu')")
                     : PyUnicode_FromFormat("device(type='cpu', index=%d)", (int)d.index);
}
PyObject* device_str(PyObject* self) {
  return PyUnicode_FromString(device_text(((DeviceObject*)self)->device).c_str());
}
Py_hash_t device_hash(PyObject* self) { return ((DeviceObject*)self)->device.index + 7; }
PyObject* device_compare(PyObject* a, PyObject* b, int op) {
  if (!is_device(b) || (op != Py_EQ && op != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  const bool same = ((DeviceObject*)a)->device == ((DeviceObject*)b)->device;
  return PyBool_FromLong(same == (op == Py_EQ));
}
PyObject* device_type(PyObject*, void*) { return PyUnicode_FromString("cpu"); }
PyObject* device_index(PyObject* self, void*) {
  int i = ((DeviceObject*)self)->device.index;
  if (i < 0) Py_RETURN_NONE;
  return PyLong_FromLong(i);
}
PyObject* device_reduce(PyObject* self, PyObject*) {
  return Py_BuildValue("(O(s))", Py_TYPE(self), device_text(((DeviceObject*)self)->device).c_str());
}
PyObject* device_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"device", "index", nullptr};
  PyObject *o, *index = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O", const_cast<char**>(names), &o, &index))
    return nullptr;
  return guarded([&] {
    Device d = to_device(o);
    if (index && index != Py_None) {
      NNLIB_CHECK(
          d.index < 0,
          "type (string) must not include an index because index was passed explicitly: ", device_text(d));
      const long i = PyLong_AsLong(index);
      if (i == -1 && PyErr_Occurred()) throw PythonErrorSet();
      NNLIB_CHECK(i >= 0 && i < 32768, "a device's index must be between 0 and 32767, got ", i);
      d.index = (int16_t)i;
    }
    return device_object(d);
  });
}
PyMethodDef device_methods[] = {{"__reduce__", device_reduce, METH_NOARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyGetSetDef device_getset[] = {
    {"type", device_type, nullptr, "always 'cpu'", nullptr},
    {"index", device_index, nullptr, "the number of the share of cores, or None", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyTypeObject make_device_type() {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = "nnlib.device";
  t.tp_basicsize = sizeof(DeviceObject);
  t.tp_flags = Py_TPFLAGS_DEFAULT;
  t.tp_doc =
      "device(device, index=None): where a tensor's values live: \"cpu\", or \"cpu:0\", \"cpu:1\", ... for "
      "shares of its cores.";
  t.tp_repr = device_repr;
  t.tp_str = device_str;
  t.tp_hash = device_hash;
  t.tp_richcompare = device_compare;
  t.tp_methods = device_methods;
  t.tp_getset = device_getset;
  t.tp_new = device_new;
  return t;
}
PyTypeObject DeviceType = make_device_type();

PyObject* g_size_class = nullptr;  // nnlib._size.Size, a tuple

PyObject* set_size_class(PyObject*, PyObject* cls) {
  Py_INCREF(cls);
  Py_XSETREF(g_size_class, cls);
  Py_RETURN_NONE;
}
PyMethodDef g_functions[] = {{"_set_size_class", set_size_class, METH_O, nullptr},
                             {nullptr, nullptr, 0, nullptr}};

void add_type(PyObject* module, const char* name, PyTypeObject* t) {
  if (PyType_Ready(t) < 0) throw PythonErrorSet();
  Py_INCREF(t);
  PyModule_AddObject(module, name, (PyObject*)t);
}

}  // namespace

void init_types(PyObject* module) {
  add_type(module, "dtype", &DtypeType);
  add_type(module, "layout", &LayoutType);
  add_type(module, "memory_format", &FormatType);
  add_type(module, "device", &DeviceType);
  for (int i = 0; i < kNumDtypes; i++) {
    g_dtypes[i] = make_constant(&DtypeType, i, dtype_name((Dtype)i));
    PyObject_SetAttrString(module, dtype_name((Dtype)i), g_dtypes[i]);
  }
  const std::pair<const char*, Dtype> aliases[] = {{"float", Dtype::Float32}, {"double", Dtype::Float64},
                                                   {"half", Dtype::Float16},  {"long", Dtype::Int64},
                                                   {"int", Dtype::Int32},     {"short", Dtype::Int16}};
  for (auto& [name, d] : aliases) PyObject_SetAttrString(module, name, g_dtypes[(int)d]);
  g_layouts[0] = make_constant(&LayoutType, 0, "strided");
  g_layouts[1] = make_constant(&LayoutType, 1, "sparse_coo");
  for (PyObject* o : g_layouts) PyObject_SetAttrString(module, ((Constant*)o)->name, o);
  const char* formats[] = {"contiguous_format", "preserve_format", "channels_last", "channels_last_3d"};
  for (int i = 0; i < 4; i++) {
    g_formats[i] = make_constant(&FormatType, i, formats[i]);
    PyObject_SetAttrString(module, formats[i], g_formats[i]);
  }
  PyModule_AddFunctions(module, g_functions);
}

PyObject* dtype_object(Dtype d) {
  PyObject* o = g_dtypes[(int)d];
  Py_INCREF(o);
  return o;
}
bool is_dtype(PyObject* o) {
  return Py_TYPE(o) == &DtypeType || o == (PyObject*)&PyFloat_Type || o == (PyObject*)&PyLong_Type ||
         o == (PyObject*)&PyBool_Type;
}
Dtype to_dtype(PyObject* o) {
  if (Py_TYPE(o) == &DtypeType) return value_of(o);
  if (o == (PyObject*)&PyFloat_Type) return default_dtype();
  if (o == (PyObject*)&PyLong_Type) return Dtype::Int64;
  if (o == (PyObject*)&PyBool_Type) return Dtype::Bool;
  throw_message<TypeError>("expected a dtype, got ", Py_TYPE(o)->tp_name);
}

PyObject* device_object(Device d) {
  DeviceObject* o = PyObject_New(DeviceObject, &DeviceType);
  if (o) o->device = d;
  return (PyObject*)o;
}
bool is_device(PyObject* o) { return Py_TYPE(o) == &DeviceType; }
bool is_device_like(PyObject* o) { return is_device(o) || PyUnicode_Check(o); }
Device to_device(PyObject* o) {
  if (is_device(o)) return ((DeviceObject*)o)->device;
  if (PyLong_Check(o) && !PyBool_Check(o)) {
    const long i = PyLong_AsLong(o);
    if (i == -1 && PyErr_Occurred()) throw PythonErrorSet();
    NNLIB_CHECK(i >= 0 && i < 32768, "a device's index must be between 0 and 32767, got ", i);
    return Device{(int16_t)i};
  }
  NNLIB_CHECK_TYPE(PyUnicode_Check(o), "expected a device, a string or a number, got ", Py_TYPE(o)->tp_name);
  const char* s = PyUnicode_AsUTF8(o);
  if (!s) throw PythonErrorSet();
  if (!std::strcmp(s, "cpu")) return Device{};
  NNLIB_CHECK(!std::strncmp(s, "cpu:", 4), "Expected one of cpu, cpu:0, cpu:1, ... as device, got '", s,
              "': nnlib runs on CPUs only");
  char* end = nullptr;
  const long i = std::strtol(s + 4, &end, 10);
  NNLIB_CHECK(s[4] && !*end && i >= 0 && i < 32768, "Invalid device string: '", s, "'");
  return Device{(int16_t)i};
}

PyObject* memory_format_object(MemoryFormat f) {
  PyObject* o = g_formats[(int)f];
  Py_INCREF(o);
  return o;
}
bool is_memory_format(PyObject* o) { return Py_TYPE(o) == &FormatType; }
MemoryFormat to_memory_format(PyObject* o) {
  NNLIB_CHECK_TYPE(is_memory_format(o), "expected a memory_format, got ", Py_TYPE(o)->tp_name);
  return (MemoryFormat)((Constant*)o)->value;
}
PyObject* layout_object(bool sparse) {
  PyObject* o = g_layouts[sparse];
  Py_INCREF(o);
  return o;
}
bool is_layout(PyObject* o) { return Py_TYPE(o) == &LayoutType; }
bool is_sparse_layout(PyObject* o) { return o == g_layouts[1]; }

PyObject* size_object(const Dims& d) {
  Object t = owned(PyTuple_New((Py_ssize_t)d.size()));
  for (size_t i = 0; i < d.size(); i++) PyTuple_SET_ITEM(t.get(), (Py_ssize_t)i, PyLong_FromLongLong(d[i]));
  if (!g_size_class) return t.release();
  // tuple's own constructor: Size adds methods only.
  Object args = owned(PyTuple_Pack(1, t.get()));
  return checked(PyTuple_Type.tp_new((PyTypeObject*)g_size_class, args.get(), nullptr));
}

}  // namespace nnlib::python
