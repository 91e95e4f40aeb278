// Binding of operators: one line each. The signature gives names, types and defaults of the arguments; the
// C++ types come from the function itself. Several lines of one name are overloads, tried in order.
#pragma once
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/generator.h"
#include "core/tensor.h"
#include "python/object.h"
#include "python/py_tensor.h"
#include "python/types.h"

namespace nnlib {

// Convolution padding: numbers, or "same" / "valid".
struct Padding {
  Dims dims;
  std::string mode;
};

}  // namespace nnlib

namespace nnlib::python {

enum Flags {
  kFunction = 1,
  kMethod = 2,
  kInplace = 4,
  kOut = 8,              // takes out=
  kIntoOut = 64 | kOut,  // and computes there where that can be: it fails before it writes or not at all
  kProperty = 16,
  kPrivate = 32,
  kOneTensor = 128,  // numbers alone are refused
};

enum class Kind : uint8_t {
  Tensor,
  Operand,
  Scalar,
  Int,
  Float,
  Bool,
  Str,
  Ints,
  Floats,
  Tensors,
  Dtype,
  Generator,
  MemoryFormat,
  Padding,
  Device,
  Object
};

struct Param {
  std::string name;
  Kind kind;
  bool optional = false;  // takes None
  bool keyword_only = false;
  bool has_default = false;
  int repeat = 0;                   // int[2]: one int stands for this many
  PyObject* name_object = nullptr;  // interned
  PyObject* default_value = nullptr;
};

struct Overload;
using Invoke = PyObject* (*)(const Overload&, PyObject* const* slots);

// What an operator does with its floating-point arguments under autocast (python/autocast.h).
enum class CastPolicy : uint8_t { None, Lower, Float32, Promote };
struct CastRule {
  CastPolicy policy = CastPolicy::None;
  CastPolicy (*choose)(PyObject* const* slots) =
      nullptr;  // that of one call, where it depends on the arguments
};

struct Overload {
  std::string signature;
  std::vector<Param> params;
  int positional = 0;     // parameters that may be given by position
  bool var_ints = false;  // f(1, 2) means f((1, 2))
  int flags = 0;
  bool list_result = false;
  bool takes_device = false;
  CastRule cast_rule;
  PyTypeObject* named_result = nullptr;
  Invoke invoke = nullptr;
};

// ---- from a checked Python object (never null) to the C++ argument. The object outlives the call.

template <class T>
struct Arg;

struct TensorArg {
  const Tensor* p;
  Tensor own;
};
Tensor operand_tensor(PyObject* o);  // a number as a weak tensor, a NumPy scalar too
Scalar scalar_value(PyObject* o);
int64_t int_value(PyObject* o);
double float_value(PyObject* o);
Dims ints_value(PyObject* o, const Param& p);
std::vector<double> floats_value(PyObject* o);
TensorList tensors_value(PyObject* o);
std::string string_value(PyObject* o);
Ref<Generator> generator_value(PyObject* o);
bool is_generator(PyObject* o);
Padding padding_value(PyObject* o, const Param& p);

template <>
struct Arg<Tensor> {
  TensorArg v;
  Arg(PyObject* o, const Param&) {
    if (is_tensor(o))
      v.p = &unpack(o);
    else {
      if (o != Py_None) v.own = operand_tensor(o);
      v.p = nullptr;
    }
  }
  const Tensor& get() const { return v.p ? *v.p : v.own; }
};
#define NNLIB_ARG(T, expr)                                  \
  template <>                                               \
  struct Arg<T> {                                           \
    T v;                                                    \
    Arg(PyObject* o, const Param& p) : v(expr) { (void)p; } \
    const T& get() const { return v; }                      \
  };
NNLIB_ARG(Scalar, scalar_value(o))
NNLIB_ARG(int64_t, int_value(o))
NNLIB_ARG(double, float_value(o))
NNLIB_ARG(bool, o == Py_True || (o != Py_False && PyObject_IsTrue(o) == 1))
NNLIB_ARG(std::string, string_value(o))
NNLIB_ARG(Dims, ints_value(o, p))
NNLIB_ARG(std::vector<double>, floats_value(o))
NNLIB_ARG(TensorList, tensors_value(o))
NNLIB_ARG(Dtype, to_dtype(o))
NNLIB_ARG(Ref<Generator>, o == Py_None ? Ref<Generator>() : generator_value(o))
NNLIB_ARG(MemoryFormat, to_memory_format(o))
NNLIB_ARG(Device, to_device(o))
NNLIB_ARG(Padding, padding_value(o, p))
#undef NNLIB_ARG
template <>
struct Arg<PyObject*> {
  PyObject* v;
  Arg(PyObject* o, const Param&) : v(o) {}
  PyObject* get() const { return v; }
};
template <class T>
struct Arg<std::optional<T>> {
  std::optional<T> v;
  Arg(PyObject* o, const Param& p) {
    if (o != Py_None) v.emplace(Arg<T>(o, p).get());
  }
  const std::optional<T>& get() const { return v; }
};

// ---- results

PyObject* pack(const Overload& o, const Tensor& t);
PyObject* pack(const Overload& o, const TensorList& l);
PyObject* pack(const Overload& o, const Tensor* items, size_t n);
inline PyObject* pack(const Overload&, bool v) { return PyBool_FromLong(v); }
inline PyObject* pack(const Overload&, int64_t v) { return PyLong_FromLongLong(v); }
inline PyObject* pack(const Overload&, double v) { return PyFloat_FromDouble(v); }
inline PyObject* pack(const Overload&, const Dims& v) { return size_object(v); }
inline PyObject* pack(const Overload&, Dtype v) { return dtype_object(v); }
inline PyObject* pack(const Overload&, const std::string& v) {
  return PyUnicode_FromStringAndSize(v.data(), (Py_ssize_t)v.size());
}
PyObject* pack(const Overload&, const Scalar& v);
template <class... T>
PyObject* pack(const Overload& o, const std::tuple<T...>& v) {
  return std::apply(
      [&](const auto&... t) {
        const Tensor items[] = {t...};
        return pack(o, items, sizeof...(t));
      },
      v);
}
template <class A, class B>
PyObject* pack(const Overload& o, const std::pair<A, B>& v) {
  const Tensor items[] = {v.first, v.second};
  return pack(o, items, 2);
}

template <class T>
using bare = std::remove_cv_t<std::remove_reference_t<T>>;

template <auto Fn, class R, class... A>
struct Invoker {
  template <size_t... I>
  static PyObject* run(const Overload& o, PyObject* const* slots, std::index_sequence<I...>) {
    std::tuple<Arg<bare<A>>...> args{Arg<bare<A>>(slots[I], o.params[I])...};
    if constexpr (std::is_void_v<R>) {
      {
        GilRelease nogil;
        Fn(std::get<I>(args).get()...);
      }
      Py_RETURN_NONE;
    } else {
      auto call = [&]() -> bare<R> {
        GilRelease nogil;
        return Fn(std::get<I>(args).get()...);
      };
      return pack(o, call());
    }
  }
  static PyObject* invoke(const Overload& o, PyObject* const* slots) {
    return run(o, slots, std::index_sequence_for<A...>{});
  }
};

template <auto Fn>
struct Signature;
template <class R, class... A, R (*Fn)(A...)>
struct Signature<Fn> {
  static constexpr Invoke invoke = &Invoker<Fn, R, A...>::invoke;
  static constexpr size_t arity = sizeof...(A);
};

class Binder {
 public:
  explicit Binder(PyObject* module) : module_(module) {}
  // Binds Fn under the signature's name. `flags` says where it appears.
  template <auto Fn>
  void def(const char* signature, int flags, const char* doc) {
    add(signature, Signature<Fn>::invoke, Signature<Fn>::arity, flags, doc);
  }
  void add(const char* signature, Invoke invoke, size_t arity, int flags, const char* doc);
  PyObject* module() const { return module_; }

 private:
  PyObject* module_;
};

void init_bind(PyObject* module);

}  // namespace nnlib::python
