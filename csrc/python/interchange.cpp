#include "python/interchange.h"

#include <cstring>

#include "autograd/function.h"
#include "core/shape.h"
#include "python/bind.h"
#include "python/devices.h"
#include "python/dlpack.h"

namespace nnlib::python {

namespace {

constexpr int kMaxDims = 64;

struct FormatRow {
  Dtype dtype;
  const char* format;  // of the struct module
};
constexpr FormatRow kFormats[] = {{Dtype::Bool, "?"},   {Dtype::UInt8, "B"},   {Dtype::Int8, "b"},
                                  {Dtype::Int16, "h"},  {Dtype::Int32, "i"},   {Dtype::Int64, "q"},
                                  {Dtype::Int64, "l"},  {Dtype::Float16, "e"}, {Dtype::Float32, "f"},
                                  {Dtype::Float64, "d"}};

const char* format_of(Dtype d) {
  for (const FormatRow& r : kFormats)
    if (r.dtype == d) return r.format;
  return nullptr;
}

Dtype dtype_of_format(const char* f, Py_ssize_t itemsize) {
  if (!f) return Dtype::UInt8;
  if (*f == '@' || *f == '=' || *f == '<') f++;
  for (const FormatRow& r : kFormats)
    if (!std::strcmp(r.format, f)) {
      NNLIB_CHECK_TYPE((size_t)itemsize == nnlib::itemsize(r.dtype), "elements of format '", f, "' have ",
                       itemsize, " bytes");
      return r.dtype;
    }
  if (!std::strcmp(f, "c")) return Dtype::UInt8;
  throw_message<TypeError>("can't convert elements of format '", f,
                           "'. The only supported types are: float64, float32, float16, int64, int32, int16, "
                           "int8, uint8, and bool.");
}

// ---- the buffer that a tensor offers

struct Export {
  std::vector<Py_ssize_t> geometry;
  Ref<Storage> storage;  // outlives a later `x.data = y`
};

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  return guarded_int([&] {
    const Tensor& t = unpack(self);
    const char* format = format_of(t.dtype());
    if (!format || t.is_sparse() || (!(flags & PyBUF_STRIDES) && !t.is_contiguous())) {
      PyErr_Format(PyExc_BufferError,
                   t.is_sparse() ? "a sparse tensor has no buffer"
                   : format      ? "the tensor is not contiguous and the consumer takes no strides"
                                 : "a tensor of type %s has no format that buffers know",
                   dtype_name(t.dtype()));
      throw PythonErrorSet();
    }
    auto* e = new Export;
    e->storage = t.storage();
    e->storage->expose();
    for (int64_t s : t.sizes()) e->geometry.push_back((Py_ssize_t)s);
    for (int64_t s : t.strides()) e->geometry.push_back((Py_ssize_t)(s * (int64_t)t.itemsize()));
    static char nothing[16];
    view->buf = t.storage()->data() ? t.raw() : nothing;
    view->len = (Py_ssize_t)t.nbytes();
    view->itemsize = (Py_ssize_t)t.itemsize();
    view->readonly = !t.storage()->writable();
    view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format) : nullptr;
    view->ndim = (int)t.dim();
    view->shape = (flags & PyBUF_ND) ? e->geometry.data() : nullptr;
    view->strides = (flags & PyBUF_STRIDES) ? e->geometry.data() + t.dim() : nullptr;
    view->suboffsets = nullptr;
    view->internal = e;
    view->obj = self;
    Py_INCREF(self);
    return 0;
  });
}
void release_buffer(PyObject*, Py_buffer* view) { delete (Export*)view->internal; }
PyBufferProcs buffer_procs = {get_buffer, release_buffer};

// ---- values of Python objects

bool is_list(PyObject* o) {
  return PyList_Check(o) || PyTuple_Check(o) ||
         (PySequence_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) && PySequence_Size(o) >= 0);
}

void check_number(PyObject* o) {
  NNLIB_CHECK_TYPE(!PyUnicode_Check(o) && !PyBytes_Check(o) && o != Py_None, "new(): invalid data type '",
                   Py_TYPE(o)->tp_name, "'");
}

struct Inference {
  Dims sizes;
  bool any = false, has_float = false, has_int = false;
  Dtype from_arrays = Dtype::Bool;
  bool has_array = false;
};

void infer_sizes(PyObject* o, Inference* f) {
  for (int depth = 0;; depth++) {
    if (is_tensor(o)) {
      for (int64_t s : unpack(o).sizes()) f->sizes.push_back(s);
      return;
    }
    if (!is_list(o)) {
      PyErr_Clear();
      return;
    }
    const Py_ssize_t n = PySequence_Size(o);
    if (n < 0) throw PythonErrorSet();
    f->sizes.push_back(n);
    NNLIB_CHECK_VALUE(depth < kMaxDims, "too many dimensions '", Py_TYPE(o)->tp_name, "': at most ",
                      kMaxDims);
    if (n == 0) return;
    // The first item stays alive: its sequence holds it, or a new object made by __getitem__ is replaced by
    // itself.
    Object first = owned(PySequence_GetItem(o, 0));
    o = first.get();
    f->any = true;
    if (Py_REFCNT(o) == 1) {  // made on the fly: go on with it while we hold it
      infer_sizes(o, f);
      return;
    }
  }
}

void infer_type(PyObject* o, Inference* f, int depth) {
  if (is_tensor(o)) {
    f->from_arrays = f->has_array ? promote(f->from_arrays, unpack(o).dtype()) : unpack(o).dtype();
    f->has_array = true;
    return;
  }
  if (PyBool_Check(o)) return;
  if (PyFloat_CheckExact(o)) {
    f->has_float = true;
    return;
  }
  if (PyLong_CheckExact(o)) {
    f->has_int = true;
    return;
  }
  if (is_list(o)) {
    NNLIB_CHECK_VALUE(depth < kMaxDims, "too many dimensions '", Py_TYPE(o)->tp_name, "'");
    const Py_ssize_t n = PySequence_Size(o);
    for (Py_ssize_t i = 0; i < n; i++) {
      Object item = owned(PySequence_GetItem(o, i));
      infer_type(item.get(), f, depth + 1);
    }
    return;
  }
  PyErr_Clear();
  if (has_buffer(o)) {  // NumPy's scalars
    const Dtype d = tensor_from_buffer(o).dtype();
    f->from_arrays = f->has_array ? promote(f->from_arrays, d) : d;
    f->has_array = true;
    return;
  }
  if (PyIndex_Check(o)) {
    f->has_int = true;
    return;
  }
  check_number(o);
  const Scalar s = scalar_value(o);
  (s.is_floating() ? f->has_float : f->has_int) = true;
}

template <class T>
void fill_from(PyObject* o, const Dims& sizes, size_t d, T*& out) {
  if (d < sizes.size()) {
    if (is_tensor(o)) {
      NNLIB_CHECK_VALUE(Dims(sizes.data() + d, sizes.size() - d) == unpack(o).sizes(),
                        "expected tensors of equal sizes, got ", unpack(o).sizes(), " where the first has ",
                        Dims(sizes.data() + d, sizes.size() - d));
      Tensor values = empty(unpack(o).sizes(), DtypeOf<T>::value);
      copy_values(values, unpack(o));
      std::memcpy((void*)out, values.raw() ? values.raw() : out, (size_t)values.nbytes());
      out += values.numel();
      return;
    }
    const Py_ssize_t n = is_list(o) ? PySequence_Size(o) : -1;
    PyErr_Clear();
    NNLIB_CHECK_VALUE(n == sizes[d], "expected sequence of length ", sizes[d], " at dim ", d,
                      n < 0 ? concat(" (got ", Py_TYPE(o)->tp_name, ")") : concat(" (got ", n, ")"));
    for (Py_ssize_t i = 0; i < n; i++) {
      Object item = owned(PySequence_GetItem(o, i));
      fill_from(item.get(), sizes, d + 1, out);
    }
    return;
  }
  NNLIB_CHECK_VALUE(PyFloat_Check(o) || !is_list(o) || is_tensor(o),
                    "only one element tensors can be converted to Python scalars");
  PyErr_Clear();
  if (is_tensor(o))
    NNLIB_CHECK_VALUE(unpack(o).numel() == 1, "only one element tensors can be converted to Python scalars");
  check_number(o);
  const Scalar s = scalar_value(o);
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
    NNLIB_CHECK(s.is_floating() || (s.to_int() >= (int64_t)std::numeric_limits<T>::min() &&
                                    s.to_int() <= (int64_t)std::numeric_limits<T>::max()),
                "value cannot be converted to type ", dtype_name(DtypeOf<T>::value), " without overflow");
  *out++ = (T)s.to<compute_t<T>>();
}

}  // namespace

PyBufferProcs* tensor_as_buffer() { return &buffer_procs; }

bool has_buffer(PyObject* o) { return PyObject_CheckBuffer(o) && !is_tensor(o) && !PyBytes_Check(o); }

Tensor tensor_from_buffer(PyObject* o) {
  auto* view = new Py_buffer;
  bool writable = true;
  if (PyObject_GetBuffer(o, view, PyBUF_RECORDS) < 0) {
    PyErr_Clear();
    writable = false;
    if (PyObject_GetBuffer(o, view, PyBUF_RECORDS_RO) < 0) {
      delete view;
      throw PythonErrorSet();
    }
  }
  struct Holder {
    Py_buffer* view;
    ~Holder() {
      if (!Py_IsInitialized()) return;
      GilAcquire gil;
      PyBuffer_Release(view);
      delete view;
    }
  };
  auto holder = std::make_shared<Holder>();
  holder->view = view;
  const Dtype dtype = dtype_of_format(view->format, view->itemsize);
  const int64_t item = (int64_t)view->itemsize;
  Dims sizes, strides;
  int64_t last = 0;
  for (int i = 0; i < view->ndim; i++) {
    sizes.push_back(view->shape[i]);
    NNLIB_CHECK_VALUE(
        view->strides[i] >= 0 || view->shape[i] < 2,
        "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
        "currently supported. (You can probably work around this by making a copy of your array with "
        "array.copy().)");
    NNLIB_CHECK_VALUE(view->strides[i] % item == 0,
                      "given numpy array strides not a multiple of the element byte size. Copy the numpy "
                      "array to reallocate the memory.");
    strides.push_back(view->shape[i] < 2 ? 1 : view->strides[i] / item);
    last += (sizes.back() - 1) * strides.back();
  }
  if (view->ndim && is_contiguous(sizes, strides)) strides = contiguous_strides(sizes);
  const size_t bytes = count(sizes) ? (size_t)((last + 1) * item) : 0;
  auto storage = make_ref<Storage>(view->buf, bytes, [holder]() mutable { holder.reset(); }, writable);
  return from_storage(storage, dtype, sizes, strides, 0);
}

PyObject* scalar_object(Scalar s) {
  if (s.is_bool()) return PyBool_FromLong(s.to_bool());
  return s.is_floating() ? PyFloat_FromDouble(s.to_double()) : PyLong_FromLongLong(s.to_int());
}

Tensor tensor_from_object(PyObject* data, const Dtype* dtype) {
  if (is_tensor(data) || has_buffer(data)) {
    const Tensor from = is_tensor(data) ? detach(unpack(data)) : tensor_from_buffer(data);
    Tensor r = empty(from.sizes(), dtype ? *dtype : from.dtype());
    copy_values(r, from);
    return r;
  }
  check_number(data);
  if (PyObject_HasAttrString(data, "__array__") && !is_list(data)) {
    Object array = owned(PyObject_CallMethod(data, "__array__", nullptr));
    if (has_buffer(array.get())) return tensor_from_object(array.get(), dtype);
  }
  PyErr_Clear();
  Inference f;
  infer_sizes(data, &f);
  Dtype d;
  if (dtype) {
    d = *dtype;
  } else {
    infer_type(data, &f, 0);
    const int64_t n = count(f.sizes);
    d = n == 0 ? default_dtype() : f.has_float ? default_dtype() : f.has_int ? Dtype::Int64 : Dtype::Bool;
    if (f.has_array)
      d = f.has_float ? (is_floating(f.from_arrays) ? f.from_arrays : default_dtype())
          : f.has_int ? promote(f.from_arrays, is_floating(f.from_arrays) ? f.from_arrays : Dtype::Int64)
                      : f.from_arrays;
  }
  Tensor r = empty(f.sizes, d);
  dispatch_all(d, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = (T*)r.raw();
    fill_from<T>(data, f.sizes, 0, out);
  });
  return r;
}

PyObject* tensor_to_numpy(PyObject* self, bool force) {
  const Tensor& t = unpack(self);
  NNLIB_CHECK(!t.requires_grad() || force,
              "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
  NNLIB_CHECK_TYPE(!t.is_sparse(),
                   "can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.");
  NNLIB_CHECK_TYPE(format_of(t.dtype()), "Got unsupported ScalarType ", dtype_legacy_name(t.dtype()));
  static PyObject* asarray = nullptr;
  if (!asarray) {
    Object numpy = owned(PyImport_ImportModule("numpy"));
    asarray = checked(PyObject_GetAttrString(numpy.get(), "asarray"));
  }
  return checked(PyObject_CallFunctionObjArgs(asarray, self, nullptr));
}

namespace {
template <class T>
PyObject* to_list(const T* p, const Dims& sizes, const Dims& strides, size_t d) {
  if (d == sizes.size()) {
    if constexpr (std::is_same_v<T, bool>)
      return PyBool_FromLong(*p);
    else if constexpr (std::is_integral_v<T>)
      return PyLong_FromLongLong(*p);
    else
      return PyFloat_FromDouble((double)(compute_t<T>)*p);
  }
  Object list = owned(PyList_New((Py_ssize_t)sizes[d]));
  for (int64_t i = 0; i < sizes[d]; i++)
    PyList_SET_ITEM(list.get(), (Py_ssize_t)i, checked(to_list(p + i * strides[d], sizes, strides, d + 1)));
  return list.release();
}
}  // namespace

PyObject* tensor_to_list(const Tensor& t) {
  NNLIB_CHECK(!t.is_sparse(), "tolist() of a sparse tensor: use to_dense() first");
  return dispatch_all(t.dtype(), [&](auto tag) {
    return to_list((const typename decltype(tag)::type*)t.raw(), t.sizes(), t.strides(), 0);
  });
}

// The old constructors: Tensor(), Tensor(2, 3) and Tensor(size) are of the default type, Tensor([..]) takes
// values.
PyObject* construct_tensor(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  if (kwargs && PyDict_Size(kwargs)) {
    PyObject* device = PyDict_GetItemString(kwargs, "device");
    NNLIB_CHECK_TYPE(device && PyDict_Size(kwargs) == 1, Py_TYPE((PyObject*)type)->tp_name,
                     "() takes only the keyword argument 'device'");
    to_device(device);
  }
  const Py_ssize_t n = PyTuple_GET_SIZE(args);
  PyObject* first = n ? PyTuple_GET_ITEM(args, 0) : nullptr;
  const Dtype dtype = default_dtype();
  Tensor t;
  if (n == 0) {
    t = empty({0}, dtype);
  } else if (n == 1 && is_tensor(first)) {
    t = alias(unpack(first));
  } else if (PyLong_Check(first) ||
             (n == 1 &&
              Py_TYPE(first) == (PyTypeObject*)owned(PyObject_Type(owned(size_object({})).get())).get())) {
    t = empty(ints_value(n == 1 && !PyLong_Check(first) ? first : args, Param{}), dtype);
  } else {
    NNLIB_CHECK_TYPE(n == 1, "Tensor() takes sizes, one sequence or one tensor, got ", n, " arguments");
    t = tensor_from_object(first, &dtype);
  }
  return wrap_as(type, t);
}

// ---- functions of the module

namespace {

// dtype, device and requires_grad of a factory call.
struct Options {
  Dtype dtype;
  bool has_dtype = false, requires_grad = false;
  Device device;
};
Options options_from(PyObject* dtype, PyObject* device, int requires_grad) {
  Options o;
  if (dtype && dtype != Py_None) {
    o.dtype = to_dtype(dtype);
    o.has_dtype = true;
  }
  if (device && device != Py_None) o.device = to_device(device);
  o.requires_grad = requires_grad;
  return o;
}

PyObject* finish(Tensor t, const Options& o) {
  put_on(t, o.device);
  if (o.requires_grad) set_requires_grad(t, true);
  return wrap(t);
}

PyObject* tensor_function(PyObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"data", "dtype", "device", "requires_grad", "pin_memory", nullptr};
  PyObject *data, *dtype = nullptr, *device = nullptr;
  int requires_grad = 0, pin = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOpp", const_cast<char**>(names), &data, &dtype, &device,
                                   &requires_grad, &pin))
    return nullptr;
  return guarded([&] {
    if (is_tensor(data) &&
        PyErr_WarnEx(
            PyExc_UserWarning,
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            1) < 0)
      throw PythonErrorSet();
    const Options o = options_from(dtype, device, requires_grad);
    return finish(tensor_from_object(data, o.has_dtype ? &o.dtype : nullptr), o);
  });
}

PyObject* as_tensor_function(PyObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"data", "dtype", "device", nullptr};
  PyObject *data, *dtype = nullptr, *device = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO", const_cast<char**>(names), &data, &dtype, &device))
    return nullptr;
  return guarded([&] {
    const Options o = options_from(dtype, device, 0);
    if (is_tensor(data)) {
      if (!o.has_dtype || unpack(data).dtype() == o.dtype) {
        Py_INCREF(data);
        return data;
      }
      return wrap(basic_ops().cast(unpack(data), o.dtype));
    }
    if (has_buffer(data)) {
      Tensor t = tensor_from_buffer(data);
      return finish(o.has_dtype ? cast_values(t, o.dtype) : t, o);
    }
    return finish(tensor_from_object(data, o.has_dtype ? &o.dtype : nullptr), o);
  });
}

PyObject* from_numpy_function(PyObject*, PyObject* array) {
  return guarded([&] {
    // Asked of the type: the attribute itself is a dictionary that NumPy makes anew each time.
    NNLIB_CHECK_TYPE(
        has_buffer(array) && PyObject_HasAttrString((PyObject*)Py_TYPE(array), "__array_interface__"),
        "expected np.ndarray (got ", Py_TYPE(array)->tp_name, ")");
    Tensor t = tensor_from_buffer(array);
    if (!t.storage()->writable() && PyErr_WarnEx(PyExc_UserWarning,
                                                 "The given NumPy array is not writable, and PyTorch does "
                                                 "not support non-writable tensors. This means "
                                                 "writing to this tensor will result in undefined behavior. "
                                                 "You may want to copy the array to protect its "
                                                 "data or make it writable before converting it to a tensor.",
                                                 1) < 0)
      throw PythonErrorSet();
    return wrap(t);
  });
}

PyObject* frombuffer_function(PyObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"buffer", "dtype", "count", "offset", "requires_grad", nullptr};
  PyObject *buffer, *dtype = nullptr;
  long long n = -1, offset = 0;
  int requires_grad = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OLLp", const_cast<char**>(names), &buffer, &dtype, &n,
                                   &offset, &requires_grad))
    return nullptr;
  return guarded([&] {
    NNLIB_CHECK_TYPE(dtype, "frombuffer() missing 1 required keyword-only argument: 'dtype'");
    const Dtype d = to_dtype(dtype);
    NNLIB_CHECK_TYPE(PyObject_CheckBuffer(buffer), "object does not implement Python buffer protocol.");
    Object bytes = owned(PyMemoryView_FromObject(buffer));
    const char* format = PyMemoryView_GET_BUFFER(bytes.get())->format;
    NNLIB_CHECK_TYPE(!format || !std::strchr(format, 'O'),
                     "frombuffer(): expected a buffer of numbers but got one of Python objects");
    Object flat = owned(PyObject_CallMethod(bytes.get(), "cast", "s", "B"));
    Tensor raw = tensor_from_buffer(flat.get());
    const int64_t size = (int64_t)itemsize(d), total = raw.numel();
    NNLIB_CHECK_VALUE(total > 0 && n != 0, "both buffer length (", total, ") and count (", n,
                      ") must not be 0");
    NNLIB_CHECK_VALUE(offset >= 0 && offset < total, "offset (", offset,
                      " bytes) must be non-negative and no greater than buffer length (", total,
                      " bytes) minus 1");
    NNLIB_CHECK_VALUE(n > 0 || (total - offset) % size == 0, "buffer length (", total - offset,
                      " bytes) after offset (", offset, " bytes) must be a multiple of element size (", size,
                      ")");
    const int64_t want = n > 0 ? n : (total - offset) / size;
    NNLIB_CHECK_VALUE(want <= (total - offset) / size, "requested buffer length (", want, " * ", size,
                      " bytes) after offset (", offset,
                      " bytes) must not be greater than actual buffer length (", total, " bytes)");
    const Ref<Storage> inner = raw.storage();
    auto storage =
        make_ref<Storage>((char*)raw.raw() + offset, (size_t)(want * size), [inner] {}, inner->writable());
    Tensor t = from_storage(storage, d, {want}, {1}, 0);
    if (requires_grad) set_requires_grad(t, true);
    return wrap(t);
  });
}

PyMethodDef functions[] = {
    {"tensor", (PyCFunction)(void (*)())tensor_function, METH_VARARGS | METH_KEYWORDS,
     "tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False) -> Tensor\n\n"
     "A tensor with its own copy of `data`: a number, (nested) sequence of numbers, NumPy array or tensor. "
     "Without `dtype`,\n"
     "Python floats give the default dtype, ints int64, bools bool; arrays keep theirs. Raises ValueError "
     "where nested\n"
     "sequences differ in length.\n\n>>> nnlib.tensor([[1., 2.], [3., 4.]]).shape\ntorch.Size([2, 2])"},
    {"as_tensor", (PyCFunction)(void (*)())as_tensor_function, METH_VARARGS | METH_KEYWORDS,
     "as_tensor(data, dtype=None, device=None) -> Tensor\n\nLike tensor(), but shares memory and history "
     "where it can."},
    {"from_numpy", from_numpy_function, METH_O,
     "from_numpy(ndarray) -> Tensor\n\nA tensor on the memory of a NumPy array: changes show in both."},
    {"frombuffer", (PyCFunction)(void (*)())frombuffer_function, METH_VARARGS | METH_KEYWORDS,
     "frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False) -> Tensor\n\nA one-dimensional "
     "tensor on the memory of an object with the buffer protocol."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void init_interchange(PyObject* module) {
  PyModule_AddFunctions(module, functions);
  init_dlpack(module);
}

}  // namespace nnlib::python
