// Small tools for CPython objects: owned references, the GIL, and errors on their way to Python.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>
#include <memory>
#include <string>

#include "core/device.h"
#include "core/error.h"

namespace nnlib::python {

// An owned reference, or null.
class Object {
 public:
  Object() = default;
  static Object steal(PyObject* p) {
    Object o;
    o.p_ = p;
    return o;
  }
  static Object borrow(PyObject* p) {
    Py_XINCREF(p);
    return steal(p);
  }
  Object(const Object& o) : p_(o.p_) { Py_XINCREF(p_); }
  Object(Object&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
  Object& operator=(Object o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Object() { Py_XDECREF(p_); }
  PyObject* get() const { return p_; }
  PyObject* release() {
    PyObject* p = p_;
    p_ = nullptr;
    return p;
  }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  PyObject* p_ = nullptr;
};

// Throws when a C API call failed; the Python exception stays set.
inline PyObject* checked(PyObject* p) {
  if (!p) throw PythonErrorSet();
  return p;
}
inline Object owned(PyObject* p) { return Object::steal(checked(p)); }

struct GilRelease {
  PyThreadState* state = PyEval_SaveThread();
  ~GilRelease() { PyEval_RestoreThread(state); }
};
struct GilAcquire {
  TeamScope scope;
  PyGILState_STATE state = PyGILState_Ensure();
  ~GilAcquire() { PyGILState_Release(state); }
};

// An owned reference that may be dropped on any thread, with or without the GIL.
class SharedObject {
 public:
  explicit SharedObject(PyObject* borrowed) : p_(borrowed) { Py_XINCREF(p_); }
  SharedObject(const SharedObject&) = delete;
  ~SharedObject() {
    if (!p_ || !Py_IsInitialized()) return;
    GilAcquire gil;
    Py_DECREF(p_);
  }
  PyObject* get() const { return p_; }

 private:
  PyObject* p_;
};

// A Python exception on its way through C++ code that runs without the GIL.
struct CarriedError : Error {
  std::shared_ptr<SharedObject> type, value, trace;
  explicit CarriedError(const std::string& text) : Error(text) {}
};
// Takes the exception that is set and throws it as a CarriedError. Needs the GIL.
[[noreturn]] void throw_carried();

// Sets the Python exception for the C++ exception that is being handled.
void set_python_error() noexcept;

// Runs f; null and a Python exception when it throws.
template <class F>
PyObject* guarded(F&& f) noexcept {
  try {
    return f();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
template <class F>
int guarded_int(F&& f) noexcept {
  try {
    return f();
  } catch (...) {
    set_python_error();
    return -1;
  }
}

}  // namespace nnlib::python
