#include "python/number.h"

#include "core/tensor.h"
#include "python/bind.h"
#include "python/indexing.h"

namespace nnlib::python {

namespace {

// The bound operator of a name, looked up once. Keeps a reference for the life of the process.
PyObject* operator_named(const char* name, PyObject** cache) {
  if (!*cache) {
    *cache = PyDict_GetItemString(TensorBaseType.tp_dict, name);
    if (!*cache) {
      PyErr_Format(PyExc_NotImplementedError, "the operator '%s' does not exist", name);
      return nullptr;
    }
    Py_INCREF(*cache);
  }
  return *cache;
}

bool is_operand(PyObject* o) {
  return is_tensor(o) || PyFloat_Check(o) || PyLong_Check(o) ||
         (!PyUnicode_Check(o) && !PyTuple_Check(o) && !PyList_Check(o) && Py_TYPE(o)->tp_as_number &&
          (Py_TYPE(o)->tp_as_number->nb_float || Py_TYPE(o)->tp_as_number->nb_index) && !PySequence_Check(o));
}

// NumPy's scalars call themselves sequences through their type, yet have no length.
bool is_number_like(PyObject* o) {
  if (is_operand(o)) return true;
  return PyIndex_Check(o) && !PySequence_Check(o);
}

PyObject* call2(const char* name, PyObject** cache, PyObject* a, PyObject* b) {
  PyObject* op = operator_named(name, cache);
  if (!op) return nullptr;
  PyObject* args[] = {a, b};
  return PyObject_Vectorcall(op, args, 2, nullptr);
}

// a op b where one of them is a tensor; a number on the left becomes a weak tensor.
PyObject* binary(const char* name, PyObject** cache, PyObject* a, PyObject* b) {
  if (!is_number_like(a) || !is_number_like(b)) Py_RETURN_NOTIMPLEMENTED;
  if (is_tensor(a)) return call2(name, cache, a, b);
  return guarded([&] {
    Object left = owned(wrap(operand_tensor(a)));
    return call2(name, cache, left.get(), b);
  });
}

#define NNLIB_BINARY(slot, name)             \
  PyObject* slot(PyObject* a, PyObject* b) { \
    static PyObject* cache = nullptr;        \
    return binary(name, &cache, a, b);       \
  }
NNLIB_BINARY(slot_add, "add")
NNLIB_BINARY(slot_sub, "sub")
NNLIB_BINARY(slot_mul, "mul")
NNLIB_BINARY(slot_div, "div")
NNLIB_BINARY(slot_floordiv, "floor_divide")
NNLIB_BINARY(slot_mod, "remainder")
NNLIB_BINARY(slot_and, "bitwise_and")
NNLIB_BINARY(slot_or, "bitwise_or")
NNLIB_BINARY(slot_xor, "bitwise_xor")
NNLIB_BINARY(slot_lshift, "bitwise_left_shift")
NNLIB_BINARY(slot_rshift, "bitwise_right_shift")
#undef NNLIB_BINARY

PyObject* slot_matmul(PyObject* a, PyObject* b) {
  static PyObject* cache = nullptr;
  if (!is_tensor(a) || !is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  return call2("matmul", &cache, a, b);
}
PyObject* slot_pow(PyObject* a, PyObject* b, PyObject* modulo) {
  static PyObject* cache = nullptr;
  if (modulo != Py_None) {
    PyErr_SetString(PyExc_NotImplementedError, "pow() of tensors takes no modulus");
    return nullptr;
  }
  return binary("pow", &cache, a, b);
}

#define NNLIB_INPLACE(slot, name)                     \
  PyObject* slot(PyObject* a, PyObject* b) {          \
    static PyObject* cache = nullptr;                 \
    if (!is_number_like(b)) Py_RETURN_NOTIMPLEMENTED; \
    return call2(name, &cache, a, b);                 \
  }
NNLIB_INPLACE(slot_iadd, "add_")
NNLIB_INPLACE(slot_isub, "sub_")
NNLIB_INPLACE(slot_imul, "mul_")
NNLIB_INPLACE(slot_idiv, "div_")
NNLIB_INPLACE(slot_ifloordiv, "floor_divide_")
NNLIB_INPLACE(slot_imod, "remainder_")
NNLIB_INPLACE(slot_iand, "bitwise_and_")
NNLIB_INPLACE(slot_ior, "bitwise_or_")
NNLIB_INPLACE(slot_ixor, "bitwise_xor_")
NNLIB_INPLACE(slot_ilshift, "bitwise_left_shift_")
NNLIB_INPLACE(slot_irshift, "bitwise_right_shift_")
#undef NNLIB_INPLACE
PyObject* slot_ipow(PyObject* a, PyObject* b, PyObject*) {
  static PyObject* cache = nullptr;
  if (!is_number_like(b)) Py_RETURN_NOTIMPLEMENTED;
  return call2("pow_", &cache, a, b);
}

#define NNLIB_UNARY(slot, name)                                    \
  PyObject* slot(PyObject* a) {                                    \
    static PyObject* cache = nullptr;                              \
    PyObject* op = operator_named(name, &cache);                   \
    return op ? PyObject_Vectorcall(op, &a, 1, nullptr) : nullptr; \
  }
NNLIB_UNARY(slot_neg, "neg")
NNLIB_UNARY(slot_abs, "abs")
NNLIB_UNARY(slot_invert, "bitwise_not")
#undef NNLIB_UNARY
PyObject* slot_pos(PyObject* a) {
  Py_INCREF(a);
  return a;
}

Scalar one_value(PyObject* o, const char* what) {
  const Tensor& t = unpack(o);
  if (t.numel() != 1) {
    if (*what)
      throw_message<Error>("Boolean value of Tensor with ",
                           t.numel() == 0 ? "no values" : "more than one value", " is ambiguous");
    throw_message<Error>("a Tensor with ", t.numel(), " elements cannot be converted to Scalar");
  }
  return t.is_sparse() ? scalar_value(owned(PyObject_CallMethod(o, "item", nullptr)).get()) : t.item();
}
int slot_bool(PyObject* o) {
  return guarded_int([&] { return (int)one_value(o, "bool").to_bool(); });
}
PyObject* slot_float(PyObject* o) {
  return guarded([&] { return PyFloat_FromDouble(one_value(o, "").to_double()); });
}
PyObject* slot_int(PyObject* o) {
  return guarded([&] {
    const Scalar s = one_value(o, "");
    return s.is_floating() ? PyLong_FromDouble(s.to_double()) : PyLong_FromLongLong(s.to_int());
  });
}
PyObject* slot_index(PyObject* o) {
  return guarded([&] {
    const Tensor& t = unpack(o);
    NNLIB_CHECK_TYPE(t.numel() == 1 && is_integral(t.dtype(), true),
                     "only integer tensors of a single element can be converted to an index");
    return PyLong_FromLongLong(t.item().to_int());
  });
}

Py_ssize_t slot_length(PyObject* o) {
  try {
    const Tensor& t = unpack(o);
    NNLIB_CHECK_TYPE(t.dim() > 0, "len() of a 0-d tensor");
    return (Py_ssize_t)t.sizes()[0];
  } catch (...) {
    set_python_error();
    return -1;
  }
}
PyObject* slot_getitem(PyObject* o, PyObject* key) {
  return guarded([&] { return tensor_getitem(unpack(o), key); });
}
int slot_setitem(PyObject* o, PyObject* key, PyObject* value) {
  return guarded_int([&] {
    NNLIB_CHECK_TYPE(value, "Tensor does not support deleting items");
    return tensor_setitem(unpack(o), key, value);
  });
}
// Iteration by index, for what asks for the sequence protocol.
PyObject* slot_item(PyObject* o, Py_ssize_t i) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = unpack(o);
    NNLIB_CHECK_INDEX(t.dim() > 0 && i < t.sizes()[0], "index ", i, " is out of bounds");
    Object key = owned(PyLong_FromSsize_t(i));
    return tensor_getitem(t, key.get());
  });
}

PyNumberMethods number = [] {
  PyNumberMethods n{};
  n.nb_add = slot_add;
  n.nb_subtract = slot_sub;
  n.nb_multiply = slot_mul;
  n.nb_true_divide = slot_div;
  n.nb_floor_divide = slot_floordiv;
  n.nb_remainder = slot_mod;
  n.nb_power = slot_pow;
  n.nb_matrix_multiply = slot_matmul;
  n.nb_and = slot_and;
  n.nb_or = slot_or;
  n.nb_xor = slot_xor;
  n.nb_lshift = slot_lshift;
  n.nb_rshift = slot_rshift;
  n.nb_inplace_add = slot_iadd;
  n.nb_inplace_subtract = slot_isub;
  n.nb_inplace_multiply = slot_imul;
  n.nb_inplace_true_divide = slot_idiv;
  n.nb_inplace_floor_divide = slot_ifloordiv;
  n.nb_inplace_remainder = slot_imod;
  n.nb_inplace_power = slot_ipow;
  n.nb_inplace_and = slot_iand;
  n.nb_inplace_or = slot_ior;
  n.nb_inplace_xor = slot_ixor;
  n.nb_inplace_lshift = slot_ilshift;
  n.nb_inplace_rshift = slot_irshift;
  n.nb_negative = slot_neg;
  n.nb_positive = slot_pos;
  n.nb_absolute = slot_abs;
  n.nb_invert = slot_invert;
  n.nb_bool = slot_bool;
  n.nb_float = slot_float;
  n.nb_int = slot_int;
  n.nb_index = slot_index;
  return n;
}();
PyMappingMethods mapping = {slot_length, slot_getitem, slot_setitem};
PySequenceMethods sequence = [] {
  PySequenceMethods s{};
  s.sq_length = slot_length;
  s.sq_item = slot_item;
  return s;
}();

}  // namespace

PyNumberMethods* tensor_as_number() { return &number; }
PyMappingMethods* tensor_as_mapping() { return &mapping; }
PySequenceMethods* tensor_as_sequence() { return &sequence; }

PyObject* tensor_richcompare(PyObject* a, PyObject* b, int op) {
  static const char* names[] = {"lt", "le", "eq", "ne", "gt", "ge"};
  static PyObject* cache[6];
  if (!is_number_like(b)) Py_RETURN_NOTIMPLEMENTED;
  return call2(names[op], &cache[op], a, b);
}

}  // namespace nnlib::python
