// x[key] and x[key] = value. Integers, slices, None and the ellipsis make views one after the other; tensors,
// masks and sequences are collected for one advanced indexing of what the views left.
#include "python/indexing.h"

#include "core/shape.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/shape.h"
#include "python/bind.h"
#include "python/devices.h"
#include "python/interchange.h"
#include "python/py_tensor.h"

namespace nnlib::python {

namespace {

// NumPy's arrays have __index__ too, and its numbers call themselves sequences without a length.
bool has_length(PyObject* o) {
  if (!PySequence_Check(o)) return false;
  if (PySequence_Size(o) >= 0) return true;
  PyErr_Clear();
  return false;
}

bool is_integer(PyObject* o) {
  if (PyLong_CheckExact(o)) return true;
  return !PyBool_Check(o) && !is_tensor(o) && PyIndex_Check(o) && !has_length(o);
}

bool is_mask(const Tensor& t) { return t.dtype() == Dtype::Bool || t.dtype() == Dtype::UInt8; }

// Whether a sequence that is no tuple stands for one: NumPy's old rule, which PyTorch keeps.
bool stands_for_tuple(PyObject* key) {
  if (PyTuple_Check(key)) return true;
  if (!PyList_Check(key)) return false;
  const Py_ssize_t n = PyList_GET_SIZE(key);
  if (n >= 32) return false;
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject* o = PyList_GET_ITEM(key, i);
    if (is_tensor(o) || PySlice_Check(o) || PySequence_Check(o) || o == Py_Ellipsis || o == Py_None)
      return true;
  }
  return false;
}

Tensor sequence_index(PyObject* o) {
  const auto got = [&] {
    return concat(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
        "(got ",
        Py_TYPE(o)->tp_name, ")");
  };
  if (!PySequence_Check(o)) throw IndexError(got());
  if (PyUnicode_Check(o) || PyBytes_Check(o)) throw TypeError(got());
  Object list =
      has_buffer(o) || PyList_Check(o) || PyTuple_Check(o) ? Object::borrow(o) : owned(PySequence_List(o));
  Tensor t = tensor_from_object(list.get(), nullptr);
  return t.numel() == 0 && t.is_floating_point() ? cast_values(t, Dtype::Int64) : t;
}

int64_t checked_index(const Tensor& t, int64_t dim, PyObject* o) {
  const int64_t i = int_value(o);
  NNLIB_CHECK_INDEX(t.dim() > 0,
                    "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
                    "C++ to convert a 0-dim tensor to a number");
  NNLIB_CHECK_INDEX(dim < t.dim(), "too many indices for tensor of dimension ", t.dim());
  const int64_t n = t.sizes()[dim];
  NNLIB_CHECK_INDEX(i >= -n && i < n, "index ", i, " is out of bounds for dimension ", dim, " with size ", n);
  return i;
}

Tensor apply_slice(const Tensor& t, int64_t dim, PyObject* o) {
  Py_ssize_t start, stop, step;
  if (PySlice_Unpack(o, &start, &stop, &step) < 0) throw PythonErrorSet();
  NNLIB_CHECK_VALUE(step > 0, "step must be greater than zero");
  NNLIB_CHECK_INDEX(t.dim() > 0, "slice() cannot be applied to a 0-dim tensor.");
  NNLIB_CHECK_INDEX(dim < t.dim(), "too many indices for tensor of dimension ", t.dim());
  const int64_t n = t.sizes()[dim];
  if (step == 1 && (start == 0 || start <= -n) && stop >= n) return t;
  return ops::slice(t, dim, start, stop, step);
}

// What is left to do when the views are made.
struct Target {
  Tensor view;
  TensorList indices;  // undefined: the whole dimension
  bool advanced = false;
};

void add_index(Target& r, int64_t dim, const Tensor& index) {
  if ((int64_t)r.indices.size() < dim) r.indices.resize((size_t)dim);
  r.indices.push_back(index);
  r.advanced = true;
}

// How many dimensions of the tensor an item speaks of.
int64_t consumes(PyObject* o) {
  if (o == Py_None || o == Py_Ellipsis || PyBool_Check(o)) return 0;
  if (is_tensor(o)) return is_mask(unpack(o)) ? unpack(o).dim() : 1;
  return 1;
}

// Applies one item at dimension `dim` of r.view and moves on.
void apply_item(Target& r, int64_t& dim, PyObject* o, int64_t skipped) {
  if (is_integer(o)) {
    r.view = ops::select(r.view, dim, checked_index(r.view, dim, o));
  } else if (PySlice_Check(o)) {
    r.view = apply_slice(r.view, dim, o);
    dim++;
  } else if (o == Py_Ellipsis) {
    dim += skipped;
  } else if (o == Py_None) {
    r.view = ops::unsqueeze(r.view, dim++);
  } else if (PyBool_Check(o)) {
    r.view = ops::unsqueeze(r.view, dim);
    Tensor mask = scalar_tensor(o == Py_True, Dtype::Bool);
    add_index(r, dim++, alias(mask, {1}, {1}, 0));
  } else {
    Tensor t = is_tensor(o) ? unpack(o) : sequence_index(o);
    if (t.dim() == 0 && is_mask(t)) {
      r.view = ops::unsqueeze(r.view, dim);
      add_index(r, dim++, ops::reshape(t, {1}));
    } else if (t.dim() == 0 && is_integral(t.dtype(), false) && is_tensor(o)) {
      Object number = owned(PyLong_FromLongLong(t.item().to_int()));
      r.view = ops::select(r.view, dim, checked_index(r.view, dim, number.get()));
    } else {
      add_index(r, dim, t);
      // A mask takes as many dimensions as it has; the operator spreads it over them.
      dim += is_mask(t) ? t.dim() : 1;
      for (int64_t i = 1; is_mask(t) && i < t.dim(); i++) r.indices.push_back(Tensor());
    }
  }
}

Target resolve(const Tensor& self, PyObject* key) {
  Target r{self, {}, false};
  int64_t dim = 0;
  if (!stands_for_tuple(key)) {
    apply_item(r, dim, key, self.dim());
    return r;
  }
  Object items = owned(PySequence_List(key));
  const Py_ssize_t n = PyList_GET_SIZE(items.get());
  int64_t used = 0;
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject* o = PyList_GET_ITEM(items.get(), i);
    if (!is_tensor(o) && !PySlice_Check(o) && PySequence_Check(o)) {
      // A sequence becomes its tensor now: masks count with their dimensions.
      Object t = owned(wrap(sequence_index(o)));
      used += consumes(t.get());
      PyList_SetItem(items.get(), i, t.release());
      continue;
    }
    used += consumes(o);
  }
  NNLIB_CHECK_INDEX(used <= self.dim(), "too many indices for tensor of dimension ", self.dim());
  for (Py_ssize_t i = 0; i < n; i++) apply_item(r, dim, PyList_GET_ITEM(items.get(), i), self.dim() - used);
  return r;
}

// A mask that was spread over its dimensions is followed by as many undefined entries; the operator wants it
// alone.
TensorList without_padding(const TensorList& indices) {
  TensorList r;
  for (size_t i = 0; i < indices.size(); i++) {
    r.push_back(indices[i]);
    if (indices[i].defined() && is_mask(indices[i])) i += (size_t)std::max<int64_t>(0, indices[i].dim() - 1);
  }
  return r;
}

// Leading dimensions of one, which the destination does not have, are dropped.
Tensor drop_leading_ones(const Tensor& v) {
  size_t first = 0;
  while (first < v.sizes().size() && v.sizes()[first] == 1) first++;
  if (first == 0) return v;
  return ops::reshape(v, Dims(v.sizes().data() + first, v.sizes().size() - first));
}

// x[mask] = one value is a fill.
bool fill_mask(const Target& t, const Tensor& value) {
  int64_t at = -1;
  for (size_t i = 0; i < t.indices.size(); i++) {
    if (!t.indices[i].defined()) continue;
    if (at >= 0 || !is_mask(t.indices[i]) || t.indices[i].dtype() != Dtype::Bool) return false;
    at = (int64_t)i;
  }
  if (at < 0 || value.numel() != 1) return false;
  const Tensor& mask = t.indices[(size_t)at];
  Dims shape(mask.sizes());
  for (int64_t d = 0; d < mask.dim(); d++)
    if (at + d >= t.view.dim() || t.view.sizes()[at + d] != mask.sizes()[d])
      return false;  // the operator words the error
  while ((int64_t)shape.size() < t.view.dim() - at) shape.push_back(1);
  ops::masked_fill_(t.view, ops::reshape(mask, shape), ops::reshape(value, {}));
  return true;
}

void check_devices(const Tensor& self, const TensorList& others) {
  Device common = self.device();
  for (const Tensor& t : others)
    if (t.defined()) join_devices(common, t);
}

}  // namespace

PyObject* tensor_getitem(const Tensor& self, PyObject* key) {
  DeviceScope scope(self.device());
  if (is_integer(key)) return wrap(ops::select(self, 0, checked_index(self, 0, key)));
  Target t = resolve(self, key);
  if (!t.advanced) return wrap(t.view.is_same(self) ? ops::alias_view(self) : t.view);
  NNLIB_CHECK_AS(NotImplementedError, !self.is_sparse(),
                 "indexing does not take sparse tensors; to_dense() gives a dense one");
  check_devices(self, t.indices);
  Tensor r;
  {
    GilRelease nogil;
    r = ops::index(t.view, without_padding(t.indices));
  }
  return wrap(r);
}

int tensor_setitem(const Tensor& self, PyObject* key, PyObject* value) {
  NNLIB_CHECK_TYPE(!self.is_sparse(), "Cannot assign to a sparse tensor");
  Tensor v;
  if (is_tensor(value))
    v = unpack(value);
  else if (PyFloat_Check(value) || PyLong_Check(value) || PyBool_Check(value) ||
           (PyNumber_Check(value) && !PySequence_Check(value)))
    v = scalar_tensor(scalar_value(value), self.dtype());
  else
    throw_message<TypeError>("can't assign a ", Py_TYPE(value)->tp_name, " to a tensor of type ",
                             dtype_name(self.dtype()));
  DeviceScope scope(self.device());
  Target t = resolve(self, key);
  if (t.advanced) {
    // A single value may come from anywhere, as in PyTorch.
    TensorList given = t.indices;
    if (v.dim() > 0) given.push_back(v);
    check_devices(self, given);
  }
  GilRelease nogil;
  if (!t.advanced) {
    if (v.dim() > t.view.dim()) v = drop_leading_ones(v);
    if (v.sizes() != t.view.sizes()) v = ops::expand(v, t.view.sizes());
    ops::copy_(t.view, v);
    return 0;
  }
  if (fill_mask(t, v)) return 0;
  ops::index_put_(t.view, without_padding(t.indices), drop_leading_ones(v));
  return 0;
}

}  // namespace nnlib::python
