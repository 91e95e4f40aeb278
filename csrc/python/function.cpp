// autograd.Function: operators whose forward and backward are written in Python.
#include "autograd/engine.h"
#include "core/shape.h"
#include "python/autograd.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

// What a context keeps in C++; all else are attributes of the Python object.
struct Context {
  PyObject_HEAD PythonNode* node;  // weak: the node owns the context
  std::vector<Saved> saved;
  std::vector<bool> tensor_args;  // which arguments of apply were tensors
  bool freed;
};

PyObject* context_new(PyTypeObject* type, PyObject*, PyObject*) {
  Context* c = (Context*)type->tp_alloc(type, 0);
  if (!c) return nullptr;
  c->node = nullptr;
  new (&c->saved) std::vector<Saved>;
  new (&c->tensor_args) std::vector<bool>;
  c->freed = false;
  return (PyObject*)c;
}
void context_dealloc(PyObject* o) {
  Context* c = (Context*)o;
  c->saved.~vector();
  c->tensor_args.~vector();
  Py_TYPE(o)->tp_free(o);
}

PyObject* saved_tensors(PyObject* o, void*) {
  return guarded([&] {
    Context* c = (Context*)o;
    NNLIB_CHECK(!c->freed,
                "Trying to backward through the graph a second time (or directly access saved tensors after "
                "they have already "
                "been freed). Saved intermediate values of the graph are freed when you call .backward() or "
                "autograd.grad(). "
                "Specify retain_graph=True if you need to backward through the graph a second time or if you "
                "need to access "
                "saved tensors after calling backward.");
    Object t = owned(PyTuple_New((Py_ssize_t)c->saved.size()));
    Backward ctx{c->node};
    for (size_t i = 0; i < c->saved.size(); i++)
      PyTuple_SET_ITEM(t.get(), (Py_ssize_t)i, checked(wrap(c->saved[i].get_unchecked(ctx))));
    return t.release();
  });
}
PyObject* context_next(PyObject* o, void*) {
  if (!((Context*)o)->node) return PyTuple_New(0);
  return next_functions(((Context*)o)->node);
}
PyObject* context_name(PyObject* o, PyObject*) {
  PythonNode* n = ((Context*)o)->node;
  return PyUnicode_FromString(n ? n->label.c_str() : Py_TYPE(o)->tp_name);
}

PyGetSetDef getset[] = {
    {"saved_tensors", saved_tensors, nullptr, "the tensors given to save_for_backward", nullptr},
    {"next_functions", context_next, nullptr, "the nodes that take this node's results", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyObject* context_set_sequence(PyObject* o, PyObject* number) {
  const uint64_t sequence = PyLong_AsUnsignedLongLong(number);
  if (PyErr_Occurred()) return nullptr;
  if (PythonNode* n = ((Context*)o)->node) n->sequence = sequence;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {{"name", context_name, METH_NOARGS, "The function's name with Backward."},
                         {"_set_sequence_nr", context_set_sequence, METH_O,
                          "Of the nodes that are ready, backward runs those with larger numbers first."},
                         {nullptr, nullptr, 0, nullptr}};

PyTypeObject make_type() {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = "nnlib._C._FunctionBase";
  t.tp_basicsize = sizeof(Context);
  t.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
  t.tp_new = context_new;
  t.tp_dealloc = context_dealloc;
  t.tp_getset = getset;
  t.tp_methods = methods;
  return t;
}
PyTypeObject ContextType = make_type();

// A tuple attribute of the context as a list of tensors; empty when it is None.
// What `method` of the context left in an attribute: None, or a tuple of tensors and, where allowed, of None.
TensorList tensor_attribute(PyObject* ctx, const char* name, const char* method, bool none_allowed = false) {
  TensorList l;
  Object o = owned(PyObject_GetAttrString(ctx, name));
  if (o.get() == Py_None) return l;
  NNLIB_CHECK_TYPE(PyTuple_Check(o.get()), name, " must be a tuple");
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o.get()); i++) {
    PyObject* item = PyTuple_GET_ITEM(o.get(), i);
    NNLIB_CHECK_TYPE(is_tensor(item) || (none_allowed && item == Py_None), method,
                     " can only take variables, but argument ", i, " is of type ", Py_TYPE(item)->tp_name);
    l.push_back(item == Py_None ? Tensor() : unpack(item));
  }
  return l;
}
bool contains(const TensorList& l, const Tensor& t, size_t* at = nullptr) {
  for (size_t i = 0; i < l.size(); i++)
    if (l[i].defined() && l[i].is_same(t)) {
      if (at) *at = i;
      return true;
    }
  return false;
}

// _function_apply(backward_class, forward, setup_context or None, args)
PyObject* function_apply(PyObject*, PyObject* args) {
  PyObject *cls, *forward, *setup, *inputs;
  if (!PyArg_ParseTuple(args, "OOOO!", &cls, &forward, &setup, &PyTuple_Type, &inputs)) return nullptr;
  return guarded([&]() -> PyObject* {
    const Py_ssize_t n = PyTuple_GET_SIZE(inputs);
    Object ctx = owned(PyObject_CallNoArgs(cls));
    NNLIB_CHECK_TYPE(PyObject_TypeCheck(ctx.get(), &ContextType),
                     "a Function's context must derive from FunctionCtx");
    Context* c = (Context*)ctx.get();
    TensorList tensors;
    Object needs = owned(PyTuple_New(n));
    for (Py_ssize_t i = 0; i < n; i++) {
      PyObject* o = PyTuple_GET_ITEM(inputs, i);
      c->tensor_args.push_back(is_tensor(o));
      if (is_tensor(o)) tensors.push_back(unpack(o));
      PyTuple_SET_ITEM(needs.get(), i, PyBool_FromLong(is_tensor(o) && unpack(o).requires_grad()));
    }
    if (PyObject_SetAttrString(ctx.get(), "needs_input_grad", needs.get()) < 0) throw PythonErrorSet();
    const bool recording = wants_grad(tensors);
    Object out;
    {
      NoGradGuard guard;
      if (setup == Py_None) {
        Object with_ctx = owned(PyTuple_New(n + 1));
        PyTuple_SET_ITEM(with_ctx.get(), 0, Object(ctx).release());
        for (Py_ssize_t i = 0; i < n; i++)
          PyTuple_SET_ITEM(with_ctx.get(), i + 1, Object::borrow(PyTuple_GET_ITEM(inputs, i)).release());
        out = owned(PyObject_Call(forward, with_ctx.get(), nullptr));
      } else {
        out = owned(PyObject_Call(forward, inputs, nullptr));
        owned(PyObject_CallFunctionObjArgs(setup, ctx.get(), inputs, out.get(), nullptr));
      }
    }
    const bool single = !PyTuple_Check(out.get());
    Object outputs = single ? owned(PyTuple_Pack(1, out.get())) : out;
    const Py_ssize_t m = PyTuple_GET_SIZE(outputs.get());
    const TensorList fixed = tensor_attribute(ctx.get(), "non_differentiable", "mark_non_differentiable"),
                     dirty = tensor_attribute(ctx.get(), "dirty_tensors", "mark_dirty"),
                     to_save = tensor_attribute(ctx.get(), "to_save", "save_for_backward", true);
    Ref<PythonNode> node;
    if (recording) {
      node = Ref<PythonNode>(new PythonNode(ctx.get(), Py_TYPE(ctx.get())->tp_name));
      c->node = node.get();
      collect_edges(*node, tensors);
      node->device = common_device(tensors);
    }
    for (const Tensor& t : dirty) {
      if (recording) check_inplace(t, true);
      mark_changed(t);
    }
    Object result = owned(PyTuple_New(m));
    TensorList made;
    for (Py_ssize_t i = 0; i < m; i++) {
      PyObject* o = PyTuple_GET_ITEM(outputs.get(), i);
      if (!is_tensor(o)) {
        made.push_back(Tensor());
        if (node) node->inputs.push_back({});
        PyTuple_SET_ITEM(result.get(), i, Object::borrow(o).release());
        continue;
      }
      Tensor t = unpack(o);
      const bool is_dirty = contains(dirty, t), is_fixed = contains(fixed, t) || !is_floating(t.dtype());
      const bool is_input = contains(tensors, t);
      if (is_input && !is_dirty)
        t = recording && !is_fixed ? mark_view(t, alias(t), ViewOrigin::Custom) : detach(t);
      if (node) {
        const uint32_t index = node->add_input(t);
        if (!is_fixed) {
          if (is_dirty && is_view(t)) {
            rebase_history(t, node);
          } else {
            set_gradient_edge(t, {node, index});
          }
        }
      }
      made.push_back(t);
      PyTuple_SET_ITEM(result.get(), i, checked(wrap(t)));
    }
    if (node) {
      for (const Tensor& t : to_save) {
        if (!t.defined()) {
          c->saved.emplace_back();
          continue;
        }
        size_t at = 0;
        const bool is_output = contains(made, t, &at) && !(contains(tensors, t) && !contains(dirty, t));
        c->saved.emplace_back(t, is_output && !contains(fixed, t), (uint32_t)at);
      }
    }
    Object none = Object::borrow(Py_None);
    PyObject_SetAttrString(ctx.get(), "to_save", none.get());
    if (single) return Object::borrow(PyTuple_GET_ITEM(result.get(), 0)).release();
    return result.release();
  });
}

PyMethodDef functions[] = {{"_function_apply", function_apply, METH_VARARGS, nullptr},
                           {nullptr, nullptr, 0, nullptr}};

}  // namespace

PythonNode::PythonNode(PyObject* ctx, std::string name) : context(ctx), label(std::move(name)) {
  Py_INCREF(ctx);
}

PythonNode::~PythonNode() {
  if (!Py_IsInitialized()) return;
  GilAcquire gil;
  ((Context*)context)->node = nullptr;
  Py_DECREF(context);
}

void PythonNode::release_saved() {
  GilAcquire gil;
  Context* c = (Context*)context;
  c->saved.clear();
  c->freed = true;
}

TensorList PythonNode::apply(TensorList&& grads) {
  GilAcquire gil;
  try {
    Context* c = (Context*)context;
    Object materialize = owned(PyObject_GetAttrString(context, "materialize_grads"));
    const bool zeros = PyObject_IsTrue(materialize.get()) == 1;
    Object args = owned(PyTuple_New((Py_ssize_t)grads.size() + 1));
    PyTuple_SET_ITEM(args.get(), 0, Object::borrow(context).release());
    for (size_t i = 0; i < grads.size(); i++) {
      Tensor g = grads[i];
      if (!g.defined() && zeros && is_floating(inputs[i].dtype)) {
        g = empty(inputs[i].sizes, inputs[i].dtype);
        fill_values(g, 0);
        g.impl()->device = inputs[i].device;
      }
      PyTuple_SET_ITEM(args.get(), (Py_ssize_t)i + 1, checked(wrap(g)));
    }
    Object f = owned(PyObject_GetAttrString(context, "_backward_function"));
    Object r = owned(PyObject_Call(f.get(), args.get(), nullptr));
    if (!PyTuple_Check(r.get())) r = owned(PyTuple_Pack(1, r.get()));
    const size_t got = (size_t)PyTuple_GET_SIZE(r.get()), want = c->tensor_args.size();
    bool extra_none = got > want;
    for (size_t i = want; i < got; i++)
      extra_none = extra_none && PyTuple_GET_ITEM(r.get(), (Py_ssize_t)i) == Py_None;
    NNLIB_CHECK(got == want || extra_none, "function ", label,
                " returned an incorrect number of gradients (expected ", want, ", got ", got, ")");
    TensorList out;
    for (size_t i = 0; i < want; i++) {
      PyObject* o = PyTuple_GET_ITEM(r.get(), (Py_ssize_t)i);
      if (!c->tensor_args[i]) {
        NNLIB_CHECK(o == Py_None, "function ", label, " returned a gradient different from None at position ",
                    i + 1, ", but the corresponding forward input was not a Variable");
        continue;
      }
      NNLIB_CHECK_TYPE(o == Py_None || is_tensor(o), "expected a Tensor or None from ", label, " but got ",
                       Py_TYPE(o)->tp_name);
      out.push_back(o == Py_None ? Tensor() : unpack(o));
    }
    return out;
  } catch (const PythonErrorSet&) {
    throw_carried();
  }
}

void init_function(PyObject* module) {
  if (PyType_Ready(&ContextType) < 0) throw PythonErrorSet();
  Py_INCREF(&ContextType);
  PyModule_AddObject(module, "_FunctionBase", (PyObject*)&ContextType);
  PyModule_AddFunctions(module, functions);
}

}  // namespace nnlib::python
