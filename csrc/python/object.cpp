#include "python/object.h"

#include <new>

namespace nnlib::python {

void throw_carried() {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  CarriedError e("an error in Python code");
  e.type = std::make_shared<SharedObject>(type);
  e.value = std::make_shared<SharedObject>(value);
  e.trace = std::make_shared<SharedObject>(trace);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  throw e;
}

void set_python_error() noexcept {
  try {
    throw;
  } catch (const PythonErrorSet&) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_SystemError, "an error was announced but not set");
  } catch (const CarriedError& e) {
    Py_XINCREF(e.type->get());
    Py_XINCREF(e.value->get());
    Py_XINCREF(e.trace->get());
    PyErr_Restore(e.type->get(), e.value->get(), e.trace->get());
  } catch (const IndexError& e) {
    PyErr_SetString(PyExc_IndexError, e.what());
  } catch (const TypeError& e) {
    PyErr_SetString(PyExc_TypeError, e.what());
  } catch (const ValueError& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  } catch (const NotImplementedError& e) {
    PyErr_SetString(PyExc_NotImplementedError, e.what());
  } catch (const std::bad_alloc&) {
    PyErr_SetString(PyExc_RuntimeError, "not enough memory");
  } catch (const std::exception& e) {  // MemoryError too: PyTorch's users catch RuntimeError
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_SystemError, "an unknown C++ exception");
  }
}

}  // namespace nnlib::python
