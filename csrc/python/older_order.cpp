#include "python/older_order.h"

#include <map>
#include <vector>

#include "python/py_tensor.h"
#include "python/signature.h"

namespace nnlib::python {

namespace {

// Factors once stood before the operand that they scale.
struct OlderForm {
  size_t operands;
  std::vector<const char*> factors;
};
const OlderForm* older_form(std::string name) {
  const OlderForm sum{2, {"alpha"}}, pointwise{3, {"value"}}, product{3, {"beta", "alpha"}};
  static const std::map<std::string, OlderForm> forms = {
      {"add", sum},           {"sub", sum},        {"addcmul", pointwise},
      {"addcdiv", pointwise}, {"addmm", product},  {"addmv", product},
      {"addr", product},      {"addbmm", product}, {"baddbmm", product}};
  if (name.back() == '_') name.pop_back();
  const auto found = forms.find(name);
  return found == forms.end() ? nullptr : &found->second;
}

}  // namespace

PyObject* call_in_older_order(PyObject* callable, const std::string& name, PyObject* const* args, size_t n) {
  const OlderForm* form = older_form(name);
  if (!form) return nullptr;
  static const Param number{"", Kind::Scalar};
  std::vector<PyObject*> given, factors;
  for (size_t i = 0; i < n; i++)
    (i + 1 < n && !is_tensor(args[i]) && accepts(number, args[i]) ? factors : given).push_back(args[i]);
  if (given.size() != form->operands || factors.empty() || factors.size() > form->factors.size())
    return nullptr;
  Object names = owned(PyTuple_New((Py_ssize_t)factors.size()));
  for (size_t i = 0; i < factors.size(); i++) {
    PyTuple_SET_ITEM(names.get(), (Py_ssize_t)i, checked(PyUnicode_InternFromString(form->factors[i])));
    given.push_back(factors[i]);
  }
  if (PyErr_WarnFormat(
          PyExc_UserWarning, 1,
          "This overload of %s is deprecated: factors come after the operands and by name, as in "
          "%s(..., %s=...)",
          name.c_str(), name.c_str(), form->factors[0]) < 0)
    throw PythonErrorSet();
  return checked(PyObject_Vectorcall(callable, given.data(), form->operands, names.get()));
}

}  // namespace nnlib::python
