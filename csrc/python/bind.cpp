// The callable that stands for an operator in Python, its signatures, and the choice among its overloads.
#include "python/bind.h"

#include <cstring>
#include <map>
#include <set>

#include "autograd/function.h"
#include "ops/sparse.h"
#include "python/autocast.h"
#include "python/devices.h"
#include "python/older_order.h"
#include "python/signature.h"

namespace nnlib::python {

namespace {

struct Op {
  PyObject_HEAD vectorcallfunc vectorcall;
  std::vector<Overload>* overloads;
  std::string* name;
  std::string* doc;
  bool method, inplace;
};

constexpr size_t kMaxSlots = 24;

// Why the arguments do not fit an overload; empty when they do. Fills one slot per parameter (borrowed; null
// where the caller gave nothing).
struct Match {
  PyObject* slots[kMaxSlots];
  Object packed;  // the tuple made of loose integers
  PyObject* out = nullptr;
};

bool match(const Overload& o, PyObject* const* args, size_t n, PyObject* kwnames, Match* m,
           std::string* why) {
  const size_t count = o.params.size();
  std::fill(m->slots, m->slots + count, nullptr);
  m->out = nullptr;
  static const Param loose{"", Kind::Int};
  if (o.var_ints && o.positional >= 1 &&
      (n > (size_t)o.positional || (n == (size_t)o.positional && accepts(loose, args[n - 1])))) {
    // view(2, 3): the integers from the list parameter on are one list.
    const size_t first = (size_t)o.positional - 1;
    for (size_t i = first; i < n; i++)
      if (!accepts(loose, args[i])) {
        if (why) *why = concat("got ", n, " positional arguments, at most ", o.positional, " are taken");
        return false;
      }
    m->packed = owned(PyTuple_New((Py_ssize_t)(n - first)));
    for (size_t i = first; i < n; i++) {
      Py_INCREF(args[i]);
      PyTuple_SET_ITEM(m->packed.get(), (Py_ssize_t)(i - first), args[i]);
    }
    for (size_t i = 0; i < first; i++) m->slots[i] = args[i];
    m->slots[first] = m->packed.get();
  } else {
    if (n > (size_t)o.positional) {
      if (why) *why = concat("takes at most ", o.positional, " positional arguments (", n, " given)");
      return false;
    }
    for (size_t i = 0; i < n; i++) m->slots[i] = args[i];
  }
  if (kwnames) {
    const Py_ssize_t nk = PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t k = 0; k < nk; k++) {
      PyObject* key = PyTuple_GET_ITEM(kwnames, k);
      size_t i = 0;
      while (i < count && o.params[i].name_object != key) i++;
      if (i == count)
        for (i = 0; i < count && PyUnicode_Compare(o.params[i].name_object, key) != 0;) i++;
      if (i == count && PyUnicode_CompareWithASCIIString(key, "self") == 0 && count) i = 0;
      if (i == count && (o.flags & kOut) && PyUnicode_CompareWithASCIIString(key, "out") == 0) {
        m->out = args[n + (size_t)k];
        continue;
      }
      if (i == count) {
        // NumPy's words for two common parameters.
        const char* other = PyUnicode_CompareWithASCIIString(key, "axis") == 0       ? "dim"
                            : PyUnicode_CompareWithASCIIString(key, "keepdims") == 0 ? "keepdim"
                            : PyUnicode_CompareWithASCIIString(key, "x") == 0        ? "input"
                                                                                     : nullptr;
        if (other)
          for (i = 0; i < count && o.params[i].name != other;) i++;
      }
      if (i == count) {
        if (why) *why = concat("got an unexpected keyword argument '", PyUnicode_AsUTF8(key), "'");
        return false;
      }
      if (m->slots[i]) {
        if (why) *why = concat("got multiple values for argument '", o.params[i].name, "'");
        return false;
      }
      m->slots[i] = args[n + (size_t)k];
    }
  }
  for (size_t i = 0; i < count; i++) {
    const Param& p = o.params[i];
    if (!m->slots[i]) {
      if (!p.has_default) {
        if (why) *why = concat("missing required argument '", p.name, "' (pos ", i + 1, ")");
        return false;
      }
      m->slots[i] = p.default_value;
    } else if (!(p.kind <= Kind::Operand && is_tensor(m->slots[i])) && !accepts(p, m->slots[i])) {
      if (why)
        *why = concat("argument '", p.name, "' (position ", i + 1, ") must be ", kind_name(p), ", not ",
                      Py_TYPE(m->slots[i])->tp_name);
      return false;
    }
  }
  if ((o.flags & kOneTensor) && count >= 2 && !is_tensor(m->slots[0]) && !is_tensor(m->slots[1])) {
    if (why) *why = concat("one of '", o.params[0].name, "' and '", o.params[1].name, "' must be Tensor");
    return false;
  }
  return true;
}

bool share_memory(const Tensor& a, const Tensor& b) {
  if (a.is_sparse() || b.is_sparse()) return true;
  const auto begin = [](const Tensor& t) { return reinterpret_cast<uintptr_t>(t.storage()->data()); };
  const auto end = [&](const Tensor& t) { return begin(t) + t.storage()->nbytes(); };
  return begin(a) < end(b) && begin(b) < end(a);
}

// The value of out=: the result is copied there unless it was computed there; an empty tensor takes the
// result's sizes.
PyObject* store_out(PyObject* result, PyObject* out) {
  Object r = Object::steal(result);
  if (PyTuple_Check(out) && PyTuple_Check(r.get())) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(out) && i < PyTuple_GET_SIZE(r.get()); i++) {
      PyObject* item = PyTuple_GET_ITEM(r.get(), i);
      Py_INCREF(item);
      Object done = Object::steal(store_out(item, PyTuple_GET_ITEM(out, i)));
    }
    Py_INCREF(out);
    return out;
  }
  NNLIB_CHECK_TYPE(is_tensor(out) && is_tensor(r.get()), "argument 'out' must be Tensor, not ",
                   Py_TYPE(out)->tp_name);
  const Tensor &t = unpack(out), &v = unpack(r.get());
  NNLIB_CHECK(!t.requires_grad() || !GradMode::enabled(),
              "functions with out=... arguments don't support automatic differentiation, but one of the "
              "arguments requires grad.");
  NNLIB_CHECK(!v.requires_grad(),
              "functions with out=... arguments don't support automatic differentiation, but one of the "
              "arguments requires grad.");
  NNLIB_CHECK(can_cast(v.dtype(), t.dtype()), "result type ", dtype_legacy_name(v.dtype()),
              " can't be cast to the desired output type ", dtype_legacy_name(t.dtype()));
  if (t.sizes() != v.sizes()) {
    if (t.numel() != 0 &&
        PyErr_WarnFormat(PyExc_UserWarning, 1,
                         "An output with one or more elements was resized since it had a shape that does "
                         "not match the required output shape. Resize it to t.resize_(0) first.") < 0)
      throw PythonErrorSet();
    const size_t bytes = (size_t)v.numel() * t.itemsize();
    if (t.storage()->nbytes() < bytes) t.storage()->resize(bytes);
    t.impl()->offset = 0;
    t.impl()->set_geometry(v.sizes(), empty_like(v, t.dtype()).strides());
  }
  const bool computed_there =
      !t.is_sparse() && v.raw() == t.raw() && v.sizes() == t.sizes() && v.strides() == t.strides();
  if (!computed_there) {
    GilRelease nogil;
    Tensor values = v;
    if (share_memory(v, t)) copy_values(values = empty(v.sizes(), v.dtype()), v);
    copy_values(t, values);
  }
  mark_changed(t);
  Py_INCREF(out);
  return out;
}

bool any_requires_grad(const Overload& o, PyObject* const* slots) {
  for (size_t i = 0; i < o.params.size(); i++)
    if (slots[i] && is_tensor(slots[i]) && unpack(slots[i]).requires_grad()) return true;
  return false;
}

// Whether an argument has memory of t.
bool reaches(PyObject* argument, Kind kind, const Tensor& t) {
  if (is_tensor(argument)) return share_memory(unpack(argument), t);
  if (kind != Kind::Tensors || !(PyList_Check(argument) || PyTuple_Check(argument))) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(argument); i++)
    if (reaches(PySequence_Fast_GET_ITEM(argument, i), Kind::Tensor, t)) return true;
  return false;
}
// Whether op(..., out=) may write into `out` while it reads its operands.
bool computes_there(const Overload& o, PyObject* const* slots, PyObject* out) {
  if ((o.flags & kIntoOut) != kIntoOut || !is_tensor(out)) return false;
  const Tensor& t = unpack(out);
  if (t.requires_grad() || t.is_sparse() || t.numel() == 0 || !t.storage()->writable() ||
      t.storage()->is_lent() || (GradMode::enabled() && any_requires_grad(o, slots)))
    return false;
  for (size_t i = 0; i < o.params.size(); i++)
    if (slots[i] && reaches(slots[i], o.params[i].kind, t)) return false;
  return true;
}

// The memory of t as a tensor whose storage begins where t does.
Tensor place_of(const Tensor& t) {
  if (t.storage_offset() == 0) return detach(t);
  const size_t before = (size_t)(t.storage_offset() * t.itemsize());
  auto memory = make_ref<Storage>(static_cast<char*>(t.storage()->data()) + before,
                                  t.storage()->nbytes() - before, [held = t.storage()] {});
  return from_storage(memory, t.dtype(), t.sizes(), t.strides(), 0);
}

PyObject* invoke_out(const Overload& o, PyObject* const* slots, PyObject* out) {
  PyObject* result;
  if (computes_there(o, slots, out)) {
    Destination destination(place_of(unpack(out)));
    try {
      result = o.invoke(o, slots);
    } catch (...) {
      if (destination.taken()) mark_changed(unpack(out));
      throw;
    }
  } else {
    result = o.invoke(o, slots);
  }
  return result ? store_out(result, out) : nullptr;
}

// x.op_(...): what op(x, ...) computes, stored in x.
PyObject* call_inplace(const Overload& o, PyObject** slots) {
  PyObject* self = slots[0];
  NNLIB_CHECK_TYPE(is_tensor(self), "an in-place operator writes into a Tensor, not a ",
                   Py_TYPE(self)->tp_name);
  assign_inplace(
      unpack(self),
      [&](const Tensor& before) {
        Object x = owned(wrap(before));
        slots[0] = x.get();
        Object r = owned(o.invoke(o, slots));
        slots[0] = self;
        return unpack(r.get());
      },
      any_requires_grad(o, slots));
  Py_INCREF(self);
  return self;
}

// What a sparse tensor may be given to. Any other operator would read elements that are not there.
bool takes_sparse(const std::string& name) {
  static const std::set<std::string> names = {"_indices",
                                              "_nnz",
                                              "_sparse_coo_tensor",
                                              "_values",
                                              "add",
                                              "add_",
                                              "clone",
                                              "coalesce",
                                              "copy_",
                                              "dense_dim",
                                              "detach",
                                              "detach_",
                                              "div",
                                              "div_",
                                              "empty_like",
                                              "indices",
                                              "is_coalesced",
                                              "is_same_size",
                                              "mul",
                                              "mul_",
                                              "multiply",
                                              "neg",
                                              "new_empty",
                                              "new_full",
                                              "new_ones",
                                              "new_tensor",
                                              "new_zeros",
                                              "numel",
                                              "result_type",
                                              "size",
                                              "sparse_dim",
                                              "sparse_mask",
                                              "sub",
                                              "sub_",
                                              "subtract",
                                              "sum",
                                              "to",
                                              "to_dense",
                                              "to_sparse",
                                              "true_divide",
                                              "values",
                                              "zero_",
                                              "zeros_like",
                                              "type_as",
                                              "float",
                                              "double",
                                              "half",
                                              "bfloat16",
                                              "ones_like",
                                              "full_like",
                                              "_fused_sgd",
                                              "_fused_adam",
                                              "_fused_adagrad",
                                              "_fused_rmsprop",
                                              "rand_like",
                                              "randn_like"};
  return names.count(name);
}
bool is_sparse_object(PyObject* o) { return o && is_tensor(o) && unpack(o).is_sparse(); }
void check_sparse_arguments(const std::string& name, const Overload& o, PyObject* const* slots) {
  bool any = false;
  for (size_t i = 0; i < o.params.size(); i++) {
    const Kind kind = o.params[i].kind;
    if (kind == Kind::Tensor || kind == Kind::Operand) {
      any = any || is_sparse_object(slots[i]);
    } else if (kind == Kind::Tensors && slots[i] && (PyList_Check(slots[i]) || PyTuple_Check(slots[i]))) {
      PyObject** items = PySequence_Fast_ITEMS(slots[i]);
      for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(slots[i]); k++)
        any = any || is_sparse_object(items[k]);
    }
  }
  if (any && !takes_sparse(name))
    throw_message<NotImplementedError>(name, "() does not take sparse tensors; to_dense() gives a dense one");
}

PyObject* op_call(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  Op* op = (Op*)callable;
  const size_t n = (size_t)PyVectorcall_NARGS(nargsf);
  return guarded([&]() -> PyObject* {
    Match m;
    for (const Overload& o : *op->overloads) {
      if (!match(o, args, n, kwnames, &m, nullptr)) continue;
      if (ops::sparse_in_use()) check_sparse_arguments(*op->name, o, m.slots);
      std::optional<DeviceScope> scope;
      if (devices_in_use() || o.takes_device) {
        const Device device = device_of_call(*op->name, o, m.slots);
        if (device.index >= 0) scope.emplace(device);
      }
      if (op->inplace) return call_inplace(o, m.slots);
      if (m.out && m.out != Py_None) return invoke_out(o, m.slots, m.out);
      return autocasts(o) ? invoke_autocast(o, m.slots) : o.invoke(o, m.slots);
    }
    if (PyObject* result = kwnames ? nullptr : call_in_older_order(callable, *op->name, args, n))
      return result;
    std::string text, why;
    for (const Overload& o : *op->overloads) {
      match(o, args, n, kwnames, &m, &why);
      text += op->overloads->size() == 1 ? why : concat("\n * (", o.signature, ")\n      ", why);
    }
    if (op->overloads->size() == 1) throw_message<TypeError>(*op->name, "(): ", text);
    std::string got;
    for (size_t i = 0; i < n + (kwnames ? (size_t)PyTuple_GET_SIZE(kwnames) : 0); i++)
      got +=
          concat(i ? ", " : "",
                 i >= n ? concat(PyUnicode_AsUTF8(PyTuple_GET_ITEM(kwnames, (Py_ssize_t)(i - n))), "=") : "",
                 Py_TYPE(args[i])->tp_name);
    throw_message<TypeError>(*op->name, "() received an invalid combination of arguments - got (", got,
                             "), but expected one of:", text);
  });
}

PyObject* op_descr_get(PyObject* self, PyObject* obj, PyObject*) {
  if (!obj || obj == Py_None) {
    Py_INCREF(self);
    return self;
  }
  return PyMethod_New(self, obj);
}
PyObject* op_property_get(PyObject* self, PyObject* obj, PyObject*) {
  if (!obj || obj == Py_None) {
    Py_INCREF(self);
    return self;
  }
  return op_call(self, &obj, 1, nullptr);
}
int op_property_set(PyObject* self, PyObject*, PyObject*) {
  PyErr_Format(PyExc_AttributeError, "attribute '%s' of tensors is not writable", ((Op*)self)->name->c_str());
  return -1;
}

PyObject* op_repr(PyObject* self) {
  return PyUnicode_FromFormat("<built-in %s %s>", ((Op*)self)->method ? "method" : "function",
                              ((Op*)self)->name->c_str());
}
PyObject* op_name(PyObject* self, void*) { return PyUnicode_FromString(((Op*)self)->name->c_str()); }
PyObject* op_doc(PyObject* self, void*) { return PyUnicode_FromString(((Op*)self)->doc->c_str()); }
PyObject* op_module(PyObject*, void*) { return PyUnicode_FromString("nnlib._C"); }
PyObject* op_signature(PyObject* self, void*) {
  std::string s;
  for (const Overload& o : *((Op*)self)->overloads) s += (s.empty() ? "" : "\n") + o.signature;
  return PyUnicode_FromString(s.c_str());
}
PyGetSetDef op_getset[] = {{"__name__", op_name, nullptr, nullptr, nullptr},
                           {"__qualname__", op_name, nullptr, nullptr, nullptr},
                           {"__module__", op_module, nullptr, nullptr, nullptr},
                           {"__doc__", op_doc, nullptr, nullptr, nullptr},
                           {"_signature", op_signature, nullptr, nullptr, nullptr},
                           {nullptr, nullptr, nullptr, nullptr, nullptr}};

// Pickled and copied by name: the same object comes back.
PyObject* op_reduce(PyObject* self, PyObject*) {
  Op* op = (Op*)self;
  return PyUnicode_FromFormat(op->method ? "TensorBase.%s" : "%s", op->name->c_str());
}
PyMethodDef op_methods[] = {{"__reduce__", op_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};

PyTypeObject make_op_type(const char* name) {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = name;
  t.tp_basicsize = sizeof(Op);
  t.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
  t.tp_vectorcall_offset = offsetof(Op, vectorcall);
  t.tp_call = PyVectorcall_Call;
  t.tp_repr = op_repr;
  t.tp_getset = op_getset;
  t.tp_methods = op_methods;
  return t;
}
// A function does not bind to an instance when it stands in a class; a method does; a property is called at
// once.
PyTypeObject FunctionType = make_op_type("nnlib._C.OpFunction");
PyTypeObject MethodType = make_op_type("nnlib._C.OpMethod");
PyTypeObject PropertyType = make_op_type("nnlib._C.OpProperty");

Op* new_op(PyTypeObject* type, const std::string& name, const char* doc) {
  Op* op = PyObject_New(Op, type);
  op->vectorcall = op_call;
  op->overloads = new std::vector<Overload>;
  op->name = new std::string(name);
  op->doc = new std::string(doc);
  op->method = type != &FunctionType;
  op->inplace = false;
  return op;
}

PyObject* g_private = nullptr;  // names that nnlib does not export

// The operator of a name in a dict, made when it is not there.
Op* find_or_make(PyObject* dict, PyTypeObject* type, const std::string& name, const char* doc) {
  PyObject* found = PyDict_GetItemString(dict, name.c_str());
  if (found && Py_TYPE(found) == type) {
    if (*doc) *((Op*)found)->doc += std::string("\n\n") + doc;
    return (Op*)found;
  }
  Op* op = new_op(type, name, doc);
  PyDict_SetItemString(dict, name.c_str(), (PyObject*)op);
  Py_DECREF(op);
  return op;
}

}  // namespace

void Binder::add(const char* text, Invoke invoke, size_t arity, int flags, const char* doc) {
  std::string name;
  Overload o = parse_signature(text, &name);
  if (o.params.size() != arity || arity > kMaxSlots)
    throw_message<Error>("binding of ", text, ": the function takes ", arity,
                         " arguments, the signature has ", o.params.size());
  o.invoke = invoke;
  o.flags = flags;
  o.cast_rule = cast_rule(name, o);
  for (const Param& p : o.params) o.takes_device = o.takes_device || p.kind == Kind::Device;
  if (flags & (kFunction | kPrivate)) {
    find_or_make(PyModule_GetDict(module_), &FunctionType, name, doc)->overloads->push_back(o);
    if (flags & kPrivate) {
      Object n = owned(PyUnicode_FromString(name.c_str()));
      PySet_Add(g_private, n.get());
    }
  }
  PyObject* methods = TensorBaseType.tp_dict;
  Overload as_method = o;
  as_method.flags &= ~kOut;
  if (flags & kMethod) find_or_make(methods, &MethodType, name, doc)->overloads->push_back(as_method);
  if (flags & kProperty) find_or_make(methods, &PropertyType, name, doc)->overloads->push_back(as_method);
  if (flags & kInplace) {
    Op* op = find_or_make(methods, &MethodType, name + "_", "");
    op->inplace = true;
    *op->doc = concat("In-place version of ", name, ".");
    op->overloads->push_back(as_method);
    if (flags & kFunction) {
      op = find_or_make(PyModule_GetDict(module_), &FunctionType, name + "_", "");
      op->inplace = true;
      *op->doc = concat("In-place version of ", name, ".");
      op->overloads->push_back(as_method);
    }
  }
  PyType_Modified(&TensorBaseType);
}

void init_bind(PyObject* module) {
  MethodType.tp_descr_get = op_descr_get;
  MethodType.tp_flags |= Py_TPFLAGS_METHOD_DESCRIPTOR;
  PropertyType.tp_descr_get = op_property_get;
  PropertyType.tp_descr_set = op_property_set;
  for (PyTypeObject* t : {&FunctionType, &MethodType, &PropertyType})
    if (PyType_Ready(t) < 0) throw PythonErrorSet();
  Py_INCREF(&FunctionType);
  PyModule_AddObject(module, "OpFunction", (PyObject*)&FunctionType);
  Py_INCREF(&MethodType);
  PyModule_AddObject(module, "OpMethod", (PyObject*)&MethodType);
  g_private = PySet_New(nullptr);
  Py_INCREF(g_private);
  PyModule_AddObject(module, "_private_names", g_private);
}

// ---- results

PyObject* pack(const Overload&, const Tensor& t) { return wrap(t); }

PyObject* pack(const Overload& o, const Tensor* items, size_t n) {
  Object tuple = owned(o.named_result ? PyStructSequence_New(o.named_result) : PyTuple_New((Py_ssize_t)n));
  for (size_t i = 0; i < n; i++) {
    PyObject* item = checked(wrap(items[i]));
    if (o.named_result)
      PyStructSequence_SET_ITEM(tuple.get(), (Py_ssize_t)i, item);
    else
      PyTuple_SET_ITEM(tuple.get(), (Py_ssize_t)i, item);
  }
  return tuple.release();
}

PyObject* pack(const Overload& o, const TensorList& l) {
  if (!o.list_result) return pack(o, l.data(), l.size());
  Object list = owned(PyList_New((Py_ssize_t)l.size()));
  for (size_t i = 0; i < l.size(); i++) PyList_SET_ITEM(list.get(), (Py_ssize_t)i, checked(wrap(l[i])));
  return list.release();
}

PyObject* pack(const Overload&, const Scalar& v) {
  if (v.is_bool()) return PyBool_FromLong(v.to_bool());
  return v.is_floating() ? PyFloat_FromDouble(v.to_double()) : PyLong_FromLongLong(v.to_int());
}

}  // namespace nnlib::python
