#include "python/signature.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

namespace nnlib::python {

namespace {

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> m = {{"Tensor", Kind::Tensor},
                                                {"Operand", Kind::Operand},
                                                {"Scalar", Kind::Scalar},
                                                {"int", Kind::Int},
                                                {"float", Kind::Float},
                                                {"bool", Kind::Bool},
                                                {"str", Kind::Str},
                                                {"int[]", Kind::Ints},
                                                {"float[]", Kind::Floats},
                                                {"Tensor[]", Kind::Tensors},
                                                {"dtype", Kind::Dtype},
                                                {"Generator", Kind::Generator},
                                                {"memory_format", Kind::MemoryFormat},
                                                {"Padding", Kind::Padding},
                                                {"device", Kind::Device},
                                                {"object", Kind::Object}};
  return m;
}

std::string trim(const std::string& s) {
  size_t a = s.find_first_not_of(' '), b = s.find_last_not_of(' ');
  return a == std::string::npos ? "" : s.substr(a, b - a + 1);
}

PyObject* parse_default(const std::string& s) {
  if (s == "None") Py_RETURN_NONE;
  if (s == "True") Py_RETURN_TRUE;
  if (s == "False") Py_RETURN_FALSE;
  if (s[0] == '"') return PyUnicode_FromStringAndSize(s.data() + 1, (Py_ssize_t)s.size() - 2);
  if (s == "inf") return PyFloat_FromDouble(HUGE_VAL);
  if (s == "-inf") return PyFloat_FromDouble(-HUGE_VAL);
  if (s == "[]" || s == "()") return PyTuple_New(0);
  // Fractions such as 1/8 and plain numbers.
  char* end = nullptr;
  double v = std::strtod(s.c_str(), &end);
  if (*end == '/') return PyFloat_FromDouble(v / std::strtod(end + 1, nullptr));
  if (*end) throw Error("cannot read the default '" + s + "'");
  return s.find_first_of(".e") == std::string::npos ? PyLong_FromLongLong(std::atoll(s.c_str()))
                                                    : PyFloat_FromDouble(v);
}

Param parse_param(const std::string& text) {
  Param p;
  const size_t eq = text.find('=');
  const std::string head = trim(text.substr(0, eq));
  const size_t space = head.rfind(' ');
  std::string type = trim(head.substr(0, space));
  p.name = head.substr(space + 1);
  if (type.back() == '?') {
    p.optional = true;
    type.pop_back();
  }
  const size_t open = type.find('[');
  if (open != std::string::npos && type[open + 1] != ']') {
    p.repeat = std::atoi(type.c_str() + open + 1);
    type = type.substr(0, open) + (type[0] == 'P' ? "" : "[]");
  }
  auto k = kinds().find(type);
  if (k == kinds().end()) throw Error("unknown parameter type '" + type + "'");
  p.kind = k->second;
  if (eq != std::string::npos) {
    p.has_default = true;
    p.default_value = checked(parse_default(trim(text.substr(eq + 1))));
  }
  p.name_object = checked(PyUnicode_InternFromString(p.name.c_str()));
  return p;
}

// torch.return_types.max and the like: made once per name.
PyTypeObject* named_result_type(const std::string& name, const std::vector<std::string>& fields) {
  static std::map<std::string, PyTypeObject*> types;
  PyTypeObject*& t = types[name + "/" + std::to_string(fields.size())];
  if (t) return t;
  auto* f = new PyStructSequence_Field[fields.size() + 1]();
  for (size_t i = 0; i < fields.size(); i++) f[i] = {strdup(fields[i].c_str()), nullptr};
  PyStructSequence_Desc desc = {strdup(("torch.return_types." + name).c_str()), nullptr, f,
                                (int)fields.size()};
  return t = (PyTypeObject*)checked((PyObject*)PyStructSequence_NewType(&desc));
}

// NumPy's scalars have __float__ but are no sequences, arrays of more elements neither.
bool is_scalar_like(PyObject* o) {
  if (is_tensor(o) || PyUnicode_Check(o) || PyTuple_Check(o) || PyList_Check(o)) return false;
  PyNumberMethods* nb = Py_TYPE(o)->tp_as_number;
  if (!nb || (!nb->nb_float && !nb->nb_index && !nb->nb_int)) return false;
  const Py_ssize_t n = PySequence_Check(o) ? PySequence_Size(o) : -1;
  if (n < 0) PyErr_Clear();
  return n < 0;
}

bool is_number(PyObject* o) { return PyFloat_Check(o) || PyLong_Check(o) || is_scalar_like(o); }
bool is_scalar_tensor(PyObject* o) { return is_tensor(o) && unpack(o).numel() == 1 && unpack(o).dim() == 0; }
bool is_int(PyObject* o) {
  if (PyLong_Check(o)) return !PyBool_Check(o);
  if (is_tensor(o)) return is_scalar_tensor(o) && is_integral(unpack(o).dtype(), false);
  return !PyFloat_Check(o) && !PyUnicode_Check(o) && PyIndex_Check(o);
}
bool is_float(PyObject* o) {
  if (is_tensor(o)) return is_scalar_tensor(o);
  return is_number(o);
}

template <bool (*check)(PyObject*)>
bool is_sequence_of(PyObject* o) {
  if (!PyTuple_Check(o) && !PyList_Check(o)) return false;
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  PyObject** items = PySequence_Fast_ITEMS(o);
  for (Py_ssize_t i = 0; i < n; i++)
    if (!check(items[i])) return false;
  return true;
}

}  // namespace

Overload parse_signature(const char* text, std::string* name) {
  Overload o;
  const std::string s = text;
  const size_t open = s.find('('),
               close = s.find(") ->") != std::string::npos ? s.find(") ->") : s.rfind(')');
  *name = s.substr(0, open);
  o.signature = s.substr(open + 1, close - open - 1);
  bool keyword_only = false;
  size_t at = 0;
  const std::string& list = o.signature;
  while (at < list.size()) {
    size_t depth = 0, end = at;
    while (end < list.size() && (list[end] != ',' || depth)) {
      if (list[end] == '(') depth++;
      if (list[end] == ')') depth--;
      end++;
    }
    const std::string item = trim(list.substr(at, end - at));
    at = end + 1;
    if (item == "*") {
      keyword_only = true;
      continue;
    }
    Param p = parse_param(item);
    p.keyword_only = keyword_only;
    if (!keyword_only) o.positional++;
    o.params.push_back(p);
  }
  // f(1, 2) for f((1, 2)) where the list is all there is beside the receiver.
  if (o.positional >= 1 && o.positional <= 2 && o.params[(size_t)o.positional - 1].kind == Kind::Ints &&
      (o.positional == 1 || o.params[0].kind == Kind::Tensor))
    o.var_ints = true;
  const size_t arrow = s.find("->", close);
  if (arrow != std::string::npos) {
    std::string r = trim(s.substr(arrow + 2));
    if (r == "Tensor[] list") o.list_result = true;
    if (r[0] == '(' && r.find("Tensor") == std::string::npos) {
      std::vector<std::string> fields;
      r = r.substr(1, r.size() - 2);
      for (size_t b = 0; b < r.size();) {
        size_t e = std::min(r.find(',', b), r.size());
        fields.push_back(trim(r.substr(b, e - b)));
        b = e + 1;
      }
      o.named_result = named_result_type(*name, fields);
    }
  }
  return o;
}

bool accepts(const Param& p, PyObject* o) {
  if (o == Py_None) return p.optional || p.kind == Kind::Object;
  switch (p.kind) {
    case Kind::Tensor:
      return is_tensor(o);
    case Kind::Operand:
      return is_tensor(o) || is_number(o);
    case Kind::Scalar:
      return is_number(o) || is_scalar_tensor(o);
    case Kind::Int:
      return is_int(o);
    case Kind::Float:
      return is_float(o);
    case Kind::Bool:
      return PyBool_Check(o) || (is_scalar_tensor(o) && unpack(o).dtype() == Dtype::Bool) ||
             !std::strcmp(Py_TYPE(o)->tp_name, "numpy.bool") ||
             !std::strcmp(Py_TYPE(o)->tp_name, "numpy.bool_");
    case Kind::Str:
      return PyUnicode_Check(o);
    case Kind::Ints:
      return is_sequence_of<is_int>(o) || (p.repeat && is_int(o));
    case Kind::Floats:
      return is_sequence_of<is_float>(o) || (p.repeat && is_float(o));
    case Kind::Tensors:
      return is_sequence_of<is_tensor>(o);
    case Kind::Dtype:
      return is_dtype(o);
    case Kind::Generator:
      return is_generator(o);
    case Kind::MemoryFormat:
      return is_memory_format(o);
    case Kind::Padding:
      return PyUnicode_Check(o) || is_sequence_of<is_int>(o) || is_int(o);
    case Kind::Device:
      return is_device_like(o) || is_int(o);
    case Kind::Object:
      return true;
  }
  return false;
}

std::string kind_name(const Param& p) {
  switch (p.kind) {
    case Kind::Tensor:
      return "Tensor";
    case Kind::Operand:
      return "Tensor or Number";
    case Kind::Scalar:
      return "Number";
    case Kind::Int:
      return "int";
    case Kind::Float:
      return "float";
    case Kind::Bool:
      return "bool";
    case Kind::Str:
      return "str";
    case Kind::Ints:
      return "tuple of ints";
    case Kind::Floats:
      return "tuple of floats";
    case Kind::Tensors:
      return "tuple of Tensors";
    case Kind::Dtype:
      return "torch.dtype";
    case Kind::Generator:
      return "torch.Generator";
    case Kind::MemoryFormat:
      return "torch.memory_format";
    case Kind::Padding:
      return "int, tuple of ints or str";
    case Kind::Device:
      return "torch.device";
    case Kind::Object:
      return "object";
  }
  return "?";
}

// ---- conversions

Scalar scalar_value(PyObject* o) {
  if (PyFloat_Check(o)) return Scalar(PyFloat_AS_DOUBLE(o));
  if (PyBool_Check(o)) return Scalar(o == Py_True);
  if (PyLong_Check(o)) {
    int overflow;
    const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    NNLIB_CHECK(!overflow, "value cannot be converted to type int64_t without overflow");
    return Scalar((int64_t)v);
  }
  if (is_tensor(o)) return unpack(o).item();
  const char* type = Py_TYPE(o)->tp_name;
  if (!std::strcmp(type, "numpy.bool") || !std::strcmp(type, "numpy.bool_"))
    return Scalar(PyObject_IsTrue(o) == 1);
  if (PyIndex_Check(o)) return Scalar(int_value(o));
  return Scalar(float_value(o));
}

Tensor operand_tensor(PyObject* o) { return wrapped_number(scalar_value(o)); }

int64_t int_value(PyObject* o) {
  if (PyLong_CheckExact(o)) {
    const long long v = PyLong_AsLongLong(o);
    if (v == -1 && PyErr_Occurred()) throw PythonErrorSet();
    return v;
  }
  if (is_tensor(o)) return unpack(o).item().to_int();
  Object index = owned(PyNumber_Index(o));
  const long long v = PyLong_AsLongLong(index.get());
  if (v == -1 && PyErr_Occurred()) throw PythonErrorSet();
  return v;
}

double float_value(PyObject* o) {
  if (is_tensor(o)) return unpack(o).item().to_double();
  const double v = PyFloat_AsDouble(o);
  if (v == -1 && PyErr_Occurred()) throw PythonErrorSet();
  return v;
}

Dims ints_value(PyObject* o, const Param& p) {
  if (!PyTuple_Check(o) && !PyList_Check(o)) return Dims(p.repeat ? (size_t)p.repeat : 1, int_value(o));
  Dims d;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); i++)
    d.push_back(int_value(PySequence_Fast_GET_ITEM(o, i)));
  if (p.repeat && d.size() == 1) return Dims((size_t)p.repeat, d[0]);
  return d;
}

std::vector<double> floats_value(PyObject* o) {
  if (!PyTuple_Check(o) && !PyList_Check(o)) return {float_value(o)};
  std::vector<double> v;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); i++)
    v.push_back(float_value(PySequence_Fast_GET_ITEM(o, i)));
  return v;
}

TensorList tensors_value(PyObject* o) {
  TensorList l;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); i++)
    l.push_back(unpack(PySequence_Fast_GET_ITEM(o, i)));
  return l;
}

std::string string_value(PyObject* o) {
  Py_ssize_t n;
  const char* s = PyUnicode_AsUTF8AndSize(o, &n);
  if (!s) throw PythonErrorSet();
  return std::string(s, (size_t)n);
}

Padding padding_value(PyObject* o, const Param& p) {
  if (PyUnicode_Check(o)) return {{}, string_value(o)};
  return {ints_value(o, p), ""};
}

}  // namespace nnlib::python
