#include "python/py_tensor.h"

#include "autograd/variable.h"
#include "python/autograd.h"
#include "python/interchange.h"
#include "python/number.h"
#include "python/tensor_attrs.h"

namespace nnlib::python {

namespace {

PyTypeObject* g_tensor_class = nullptr;

// Puts a tensor into an object without counting it twice: `strong` says whether the handle counts.
void attach(PyTensor* self, const Tensor& t) {
  new (&self->t) Tensor(t);
  self->strong = true;
  t.impl()->pyobj = (PyObject*)self;
}

void drop_tensor(PyTensor* self) {
  if (self->t.defined()) {
    TensorImpl* p = self->t.impl();
    if (p->pyobj == (PyObject*)self) p->pyobj = nullptr;
    if (!self->strong) {
      // The handle was not counted: forget it without a release.
      Ref<TensorImpl>& r = const_cast<Ref<TensorImpl>&>(self->t.ref());
      r.detach();
    }
  }
  self->t.reset();
}

// Objects of the usual class that wait to be used again.
constexpr int kSpares = 64;
PyTensor* g_spares[kSpares];
int g_spare_count = 0;

bool keep_spare(PyTensor* self) {
  if (Py_TYPE(self) != g_tensor_class || Py_TYPE(self)->tp_finalize || g_spare_count == kSpares) return false;
  g_spares[g_spare_count++] = self;
  return true;
}
PyTensor* new_object(PyTypeObject* type) {
  if (type != g_tensor_class || !g_spare_count) return (PyTensor*)checked(type->tp_alloc(type, 0));
  PyTensor* self = g_spares[--g_spare_count];
  PyObject_Init((PyObject*)self, type);
  self->dict = self->weakrefs = nullptr;
  PyObject_GC_Track((PyObject*)self);
  return self;
}

// Python let go of the object while C++ still holds the tensor: the tensor takes over the object.
bool try_resurrect(PyTensor* self) {
  if (!self->strong || !self->t.defined()) return false;
  TensorImpl* p = self->t.impl();
  if (p->pyobj != (PyObject*)self || p->use_count() <= 1) return false;
  Py_SET_REFCNT((PyObject*)self, 1);
  p->python_owned_by_core = true;
  self->strong = false;
  p->release();  // may be the last after all; then the object goes with it
  return true;
}

// The last C++ handle of a tensor that owns its object is gone.
void on_tensor_death(TensorImpl* p) {
  if (!Py_IsInitialized()) return;
  GilAcquire gil;
  PyTensor* self = (PyTensor*)p->pyobj;
  p->pyobj = nullptr;
  p->python_owned_by_core = false;
  if (!self) return;
  const_cast<Ref<TensorImpl>&>(self->t.ref()).detach();
  self->strong = true;
  Py_DECREF(self);
}

int tensor_traverse(PyObject* o, visitproc visit, void* arg) {
  PyTensor* self = (PyTensor*)o;
  Py_VISIT(self->dict);
  // What only this object can reach belongs to its cycle.
  if (self->strong && self->t.defined() && self->t.ref()->use_count() == 1)
    return traverse_autograd(self->t, visit, arg);
  return 0;
}

int tensor_clear(PyObject* o) {
  PyTensor* self = (PyTensor*)o;
  Py_CLEAR(self->dict);
  // The tensor itself goes in dealloc, or now when nothing else holds it: that breaks cycles through hooks.
  if (self->strong && self->t.defined() && self->t.ref()->use_count() == 1) clear_autograd(self->t);
  return 0;
}

void tensor_dealloc(PyObject* o) {
  PyTensor* self = (PyTensor*)o;
  if (try_resurrect(self)) return;
  PyTypeObject* type = Py_TYPE(o);
  if (type->tp_finalize && PyObject_CallFinalizerFromDealloc(o) < 0) return;
  PyObject_GC_UnTrack(o);
  if (self->weakrefs) PyObject_ClearWeakRefs(o);
  Py_CLEAR(self->dict);
  drop_tensor(self);
  self->t.~Tensor();
  if (!keep_spare(self)) type->tp_free(o);
  if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) Py_DECREF(type);
}

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&] { return construct_tensor(type, args, kwargs); });
}

// Python's own dealloc for subclasses takes the object apart before the base could bring it back, so every
// subclass gets ours.
int meta_init(PyObject* cls, PyObject* args, PyObject* kwargs) {
  if (PyType_Type.tp_init(cls, args, kwargs) < 0) return -1;
  ((PyTypeObject*)cls)->tp_dealloc = tensor_dealloc;
  return 0;
}

PyTypeObject make_meta() {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = "nnlib._C._TensorMeta";
  t.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
  t.tp_init = meta_init;
  return t;
}
PyTypeObject MetaType = make_meta();

PyGetSetDef dict_getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                             {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyTypeObject make_type() {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = "nnlib._C.TensorBase";
  t.tp_basicsize = sizeof(PyTensor);
  t.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC;
  t.tp_doc = "The native part of nnlib.Tensor.";
  t.tp_dealloc = tensor_dealloc;
  t.tp_traverse = tensor_traverse;
  t.tp_clear = tensor_clear;
  t.tp_dictoffset = offsetof(PyTensor, dict);
  t.tp_weaklistoffset = offsetof(PyTensor, weakrefs);
  t.tp_new = tensor_new;
  t.tp_getset = dict_getset;
  return t;
}

PyObject* set_tensor_class(PyObject*, PyObject* cls) {
  if (!PyType_Check(cls) || !PyType_IsSubtype((PyTypeObject*)cls, &TensorBaseType)) {
    PyErr_SetString(PyExc_TypeError, "expected a subclass of TensorBase");
    return nullptr;
  }
  Py_INCREF(cls);
  while (g_spare_count) PyObject_GC_Del(g_spares[--g_spare_count]);
  g_tensor_class = (PyTypeObject*)cls;
  Py_RETURN_NONE;
}
PyMethodDef functions[] = {{"_set_tensor_class", set_tensor_class, METH_O, nullptr},
                           {nullptr, nullptr, 0, nullptr}};

}  // namespace

PyTypeObject TensorBaseType = make_type();

PyTypeObject* tensor_class() { return g_tensor_class ? g_tensor_class : &TensorBaseType; }

PyObject* wrap_as(PyTypeObject* type, const Tensor& t) {
  NNLIB_CHECK(!t.impl()->pyobj, "this tensor has a Python object already");
  PyTensor* self = new_object(type);
  attach(self, t);
  return (PyObject*)self;
}

PyObject* wrap(const Tensor& t) {
  if (!t.defined()) Py_RETURN_NONE;
  TensorImpl* p = t.impl();
  if (!p->pyobj) return wrap_as(tensor_class(), t);
  PyTensor* self = (PyTensor*)p->pyobj;
  if (p->python_owned_by_core) {
    // The object comes back to Python: it owns the tensor again, and the tensor's reference goes to the
    // caller.
    p->retain();
    self->strong = true;
    p->python_owned_by_core = false;
    return (PyObject*)self;
  }
  Py_INCREF(self);
  return (PyObject*)self;
}

void init_tensor_type(PyObject* module) {
  release_python_object = on_tensor_death;
  MetaType.tp_base = &PyType_Type;
  if (PyType_Ready(&MetaType) < 0) throw PythonErrorSet();
  Py_SET_TYPE((PyObject*)&TensorBaseType, &MetaType);
  TensorBaseType.tp_as_number = tensor_as_number();
  TensorBaseType.tp_as_mapping = tensor_as_mapping();
  TensorBaseType.tp_as_sequence = tensor_as_sequence();
  TensorBaseType.tp_as_buffer = tensor_as_buffer();
  TensorBaseType.tp_richcompare = tensor_richcompare;
  TensorBaseType.tp_hash = (hashfunc)PyBaseObject_Type.tp_hash;
  if (PyType_Ready(&TensorBaseType) < 0) throw PythonErrorSet();
  add_tensor_attrs(&TensorBaseType);
  Py_INCREF(&TensorBaseType);
  PyModule_AddObject(module, "TensorBase", (PyObject*)&TensorBaseType);
  PyModule_AddFunctions(module, functions);
}

}  // namespace nnlib::python
